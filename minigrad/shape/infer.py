"""What shapes follow from arguments: broadcasting, axes, -1 in a reshape, reductions.

In: shapes and whatever a user passes for axes and sizes. Out: plain tuples of `sint`, or a standard exception that
names the op, the argument and the values. Nothing here touches a ShapeTracker.

    >>> broadcast_shapes((4, 1), (3,))
    (4, 3)
    >>> infer_reshape((2, 12), (-1, 8))
    (3, 8)
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..uops import Ops, UOp, sint, toposort
from ..uops.symbolic import divides, lt, sprod
from .view import entry

Shape = tuple[sint, ...]


def show_sint(value: sint) -> str:
    """An integer for an error message: `8*pos + 8`."""
    if not isinstance(value, UOp):
        return str(value)
    text: dict[UOp, str] = {}
    for node in toposort(value):
        sources = [text[source] for source in node.src]
        if node.op is Ops.CONST:
            text[node] = str(node.arg)
        elif node.op in (Ops.VARIABLE, Ops.RANGE):
            text[node] = str(node.arg.name)
        elif node.op is Ops.BIND:
            text[node] = sources[0]
        elif node.op is Ops.ADD:
            text[node] = " + ".join(sources).replace("+ -", "- ")
        elif node.op in SYMBOLS:
            sources = [f"({s})" if source.op is Ops.ADD else s for s, source in zip(sources, node.src)]
            text[node] = SYMBOLS[node.op].join(reversed(sources) if node.op is Ops.MUL else sources)
        else:
            text[node] = f"{node.op.name.lower()}({', '.join(sources)})"
    return text[value]


SYMBOLS = {Ops.MUL: "*", Ops.IDIV: "//", Ops.MOD: "%"}


def show_shape(shape: Iterable[sint]) -> str:
    """A shape for an error message: `(2, pos + 1)`."""
    sizes = [show_sint(size) for size in shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def normalize_shape(*args: Any, op: str = "shape") -> Shape:
    """The shape of `f(2, 3)`, `f((2, 3))`, `f([2, 3])`. TypeError if one is no integer, ValueError if negative."""
    sizes = args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args
    shape = integers(op, sizes)
    for size in shape:
        if lt(size, 0):
            raise ValueError(f"{op}: sizes must not be negative, got {show_shape(shape)}")
    return shape


def integers(op: str, values: Iterable[Any]) -> Shape:
    """Each value as an int or symbolic integer; TypeError naming `op` otherwise (a bool is no size)."""
    values = tuple(values)
    for value in values:
        if isinstance(value, bool) or not (isinstance(value, UOp) or hasattr(value, "__index__")):
            raise TypeError(f"{op}: sizes must be integers, got {value!r} of type {type(value).__name__} in {values}")
    return tuple(map(entry, values))


# ---- axes -----------------------------------------------------------------------------------------------------------

def normalize_axis(axis: Any, ndim: int, op: str = "axis") -> int:
    """An axis counted from the front; it may be negative. IndexError out of range, TypeError if it is no integer."""
    if isinstance(axis, bool) or not hasattr(axis, "__index__"):
        raise TypeError(f"{op}: an axis is an integer, got {axis!r} of type {type(axis).__name__}")
    index = int(axis.__index__())
    if not -ndim <= index < ndim:
        raise IndexError(f"{op}: axis {index} is out of range for a tensor of {ndim} axes")
    return index % ndim


def normalize_axes(axes: Any, ndim: int, op: str = "axes") -> tuple[int, ...]:
    """Distinct axes counted from the front, in the order given; None means all. ValueError for a repeated axis."""
    if axes is None:
        return tuple(range(ndim))
    given = axes if isinstance(axes, (tuple, list)) else (axes,)
    result = tuple([normalize_axis(axis, ndim, op) for axis in given])
    if len(set(result)) != len(result):
        raise ValueError(f"{op}: axes {tuple(given)} repeat an axis of a tensor of {ndim} axes")
    return result


def normalize_order(order: Sequence[Any], ndim: int, op: str = "permute") -> tuple[int, ...]:
    """A permutation of all axes. ValueError if one is missing."""
    result = normalize_axes(tuple(order), ndim, op)
    if len(result) != ndim:
        raise ValueError(f"{op}: order {tuple(order)} does not name each of {ndim} axes once")
    return result


# ---- shapes from shapes ---------------------------------------------------------------------------------------------

def broadcast_shapes(*shapes: Shape, op: str = "broadcast") -> Shape:
    """The shape that all stretch to, aligned at the last axis: sizes of an axis are equal, or 1. Else ValueError."""
    first = shapes[0] if shapes else ()
    if all(shape == first for shape in shapes):
        return first
    ndim = max(map(len, shapes))
    result: list[sint] = [1] * ndim
    for shape in shapes:
        for axis, size in enumerate(shape, start=ndim - len(shape)):
            if size == 1 or size == result[axis]:
                continue
            if result[axis] != 1:
                raise ValueError(f"{op}: shapes {' and '.join(map(show_shape, shapes))} do not match: "
                                 f"axis {axis - ndim} has sizes {show_sint(result[axis])} and {show_sint(size)}")
            result[axis] = size
    return tuple(result)


def infer_reshape(shape: Shape, target: Sequence[Any], op: str = "reshape") -> Shape:
    """The target with its -1, if it has one, replaced by what is left. ValueError if sizes do not fit."""
    sizes = integers(op, target)
    unknown = [axis for axis, size in enumerate(sizes) if size == -1]
    if len(unknown) > 1:
        raise ValueError(f"{op}: only one size can be -1, got {show_shape(sizes)}")
    if any(lt(size, 0) for axis, size in enumerate(sizes) if axis not in unknown):
        raise ValueError(f"{op}: sizes must not be negative, got {show_shape(sizes)}")
    total = sprod(shape)
    if unknown:
        known = sprod(size for size in sizes if size != -1)
        if known == 0 or not is_multiple(total, known):
            raise ValueError(f"{op}: cannot infer -1 in {show_shape(sizes)} from shape {show_shape(shape)}: "
                             f"{show_sint(total)} elements are no multiple of {show_sint(known)}")
        sizes = tuple([entry(total // known) if size == -1 else size for size in sizes])
    if sprod(sizes) != total:
        raise ValueError(f"{op}: shape {show_shape(shape)} has {show_sint(total)} elements, "
                         f"{show_shape(sizes)} has {show_sint(sprod(sizes))}")
    return sizes


def is_multiple(value: sint, of: sint) -> bool:
    """Provably, `of` (not 0) divides `value`."""
    return divides(of, value) if isinstance(of, int) else entry(value % of) == 0


def infer_expand(shape: Shape, target: Sequence[Any], op: str = "expand") -> Shape:
    """The target shape, which may have more axes in front; -1 keeps a size. ValueError if an axis cannot stretch."""
    sizes = integers(op, target)
    new = len(sizes) - len(shape)
    if new < 0:
        raise ValueError(f"{op}: {show_shape(sizes)} has fewer axes than shape {show_shape(shape)}")
    aligned = (1,) * new + tuple(shape)
    result = tuple([old if size == -1 else size for old, size in zip(aligned, sizes)])
    for axis, (old, size) in enumerate(zip(aligned, result)):
        if (old != size and old != 1) or lt(size, 0) or (axis < new and sizes[axis] == -1):
            raise ValueError(f"{op}: shape {show_shape(shape)} cannot stretch to {show_shape(sizes)}: "
                             f"axis {axis - len(sizes)}")
    return result


def reduced_shape(shape: Shape, axes: Iterable[int], keepdim: bool = True) -> Shape:
    """A reduction's shape: its axes (counted from the front) become 1, or go."""
    axes = frozenset(axes)
    if keepdim:
        return tuple([1 if axis in axes else size for axis, size in enumerate(shape)])
    return tuple([size for axis, size in enumerate(shape) if axis not in axes])


def matmul_shape(left: Shape, right: Shape, op: str = "matmul") -> Shape:
    """The shape of left @ right by numpy's rules: a vector counts as a row on the left, a column on the right."""
    if not left or not right:
        raise ValueError(f"{op}: needs at least one axis on each side, got {show_shape(left)} and {show_shape(right)}")
    inner, axis = left[-1], -2 if len(right) > 1 else -1
    if inner != right[axis]:
        raise ValueError(f"{op}: shapes {show_shape(left)} and {show_shape(right)} do not match: "
                         f"{show_sint(inner)} columns on the left, {show_sint(right[axis])} rows on the right")
    batch = broadcast_shapes(left[:-2], right[:-2], op=op)
    return batch + left[-2:-1] + (right[-1:] if len(right) > 1 else ())
