"""ColourMeans for inference on the CPU: each row is read once and stays in the cache, where torch's operations take
five times as long."""

from __future__ import annotations

import copy
import functools

import numpy as np
import torch
from torch import nn

from lincfa.models.packed import COLOUR_REACH, LIGHT_REACH, ColourMeans
from lincfa.models.winograd import compiled, in_threads

ROWS = 2 * COLOUR_REACH + 1
_half = np.float32(0.5)
_share = np.float32(1 / (2 * COLOUR_REACH) ** 2)


def with_quick_means(network: nn.Module) -> nn.Module:
    """A copy that gives the same pictures, but for rounding; a network without ColourMeans is given back as it is."""
    if not any(isinstance(part, ColourMeans) for part in network.modules()):
        return network
    quick = copy.deepcopy(network)
    for part in list(quick.modules()):
        if isinstance(getattr(part, "means", None), ColourMeans):
            part.means = QuickMeans()
    return quick


class QuickMeans(nn.Module):
    """As ColourMeans, of float32 on the CPU."""

    def forward(self, coded: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        out = torch.empty(masks.shape)
        for (samples,), of_image, to in zip(coded, masks, out, strict=True):
            mask = of_image.contiguous()
            shares = mask.mean((1, 2)).numpy()
            rows = functools.partial(_means, samples.contiguous().numpy(), mask.numpy(), shares, to.numpy())
            in_threads(rows, len(samples))
        return out


@compiled
def _reflected(n, size):
    return abs(n) if n < size else 2 * size - 2 - n


@compiled
def _means(coded, masks, shares, out, first, last):
    """coded: [H, W], masks: [3, H, W], shares: [3] -> out: [3, H, W], of rows from first to last."""
    height, width = coded.shape
    near, far = LIGHT_REACH, COLOUR_REACH
    sums, counts = np.empty(width + 2 * near, np.float32), np.empty(width + 2 * near, np.float32)
    column = np.empty(width + 2 * far, np.float32)
    light = np.empty((ROWS, width), np.float32)
    colours = np.empty((ROWS, 3, width + 2 * far), np.float32)  # less light; of the last rows, each in its place
    for i in range(last - first + 2 * far):
        y = _reflected(first - far + i, height)
        now, place = light[i % ROWS], colours[i % ROWS]
        now[:] = 0
        r0, r1, r2 = _reflected(y - 2, height), _reflected(y - 1, height), y
        r3, r4 = _reflected(y + 1, height), _reflected(y + 2, height)
        c0, c1, c2, c3, c4 = coded[r0], coded[r1], coded[r2], coded[r3], coded[r4]
        for c in range(3):
            m0, m1, m2, m3, m4 = masks[c, r0], masks[c, r1], masks[c, r2], masks[c, r3], masks[c, r4]
            for x in range(width):
                sums[near + x] = _half * (c0[x] * m0[x] + c4[x] * m4[x]) + c1[x] * m1[x] + c2[x] * m2[x] + c3[x] * m3[x]
                counts[near + x] = _half * (m0[x] + m4[x]) + m1[x] + m2[x] + m3[x]
            _reflect(sums, near)
            _reflect(counts, near)
            own = place[c, far:]
            for x in range(width):
                total = _half * (sums[x] + sums[x + 4]) + sums[x + 1] + sums[x + 2] + sums[x + 3]
                count = _half * (counts[x] + counts[x + 4]) + counts[x + 1] + counts[x + 2] + counts[x + 3]
                own[x] = total / count
                now[x] += shares[c] * own[x]
        for c in range(3):
            own = place[c, far:]
            for x in range(width):
                own[x] -= now[x]
            _reflect(place[c], far)
        if i < 2 * far:
            continue
        then = light[(i - far) % ROWS]
        for c in range(3):
            a, b = colours[(i + 1) % ROWS, c], colours[i % ROWS, c]  # first and last of the rows
            k0, k1, k2, k3 = colours[0, c], colours[1, c], colours[2, c], colours[3, c]
            k4, k5, k6 = colours[4, c], colours[5, c], colours[6, c]
            for x in range(width + 2 * far):
                column[x] = k0[x] + k1[x] + k2[x] + k3[x] + k4[x] + k5[x] + k6[x] - _half * (a[x] + b[x])
            to = out[c, first + i - 2 * far]
            for x in range(width):
                middle = column[x + 1] + column[x + 2] + column[x + 3] + column[x + 4] + column[x + 5]
                to[x] = then[x] + _share * (middle + _half * (column[x] + column[x + 6]))


@compiled
def _reflect(row, reach):
    """Its ends, of `reach` values each, from what is beside them."""
    size = len(row)
    for n in range(1, reach + 1):
        row[reach - n] = row[reach + n]
        row[size - 1 - reach + n] = row[size - 1 - reach - n]
