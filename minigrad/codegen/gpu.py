"""GLOBAL, LOCAL and GROUP: which ranges are a GPU's grid and its blocks, and sums that the threads of a block share.

A range that is global or local opens no loop: every thread has one value of it, the index of its block or its own in
the block. All ranges of a name move together, and ranges of different nests that are local in one dimension are the
same threads: the loops that fill shared memory, and each loop over the row of a softmax.

What GROUP cuts among threads is combined through shared memory: each thread reduces its share into an array, then all
of them read it. Where the target has warps, these combine their threads' shares by shuffles before.
"""
from __future__ import annotations

from dataclasses import dataclass

from ..target import Target
from ..uops import Ops, ScratchArg, UOp
from ..uops.uop import TRUE, alu, index_const
from . import nest
from .lower import Loops
from .nest import parts
from .opts import Opt

GRID_LIMITS = (2**31 - 1, 65535, 65535)     # blocks in x, y and z (CUDA C++ Programming Guide, "Compute Capabilities")
DEEPEST = 64                                # threads of a block in z


@dataclass(frozen=True)
class Global(Opt):
    """The range becomes the index of the block in a dimension (0, 1, 2: x, y, z). Its size may be symbolic."""

    range: str
    dimension: int

    def check(self, loops: Loops, target: Target) -> str | None:
        found = nest.ranges_named(loops.root, self.range)
        reason = _no_index(loops, target, self.range, self.dimension, found)
        if reason is not None:
            return reason
        if mapped(loops, "global", self.dimension):
            return f"dimension {self.dimension} of the grid is taken"
        if len({r.src[1] for r in found}) > 1:
            return f"loops over {self.range} end at different places"
        if found[0].src[1].vmax > GRID_LIMITS[self.dimension]:
            return f"{found[0].src[1].vmax} blocks are more than dimension {self.dimension} of a grid holds"
        for u in nest.closers(loops.root, self.range):
            if u.op is Ops.REDUCE:
                return f"{self.range} is a reduce's: blocks cannot combine their parts"
            if stores_of(u, Ops.SCRATCH):
                return f"{self.range} fills scratch, of which every block has its own"
        return None

    def apply(self, loops: Loops) -> None:
        _become(loops, self.range, "global", self.dimension)


@dataclass(frozen=True)
class Local(Opt):
    """The range becomes the thread's index in a dimension of its block; several share it, none inside of another."""

    range: str
    dimension: int

    def check(self, loops: Loops, target: Target) -> str | None:
        found = nest.ranges_named(loops.root, self.range)
        reason = _no_thread(loops, target, self.range, self.dimension, found)
        if reason is not None:
            return reason
        for u in nest.closers(loops.root, self.range):
            if u.op is Ops.REDUCE:
                return f"{self.range} is a reduce's: GROUP cuts it among threads"
            if any(not s.src[0].arg.shared for s in stores_of(u, Ops.SCRATCH)):
                return f"{self.range} fills scratch that every thread has for itself"
        if any(r in parts(u)[2] and not _apart(u, r) for u in nest.order(loops.root) if u.op is Ops.END for r in found):
            return f"{self.range} is a level of shared scratch, which the threads would fill with different values"
        return None

    def apply(self, loops: Loops) -> None:
        _become(loops, self.range, "local", self.dimension)


@dataclass(frozen=True)
class Group(Opt):
    """Cuts reduces over the range among threads: each stores its part in shared memory, all combine the parts.

    The range is the inner part of a split one, as long as the block; the outer part stays each thread's loop. The
    loop over the parts is named after the range, with "g". `warp`: its so many threads make one part by shuffles.
    """

    range: str
    dimension: int
    warp: int = 0

    def check(self, loops: Loops, target: Target) -> str | None:
        found = nest.ranges_named(loops.root, self.range)
        reason = _no_thread(loops, target, self.range, self.dimension, found)
        if reason is not None:
            return reason
        if self.warp and (self.warp != target.warp or self.dimension or found[0].src[1].arg % self.warp):
            return f"{self.range} is not cut into warps of {self.warp} threads"
        for u in nest.closers(loops.root, self.range):
            if u.op is not Ops.REDUCE:
                return f"{self.range} is no reduce's"
            if nest.lanes(u):
                return f"the sum over {self.range} has lanes: GROUP comes before VECTOR"
        return None

    def apply(self, loops: Loops) -> None:
        for r in nest.ranges_named(loops.root, self.range):
            mine = UOp.range(r.arg.name, 0, r.src[1], "local", r.arg.copy)
            count = r.src[1].arg // (self.warp or 1)
            partial = [UOp.range(r.arg.name + "g", 0, count, copy=r.arg.copy)] if count > 1 else []

            def change(u: UOp, r: UOp = r, mine: UOp = mine, partial: list[UOp] = partial) -> UOp:
                if u.op is not Ops.REDUCE or r not in parts(u)[1]:
                    return u
                rest = [x for x in parts(u)[1] if x is not r]
                share = nest.reduce(u.arg, nest.substitute(u.src[0], {r: mine}), rest)
                level = sorted(nest.free(share) - {mine}, key=lambda x: x.age)
                others = [x for x in level if x.arg.kind == "local"]     # each of these threads has parts of its own
                arg = ScratchArg(f"{self.range}.parts", shared=True, copy=loops.fresh_copy())
                scratch = UOp(Ops.SCRATCH, u.dtype, (), arg)
                place, gate = mine, TRUE
                if self.warp:
                    share, place, gate = _combined(u.arg, share, self.warp), mine // self.warp, (mine % self.warp).lt(1)
                fill = nest.end([nest.store(scratch, share, [*others, place], gate)], [mine], level)
                parted = nest.load(scratch, [*others, *(partial or [index_const(0)])], (fill,))
                return nest.reduce(u.arg, parted, partial)
            loops.root = nest.transform(loops.root, change)
        loops.dimensions[self.range] = self.dimension


def _combined(op: Ops, share: UOp, warp: int) -> UOp:
    """The shares of a warp's threads, combined: every one of them has the result."""
    while warp > 1:
        warp //= 2
        share = alu(op, share, UOp(Ops.SHUFFLE, share.dtype, (share,), warp))
    return share


def _no_index(loops: Loops, target: Target, name: str, dimension: int, found: list[UOp]) -> str | None:
    """Why the ranges can be neither a block's nor a thread's index."""
    if not target.has_blocks:
        return "the target has no blocks of threads"
    if dimension not in (0, 1, 2):
        return f"dimension {dimension} is not 0, 1 or 2"
    if not found:
        return f"there is no range {name}"
    if name in loops.serial or loops.thread == name:
        return f"{name} has to stay a loop"
    for r in found:
        if r.arg.kind != "loop":
            return f"{name} is {r.arg.kind} already"
        if r.src[0] is not index_const(0) or nest.free(r) != {r}:
            return f"{name} does not run from 0 to an end that is the same everywhere"
    return None


def _no_thread(loops: Loops, target: Target, name: str, dimension: int, found: list[UOp]) -> str | None:
    """Why the ranges cannot be a thread's index."""
    return (_no_index(loops, target, name, dimension, found) or wrong_size(loops, target, name, dimension, found)
            or nested(loops, dimension, found))


def wrong_size(loops: Loops, target: Target, name: str, dimension: int, found: list[UOp]) -> str | None:
    """Why the ranges do not fit the block."""
    sizes = {r.src[1].arg if r.src[1].op is Ops.CONST else None for r in found}
    sizes |= {r.src[1].arg for r in mapped(loops, "local", dimension)}
    if len(sizes) > 1 or None in sizes:
        return f"{name} is not as long as dimension {dimension} of the block: {sorted(map(str, sizes))}"
    threads = sizes.pop() or 1
    if dimension == 2 and threads > DEEPEST:
        return f"{threads} threads are more than dimension 2 of a block holds"
    for other in {0, 1, 2} - {dimension}:
        threads *= max((r.src[1].arg for r in mapped(loops, "local", other)), default=1)
    return f"{threads} threads are more than a block has" if threads > target.block_threads else None


def nested(loops: Loops, dimension: int, found: list[UOp]) -> str | None:
    """Why the ranges cannot be local in a dimension: what depends on two of them would exist on a diagonal only."""
    same = frozenset(found) | frozenset(mapped(loops, "local", dimension))
    for u in nest.order(loops.root):
        both = nest.free(u) & same
        if len(both) > 1:
            names = " and ".join(sorted(r.arg.name for r in both))
            return f"{names} would be the same threads, one inside of the other"
    return None


def mapped(loops: Loops, kind: str, dimension: int) -> list[UOp]:
    """The ranges that are a dimension of the grid or the block."""
    return [u for u in nest.order(loops.root)
            if u.op is Ops.RANGE and u.arg.kind == kind and loops.dimensions[u.arg.name] == dimension]


def stores_of(closer: UOp, memory: Ops) -> list[UOp]:
    """The STOREs to memory of this kind among the statements of an END."""
    found, stack = [], [closer]
    while stack:
        u = stack.pop()
        if u.op is Ops.END:
            stack += parts(u)[0]
        elif u.op is Ops.STORE and u.src[0].op is memory:
            found.append(u)
    return found


def _apart(fill: UOp, r: UOp) -> bool:
    """Whether the threads along a range fill elements of their own."""
    return all(any(r in nest.free(i) for i in nest.access(s)[1])
               for s in stores_of(fill, Ops.SCRATCH) if s.src[0].arg.shared)


def _become(loops: Loops, name: str, kind: str, dimension: int) -> None:
    for r in nest.ranges_named(loops.root, name):
        index = UOp.range(name, 0, r.src[1], kind, r.arg.copy)
        loops.root = nest.substitute(loops.root, {r: index}, {r: (index,)})
    loops.dimensions[name] = dimension
