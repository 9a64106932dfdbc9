"""The C mathematics against numpy's long doubles, Python's erf and exact integers, for each width and compiler.

Machine code is made for this processor, where a multiply and an add fuse, and for the oldest of its kind with fusing
off: results must be within two units in the last place in both.
"""
import ctypes
import dataclasses
import functools
import itertools
import math
import platform
import re
from fractions import Fraction

import numpy as np
import pytest

from minigrad.renderer.mathlib import (
    CONVERSIONS,
    FUNCTIONS,
    SCALARS,
    function_name,
    math_source,
    math_types,
    vector_typedefs,
)
from minigrad.runtime.compiler import COMMON_FLAGS, Compiler, find_compiler, try_compiler
from minigrad.runtime.elf import LoadedObject, load_elf, load_shared

WIDTHS = ("f32", "f32x4", "f32x8", "f32x16", "f64", "f64x2", "f64x4", "f64x8")
TYPES_OF_C = {"f32": "float", "f64": "double"}
BUILDS = ("found", "found-plain", "gcc", "gcc-plain")
LONG = np.longdouble
EXTENDED = np.finfo(LONG).nmant >= 63  # long doubles are wider than doubles

PAIRS = [*itertools.product(FUNCTIONS, WIDTHS), *itertools.product(CONVERSIONS, WIDTHS[:4])]
X86 = platform.machine() in ("x86_64", "AMD64")


def _types(function: str, width: str) -> tuple[str, str]:
    """C types of a function's argument and result."""
    sixteen = "unsigned short" if width == "f32" else width.replace("f32", "u16")
    argument, result = ((sixteen, width) if function.endswith("to_f32") else
                        (width, sixteen) if function in CONVERSIONS else (width, width))
    return TYPES_OF_C.get(argument, argument), TYPES_OF_C.get(result, result)


def _source() -> str:
    """All functions of all widths, and a loop around each."""
    parts = [vector_typedefs(math_types(PAIRS)), math_source(PAIRS)]
    for function, width in PAIRS:
        argument, result = _types(function, width)
        parts.append(f"void run_{function}_{width}(const {argument} *x, {result} *y, long n) {{\n"
                     f"    for (long i = 0; i < n; i++) y[i] = {function_name(function, width)}(x[i]);\n}}")
    return "\n".join(parts)


def _compiler(build: str) -> Compiler:
    compiler = find_compiler() if build.startswith("found") else try_compiler(("gcc",))
    if compiler is None:
        pytest.skip("no gcc here")
    if build.endswith("plain"):
        compiler = dataclasses.replace(compiler, flags=(*COMMON_FLAGS, "-ffp-contract=off"))
    return compiler


@functools.cache
def _library(build: str) -> LoadedObject:
    compiler = _compiler(build)
    code = compiler.compile(_source())
    return load_elf(code) if X86 else load_shared([code], compiler.link)


def _aligned(count: int, dtype: np.dtype) -> np.ndarray:
    """Ones that start at a multiple of 128 bytes."""
    memory = np.empty(count * dtype.itemsize + 128, np.uint8)
    start = -memory.ctypes.data % 128
    array = memory[start:start + count * dtype.itemsize].view(dtype)
    array[:] = 1
    return array


def _run(build: str, function: str, width: str, x: np.ndarray) -> np.ndarray:
    """The compiled function of each element of x."""
    lanes = int(width.partition("x")[2] or 1)
    vectors = -(-len(x) // lanes)
    argument = _aligned(vectors * lanes, x.dtype)
    argument[:len(x)] = x
    result = _aligned(vectors * lanes, np.dtype(np.float32 if function.endswith("to_f32") else np.uint16)
                      if function in CONVERSIONS else x.dtype)
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long)
    call(_library(build)[f"run_{function}_{width}"])(argument.ctypes.data, result.ctypes.data, vectors)
    return result[:len(x)]


# Oracles

def _exact_erf(x: float) -> tuple[float, float]:
    """erf of a double as high + low, from its power series in 200-bit integers."""
    if not -6.5 < x < 6.5:
        return (x if math.isnan(x) else math.copysign(1.0, x)), 0.0
    one = 1 << 200
    whole = abs(Fraction(x)) * one
    argument = whole.numerator // whole.denominator
    square, power, total = argument * argument // one, argument, 0
    for n in itertools.count():
        total += (-power if n % 2 else power) // (2 * n + 1)
        power = power * square // one // (n + 1)
        if not power:
            break
    # 2 / sqrt(pi)
    scale = Fraction("1.12837916709551257389615890312154517168810125865799771368817144")
    value = Fraction(total, one) * scale if argument > 1 << 60 else abs(Fraction(x)) * scale
    high = float(value)
    return math.copysign(high, x), math.copysign(1.0, x) * float(value - Fraction(high))


def _reference(function: str, x: np.ndarray) -> np.ndarray:
    """True results, in double precision for floats and in long double for doubles."""
    with np.errstate(all="ignore"):
        if function != "erf":
            return getattr(np, function)(x.astype(np.float64 if x.dtype == np.float32 else LONG))
        if x.dtype == np.float32:
            return np.array([math.erf(value) for value in x.tolist()])
        pairs = np.array([_exact_erf(value) for value in x.tolist()])
        return pairs[:, 0].astype(LONG) + pairs[:, 1].astype(LONG)


def _scaled_pi(bits: int) -> int:
    """pi * 2^bits by Machin's formula, to within a few units."""
    def arctangent_of_inverse(n: int) -> int:
        total, power, k = 0, (1 << bits) // n, 0
        while power:
            total += (-power if k % 2 else power) // (2 * k + 1)
            power //= n * n
            k += 1
        return total
    return 16 * arctangent_of_inverse(5) - 4 * arctangent_of_inverse(239)


@functools.cache
def _closest_to_multiples_of_half_pi() -> list[float]:
    """Doubles p 2^e, of every exponent, that are unusually close to q pi/2: p/q is a convergent of (pi/2) / 2^e."""
    bits = 1400
    half_pi = _scaled_pi(bits) >> 1
    found = []
    for exponent in range(-52, 972):
        over, under = half_pi, 1 << (bits + exponent)
        p_before, p = 0, 1
        while under and p < 1 << 53:
            quotient, rest = divmod(over, under)
            over, under = under, rest
            p_before, p = p, quotient * p + p_before
            if 1 << 48 < p < 1 << 53:
                found.append(math.ldexp(p, exponent))
    return found


@functools.cache
def _samples(function: str, dtype: type) -> np.ndarray:
    """Every sign and exponent with several fractions each, special values, and many where the function does most."""
    random = np.random.default_rng(1)
    single = dtype is np.float32
    word, low = (np.uint32, 16) if single else (np.uint64, 48)
    high = np.arange(1 << 16, dtype=word)[::1 if single or function != "erf" else 16] << word(low)
    noise = random.integers(0, 1 << low, len(high), dtype=word)
    count = 4000 if single or function != "erf" else 300
    limit = {"exp": 110, "exp2": 155}.get(function, 0) * (1 if single else 7)
    ranges = [(-limit, limit), (-7, 7), (0.5, 1.5), (-1, 1), (-1e6, 1e6)]
    dense = [random.uniform(*bounds, count) for bounds in ranges]
    multiples = random.integers(1, 600_000, count) * (np.pi / 2)
    special = [5e-324, 1e-45, 1e-40, 1e-310, 0.0, -0.0, np.inf, -np.inf, np.nan]
    close = _closest_to_multiples_of_half_pi() if function in ("sin", "cos") else []
    with np.errstate(all="ignore"):
        dense = np.concatenate([*dense, multiples, np.nextafter(multiples, 0), special, close]).astype(dtype)
    return np.concatenate([high.view(dtype), (high | noise).view(dtype), dense])


@functools.cache
def _expected(function: str, dtype: type) -> np.ndarray:
    return _reference(function, _samples(function, dtype))


def _units(y: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Errors of y in units in the last place of the expected results; infinite where a NaN or infinity is wrong."""
    info = np.finfo(y.dtype)
    with np.errstate(all="ignore"):
        rounded = expected.astype(y.dtype)
        _, exponent = np.frexp(expected)
        exponent = np.clip(exponent, info.minexp + 1, info.maxexp)
        unit = np.ldexp(np.ones_like(expected), exponent - 1 - info.nmant)
        error = np.abs(y.astype(expected.dtype) - expected) / unit
    same = (y == rounded) | (np.isnan(y) & np.isnan(rounded))
    return np.where(same, np.where(np.isfinite(rounded), np.minimum(error, 0.5), 0), np.where(
        np.isfinite(y) & np.isfinite(expected), error, np.inf)).astype(np.float64)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_results_are_within_two_units_in_the_last_place(function: str, width: str, build: str) -> None:
    if width.startswith("f64") and not EXTENDED:
        pytest.skip("long doubles are no wider than doubles here")
    dtype = np.float32 if width.startswith("f32") else np.float64
    x, expected = _samples(function, dtype), _expected(function, dtype)
    y = _run(build, function, width, x)
    error = _units(y, expected)
    worst = int(np.argmax(error))
    assert error[worst] <= 2, f"{function}({x[worst]!r}) = {y[worst]!r}, not {expected[worst]!r}"
    wrong_sign = (np.signbit(y) != np.signbit(expected)) & ~np.isnan(expected)
    assert not wrong_sign.any(), f"{function}({x[wrong_sign][0]!r}) = {y[wrong_sign][0]!r} has the wrong sign"


INF, NAN = math.inf, math.nan
SPECIAL_VALUES = [
    ("exp", {INF: INF, -INF: 0, NAN: NAN, 0.0: 1, 1e30: INF, -1e30: 0}),
    ("exp2", {INF: INF, -INF: 0, NAN: NAN, 0.0: 1, 3.0: 8, -5.0: 1 / 32, 1e30: INF, -1e30: 0}),
    ("log", {INF: INF, -INF: NAN, NAN: NAN, 0.0: -INF, 1.0: 0.0, -1.0: NAN, -1e-40: NAN}),
    ("log2", {INF: INF, -INF: NAN, NAN: NAN, 0.0: -INF, 1.0: 0.0, 8.0: 3, 2.0 ** -140: -140, -1.0: NAN}),
    ("sin", {INF: NAN, -INF: NAN, NAN: NAN, 0.0: 0.0, 2.0 ** -140: 2.0 ** -140}),
    ("cos", {INF: NAN, -INF: NAN, NAN: NAN, 0.0: 1, 2.0 ** -140: 1}),
    ("tanh", {INF: 1, -INF: -1, NAN: NAN, 0.0: 0.0, 2.0 ** -140: 2.0 ** -140, 1e30: 1}),
    ("erf", {INF: 1, -INF: -1, NAN: NAN, 0.0: 0.0, 1e30: 1, -1e30: -1}),
]


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("function,table", SPECIAL_VALUES)
@pytest.mark.parametrize("width", WIDTHS)
def test_special_values_are_exact(function: str, table: dict[float, float], width: str, build: str) -> None:
    x = np.array(list(table), np.float32 if width.startswith("f32") else np.float64)
    np.testing.assert_array_equal(_run(build, function, width, x), np.array(list(table.values()), x.dtype))


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("function", ["sin", "tanh", "erf"])
def test_odd_functions_keep_the_sign_of_zero(function: str, build: str) -> None:
    for width in WIDTHS:
        x = np.array([0.0, -0.0], np.float32 if width.startswith("f32") else np.float64)
        np.testing.assert_array_equal(np.signbit(_run(build, function, width, x)), [False, True])


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("width", ["f32", "f32x16", "f64", "f64x8"])
def test_exp_rounds_into_denormals_instead_of_flushing(width: str, build: str) -> None:
    dtype = np.float32 if width.startswith("f32") else np.float64
    smallest = np.finfo(dtype).smallest_subnormal
    lowest = round(math.log2(float(smallest)))
    x = np.array([lowest, lowest + 1, lowest - 0.9, lowest - 1.1], dtype)
    np.testing.assert_array_equal(_run(build, "exp2", width, x), np.array([1, 2, 1, 0], dtype) * smallest)
    x = np.log(2.0) * np.array([lowest + 0.1, lowest - 2], dtype)
    np.testing.assert_array_equal(_run(build, "exp", width, x.astype(dtype)), np.array([1, 0], dtype) * smallest)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("width", ["f32x16", "f64x8"])
def test_huge_lanes_do_not_disturb_their_neighbours(width: str, build: str) -> None:
    dtype = np.float32 if width == "f32x16" else np.float64
    small = np.linspace(-30, 30, 256).astype(dtype)
    mixed = small.copy()
    mixed[3::7] = np.array([1e30, np.inf, np.nan, -3e8], dtype)[np.arange(len(mixed[3::7])) % 4]
    untouched = mixed == small
    for function in ("sin", "cos"):
        np.testing.assert_array_equal(_run(build, function, width, mixed)[untouched],
                                      _run(build, function, width, small)[untouched])


# Conversions

def _floats_for_rounding() -> np.ndarray:
    """Floats of every high half, around every midpoint of float16 and of bfloat16, and random ones."""
    random = np.random.default_rng(2)
    high = np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
    bits = [high | np.uint32(low) for low in (0, 1, 0x7fff, 0x8000, 0x8001, 0xffff)]
    bits.append(random.integers(0, 1 << 32, 200_000, dtype=np.uint32))
    halves = np.arange(0x7c00, dtype=np.uint16).view(np.float16).astype(np.float64)
    middles = ((halves[1:] + halves[:-1]) / 2).astype(np.float32)
    around = [middles, -middles, np.nextafter(middles, np.float32(0)), np.nextafter(middles, np.float32(np.inf))]
    overflow = np.array([65504, 65519.996, 65520, 65536, np.inf, -np.inf, np.nan], np.float32)
    return np.concatenate([*(part.view(np.float32) for part in bits), *around, overflow])


def _to_bfloat16(x: np.ndarray) -> np.ndarray:
    """Round to the nearest bfloat16, ties to even, by comparing with both neighbours in double precision."""
    down = x.view(np.uint32) >> np.uint32(16)
    with np.errstate(all="ignore"):
        value = x.astype(np.float64)
        below = (down << np.uint32(16)).view(np.float32).astype(np.float64)
        above = ((down + np.uint32(1)) << np.uint32(16)).view(np.float32).astype(np.float64)
        # infinity stands where 2^128 would be
        above = np.where(np.isinf(above), np.copysign(2.0 ** 128, value), above)
        to_below, to_above = np.abs(value - below), np.abs(above - value)
    up = (to_above < to_below) | ((to_above == to_below) & (down % 2 == 1))
    return np.where(np.isfinite(x), down + up, down).astype(np.uint16)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("width", WIDTHS[:4])
class TestConversions:
    def test_every_float16_becomes_its_float32(self, width: str, build: str) -> None:
        bits = np.arange(1 << 16, dtype=np.uint16)
        y = _run(build, "f16_to_f32", width, bits)
        expected = bits.view(np.float16).astype(np.float32)
        number = ~np.isnan(expected)
        np.testing.assert_array_equal(y.view(np.uint32)[number], expected.view(np.uint32)[number])
        assert np.isnan(y[~number]).all()

    def test_every_bfloat16_becomes_its_float32(self, width: str, build: str) -> None:
        bits = np.arange(1 << 16, dtype=np.uint16)
        y = _run(build, "bf16_to_f32", width, bits)
        np.testing.assert_array_equal(y.view(np.uint32), bits.astype(np.uint32) << np.uint32(16))

    def test_float32_rounds_to_the_nearest_even_float16(self, width: str, build: str) -> None:
        x = _floats_for_rounding()
        y = _run(build, "f32_to_f16", width, x)
        with np.errstate(all="ignore"):
            expected = x.astype(np.float16).view(np.uint16)
        number = ~np.isnan(x)
        np.testing.assert_array_equal(y[number], expected[number])
        assert np.isnan(y[~number].view(np.float16)).all()

    def test_float32_rounds_to_the_nearest_even_bfloat16(self, width: str, build: str) -> None:
        x = _floats_for_rounding()
        y = _run(build, "f32_to_bf16", width, x)
        number = ~np.isnan(x)
        np.testing.assert_array_equal(y[number], _to_bfloat16(x)[number])
        assert ((y[~number] & 0x7fff) > 0x7f80).all()


# Parts of vectors

PARTS = {"f32x4": np.float32, "f32x8": np.float32, "f32x16": np.float32, "i32x8": np.int32, "u32x16": np.uint32,
         "i16x8": np.int16, "u16x16": np.uint16, "f64x4": np.float64}


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("width", PARTS)
def test_lanes_outside_of_a_part_are_neither_read_nor_written(width: str, build: str) -> None:
    pairs, lanes = [("load", width), ("store", width)], int(width.partition("x")[2])
    one = SCALARS[width.partition("x")[0]]
    source = "\n".join((vector_typedefs({width, *math_types(pairs)}), math_source(pairs),
                        f"void part(const {one} *x, {one} *y, long first, long end) {{\n"
                        f"    mg_store_{width}(y, first, end, mg_load_{width}(x, first, end) + 1);\n}}",
                        f"void loaded(const {one} *x, {width} *y, long first, long end) {{\n"
                        f"    *y = mg_load_{width}(x, first, end);\n}}"))
    library = load_elf(_compiler(build).compile(source))
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long, ctypes.c_long)
    part, loaded = kind(library["part"]), kind(library["loaded"])
    dtype = np.dtype(PARTS[width])
    x, y, all_of_it = np.arange(3, 3 + lanes, dtype=dtype), np.zeros(lanes, dtype), _aligned(lanes, dtype)
    for first, end in ((0, lanes), (0, 1), (1, lanes - 1), (lanes - 1, lanes), (-5, 2), (2, lanes + 40), (3, 1)):
        y[:] = 0
        part(x.ctypes.data, y.ctypes.data, first, end)
        loaded(x.ctypes.data, all_of_it.ctypes.data, first, end)
        inside = (np.arange(lanes) >= first) & (np.arange(lanes) < end)
        np.testing.assert_array_equal(y, np.where(inside, x + 1, 0))
        np.testing.assert_array_equal(all_of_it, np.where(inside, x, 0))


# The text

def test_each_function_is_defined_once_and_after_what_it_calls() -> None:
    source = math_source(PAIRS + PAIRS)
    defined: set[str] = set()
    for text in re.split(r"^(?=MG_INLINE |static )", source, flags=re.MULTILINE):
        code = re.sub(r"//.*", "", text)
        names = re.findall(r"\b(mg_\w+)\(", code)
        if names:
            assert names[0] not in defined
            assert set(names[1:]) <= defined
            defined.add(names[0])
    assert {function_name(*pair) for pair in PAIRS} <= defined


def test_text_has_no_leftovers_of_templates() -> None:
    code = re.sub(r"//.*", "", math_source(PAIRS))
    assert not re.search(r"[$@]|\b(T|I|U|D|H|M|TU|REAL|INT|LANES|BITS)\b", code)


def test_single_precision_text_computes_with_no_double_literals() -> None:
    code = math_source((function, "f32x16") for function in ("exp", "exp2", "log", "log2", "tanh", "erf"))
    assert not re.search(r"\d\.\d+(e[-+]?\d+)?(?![\de.f])", re.sub(r"//.*", "", code))


def test_vector_typedefs_are_sorted_and_each_once() -> None:
    assert vector_typedefs(["u16x8", "f32", "f32x16", "f32x16"]) == (
        "typedef float f32x16 __attribute__((vector_size(64)));\n"
        "typedef unsigned short u16x8 __attribute__((vector_size(16)));")


@pytest.mark.parametrize("name", ["f32x3", "f32x0", "f32x1", "f32x", "g32", "f32x-4", "x4", ""])
def test_names_that_are_no_types_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no C type"):
        vector_typedefs([name])


@pytest.mark.parametrize("pair", [("sinh", "f32"), ("exp", "i32"), ("exp", "f16x4"), ("f16_to_f32", "f64")])
def test_functions_and_types_that_do_not_exist_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=f"unknown function '{pair[0]}'|{pair[0]} has no form for type '{pair[1]}'"):
        math_source([pair])


@pytest.mark.skipif(not X86, reason="reads objects of x86-64")
@pytest.mark.parametrize("build", BUILDS)
def test_no_library_is_needed(build: str) -> None:
    asked: list[str] = []
    load_elf(_compiler(build).compile(_source()), find=lambda name: asked.append(name))
    assert asked == []
