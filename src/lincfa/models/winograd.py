"""3x3 convolutions of a trained network with a quarter of the multiplications, for processors without bfloat16.

Four by four outputs are made of six by six inputs at once, F(4x4, 3x3): both are transformed by sums, and between them
36 products of matrices stand for the convolution. What differs is rounding, in released networks' pictures by up to
1e-5 of white. As a tile's inputs share it, parts of a frame differ from the whole by as much.
Source: Lavin and Gray 2016, arXiv:1509.09308.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numba
import numpy as np
import torch
from torch import nn

from lincfa.models.gate import Gate, least_size
from lincfa.models.packed import Region, Residual, grown
from lincfa.models.products import COLUMNS, ROWS, in_panels, multiply
from lincfa.models.threads import in_bands

OUT, IN = 4, 6
"""Sides of a tile: of outputs, and of the inputs that they are made of."""
LEAST_CHANNELS, MOST_CHANNELS = 13, 192
"""With fewer, as in Bayer's first and last convolutions, a frame takes hardly less time, and their rounding made seams.
"""
STRIDE = 208
"""Of a tile's 36 values in the kernels' own memory: MOST_CHANNELS or more, known to the compiler, and no multiple of
64, so that they fall on different lines of the cache."""
CHUNK = 4 * ROWS
"""So many tiles are transformed before they are multiplied: they still are in the cache."""
KERNEL = (
    torch.tensor([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], dtype=torch.float64) / 24
)
"""What three coefficients in line become."""
WRITE, ADD, GATE = range(3)
"""What becomes of a convolution's outputs: they are written, added to what is there, or go through `Gate`."""

_compiled = numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"}, error_model="numpy")
_inlined = numba.njit(inline="always")
_2, _4, _5, _8 = (np.float32(n) for n in (2, 4, 5, 8))
_LEAST = least_size(torch.float32)


def is_gated_block(part: nn.Module) -> bool:
    return isinstance(part, Residual) and isinstance(part[1], Gate) and fits(part[0]) and fits(part[2])


def fits(part: nn.Module) -> bool:
    return (
        isinstance(part, nn.Conv2d)
        and (part.kernel_size, part.stride, part.padding, part.dilation) == ((3, 3), (1, 1), (1, 1), (1, 1))
        and (part.groups, part.padding_mode, part.bias) == (1, "zeros", None)
        and min(part.in_channels, part.out_channels) >= LEAST_CHANNELS
        and max(part.in_channels, part.out_channels) <= MOST_CHANNELS
    )


class Convolution(nn.Module):
    """As a convolution of 3 x 3 without a bias: [B, C, H, W] -> [B, O, H, W], float32, channels last."""

    def __init__(self, convolution: nn.Conv2d):
        super().__init__()
        self.outputs = convolution.out_channels
        self.register_buffer("kernel", transformed(convolution.weight))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        out = _empty(features, self.outputs)
        convolve(features, self.kernel, out, WRITE, in_tiles(None, features.shape[2:]))
        return out


class GatedBlock(nn.Module):
    """As a packed network's block with a gate; its input becomes its output, within region and a few cells more."""

    reach = 2

    def __init__(self, block: Residual):
        super().__init__()
        self.register_buffer("first", transformed(block[0].weight))
        self.register_buffer("last", transformed(block[2].weight))
        self.products = block[2].in_channels

    def forward(self, features: torch.Tensor, region: Region = None) -> torch.Tensor:
        features = features.contiguous(memory_format=torch.channels_last)
        products = _empty(features, self.products)
        last = in_tiles(region, features.shape[2:])
        convolve(features, self.first, products, GATE, in_tiles(grown(last, 1), features.shape[2:]))
        convolve(products, self.last, features, ADD, last)
        return features


def transformed(kernel: torch.Tensor) -> torch.Tensor:
    """[O, C, 3, 3] -> [36, O / 16, C 16]: a kernel's part in the 36 products."""
    parts = torch.einsum("iy,ocyx,jx->ijco", KERNEL, kernel.detach().double().cpu(), KERNEL)
    return in_panels(parts.flatten(0, 1).float())


def in_tiles(region: Region, size: Sequence[int]) -> tuple[slice, slice]:
    """What the tiles hold that a region of a picture of that size is in; the last may end beyond the picture."""
    spans = [part.indices(n) for part, n in zip(region or (slice(None), slice(None)), size, strict=True)]
    return tuple(slice(start, start + OUT * -(-(stop - start) // OUT)) for start, stop, _ in spans)


def convolve(
    features: torch.Tensor, kernel: torch.Tensor, out: torch.Tensor, finish: int, region: tuple[slice, slice]
) -> None:
    """features: [B, C, H, W]; out: [B, O, H, W], or half of O with GATE, channels last. kernel: of `transformed`.
    region: of the output, what is made (`in_tiles`)."""
    features = features.contiguous(memory_format=torch.channels_last)
    down, across = ((side.stop - side.start) // OUT for side in region)
    channels, outputs = features.shape[1], out.shape[1] * (2 if finish == GATE else 1)
    grid = (region[0].start, region[1].start, across)
    for image, to in zip(features, out, strict=True):
        x, y = (plane.detach().permute(1, 2, 0).flatten(1).numpy() for plane in (image, to))  # no copies
        in_bands(down * across, partial(_band, x, kernel.numpy(), y, finish, channels, outputs, *grid))


def _empty(like: torch.Tensor, channels: int) -> torch.Tensor:
    batch, _, height, width = like.shape
    return torch.empty(batch, channels, height, width, memory_format=torch.channels_last)


@_inlined
def _six(d0, d1, d2, d3, d4, d5):
    """What six inputs in line become."""
    a, b = d4 - _4 * d2, d3 - _4 * d1
    e, f = d4 - d2, _2 * (d3 - d1)
    return _4 * d0 - _5 * d2 + d4, a + b, a - b, e + f, e - f, _4 * d1 - _5 * d3 + d5


@_inlined
def _four(m0, m1, m2, m3, m4, m5):
    """The four outputs in line that six products make."""
    s, d, t, u = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    return m0 + s + t, d + _2 * u, s + _4 * t, d + _8 * u + m5


@_compiled
def _band(x, kernel, y, finish, channels, outputs, up, before, across, first, last):
    """Tiles from first to last of a grid, in reading order. x: [H, W C], kernel: of `transformed` -> y: [H, W O], or
    half of O with GATE. up, before, across: top, left and the tiles of a row."""
    taken = np.zeros((IN * IN, CHUNK, channels), np.float32)
    made = np.empty((IN * IN, CHUNK, kernel.shape[1] * COLUMNS), np.float32)
    for tile in range(first, last, CHUNK):
        tiles = min(CHUNK, last - tile)
        _take(x, up, before, across, tile, tiles, taken)
        for k in range(IN * IN):
            multiply(taken[k], kernel[k], tiles, made[k])
        _put(made, up, before, across, tile, tiles, y, outputs, finish)


@_compiled
def _take(x, up, before, across, first, tiles, taken):
    """x: [H, W C] -> taken: [36, tiles or more, C], of the tiles from `first` on, of the grid."""
    height, length = x.shape
    channels = taken.shape[2]
    values = np.empty(IN * IN * STRIDE, np.float32)
    edge = np.empty((IN, IN * channels), np.float32)
    for tile in range(tiles):
        top = up + OUT * ((first + tile) // across) - 1
        left = (before + OUT * ((first + tile) % across) - 1) * channels
        right = left + IN * channels
        if top >= 0 and left >= 0 and top + IN <= height and right <= length:
            r0, r1, r2 = x[top, left:right], x[top + 1, left:right], x[top + 2, left:right]
            r3, r4, r5 = x[top + 3, left:right], x[top + 4, left:right], x[top + 5, left:right]
        else:
            edge[:] = 0
            inside, beyond = max(left, 0), min(right, length)
            for i in range(max(0, -top), min(IN, height - top)):
                edge[i, inside - left : beyond - left] = x[top + i, inside:beyond]
            r0, r1, r2, r3, r4, r5 = edge[0], edge[1], edge[2], edge[3], edge[4], edge[5]
        for j in range(IN):
            span = slice(j * channels, (j + 1) * channels)
            c0, c1, c2, c3, c4, c5 = r0[span], r1[span], r2[span], r3[span], r4[span], r5[span]
            column = values[j * STRIDE :]
            for c in range(channels):
                v0, v1, v2, v3, v4, v5 = _six(c0[c], c1[c], c2[c], c3[c], c4[c], c5[c])
                column[c], column[c + 6 * STRIDE], column[c + 12 * STRIDE] = v0, v1, v2
                column[c + 18 * STRIDE], column[c + 24 * STRIDE], column[c + 30 * STRIDE] = v3, v4, v5
        for i in range(IN):
            row = values[i * IN * STRIDE :]
            for c in range(channels):
                d0, d1, d2 = row[c], row[c + STRIDE], row[c + 2 * STRIDE]
                d3, d4, d5 = row[c + 3 * STRIDE], row[c + 4 * STRIDE], row[c + 5 * STRIDE]
                v0, v1, v2, v3, v4, v5 = _six(d0, d1, d2, d3, d4, d5)
                row[c], row[c + STRIDE], row[c + 2 * STRIDE] = v0, v1, v2
                row[c + 3 * STRIDE], row[c + 4 * STRIDE], row[c + 5 * STRIDE] = v3, v4, v5
        for k in range(IN * IN):
            _copy(values[k * STRIDE :], taken[k, tile])


@_inlined
def _copy(values, to):
    for c in range(len(to)):
        to[c] = values[c]


@_compiled
def _put(made, up, before, across, first, tiles, y, outputs, finish):
    """made: [36, tiles or more, O or more] -> y: [H, W O], or half of O with GATE."""
    n = outputs // 2 if finish == GATE else outputs
    height, width = y.shape[0], y.shape[1] // n
    values = np.empty(IN * IN * STRIDE, np.float32)
    for tile in range(tiles):
        for j in range(IN):
            m0, m1, m2 = made[j, tile], made[j + 6, tile], made[j + 12, tile]
            m3, m4, m5 = made[j + 18, tile], made[j + 24, tile], made[j + 30, tile]
            column = values[j * STRIDE :]
            for c in range(outputs):
                v0, v1, v2, v3 = _four(m0[c], m1[c], m2[c], m3[c], m4[c], m5[c])
                column[c], column[c + 6 * STRIDE] = v0, v1
                column[c + 12 * STRIDE], column[c + 18 * STRIDE] = v2, v3
        for i in range(OUT):
            row = values[i * IN * STRIDE :]
            for c in range(outputs):
                m0, m1, m2 = row[c], row[c + STRIDE], row[c + 2 * STRIDE]
                m3, m4, m5 = row[c + 3 * STRIDE], row[c + 4 * STRIDE], row[c + 5 * STRIDE]
                v0, v1, v2, v3 = _four(m0, m1, m2, m3, m4, m5)
                row[c], row[c + STRIDE], row[c + 2 * STRIDE], row[c + 3 * STRIDE] = v0, v1, v2, v3
        top, left = up + OUT * ((first + tile) // across), before + OUT * ((first + tile) % across)
        for i in range(min(OUT, height - top)):
            for j in range(min(OUT, width - left)):
                result = values[(i * IN + j) * STRIDE :]
                to = y[top + i, (left + j) * n : (left + j + 1) * n]
                if finish == WRITE:
                    _copy(result, to)
                elif finish == ADD:
                    for c in range(n):
                        to[c] += result[c]
                else:
                    size = np.float32(0)
                    for c in range(outputs):
                        size += abs(result[c])
                    scale = np.float32(1) / max(size / np.float32(outputs), np.float32(_LEAST))
                    gates = result[n:]
                    for c in range(n):
                        to[c] = result[c] * (gates[c] * scale)
