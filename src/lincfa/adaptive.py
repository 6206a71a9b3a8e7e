"""Would smooth tiles do with a cheaper path than the network? What that costs in PSNR, and what it saves in time.

`lincfa demosaic` has no such tiles; scripts/utils/adaptive_tiles.py measures whether it should.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import maximum_filter
from torch.nn import functional as F

from lincfa.cfa import CFA
from lincfa.color import linear_to_srgb
from lincfa.data.dataset import Scene
from lincfa.evaluate import BORDER_PX
from lincfa.infer import PRECISIONS, Demosaicer
from lincfa.models import normalising_gain
from lincfa.recordtext import table

WEIGHTS = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]).expand(3, 1, 3, 3)
"""Of a sample's neighbours: those of LibRaw's bilinear (lin_interpolate). Each colour is in all 3 x 3 squares."""


@dataclass(frozen=True)
class Tiles:
    """A scene in tiles, [rows, columns] of them. roughness: see there. network, cheap: [2, rows, columns] sums of
    squared errors of either path: linear, and sRGB-coded (see `squared_errors`). values: how many numbers the scene's
    sums are of. shape: (H, W) of the scene."""

    roughness: np.ndarray
    network: np.ndarray
    cheap: np.ndarray
    values: int
    shape: tuple[int, int]


def bilinear(mosaic: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """[B, 1, H, W], [B or 1, 3, H, W] -> [B, 3, H, W]: samples as they are, between them the weighted mean of the
    neighbours of the colour."""
    near = F.conv2d(mosaic * masks, WEIGHTS, padding=1, groups=3) / F.conv2d(masks, WEIGHTS, padding=1, groups=3)
    return torch.where(masks > 0, mosaic, near)


def roughness(mosaic: np.ndarray, cfa: CFA, tile_px: int) -> np.ndarray:
    """[H, W] linear -> [rows, columns]: each tile's mean absolute second difference of the samples' square roots, along
    the two shortest steps from photosite to photosite that leave the whole CFA as it is (X-Trans: the diagonals of 3,
    Bayer: 2 along rows and columns)."""
    reach = max(cfa.period)
    coded = np.sqrt(cfa.pad(mosaic, reach, reach, reach, reach).clip(0))
    height, width = mosaic.shape

    def moved(dy: int, dx: int) -> np.ndarray:
        return coded[reach + dy : reach + dy + height, reach + dx : reach + dx + width]

    total = sum(np.abs(moved(dy, dx) + moved(-dy, -dx) - 2 * moved(0, 0)) for dy, dx in _steps(cfa))
    return tile_sums(total, tile_px) / tile_sums(np.ones(mosaic.shape, np.float32), tile_px)


def tile_sums(values: np.ndarray, tile_px: int) -> np.ndarray:
    """[..., H, W] -> [..., rows, columns]; the last tiles may be smaller."""
    for axis in (-2, -1):
        values = np.add.reduceat(values, np.arange(0, values.shape[axis], tile_px), axis)
    return values


def squared_errors(rgb: np.ndarray, scene: Scene) -> np.ndarray:
    """[2, H, W] float64: of linear values and of sRGB-coded ones, balanced and clipped to [0, 1], summed over colours,
    0 in the border: what the means of psnr_linear_db and psnr_srgb_db (lincfa.evaluate) are of."""
    shown, wanted = (np.clip(x * scene.white_balance.astype(np.float64), 0, 1) for x in (rgb, scene.rgb))
    inside = np.zeros(scene.mosaic.shape)
    inside[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX] = 1
    coded = linear_to_srgb(shown) - linear_to_srgb(wanted)
    return np.stack([((shown - wanted) ** 2).sum(-1) * inside, (coded**2).sum(-1) * inside])


def in_tiles(scene: Scene, network: np.ndarray, cheap: np.ndarray, tile_px: int) -> Tiles:
    """network, cheap: `squared_errors` of either path."""
    height, width = scene.mosaic.shape
    return Tiles(
        roughness=roughness(scene.mosaic, scene.cfa, tile_px),
        network=tile_sums(network, tile_px),
        cheap=tile_sums(cheap, tile_px),
        values=3 * (height - 2 * BORDER_PX) * (width - 2 * BORDER_PX),
        shape=(height, width),
    )


def true_cost(tiles: Tiles) -> np.ndarray:
    """[rows, columns]: what the cheap path adds to the scene's errors, relative, the mean of both; no program knows it.
    An order by it is about as good as any: not strictly, for the limit is on each PSNR."""
    return ((tiles.cheap - tiles.network) / tiles.network.sum((1, 2), keepdims=True)).mean(0)


def largest_share(scenes: list[Tiles], order: list[np.ndarray], most_db: float) -> tuple[float, float]:
    """(share, threshold): how many of all scenes' tiles may go the cheap way, those first that come first in `order`
    ([rows, columns] for each scene), while neither mean PSNR over scenes loses more than most_db; and the value of the
    last of them, -inf where there is none."""
    own = np.repeat(np.arange(len(scenes)), [t.roughness.size for t in scenes])
    values = np.concatenate([o.ravel() for o in order])
    first = np.argsort(values, kind="stable")
    added = np.concatenate([(t.cheap - t.network).reshape(2, -1) for t in scenes], 1)
    sums = np.zeros((2, len(first) + 1, len(scenes)))
    sums[:, np.arange(1, len(first) + 1), own[first]] = added[:, first]
    errors = np.stack([t.network.sum((1, 2)) for t in scenes], 1)[:, None]  # [2, 1, scenes]
    loss_db = 10 * np.log10(sums.cumsum(1) / errors + 1).mean(2)
    ends = np.r_[True, np.diff(values[first]) != 0, True]  # equal values go together: `demosaic` cannot tell them apart
    count = int(np.flatnonzero((loss_db <= most_db).all(0) & ends)[-1])
    return count / len(first), float(values[first[count - 1]]) if count else -np.inf


def share_unreached(shape: tuple[int, int], cheap: np.ndarray, tile_px: int, margin_px: int) -> float:
    """Share of the pixels [H, W] that no other tile needs as its margin: what need not be computed at all.

    cheap: [rows, columns] bool.
    """
    kept = ~np.kron(cheap, np.ones((tile_px, tile_px), bool))[: shape[0], : shape[1]]
    return float(1 - maximum_filter(kept, 2 * margin_px + 1).mean())


def demosaic(demosaicer: Demosaicer, mosaic: np.ndarray, cfa: CFA, tile_px: int, threshold: float) -> np.ndarray:
    """[H, W] -> [H, W, 3]: bilinear in tiles whose roughness is at most the threshold; in the others the network, in
    batches of tiles with their margins.

    mosaic: linear, balanced, in the network's phase. tile_px: a multiple of the network's.
    """
    network = demosaicer.network
    cheap = roughness(mosaic, cfa, tile_px) <= threshold
    rows, columns = cheap.shape
    margin = -(-network.margin // network.multiple) * network.multiple
    gain = np.float32(normalising_gain(float(mosaic.mean())))
    over = [n * tile_px - size + margin for n, size in zip(cheap.shape, mosaic.shape, strict=True)]
    padded = torch.from_numpy(cfa.pad(gain * mosaic, margin, over[0], margin, over[1]))
    out = torch.empty(rows * tile_px, columns * tile_px, 3)
    dtype = PRECISIONS[demosaicer.precision]

    def run(wanted: np.ndarray, reach: int, path) -> None:
        side = tile_px + 2 * reach
        masks = torch.from_numpy(cfa.shift(-reach, -reach).masks(side, side))[None]
        batch = max(1, (demosaicer.tile_px + 2 * margin) ** 2 // side**2)
        places = [(y * tile_px, x * tile_px) for y, x in np.argwhere(wanted)]
        skip = margin - reach
        for first in range(0, len(places), batch):
            some = places[first : first + batch]
            windows = [padded[y + skip : y + skip + side, x + skip : x + skip + side] for y, x in some]
            rgb = path(torch.stack(windows)[:, None], masks)
            for (y, x), tile in zip(some, rgb[..., reach : side - reach, reach : side - reach], strict=True):
                out[y : y + tile_px, x : x + tile_px] = tile.permute(1, 2, 0)

    with torch.inference_mode():
        run(cheap, 1, bilinear)
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            run(~cheap, margin, network)
    return (out[: mosaic.shape[0], : mosaic.shape[1]] / gain).numpy()


def seconds(demosaicer: Demosaicer, scenes: list[Scene], tile_px: int, threshold: float) -> tuple[float, float]:
    """(the network on all of it as `Demosaicer` runs it, adaptive tiles), for all scenes together, in turns."""
    spent = [0.0, 0.0]
    for scene in scenes:
        for which, path in enumerate(
            (
                lambda s: demosaicer(s.mosaic, s.cfa),
                lambda s: demosaic(demosaicer, s.mosaic, s.cfa, tile_px, threshold),
            )
        ):
            started = time.perf_counter()
            path(scene)
            spent[which] += time.perf_counter() - started
    return spent[0], spent[1]


def markdown(found: dict) -> str:
    """The table of a file that scripts/utils/adaptive_tiles.py wrote."""
    head = ("Suite", "Tile (px)", "Tiles for bilinear", "Pixels no other tile needs", "The same in the best order")
    lines = [
        (
            row["suite"].partition(":")[2],
            row["tile_px"],
            f"{row['share']:.1%}",
            f"{row['share_unreached']:.1%}",
            f"{row['share_best_order']:.1%}, {row['share_unreached_best_order']:.1%}",
            f"{row['seconds_ratio']:.2f}",
        )
        for row in found["rows"]
    ]
    note = (
        f"{found['model']} in {found['precision']}, whose margin is {found['margin_px']} px; loss of the mean PSNR, "
        f"linear and sRGB-coded, at most {found['loss_db']:g} dB. Time: with such tiles against the network alone, "
        f"{found['threads']} threads, {found['machine']}."
    )
    return f"{table((*head, 'Time'), lines)}\n\n{note}"


def _steps(cfa: CFA) -> list[tuple[int, int]]:
    """The two shortest (dy, dx), not along one line, that shift the CFA to itself."""
    p, q = cfa.period
    steps = [(dy, dx) for dy in range(p + 1) for dx in range(-q, q + 1) if (dy, dx) > (0, 0)]
    found = [step for step in steps if cfa.shift(*step) == cfa]
    found.sort(key=lambda step: (step[0] ** 2 + step[1] ** 2, step))
    first = found[0]
    return [first, next(s for s in found if s[0] * first[1] != s[1] * first[0])]
