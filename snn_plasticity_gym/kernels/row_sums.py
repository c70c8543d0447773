"""Weighted sums of some rows of a matrix, kept in vector registers until they are needed no more.

numba's loops over short rows test before each whether arrays overlap, and store sums after each few rows. This is
written in the compiler's own instructions instead: vectors of 16 numbers, which every processor splits as it can.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

BLOCK = 32  # columns of a matrix
LANES = 16  # numbers of a vector
EVERY = 2  # rows are taken two at a time, with sums of their own, so that the next does not wait for the one before

_FLOAT, _INDEX = ir.FloatType(), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_FUSED = ("contract",)  # multiplications may be fused with additions


@intrinsic
def rectified_sum(
    context: Any, matrix: Any, bias: Any, last: Any, names: Any, values: Any, number: Any
) -> Any:  # pragma: no cover - runs in the compiler
    """Return last . ReLU(bias + sum of values[m] matrix[names[m]]), float32, over m below `number`, which is even.

    Args:
        context: Of the compiler.
        matrix: (H, BLOCK) float32, like all others without gaps in memory.
        bias: (BLOCK,) float32.
        last: (BLOCK,) float32.
        names: Rows, int64 (at least `number`,).
        values: float32 (at least `number`,).
        number: How many.
    """
    return types.float32(matrix, bias, last, names, values, types.int64), _rectified_sum


def _rectified_sum(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Build the instructions of `rectified_sum`."""
    *arrays, number = arguments
    matrix, bias, last, names, values = (
        context.make_array(kind)(context, builder, array).data
        for kind, array in zip(signature.args[:-1], arrays, strict=True)
    )
    begin, loop, end = builder.block, builder.append_basic_block("rows"), builder.append_basic_block("sums")
    parts, zero = range(BLOCK // LANES), ir.Constant(_VECTOR, [0.0] * LANES)
    starts = [_load(builder, bias, part) for part in parts] + [zero] * (EVERY - 1) * len(parts)
    builder.cbranch(builder.icmp_signed(">", number, _INDEX(0)), loop, end)
    with builder.goto_block(loop):
        at = builder.phi(_INDEX)
        sums = [builder.phi(_VECTOR) for _ in starts]
        moved = []
        for k, total in enumerate(sums):
            place = builder.add(at, _INDEX(k // len(parts)))
            value = builder.load(builder.gep(values, [place]))
            name = builder.load(builder.gep(names, [place]))
            row = _load(builder, builder.gep(matrix, [builder.mul(name, _INDEX(BLOCK))]), k % len(parts))
            product = builder.fmul(_spread(builder, value), row, flags=_FUSED)
            moved.append(builder.fadd(total, product, flags=_FUSED))
        following = builder.add(at, _INDEX(EVERY))
        builder.cbranch(builder.icmp_signed("<", following, number), loop, end)
        last_of_loop = builder.block
        for phi, first, then in zip([at, *sums], [_INDEX(0), *starts], [following, *moved], strict=True):
            phi.add_incoming(first, begin)
            phi.add_incoming(then, last_of_loop)
    builder.position_at_end(end)
    totals = []
    for first, then in zip(starts, moved, strict=True):
        phi = builder.phi(_VECTOR)
        phi.add_incoming(first, begin)
        phi.add_incoming(then, last_of_loop)
        totals.append(phi)
    weighted = None
    for part in parts:
        total = totals[part]
        for other in totals[part + len(parts) :: len(parts)]:
            total = builder.fadd(total, other)
        active = builder.fcmp_ordered(">", total, zero)
        product = builder.fmul(_load(builder, last, part), builder.select(active, total, zero))
        weighted = product if weighted is None else builder.fadd(weighted, product)
    return _add_lanes(builder, weighted)


def _load(builder: Any, pointer: Any, part: int) -> Any:
    """Load the vector at the place of a part of a row."""
    there = builder.gep(pointer, [_INDEX(part * LANES)])
    return builder.load(builder.bitcast(there, _VECTOR.as_pointer()), align=4)


def _spread(builder: Any, value: Any) -> Any:
    """Return a vector of equal numbers."""
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(builder.insert_element(undefined, value, ir.IntType(32)(0)), undefined, lanes)


def _add_lanes(builder: Any, vector: Any) -> Any:
    """Add up the numbers of a vector, halves first."""
    undefined, width = ir.Constant(_VECTOR, ir.Undefined), LANES
    while width > 1:
        width //= 2
        order = [lane + width if lane < width else 0 for lane in range(LANES)]
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), order)
        vector = builder.fadd(vector, builder.shuffle_vector(vector, undefined, lanes))
    return builder.extract_element(vector, ir.IntType(32)(0))
