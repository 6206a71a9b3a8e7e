"""The colour filter array (CFA): which of R, G and B each photosite sees.

The X-Trans tile at the usual origin, and the Bayer tile that is named RGGB:

    G B G G R G        R G
    R G R B G B        G B
    G B G G R G
    G R G G B G
    B G B R G R
    G R G G B G

Colours are numbered R = 0, G = 1, B = 2. Everything that knows about patterns is in this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

LETTERS = "RGB"
MAX_PERIOD = 16


class UnknownCFAError(ValueError):
    """The colours are not a periodic pattern of red, green and blue."""


@dataclass(frozen=True)
class CFA:
    """An immutable periodic pattern of colours.

    tile: p rows of q colour numbers, one period of the pattern, with its first photosite at the top left.
    Two CFAs are equal when they colour every photosite alike: every method here returns the smallest tile.
    """

    tile: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.tile}
        if len(widths) != 1 or 0 in widths:
            raise UnknownCFAError(f"a CFA tile needs rows of one length, not {self.tile!r}")
        if {c for row in self.tile for c in row} != {0, 1, 2}:
            raise UnknownCFAError(f"a CFA tile needs red (0), green (1) and blue (2), not {self.tile!r}")

    @classmethod
    def from_colors(cls, colors: np.ndarray) -> CFA:
        """Recognise the pattern of an area.

        colors: [H, W] integers in {0, 1, 2}, the colour of each photosite; H and W at least two periods.
        Raises UnknownCFAError when a value is no colour or no period up to 16 explains the whole area.
        """
        colors = np.asarray(colors)
        if colors.ndim != 2 or not np.isin(colors, (0, 1, 2)).all():
            raise UnknownCFAError("the CFA has colours other than red, green and blue")
        p, q = _period(colors), _period(colors.T)
        return cls(tuple(map(tuple, colors[:p, :q].tolist())))

    @classmethod
    def from_tile(cls, tile: np.ndarray) -> CFA:
        """The CFA that repeats a tile [p, q] of colour numbers; the tile may itself repeat. Raises UnknownCFAError."""
        return cls.from_colors(np.tile(np.asarray(tile), (2, 2)))

    @classmethod
    def parse(cls, letters: str) -> CFA:
        """'RGGB' (a square tile row by row) or rows parted by spaces, 'RG GB'. Raises UnknownCFAError."""
        rows = letters.upper().split()
        if len(rows) == 1:
            side = round(len(rows[0]) ** 0.5)
            rows = [rows[0][i : i + side] for i in range(0, len(rows[0]), side or 1)]
        if not set("".join(rows)) <= set(LETTERS):
            raise UnknownCFAError(f"a CFA is written with the letters R, G and B, not {letters!r}")
        return cls.from_tile([[LETTERS.index(c) for c in row] for row in rows])

    @cached_property
    def array(self) -> np.ndarray:
        """The tile as a read-only [p, q] uint8 array."""
        array = np.array(self.tile, np.uint8)
        array.setflags(write=False)
        return array

    @property
    def period(self) -> tuple[int, int]:
        return self.array.shape

    def __str__(self) -> str:
        return "\n".join(" ".join(LETTERS[c] for c in row) for row in self.tile)

    def color_at(self, y: int, x: int) -> int:
        """The colour of the photosite in row y, column x; any integers, negative ones too."""
        p, q = self.period
        return self.tile[y % p][x % q]

    def shift(self, dy: int, dx: int) -> CFA:
        """The CFA of the area that begins at (dy, dx): shift(dy, dx).color_at(y, x) == color_at(y + dy, x + dx)."""
        return CFA(tuple(map(tuple, np.roll(self.array, (-dy, -dx), (0, 1)).tolist())))

    def dihedral(self, k: int, height: int, width: int) -> CFA:
        """The CFA of `dihedral(mosaic, k)` for a mosaic [height, width] of this CFA; k in 0..7."""
        p, q = self.period
        # Where the far edges lie within a period is all that matters, so a small area with the same remainders will do.
        small = self.color_map(2 * p + height % p, 2 * q + width % q)
        return CFA.from_colors(dihedral(small, k))

    @cached_property
    def family(self) -> str:
        """'xtrans', 'bayer' or 'other'."""
        if self in XTRANS.phases:
            return "xtrans"
        return "bayer" if self in RGGB.phases else "other"

    @cached_property
    def phase(self) -> tuple[int, int]:
        """(dy, dx) with self == XTRANS.shift(dy, dx), or RGGB for Bayer; (0, 0) for any other tile."""
        reference = {"xtrans": XTRANS, "bayer": RGGB}.get(self.family, self)
        return reference.phases[self]

    @cached_property
    def phases(self) -> dict[CFA, tuple[int, int]]:
        """Each distinct shift of this CFA, with the first (dy, dx) that gives it: 18 for X-Trans, 4 for Bayer."""
        p, q = self.period
        found: dict[CFA, tuple[int, int]] = {}
        for dy in range(p):
            for dx in range(q):
                found.setdefault(self.shift(dy, dx), (dy, dx))
        return found

    def color_map(self, height: int, width: int) -> np.ndarray:
        """[height, width] uint8, the colour of each photosite."""
        p, q = self.period
        return np.tile(self.array, (-(-height // p), -(-width // q)))[:height, :width]

    def masks(self, height: int, width: int) -> np.ndarray:
        """[3, height, width] float32, 1 where the photosite has the colour; the three sum to one."""
        return (self.color_map(height, width)[None] == np.arange(3)[:, None, None]).astype(np.float32)

    def mosaic(self, rgb: np.ndarray) -> np.ndarray:
        """rgb: [H, W, 3], any dtype and range -> [H, W], the sample that each photosite sees."""
        colors = self.color_map(*rgb.shape[:2]).astype(np.intp)
        return np.take_along_axis(rgb, colors[..., None], axis=2)[..., 0]

    def per_photosite(self, values: np.ndarray, height: int, width: int) -> np.ndarray:
        """values: [3], one per colour -> [height, width] of the same dtype."""
        return np.asarray(values)[self.color_map(height, width)]

    def pad(self, mosaic: np.ndarray, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """Extend a mosaic [H, W] (or [H, W, C]) so that each new sample comes from a photosite of its own colour.

        The result belongs to `shift(-top, -left)`. Each new row or column is the one of equal phase that lies nearest
        to its mirror image; ordinary reflection would put samples on wrong colours for X-Trans.
        Raises ValueError when a side is shorter than a period.
        """
        p, q = self.period
        rows = same_phase_indices(mosaic.shape[0], top, bottom, p)
        cols = same_phase_indices(mosaic.shape[1], left, right, q)
        return mosaic[rows][:, cols]


def same_phase_indices(size: int, before: int, after: int, period: int) -> np.ndarray:
    """Source index of each of before + size + after positions: in 0..size-1, congruent to the position mod period.

    Raises ValueError when size < period.
    """
    if size < period:
        raise ValueError(f"{size} samples cannot be padded in phase: the CFA repeats every {period}")
    position = np.arange(-before, size + after)
    mirrored = np.abs((position + (size - 1)) % max(1, 2 * (size - 1)) - (size - 1))
    index = mirrored + (position - mirrored + period // 2) % period - period // 2
    index = np.where(index < 0, index + period, index)
    return np.where(index >= size, index - period, index)


def dihedral(image, k: int):
    """One of the eight symmetries of the square: transposed first when k >= 4, then turned by k % 4 quarter turns.

    image: numpy [H, W] or [H, W, C], or torch [..., H, W]. k in 0..7; 0 leaves it as it is.
    """
    if isinstance(image, torch.Tensor):
        return torch.rot90(image.transpose(-1, -2) if k >= 4 else image, k % 4, (-2, -1))
    return np.rot90(image.swapaxes(0, 1) if k >= 4 else image, k % 4, (0, 1))


def batch_masks(cfas: list[CFA], height: int, width: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """[B, 3, height, width] float32 masks, one CFA for each image of a batch."""
    return torch.stack([_torch_masks(c, height, width, str(device)) for c in cfas])


def batch_mosaic(rgb: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """rgb: [B, 3, H, W], masks: [B, 3, H, W] -> [B, 1, H, W], the sample that each photosite sees."""
    red, green, blue = (rgb[:, c] * masks[:, c] for c in range(3))  # small pieces: no [B, 3, H, W] in between
    return red.add_(green).add_(blue)[:, None]


def _torch_masks(cfa: CFA, height: int, width: int, device: str) -> torch.Tensor:
    return torch.from_numpy(cfa.masks(height, width)).to(device)


def _period(colors: np.ndarray) -> int:
    """The smallest row period that explains all of a colour map and shows at least twice in it."""
    for p in range(1, min(MAX_PERIOD, colors.shape[0] // 2) + 1):
        if np.array_equal(colors[p:], colors[:-p]):
            return p
    raise UnknownCFAError(f"the CFA does not repeat within {MAX_PERIOD} photosites")


XTRANS = CFA.parse("GBGGRG RGRBGB GBGGRG GRGGBG BGBRGR GRGGBG")
RGGB = CFA.parse("RGGB")
