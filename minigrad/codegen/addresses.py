"""Where an access of a nest lies in memory, and under which conditions it happens.

In: indices per dimension of a PARAM or of a scratch array. Out: a flat address, and gates; of a vector's lanes what is
the same for all and how they differ. Of the scratch arrays of a kernel: their dimensions and places.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from operator import and_
from typing import NamedTuple

from ..dtype import DType
from ..uops import Ops, UOp
from ..uops.uop import TRUE, add_scaled, bounds, index_const, linear
from . import nest
from .opts import flatten


@dataclass(frozen=True)
class Scratch:
    """A scratch array: its dimensions as stored (outermost first) and its place in the workspace."""

    dims: tuple[int, ...]
    offset: int   # bytes
    dtype: DType


class Gate(NamedTuple):
    """A condition for all lanes; where not all are valid, the number of the lane after the last valid one, and that of
    the first.
    """
    condition: UOp
    stop: UOp | None = None
    first: UOp | None = None


def address(memory: UOp, indices: tuple[UOp, ...], scratch: Mapping[UOp, Scratch]) -> tuple[UOp, list[UOp]]:
    """(flat address, gates): a gate for every index that is not proved to be inside of its dimension."""
    gates = [condition for i, n in zip(indices, memory.arg.shape) for condition in (i.ge(0), i.lt(n))
             if condition is not TRUE]
    if memory.op is Ops.SCRATCH:
        return _scratch_address(memory, indices, scratch[memory].dims), gates
    return flatten(indices, memory.arg.shape)[0], gates


def at_lane(node: UOp, lane: UOp, i: int) -> UOp:
    return nest.substitute(node, {lane: index_const(i)})


def stride(flat: UOp, lane: UOp) -> tuple[int | None, UOp]:
    """(elements between lanes or None if not constant, address of lane 0)."""
    if lane not in nest.free(flat):
        return 0, flat
    step = linear(flat)[1].get(lane, 0)
    rest = add_scaled(flat, lane, -step)
    return (None, flat) if lane in nest.free(rest) else (step, rest)


def lane_gate(gates: Iterable[UOp], lane: UOp) -> Gate | None:
    """Gates as a condition for all lanes and what bounds the valid ones; None if they are of another form."""
    condition, stop, first = TRUE, None, None
    for g in gates:
        if lane not in nest.free(g):
            condition = condition & g
            continue
        step = linear(g.src[0])[1].get(lane) if g.op is Ops.CMPLT else None
        rest = add_scaled(g.src[0], lane, -step) if step in (1, -1) else g      # rest + step * lane < 0
        if lane in nest.free(rest):
            return None
        if step == 1:
            stop = -rest if stop is None else stop.minimum(-rest)
        else:
            first = rest + 1 if first is None else first.maximum(rest + 1)
    return Gate(condition, stop, first)


def conjoin(gates: Iterable[UOp]) -> UOp:
    return reduce(and_, gates, TRUE)


def lay_out_scratch(order: Sequence[UOp]) -> tuple[dict[UOp, Scratch], int]:
    """Dimensions from the largest index of any access; arrays one after the other, 64-byte aligned, with room for a
    masked vector.
    """
    largest: dict[UOp, list[int]] = {}
    for u in order:
        if u.op in (Ops.LOAD, Ops.STORE):
            memory, indices = nest.access(u)
            if memory.op is Ops.SCRATCH:
                sizes = largest.setdefault(memory, [1] * len(indices))
                for axis, i in enumerate(indices):
                    sizes[axis] = max(sizes[axis], bounds(i)[1] + 1)
    arrays: dict[UOp, Scratch] = {}
    offset = 0
    for memory, sizes in largest.items():
        dims = memory.arg.shape or tuple(sizes)
        size = memory.dtype.itemsize * stored_size(memory, dims)
        arrays[memory] = Scratch(dims, offset, memory.dtype)
        offset += (size + 63) // 64 * 64 + 64
    return arrays, offset


def _layout(memory: UOp, dims: tuple[int, ...]) -> tuple[tuple[int, int, int], ...]:
    return memory.arg.layout or tuple((axis, 1, 0) for axis in range(len(dims)))


def stored_dims(memory: UOp, dims: tuple[int, ...]) -> list[int]:
    sizes = [modulus or -(-dims[axis] // divisor) for axis, divisor, modulus in _layout(memory, dims)]
    return [*sizes[:-1], sizes[-1] + memory.arg.pad] if memory.arg.pad else sizes


def stage_size(memory: UOp, dims: tuple[int, ...]) -> int:
    """Elements of a scratch array that hold one fill: of several, each begins at a multiple of 16 bytes."""
    size: int = prod(stored_dims(memory, dims))
    return size if memory.arg.stages == 1 else -(-size // 16) * 16


def stored_size(memory: UOp, dims: tuple[int, ...]) -> int:
    """Elements of a scratch array."""
    return stage_size(memory, dims) * int(memory.arg.stages)


def _scratch_address(memory: UOp, indices: tuple[UOp, ...], dims: tuple[int, ...]) -> UOp:
    address = index_const(0)
    for (axis, divisor, modulus), size in zip(_layout(memory, dims), stored_dims(memory, dims)):
        part = indices[axis] // divisor
        address = address * size + (part % modulus if modulus else part)
    return address
