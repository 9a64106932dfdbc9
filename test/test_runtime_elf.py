"""The loader of objects: what compilers emit runs, what is damaged is refused."""
from __future__ import annotations

import ctypes
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.runtime.compiler import Compiler, _candidates, find_compiler, try_compiler
from minigrad.runtime.elf import ElfError, LoadedObject, load_elf, load_shared
from minigrad.runtime.objects import load_object, load_source
from minigrad.target import host_target

x86_only = pytest.mark.skipif(host_target().arch != "x86_64", reason="other machines link shared libraries")
COMPILERS = [found for found in map(try_compiler, _candidates()) if found]
each_compiler = pytest.mark.parametrize("compiler", COMPILERS, ids=lambda c: c.version.split()[0] + "-" + c.kind)


def call(address: int, result: type, *arguments: tuple[type, object]) -> object:
    kinds, values = zip(*arguments) if arguments else ((), ())
    return ctypes.CFUNCTYPE(result, *kinds)(address)(*values)


@each_compiler
def test_constants_switches_and_loops_run(compiler: Compiler) -> None:
    code = load_object(compiler.compile("""
        static const double table[5] = {1.5, -2.5, 3.25, 1e300, -0.0};
        double pick(long i) { return table[i % 5] + 0.25; }
        int choose(int i) {
            switch (i) { case 0: return 7; case 1: return -3; case 2: return 99; case 3: return 12; case 4: return 5;
                         case 5: return 1000; default: return -1; } }
        const char *name(int i) { static const char *names[3] = {"zero", "one", "two"}; return names[i]; }
        """), compiler)
    assert [call(code["pick"], ctypes.c_double, (ctypes.c_long, i)) for i in range(4)] == [1.75, -2.25, 3.5, 1e300]
    assert [call(code["choose"], ctypes.c_int, (ctypes.c_int, i)) for i in range(7)] == [7, -3, 99, 12, 5, 1000, -1]
    assert [call(code["name"], ctypes.c_char_p, (ctypes.c_int, i)) for i in range(3)] == [b"zero", b"one", b"two"]


@each_compiler
def test_functions_of_the_math_and_c_libraries_are_found(compiler: Compiler) -> None:
    code = load_object(compiler.compile("""
        double fmod(double, double); float expf(float); void *memset(void *, int, unsigned long);
        double mixed(double x) { return fmod(x, 3.0) + (double)expf(1.0f); }
        void clear(char *place, long size) { for (long i = 0; i < size; i++) place[i] = 7; }
        """), compiler)
    assert call(code["mixed"], ctypes.c_double, (ctypes.c_double, 7.5)) == pytest.approx(1.5 + math.e, rel=1e-6)
    place = ctypes.create_string_buffer(4000)
    call(code["clear"], ctypes.c_int, (ctypes.c_void_p, ctypes.addressof(place)), (ctypes.c_long, 4000))
    assert place.raw == b"\x07" * 4000


@each_compiler
def test_zeroed_and_initialised_variables_keep_their_values_between_calls(compiler: Compiler) -> None:
    code = load_object(compiler.compile("""
        static long counts[100000] __attribute__((aligned(4096)));
        long total = 1000000000000;
        long *where = &counts[77];
        long next(void) { total += 1; return total + ++*where; }
        long address(void) { return (long)counts; }
        """), compiler)
    assert [call(code["next"], ctypes.c_long) for _ in range(3)] == [1000000000002, 1000000000004, 1000000000006]
    assert call(code["address"], ctypes.c_long) % 4096 == 0


@each_compiler
def test_functions_of_one_object_call_each_other(compiler: Compiler) -> None:
    code = load_object(compiler.compile("""
        long even(long n);
        __attribute__((noinline)) long odd(long n) { return n == 0 ? 0 : even(n - 1); }
        __attribute__((noinline)) long even(long n) { return n == 0 ? 1 : odd(n - 1); }
        long (*pointers[2])(long) = {even, odd};
        long through_pointer(int which, long n) { return pointers[which](n); }
        """), compiler)
    assert call(code["even"], ctypes.c_long, (ctypes.c_long, 10)) == 1
    assert call(code["through_pointer"], ctypes.c_long, (ctypes.c_int, 1), (ctypes.c_long, 7)) == 1


def half(value: float, kind: str) -> int:
    """The bits of the nearest 16-bit float, from Python's own conversion (f16) or by comparing neighbours (bf16)."""
    if kind == "f16":
        try:
            return int.from_bytes(struct.pack("<e", value), "little")
        except OverflowError:
            return 0x7C00 | (0x8000 if value < 0 else 0)
    if math.isinf(value) or math.isnan(value):
        return int.from_bytes(struct.pack("<f", value), "little") >> 16
    sign = 0x8000 if math.copysign(1.0, value) < 0 else 0

    def widen(bits: int) -> float:
        return struct.unpack("<f", (bits << 16).to_bytes(4, "little"))[0] if bits < 0x7F80 else 2.0 ** 128
    first, last = 0, 0x7F80
    while last - first > 1:
        middle = (first + last) // 2
        first, last = (middle, last) if widen(middle) <= abs(value) else (first, middle)
    down, up = abs(value) - widen(first), widen(last) - abs(value)
    return sign | (first if down < up or (down == up and first % 2 == 0) else last)


@pytest.mark.parametrize("kind,word", [("f16", "_Float16"), ("bf16", "__bf16")])
@pytest.mark.parametrize("flags", [(), ("-march=x86-64",)], ids=["native", "plain"])
@x86_only
def test_conversions_to_16_bit_floats_round_to_nearest_even(kind: str, word: str, flags: tuple[str, ...]) -> None:
    compiler = find_compiler()
    if kind not in compiler.features:
        pytest.skip(f"{compiler.version} has no {word}")
    code = load_object(compiler.compile(f"""
        union half {{ unsigned short bits; {word} value; }};
        unsigned short from_double(double x) {{ union half u; u.value = x; return u.bits; }}
        unsigned short from_float(float x) {{ union half u; u.value = x; return u.bits; }}
        float back(unsigned short bits) {{ union half u = {{bits}}; return u.value; }}
        """, flags), compiler)
    tiny = 2.0 ** (-24 if kind == "f16" else -133)
    step = 2.0 ** (-10 if kind == "f16" else -7)
    values = [0.0, -0.0, 1.0, -1.5, 1 + step / 2, 1 + step * 1.5, 1 + step / 2 + 1e-12, 1 + step / 2 - 1e-12, 0.1,
              math.pi, 65504.0, 65519.0, 65520.0, 1e30, 3.4e38, 1e300, -1e300, math.inf, -math.inf, tiny, tiny / 2,
              tiny * 0.500001, tiny * 1.5, tiny * 1023.5, tiny * 127.5, 5e-324]
    for value in values:
        got = call(code["from_double"], ctypes.c_uint16, (ctypes.c_double, value))
        assert got == half(value, kind), value
        single = ctypes.c_float(value).value
        if kind == "bf16" and not flags and abs(single) < 2.0 ** -126:
            continue  # the processor's own instruction takes subnormal numbers for zero
        got = call(code["from_float"], ctypes.c_uint16, (ctypes.c_float, single))
        assert got == half(single, kind), single
    nan = call(code["from_double"], ctypes.c_uint16, (ctypes.c_double, math.nan))
    assert math.isnan(call(code["back"], ctypes.c_float, (ctypes.c_uint16, nan)))
    if kind == "f16":
        for bits in (*range(0, 0x7C01, 31), 0x0001, 0x03FF, 0x0400, 0x7BFF, 0x7C00, 0x8001, 0xFC00):
            expected = struct.unpack("<e", bits.to_bytes(2, "little"))[0]
            assert call(code["back"], ctypes.c_float, (ctypes.c_uint16, bits)) == expected


def test_a_function_nobody_has_is_named() -> None:
    with pytest.raises(ElfError, match="no_such_function"):
        load_source("int no_such_function(int); int f(void) { return no_such_function(1); }")


def test_a_missing_name_is_answered_with_the_names_there_are() -> None:
    code = load_source("int f(void) { return 1; }\nint g(void) { return 2; }")
    with pytest.raises(ElfError, match="f, g"):
        code["h"]


def test_linking_a_shared_library_gives_the_same_functions() -> None:
    compiler = find_compiler()
    source = "float expf(float); float f(float x) { return expf(x) + 1; }"
    code = load_shared([compiler.compile(source)], compiler.link)
    assert call(code["f"], ctypes.c_float, (ctypes.c_float, 0.0)) == 2.0
    assert "g" not in code.functions


# ---- damage

OBJECT = find_compiler().compile("""
    static const float table[9] = {1, 2, 3}; static long zeroed[50]; long start = 5; long *pointer = zeroed + 3;
    float expf(float); double fmod(double, double); extern char **environ;
    float f(float x, int i) {
        zeroed[i] += start;
        return expf(x) * table[i] + (float)fmod(x, 2.0) + (float)(long)environ; }
    int g(int i) {
        switch (i) { case 0: return 7; case 1: return -3; case 2: return 9; case 3: return 12; case 4: return 5; }
        return *pointer; }
    """) if host_target().arch == "x86_64" else b""


@x86_only
def test_the_undamaged_object_loads() -> None:
    assert set(load_elf(OBJECT).functions) == {"f", "g"}


@x86_only
@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF" + bytes(100), b"not an object at all" * 10, OBJECT[:64]])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(ElfError):
        load_elf(data)


@x86_only
def test_every_truncation_is_refused() -> None:
    table, = struct.unpack_from("<Q", OBJECT, 40)
    for size in range(0, len(OBJECT), 7):
        if size < table + 64:
            with pytest.raises(ElfError):
                load_elf(OBJECT[:size])


@x86_only
@given(st.lists(st.tuples(st.integers(0, max(0, len(OBJECT) - 1)), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_bytes_never_crash_the_loader(damage: list[tuple[int, int]]) -> None:
    data = bytearray(OBJECT)
    for place, value in damage:
        data[place] = value
    try:
        assert isinstance(load_elf(bytes(data)), LoadedObject)
    except (ElfError, MemoryError):
        pass


@x86_only
@given(st.integers(0, 15), st.sampled_from([4, 8, 24, 32, 40, 44, 48]), st.integers(0, 2 ** 32 - 1))
def test_damaged_section_headers_never_crash_the_loader(section: int, place: int, value: int) -> None:
    table, = struct.unpack_from("<Q", OBJECT, 40)
    data = bytearray(OBJECT)
    offset = table + section * 64 + place
    if offset + 8 <= len(data):
        data[offset:offset + 8] = value.to_bytes(8, "little")
    try:
        assert isinstance(load_elf(bytes(data)), LoadedObject)
    except (ElfError, MemoryError):
        pass
