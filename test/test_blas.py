"""minigrad.blas against numpy: transposes, leading dimensions, increments, factors, and what is refused."""
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from extra.benchmarks import blas_ladder
from minigrad import GlobalCounters, blas
from minigrad.blas import axpy, dot, gemm, gemv
from minigrad.codegen.pipeline import lower_kernel
from minigrad.runtime.device import default_device
from minigrad.target import host_target

Array = np.ndarray[Any, Any]


def numbers(seed: int, *shape: int, dtype: Any = np.float32) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def close(found: Array, expected: Array) -> None:
    tolerance = 1e-12 if found.dtype == np.float64 else 2e-5
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transa, transb, alpha, beta", [
    ("N", "N", 1, 0), ("n", "T", 2.5, 0), ("T", "N", 1, 1), ("C", "t", 0.5, -2), ("N", "N", 0, 3), ("N", "N", 0, 0)])
def test_gemm_inside_of_larger_matrices(dtype: Any, transa: str, transb: str, alpha: float, beta: float) -> None:
    m, n, k = 7, 9, 5
    a, b, c = (numbers(seed, 12, 20 + seed, dtype=dtype) for seed in range(3))
    left = a[2:2 + k, 3:3 + m].T if transa in "TC" else a[2:2 + m, 3:3 + k]
    right = b[1:1 + n, 4:4 + k].T if transb in "Tt" else b[1:1 + k, 4:4 + n]
    expected = c.copy()
    expected[3:3 + m, 5:5 + n] = alpha * (left @ right) + beta * c[3:3 + m, 5:5 + n]
    gemm(transa, transb, m, n, k, alpha, a[2:, 3:], 20, b[1:, 4:], 21, beta, c[3:, 5:], 22)
    close(c, expected)      # what lies around is as it was


def test_what_has_a_factor_of_zero_is_not_read() -> None:
    nothing, c = np.full((4, 4), np.nan, np.float32), np.full((4, 4), np.nan, np.float32)
    gemm("N", "N", 4, 4, 4, 1.0, np.eye(4, dtype=np.float32), 4, np.ones((4, 4), np.float32), 4, 0.0, c, 4)
    assert (c == 1).all()
    gemm("N", "N", 4, 4, 4, 0.0, nothing, 4, nothing, 4, 2.0, c, 4)
    assert (c == 2).all()


@pytest.mark.parametrize("trans", ["N", "T"])
@pytest.mark.parametrize("incx, incy", [(1, 1), (-2, 3), (2, -1)])
def test_gemv_with_increments(trans: str, incx: int, incy: int) -> None:
    m, n = 13, 6
    a = numbers(0, m, n + 2)
    inner, outer = (m, n) if trans == "T" else (n, m)
    x, y = numbers(1, inner * abs(incx)), numbers(2, outer * abs(incy))
    taken = x[:(inner - 1) * abs(incx) + 1][::incx]
    expected = y.copy()
    place = expected[:(outer - 1) * abs(incy) + 1][::incy]
    place[:] = 0.5 * ((a[:, :n].T if trans == "T" else a[:, :n]) @ taken) - 2 * place
    gemv(trans, m, n, 0.5, a, n + 2, x, incx, -2.0, y, incy)
    close(y, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("incx, incy", [(1, 1), (2, -1), (-3, -2)])
def test_axpy_and_dot_with_increments(dtype: Any, incx: int, incy: int) -> None:
    n = 50
    x, y = numbers(0, n * abs(incx), dtype=dtype), numbers(1, n * abs(incy), dtype=dtype)
    taken, expected = x[:(n - 1) * abs(incx) + 1][::incx], y.copy()
    place = expected[:(n - 1) * abs(incy) + 1][::incy]
    close(np.array(dot(n, x, incx, y, incy), dtype), np.dot(taken, place))
    place += 1.5 * taken
    axpy(n, 1.5, x, incx, y, incy)
    close(y, expected)


def test_sizes_of_zero() -> None:
    x, y = numbers(0, 4), numbers(1, 4)
    before = y.copy()
    axpy(0, 2.0, x, 1, y, 1)
    gemv("N", 0, 4, 1.0, x, 4, x, 1, 0.0, y, 1)
    gemm("N", "N", 2, 0, 2, 1.0, x, 2, x, 2, 0.0, y, 2)
    assert np.array_equal(y, before) and dot(0, x, 1, y, 1) == 0.0
    gemm("N", "N", 2, 2, 0, 1.0, x, 1, x, 2, 3.0, y, 2)
    close(y, 3 * before)
    gemv("T", 0, 4, 1.0, x, 4, x, 1, 0.0, y, 1)
    assert (y == 0).all()


def test_a_second_call_builds_nothing_and_sees_the_new_operands() -> None:
    a, b, c = numbers(0, 8, 8), numbers(1, 8, 8), numbers(2, 8, 8)
    gemm("N", "N", 8, 8, 8, 2.0, a, 8, b, 8, 0.0, c, 8)
    GlobalCounters.reset()
    other, result = numbers(3, 8, 8), np.empty((8, 8), np.float32)
    gemm("N", "N", 8, 8, 8, 3.0, other, 8, b, 8, 0.0, result, 8)
    assert GlobalCounters.schedules == GlobalCounters.compiled == 0
    close(result, 3 * (other @ b))
    close(c, 2 * (a @ b))


def test_operands_are_not_copied() -> None:
    a, b, c = numbers(0, 9, 30), numbers(1, 9, 40), numbers(2, 9, 50)
    gemm("N", "T", 9, 9, 17, 1.0, a, 30, b, 40, 0.0, c, 50)
    (_, buffers), = next(reversed(blas._routines.values())).launches or ()
    assert {buffer.ptr for buffer in buffers} == {array.ctypes.data for array in (a, b, c)}


X, Y = np.ones(6, np.float32), np.ones(6, np.float32)
FROZEN = np.ones(6, np.float32)
FROZEN.flags.writeable = False
WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda: axpy(7, 1.0, X, 1, Y, 1), ValueError, r"axpy: array 0 of shape \(6,\) holds 6 elements, 7 are needed"),
    (lambda: axpy(4, 1.0, X, 2, Y, 1), ValueError, "axpy: array 0 .* holds 6 elements, 7 are needed"),
    (lambda: axpy(3, 1.0, X, 0, Y, 1), ValueError, "axpy: incx is 0"),
    (lambda: axpy(-1, 1.0, X, 1, Y, 1), ValueError, "axpy: n is -1"),
    (lambda: axpy(6, 1.0, Y, 1, Y, 1), ValueError, "shares memory"),
    (lambda: axpy(3, 1.0, Y[2:], 1, Y, 1), ValueError, "shares memory"),
    (lambda: axpy(6, 1.0, X, 1, FROZEN, 1), ValueError, "read-only"),
    (lambda: axpy(6, 1.0, X.astype(np.float64), 1, Y, 1), TypeError, "array 0 has dtype float64, the last float32"),
    (lambda: dot(6, X.astype(int), 1, Y.astype(int), 1), TypeError, "array 0 has dtype int64"),
    (lambda: dot(6, X.astype(">f4"), 1, Y.astype(">f4"), 1), TypeError, "array 0 has dtype >f4"),
    (lambda: dot(6, [1.0], 1, Y, 1), TypeError, "dot: operand 0 is a list"),  # type: ignore[arg-type]
    (lambda: dot(3, X[::-1], 1, Y, 1), ValueError, r"array 0 has strides of \(-4,\) bytes"),
    (lambda: gemv("X", 2, 3, 1.0, X, 3, X, 1, 0.0, Y, 1), ValueError, "gemv: trans is 'X', expected 'N', 'T' or 'C'"),
    (lambda: gemv("N", 2, 3, 1.0, X, 2, X, 1, 0.0, Y, 1), ValueError, "gemv: lda is 2, expected at least 3"),
    (lambda: gemm("N", "N", 2, 2, 3, 1.0, X, 3, X, 1, 0.0, Y, 2), ValueError, "gemm: ldb is 1, expected at least 2"),
    (lambda: gemm("N", "N", 2, 2, 3, 1.0, X, 4, X, 2, 0.0, Y, 2), ValueError, "gemm: array 0 .* 6 .*, 7 are needed"),
    (lambda: gemm("N", "N", 2, 2.5, 3, 1.0, X, 3, X, 2, 0.0, Y, 2), ValueError, "gemm: n is 2.5"),  # type: ignore
]


@pytest.mark.parametrize("call, error, message", WRONG)
def test_arguments_that_do_not_fit_are_refused(call: Any, error: type[Exception], message: str) -> None:
    for _ in range(2):      # a refused call leaves nothing behind that a second one would take
        with pytest.raises(error, match=message):
            call()
    assert (X == 1).all() and (Y == 1).all()


@pytest.mark.skipif(default_device() != "CPU", reason="the ladder is the CPU's")
def test_every_rung_of_the_ladder_computes_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas_ladder, "SECONDS", 0.0)
    monkeypatch.setattr(blas_ladder, "PYTHON_SIZE", 8)
    rows = blas_ladder.table(192).rows      # compares each rung with numpy
    assert [row[0] for row in rows[1:-2]] == [name for name, _, _ in blas_ladder.rungs(host_target())]


def test_the_rungs_fit_narrow_vectors() -> None:
    target = replace(host_target(), vector_bytes=32, registers=16)
    for _, opts, _ in blas_ladder.rungs(target):
        assert list(lower_kernel(blas_ladder.product_ast(96), target, opts).opts) == opts
