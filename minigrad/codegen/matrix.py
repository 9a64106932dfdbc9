"""MATRIX: a sum of products becomes a tensor core's instruction, which the 32 threads of a warp execute together.

One instruction multiplies a tile of 16 rows by one of 8 columns, `depth` deep, and adds the products to 16 x 8 sums, of
which each thread holds four. Which thread holds what is fixed: with g = 0..7 and t = 0..3 the thread's indices in
dimensions 1 and 0 of its block,

    sums    rows g and g + 8, columns 2t and 2t + 1
    left    rows g and g + 8, the depths t and t + 4 (tf32), or 2t, 2t + 1, 2t + 8, 2t + 9 (16 bits)
    right   the same depths, column g

(PTX ISA, "Matrix fragments for mma.m16n8k8", "... mma.m16n8k16".) The operands are float32 in the nest, but have to be
what the instruction multiplies exactly: rounded by TF32, or widened from 16 bits. The instruction takes the latter as
they were.
"""
from __future__ import annotations

from dataclasses import dataclass

from ..dtype import dtypes, to_dtype
from ..target import Target
from ..uops import Ops, UOp
from ..uops.uop import alu, index_const
from . import nest
from .gpu import mapped, nested, stores_of, wrong_size
from .lower import Loops
from .nest import parts
from .opts import Opt, bare, const_size, duplicate, is_level

ROWS, COLUMNS, GROUPS, MEMBERS = 16, 8, 8, 4
DEPTHS = {"tf32": 8, "bfloat16": 16, "float16": 16}


@dataclass(frozen=True)
class Matrix(Opt):
    """Sums over `depth` of products of a left operand, along `row`, and a right one, along `column`.

    The ranges are as long as the instruction's tile; those of the block in dimensions 0 and 1 are 4 and 8 long.
    """

    instruction: str
    row: str
    column: str
    depth: str

    def check(self, loops: Loops, target: Target) -> str | None:
        if self.instruction not in target.matrix:
            return f"the target has no matrix instruction for {self.instruction}"
        sizes = {self.row: ROWS, self.column: COLUMNS, self.depth: DEPTHS[self.instruction]}
        for name, size in sizes.items():
            found = nest.ranges_named(loops.root, name)
            if len(found) != 1 or found[0].arg.kind != "loop" or found[0].src[0] is not index_const(0) \
                    or const_size(found[0]) != size or name in loops.serial or loops.thread == name:
                return f"{name} is not one loop from 0 to {size}"
            if is_level(loops.root, name):
                return f"{name} is a level of scratch"
        row, column, depth = (nest.ranges_named(loops.root, name)[0] for name in sizes)
        products = 0
        for u in nest.order(loops.root):
            if u.op is Ops.END and depth in parts(u)[1] or u.op is Ops.REDUCE and {row, column} & set(parts(u)[1]):
                return f"{self.row} and {self.column} are not of outputs, or {self.depth} is no sum's"
            if u.op is Ops.RANGE and u not in (row, column, depth) and nest.free(u) & {row, column, depth}:
                return f"the bounds of {u.arg.name} depend on the tile"
            if u.op is Ops.REDUCE and depth in parts(u)[1]:
                products += 1
                if operands(u, row, column, self.instruction) is None:
                    return f"a sum over {self.depth} is not one of products of {self.instruction} numbers"
        if not products:
            return f"nothing is summed over {self.depth}"
        for name, dimension, size in ((self.column, 0, MEMBERS), (self.row, 1, GROUPS)):
            tile = nest.ranges_named(loops.root, name)
            reason = wrong_size(loops, target, name, dimension, [UOp.range(name, 0, size)]) or nested(
                loops, dimension, tile)
            if reason is not None:
                return reason
        threads = GROUPS * MEMBERS * max((r.src[1].arg for r in mapped(loops, "local", 2)), default=1)
        return f"{threads} threads are more than a block has" if threads > target.block_threads else None

    def apply(self, loops: Loops) -> None:
        row, column, depth = (nest.ranges_named(loops.root, name)[0] for name in (self.row, self.column, self.depth))
        half, group = UOp.range(f"{self.row}.0", 0, 2), UOp.range(f"{self.row}.1", 0, GROUPS, "local")
        member, pair = UOp.range(f"{self.column}.0", 0, MEMBERS, "local"), UOp.range(f"{self.column}.1", 0, 2)
        loops.dimensions |= {group.arg.name: 1, member.arg.name: 0}

        def change(u: UOp) -> UOp:
            if u.op is not Ops.REDUCE or depth not in parts(u)[1]:
                return u
            found = operands(u, row, column, self.instruction)
            assert found is not None
            left, right = (_narrow(x, self.instruction) for x in found)
            fragments = [nest.substitute(left, {row: group + 8 * h, depth: k})
                         for h, k in _left(self.instruction, member)]
            fragments += [nest.substitute(right, {column: group, depth: k}) for k in _right(self.instruction, member)]
            tile = UOp(Ops.MATRIX, dtypes.float32.vec(4), tuple(fragments), self.instruction)
            sums = nest.reduce(Ops.ADD, tile, [r for r in parts(u)[1] if r is not depth])
            return UOp(Ops.ELEMENT, dtypes.float32, (sums, half * 2 + pair))

        root = nest.transform(loops.root, change)
        loops.root = nest.substitute(root, {row: half * 8 + group, column: member * 2 + pair},
                                     {row: (half, group), column: (member, pair)})
        for r in (half, pair):
            loops.root = duplicate(loops.root, r, combine_inside=False)


def _left(instruction: str, member: UOp) -> list[tuple[int, UOp]]:
    """(half of the rows, depth) of each number of the left operand that a thread holds."""
    if instruction == "tf32":
        return [(i % 2, member + 4 * (i // 2)) for i in range(4)]
    return [(i // 2 % 2, member * 2 + i % 2 + 8 * (i // 4)) for i in range(8)]


def _right(instruction: str, member: UOp) -> list[UOp]:
    """The depth of each number of the right operand that a thread holds."""
    if instruction == "tf32":
        return [member, member + 4]
    return [member * 2 + i % 2 + 8 * (i // 2) for i in range(4)]


def operands(d: UOp, row: UOp, column: UOp, instruction: str) -> tuple[UOp, UOp] | None:
    """(left, right) of a sum of products; a guard on the depth masks both."""
    if d.arg is not Ops.ADD or d.dtype is not dtypes.float32:
        return None
    value, conditions = bare(d.src[0]), list[UOp]()
    while value.op is Ops.WHERE and value.src[2].op is Ops.CONST and value.src[2].arg == 0:
        conditions.append(value.src[0])
        value = bare(value.src[1])
    if value.op is not Ops.MUL or any(nest.free(c) & {row, column} for c in conditions):
        return None
    left, right = value.src if row in nest.free(value.src[0]) else value.src[::-1]
    if row not in nest.free(left) or column in nest.free(left) or row in nest.free(right) \
            or column not in nest.free(right) or not all(_is_exact(x, instruction) for x in (left, right)):
        return None
    for c in conditions:
        left, right = (alu(Ops.WHERE, c, x, UOp.const(x.dtype, 0)) for x in (left, right))
    return left, right


def _narrow(u: UOp, instruction: str) -> UOp:
    """An operand as the instruction takes it."""
    u = bare(u)
    if instruction == "tf32":
        return u
    if u.op is Ops.WHERE:
        return alu(Ops.WHERE, u.src[0], *(_narrow(x, instruction) for x in u.src[1:]))
    dtype = to_dtype(instruction)
    return UOp.const(dtype, u.arg) if u.op is Ops.CONST else u.cast(dtype)


def _is_exact(u: UOp, instruction: str) -> bool:
    """Whether a float32 is one that the instruction takes as it is."""
    u = bare(u)
    if u.op is Ops.WHERE:
        return all(x.op is Ops.CONST and x.arg == 0 or _is_exact(x, instruction) for x in u.src[1:])
    if u.op is Ops.LOAD and u.src[0].op is Ops.SCRATCH:
        return all(_is_exact(s.src[1], instruction) for fill in nest.fills_of(u) for s in stores_of(fill, Ops.SCRATCH)
                   if s.src[0] is u.src[0])
    if instruction == "tf32":
        return u.op is Ops.TF32
    return u.op is Ops.CAST and u.src[0].dtype.name == instruction
