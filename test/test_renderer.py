"""C from the renderer against the interpreter at the edges of every type: one by one, in vectors with a masked rest,
and by gcc.

Run as a script, it prints what is wrong with the compiler that CC names.
"""
from __future__ import annotations

import itertools
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernel_cases import (
    BF16,
    BOOL,
    F16,
    F32,
    F64,
    I32,
    I64,
    U8,
    finish_specs,
    iota,
    param,
    reduce,
    shrink,
    store,
    where,
)

from minigrad.codegen.opts import Opt, Split, Vector
from minigrad.codegen.pipeline import lower_kernel
from minigrad.dtype import DType, dtypes, round_bfloat16
from minigrad.renderer.cstyle import CStyle
from minigrad.runtime.compiler import find_compiler
from minigrad.runtime.device import Buffer, Device, get_device
from minigrad.runtime.interpreter import evaluate_kernel
from minigrad.shape.build import cast, elementwise, less, stretch
from minigrad.uops import Ops, UOp

Array = np.ndarray[Any, Any]
INTEGERS = (dtypes.int8, dtypes.int16, I32, I64, U8, dtypes.uint16, dtypes.uint32, dtypes.uint64)
FLOATS = (F32, F64)
EVERY = (BOOL, *INTEGERS, F16, BF16, *FLOATS)
SPECIAL = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    math.inf,
    -math.inf,
    math.nan,
    1e-45,
    -1e-40,
    3.4e38,
    2.5,
    -2.5,
    0.3333333432674408,
    127.5,
    -128.9,
    255.99,
    2147483647.0,
    -2147483648.0,
    4294967296.0,
    9.3e18,
    -9.3e18,
    65504.0,
    65520.0,
    1e-8,
)
NEAR = (0, 1, 2, 3, 5, 7, 8, 31, 32, 33, 63, 64, 100)


def values(dtype: DType) -> Array:
    """The dtype's edges."""
    if dtype is BOOL:
        return np.array([True, False])
    if dtype.is_float:
        with np.errstate(over="ignore"):
            wide = np.array(SPECIAL, np.float64 if dtype is F64 else np.float32)
            return round_bfloat16(wide) if dtype is BF16 else wide.astype(dtype.np)
    low, high = int(dtype.min), int(dtype.max)
    own = {low, low + 1, high, high - 1, *(n for n in NEAR), *(-n for n in NEAR)}
    return np.array(sorted(n for n in own if low <= n <= high), dtype.np)


def pairs(dtype: DType, second: Array | None = None) -> list[Array]:
    """All pairs of edges, in a length that no vector divides."""
    a = values(dtype)
    b = a if second is None else second
    left, right = np.repeat(a, len(b)), np.tile(b, len(a))
    if len(left) % 2 == 0:
        left, right = np.append(left, left[:1]), np.append(right, right[:1])
    return [left, right]


@dataclass
class Check:
    """A kernel with its inputs; exact: bit by bit but for NaN."""

    name: str
    ast: UOp
    inputs: list[Array]
    opts: tuple[Opt, ...] = ()
    tolerance: float = 0.0
    expected: Array | None = None   # where the interpreter would need too much memory


def both_ways(name: str, value: UOp, inputs: list[Array], expected: Array | None = None) -> Iterator[Check]:
    n = value.shape[0]
    ast = UOp.sink(store(param(0, (n,), value.dtype), value))
    yield Check(name + " scalar", ast, inputs, (), expected=expected)
    yield Check(name + " vector", ast, inputs, (Split("o0", 16), Vector("o0.1")), expected=expected)


def of(dtype: DType, inputs: list[Array]) -> list[UOp]:
    return [param(i + 1, a.shape, dtype) for i, a in enumerate(inputs)]


def elementwise_checks() -> Iterator[Check]:
    for dtype in (*INTEGERS, *FLOATS):
        inputs = pairs(dtype)
        a, b = of(dtype, inputs)
        for op in (Ops.ADD, Ops.MUL, Ops.MAX, Ops.CMPLT, Ops.CMPNE, *((Ops.FDIV,) if dtype.is_float else (
                Ops.IDIV, Ops.MOD, Ops.AND, Ops.OR, Ops.XOR))):
            yield from both_ways(f"{op.name} {dtype.name}", elementwise(op, a, b), inputs)
        unary = (Ops.NEG, Ops.RECIPROCAL, Ops.SQRT, Ops.TRUNC) if dtype.is_float else (Ops.NEG, Ops.NOT)
        for op in unary:
            yield from both_ways(f"{op.name} {dtype.name}", elementwise(op, a), inputs[:1])
        yield from both_ways(f"WHERE {dtype.name}", where(less(a, b), b, a), inputs)
    for dtype in INTEGERS:
        shifts = np.array([0, 1, 2, 7, 8, 15, 16, 31, 32, 63, 64, 100], dtype.np)
        inputs = pairs(dtype, shifts)
        a, b = of(dtype, inputs)
        for op in (Ops.SHL, Ops.SHR):
            yield from both_ways(f"{op.name} {dtype.name}", elementwise(op, a, b), inputs)


def condition_checks() -> Iterator[Check]:
    inputs = [np.tile(np.array([0, 0, 1, 1], np.bool_), 10)[:37], np.tile(np.array([0, 1, 0, 1], np.bool_), 10)[:37]]
    a, b = of(BOOL, inputs)
    for op in (Ops.ADD, Ops.MUL, Ops.MAX, Ops.AND, Ops.OR, Ops.XOR, Ops.CMPLT, Ops.CMPNE):
        yield from both_ways(f"{op.name} bool", elementwise(op, a, b), inputs)
    yield from both_ways("NOT bool", elementwise(Ops.NOT, a), inputs[:1])
    yield from both_ways("WHERE bool", where(a, b, elementwise(Ops.NOT, b)), inputs)
    for dtype in EVERY:
        chosen = where(a, cast(b, dtype), UOp.const(dtype, 7))
        yield from both_ways(f"WHERE of bools {dtype.name}", chosen, inputs)


def cast_checks() -> Iterator[Check]:
    for source, target in itertools.product(EVERY, EVERY):
        a = np.tile(values(source), 3)
        a = a[:len(a) // 2 * 2 - 1]
        yield from both_ways(f"CAST {source.name} to {target.name}", cast(param(1, a.shape, source), target), [a])
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 32, 4001, dtype=np.uint64).astype(np.uint32).view(np.float32)
    ties = (rng.integers(0, 1 << 16, 1000, dtype=np.uint64) << 16 | 0x8000).astype(np.uint32).view(np.float32)
    floats = np.concatenate([bits, ties, rng.standard_normal(1000).astype(np.float32)])
    for half in (F16, BF16):
        yield from both_ways(f"rounding to {half.name}", cast(param(1, floats.shape), half), [floats])
        every = np.arange(1 << 16, dtype=np.uint16).view(half.np)
        yield from both_ways(f"{half.name} as float32", cast(param(1, every.shape, half), F32), [every])
        yield from both_ways(
            f"{half.name} plus 1", elementwise(Ops.ADD, param(1, every.shape, half), UOp.const(half, 1)), [every]
        )
    for source, target in (
        (F32, I32),
        (I32, F32),
        (F64, I64),
        (dtypes.uint64, F64),
        (F16, dtypes.int16),
        (BF16, dtypes.uint16),
    ):
        a = np.append(values(source), values(source)[:1])
        yield from both_ways(f"BITCAST {source.name}", UOp(Ops.BITCAST, target, (param(1, a.shape, source),)), [a])


def constant_checks() -> Iterator[Check]:
    for dtype in EVERY:
        for value in (
            values(dtype) if dtype not in (BF16, F16) else np.array([0.0, -0.0, 1.5, math.inf, -math.inf, math.nan])
        ):
            zero = np.zeros(19, np.bool_)
            k = UOp.const(dtype, value.item())
            node = where(param(1, (19,), BOOL), UOp.const(dtype, 0), stretch(k, (19,)))
            yield from both_ways(f"constant {value} {dtype.name}", node, [zero])


def reduce_checks() -> Iterator[Check]:
    rng = np.random.default_rng(1)
    for dtype in (BOOL, *INTEGERS, *FLOATS):
        for op in (Ops.ADD, Ops.MUL, Ops.MAX):
            if dtype.is_float:
                a = rng.standard_normal((5, 37)).astype(dtype.np)
                if op is Ops.MAX:
                    a[1, 5], a[2, :], a[3, 36] = math.nan, -math.inf, math.inf
            else:
                a = rng.integers(int(dtype.min), int(dtype.max), (5, 37), dtype.np if dtype is not BOOL else np.int64,
                                 endpoint=True).astype(dtype.np)
                if dtype is BOOL:
                    a[0], a[1] = False, True
            ast = UOp.sink(store(param(0, (5, 1), dtype), reduce(op, param(1, (5, 37), dtype), (1,))))
            for opts in ((), (Split("r0", 16), Vector("r0.1"))):
                yield Check(f"{op.name} of {dtype.name} {'vector' if opts else 'scalar'}", ast, [a], opts,
                            1e-5 if dtype is F32 else 1e-13)


def wide_checks() -> Iterator[Check]:
    """Addresses and counters beyond 32 bits. The buffer's memory is only reserved."""
    first = (1 << 31) - 9
    counter, numbers = shrink(iota(I64, 1 << 33), ((first, first + 37),)), np.arange(first, first + 37)
    yield from both_ways("IOTA across 2^31", counter, [], numbers)
    masked = where(less(counter, 1 << 31), UOp.const(F32, 1), stretch(UOp.const(F32, 2), (37,)))
    yield from both_ways("a mask across 2^31", masked, [], np.where(numbers < 1 << 31, 1, 2).astype(np.float32))
    far = np.zeros((1 << 32) + 37, np.uint8)
    far[-37:] = np.arange(37)
    yield from both_ways("a load across 2^32", shrink(param(1, far.shape, U8), ((1 << 32, (1 << 32) + 37),)), [far])
    row = np.array([(1 << 32) + 5, 1, -1, (1 << 32) + 37], np.int64)
    table = np.broadcast_to(far, far.shape)
    gathered = UOp(Ops.GATHER, U8, (param(1, far.shape, U8), param(2, (4,), I64)))
    yield Check("a gather across 2^32", UOp.sink(store(param(0, (4,), U8), gathered)), [table, row])


GROUPS = {"elementwise": elementwise_checks, "conditions": condition_checks, "casts": cast_checks,
          "constants": constant_checks, "reduces": reduce_checks, "wide": wide_checks}


def wrong(device: Device, checks: list[Check]) -> list[str]:
    """What is not as the interpreter says, a line each."""
    problems = []
    specs = [finish_specs(device, lower_kernel(c.ast, device.target, c.opts)) for c in checks]
    for check, program in zip(checks, device.compile(specs)):
        target = check.ast.src[0].src[0]
        expected, got = np.zeros(target.shape, target.dtype.np), np.zeros(target.shape, target.dtype.np)
        if check.expected is not None:
            expected = check.expected
        else:
            evaluate_kernel(check.ast, [expected, *check.inputs], {})
        buffers = [Buffer.from_numpy(x, p) for x, p in zip([got, *check.inputs], dtypes_of(check.ast))]
        device.launch(program, buffers, {})
        if target.dtype is BF16:
            got, expected = ((x.astype(np.uint32) << 16).view(np.float32) for x in (got, expected))
        with np.errstate(all="ignore"):
            same = got == expected
            if target.dtype.is_float:
                if not check.name.startswith("MAX"):  # which of two zeros is larger is not said
                    same &= np.signbit(got) == np.signbit(expected)
                same |= np.isnan(got) & np.isnan(expected)
                if check.tolerance:
                    same |= np.abs(got - expected) <= check.tolerance * (np.abs(expected) + 1)
        if not same.all():
            at = tuple(int(i) for i in np.argwhere(~same)[0])
            of_inputs = [x[at] for x in check.inputs if x.shape == got.shape]
            problems.append(f"{check.name}: {(~same).sum()} of {same.size}, first at {at}: {got[at]} instead of "
                            f"{expected[at]}, inputs {of_inputs}")
    return problems


def dtypes_of(ast: UOp) -> list[DType]:
    from kernel_cases import Case
    return [p.dtype for p in Case("", ast).params]


@pytest.mark.parametrize("group", GROUPS)
def test_c_computes_what_the_interpreter_does(group: str) -> None:
    problems = wrong(get_device("CPU"), list(GROUPS[group]()))
    assert not problems, f"{len(problems)} kernels\n" + "\n".join(problems[:40])


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_gcc_computes_the_same() -> None:
    root = Path(__file__).parent
    path = os.pathsep.join([str(root.parent), str(root), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, __file__, "gcc"], env={**os.environ, "CC": "gcc", "PYTHONPATH": path},
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]


if __name__ == "__main__":
    assert find_compiler().kind == sys.argv[1], find_compiler()
    found = [line for make in GROUPS.values() for line in wrong(get_device("CPU"), list(make()))]
    print("\n".join(found))
    sys.exit(bool(found))


def test_the_text_of_a_sum_does_not_depend_on_the_age_of_its_terms() -> None:
    for names in itertools.permutations(("a1", "b1", "c1")):
        made = {name: UOp.range(name, 0, 8) for name in names}
        a, b, c = (made[name] for name in ("a1", "b1", "c1"))
        assert CStyle([]).index(b * 4 - c + a + 1) == "a1 + b1 * 4 - c1 + 1"
        assert CStyle([]).index((b * 2).maximum(a) - c.maximum(a)) == "imax(a1, b1 * 2) + imin(-a1, -c1)"
        del made, a, b, c
