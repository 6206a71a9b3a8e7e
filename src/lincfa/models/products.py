"""Products of matrices that are in the cache, compiled: float32, as fast at a few rows as libraries are at hundreds.

Six rows and sixteen columns of a product are summed in the processor's registers. The instructions are given as LLVM's,
as numba does not find them itself.
"""

from __future__ import annotations

import numba
import torch
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from torch.nn import functional as F

ROWS, LANES, VECTORS = 6, 8, 2
"""Of a product at a time: rows, columns of a register and registers of a row, so that all fit in sixteen registers."""
COLUMNS = LANES * VECTORS


def in_panels(weight: torch.Tensor) -> torch.Tensor:
    """[..., K, N] -> [..., N / 16, K 16]: as `multiply` reads it, in columns of sixteen; added ones are 0."""
    padded = F.pad(weight, (0, -weight.shape[-1] % COLUMNS))
    return padded.unflatten(-1, (-1, COLUMNS)).transpose(-3, -2).flatten(-2).contiguous()


@numba.njit(inline="always")
def multiply(rows, panels, count, to):
    """The first `count` of rows [M, K] times what panels [N / 16, K 16] were made of -> to [M, N]; M is 6 or more.
    All are contiguous float32, which the compiler asks for. Others than the first `count` may change."""
    inputs, outputs = rows.shape[1], to.shape[1]
    for panel in range(len(panels)):
        for row in range(0, count, ROWS):
            first = min(row, len(rows) - ROWS)
            at = first * outputs + panel * COLUMNS
            tile(rows, first * inputs, inputs, 1, inputs, panels[panel], 0, COLUMNS, to, at, outputs)


@intrinsic
def tile(context, rows, first, line_step, step, count, panel, start, panel_step, to, at, to_step):
    """Six rows and sixteen columns of a product, of arrays as they lie in memory, contiguous float32.

    Number k of count is rows[first + r line_step + k step] in row r and panel[start + k panel_step + c] in column c,
    and the sum of their products goes to[at + r to_step + c]. Nothing checks that this lies in the arrays.
    """
    if any((array.dtype, array.layout) != (types.float32, "C") for array in (rows, panel, to)):
        return None
    numbers = (types.intp,)
    return types.void(rows, *numbers * 4, panel, *numbers * 2, to, *numbers * 2), _emit


def _emit(context, builder, signature, args):
    place = context.get_value_type(types.intp)
    vector, lanes = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
    undefined = vector(ir.Undefined)
    rows, panel, to = (context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 5, 8))
    first, line_step, step, count = args[1:5]
    start, panel_step = args[6:8]
    at, to_step = args[9:11]

    def lines(of, begin, apart):
        return [builder.gep(of, [builder.add(begin, builder.mul(place(r), apart))]) for r in range(ROWS)]

    def vectors(of):
        return [builder.bitcast(builder.gep(of, [place(n * LANES)]), vector.as_pointer()) for n in range(VECTORS)]

    below = lines(rows, first, line_step)
    sums = [[cgutils.alloca_once_value(builder, vector([0.0] * LANES)) for _ in range(VECTORS)] for _ in below]
    with cgutils.for_range(builder, count) as loop:
        place_in_panel = builder.add(start, builder.mul(loop.index, panel_step))
        weights = [builder.load(w, align=4) for w in vectors(builder.gep(panel, [place_in_panel]))]
        along = builder.mul(loop.index, step)
        for line, line_sums in zip(below, sums, strict=True):
            sample = builder.insert_element(undefined, builder.load(builder.gep(line, [along])), place(0))
            samples = builder.shuffle_vector(sample, undefined, lanes([0] * LANES))
            for total, weight in zip(line_sums, weights, strict=True):
                product = builder.fmul(samples, weight, flags=["contract"])
                builder.store(builder.fadd(builder.load(total), product, flags=["contract"]), total)
    for line, line_sums in zip(lines(to, at, to_step), sums, strict=True):
        for total, part in zip(line_sums, vectors(line), strict=True):
            builder.store(builder.load(total), part, align=4)
    return context.get_dummy_value()
