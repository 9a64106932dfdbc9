"""GGUF files, versions 2 and 3: metadata and tensors, mapped and never copied.

In goes the path of a file (or, for `parse`, its bytes), out come the metadata as Python values and the tensors. F32,
F16 and BF16 tensors are read; other ggml types are refused by name. A file comes from outside, so every count,
length, offset and dimension is checked against the file's size before it is used, and what does not fit raises
`GgufError` (a ValueError) with the offset. Nothing is allocated by a number that the file merely claims.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
    magic "GGUF", u32 version, u64 tensors, u64 pairs; the pairs: string key, u32 type, value; the tensors: string name,
    u32 dimensions, u64 each (fastest first), u32 ggml type, u64 offset; padding to `general.alignment`; the data.

Not done here: renaming tensors, undoing llama.cpp's row permutation (extra/models/checkpoint.py does both).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.dtype import DType, dtypes
from minigrad.nn.state import mapped_tensors
from minigrad.runtime.disk import map_file
from minigrad.runtime.safetensors import SafetensorsError, TensorInfo, checked_size
from minigrad.tensor import Tensor

MAX_DIMENSIONS = 4
MAX_NESTING = 8
DEFAULT_ALIGNMENT = 32

# Metadata value types: number in the file -> numpy type. 8 is a string, 9 an array.
SCALAR_TYPES: dict[int, str] = {
    0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "u1", 10: "<u8", 11: "<i8", 12: "<f8",
}  # fmt: skip
BOOL, STRING, ARRAY = 7, 8, 9

GGML_NAMES: dict[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K",
    12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
    20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
    29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4",
}  # fmt: skip
GGML_DTYPES: dict[str, DType] = {"F32": dtypes.float32, "F16": dtypes.float16, "BF16": dtypes.bfloat16}


class GgufError(ValueError):
    """A file that is not GGUF, that lies about itself, or that holds a type this reader does not know."""


@dataclass(frozen=True)
class Gguf:
    """A parsed file. Arrays of numbers in `metadata` are numpy arrays, arrays of strings and arrays are lists."""

    metadata: dict[str, Any]
    tensors: dict[str, TensorInfo]


def gguf_load(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The metadata and the tensors of a file; the tensors are the mapped file itself, read-only.

    Raises GgufError for what does not fit, OSError for a file that cannot be opened."""
    mapped = map_file(path)
    try:
        file = parse(mapped.bytes)
    except GgufError as error:
        raise GgufError(f"{os.fspath(path)}: {error}") from None
    return file.metadata, mapped_tensors(mapped, file.tensors)


def parse(file: memoryview) -> Gguf:
    """Check and read everything in front of the tensors' data. Raises GgufError."""
    reader = _Reader(file)
    if (magic := bytes(reader.take(4, "magic"))) != b"GGUF":
        raise GgufError(f"gguf: the file begins with {magic!r}, not b'GGUF'")
    version = reader.integer("<u4", "version")
    if version not in (2, 3):
        hint = " (a big-endian file)" if version.to_bytes(4, "big") in (b"\2\0\0\0", b"\3\0\0\0") else ""
        raise GgufError(f"gguf: version {version}{hint} is not supported, 2 and 3 are")
    tensor_count = reader.count(24, "tensor count")  # the smallest: empty name, no dimension, type, offset
    pair_count = reader.count(13, "metadata count")  # the smallest: empty key, type, one byte
    metadata: dict[str, Any] = {}
    for _ in range(pair_count):
        key = reader.string("metadata key")
        if key in metadata:
            raise GgufError(f"gguf: metadata key {key!r} occurs twice, again before byte {reader.offset}")
        metadata[key] = _read_value(reader, reader.integer("<u4", f"type of {key!r}"), key, 0)
    alignment = _check_alignment(metadata.get("general.alignment", DEFAULT_ALIGNMENT))
    claims: dict[str, tuple[DType, tuple[int, ...], int]] = {}
    for _ in range(tensor_count):
        name = reader.string("tensor name")
        if name in claims:
            raise GgufError(f"gguf: tensor {name!r} occurs twice, again before byte {reader.offset}")
        claims[name] = _read_tensor_claim(reader, name)
    data_start = -(-reader.offset // alignment) * alignment
    return Gguf(metadata, _place_tensors(claims, data_start, alignment, file.nbytes))


class _Reader:
    """A position in the file's bytes that never passes their end."""

    def __init__(self, file: memoryview) -> None:
        self.file = file.cast("B") if file.format != "B" or file.ndim != 1 else file
        self.size = file.nbytes
        self.offset = 0

    def take(self, count: int, what: str) -> memoryview:
        if count > self.size - self.offset:
            raise GgufError(f"gguf: {what} at byte {self.offset} takes {count} bytes, the file ends at {self.size}")
        self.offset += count
        return self.file[self.offset - count : self.offset]

    def integer(self, kind: str, what: str) -> int:
        data = self.take(4 if kind == "<u4" else 8, what)
        return int.from_bytes(data, "little")

    def count(self, smallest: int, what: str) -> int:
        """A u64 that counts things of at least `smallest` bytes each, all of which must still fit in the file."""
        start, value = self.offset, self.integer("<u8", what)
        if value * smallest > self.size - self.offset:
            raise GgufError(f"gguf: {what} at byte {start} is {value}, more than the file's {self.size} bytes can hold")
        return value

    def string(self, what: str) -> str:
        start, length = self.offset, self.count(1, f"length of {what}")
        try:
            return str(self.take(length, what), "utf-8")
        except UnicodeDecodeError as error:
            raise GgufError(f"gguf: {what} at byte {start} is not UTF-8: {error}") from None


def _read_value(reader: _Reader, kind: int, key: str, depth: int) -> Any:
    if kind == STRING:
        return reader.string(f"value of {key!r}")
    if kind == ARRAY:
        return _read_array(reader, key, depth)
    if kind not in SCALAR_TYPES:
        raise GgufError(f"gguf: {key!r} has value type {kind}, unknown, before byte {reader.offset}")
    element = np.dtype(SCALAR_TYPES[kind])
    value = np.frombuffer(reader.take(element.itemsize, f"value of {key!r}"), element)[0].item()
    return _check_bool(value, key, reader.offset) if kind == BOOL else value


def _read_array(reader: _Reader, key: str, depth: int) -> Any:
    if depth >= MAX_NESTING:
        raise GgufError(f"gguf: {key!r} nests arrays more than {MAX_NESTING} deep, at byte {reader.offset}")
    kind = reader.integer("<u4", f"element type of {key!r}")
    if kind == STRING:
        return [reader.string(f"element of {key!r}") for _ in range(reader.count(8, f"length of {key!r}"))]
    if kind == ARRAY:
        length = reader.count(12, f"length of {key!r}")
        return [_read_array(reader, key, depth + 1) for _ in range(length)]
    if kind not in SCALAR_TYPES:
        raise GgufError(f"gguf: {key!r} is an array of value type {kind}, unknown, before byte {reader.offset}")
    element = np.dtype(SCALAR_TYPES[kind])
    length = reader.count(element.itemsize, f"length of {key!r}")
    # A copy: a view would keep the whole mapping alive.
    values = np.frombuffer(reader.take(length * element.itemsize, f"elements of {key!r}"), element).copy()
    if kind == BOOL:
        _check_bool(int(values.max(initial=0)), key, reader.offset)
        return values.astype(np.bool_)
    return values


def _check_bool(value: int, key: str, end: int) -> bool:
    if value > 1:
        raise GgufError(f"gguf: bool {key!r} holds {value}, before byte {end}")
    return bool(value)


def _check_alignment(alignment: Any) -> int:
    if not isinstance(alignment, int) or isinstance(alignment, bool) or alignment < 1 or alignment & (alignment - 1):
        raise GgufError(f"gguf: general.alignment is {alignment!r:.80}, not a power of two")
    return alignment


def _read_tensor_claim(reader: _Reader, name: str) -> tuple[DType, tuple[int, ...], int]:
    """(dtype, shape, offset from the data's start), as the file claims them; only the dtype is checked here."""
    dimensions = reader.integer("<u4", f"dimensions of {name!r}")
    if dimensions > MAX_DIMENSIONS:
        raise GgufError(f"gguf: tensor {name!r} has {dimensions} dimensions, ggml knows {MAX_DIMENSIONS}")
    extents = struct.unpack(f"<{dimensions}Q", reader.take(8 * dimensions, f"shape of {name!r}"))
    number = reader.integer("<u4", f"type of {name!r}")
    kind = GGML_NAMES.get(number, f"number {number}")
    if kind not in GGML_DTYPES:
        raise GgufError(f"gguf: tensor {name!r} has ggml type {kind}; {', '.join(GGML_DTYPES)} are supported")
    return GGML_DTYPES[kind], tuple(reversed(extents)), reader.integer("<u8", f"offset of {name!r}")


def _place_tensors(claims: dict[str, tuple[DType, tuple[int, ...], int]], data_start: int, alignment: int,
                   size: int) -> dict[str, TensorInfo]:
    tensors: dict[str, TensorInfo] = {}
    for name, (dtype, shape, offset) in claims.items():
        start = data_start + offset
        try:
            end = start + checked_size(name, dtype, shape)
        except SafetensorsError as error:
            raise GgufError(f"gguf: {error}") from None
        if offset % alignment:
            raise GgufError(f"gguf: tensor {name!r} has offset {offset}, not a multiple of the alignment {alignment}")
        if end > size:
            raise GgufError(f"gguf: tensor {name!r}, {dtype} of shape {shape}, is at bytes {start} to {end}, "
                            f"the file ends at {size}")
        tensors[name] = TensorInfo(dtype, shape, start, end)
    previous, position = "", 0
    for name, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if info.start < position and info.start != info.end:
            raise GgufError(f"gguf: tensors {previous!r} and {name!r} overlap at byte {info.start}")
        if info.end > position:
            previous, position = name, info.end
    return tensors
