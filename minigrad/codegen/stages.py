"""Shared arrays with two stages: while a block multiplies one tile, copies bring the next one.

In: the list of UOps of a kernel in which a loop fills shared arrays from buffers and reads them. Out: the list, in
which the first fill stands before the loop, and each iteration waits for its own, meets, starts the next one's copies
and computes. ASYNC copies past the registers; the array has room for both fills.

    for k:                                      fill(0, stage 0)
      fill(k)              becomes              for k:
      barrier                                     WAIT ; BARRIER
      compute                                     if k + 1 < n: fill(k + 1, stage (k + 1) % 2)
      barrier                                     compute(stage k % 2)

One barrier is enough: who passed it has left the last iteration, which read the stage that is filled next.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..dtype import dtypes
from ..uops import Ops, UOp, toposort
from ..uops.uop import bounds, index_const
from . import nest
from .barriers import BARRIER
from .gates import rebuilt

WAIT = UOp(Ops.WAIT, dtypes.void)
COPIED = (4, 8, 16)         # bytes that one copy can have


def stage_copies(ops: list[UOp], sizes: Mapping[UOp, int]) -> list[UOp]:
    """The list with its staged arrays filled ahead; `sizes`: elements of one stage. ValueError: a fill is no copy."""
    loops: dict[UOp, list[UOp]] = {}
    for memory in sizes:
        if memory.arg.stages > 1:
            loops.setdefault(_loop_around(ops, memory), []).append(memory)
    for loop, arrays in loops.items():
        start = ops.index(loop)
        stop = ops.index(UOp(Ops.ENDLOOP, dtypes.void, (loop,)), start)
        even = (loop.src[0].src[1] % 2) is index_const(0)   # what was read last is not what is filled first
        again = not even and any(u.op is Ops.LOOP for u in _open_at(ops, start))
        ops = [*ops[:start], *_ahead(loop, ops[start + 1:stop], {m: sizes[m] for m in arrays}, again), *ops[stop:]]
    return ops


def _open_at(ops: Sequence[UOp], place: int) -> list[UOp]:
    opened: list[UOp] = []
    for u in ops[:place]:
        if u.op is Ops.LOOP:
            opened.append(u)
        elif u.op is Ops.ENDLOOP:
            opened.pop()
    return opened


def _loop_around(ops: Sequence[UOp], memory: UOp) -> UOp:
    """The innermost loop around all accesses of an array."""
    around: list[UOp] | None = None
    opened: list[UOp] = []
    for u in ops:
        if u.op is Ops.LOOP:
            opened.append(u)
        elif u.op is Ops.ENDLOOP:
            opened.pop()
        elif u.op in (Ops.LOAD, Ops.STORE) and u.src[0].src[0] is memory:
            around = list(opened) if around is None else [a for a, b in zip(around, opened) if a is b]
    if not around:
        raise ValueError(f"stages: no loop fills {memory.arg.name} again and again")
    return around[-1]


def _ahead(loop: UOp, body: list[UOp], sizes: Mapping[UOp, int], again: bool) -> list[UOp]:
    """The loop, to before its end, with the first fill before it. `again`: what it read last may be read still."""
    r = loop.src[0]
    start, end = r.src
    if start is not index_const(0) or bounds(end)[0] < 1:
        raise ValueError(f"stages: the loop over {r.arg.name} may not run")
    fill, rest = _part(body, sizes)
    stored = {u.src[0].src[0] for u in rest if u.op is Ops.STORE}
    if any(u.op is Ops.LOAD and u.src[0].src[0] in stored for u in fill):
        raise ValueError("stages: what a fill copies is written by the loop")
    parity = {memory: (r % 2) * size for memory, size in sizes.items()}

    def change(old: UOp, u: UOp) -> UOp:
        if u.op is not Ops.LOAD or u.src[0].src[0] not in parity:
            return u
        memory, address, *gates = u.src[0].src
        index = UOp(Ops.INDEX, dtypes.index, (memory, address + parity[memory], *gates))
        return UOp(Ops.LOAD, u.dtype, (index,), u.arg)
    more = UOp(Ops.CAST, dtypes.bool, ((r + 1).lt(end),))
    opened = UOp(Ops.IF, dtypes.void, (more,))
    return [*([BARRIER] if again else []), *_copies(fill, r, index_const(0), sizes), loop, WAIT, BARRIER, more, opened,
            *_copies(fill, r, r + 1, sizes), UOp(Ops.ENDIF, dtypes.void, (opened,)), *rebuilt(rest, change)]


def _part(body: list[UOp], sizes: Mapping[UOp, int]) -> tuple[list[UOp], list[UOp]]:
    """(what fills the arrays, what else the loop does). ValueError: the fill does more than copy."""
    items: list[list[UOp]] = []
    depth = 0
    for u in body:
        if depth:
            items[-1].append(u)
        else:
            items.append([u])
        depth += (u.op is Ops.LOOP) - (u.op is Ops.ENDLOOP)
    stores = {u for u in body if u.op is Ops.STORE and u.src[0].src[0] in sizes}
    values = {v for s in stores for v in toposort(s.src[1]) if v.op in (Ops.LOAD, Ops.BROADCAST)}
    fill = [u for item in items if any(u in stores or u in values for u in item) for u in item]
    inside = {*stores, *values}
    rest = [u for item in items if item[0] not in inside and not any(u in stores for u in item) for u in item]
    if any(u.op not in (Ops.LOOP, Ops.ENDLOOP) and u not in inside for u in fill) or any(u in values for u in rest):
        raise ValueError("stages: a fill does more than copy")
    return fill, rest


def _copies(fill: list[UOp], r: UOp, at: UOp, sizes: Mapping[UOp, int]) -> list[UOp]:
    """The fill of iteration `at`, as copies."""
    ops: list[UOp] = []
    for u in fill:
        if u.op is Ops.STORE:
            (memory, address, gate, *valid), value = u.src[0].src, u.src[1]
            if valid:
                raise ValueError("stages: a fill ends inside of a vector")
            address = address + (r % 2) * sizes[memory]
            for lane, (count, source) in _pieces(value, address):
                here = UOp(Ops.INDEX, dtypes.index, (memory, address + lane, gate))
                moved = [nest.substitute(x, {r: at}) for x in (here, source)]
                ops.append(UOp(Ops.ASYNC, dtypes.void, tuple(moved), count))
        elif u.op in (Ops.LOOP, Ops.ENDLOOP):
            if u.op is Ops.LOOP and any(r in nest.free(end) for end in u.src[0].src):
                raise ValueError("stages: a fill's loop depends on the iteration")
            ops.append(u)
    return ops


def _pieces(value: UOp, address: UOp) -> list[tuple[int, tuple[int, UOp]]]:
    """(first lane, (lanes, where they are read)) of each copy that makes up a value. ValueError: it is none."""
    if value.op is Ops.BROADCAST:
        return [(lane, piece) for lane, one in enumerate(value.src) for _, piece in _pieces(one, address)]
    if value.op is not Ops.LOAD or value.src[0].src[0].op is not Ops.PARAM:
        raise ValueError("stages: a fill is no copy")
    index, count = value.src[0], value.dtype.count
    memory, start, gate = index.src[:3]
    if any(x.dtype is not dtypes.index and x.dtype is not dtypes.bool for i in (start, gate) for x in toposort(i)):
        raise ValueError("stages: what a fill copies is found in data")
    aligned = all((x % count) is index_const(0) for x in (start, address))
    if len(index.src) == 3 and aligned and count * value.dtype.scalar.itemsize in COPIED:
        return [(0, (count, index))]
    if value.dtype.scalar.itemsize not in COPIED:
        raise ValueError(f"stages: {value.dtype.scalar} is smaller than a copy")
    gates = [gate if len(index.src) == 3 else gate & index_const(i).lt(index.src[3]) for i in range(count)]
    return [(i, (1, UOp(Ops.INDEX, dtypes.index, (memory, start + i, gates[i])))) for i in range(count)]
