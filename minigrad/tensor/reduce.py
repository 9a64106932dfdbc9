"""Reductions: sums, products, extremes, statistics, softmax and cumulative sums.

`axis` is None (all axes), an axis or several; `keepdim` keeps them with size 1. Of nothing, a sum is 0, a product 1,
a mean NaN, and a maximum a ValueError. Sums of float16 and bfloat16 accumulate in float32; sums of small
integers and bools are int32 (uint32 for unsigned).
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

from ..dtype import DType, dtypes, promote, to_dtype
from ..helpers import prod
from ..shape import build
from ..uops import Ops, UOp
from .base import composed
from .functions import Functions

Axes = int | Sequence[int] | None
NAMES = {Ops.ADD: "sum", Ops.MUL: "prod", Ops.MAX: "max"}  # in messages
BLOCK = 32  # elements that a cumulative sum adds up by one triangle


@composed
class Reduce(Functions):
    """See the module."""

    __slots__ = ()

    def _reduce(self, op: Ops, axis: Axes, keepdim: Any) -> Self:
        axes = self._axes(axis, NAMES[op])
        node = build.reduce(op, self._node, axes)
        if not keepdim and axes:
            node = build.reshape(node, [n for a, n in enumerate(self.shape) if a not in axes])
        return self._result(node)

    def _summed_dtype(self) -> DType:
        if self.dtype.kind == "u":
            return promote(self.dtype, dtypes.uint32)
        return self.dtype if self.dtype.is_float else promote(self.dtype, dtypes.int32)

    def sum(self, axis: Axes = None, keepdim: Any = False, dtype: Any = None) -> Self:
        """The sum over axes. `dtype` says in which dtype."""
        target = self._summed_dtype() if dtype is None else to_dtype(dtype)
        return self.cast(target)._reduce(Ops.ADD, axis, keepdim)

    def prod(self, axis: Axes = None, keepdim: Any = False, dtype: Any = None) -> Self:
        """The product over axes."""
        target = self._summed_dtype() if dtype is None else to_dtype(dtype)
        return self.cast(target)._reduce(Ops.MUL, axis, keepdim)

    def max(self, axis: Axes = None, keepdim: Any = False) -> Self:
        """The largest element; NaN if there is one. ValueError if there are no elements to choose from."""
        self._require_elements(axis, "max")
        return self._reduce(Ops.MAX, axis, keepdim)

    def _require_elements(self, axis: Axes, what: str) -> None:
        axes = self._axes(axis, what)
        if any(self.shape[a] == 0 for a in axes) and all(n != 0 for a, n in enumerate(self.shape) if a not in axes):
            raise ValueError(f"{what}: shape {self.shape} has no elements along {axes}")

    def min(self, axis: Axes = None, keepdim: Any = False) -> Self:
        """The smallest element; NaN if there is one. ValueError if there are no elements to choose from."""
        self._require_elements(axis, "min")
        return self._reversed_order().max(axis, keepdim)._reversed_order()

    amax, amin = max, min

    def any(self, axis: Axes = None, keepdim: Any = False) -> Self:
        """True if an element is not 0."""
        return self.cast(dtypes.bool)._reduce(Ops.MAX, axis, keepdim)

    def all(self, axis: Axes = None, keepdim: Any = False) -> Self:
        """True if no element is 0."""
        return self.cast(dtypes.bool)._reduce(Ops.MUL, axis, keepdim)

    def mean(self, axis: Axes = None, keepdim: Any = False) -> Self:
        """The average; integers give the default float. float16 and bfloat16 are summed in float32 and rounded once."""
        x = self if self.dtype.is_float else self.cast(dtypes.default_float)
        wide = dtypes.float32 if x.dtype.itemsize < 4 else x.dtype
        total = x.cast(wide).sum(axis, keepdim)
        return total.div(self._count(axis)).cast(x.dtype)

    def _count(self, axis: Axes) -> Any:
        """How many elements a reduce over axes takes."""
        n = prod(self.shape[a] for a in self._axes(axis, "mean"))
        return n if isinstance(n, UOp) else float(n)

    def var(self, axis: Axes = None, keepdim: Any = False, correction: Any = 1) -> Self:
        """The mean squared distance from the mean, divided by n - correction (NaN or inf where that is not positive).
        """
        x = self if self.dtype.is_float else self.cast(dtypes.default_float)
        wide = dtypes.float32 if x.dtype.itemsize < 4 else x.dtype
        x = x.cast(wide)
        centred = x - x.mean(axis, keepdim=True)
        n = self._count(axis)
        divisor = max(n - correction, 0.0) if isinstance(n, float) else n - correction
        total = (centred * centred).sum(axis, keepdim).div(divisor)
        return total.cast(self.dtype) if self.dtype.is_float else total

    def std(self, axis: Axes = None, keepdim: Any = False, correction: Any = 1) -> Self:
        """The square root of `var`; of equal elements the gradient is 0."""
        return self.var(axis, keepdim, correction)._root()

    def _root(self, p: float = 2.0) -> Self:
        """The p-th root of a sum of powers: of 0 it has no derivative, and its gradient is 0."""
        zero = self.eq(0)
        return zero.where(0.0, zero.where(1.0, self).pow(1 / p))

    def var_mean(self, axis: Axes = None, keepdim: Any = False, correction: Any = 1) -> tuple[Self, Self]:
        """`var` and `mean`."""
        return self.var(axis, keepdim, correction), self.mean(axis, keepdim)

    def std_mean(self, axis: Axes = None, keepdim: Any = False, correction: Any = 1) -> tuple[Self, Self]:
        """`std` and `mean`."""
        return self.std(axis, keepdim, correction), self.mean(axis, keepdim)

    # ---- positions

    def argmax(self, axis: int | None = None, keepdim: Any = False) -> Self:
        """The first position of the largest element (of the first NaN if there is one), int32. ValueError if there is
        none.
        """
        x = self if axis is not None else self.flatten()
        if axis is None and keepdim:
            return x.argmax(0).reshape([1] * self.ndim)
        a = x._axis(0 if axis is None else axis, "argmax")
        if not x.ndim:
            x = x.reshape(1)
        n = x.shape[a]
        if isinstance(n, int) and n == 0:
            raise ValueError(f"argmax: axis {a} of shape {x.shape} has no elements")
        best = x.eq(x.max(a, keepdim=True))
        if x.dtype.is_float:
            best = best | x.isnan()
        # counted from the end, so that the first one is the largest
        counter = x._counter(n, a, x.ndim)
        last = counter._operand(n, "argmax")
        found = (best.cast(dtypes.int32) * (last - counter)).max(a, keepdim=True)
        result = last - found
        return result if keepdim and self.ndim else result.squeeze(a)

    def argmin(self, axis: int | None = None, keepdim: Any = False) -> Self:
        """The first position of the smallest element (of the first NaN if there is one), int32."""
        return self._reversed_order().argmax(axis, keepdim)

    # ---- exponentials

    def softmax(self, axis: int = -1, dtype: Any = None) -> Self:
        """exp(x) / sum(exp(x)) along an axis, shifted by the maximum so that nothing overflows."""
        x = self._float(dtype)
        e = x._shifted(axis).exp()
        return e * e.sum(axis, keepdim=True).reciprocal()  # one division per row, not one per element

    def _masked_softmax(self) -> Self:
        """softmax along the last axis; a row of -inf alone gives 0, and so is its gradient."""
        largest = self._reduce(Ops.MAX, -1, keepdim=True).detach()
        empty = largest.eq(-math.inf)
        e = (self - empty.where(0.0, largest)).exp()
        return e * empty.where(1.0, e.sum(-1, keepdim=True)).reciprocal()

    def log_softmax(self, axis: int = -1, dtype: Any = None) -> Self:
        """log(softmax(x)), without leaving the logarithms."""
        shifted = self._float(dtype)._shifted(axis)
        return shifted - shifted.exp().sum(axis, keepdim=True).log()

    def _float(self, dtype: Any = None) -> Self:
        if dtype is not None:
            return self.cast(to_dtype(dtype))
        return self if self.dtype.is_float else self.cast(dtypes.default_float)

    def _shifted(self, axis: Axes) -> Self:
        """x minus its maximum; the maximum cancels out of what follows, so no gradient flows through it."""
        return self - self._reduce(Ops.MAX, axis, keepdim=True).detach()

    def logsumexp(self, axis: Axes = None, keepdim: Any = False) -> Self:
        """log(sum(exp(x))); -inf of nothing."""
        x = self._float()
        largest = x._reduce(Ops.MAX, axis, keepdim=True).detach()
        largest = largest.abs().eq(math.inf).where(0.0, largest)
        result = (x - largest).exp().sum(axis, keepdim=True).log() + largest
        axes = self._axes(axis, "logsumexp")
        return result if keepdim else result.reshape([n for a, n in enumerate(self.shape) if a not in axes])

    # ---- cumulative

    def cumsum(self, axis: int = 0) -> Self:
        """Running sums along an axis."""
        return self.cast(self._summed_dtype())._cumulative(Ops.ADD, axis, "cumsum")

    def cumprod(self, axis: int = 0) -> Self:
        """Running products along an axis."""
        return self.cast(self._summed_dtype())._cumulative(Ops.MUL, axis, "cumprod")

    def cummax(self, axis: int = 0) -> Self:
        """Running maxima along an axis."""
        return self._cumulative(Ops.MAX, axis, "cummax")

    def _cumulative(self, op: Ops, axis: int, what: str) -> Self:
        a = self._axis(axis, what)
        if not self.ndim or (isinstance(self.shape[a], int) and self.shape[a] <= 1):
            return self
        return self._cumulative_along(op, a)

    def _cumulative_along(self, op: Ops, a: int) -> Self:
        """Blocks along an axis, each by a triangle; then the totals of the blocks before, by the same again."""
        n, lead, rest = self.shape[a], self.shape[:a], self.shape[a + 1 :]
        if n <= BLOCK:
            return self._triangle(op, a)
        blocks = -(-n // BLOCK)
        neutral = self._neutral(op)

        def at(*bounds: Any) -> list[Any]:
            return [*(None for _ in lead), *bounds, *(None for _ in rest)]

        x = self.pad(at((0, blocks * BLOCK - n)), value=neutral).reshape(*lead, blocks, BLOCK, *rest)
        inside = x._triangle(op, a + 1)
        totals = inside.shrink(at(None, (BLOCK - 1, BLOCK))).reshape(*lead, blocks, *rest)
        before = totals._cumulative_along(op, a).shrink(at((0, blocks - 1)))
        before = before.pad(at((1, 0)), value=neutral).reshape(*lead, blocks, 1, *rest)
        return inside._binary(op, before).reshape(*lead, blocks * BLOCK, *rest).shrink(at((0, n)))

    def _neutral(self, op: Ops) -> Any:
        return 0 if op is Ops.ADD else 1 if op is Ops.MUL else self.dtype.min

    def _triangle(self, op: Ops, a: int) -> Self:
        """out[..., i, ...] = op over j <= i of x[..., j, ...] along axis a, all at once."""
        n, ndim = self.shape[a], self.ndim - a + 1
        mask = self._counter(n, 0, ndim) < self._counter(n, 1, ndim)
        return mask.where(self._neutral(op), self.unsqueeze(a))._reduce(op, a + 1, False)


__all__ = ["Reduce"]
