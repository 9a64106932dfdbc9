"""GGUF: files of the reference package are read; other types are refused by name; what lies is refused."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extra.models.gguf import GgufError, gguf_load, parse
from minigrad.dtype import dtypes, round_bfloat16

gguf = pytest.importorskip("gguf")


def write_file(path: Path, alignment: int | None = None) -> dict[str, np.ndarray[Any, Any]]:
    """A file with metadata of every type and tensors of the three supported types."""
    writer = gguf.GGUFWriter(path, "llama")
    if alignment is not None:
        writer.add_custom_alignment(alignment)
    writer.add_uint8("u8", 200)
    writer.add_int8("i8", -100)
    writer.add_uint16("u16", 60000)
    writer.add_int16("i16", -30000)
    writer.add_uint32("u32", 4_000_000_000)
    writer.add_int32("i32", -2_000_000_000)
    writer.add_uint64("u64", 1 << 63)
    writer.add_int64("i64", -(1 << 62))
    writer.add_float32("f32", 0.5)
    writer.add_float64("f64", 0.1)
    writer.add_bool("yes", True)
    writer.add_string("text", "grüß 東")
    writer.add_array("words", ["a", "", "b c"])
    writer.add_array("numbers", [1, 2, 3])
    writer.add_array("nested", [[1, 2], [3]])
    rng = np.random.default_rng(0)
    values: dict[str, np.ndarray[Any, Any]] = {
        "f32": rng.normal(size=(3, 5)).astype(np.float32),
        "f16": rng.normal(size=(2, 3, 4)).astype(np.float16),
        "bf16": round_bfloat16(rng.normal(size=(7,)).astype(np.float32)),
    }
    writer.add_tensor("f32", values["f32"])
    writer.add_tensor("f16", values["f16"])
    writer.add_tensor("bf16", values["bf16"].view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return values


@pytest.mark.parametrize("alignment", [None, 8, 256])
def test_metadata_and_tensors_of_the_reference_writer(tmp_path: Path, alignment: int | None) -> None:
    values = write_file(tmp_path / "x.gguf", alignment)
    data = (tmp_path / "x.gguf").read_bytes()
    file = parse(memoryview(data))
    expected = {
        "u8": 200, "i8": -100, "u16": 60000, "i16": -30000, "u32": 4_000_000_000, "i32": -2_000_000_000,
        "u64": 1 << 63, "i64": -(1 << 62), "f32": 0.5, "f64": 0.1, "yes": True, "text": "grüß 東",
        "words": ["a", "", "b c"],
    }  # fmt: skip
    assert {key: file.metadata[key] for key in expected} == expected
    assert file.metadata["yes"] is True
    assert file.metadata["numbers"].tolist() == [1, 2, 3]
    assert [part.tolist() for part in file.metadata["nested"]] == [[1, 2], [3]]
    assert {name: info.dtype for name, info in file.tensors.items()} == {
        "f32": dtypes.float32, "f16": dtypes.float16, "bf16": dtypes.bfloat16,
    }  # fmt: skip
    for name, info in file.tensors.items():
        got = np.frombuffer(data[info.start : info.end], info.dtype.np).reshape(info.shape)
        np.testing.assert_array_equal(got, values[name])
        assert info.start % (alignment or 32) == 0


def test_tensors_are_the_mapped_file(tmp_path: Path) -> None:
    values = write_file(tmp_path / "x.gguf")
    metadata, tensors = gguf_load(tmp_path / "x.gguf")
    assert metadata["general.architecture"] == "llama"
    np.testing.assert_array_equal(tensors["f32"].numpy(), values["f32"])
    np.testing.assert_array_equal((tensors["f16"] + 0).numpy(), values["f16"])
    widened = (values["bf16"].astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(tensors["bf16"].cast(dtypes.float32).numpy(), widened)


# --- files that lie, made byte by byte --------------------------------------------------------------------------------


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def pair(key: str, kind: int, value: bytes) -> bytes:
    return string(key) + struct.pack("<I", kind) + value


def tensor(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def make_file(
    pairs: list[bytes] | None = None,
    tensors: list[bytes] | None = None,
    data: bytes = b"",
    version: int = 3,
    counts: tuple[int, int] | None = None,
) -> memoryview:
    pairs, tensors = pairs or [], tensors or []
    tensor_count, pair_count = counts or (len(tensors), len(pairs))
    head = b"GGUF" + struct.pack("<IQQ", version, tensor_count, pair_count) + b"".join(pairs) + b"".join(tensors)
    return memoryview(head + bytes(-len(head) % 32) + data)


def test_version_2_is_read_like_version_3() -> None:
    file = make_file([pair("a", 4, b"\1\0\0\0")], [tensor("x", (4, 2))], bytes(32), version=2)
    assert parse(file).metadata == {"a": 1}
    assert parse(file).tensors["x"].shape == (2, 4)  # the file names the fastest dimension first


HUGE = (1 << 64) - 1
NESTED = struct.pack("<IQ", 9, 1) * 20 + struct.pack("<IQ", 0, 0)
BAD: dict[str, tuple[memoryview, str]] = {
    "empty file": (memoryview(b""), "magic"),
    "another magic": (memoryview(b"GGML" + bytes(20)), "b'GGML'"),
    "version 1": (make_file(version=1), "version 1"),
    "version 4": (make_file(version=4), "version 4"),
    "big-endian": (make_file(version=3 << 24), "big-endian"),
    "cut after the version": (make_file()[:10], "tensor count"),
    "tensors beyond the file": (make_file(counts=(HUGE, 0)), "tensor count"),
    "pairs beyond the file": (make_file(counts=(0, HUGE)), "metadata count"),
    "key beyond the file": (make_file([struct.pack("<Q", HUGE) + bytes(20)]), "length of metadata key"),
    "key not UTF-8": (make_file([string(b"\xff\xfe") + struct.pack("<I", 0) + b"\0"]), "UTF-8"),
    "key twice": (make_file([pair("a", 0, b"\1"), pair("a", 0, b"\1")]), "'a' occurs twice"),
    "unknown value type": (make_file([pair("a", 13, b"\1")]), "value type 13"),
    "bool of 2": (make_file([pair("a", 7, b"\2")]), "bool 'a' holds 2"),
    "array of bool 3": (make_file([pair("a", 9, struct.pack("<IQ", 7, 2) + b"\1\3")]), "holds 3"),
    "string beyond the file": (make_file([pair("a", 8, struct.pack("<Q", 1 << 40))]), "length of value of 'a'"),
    "array beyond the file": (make_file([pair("a", 9, struct.pack("<IQ", 4, 1 << 62))]), "length of 'a'"),
    "array of strings beyond": (make_file([pair("a", 9, struct.pack("<IQ", 8, 1 << 50))]), "length of 'a'"),
    "array of unknown type": (make_file([pair("a", 9, struct.pack("<IQ", 99, 1))]), "value type 99"),
    "arrays nested twenty deep": (make_file([pair("a", 9, NESTED)]), "nests arrays"),
    "alignment 0": (make_file([pair("general.alignment", 4, bytes(4))]), "alignment is 0"),
    "alignment 24": (make_file([pair("general.alignment", 4, struct.pack("<I", 24))]), "alignment is 24"),
    "alignment a string": (make_file([pair("general.alignment", 8, string("32"))]), "alignment is '32'"),
    "five dimensions": (make_file(tensors=[tensor("x", (1,) * 5)], data=bytes(32)), "5 dimensions"),
    "four billion dimensions": (make_file(tensors=[string("x") + b"\xff" * 32]), "dimensions"),
    "Q4_K": (make_file(tensors=[tensor("x", (256,), 12)], data=bytes(256)), "'x' has ggml type Q4_K"),
    "Q8_0": (make_file(tensors=[tensor("x", (32,), 8)], data=bytes(256)), "'x' has ggml type Q8_0"),
    "unknown ggml type": (make_file(tensors=[tensor("x", (32,), 77)], data=bytes(256)), "number 77"),
    "misaligned offset": (make_file(tensors=[tensor("x", (1,), 0, 4)], data=bytes(64)), "offset 4"),
    "offset beyond the file": (make_file(tensors=[tensor("x", (1,), 0, 1 << 40)], data=bytes(64)), "the file ends at"),
    "shape beyond the file": (make_file(tensors=[tensor("x", (17,))], data=bytes(64)), "the file ends at"),
    "shape overflows 64 bits": (make_file(tensors=[tensor("x", (1 << 33, 1 << 33))], data=bytes(64)), "impossible"),
    "empty but huge": (make_file(tensors=[tensor("x", (0, 1 << 63))], data=bytes(64)), "impossible"),
    "name twice": (
        make_file(tensors=[tensor("x", (1,)), tensor("x", (1,), 0, 32)], data=bytes(64)), "'x' occurs twice"),
    "overlap": (
        make_file(tensors=[tensor("x", (16,)), tensor("y", (4,), 0, 32)], data=bytes(64)), "'x' and 'y' overlap"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_lying_file_is_refused(name: str) -> None:
    file, message = BAD[name]
    with pytest.raises(GgufError, match=message):
        parse(file)


# --- fuzzing ----------------------------------------------------------------------------------------------------------

VALID = bytes(
    make_file(
        [
            pair("text", 8, string("abc")),
            pair("general.alignment", 4, struct.pack("<I", 32)),
            pair("list", 9, struct.pack("<IQ", 8, 2) + string("x") + string("yz")),
            pair("nested", 9, struct.pack("<IQIQ", 9, 1, 5, 2) + bytes(8)),
            pair("scores", 9, struct.pack("<IQ", 6, 3) + bytes(12)),
        ],
        [tensor("a", (2, 3)), tensor("b", (5,), 1, 32), tensor("c", (2, 2), 30, 64)],
        bytes(range(72)),
    )
)


@st.composite
def mutated(draw: st.DrawFn, original: bytes) -> bytes:
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "set", "insert", "delete", "cut", "huge"]))
        if kind == "flip" and data:
            data[position] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set" and data:
            data[position] = draw(st.integers(0, 255))
        elif kind == "insert":
            data[position:position] = draw(st.binary(min_size=1, max_size=9))
        elif kind == "delete":
            del data[position : position + draw(st.integers(1, 9))]
        elif kind == "cut":
            del data[position:]
        else:
            data[position : position + 8] = draw(st.integers(0, HUGE)).to_bytes(8, "little")
    return bytes(data)


@settings(deadline=None, max_examples=500)
@given(mutated(VALID))
def test_damaged_file_is_refused_or_within_its_bounds(data: bytes) -> None:
    try:
        file = parse(memoryview(data))
    except GgufError:
        return
    position = 0
    for info in sorted(file.tensors.values(), key=lambda info: (info.start, info.end)):
        assert 0 <= info.start <= info.end <= len(data)
        assert info.end - info.start == int(np.prod(info.shape, dtype=object)) * info.dtype.itemsize
        assert info.start == info.end or info.start >= position
        position = max(position, info.end)


def test_error_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(bytes(make_file(version=9)))
    with pytest.raises(GgufError, match=r"bad\.gguf: gguf: version 9"):
        gguf_load(tmp_path / "bad.gguf")
