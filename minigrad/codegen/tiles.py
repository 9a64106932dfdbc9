"""Register tiles and lanes for every nest: the root's and each fill's.

In a nest, `o` is the range that the stores walk with stride 1. A reduce that depends on `o` is a product or a sum over
columns: `o` becomes the lanes and a second output range that its vectors do not depend on becomes the rows of a
register tile. If its operand is contiguous along the reduce instead (x @ W.T), the operand is packed into scratch where
enough rows share it, else the reduce becomes the lanes. A reduce that does not depend on `o` (a row's sum) is
vectorised by itself, with several accumulators.
"""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod

from ..target import Target
from ..uops import Ops, UOp, toposort
from ..uops.uop import add_scaled, bounds, index_const, linear
from . import nest
from .lower import Loops
from .nest import extent, parts
from .nest import reads as loads_of
from .opts import Carry, NonTemporal, Opt, Order, Peel, Split, Upcast, Vector, bare, flatten, perform
from .place import Place, load_of, own_loads

ACCUMULATORS = 4      # independent vectors of a reduce: enough to hide the latency of an addition
PACK_ROWS = 48  # rows of output from which packing an operand pays when it is contiguous along the other output axis
PACK_ROWS_TURNED = 9  # ... when it would have to be turned in registers otherwise
GATHER_ROWS = 4  # rows that share a vector from which it may be gathered lane by lane
LEAST_PANEL = 32
MANY_ROWS = 256  # of output: each thread packing all panels for its own costs little
MOST_ROWS = 8  # of a tile: each takes a register for its address, and a place of the first cache's set if far apart
STRIDED_DEPTH = 256  # of a block of a sum whose rows are columns in memory: a cache line an iteration, to be met again
LEAST_DEPTH = 64  # of a sum that pays for results that are stored lane by lane
GATHERED_DEPTH = 16  # ... where it would be read lane by lane otherwise
PAGE = 4096  # bytes
FAR_STEP = 8192  # bytes from one element of a sum to the next, or a multiple: they share sets of the caches
FAR = 1 << 40


def attempt(loops: Loops, opt: Opt, target: Target) -> bool:
    """Applies the opt if it fits, and lists it."""
    if opt.check(loops, target) is not None:
        return False
    perform(loops, opt)
    return True


@dataclass(frozen=True)
class NestView:
    """One nest as the heuristic sees it: its ranges' names and the accesses in it, those of other nests left out."""

    ranges: tuple[UOp, ...]
    level: tuple[UOp, ...]
    nodes: tuple[UOp, ...]
    reduces: tuple[UOp, ...]
    stores: tuple[UOp, ...]


def fills_of(root: UOp) -> dict[str, UOp]:
    """The fills by the name of their scratch, producers first; those that were cut in parts are left out."""
    return {parts(u)[0][0].src[0].arg.name: u for u in nest.order(root)
            if u.op is Ops.END and parts(u)[0][0].op is Ops.STORE and parts(u)[0][0].src[0].op is Ops.SCRATCH}


def root_nest(root: UOp) -> NestView:
    """The loops around everything and what is stored in the innermost."""
    end, ranges = nest.innermost(root)
    return nest_view(end, (), ranges)


def nest_view(end: UOp, level: tuple[UOp, ...], ranges: tuple[UOp, ...] = ()) -> NestView:
    """`ranges`: those of the loops around as well, where they belong to the nest."""
    body, own, _ = parts(end)
    fills: set[UOp] = set()
    nodes: list[UOp] = []
    for statement in body:
        if statement.op is Ops.STORE:
            nodes += nest.toposort_until(statement, lambda u: u.op is Ops.END or u in fills)
    unique = tuple(dict.fromkeys(nodes))
    return NestView(ranges or own, level, unique, tuple(u for u in unique if u.op is Ops.REDUCE),
                    tuple(s for s in body if s.op is Ops.STORE))


def tile_nests(loops: Loops, target: Target) -> None:
    """Fills first, the root's nest last; packing adds fills, which are tiled in turn."""
    done: set[str] = set()
    while waiting := [name for name in fills_of(loops.root) if name not in done]:
        done.add(waiting[0])
        fill = fills_of(loops.root)[waiting[0]]
        _tile(loops, nest_view(fill, parts(fill)[2]), target)
    _tile(loops, root_nest(loops.root), target)
    for name, fill in list(fills_of(loops.root).items()):
        if name not in done:
            _tile(loops, nest_view(fill, parts(fill)[2]), target)


def stride(access: UOp, r: UOp) -> int:
    """Elements between neighbours along a range: 0 none, FAR if not constant or in another dimension of scratch."""
    memory, indices = nest.access(access)
    if memory.op is Ops.SCRATCH:
        layout = memory.arg.layout
        moving = [a for a, i in enumerate(indices) if nest.free(i)]  # axes of length one always have index 0
        last, width = (layout[-1][0], layout[-1][2]) if layout else (moving[-1] if moving else 0, 0)
        inner = linear(indices[last])[1].get(r, 0) if indices else 0
        others = any(r in nest.free(i) for a, i in enumerate(indices) if a != last or not inner)
        return FAR if others or (width and inner and extent(r) * inner > width) else inner
    flat = flatten(indices, memory.arg.shape)[0]
    step = linear(flat)[1].get(r, 0)
    return FAR if step == 0 and r in nest.free(flat) else step


def _tile(loops: Loops, view: NestView, target: Target) -> None:
    lanes = max(4, target.lanes(4))
    loads = [u for u in view.nodes if u.op is Ops.LOAD]
    o = _stored_range(loops, view)
    if o is None or extent(o) < lanes or _slides(view, o):
        o = _turned_columns(loops, view, lanes) or o
    if o is not None and (extent(o) < 4 or any(o in parts(fill)[2] for fill in fills_of(loops.root).values())):
        o = None                                   # too short, or something is kept for one at a time
    down = [d for d in view.reduces if o is not None and o in nest.free(d)]
    across = [d for d in view.reduces if d not in down]
    if o is not None and down:
        if not _pack(loops, view, down, row_range(view, down, o), o, target):
            o, across = None, list(view.reduces)   # the reduce becomes the lanes
    if o is not None and loads and not down and any(o in nest.free(u) for u in loads) and \
            all(abs(_stride_of_lanes(u, o, lanes)) > 1 for u in loads if o in nest.free(u)):
        o = None                                   # nothing but gathers
    accumulators = ACCUMULATORS
    if o is None and not view.reduces and len(loads) == 1 and _turn(loops, view, loads[0], lanes, target):
        return
    if o is None:
        accumulators = _rows_of_lanes(loops, view, across, target)
    for d in across:
        _vectorize_reduce(loops, d, lanes, accumulators, target)
    if o is not None and not _stream_columns(loops, view, down, o, lanes, target):
        _tile_outputs(loops, view, down, o, lanes, target)


def _stream_columns(loops: Loops, view: NestView, down: list[UOp], o: UOp, lanes: int, target: Target) -> bool:
    """Columns of a large matrix whose rows lie far apart: a few rows at a time, of which long pieces are read, each
    combined with what the output holds; a piece of the output stays in the second cache. Where more is done with the
    sums, it is scratch that holds them.
    """
    if not _is_far(view, down, o, target) or len(view.stores) != 1:
        return False
    (d,), inner = down, str(o.arg.name)
    (r, *others), bare_sum = parts(d)[1], bare(view.stores[0].src[1]) is d
    if others or r.src[1].op is not Ops.CONST or (view.level and not bare_sum):
        return False
    if not view.level:
        blocks = -(-extent(o) * 4 // (target.l2 // 4))
        blocks = -(-blocks // target.cores) * target.cores
        if not attempt(loops, Split(inner, -(-extent(o) // (blocks * lanes)) * lanes), target):
            return False
        block, inner = f"{inner}.0", f"{inner}.1"
        if not bare_sum:
            names = loops.lowering.reduce_names
            value = next((v for v, u in loops.values.items() if names.get(u) == r.arg.name), "")
            if not attempt(loops, Place(value, (block,)), target):  # its nest is tiled in turn
                return False
            _split_into_lanes(loops, nest.ranges_named(loops.root, inner)[0], lanes, ACCUMULATORS, target)
            return True
    rows = _rows_at_once(r)
    return (attempt(loops, Split(r.arg.name, rows), target) and attempt(loops, Carry(f"{r.arg.name}.0", inner), target)
            and attempt(loops, Split(inner, lanes), target) and attempt(loops, Vector(f"{inner}.1"), target)
            and attempt(loops, Upcast(f"{r.arg.name}.1"), target))


def _rows_at_once(r: UOp) -> int:
    """As many as a tile may have, or a few less if that leaves no rest."""
    return next((n for n in range(MOST_ROWS, 3, -1) if extent(r) % n == 0), MOST_ROWS)


def _is_far(view: NestView, down: list[UOp], o: UOp, target: Target) -> bool:
    """Whether one reduce of columns reads once, from memory, rows of which each lies in other pages."""
    if len(down) != 1 or row_range(view, down, o) is not None:
        return False
    reads, inner = [u for u in loads_of(down[0]) if o in nest.free(u)], parts(down[0])[1][-1]
    size = _depth(down[0]) * extent(o) * 4
    return size >= target.l3 and all(stride(u, o) == 1 and PAGE <= abs(stride(u, inner)) * 4 < FAR for u in reads)


def _stride_of_lanes(access: UOp, r: UOp, lanes: int) -> int:
    """The stride along a range that is cut into lanes: 1 also where the range goes through several axes of the memory,
    one after the other, as long as no vector does."""
    step = stride(access, r)
    if step != FAR or extent(r) % lanes:
        return step
    outer, inner = (UOp.range(f"{r.arg.name}.{part}", 0, n) for part, n in enumerate((extent(r) // lanes, lanes)))
    return stride(nest.substitute(access, {r: r.src[0] + outer * lanes + inner}), inner)


def _slides(view: NestView, o: UOp) -> bool:
    """Whether a long sum's operand is read in windows that overlap along `o`, or with steps: vectors of it are masked
    at edges, and partly empty; with steps they are gathered.
    """
    d = max(view.reduces, key=_depth, default=None)
    return d is not None and any(
        o in nest.free(i) and nest.free(i) & set(parts(d)[1])
        and _depth(d) >= (LEAST_DEPTH if abs(stride(u, o)) == 1 else GATHERED_DEPTH)
        for u in loads_of(d) for i in nest.access(u)[1])


def _stored_range(loops: Loops, view: NestView) -> UOp | None:
    """The innermost loop along which some of the stores lie next to one another, and others at one place."""
    for r in reversed(view.ranges if view.stores else ()):
        if r.arg.name not in loops.serial and r.arg.kind == "loop" and r in nest.free(view.stores[0]):
            steps = {stride(s, r) for s in view.stores}
            if 1 in steps and steps <= {0, 1}:
                return r
    return None


def _turned_columns(loops: Loops, view: NestView, lanes: int) -> UOp | None:
    """Where the outputs next to one another are too few for a vector (the window of a convolution's weight), or read
    windows (the convolution): another output range, whose operand is contiguous along the longest reduce and can be
    packed for many outputs.
    """
    found: dict[UOp, int] = {}
    main = max(view.reduces, key=_depth, default=None)
    for r in reversed(view.ranges):
        if r.arg.name in loops.serial or r.arg.kind != "loop" or extent(r) < lanes or main is None:
            continue
        down = [d for d in view.reduces if r in nest.free(d)]
        reads = {d: [u for u in loads_of(d) if r in nest.free(u)] for d in down}
        operands = {d: _operand(d, reads[d], r) for d in down}
        operand = operands.get(main)
        if operand is not None and None not in operands.values() and row_range(view, down, r) and \
                any(abs(stride(reads[main][0], x)) == 1 for x in parts(main)[1]):
            found[r] = _shared(view, operand, r)
    best = max(found, key=found.__getitem__, default=None)
    return best if best is not None and main and found[best] * _depth(main) >= PACK_ROWS * STRIDED_DEPTH else None


def _shared(view: NestView, operand: _Operand, o: UOp) -> int:
    """How many outputs share what is packed of an operand."""
    return prod([extent(r) for r in view.ranges if r is not o and r not in operand.moved_by])


def _depth(d: UOp) -> int:
    """The number of elements that make one of a reduce."""
    return prod([extent(r) for r in parts(d)[1]])


def _turn(loops: Loops, view: NestView, load: UOp, lanes: int, target: Target) -> bool:
    """A nest that reads along one axis and writes along another: lines side by side, an element of each at a time, as
    the lanes of what is written. Of a fill as many lines as the first cache has places for, if they lie far apart.
    """
    along = next((r for r in view.ranges if stride(load, r) == 1), None)
    written = next((r for r in view.ranges if r is not along and stride(view.stores[0], r) == 1), None)
    if along is None or written is None or extent(written) < 4 or view.stores[0].src[0] is load.src[0]:
        return False
    if view.stores[0].src[0].op is Ops.SCRATCH:
        lanes = min(lanes, MOST_ROWS)
    while lanes > extent(written):
        lanes //= 2
    name = written.arg.name
    others = [r.arg.name for r in view.ranges if r is not along and r is not written]
    attempt(loops, Split(name, lanes), target)
    attempt(loops, Order((*others, name + ".0", along.arg.name, name + ".1")), target)
    if extent(written) % lanes:
        attempt(loops, Peel(name + ".0", extent(written) // lanes if written.src[1].op is Ops.CONST else -1), target)
    return attempt(loops, Vector(name + ".1"), target)


def row_range(view: NestView, down: list[UOp], o: UOp) -> UOp | None:
    """The innermost other output range on which some vectors of the reduces do not depend, while the reduces do."""
    for r in reversed(view.ranges):
        if r is o or r.arg.kind != "loop" or extent(r) < 2:
            continue
        if all(r in nest.free(d) and any(o in nest.free(u) and r not in nest.free(u) for u in loads_of(d))
               for d in down):
            return r
    return None


@dataclass(frozen=True)
class _Operand:
    """An input that a reduce reads along the lanes: which, its axes in the reduce's and in the lanes' direction, and
    what else moves it.
    """

    slot: int
    reduced: tuple[int, ...]
    inner: int
    moved_by: frozenset[UOp]


def _operand(d: UOp, loads: list[UOp], o: UOp) -> _Operand | None:
    """The one operand of a reduce that could be packed; None if there are several, or one that is no plain read of an
    input.
    """
    if len(loads) != 1 or loads[0].src[0].op is not Ops.PARAM:
        return None
    indices = nest.access(loads[0])[1]
    if any(u.op is Ops.LOAD for i in indices for u in toposort(i)):
        return None
    inner = [a for a, i in enumerate(indices) if o in nest.free(i)]
    reduced = tuple(a for a, i in enumerate(indices) if set(parts(d)[1]) & nest.free(i))
    if len(inner) != 1 or inner[0] in reduced:
        return None
    # of ranges that stand in the bounds of others alone, packing covers the extremes
    moved = set().union(*(nest.ranges_in(i) for i in indices))
    return _Operand(loads[0].src[0].arg.slot, reduced, inner[0], frozenset(moved))


def _pack(loops: Loops, view: NestView, down: list[UOp], rows: UOp | None, o: UOp, target: Target) -> bool:
    """Packs operands into scratch, reduce outermost, `o` innermost, a panel of columns at a time. True if all that had
    to be turned are.
    """
    must: list[_Operand | None] = []
    may: list[_Operand] = []
    for d in down:
        reads = [u for u in loads_of(d) if o in nest.free(u)]
        turned = [u for u in reads if abs(stride(u, o)) > 1 and any(abs(stride(u, r)) == 1 for r in parts(d)[1])]
        plain = [u for u in reads if stride(u, o) == 1]
        depth = _depth(d)
        if turned:
            must.append(_operand(d, turned, o))
        elif plain and rows is not None and extent(rows) >= PACK_ROWS and depth * extent(o) * 4 > target.l1 // 2:
            found = _operand(d, plain, o)
            may += [found] if found is not None and depth * LEAST_PANEL * 4 <= target.scratch // 4 else []
    needed = [m for m in must if m is not None]
    if len(needed) < len(must) and rows is not None and extent(rows) >= GATHER_ROWS:
        return True  # cannot be packed: lanes are gathered one by one, for many rows
    if rows is None or len(needed) < len(must) or not needed + may or \
            any(_shared(view, x, o) < PACK_ROWS_TURNED for x in needed):
        return not must
    operands = needed + may
    if any(rows in x.moved_by for x in operands):
        return not must
    width = _panel(view, down, o, target)
    columns = extent(o) if view.level else width
    moved = frozenset().union(*(x.moved_by for x in operands))
    along = o.arg.name
    if view.level:  # inside of a fill: at the outer loops on which the operands depend
        level = tuple(r.arg.name for r in view.level if r in moved)
        if [r.arg.name for r in view.level[:len(level)]] != list(level):
            return not must
    else:
        front = [r.arg.name for r in view.ranges if r in moved and r is not o]
        rest = [r.arg.name for r in view.ranges if r not in moved and r is not o]
        level = tuple(front)
        rows_turned = all(_turn_rows(loops, view, d, rows, o, tuple(front), target) for d in down)
        block, name = 0 if rows_turned else _block(view, down, o, target), parts(down[0])[1][0].arg.name
        columns = _side_by_side(block, width, extent(o), target) if block and _is_strided(down[0], o) else width
        if extent(o) > columns:
            if not attempt(loops, Split(along, columns), target):
                return not must
            level, along = (*front, along + ".0"), along + ".1"
        attempt(loops, Order((*level, *rest, along)), target)
        if block and rest and attempt(loops, Split(name, block), target) and \
                attempt(loops, Carry(name + ".0", rest[0]), target):
            level += (name + ".0",)
    packed = True
    for x in operands:
        layout: tuple[tuple[int, int, int], ...] = (*((a, 1, 0) for a in x.reduced), (x.inner, 1, 0))
        if min(columns, extent(o)) > width:     # one panel behind the other
            layout = ((x.inner, width, 0), *((a, 1, 0) for a in x.reduced), (x.inner, 1, width))
        place = Place(f"p{x.slot}", level, layout, along=along)
        done = attempt(loops, place, target)
        if columns > width and done:
            attempt(loops, Split(f"{place.label}_{x.inner}", width), target)
        packed = packed and (done or x not in needed)
    if not view.level:
        _pad_windows(loops, down, (*level, *rest), target)
    return packed


def _pad_windows(loops: Loops, down: list[UOp], outer: tuple[str, ...], target: Target) -> None:
    """Keeps what a sum reads in guarded windows in scratch, zeros around it: as much at once as the second cache
    holds.
    """
    for load in dict.fromkeys(u for d in down for u in _guarded_loads(d)):
        level: tuple[str, ...] | None = None
        for n in range(len(outer) + 1):
            size = _spanned(loops, load, outer[:n])
            if size <= target.l2:
                level = outer[:n]
                if n and _spanned(loops, load, outer[:n - 1]) > target.l2:    # a block of the last range's iterations
                    (r,) = nest.ranges_named(loops.root, outer[n - 1])
                    block = next((b for b in range(extent(r) // 2, 1, -1) if extent(r) % b == 0
                                  and _spanned(loops, load, outer[:n - 1], (r, b)) <= target.l2), 0)
                    if block and attempt(loops, Split(outer[n - 1], block), target):
                        level = (*outer[:n - 1], outer[n - 1] + ".0")
                break
        if level is not None:
            attempt(loops, Place(f"p{load.src[0].arg.slot}", level), target)


def _guarded_loads(d: UOp) -> list[UOp]:
    """The loads of inputs that are guarded by nothing but their own bounds."""
    inside = nest.toposort_until(d.src[0], lambda u: u.op is Ops.END)
    uses = [use for u in inside if u.op is Ops.WHERE for use in own_loads(u)]
    return [load_of(use) for use in uses]


def _spanned(loops: Loops, load: UOp, level: tuple[str, ...], block: tuple[UOp, int] | None = None) -> int:
    """Bytes between the least and the largest index of each axis, in one iteration of the level's loops."""
    around = [r for name in level for r in nest.ranges_named(loops.root, name)]
    size = 4
    for index in nest.access(load)[1]:
        if block is not None:
            r, length = block
            index = nest.substitute(index, {r: UOp.range(r.arg.name, 0, length)})
        span = add_scaled(nest.extreme(index, around, True), nest.extreme(index, around, False), -1)
        size *= bounds(span)[1] + 1
    return size


def _turn_rows(loops: Loops, view: NestView, d: UOp, rows: UOp, o: UOp, front: tuple[str, ...], target: Target) -> bool:
    """Turns an operand whose rows are columns in memory, all of it, if steps along them stay in few sets of the caches:
    what is loaded with an element would be gone before its neighbours are needed.
    """
    reads = [u for u in loads_of(d) if rows in nest.free(u) and o not in nest.free(u)]
    x = _operand(d, reads, rows)
    if x is None or extent(o) < MANY_ROWS or stride(reads[0], rows) != 1:
        return False
    steps = [stride(reads[0], r) * reads[0].dtype.itemsize for r in parts(d)[1]]
    others = {r.arg.name for r in view.ranges if r is not rows and r in x.moved_by}
    if any(step % FAR_STEP for step in steps) or not others <= set(front):
        return False
    layout = ((x.inner, 1, 0), *((a, 1, 0) for a in x.reduced))
    return attempt(loops, Place(f"p{x.slot}", front, layout, along=rows.arg.name), target)


def _block(view: NestView, down: list[UOp], o: UOp, target: Target) -> int:
    """The size of blocks of the outermost range of a sum too deep for its panel to stay in the second cache; 0 where it
    is done in one.
    """
    value = view.stores[0].src[1]
    bare = value.src[0] if value.op is Ops.VALUE else value
    if view.level or len(down) != 1 or len(view.stores) != 1 or bare is not down[0] or down[0].arg is not Ops.ADD:
        return 0
    ranges = parts(down[0])[1]
    if any(r.src[1].op is not Ops.CONST for r in ranges):
        return 0
    most = STRIDED_DEPTH if _is_strided(down[0], o) else target.l2 // 2 // (_widest(target) * 4)
    depth, outer = _depth(down[0]), extent(ranges[0])
    inner = depth // max(1, outer)
    if depth <= most * 3 // 2:
        return 0
    return next((b for b in range(most // inner, most // inner // 3, -1) if outer % b == 0), 0) if most >= inner else 1


def _is_strided(d: UOp, o: UOp) -> bool:
    """Whether the rows of a sum are columns in memory: an element of each line that is loaded."""
    return any(o not in nest.free(u) and abs(stride(u, parts(d)[1][-1])) > 1 for u in loads_of(d))


def _side_by_side(block: int, width: int, length: int, target: Target) -> int:
    """Columns whose panels are packed at once, so that a tile of strided rows is used for each of them while it is in
    a cache: as many whole panels as a quarter of the second cache holds, about equally many for each thread.
    """
    share = -(-length // width // target.cores)
    times = -(-share // max(1, target.l2 // 4 // (4 * block * width)))
    return width * max(1, -(-share // max(1, times)))


def _widest(target: Target) -> int:
    """Columns of a full panel: four vectors, two where registers are few."""
    return max(4, target.lanes(4)) * (4 if target.registers >= 32 else 2)


def _panel(view: NestView, down: list[UOp], o: UOp, target: Target) -> int:
    """Columns of a panel of `o`: half of the widest where the panel of a deep reduce would not stay in the second
    cache; narrower where that makes the largest share of the threads, which is whole panels, smaller.
    """
    depth = _block(view, down, o, target)
    depth = depth or _depth(down[0])
    lanes = max(4, target.lanes(4))
    wide = max(lanes, _widest(target) // _together(down))
    if depth * wide * 4 * len(down) > target.l2 * 3 // 4:
        wide //= 2
    if view.level:
        return lanes * _vectors(extent(o), lanes, min(wide, extent(o)) // lanes)
    if row_range(view, down, o) is None or prod(extent(r) for r in view.ranges if r is not o) >= MANY_ROWS:
        return wide         # the threads may as well share the rows
    return min(range(wide, wide // 2 - 1, -lanes), key=lambda width: -(-extent(o) // width // target.cores) * width)


def _together(down: list[UOp]) -> int:
    """Reduces that share their loops: whose accumulators live at once."""
    return max(Counter(parts(d)[1] for d in down).values(), default=1)


def _rows_of_lanes(loops: Loops, view: NestView, across: list[UOp], target: Target) -> int:
    """Rows that share vectors of a reduce (x @ W.T), several at a time: all of them if they are few; if they are many,
    where what one row reads would leave nothing of the vectors in the first cache for the next row. Returns how many
    accumulators each row may have.
    """
    loads = dict.fromkeys(u for d in across for u in loads_of(d))
    read = sum(max(_depth(d) for d in across if u in loads_of(d)) * u.dtype.itemsize for u in loads)
    for r in reversed(view.ranges if across else ()):
        if r.arg.kind != "loop" or r.arg.name in loops.serial or not all(r in nest.free(d) for d in across) or \
                all(r in nest.free(u) for u in loads):
            continue
        rows: tuple[str, ...] = (r.arg.name,) if 2 <= extent(r) <= MOST_ROWS else ()
        height = extent(r) if rows else _rows_at_once(r)
        if not view.level and read >= target.l1 and extent(r) >= MANY_ROWS:
            rows = _split_rows(loops, r.arg.name, extent(r), height, False, target)
        if rows:
            for name in rows:
                attempt(loops, Upcast(name), target)
            return max(1, ACCUMULATORS * 2 // height)
    return ACCUMULATORS


def _vectorize_reduce(loops: Loops, d: UOp, lanes: int, accumulators: int, target: Target) -> None:
    """Lanes along the reduce's contiguous range, several accumulators, the remainder cut off."""
    ranges = [r for r in parts(d)[1] if r.arg.kind == "loop"]
    loads = loads_of(d)
    next_to = {r: sum(stride(u, r) == 1 for u in loads) for r in ranges}
    best = next((r for r in reversed(ranges) if not loads
                 or next_to[r] and next_to[r] * 2 >= sum(r in nest.free(u) for u in loads)), None)
    if best is None or extent(best) < 4 or not nest.ranges_named(loops.root, best.arg.name):
        return
    _split_into_lanes(loops, best, lanes, accumulators, target)


def _split_into_lanes(loops: Loops, r: UOp, lanes: int, vectors: int, target: Target,
                      rows: tuple[str, ...] = ()) -> None:
    """range -> blocks of `vectors` vectors: the last, partial block is peeled off. `rows` are duplicated around it."""
    inner, length = str(r.arg.name), extent(r)
    while lanes > 4 and lanes // 2 >= length:      # a masked vector takes no longer than two halves
        lanes //= 2
    constant = r.src[0].op is Ops.CONST and r.src[1].op is Ops.CONST
    size = lanes * _vectors(length if constant else 0, lanes, min(vectors, length // lanes))
    if not constant or length != size:
        attempt(loops, Split(inner, size), target)
        block, inner = inner + ".0", inner + ".1"
        if constant and length % size and length > size:
            attempt(loops, Peel(block, at=length // size), target)
        elif not constant and (r.src[1] % size) is not index_const(0):
            attempt(loops, Peel(block, -1), target)
    _into_lanes(loops, inner, size, lanes, target, rows)


def _into_lanes(loops: Loops, inner: str, size: int, lanes: int, target: Target, rows: tuple[str, ...]) -> None:
    """A loop of whole vectors becomes them, duplicated for each of the rows."""
    opts = [Split(inner, lanes), Vector(inner + ".1"), Upcast(inner + ".0")] if size > lanes else [Vector(inner)]
    for opt in (*opts, *map(Upcast, rows)):
        attempt(loops, opt, target)


def _vectors(length: int, lanes: int, most: int) -> int:
    """Vectors of a block: as many as leave no rest, if they are more than half of what there may be; else a power of
    two."""
    for vectors in range(most, most // 2, -1):
        if length and length % (lanes * vectors) == 0:
            return vectors
    return 1 << most.bit_length() - 1 if most else 1


def _tile_outputs(loops: Loops, view: NestView, down: list[UOp], o: UOp, lanes: int, target: Target) -> None:
    """The register tile: vectors along `o`, rows along another output range."""
    name = o.arg.name
    split = f"{name}.1"
    if nest.ranges_named(loops.root, split) and not nest.ranges_named(loops.root, name):
        inner, length = split, _panel(view, down, o, target)      # cut into panels already, or into several together
        columns = extent(nest.ranges_named(loops.root, split)[0])
        if extent(o) % columns:
            attempt(loops, Peel(f"{name}.0", at=extent(o) // columns), target)
    else:
        inner, length = name, extent(o)
    rows = row_range(view, down, o) if down else None
    while lanes > 4 and lanes // 2 >= length:
        lanes //= 2
    vectors = length // lanes if inner == split else _vectors(length, lanes, min(
        4 * ACCUMULATORS if _is_far(view, down, o, target) else ACCUMULATORS, length // lanes))
    reduces = _together(down)
    found = nest.ranges_named(loops.root, inner)
    if not found:
        return
    row_names: tuple[str, ...] = ()
    if rows is not None:
        height = max(1, (target.registers - 1) // (vectors * reduces) - 1)
        height = min(height, MOST_ROWS, extent(rows))
        least = height * 2 // 3 if view.level or extent(rows) <= 4 * height else height - 1
        without_rest = (h for h in range(height, least - 1, -1) if extent(rows) % h == 0)
        height = next(without_rest, height)
        if extent(rows) % height and extent(rows) <= 4 * height:    # then about equal tiles
            height = -(-extent(rows) // -(-extent(rows) // height))
        others = [r for r in view.ranges if r not in (o, rows) and extent(r) >= target.cores]
        alone = not view.level and inner == name and not others
        row_names = _split_rows(loops, rows.arg.name, extent(rows), height, alone, target)
    if inner == split and length == lanes * vectors == extent(found[0]):
        _into_lanes(loops, inner, length, lanes, target, row_names)
        return
    _split_into_lanes(loops, found[0], lanes, vectors, target, row_names)
    if not down and not view.level:
        _stream_outputs(loops, view, target)


def _split_rows(loops: Loops, name: str, length: int, height: int, alone: bool, target: Target) -> tuple[str, ...]:
    """Cuts rows into tiles of `height`, the rest peeled off. Returns the ranges to duplicate.

    `alone`: there are no other loops for the threads; then the rest is a last tile, of which a part is masked.
    """
    if not nest.ranges_named(loops.root, name):
        return ()
    if length <= height:
        return (name,)
    found = nest.ranges_named(loops.root, name)
    names = []
    if length % height and found[0].src[1].op is Ops.CONST and alone and attempt(loops, Split(name, height), target):
        attempt(loops, Peel(name + ".0", at=length // height), target)
        return (name + ".1",)
    if length % height and found[0].src[1].op is Ops.CONST:
        if attempt(loops, Peel(name, at=length // height * height), target) and length % height > 1:
            names.append(name + "'")
    elif any((r.src[1] - r.src[0]) % height is not index_const(0) for r in found):
        return ()
    attempt(loops, Split(name, height), target)
    return (name + ".1", *names)


def _stream_outputs(loops: Loops, view: NestView, target: Target) -> None:
    """Outputs that fill half of the last cache, written once, bypass the caches: their reader would find little left.
    """
    for s in view.stores:
        memory = s.src[0]
        if memory.op is Ops.PARAM and prod(memory.arg.shape) * memory.dtype.itemsize * 2 >= max(target.l3, 1 << 20):
            attempt(loops, NonTemporal(memory.arg.slot), target)

