"""What a candidate must compute: inputs for a kernel, what the interpreter makes of them, and how far off is too far.

The interpreter runs the kernel's AST as it is, without loops and opts. Inputs have both signs, and are positive in a
second trial, where roots and logarithms are numbers; variables are tried at their least, largest and a middle value;
indices point at both ends of a table and outside of it.
"""
from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dtype import DType, dtypes, round_bfloat16, widen_bfloat16
from ..printer import walk
from ..runtime.numpy import evaluate_kernel
from ..uops import Ops, UOp, toposort

Array = np.ndarray[Any, Any]
PERIOD = 65521                  # random values, repeated: a prime, so that rows differ
EPSILON = {dtypes.float64: 2.0**-52, dtypes.float32: 2.0**-23, dtypes.float16: 2.0**-10, dtypes.bfloat16: 2.0**-7}
BLOCK = 1 << 16                 # elements that are compared at once
ROUNDINGS = 16                  # that an element may go through besides those of its sums


@dataclass(frozen=True)
class Trial:
    """Values of the variables, and what inputs are made of."""

    variables: Mapping[str, int]
    positive: bool


def params_of(ast: UOp) -> list[UOp]:
    return sorted((u for u in toposort(ast) if u.op is Ops.PARAM), key=lambda u: int(u.arg.slot))


def trials_of(ast: UOp) -> list[Trial]:
    """At most three; the first has the values of variables that a kernel is timed with."""
    ranges = {u.arg.name: (u.arg.low, u.arg.high) for u in walk(ast) if u.op is Ops.VARIABLE}
    middle = Trial({name: (low + high) // 2 for name, (low, high) in ranges.items()}, positive=False)
    if not ranges:
        return [middle, Trial({}, positive=True)]
    return [middle, *(Trial({name: ends[end] for name, ends in ranges.items()}, positive=end == 0) for end in (0, 1))]


def contents(ast: UOp, positive: bool) -> list[Array]:
    """An array for each slot, what is only written included: a candidate has to leave what it must not write."""
    tables = [u.src[0].shape[0] for u in toposort(ast) if u.op is Ops.GATHER] + \
        [u.src[0].shape[0] for u in ast.src if len(u.src) > 2]
    limit = min((n if isinstance(n, int) else n.vmax for n in tables), default=9)
    rng = np.random.default_rng(0)
    return [np.resize(_values(rng, param.dtype, limit, positive), param.arg.shape) for param in params_of(ast)]


def _values(rng: np.random.Generator, dtype: DType, limit: int, positive: bool) -> Array:
    if dtype.is_float:
        values = rng.uniform(0.5, 1.5, PERIOD) if positive else rng.standard_normal(PERIOD)
        return round_bfloat16(values.astype(np.float32)) if dtype is dtypes.bfloat16 else values.astype(dtype.np)
    if dtype is dtypes.bool:
        return rng.integers(0, 2, PERIOD).astype(np.bool_)
    low, high = max(-1, int(dtype.min)), min(limit + 1, int(dtype.max))
    return rng.integers(low, high, PERIOD, dtype=np.int64).astype(dtype.np)


def expected(ast: UOp, arrays: Sequence[Array], variables: Mapping[str, int]) -> dict[int, Array]:
    """What the slots that are written hold afterwards. The arrays stay as they are."""
    written = {int(store.src[0].arg.slot) for store in ast.src}
    after = [array.copy() if slot in written else array for slot, array in enumerate(arrays)]
    evaluate_kernel(ast, after, variables)
    return {slot: after[slot] for slot in written}


def conditioning(ast: UOp, arrays: Sequence[Array], variables: Mapping[str, int], wanted: Mapping[int, Array]
                 ) -> dict[int, float]:
    """By slot, how far the largest change goes when the last bit of each float input changes: a rounding inside of the
    kernel may go as far. Inputs of 16 bits stay, since what is computed with them is rounded to more.
    """
    words = {dtypes.float32: np.uint32, dtypes.float64: np.uint64}
    if not any(param.dtype in words for param in params_of(ast)):
        return {}
    bits = np.random.default_rng(1).integers(0, 2, PERIOD, np.uint8)
    turned = [(array.view(words[param.dtype]) ^ np.resize(bits, array.shape)).view(array.dtype)
              if param.dtype in words else array for param, array in zip(params_of(ast), arrays)]
    moved = expected(ast, turned, variables)
    with np.errstate(all="ignore"):
        changes = {slot: np.abs(moved[slot] - right) for slot, right in wanted.items() if right.dtype.kind == "f"}
    return {slot: float(np.max(change, initial=0, where=np.isfinite(change))) for slot, change in changes.items()}


def tolerance(ast: UOp, variables: Mapping[str, int]) -> tuple[float, float]:
    """(relative to an element, relative to the largest of its buffer) that roundings explain.

    Each element is rounded a few times, to the coarsest type in the kernel. A sum of n terms in another order differs
    by about sqrt(n) roundings of its terms' size (Higham, Accuracy and Stability of Numerical Algorithms, 4.2); terms
    may cancel, so that is relative to the buffer.
    """
    order = toposort(ast)
    coarsest = max((EPSILON[u.dtype] for u in order if u.dtype in EPSILON), default=0.0)
    terms = 1
    for u in order:
        if u.op is Ops.REDUCE:
            shape = u.src[0].shape
            terms += math.prod(n if isinstance(n, int) else n.vmax for n in (shape[axis] for axis in u.arg.axes))
    wide = EPSILON[dtypes.float64] if coarsest == EPSILON[dtypes.float64] else EPSILON[dtypes.float32]
    return ROUNDINGS * wide + coarsest * (coarsest > wide), 2 * math.sqrt(terms) * wide


@np.errstate(all="ignore")
def difference(got: Array, wanted: Array, dtype: DType, allowed: tuple[float, float], change: float = 0.0) -> str:
    """Where and how a buffer differs from what it should hold; nothing if it does not. `change`: see `conditioning`."""
    largest = max((float(finite.max()) for right in _blocks(wanted, dtype)
                   if (finite := np.abs(right[np.isfinite(right)])).size), default=0.0) if dtype.is_float else 0.0
    at, wrong, text = 0, 0, ""
    for mine, right in zip(_blocks(got, dtype), _blocks(wanted, dtype)):
        if dtype.is_float:
            same = np.abs(mine - right) <= allowed[0] * np.abs(right) + allowed[1] * largest + ROUNDINGS * change
            if not same.all():
                same |= (mine == right) | (np.isnan(mine) & np.isnan(right))
        else:
            same = mine == right
        if not same.all():
            i = int(np.argmin(same))
            where = tuple(map(int, np.unravel_index(at + i, wanted.shape)))
            text = text or f"element {where} is {mine[i]} instead of {right[i]}"
            wrong += int((~same).sum())
        at += right.size
    return f"{text}, {wrong} of {wanted.size} differ" if wrong else ""


def _blocks(array: Array, dtype: DType) -> Iterator[Array]:
    """A part after the other, small enough for a cache; floats as float64."""
    flat = array.reshape(-1)
    for at in range(0, flat.size, BLOCK):
        part = flat[at:at + BLOCK]
        part = widen_bfloat16(part) if dtype is dtypes.bfloat16 else part
        yield part.astype(np.float64) if dtype.is_float else part
