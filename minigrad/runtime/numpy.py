"""The interpreter: graphs and kernel ASTs, computed with numpy arrays one op at a time. The living definition of the
ops.

In: a kernel AST (a SINK of STOREs) with one array per slot, or a whole tensor graph over BUFFERs. Out: the arrays
that the kernel writes, or the values of the graph. Nothing is fused, nothing is reordered; every other runtime is
tested against this one.

float16 and bfloat16 are held as float32 between ops and rounded where they are stored or cast (see `uops/ops.py`); in
memory bfloat16 is uint16 bit patterns. Transcendental functions of float32 are computed in float64 and rounded.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..dtype import DType, dtypes, round_bfloat16, round_tf32, widen_bfloat16
from ..helpers import prod
from ..shape.shapetracker import ShapeTracker
from ..shape.view import View
from ..uops import Ops, ReduceArg, ScatterArg, UOp, toposort
from ..uops.symbolic import evaluate as evaluate_int

Array = np.ndarray[Any, Any]
Variables = Mapping[str, int]
HALF = (dtypes.float16, dtypes.bfloat16)
EINSUM_ABOVE = 1 << 20  # elements; larger products that are summed at once are contracted without being stored


# ---- values in memory and between ops

def widen(array: Array, dtype: DType) -> Array:
    """From memory's format to the one between ops."""
    if dtype is dtypes.bfloat16:
        return widen_bfloat16(np.asarray(array))
    return array.astype(np.float32) if dtype is dtypes.float16 else array


def narrow(array: Array, dtype: DType) -> Array:
    """From the format between ops to memory's, rounding halves to nearest even."""
    if dtype is dtypes.bfloat16:
        return round_bfloat16(array)
    return array.astype(dtype.np, copy=False)


def between(dtype: DType) -> np.dtype[Any]:
    """The numpy type that holds values of dtype between ops."""
    return np.dtype(np.float32) if dtype in HALF else dtype.np


# ---- views

def _bounds_of_view(view: View, variables: Variables) -> tuple[list[int], list[int], int, list[tuple[int, int]]]:
    """shape, strides, offset and the box of readable indices, as ints."""
    shape = [evaluate_int(n, variables) for n in view.shape]
    strides = [evaluate_int(n, variables) for n in view.strides]
    box = [(0, n) for n in shape]
    if view.mask is not None:
        box = [(max(evaluate_int(a, variables), 0), min(evaluate_int(b, variables), n))
               for (a, b), n in zip(view.mask, shape)]
    return shape, strides, evaluate_int(view.offset, variables), box


def _window(flat: Array, strides: list[int], offset: int, box: list[tuple[int, int]]) -> Array:
    """The box's elements of a flat array, without a copy. IndexError if an address lies outside the array."""
    lowest = highest = start = offset + sum(low * s for (low, _), s in zip(box, strides))
    for (low, high), s in zip(box, strides):
        lowest, highest = lowest + min(0, (high - low - 1) * s), highest + max(0, (high - low - 1) * s)
    if lowest < 0 or highest >= flat.size:
        raise IndexError(f"view reads elements {lowest}..{highest} of a buffer of {flat.size}")
    return np.ndarray([high - low for low, high in box], flat.dtype, flat, start * flat.itemsize,
                      [s * flat.itemsize for s in strides])


def read_view(array: Array, tracker: ShapeTracker, variables: Variables) -> Array:
    """The array seen through the tracker: zeros where masked. Do not write to it."""
    for view in tracker.views:
        shape, strides, offset, box = _bounds_of_view(view, variables)
        flat = np.ascontiguousarray(array).reshape(-1)
        empty = any(high <= low for low, high in box)
        if view.mask is None and not empty:
            array = _window(flat, strides, offset, box)
            continue
        array = np.zeros(shape, flat.dtype)
        if not empty:
            array[tuple(slice(low, high) for low, high in box)] = _window(flat, strides, offset, box)
    return array


def write_view(array: Array, tracker: ShapeTracker | None, value: Array, variables: Variables) -> None:
    """array[region] = value, the region given by the tracker; what falls on masked elements is dropped."""
    if tracker is None:
        array[...] = value
        return
    flat = array.reshape(-1)
    if not np.shares_memory(flat, array) and array.size:
        raise ValueError("write_view: the array to be written is not contiguous")
    where = read_view(np.arange(1, flat.size + 1), tracker, variables)  # 0 where masked
    flat[where[where > 0] - 1] = np.broadcast_to(value, where.shape)[where > 0]


# ---- elementwise ops: each takes and gives arrays between ops

def _in_double(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: np.asarray(function(x.astype(np.float64))).astype(x.dtype)


_erf = np.frompyfunc(math.erf, 1, 1)

UNARY: dict[Ops, Callable[[Array], Array]] = {
    Ops.NEG: lambda x: np.negative(x),
    Ops.RECIPROCAL: lambda x: np.divide(x.dtype.type(1), x),
    Ops.SQRT: np.sqrt,
    Ops.EXP: _in_double(np.exp),
    Ops.EXP2: _in_double(np.exp2),
    Ops.LOG: _in_double(np.log),
    Ops.LOG2: _in_double(np.log2),
    Ops.SIN: _in_double(np.sin),
    Ops.COS: _in_double(np.cos),
    Ops.TANH: _in_double(np.tanh),
    Ops.ERF: _in_double(lambda x: np.asarray(_erf(x), np.float64)),
    Ops.TRUNC: np.trunc,
    Ops.TF32: round_tf32,
    Ops.NOT: lambda x: np.logical_not(x) if x.dtype == np.bool_ else np.invert(x),
}

def _half(pairs: Array, which: int) -> Array:
    """One of the two bfloat16 in each uint32, widened."""
    return widen_bfloat16((pairs >> np.uint32(16 * which)).astype(np.uint16))


BINARY: dict[Ops, Callable[[Array, Array], Array]] = {
    Ops.ADD: lambda a, b: np.logical_or(a, b) if a.dtype == np.bool_ else np.add(a, b),
    Ops.MUL: np.multiply,
    Ops.FDIV: np.divide,
    Ops.IDIV: np.floor_divide,
    Ops.MOD: lambda a, b: np.where(b == 0, b.dtype.type(0), np.mod(a, b)),
    Ops.MAX: np.maximum,
    Ops.CMPLT: np.less,
    Ops.CMPNE: np.not_equal,
    Ops.AND: np.bitwise_and,
    Ops.OR: np.bitwise_or,
    Ops.XOR: np.bitwise_xor,
    Ops.SHL: np.left_shift,
    Ops.SHR: np.right_shift,
    Ops.DOT: lambda a, b: _half(a, 0) * _half(b, 0) + _half(a, 1) * _half(b, 1),
}


def cast(array: Array, source: DType, target: DType) -> Array:
    """Conversion as `uops/ops.py` defines it: to integers truncating, NaN to 0, clamped to the type's ends."""
    if source.is_float and target.is_int:
        wide = np.trunc(array.astype(np.float64))
        low, high = int(target.min), int(target.max)
        inside = (wide >= float(low)) & (wide < float(high) + 1 if target.itemsize < 8 else wide < float(high))
        result = np.where(inside, wide, 0).astype(target.np)
        result = np.where(wide >= float(high), target.np.type(high), result)
        return np.where(wide <= float(low), target.np.type(low), result)
    if target is dtypes.bool:
        return np.not_equal(array, 0)
    if target is dtypes.bfloat16:
        return widen_bfloat16(round_bfloat16(array.astype(np.float32)))
    if target is dtypes.float16:
        return array.astype(np.float16).astype(np.float32)
    return array.astype(target.np)


def bitcast(array: Array, source: DType, target: DType) -> Array:
    return widen(np.ascontiguousarray(narrow(array, source)).view(target.np).reshape(array.shape), target)


# ---- reduce, gather, scatter

def reduce(array: Array, arg: ReduceArg, dtype: DType) -> Array:
    """Over the axes of `arg`, which stay with size 1. Halves arrive as float32 and are accumulated so."""
    if dtype is dtypes.bool:
        every = np.logical_and if arg.op is Ops.MUL else np.logical_or
        return np.asarray(every.reduce(array, axis=arg.axes, keepdims=True))
    if arg.op is Ops.ADD:
        return np.add.reduce(array, axis=arg.axes, keepdims=True, dtype=array.dtype)
    if arg.op is Ops.MUL:
        return np.multiply.reduce(array, axis=arg.axes, keepdims=True, dtype=array.dtype)
    return np.maximum.reduce(array, axis=arg.axes, keepdims=True, initial=array.dtype.type(dtype.min))


def contract(a: Array, b: Array, axes: tuple[int, ...]) -> Array:
    """sum(a * b) over axes, kept with size 1, without storing the product: for operands that are repeated by
    expansion.
    """
    letters = list(range(a.ndim))
    kept = [axis for axis in letters if axis not in axes]
    squeezed = [_without_repeats(x) for x in (a, b)]
    operands: list[Any] = []
    for array, axes_left in squeezed:
        operands += [array, axes_left]
    covered = set(squeezed[0][1]) | set(squeezed[1][1])
    scale = prod(a.shape[axis] for axis in axes if axis not in covered)
    result = np.einsum(*operands, [axis for axis in kept if axis in covered], optimize=True)
    shape = [a.shape[axis] if axis in kept and axis in covered else 1 for axis in letters]
    full = [1 if axis in axes else n for axis, n in enumerate(a.shape)]
    return np.broadcast_to(result.reshape(shape) * result.dtype.type(scale), full)


def _without_repeats(array: Array) -> tuple[Array, list[int]]:
    """An array without the axes along which it is constant (stride 0), and the axes that are left."""
    left = [axis for axis in range(array.ndim) if array.strides[axis] != 0 or array.shape[axis] == 1]
    return array[tuple(slice(None) if axis in left else 0 for axis in range(array.ndim))], left


def gather(table: Array, index: Array) -> Array:
    """table[index] along axis 0; 0 where the index lies outside."""
    shape = index.shape + table.shape[1:]
    if table.shape[0] == 0:
        return np.zeros(shape, table.dtype)
    inside = (index >= 0) & (index < table.shape[0])
    result: Array = np.asarray(table[np.where(inside, index, 0).astype(np.int64)]).reshape(shape)
    if not inside.all():
        result = result.copy()
        result[~inside] = 0
    return result


def scatter(dest: Array, index: Array, value: Array, arg: ScatterArg) -> None:
    """dest[index] = value or += value in place, row-major, the last of equal indices winning; outside is dropped."""
    inside = ((index >= 0) & (index < dest.shape[0])).reshape(-1)
    rows = index.reshape(-1)[inside].astype(np.int64)
    values = np.broadcast_to(value, index.shape + dest.shape[1:]).reshape(inside.size, *dest.shape[1:])[inside]
    if arg.mode == "set":
        last = np.full(dest.shape[0], -1, np.int64)
        np.maximum.at(last, rows, np.arange(rows.size))
        written = last >= 0
        dest[written] = values[last[written]]
    elif dest.dtype == np.bool_:
        np.logical_or.at(dest, rows, values)
    else:
        np.add.at(dest, rows, values)


# ---- graphs

def _constant(node: UOp) -> Array:
    if node.dtype in HALF:
        return cast(np.array(node.arg, np.float64), dtypes.float64, node.dtype)
    return np.array(node.arg, node.dtype.np)


def _scattered(node: UOp, sources: list[Array]) -> Array:
    result = np.array(sources[0], order="C")
    scatter(result, sources[1], sources[2], node.arg)
    return result


def _assigned(node: UOp, sources: list[Array], variables: Variables) -> Array:
    result = np.array(sources[0], order="C")
    write_view(result, node.arg, sources[1], variables)
    return result


# The other ops of the tensor level that are not memory: a node's value from its sources', and from the variables.
OTHERS: dict[Ops, Callable[[UOp, list[Array], Variables], Array]] = {
    Ops.CONST: lambda u, s, v: _constant(u),
    Ops.VARIABLE: lambda u, s, v: np.array(evaluate_int(u, v), np.int64),
    Ops.BIND: lambda u, s, v: np.array(evaluate_int(u, v), np.int64),
    Ops.VIEW: lambda u, s, v: read_view(s[0], u.arg, v),
    Ops.WHERE: lambda u, s, v: np.where(*s),
    Ops.CAST: lambda u, s, v: cast(s[0], u.src[0].dtype, u.dtype),
    Ops.BITCAST: lambda u, s, v: bitcast(s[0], u.src[0].dtype, u.dtype),
    Ops.REDUCE: lambda u, s, v: reduce(s[0], u.arg, u.dtype),
    Ops.IOTA: lambda u, s, v: np.arange(evaluate_int(u.arg, v), dtype=between(u.dtype)),
    Ops.GATHER: lambda u, s, v: gather(*s),
    Ops.SCATTER: lambda u, s, v: _scattered(u, s),
    Ops.ASSIGN: _assigned,
    Ops.CONTIGUOUS: lambda u, s, v: widen(narrow(s[0], u.dtype), u.dtype),
    Ops.COPY: lambda u, s, v: widen(narrow(s[0], u.dtype), u.dtype),
    Ops.DETACH: lambda u, s, v: s[0],
}
SHAPED = frozenset({Ops.VIEW, Ops.REDUCE, Ops.GATHER, Ops.SCATTER, Ops.ASSIGN})     # do not broadcast by themselves


def _value(node: UOp, sources: list[Array], variables: Variables) -> Array:
    if node.op in UNARY:
        return UNARY[node.op](sources[0])
    if node.op in BINARY:
        return np.asarray(BINARY[node.op](*sources))
    if node.op not in OTHERS:
        raise ValueError(f"interpreter: {node!r} is no op of the tensor level")
    if node.op in SHAPED:
        sources = [_full(array, source, variables) for array, source in zip(sources, node.src)]
    return OTHERS[node.op](node, sources, variables)


def _full(array: Array, node: UOp, variables: Variables) -> Array:
    """Constants stretched to the node's shape, which numpy's broadcasting may have left out."""
    shape = tuple(evaluate_int(n, variables) for n in node.shape)
    return array if array.shape == shape else np.broadcast_to(array, shape)


def _evaluate(roots: Sequence[UOp], variables: Variables, memory: Callable[[UOp], Array]) -> dict[UOp, Array]:
    """Values of the roots. `memory` reads BUFFERs and PARAMs. Values are dropped after their last use."""
    order = toposort(*roots)
    contracted = _contractions(roots, order, variables)
    products = set(contracted.values())
    order = [node for node in order if node not in products]
    inputs = {node: contracted[node].src if node in contracted else node.src for node in order}
    uses: dict[UOp, int] = dict.fromkeys(roots, 1)
    for node in order:
        for source in inputs[node]:
            uses[source] = uses.get(source, 0) + 1
    values: dict[UOp, Array] = {}
    with np.errstate(all="ignore"):
        for node in order:
            if node.op is Ops.BUFFER or node.op is Ops.PARAM:
                values[node] = widen(memory(node), node.dtype)
            elif node in contracted:
                a, b = (_full(values[s], contracted[node], variables) for s in inputs[node])
                values[node] = contract(a, b, node.arg.axes)
            else:
                values[node] = _value(node, [values[s] for s in inputs[node]], variables)
            for source in inputs[node]:
                uses[source] -= 1
                if not uses[source]:
                    del values[source]
    return values


def _contractions(roots: Sequence[UOp], order: list[UOp], variables: Variables) -> dict[UOp, UOp]:
    """Sums whose only source is a large float product that nothing else reads: {REDUCE: MUL}."""
    readers: dict[UOp, int] = dict.fromkeys(roots, 1)
    for node in order:
        for source in node.src:
            readers[source] = readers.get(source, 0) + 1
    found = {}
    for node in order:
        if node.op is Ops.REDUCE and node.arg.op is Ops.ADD and node.dtype.is_float:
            product = node.src[0]
            if product.op is Ops.MUL and readers[product] == 1:
                if prod(evaluate_int(n, variables) for n in product.shape) >= EINSUM_ABOVE:
                    found[node] = product
    return found


def evaluate(sinks: Sequence[UOp], variables: Variables | None = None) -> list[Array]:
    """The values of tensor graphs, straight from their definition: the oracle for schedules.

    Leaves are BUFFERs, read through `Buffer.numpy()`; nothing is written, ASSIGN and SCATTER give copies. Arrays come
    out as they would lie in memory (bfloat16 as uint16 bit patterns). Bound variables have their own value.
    """
    known = variables or {}
    values = _evaluate(list(sinks), known, lambda node: np.asarray(node.arg.numpy()).reshape(node.arg.shape))
    return [narrow(np.array(_full(values[sink], sink, known)), sink.dtype) for sink in sinks]


def evaluate_kernel(ast: UOp, arrays: Sequence[Array], variables: Variables | None = None) -> None:
    """Run a kernel AST, a SINK of STOREs: `arrays` holds one array per slot, of which the stored ones are written in
    place.

    All values are computed before anything is written. ValueError for an AST that is none.
    """
    if ast.op is not Ops.SINK or any(s.op is not Ops.STORE or s.src[0].op is not Ops.PARAM for s in ast.src):
        raise ValueError(f"evaluate_kernel: expected a SINK of STOREs into PARAMs, got {ast!r} of {list(ast.src)}")
    known = variables or {}
    shaped = {p: arrays[p.arg.slot].reshape(p.arg.shape) for p in toposort(ast) if p.op is Ops.PARAM}
    values = _evaluate([v for store in ast.src for v in store.src[1:]], known, lambda node: shaped[node])
    written = [shaped[store.src[0]] for store in ast.src]
    outcomes = []
    for store in ast.src:
        sources = [_full(values[v], v, known) for v in store.src[1:]]
        # a value may be memory itself, about to be written
        own = [np.array(x) if any(np.may_share_memory(x, w) for w in written) else x for x in sources]
        outcomes.append((store, own))
    with np.errstate(all="ignore"):
        for store, sources in outcomes:
            target, dtype = shaped[store.src[0]], store.src[0].dtype
            if len(sources) == 1:
                write_view(target, store.arg, narrow(sources[0], dtype), known)
            elif dtype in HALF:
                wide = widen(target, dtype)
                scatter(wide, sources[1], sources[0], store.arg)
                target[...] = narrow(wide, dtype)
            else:
                scatter(target, sources[1], sources[0], store.arg)
