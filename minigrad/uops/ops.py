"""The ops, and what a rewrite may rely on.

Integers wrap at their width (two's complement). IDIV rounds towards minus infinity and MOD takes the sign of the
divisor (floor semantics); both give 0 where the divisor is 0. SHL and SHR by the width or more give 0 (SHR of a
negative number: -1); SHR of signed integers keeps the sign. Casts of floats to integers truncate; NaN gives 0 and
values out of range are clamped to the type's ends. Integers of dtype `index` are mathematical integers: no expression
overflows.

Floats are IEEE; sums may be reassociated by the optimiser, factors that do not change in a sum taken out of it, and
in a sum a product that is masked to zero by the bounds of one factor may be a product with that factor as zero (NaN
beside an infinity, as in a convolution that is padded); sums of products of bfloat16 may take numbers below float32's
normal range as zero; sums of exponentials below a maximum may be taken below the maximum so far and scaled later, also
past a rounding to 16 bits. Nothing else. a/b is FDIV, not a * RECIPROCAL(b): they differ for many integers. MAX gives
NaN if either source is NaN; comparisons with NaN are False, CMPNE True. EXP is an op of its own, since EXP2 of a
rounded product loses up to 64 ulp. float16 and bfloat16 are computed op by op in float32 and rounded when stored or
cast; their sums accumulate in float32.

A masked element of a VIEW reads as zero and is not loaded. GATHER outside of its table reads zero, SCATTER outside of
its destination is dropped. Values have no side effects and no order of evaluation; STOREs of a kernel happen as if all
loads of the kernel came first (kernels in which that matters are never made by the scheduler). A WHERE may evaluate
both sides.

Tensor level: nodes have shapes; CONST, VARIABLE and BIND (shape ()) stretch to the shape of the other sources of an
elementwise op, all other sources have equal shapes. Loop level: nodes are scalars that depend on RANGEs.
"""
from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from ..dtype import DType


class Ops(Enum):
    """Every op of every stage. What `arg` holds stands beside each."""

    __hash__ = object.__hash__  # identity, in C: the interning table hashes an op with every node

    # data
    CONST = auto()          # arg: int, float or bool
    BUFFER = auto()         # arg: runtime Buffer. shape: its shape
    VIEW = auto()           # (x,) arg: ShapeTracker over x's shape
    CONTIGUOUS = auto()     # (x,) x in a buffer of its own
    COPY = auto()           # (x,) arg: device name
    DETACH = auto()         # (x,) or (x, history): x's value; autodiff stops here or goes on at history. arg: number of
                            # the leaf whose gradient this is, or None. Tensor takes these out before it schedules
    ASSIGN = auto()         # (base, value) arg: ShapeTracker over base's shape, the region written -> a new version
    VARIABLE = auto()       # arg: VariableArg. A named integer with bounds, known at run time
    BIND = auto()           # (VARIABLE, CONST) a variable with its value
    SINK = auto()           # the roots of a graph
    PARAM = auto()          # arg: ParamArg. A kernel's buffer argument
    STORE = auto()          # AST: (PARAM, value) arg: ShapeTracker | None, or (PARAM, value, index) arg: ScatterArg
                            # loops: (memory, value, gate, *indices) arg: None or "add"
    # index
    IOTA = auto()           # arg: sint n. 0, 1, ... n-1, shape (n,)
    GATHER = auto()         # (table, index) table[index] along axis 0
    SCATTER = auto()        # (dest, index, value) arg: ScatterArg
    # reduce
    REDUCE = auto()         # AST: (x,) arg: ReduceArg. loops: (value, *RANGEs) arg: the op
    # unary
    NEG = auto()
    RECIPROCAL = auto()
    SQRT = auto()
    EXP = auto()
    EXP2 = auto()
    LOG = auto()
    LOG2 = auto()
    SIN = auto()
    COS = auto()
    TANH = auto()
    ERF = auto()
    TRUNC = auto()
    TF32 = auto()           # (x,) float32 with 10 bits of mantissa: to nearest, ties away from zero
    NOT = auto()
    # binary
    ADD = auto()
    MUL = auto()
    FDIV = auto()
    IDIV = auto()
    MOD = auto()
    MAX = auto()
    CMPLT = auto()
    CMPNE = auto()
    AND = auto()
    OR = auto()
    XOR = auto()
    SHL = auto()
    SHR = auto()
    DOT = auto()            # two uint32, each a pair of bfloat16: the sum of both products, float32
    # ternary
    WHERE = auto()          # (condition, if true, if false)
    # type
    CAST = auto()           # (x,) to the node's dtype
    BITCAST = auto()        # (x,) same bits, same size
    # loop level
    RANGE = auto()          # (start, end) arg: RangeArg
    VALUE = auto()          # (x, *indices) arg: name. Marks a value that PLACE can put into scratch
    LOAD = auto()           # (memory, *indices, *fills) arg: number of indices
    SCRATCH = auto()        # arg: ScratchArg. A small array of the kernel
    END = auto()            # (*statements, *RANGEs, *level) arg: EndArg
    SPECIAL = auto()        # arg: SpecialArg. A GPU's block or thread index
    BARRIER = auto()        # all threads of a block meet
    MATRIX = auto()         # (*numbers of both operands) arg: instruction. Four sums; in the list src[0] has them
    ELEMENT = auto()        # (vector, i) one of its elements
    ASYNC = auto()          # (INDEX of shared scratch, INDEX of a buffer) arg: elements. A copy that WAIT waits for
    WAIT = auto()           # all copies that the thread has started are there
    SHUFFLE = auto()        # (x,) arg: bits. x of the thread of a warp whose number differs in these bits
    # linear level
    LOOP = auto()           # (RANGE,) opens a loop
    ENDLOOP = auto()        # (LOOP,) closes it
    ACCUMULATOR = auto()    # (initial value,) a register that UPDATE changes
    UPDATE = auto()         # (ACCUMULATOR, value) arg: the op that combines them; None: the value takes its place
    INDEX = auto()          # (memory, flat address, gate) an element, or a vector from it on; two more bound its valid
                            # lanes: the one after the last, and the first (0 if it is missing)
    BROADCAST = auto()      # (x,) a scalar in every lane
    LANES = auto()          # 0, 1, ... n-1 as a vector
    HORIZONTAL = auto()     # (x,) arg: op. The reduce over a vector's lanes
    IF = auto()             # (condition,)
    ENDIF = auto()          # (IF,)
    PREFETCH = auto()       # (INDEX,) reads it into the cache. In the nest: (memory, *indices)

    def __lt__(self, other: Ops) -> bool:
        return bool(self.value < other.value)


UNARY = frozenset({Ops.NEG, Ops.RECIPROCAL, Ops.SQRT, Ops.EXP, Ops.EXP2, Ops.LOG, Ops.LOG2, Ops.SIN, Ops.COS, Ops.TANH,
                   Ops.ERF, Ops.TRUNC, Ops.TF32, Ops.NOT})
BINARY = frozenset({Ops.ADD, Ops.MUL, Ops.FDIV, Ops.IDIV, Ops.MOD, Ops.MAX, Ops.CMPLT, Ops.CMPNE, Ops.AND, Ops.OR,
                    Ops.XOR, Ops.SHL, Ops.SHR, Ops.DOT})
TERNARY = frozenset({Ops.WHERE})
ELEMENTWISE = UNARY | BINARY | TERNARY | {Ops.CAST, Ops.BITCAST}
COMMUTATIVE = frozenset({Ops.ADD, Ops.MUL, Ops.MAX, Ops.CMPNE, Ops.AND, Ops.OR, Ops.XOR})
COMPARISON = frozenset({Ops.CMPLT, Ops.CMPNE})
TRANSCENDENTAL = frozenset({Ops.EXP, Ops.EXP2, Ops.LOG, Ops.LOG2, Ops.SIN, Ops.COS, Ops.TANH, Ops.ERF})
SCALARS = frozenset({Ops.CONST, Ops.VARIABLE, Ops.BIND})  # stretch to any shape


@dataclass(frozen=True)
class VariableArg:
    """A symbolic integer: low <= value <= high."""

    name: str
    low: int
    high: int


@dataclass(frozen=True)
class ReduceArg:
    """op: ADD, MUL or MAX; axes: which axes become 1, ascending."""

    op: Ops
    axes: tuple[int, ...]


@dataclass(frozen=True)
class ScatterArg:
    """mode: "set" (the last in row-major order wins) or "add"."""

    mode: str


@dataclass(frozen=True)
class ParamArg:
    """slot: position among the kernel's buffers; shape: the buffer's (maximum) shape."""

    slot: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class RangeArg:
    """name: from the AST, with `.0` and `.1` appended by splits; kind: loop, lane, global, local; copy: tells instances
    apart.
    """

    name: str
    kind: str = "loop"
    copy: int = 0


@dataclass(frozen=True)
class ScratchArg:
    """name: of the value kept; layout: (dimension, divisor, modulus or 0) outermost first, empty: row-major; shared: of
    a block; shape: what is filled, outside of which accesses have gates. Without one there is padding instead. pad:
    elements that stay free after each innermost row. stages: fills that it has room for.
    """

    name: str
    layout: tuple[tuple[int, int, int], ...] = ()
    shared: bool = False
    copy: int = 0
    shape: tuple[int, ...] = ()
    pad: int = 0
    stages: int = 1


@dataclass(frozen=True)
class EndArg:
    """How many of END's sources are statements and how many are ranges; the rest are the level."""

    statements: int
    ranges: int


@dataclass(frozen=True)
class SpecialArg:
    """axis: "block" or "thread"; dimension: 0 x, 1 y, 2 z."""

    axis: str
    dimension: int


def identity(op: Ops, dtype: DType) -> int | float | bool:
    """The identity of a reduce: what an empty ADD, MUL or MAX gives in `dtype`."""
    if op is Ops.ADD:
        return False if dtype.kind == "b" else 0
    if op is Ops.MUL:
        return True if dtype.kind == "b" else 1
    if op is Ops.MAX:
        return dtype.min
    raise ValueError(f"identity: {op} is no reduce")


