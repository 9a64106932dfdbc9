"""From C text to code in this process, by way of the disk cache.

`load_source(text)` gives the functions of a text that was perhaps compiled by an earlier process; `load_object(bytes)`
those of an object. What compilers expect of their own support library, conversions to 16-bit floats that the
processor lacks, is supplied here.
"""
from __future__ import annotations

import functools
import hashlib

from minigrad.runtime import cache
from minigrad.runtime.compiler import Compiler, find_compiler
from minigrad.runtime.elf import ElfError, LoadedObject, load_elf, load_shared
from minigrad.target import host_target

# Round to nearest, ties to even, on bits. A double goes to 16 bits in one rounding: the bits below the kept ones are
# folded into one sticky bit first. NaN keeps its sign and becomes quiet.
SUPPORT_NAMES = ("__truncsfbf2", "__truncdfbf2", "__truncsfhf2", "__truncdfhf2", "__extendhfsf2")
SUPPORT_SOURCE = r"""
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

/* The bits of a float with `mantissa` and `exponent` bits, nearest to a double. */
static u16 narrow(double value, int mantissa, int exponent) {
    union { double value; u64 bits; } from = {value};
    u16 sign = (u16)(from.bits >> 63 << (mantissa + exponent));
    u64 magnitude = from.bits & ~(1UL << 63);
    u16 infinity = (u16)(((1 << exponent) - 1) << mantissa);
    if (magnitude > 0x7ffUL << 52) return sign | infinity | (u16)(1 << (mantissa - 1));
    int bias = (1 << (exponent - 1)) - 1;
    int power = (int)(magnitude >> 52) - 1023 + bias;       /* the exponent field of the result */
    if (power >= (1 << exponent) - 1) return sign | infinity;
    u64 fraction = (magnitude & ((1UL << 52) - 1)) | 1UL << 52;
    int drop = 52 - mantissa;                               /* bits that do not fit */
    if (power < 1) { drop += 1 - power; power = 1; }        /* subnormal */
    if (drop > 54) return sign;
    u64 kept = fraction >> drop, rest = fraction & ((1UL << drop) - 1), half = 1UL << (drop - 1);
    kept += rest > half || (rest == half && (kept & 1));
    /* the hidden bit, when there, counts the exponent up by one; a carry out of the fraction does so too */
    return sign | (u16)(kept + ((u64)(power - 1) << mantissa));
}

#define BITS_TO(type, bits) union { u16 from; type to; } result = {bits}; return result.to
#ifdef HAS_BF16
__bf16 __truncsfbf2(float value) { BITS_TO(__bf16, narrow(value, 7, 8)); }
__bf16 __truncdfbf2(double value) { BITS_TO(__bf16, narrow(value, 7, 8)); }
#endif
#ifdef HAS_F16
_Float16 __truncsfhf2(float value) { BITS_TO(_Float16, narrow(value, 10, 5)); }
_Float16 __truncdfhf2(double value) { BITS_TO(_Float16, narrow(value, 10, 5)); }
float __extendhfsf2(_Float16 value) {
    union { _Float16 value; u16 bits; } from;
    union { u32 bits; float value; } to, scale = {0x77800000};          /* 2^112 */
    from.value = value;
    u32 sign = (u32)(from.bits & 0x8000) << 16, magnitude = from.bits & 0x7fff;
    to.bits = magnitude << 13;
    to.value *= scale.value;                                            /* exact, also for subnormals */
    if (magnitude >= 0x7c00) to.bits = 0x7f800000 | magnitude << 13;
    to.bits |= sign;
    return to.value;
}
#endif
"""


@functools.cache
def machine_key(compiler: Compiler) -> str:
    """What an object of this compiler depends on besides its source: a short hash."""
    target = host_target()
    text = "\n".join((compiler.identity, target.arch, target.model, *sorted(target.features)))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def object_key(source: str, compiler: Compiler) -> str:
    """The cache key of a compiled source."""
    return f"object {machine_key(compiler)} {hashlib.sha256(source.encode()).hexdigest()}"


def build(source: str, compiler: Compiler | None = None) -> bytes:
    """The object of a source, from the disk cache or compiled and put there. CompileError."""
    compiler = compiler or find_compiler()
    key = object_key(source, compiler)
    data = cache.get(key) or _offered.get(source)
    if data is None:
        data = compiler.compile(source)
        cache.put(key, data)
    return data


_offered: dict[str, bytes] = {}


def offer_object(source: str, data: bytes) -> None:
    """An object of the source that came from elsewhere, for this process, in case that it has none."""
    _offered[source] = data


def support_source(compiler: Compiler) -> str:
    """The conversions, as far as the compiler has the types."""
    defines = "".join(f"#define HAS_{name.upper()}\n" for name in ("bf16", "f16") if name in compiler.features)
    return defines + SUPPORT_SOURCE


@functools.cache
def _support(compiler: Compiler) -> LoadedObject:
    """The conversions for objects of this compiler."""
    return load_elf(build(support_source(compiler), compiler))


def _find_support(name: str, compiler: Compiler) -> int | None:
    """The address of a conversion that a compiler may call; they are compiled when first needed."""
    return _support(compiler).functions.get(name) if name in SUPPORT_NAMES else None


def load_object(data: bytes, compiler: Compiler | None = None) -> LoadedObject:
    """Code of an object of `compiler` (default: the one in use). ElfError if the object is damaged."""
    compiler = compiler or find_compiler()
    if host_target().arch != "x86_64":
        return load_shared([data], compiler.link)
    try:
        return load_elf(data, lambda name: _find_support(name, compiler))
    except OSError:  # a system that forbids memory that was written from being executed still opens libraries
        return load_shared([data], compiler.link)


def load_source(source: str, compiler: Compiler | None = None) -> LoadedObject:
    """Functions of a C text, by way of the disk cache. A damaged cached object is compiled again. CompileError."""
    compiler = compiler or find_compiler()
    data = build(source, compiler)
    try:
        return load_object(data, compiler)
    except ElfError:
        data = compiler.compile(source)
        cache.put(object_key(source, compiler), data)
        return load_object(data, compiler)
