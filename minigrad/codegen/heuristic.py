"""Good opts at once, without a search: what to keep in scratch, what to tile, which ranges become lanes and threads.

Everything follows from how addresses move with the ranges (their strides), from sizes and from the Target. Three steps:

1. values that would be computed again in a loop they do not depend on, or in several loops, go to scratch
   (`placement`);
2. every nest (the root's and each fill's) gets its register tile and its lanes (`tiles`);
3. an outer range is cut among threads; what comes next is fetched while this is computed with (`prefetch`).
"""
from __future__ import annotations

from ..target import Target
from ..uops import Ops, UOp
from . import nest
from .lower import Loops
from .nest import extent, parts
from .opts import Fuse, Merge, Thread
from .placement import place_values
from .prefetch import prefetch_rows, prefetch_streams
from .tiles import attempt, tile_nests

LEAST_WORK = 4096  # evaluations of a kernel's innermost values below which a second thread does not pay


def choose(loops: Loops, target: Target, plain: bool = False) -> None:
    """Applies the opts, and lists them in loops.opts. `plain`: no more than keeps values from being computed again."""
    place_values(loops, target)
    if plain:
        return
    merge_neighbours(loops, target)
    fuse_products(loops, target)
    tile_nests(loops, target)
    cut_among_threads(loops, target)
    prefetch_rows(loops, target)
    prefetch_streams(loops, target)


def merge_neighbours(loops: Loops, target: Target) -> None:
    """Ranges that always stand together and address as one become one: longer loops, fewer of them."""
    done = False
    while not done:
        done = True
        pairs: dict[tuple[str, str], None] = {}
        for u in nest.order(loops.root):
            if nest.is_closer(u):
                names = [r.arg.name for r in parts(u)[1]]
                pairs.update(dict.fromkeys(zip(names, names[1:])))
        for first, second in pairs:
            if first not in loops.serial and attempt(loops, Merge(first, second), target):
                done = False
                break


def fuse_products(loops: Loops, target: Target) -> None:
    """Products that share an operand, of which every operand serves several outputs, share their loops: one tile."""
    found: dict[tuple[int, ...], list[UOp]] = {}
    for d in nest.order(loops.root):
        if d.op is Ops.REDUCE and all(nest.free(d) - nest.free(u) for u in nest.reads(d)):
            found.setdefault(tuple(extent(r) for r in parts(d)[1]), []).append(d)
    for first, *others in found.values():
        for other in others:
            pairs = list(zip(parts(first)[1], parts(other)[1]))
            loads = {nest.substitute(u, {b: a for a, b in pairs}) for u in nest.reads(other)}
            if not loads.isdisjoint(nest.reads(first)):
                for a, b in pairs:
                    attempt(loops, Fuse(a.arg.name, b.arg.name), target)


def cut_among_threads(loops: Loops, target: Target) -> None:
    """The outermost range that keeps all cores busy, about equally; of those only ranges on which every reduce outside
    of fills depends.
    """
    if not target.has_threads or loops.thread is not None or _work(loops.root) < LEAST_WORK:
        return
    around: dict[str, set[UOp]] = {}  # the loops around what is stored, outermost first; the parts of a peeled one
    waiting = [loops.root]
    for closer in waiting:
        body, ranges, _ = parts(closer)
        for r in ranges:
            if r.arg.kind == "loop":
                around.setdefault(r.arg.name.rstrip("'"), set()).add(r)
        waiting += [s for s in body if s.op is Ops.END]
    every = frozenset().union(*around.values())
    reduces = [nest.free(u) & every for u in nest.order(loops.root) if u.op is Ops.REDUCE]
    lengths = {name: max(r.src[1].vmax for r in rs) - min(r.src[0].vmin for r in rs) for name, rs in around.items()}
    candidates = [name for name, length in lengths.items() if length > 1]
    heavy = [name for name in candidates if all(outer & around[name] for outer in reduces if outer)]
    equal = [n for n in heavy if -(-lengths[n] // target.cores) * target.cores <= 1.1 * lengths[n]]
    enough = [n for n in heavy if lengths[n] >= target.cores]
    for name in dict.fromkeys([*equal, *enough, *heavy, *candidates]):
        if attempt(loops, Thread(name), target):
            return


def _work(root: UOp) -> int:
    """The largest number of iterations of any closer, counting the loops around it."""
    most = 0
    for u in nest.order(root):
        if nest.is_closer(u):
            n = 1
            for r in nest.free(u) | set(parts(u)[1]):
                n *= max(1, extent(r))
            most = max(most, n * max(1, sum(b.op is Ops.STORE for b in parts(u)[0])))
    return most
