"""Which values of a kernel go to scratch, and at which level of the loops.

A value is computed in the innermost loop it depends on. If the loops around that include ranges it does not depend on,
it is computed again and again; if several loops use it, once in each. Where that costs more than keeping it, it is
placed at the outer ranges that all its uses share. When a product streams an operand past a placed row (attention),
rows are taken a block at a time.
"""
from __future__ import annotations

import itertools
import math
from dataclasses import replace

from ..target import Target
from ..uops import TRANSCENDENTAL, Ops, UOp, toposort
from ..uops.uop import bounds, linear
from . import nest
from .lower import Loops
from .nest import parts
from .online import Online
from .opts import Order, Split
from .place import Bound, Place
from .tiles import attempt, stride

BLOCK = 16        # rows of a block: an operand streamed past them is read once per block
REPEATS = 8       # a cheap value is kept when it would be computed so many times
CHEAP = 2         # operations that cost no more than to read what was kept, where nothing is summed
LANES_MULTIPLE = 64
_NO_WORK = (Ops.CONST, Ops.CAST, Ops.VALUE, Ops.RANGE, Ops.LOAD, Ops.PARAM)
LEAST_BOUND = 16  # iterations from which a reduce is worth a loop whose end varies


def place_values(loops: Loops, target: Target, rows: int = LANES_MULTIPLE, shared: bool = False) -> None:
    """Consumers first: a producer's uses may come to stand in a consumer's fill. `rows`: of a block, at most; `shared`:
    the threads of a block share what is kept."""
    _carry_maxima(loops, target, rows)
    for name in reversed([n for n in loops.values if n.startswith("v")]):
        _place_value(loops, name, target, rows, shared)
    _bound_reduces(loops, target)


def _carry_maxima(loops: Loops, target: Target, rows: int) -> None:
    """Rows of products that are only compared with their maximum and summed are taken in blocks that fit the first
    cache (ONLINE), if whole ones would crowd what is streamed past them out of the second.
    """
    for top in [u for u in nest.order(loops.root) if u.op is Ops.REDUCE and u.arg is Ops.MAX]:
        (r, *others), outer = parts(top)[1], nest.innermost(loops.root)[1]
        around = [x for x in outer if x in nest.free(top)]
        row = max(around, key=nest.extent, default=r)
        if others or nest.extent(row) < rows or BLOCK * nest.extent(r) * 4 <= target.l2 // 8 or \
                not any(u.op is Ops.REDUCE for u in toposort(top.src[0])):
            continue
        block = min(LANES_MULTIPLE, max(LEAST_BOUND, target.l1 // 8 // rows))
        block = next((n for n in range(block, block // 2, -1) if nest.extent(r) % n == 0), block)   # without a rest
        before = replace(loops, opts=list(loops.opts))
        name, level = row.arg.name, [x.arg.name for x in around if x is not row]
        attempt(loops, Order((*level, name, *(x.arg.name for x in outer if x not in around))), target)
        attempt(loops, Split(name, rows), target)
        level.append(f"{name}.0")
        _bound_reduces(loops, target, block)
        if not attempt(loops, Online(r.arg.name, block, tuple(level)), target) or _read_behind(loops.root, r):
            loops.root, loops.opts, loops.serial = before.root, before.opts, before.serial


def _read_behind(root: UOp, r: UOp) -> bool:
    """Whether anything that the loop over a range's blocks computes for each is needed behind it as well."""
    (loop,) = nest.closers(root, f"{r.arg.name}.0")
    block, behind = parts(loop)[1][0], nest.toposort_until(root, lambda u: u is loop)
    inside = {u.arg for u in toposort(loop) if u.op is Ops.VALUE and block in nest.free(u)}
    return any(u.op is Ops.VALUE and u.arg in inside for u in behind)


def _place_value(loops: Loops, name: str, target: Target, rows: int, shared: bool) -> None:
    users = _users(loops.root)
    uses = [u for u in users if u.op is Ops.VALUE and u.arg == name]
    if not uses or not any(nest.free(x) for x in (uses[0], *(i for u in uses for i in u.src[1:]))):
        return
    if uses[0].src[0].op is Ops.TF32 and "tf32" in target.matrix:   # one instruction, where it is read
        return
    homes = {home for u in uses for home in _homes(u, users)}
    repeats = max((_repeats(u, home) for u in uses for home in _homes(u, users)), default=1)
    heavy, operations = _weight(uses[0])
    # what happens in one loop only, once per element, costs nothing to leave where it is
    inner = any(h is not nest.innermost(loops.root)[0] for h in homes)
    product = _is_product(uses[0]) and inner
    reduced = inner or any(u.op is Ops.REDUCE for u in nest.toposort_until(uses[0].src[0], lambda u: u.op is Ops.END))
    if not (repeats >= REPEATS and operations > (0 if reduced else CHEAP)
            or heavy and (repeats > 1 or len(_loops_of(homes)) > 1) or product):
        return
    level = _block_rows(loops, uses, _level(loops, uses, reduced, target), homes, target, rows)
    _bound_reduces(loops, target)
    # if it is too large for this level, nothing deeper is possible than the ranges all uses share
    attempt(loops, Place(name, tuple(level), _layout(loops.root, name, level, loops.serial), shared=shared), target)


def _users(root: UOp) -> dict[UOp, list[UOp]]:
    users: dict[UOp, list[UOp]] = {}
    for u in nest.order(root):
        users.setdefault(u, [])
        for s in u.src:
            users[s].append(u)
    return users


def _homes(use: UOp, users: dict[UOp, list[UOp]]) -> list[UOp]:
    """The closers in whose loops a value is computed: the nearest around it that close a range it depends on."""
    free = nest.free(use)
    found: list[UOp] = []
    seen: set[UOp] = set()
    stack = list(users[use])
    while stack:
        u = stack.pop()
        if u in seen:
            continue
        seen.add(u)
        if nest.is_closer(u) and free & set(parts(u)[1]):
            found.append(u)
        else:
            stack.extend(users[u])
    return found


def _repeats(use: UOp, home: UOp) -> int:
    """How many times the same element is computed in one home."""
    free = nest.free(use)
    ranges = parts(home)[1]
    if home.op is Ops.END:
        deepest = max(i for i, r in enumerate(ranges) if r in free)
        around = set(ranges[:deepest]) | nest.free(home)
    else:
        around = set(ranges) | nest.free(home)
    n = 1
    for r in around - free:
        n *= max(1, nest.extent(r))
    return n


def _loops_of(homes: set[UOp]) -> set[tuple[UOp, ...]]:
    """Homes that open different loops; those over the same ranges share theirs."""
    return {parts(h)[1] for h in homes}


def _is_product(use: UOp) -> bool:
    """A matrix product: rows from one operand, columns from another, both longer than one. Inside of other loops it is
    kept, since only
    a nest of its own can be tiled."""
    value = use.src[0]
    if value.op is not Ops.REDUCE or value.arg is not Ops.ADD:
        return False
    loads = [nest.free(u) & nest.free(value) for u in nest.reads(value)]
    long = [[{r for r in a - b if nest.extent(r) >= 4} for b in loads] for a in loads]
    return any(long[i][k] and long[k][i] for i in range(len(loads)) for k in range(i))


def _weight(use: UOp) -> tuple[bool, int]:
    """(heavy: a reduce that depends on the value's own loops or a transcendental function inside, number of
    operations).
    """
    heavy, count = False, 0
    outer = nest.free(use)
    for u in nest.toposort_until(use.src[0], lambda u: u.op is Ops.END or u.op is Ops.RANGE):
        if u.op is Ops.REDUCE and nest.free(u) == outer or u.op in TRANSCENDENTAL and nest.free(u) == outer:
            heavy = True
        if u.op not in _NO_WORK and nest.free(u) and (u.dtype.kind == "f" or u.op is Ops.BITCAST):
            count += 1
    return heavy, count


def _level(loops: Loops, uses: list[UOp], reduced: bool, target: Target) -> list[str]:
    """The outer loops on which every use depends, which are moved outside of the others; but for those along which
    neighbours share elements, as the windows of a convolution do: outside of them each is computed once. Of rows taken
    in blocks, the blocks. Where nothing is `reduced`, loops walk memory: they stay in order if what is kept fits.
    """
    outer = nest.innermost(loops.root)[1]
    common = frozenset.intersection(*(nest.free(u) for u in uses))
    common -= {r for r in outer if any(_slides(i, r, frozenset(outer)) for u in uses for i in u.src[1:])}
    names = [(r.arg.name, r in common and not r.arg.name.endswith(".1")) for r in outer]
    level, others = [n for n, shared in names if shared], [n for n, shared in names if not shared]
    first = [n for n, _ in itertools.takewhile(lambda name: name[1], names)]
    kept = math.prod(nest.extent(r) for r in frozenset().union(*map(nest.free, uses)) if r.arg.name not in first)
    walk = not reduced and not target.has_blocks and kept * 4 <= target.l1 // 2
    if level != first and (walk or not attempt(loops, Order((*level, *others)), target)):
        return first
    inside = [r.arg.name for r in common.difference(outer) if r.arg.name in loops.serial]   # of a loop that carries
    return level + inside


def _slides(index: UOp, r: UOp, outer: frozenset[UOp]) -> bool:
    """Whether what an index covers for one iteration of an outer range overlaps what it covers for the next."""
    terms = linear(index)[1]
    inside = {atom: step for atom, step in terms.items() if not nest.ranges_in(atom) <= outer}
    if any(r in nest.ranges_in(atom) for atom in inside):
        return True
    span = sum(abs(k) * (bounds(atom)[1] - bounds(atom)[0]) for atom, k in inside.items())
    return r in terms and bool(inside) and span >= abs(terms[r])


def _layout(root: UOp, name: str, level: list[str], carried: frozenset[str]) -> tuple[tuple[int, int, int], ...]:
    """Row-major, unless the rows of a block are lanes: then their axis comes last."""
    use = next(u for u in nest.order(root) if u.op is Ops.VALUE and u.arg == name)
    moving = {a: [r for r in nest.free(i) if r.arg.name not in level] for a, i in enumerate(use.src[1:])}
    axes = [a for a, ranges in moving.items() if ranges]
    blocks = [a for a in axes if level[-1] in {r.arg.name for r in nest.free(use.src[1 + a])}] if level else []
    if blocks and level[-1] in carried:     # sums go down the columns, of which neighbours are lanes
        return tuple((a, 1, 0) for a in (*blocks, *(a for a in axes if a not in blocks)))
    last = [a for a in axes for r in moving[a] if level and r.arg.name == level[-1][:-1] + "1" and _has_lanes([use], r)]
    if len(last) != 1 or last == axes[-1:]:
        return ()
    return tuple((a, 1, 0) for a in (*(a for a in axes if a not in last), *last))


def _block_rows(loops: Loops, uses: list[UOp], level: list[str], homes: set[UOp], target: Target, rows: int
                ) -> list[str]:
    """Splits the level's last range into blocks, where a reduce streams something past the rows that does not depend on
    them, or where the rows are neighbours in memory: lanes; few of them are one block for each thread. If the range is
    short, a longer one becomes the last.
    """
    if not level or any(name.endswith(".0") for name in level):
        return level
    level = _longest_last(loops, uses, level, homes, target)
    name = level[-1]
    (row,) = nest.ranges_named(loops.root, name)
    length = nest.extent(row)
    lanes = _has_lanes(uses, row)
    if length < 2 or not (lanes or _streams_past(uses, homes, row)):
        return level
    extent = 1
    for r in set().union(*(nest.free(u) for u in uses)) - set(nest.innermost(loops.root)[1]):
        extent = max(extent, nest.extent(r))
    block = min(rows, LANES_MULTIPLE if lanes else BLOCK)
    most = target.scratch if target.has_blocks else max(target.l2 // 2, 64 << 10)
    if not target.has_blocks and block * extent > most:     # long rows: the third cache holds more
        most = max(most, target.l3 // max(1, target.cores) // 4)
    if lanes and not target.has_blocks and length <= block:     # a block for each thread, or one
        vector = target.lanes(4)
        block = -(-length // (target.cores * vector)) * vector
        if length <= block and length * extent * 4 <= most:
            return level[:-1]
    while block > 1 and block * extent * 4 > most:
        block //= 2
    if block > 1 and (length >= block or length % block == 0) and attempt(loops, Split(name, block), target):
        return [*level[:-1], name + ".0"]
    return level


def _longest_last(loops: Loops, uses: list[UOp], level: list[str], homes: set[UOp],
                  target: Target) -> list[str]:
    """The level, the longest of the ranges past which something is streamed moved to its end, if there are blocks of
    rows in it and none in the one that stands there.
    """
    ranges = [nest.ranges_named(loops.root, name)[0] for name in level]
    if nest.extent(ranges[-1]) >= BLOCK or _has_lanes(uses, ranges[-1]):
        return level
    row = max((r for r in ranges if _streams_past(uses, homes, r)), key=nest.extent, default=ranges[-1])
    moved = [name for name in level if name != row.arg.name] + [row.arg.name]
    others = [r.arg.name for r in nest.innermost(loops.root)[1] if r.arg.name not in level]
    return moved if nest.extent(row) >= BLOCK and attempt(loops, Order((*moved, *others)), target) else level


def _has_lanes(uses: list[UOp], row: UOp) -> bool:
    return any(u.op is Ops.LOAD and stride(u, row) == 1
               for use in uses for u in nest.toposort_until(use.src[0], lambda u: u.op is Ops.RANGE))


def _streams_past(uses: list[UOp], homes: set[UOp], row: UOp) -> bool:
    for home in homes:
        if home.op is not Ops.REDUCE:
            continue
        for u in nest.toposort_until(home.src[0], lambda u: u.op is Ops.RANGE or u.op is Ops.VALUE and u in uses):
            if u.op is Ops.LOAD and row not in nest.free(u) and nest.free(u) & set(parts(home)[1]):
                return True
    return False


def _bound_reduces(loops: Loops, target: Target, block: int = LANES_MULTIPLE) -> None:
    """Loops of reduces end where their guards do, long ones after a whole block."""
    level: list[str] = []
    for r in nest.innermost(loops.root)[1]:
        level.append(r.arg.name)
        if r.arg.name.endswith(".0"):
            break
    names = dict.fromkeys(r.arg.name for u in nest.order(loops.root) if u.op is Ops.REDUCE for r in parts(u)[1])
    for name in names:
        found = nest.ranges_named(loops.root, name)
        if max(map(nest.extent, found)) < LEAST_BOUND:
            continue
        if any(r.src[1].op is Ops.CONST and r.src[0].op is Ops.CONST for r in found):
            multiple = block if nest.extent(found[0]) >= 4 * LANES_MULTIPLE else 1
            inner = [n for n in level if all(n in {x.arg.name for x in nest.free(u)} for u in nest.order(loops.root)
                                             if u.op is Ops.REDUCE and any(r in parts(u)[1] for r in found))]
            bound = Bound(name, tuple(inner), multiple)
            # a row is a thread on GPUs: neighbours that start at different places gain nothing, and PoCL 3.1 computes
            # such loops wrongly
            if not target.has_blocks or all(bound.ends(loops, r)[0] is r.src[0] for r in found):
                attempt(loops, bound, target)
