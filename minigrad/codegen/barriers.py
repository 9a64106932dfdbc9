"""Barriers of a GPU kernel's list, derived from pairs of writes and reads of shared memory.

In: a list of UOps in which threads of a block write and read shared SCRATCH. Out: the list with BARRIERs, so that

* a read comes after a barrier after the writes that it may see, and
* a write comes after a barrier after the reads of what it overwrites.

Writes of one array by one fill go to different elements, or to the same by the same thread, and need no order. Nor
are the elements compared that a write and a read touch: arrays are. A loop's body follows itself: what is read at its
end meets what is written at its start. Where a loop only reads what was written before it, the barrier stands before
the loop, not inside. All threads of a block reach each barrier: one inside of a loop whose length differs among them
is refused.
"""
from __future__ import annotations

from dataclasses import dataclass, field

from ..dtype import dtypes
from ..uops import Ops, UOp, toposort
from ..uops.uop import bounds
from . import nest

Arrays = frozenset[UOp]
_NONE: Arrays = frozenset()
BARRIER = UOp(Ops.BARRIER, dtypes.void)
TOGETHER = frozenset({Ops.MATRIX, Ops.SHUFFLE, Ops.BARRIER})    # what all threads of a warp or a block do at once


@dataclass(eq=False)
class _Section:
    """A loop's body (or the whole kernel), and before which of its items a barrier stands."""

    opening: UOp | None
    divergent: UOp | None                   # the LOOP or IF around it that not all threads pass alike
    items: list[UOp | _Section] = field(default_factory=list)
    barriers: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class _State:
    """Arrays written and read since the last barrier."""

    written: Arrays = _NONE
    read: Arrays = _NONE

    def join(self, other: _State) -> _State:
        return _State(self.written | other.written, self.read | other.read)

    def conflicts(self, next_: _State) -> bool:
        return bool(self.written & next_.read or self.read & next_.written)


def place_barriers(ops: list[UOp]) -> list[UOp]:
    """The list with the barriers it needs. ValueError: one is needed where threads of a block part ways."""
    if not any(_accesses(u) != _State() or u.op in TOGETHER for u in ops):
        return ops
    top = _sections(ops)
    _run(top, _State(), True)
    _prune(top, top)
    return _flatten(top)


def _accesses(u: UOp) -> _State:
    """The shared array that one op writes or reads."""
    if u.op not in (Ops.LOAD, Ops.STORE):
        return _State()
    memory = u.src[0].src[0]
    if memory.op is not Ops.SCRATCH or not memory.arg.shared:
        return _State()
    only = frozenset((memory,))
    return _State(read=only) if u.op is Ops.LOAD else _State(written=only)


def _sections(ops: list[UOp]) -> _Section:
    top = _Section(None, None)
    stack = [top]
    differs: set[UOp] = set()               # ranges of loops whose length is not the same for all threads
    for u in ops:
        if u.op in (Ops.LOOP, Ops.IF):
            divergent = stack[-1].divergent
            if u.op is Ops.IF or any(_differs(end, differs) for end in u.src[0].src):
                divergent = u
                differs.add(u.src[0])
            section = _Section(u, divergent)
            stack[-1].items.append(section)
            stack.append(section)
        elif u.op in (Ops.ENDLOOP, Ops.ENDIF):
            stack[-1].items.append(u)
            stack.pop()
        else:
            if u.op in TOGETHER and stack[-1].divergent is not None:
                raise ValueError(f"barriers: a {u.op.name} would stand inside of "
                                 f"{stack[-1].divergent.src[0]!r}, which the threads of a block do not all pass alike")
            stack[-1].items.append(u)
    return top


def _differs(end: UOp, differs: set[UOp]) -> bool:
    """Whether a loop's end may differ among the threads of a block: it mentions a thread's index, or data."""
    return any(r.arg.kind == "local" or r in differs for r in nest.free(end)) or any(
        u.dtype is not dtypes.index and u.op is not Ops.CONST and u.dtype is not dtypes.bool for u in toposort(end))


def _run(section: _Section, state: _State, place: bool) -> tuple[_State, bool]:
    """(the state that a section is left in, no access conflicts) when it is entered in this one.

    `place`: adds the barriers it needs.
    """
    right = True
    for i, item in enumerate(section.items):
        if i in section.barriers or item is BARRIER:
            state = _State()
        ahead = _accesses(item) if isinstance(item, UOp) else _exposed(item)
        if place and state.conflicts(ahead):
            if section.divergent is not None:
                raise ValueError(f"barriers: one would stand inside of {section.divergent.src[0]!r}, "
                                 "which the threads of a block do not all pass alike")
            section.barriers.add(i)
            state = _State()
        if isinstance(item, UOp):
            right = right and not state.conflicts(ahead)
            state = state.join(ahead)
            continue
        before = state
        while True:                         # the body follows itself
            left, inside = _run(item, state, place)
            if state.join(left) == state:
                break
            state = state.join(left)
        right = right and inside
        state = left if _runs(item) else before.join(left)
    return state, right


def _runs(section: _Section) -> bool:
    """Whether a loop surely runs at least once."""
    if section.opening is None or section.opening.op is not Ops.LOOP:
        return False
    start, end = section.opening.src[0].src
    return bounds(end - start)[0] > 0


def _prune(top: _Section, section: _Section) -> None:
    """Takes out the barriers that others make needless."""
    for i, item in enumerate(section.items):
        if i in section.barriers:
            section.barriers.remove(i)
            if not _run(top, _State(), False)[1]:
                section.barriers.add(i)
        if isinstance(item, _Section):
            _prune(top, item)


def _exposed(section: _Section) -> _State:
    """What a section touches before its first barrier."""
    state = _State()
    for i, item in enumerate(section.items):
        if i in section.barriers or item is BARRIER:
            break
        state = state.join(_accesses(item) if isinstance(item, UOp) else _exposed(item))
    return state


def _flatten(top: _Section) -> list[UOp]:
    ops: list[UOp] = []
    stack: list[UOp | _Section] = [top]
    while stack:
        item = stack.pop()
        if isinstance(item, UOp):
            ops.append(item)
            continue
        if item.opening is not None:
            ops.append(item.opening)
        for i in range(len(item.items) - 1, -1, -1):
            stack.append(item.items[i])
            if i in item.barriers:
                stack.append(BARRIER)
    return ops
