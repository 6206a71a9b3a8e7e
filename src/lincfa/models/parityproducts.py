"""The compiled products of `lincfa.models.parity`: float32, four parities beside each other, of which libraries would
make a copy each."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numba
import numpy as np

from lincfa.models.gate import PARITIES
from lincfa.models.products import COLUMNS, ROWS, tile

STEP = 96
"""Cells whose channels are in the cache while all their products are made, a multiple of ROWS."""

_compiled = numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"}, error_model="numpy")


@numba.njit(inline="always")
def multiply(rows, weight, count, to):
    """The first `count` of rows [M, 4C] times weight [4, C, D], each parity alone -> to [M, 4D]; M is ROWS or more, C
    and D are COLUMNS or more. All are contiguous float32. Others than the first `count` may change."""
    inputs, outputs = weight.shape[1], weight.shape[2]
    for part in range(PARITIES):
        for panel in range(0, outputs, COLUMNS):
            column = min(panel, outputs - COLUMNS)
            start = part * inputs * outputs + column
            for row in range(0, count, ROWS):
                r = min(row, len(rows) - ROWS)
                first, at = r * PARITIES * inputs + part * inputs, r * PARITIES * outputs + part * outputs + column
                tile(rows, first, PARITIES * inputs, 1, inputs, weight, start, outputs, to, at, PARITIES * outputs)


@_compiled
def forward(features, weight, to):
    """`multiply` of as many rows as there are, some at a time."""
    last = max(0, len(features) - STEP)
    for begin in range(0, len(features), STEP):
        first = min(begin, last)
        multiply(features[first : first + STEP], weight, min(STEP, len(features)), to[first : first + STEP])


@functools.cache
def of_weight(inputs: int, outputs: int) -> Callable:
    """(features, gradient, to): features [M, 4C], gradient [M, 4D] -> what is added to `to` [4, D, C]: each parity's
    gradient, transposed, times its features. inputs: C, outputs: D; COLUMNS or more."""

    @_compiled
    def rows(features, gradient, to):
        taken, made = PARITIES * inputs, PARITIES * outputs
        sums = np.empty((outputs, inputs), np.float32)
        for begin in range(0, len(features), STEP):
            count = min(STEP, len(features) - begin)
            for part in range(PARITIES):
                for line in range(0, outputs, ROWS):
                    d = min(line, outputs - ROWS)
                    first = begin * made + part * outputs + d
                    for panel in range(0, inputs, COLUMNS):
                        column = min(panel, inputs - COLUMNS)
                        start, at = begin * taken + part * inputs + column, d * inputs + column
                        tile(gradient, first, 1, made, count, features, start, taken, sums, at, inputs)
                for d in range(outputs):
                    own, total = sums[d], to[part, d]
                    for c in range(inputs):
                        total[c] += own[c]

    return rows
