"""From a loop nest to a list of UOps in order: loops open and close, values stand where their ranges put them.

A walk keeps a path of open blocks. A value goes to the deepest block on the path whose range it depends on, so that
what does not change in a loop is computed before it. A closer opens a block per range, emits its body inside and leaves
its accumulator outside. Closers over the same ranges, at equal depth, neither below the other, share their loops: that
makes a register tile of the copies that UPCAST leaves. A load of scratch emits its fill first, at the depth of the
fill's level.

A node is a vector where a lane is among the ranges it depends on. Flat addresses and gates are derived here from
per-dimension indices and bounds: an index that is not proved to lie inside of its dimension gets a gate.

The list holds SPECIAL (first, a range that is an index of a GPU's threads), LOOP, ENDLOOP, BARRIER, ACCUMULATOR,
UPDATE, LOAD, STORE and arithmetic with vector dtypes. Index arithmetic stays an expression inside of INDEX and LOOP;
the data it mentions stands in the list before.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..dtype import DType, dtypes
from ..uops import ELEMENTWISE, Ops, SpecialArg, UOp, toposort
from ..uops.symbolic import rebuild
from ..uops.uop import FALSE, TRUE, bounds, index_const, is_round_trip, linear
from . import nest
from .addresses import Gate, Scratch, address, at_lane, conjoin, lane_gate, lay_out_scratch, stage_size, stride
from .barriers import place_barriers
from .gates import gate_loads
from .lower import Loops, reduce_identity
from .nest import is_closer, parts
from .opts import bare, flatten
from .place import conjunction
from .stages import stage_copies

EVERY_LANE = 1 << 10    # more than a vector has
LINE = 64               # bytes that memory hands out at once


@dataclass
class Block:
    """What is executed per iteration of a loop (the top block: once), and the values known there."""

    loop: UOp | None = None     # a RANGE
    items: list[UOp | Block] = field(default_factory=list)
    values: dict[UOp, UOp] = field(default_factory=dict)


@dataclass(frozen=True)
class Linear:
    """A kernel as a list: its scratch arrays and the bytes of workspace they need."""

    ops: list[UOp]
    scratch: dict[UOp, Scratch]
    workspace: int


def linearize(loops: Loops) -> Linear:
    walk = _Walk(loops)
    top = Block()
    walk.emit(loops.root, [top])
    ops = [*walk.specials, *_flatten_blocks(top)]
    if walk.specials:
        ops = stage_copies(gate_loads(ops), {m: stage_size(m, place.dims) for m, place in walk.scratch.items()})
    return Linear(place_barriers(ops), walk.scratch, walk.workspace)


def _flatten_blocks(top: Block) -> list[UOp]:
    ops: list[UOp] = []
    stack: list[UOp | Block] = [*reversed(top.items)]
    while stack:
        item = stack.pop()
        if isinstance(item, UOp):
            ops.append(item)
            continue
        assert item.loop is not None
        loop = UOp(Ops.LOOP, dtypes.index, (item.loop,))
        ops.append(loop)
        stack.append(UOp(Ops.ENDLOOP, dtypes.void, (loop,)))
        stack.extend(reversed(item.items))
    return ops


class _Walk:
    def __init__(self, loops: Loops) -> None:
        self.loops = loops
        self.serial = 0
        order = nest.order(loops.root)
        self.groups: dict[tuple[UOp, ...], list[UOp]] = {}      # closers by the loops that they open
        self.bit: dict[UOp, int] = {}                           # of each closer
        self.reach = self._closers_below(order)
        self.scratch, self.workspace = lay_out_scratch(order)
        self.specials = _specials(loops, order)
        self.place_of = {u.src[0]: u.arg for u in self.specials}

    def _closers_below(self, order: Sequence[UOp]) -> dict[UOp, int]:
        """For each node, which closers are below it, as bits."""
        reach: dict[UOp, int] = {}
        for u in order:
            mask = 0
            for s in u.src:
                mask |= reach[s]
            if is_closer(u):
                self.bit[u] = 1 << len(self.bit)
                mask |= self.bit[u]
                if key := loop_ranges(u):
                    self.groups.setdefault(key, []).append(u)
            reach[u] = mask
        return reach

    def number(self) -> int:
        self.serial += 1
        return self.serial

    # ---- places

    def depth(self, node: UOp, path: list[Block]) -> int:
        """The position on the path of the deepest block whose range the node depends on."""
        needed = {r for r in nest.free(node) if r.arg.kind == "loop"}
        depth = 0
        for i, block in enumerate(path):
            if block.loop in needed:
                depth = i
                needed.discard(block.loop)
        if needed:
            names = sorted(r.arg.name for r in needed)
            raise RuntimeError(f"linearize: {node!r} depends on {names}, which are not open")
        return depth

    def find(self, node: UOp, path: list[Block]) -> UOp | None:
        for block in reversed(path):
            if node in block.values:
                return block.values[node]
        return None

    def emit(self, node: UOp, path: list[Block]) -> UOp:
        """The linear node that holds the value, emitted where it belongs unless it is there already."""
        if node.op is Ops.VALUE:
            return self.emit(node.src[0], path)
        if node.op is Ops.CONST:
            return node
        found = self.find(node, path)
        if found is not None:
            return found
        if node.op is Ops.STORE:
            self.emit_store(node, path)
            return node
        depth = self.depth(node, path)
        path = path[:depth + 1]
        if is_closer(node):
            if node.op is Ops.REDUCE and not loop_ranges(node):
                value = self.horizontal(node, path)
            else:
                self.emit_closer(node, path)
                return path[depth].values[node]
        elif node.dtype is dtypes.index or (node.dtype is dtypes.bool and nest.is_index_condition(node)):
            value = self.index_value(node, path)
        elif node.op is Ops.LOAD:
            value = self.emit_load(node, path)
        elif node.op is Ops.ELEMENT:
            value = self.append(UOp(Ops.ELEMENT, node.dtype, (self.emit(node.src[0], path), node.src[1])), path)
        elif node.op is Ops.SHUFFLE:
            source = self.emit(node.src[0], path)
            value = self.append(UOp(Ops.SHUFFLE, source.dtype, (source,), node.arg), path)
        elif node.op is Ops.MATRIX:
            zero = UOp.const(node.dtype.scalar, 0)
            value = self.append(UOp(Ops.ACCUMULATOR, node.dtype, (zero,), self.number()), path)
            self.emit_matrix(node, value, path)
        else:
            value = self.emit_elementwise(node, path)
        path[depth].values[node] = value
        return value

    def append(self, op: UOp, path: list[Block]) -> UOp:
        path[-1].items.append(op)
        return op

    # ---- values

    def emit_elementwise(self, node: UOp, path: list[Block]) -> UOp:
        if node.op not in ELEMENTWISE:
            raise RuntimeError(f"linearize: {node!r} has no linear form")
        if node.op is Ops.CAST and (wide := bare(node.src[0])).op is Ops.CAST and is_round_trip(wide, node.dtype):
            return self.emit(wide.src[0], path)
        if node.op is Ops.CAST and node.src[0].dtype is dtypes.index:
            return self.index_as_data(node, path)
        src = tuple(self.emit(s, path) for s in node.src)
        count = max(s.dtype.count for s in src)
        return self.append(UOp(node.op, node.dtype.vec(count), src), path)

    def index_as_data(self, node: UOp, path: list[Block]) -> UOp:
        """A cast of an index: per lane a base plus multiples of the lane's number."""
        index = node.src[0]
        for lane in nest.lanes(index):
            return self.index_lanes(index, lane, node.dtype, path) or self.by_lane(node, path)
        return self.append(UOp(Ops.CAST, node.dtype, (self.resolve(index, path),)), path)

    def index_lanes(self, index: UOp, lane: UOp, dtype: DType, path: list[Block]) -> UOp | None:
        """An index of all lanes as data; None where they are not evenly apart."""
        step, rest = stride(index, lane)
        if step is None:
            return None
        base = self.append(UOp(Ops.CAST, dtype, (self.resolve(rest, path),)), path)
        return self.append(UOp(Ops.LANES, dtype.vec(lane.src[1].arg), (base, UOp.const(dtype, step))), path)

    def index_value(self, node: UOp, path: list[Block]) -> UOp:
        """A condition on indices (a mask where it depends on a lane), or an index used as such."""
        if node.dtype is dtypes.index:
            return self.resolve(node, path)
        found = nest.lanes(node)
        if not found:
            return self.append(UOp(Ops.CAST, dtypes.bool, (self.resolve(node, path),)), path)
        if node.op is Ops.CMPLT:
            wide = dtypes.int32 if max(map(abs, bounds(node.src[0]))) < 1 << 31 else dtypes.int64
            lanes = self.index_lanes(node.src[0], found[0], wide, path)
            if lanes is not None:
                zero = UOp.const(wide, 0)
                return self.append(UOp(Ops.CMPLT, dtypes.bool.vec(lanes.dtype.count), (lanes, zero)), path)
        if node.op in (Ops.AND, Ops.OR, Ops.NOT):
            return self.emit_elementwise(node, path)
        return self.by_lane(node, path)

    def by_lane(self, node: UOp, path: list[Block]) -> UOp:
        """A vector put together from scalars: right for anything that depends on a lane."""
        (lane,) = nest.lanes(node)
        size = lane.src[1].arg
        return self.vector([self.emit(at_lane(node, lane, i), path) for i in range(size)], path)

    def vector(self, scalars: Sequence[UOp], path: list[Block]) -> UOp:
        return self.append(UOp(Ops.BROADCAST, scalars[0].dtype.vec(len(scalars)), tuple(scalars)), path)

    def widened(self, value: UOp, count: int, path: list[Block]) -> UOp:
        """A value that does not depend on the lane, in every lane."""
        return value if value.dtype.count == count else self.vector([value] * count, path)

    def horizontal(self, node: UOp, path: list[Block]) -> UOp:
        value = self.widened(self.emit(node.src[0], path), node.src[1].src[1].arg, path)
        return self.append(UOp(Ops.HORIZONTAL, node.dtype, (value,), node.arg), path)

    # ---- indices

    def resolve(self, index: UOp, path: list[Block]) -> UOp:
        """The expression with its data replaced by linear values, which stand in the list before it is used."""
        done = {u: self.emit(u, path) for u in _data_leaves(index)}
        if not done:
            return index
        for u in nest.toposort_until(index, lambda u: u in done):
            src = tuple(done[s] for s in u.src)
            # rebuilt as it is: casts of linear values must not fold into other indices
            done[u] = u if src == u.src else UOp(u.op, u.dtype, src, u.arg) if u.op is Ops.CAST else rebuild(u, src)
        return done[index]

    # ---- memory

    def emit_load(self, node: UOp, path: list[Block]) -> UOp:
        memory, indices = nest.access(node)
        for fill in nest.fills_of(node):
            self.emit(fill, path)
        flat, gates = address(memory, indices, self.scratch)
        for lane in nest.lanes(node):
            step, base = stride(flat, lane)
            gate = lane_gate(gates, lane) if step == 1 else None
            if gate is not None:
                return self.append_load(memory, base, gate, lane.src[1].arg, path)
            if step != 0 or any(lane in nest.free(g) for g in gates):
                return self.by_lane_load(node, lane, path)
        return self.append_load(memory, flat, Gate(conjoin(gates)), 1, path)

    def by_lane_load(self, node: UOp, lane: UOp, path: list[Block]) -> UOp:
        memory, indices = nest.access(node)
        each = [nest.load(memory, [at_lane(x, lane, i) for x in indices], nest.waits_of(node))
                for i in range(lane.src[1].arg)]
        return self.vector([self.emit(one, path) for one in each], path)

    def append_load(self, memory: UOp, flat: UOp, gate: Gate, size: int, path: list[Block]) -> UOp:
        index = self.element(memory, flat, gate, path)
        if gate.condition is FALSE:
            return UOp.const(memory.dtype, 0)
        ahead = self.loops.ahead.get(memory.arg.slot, 0) if memory.op is Ops.PARAM else 0
        if ahead and (size > 1 or linear(flat)[0] * memory.dtype.itemsize % LINE == 0):     # of neighbours the first
            behind = self.element(memory, flat + ahead // memory.dtype.itemsize, Gate(TRUE), path)
            self.append(UOp(Ops.PREFETCH, dtypes.void, (behind,)), path)
        return self.append(UOp(Ops.LOAD, memory.dtype.vec(size), (index,), self.number()), path)

    def element(self, memory: UOp, flat: UOp, gate: Gate, path: list[Block]) -> UOp:
        """The INDEX of an element, or of a vector from it on."""
        where = [flat, gate.condition]
        if gate.stop is not None or gate.first is not None:
            where.append(gate.stop if gate.stop is not None else index_const(EVERY_LANE))
            where += [gate.first] if gate.first is not None else []
        return UOp(Ops.INDEX, dtypes.index, (memory, *[self.resolve(x, path) for x in where]))

    def emit_store(self, node: UOp, path: list[Block]) -> None:
        memory, value, gate = node.src[:3]
        indices = node.src[3:]
        flat, gates = address(memory, indices, self.scratch)
        from_place = [g for g in conjunction(gate) if g is not TRUE]
        gates = [g for g in gates if g not in from_place] + from_place + self.once(node, memory)
        found = nest.lanes(node)
        if not found:
            condition = conjoin(gates)
            if condition is not FALSE:
                self.append_store(memory, flat, Gate(condition), self.emit(value, path), node.arg, path)
            return
        (lane,) = found
        size = lane.src[1].arg
        step, base = stride(flat, lane)
        split = lane_gate(gates, lane) if step == 1 and node.arg != "add" else None
        if split is not None:
            if split.condition is not FALSE:
                vector = self.widened(self.emit(value, path), size, path)
                self.append_store(memory, base, split, vector, node.arg, path)
            return
        mode = None if node.arg == "stream" else node.arg
        if self.reach.get(value) and any(is_closer(u) and lane in nest.free(u) for u in toposort(value)):
            vector = self.emit(value, path)     # a reduce of vectors is not repeated for each lane
            for i in range(size):
                condition = at_lane(conjoin(gates), lane, i)
                if condition is not FALSE:
                    element = self.append(UOp(Ops.ELEMENT, value.dtype, (vector, index_const(i))), path)
                    self.append_store(memory, at_lane(flat, lane, i), Gate(condition), element, mode, path)
            return
        for i in range(size):
            own = [at_lane(x, lane, i) for x in (value, gate, *indices)]
            self.emit_store(nest.store(memory, own[0], own[2:], own[1], mode), path)

    def once(self, node: UOp, memory: UOp) -> list[UOp]:
        """Of the blocks and threads that would all store the same, the first does."""
        if memory.op is Ops.SCRATCH and not memory.arg.shared:
            return []
        spread = {self.place_of[r] for r in nest.free(node) if r in self.place_of}
        first = {place: r for r, place in reversed(self.place_of.items())}
        return [r.lt(1) for place, r in first.items()
                if place not in spread and (place.axis == "thread" or memory.op is Ops.PARAM)]

    def append_store(self, memory: UOp, flat: UOp, gate: Gate, value: UOp, mode: str | None, path: list[Block]) -> None:
        self.append(UOp(Ops.STORE, dtypes.void, (self.element(memory, flat, gate, path), value), mode), path)

    # ---- closers

    def emit_closer(self, node: UOp, path: list[Block]) -> None:
        """The node, and what shares its loops: initialise accumulators, open blocks, emit bodies, update, close."""
        key = loop_ranges(node)
        here = path[-1]
        members = [node]
        if not key:
            for statement in parts(node)[0]:
                self.emit_statement(statement, path)
            here.values[node] = node
            return
        mask = self.reach[node] if node in self.reach else 0
        bits = self.bit.get(node, 0)
        for other in self.groups.get(key, ()) if mask else ():
            if other is node or self.find(other, path) is not None or not self._fits(other, path):
                continue
            if self.reach[other] & bits or mask & self.bit[other]:
                continue
            members.append(other)
            mask |= self.reach[other]
            bits |= self.bit[other]
        accumulators: dict[UOp, UOp] = {}
        for m in members:
            if m.op is Ops.REDUCE:
                found = nest.lanes(m.src[0])
                dtype = m.dtype.vec(found[0].src[1].arg if found else 1)
                accumulators[m] = self.append(UOp(Ops.ACCUMULATOR, dtype, (reduce_identity(m),), self.number()), path)
        inner = list(path)
        for r in key:
            for u in r.src:
                self.resolve(u, inner)
            inner.append(Block(r))
        for m in members:
            if m.op is Ops.END:
                for statement in parts(m)[0]:
                    self.emit_statement(statement, inner)
        updates = []
        for m in members:
            if m.op is Ops.REDUCE and m.src[0].op is Ops.MATRIX:
                self.emit_matrix(m.src[0], accumulators[m], inner)
            elif m.op is Ops.REDUCE and m.src[0].op is Ops.DOT and m.arg is Ops.ADD:
                pairs = tuple([self.emit(s, inner) for s in m.src[0].src])
                self.append(UOp(Ops.UPDATE, dtypes.void, (accumulators[m], *pairs), Ops.DOT), inner)
            elif m.op is Ops.REDUCE:
                masked = _is_masked_sum(m)
                updates.append((m, [self.emit(s, inner) for s in (m.src[0].src[:2] if masked else m.src[:1])]))
        for m, (*masks, value) in updates:
            value = self.widened(value, accumulators[m].dtype.count, inner)
            for lanes in masks:
                total = self.append(UOp(Ops.ADD, value.dtype, (accumulators[m], value)), inner)
                value = self.append(UOp(Ops.WHERE, value.dtype, (lanes, total, accumulators[m])), inner)
            self.append(UOp(Ops.UPDATE, dtypes.void, (accumulators[m], value), None if masks else m.arg), inner)
        for i in range(len(inner) - 1, len(path) - 1, -1):
            inner[i - 1].items.append(inner[i])
        for m in members:
            here.values[m] = accumulators.get(m, m)

    def emit_matrix(self, node: UOp, accumulator: UOp, path: list[Block]) -> None:
        fragments = tuple(self.emit(s, path) for s in node.src)
        if any(f.dtype.count > 1 for f in fragments):
            raise ValueError("linearize: a matrix instruction takes the lanes of a vector one by one: UPCAST them")
        self.append(UOp(Ops.MATRIX, dtypes.void, (accumulator, *fragments), node.arg), path)

    def _fits(self, other: UOp, path: list[Block]) -> bool:
        opened = {b.loop for b in path}
        needed = {r for r in nest.free(other) if r.arg.kind == "loop"}
        return needed <= opened and self.depth(other, path) == len(path) - 1

    def emit_statement(self, statement: UOp, path: list[Block]) -> None:
        if statement.op is Ops.STORE:
            self.emit_store(statement, path)
        elif statement.op is Ops.PREFETCH:
            first = nest.substitute(statement, {lane: lane.src[0] for lane in nest.lanes(statement)})
            flat = flatten(first.src[1:], first.src[0].arg.shape)[0]
            self.append(UOp(Ops.PREFETCH, dtypes.void, (self.element(first.src[0], flat, Gate(TRUE), path),)), path)
        elif loop_ranges(statement):
            self.emit(statement, path)
        else:
            for s in parts(statement)[0]:
                self.emit_statement(s, path)


def _specials(loops: Loops, order: Sequence[UOp]) -> list[UOp]:
    """The ranges that are a block's or a thread's index."""
    axes = {"global": "block", "local": "thread"}
    found = [u for u in order if u.op is Ops.RANGE and u.arg.kind in axes]
    return [UOp(Ops.SPECIAL, dtypes.index, (r,), SpecialArg(axes[r.arg.kind], loops.dimensions[r.arg.name]))
            for r in found]


def loop_ranges(closer: UOp) -> tuple[UOp, ...]:
    """The ranges of a closer that open loops."""
    return tuple(r for r in parts(closer)[1] if r.arg.kind == "loop")


def _data_leaves(index: UOp) -> list[UOp]:
    """Values of other dtypes below an index expression (GATHER's indices), outermost only."""
    leaves: list[UOp] = []
    seen: set[UOp] = set()
    stack = [index]
    while stack:
        u = stack.pop()
        if u in seen:
            continue
        seen.add(u)
        if u.op is Ops.CONST:
            continue
        if u.dtype is not dtypes.index and not (u.dtype is dtypes.bool and nest.is_index_condition(u)):
            leaves.append(u)
        elif u.op is not Ops.RANGE:
            stack.extend(reversed(u.src))
    return leaves


def _is_masked_sum(node: UOp) -> bool:
    """Whether it sums floats where a mask of lanes is set, and zeros elsewhere: other lanes then keep what they have,
    so that a product and its sum are one instruction still.
    """
    value = node.src[0]
    if node.arg is not Ops.ADD or not node.dtype.is_float or value.op is not Ops.WHERE:
        return False
    return value.src[2].op is Ops.CONST and value.src[2].arg == 0 and bool(nest.lanes(value.src[0]))
