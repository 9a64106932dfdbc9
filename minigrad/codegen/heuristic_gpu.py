"""Good opts for a target with blocks of threads: the grid, the block, what its threads share, and tiles of products.

Everything follows from how addresses move with the ranges and from the Target, as for processors (`heuristic`). A
kernel in which something is kept in scratch is computed by blocks: the ranges at which it is kept are the grid, the
scratch is shared, and every loop inside of a block is cut among its threads. Any other kernel is a product, which gets
tiles, or a sum that is too long for one thread, which a block shares, or has a thread for every few elements.

What a block keeps may not fit its memory, or a barrier would stand where not all threads reach it: then fewer rows are
taken at a time, and in the end one thread of a block keeps everything for itself.
"""
from __future__ import annotations

from dataclasses import replace

from ..helpers import prod
from ..target import Target
from ..uops import Ops, UOp
from . import nest
from .addresses import stored_size
from .gpu import Global, Group, Local
from .heuristic import merge_neighbours
from .linearize import linearize
from .lower import Loops
from .matrix import DEPTHS, Matrix, operands
from .nest import extent, parts
from .opts import Opt, Split, Upcast, Vector
from .place import Place
from .placement import place_values
from .tiles import NestView, attempt, fills_of, nest_view, root_nest, row_range, stride

THREADS = 256               # of a block, at most
ROW = 32                    # threads side by side along the fastest axis: what a warp is, or more
LONG = 64                   # terms of a sum from which a block shares it
MANY = 1 << 15              # outputs from which each has a thread, rather than a block
VECTOR = 4
ROWS = (16, 4, 1)           # that a block takes at a time
BLOCKS, SHARE = 4, 16       # for each core, that share outputs; outputs that a block has at least
WARPS = 4                   # of a block that uses matrix instructions
TILE, DEEP, EACH = 64, 16, 4    # of a product: rows and columns of a block, terms at once, rows and columns of a thread


def choose(loops: Loops, target: Target, plain: bool = False) -> None:
    """Applies the opts, and lists them in loops.opts. `plain`: one thread for each block, no tiles."""
    first = _saved(loops)
    for rows in () if plain else ROWS:
        _cooperate(loops, target, rows)
        if _fits(loops, target):
            return
        _restore(loops, first)
    place_values(loops, target)
    levels = _levels(loops)
    if levels is None:
        _spread(loops, target)
    else:
        _grid(loops, target, levels)


def _saved(loops: Loops) -> Loops:
    return replace(loops, opts=list(loops.opts), dimensions=dict(loops.dimensions))


def _restore(loops: Loops, old: Loops) -> None:
    loops.root, loops.serial, loops.copies = old.root, old.serial, old.copies
    loops.opts, loops.dimensions = list(old.opts), dict(old.dimensions)


def _together(loops: Loops, target: Target, *opts: Opt) -> bool:
    """Applies all of the opts, or none."""
    before = _saved(loops)
    if all(attempt(loops, opt, target) for opt in opts):
        return True
    _restore(loops, before)
    return False


def _with_copies(loops: Loops, target: Target, *opts: Opt) -> bool:
    """All of the opts, with operands that are copied ahead of their use where the target and the operands can."""
    before = _saved(loops)
    staged = (replace(o, stages=2) if isinstance(o, Place) else o for o in opts)
    if target.has("cp.async") and _together(loops, target, *staged) and _fits(loops, target):
        return True
    _restore(loops, before)
    return _together(loops, target, *opts)


def _fits(loops: Loops, target: Target) -> bool:
    """Whether the shared arrays fit a block, and all of its threads reach all barriers."""
    arrays = [u for u in nest.order(loops.root) if u.op is Ops.SCRATCH]
    if sum(prod(u.arg.shape) * u.arg.stages * u.dtype.itemsize for u in arrays if u.arg.shape) > target.scratch:
        return False
    try:
        scratch = linearize(loops).scratch if arrays else {}
    except ValueError:
        return False
    sizes = (stored_size(memory, place.dims) * place.dtype.itemsize for memory, place in scratch.items())
    return bool(sum(-(-size // 16) * 16 for size in sizes) <= target.scratch)


# ---- recipes

def _cooperate(loops: Loops, target: Target, rows: int) -> None:
    """The threads of a block share what is kept, for so many rows at a time; a kernel that keeps nothing is spread."""
    first = _saved(loops)
    place_values(loops, target, rows, shared=True)
    levels = _levels(loops)
    if levels is None:
        _free_outputs(loops, target)
        return
    levels = levels or _share_outputs(loops, target, first)
    lengths = [extent(r) for view in _nests(loops) for r in view.ranges if r.arg.name not in levels]
    lengths += [extent(r) for u in _reduces(loops.root) for r in parts(u)[1]]
    threads = min(THREADS, target.block_threads, max(ROW, _power(max(lengths, default=1))))
    _grid(loops, target, levels)
    for view in _nests(loops):
        own = [r for r in view.ranges if r.arg.name not in levels and _is_loop(loops, r)]
        if own:
            fastest = next((r for r in reversed(own) if any(stride(s, r) == 1 for s in view.stores)), None)
            _cut(loops, target, str((fastest or max(own, key=extent)).arg.name), threads)
    _group_sums(loops, target, threads, 0)


def _share_outputs(loops: Loops, target: Target, first: Loops) -> list[str]:
    """What a kernel keeps once for all outputs, every one of several blocks keeps for its share of them: the levels.

    Each block normalises a token and multiplies it by some of the rows. `first`: the nest in which nothing is kept.
    """
    outputs = [r for r in root_nest(loops.root).ranges if _is_loop(loops, r)]
    longest = max(outputs, key=extent, default=None)
    if longest is None:
        return []
    name, others = str(longest.arg.name), [r for r in outputs if r is not longest]
    blocks = -(-BLOCKS * target.cores // prod(map(extent, others)))
    size = max(SHARE, _power(-(-extent(longest) // blocks)))
    levels = [*(str(r.arg.name) for r in others), f"{name}.0"]
    kept = _saved(loops)
    _restore(loops, first)
    opts = (replace(o, level=tuple(levels)) if isinstance(o, Place) else o for o in kept.opts if isinstance(o, Opt))
    if extent(longest) > size and _together(loops, target, Split(name, size), *opts):
        return levels
    _restore(loops, kept)
    return []


def _spread(loops: Loops, target: Target) -> None:
    """A thread for each output, all neighbours along the fastest axis side by side."""
    merge_neighbours(loops, target)
    _spread_ranges(loops, target, [r for r in root_nest(loops.root).ranges if _is_loop(loops, r)], THREADS)


def _free_outputs(loops: Loops, target: Target) -> None:
    """A kernel without scratch."""
    merge_neighbours(loops, target)
    view = root_nest(loops.root)
    outputs = [r for r in view.ranges if _is_loop(loops, r)]
    if _tile_product(loops, target, view, outputs):
        return
    count = prod(max(1, extent(r)) for r in outputs)
    fastest = next((r for r in reversed(outputs) if any(stride(s, r) == 1 for s in view.stores)), None)
    if not view.reduces and fastest is not None and count >= MANY and extent(fastest) % VECTOR == 0 \
            and all(stride(u, fastest) in (0, 1) for u in view.nodes if u.op in (Ops.LOAD, Ops.STORE)):
        name = fastest.arg.name
        if _together(loops, target, Split(name, VECTOR), Vector(f"{name}.1")):
            outputs = [r for r in root_nest(loops.root).ranges if _is_loop(loops, r)]
    long = [u for u in view.reduces if prod(extent(r) for r in parts(u)[1]) >= LONG]
    if not long or count >= MANY and not any(_along_rows(u) for u in long):
        _spread_ranges(loops, target, outputs, THREADS)
        return
    terms = max(prod(extent(r) for r in parts(u)[1]) for u in long)
    threads = min(THREADS, target.block_threads, max(ROW, _power(terms) // 8))
    if all(_along_rows(u) for u in long) or fastest is None or extent(fastest) < 8:
        rows = [r for r in outputs if any(r in nest.free(u) for u in long)]
        along = max((r for r in outputs if r not in rows), key=extent, default=None)
        if along is not None:   # a block has the sums of a row, its threads have the row's elements
            _cut(loops, target, str(along.arg.name), threads)
        if not rows:            # of the only row: each of several blocks has some of its elements
            rows = [r for r in root_nest(loops.root).ranges if _is_loop(loops, r)]
        _grid(loops, target, [str(r.arg.name) for r in rows])
        _group_sums(loops, target, threads, 0)
    else:                       # sums over columns: threads side by side have a column each
        _spread_ranges(loops, target, outputs, ROW)
        _group_sums(loops, target, max(2, threads // ROW), 2)


def _tile_product(loops: Loops, target: Target, view: NestView, outputs: list[UOp]) -> bool:
    """A product of two inputs: tiles of both in shared memory, a tile of outputs in each thread's registers."""
    if len(view.reduces) != 1 or len(parts(view.reduces[0])[1]) != 1 or len(outputs) > 4:
        return False
    (d,), (depth,) = view.reduces, parts(view.reduces[0])[1]
    loads = [u for u in view.nodes if u.op is Ops.LOAD and depth in nest.free(u)]
    column = next((r for r in reversed(outputs) if all(stride(s, r) == 1 for s in view.stores)), None)
    row = None if column is None else row_range(view, [d], column)
    if column is None or row is None or row not in outputs or min(extent(row), extent(column)) < TILE // 2 \
            or extent(depth) < DEEP or len({u.src[0] for u in loads}) != len(loads) or len(loads) != 2:
        return False
    m, n, k = str(row.arg.name), str(column.arg.name), str(depth.arg.name)
    others = [str(r.arg.name) for r in outputs if r not in (row, column)]
    around = [str(r.arg.name) + (".0" if r in (row, column) else "") for r in view.ranges if r in outputs]
    opts: list[Opt] = [Split(m, TILE), Split(f"{m}.1", EACH), Split(n, TILE), Split(f"{n}.1", EACH), Split(k, DEEP)]
    instruction = next((x for x in sorted(target.matrix) if operands(d, row, column, x) is not None), None)
    if instruction is not None and _tile_matrix(loops, target, instruction, row, column, depth, loads, around, others):
        return True
    shape = {row: TILE, column: TILE, depth: DEEP}
    fills: list[Opt] = []
    for u in loads:
        memory, indices = nest.access(u)
        moved = {r: [a for a, i in enumerate(indices) if r in nest.free(i)] for r in shape}
        mine = next((r for r in (row, column) if moved[r]), None)
        if memory.op is not Ops.PARAM or mine is None or len(moved[mine]) != 1 or len(moved[depth]) != 1 \
                or moved[mine] == moved[depth] or (moved[row] and moved[column]):
            return False
        (a,), (b,), label = moved[mine], moved[depth], f"p{memory.arg.slot}"
        turned = int(a < b) * VECTOR                # a column that is filled lies in more banks than one
        opts.append(Place(label, (*around, f"{k}.0"), ((b, 1, 0), (a, 1, 0)), shared=True, pad=turned))
        fast, slow = (a, b) if abs(stride(u, mine)) == 1 else (b, a)      # as it lies in memory
        across = TILE // EACH
        for axis, dimension in ((fast, 0), (slow, 1)):
            size = TILE if axis == a else DEEP
            if size > across:
                fills += [Split(f"{label}_{axis}", across), Local(f"{label}_{axis}.1", dimension),
                          Upcast(f"{label}_{axis}.0")]
            else:
                fills.append(Local(f"{label}_{axis}", dimension))
    grid: list[Opt] = [Global(f"{n}.0", 0), Global(f"{m}.0", 1), *(Global(x, 2) for x in others[:1]),
                       Local(f"{n}.1.0", 0), Local(f"{m}.1.0", 1)]
    return _with_copies(loops, target, *opts, *grid, *fills, Vector(f"{n}.1.1"), Upcast(f"{m}.1.1"))


def _tile_matrix(loops: Loops, target: Target, instruction: str, row: UOp, column: UOp, depth: UOp, loads: list[UOp],
                 around: list[str], others: list[str]) -> bool:
    """A product by matrix instructions: four warps of 32 rows and 64 columns, both operands' tiles in shared memory."""
    m, n, k = (str(r.arg.name) for r in (row, column, depth))
    wide = any(u.dtype.itemsize == 4 for u in loads)
    shape = {row: 32 * WARPS, column: 64, depth: 16 if wide and target.has("cp.async") else 32}     # two stages' room
    opts: list[Opt] = [Split(m, shape[row]), Split(f"{m}.1", 32), Split(f"{m}.1.1", 16), Split(n, shape[column]),
                       Split(f"{n}.1", 8), Split(k, shape[depth])]
    fills: list[Opt] = []
    for u in loads:
        memory, indices = nest.access(u)
        mine = row if any(row in nest.free(i) for i in indices) else column
        axes = {r: [a for a, i in enumerate(indices) if r in nest.free(i)] for r in (mine, depth)}
        if memory.op is not Ops.PARAM or any(len(found) != 1 for found in axes.values()) or axes[mine] == axes[depth]:
            return False
        label, fast = f"p{memory.arg.slot}", max((mine, depth), key=lambda r: axes[r][0])
        slow = depth if fast is mine else mine
        # a fragment's numbers lie in different banks: 8 rows of 4 depths each, or 4 depths of 8 rows each
        pad = 4 if fast is depth and u.dtype.itemsize == 4 else 8
        opts.append(Place(label, (*around, f"{k}.0"), shared=True, pad=pad))
        x, y = f"{label}_{axes[fast][0]}", f"{label}_{axes[slow][0]}"
        fills += [Split(x, VECTOR), Split(f"{x}.0", 4), Local(f"{x}.0.1", 0), Vector(f"{x}.1"), Upcast(f"{x}.0.0"),
                  Split(y, 8), Local(f"{y}.1", 1), Split(f"{y}.0", WARPS), Local(f"{y}.0.1", 2)]
    deep = DEPTHS[instruction]
    grid = [Global(f"{n}.0", 0), Global(f"{m}.0", 1), *(Global(x, 2) for x in others[:1]), Local(f"{m}.1.0", 2)]
    return _with_copies(loops, target, *opts, Split(f"{k}.1", deep), *grid, *fills,
                        Matrix(instruction, f"{m}.1.1.1", f"{n}.1.1", f"{k}.1.1"), Upcast(f"{m}.1.1.0"),
                        Upcast(f"{n}.1.0"))


# ---- parts of recipes

def _spread_ranges(loops: Loops, target: Target, ranges: list[UOp], threads: int) -> None:
    """Blocks of threads over the ranges, the last one fastest; what is left over stays a loop."""
    threads = min(threads, target.block_threads)
    outer = []
    for dimension, r in enumerate(reversed(ranges[-3:])):
        name, length = str(r.arg.name), extent(r)
        size = min(threads, _power(length)) if dimension < 2 else 1
        if r.src[1].op is Ops.CONST and length <= size and _together(loops, target, Local(name, dimension)):
            threads //= max(1, _power(length))
            continue
        if size > 1 and _together(loops, target, Split(name, size), Local(f"{name}.1", dimension)):
            threads //= size
            name += ".0"
        outer.append(name)
    _grid(loops, target, [*(str(r.arg.name) for r in ranges[:-3]), *reversed(outer)])


def _grid(loops: Loops, target: Target, names: list[str]) -> None:
    """Three of the ranges, the longest, become the grid; its first dimension holds most blocks."""
    lengths = {name: max(map(extent, nest.ranges_named(loops.root, name)), default=0) for name in names}
    free = [d for d in range(3) if not any(loops.dimensions.get(u.arg.name) == d and u.arg.kind == "global"
                                           for u in nest.order(loops.root) if u.op is Ops.RANGE)]
    for name in sorted(names, key=lambda name: -lengths[name]):
        if free and attempt(loops, Global(name, free[0]), target):
            free.pop(0)


def _cut(loops: Loops, target: Target, name: str, threads: int) -> None:
    """All threads of the block walk a range together."""
    (r,) = nest.ranges_named(loops.root, name)[:1]
    if r.src[1].op is not Ops.CONST or extent(r) != threads or not attempt(loops, Local(name, 0), target):
        _together(loops, target, Split(name, threads), Local(f"{name}.1", 0))


def _group_sums(loops: Loops, target: Target, threads: int, dimension: int) -> None:
    """Cuts every sum that no thread has for itself among threads, in vectors where its terms are neighbours."""
    tried: set[str] = set()
    warp = target.warp if target.warp and not dimension and threads % target.warp == 0 else 0
    while True:
        found = [(r, u) for u in _reduces(loops.root) for r in parts(u)[1]
                 if _is_loop(loops, r) and extent(r) >= ROW and r.arg.name not in tried
                 and not r.arg.name.endswith("g") and (dimension or not _differs(u))]
        if not found:
            return
        r, u = max(found, key=lambda pair: extent(pair[0]))
        name, length = str(r.arg.name), extent(r)
        tried |= {str(x.arg.name) for x in parts(u)[1]} | {f"{name}.0", f"{name}.1.1"}
        loads = [x for x in _loads(u) if r in nest.free(x)]
        vectors = loads and length % VECTOR == 0 and length >= VECTOR * threads
        if not (vectors and all(stride(x, r) == 1 for x in loads) and _together(
                loops, target, Split(name, threads * VECTOR), Split(f"{name}.1", VECTOR),
                Group(f"{name}.1.0", dimension, warp), Vector(f"{name}.1.1"))):
            _together(loops, target, Split(name, threads), Group(f"{name}.1", dimension, warp))


# ---- what a nest looks like

def _levels(loops: Loops) -> list[str] | None:
    """The outer ranges at which values are kept, those of the deepest; None where nothing is kept."""
    levels = [[str(r.arg.name) for r in parts(fill)[2]] for fill in fills_of(loops.root).values()]
    return max(levels, key=len) if levels else None


def _nests(loops: Loops) -> list[NestView]:
    """All nests, the root's last."""
    return [*(nest_view(fill, parts(fill)[2]) for fill in fills_of(loops.root).values()), root_nest(loops.root)]


def _reduces(root: UOp) -> list[UOp]:
    return [u for u in nest.order(root) if u.op is Ops.REDUCE]


def _along_rows(u: UOp) -> bool:
    """Whether most of what a sum reads are neighbours in memory."""
    ranges = frozenset(parts(u)[1])
    moving = [x for x in _loads(u) if nest.free(x) & ranges]
    return 2 * sum(any(stride(x, r) == 1 for r in ranges) for x in moving) > len(moving)


def _loads(u: UOp) -> list[UOp]:
    """What a sum reads, other than in the fills of what it reads."""
    return [x for x in nest.toposort_until(u.src[0], lambda x: x.op is Ops.END) if x.op is Ops.LOAD]


def _differs(u: UOp) -> bool:
    """Whether the threads of a block have different values of it."""
    return any(r.arg.kind == "local" for r in nest.free(u))


def _is_loop(loops: Loops, r: UOp) -> bool:
    return r.arg.kind == "loop" and r.arg.name not in loops.serial and extent(r) > 1


def _power(n: int) -> int:
    """The next power of two."""
    return 1 << max(0, n - 1).bit_length()
