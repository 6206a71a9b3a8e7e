"""Where a dataset is hard to demosaic, for training to see more often: where it has most fine detail, and where that
detail has colours."""

from __future__ import annotations

import numpy as np

STEP_PX = 24
"""Distance of the places that are compared."""
KEPT_SHARE = 0.2


def hard_places(images, side: int) -> list[tuple[int, int, int]]:
    """The fifth of all patches with most detail, as (image number, top, left), in the order of the images.

    images: arrays [H, W, 3] of stored linear values, each at least side x side. Patches lie on a grid of 24 px. Detail
    is the mean size of the second differences along rows and columns of the square roots, over all channels, so that
    texture in the shadows, moire-prone lines and coloured edges all count.
    """
    return _highest(_sums(_detail(_roots(image)), side) for image in images)


def coloured_places(images, side: int) -> list[tuple[int, int, int]]:
    """As `hard_places`, the fifth where detail is strong in colour and not in light alone: of detail in red - green and
    blue - green, the power 1.5, over the root of the detail of all channels.

    Most fine detail of photographs is grey: what one channel samples tells the others. Here it does not.
    """
    return _highest(_colour_score(_roots(image), side) for image in images)


def _highest(scores) -> list[tuple[int, int, int]]:
    """The fifth with the highest of all scores. scores: an array for each image, of the places of its grid."""
    grids = list(scores)
    least = np.quantile(np.concatenate([grid.ravel() for grid in grids]), 1 - KEPT_SHARE)
    return [
        (number, int(top) * STEP_PX, int(left) * STEP_PX)
        for number, grid in enumerate(grids)
        for top, left in np.argwhere(grid >= least)
    ]


def _colour_score(roots: np.ndarray, side: int) -> np.ndarray:
    colour = _sums(_detail(roots[..., ::2] - roots[..., 1:2]), side)
    least = np.finfo(float).tiny  # where all is flat the score is 0
    return colour**1.5 / np.sqrt(np.maximum(_sums(_detail(roots), side), least))


def _roots(stored) -> np.ndarray:
    return np.sqrt(np.asarray(stored).astype(np.float32))


def _detail(image: np.ndarray) -> np.ndarray:
    """[H, W] float64: second differences, summed over channels; the border is repeated."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    middle = 2 * padded[1:-1, 1:-1]
    rows = np.abs(padded[:-2, 1:-1] + padded[2:, 1:-1] - middle)
    columns = np.abs(padded[1:-1, :-2] + padded[1:-1, 2:] - middle)
    return (rows + columns).sum(2, dtype=np.float64)


def _sums(detail: np.ndarray, side: int) -> np.ndarray:
    """Over squares on the grid, by a summed-area table."""
    table = np.pad(detail.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = table[side:, side:] - table[:-side, side:] - table[side:, :-side] + table[:-side, :-side]
    return sums[::STEP_PX, ::STEP_PX]
