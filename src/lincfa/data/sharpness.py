"""How sharp is an image: two scores that rank a dataset."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def sharpness(rgb: np.ndarray) -> tuple[float, float]:
    """(laplacian_variance, sobel_p99) of an image.

    rgb: [H, W, 3] linear, white balanced. Both are taken on its mean over channels, divided by the image's own mean,
    so that exposure does not count: the variance of the 4-neighbour Laplacian, and the 99th percentile of the Sobel
    gradient's length (Sobel scaled to value per pixel).
    """
    grey = rgb.mean(2, dtype=np.float64)
    grey = grey / max(float(grey.mean()), 1e-6)
    gradient = np.hypot(ndimage.sobel(grey, 0), ndimage.sobel(grey, 1)) / 8
    return float(ndimage.laplace(grey).var()), float(np.percentile(gradient, 99))
