"""Sums of products of bfloat16 numbers, two at a time: DOT, where the target has an instruction for it.

    sum over k of float32(a[k]) * float32(b[k])   is   sum over j of DOT(pairs_a[j], pairs_b[j])

where a pair is a uint32 that holds the elements 2j and 2j + 1. An input whose summed axis lies contiguous in memory is
read as pairs as it is; of the smaller operand each pair may also be put together of two numbers. The instruction adds
the two products in its own order, and takes numbers below float32's normal range as zero.
"""
from __future__ import annotations

from ..dtype import dtypes
from ..helpers import prod
from ..shape.shapetracker import ShapeTracker
from ..shape.view import View
from ..target import Target
from ..uops import Ops, ParamArg, UOp
from ..uops.rewrite import P, Rule, RuleSet, rewrite
from ..uops.symbolic import vmax
from ..uops.uop import toposort


def pair_products(ast: UOp, target: Target) -> UOp:
    """The AST with DOTs for the sums of products of which an operand is an input, read in pairs."""
    if not target.has("avx512_bf16"):
        return ast
    paired = rewrite(ast, PAIRS)
    slots = [u.arg.slot for u in toposort(paired) if u.op is Ops.PARAM]
    return ast if len(slots) != len(set(slots)) else paired  # an input that is also read in another way


def _paired(node: UOp, left: UOp, right: UOp) -> UOp | None:
    if node.arg.op is not Ops.ADD or node.dtype is not dtypes.float32:
        return None
    a, b = _source(left), _source(right)
    if a is None or b is None:
        return None
    for axis in node.arg.axes:
        size = node.src[0].shape[axis]
        if isinstance(size, int) and size % 2 == 0:
            first, second = _read(*a, axis), _read(*b, axis)
            smaller = prod(map(vmax, a[0].shape)) <= prod(map(vmax, b[0].shape))
            if first is not None and (second is not None or not smaller) or second is not None and smaller:
                pairs = (first or _made(*a, axis), second or _made(*b, axis))
                return node.replace(src=(UOp(Ops.DOT, dtypes.float32, pairs),))
    return None


PRODUCT = P(Ops.REDUCE, P(Ops.MUL, P("left"), P("right")), name="node")
PAIRS = RuleSet("pairs", [Rule("pair-products", PRODUCT, _paired)])


def _source(u: UOp) -> tuple[UOp, ShapeTracker] | None:
    """(x, tracker) of a float32 that is x, of bfloat16, seen through the tracker and widened."""
    trackers: list[ShapeTracker] = []
    while u.op is Ops.VIEW or u.op is Ops.CAST and u.src[0].dtype is dtypes.bfloat16:
        if u.op is Ops.VIEW:
            trackers.append(u.arg)
        u = u.src[0]
    if u.dtype is not dtypes.bfloat16:
        return None
    tracker = ShapeTracker.contiguous(u.shape)
    for outer in reversed(trackers):
        tracker = tracker + outer
    return u, tracker


def _read(x: UOp, tracker: ShapeTracker, axis: int) -> UOp | None:
    """The pairs along an axis as they lie in memory; None unless it is contiguous there, from even addresses on."""
    if x.op is not Ops.PARAM or len(tracker.views) != 1:
        return None
    view, shape = tracker.views[0], x.arg.shape
    numbers = [*view.shape, *view.strides, view.offset]
    last = next((a for a in reversed(range(len(shape))) if shape[a] != 1), None)
    if last is None or shape[last] % 2 or view.mask is not None or not all(isinstance(n, int) for n in numbers):
        return None
    if view.strides[axis] != 1 or view.offset % 2 or any(s % 2 for a, s in enumerate(view.strides) if a != axis):
        return None
    halved = tuple(n // 2 if a == last else n for a, n in enumerate(shape))
    pairs = View([n // 2 if a == axis else n for a, n in enumerate(view.shape)],
                 [1 if a == axis else s // 2 for a, s in enumerate(view.strides)], view.offset // 2)
    memory = UOp(Ops.PARAM, dtypes.uint32, (), ParamArg(x.arg.slot, halved))
    return UOp(Ops.VIEW, dtypes.uint32, (memory,), ShapeTracker((pairs,)))


def _made(x: UOp, tracker: ShapeTracker, axis: int) -> UOp:
    """The pairs along an axis, each put together of two numbers; what is repeated is made once."""
    shape = tracker.shape
    repeated = [len(tracker.views) == 1 and stride == 0 for stride in tracker.views[-1].strides]
    once = tracker.shrink(tuple((0, 1) if same else (0, n) for same, n in zip(repeated, shape)))
    halved = (*once.shape[:axis], once.shape[axis] // 2, *once.shape[axis + 1:])
    apart = once.reshape((*halved[:axis + 1], 2, *halved[axis + 1:]))
    bits = []
    for i in range(2):
        half = apart.shrink(tuple((i, i + 1) if a == axis + 1 else (0, n) for a, n in enumerate(apart.shape)))
        number = UOp(Ops.VIEW, x.dtype, (x,), half.reshape(halved))
        bits.append(UOp(Ops.CAST, dtypes.uint32, (UOp(Ops.BITCAST, dtypes.uint16, (number,)),)))
    high = UOp(Ops.SHL, dtypes.uint32, (bits[1], UOp.const(dtypes.uint32, 16)))
    pairs = UOp(Ops.OR, dtypes.uint32, (bits[0], high))
    whole = (*shape[:axis], shape[axis] // 2, *shape[axis + 1:])
    return UOp(Ops.VIEW, dtypes.uint32, (pairs,), ShapeTracker.contiguous(halved).expand(whole))
