"""Small kernels as ASTs, data for them, and a run of a compiled kernel that notices writes outside of its buffers."""
from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigrad.codegen.pipeline import Lowered
from minigrad.dtype import DType, dtypes, round_bfloat16, widen_bfloat16
from minigrad.runtime.device import Buffer, Program, get_device
from minigrad.runtime.interpreter import evaluate_kernel
from minigrad.shape import ShapeTracker
from minigrad.shape.build import (
    add,
    cast,
    divide,
    elementwise,
    expand,
    flip,
    iota,
    less,
    mul,
    neg,
    pad,
    permute,
    reduce,
    reshape,
    shrink,
    stretch,
    where,
)
from minigrad.spec import check_kernel, check_linear
from minigrad.uops import Ops, ParamArg, ScatterArg, UOp, Variable, sint, toposort

Array = np.ndarray[Any, Any]
Shape = tuple[sint, ...]
F32, F64, BF16, F16 = dtypes.float32, dtypes.float64, dtypes.bfloat16, dtypes.float16
I32, I64, U8, BOOL = dtypes.int32, dtypes.int64, dtypes.uint8, dtypes.bool
CANARY, MARGIN = 0xA5, 256  # a byte, and how many of it lie around every buffer


@dataclass
class Case:
    """A kernel, the values of its variables to try, and integer inputs' ranges by slot (default -9..9)."""

    name: str
    ast: UOp
    bindings: tuple[Mapping[str, int], ...] = ({},)
    ranges: dict[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def params(self) -> list[UOp]:
        found = {u.arg.slot: u for u in toposort(self.ast) if u.op is Ops.PARAM}
        return [found[slot] for slot in sorted(found)]

    def arrays(self) -> list[Array]:
        """Contents of all buffers, the stored ones too: the same in every process."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        return [random_array(rng, p.arg.shape, p.dtype, self.ranges.get(p.arg.slot, (-9, 9))) for p in self.params]

    def expected(self, variables: Mapping[str, int]) -> list[Array]:
        arrays = [a.copy() for a in self.arrays()]
        evaluate_kernel(self.ast, arrays, variables)
        return arrays


def random_array(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType, limits: tuple[int, int]) -> Array:
    if dtype is BF16:
        return round_bfloat16(rng.standard_normal(shape).astype(np.float32))
    if dtype.is_float:
        return rng.standard_normal(shape).astype(dtype.np)
    if dtype is BOOL:
        return rng.integers(0, 2, shape).astype(np.bool_)
    low, high = max(limits[0], int(dtype.min)), min(limits[1], int(dtype.max))
    return rng.integers(low, high + 1, shape, dtype=np.int64).astype(dtype.np)


# ---- running

def finish_specs(device: Any, lowered: Lowered) -> Any:
    """The ProgramSpec of a lowered kernel, its list checked against the spec."""
    check_linear(lowered.linear.ops)
    return device.render(lowered)


def run(program: Program, case: Case, variables: Mapping[str, int]) -> list[Array]:
    """The buffers' contents after a launch. AssertionError if a byte outside of a buffer changed."""
    device = get_device("CPU")
    blocks, buffers = [], []
    for array, p in zip(case.arrays(), case.params):
        block = np.full(array.nbytes + 2 * MARGIN + 64, CANARY, np.uint8)
        start = MARGIN + (-(block.ctypes.data + MARGIN)) % 64
        block[start:start + array.nbytes] = np.ascontiguousarray(array).view(np.uint8).reshape(-1) if array.ndim else \
            np.frombuffer(array.tobytes(), np.uint8)
        blocks.append((block, start, array))
        buffers.append(Buffer.external(block, block.ctypes.data + start, array.shape, p.dtype, readonly=False))
    device.launch(program, buffers, variables)
    results = []
    for slot, (block, start, array) in enumerate(blocks):
        stop = start + array.nbytes
        assert (block[:start] == CANARY).all() and (block[stop:] == CANARY).all(), f"a write outside of buffer {slot}"
        results.append(np.frombuffer(block[start:stop].tobytes(), array.dtype).reshape(array.shape))
    return results


def difference(case: Case, got: Sequence[Array], expected: Sequence[Array]) -> str | None:
    """What differs, or None. Integers and conditions equal; floats up to what another order of sums explains."""
    for p, a, b in zip(case.params, got, expected):
        if not p.dtype.is_float:
            if not np.array_equal(a, b):
                at = first_of(a != b)
                return f"slot {p.arg.slot} at {at}: {a[at]} instead of {b[at]}, {(a != b).sum()} of {a.size} differ"
            continue
        if p.dtype is BF16:
            a, b = widen_bfloat16(a), widen_bfloat16(b)
        tolerance = {BF16: 2e-2, F16: 4e-3, F32: 5e-5, F64: 1e-11}[p.dtype]
        with np.errstate(all="ignore"):
            scale = np.maximum(np.abs(b), 1.0)
            close = (np.abs(a - b) <= tolerance * scale) | (a == b) | (np.isnan(a) & np.isnan(b))
        if not close.all():
            at = first_of(~close)
            return f"slot {p.arg.slot} at {at}: {a[at]} instead of {b[at]}, {int((~close).sum())} of {a.size} differ"
    return None


def first_of(wrong: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(wrong)[0])


# ---- building

def param(slot: int, shape: tuple[int, ...], dtype: DType = F32) -> UOp:
    return UOp(Ops.PARAM, dtype, (), ParamArg(slot, shape))


def store(target: UOp, *values: UOp, arg: Any = None) -> UOp:
    return UOp(Ops.STORE, dtypes.void, (target, *values), arg)


def exp(x: UOp) -> UOp:
    return elementwise(Ops.EXP, x)


def total(x: UOp, *axes: int) -> UOp:
    return reduce(Ops.ADD, x, axes)


def largest(x: UOp, *axes: int) -> UOp:
    return reduce(Ops.MAX, x, axes)


def product(a: UOp, b: UOp) -> UOp:
    """a (..., m, k) times b (..., k, n) -> (..., m, n)."""
    *lead, m, k = a.shape
    n = b.shape[-1]
    rank = len(lead)
    left = expand(reshape(a, (*lead, m, 1, k)), (*lead, m, n, k))
    turned = permute(b, (*range(rank), rank + 1, rank))
    right = expand(reshape(turned, (*lead, 1, n, k)), (*lead, m, n, k))
    return reshape(total(mul(left, right), rank + 2), (*lead, m, n))


def transposed(x: UOp) -> UOp:
    rank = len(x.shape)
    return permute(x, (*range(rank - 2), rank - 1, rank - 2))


def softmax(x: UOp) -> UOp:
    last = len(x.shape) - 1
    e = exp(add(x, neg(stretch(largest(x, last), x.shape))))
    return divide(e, stretch(total(e, last), e.shape))


def causal(scores: UOp, start: sint = 0) -> UOp:
    """-inf where the column is after row + start."""
    *lead, rows, columns = scores.shape
    i = reshape(iota(I32, rows), (*(1 for _ in lead), rows, 1))
    j = reshape(iota(I32, columns), (*(1 for _ in lead), 1, columns))
    shift = cast(start, I32) if isinstance(start, UOp) else UOp.const(I32, start)
    hidden = less(add(stretch(i, scores.shape), stretch(shift, scores.shape)), stretch(j, scores.shape))
    return where(hidden, -math.inf, scores)


def attention(q: UOp, k: UOp, v: UOp, start: sint = 0) -> UOp:
    scores = mul(product(q, transposed(k)), q.shape[-1] ** -0.5)
    return product(softmax(causal(scores, start)), v)


def gelu(x: UOp) -> UOp:
    return mul(mul(x, 0.5), add(elementwise(Ops.ERF, mul(x, 0.5 ** 0.5)), 1.0))


# ---- the cases

CASES: dict[str, Case] = {}


def case(build: Callable[[], Case]) -> Callable[[], Case]:
    made = build()
    check_kernel(made.ast)
    CASES[made.name] = made
    return build


def one(name: str, value: UOp, dtype: DType | None = None, **facts: Any) -> Case:
    """A kernel of one output in slot 0 of value's (maximum) shape."""
    shape = tuple(n if isinstance(n, int) else n.vmax for n in value.shape)
    target = param(0, shape, dtype or value.dtype)
    part = ShapeTracker.contiguous(shape).shrink(tuple((0, n) for n in value.shape))
    tracker = None if shape == value.shape else part
    return Case(name, UOp.sink(store(target, value, arg=tracker)), **facts)


@case
def _elementwise() -> Case:
    a, b = param(1, (5, 37)), param(2, (5, 37))
    return one("elementwise", exp(add(mul(a, b), 1.0)))


@case
def _masked_pad() -> Case:
    x = param(1, (5, 7))
    return one("masked_pad", add(pad(shrink(flip(x, (1,)), ((1, 5), (0, 7))), ((2, 3), (1, 4))), 1.0))


@case
def _shifted_halves() -> Case:
    """Rotary positions: each half of a row from both halves of another."""
    x, table = param(1, (5, 48)), param(2, (5, 24))
    first, second = shrink(x, ((0, 5), (0, 24))), shrink(x, ((0, 5), (24, 48)))
    turned = [mul(exp(add(a, b)), table) for a, b in ((first, neg(second)), (second, first))]
    return one("shifted_halves", add(pad(turned[0], ((0, 0), (0, 24))), pad(turned[1], ((0, 0), (24, 0)))))


@case
def _matmul() -> Case:
    return one("matmul", product(param(1, (13, 21)), param(2, (21, 38))))


@case
def _linear() -> Case:
    x, w, bias = param(1, (6, 24)), param(2, (10, 24)), param(3, (10,))
    return one("linear", gelu(add(product(x, transposed(w)), stretch(bias, (6, 10)))))


@case
def _matvec() -> Case:
    return one("matvec", product(param(1, (1, 70)), transposed(param(2, (19, 70)))))


@case
def _matmul_softmax() -> Case:
    return one("matmul_softmax", softmax(product(param(1, (9, 8)), param(2, (8, 20)))))


@case
def _attention() -> Case:
    shape = (2, 19, 8)
    return one("attention", attention(param(1, shape), param(2, shape), param(3, shape)))


@case
def _layernorm_statistics() -> Case:
    m, n = 7, 33
    x = param(3, (m, n))
    mean = mul(total(x, 1), 1 / n)
    centred = add(x, neg(stretch(mean, (m, n))))
    variance = mul(total(mul(centred, centred), 1), 1 / n)
    inverse = elementwise(Ops.RECIPROCAL, elementwise(Ops.SQRT, add(variance, 1e-5)))
    return Case("layernorm_statistics", UOp.sink(store(param(0, (m, n)), mul(centred, stretch(inverse, (m, n)))),
                                                 store(param(1, (m, 1)), mean), store(param(2, (m, 1)), inverse)))


@case
def _gather() -> Case:
    table, index = param(1, (11, 6)), param(2, (4, 5), I32)
    return one("gather", mul(UOp(Ops.GATHER, F32, (table, index)), 2.0), ranges={2: (-2, 12)})


@case
def _scatter_add() -> Case:
    dest, value, index = param(0, (7, 5)), param(1, (12, 5)), param(2, (12,), I32)
    ast = UOp.sink(store(dest, mul(value, 2.0), index, arg=ScatterArg("add")))
    return Case("scatter_add", ast, ranges={2: (-2, 8)})


@case
def _scatter_set() -> Case:
    dest, value, index = param(0, (7, 9), I32), param(1, (12, 9), I32), param(2, (12,), I64)
    return Case("scatter_set", UOp.sink(store(dest, value, index, arg=ScatterArg("set"))), ranges={2: (-2, 8)})


@case
def _adam() -> Case:
    shape = (6, 23)
    w, m, v, g = (param(slot, shape) for slot in range(4))
    m2, v2 = add(mul(m, 0.9), mul(g, 0.1)), add(mul(v, 0.99), mul(mul(g, g), 0.01))
    step = divide(m2, add(elementwise(Ops.SQRT, add(mul(v2, v2), 1.0)), 1e-8))
    return Case("adam", UOp.sink(store(w, add(w, mul(step, -0.01))), store(m, m2), store(v, v2)))


@case
def _symbolic_softmax() -> Case:
    n = Variable("n", 1, 40)
    x = shrink(param(1, (3, 40)), ((0, 3), (0, n)))
    return one("symbolic_softmax", softmax(x), bindings=({"n": 1}, {"n": 16}, {"n": 29}, {"n": 40}))


@case
def _symbolic_attention() -> Case:
    """Decoding against a cache of up to 40 rows."""
    start = Variable("start", 0, 36)
    q = param(1, (2, 4, 8))
    k, v = (shrink(param(slot, (2, 40, 8)), ((0, 2), (0, start + 4), (0, 8))) for slot in (2, 3))
    return one("symbolic_attention", attention(q, k, v, start), bindings=({"start": 0}, {"start": 7}, {"start": 36}))


@case
def _cache_update() -> Case:
    start = Variable("start", 0, 12)
    region = ShapeTracker.contiguous((3, 16, 8)).shrink(((0, 3), (start, start + 4), (0, 8)))
    return Case("cache_update", UOp.sink(store(param(0, (3, 16, 8)), mul(param(1, (3, 4, 8)), 0.5), arg=region)),
                bindings=({"start": 0}, {"start": 5}, {"start": 12}))


@case
def _int_matmul() -> Case:
    return one("int_matmul", product(param(1, (5, 18), I32), param(2, (18, 17), I32)))


@case
def _int_division() -> Case:
    a, b = param(1, (4, 21), I32), param(2, (4, 21), I32)
    return one("int_division", add(elementwise(Ops.IDIV, a, b), mul(elementwise(Ops.MOD, a, b), 100)))


@case
def _bytes() -> Case:
    a, b = param(1, (3, 50), U8), param(2, (3, 50), U8)
    return one("bytes", total(elementwise(Ops.MAX, add(a, b), mul(a, b)), 1), ranges={1: (0, 255), 2: (0, 255)})


@case
def _conditions() -> Case:
    a, b = param(2, (5, 18)), param(3, (5, 18))
    smaller = less(a, b)
    both = elementwise(Ops.AND, smaller, param(4, (5, 18), BOOL))
    every = reduce(Ops.MUL, elementwise(Ops.OR, smaller, less(a, 1.0)), (1,))
    return Case("conditions", UOp.sink(store(param(0, (5, 18), BOOL), both), store(param(1, (5, 1), BOOL), every)))


@case
def _rmsnorm_f64() -> Case:
    m, n = 6, 22
    x, w = param(1, (m, n), F64), param(2, (n,), F64)
    inverse = elementwise(Ops.RECIPROCAL, elementwise(Ops.SQRT, add(mul(total(mul(x, x), 1), 1 / n), 1e-6)))
    return one("rmsnorm_f64", mul(mul(x, stretch(inverse, (m, n))), stretch(w, (m, n))))


@case
def _matmul_bf16() -> Case:
    return one("matmul_bf16", product(param(1, (6, 20), BF16), transposed(param(2, (18, 20), BF16))))


@case
def _two_products() -> Case:
    """Products that share an operand."""
    x, a, b = param(1, (6, 20)), param(2, (20, 18)), param(3, (20, 18))
    return one("two_products", mul(product(x, a), product(x, b)))


@case
def _mixed_halves() -> Case:
    a, b = param(1, (4, 33), F16), param(2, (4, 33), BF16)
    return one("mixed_halves", mul(cast(a, F32), cast(b, F32)), F32)


@case
def _window() -> Case:
    """Sums of windows of 3: two views on top of each other."""
    x = pad(param(1, (4, 20)), ((0, 0), (1, 1)))
    windows = stretch(reshape(x, (4, 1, 22)), (4, 3, 22))
    windows = shrink(reshape(windows, (4, 66)), ((0, 4), (0, 63)))
    return one("window", total(reshape(windows, (4, 3, 21)), 1))


@case
def _cumulative_sum() -> Case:
    n = 21
    x = stretch(reshape(param(1, (3, n)), (3, 1, n)), (3, n, n))
    i, j = reshape(iota(I32, n), (1, n, 1)), reshape(iota(I32, n), (1, 1, n))
    after = less(stretch(i, (3, n, n)), stretch(j, (3, n, n)))
    return one("cumulative_sum", reshape(total(where(after, 0.0, x), 2), (3, n)))


@case
def _sum_of_what_follows() -> Case:
    """The loop could start at the row's own number: a mask from below, and from above as well."""
    n = 21
    x = stretch(reshape(param(1, (3, n)), (3, 1, n)), (3, n, n))
    i, j = stretch(reshape(iota(I32, n), (1, n, 1)), (3, n, n)), stretch(reshape(iota(I32, n), (1, 1, n)), (3, n, n))
    near = where(less(j, add(i, 9)), x, 0.0)
    return one("sum_of_what_follows", reshape(total(where(less(j, i), 0.0, near), 2), (3, n)))


@case
def _largest_of_two_axes() -> Case:
    x = param(1, (4, 6, 35))
    return one("largest_of_two_axes", add(largest(x, 0, 2), reduce(Ops.MUL, add(mul(x, 0.01), 1.0), (0, 2))))


@case
def _largest_column() -> Case:
    return one("largest_column", largest(param(1, (13, 35)), 0))


@case
def _everything() -> Case:
    """A sum over all, of a transposed operand."""
    return one("everything", total(mul(transposed(param(1, (17, 12))), param(2, (12, 17))), 0, 1))
