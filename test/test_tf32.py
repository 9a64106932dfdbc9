"""tf32: how it rounds, on every device that computes, and that only products that ask for it are rounded."""
from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from minigrad import Context, Tensor, TinyJit
from minigrad.dtype import round_tf32

DEVICES = pytest.mark.parametrize("device", ["NUMPY", "CPU", "CUDA_EMULATED"])
RNG = np.random.default_rng(0)


def nearest(x: float) -> float:
    """By the definition: the nearest of the numbers with 11 significant bits, the one farther from zero of two."""
    if x == 0 or not np.isfinite(x):
        return x
    exact = Fraction(abs(x))
    exponent = max(int(np.floor(np.log2(abs(x)))), -126)
    unit = Fraction(2) ** (exponent - 10)
    return float((2 * exact + unit) // (2 * unit) * unit) * (1 if x > 0 else -1)


def test_it_rounds_to_nearest_and_ties_away_from_zero() -> None:
    values = [s * (1 + k / 8192) for k in range(64) for s in (-1, 1)]
    x = np.array([*values, 0.0, 1e-40, 3.4e38, 1e-38, 65504.1, *RNG.standard_normal(1000)], np.float32)
    with np.errstate(over="ignore"):
        expected = np.array([nearest(float(v)) for v in x], np.float32)
    np.testing.assert_array_equal(round_tf32(x), expected)
    assert round_tf32(np.float32(1 + 1 / 2048)) == np.float32(1 + 1 / 1024)     # a tie


@DEVICES
def test_every_device_rounds_alike(device: str) -> None:
    bits = RNG.integers(0, 1 << 32, 5003, dtype=np.uint32)
    bits[:8] = [0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7FFFFFFF, 0x7F7FFFFF, 0x00001000]
    x = bits.view(np.float32)
    with Context(DEV=device), np.errstate(all="ignore"):
        got = Tensor(x).tf32().numpy()
        np.testing.assert_array_equal(got, round_tf32(x))
        assert not (got[np.isfinite(got)].view(np.uint32) & 0x1FFF).any()


@DEVICES
def test_products_are_rounded_where_asked_and_only_there(device: str) -> None:
    a, b = (RNG.standard_normal(shape).astype(np.float32) for shape in ((5, 40), (40, 7)))
    exact = a.astype(np.float64) @ b
    rounded = round_tf32(a).astype(np.float64) @ round_tf32(b)
    with Context(DEV=device):
        np.testing.assert_allclose((Tensor(a) @ Tensor(b)).numpy(), exact, atol=1e-5)
        with Context(ALLOW_TF32=1):
            np.testing.assert_allclose((Tensor(a) @ Tensor(b)).numpy(), rounded, atol=1e-5)
            np.testing.assert_allclose((Tensor(a) * 3).numpy(), a * 3)
            half = (Tensor(a).half() @ Tensor(b).half()).numpy()
        np.testing.assert_array_equal(half, (Tensor(a).half() @ Tensor(b).half()).numpy())
        np.testing.assert_allclose((Tensor(a).tf32() @ Tensor(b).tf32()).numpy(), rounded, atol=1e-5)
    assert 1e-4 < np.abs(exact - rounded).max() < 1e-2


def test_gradients_are_products_of_rounded_numbers() -> None:
    a, b, g = (RNG.standard_normal(shape).astype(np.float32) for shape in ((5, 40), (40, 7), (5, 7)))
    x, w = Tensor(a, requires_grad=True), Tensor(b, requires_grad=True)
    with Context(ALLOW_TF32=1):
        ((x @ w) * Tensor(g)).sum().backward()
    a, b, g = (round_tf32(v).astype(np.float64) for v in (a, b, g))
    np.testing.assert_allclose(x.grad.numpy(), g @ b.T, atol=1e-5)
    np.testing.assert_allclose(w.grad.numpy(), a.T @ g, atol=1e-5)


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(TypeError, match="tf32: .*float64 is not float32"):
        Tensor(np.zeros(3)).tf32()


def test_a_jitted_function_is_recorded_anew_when_it_changes() -> None:
    a = RNG.standard_normal((8, 8)).astype(np.float32)
    step = TinyJit(lambda x: (x @ x).realize())
    for allow in (0, 0, 0, 1, 1, 1, 0):
        with Context(ALLOW_TF32=allow):
            operand = round_tf32(a) if allow else a
            np.testing.assert_allclose(step(Tensor(a)).numpy(), operand.astype(np.float64) @ operand, atol=1e-5)
