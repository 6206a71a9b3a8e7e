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
    for panel in range(len(panels)):
        for row in range(0, count, ROWS):
            _tile(rows, panels[panel], to, min(row, len(rows) - ROWS), panel * COLUMNS)


@intrinsic
def _tile(context, rows, panel, to, row, column):
    """rows [M, K], panel [K 16] -> to [M, N], from a row and a column on."""
    if any((array.dtype, array.layout) != (types.float32, "C") for array in (rows, panel, to)):
        return None
    return types.void(rows, panel, to, row, column), _emit


def _emit(context, builder, signature, args):
    place = context.get_value_type(types.intp)
    vector, lanes = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
    undefined = vector(ir.Undefined)
    arrays = [context.make_array(t)(context, builder, a) for t, a in zip(signature.args[:3], args[:3], strict=True)]
    rows, panel, to = (array.data for array in arrays)
    inputs, outputs = (cgutils.unpack_tuple(builder, array.shape)[1] for array in (arrays[0], arrays[2]))
    below = [builder.add(args[3], place(r)) for r in range(ROWS)]

    def at(array, line, width, column):
        return builder.gep(array, [builder.add(builder.mul(line, width), column)])

    def vectors(start):
        return [builder.bitcast(builder.gep(start, [place(n * LANES)]), vector.as_pointer()) for n in range(VECTORS)]

    sums = [[cgutils.alloca_once_value(builder, vector([0.0] * LANES)) for _ in range(VECTORS)] for _ in below]
    with cgutils.for_range(builder, inputs) as loop:
        weights = [builder.load(w, align=4) for w in vectors(at(panel, loop.index, place(COLUMNS), place(0)))]
        for line, line_sums in zip(below, sums, strict=True):
            sample = builder.insert_element(undefined, builder.load(at(rows, line, inputs, loop.index)), place(0))
            samples = builder.shuffle_vector(sample, undefined, lanes([0] * LANES))
            for total, weight in zip(line_sums, weights, strict=True):
                product = builder.fmul(samples, weight, flags=["contract"])
                builder.store(builder.fadd(builder.load(total), product, flags=["contract"]), total)
    for line, line_sums in zip(below, sums, strict=True):
        for total, part in zip(line_sums, vectors(at(to, line, outputs, args[4])), strict=True):
            builder.store(builder.load(total), part, align=4)
    return context.get_dummy_value()
