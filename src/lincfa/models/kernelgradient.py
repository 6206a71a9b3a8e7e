"""The compiled part of `lincfa.models.depthwise`."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"}, error_model="numpy")
def add_products(padded: np.ndarray, gradient: np.ndarray, of_weight: np.ndarray) -> None:
    """of_weight[dy, dx, c] += the sum of padded[n, y + dy, x + dx, c] * gradient[n, y, x, c]: float32, contiguous;
    gradient [N, H, W, C], of_weight [k, k, C], padded [N, H + k - 1, W + k - 1, C]."""
    batch, height, width, channels = gradient.shape
    kernel = of_weight.shape[0]
    for n in range(batch):
        for y in range(height):
            for dy in range(kernel):
                for x in range(width):
                    of_pixel = gradient[n, y, x]
                    for dx in range(kernel):
                        from_pixel, sums = padded[n, y + dy, x + dx], of_weight[dy, dx]
                        for c in range(channels):
                            sums[c] += from_pixel[c] * of_pixel[c]
