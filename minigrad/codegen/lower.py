"""From a kernel's AST to its loop nest, by passing indices from the STOREs down to the loads.

At a STORE the indices are fresh ranges over the stored value's shape, named o0, o1, ...; at a VIEW they are mapped
through the ShapeTracker; at a REDUCE each reduced axis gets a range of its own, named r0, r1_0, ... after the reduce;
at a PARAM they become one LOAD; at an IOTA the index itself is the value. A node that is reached twice with the same
indices is one node.

Values that PLACE may keep in scratch are wrapped in VALUE(x, *indices) nodes named v0, v1, ... after their AST node;
inputs are placed under the names p0, p1, ... of their slots.

float16 and bfloat16 values are computed in float32: loads widen, stores and casts round.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..dtype import DType, accumulator, dtypes
from ..uops import COMPARISON, ELEMENTWISE, Ops, ReduceArg, ScatterArg, UOp, identity, sint, toposort
from ..uops.symbolic import ssimplify
from ..uops.uop import TRUE, alu, bounds, cast, index_const
from . import nest

Indices = tuple[UOp, ...]
_INDEX_LIKE = frozenset({Ops.ADD, Ops.MUL, Ops.NEG, Ops.MAX, Ops.CMPLT, Ops.CMPNE, Ops.IDIV, Ops.MOD})
_ZERO = index_const(0)


@dataclass
class Loops:
    """A kernel as a loop nest, with what the opts need to know about it."""

    root: UOp
    lowering: Lowering
    outputs: tuple[str, ...]                # names of the output ranges, outermost first
    serial: frozenset[str]                  # ranges whose order is part of the meaning (SCATTER)
    values: dict[str, UOp]                  # AST nodes that PLACE can put into scratch, by name
    thread: str | None = None               # the range cut among threads
    opts: list[object] = field(default_factory=list)
    copies: int = 0
    dimensions: dict[str, int] = field(default_factory=dict)  # of the grid or the block, by the range that is its index
    ahead: dict[int, int] = field(default_factory=dict)     # slot -> bytes behind what is loaded that are asked for

    def fresh_copy(self) -> int:
        self.copies += 1
        return self.copies


class Lowering:
    """Lowers AST nodes at given indices, each pair once."""

    def __init__(self, ast: UOp) -> None:
        self.ast = ast
        self.memo: dict[tuple[UOp, Indices], UOp] = {}
        order = toposort(ast)
        self.reduce_names = {u: f"r{i}" for i, u in enumerate(u for u in order if u.op is Ops.REDUCE)}
        self.names = {u: f"v{i}" for i, u in enumerate(_placeable(order))}

    def ranges_of(self, node: UOp) -> dict[int, UOp]:
        """The ranges of an AST REDUCE by axis: the same for all indices, so that it is one loop."""
        arg: ReduceArg = node.arg
        shape = node.src[0].shape
        name = self.reduce_names[node]
        found: dict[int, UOp] = {}
        real = [axis for axis in arg.axes if shape[axis] != 1]
        for i, axis in enumerate(real):
            found[axis] = UOp.range(name if len(real) == 1 else f"{name}_{i}", 0, shape[axis])
        return found

    def lower(self, node: UOp, indices: Indices) -> UOp:
        """The value of an AST node at the indices. Iterative: kernels may be deep."""
        memo = self.memo
        key = (node, indices)
        if key in memo:
            return memo[key]
        stack = [key]
        while stack:
            top = stack[-1]
            if top in memo:
                stack.pop()
                continue
            needs = self.needs(*top)
            missing = [n for n in needs if n not in memo]
            if missing:
                stack.extend(missing)
                continue
            memo[top] = self.build(*top, [memo[n] for n in needs])
            stack.pop()
        return memo[key]

    def needs(self, node: UOp, indices: Indices) -> list[tuple[UOp, Indices]]:
        """The (source, indices) pairs whose values `build` combines."""
        op = node.op
        if op in (Ops.CONST, Ops.VARIABLE, Ops.IOTA, Ops.PARAM):
            return []
        if op is Ops.VIEW:
            source = node.src[0]
            return [(source, node.arg.index(indices, source.shape)[0])]
        if op is Ops.REDUCE:
            ranges = self.ranges_of(node)
            axes = node.arg.axes
            inner = tuple(ranges.get(a, _ZERO) if a in axes else i for a, i in enumerate(indices))
            return [(node.src[0], inner)]
        if op is Ops.GATHER:
            table, index = node.src
            n = len(index.shape)
            at = (index, indices[:n])
            if at not in self.memo:
                return [at]
            return [at, (table, (self.row_of(table, self.memo[at]), *indices[n:]))]
        return [(s, () if not s.shape else indices) for s in node.src]

    def row_of(self, table: UOp, index: UOp) -> UOp:
        """A data-dependent index into axis 0, kept inside of the table."""
        row = cast(index, dtypes.index)
        return row.maximum(0).minimum(index_const(table.shape[0]) - 1)

    def build(self, node: UOp, indices: Indices, src: list[UOp]) -> UOp:
        op = node.op
        value: UOp
        if op is Ops.CONST:
            return UOp.const(accumulator(node.dtype), node.arg)
        if op is Ops.VARIABLE:
            return node
        if op is Ops.IOTA:
            return cast(indices[0], node.dtype)
        if op is Ops.PARAM:
            loaded = nest.load(node, indices)
            return cast(loaded, dtypes.float32) if accumulator(node.dtype) is not node.dtype else loaded
        if op is Ops.VIEW:
            value = src[0]
            valid = node.arg.index(indices, node.src[0].shape)[1]
            if valid is not None:
                value = alu(Ops.WHERE, valid, value, UOp.const(value.dtype, 0))
            return value
        if op is Ops.REDUCE:
            ranges = list(self.ranges_of(node).values())
            value = factored_sum(src[0], ranges) if node.arg.op is Ops.ADD else nest.reduce(node.arg.op, src[0], ranges)
        elif op is Ops.GATHER:
            row = cast(src[0], dtypes.index)
            valid = row.ge(0) & row.lt(node.src[0].shape[0])
            value = alu(Ops.WHERE, valid, src[1], UOp.const(src[1].dtype, 0))
        elif op in ELEMENTWISE:
            value = _bitcast(node, src[0]) if op is Ops.BITCAST else combine(op, node.dtype, src)
        else:
            raise RuntimeError(f"lower: a kernel cannot hold {node!r}")
        name = self.names.get(node)
        return UOp(Ops.VALUE, value.dtype, (value, *indices), name) if name is not None else value


def combine(op: Ops, dtype: DType, src: list[UOp]) -> UOp:
    """An elementwise op on lowered values; integers that are indices in disguise stay indices."""
    if op is Ops.CAST:
        return convert(src[0], dtype)
    # a VARIABLE or an index value among data: as the data's type
    data = next((s.dtype for s in src if s.dtype not in (dtypes.index, dtypes.bool)), None)
    src = [convert(s, data or dtypes.int64) if s.dtype is dtypes.index else s for s in src]
    if op in _INDEX_LIKE and all(_is_index(s) for s in src) and src[0].dtype.is_int:
        exact = alu(op, *(_as_index(s) for s in src))
        if op in COMPARISON:
            return exact
        low, high = bounds(exact)
        if low >= src[0].dtype.min and high <= src[0].dtype.max:
            return cast(exact, src[0].dtype)
    return alu(op, *src)


def factored_sum(value: UOp, ranges: list[UOp]) -> UOp:
    """The sum with the factors and divisors that do not change in it taken out: sum(p / l * v) is sum(p * v) / l."""
    over = frozenset(ranges)
    if not value.dtype.is_float or not over:
        return nest.reduce(Ops.ADD, value, ranges)
    inside: list[UOp] = []
    factors: list[UOp] = []
    divisors: list[UOp] = []
    stack = [value]
    while stack:
        u = stack.pop()
        if not nest.free(u) & over and u.op is not Ops.CONST:
            factors.append(u)
            continue
        bare = u.src[0] if u.op is Ops.VALUE else u
        if bare.op is Ops.MUL and (bare is u or u is value or any(not nest.free(s) & over for s in bare.src)):
            stack += bare.src
        elif bare.op is Ops.FDIV and not nest.free(bare.src[1]) & over:
            stack.append(bare.src[0])
            divisors.append(bare.src[1])
        else:
            inside.append(u)
    if not inside or not factors and not divisors:
        return nest.reduce(Ops.ADD, value, ranges)
    product = inside[-1]
    for u in reversed(inside[:-1]):
        product = alu(Ops.MUL, product, u)
    result = nest.reduce(Ops.ADD, product, ranges)
    for u in factors:
        result = alu(Ops.MUL, result, u)
    for u in divisors:
        result = alu(Ops.FDIV, result, u)
    return result


def _bitcast(node: UOp, value: UOp) -> UOp:
    """The same bits; a 16-bit float is narrowed to its storage first and widened after."""
    source = node.src[0].dtype
    bits = UOp(Ops.BITCAST, node.dtype, (value if value.dtype is source else cast(value, source),))
    return cast(bits, dtypes.float32) if accumulator(node.dtype) is not node.dtype else bits


def convert(value: UOp, dtype: DType) -> UOp:
    """A cast; to float16 or bfloat16 it rounds and comes back to float32."""
    if accumulator(dtype) is not dtype:
        return cast(cast(value, dtype), dtypes.float32)
    return value if value.dtype is dtype else cast(value, dtype)


def _is_index(value: UOp) -> bool:
    return value.op is Ops.CONST or (value.op is Ops.CAST and value.src[0].dtype is dtypes.index
                                     and bounds(value) == bounds(value.src[0]))


def _as_index(value: UOp) -> UOp:
    return index_const(value.arg) if value.op is Ops.CONST else value.src[0]


def _placeable(order: list[UOp]) -> list[UOp]:
    """AST nodes worth keeping: reduces that are not stored as they are, and elementwise results with several uses or
    below a view.
    """
    uses: dict[UOp, set[UOp]] = {}
    for u in order:
        for s in u.src:
            base = s.src[0] if s.op is Ops.VIEW else s
            uses.setdefault(base, set()).add(s if s.op is Ops.VIEW else u)
    found = []
    for u in order:
        narrowed = accumulator(u.dtype) is not u.dtype     # where it is stored
        if u.op is Ops.REDUCE and (narrowed or any(x.op is not Ops.STORE for x in uses.get(u, ()))):
            found.append(u)
        elif u.op in ELEMENTWISE and u.shape and u in uses:
            around = uses[u]
            if len(around) > 1 or any(x.op is Ops.VIEW for x in around):
                if any(s.op not in (Ops.CONST, Ops.VARIABLE) for s in u.src):
                    found.append(u)
    return found


def lower_ast(ast: UOp) -> Loops:
    """The loop nest of a SINK of STOREs, all over the same output axes."""
    lowering = Lowering(ast)
    stores = ast.src
    shapes = [s.src[1].shape for s in stores]
    rank = max(len(s) for s in shapes)
    sizes = [ssimplify(_longest(shape[axis] for shape in shapes if len(shape) == rank)) for axis in range(rank)]
    # a scatter's index axes keep their order
    serial_axes = max((len(s.src[2].shape) for s in stores if isinstance(s.arg, ScatterArg)), default=0)
    names = [f"{'s' if axis < serial_axes else 'o'}{axis}" for axis in range(rank)]
    ranges = [UOp.range(names[axis], 0, n) if n != 1 else None for axis, n in enumerate(sizes)]

    groups: dict[int, list[UOp]] = {}
    for node, shape in zip(stores, shapes):
        depth = max((axis + 1 for axis in range(rank) if ranges[axis] is not None and shape[axis] != 1), default=0)
        indices = tuple(r if r is not None and shape[axis] != 1 else _ZERO for axis, r in enumerate(ranges))
        gate = TRUE
        for axis in range(depth):  # an axis that others have and this store does not: once
            r = ranges[axis]
            if r is not None and shape[axis] == 1:
                gate = gate & r.lt(1)
        groups.setdefault(depth, []).append(_lower_store(lowering, node, indices, gate))
    body: list[UOp] = []
    previous: int | None = None
    for depth in sorted(groups, reverse=True):
        if previous is not None:
            body = [nest.end(body, [r for r in ranges[depth:previous] if r is not None])]
        body, previous = body + groups[depth], depth
    assert previous is not None
    root = nest.end(body, [r for r in ranges[:previous] if r is not None])
    outputs = tuple(names[axis] for axis in range(rank) if ranges[axis] is not None)
    params = {f"p{u.arg.slot}": u for u in toposort(ast) if u.op is Ops.PARAM}
    values = {name: u for u, name in lowering.names.items()} | params
    return Loops(root, lowering, outputs, frozenset(names[:serial_axes]), values)


def _longest(sizes: Iterable[sint]) -> sint:
    return next((n for n in sizes if n != 1), 1)


def _lower_store(lowering: Lowering, node: UOp, indices: Indices, gate: UOp) -> UOp:
    memory, value = node.src[:2]
    lowered = lowering.lower(value, indices if value.shape else ())
    if lowered.dtype is not memory.dtype:
        lowered = cast(lowered, memory.dtype)
    if isinstance(node.arg, ScatterArg):
        index = node.src[2]
        n = len(index.shape)
        row = cast(lowering.lower(index, indices[:n]), dtypes.index)
        valid = row.ge(0) & row.lt(memory.shape[0])
        return nest.store(memory, lowered, (row, *indices[n:]), gate & valid, "add" if node.arg.mode == "add" else None)
    if node.arg is None:
        return nest.store(memory, lowered, indices, gate)
    where, valid_view = node.arg.index(indices, memory.shape)
    return nest.store(memory, lowered, where, gate if valid_view is None else gate & valid_view)


def reduce_identity(node: UOp) -> UOp:
    """The identity of a loop-level REDUCE as a constant."""
    return UOp.const(node.dtype.scalar, identity(node.arg, node.dtype))
