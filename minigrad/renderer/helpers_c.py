"""The small functions that rendered C calls: each a piece of text of its own, made for a type when a kernel asks for
it.

A vector form that C has no operator for goes lane by lane through the scalar form.
"""
from __future__ import annotations

import functools

from ..dtype import DType
from ..uops import Ops
from .mathlib import SCALARS, vector_typedefs

SHORT = {
    "bool": "u8",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "uint8": "u8",
    "uint16": "u16",
    "uint32": "u32",
    "uint64": "u64",
    "float16": "f16",
    "bfloat16": "u16",
    "float32": "f32",
    "float64": "f64",
}

INDEX = {
    "imax": "static inline long imax(long a, long b) { return a > b ? a : b; }",
    "imin": "static inline long imin(long a, long b) { return a < b ? a : b; }",
    "ifloordiv": "static inline long ifloordiv(long a, long b) {\n"
                 "  if (b == 0) return 0;\n  long q = a / b;\n  return q - ((a % b != 0) & ((a < 0) != (b < 0)));\n}",
}


TF32 = """static inline float mg_tf32_f32(float x) {
  union { float x; unsigned bits; } u = {x};
  u.bits = x != x ? u.bits : (u.bits + 0x1000u) & 0xffffe000u;
  return u.x;
}"""


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


def mask_of(name: str) -> str:
    """The type of comparisons of vectors of a type: integers of its width."""
    scalar, _, lanes = name.partition("x")
    return f"i{scalar.lstrip('bfiu')}x{lanes}"


@functools.cache
def scalar_helper(name: str, t: str, signed: bool, bits: int) -> str:
    """One scalar function for the C type `t` (by short name)."""
    c = SCALARS[t]
    unsigned = c if not signed else SCALARS["u" + t[1:]] if t[0] == "i" else c
    body = {
        "max": "return a > b || a != a ? a : b;",
        "floordiv": f"if (b == 0) return 0;{f' if (b == -1) return ({c})(0 - ({unsigned})a);' if signed else ''}\n"
                    f"  {c} q = a / b;\n  return q{' - ((a % b != 0) & ((a < 0) != (b < 0)))' if signed else ''};",
        "floormod": f"if (b == 0{' || b == -1' if signed else ''}) return 0;\n  {c} r = a % b;\n"
                    f"  return {'r != 0 && (r < 0) != (b < 0) ? r + b : r' if signed else 'r'};",
        "shl": f"return (unsigned long)b < {bits} ? ({c})(({unsigned})a << b) : 0;",
        "shr": f"return (unsigned long)b < {bits} ? ({c})(a >> b) : {'(a < 0 ? -1 : 0)' if signed else '0'};",
    }[name]
    return f"static inline {c} mg_{name}_{t}({c} a, {c} b) {{\n  {body}\n}}"


@functools.cache
def vector_helper(name: str, t: str) -> str:
    """The function lane by lane, for the vector type `t`."""
    scalar, _, lanes = t.partition("x")
    return (f"static inline {t} mg_{name}_{t}({t} a, {t} b) {{\n  {t} r;\n"
            f"  for (int i = 0; i < {lanes}; i++) r[i] = mg_{name}_{scalar}(a[i], b[i]);\n  return r;\n}}")


@functools.cache
def splat(t: str) -> str:
    """A scalar in every lane of the vector type `t`."""
    scalar, _, lanes = t.partition("x")
    return (f"static inline {t} mg_splat_{t}({SCALARS[scalar]} x) {{\n  {t} r;\n"
            f"  for (int i = 0; i < {lanes}; i++) r[i] = x;\n  return r;\n}}")


@functools.cache
def vector_max(t: str) -> str:
    """The larger of two floats, NaN if either is."""
    m = mask_of(t)
    return (f"static inline {t} mg_max_{t}({t} a, {t} b) {{\n  {m} first = (a > b) | (a != a);\n"
            "  return MG_SELECT(first, a, b);\n}")


@functools.cache
def select(t: str) -> str:
    """Lanes of a where the mask (int32) is set, else of b."""
    m, lanes = mask_of(t), t.split("x")[1]
    mask = "m" if m == f"i32x{lanes}" else f"__builtin_convertvector(m, {m})"
    return (f"static inline {t} mg_where_{t}(i32x{lanes} m, {t} a, {t} b) {{\n  {m} k = {mask};\n"
            "  return MG_SELECT(k, a, b);\n}")


@functools.cache
def by_lane(name: str, t: str, scalar_call: str) -> str:
    """A function of one argument, lane by lane."""
    lanes = t.split("x")[1]
    return (f"static inline {t} mg_{name}_{t}({t} x) {{\n  {t} r;\n"
            f"  for (int i = 0; i < {lanes}; i++) r[i] = {scalar_call}(x[i]);\n  return r;\n}}")


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
def convert_by_lane(source: str, target: str) -> str:
    """The vector form of a conversion function."""
    lanes = source.split("x")[1]
    s, t = source.split("x")[0], target.split("x")[0]
    return (f"static inline {target} mg_{s}_to_{t}x{lanes}({source} x) {{\n  {target} r;\n"
            f"  for (int i = 0; i < {lanes}; i++) r[i] = mg_{s}_to_{t}(x[i]);\n  return r;\n}}")


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


LANE_BITS = ("static inline unsigned short mg_lanes(long first, long end) {\n"
             "  unsigned short below = first <= 0 ? 0 : first >= 16 ? 0xffff : (1u << first) - 1;\n"
             "  return (end <= 0 ? 0 : end >= 16 ? 0xffff : (1u << end) - 1) & ~below;\n}")


@functools.cache
def masked_load(t: str, avx512: bool) -> str:
    """The lanes first..end - 1 from memory, zero in the others; both may be anything."""
    scalar, _, lanes = t.partition("x")
    head = f"static inline {t} mg_load_{t}(const {SCALARS[scalar]} *p, long first, long end) {{\n"
    if avx512 and t in ("f32x16", "i32x16", "u32x16"):
        kind = "f32x16" if t == "f32x16" else "i32x16"
        call = "loadups512" if t == "f32x16" else "loaddqusi512"
        return head + (f"  return ({t})__builtin_ia32_{call}_mask((const void *)p, ({kind}){{}}, "
                       "mg_lanes(first, end));\n}")
    return head + (f"  {t} v = {{}};\n  for (int i = 0; i < {lanes}; i++) if (i >= first && i < end) v[i] = p[i];\n"
                   "  return v;\n}")


@functools.cache
def masked_store(t: str, avx512: bool) -> str:
    """The lanes first..end - 1 to memory."""
    scalar, _, lanes = t.partition("x")
    head = f"static inline void mg_store_{t}({SCALARS[scalar]} *p, long first, long end, {t} v) {{\n"
    if avx512 and t in ("f32x16", "i32x16", "u32x16"):
        kind = "f32x16" if t == "f32x16" else "i32x16"
        call = "storeups512" if t == "f32x16" else "storedqusi512"
        return head + f"  __builtin_ia32_{call}_mask((void *)p, ({kind})v, mg_lanes(first, end));\n}}"
    return head + f"  for (int i = 0; i < {lanes}; i++) if (i >= first && i < end) p[i] = v[i];\n}}"


@functools.cache
def stream(t: str) -> str:
    """A store that bypasses the caches. Memory from outside may lie anywhere, and then it cannot be one."""
    scalar, _, lanes = t.partition("x")
    size = int(lanes) * int(scalar.lstrip("bfiu")) // 8
    return (f"static inline void mg_stream_{t}({SCALARS[scalar]} *p, {t} v) {{\n"
            f"  if ((unsigned long)p % {size}) *({t}u *)p = v;\n  else __builtin_nontemporal_store(v, ({t} *)p);\n}}")


def is_signed(dtype: DType) -> bool:
    return dtype.scalar.kind == "i"


def bits_of(dtype: DType) -> int:
    return 8 * dtype.scalar.itemsize
