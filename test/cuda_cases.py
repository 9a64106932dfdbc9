"""Kernels for a GPU: their ASTs, and the lists of opts that make grids, blocks and shared memory of their loops.

As a program it prints their sources as JSON, those of a new process: the order of a sum's terms follows from which
was made first.
"""
from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minigrad.codegen.gpu import Global, Group, Local
from minigrad.codegen.matrix import Matrix
from minigrad.codegen.opts import Opt, Split, Upcast, Vector
from minigrad.codegen.pipeline import Lowered, lower_kernel
from minigrad.codegen.place import Bound, Place
from minigrad.dtype import DType, dtypes, round_bfloat16, to_dtype
from minigrad.renderer.base import ProgramSpec
from minigrad.renderer.cuda import render
from minigrad.runtime.device import Buffer, Program, get_device
from minigrad.shape import ShapeTracker
from minigrad.shape.build import (
    add,
    cast,
    divide,
    elementwise,
    expand,
    iota,
    less,
    mul,
    neg,
    permute,
    reduce,
    reshape,
    shrink,
    stretch,
    where,
)
from minigrad.target import cuda_target
from minigrad.uops import Ops, ParamArg, UOp, toposort

ARCHITECTURES = ("sm_80", "sm_90", "sm_90a")
TARGET = cuda_target("sm_90")
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """A kernel, the opts that map it to a GPU, and its variables' values.

    `spare`: barriers by their number that stand between a thread's writes and its reads of the very same elements.
    Elements are not compared when barriers are placed.
    """

    name: str
    ast: UOp
    opts: tuple[Opt, ...]
    variables: Mapping[str, int] = field(default_factory=dict)
    tolerance: float = 2e-6
    spare: tuple[int, ...] = ()

    def lowered(self) -> Lowered:
        return lower_kernel(self.ast, TARGET, self.opts)

    def spec(self) -> ProgramSpec:
        return render(self.lowered(), TARGET)

    def arrays(self) -> list[Array]:
        """The buffers' contents by slot, the stored ones too: the same in every process."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        params = {u.arg.slot: u for u in toposort(self.ast) if u.op is Ops.PARAM}
        return [_random(rng, params[slot]) for slot in sorted(params)]


def text_of(spec: ProgramSpec) -> str:
    """The file that NVRTC compiles."""
    return "\n\n".join([*spec.prelude, spec.source]) + "\n"


def without_a_barrier(spec: ProgramSpec) -> list[ProgramSpec]:
    """The kernel once for each of its barriers, without that one."""
    lines = spec.source.split("\n")
    return [replace(spec, source="\n".join(lines[:i] + lines[i + 1:]))
            for i, line in enumerate(lines) if "__syncthreads();" in line]


def compile_emulated(specs: Sequence[ProgramSpec]) -> list[Program]:
    return get_device("CUDA_EMULATED").compile(specs)


def run(program: Program, arrays: Sequence[Array], variables: Mapping[str, int] | None = None) -> list[Array]:
    """The buffers' contents after a launch on the emulator; what is written is not there before."""
    buffers = [Buffer("CUDA_EMULATED", a.shape, to_dtype(a.dtype)) for a in arrays]
    for slot, (buffer, array) in enumerate(zip(buffers, arrays)):
        if slot not in program.spec.written:
            buffer.copyin(np.ascontiguousarray(array).data)
    get_device("CUDA_EMULATED").launch(program, buffers, variables or {})
    return [b.numpy() for b in buffers]


def _random(rng: np.random.Generator, param: UOp) -> Array:
    if param.dtype is dtypes.bfloat16:
        return round_bfloat16(rng.standard_normal(param.arg.shape).astype(np.float32))
    return rng.standard_normal(param.arg.shape).astype(param.dtype.np)


def param(slot: int, *shape: int, dtype: DType = dtypes.float32) -> UOp:
    return UOp(Ops.PARAM, dtype, (), ParamArg(slot, shape))


def store(value: UOp) -> UOp:
    """A kernel that stores a value to slot 0."""
    return UOp.sink(UOp(Ops.STORE, dtypes.void, (param(0, *value.shape, dtype=value.dtype), value)))


def fused(a: UOp, b: UOp) -> UOp:
    return elementwise(Ops.EXP, add(mul(a, b), 1.0))


def softmax(x: UOp) -> UOp:
    """Over the last axis."""
    axis = (len(x.shape) - 1,)
    e = elementwise(Ops.EXP, add(x, neg(stretch(reduce(Ops.MAX, x, axis), x.shape))))
    return divide(e, stretch(reduce(Ops.ADD, e, axis), x.shape))


def matmul(a: UOp, b: UOp) -> UOp:
    """(..., M, K) @ (..., K, N) -> (..., M, N, 1)"""
    *batch, m, k = a.shape
    n = b.shape[-1]
    order = [*range(len(batch)), len(batch) + 1, len(batch)]
    left = expand(reshape(a, (*batch, m, 1, k)), (*batch, m, n, k))
    right = expand(reshape(permute(b, order), (*batch, 1, n, k)), (*batch, m, n, k))
    return reduce(Ops.ADD, mul(left, right), (len(batch) + 2,))


def attention(q: UOp, k: UOp, v: UOp) -> UOp:
    """Causal. (H, N, D) each -> (H, N, D, 1)"""
    h, n, d = q.shape
    scores = mul(reshape(matmul(q, permute(k, (0, 2, 1))), (h, n, n)), d**-0.5)
    row, column = reshape(iota(dtypes.int32, n), (1, n, 1)), reshape(iota(dtypes.int32, n), (1, 1, n))
    hidden = less(expand(row, (h, n, n)), expand(column, (h, n, n)))
    return matmul(softmax(where(hidden, float("-inf"), scores)), v)


def _elementwise() -> Case:
    n = 10_008
    return Case("elementwise", store(fused(param(1, n), param(2, n))), (
        Split("o0", 4), Vector("o0.1"), Split("o0.0", 128), Global("o0.0.0", 0), Local("o0.0.1", 0)))


def _elementwise_symbolic() -> Case:
    n, most = UOp.variable("n", 1, 5000), 5000
    first = ((0, n),)
    value = fused(shrink(param(1, most), first), shrink(param(2, most), first))
    ast = UOp.sink(UOp(Ops.STORE, dtypes.void, (param(0, most), value), ShapeTracker.contiguous((most,)).shrink(first)))
    opts = (Split("o0", 128), Global("o0.0", 0), Local("o0.1", 0))
    return Case("elementwise_symbolic", ast, opts, {"n": 1003})


def _elementwise_half() -> Case:
    n = 1024
    value = cast(mul(param(1, n, dtype=dtypes.float16), 3.0), dtypes.bfloat16)
    return Case("elementwise_half", store(value), (
        Split("o0", 4), Vector("o0.1"), Split("o0.0", 64), Global("o0.0.0", 0), Local("o0.0.1", 0)))


def _softmax() -> Case:
    return Case("softmax", store(softmax(param(1, 9, 1000))), (
        Split("o1", 128), Split("r0", 128), Split("r1", 128), Global("o0", 0), Local("o1.1", 0),
        Group("r0.1", 0), Group("r1.1", 0)))


def _reduce() -> Case:
    return Case("reduce", store(reduce(Ops.ADD, param(1, 7, 5000), (1,))), (
        Split("r0", 512), Split("r0.1", 4), Global("o0", 0), Group("r0.1.0", 0, 32), Vector("r0.1.1")))


def _matmul(stages: int = 1) -> Case:
    """Tiles of 64 x 64, 16 deep, in shared memory; 4 x 4 in each thread's registers. The left operand is turned."""
    m, n, k = 200, 136, 72
    level = ("o0.0", "o1.0", "r0.0")
    return Case("matmul" if stages == 1 else "matmul_staged", store(matmul(param(1, m, k), param(2, k, n))), (
        Split("o0", 64), Split("o0.1", 4), Split("o1", 64), Split("o1.1", 4), Split("r0", 16),
        Place("p1", level, ((1, 1, 0), (0, 1, 0)), shared=True, pad=4, stages=stages),
        Place("p2", level, shared=True, stages=stages),
        Global("o1.0", 0), Global("o0.0", 1), Local("o1.1.0", 0), Local("o0.1.0", 1),
        Split("p1_0", 16), Local("p1_0.1", 1), Local("p1_1", 0), Upcast("p1_0.0"),
        Local("p2_0", 1), Split("p2_1", 4), Local("p2_1.0", 0), Vector("p2_1.1"),
        Vector("o1.1.1"), Upcast("o0.1.1")))


def matrix_opts(instruction: str) -> tuple[Opt, ...]:
    """Blocks of 64 x 32 outputs: two warps of 32 x 32, the operands' tiles of 32 deep in shared memory, padded."""
    deep = 8 if instruction == "tf32" else 16
    level = ("o0.0", "o1.0", "r0.0")
    return (
        Split("o0", 64), Split("o0.1", 32), Split("o0.1.1", 16), Split("o1", 32), Split("o1.1", 8), Split("r0", 32),
        Place("p1", level, shared=True, pad=4), Place("p2", level, shared=True, pad=8), Split("r0.1", deep),
        Global("o1.0", 0), Global("o0.0", 1), Local("o0.1.0", 2),
        Split("p1_0", 8), Split("p1_0.0", 2), Local("p1_0.1", 1), Local("p1_0.0.1", 2), Split("p1_1", 16),
        Split("p1_1.1", 4), Local("p1_1.1.0", 0), Vector("p1_1.1.1"), Upcast("p1_1.0"),
        Split("p2_0", 8), Split("p2_0.0", 2), Local("p2_0.1", 1), Local("p2_0.0.1", 2), Split("p2_1", 16),
        Split("p2_1.1", 4), Local("p2_1.1.0", 0), Vector("p2_1.1.1"), Upcast("p2_1.0"),
        Matrix(instruction, "o0.1.1.1", "o1.1.1", "r0.1.1"), Upcast("o0.1.1.0"), Upcast("o1.1.0"))


def _matrix(instruction: str) -> Case:
    m, n, k = 72, 44, 40        # no multiples of the tiles
    if instruction == "tf32":
        a, b = (elementwise(Ops.TF32, x) for x in (param(1, m, k), param(2, k, n)))
    else:
        dtype = {"bfloat16": dtypes.bfloat16, "float16": dtypes.float16}[instruction]
        a, b = (cast(x, dtypes.float32) for x in (param(1, m, k, dtype=dtype), param(2, k, n, dtype=dtype)))
    return Case(f"matrix_{instruction}", store(matmul(a, b)), matrix_opts(instruction))


def _attention() -> Case:
    """Blocks of 16 rows. Queries, tiles of keys and values, the scores and their exponentials are in shared memory."""
    h, n, d = 2, 100, 32
    block = ("o0", "o1.0")
    return Case("attention", store(attention(*(param(slot, h, n, d) for slot in (1, 2, 3)))), (
        Split("o1", 16), Split("o2", 16), Bound("r2", block, 16), Bound("r3", block, 16),
        Split("r2", 16), Split("r3", 16),
        Place("v3", block, shared=True), Split("v3_2", 16), Bound("r1", block, 16), Split("r1", 16),
        Place("v1", block, shared=True), Split("v1_2", 16),
        Place("p1", block, shared=True), Split("p1_2", 16),
        Place("p2", (*block, "v1_2.0"), shared=True), Split("p2_2", 16),
        Place("p3", (*block, "r3.0"), shared=True), Split("p3_2", 16),
        Global("o1.0", 0), Global("o0", 1), Local("o1.1", 1), Local("o2.1", 0),
        Local("v3_1", 1), Local("v3_2.1", 0), Local("v1_1", 1), Local("v1_2.1", 0),
        Local("p1_1", 1), Local("p1_2.1", 0), Local("p2_1", 1), Local("p2_2.1", 0),
        Local("p3_1", 1), Local("p3_2.1", 0),
        Group("r1.1", 0), Group("r2.1", 0), Upcast("o2.0")), spare=(2,))


CASES = (_elementwise(), _elementwise_symbolic(), _elementwise_half(), _softmax(), _reduce(), _matmul(), _matmul(2),
         _attention(), _matrix("tf32"), _matrix("bfloat16"), _matrix("float16"))

if __name__ == "__main__":
    print(json.dumps({case.name: text_of(case.spec()) for case in CASES}))
