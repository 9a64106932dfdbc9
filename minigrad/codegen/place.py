"""PLACE and BOUND: values kept in scratch at a level of the loops, and guards that become the ends of loops.

PLACE computes a value once per iteration of its level's ranges: a nest of its own with fresh ranges (named after the
value and its axes, "v3_1") fills a scratch array over the extent that the uses touch, and the uses load from there. Of
an input ("p1") it is the packing of an operand; `layout` says in which order the inner loops read it.

Consumers are placed before producers: the fill of a value is lowered anew from the AST, without opts.
"""
from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from ..dtype import DType, accumulator, dtypes
from ..target import Target
from ..uops import Ops, ScratchArg, UOp, toposort
from ..uops.uop import add_scaled, bounds, index_const, linear
from . import nest
from .lower import Loops, reduce_identity
from .opts import Opt, bare, no_loop

Layout = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Place(Opt):
    """A value or an input goes to scratch, filled once per iteration of the level's ranges.

    `along`: only the uses whose indices move with the range of that name; the others stay as they are.
    `pad`: so many elements stay free after each row, so that a column lies in different banks of shared memory.
    `stages`: 2 copies an input's next tile while this one is read; the level ends with a reduce's range.
    `shared`: into memory that the threads of a block share, and fill together where LOCAL gives them the fill's ranges.
    """

    value: str
    level: tuple[str, ...]
    layout: Layout = ()
    shared: bool = False
    along: str = ""
    pad: int = 0
    stages: int = 1

    @property
    def label(self) -> str:
        """The name of the array, and of its fill's ranges with an axis behind it."""
        return f"{self.value}_{self.along.replace('.', '')}" if self.along else self.value

    def check(self, loops: Loops, target: Target) -> str | None:
        if self.shared and not target.has_blocks:
            return "the target has no blocks of threads"
        plan = self._plan(loops)
        if isinstance(plan, str):
            return plan
        if self.pad < 0:
            return f"a pad of {self.pad} elements"
        if self.stages != 1 and (reason := self._unstaged(loops, target, plan)):
            return reason
        size = plan.dtype.itemsize * self.stages * prod(max(1, bounds(extent)[1]) for extent in plan.extents)
        if size > max(target.scratch, 1):
            return f"{size} bytes are more than the scratch of the target"
        return None

    def _unstaged(self, loops: Loops, target: Target, plan: _Plan) -> str | None:
        """Why the array cannot be filled ahead."""
        if self.stages != 2 or not self.shared or not target.has("cp.async"):
            return "stages are two, of shared memory, and of a target that copies on its own"
        if plan.node.op is not Ops.PARAM or plan.dtype is not plan.node.dtype:
            return f"{self.value} is not copied as it is"
        last = plan.level[-1] if plan.level else None
        if not any(u.op is Ops.REDUCE and last in nest.parts(u)[1] for u in nest.order(loops.root)):
            return "no loop of a reduce fills it again and again"
        return None

    def _plan(self, loops: Loops) -> _Plan | str:
        node = loops.values.get(self.value)
        if node is None:
            return f"there is no value {self.value}"
        order = nest.order(loops.root)
        uses = _uses(order, self.value, node, self.shared)
        if self.along:
            uses = [u for u in uses if any(r.arg.name == self.along for i in _indices_of(u) for r in nest.free(i))]
        if not uses:
            return f"{self.value} is not used"
        if any(u.op is Ops.SCRATCH and u.arg.name == self.label for u in order):
            return f"{self.value} is in scratch already"
        if any(u.op is Ops.LOAD and u.src[0] is node and nest.waits_of(u) for u in order):
            return f"{self.value} is read while it is written"
        level: list[UOp] = []
        for name in self.level:
            found = [u for u in order if u.op is Ops.RANGE and u.arg.name == name]
            if len(found) != 1 or found[0].arg.kind not in ("loop", "global") + (() if self.shared else ("local",)):
                return f"level {name} is not one loop"
            level.append(found[0])
        around = frozenset(level)
        if any(not nest.free(r) <= around for r in level):
            return "the level leaves out ranges on which its bounds depend"
        for r in level:
            if not self.shared and any(u.op is Ops.REDUCE and r in nest.parts(u)[1] for u in order):
                return "a level is a loop around the statements, not a reduce's"
            outside = set(nest.toposort_until(loops.root, lambda u, r=r: nest.is_closer(u) and r in nest.parts(u)[1]))  # type: ignore[misc]
            if any(u in outside for u in uses):
                return f"the level's range {r.arg.name} is not around every use"
        indices = [_indices_of(u) for u in uses]
        blocked = any(r.arg.name in loops.serial for r in level)    # padding is the same in all blocks, and no gate
        shape = node.shape
        base: list[UOp] = []
        extents: list[UOp] = []
        for axis in range(len(shape)):
            lows = {nest.extreme(i[axis], around, False) for i in indices}
            if len(lows) != 1:
                return f"the uses of {self.value} start at different places of axis {axis}"
            low = lows.pop()
            highs = [add_scaled(nest.extreme(i[axis], around, True), low, -1) + 1 for i in indices]
            high = functools.reduce(UOp.maximum, highs)
            n = shape[axis]
            if node.op is not Ops.PARAM and bounds(low)[0] < 0:
                return f"elements of {self.value} are used before its start on axis {axis}: the array would begin there"
            if node.op is not Ops.PARAM and isinstance(n, int) and bounds(high)[1] > n and not blocked:
                # a value's uses mask what lies beyond, while an input reads as 0 there
                high = high.minimum(index_const(n))
            base.append(low)
            extents.append(high)
        if self.layout and {dim for dim, _, _ in self.layout} != {
            a for a in range(len(shape)) if extents[a] is not index_const(1)
        }:
            return "the layout does not name every axis"
        plan = _Plan(node, tuple(uses), tuple(level), tuple(base), tuple(extents), uses[0].dtype,
                     tuple([None if extent is index_const(1) else UOp.range(f"{self.label}_{axis}", 0, extent)
                            for axis, extent in enumerate(extents)]))
        return _as_used(plan, {memory for memory, _ in nest.carried(loops.root)}) or plan

    def apply(self, loops: Loops) -> None:
        plan = self._plan(loops)
        assert not isinstance(plan, str), plan
        fresh = plan.fresh
        if plan.value is not None:
            value = plan.value
        else:
            clean = tuple(UOp.range(f"clean{axis}", 0, n) if n != 1 else index_const(0)
                          for axis, n in enumerate(plan.node.shape))
            at = {c: b if r is None else b + r for c, b, r in zip(clean, plan.base, fresh) if c.op is Ops.RANGE}
            value = bare(nest.substitute(loops.lowering.lower(plan.node, clean), at))
        if value.dtype is not plan.dtype:       # an input, widened
            value = value.src[0]
        # a block's memory is small: gates, which cost a GPU little, rather than padding
        extents = tuple(max(1, bounds(extent)[1]) for extent in plan.extents) if self.shared else ()
        arg = ScratchArg(self.label, self.layout, self.shared, shape=extents, pad=self.pad, stages=self.stages)
        scratch = UOp(Ops.SCRATCH, plan.dtype, (), arg)
        own = [r for r in fresh if r is not None]
        statement = nest.store(scratch, value, [index_const(0) if r is None else r for r in fresh])
        fill = nest.end([statement], own, plan.level)
        mapping = {}
        for use in plan.uses:
            local = [add_scaled(i, b, -1) for i, b in zip(_indices_of(use), plan.base)]
            mapping[use] = nest.load(scratch, local, (fill,))
        for guard in nest.order(loops.root) if plan.node.op is Ops.PARAM else ():
            if guard.op is Ops.WHERE and any({use, *use.src} & set(plan.uses) for use in own_loads(guard)):
                mapping[guard] = nest.substitute(guard.src[1], mapping)
        loops.root = nest.substitute(loops.root, mapping)


@dataclass(frozen=True)
class _Plan:
    node: UOp
    uses: tuple[UOp, ...]
    level: tuple[UOp, ...]
    base: tuple[UOp, ...]
    extents: tuple[UOp, ...]
    dtype: DType
    fresh: tuple[UOp | None, ...]           # the fill's range of each axis
    value: UOp | None = None                # what the fill stores, where that is not the AST's value at these


def _as_used(plan: _Plan, carried: set[UOp]) -> _Plan | str | None:
    """The plan of a value that is made of what a loop carries: filled as its uses compute it. None: it is not."""
    if not carried or not any(u.op is Ops.LOAD and u.src[0] in carried for u in toposort(*plan.uses)):
        return None
    found = set()
    for use in plan.uses:
        moved = [(add_scaled(i, b, -1), r) for i, b, r in zip(_indices_of(use), plan.base, plan.fresh) if r is not None]
        if any(i.op is not Ops.RANGE for i, _ in moved) or len({i for i, _ in moved}) < len(moved):
            return "what a loop carries is not placed from indices that are no ranges"
        found.add(nest.substitute(bare(use), {i: r for i, r in moved if r is not None}))
    value = found.pop()
    if found or not nest.free(value) <= {*plan.level, *plan.fresh}:
        return "its uses lie in different iterations of a loop that carries it"
    return replace(plan, value=value)


def own_loads(guard: UOp) -> list[UOp]:
    """What a WHERE reads of inputs, or multiplies, if it guards by nothing but the bounds of that read, with zero.

    Kept in scratch, where zeros lie beyond the bounds, it needs no guard. (A product with an infinity is NaN there, as
    it is in a convolution that is padded with zeros.)
    """
    value, zero = bare(guard.src[1]), guard.src[2]
    found = []
    for use in map(bare, value.src if value.op is Ops.MUL else (value,)) if _is_const(zero, 0) else ():
        load = load_of(use)
        if load.op is Ops.LOAD and load.src[0].op is Ops.PARAM:
            memory, indices = nest.access(load)
            bounds_of_load = {c for i, n in zip(indices, memory.arg.shape) for c in (i.ge(0), i.lt(n))}
            if bounds_of_load.issuperset(conjunction(guard.src[0])):
                found.append(use)
    return found


def _uses(order: Sequence[UOp], name: str, node: UOp, narrow: bool) -> list[UOp]:
    """The VALUE nodes of a name; of an input its loads, or where 16-bit floats are widened after the load.

    `narrow`: they lie in scratch as they are, and each use widens them: shared memory is small, and threads are many.
    """
    if node.op is not Ops.PARAM:
        return [u for u in order if u.op is Ops.VALUE and u.arg == name]
    loads = [u for u in order if u.op is Ops.LOAD and u.src[0] is node]
    if narrow or accumulator(node.dtype) is node.dtype:
        return loads
    return [u for u in order if u.op is Ops.CAST and u.src[0] in loads]


def load_of(use: UOp) -> UOp:
    """The LOAD of an input's use, which may be widened behind it."""
    return use.src[0] if use.op is Ops.CAST else use


def _indices_of(use: UOp) -> tuple[UOp, ...]:
    if use.op is Ops.VALUE:
        return use.src[1:]
    return nest.access(load_of(use))[1]


@dataclass(frozen=True)
class Bound(Opt):
    """Guards that select the reduce's identity become the loop's start and end, rounded to `multiple`; they stay.

    Both are expressions of the level's ranges. A loop that starts later counts from 0 still: what it counts is added to
    the start. Applied before PLACE, since a scratch load hides its guard.
    """

    range: str
    level: tuple[str, ...]
    multiple: int = 1

    def check(self, loops: Loops, target: Target) -> str | None:
        reason = no_loop(loops, self.range)
        if reason is not None:
            return reason
        if self.multiple < 1:
            return f"multiple {self.multiple} is not positive"
        names = {u.arg.name for u in nest.order(loops.root) if u.op is Ops.RANGE}
        if not set(self.level) <= names or self.range in self.level:
            return "a range of the level is missing"
        if any(u.op is Ops.END for u in nest.closers(loops.root, self.range)):
            return f"{self.range} is no reduce's"
        for r in nest.ranges_named(loops.root, self.range):
            start, end = self.ends(loops, r)
            if (start, end) == r.src:
                return "no guard bounds it"
            if any(x.arg.kind == "lane" for x in nest.free(start) | nest.free(end)):
                return "it would end elsewhere for each lane"
            for u in nest.closers(loops.root, self.range):
                inner = nest.parts(u)[1]
                if r in inner and not nest.free(start) | nest.free(end) <= nest.free(u) | set(inner[:inner.index(r)]):
                    return f"the level is not around every loop over {self.range}"
        return None

    def ends(self, loops: Loops, r: UOp) -> tuple[UOp, UOp]:
        """Where the range starts and ends then."""
        keep = frozenset(u for u in nest.order(loops.root) if u.op is Ops.RANGE and u.arg.name in self.level)
        found: list[tuple[UOp, UOp]] = []
        for closer in nest.closers(loops.root, self.range):
            if r not in nest.parts(closer)[1]:
                continue
            start, end = r.src
            for guard in guards(closer.src[0], reduce_identity(closer).arg):
                if guard.op is not Ops.CMPLT or guard.src[0].dtype is not dtypes.index:
                    continue
                step = linear(guard.src[0])[1].get(r)
                if step == 1:       # r + rest < 0: r ends at -rest
                    limit = nest.extreme(-add_scaled(guard.src[0], r, -1), keep, True)
                    end = end.minimum(((limit + (self.multiple - 1)) // self.multiple) * self.multiple)
                elif step == -1:    # rest - r < 0: r starts at rest + 1
                    limit = nest.extreme(add_scaled(guard.src[0], r, 1) + 1, keep, False)
                    start = start.maximum((limit // self.multiple) * self.multiple)
            found.append((start, end))
        start, end = found[0] if found else r.src
        for other in found[1:]:
            start, end = start.minimum(other[0]), end.maximum(other[1])
        return start, end

    def apply(self, loops: Loops) -> None:
        for r in nest.ranges_named(loops.root, self.range):
            start, end = self.ends(loops, r)
            late = start is not r.src[0]
            shorter = UOp.range(r.arg.name, index_const(0) if late else start, end - start if late else end, r.arg.kind,
                                r.arg.copy)
            loops.root = nest.substitute(loops.root, {r: shorter + start if late else shorter}, {r: (shorter,)})


def guards(value: UOp, outside: float | int | bool) -> list[UOp]:
    """Conditions without which the value equals `outside` (0 for sums, -inf for maxima).

    EXP(x - m) with x = -inf is 0 whenever m is not -inf: m is a row's maximum and some element of the row is kept,
    since the causal guard keeps the diagonal. Where every element is masked the result is NaN with and without the
    bound.
    """
    found: list[UOp] = []
    stack: list[tuple[UOp, float | int | bool]] = [(value, outside)]
    while stack:
        u, target = stack.pop()
        if u.op is Ops.VALUE:
            stack.append((u.src[0], target))
        elif u.op is Ops.WHERE:
            if _is_const(u.src[2], target):
                found += conjunction(u.src[0])
                stack.append((u.src[1], target))
            elif _is_const(u.src[1], target):
                found += conjunction(bare(u.src[0]).logical_not())
                stack.append((u.src[2], target))
        elif u.op is Ops.MUL and target == 0:
            stack += [(s, target) for s in u.src]
        elif u.op is Ops.FDIV and target == 0:
            stack.append((u.src[0], target))
        elif u.op in (Ops.EXP, Ops.EXP2) and target == 0:
            stack.append((u.src[0], float("-inf")))
        elif u.op is Ops.ADD and target == float("-inf"):
            stack += [(s, target) for s in u.src]
        elif u.op is Ops.MUL and target == float("-inf"):
            for x, c in (u.src, u.src[::-1]):
                if c.op is Ops.CONST and c.arg > 0:
                    stack.append((x, target))
    return found


def _is_const(u: UOp, value: float | int | bool) -> bool:
    return u.op is Ops.CONST and bool(u.arg == value)


def conjunction(condition: UOp) -> list[UOp]:
    """The terms of a chain of ANDs."""
    terms, stack = [], [condition]
    while stack:
        c = bare(stack.pop())
        if c.op is Ops.AND:
            stack += c.src
        else:
            terms.append(c)
    return terms
