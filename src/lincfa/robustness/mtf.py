"""Sharpness of a slanted edge."""

from __future__ import annotations

import numpy as np

OVERSAMPLING = 4


def mtf50(plane: np.ndarray, across_px: np.ndarray, reach_px: float = 24.0) -> float:
    """The spatial frequency, in cycles per px, at which the contrast of an edge has fallen to half; nan if it does not.

    plane: [H, W] linear, of an edge a few degrees from an axis. across_px: [H, W] signed distance of each pixel's
    middle from the edge; distances up to reach_px are used.
    Pixels are sorted by distance into bins of a quarter pixel (the edge spread function), whose difference, under a
    Hamming window, is transformed. The low-pass of bins and difference, sinc(f / 4) each, is divided out.
    Source: ISO 12233:2017, annex D, with the known place of the edge instead of a fitted one.
    Raises ValueError when a bin is empty: the edge is not slanted, or the plane too small.
    """
    bins = np.floor(across_px * OVERSAMPLING).astype(np.intp).ravel()
    half = int(reach_px * OVERSAMPLING)
    near = (bins >= -half) & (bins < half)
    count = np.bincount(bins[near] + half, minlength=2 * half)
    if not count.all():
        raise ValueError(f"{plane.shape} pixels leave bins of {1 / OVERSAMPLING:g} px across the edge empty")
    spread = np.bincount(bins[near] + half, plane.ravel()[near], 2 * half) / count
    line = np.diff(spread) * np.hamming(2 * half - 1)
    padded = 64 * half  # fine enough a grid for the crossing
    frequency = np.fft.rfftfreq(padded, 1 / OVERSAMPLING)
    contrast = np.abs(np.fft.rfft(line, padded)) / np.sinc(frequency / OVERSAMPLING) ** 2
    contrast = contrast[frequency <= 1] / contrast[0]
    below = np.flatnonzero(contrast < 0.5)
    if not len(below):
        return float("nan")
    last = below[0] - 1
    step = (contrast[last] - 0.5) / (contrast[last] - contrast[last + 1])
    return float((last + step) * frequency[1])
