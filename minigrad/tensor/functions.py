"""Functions of single elements: powers, exponentials, trigonometry, rounding, activations.

Each is an op of its own or a few of them. Those of reals give the default float for integers. Where a formula would
overflow or lose digits in the middle of its range, it is written so that neither it nor its gradient does.
"""
from __future__ import annotations

import math
from typing import Any, Self

from ..dtype import dtypes
from ..shape import build
from ..uops import Ops
from .base import composed
from .elementwise import Elementwise


@composed
class Functions(Elementwise):
    """See the module."""

    __slots__ = ()

    # ---- powers

    def pow(self, other: Any, /) -> Self:
        """x to the power y. Integers to non-negative integers stay integers; negative floats to integers have their
        sign, to fractions NaN; x**0 is 1, also for NaN. Small whole exponents given as Python numbers are multiplied
        out.
        """
        if isinstance(other, (int, float)) and not isinstance(other, bool):
            return self._pow_constant(other)
        a, b = self._pair(other, "pow", bools=False)
        if not a.dtype.is_float:
            return a._pow_integers(b)
        zero = a.eq(0)  # kept out of the logarithm, for the gradient's sake
        finite = (a.abs().eq(1) & ~b.isfinite()).where(0.0, b)  # 1 to any power is 1
        base = (zero | (b.eq(0) & ~a.isfinite())).where(1.0, a.abs())
        size = base.log2().mul(finite).exp2()
        pole, root = zero & (b < 0), zero & (b > 0) & (b < 1)
        whole = b.eq(1).where(a, b.eq(0).where(1.0, b.isnan().where(b, 0.0)))
        size = pole.where(a._pole(pole), root.where(root.where(a, 1.0).sqrt(), zero.where(whole, size)))
        odd = (b * 0.5).trunc() * 2 != b
        fraction = a.eq(-math.inf).where(size, math.nan)
        return (a < 0).where((b.trunc() == b).where(odd.where(-size, size), fraction), size)

    def _pole(self, where: Any) -> Self:
        """1 / x² where x is 0 and a condition says so: infinite, and so is its gradient; 1 elsewhere."""
        return where.where(self, 1.0).reciprocal().square()  # type: ignore[no-any-return]

    def _pow_constant(self, exponent: Any) -> Self:
        if not self.dtype.is_float and (self.dtype.kind == "b" or isinstance(exponent, float)):
            return self.cast(self._dtype_with(exponent))._pow_constant(exponent)
        if isinstance(exponent, float) and exponent.is_integer() and abs(exponent) <= 64:
            exponent = int(exponent)
        if isinstance(exponent, int):
            if not self.dtype.is_float and exponent < 0:
                raise ValueError(f"pow: integers of {self.dtype!r} to the negative power {exponent}")
            if exponent < 0 and abs(exponent) <= 64:
                return self.reciprocal()._multiplied(-exponent)  # whose gradient at 0 is infinite
            if abs(exponent) <= 64 or not self.dtype.is_float:
                return self._multiplied(exponent)
        x = self
        if exponent == 0.5:
            return x.sqrt()
        if exponent == -0.5:
            return x.rsqrt()
        exponent = float(exponent)
        if not math.isfinite(exponent):
            return x.pow(x._operand(exponent, "pow"))
        zero = x.eq(0)
        size = zero.where(1.0, x if not exponent.is_integer() else x.abs()).log2().mul(exponent).exp2()  # NaN for x < 0
        if exponent.is_integer() and exponent % 2 == 1:
            size = (x < 0).where(-size, size)
        elif not exponent.is_integer():
            size = x.eq(-math.inf).where(math.inf if exponent > 0 else 0.0, size)
        edge = x._pole(zero) if exponent < 0 else zero.where(x, 1.0).sqrt() if exponent < 1 else 0.0
        return zero.where(edge, size)

    def _multiplied(self, times: Any) -> Self:
        """x * x * ... by repeated squaring."""
        result, square = None, self
        while times:
            if times & 1:
                result = square if result is None else result * square
            times >>= 1
            square = square * square if times else square
        if result is None:
            return (self.eq(0) | True).where(self._operand(1, "pow"), self)  # x's gradient is 0, not missing
        return self * 1 if result is self else result  # a tensor of its own

    def _pow_integers(self, exponent: Self) -> Self:
        """Repeated squaring over the bits of the exponent; negative exponents give 0, or ±1 for bases of ±1."""
        result = exponent.eq(exponent).cast(self.dtype)
        base = self
        for bit in range(exponent.dtype.itemsize * 8 - (exponent.dtype.kind == "i")):
            result = ((exponent >> bit) & 1).ne(0).where(result * base, result)
            base = base * base
        if exponent.dtype.kind == "i":
            unit = self.eq(1).where(1, self.eq(-1).where((exponent & 1).ne(0).where(-1, 1), 0)).cast(self.dtype)
            result = (exponent < 0).where(unit, result)
        return result

    __pow__ = pow

    def __rpow__(self, other: Any) -> Self:
        return self._operand(other, "pow").pow(self)

    def square(self) -> Self:
        """x²."""
        return self * self

    # ---- functions of reals: integers become the default float

    def log10(self) -> Self:
        """The logarithm to base 10: -inf of 0, NaN below."""
        return self.log() * (1 / math.log(10))

    def log1p(self) -> Self:
        """log(1 + x), exact for small x."""
        x = self if self.dtype.is_float else self.cast(dtypes.default_float)
        u = x + 1
        tiny, huge = u.eq(1), u.eq(math.inf)
        correction = (huge.where(1.0, x) / (tiny | huge).where(1.0, u - 1)).detach()  # for the rounding of u
        return tiny.where(x, u.log() * correction)

    def expm1(self) -> Self:
        """exp(x) - 1, exact for small x."""
        x = self if self.dtype.is_float else self.cast(dtypes.default_float)
        small = x.abs() < 1
        half = (small.where(x, 0.0) * 0.5).tanh()  # 2 tanh(x/2) / (1 - tanh(x/2))
        return small.where(2 * half / (1 - half), x.exp() - 1)

    def rsqrt(self) -> Self:
        """1 / sqrt(x): inf of 0, NaN below."""
        return self.sqrt().reciprocal()

    def tan(self) -> Self:
        """The tangent."""
        return self.sin() / self.cos()

    def sinh(self) -> Self:
        """(exp(x) - exp(-x)) / 2."""
        x = self if self.dtype.is_float else self.cast(dtypes.default_float)
        return (x.expm1() - (-x).expm1()) * 0.5

    def cosh(self) -> Self:
        """(exp(x) + exp(-x)) / 2."""
        x = self if self.dtype.is_float else self.cast(dtypes.default_float)
        return (x.exp() + (-x).exp()) * 0.5

    # ---- rounding: integers stay as they are

    def ceil(self) -> Self:
        """The nearest integer that is not below."""
        whole = self.trunc()
        return (self > whole).where(whole + 1, whole) if self.dtype.is_float else self

    def round(self) -> Self:
        """To the nearest integer, halves to even."""
        if not self.dtype.is_float:
            return self
        whole = self.trunc()
        rest = (self - whole).abs()  # exact; NaN for infinities
        odd = (whole * 0.5).trunc() * 2 != whole
        return ((rest > 0.5) | (rest.eq(0.5) & odd)).where(whole + (self < 0).where(-1.0, 1.0), whole)

    __round__ = round

    def frac(self) -> Self:
        """x - trunc(x)."""
        return self - self.trunc()

    def sign(self) -> Self:
        """-1, 0 or 1; NaN stays."""
        if self.dtype.kind in "ub":
            return self.ne(0).cast(self.dtype)
        one = (self < 0).where(-1, (self > 0).where(1, 0)).cast(self.dtype)
        return (self != self).where(self, one) if self.dtype.is_float else one

    # ---- NaN, infinity and nearness

    def isnan(self) -> Self:
        """Whether an element is NaN."""
        return self.ne(self) if self.dtype.is_float else self._everywhere(False)

    def isinf(self) -> Self:
        """Whether an element is infinite, of either sign."""
        return self.abs().eq(math.inf) if self.dtype.is_float else self._everywhere(False)

    def isfinite(self) -> Self:
        """Whether an element is neither NaN nor infinite."""
        return self.abs().lt(math.inf) if self.dtype.is_float else self._everywhere(True)

    def _everywhere(self, value: Any) -> Self:
        return self._wrap(build.full(dtypes.bool, value, self.shape), self.device)

    def isclose(self, other: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: Any = False) -> Self:
        """|x - y| <= atol + rtol |y|; infinities by equality."""
        y = self._operand(other, "isclose")
        near: Self = self.eq(y) | (self.isfinite() & y.isfinite() & ((self - y).abs() <= y.abs() * rtol + atol))
        return near.bitwise_or(self.isnan() & y.isnan()) if equal_nan else near

    def lerp(self, end: Any, weight: Any) -> Self:
        """x + (end - x) * weight."""
        return self.add((self._operand(end, "lerp") - self) * weight)

    # ---- activations

    def relu(self) -> Self:
        """max(x, 0); NaN stays, the gradient at 0 is 0."""
        return self._binary(Ops.MAX, 0)

    def sigmoid(self) -> Self:
        """1 / (1 + exp(-x)), written so that neither it nor its gradient overflows."""
        x = self if self.dtype.is_float else self.cast(dtypes.default_float)
        negative = x < 0
        small = negative.where(x, -x).exp()
        return negative.where(small, 1.0) / (small + 1)

    def silu(self) -> Self:
        """x * sigmoid(x)."""
        return self * self.sigmoid()

    swish = silu

    def gelu(self, approximate: str = "none") -> Self:
        """x * P(X <= x) for a normal X; approximate="tanh" is the approximation of the paper."""
        half, scale = 0.5 * self, math.sqrt(2 / math.pi)
        if approximate == "tanh":
            return half + half * (self * (scale + scale * 0.044715 * (self * self))).tanh()
        if approximate != "none":
            raise ValueError(f"gelu: approximate {approximate!r} is none of 'none', 'tanh'")
        return half + half * (self * math.sqrt(0.5)).erf()

    def quick_gelu(self) -> Self:
        """x * sigmoid(1.702 x)."""
        return self * (self * 1.702).sigmoid()

    def leaky_relu(self, negative_slope: Any = 0.01) -> Self:
        """x, times `negative_slope` where it is not positive."""
        return (self > 0).where(self, self * negative_slope)

    def elu(self, alpha: Any = 1.0) -> Self:
        """x where positive, else alpha (exp(x) - 1)."""
        return (self > 0).where(self, (self > 0).where(0.0, self).expm1() * alpha)

    def softplus(self, beta: Any = 1.0) -> Self:
        """log(1 + exp(beta x)) / beta."""
        x = self * beta
        positive = x > 0
        result: Self = positive.where(x, 0.0) + positive.where(-x, x).exp().log1p()
        return result.div(beta)

    def mish(self) -> Self:
        """x * tanh(softplus(x))."""
        return self * self.softplus().tanh()

    def relu6(self) -> Self:
        """Into [0, 6]; no gradient at the ends."""
        return self.hardtanh(0, 6)

    def hardtanh(self, min_val: Any = -1, max_val: Any = 1) -> Self:
        """Into [min_val, max_val]; no gradient at the ends, where `clip` has one."""
        return self.maximum(min_val).minimum(max_val)

    def hardswish(self) -> Self:
        """x * relu6(x + 3) / 6."""
        return self * (self + 3).relu6() * (1 / 6)

    def hardsigmoid(self) -> Self:
        """relu6(x + 3) / 6."""
        return (self + 3).relu6() * (1 / 6)

    def softsign(self) -> Self:
        """x / (1 + |x|)."""
        return self / (self.abs() + 1)

    def logsigmoid(self) -> Self:
        """log(sigmoid(x)), without overflow."""
        return -(self * -1.0).softplus()


__all__ = ["Functions"]
