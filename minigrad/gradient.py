"""Derivatives: one row per op, and the reverse sweep that applies them.

In: a root node, the gradient of something with respect to it, and target nodes. Out: one gradient per target, as
graphs of the same ops, so that they can be scheduled, fused and differentiated again. Nothing is computed here,
nothing recurses, and the work is linear in the number of nodes between root and targets.

>>> from minigrad.uops import UOp, Ops
>>> x = UOp(Ops.IOTA, dtypes.float32, (), 3)
>>> y = elementwise(Ops.MUL, x, x)
>>> gradient(y, full(dtypes.float32, 1.0, (3,)), [x])[0].op.name
'ADD'
"""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from .dtype import dtypes
from .shape.adjoint import view_adjoint
from .shape.build import (
    add,
    cast,
    differs,
    divide,
    elementwise,
    equals,
    expand,
    full,
    less,
    mul,
    neg,
    reduce,
    viewed,
    where,
    zeros_like,
)
from .shape.shapetracker import ShapeTracker
from .uops import SCALARS, Ops, ScatterArg, UOp, toposort
from .uops.trace import inherit

Saved = Mapping[UOp, UOp]
Rule = Callable[["Step", UOp], UOp | None]


class Step:
    """One node of the sweep, as a rule sees it: `a`, `b`, `c` its sources' values, `out` its own value."""

    __slots__ = ("a", "b", "c", "node", "out")

    def __init__(self, node: UOp, saved: Saved) -> None:
        self.node, self.out = node, saved.get(node, node)
        values = [saved.get(source, source) for source in node.src[:3]]
        self.a, self.b, self.c = (values + [node] * 3)[:3]


# ---- rules with more than one line

def _maximum(mine: UOp, other: UOp, g: UOp) -> UOp:
    """To the larger; halves at a tie of two tensors, nothing at a tie with a constant (so that relu'(0) = 0)."""
    larger = where(less(other, mine), g, 0)
    if other.op in SCALARS:
        return larger
    return add(larger, where(equals(mine, other), mul(g, 0.5), 0))


def _reduce(step: Step, g: UOp) -> UOp:
    x, arg = step.a, step.node.arg
    repeated = expand(g, x.shape)
    if arg.op is Ops.ADD:
        return repeated
    if arg.op is Ops.MAX:  # equal maxima share
        chosen = cast(equals(x, expand(step.out, x.shape)), g.dtype)
        count = reduce(Ops.ADD, chosen, arg.axes)
        return mul(chosen, expand(divide(g, count), x.shape))
    # a product: out / x, but with one zero only that element has a gradient, the product of the others
    zero = equals(x, 0)
    others = reduce(Ops.MUL, where(zero, 1, x), arg.axes)
    zeros = expand(reduce(Ops.ADD, cast(zero, g.dtype), arg.axes), x.shape)
    safe = divide(expand(others, x.shape), where(zero, 1, x))
    return mul(repeated,
               where(zero, where(equals(zeros, 1), expand(others, x.shape), 0), where(equals(zeros, 0), safe, 0)))


def _assign_base(step: Step, g: UOp) -> UOp:
    """Nothing for the elements that were overwritten."""
    tracker: ShapeTracker = step.node.arg
    written = view_adjoint(full(dtypes.float32, 1.0, tracker.shape), tracker, g.shape)
    return where(differs(written, 0), 0, g)


def _scatter_dest(step: Step, g: UOp) -> UOp:
    if step.node.arg.mode == "add":
        return g
    return UOp(Ops.SCATTER, g.dtype, (g, step.b, zeros_like(step.c)), ScatterArg("set"))


def _gather_table(step: Step, g: UOp) -> UOp:
    return UOp(Ops.SCATTER, g.dtype, (full(g.dtype, 0, step.a.shape), step.b, g), ScatterArg("add"))


def _copy(step: Step, g: UOp) -> UOp:
    device = device_of(step.a)
    return g if device is None else UOp(Ops.COPY, g.dtype, (g,), device)


def device_of(root: UOp) -> str | None:
    """The device on which a graph's data lies; None if it has none (constants, counters)."""
    stack, seen = [root], {root}
    while stack:
        node = stack.pop()
        if node.op is Ops.BUFFER:
            return str(node.arg.device)
        if node.op is Ops.COPY:
            return str(node.arg)
        for source in node.src[:1] if node.op is Ops.DETACH else node.src:
            if source not in seen:
                seen.add(source)
                stack.append(source)
    return None


# ---- the table: per op one rule per source, (step, gradient of the node) -> gradient of the source

def _rounded_like(step: Step, g: UOp) -> UOp:
    """A gradient that is a product's operand is rounded as the other operand is."""
    def rounded(node: UOp) -> bool:
        while node.op is Ops.VIEW:
            node = node.src[0]
        return node.op is Ops.TF32
    return elementwise(Ops.TF32, g) if rounded(step.a) and rounded(step.b) else g


ZERO: Rule = lambda s, g: None  # piecewise constant: nothing flows

RULES: dict[Ops, tuple[Rule, ...]] = {
    Ops.NEG: (lambda s, g: neg(g),),
    Ops.RECIPROCAL: (lambda s, g: neg(mul(mul(g, s.out), s.out)),),
    Ops.SQRT: (lambda s, g: divide(mul(g, 0.5), s.out),),
    Ops.EXP: (lambda s, g: mul(g, s.out),),
    Ops.EXP2: (lambda s, g: mul(mul(g, s.out), math.log(2)),),
    Ops.LOG: (lambda s, g: divide(g, s.a),),
    Ops.LOG2: (lambda s, g: divide(g, mul(s.a, math.log(2))),),
    Ops.SIN: (lambda s, g: mul(g, elementwise(Ops.COS, s.a)),),
    Ops.COS: (lambda s, g: neg(mul(g, elementwise(Ops.SIN, s.a))),),
    Ops.TANH: (lambda s, g: mul(g, add(neg(mul(s.out, s.out)), 1)),),
    Ops.ERF: (lambda s, g: mul(g, mul(elementwise(Ops.EXP, neg(mul(s.a, s.a))), 2 / math.sqrt(math.pi))),),
    Ops.TRUNC: (ZERO,),
    Ops.TF32: (lambda s, g: g,),
    Ops.ADD: (lambda s, g: g, lambda s, g: g),
    Ops.MUL: (lambda s, g: mul(_rounded_like(s, g), s.b), lambda s, g: mul(_rounded_like(s, g), s.a)),
    Ops.FDIV: (lambda s, g: divide(g, s.b), lambda s, g: neg(divide(mul(g, s.out), s.b))),
    Ops.MAX: (lambda s, g: _maximum(s.a, s.b, g), lambda s, g: _maximum(s.b, s.a, g)),
    Ops.WHERE: (ZERO, lambda s, g: where(s.a, g, 0), lambda s, g: where(s.a, 0, g)),
    Ops.CAST: (lambda s, g: cast(g, s.a.dtype),),
    Ops.REDUCE: (_reduce,),
    Ops.VIEW: (lambda s, g: view_adjoint(g, s.node.arg, s.a.shape),),
    Ops.CONTIGUOUS: (lambda s, g: g,),
    Ops.COPY: (_copy,),
    Ops.ASSIGN: (_assign_base, lambda s, g: viewed(g, s.node.arg)),
    Ops.GATHER: (_gather_table, ZERO),
    Ops.SCATTER: (_scatter_dest, ZERO, lambda s, g: UOp(Ops.GATHER, g.dtype, (g, s.b))),
}


def _sources(node: UOp) -> tuple[UOp, ...]:
    """The sources that a gradient may flow to: floats, and for a realized node its history alone."""
    if node.op is Ops.DETACH:
        return node.src[1:]
    return node.src if node.dtype.is_float else ()


def target_key(node: UOp) -> UOp | int:
    """Under which name a node collects its gradient: a leaf by its number, a realized node as its history."""
    if node.op is Ops.DETACH:
        return node.arg if node.arg is not None else node.src[1] if len(node.src) > 1 else node
    return node


def leaves(root: UOp) -> list[int]:
    """The numbers of the leaves below root, through which gradients may flow."""
    reached = toposort(root, sources=_sources)
    return sorted({node.arg for node in reached if node.op is Ops.DETACH and node.arg is not None})


def gradient(root: UOp, root_grad: UOp, targets: Sequence[UOp]) -> list[UOp | None]:
    """d root / d target, contracted with root_grad, for each target: a node of the target's shape and dtype.

    None for a target that root does not depend on; zeros for one that it depends on only through steps (round, floor).
    """
    order = toposort(root, sources=_sources)  # what a gradient of root can reach
    wanted = {target_key(t) for t in targets}
    # a node matters if a target lies below it
    matters: set[UOp] = set()
    for node in order:
        if target_key(node) in wanted or any(s in matters for s in _sources(node)):
            matters.add(node)
    saved = {node.src[1]: node for node in order if node.op is Ops.DETACH and len(node.src) > 1}
    grads: dict[UOp, UOp] = {root: root_grad}
    collected: dict[UOp | int, UOp] = {}
    for node in reversed(order):
        if node not in matters:
            continue
        g = grads.pop(node, None)
        if g is None:
            continue
        key = target_key(node)
        if key in wanted and (node.op is not Ops.DETACH or node.arg is not None or key is node):
            collected[key] = add(collected[key], g) if key in collected else g
        if node.op is Ops.DETACH:
            if len(node.src) > 1:
                _accumulate(grads, node.src[1], g)
            continue
        rules = RULES.get(node.op)
        if rules is None:
            continue
        step = Step(node, saved)
        for source, rule in zip(node.src, rules):
            if source in matters and source.dtype.is_float:
                part = rule(step, g)
                if part is not None:
                    inherit(part, node.line)
                    _accumulate(grads, source, part)
    reached = {target_key(node) for node in matters}
    return [collected.get(target_key(t), zeros_like(t) if target_key(t) in reached else None) for t in targets]


def _accumulate(grads: dict[UOp, UOp], node: UOp, part: UOp) -> None:
    known = grads.get(node)
    total = grads[node] = part if known is None else add(known, part)
    inherit(total, node.line)


__all__ = ["RULES", "device_of", "gradient", "leaves", "target_key"]
