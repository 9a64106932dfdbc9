"""GGUF files of Llamas with random weights: what every library that reads models is measured on.

Matrices are of the dtype that is asked for, norms are float32, as llama.cpp wants them; there is no tokenizer.
Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""
from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from extra.models.benchmark import TILE, bits_of
from extra.models.checkpoint import _GGUF_BLOCK, _GGUF_REST, DTYPES
from extra.models.gguf import DEFAULT_ALIGNMENT, GGML_DTYPES, GGML_NAMES
from extra.models.llama import LlamaConfig, rope_frequencies
from minigrad import dtypes
from minigrad.dtype import DType

TYPES = {GGML_DTYPES[name]: number for number, name in GGML_NAMES.items() if name in GGML_DTYPES}
FILE_TYPES = {"f32": 0, "f16": 1, "bf16": 32}       # general.file_type
LONGEST = 1 << 24                                   # bytes written at once


def write_llama(path: Path, config: LlamaConfig, dtype: str) -> None:
    """Deviation 0.02, a million numbers repeated: speed does not depend on values."""
    metadata: dict[str, Any] = {
        "general.architecture": "llama", "general.name": path.stem, "general.file_type": FILE_TYPES[dtype],
        "tokenizer.ggml.model": "no_vocab", "llama.vocab_size": config.vocab_size,
        "llama.embedding_length": config.dim, "llama.block_count": config.layers,
        "llama.feed_forward_length": config.hidden, "llama.context_length": config.context,
        "llama.attention.head_count": config.heads, "llama.attention.head_count_kv": config.kv_heads,
        "llama.attention.key_length": config.head_dim, "llama.attention.value_length": config.head_dim,
        "llama.rope.dimension_count": config.head_dim, "llama.rope.freq_base": float(config.rope_theta),
        "llama.attention.layer_norm_rms_epsilon": float(config.norm_eps),
    }
    plain = config.rope_theta ** -(np.arange(0, config.head_dim, 2) / config.head_dim)
    factors = (plain / rope_frequencies(config)).astype(np.float32)
    tensors: list[tuple[str, tuple[int, ...], DType, np.ndarray[Any, Any]]] = []
    noise = np.random.default_rng(0).standard_normal(TILE, np.float32) * np.float32(0.02)
    bits = bits_of(noise, DTYPES[dtype])
    for name, shape in config.weight_shapes.items():
        tensors.append((_gguf_name(name), shape, dtypes.float32, np.ones(1, np.float32)) if len(shape) == 1 else
                       (_gguf_name(name), shape, DTYPES[dtype], bits))
    if config.rope_scaling is not None:
        tensors.append(("rope_freqs.weight", factors.shape, dtypes.float32, factors))
    head, offset = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))], 0
    head += [_string(key) + _value(value) for key, value in metadata.items()]
    for name, shape, kind, _ in tensors:
        head.append(_string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), TYPES[kind],
                                                offset))
        offset += _padded(int(np.prod(shape)) * kind.itemsize)
    with open(path, "wb") as file:
        start = b"".join(head)
        file.write(start.ljust(_padded(len(start)), b"\0"))
        for _, shape, _, source in tensors:
            left = int(np.prod(shape))
            block = np.tile(source, max(1, LONGEST // source.nbytes)) if left > source.size else source
            while left:
                left -= len(part := block[:left])
                file.write(part.tobytes())
            file.write(bytes(_padded(file.tell()) - file.tell()))


def _gguf_name(name: str) -> str:
    """ "layers.3.self_attn.q_proj.weight" -> "blk.3.attn_q.weight"."""
    stem = name.removesuffix(".weight")
    if stem.startswith("layers."):
        _, number, rest = stem.split(".", 2)
        return f"blk.{number}.{next(ours for ours, theirs in _GGUF_BLOCK.items() if theirs == rest)}.weight"
    return f"{next(ours for ours, theirs in _GGUF_REST.items() if theirs == stem)}.weight"


def _padded(size: int) -> int:
    return -(-size // DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _value(value: str | int | float) -> bytes:
    """The number of its type, and itself: u32, f32 or a string."""
    if isinstance(value, str):
        return struct.pack("<I", 8) + _string(value)
    return struct.pack("<If", 6, value) if isinstance(value, float) else struct.pack("<II", 4, value)
