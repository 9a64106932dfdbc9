"""Optimisations as rewrites of ranges. A list of opts is a value: printed, saved, replayed.

Each opt names what it acts on: a range by its name (all ranges of that name, which is what moves together), a value
by its name. SPLIT appends ".0" to the outer and ".1" to the inner name; PEEL appends "'" to the last part. `check`
says why an opt cannot be applied, or None; `apply` changes the nest.
"""
from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from ..target import Target
from ..uops import Ops, UOp, toposort
from ..uops.trace import record
from ..uops.uop import alu, index_const, linear
from . import nest
from .lower import Loops, reduce_identity
from .nest import Nodes, is_closer, parts


def perform(loops: Loops, opt: Opt) -> None:
    """Applies an opt whose `check` found nothing, and lists it."""
    before = loops.root
    opt.apply(loops)
    loops.opts.append(opt)
    record("opts", str(opt), before, loops.root)


def is_level(root: UOp, name: str) -> bool:
    return any(x.arg.name == name for u in nest.order(root) if u.op is Ops.END for x in parts(u)[2])


def const_size(r: UOp) -> int | None:
    start, end = r.src
    return end.arg - start.arg if start.op is Ops.CONST and end.op is Ops.CONST else None


def no_loop(loops: Loops, name: str) -> str | None:
    """Why the ranges of this name are no loops."""
    found = nest.ranges_named(loops.root, name)
    if not found:
        return f"there is no range {name}"
    return next((f"{name} is {r.arg.kind}" for r in found if r.arg.kind != "loop"), None)


def stays_loop(loops: Loops, name: str) -> str | None:
    """Why the ranges of this name have to stay loops."""
    if name in loops.serial or loops.thread == name:
        return f"{name} has to stay a loop"
    if is_level(loops.root, name):
        return f"{name} is a level of scratch"
    marked = frozenset(nest.ranges_named(loops.root, name))
    others = (u for u in nest.order(loops.root) if u.op is Ops.RANGE and u not in marked and nest.free(u) & marked)
    return next((f"the bounds of {u.arg.name} depend on {name}" for u in others), None)


def _thread_in_parts(loops: Loops, name: str) -> str | None:
    """Why the range cannot change its unit: the parts of a range that is cut among threads count alike."""
    if loops.thread is None or name.rstrip("'") != loops.thread:
        return None
    names = {u.arg.name for u in nest.order(loops.root) if u.op is Ops.RANGE}
    if all(n == name or n.rstrip("'") != loops.thread for n in names):
        return None
    return f"{name} is a part of what is cut among threads"


class Opt:
    """The base: `check` before `apply`."""

    def check(self, loops: Loops, target: Target) -> str | None:
        raise NotImplementedError

    def apply(self, loops: Loops) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Split(Opt):
    """range -> outer * size + inner. A remainder is masked in reduces and gates the stores."""

    range: str
    size: int

    def check(self, loops: Loops, target: Target) -> str | None:
        if self.size < 2:
            return f"size {self.size} splits nothing"
        return no_loop(loops, self.range) or next(
            (f"{self.range} starts at {r.src[0]!r}" for r in nest.ranges_named(loops.root, self.range)
             if r.src[0].op is not Ops.CONST and linear(r.src[0])[0] % self.size), None
        ) or _thread_in_parts(loops, self.range) or next(
            (f"{self.range} carries scratch, which a rest would change" for _, r in nest.carried(loops.root)
             if r.arg.name == self.range and ((r.src[1] - r.src[0]) % self.size) is not index_const(0)), None)

    def apply(self, loops: Loops) -> None:
        for r in nest.ranges_named(loops.root, self.range):
            start, stop = r.src
            length = stop - start
            exact = (length % self.size) is index_const(0)
            name, copy = r.arg.name, r.arg.copy
            outer = UOp.range(f"{name}.0", 0, (length + (self.size - 1)) // self.size, copy=copy)
            if outer in nest.order(loops.root):  # of another range of the name, with other bounds: not to be mixed up
                copy = loops.fresh_copy()
                outer = outer.replace(arg=replace(outer.arg, copy=copy))
            inner = UOp.range(f"{name}.1", 0, self.size, copy=copy)
            at = start + outer * self.size + inner
            loops.root = nest.substitute(loops.root, {r: at}, {r: (outer, inner)})
            if not exact:
                loops.root = _guard(loops.root, outer, at.lt(stop))
        if loops.thread == self.range:
            loops.thread = f"{self.range}.0"
        if self.range in loops.serial:
            loops.serial |= {f"{self.range}.0", f"{self.range}.1"}


def _guard(root: UOp, r: UOp, condition: UOp) -> UOp:
    """Reduces over r mask their value, stores under r get a gate."""
    # past the end of an axis or of its outer part lies padding; past the end of an inner part lies its neighbour
    beyond = not any(part.rstrip("'") == "1" for part in r.arg.name.split(".")[1:])

    def change(u: UOp, body: Nodes, ranges: Nodes, level: Nodes) -> UOp:
        if u.op is Ops.REDUCE:
            return nest.reduce(u.arg, alu(Ops.WHERE, condition, body[0], reduce_identity(u)), ranges)
        return nest.end([_gate_stores(s, condition, beyond) for s in body], ranges, level)
    return nest.transform_closers(root, r, change)


def _gate_stores(statement: UOp, condition: UOp, beyond: bool) -> UOp:
    if statement.op is Ops.STORE:
        memory, value, gate, *indices = statement.src
        if beyond and memory.op is Ops.SCRATCH:  # as large as its indices: to write padding is cheaper than a gate
            return statement
        return nest.store(memory, value, indices, gate & condition, statement.arg)
    if statement.op is Ops.PREFETCH:
        return statement
    body, ranges, level = parts(statement)
    return nest.end([_gate_stores(s, condition, beyond) for s in body], ranges, level)


@dataclass(frozen=True)
class Merge(Opt):
    """Two neighbouring ranges of the same closers become one, named after the first; every address must stay free of
    / and %."""

    first: str
    second: str

    def check(self, loops: Loops, target: Target) -> str | None:
        pairs = self._pairs(loops)
        if pairs is None:
            return f"{self.first} and {self.second} do not stand together everywhere"
        if any(n.src[0] is not index_const(0) or m.src[0] is not index_const(0) or n.src[1].op is not Ops.CONST
               or m.arg.kind != "loop" or n.arg.kind != "loop" for m, n in pairs):
            return "needs loops from 0 and a constant inner size"
        if is_level(loops.root, self.first) or is_level(loops.root, self.second):
            return "one is a level of scratch"
        if loops.thread is not None and self.second.rstrip("'") == loops.thread:
            return f"{self.second} is cut among threads"
        return _thread_in_parts(loops, self.first) or (
            "an address would need a division" if self._merged(loops, pairs) is None else None)

    def _pairs(self, loops: Loops) -> list[tuple[UOp, UOp]] | None:
        pairs: list[tuple[UOp, UOp]] = []
        for u in filter(is_closer, nest.order(loops.root)):
            ranges = parts(u)[1]
            names = [r.arg.name for r in ranges]
            if self.first in names or self.second in names:
                at = names.index(self.first) if self.first in names else len(names)
                if names[at + 1:at + 2] != [self.second]:
                    return None
                pairs.append((ranges[at], ranges[at + 1]))
        return list(dict.fromkeys(pairs)) or None

    def _merged(self, loops: Loops, pairs: list[tuple[UOp, UOp]]) -> UOp | None:
        root = nest.transform(loops.root, lambda u: u.src[0] if u.op is Ops.VALUE else u)  # markers mention indices
        for outer, inner in pairs:
            size = inner.src[1].arg
            both = UOp.range(self.first, 0, outer.src[1] * size, copy=outer.arg.copy)
            root = nest.substitute(root, {outer: both // size, inner: both % size}, {outer: (both,), inner: ()})
            root = nest.transform(root, lambda u, both=both: _flat_access(u, both))  # type: ignore[misc]
            if any(u.op in (Ops.IDIV, Ops.MOD) and both in nest.free(u) for u in nest.order(root)):
                return None
        return root

    def apply(self, loops: Loops) -> None:
        pairs = self._pairs(loops)
        root = self._merged(loops, pairs) if pairs else None
        assert root is not None, "apply without check"
        loops.root = root
        for u in nest.order(root):  # inputs go by the shapes by which they are now addressed
            if u.op is Ops.PARAM:
                loops.values[f"p{u.arg.slot}"] = u


def _flat_access(u: UOp, both: UOp) -> UOp:
    """An access whose indices divide `both` addresses those dimensions of its buffer as one."""
    if u.op not in (Ops.LOAD, Ops.STORE):
        return u
    memory, indices = nest.access(u)
    divided = [a for a, i in enumerate(indices)
               if any(x.op in (Ops.IDIV, Ops.MOD) and both in nest.free(x) for x in toposort(i))]
    if memory.op is not Ops.PARAM or len(divided) < 2:
        return u
    first, last = divided[0], divided[-1] + 1
    shape = memory.arg.shape
    flat, size = flatten(indices[first:last], shape[first:last])
    param = memory.replace(arg=type(memory.arg)(memory.arg.slot, (*shape[:first], size, *shape[last:])))
    indices = (*indices[:first], flat, *indices[last:])
    if u.op is Ops.LOAD:
        return nest.load(param, indices, nest.waits_of(u))
    return nest.store(param, u.src[1], indices, u.src[2], u.arg)


def flatten(indices: tuple[UOp, ...], shape: tuple[int, ...]) -> tuple[UOp, int]:
    """(address, size) of an element of a row-major array."""
    address, stride = index_const(0), 1
    for i, n in zip(reversed(indices), reversed(shape)):
        address = address + i * stride
        stride *= n
    return address, stride


@dataclass(frozen=True)
class Fuse(Opt):
    """Reduces over two ranges of the same length, none of which needs another one's result, share the first's loop."""

    first: str
    second: str

    def check(self, loops: Loops, target: Target) -> str | None:
        first, second = (nest.ranges_named(loops.root, name) for name in (self.first, self.second))
        if len(first) != 1 or len(second) != 1 or self.first == self.second:
            return f"{self.first} and {self.second} are not two loops"
        if first[0].src != second[0].src or first[0].arg.kind != second[0].arg.kind:
            return f"{self.first} and {self.second} have different bounds"
        closers = [u for u in nest.order(loops.root) if is_closer(u) and {*first, *second} & set(parts(u)[1])]
        if any(u.op is not Ops.REDUCE or {*first, *second} <= set(parts(u)[1]) for u in closers):
            return "one is no reduce's, or both are one's"
        if any(u is not v and u in nest.order(v) for u in closers for v in closers):
            return "one reduce needs the other's result"
        return None

    def apply(self, loops: Loops) -> None:
        (first,), (second,) = (nest.ranges_named(loops.root, name) for name in (self.first, self.second))
        loops.root = nest.substitute(loops.root, {second: first}, {second: (first,)})


@dataclass(frozen=True)
class Order(Opt):
    """The order of the ranges of every closer that has exactly these."""

    ranges: tuple[str, ...]

    def check(self, loops: Loops, target: Target) -> str | None:
        found = next((parts(u)[1] for u in nest.order(loops.root) if self._orders(u)), None)
        if found is None:
            return f"no loops over exactly {', '.join(self.ranges)}"
        if any(r.arg.name in loops.serial for r in found):
            return "the order of a scatter's index axes is fixed"
        for r in found:  # a bound must stay inside of the ranges it mentions
            mentioned = (nest.free(r) - {r}) & frozenset(found)
            if any(self.ranges.index(x.arg.name) > self.ranges.index(r.arg.name) for x in mentioned):
                return f"the bounds of {r.arg.name} depend on ranges further in"
        return None

    def _orders(self, u: UOp) -> bool:
        return is_closer(u) and {r.arg.name for r in parts(u)[1]} == set(self.ranges)

    def apply(self, loops: Loops) -> None:
        def change(u: UOp) -> UOp:
            if not self._orders(u):
                return u
            body, ranges, level = parts(u)
            return nest.rebuild_closer(u, body, sorted(ranges, key=lambda r: self.ranges.index(r.arg.name)), level)
        loops.root = nest.transform(loops.root, change)


@dataclass(frozen=True)
class Thread(Opt):
    """The range that is cut among threads: one around everything that is stored, or the parts it was peeled into."""

    range: str

    def check(self, loops: Loops, target: Target) -> str | None:
        if loops.thread is not None:
            return f"{loops.thread} is cut already"
        if self.range in loops.serial:
            return "the order of a scatter's index axes is fixed"
        found = {r for r in nest.order(loops.root) if r.op is Ops.RANGE and r.arg.kind == "loop"
                 and r.arg.name.rstrip("'") == self.range}
        if not _around_all(loops.root, found):
            return f"{self.range} is not a loop around everything that is stored"
        if any(nest.free(r) != {r} for r in found):
            return f"the bounds of {self.range} depend on other ranges"
        return None

    def apply(self, loops: Loops) -> None:
        loops.thread = self.range


def _around_all(root: UOp, ranges: set[UOp]) -> bool:
    """Whether each statement stands in a loop over just one of the ranges."""
    body, own, _ = parts(root)
    inside = len(ranges.intersection(own))
    return inside == 1 if inside else all(s.op is Ops.END and _around_all(s, ranges) for s in body)


@dataclass(frozen=True)
class Vector(Opt):
    """The range becomes SIMD lanes. Over a reduce axis two reduces nest: loops inside, lanes outside. Comes before
    UPCAST."""

    range: str

    def check(self, loops: Loops, target: Target) -> str | None:
        reason = no_loop(loops, self.range) or stays_loop(loops, self.range)
        if reason is not None:
            return reason
        found = nest.ranges_named(loops.root, self.range)
        sizes = {const_size(r) for r in found}
        if len(sizes) != 1 or None in sizes:
            return f"{self.range} has no constant size"
        size = next(iter(sizes))
        if size not in (2, 4, 8, 16, 32, 64) or size * 4 > max(target.vector_bytes, 16):
            return f"{size} lanes are no vector of the target"
        if any(r.src[0] is not index_const(0) for r in found):
            return f"{self.range} does not start at 0"
        marked = frozenset(found)
        two = any(nest.free(u) & marked and nest.lanes(u) for u in nest.order(loops.root))
        return "a value would have two lanes" if two else None

    def apply(self, loops: Loops) -> None:
        for r in nest.ranges_named(loops.root, self.range):
            lane = UOp.range(r.arg.name, 0, r.src[1], kind="lane", copy=r.arg.copy)
            loops.root = nest.substitute(loops.root, {r: lane})

        def nest_reduces(u: UOp) -> UOp:
            if u.op is not Ops.REDUCE:
                return u
            (value,), ranges, _ = parts(u)
            inner = [r for r in ranges if r.arg.kind != "lane"]
            if len(inner) == len(ranges) or not inner:
                return u
            return nest.reduce(u.arg, nest.reduce(u.arg, value, inner), [r for r in ranges if r.arg.kind == "lane"])
        loops.root = nest.transform(loops.root, nest_reduces)


@dataclass(frozen=True)
class Upcast(Opt):
    """Duplicates the body for each value of the range: a register tile, or independent accumulators of a reduce."""

    range: str
    limit = 64
    most_nodes = 20_000     # of a nest: beyond, compilers take minutes

    def check(self, loops: Loops, target: Target) -> str | None:
        reason = no_loop(loops, self.range) or stays_loop(loops, self.range)
        if reason is not None:
            return reason
        found = nest.ranges_named(loops.root, self.range)
        sizes = [const_size(r) or self.limit + 1 for r in found]
        if max(sizes) > self.limit:
            return f"{self.range} has no small constant size"
        marked, order = frozenset(found), nest.order(loops.root)
        copied = sum(bool(nest.free(u) & marked) for u in order)
        if len(order) + copied * max(sizes) > self.most_nodes:
            return f"{copied} nodes would be copied too often"
        return None

    def apply(self, loops: Loops) -> None:
        for r in nest.ranges_named(loops.root, self.range):
            loops.root = duplicate(loops.root, r, combine_inside=False)


@dataclass(frozen=True)
class Unroll(Opt):
    """Duplicates a reduce's body into the same accumulator."""

    range: str

    def check(self, loops: Loops, target: Target) -> str | None:
        ends = any(u.op is Ops.END for u in nest.closers(loops.root, self.range))
        return Upcast(self.range).check(loops, target) or (f"{self.range} is no reduce's" if ends else None)

    def apply(self, loops: Loops) -> None:
        for r in nest.ranges_named(loops.root, self.range):
            loops.root = duplicate(loops.root, r, combine_inside=True)


def duplicate(root: UOp, r: UOp, combine_inside: bool) -> UOp:
    def change(u: UOp, body: Nodes, ranges: Nodes, level: Nodes) -> UOp:
        rest = [x for x in ranges if x is not r]
        values = [index_const(c) for c in range(r.src[0].arg, r.src[1].arg)]
        copies = [nest.substitute(b, {r: c}) for c in values for b in body]
        if u.op is Ops.END:
            return nest.end(copies, rest, level)
        if combine_inside:
            return nest.reduce(u.arg, _combine(u.arg, copies), rest)
        return _combine(u.arg, [nest.reduce(u.arg, c, rest) for c in copies])
    return nest.transform_closers(root, r, change)


def _combine(op: Ops, values: list[UOp]) -> UOp:
    """A balanced tree: shorter dependences, and less rounding than a chain."""
    while len(values) > 1:
        pairs = [values[i:i + 2] for i in range(0, len(values), 2)]
        values = [alu(op, *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return values[0]


@dataclass(frozen=True)
class Peel(Opt):
    """[0, n) -> [0, at) and [at, n): what is inside is written twice, so that guards fold in the first part.

    A negative `at` counts from the end, which may be symbolic.
    """

    range: str
    at: int

    def check(self, loops: Loops, target: Target) -> str | None:
        reason = no_loop(loops, self.range)
        if reason is not None:
            return reason
        for r in nest.ranges_named(loops.root, self.range):
            size = const_size(r)
            if r.src[0] is not index_const(0):
                return f"{self.range} is no loop from 0"
            if not (0 < self.at and size is not None and self.at < size) and not (
                    self.at < 0 and r.src[1].vmin + self.at >= (0 if size is None else 1)):
                return f"{self.range} cannot be cut at {self.at}"
        if any(u.op is Ops.END and parts(u)[2] and parts(u)[1][0].arg.name != self.range
               for u in nest.closers(loops.root, self.range)):
            return f"{self.range} is inside of a fill's loops"
        return None

    def apply(self, loops: Loops) -> None:
        name = self.range + "'"
        while nest.ranges_named(loops.root, name):  # cut before: the parts stay apart
            name += "'"
        if self.range in loops.serial:  # the parts follow one another
            loops.serial |= {name}
        for r in nest.ranges_named(loops.root, self.range):
            stop = r.src[1]
            at = index_const(self.at) if self.at > 0 else stop + self.at
            first = UOp.range(r.arg.name, 0, at, copy=r.arg.copy)
            last = UOp.range(name, at, stop, copy=r.arg.copy)
            loops.root = nest.transform_closers(loops.root, r, functools.partial(_peel, loops, r, first, last))


def _peel(loops: Loops, r: UOp, first: UOp, last: UOp, u: UOp, body: Nodes, ranges: Nodes, level: Nodes) -> UOp:
    at = 0 if u.op is Ops.REDUCE else ranges.index(r)
    outer, inner = ranges[:at], ranges[at:]
    pieces = []
    # every range closed in the copy is a new node: a RANGE is opened in one place only
    for piece, fresh in ((first, {}), (last, _fresh_ranges(loops, body, r, inner))):
        part = {r: nest.substitute(piece, fresh)}
        copy = [nest.substitute(nest.substitute(s, fresh), part) for s in body]
        own = [nest.substitute(fresh.get(x, x), part) for x in inner]
        pieces.append(nest.rebuild_closer(u, copy, own, () if outer else level))
    if u.op is Ops.REDUCE:
        return alu(u.arg, *pieces)
    return nest.end(pieces, outer, level if outer else ())


def _fresh_ranges(loops: Loops, body: Nodes, r: UOp, around: Nodes) -> dict[UOp, UOp]:
    """New copies of the ranges that are closed in the body and depend on the ranges around, and of those but `r`."""
    copy = loops.fresh_copy()
    closed = [u for u in toposort(*body) if is_closer(u) and any(not nest.free(x).isdisjoint(around) for x in u.src)]
    found = dict.fromkeys([*(x for u in closed for x in parts(u)[1]), *around])
    found.pop(r, None)
    fresh: dict[UOp, UOp] = {}
    for x in toposort(*found):
        if x in found:
            start, stop = (nest.substitute(s, fresh) for s in x.src)
            fresh[x] = UOp.range(x.arg.name, start, stop, x.arg.kind, copy * 1000 + x.arg.copy)
    return fresh


@dataclass(frozen=True)
class Carry(Opt):
    """The outer block loop of a reduce goes outside of the tile that is stored: each block combines its part with what
    the output holds, or the scratch array.

    `before` names the range of what is stored that comes next inside. Blocks run in order, so the range cannot be cut
    among threads.
    """

    range: str
    before: str

    def check(self, loops: Loops, target: Target) -> str | None:
        found = [r for r in nest.ranges_named(loops.root, self.range) if r.arg.kind == "loop"]
        if len(found) != 1 or nest.free(found[0]) != {found[0]}:
            return f"{self.range} is not one loop with bounds of its own"
        closer = self._closer(loops)
        if closer is None:
            return f"{self.before} is no output range"
        body, ranges, _ = parts(closer)
        if len(body) != 1 or body[0].op is not Ops.STORE or body[0].arg is not None:
            return "there is more to store than one plain value"
        total = bare(body[0].src[1])
        if nest.closers(loops.root, self.range) != [total] or total.op is not Ops.REDUCE:
            return "what is stored is no reduce over it: an epilogue belongs on the last block"
        names = [r.arg.name for r in ranges]
        if loops.thread in names[names.index(self.before):]:
            return "the range that is cut among threads has to stay outside"
        memory = body[0].src[0]
        if memory.op is Ops.SCRATCH and memory.arg.shared:
            return "shared memory is filled by all threads of a block"
        if any(u.op is Ops.LOAD and u.src[0] is memory for u in nest.toposort_until(closer, lambda u: False)):
            return "the output is read"
        return None

    def _closer(self, loops: Loops) -> UOp | None:
        """What stores in the range named: the outermost loops, or a fill's."""
        found = [u for u in nest.order(loops.root) if u.op is Ops.END and (u is loops.root or parts(u)[2])
                 and self.before in [r.arg.name for r in parts(u)[1]]]
        return found[0] if len(found) == 1 else None

    def apply(self, loops: Loops) -> None:
        (r,) = nest.ranges_named(loops.root, self.range)
        closer = self._closer(loops)
        assert closer is not None
        (statement,), ranges, level = parts(closer)
        memory, indices = nest.access(statement)
        op = bare(statement.src[1]).arg
        (value,), reduced, _ = parts(bare(statement.src[1]))
        part = nest.reduce(op, value, [x for x in reduced if x is not r])
        old = nest.load(memory, indices, (r,))  # read in each iteration, whatever its address depends on
        total = alu(Ops.WHERE, r.lt(1), part, alu(op, old, part))
        at = [x.arg.name for x in ranges].index(self.before)
        loops.serial |= {self.range}
        carried = nest.store(memory, total, indices, statement.src[2])
        loops.root = nest.substitute(loops.root, {closer: nest.end([carried], (*ranges[:at], r, *ranges[at:]), level)})


def bare(value: UOp) -> UOp:
    return value.src[0] if value.op is Ops.VALUE else value


@dataclass(frozen=True)
class NonTemporal(Opt):
    """Vector stores of one slot bypass the caches: for outputs larger than the last level cache, written once."""

    slot: int

    def check(self, loops: Loops, target: Target) -> str | None:
        accesses = [u for u in nest.order(loops.root) if self._is_of_slot(u)]
        if not any(u.op is Ops.STORE for u in accesses):
            return f"slot {self.slot} is not stored"
        if any(u.op is Ops.LOAD for u in accesses):
            return f"slot {self.slot} is read again"
        return None if all(u.arg is None for u in accesses) else "not plain stores"

    def _is_of_slot(self, u: UOp) -> bool:
        return u.op in (Ops.LOAD, Ops.STORE) and u.src[0].op is Ops.PARAM and u.src[0].arg.slot == self.slot

    def apply(self, loops: Loops) -> None:
        loops.root = nest.transform(loops.root, lambda u: u.replace(arg="stream") if self._is_of_slot(u) else u)
