"""Element types: their sizes, how they promote, and how they map to numpy.

bfloat16 has no numpy type: its values are held as uint16 bit patterns.

>>> promote(dtypes.int32, dtypes.float16)
dtypes.float16
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_VECTORS: dict[tuple[str, int], DType] = {}


@dataclass(frozen=True, eq=False)
class DType:
    """A scalar type. kind: 'b' bool, 'i' signed, 'u' unsigned, 'f' float, 'x' abstract. Compared by identity."""

    name: str
    itemsize: int
    kind: str
    numpy_name: str | None
    count: int = 1  # lanes; more than one only in the linear form of a kernel

    def vec(self, count: int) -> DType:
        """The vector type of `count` lanes."""
        if count == 1:
            return self
        key = (self.name, count)
        if key not in _VECTORS:
            _VECTORS[key] = DType(f"{self.name}x{count}", self.itemsize * count, self.kind, None, count)
        return _VECTORS[key]

    @property
    def scalar(self) -> DType:
        return _by_name(self.name.split("x")[0]) if self.count > 1 else self

    def __repr__(self) -> str:
        return f"dtypes.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _by_name, (self.name,)

    @property
    def is_float(self) -> bool:
        return self.kind == "f"

    @property
    def is_int(self) -> bool:
        """Signed or unsigned integers; not bool, not index."""
        return self.kind in "iu"

    @property
    def np(self) -> np.dtype[Any]:
        """The numpy type that holds the bits."""
        if self.numpy_name is None:
            raise TypeError(f"{self!r} has no numpy type")
        return np.dtype(self.numpy_name)

    @property
    def min(self) -> int | float | bool:
        if self.kind == "f":
            return -float("inf")
        return -(1 << (8 * self.itemsize - 1)) if self.kind == "i" else 0

    @property
    def max(self) -> int | float | bool:
        if self.kind == "f":
            return float("inf")
        return 1 if self.kind == "b" else (1 << (8 * self.itemsize - (1 if self.kind == "i" else 0))) - 1


class dtypes:
    """The namespace of all types; `index` is the abstract integer of shapes and addresses, `void` has no value."""

    bool = DType("bool", 1, "b", "bool")
    int8 = DType("int8", 1, "i", "int8")
    int16 = DType("int16", 2, "i", "int16")
    int32 = DType("int32", 4, "i", "int32")
    int64 = DType("int64", 8, "i", "int64")
    uint8 = DType("uint8", 1, "u", "uint8")
    uint16 = DType("uint16", 2, "u", "uint16")
    uint32 = DType("uint32", 4, "u", "uint32")
    uint64 = DType("uint64", 8, "u", "uint64")
    float16 = DType("float16", 2, "f", "float16")
    bfloat16 = DType("bfloat16", 2, "f", "uint16")
    float32 = DType("float32", 4, "f", "float32")
    float64 = DType("float64", 8, "f", "float64")
    index = DType("index", 8, "x", "int64")
    void = DType("void", 0, "x", None)
    # the usual other names
    half, float, double, int, long, uchar = float16, float32, float64, int32, int64, uint8
    default_float, default_int = float32, int32


SCALARS: tuple[DType, ...] = tuple(
    v for k, v in vars(dtypes).items() if isinstance(v, DType) and k == v.name and v.kind != "x")
_NAMES = {k: v for k, v in vars(dtypes).items() if isinstance(v, DType)}
_FROM_NUMPY = {v.np: v for v in SCALARS if v is not dtypes.bfloat16}


def _by_name(name: str) -> DType:
    return _NAMES[name]


def to_dtype(value: Any) -> DType:
    """A DType from itself, its name ("float32"), a numpy type or a Python type; TypeError otherwise."""
    if isinstance(value, DType):
        return value
    if isinstance(value, str) and value in _NAMES:
        return _NAMES[value]
    if value is bool:
        return dtypes.bool
    if value is int:
        return dtypes.default_int
    if value is float:
        return dtypes.default_float
    try:
        return _FROM_NUMPY[np.dtype(value)]
    except (TypeError, KeyError):
        raise TypeError(f"{value!r} is no dtype; known: {', '.join(s.name for s in SCALARS)}") from None


_SIGNED = {1: dtypes.int8, 2: dtypes.int16, 4: dtypes.int32, 8: dtypes.int64}


def _promote_pair(a: DType, b: DType) -> DType:
    if a is b:
        return a
    if a.kind == "b":
        return b
    if b.kind == "b":
        return a
    if a.is_float or b.is_float:
        if not (a.is_float and b.is_float):
            return a if a.is_float else b
        if a.itemsize == b.itemsize:  # float16 with bfloat16: neither holds the other
            return dtypes.float32
        return a if a.itemsize > b.itemsize else b
    if a.kind == b.kind:
        return a if a.itemsize > b.itemsize else b
    signed, unsigned = (a, b) if a.kind == "i" else (b, a)
    if unsigned.itemsize < signed.itemsize:
        return signed
    # as torch: no integer holds both int64 and uint64, the float does
    return _SIGNED[unsigned.itemsize * 2] if unsigned.itemsize < 8 else dtypes.float32


def promote(*types: DType) -> DType:
    """The smallest type that holds them all: bool < integers < floats; float16 with bfloat16 is float32."""
    if not types:
        raise ValueError("promote: no types given")
    result = types[0]
    for t in types[1:]:
        result = _promote_pair(result, t)
    return result


def accumulator(dtype: DType) -> DType:
    """The type in which sums and products of `dtype` are accumulated inside a kernel."""
    return dtypes.float32 if dtype in (dtypes.float16, dtypes.bfloat16) else dtype


def round_bfloat16(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """float32 values -> uint16 bit patterns of bfloat16, nearest even; NaN stays NaN."""
    bits = np.array(values, dtype=np.float32, order="C").view(np.uint32)  # 0-d stays 0-d
    rounded = ((bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    nan = (bits & 0x7FFFFFFF) > 0x7F800000
    return np.where(nan, ((bits >> 16) | 0x40).astype(np.uint16), rounded)


def round_tf32(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """float32 values with 10 bits of mantissa: nearest, ties away from zero; NaN stays NaN (PTX ISA, cvt.rna.tf32)."""
    bits = np.array(values, dtype=np.float32, order="C").view(np.uint32)
    rounded = (bits.astype(np.uint64) + 0x1000).astype(np.uint32) & np.uint32(0xFFFFE000)
    return np.where(np.isnan(values), bits, rounded).view(np.float32)


def widen_bfloat16(bits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """uint16 bit patterns of bfloat16 -> float32 values."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
