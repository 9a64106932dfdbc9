"""Llama checkpoints: Hugging Face folders and GGUF files in, our own folders in and out.

    model, tokenizer = load("path/to/folder")            # config.json, *.safetensors, tokenizer.json or tokenizer.model
    model, tokenizer = load("model.gguf")                # F32, F16, BF16; the tokenizer from its metadata
    save(model, "folder")                                # config.json, model.safetensors: what `load` reads

Weights are the mapped file. With `dtype` other than the file's, they are converted, which copies them. Everything in
a file is checked: a config that no Llama has, weights missing, left over, or of another shape than the config says,
raise ValueError with their names and numbers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extra.models import tokenizers
from extra.models.folder_tokenizers import from_folder
from extra.models.gguf import gguf_load
from extra.models.llama import Llama, LlamaConfig, RopeScaling
from extra.models.tokenizers import Tokenizer
from minigrad import Tensor, dtypes, nn
from minigrad.dtype import DType
from minigrad.nn.state import MODEL_NAME, safe_load, safe_save
from minigrad.progress import Progress
from minigrad.runtime.disk import write_atomically

DTYPES: dict[str, DType] = {"f32": dtypes.float32, "bf16": dtypes.bfloat16, "f16": dtypes.float16}
MAX_CONFIG_BYTES = 1 << 20


def load(
    path: str | Path, dtype: str | None = None, context: int | None = None, at_most: int | None = None
) -> tuple[Llama, Tokenizer]:
    """The model and the tokenizer of a folder or a GGUF file. `context` is how many positions to serve, by default the
    model's, `at_most` clipping it; more than the model has is a ValueError, as is anything that does not fit."""
    path = Path(path)
    if not path.exists():
        raise ValueError(f"no model at {path}")
    if path.is_dir():
        config, weights = read_folder(path)
        tokenizer = from_folder(path)
    else:
        config, weights, metadata = read_gguf(path)
        tokenizer = tokenizers.from_gguf(metadata)
    if tokenizer.least_size > config.vocab_size:
        raise ValueError(
            f"{path}: the tokenizer knows {tokenizer.least_size} tokens, the model has weights for {config.vocab_size}"
        )
    if context is None and at_most is not None:
        context = min(config.context, at_most)
    return build(config, weights, str(path), dtype, context), tokenizer


def build(
    config: LlamaConfig,
    weights: Mapping[str, Tensor],
    source: str,
    dtype: str | None = None,
    context: int | None = None,
) -> Llama:
    """A model of these weights. ValueError, naming `source`, when they are not exactly the config's."""
    check_weights(config, weights, source)
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is not known; known: {', '.join(DTYPES)}")
    model = Llama(config, context)
    placed = dict(weights)
    if dtype is not None:
        bar = Progress(f"loading {source}")
        for number, (name, weight) in enumerate(weights.items()):
            bar.update(number / len(weights), f"{name} as {dtype}")
            placed[name] = weight.cast(DTYPES[dtype]).realize()
        bar.close()
    nn.state.load_state_dict(model, placed)
    return model


def check_weights(config: LlamaConfig, weights: Mapping[str, Tensor], source: str) -> None:
    """ValueError unless `weights` are exactly what the config asks for."""
    if config.layers > len(weights):  # before a list of that many layers is made
        raise ValueError(f"{source}: {len(weights)} weights cannot be those of {config.layers} layers")
    expected = config.weight_shapes
    missing = [name for name in expected if name not in weights]
    surplus = [name for name in weights if name not in expected]
    if missing:
        hint = " (the config says the output is not tied to the embedding)" if missing == ["lm_head.weight"] else ""
        raise ValueError(f"{source}: {len(missing)} weights are missing: {_first(missing)}{hint}")
    if surplus:
        raise ValueError(f"{source}: {len(surplus)} weights have no place in a Llama of this config: {_first(surplus)}")
    for name, shape in expected.items():
        weight = weights[name]
        if tuple(weight.shape) != shape:
            raise ValueError(f"{source}: {name} has shape {tuple(weight.shape)}, the config asks for {shape}")
        if not weight.dtype.is_float:
            raise ValueError(f"{source}: {name} has dtype {weight.dtype}, expected a float")


def _first(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


# --- Hugging Face folders ---------------------------------------------------------------------------------------------


def read_folder(folder: Path) -> tuple[LlamaConfig, dict[str, Tensor]]:
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder} has no config.json")
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size} bytes, more than any config needs")
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    config = config_of_json(values, str(path))
    weights = {name.removeprefix("model."): weight for name, weight in safe_load(folder).items()}
    for name in list(weights):  # old checkpoints store the rotary frequencies, tied ones may store the output twice
        if name.endswith("rotary_emb.inv_freq") or (config.tied and name == "lm_head.weight"):
            del weights[name]
    return config, weights


def config_of_json(values: Any, source: str) -> LlamaConfig:
    """The shape that a config.json describes. ValueError, naming `source`, for one that is not a Llama's."""
    if not isinstance(values, dict):
        raise ValueError(f"{source} is a JSON {type(values).__name__}, not an object")
    kind = values.get("model_type", "llama")
    if kind != "llama":
        raise ValueError(f"{source}: model_type {kind!r} is not supported, 'llama' is")
    for name, supported in (("hidden_act", "silu"), ("attention_bias", False), ("mlp_bias", False)):
        if values.get(name, supported) != supported:
            raise ValueError(f"{source}: {name} is {values[name]!r}, only {supported!r} is supported")
    rope = values.get("rope_parameters") or {}  # newer files; rope_scaling and rope_theta in older ones
    scaling = values.get("rope_scaling") or rope
    if not isinstance(rope, dict) or not isinstance(scaling, dict):
        raise ValueError(f"{source}: rope_scaling is {scaling!r:.80}, expected an object")
    heads = _number(values, "num_attention_heads", source, int)
    try:
        return LlamaConfig(
            dim=_number(values, "hidden_size", source, int),
            layers=_number(values, "num_hidden_layers", source, int),
            heads=heads,
            kv_heads=_number(values, "num_key_value_heads", source, int, heads),
            hidden=_number(values, "intermediate_size", source, int),
            vocab_size=_number(values, "vocab_size", source, int),
            context=_number(values, "max_position_embeddings", source, int, 2048),
            head_dim=_number(values, "head_dim", source, int, 0),
            norm_eps=_number(values, "rms_norm_eps", source, float, 1e-6),
            rope_theta=_number({**rope, **values}, "rope_theta", source, float, 10000.0),
            rope_scaling=_rope_scaling(scaling, source),
            tied=_flag(values, "tie_word_embeddings", source),
        )
    except ValueError as error:
        raise error if source in str(error) else ValueError(f"{source}: {error}") from None


def _number(values: Mapping[str, Any], name: str, source: str, kind: type, default: Any = None) -> Any:
    value = values.get(name)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        raise ValueError(f"{source}: {name} is {value!r:.80}, expected {'an integer' if kind is int else 'a number'}")
    return value


def _flag(values: Mapping[str, Any], name: str, source: str) -> bool:
    value = values.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"{source}: {name} is {value!r:.80}, expected true or false")
    return value


def _rope_scaling(values: Mapping[str, Any], source: str) -> RopeScaling | None:
    kind = values.get("rope_type", values.get("type", "default"))
    if kind == "default":
        return None
    if kind == "linear":
        scaling = RopeScaling(_number(values, "factor", source, float))
    elif kind == "llama3":
        scaling = RopeScaling(
            _number(values, "factor", source, float),
            _number(values, "low_freq_factor", source, float),
            _number(values, "high_freq_factor", source, float),
            _number(values, "original_max_position_embeddings", source, int),
        )
        if not 0 < scaling.low < scaling.high:
            raise ValueError(f"{source}: low_freq_factor {scaling.low} and high_freq_factor {scaling.high}")
    else:
        raise ValueError(f"{source}: rope_type {kind!r} is not supported; 'default', 'linear' and 'llama3' are")
    if not (scaling.factor > 0 and math.isfinite(scaling.factor)):
        raise ValueError(f"{source}: rope factor {scaling.factor}")
    return scaling


# --- GGUF files -------------------------------------------------------------------------------------------------------

_GGUF_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_GGUF_REST = {"token_embd": "embed_tokens", "output_norm": "norm", "output": "lm_head"}


def read_gguf(path: Path) -> tuple[LlamaConfig, dict[str, Tensor], dict[str, Any]]:
    """(config, weights, metadata). llama.cpp stores the rows of Q and K so that rotary pairs are neighbours: the
    config says so, and the model rotates neighbours; no weight is moved."""
    metadata, tensors = gguf_load(path)
    source = str(path)
    kind = metadata.get("general.architecture")
    if not isinstance(kind, str) or kind != "llama":
        raise ValueError(f"{source}: general.architecture {kind!r} is not supported, 'llama' is")
    weights: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name != "rope_freqs.weight":
            weights[_name_of_gguf(name)] = tensor
    if "embed_tokens.weight" not in weights or weights["embed_tokens.weight"].ndim != 2:
        raise ValueError(f"{source}: token_embd.weight is missing, or is no matrix")
    factors = tensors.get("rope_freqs.weight")
    values = {key.removeprefix("llama."): value for key, value in metadata.items() if key.startswith("llama.")}
    heads = _number(values, "attention.head_count", source, int)
    scaling = values.get("rope.scaling.type", "none")
    if not isinstance(scaling, str) or scaling not in ("none", "linear"):
        raise ValueError(f"{source}: llama.rope.scaling.type {scaling!r} is not supported; 'none' and 'linear' are")
    try:
        config = LlamaConfig(
            dim=_number(values, "embedding_length", source, int),
            layers=_number(values, "block_count", source, int),
            heads=heads,
            kv_heads=_number(values, "attention.head_count_kv", source, int, heads),
            hidden=_number(values, "feed_forward_length", source, int),
            vocab_size=weights["embed_tokens.weight"].shape[0],
            context=_number(values, "context_length", source, int),
            head_dim=_number(values, "attention.key_length", source, int, 0),
            norm_eps=_number(values, "attention.layer_norm_rms_epsilon", source, float),
            rope_theta=_number(values, "rope.freq_base", source, float, 10000.0),
            rope_scaling=RopeScaling(_number(values, "rope.scaling.factor", source, float))
            if scaling == "linear"
            else None,
            rope_factors=() if factors is None else _rope_factors(factors, source),
            rope_interleaved=True,
            tied="lm_head.weight" not in weights,
        )
    except ValueError as error:
        raise error if source in str(error) else ValueError(f"{source}: {error}") from None
    rotated = _number(values, "rope.dimension_count", source, int, config.head_dim)
    if rotated != config.head_dim:
        raise ValueError(f"{source}: rotates {rotated} of a head's {config.head_dim} elements, only all is supported")
    return config, weights, metadata


def _name_of_gguf(name: str) -> str:
    """ "blk.3.attn_q.weight" -> "layers.3.self_attn.q_proj.weight"; a name that is no Llama's stays what it is."""
    if match := re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name):
        return f"layers.{match[1]}.{_GGUF_BLOCK[match[2]]}.weight" if match[2] in _GGUF_BLOCK else name
    stem = name.removesuffix(".weight")
    return f"{_GGUF_REST[stem]}.weight" if stem in _GGUF_REST and stem != name else name


def _rope_factors(factors: Tensor, source: str) -> tuple[float, ...]:
    values = tuple(float(value) for value in factors.numpy().reshape(-1))
    if not all(value > 0 and math.isfinite(value) for value in values):
        raise ValueError(f"{source}: rope_freqs.weight holds values that are not positive numbers")
    return values


# --- our own ----------------------------------------------------------------------------------------------------------


def json_of_config(config: LlamaConfig, dtype: DType) -> dict[str, Any]:
    """A config.json that `config_of_json`, and Hugging Face's transformers, read back."""
    if config.rope_interleaved or config.rope_factors:
        raise ValueError("a Llama read from GGUF cannot be saved as a Hugging Face folder: its rows are permuted")
    scaling = config.rope_scaling
    rope: dict[str, Any] | None = None
    if scaling is not None and scaling.low == scaling.high:
        rope = {"rope_type": "linear", "factor": scaling.factor}
    elif scaling is not None:
        rope = {
            "rope_type": "llama3", "factor": scaling.factor, "low_freq_factor": scaling.low,
            "high_freq_factor": scaling.high, "original_max_position_embeddings": scaling.original_context,
        }  # fmt: skip
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": config.dim,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.hidden,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_scaling": rope,
        "tie_word_embeddings": config.tied,
        "hidden_act": "silu",
        "torch_dtype": dtype.name,
    }


def save(model: Llama, folder: str | Path, tokenizer: str | None = "bytes",
         note: Mapping[str, str] | None = None) -> None:
    """Write config.json and model.safetensors, each atomically. `tokenizer` "bytes" marks the built-in one; `note` goes
    into the metadata of the weights."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    values = json_of_config(model.config, model.dtype) | ({"tokenizer": tokenizer} if tokenizer else {})
    weights = {
        name if name.startswith("lm_head.") else f"model.{name}": weight
        for name, weight in nn.state.get_state_dict(model).items()
    }
    write_atomically(folder / "config.json", [json.dumps(values, indent=2).encode()])
    safe_save(weights, folder / MODEL_NAME, {"format": "pt", **(note or {})})
