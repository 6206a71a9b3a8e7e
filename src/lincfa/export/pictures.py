"""The part of a frame that is the picture, converted some rows at a time: on all cores and in little memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lincfa.cfa import dihedral
from lincfa.color import render_for_eyes
from lincfa.raw import RawFrame
from lincfa.rawwriter import XYZ_TO_LINEAR_SRGB

ORIENTATION_TO_DIHEDRAL = {1: 0, 2: 7, 3: 2, 4: 5, 5: 4, 6: 3, 7: 6, 8: 1}
"""EXIF orientation -> the number of the symmetry (lincfa.cfa.dihedral) that makes the picture upright."""
BLOCK_ROWS = 64


def upright(rgb: np.ndarray, frame: RawFrame, convert: Callable[[np.ndarray], np.ndarray], dtype) -> np.ndarray:
    """The crop of rgb [H, W, 3], converted and turned as the camera says: [h, w, 3] of the dtype, contiguous.

    convert: some rows [n, w, 3] -> as many of the same width; called from several threads.
    """
    cropped = crop(rgb, frame)
    picture = _by_rows(cropped.shape, lambda rows: convert(cropped[rows]), dtype)
    return np.ascontiguousarray(dihedral(picture, ORIENTATION_TO_DIHEDRAL[frame.orientation]))


def preview(rgb: np.ndarray, frame: RawFrame, longest_px: int) -> np.ndarray:
    """The crop of rgb [H, W, 3], rendered but not turned, at most longest_px long: [h, w, 3] uint8 sRGB.

    Its pixels are means of whole squares; what remains of a square at the right and bottom is left out.
    """
    cropped = crop(rgb, frame)
    side = -(-max(cropped.shape[:2]) // longest_px)
    height, width = (max(1, n // side) for n in cropped.shape[:2])

    def shrink(rows: slice) -> np.ndarray:
        part = cropped[rows.start * side : rows.stop * side, : width * side]
        means = part.reshape(-1, side, part.shape[1], 3).mean(1).reshape(-1, width, part.shape[1] // width, 3).mean(2)
        return rendered(means, frame)

    return _by_rows((height, width, 3), shrink, np.uint8)


def rendered(rgb: np.ndarray, frame: RawFrame, bits: int = 8) -> np.ndarray:
    """See lincfa.color.render_for_eyes."""
    return render_for_eyes(rgb, frame.white_balance, camera_matrix(frame), bits)


def camera_matrix(frame: RawFrame) -> np.ndarray:
    """[3, 3] XYZ to camera; a camera of unknown colours is taken for linear sRGB."""
    return XYZ_TO_LINEAR_SRGB if frame.xyz_to_camera is None else frame.xyz_to_camera


def crop(image: np.ndarray, frame: RawFrame) -> np.ndarray:
    top, left, height, width = frame.crop
    return image[top : top + height, left : left + width]


def _by_rows(shape: tuple[int, int, int], make: Callable[[slice], np.ndarray], dtype) -> np.ndarray:
    """[H, W, 3] of the dtype, made from blocks of rows in several threads."""
    out = np.empty(shape, dtype)

    def fill(start: int) -> None:
        rows = slice(start, min(start + BLOCK_ROWS, len(out)))
        out[rows] = make(rows)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(fill, range(0, len(out), BLOCK_ROWS)))
    return out
