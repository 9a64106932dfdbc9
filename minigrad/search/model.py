"""An estimate of a kernel's seconds from its loop nest, without running it: it orders candidates and judges none.

Each node is computed in the innermost loop that it depends on. A loop's cycles are the most of its arithmetic, its
loads, its stores and the latency of what it accumulates, more where it holds more values than there are registers.
For each cache, the bytes that come from beyond it: an access fetches what it touches in the loops whose working set
fits in, once for each iteration of the loops around on which it depends.
"""
from __future__ import annotations

import functools
from dataclasses import dataclass, field

from ..codegen import nest
from ..codegen.lower import Loops
from ..codegen.nest import extent, parts
from ..codegen.tiles import stride
from ..dtype import dtypes
from ..target import Target
from ..uops import ELEMENTWISE, TRANSCENDENTAL, Ops, UOp

CLOCK = 4e9                     # cycles a second
LATENCY = 4                     # cycles until a sum can be added to again
ISSUE = 2                       # vector operations, and loads, a cycle
SLOW = 16                       # operations of one transcendental function, in vectors
SPILL = 2                       # cycles for each value that finds no register
OVERHEAD = 1                    # cycles an iteration
LINE = 64                       # bytes
BEYOND = (32, 12, 6)            # bytes a cycle from L2, L3 and memory
FREE = frozenset({Ops.CAST, Ops.BITCAST, Ops.VALUE, Ops.CONST})


@dataclass
class _Loop:
    """What happens in the innermost of a closer's loops."""

    scope: tuple[UOp, ...]                      # the loops around it, outermost first
    work: dict[int, float] = field(default_factory=dict)    # vector operations by depth in the scope
    accesses: list[tuple[UOp, int]] = field(default_factory=list)    # with the depth at which they happen
    sums: int = 0                               # accumulators


def estimate(loops: Loops, target: Target) -> float:
    """Seconds; only the ratio of two candidates means something."""
    visited: dict[tuple[UOp, ...], _Loop] = {}
    _visit(loops.root, (), visited, target)
    cores = 1.0
    ways = [u for u in nest.order(loops.root) if u.op is Ops.RANGE and u.arg.name == loops.thread]
    if ways and target.has_threads:
        n = max(1, extent(ways[0]))
        cores = n / -(-n // target.cores)       # the last turn may leave cores idle
    if target.has_blocks:
        for u in nest.order(loops.root):
            if u.op is Ops.RANGE and u.arg.kind in ("global", "local"):
                cores *= max(1, extent(u))
        cores = min(cores, float(target.cores * 128))
    cycles = sum(_cycles(loop, target) for loop in visited.values()) / cores
    for cache, rate in zip((target.l1, target.l2, target.l3), BEYOND):
        moved = sum(_beyond(loop, cache) for loop in visited.values())
        # what all share is the memory; caches belong to cores
        cycles = max(cycles, moved / rate / (1 if rate == BEYOND[-1] else cores)) + 0.1 * min(cycles, moved / rate)
    return cycles / CLOCK


def _times(ranges: tuple[UOp, ...]) -> float:
    n = 1.0
    for r in ranges:
        n *= max(1, extent(r))
    return n


def _visit(closer: UOp, scope: tuple[UOp, ...], visited: dict[tuple[UOp, ...], _Loop], target: Target) -> None:
    """Counts a closer's body, and the closers in it, each in the loops it depends on."""
    pending: list[tuple[UOp, tuple[UOp, ...]]] = [(closer, scope)]
    seen: set[UOp] = {closer}
    while pending:
        closer, around = pending.pop()
        body, ranges, _ = parts(closer)
        scope = (*around, *(r for r in ranges if r.arg.kind in ("loop", "global", "local")))
        loop = visited.setdefault(scope, _Loop(scope))
        if closer.op is Ops.REDUCE:
            loop.sums += _vectors(closer, target)
        stack = list(body)
        while stack:
            u = stack.pop()
            if u in seen or u.op is Ops.RANGE or u.dtype is dtypes.index:
                continue
            seen.add(u)
            depth = max((i + 1 for i, r in enumerate(scope) if r in nest.free(u)), default=0)
            if nest.is_closer(u):
                pending.append((u, scope[:depth]))
            else:
                _count(u, depth, loop, target)
                stack += u.src


def _count(u: UOp, depth: int, loop: _Loop, target: Target) -> None:
    if u.op in (Ops.LOAD, Ops.STORE):
        loop.accesses.append((u, len(loop.scope) if u.op is Ops.STORE else depth))
    elif u.op in ELEMENTWISE and u.op not in FREE:
        fused = u.op is Ops.MUL and loop.sums   # a product that is added
        cost = SLOW if u.op in TRANSCENDENTAL else 0.25 if fused else 1
        loop.work[depth] = loop.work.get(depth, 0.0) + cost * _vectors(u, target)


def _vectors(u: UOp, target: Target) -> int:
    """Registers that a value takes."""
    lanes = nest.lanes(u)
    return max(1, -(-extent(lanes[0]) * 4 // target.vector_bytes)) if lanes else 1


def _cycles(loop: _Loop, target: Target) -> float:
    inner = len(loop.scope)
    cycles = 0.0
    for depth in range(inner + 1):
        work = loop.work.get(depth, 0.0) + (loop.sums if depth == inner else 0)
        loads = sum(_uops(u, target) for u, d in loop.accesses if d == depth and u.op is Ops.LOAD)
        stores = sum(_uops(u, target) for u, d in loop.accesses if d == depth and u.op is Ops.STORE)
        most = max(work / ISSUE, loads / ISSUE, stores)
        if depth == inner and loop.sums:
            most = max(most, LATENCY) + SPILL * max(0, loop.sums + 2 - target.registers)
        cycles += (most + (OVERHEAD if depth == inner else 0)) * _times(loop.scope[:depth])
    return cycles


def _uops(access: UOp, target: Target) -> float:
    """Memory operations: one a vector where the lanes are neighbours or all the same, one a lane where they gather."""
    lanes = nest.lanes(access)
    return extent(lanes[0]) if lanes and stride(access, lanes[0]) not in (0, 1) else _vectors(access, target)


def _beyond(loop: _Loop, cache: int) -> float:
    """Bytes that come from beyond a cache."""
    touched = [_touched(u, loop.scope) for u, _ in loop.accesses]
    fits = len(loop.scope)
    while fits and sum(sizes[fits - 1] for sizes in touched) <= cache:
        fits -= 1
    total = 0.0
    for (u, _), sizes in zip(loop.accesses, touched):
        free = nest.free(u)
        deepest = max((i + 1 for i, r in enumerate(loop.scope[:fits]) if r in free), default=0)
        fetched = 2 if u.op is Ops.STORE and u.arg is None else 1   # a line comes before it is written, but for streams
        total += fetched * _times(loop.scope[:deepest]) * sizes[fits]
    return total


@functools.lru_cache(1 << 16)
def _touched(access: UOp, scope: tuple[UOp, ...]) -> list[float]:
    """Bytes that an access touches while the loops run from the i-th inwards; far neighbours take a line each."""
    free, memory = nest.free(access), access.src[0]
    lanes = nest.lanes(access)
    most = float("inf")
    if memory.op is Ops.PARAM:
        most = float(memory.dtype.itemsize)
        for n in memory.arg.shape:
            most *= n if isinstance(n, int) else n.vmax
    elements = _times(tuple(lanes))
    near = not lanes or stride(access, lanes[0]) in (0, 1)
    found = [min(most, elements * (memory.dtype.itemsize if near else LINE))]
    for r in reversed(scope):
        if r in free:
            elements *= max(1, extent(r))
            near = near and (bool(lanes) or abs(stride(access, r)) == 1 or len(found) > 1)
        found.append(min(most, elements * (memory.dtype.itemsize if near else LINE)))
    return found[::-1]
