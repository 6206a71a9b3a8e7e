"""The compiled parts of `lincfa.models.gated`: kernels of 5 x 5 of each channel, and the gate after them.

They are compiled for a number of channels at a time, which the compiler has to know to be fast. All arrays are float32
and contiguous, with channels last. A row is flat: [W C], one cell's channels after another's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numba
import numpy as np
import torch

from lincfa.models.gate import least_size

KERNEL = 5
REACH = KERNEL // 2
LEAST = np.float32(least_size(torch.float32))

_compiled = numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"}, error_model="numpy")
_inlined = numba.njit(inline="always")


@functools.cache
def gated_row(products: int) -> Callable:
    """(r0, r1, r2, r3, r4, weight, sums, to): of five rows with REACH more cells at both ends, [(W + 4) 2C] each, and
    weight [25 2C], the row between: sums [W 2C], and what the gate makes of them, to [W C]. products: C."""
    channels = 2 * products

    @_compiled
    def row(r0, r1, r2, r3, r4, weight, sums, to):
        _convolve(r0, r1, r2, r3, r4, weight, channels, sums)
        _gate(sums, channels, to)

    return row


@functools.cache
def forward(products: int) -> Callable:
    """(features, weight, sums, to): features, sums [N, H, W, 2C], to [N, H, W, C]; as `gated_row`, zero beyond the
    edges."""
    channels = 2 * products

    @_compiled
    def images(features, weight, sums, to):
        batch, height, width, _ = features.shape
        padded = np.zeros((height + 2 * REACH, (width + 2 * REACH) * channels), np.float32)
        for n in range(batch):
            _pad(features[n].reshape(height, width * channels), channels, padded)
            own, through = sums[n].reshape(height, width * channels), to[n].reshape(height, width * products)
            for y in range(height):
                r0, r1, r2, r3, r4 = padded[y], padded[y + 1], padded[y + 2], padded[y + 3], padded[y + 4]
                _convolve(r0, r1, r2, r3, r4, weight, channels, own[y])
                _gate(own[y], channels, through[y])

    return images


@functools.cache
def backward(products: int) -> Callable:
    """(features, weight, sums, gradient, of_features, of_weight): from the gradient of what `forward` gives, shaped
    like it, that of its features, and of_weight [25 2C], to which is added."""
    channels = 2 * products

    @_compiled
    def images(features, weight, sums, gradient, of_features, of_weight):
        batch, height, width, _ = features.shape
        padded = np.zeros((height + 2 * REACH, (width + 2 * REACH) * channels), np.float32)
        of_sums = np.zeros_like(padded)
        inside = slice(REACH * channels, (REACH + width) * channels)
        turned = weight.reshape(KERNEL * KERNEL, channels)[::-1].copy().reshape(weight.size)
        for n in range(batch):
            _pad(features[n].reshape(height, width * channels), channels, padded)
            own, of_own = sums[n].reshape(height, width * channels), of_features[n].reshape(height, width * channels)
            of_products = gradient[n].reshape(height, width * products)
            for y in range(height):
                _gate_gradient(own[y], channels, of_products[y], of_sums[y + REACH][inside])
            for y in range(height):
                r0, r1, r2, r3, r4 = of_sums[y], of_sums[y + 1], of_sums[y + 2], of_sums[y + 3], of_sums[y + 4]
                _convolve(r0, r1, r2, r3, r4, turned, channels, of_own[y])
                for dy in range(KERNEL):
                    line = of_weight[dy * KERNEL * channels : (dy + 1) * KERNEL * channels]
                    _add_products(padded[y + dy], r2[inside], channels, line)

    return images


@_inlined
def _pad(image, channels, padded):
    start = REACH * channels
    for y in range(image.shape[0]):
        padded[y + REACH, start : start + image.shape[1]] = image[y]


@_inlined
def _convolve(r0, r1, r2, r3, r4, weight, channels, to):
    for x in range(len(to) // channels):
        span = slice(x * channels, (x + KERNEL) * channels)
        b0, b1, b2, b3, b4 = r0[span], r1[span], r2[span], r3[span], r4[span]
        sums = to[x * channels : (x + 1) * channels]
        for c in range(channels):
            total = np.float32(0)
            for k in range(KERNEL):
                i = k * channels + c
                total += weight[i] * b0[i] + weight[5 * channels + i] * b1[i] + weight[10 * channels + i] * b2[i]
                total += weight[15 * channels + i] * b3[i] + weight[20 * channels + i] * b4[i]
            sums[c] = total


@_inlined
def _gate(row, channels, to):
    half = channels // 2
    for x in range(len(row) // channels):
        sums, products = row[x * channels : (x + 1) * channels], to[x * half : (x + 1) * half]
        size = np.float32(0)
        for c in range(channels):
            size += abs(sums[c])
        scale = np.float32(1) / max(size / np.float32(channels), LEAST)
        for c in range(half):
            products[c] = sums[c] * (sums[half + c] * scale)


@_inlined
def _gate_gradient(row, channels, gradient, to):
    half = channels // 2
    for x in range(len(row) // channels):
        sums, of_sums = row[x * channels : (x + 1) * channels], to[x * channels : (x + 1) * channels]
        of_products = gradient[x * half : (x + 1) * half]
        size = np.float32(0)
        for c in range(channels):
            size += abs(sums[c])
        size /= np.float32(channels)
        scale = np.float32(1) / max(size, LEAST)
        of_scale = np.float32(0)
        for c in range(half):
            scaled = of_products[c] * scale
            of_sums[c], of_sums[half + c] = scaled * sums[half + c], scaled * sums[c]
            of_scale += of_products[c] * sums[c] * sums[half + c]
        of_size = -of_scale * scale * scale / np.float32(channels) if size > LEAST else np.float32(0)
        for c in range(channels):
            of_sums[c] += of_size * np.sign(sums[c])


@_inlined
def _add_products(row, gradient, channels, of_weight):
    """of_weight: [5 2C], of one row of the kernel. row: [(W + 4) 2C]; gradient: [W 2C]."""
    width = len(gradient) // channels
    for x in range(0, width - 3, 4):
        f, g = row[x * channels : (x + 8) * channels], gradient[x * channels : (x + 4) * channels]
        for c in range(channels):
            g0, g1, g2, g3 = g[c], g[channels + c], g[2 * channels + c], g[3 * channels + c]
            for k in range(KERNEL):
                i = k * channels + c
                of_weight[i] += f[i] * g0 + f[i + channels] * g1 + f[i + 2 * channels] * g2 + f[i + 3 * channels] * g3
    for x in range(width // 4 * 4, width):
        f, g = row[x * channels : (x + KERNEL) * channels], gradient[x * channels : (x + 1) * channels]
        for c in range(channels):
            for k in range(KERNEL):
                of_weight[k * channels + c] += f[k * channels + c] * g[c]
