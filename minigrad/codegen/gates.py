"""Loads of a GPU kernel happen where their values are used: a thread whose stores are gated off reads nothing.

In: the list of UOps of a kernel with threads. Out: the list, in which a LOAD of a buffer has in its gate the conditions
that all uses of its value have in common: gates of stores, conditions that select. What a thread beyond an end would
read is a neighbour's, which another block may be writing, or what nothing wrote yet; and it costs bandwidth.

    v = a[i] ; if (i < n) b[i] = v     becomes     v = i < n ? a[i] : 0 ; if (i < n) b[i] = v

A processor's vectors read whole registers instead, which are padded.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable

from ..dtype import dtypes
from ..uops import Ops, UOp, toposort
from . import nest
from .place import conjunction

Terms = frozenset[UOp]      # conditions on indices: of a value's use, what holds wherever it is used
ALWAYS: Terms = frozenset()


def gate_loads(ops: list[UOp]) -> list[UOp]:
    """The list with conditions added to the gates of loads."""
    opened = _open_ranges(ops)
    extra = {u: terms for u, terms in _uses(ops, opened).items()
             if u.op is Ops.LOAD and u.src[0].src[0].op is Ops.PARAM}

    def change(old: UOp, u: UOp) -> UOp:
        terms = [t for t in extra.get(old, ALWAYS) if nest.free(t) <= opened[old]]
        if not terms:
            return u
        memory, address, gate, *valid = u.src[0].src
        for t in sorted(terms, key=lambda t: t.age):
            gate = gate if t in conjunction(gate) else gate & t
        return UOp(Ops.LOAD, u.dtype, (u.src[0].replace(src=(memory, address, gate, *valid)),), u.arg)
    return rebuilt(ops, change)


def rebuilt(ops: list[UOp], change: Callable[[UOp, UOp], UOp]) -> list[UOp]:
    """A list whose ops passed through `change`, which gets each as it was and with its new sources."""
    done: dict[UOp, UOp] = {}
    for u in ops:
        for x in nest.toposort_until(u, lambda x: x in done):
            src = tuple(done[s] for s in x.src)
            done[x] = x if src == x.src else UOp(x.op, x.dtype, src, x.arg)
        done[u] = change(u, done[u])
    return [done[u] for u in ops]


def _open_ranges(ops: list[UOp]) -> dict[UOp, Terms]:
    """The ranges that have a value where a load or an accumulator stands."""
    found: dict[UOp, Terms] = {}
    ranges: list[UOp] = []
    for u in ops:
        if u.op in (Ops.LOOP, Ops.SPECIAL):
            ranges.append(u.src[0])
        elif u.op is Ops.ENDLOOP:
            ranges.pop()
        elif u.op in (Ops.LOAD, Ops.ACCUMULATOR):
            found[u] = frozenset(ranges)
    return found


def _uses(ops: list[UOp], opened: dict[UOp, Terms]) -> dict[UOp, Terms]:
    """For each value of the list, what holds at all of its uses."""
    needs: dict[UOp, Terms] = {}
    listed = set(ops)

    def use(values: Iterable[UOp], terms: Terms) -> None:
        for value in values:
            needs[value] = needs[value] & terms if value in needs else terms

    for u in reversed(ops):
        mine = needs.get(u, ALWAYS)
        if u.op is Ops.STORE:
            use(_mentioned(u.src[0], listed), ALWAYS)       # an address is computed by every thread
            use(u.src[1:], _terms(u.src[0].src[2]))
        elif u.op is Ops.UPDATE:
            # what is used in a loop that opens a range again says nothing of the loop of the sum
            around = opened[u.src[0]]
            use(u.src[1:], frozenset(t for t in needs.get(u.src[0], ALWAYS) if nest.free(t) <= around))
        elif u.op is Ops.WHERE:
            chosen = u.src[0].src[0] if u.src[0].op is Ops.CAST else u.src[0]
            for value, condition in zip(u.src[1:], (chosen, chosen.logical_not())):
                use((value,), mine | _terms(condition))
            use(u.src[:1], mine)
        elif u.op in (Ops.LOAD, Ops.LOOP, Ops.IF, Ops.MATRIX, Ops.SHUFFLE):
            use((x for s in u.src for x in _mentioned(s, listed)), ALWAYS)
        else:
            use(u.src, mine)
    return needs


def _mentioned(expression: UOp, listed: set[UOp]) -> list[UOp]:
    """The values of the list that an expression is made of."""
    if expression in listed:
        return [expression]
    return [s for u in nest.toposort_until(expression, lambda u: u in listed) for s in u.src if s in listed]


def _terms(gate: UOp) -> Terms:
    """What a gate says about indices alone; nothing of what it says about data or by lane."""
    return frozenset(t for t in conjunction(gate) if t.dtype is dtypes.bool and t.op is not Ops.CONST
                     and all(x.dtype is dtypes.index or x.dtype is dtypes.bool for x in toposort(t))
                     and not any(x.op in (Ops.LOAD, Ops.INDEX) for x in toposort(t)) and not nest.lanes(t))
