"""Elementwise ops: arithmetic, comparison, logic, bits, and the functions made of them.

Operands broadcast as in numpy. Dtypes promote (`dtype.promote`), and Python scalars are weak: they take the tensor's
dtype, or the default float where a float meets an integer tensor, or the default int where an int meets bools. A
division of integers by `/` and functions like `exp` give the default float for integers. See docs/ops.md for NaN,
infinities and integer division.
"""
from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from ..dtype import DType, dtypes, promote, to_dtype
from ..shape import broadcast_shapes, build
from ..uops import Ops, UOp
from .base import one_op
from .movement import Movement


def fitting(value: Any, dtype: DType, what: str) -> Any:
    """A number for a tensor of a dtype. ValueError for an integer that the dtype does not hold."""
    if isinstance(value, int) and dtype.is_int and not dtype.min <= value <= dtype.max:
        raise ValueError(f"{what}: {value} does not fit {dtype!r}")
    return value


class Elementwise(Movement):
    """See the module."""

    __slots__ = ()
    __array_ufunc__ = None  # numpy leaves `array + tensor` to the tensor

    # ---- dtypes

    def cast(self, dtype: Any) -> Self:
        """The values in another dtype. Floats become integers by truncation: NaN 0, values out of range the nearest
        end.
        """
        target = to_dtype(dtype)
        return self if target is self.dtype else self._result(build.cast(self._node, target))

    def bitcast(self, dtype: Any) -> Self:
        """The bits read as another dtype of equal size. ValueError for other sizes, and for bool."""
        target = to_dtype(dtype)
        if target is self.dtype:
            return self
        if target.itemsize != self.dtype.itemsize or dtypes.bool in (target, self.dtype):
            raise ValueError(f"bitcast: {self.dtype!r} has {self.dtype.itemsize} bytes, {target!r} has "
                             f"{target.itemsize}; bool has no bits to give")
        return self._result(UOp(Ops.BITCAST, target, (self._node,)))

    def half(self) -> Self:
        """As float16."""
        return self.cast(dtypes.float16)

    def bfloat16(self) -> Self:
        """As bfloat16."""
        return self.cast(dtypes.bfloat16)

    def float(self) -> Self:
        """As float32."""
        return self.cast(dtypes.float32)

    def double(self) -> Self:
        """As float64."""
        return self.cast(dtypes.float64)

    def int(self) -> Self:
        """As int32."""
        return self.cast(dtypes.int32)

    def long(self) -> Self:
        """As int64."""
        return self.cast(dtypes.int64)

    def bool(self) -> Self:
        """As bool: x != 0."""
        return self.cast(dtypes.bool)

    def is_floating_point(self) -> Any:
        """Whether the dtype is a float."""
        return self.dtype.is_float

    def element_size(self) -> Any:
        """Bytes of an element."""
        return self.dtype.itemsize

    # ---- operands

    def _operand(self, other: Any, what: str) -> Self:
        """`other` as a tensor: Python scalars in the dtype that they take beside self."""
        if isinstance(other, Elementwise):
            return other  # type: ignore[return-value]
        if isinstance(other, (bool, int, float, np.bool_)):
            dtype = self._dtype_with(other)
            return self._wrap(UOp.const(dtype, fitting(other, dtype, what)), self.device)
        if isinstance(other, UOp) and other.dtype is dtypes.index:
            dtype = self.dtype if self.dtype.kind != "b" else dtypes.default_int
            return self._wrap(UOp(Ops.CAST, dtype, (other,)), self.device)
        if isinstance(other, (np.ndarray, np.generic)):
            return self._of_numpy(np.asarray(other), self.device)
        raise TypeError(f"{what}: a tensor and {other!r} of type {type(other).__name__}")

    @classmethod
    def _of_numpy(cls, array: np.ndarray[Any, Any], device: Any) -> Self:
        """Defined where tensors are made."""
        raise NotImplementedError

    def _dtype_with(self, scalar: Any) -> DType:
        """The dtype that a Python scalar takes beside self."""
        dtype = self.dtype
        if dtype.is_float or isinstance(scalar, (bool, np.bool_)):
            return dtype
        if isinstance(scalar, int):
            return dtype if dtype.kind != "b" else dtypes.default_int
        return dtypes.default_float

    def _common(self, *others: Any) -> list[Self]:
        """Self and others in their common dtype."""
        tensors = [self, *[self._operand(o, "cat") for o in others]]
        dtype = promote(*[t.dtype for t in tensors])
        return [t.cast(dtype) for t in tensors]

    def _pair(self, other: Any, what: str, bools: Any = True) -> tuple[Self, Self]:
        """Self and other in their common dtype; without `bools`, two of them become integers."""
        y = self._operand(other, what)
        dtype = promote(self.dtype, y.dtype)
        if dtype is dtypes.bool and not bools:
            dtype = dtypes.default_int
        return self.cast(dtype), y.cast(dtype)

    def _binary(self, op: Ops, other: Any) -> Self:
        """op(self, other) in the common dtype and shape."""
        a = self._node
        kind = type(other)
        if kind is float or kind is int:  # the usual case, without a tensor for the number
            dtype = a.dtype
            if dtype.kind == "f" or (kind is int and dtype.kind != "b" and dtype.min <= other <= dtype.max):
                return self._result(build.elementwise(op, a, UOp.const(dtype, other)))
        y = self._operand(other, op.name)
        b = y._node
        if a.dtype is not b.dtype:
            dtype = promote(a.dtype, b.dtype)
            a, b = build.cast(a, dtype), build.cast(b, dtype)
        if a.shape != b.shape and b.op is not Ops.CONST and a.op is not Ops.CONST:
            shape = broadcast_shapes(a.shape, b.shape, op=op.name)
            a, b = build.stretch(a, shape), build.stretch(b, shape)
        return self._result(build.elementwise(op, a, b), y)

    def _unary(self, op: Ops) -> Self:
        """A function of floats: integers become the default float first."""
        node = self._node
        if not node.dtype.is_float:
            node = build.cast(node, dtypes.default_float)
        return self._result(build.elementwise(op, node))

    def _check(self, kinds: str, what: str) -> None:
        if self.dtype.kind not in kinds:
            names = {"f": "floats", "i": "integers", "u": "integers", "b": "bools"}
            expected = " or ".join(dict.fromkeys(names[k] for k in kinds))
            raise TypeError(f"{what}: takes {expected}, got {self.dtype!r} of shape {self.shape}")

    # ---- arithmetic

    def add(self, other: Any, /) -> Self:
        """The sum; integers wrap, bools are or'ed."""
        return self._binary(Ops.OR if self._both_bool(other) else Ops.ADD, other)

    @one_op
    def sub(self, other: Any, /) -> Self:
        """Difference. TypeError for two bools, as numpy and torch."""
        if self._both_bool(other):
            raise TypeError("sub: bools have no difference; use ^ or logical_xor")
        a, b = self._pair(other, "sub")
        return a._binary(Ops.ADD, b.neg())

    def mul(self, other: Any, /) -> Self:
        """The product; integers wrap, bools are and'ed."""
        return self._binary(Ops.AND if self._both_bool(other) else Ops.MUL, other)

    def _both_bool(self, other: Any) -> Any:
        return self.dtype is dtypes.bool and (isinstance(other, bool) or getattr(other, "dtype", None) is dtypes.bool)

    @one_op
    def div(self, other: Any, rounding_mode: str | None = None) -> Self:
        """True division, floats from integers; rounding_mode "floor" or "trunc" rounds and keeps integers."""
        a, b = (self if rounding_mode else self._beside(other))._pair(other, "div")
        if rounding_mode == "floor":
            return a.floordiv(b)
        if rounding_mode == "trunc":
            if a.dtype.is_float:
                return a.div(b).trunc()
            q = a.floordiv(b)  # towards zero: one more where the signs differ and something is left
            return q + ((q * b != a) & ((a < 0) ^ (b < 0))).cast(q.dtype) * b.ne(0).cast(q.dtype)
        if rounding_mode is not None:
            raise ValueError(f"div: rounding_mode {rounding_mode!r} is none of None, 'floor', 'trunc'")
        dtype = a.dtype if a.dtype.is_float else dtypes.default_float
        return a.cast(dtype)._binary(Ops.FDIV, b.cast(dtype))

    def _beside(self, other: Any) -> Self:
        """Self, as a float where a plain number divides an integer: the number need not fit the integer's dtype."""
        plain = isinstance(other, (int, float)) and not self.dtype.is_float
        return self.cast(dtypes.default_float) if plain else self

    @one_op
    def floordiv(self, other: Any, /) -> Self:
        """The quotient rounded down. Integers divided by zero give 0, infinity by a number NaN."""
        a, b = self._pair(other, "floordiv", bools=False)
        if not a.dtype.is_float:
            return a._binary(Ops.IDIV, b)
        quotient = a.div(b).floor()
        below = quotient.eq(0) & a.ne(0) & (a < 0).ne(b < 0)  # between -1 and 0, rounded to -0.0 by the division
        return (a.abs().eq(math.inf) & b.ne(0)).where(math.nan, below.where(-1.0, quotient))

    @one_op
    def mod(self, other: Any, /) -> Self:
        """The remainder with the divisor's sign. Integers modulo zero give 0."""
        a, b = self._pair(other, "mod", bools=False)
        if not a.dtype.is_float:
            return a._binary(Ops.MOD, b)
        rest = a.fmod(b)
        return (rest.ne(0) & (rest < 0).ne(b < 0)).where(rest + b, rest)

    @one_op
    def fmod(self, other: Any) -> Self:
        """The remainder with the dividend's sign."""
        y = self._operand(other, "fmod")
        if not promote(self.dtype, y.dtype).is_float:
            return self - self.div(y, rounding_mode="trunc") * y
        whole = (self / y).trunc()
        rest = whole.eq(0).where(self, self - whole * y)
        above = (rest.ne(0) & (rest < 0).ne(self < 0))  # the quotient was rounded up to a whole number
        return above.where(rest + (self < 0).ne(y < 0).where(-y, y), rest)

    def neg(self) -> Self:
        """-x; for bools, not x."""
        if self.dtype is not dtypes.bool and self._node.op is Ops.CONST:  # stays one
            return self._wrap(UOp.const(self.dtype, -self._node.arg), self.device)
        return self._result(build.elementwise(Ops.NOT if self.dtype is dtypes.bool else Ops.NEG, self._node))

    def reciprocal(self) -> Self:
        """1 / x; inf for 0."""
        return self._unary(Ops.RECIPROCAL)

    # ---- functions of reals: integers become the default float

    def exp(self) -> Self:
        """e to the power x."""
        return self._unary(Ops.EXP)

    def exp2(self) -> Self:
        """2 to the power x."""
        return self._unary(Ops.EXP2)

    def log(self) -> Self:
        """The natural logarithm: -inf of 0, NaN below."""
        return self._unary(Ops.LOG)

    def log2(self) -> Self:
        """The logarithm to base 2: -inf of 0, NaN below."""
        return self._unary(Ops.LOG2)

    def sqrt(self) -> Self:
        """The square root: NaN below 0."""
        return self._unary(Ops.SQRT)

    def sin(self) -> Self:
        """The sine; NaN for infinities."""
        return self._unary(Ops.SIN)

    def cos(self) -> Self:
        """The cosine; NaN for infinities."""
        return self._unary(Ops.COS)

    def tanh(self) -> Self:
        """The hyperbolic tangent."""
        return self._unary(Ops.TANH)

    def erf(self) -> Self:
        """2/√π times the integral of exp(-t²) from 0 to x."""
        return self._unary(Ops.ERF)

    # ---- comparison

    def lt(self, other: Any) -> Self:
        """x < y; False with NaN."""
        return self._binary(Ops.CMPLT, other)

    def gt(self, other: Any) -> Self:
        """x > y; False with NaN."""
        return self._operand(other, "gt")._binary(Ops.CMPLT, self)

    def ne(self, other: Any) -> Self:
        """x != y; True with NaN."""
        return self._binary(Ops.CMPNE, other)

    @one_op
    def eq(self, other: Any) -> Self:
        """x == y; False with NaN."""
        return self.ne(other).logical_not()

    @one_op
    def ge(self, other: Any) -> Self:
        """x >= y; False with NaN."""
        y = self._operand(other, "ge")
        if self.dtype.is_float or y.dtype.is_float:
            return self.gt(y)._binary(Ops.OR, self.eq(y))
        return self.lt(y).logical_not()

    def le(self, other: Any) -> Self:
        """x <= y; False with NaN."""
        return self._operand(other, "le").ge(self)

    # ---- logic and bits

    def logical_not(self) -> Self:
        """x == 0, bool."""
        return self._result(build.elementwise(Ops.NOT, build.cast(self._node, dtypes.bool)))

    def logical_and(self, other: Any) -> Self:
        """Whether both are not 0."""
        return self.bool()._binary(Ops.AND, self._operand(other, "logical_and").bool())

    def logical_or(self, other: Any) -> Self:
        """Whether one is not 0."""
        return self.bool()._binary(Ops.OR, self._operand(other, "logical_or").bool())

    def logical_xor(self, other: Any) -> Self:
        """Whether exactly one is not 0."""
        return self.bool()._binary(Ops.XOR, self._operand(other, "logical_xor").bool())

    def _bits(self, op: Ops, other: Any, what: str, kinds: str = "iub") -> Self:
        self._check(kinds, what)
        y = self._operand(other, what)
        y._check(kinds, what)
        if promote(self.dtype, y.dtype).is_float:
            raise TypeError(f"{what}: no integer dtype holds both {self.dtype!r} and {y.dtype!r}")
        return self._binary(op, y)

    def bitwise_and(self, other: Any, /) -> Self:
        """The bits that both have. TypeError for floats."""
        return self._bits(Ops.AND, other, "bitwise_and")

    def bitwise_or(self, other: Any, /) -> Self:
        """The bits that one has. TypeError for floats."""
        return self._bits(Ops.OR, other, "bitwise_or")

    def bitwise_xor(self, other: Any, /) -> Self:
        """The bits that exactly one has. TypeError for floats."""
        return self._bits(Ops.XOR, other, "bitwise_xor")

    def bitwise_not(self) -> Self:
        """The other bits; for bools, not x. TypeError for floats."""
        self._check("iub", "bitwise_not")
        if self.dtype is dtypes.bool:
            return self.logical_not()
        return self._result(build.elementwise(Ops.XOR, self._node, UOp.const(self.dtype, -1)))

    def lshift(self, other: Any, /) -> Self:
        """x * 2**n without the bits that fall out; 0 from the width on."""
        return self._bits(Ops.SHL, other, "lshift", "iu")

    def rshift(self, other: Any, /) -> Self:
        """x / 2**n rounded down."""
        return self._bits(Ops.SHR, other, "rshift", "iu")

    # ---- selection

    def where(self, x: Any, y: Any) -> Self:
        """x where this condition holds, else y; a float or integer condition holds where it is not 0."""
        condition = self.bool()
        model: Any = next((z for z in (x, y) if isinstance(z, Elementwise)), self)
        if model is self and all(isinstance(z, (int, float)) for z in (x, y)):
            kind = type(x) if type(x) is type(y) else type(x + y)
            model = self._wrap(UOp.const(to_dtype(kind), 0), self.device)
        a, b = model._operand(x, "where"), model._operand(y, "where")
        dtype = promote(a.dtype, b.dtype)
        nodes = [condition._node, build.cast(a._node, dtype), build.cast(b._node, dtype)]
        if any(n.shape != nodes[0].shape for n in nodes):
            shape = broadcast_shapes(*[n.shape for n in nodes], op="where")
            nodes = [n if n.op is Ops.CONST else build.stretch(n, shape) for n in nodes]
        return condition._result(build.elementwise(Ops.WHERE, *nodes), a, b)

    def masked_fill(self, mask: Any, value: Any) -> Self:
        """value where the mask holds."""
        return self._operand(mask, "masked_fill").where(value, self)

    @one_op
    def maximum(self, other: Any) -> Self:
        """The larger; NaN if either is."""
        if self._both_bool(other):
            return self._binary(Ops.OR, other)
        return self._binary(Ops.MAX, other)

    @one_op
    def minimum(self, other: Any) -> Self:
        """The smaller; NaN if either is."""
        if self._both_bool(other):
            return self._binary(Ops.AND, other)
        a, b = self._pair(other, "minimum")
        return a._reversed_order()._binary(Ops.MAX, b._reversed_order())._reversed_order()

    def _reversed_order(self) -> Self:
        """-x for floats, ~x for integers: larger is smaller, without overflow; its own inverse."""
        return self.neg() if self.dtype.is_float or self.dtype.kind == "b" else self.bitwise_not()

    @one_op
    def clip(self, min: Any = None, max: Any = None) -> Self:
        """Into [min, max]; NaN stays, and a bound that is NaN gives it. Bounds may be None, but not both."""
        if min is None and max is None:
            raise ValueError("clip: needs min or max")
        x = self
        for bound, beyond in ((min, Elementwise.lt), (max, Elementwise.gt)):
            if bound is not None:
                y = x._operand(bound, "clip")
                x = (beyond(x, y) | y.ne(y)).where(y, x)  # a bound may be NaN
        return x

    clamp = clip

    @one_op
    def abs(self) -> Self:
        """|x|; the lowest integer stays, having no opposite."""
        if self.dtype.kind in "ub":
            return self
        if self.dtype.is_float:  # max(x, -x) keeps NaN, its gradient at 0 is 0; of two zeros it may be -0.0
            return self._binary(Ops.MAX, self.neg()) + 0.0
        return (self < 0).where(-self, self)

    # ---- rounding and size: integers stay as they are

    def trunc(self) -> Self:
        """Without the fraction."""
        return self._result(build.elementwise(Ops.TRUNC, self._node)) if self.dtype.is_float else self

    def tf32(self) -> Self:
        """float32 rounded to tf32's 10 bits of mantissa, ties away from zero; products of such numbers are what tensor
        cores compute. Gradients pass, rounded where they are multiplied. TypeError for other dtypes."""
        if self.dtype is not dtypes.float32:
            raise TypeError(f"tf32: a tensor of {self.dtype!r} is not float32")
        return self._result(build.elementwise(Ops.TF32, self._node))

    @one_op
    def floor(self) -> Self:
        """The nearest integer that is not above."""
        whole = self.trunc()
        return (self < whole).where(whole - 1, whole) if self.dtype.is_float else self

    # ---- operators

    __neg__, __abs__, __invert__ = neg, abs, bitwise_not
    __add__ = __radd__ = add
    __mul__ = __rmul__ = mul
    __and__ = __rand__ = bitwise_and
    __or__ = __ror__ = bitwise_or
    __xor__ = __rxor__ = bitwise_xor
    __sub__, __floordiv__, __mod__ = sub, floordiv, mod
    __lshift__, __rshift__ = lshift, rshift
    __lt__, __gt__, __le__, __ge__ = lt, gt, le, ge
    __eq__, __ne__ = eq, ne  # type: ignore[assignment]

    def __pos__(self) -> Self:
        return self

    def __truediv__(self, other: Any) -> Self:
        return self.div(other)

    def __rsub__(self, other: Any) -> Self:
        return self._operand(other, "sub").sub(self)

    def __rtruediv__(self, other: Any) -> Self:
        x = self._beside(other)
        return x._operand(other, "div").div(x)

    def __rfloordiv__(self, other: Any) -> Self:
        return self._operand(other, "floordiv").floordiv(self)

    def __rmod__(self, other: Any) -> Self:
        return self._operand(other, "mod").mod(self)

    def __rlshift__(self, other: Any) -> Self:
        return self._operand(other, "lshift").lshift(self)

    def __rrshift__(self, other: Any) -> Self:
        return self._operand(other, "rshift").rshift(self)

    __hash__ = object.__hash__


__all__ = ["Elementwise"]
