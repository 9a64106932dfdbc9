"""ONLINE: sums of exponentials below a maximum become one loop over blocks that carries the maximum and the sums.

Of rows s(k), their maximum m = max_k s(k) and any sums x = sum_k exp(s(k) + t) v(k), whose t is made of m and does not
change with k, a block of k at a time is enough:

    for each block:
      n = max(m, max_k s(k)) ; f = exp(m - n) ; m = n           once for each row
      x = x f + sum_k exp(s(k) - m) v(k)                        for every sum
    x = x exp(m + t)                                            1, where t is -m

m, f and each x are scratch arrays over the ranges inside of the level; what a block computes is placed inside of its
loop as in any other. Exponentials that a sum rounds, or divides by what does not change, are such sums as well.

Where m is no number, the blocks subtract 0 in its place: rows of -inf alone, or of which the first blocks are, come out
as they do in one piece, and so do infinities and NaN.
"""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..target import Target
from ..uops import COMMUTATIVE, Ops, ScratchArg, UOp, toposort
from ..uops.uop import alu, index_const
from . import nest
from .lower import Loops, reduce_identity
from .nest import parts
from .opts import Opt, bare, no_loop

EXPONENTIALS = (Ops.EXP, Ops.EXP2)


@dataclass(frozen=True)
class Online(Opt):
    """The reduces below the maximum over `range` run in one loop over blocks of `size`, inside of the level's loops.

    The loop is named as the outer part of the range; the inner parts stay reduces. Applied before PLACE.
    """

    range: str
    size: int
    level: tuple[str, ...]

    def check(self, loops: Loops, target: Target) -> str | None:
        if self.size < 2:
            return f"blocks of {self.size}"
        if target.has_blocks:
            return "a block's threads do not share what a loop carries yet"
        plan = self._plan(loops)
        return plan if isinstance(plan, str) else None

    def _plan(self, loops: Loops) -> _Plan | str:
        order = nest.order(loops.root)
        if reason := no_loop(loops, self.range):
            return reason
        top, *others = nest.closers(loops.root, self.range)
        r, *more = parts(top)[1]
        if others or more or top.op is not Ops.REDUCE or top.arg is not Ops.MAX:
            return f"{self.range} is not the range of one maximum alone"
        named = {name: [u for u in order if u.op is Ops.RANGE and u.arg.name == name] for name in self.level}
        if any(len(rs) != 1 or rs[0].arg.kind not in ("loop", "global") for rs in named.values()):
            return "a range of the level is not one loop"
        level = tuple(rs[0] for rs in named.values())
        if any(u.op is Ops.REDUCE and x in parts(u)[1] for u in order for x in level):
            return "a level is a loop around the statements, not a reduce's"
        if not nest.free(r) - {r} <= set(level) or r.src[0] is not index_const(0):
            return f"{self.range} does not go from 0 to an end that is known at the level"
        if any(x.arg.kind != "loop" or nest.free(x) != {x} for x in nest.free(top) - set(level)):
            return "the maximum depends on what is no loop of its own"
        if any(u.op is Ops.RANGE and u.arg.name in (f"{self.range}.0", f"{self.range}c_0") for u in order):
            return f"{self.range} is carried already"
        sums: list[_Sum] = []
        for d in order:
            if d.op is Ops.REDUCE and d.arg is Ops.ADD and len(parts(d)[1]) == 1 and top in toposort(d):
                (q,) = parts(d)[1]
                if q.arg.kind != "loop" or q.src != r.src or nest.closers(loops.root, q.arg.name) != [d] or \
                        any(x.arg.kind != "loop" or nest.free(x) != {x} for x in nest.free(d) - set(level)):
                    continue
                term = _term(d.src[0], q, top, bare(nest.substitute(top.src[0], {r: q})))
                if term is not None and not {s.node for s in sums} & set(toposort(term.value)):
                    sums.append(_Sum(d, q, term))
        if not sums:
            return f"no sum has exponentials below the maximum over {self.range}"
        if len({s.term.op for s in sums}) > 1:
            return "some exponentials are powers of e, others of 2"
        return _Plan(top, r, level, tuple(sums))

    def apply(self, loops: Loops) -> None:
        plan = self._plan(loops)
        assert not isinstance(plan, str), plan
        top, r, level = plan.top, plan.range, plan.level
        stop = r.src[1]
        block = UOp.range(f"{r.arg.name}.0", 0, (stop + (self.size - 1)) // self.size)
        around = (*level, block)

        def part(node: UOp, q: UOp, value: UOp) -> UOp:
            """What one block contributes."""
            inner = UOp.range(f"{q.arg.name}.1", 0, self.size)
            at = block * self.size + inner
            value = nest.substitute(value, {q: at})
            if (stop % self.size) is not index_const(0):
                value = alu(Ops.WHERE, at.lt(stop), value, reduce_identity(node))
            return nest.reduce(node.arg, value, [inner])

        def array(q: UOp, kind: str, like: UOp) -> UOp:
            return UOp(Ops.SCRATCH, like.dtype, (), ScratchArg(f"{q.arg.name}{kind}"))

        def fill(q: UOp, own: Sequence[UOp], *stores: tuple[UOp, UOp]) -> UOp:
            """Stores for each element of the own ranges."""
            fresh = {x: UOp.range(f"{q.arg.name}c_{i}", x.src[0], x.src[1]) for i, x in enumerate(own)}
            statements = [nest.substitute(nest.store(memory, value, own), fresh) for memory, value in stores]
            return nest.end(statements, list(fresh.values()), around)

        rows = _own(loops.root, top, level)
        largest, factor = array(r, "c", top), array(r, "f", top)
        first, exponential = block.lt(1), plan.sums[0].term.op
        before, now = nest.load(largest, rows, (block,)), part(top, r, top.src[0])
        now = alu(Ops.WHERE, first, now, alu(Ops.MAX, before, now))
        shrunk = alu(exponential, alu(Ops.ADD, before, alu(Ops.NEG, _finite(now))))
        maximum = fill(r, rows, (factor, shrunk), (largest, now))
        running, shrunk = nest.load(largest, rows, (maximum,)), nest.load(factor, rows, (maximum,))
        statements, memories = [], []
        for s in plan.sums:
            own, memory = _own(loops.root, s.node, level), array(s.range, "c", s.node)
            now = part(s.node, s.range, nest.substitute(s.term.value, {top: running}))
            carried = alu(Ops.ADD, alu(Ops.MUL, nest.load(memory, own, (block,)), shrunk), now)
            statements.append(fill(s.range, own, (memory, alu(Ops.WHERE, first, now, carried))))
            memories.append((memory, own))
        loop = nest.end(statements, [block], level)
        result = {top: nest.load(largest, rows, (loop,))}
        for s, (memory, own) in zip(plan.sums, memories):
            total = nest.load(memory, own, (loop,))
            rest = nest.substitute(s.term.rest, result)
            scale = alu(exponential, alu(Ops.ADD, _finite(result[top]), rest))
            total = alu(Ops.MUL, total, scale)
            for op, x in s.term.factors:
                total = alu(op, total, nest.substitute(x, result))
            result[s.node] = total
        marked = {u: result[u.src[0]] for u in nest.order(loops.root) if u.op is Ops.VALUE and u.src[0] in result}
        loops.root = nest.substitute(loops.root, result | marked)
        loops.serial |= {block.arg.name}


@dataclass(frozen=True)
class _Term:
    """What a sum adds, with the exponential's argument below the maximum (m where it is finite); what else is added in
    the argument; and what else every term is multiplied with, or divided by.
    """

    op: Ops
    value: UOp
    rest: UOp
    factors: tuple[tuple[Ops, UOp], ...] = ()


@dataclass(frozen=True)
class _Sum:
    node: UOp
    range: UOp
    term: _Term


@dataclass(frozen=True)
class _Plan:
    top: UOp
    range: UOp
    level: tuple[UOp, ...]
    sums: tuple[_Sum, ...]


def _own(root: UOp, node: UOp, level: Sequence[UOp]) -> list[UOp]:
    """The ranges of which a node has a value each inside of the level, outermost first."""
    loose = nest.free(node).difference(level)
    around = (r for u in reversed(nest.order(root)) if nest.is_closer(u) for r in parts(u)[1])
    return list(dict.fromkeys(r for r in around if r in loose))


def _finite(x: UOp) -> UOp:
    """A number as it is; 0 for infinities and NaN."""
    is_number = alu(Ops.CMPLT, alu(Ops.MAX, x, alu(Ops.NEG, x)), UOp.const(x.dtype, math.inf))
    return alu(Ops.WHERE, is_number, x, UOp.const(x.dtype, 0.0))


def _term(u: UOp, q: UOp, top: UOp, score: UOp) -> _Term | None:
    """A term of a sum over q as exp(score - top), times the rest of it; None where it is no such product."""
    if q not in nest.free(u):
        return None
    if u.op in EXPONENTIALS:
        return _exponential(u, q, top, score)
    if u.op in (Ops.MUL, Ops.FDIV):
        for x, other in (u.src, u.src[::-1]) if u.op is Ops.MUL else (u.src,):
            term = _term(x, q, top, score)
            if term is not None and q not in nest.free(other):
                return replace(term, factors=(*term.factors, (u.op, other)))
            if term is not None:
                return None if top in toposort(other) else replace(term, value=alu(u.op, term.value, other))
        return None
    at = {Ops.VALUE: 0, Ops.CAST: 0, Ops.WHERE: 1}.get(u.op)
    if at is None or not u.dtype.is_float or not u.src[at].dtype.is_float:
        return None
    if u.op is Ops.WHERE and (top in toposort(u.src[0]) or u.src[2].op is not Ops.CONST or u.src[2].arg != 0):
        return None
    term = _term(u.src[at], q, top, score)
    return term and replace(term, value=u.replace(src=(*u.src[:at], term.value, *u.src[at + 1:])))


def _exponential(u: UOp, q: UOp, top: UOp, score: UOp) -> _Term | None:
    """exp(score + rest), where the rest is made of the maximum and is the same for all q."""
    scores, others, stack = [], [], [u.src[0]]
    while stack:
        x = stack.pop()
        if q not in nest.free(x):
            others.append(x)
        elif _same(bare(x), score, {}):
            scores.append(x)
        elif bare(x).op is Ops.ADD:
            stack += bare(x).src
        else:
            return None
    if len(scores) != 1 or not any(top in toposort(x) for x in others):
        return None
    rest = functools.reduce(functools.partial(alu, Ops.ADD), others)
    return _Term(u.op, alu(u.op, alu(Ops.ADD, scores[0], alu(Ops.NEG, _finite(top)))), rest)


def _same(a: UOp, b: UOp, known: dict[tuple[UOp, UOp], bool]) -> bool:
    """Whether two expressions are equal but for the order of what commutes."""
    if a is b or (a.op, a.dtype, a.arg, len(a.src)) != (b.op, b.dtype, b.arg, len(b.src)):
        return a is b
    if (a, b) not in known:
        orders = (b.src, b.src[::-1]) if a.op in COMMUTATIVE else (b.src,)
        known[a, b] = any(all(_same(x, y, known) for x, y in zip(a.src, src)) for src in orders)
    return known[a, b]
