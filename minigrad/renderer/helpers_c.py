"""Names of C types, and what rendered C calls beside the functions of `functions.h`: conversions between two types, and
reduces over the lanes of a vector.
"""
from __future__ import annotations

import functools

from ..dtype import DType
from ..uops import Ops
from .mathlib import SCALARS, texts_of, vector_typedefs

SHORT = {"bool": "u8", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64", "uint8": "u8", "uint16": "u16",
         "uint32": "u32", "uint64": "u64", "float16": "f16", "bfloat16": "u16", "float32": "f32", "float64": "f64"}

INDEX = {
    "imax": "static inline long imax(long a, long b) { return a > b ? a : b; }",
    "imin": "static inline long imin(long a, long b) { return a < b ? a : b; }",
    "ifloordiv": "static inline long ifloordiv(long a, long b) {\n"
                 "  if (b == 0) return 0;\n  long q = a / b;\n  return q - ((a % b != 0) & ((a < 0) != (b < 0)));\n}",
}


def short(dtype: DType) -> str:
    """The name of a value's C type: f32, f32x16; conditions are int32 masks in vectors: i32x16."""
    if dtype.count == 1:
        return SHORT[dtype.name]
    scalar = dtype.scalar
    return f"{'i32' if scalar.kind == 'b' else SHORT[scalar.name]}x{dtype.count}"


def stored(dtype: DType) -> str:
    """The name of the C type of a value in memory: conditions are bytes."""
    return f"u8x{dtype.count}" if dtype.kind == "b" and dtype.count > 1 else short(dtype)


def c_type(name: str) -> str:
    return name if "x" in name else SCALARS[name]


@functools.cache
def typedefs(name: str) -> str:
    """The vector type and its unaligned form (f32x16u), under guards since several preludes may ask."""
    scalar = name.split("x")[0]
    size = int(scalar[1:].lstrip("f")) // 8
    plain = vector_typedefs([name])
    return f"{plain}\ntypedef {name} {name}u __attribute__((aligned({size})));"


@functools.cache
def scalar_helper(name: str, t: str) -> str:
    """One function of `functions.h` that calls no other, for the C type `t` (by short name)."""
    text, = texts_of(name, t)
    return text.replace("MG_INLINE", "static inline")


TF32 = scalar_helper("tf32", "f32")


@functools.cache
def float_to_int(source: str, target: str, low: str, high: str) -> str:
    """Truncates; NaN is 0, values out of range are the type's ends. The upper end is compared as the next power of two.
    """
    s, t = SCALARS[source], SCALARS[target]
    bits = int(target[1:]) - (1 if target[0] == "i" else 0)
    top = f"{float(1 << bits)!r}{'f' if source == 'f32' else ''}"
    bottom = f"{float(-(1 << bits)) if target[0] == 'i' else 0.0!r}{'f' if source == 'f32' else ''}"
    return (f"static inline {t} mg_{source}_to_{target}({s} x) {{\n"
            f"  return x != x ? 0 : x >= {top} ? {high} : x <= {bottom} ? {low} : ({t})x;\n}}")


@functools.cache
def horizontal(op: Ops, t: str, combine: str) -> str:
    """The reduce over a vector's lanes, halving: `combine` is the text of the combination of a and b."""
    scalar, _, lanes = t.partition("x")
    lines = []
    n, previous = int(lanes), "v"
    while n > 2:
        n //= 2
        half = f"{scalar}x{n}"
        low, high = ", ".join(map(str, range(n))), ", ".join(map(str, range(n, 2 * n)))
        lines.append(f"  {half} l{n} = __builtin_shufflevector({previous}, {previous}, {low}),"
                     f" h{n} = __builtin_shufflevector({previous}, {previous}, {high});")
        lines.append(f"  {half} s{n} = {combine.format(a=f'l{n}', b=f'h{n}', t=half)};")
        previous = f"s{n}"
    lines.append(f"  {SCALARS[scalar]} a = {previous}[0], b = {previous}[1];")
    lines.append(f"  return {combine.format(a='a', b='b', t=scalar)};")
    return f"static inline {SCALARS[scalar]} mg_{op.name.lower()}_lanes_{t}({t} v) {{\n" + "\n".join(lines) + "\n}"
