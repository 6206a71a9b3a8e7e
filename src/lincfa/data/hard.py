"""Where a dataset is hard to demosaic: the places with most fine detail, for training to see more often."""

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
    scores, places = [], []
    for number, image in enumerate(images):
        detail = _detail(np.asarray(image))
        # Sums over squares by a summed-area table.
        table = np.pad(detail.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        sums = table[side:, side:] - table[:-side, side:] - table[side:, :-side] + table[:-side, :-side]
        grid = sums[::STEP_PX, ::STEP_PX]
        scores.append(grid.ravel())
        places += [(number, int(top) * STEP_PX, int(left) * STEP_PX) for top, left in np.ndindex(grid.shape)]
    score = np.concatenate(scores)
    least = np.quantile(score, 1 - KEPT_SHARE)
    return [place for place, value in zip(places, score, strict=True) if value >= least]


def _detail(stored: np.ndarray) -> np.ndarray:
    """[H, W] float64: second differences of the square roots, the border repeated."""
    root = np.pad(np.sqrt(stored.astype(np.float32)), ((1, 1), (1, 1), (0, 0)), mode="edge")
    middle = 2 * root[1:-1, 1:-1]
    rows = np.abs(root[:-2, 1:-1] + root[2:, 1:-1] - middle)
    columns = np.abs(root[1:-1, :-2] + root[1:-1, 2:] - middle)
    return (rows + columns).sum(2, dtype=np.float64)
