"""What has changed between two renderings of one frame, for eyes: how much, where most, and a picture of it.

Renderings are [H, W, 3] linear sRGB (or white-balanced camera RGB) of any range, exposed alike. They are compared as a
screen shows them: clipped to [0, 1] and sRGB-coded, so that a step counts in shadows as much as in bright parts.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from lincfa.color import linear_to_srgb


def exposure(truth: np.ndarray) -> np.float32:
    """What a white-balanced linear picture is multiplied with to be shown: its 99th percentile becomes 0.9."""
    return np.float32(0.9 / max(float(np.percentile(truth, 99)), 1e-6))


def change(rgb: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[H, W] in [0, 1]: the mean over R, G and B of the absolute difference of coded values."""
    return np.abs(_coded(rgb) - _coded(other)).mean(axis=2)


def change_picture(rgb: np.ndarray, other: np.ndarray, gain: float) -> np.ndarray:
    """[H, W, 3] uint8: the coded values of rgb less those of other, `gain` times as large, around middle grey (128).

    Differences beyond 1 / gain of full scale are cut.
    """
    difference = 0.5 + 0.5 * gain * (_coded(rgb) - _coded(other))
    return np.round(255 * np.clip(difference, 0, 1)).astype(np.uint8)


def largest_changes(changed: np.ndarray, side_px: int, count: int) -> list[tuple[float, int, int]]:
    """The squares where most has changed, the most first: at most `count` of (local mean, y, x).

    changed: [H, W], not negative. side_px: of the squares; where the frame is smaller they are what there is of it.
    y, x: of a square's upper left corner. No two overlap, and all lie in the frame. The local mean is Gaussian, with a
    sigma of a quarter of the side, so that what has changed stands in the middle of its square; of equal ones the
    first in reading order is taken.
    """
    half = side_px // 2
    local = ndimage.gaussian_filter(np.asarray(changed, np.float64), side_px / 4, mode="constant")
    rows, columns = (max(0, n - side_px) + 1 for n in local.shape)
    # Squares by their corners. A frame smaller than a square has one, known by the frame's middle.
    top, left = (min(half, n // 2) for n in local.shape)
    local = local[top : top + rows, left : left + columns].copy()
    found = []
    while len(found) < count:
        y, x = (int(i) for i in np.unravel_index(np.argmax(local), local.shape))
        if local[y, x] < 0:
            break
        found.append((float(local[y, x]), y, x))
        local[max(0, y - side_px + 1) : y + side_px, max(0, x - side_px + 1) : x + side_px] = -1
    return found


def _coded(rgb: np.ndarray) -> np.ndarray:
    return linear_to_srgb(np.clip(rgb, 0, 1))
