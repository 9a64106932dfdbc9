"""The safetensors file format: headers in and out, bytes only, no Tensor.

A file is an 8-byte little-endian length N, N bytes of JSON, then the tensors' bytes. The JSON maps each name to
``{"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}``, offsets counted from the end of the JSON;
``__metadata__`` maps strings to strings. The bytes of the tensors fill the rest of the file without overlap or hole.

A file comes from outside, so `parse_header` believes nothing: every length, offset, shape and name is checked against
the file's size, and what does not fit raises `SafetensorsError` (a ValueError) naming the tensor and the offsets.

    >>> header = write_header({"x": (dtypes.float32, (2,))})
    >>> parse_header(memoryview(header + bytes(8)))["x"].shape
    (2,)

Layout: https://huggingface.co/docs/safetensors/index#format
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minigrad.dtype import DType, dtypes
from minigrad.helpers import prod

# The reference reader's own limit; a real header of a 405B model is under 1 MB.
MAX_HEADER_BYTES = 100_000_000
MAX_DIMENSIONS = 32
METADATA_KEY = "__metadata__"

DTYPE_OF_NAME: dict[str, DType] = {
    "BOOL": dtypes.bool, "F16": dtypes.float16, "BF16": dtypes.bfloat16, "F32": dtypes.float32, "F64": dtypes.float64,
    "U8": dtypes.uint8, "U16": dtypes.uint16, "U32": dtypes.uint32, "U64": dtypes.uint64,
    "I8": dtypes.int8, "I16": dtypes.int16, "I32": dtypes.int32, "I64": dtypes.int64,
}
NAME_OF_DTYPE: dict[DType, str] = {dtype: name for name, dtype in DTYPE_OF_NAME.items()}


class SafetensorsError(ValueError):
    """A file that is not what its header says, or a header that says nothing sensible."""


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies in a file: bytes `start` to `end`, counted from the file's first byte."""

    dtype: DType
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """Everything the JSON says: tensors in order of their offsets, and the free-form metadata."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]


def parse_header(file: memoryview) -> dict[str, TensorInfo]:
    """The tensors of a whole file's bytes (usually a mapping), by name. Raises SafetensorsError."""
    return parse(file).tensors


def parse(file: memoryview) -> Header:
    """Check the header of a whole file's bytes and return it. Reads nothing but the header. Raises SafetensorsError."""
    size = file.nbytes
    if size < 8:
        raise SafetensorsError(f"safetensors: the file has {size} bytes, the header's length alone takes 8")
    header_bytes = int.from_bytes(file[:8], "little")
    if header_bytes > MAX_HEADER_BYTES:
        raise SafetensorsError(f"safetensors: header of {header_bytes} bytes exceeds the limit of {MAX_HEADER_BYTES}")
    data_start = 8 + header_bytes
    if data_start > size:
        raise SafetensorsError(f"safetensors: header says bytes 8 to {data_start}, the file ends at {size}")
    entries = _parse_json(bytes(file[8:data_start]))
    metadata = _check_metadata(entries.pop(METADATA_KEY, {}))
    tensors = {name: _check_tensor(name, entry, data_start, size) for name, entry in entries.items()}
    ordered = dict(sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)))
    _check_layout(ordered, data_start, size)
    return Header(ordered, metadata)


def write_header(tensors: Mapping[str, tuple[DType, tuple[int, ...]]],
                 metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes before the data, for tensors that follow in this order. Its length is a multiple of 64, so that a
    mapped file gives aligned data whenever the element sizes descend. Raises SafetensorsError for a dtype or a name
    that the format cannot hold."""
    entries: dict[str, Any] = {}
    if metadata:
        entries[METADATA_KEY] = dict(metadata)
        _check_metadata(entries[METADATA_KEY])
    offset = 0
    for name, (dtype, shape) in tensors.items():
        if name == METADATA_KEY:
            raise SafetensorsError(f"safetensors: {name!r} cannot be the name of a tensor")
        if dtype not in NAME_OF_DTYPE:
            raise SafetensorsError(f"safetensors: tensor {name!r} has dtype {dtype}, which the format does not know")
        end = offset + prod(shape) * dtype.itemsize
        entries[name] = {"dtype": NAME_OF_DTYPE[dtype], "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    padding = -(8 + len(text)) % 64
    return (len(text) + padding).to_bytes(8, "little") + text + b" " * padding


def checked_size(name: str, dtype: DType, shape: tuple[int, ...]) -> int:
    """The bytes of a tensor. An empty one may not hide dimensions whose product no address could hold."""
    if prod(extent for extent in shape if extent) * dtype.itemsize >= 1 << 62:
        raise SafetensorsError(f"tensor {name!r} has the impossible shape {str(shape):.200}")
    return int(prod(shape)) * dtype.itemsize


def _parse_json(text: bytes) -> dict[str, Any]:
    try:
        entries = json.loads(text.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except SafetensorsError:
        raise
    except RecursionError:
        raise SafetensorsError("safetensors: the header's JSON is nested too deeply") from None
    except ValueError as error:  # bad UTF-8, bad JSON, or an integer with thousands of digits
        raise SafetensorsError(f"safetensors: the header (bytes 8 to {8 + len(text)}) is not JSON: {error}") from None
    if not isinstance(entries, dict):
        raise SafetensorsError(f"safetensors: the header is a JSON {type(entries).__name__}, not an object")
    return entries


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in result if names.count(name) > 1)
        raise SafetensorsError(f"safetensors: the header has the key {twice!r} more than once")
    return result


def _no_constant(text: str) -> float:
    raise SafetensorsError(f"safetensors: the header holds {text}, which is not JSON")


def _check_metadata(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict):
        raise SafetensorsError(f"safetensors: {METADATA_KEY} is a {type(metadata).__name__}, not an object")
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise SafetensorsError(f"safetensors: {METADATA_KEY} maps strings to strings, got {key!r}: {value!r:.80}")
    return metadata


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check_tensor(name: str, entry: Any, data_start: int, size: int) -> TensorInfo:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise SafetensorsError(f"safetensors: tensor {name!r} needs dtype, shape and data_offsets, got {entry!r:.200}")
    dtype_name, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype_name, str) or dtype_name not in DTYPE_OF_NAME:
        known = ", ".join(DTYPE_OF_NAME)
        raise SafetensorsError(f"safetensors: tensor {name!r} has dtype {dtype_name!r:.80}, known are {known}")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(map(_is_count, shape)):
        raise SafetensorsError(f"safetensors: tensor {name!r} has shape {shape!r:.200}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
        raise SafetensorsError(f"safetensors: tensor {name!r} has data_offsets {offsets!r:.200}")
    start, end = data_start + offsets[0], data_start + offsets[1]
    if not start <= end <= size:
        raise SafetensorsError(f"safetensors: tensor {name!r} is at bytes {start} to {end}, the file ends at {size}")
    dtype = DTYPE_OF_NAME[dtype_name]
    needed = checked_size(name, dtype, tuple(shape))
    if needed != end - start:
        raise SafetensorsError(f"safetensors: tensor {name!r}, {dtype_name} of shape {shape}, takes {needed} bytes; "
                               f"data_offsets {offsets} hold {end - start}")
    return TensorInfo(dtype, tuple(shape), start, end)


def _check_layout(ordered: dict[str, TensorInfo], data_start: int, size: int) -> None:
    """Each tensor begins where the one before it ended, and the last ends with the file."""
    position, previous = data_start, "the header"
    for name, info in ordered.items():
        if info.start != position:
            problem = "overlaps" if info.start < position else "leaves a hole after"
            raise SafetensorsError(f"safetensors: tensor {name!r} begins at byte {info.start} and {problem} "
                                   f"{previous}, which ends at {position}")
        position, previous = info.end, repr(name)
    if position != size:
        raise SafetensorsError(f"safetensors: {previous} ends at byte {position}, the file at {size}")
