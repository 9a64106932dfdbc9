"""Models to files and back: the tensors of an object by name, and safetensors saved and loaded.

    state = get_state_dict(model)              # {"layers.0.weight": Tensor, ...}
    safe_save(state, "model.safetensors")      # atomic: killed at any moment, the old file or the new one is there
    load_state_dict(model, safe_load("model.safetensors"))

Loaded tensors are the mapped file itself: nothing is read before it is used, nothing is copied, and pages are shared
with every process that maps the same file. They are read-only; assigning to one gives it memory of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.dtype import dtypes
from minigrad.runtime import safetensors
from minigrad.runtime.device import Buffer, default_device, get_device
from minigrad.runtime.disk import MappedFile, PathLike, map_file, write_atomically
from minigrad.runtime.safetensors import SafetensorsError, TensorInfo
from minigrad.tensor import Tensor
from minigrad.uops import Ops, UOp

MODEL_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
MAX_INDEX_BYTES = 100_000_000

# --- the tensors of an object -----------------------------------------------------------------------------------------


def get_state_dict(model: Any, prefix: str = "") -> dict[str, Tensor]:
    """Every Tensor that hangs on `model` through attributes, lists, tuples and dicts, named by the way to it, joined
    with dots, as torch names them. A tensor with two names (a tied weight) is there twice, the same object. What
    hangs on an attribute whose name begins with an underscore is the model's own affair (a table, a cache)."""
    found: dict[str, Tensor] = {}
    _collect(model, prefix.rstrip("."), found, set())
    return found


def _collect(value: Any, name: str, found: dict[str, Tensor], open_objects: set[int]) -> None:
    if isinstance(value, Tensor):
        found[name] = value
        return
    if isinstance(value, Mapping):
        children: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list | tuple):
        children = enumerate(value)
    elif hasattr(value, "__dict__") and not isinstance(value, type):
        children = [(key, child) for key, child in vars(value).items() if not key.startswith("_")]
    else:
        return
    if id(value) in open_objects:  # a cycle: this object is being walked further up
        return
    open_objects.add(id(value))
    for key, child in children:
        _collect(child, f"{name}.{key}" if name else str(key), found, open_objects)
    open_objects.discard(id(value))


def get_parameters(model: Any) -> list[Tensor]:
    """The tensors of `get_state_dict`, each once."""
    return list({id(tensor): tensor for tensor in get_state_dict(model).values()}.values())


def load_state_dict(model: Any, state: Mapping[str, Tensor], strict: bool = True) -> None:
    """Make the model's tensors those of `state`. Nothing is copied: the dtype is the given tensor's.

    Raises ValueError for shapes that differ, and, with `strict`, for names that one side lacks; the model is then
    unchanged."""
    own = get_state_dict(model)
    missing, surplus = [n for n in own if n not in state], [n for n in state if n not in own]
    if strict and (missing or surplus):
        raise ValueError(f"load_state_dict: {_some('missing', missing)}; {_some('not in the model', surplus)}")
    shared = [name for name in own if name in state]
    for name in shared:
        if own[name].shape != state[name].shape:
            raise ValueError(f"load_state_dict: {name!r} has shape {state[name].shape}, "
                             f"the model's is {own[name].shape}")
    for name in shared:
        own[name].replace(state[name].to(own[name].device))


def _some(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{what}: {', '.join(map(repr, names[:5])) or 'none'}{more}"


# --- saving -----------------------------------------------------------------------------------------------------------


def safe_save(tensors: Mapping[str, Tensor], path: PathLike, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as one safetensors file, atomically: until the last byte is on the disk, the old file stays.

    Raises ValueError for names, dtypes or shapes that the format cannot hold, OSError for what the disk refuses."""
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"safe_save: {name!r} is a {type(tensor).__name__}, not a Tensor")
        if not all(isinstance(extent, int) for extent in tensor.shape):
            raise ValueError(f"safe_save: {name!r} has the symbolic shape {tensor.shape}")
    # Large elements first, so that every tensor is aligned to its element size.
    ordered = dict(sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])))
    header = safetensors.write_header({n: (t.dtype, tuple(t.shape)) for n, t in ordered.items()}, metadata)

    def parts() -> Iterator[bytes | memoryview]:
        yield header
        for tensor in ordered.values():
            yield tensor_bytes(tensor)

    write_atomically(path, parts())


def tensor_bytes(tensor: Tensor) -> memoryview:
    """A tensor's elements, in row-major order, as bytes."""
    bits = tensor.bitcast(dtypes.uint16) if tensor.dtype is dtypes.bfloat16 else tensor
    return np.ascontiguousarray(bits.detach().numpy()).reshape(-1).view(np.uint8).data


# --- loading ----------------------------------------------------------------------------------------------------------


def safe_load(path: PathLike) -> dict[str, Tensor]:
    """The tensors of a safetensors file, of a folder's (one file, or several with an index), or of an index.

    Raises SafetensorsError (a ValueError) for a file that does not fit its header, OSError for one that cannot be
    opened."""
    path = Path(path)
    if path.is_dir():
        index, single = path / INDEX_NAME, path / MODEL_NAME
        if index.is_file():
            return _load_shards(index)
        if single.is_file():
            return _load_file(single)[0]
        raise SafetensorsError(f"{path} has neither {INDEX_NAME} nor {MODEL_NAME}")
    return _load_shards(path) if path.suffix == ".json" else _load_file(path)[0]


def safe_load_metadata(path: PathLike) -> tuple[dict[str, Tensor], dict[str, str]]:
    """`safe_load` of a single file, with the strings that were saved beside the tensors."""
    return _load_file(Path(path))


def mapped_tensors(mapped: MappedFile, infos: Mapping[str, TensorInfo]) -> dict[str, Tensor]:
    """Tensors over a mapped file, at whatever alignment their bytes have; copied only if the default device does not
    compute on the host's memory."""
    device = default_device()
    place = device if get_device(device).is_host else "CPU"
    return {name: tensor_of(mapped.buffer(info.start, info.shape, info.dtype, place)).to(device)
            for name, info in infos.items()}


def tensor_of(buffer: Buffer) -> Tensor:
    """The tensor whose memory is a buffer."""
    return Tensor._wrap(UOp(Ops.BUFFER, buffer.dtype, (), buffer), buffer.device)


def _load_file(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    mapped = map_file(path)
    try:
        header = safetensors.parse(mapped.bytes)
        for name, info in header.tensors.items():
            data = mapped.bytes[info.start:info.end]
            if info.dtype is dtypes.bool and np.frombuffer(data, np.uint8).max(initial=0) > 1:
                raise SafetensorsError(f"safetensors: BOOL tensor {name!r} holds bytes other than 0 and 1")
    except SafetensorsError as error:
        raise SafetensorsError(f"{path}: {error}") from None
    return mapped_tensors(mapped, header.tensors), header.metadata


def _load_shards(index: Path) -> dict[str, Tensor]:
    if index.stat().st_size > MAX_INDEX_BYTES:
        raise SafetensorsError(f"{index} has {index.stat().st_size} bytes, more than any index needs")
    try:
        weight_map = json.loads(index.read_bytes())["weight_map"]
        files = dict.fromkeys(weight_map.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SafetensorsError(f"{index} is not an index with a weight_map: {error}") from None
    shards: dict[str, dict[str, Tensor]] = {}
    for name in files:
        if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
            raise SafetensorsError(f"{index}: {name!r} is not a file name within the folder")
        if not (index.parent / name).is_file():
            raise SafetensorsError(f"{index}: the shard {name!r} is missing")
        shards[name] = _load_file(index.parent / name)[0]
    tensors: dict[str, Tensor] = {}
    for weight, name in weight_map.items():
        if weight not in shards[name]:
            raise SafetensorsError(f"{index}: {weight!r} should be in {name!r}, which does not have it")
        tensors[weight] = shards[name][weight]
    for name, shard in shards.items():
        if unlisted := [weight for weight in shard if weight_map.get(weight) != name]:
            raise SafetensorsError(f"{index}: {name!r} holds {unlisted[0]!r}, which the index does not place there")
    return tensors
