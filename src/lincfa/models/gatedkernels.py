"""The compiled parts of separable blocks: kernels of 5 x 5 of each channel, the gate after them, and whole blocks.

They are compiled for each number of channels, which the compiler has to know to be fast. All arrays are float32
and contiguous, with channels last. A row is flat: [W C], one cell's channels after another's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numba
import numpy as np
import torch

from lincfa.models import parityproducts
from lincfa.models import products as products_of_matrices
from lincfa.models.gate import PARITIES, least_size
from lincfa.models.products import ROWS

KERNEL = 5
REACH = KERNEL // 2
STRIP = 66
"""Cells side by side, a multiple of ROWS, whose five rows still are in the cache."""
LEAST = np.float32(least_size(torch.float32))

_compiled = numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"}, error_model="numpy")
_inlined = numba.njit(inline="always")


@functools.cache
def block_rows(width: int, products: int, parities: bool = False) -> Callable:
    """(image, first, own, last, out, left, right, start, stop): cells from left to right, rows from start to stop, of a
    separable block's output. image, out: [H, W C]; own [25 2P]: its kernels of each channel, inputs before outputs;
    first, of [C 2P], and last, of [P C]: its 1x1 convolutions, as `products.in_panels` gives them. width: C,
    products: P, so that C and 2P are multiples of COLUMNS. parities: image and out are of four parities, and first and
    last [4, C / 4, P / 2] and [4, P / 4, C / 4], of COLUMNS or more each.

    Strips of rows are computed from the top down, so that what is between the convolutions stays in the cache.
    """
    channels, groups = 2 * products, PARITIES if parities else 1
    multiply = parityproducts.multiply if parities else products_of_matrices.multiply

    @_compiled
    def rows(image, first, own, last, out, left, right, start, stop):
        height, length = image.shape
        strips = -(-(right - left) // STRIP)
        # Of equal width, as the last one takes as long as the others.
        cells = -(-(right - left) // (ROWS * strips)) * ROWS
        seen = cells + 2 * REACH
        taken, mixed = np.empty(seen * width, np.float32), np.empty((KERNEL, seen * channels), np.float32)
        sums, gated = np.empty(cells * channels, np.float32), np.empty(cells * products, np.float32)
        change = np.empty(cells * width, np.float32)
        for x in range(left, right, cells):
            begin, end = x * width, min(right, x + cells) * width
            near, far = max(0, begin - REACH * width), min(length, end + REACH * width)
            at = near - (begin - REACH * width)
            for y in range(start - REACH, stop + REACH):
                taken[:] = 0
                if 0 <= y < height:
                    taken[at : at + far - near] = image[y, near:far]
                line = mixed[y % KERNEL]
                multiply(taken.reshape(seen, width), first, seen, line.reshape(seen, channels))
                if parities:
                    _exchange(line, channels)
                m = y - REACH
                if m >= start:
                    _convolve(mixed, m - REACH, own, channels, sums)
                    _gate(sums, channels, groups, gated)
                    if parities:
                        _exchange(gated, products)
                    multiply(gated.reshape(cells, products), last, cells, change.reshape(cells, width))
                    for c in range(end - begin):
                        out[m, begin + c] = image[m, begin + c] + change[c]

    return rows


@functools.cache
def forward(products: int, parities: bool = False) -> Callable:
    """(features, weight, sums, to): features, sums [N, H, W, 2C], to [N, H, W, C]: each channel through its
    kernel, as if all were zero beyond the edges, and what the gate makes of them. parities: features and what comes out
    are of four parities, sums of the orientations that they make."""
    channels, groups = 2 * products, PARITIES if parities else 1

    @_compiled
    def images(features, weight, sums, to):
        batch, height, width, _ = features.shape
        padded = np.zeros((height + 2 * REACH, (width + 2 * REACH) * channels), np.float32)
        for n in range(batch):
            _pad(features[n].reshape(height, width * channels), channels, parities, padded)
            own, through = sums[n].reshape(height, width * channels), to[n].reshape(height, width * products)
            for y in range(height):
                _convolve(padded, y, weight, channels, own[y])
                _gate(own[y], channels, groups, through[y])
                if parities:
                    _exchange(through[y], products)

    return images


@functools.cache
def backward(products: int, parities: bool = False) -> Callable:
    """(features, weight, sums, gradient, of_features, of_weight): from the gradient of what `forward` gives, shaped
    like it, that of its features, and of_weight [25 2C], to which is added."""
    channels, groups = 2 * products, PARITIES if parities else 1

    @_compiled
    def images(features, weight, sums, gradient, of_features, of_weight):
        batch, height, width, _ = features.shape
        padded = np.zeros((height + 2 * REACH, (width + 2 * REACH) * channels), np.float32)
        of_sums, row = np.zeros_like(padded), np.empty(width * products, np.float32)
        inside = slice(REACH * channels, (REACH + width) * channels)
        turned = weight.reshape(KERNEL * KERNEL, channels)[::-1].copy().reshape(weight.size)
        for n in range(batch):
            _pad(features[n].reshape(height, width * channels), channels, parities, padded)
            own, of_own = sums[n].reshape(height, width * channels), of_features[n].reshape(height, width * channels)
            of_products = gradient[n].reshape(height, width * products)
            for y in range(height):
                row[:] = of_products[y]
                if parities:
                    _exchange(row, products)
                _gate_gradient(own[y], channels, groups, row, of_sums[y + REACH][inside])
            for y in range(height):
                _convolve(of_sums, y, turned, channels, of_own[y])
                if parities:
                    _exchange(of_own[y], channels)
                for dy in range(KERNEL):
                    line = of_weight[dy * KERNEL * channels : (dy + 1) * KERNEL * channels]
                    _add_products(padded[y + dy], of_sums[y + REACH][inside], channels, line)

    return images


@_inlined
def _pad(image, channels, parities, padded):
    start = REACH * channels
    for y in range(image.shape[0]):
        line = padded[y + REACH, start : start + image.shape[1]]
        line[:] = image[y]
        if parities:
            _exchange(line, channels)


@_inlined
def _exchange(row, channels):
    """`parity.exchanged`, in place. row: [W C]."""
    part = channels // PARITIES
    for x in range(len(row) // channels):
        cell = row[x * channels : (x + 1) * channels]
        for i in range(part):
            a, b, c, d = cell[i], cell[part + i], cell[2 * part + i], cell[3 * part + i]
            even, odd = np.float32(0.5) * (a + b), np.float32(0.5) * (a - b)
            other_even, other_odd = np.float32(0.5) * (c + d), np.float32(0.5) * (c - d)
            cell[i], cell[part + i] = even + other_even, odd + other_odd
            cell[2 * part + i], cell[3 * part + i] = even - other_even, odd - other_odd


@_inlined
def _convolve(rows, first, weight, channels, to):
    """rows: [5 or more, (W + 4) 2C], of which five are used, from `first` on and after the last the first again; to:
    [W 2C], W from 4. Four cells at a time, the last ones a second time where W is no multiple."""
    width, line = len(to) // channels, KERNEL * channels
    for start in range(0, width, 4):
        x = min(start, width - 4)
        o = to[x * channels : (x + 4) * channels]
        o[:] = 0
        for j in range(KERNEL):
            cells = rows[(first + j) % len(rows)][x * channels : (x + 8) * channels]
            _add_four(cells, weight[j * line : (j + 1) * line], channels, o)


@_inlined
def _add_four(cells, weight, channels, to):
    """One row of the kernel: cells [8 2C], weight [5 2C]; to [4 2C], to which is added."""
    for c in range(channels):
        i0, i1, i2, i3 = cells[c], cells[channels + c], cells[2 * channels + c], cells[3 * channels + c]
        i4, i5 = cells[4 * channels + c], cells[5 * channels + c]
        i6, i7 = cells[6 * channels + c], cells[7 * channels + c]
        w0, w1, w2 = weight[c], weight[channels + c], weight[2 * channels + c]
        w3, w4 = weight[3 * channels + c], weight[4 * channels + c]
        to[c] += w0 * i0 + w1 * i1 + w2 * i2 + w3 * i3 + w4 * i4
        to[channels + c] += w0 * i1 + w1 * i2 + w2 * i3 + w3 * i4 + w4 * i5
        to[2 * channels + c] += w0 * i2 + w1 * i3 + w2 * i4 + w3 * i5 + w4 * i6
        to[3 * channels + c] += w0 * i3 + w1 * i4 + w2 * i5 + w3 * i6 + w4 * i7


@_inlined
def _gate(row, channels, groups, to):
    half, part = channels // 2, channels // 2 // groups
    for x in range(len(row) // channels):
        sums, products = row[x * channels : (x + 1) * channels], to[x * half : (x + 1) * half]
        size = np.float32(0)
        for c in range(channels):
            size += abs(sums[c])
        scale = np.float32(1) / max(size / np.float32(channels), LEAST)
        for g in range(groups):
            values, gates = sums[2 * g * part : (2 * g + 1) * part], sums[(2 * g + 1) * part : (2 * g + 2) * part]
            for c in range(part):
                products[g * part + c] = values[c] * (gates[c] * scale)


@_inlined
def _gate_gradient(row, channels, groups, gradient, to):
    half, part = channels // 2, channels // 2 // groups
    for x in range(len(row) // channels):
        sums, of_sums = row[x * channels : (x + 1) * channels], to[x * channels : (x + 1) * channels]
        of_products = gradient[x * half : (x + 1) * half]
        size = np.float32(0)
        for c in range(channels):
            size += abs(sums[c])
        size /= np.float32(channels)
        scale = np.float32(1) / max(size, LEAST)
        of_scale = np.float32(0)
        for g in range(groups):
            value, gate = 2 * g * part, (2 * g + 1) * part
            for c in range(part):
                own = of_products[g * part + c]
                of_sums[value + c], of_sums[gate + c] = own * scale * sums[gate + c], own * scale * sums[value + c]
                of_scale += own * sums[value + c] * sums[gate + c]
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
