"""Constructors of tensor-level nodes: what `Tensor` and the derivatives are written with.

In: nodes of equal shapes (constants stretch) and, in elementwise ops, equal dtypes. Out: nodes; nothing is computed.
Movement ops compose ShapeTrackers, so a VIEW never has a VIEW as its source. Errors of shape are the ShapeTracker's
ValueErrors.

>>> from minigrad.uops import UOp
>>> from minigrad.dtype import dtypes
>>> full(dtypes.float32, 1.0, (2, 3)).shape
(2, 3)
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..dtype import DType, dtypes
from ..uops import SCALARS, Ops, ReduceArg, UOp, sint
from ..uops.ops import COMMUTATIVE, COMPARISON
from .shapetracker import ShapeTracker

# ---- movement

def split_view(node: UOp) -> tuple[UOp, ShapeTracker]:
    """(base, tracker) with node == the base seen through the tracker; the base is no VIEW."""
    if node.op is Ops.VIEW:
        return node.src[0], node.arg
    return node, ShapeTracker.contiguous(node.shape)


def viewed(base: UOp, tracker: ShapeTracker) -> UOp:
    """The base seen through a tracker over its shape; the base itself where that is the identity."""
    if base.op is Ops.VIEW:
        base, tracker = base.src[0], base.arg + tracker
    if tracker.is_identity(base.shape):
        return base
    return UOp(Ops.VIEW, base.dtype, (base,), tracker)


def _movement(name: str) -> Callable[[UOp, Iterable[Any]], UOp]:
    def moved(node: UOp, argument: Iterable[Any]) -> UOp:
        base, tracker = split_view(node)
        return viewed(base, getattr(tracker, name)(argument))
    return moved


# with the arguments that the ShapeTracker's take: a shape, an order of axes, a shape, a pair for each axis, ..., axes
reshape, permute, expand, shrink, pad, flip = map(
    _movement, ("reshape", "permute", "expand", "shrink", "pad", "flip"))


def stretch(node: UOp, shape: tuple[sint, ...]) -> UOp:
    """Repeat a node to a shape as numpy broadcasts it: axes of size 1, and missing ones in front."""
    own = node.shape
    if own == shape:
        return node
    base, tracker = split_view(node)
    if len(own) < len(shape):
        tracker = tracker.reshape((1,) * (len(shape) - len(own)) + tuple(own))
    return viewed(base, tracker.expand(shape))


# ---- data

def full(dtype: DType, value: object, shape: Iterable[sint]) -> UOp:
    """A constant of a shape."""
    return stretch(UOp.const(dtype, value), tuple(shape))


def zeros_like(node: UOp) -> UOp:
    return full(node.dtype, 0, node.shape)


def iota(dtype: DType, size: sint) -> UOp:
    """0, 1, ... size - 1."""
    return UOp(Ops.IOTA, dtype, (), size)


# ---- elementwise

def scalar_of(node: UOp) -> UOp:
    """The constant of which node is an expansion, else node itself."""
    if (node.op is Ops.VIEW and node.src[0].op is Ops.CONST and len(node.arg.views) == 1
        and node.arg.views[0].mask is None):
        return node.src[0]
    return node


def elementwise(op: Ops, *src: UOp) -> UOp:
    """An elementwise node. Sources that are expanded constants become constants, as long as one source keeps the
    shape.
    """
    shape: tuple[sint, ...] = ()
    bare = src
    loose = False  # what is computed from constants alone, and has no shape yet
    for s in src:
        if s.op not in SCALARS:
            own = s.shape
            if not own:
                loose = True
            elif not shape:
                shape = own
            if s.op is Ops.VIEW and bare is src and scalar_of(s) is not s:
                bare = tuple([scalar_of(x) for x in src])
    if shape:
        if bare is not src and all(s.op in SCALARS for s in bare):
            return stretch(elementwise(op, *bare), shape)
        if loose:
            bare = tuple([s if s.op in SCALARS or s.shape else stretch(s, shape) for s in bare])
    if op in COMMUTATIVE:
        a, b = bare
        if a.op is Ops.CONST or b.op is Ops.CONST:
            folded = _fold_constant(op, a, b)
            if folded is not None:
                return folded
        # Never ordered by age: constants and counters outlive a call, so that the same program, run again, would give
        # other kernels, and a jitted function other recordings.
        if a.op in SCALARS and b.op not in SCALARS:
            bare = (b, a)
    dtype = dtypes.bool if op in COMPARISON else src[1].dtype if op is Ops.WHERE else src[0].dtype
    node = UOp(op, dtype, bare)
    if node._shape is None:
        node._shape = shape
    return node


def _fold_constant(op: Ops, a: UOp, b: UOp) -> UOp | None:
    """x * 1, and sums of integer constants."""
    if op is Ops.MUL:
        for one, other in ((a, b), (b, a)):
            if one.op is Ops.CONST and one.arg == 1 and one.dtype.kind != "b" and other.op not in SCALARS:
                return other
    if op is Ops.ADD and a.op is b.op is Ops.CONST and a.dtype.kind in "iu":
        return UOp.const(a.dtype, a.arg + b.arg)
    return None


def cast(node: UOp, dtype: DType) -> UOp:
    if node.dtype is dtype:
        return node
    bare = scalar_of(node)
    if bare is not node:
        return stretch(cast(bare, dtype), node.shape)
    if node.op is Ops.CONST and dtype.kind != "b":
        # a float constant is kept unrounded: it may be rounded to fewer digits, but not widened
        if node.dtype.kind != "f" or (dtype.is_float and dtype.itemsize <= node.dtype.itemsize):
            return UOp.const(dtype, node.arg)
    return UOp(Ops.CAST, dtype, (node,))


def constant(node: UOp, value: UOp | float) -> UOp:
    """A Python scalar as a constant of node's dtype; a node as it is."""
    return value if isinstance(value, UOp) else UOp.const(node.dtype, value)


def _binary(op: Ops) -> Callable[[UOp, UOp | float], UOp]:
    return lambda a, b: elementwise(op, a, constant(a, b))


add, mul, divide, less, differs = map(_binary, (Ops.ADD, Ops.MUL, Ops.FDIV, Ops.CMPLT, Ops.CMPNE))


def neg(a: UOp) -> UOp:
    return elementwise(Ops.NEG, a)


def equals(a: UOp, b: UOp | float) -> UOp:
    return elementwise(Ops.NOT, differs(a, b))


def where(condition: UOp, yes: UOp | float, no: UOp | float) -> UOp:
    """yes where the condition holds, else no: at least one of them a node."""
    model = yes if isinstance(yes, UOp) else no
    if not isinstance(model, UOp):
        raise TypeError(f"where: one of {yes!r} and {no!r} must be a node")
    return elementwise(Ops.WHERE, condition, constant(model, yes), constant(model, no))


# ---- reduce

def reduce(op: Ops, node: UOp, axes: Iterable[int]) -> UOp:
    """A reduce that keeps its axes with size 1; axes of size 1 are no work."""
    kept = tuple(sorted(axis for axis in axes if not (isinstance(node.shape[axis], int) and node.shape[axis] == 1)))
    return UOp(Ops.REDUCE, node.dtype, (node,), ReduceArg(op, kept)) if kept else node
