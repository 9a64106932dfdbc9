"""Llama against a plain numpy Llama written here, through folders and GGUF files, in chunks and token by token."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extra.models import benchmark, checkpoint, cli, train
from extra.models.chat import Chat, chat_turn
from extra.models.checkpoint import build, config_of_json, load, read_folder, save
from extra.models.generate import Sampling, Session, complete, draw, generate
from extra.models.llama import PRESETS, Llama, LlamaConfig, RopeScaling, preset, rope_frequencies
from extra.models.tokenizers import ByteTokenizer
from minigrad import GlobalCounters, Tensor, dtypes
from minigrad.dtype import round_bfloat16, widen_bfloat16
from minigrad.nn.state import get_state_dict, safe_save

Array = np.ndarray[Any, Any]
PLAIN = LlamaConfig(dim=32, layers=2, heads=4, kv_heads=4, hidden=48, vocab_size=272, context=96)
GROUPED = LlamaConfig(dim=48, layers=2, heads=6, kv_heads=2, hidden=40, vocab_size=272, context=96, tied=True)
SCALED = replace(GROUPED, rope_theta=500.0, rope_scaling=RopeScaling(8.0, 1.0, 4.0, 64), tied=False)
WIDE_HEADS = replace(GROUPED, head_dim=16, rope_scaling=RopeScaling(4.0))
CONFIGS = {"plain": PLAIN, "grouped, tied": GROUPED, "Llama 3 rope": SCALED, "wide heads, linear rope": WIDE_HEADS}


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS.keys())
def config(request: pytest.FixtureRequest) -> LlamaConfig:
    value: LlamaConfig = request.param
    return value


def random_arrays(config: LlamaConfig, seed: int = 0) -> dict[str, Array]:
    """Weights large enough that every part matters; norms around one."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.normal(size=shape) * 0.2 + ("norm" in name)).astype(np.float32)
        for name, shape in config.weight_shapes.items()
    }


def make_model(config: LlamaConfig, arrays: dict[str, Array] | None = None) -> Llama:
    arrays = random_arrays(config) if arrays is None else arrays
    return build(config, {name: Tensor(array) for name, array in arrays.items()}, "test")


# --- the oracle: a Llama in float64, one sequence, loops where loops are plainest -------------------------------------


def oracle_frequencies(config: LlamaConfig) -> Array:
    result = []
    for i in range(config.head_dim // 2):
        frequency = config.rope_theta ** (-2 * i / config.head_dim)
        scaling = config.rope_scaling
        if scaling is not None:
            wavelength = 2 * math.pi / frequency
            if scaling.low == scaling.high or wavelength > scaling.original_context / scaling.low:
                frequency /= scaling.factor
            elif wavelength > scaling.original_context / scaling.high:
                smooth = (scaling.original_context / wavelength - scaling.low) / (scaling.high - scaling.low)
                frequency = (1 - smooth) * frequency / scaling.factor + smooth * frequency
        result.append(frequency)
    return np.array(result)


def oracle_norm(x: Array, weight: Array, eps: float) -> Array:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight


def oracle_rotate(head: Array, frequencies: Array) -> Array:
    """(T, D): element i is turned with element i + D/2 by position times frequency i."""
    result, half = np.empty_like(head), len(frequencies)
    for position in range(len(head)):
        c, s = np.cos(position * frequencies), np.sin(position * frequencies)
        a, b = head[position, :half], head[position, half:]
        result[position] = np.concatenate([a * c - b * s, b * c + a * s])
    return result


def oracle_attention(x: Array, weights: dict[str, Array], config: LlamaConfig) -> Array:
    tokens, width = len(x), config.head_dim
    q, k, v = (x @ weights[f"self_attn.{name}_proj.weight"].T for name in "qkv")
    frequencies, mixed = oracle_frequencies(config), np.zeros((tokens, config.heads * width))
    for head in range(config.heads):
        group = head // (config.heads // config.kv_heads)
        own, shared = slice(head * width, (head + 1) * width), slice(group * width, (group + 1) * width)
        scores = oracle_rotate(q[:, own], frequencies) @ oracle_rotate(k[:, shared], frequencies).T / math.sqrt(width)
        for t in range(tokens):
            row = np.exp(scores[t, : t + 1] - scores[t, : t + 1].max())
            mixed[t, own] = row / row.sum() @ v[: t + 1, shared]
    return mixed @ weights["self_attn.o_proj.weight"].T


def oracle(config: LlamaConfig, arrays: dict[str, Array], tokens: list[int]) -> Array:
    """Logits (T, V)."""
    weights = {name: array.astype(np.float64) for name, array in arrays.items()}
    x = weights["embed_tokens.weight"][tokens]
    for i in range(config.layers):
        part = {n.removeprefix(f"layers.{i}."): w for n, w in weights.items() if n.startswith(f"layers.{i}.")}
        x = x + oracle_attention(oracle_norm(x, part["input_layernorm.weight"], config.norm_eps), part, config)
        y = oracle_norm(x, part["post_attention_layernorm.weight"], config.norm_eps)
        gate = y @ part["mlp.gate_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ part["mlp.up_proj.weight"].T)) @ part["mlp.down_proj.weight"].T
    output = weights["embed_tokens.weight" if config.tied else "lm_head.weight"]
    return oracle_norm(x, weights["norm.weight"], config.norm_eps) @ output.T


def some_tokens(count: int, config: LlamaConfig, seed: int = 1) -> list[int]:
    return [int(token) for token in np.random.default_rng(seed).integers(0, config.vocab_size, count)]


def assert_close(got: Array, expected: Array, tolerance: float = 1e-4) -> None:
    error = np.abs(got - expected).max() / np.abs(expected).max()
    assert got.shape == expected.shape
    assert error < tolerance


# --- the model --------------------------------------------------------------------------------------------------------


def test_logits_equal_numpys(config: LlamaConfig) -> None:
    arrays, tokens = random_arrays(config), some_tokens(21, config)
    assert_close(make_model(config, arrays)(Tensor([tokens])).numpy()[0], oracle(config, arrays, tokens))


def test_batch_rows_do_not_see_each_other() -> None:
    model = make_model(GROUPED)
    rows = [some_tokens(9, GROUPED, seed) for seed in (1, 2)]
    both = model(Tensor(rows)).numpy()
    for row, logits in zip(rows, both, strict=True):
        assert_close(logits, model(Tensor([row])).numpy()[0], 1e-5)


def test_token_by_token_from_the_cache_equals_the_whole(config: LlamaConfig) -> None:
    arrays, tokens = random_arrays(config), some_tokens(12, config)
    expected, session = oracle(config, arrays, tokens), Session(make_model(config, arrays))
    for i, token in enumerate(tokens):
        assert_close(session.feed([token]), expected[i])


@pytest.mark.parametrize("length", [2, 15, 16, 17, 33, 90, 96])
def test_prompt_in_chunks_equals_the_whole(length: int) -> None:
    arrays, tokens = random_arrays(SCALED), some_tokens(length, SCALED)
    assert_close(Session(make_model(SCALED, arrays)).feed(tokens), oracle(SCALED, arrays, tokens)[-1])


def test_prompt_after_a_conversation_sees_all_of_it() -> None:
    arrays, tokens = random_arrays(GROUPED), some_tokens(40, GROUPED)
    session = Session(make_model(GROUPED, arrays))
    session.feed(tokens[:18])
    session.feed(tokens[18:19])
    assert_close(session.feed(tokens[19:]), oracle(GROUPED, arrays, tokens)[-1])


def test_rewound_session_does_not_see_what_it_forgot() -> None:
    arrays, tokens = random_arrays(GROUPED), some_tokens(30, GROUPED)
    session = Session(make_model(GROUPED, arrays))
    session.feed(some_tokens(50, GROUPED, seed=9))
    session.rewind()
    assert_close(session.feed(tokens), oracle(GROUPED, arrays, tokens)[-1])


def test_no_prompt_length_compiles_anew() -> None:
    session = Session(make_model(GROUPED))
    for length in (3, 20, 5, 31, 1, 1, 1):  # every chunk size is captured
        session.rewind()
        session.feed(some_tokens(length, GROUPED))
    before = GlobalCounters.recordings, GlobalCounters.lowered
    for length in (1, 2, 7, 16, 18, 29, 32, 34, 48):
        session.rewind()
        session.feed(some_tokens(length, GROUPED))
    assert (GlobalCounters.recordings, GlobalCounters.lowered) == before


def kernels_of_a_token(layers: int) -> int:
    config = replace(preset("15M"), layers=layers, vocab_size=272)
    return benchmark.benchmark_random(config, "small", tokens=2).kernels_per_token


def test_layer_of_a_token_is_eight_kernels() -> None:
    """q with its rotation; k; k's rotation into the cache; v into the cache; attention; o; gate and up; down."""
    two, three = kernels_of_a_token(2), kernels_of_a_token(3)
    assert three - two <= 8
    assert two - 2 * (three - two) <= 2


def test_bfloat16_and_float16_weights_are_used_as_they_are() -> None:
    arrays, tokens = random_arrays(GROUPED), some_tokens(11, GROUPED)
    half = {name: array.astype(np.float16) for name, array in arrays.items()}
    model = build(GROUPED, {name: Tensor(array) for name, array in half.items()}, "test")
    assert model.dtype is dtypes.float16
    assert_close(model(Tensor([tokens])).numpy()[0], oracle(GROUPED, half, tokens))
    rounded = {name: widen_bfloat16(round_bfloat16(array)) for name, array in arrays.items()}
    model = build(GROUPED, {name: Tensor(array) for name, array in arrays.items()}, "test", dtype="bf16")
    assert model.dtype is dtypes.bfloat16
    # activations are rounded to 8 bits before every product
    assert_close(model(Tensor([tokens])).numpy()[0], oracle(GROUPED, rounded, tokens), 2e-2)


def test_frequencies_equal_the_published_formula(config: LlamaConfig) -> None:
    np.testing.assert_allclose(rope_frequencies(config), oracle_frequencies(config), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "millions"),
    [("15M", 15.19), ("TinyLlama", 1100.05), ("3.2-1B", 1235.81), ("3B", 3212.75), ("7B", 6738.42), ("8B", 8030.26)],
)
def test_presets_have_the_published_number_of_parameters(name: str, millions: float) -> None:
    count = sum(math.prod(shape) for shape in preset(name).weight_shapes.values())
    assert count / 1e6 == pytest.approx(millions, abs=0.01)


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="stories15m"):
        preset("9B")


# --- files ------------------------------------------------------------------------------------------------------------


def test_saved_folder_is_loaded_without_copying(tmp_path: Path, config: LlamaConfig) -> None:
    arrays, tokens = random_arrays(config), some_tokens(10, config)
    save(make_model(config, arrays), tmp_path)
    model, tokenizer = load(tmp_path)
    assert isinstance(tokenizer, ByteTokenizer)
    assert model.config == config
    assert all(w.buffer is not None and w.buffer.is_external for w in get_state_dict(model).values())
    assert_close(model(Tensor([tokens])).numpy()[0], oracle(config, arrays, tokens))
    assert all(w.buffer is not None and w.buffer.is_external for w in get_state_dict(model).values())


def test_resident_memory_of_a_loaded_model_is_its_weights_and_a_tenth(tmp_path: Path) -> None:
    config = LlamaConfig(dim=1024, layers=4, heads=16, kv_heads=4, hidden=4096, vocab_size=272, context=64, tied=True)
    weights = benchmark.random_weights(config, dtypes.bfloat16)
    size = sum(math.prod(weight.shape) * 2 for weight in weights.values())
    save(build(config, weights, "test"), tmp_path)
    program = (
        "import sys; from extra.models.benchmark import *; from extra.models.llama import LlamaConfig\n"
        "small = LlamaConfig(dim=32, layers=1, heads=2, kv_heads=1, hidden=32, vocab_size=272, context=64)\n"
        "session = Session(build(small, random_weights(small, dtypes.float32), 'small'))\n"
        "session.feed([1]); session.feed([1] * 9)\n"
        "reset_peak_memory(); before = peak_memory()\n"
        "session = Session(load(sys.argv[1])[0])\n"
        "for _ in range(4): session.feed([1])\n"
        "session.feed([1] * 9); print(peak_memory() - before)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert size > 90e6
    assert int(run.stdout) < 1.1 * size


def test_sharded_folder_is_loaded(tmp_path: Path) -> None:
    arrays, tokens = random_arrays(SCALED), some_tokens(10, SCALED)
    save(make_model(SCALED, arrays), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    place = {}
    for part in range(3):
        names = list(arrays)[part::3]
        shard = {n if n.startswith("lm_head") else f"model.{n}": Tensor(arrays[n]) for n in names}
        shard[f"odd{part}"] = Tensor(np.zeros(1, np.uint8))  # shifts nothing: sorted last
        del shard[f"odd{part}"]
        safe_save(shard, tmp_path / f"model-{part}.safetensors")
        place |= dict.fromkeys(shard, f"model-{part}.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": place}))
    model, _ = load(tmp_path)
    assert_close(model(Tensor([tokens])).numpy()[0], oracle(SCALED, arrays, tokens))


GGUF_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(path: Path, config: LlamaConfig, arrays: dict[str, Array], **changes: Any) -> None:
    """As llama.cpp's converter does it: renamed, Q and K permuted, Llama 3's rope as a tensor of factors."""
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, changes.get("architecture", "llama"))
    writer.add_block_count(config.layers)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.dim)
    writer.add_feed_forward_length(changes.get("hidden", config.hidden))
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_rope_dimension_count(changes.get("rotated", config.head_dim))
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    pieces.append("\u2581")
    pieces += [f"word{i}" for i in range(config.vocab_size - len(pieces))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces)
    writer.add_token_scores([0.0] * len(pieces))
    writer.add_token_types([2, 3, 3, *([6] * 256), *([1] * (len(pieces) - 259))])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    if config.rope_scaling is not None:
        plain = oracle_frequencies(replace(config, rope_scaling=None))
        writer.add_tensor("rope_freqs.weight", (plain / oracle_frequencies(config)).astype(np.float32))
    for name, array in arrays.items():
        stem = name.removesuffix(".weight")
        heads = {"q_proj": config.heads, "k_proj": config.kv_heads}.get(stem.split(".")[-1])
        if heads is not None:
            rows = array.reshape(heads, 2, config.head_dim // 2, config.dim)
            array = np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(array.shape)
        if stem.startswith("layers."):
            _, i, rest = stem.split(".", 2)
            new = f"blk.{i}.{GGUF_NAMES[rest]}.weight"
        else:
            new = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output"}[stem] + ".weight"
        writer.add_tensor(new, array)
    for name, array in changes.get("more", {}).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_gguf_file_gives_the_same_logits(tmp_path: Path, config: LlamaConfig) -> None:
    arrays, tokens = random_arrays(config), some_tokens(20, config)
    write_gguf(tmp_path / "x.gguf", config, arrays)
    model, tokenizer = load(tmp_path / "x.gguf")
    assert tokenizer.decode(tokenizer.encode("grüß")) == "grüß"
    assert model.config.tied == config.tied
    assert_close(model(Tensor([tokens])).numpy()[0], oracle(config, arrays, tokens))
    assert_close(Session(model).feed(tokens), oracle(config, arrays, tokens)[-1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "mamba"}, "'mamba' is not supported"),
        ({"hidden": 41}, r"mlp.gate_proj.weight has shape \(40, 48\), the config asks for \(41, 48\)"),
        ({"rotated": 4}, "rotates 4 of a head's 8"),
        ({"more": {"blk.0.attn_q.bias": np.zeros(48, np.float32)}}, "no place in a Llama.*attn_q.bias"),
    ],
)
def test_gguf_that_is_no_llama_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_gguf(tmp_path / "x.gguf", GROUPED, random_arrays(GROUPED), **changes)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "x.gguf")


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers.1.mlp.up_proj.weight": None}, "1 weights are missing: layers.1.mlp.up_proj.weight"),
        ({"lm_head.weight": None}, "lm_head.weight .*not tied"),
        ({"layers.7.norm.weight": np.ones(32, np.float32)}, "no place in a Llama.*layers.7.norm"),
        ({"norm.weight": np.ones(33, np.float32)}, r"norm.weight has shape \(33,\), the config asks for \(32,\)"),
        ({"norm.weight": np.ones(32, np.int32)}, "norm.weight has dtype dtypes.int32"),
    ],
)
def test_weights_that_do_not_fit_the_config_are_refused(change: dict[str, Any], message: str) -> None:
    arrays = {name: array for name, array in (random_arrays(PLAIN) | change).items() if array is not None}
    with pytest.raises(ValueError, match=message):
        make_model(PLAIN, arrays)


def test_claims_that_would_take_all_memory_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="20 weights cannot be those of 2000000000 layers"):
        make_model(replace(PLAIN, layers=2 * 10**9), dict(list(random_arrays(PLAIN).items())[:20]))
    with pytest.raises(ValueError, match="2000000000 positions"):
        replace(PLAIN, context=2 * 10**9)


def test_prompt_longer_than_the_context_is_refused() -> None:
    session = Session(make_model(PLAIN))
    with pytest.raises(ValueError, match="97 tokens do not fit: the context holds 96, 0 are used"):
        session.feed([1] * 97)
    session.feed([1] * 90)
    with pytest.raises(ValueError, match="7 tokens do not fit"):
        session.feed([1] * 7)
    session.feed([1] * 6)
    assert session.room == 0


def test_direct_call_past_the_context_is_refused() -> None:
    with pytest.raises(ValueError, match="positions 0 to 97, the context holds 96"):
        make_model(PLAIN)(Tensor([[1] * 97]))


@pytest.mark.parametrize("tokens", [[], [272], [-1]])
def test_no_tokens_and_unknown_tokens_are_refused(tokens: list[int]) -> None:
    with pytest.raises(ValueError, match="Session"):
        Session(make_model(PLAIN)).feed(tokens)


def test_longer_context_than_the_models_is_refused() -> None:
    with pytest.raises(ValueError, match="97 positions, the model has 96"):
        Llama(PLAIN, context=97)


def test_unknown_dtype_is_refused() -> None:
    weights = {name: Tensor(array) for name, array in random_arrays(PLAIN).items()}
    with pytest.raises(ValueError, match="'int3' is not known; known: f32, bf16, f16"):
        build(PLAIN, weights, "test", dtype="int3")


GOOD_JSON = {
    "model_type": "llama",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "vocab_size": 272,
    "max_position_embeddings": 96,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": None}, "hidden_size is None"),
        ({"hidden_size": "32"}, "hidden_size is '32'"),
        ({"hidden_size": 30}, "30 is not a multiple of 4 heads"),
        ({"num_hidden_layers": -1}, "layers is -1"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True"),
        ({"num_key_value_heads": 3}, "4 heads cannot share 3"),
        ({"head_dim": 7}, "head_dim is 7"),
        ({"vocab_size": 10**30}, "vocab_size"),
        ({"rope_theta": float("inf")}, "rope_theta is inf"),
        ({"model_type": "gpt2"}, "'gpt2' is not supported"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes'"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2}}, "'yarn' is not supported"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8}}, "low_freq_factor is None"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 0}}, "rope factor 0"),
        ({"rope_scaling": [1]}, "expected an object"),
    ],
)
def test_config_that_fits_no_llama_is_refused(change: dict[str, Any], message: str) -> None:
    assert config_of_json(GOOD_JSON, "config.json").kv_heads == 4
    with pytest.raises(ValueError, match=message) as error:
        config_of_json(GOOD_JSON | change, "config.json")
    assert "config.json" in str(error.value)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**12) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["rope_type", "factor", "x"]), inner),
    max_leaves=4,
)
CONFIG_KEYS = [*GOOD_JSON, "num_key_value_heads", "head_dim", "rms_norm_eps", "rope_theta", "rope_scaling"]
CONFIG_KEYS += ["rope_parameters", "tie_word_embeddings", "hidden_act", "attention_bias"]


@given(st.dictionaries(st.sampled_from(CONFIG_KEYS), JSON_VALUES, max_size=4))
def test_odd_config_is_a_llama_or_a_value_error(odd: dict[str, Any]) -> None:
    try:
        config = config_of_json(GOOD_JSON | odd, "config.json")
    except ValueError:
        return
    assert config.heads % config.kv_heads == 0
    if config.head_dim < 1000:
        assert np.isfinite(rope_frequencies(config)).all()


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"hidden_size": 32}'])
def test_damaged_config_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json"):
        read_folder(tmp_path)


def test_folder_whose_tokenizer_is_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    small = replace(PLAIN, vocab_size=100)
    save(make_model(small), tmp_path)
    with pytest.raises(ValueError, match="the tokenizer knows 272 tokens, the model has weights for 100"):
        load(tmp_path)


# --- sampling ---------------------------------------------------------------------------------------------------------

LOGITS = np.log(np.array([0.05, 0.5, 0.15, 0.3], np.float32))


def frequencies_of(sampling: Sampling, count: int = 4000) -> Array:
    rng = np.random.default_rng(0)
    drawn = [draw(LOGITS, sampling, rng) for _ in range(count)]
    return np.bincount(drawn, minlength=4) / count


def test_temperature_zero_takes_the_likeliest() -> None:
    assert frequencies_of(Sampling(0.0), 10).tolist() == [0, 1, 0, 0]


def test_temperature_one_follows_the_probabilities() -> None:
    np.testing.assert_allclose(frequencies_of(Sampling(1.0)), [0.05, 0.5, 0.15, 0.3], atol=0.03)


def test_low_temperature_sharpens() -> None:
    squared = np.array([0.05, 0.5, 0.15, 0.3]) ** 2
    np.testing.assert_allclose(frequencies_of(Sampling(0.5)), squared / squared.sum(), atol=0.03)


def test_top_k_keeps_the_likeliest() -> None:
    np.testing.assert_allclose(frequencies_of(Sampling(1.0, top_k=2)), [0, 0.625, 0, 0.375], atol=0.03)


def test_top_p_keeps_the_fewest_that_reach_it() -> None:
    np.testing.assert_allclose(frequencies_of(Sampling(1.0, top_p=0.75)), [0, 0.625, 0, 0.375], atol=0.03)
    np.testing.assert_allclose(frequencies_of(Sampling(1.0, top_p=0.4)), [0, 1, 0, 0])


@pytest.mark.parametrize("values", [{"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_senseless_sampling_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Sampling(**values)


def test_same_seed_gives_the_same_text_and_the_context_ends_it() -> None:
    session = Session(make_model(PLAIN))

    def tokens(seed: int) -> list[int]:
        session.rewind()
        return list(generate(session, session.feed([1, 2, 3]), Sampling(1.0, seed=seed)))

    assert tokens(1) == tokens(1) != tokens(2)
    assert len(tokens(1)) == 96 - 3 + 1  # the last one is drawn, and there is no room to feed it


def test_stop_token_ends_the_text() -> None:
    session = Session(make_model(PLAIN))
    everything = frozenset(range(272))
    assert len(list(generate(session, session.feed([1]), Sampling(), stops=everything))) == 1


def test_second_turn_of_a_chat_sees_the_first_and_its_answer() -> None:
    tokenizer, model = ByteTokenizer(), make_model(GROUPED)
    chat = Chat(Session(model), tokenizer, Sampling())
    list(chat.answer("hi", 5))
    list(chat.answer("yo", 5))
    session, read = Session(model), chat_turn(tokenizer, "hi")
    for text in ("yo", None):
        read += list(generate(session, session.feed(read[session.position :]), Sampling(), 5, tokenizer.stops))
        read += [] if text is None else chat_turn(tokenizer, text, first=False)
    assert chat.unread == read[-1:]
    fed = len(read) - 1
    assert chat.session.position == session.position == fed
    for ours, fresh in zip(chat.session.cache.keys, session.cache.keys, strict=True):
        np.testing.assert_allclose(ours.numpy()[:, :, :fed], fresh.numpy()[:, :, :fed], rtol=1e-4, atol=1e-5)


def test_chat_that_no_longer_fits_is_refused() -> None:
    chat = Chat(Session(make_model(GROUPED)), ByteTokenizer(), Sampling())
    with pytest.raises(ValueError, match="do not fit: the context holds 96"):
        list(chat.answer("x" * 100))


# --- training ---------------------------------------------------------------------------------------------------------

TINY = LlamaConfig(dim=32, layers=1, heads=2, kv_heads=1, hidden=32, vocab_size=272, context=32, tied=True)
RECIPE = train.Recipe(batch=4, tokens=16, rate=1e-2)
TEXT = "the cat sat on the mat and the dog sat on the log. " * 20


def run_training(folder: Path, steps: int, **options: Any) -> float:
    return train.train(folder, TEXT, steps=steps, config=TINY, recipe=RECIPE, quiet=True, **options)


def test_training_learns_and_its_checkpoint_writes(tmp_path: Path) -> None:
    loss = run_training(tmp_path, 60)
    assert loss < 3.0 < math.log(272)
    model, tokenizer = load(tmp_path)
    text = "".join(complete(Session(model), tokenizer, "the cat ", Sampling(), 8))
    assert len(text) == 8


def test_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_training(tmp_path / "whole", 12)
    real, calls = train.Trainer.advance, []

    def interrupted(self: train.Trainer, *arguments: Any) -> float:
        if len(calls) == 5:
            raise KeyboardInterrupt
        calls.append(1)
        return real(self, *arguments)

    monkeypatch.setattr(train.Trainer, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_training(tmp_path / "parts", 12)
    monkeypatch.setattr(train.Trainer, "advance", real)
    run_training(tmp_path / "parts", 12)
    whole, parts = (get_state_dict(load(tmp_path / name)[0]) for name in ("whole", "parts"))
    for name in whole:
        np.testing.assert_allclose(parts[name].numpy(), whole[name].numpy(), rtol=1e-5, atol=1e-6)
    assert math.isnan(run_training(tmp_path / "whole", 12))  # there is nothing left to do


@pytest.mark.parametrize("end", [{"steps": 0}, {"steps": -1}, {"minutes": 0.0}, {"minutes": math.nan}, {}])
def test_training_without_an_end_is_refused(tmp_path: Path, end: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="train: "):
        train.train(tmp_path, "a" * 1000, **end)


@pytest.mark.parametrize("what", ["text", "shape", "recipe"])
def test_training_of_something_else_is_not_overwritten(tmp_path: Path, what: str) -> None:
    run_training(tmp_path, 2)
    values = {"text": TEXT, "config": TINY, "recipe": RECIPE}
    values |= {
        "text": {"text": TEXT + "x"},
        "shape": {"config": replace(TINY, hidden=48)},
        "recipe": {"recipe": replace(RECIPE, seed=1)},
    }[what]
    with pytest.raises(ValueError, match=f"another {what}"):
        train.train(tmp_path, steps=4, quiet=True, **values)  # type: ignore[arg-type]


def test_training_killed_at_any_moment_goes_on(tmp_path: Path) -> None:
    """Saves after every step; the process is killed in the midst of it, some times."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[2]); from test_llama import *\n"
        "run_training(Path(sys.argv[1]), 10**6, save_every=0.0)"
    )
    for wait in (0.3, 0.35, 0.41):
        command = [sys.executable, "-c", program, str(tmp_path), str(Path(__file__).parent)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (tmp_path / "model.safetensors").exists() and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        model, _ = load(tmp_path)
        assert np.isfinite(model(Tensor([[1, 2, 3]])).numpy()).all()
        trainer = train.Trainer(TINY, RECIPE)
        note = json.loads(checkpoint_note(tmp_path)["training"])
        trainer.resume(tmp_path, {key: note[key] for key in ("text", "shape", "recipe")})
        assert trainer.step == note["step"] > 0


@pytest.mark.parametrize("left", ["an older model", "no model"])
def test_a_finished_training_whose_model_was_never_written_writes_it(tmp_path: Path, left: str) -> None:
    """Killed between the last two files."""
    run_training(tmp_path, 2)
    older = (tmp_path / "model.safetensors").read_bytes()
    run_training(tmp_path, 4)
    newest = (tmp_path / "model.safetensors").read_bytes()
    if left == "no model":
        (tmp_path / "model.safetensors").unlink()
    else:
        (tmp_path / "model.safetensors").write_bytes(older)
    assert math.isnan(run_training(tmp_path, 4))
    assert (tmp_path / "model.safetensors").read_bytes() == newest != older


def checkpoint_note(folder: Path) -> dict[str, str]:
    from minigrad.nn.state import safe_load_metadata

    return safe_load_metadata(folder / train.STATE_NAME)[1]


def test_saved_training_that_is_damaged_is_refused(tmp_path: Path) -> None:
    run_training(tmp_path, 2)
    path = tmp_path / train.STATE_NAME
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"training\.safetensors"):
        run_training(tmp_path, 4)


def test_learning_rate_warms_up_and_follows_a_cosine() -> None:
    recipe = train.Recipe(rate=1.0, final=0.1, warmup=0.1)
    rates = [train.learning_rate(recipe, progress) for progress in (0.05, 0.1, 0.55, 1.0)]
    np.testing.assert_allclose(rates, [0.5, 1.0, 0.55, 0.1])


def test_sequences_longer_than_the_context_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sequences of 33 tokens, the context holds 32"):
        train.train(tmp_path, TEXT, steps=1, config=TINY, recipe=replace(RECIPE, tokens=33))


def test_text_shorter_than_a_sequence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the text has 5 bytes"):
        train.train(tmp_path, "short", steps=1, config=TINY, recipe=RECIPE)


# --- commands ---------------------------------------------------------------------------------------------------------


def test_commands_train_continue_and_chat(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path / "out")
    run_training(tmp_path / "out", 3)
    assert cli.main(["--model", folder, "--prompt", "the ", "--max-tokens", "5", "--temperature", "0"]) == 0
    first = capsys.readouterr().out
    assert first.startswith("the ")
    assert cli.main(["--model", folder, "--prompt", "the ", "--max-tokens", "5", "--temperature", "0"]) == 0
    assert capsys.readouterr().out == first
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO("hi\n"))
    assert cli.main(["--model", folder, "--chat", "--max-tokens", "4"]) == 0


def test_command_trains_on_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "SMALL", TINY)
    monkeypatch.setattr(train, "Recipe", lambda: RECIPE)
    (tmp_path / "text.txt").write_text(TEXT)
    arguments = ["--train", "--text", str(tmp_path / "text.txt"), "--out", str(tmp_path / "out"), "--steps", "2"]
    assert cli.main(arguments) == 0
    assert load(tmp_path / "out")[0].config == TINY


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "/nowhere"], "no model at /nowhere"),
        (["--benchmark", "--random", "9B"], "no Llama shape is called '9B'"),
        (["--benchmark", "--random", "15M", "--model", "x"], "not both"),
        (["--model", "x", "--max-tokens", "0"], "--max-tokens is 0"),
    ],
)
def test_commands_report_errors_without_a_traceback(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_benchmark_fills_every_row() -> None:
    result = benchmark.benchmark_random(GROUPED, "tiny", "bf16", tokens=6)
    rows = dict(result.rows())
    assert "rounded to bfloat16 before products" in rows["activations, dot products"]
    assert result.kernels_per_token > 0
    assert len(result.tokens) == 6
    assert result.bytes_per_token == 2 * sum(math.prod(shape) for shape in GROUPED.weight_shapes.values())


def test_untied_embedding_counts_one_row_per_token() -> None:
    total = 4 * sum(math.prod(shape) for shape in PLAIN.weight_shapes.values())
    assert benchmark.weight_bytes_per_token(make_model(PLAIN), PLAIN) == total - 4 * 271 * 32


def test_random_weights_have_every_shape_and_the_right_spread() -> None:
    weights = benchmark.random_weights(GROUPED, dtypes.bfloat16)
    assert {name: tuple(w.shape) for name, w in weights.items()} == GROUPED.weight_shapes
    assert weights["embed_tokens.weight"].cast(dtypes.float32).numpy().std() == pytest.approx(0.02, rel=0.05)
    assert (weights["norm.weight"].cast(dtypes.float32).numpy() == 1).all()


def test_config_survives_json() -> None:
    for config in (*CONFIGS.values(), *PRESETS.values()):
        values = json.loads(json.dumps(checkpoint.json_of_config(config, dtypes.float32)))
        assert config_of_json(values, "config.json") == config
