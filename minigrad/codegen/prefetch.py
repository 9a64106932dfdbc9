"""Memory on its way before it is loaded.

A kernel that reads a row and then computes with it in the cache (softmax: its largest element, then exponentials)
leaves memory idle meanwhile. With `Prefetch` the loop that computes asks for the next row, a vector at a time.

A kernel that does little with what it reads, once, waits for memory wherever the processor does not see that more of
the same is coming: at each page, at each row if several are read at a time, and down columns. With `Ahead` each load
asks for what lies a few lines behind it.
"""
from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ..target import Target
from ..uops import TRANSCENDENTAL, Ops, UOp, toposort
from . import nest
from .linearize import LINE
from .lower import Loops
from .nest import extent, parts
from .opts import Opt, const_size
from .tiles import FAR, attempt, stride

LEAST_ROW = 1 << 10     # bytes
NARROW = 4              # bytes of a number below which widening it takes more of the processor than waiting
STREAM = 2048           # bytes: the lines that a core takes a wait for memory to read
COLUMN = 256            # bytes: the lines in which the next few tiles of rows begin
FAR_ROW = 1 << 10       # bytes from one row to the next, of which a page holds few
LEAST_ROWS = 64


@dataclass(frozen=True)
class Prefetch(Opt):
    """The loop `along` that reads a slot asks for what the next iteration of `ahead`, a loop around it, will read."""

    slot: int
    ahead: str
    along: str

    def check(self, loops: Loops, target: Target) -> str | None:
        if not target.has_threads:
            return "a GPU has other rows to work on meanwhile"
        if any(self._loads(u) for u in nest.order(loops.root)):
            return None
        return f"no statement in {self.along} reads slot {self.slot} where {self.ahead} says"

    def apply(self, loops: Loops) -> None:
        def change(u: UOp) -> UOp:
            if not (loads := self._loads(u)):
                return u
            body, ranges, level = parts(u)
            hints: dict[UOp, None] = {}
            for memory, indices in map(nest.access, loads):
                next_one = {r: r + 1 for i in indices for r in nest.free(i) if r.arg.name == self.ahead}
                hints[UOp(Ops.PREFETCH, u.dtype, (memory, *[nest.substitute(i, next_one) for i in indices]))] = None
            return nest.end([*body, *hints], ranges, level)
        loops.root = nest.transform(loops.root, change)

    def _loads(self, u: UOp) -> list[UOp]:
        if u.op is not Ops.END or self.along not in [r.arg.name for r in parts(u)[1]]:
            return []
        return [x for x in _loads_in(u) if x.src[0].arg.slot == self.slot and self.ahead in _names(nest.free(x))]


@dataclass(frozen=True)
class Ahead(Opt):
    """Loads of one slot ask for what lies so many bytes behind."""

    slot: int
    bytes: int

    def check(self, loops: Loops, target: Target) -> str | None:
        if not target.has_threads:
            return "a GPU has other rows to work on meanwhile"
        if self.bytes < LINE:
            return f"{self.bytes} bytes behind is what is loaded anyway"
        if self.slot in loops.ahead:
            return f"slot {self.slot} is asked for already"
        if any(u.op is Ops.LOAD and u.src[0].op is Ops.PARAM and u.src[0].arg.slot == self.slot
               for u in nest.order(loops.root)):
            return None
        return f"slot {self.slot} is not loaded"

    def apply(self, loops: Loops) -> None:
        loops.ahead[self.slot] = self.bytes


def _names(ranges: frozenset[UOp]) -> set[str]:
    return {r.arg.name for r in ranges if r.arg.kind == "loop"}


def _loads_in(end: UOp) -> list[UOp]:
    """What its statements read of the kernel's inputs, those of loops inside left out, and where data says."""
    return [x for s in parts(end)[0] for x in nest.toposort_until(s, nest.is_closer)
            if x.op is Ops.LOAD and x.src[0].op is Ops.PARAM and
            not any(y.op is Ops.LOAD for i in nest.access(x)[1] for y in toposort(i))]


def prefetch_rows(loops: Loops, target: Target) -> None:
    """Where a value that takes long is kept for a row that was read just before."""
    for fill in nest.order(loops.root):
        if fill.op is not Ops.END or not parts(fill)[2] or not parts(fill)[1]:
            continue
        body, ranges, level = parts(fill)
        if not any(x.op in TRANSCENDENTAL for s in body for x in nest.toposort_until(s, nest.is_closer)):
            continue
        ahead, along = level[-1], ranges[-1]
        for memory in dict.fromkeys(x.src[0] for x in _loads_in(fill)):
            row = {stride(x, ahead) for x in _loads_in(fill) if x.src[0] is memory}
            again = any(x.op is Ops.LOAD and x.src[0] is memory and ahead in nest.free(x) and along not in nest.free(x)
                        for x in nest.order(loops.root))
            nbytes = row.pop() * memory.dtype.itemsize if len(row) == 1 else 0
            far = nbytes * (const_size(ahead) or 0) > target.l2
            if again and far and LEAST_ROW <= nbytes <= target.l2 // 4:
                attempt(loops, Prefetch(memory.arg.slot, ahead.arg.name, along.arg.name), target)


def prefetch_streams(loops: Loops, target: Target) -> None:
    """What one reduce alone reads, once, if the second cache would not keep much of it: where numbers need not be
    widened, or lie in rows far apart of which some are read at a time. And what a product reads down its columns.
    """
    readers: dict[UOp, set[str]] = {}       # of each input: what reads it, in one word; "" if that is something else
    closers = [u for u in nest.order(loops.root) if nest.is_closer(u) and parts(u)[1]]
    others = []
    for u in closers:
        ranges = parts(u)[1]
        carried = u.op is Ops.END and any(r.arg.name in loops.serial for r in ranges)
        if u.op is Ops.END and not carried:
            others.append(u)
            continue
        each = {r for r in {*nest.free(u), *ranges} if r.arg.kind == "loop"}
        for x in _loads_in(u) if carried else nest.reads(u):
            word = "carried" if carried else ranges[-1].arg.name.split(".")[0].rstrip("'")
            if x.src[0].op is Ops.PARAM and (found := _how(x, each, ranges[-1], carried, target)) is not None:
                readers.setdefault(x.src[0], set()).add(found and (found if found == "columns" else word))
    for u in others if readers else ():
        for x in _loads_in(u):
            readers.setdefault(x.src[0], set()).add("")
    stored = {s.src[0] for u in closers for s in parts(u)[0] if s.op is Ops.STORE}
    for memory, words in readers.items():
        if memory not in stored and len(words) == 1 and words != {""}:
            attempt(loops, Ahead(memory.arg.slot, COLUMN if words == {"columns"} else STREAM), target)


def _how(x: UOp, each: set[UOp], inner: UOp, carried: bool, target: Target) -> str | None:
    """How loops read an input: in "columns", as a "stream", or "" otherwise. None: it is the rest of such rows."""
    size = x.dtype.itemsize
    if each <= nest.free(x):
        large = prod([extent(r) for r in nest.free(x)]) * size >= target.l2 // 4
        if large and (carried or size >= NARROW) and 0 < stride(x, inner) * size <= STREAM:
            return "stream"
    if carried or nest.lanes(x) or extent(inner) < LEAST_ROWS or not FAR_ROW <= stride(x, inner) * size < FAR:
        return ""
    return "columns" if any(0 < stride(x, r) * size <= LINE for r in each if r is not inner) else None
