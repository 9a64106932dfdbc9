"""The candidates of a search: lists of opts, and what one step makes of a list.

A list is replayed leniently: an opt that `check` refuses, because an earlier one changed, is left out. So any edit of
a list is a list, and `check` decides what remains of it. Lists whose nests are equal are one candidate.

A search starts from the heuristic's list, from the least that keeps values from being computed again, and from what
the heuristic would do on imagined machines: fewer registers, narrower vectors, other caches.
"""
from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..codegen import nest
from ..codegen.gpu import Global, Group, Local
from ..codegen.lower import Loops
from ..codegen.matrix import Matrix
from ..codegen.nest import parts
from ..codegen.online import Online
from ..codegen.opts import Carry, Fuse, Merge, NonTemporal, Opt, Order, Peel, Split, Thread, Unroll, Upcast, Vector
from ..codegen.pipeline import choose, loops_of
from ..codegen.place import Bound, Place
from ..target import Target
from ..uops import Ops, UOp

Opts = tuple[Opt, ...]
MOST_NODES = 1000               # of a nest, besides twice the heuristic's: larger ones take long to try
FACTORS = (2, 4, 8)             # into how many parts a step duplicates a loop
BLOCKS = (16, 64, 256)          # iterations of a block of loops
MOST_COPIES = 16                # of a whole loop's body


@dataclass(frozen=True, eq=False)
class Candidate:
    """A list of opts with the nest before the first and after each."""

    opts: Opts
    stages: tuple[Loops, ...]
    most_nodes: int = 1 << 20

    @property
    def loops(self) -> Loops:
        return self.stages[-1]

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for equal kernels: nests are interned."""
        loops = self.loops
        return loops.root, loops.thread, tuple(sorted(loops.dimensions.items())), tuple(sorted(loops.ahead.items()))


def replay(start: Candidate, opts: Sequence[Opt], target: Target) -> Candidate | None:
    """`opts` from the nest of the start, those left out that do not fit; None where one breaks or the nest explodes."""
    done, stages = list(start.opts), list(start.stages)
    for opt in opts:
        loops = replace(stages[-1], opts=[*stages[-1].opts], dimensions={**stages[-1].dimensions},
                        ahead={**stages[-1].ahead})
        try:
            if opt.check(loops, target) is not None:
                continue
            opt.apply(loops)
        except (ValueError, AssertionError, KeyError, IndexError, RecursionError):
            return None
        if len(nest.order(loops.root)) > start.most_nodes:
            return None
        loops.opts.append(opt)
        done.append(opt)
        stages.append(loops)
    return Candidate(tuple(done), tuple(stages), start.most_nodes)


def starts(ast: UOp, target: Target) -> list[Candidate]:
    """The heuristic's candidate first, then others to begin with, no two of them equal."""
    empty = Candidate((), (loops_of(ast, target),))
    if target.has_blocks:
        imagined = [replace(target, block_threads=threads) for threads in (128, 64)]
        imagined += [replace(target, scratch=target.scratch // 2), replace(target, features=frozenset()),
                     replace(target, warp=0), replace(target, matrix=frozenset()),
                     *(replace(target, cores=cores) for cores in (target.cores * 4, target.cores // 4))]
    else:
        imagined = [replace(target, registers=max(8, target.registers // 2)),
                    replace(target, vector_bytes=max(16, target.vector_bytes // 2)), replace(target, l2=target.l2 // 4),
                    replace(target, l1=target.l1 // 4), replace(target, l2=target.l2 * 4, l1=target.l1 * 4),
                    replace(target, l3=1), replace(target, scratch=target.scratch // 16)]
    found: dict[tuple[object, ...], Candidate] = {}
    for plain, machine in ((False, target), (True, target), *((False, m) for m in imagined)):
        loops = loops_of(ast, target)
        choose(loops, machine, plain)
        candidate = replay(empty, [o for o in loops.opts if isinstance(o, Opt)], target)
        if candidate is not None:
            if not found:
                empty = replace(empty, most_nodes=2 * len(nest.order(candidate.loops.root)) + MOST_NODES)
            found.setdefault(candidate.key, replace(candidate, most_nodes=empty.most_nodes))
    return list(found.values())


def steps(candidate: Candidate, target: Target, rng: random.Random) -> Iterator[Candidate]:
    """Candidates one step away, in a random order: an opt changed or left out, or a few opts put in."""
    edits: list[tuple[int, Opts]] = []          # opts kept from the front, then those to replay
    for i, opt in enumerate(candidate.opts):
        edits += [(i, (*new, *candidate.opts[i + 1:])) for new in _changed(candidate.stages[i].root, opt)]
        if isinstance(opt, Split):
            edits += [_resized(candidate, i, opt, size) for size in _sizes(opt.size, target)]
    vector = next((i for i, o in enumerate(candidate.opts) if isinstance(o, (Vector, Upcast, Unroll))), None)
    for at in {vector, len(candidate.opts)} - {None}:
        assert at is not None
        edits += [(at, (*new, *candidate.opts[at:])) for new in _added(candidate.stages[at], target)]
    rng.shuffle(edits)
    for kept, opts in edits:
        new = replay(replace(candidate, opts=candidate.opts[:kept], stages=candidate.stages[:kept + 1]), opts, target)
        if new is not None:
            yield new


# ---- changing an opt

def _changed(root: UOp, opt: Opt) -> Iterator[Opts]:
    """What can stand in an opt's place; nothing can. Splits: `_resized`."""
    yield ()
    if isinstance(opt, Thread):
        yield from ((Thread(r),) for r in _outer(root) if r != opt.range)
    elif isinstance(opt, Order):
        yield from ((Order(ranges),) for ranges in _swapped(opt.ranges))
    elif isinstance(opt, Bound):
        yield from ((replace(opt, multiple=m),) for m in {1, opt.multiple * 4, opt.multiple // 4} - {0, opt.multiple})
    elif isinstance(opt, Online):
        yield from ((replace(opt, size=size),) for size in (opt.size * 2, opt.size // 2) if size > 1)
    elif isinstance(opt, Place):
        yield from ((replace(opt, level=opt.level[:n]),) for n in range(len(opt.level)))
        if opt.shared:
            yield from ((replace(opt, stages=3 - opt.stages),), (replace(opt, pad=4 - opt.pad if opt.pad < 5 else 0),))
        for width in {width for _, width, _ in opt.layout if width > 1}:
            for new in (width * 2, width // 2):
                sizes = {width: new}
                yield (replace(opt, layout=tuple((a, sizes.get(n, n), sizes.get(m, m)) for a, n, m in opt.layout)),)
    elif isinstance(opt, (Upcast, Unroll)):
        yield ((Unroll if isinstance(opt, Upcast) else Upcast)(opt.range),)
        yield (Vector(opt.range),)
    elif isinstance(opt, (Global, Local, Group)):
        yield from ((replace(opt, dimension=d),) for d in range(3) if d != opt.dimension)


def _sizes(size: int, target: Target) -> list[int]:
    near = {size * 2, size * 3 // 2, size // 2, size * 2 // 3}
    if size < target.lanes(4):
        near |= {size - 1, size + 1, size + 2}
    return sorted(n for n in near if n > 1 and n != size)


def _resized(candidate: Candidate, i: int, split: Split, size: int) -> tuple[int, Opts]:
    """An edit: a Split with another size, and what was peeled off for the old remainder as the new one has it."""
    opts, name = candidate.opts, split.range
    kept = next((j for j in range(i) if isinstance(opts[j], Peel) and opts[j].range == name), i)  # type: ignore[attr-defined]
    found = nest.ranges_named(candidate.stages[kept].root, name)
    length = found[0].src[1].vmax if found else 0
    before = (*_peel(name, length, size), *opts[kept + 1:i]) if kept < i else ()
    behind = (replace(o, at=length // size) if isinstance(o, Peel) and o.range == f"{name}.0" and o.at > 0 else o
              for o in opts[i + 1:])
    return kept, (*before, Split(name, size), *behind)


def _peel(name: str, length: int, size: int) -> Opts:
    return (Peel(name, length // size * size),) if length % size and length > size else ()


def _swapped(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """With two neighbours exchanged."""
    for i in range(len(names) - 1):
        yield (*names[:i], names[i + 1], names[i], *names[i + 2:])


# ---- adding opts

def _added(loops: Loops, target: Target) -> Iterator[Opts]:
    """A few opts that make sense together, on ranges and values that are there."""
    order = nest.order(loops.root)
    ranges = {u.arg.name: u for u in order if u.op is Ops.RANGE and u.arg.kind == "loop"}
    closers = [u for u in order if nest.is_closer(u)]
    reduced = {r.arg.name for u in closers if u.op is Ops.REDUCE for r in parts(u)[1]}
    for name, r in ranges.items():
        length, inner = max(0, r.src[1].vmax - r.src[0].vmin), f"{name}.1"
        copies: list[Callable[[str], Opt]] = [Upcast, Unroll] if name in reduced else [Upcast]
        for copy in copies:
            if length <= MOST_COPIES:
                yield (copy(name),)
            for n in FACTORS:
                yield *_peel(name, length, n), Split(name, n), copy(inner)
        lanes = target.lanes(4)
        for n in (lanes, lanes // 2):
            peel = (Peel(f"{name}.0", length // n),) if length % n else ()
            yield (Split(name, n), *peel, Vector(inner))
            yield (Split(name, n * 4), Split(inner, n), Vector(f"{inner}.1"), Upcast(f"{inner}.0"))
        for block in BLOCKS:
            if block >= length:
                break
            if name in reduced:
                yield from ((Split(name, block), Carry(f"{name}.0", before)) for before in _outer(loops.root))
            else:
                outer = [x for x in _outer(loops.root) if x != name]
                for at in range(len(outer) if name in _outer(loops.root) else 0):
                    yield Split(name, block), Order((*outer[:at], f"{name}.0", *outer[at:], inner))
    for closer in closers:
        names = [r.arg.name for r in parts(closer)[1]]
        yield from ((Merge(a, b),) for a, b in zip(names, names[1:]))
        yield from ((Order(swapped),) for swapped in _swapped(names))
    yield from ((Fuse(a, b),) for a in sorted(reduced) for b in sorted(reduced) if a < b)
    outer = _outer(loops.root)
    if loops.thread is None and target.has_threads:
        yield from ((Thread(name),) for name in outer)
    if target.has_blocks:
        yield from ((index(name, d),) for index in (Global, Local, Group) for name in ranges for d in range(3))
        yield from ((Group(name, 0, target.warp),) for name in reduced)
    for kind in sorted(target.matrix):
        yield from ((Matrix(kind, *names),) for names in itertools.permutations(ranges, 3))
    for name, node in loops.values.items():
        axes = [a for a, n in enumerate(node.shape) if n != 1]
        layouts = {(), tuple((a, 1, 0) for a in reversed(axes))} if node.op is Ops.PARAM else {()}
        yield from ((Place(name, tuple(outer[:n]), x, shared),) for n in range(len(outer) + 1) for x in sorted(layouts)
                    for shared in ((False, True) if target.has_blocks else (False,)))
    yield from ((NonTemporal(slot),) for slot in sorted(
        {u.src[0].arg.slot for u in order if u.op is Ops.STORE and u.src[0].op is Ops.PARAM}))


def _outer(root: UOp) -> list[str]:
    """The loops around everything, outermost first, and a grid's indices."""
    return [r.arg.name for r in nest.innermost(root)[1] if r.arg.kind in ("loop", "global")]
