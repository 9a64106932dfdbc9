"""Llama equals transformers' Llama with the same random weights: logits, greedy tokens, gradients and training steps.

Weights go through files, as a user's do: a Hugging Face folder that transformers wrote, and a GGUF file that the gguf
package wrote with llama.cpp's order of the rows of Q and K.
"""
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import LlamaConfig as TwinConfig
from transformers import LlamaForCausalLM

from extra.models.checkpoint import build, read_folder, read_gguf, save
from extra.models.generate import Session
from extra.models.llama import Llama
from minigrad import Tensor, TinyJit, nn

TOLERANCE = 1e-4  # relative to the largest magnitude
VOCABULARY, CONTEXT = 96, 128
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 32}


@dataclass(frozen=True)
class Shape:
    name: str
    heads: int
    kv_heads: int
    tied: bool
    rope: dict[str, Any]
    shard_size: str = "5GB"


SHAPES = [
    Shape("untied", 4, 4, False, {"rope_type": "default", "rope_theta": 10000.0}),
    Shape("grouped tied", 8, 2, True, {"rope_type": "default", "rope_theta": 500000.0}),
    Shape("grouped untied llama3 rope sharded", 6, 3, False, LLAMA3_ROPE, "40KB"),
    Shape("one key head tied llama3 rope", 4, 1, True, LLAMA3_ROPE),
]


def make_twin(shape: Shape) -> LlamaForCausalLM:
    """Weights large enough that attention is far from uniform, norms away from 1: a wrong row must show."""
    torch.manual_seed(sum(map(ord, shape.name)))
    twin = LlamaForCausalLM(TwinConfig(
        vocab_size=VOCABULARY, hidden_size=shape.heads * 8, intermediate_size=88, num_hidden_layers=2,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5, rope_parameters=shape.rope, tie_word_embeddings=shape.tied, attn_implementation="eager",
        eos_token_id=None, bos_token_id=None)).float().eval()
    with torch.no_grad():
        for name, weight in twin.named_parameters():
            weight.copy_(1 + 0.3 * torch.randn_like(weight) if "norm" in name else 0.2 * torch.randn_like(weight))
    return twin


# --- files ------------------------------------------------------------------------------------------------------------


def permuted(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows (heads, 2, half) -> (heads, half, 2): the two elements that a position rotates become neighbours."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def gguf_order(name: str, rows: np.ndarray, shape: Shape) -> np.ndarray:
    heads = {"q_proj": shape.heads, "k_proj": shape.kv_heads}.get(name.split(".")[-2])
    return rows if heads is None else permuted(rows, heads)


GGUF_NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "embed_tokens": "token_embd",
    "norm": "output_norm", "lm_head": "output"}


def gguf_name(name: str) -> str:
    parts = name.removeprefix("model.").removesuffix(".weight").split(".")
    if parts[0] == "layers":
        return f"blk.{parts[1]}.{GGUF_NAMES['.'.join(parts[2:])]}.weight"
    return f"{GGUF_NAMES[parts[0]]}.weight"


def llama3_factors(rope: dict[str, Any], head_dim: int) -> np.ndarray:
    """What llama.cpp's converter stores for Llama 3's scaling: the divisor of each frequency."""
    factors = []
    for i in range(0, head_dim, 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (i / head_dim)
        turns = rope["original_max_position_embeddings"] / wavelength
        low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
        smooth = min(max((turns - low) / (high - low), 0), 1)
        factors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(factors, np.float32)


def write_gguf(path: Path, twin: LlamaForCausalLM, shape: Shape, kind: str = "F32") -> None:
    config, quantization = twin.config, gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(shape.rope["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(VOCABULARY)
    if shape.rope["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(shape.rope, config.head_dim))
    for name, weight in twin.named_parameters():
        rows = gguf_order(name, weight.detach().numpy(), shape)
        if kind == "F32" or rows.ndim == 1:
            writer.add_tensor(gguf_name(name), np.ascontiguousarray(rows))
        else:
            writer.add_tensor(gguf_name(name), gguf.quants.quantize(rows, quantization), raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def through_folder(twin: LlamaForCausalLM, shape: Shape, folder: Path) -> Llama:
    twin.save_pretrained(folder, max_shard_size=shape.shard_size)
    return build(*read_folder(folder), str(folder))


def through_gguf(twin: LlamaForCausalLM, shape: Shape, folder: Path) -> Llama:
    write_gguf(folder / "model.gguf", twin, shape)
    config, weights, _ = read_gguf(folder / "model.gguf")
    return build(config, weights, "model.gguf")


@dataclass(frozen=True)
class Pair:
    """Both models, and how a gradient or weight of the twin is laid out in ours."""
    shape: Shape
    twin: LlamaForCausalLM
    ours: Llama
    layout: Callable[[str, np.ndarray], np.ndarray]


PAIRS = [(shape, source) for shape in SHAPES for source in ("folder", "gguf")]


@pytest.fixture(params=PAIRS, ids=lambda param: f"{param[0].name}, {param[1]}")
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    shape, source = request.param
    twin = make_twin(shape)
    if source == "folder":
        return Pair(shape, twin, through_folder(twin, shape, tmp_path), lambda name, rows: rows)
    return Pair(shape, twin, through_gguf(twin, shape, tmp_path), lambda name, rows: gguf_order(name, rows, shape))


# --- comparisons ------------------------------------------------------------------------------------------------------


def assert_close(ours: np.ndarray, twin: np.ndarray, what: str, tolerance: float = TOLERANCE) -> None:
    assert ours.shape == twin.shape, what
    error = np.abs(ours - twin).max() / np.abs(twin).max()
    assert error <= tolerance, f"{what}: relative error {error:.2e}"


def some_tokens(count: int, batch: int = 2) -> np.ndarray:
    return np.random.default_rng(5).integers(0, VOCABULARY, (batch, count))


def test_logits_equal_the_twins(pair: Pair) -> None:
    tokens = some_tokens(70)
    with torch.no_grad():
        expected = pair.twin(torch.tensor(tokens)).logits.numpy()
    assert_close(pair.ours(Tensor(tokens.astype(np.int32))).numpy(), expected, "logits")


def test_greedy_tokens_equal_the_twins(pair: Pair) -> None:
    """Prompts that fill a chunk exactly, partly, and several of them; then a token at a time from the cache."""
    session = Session(pair.ours)
    for length in (1, 16, 21, 37):
        prompt = some_tokens(length, 1)
        expected = pair.twin.generate(torch.tensor(prompt), do_sample=False, max_new_tokens=24)[0, length:].tolist()
        session.rewind()
        logits, tokens = session.feed(prompt[0].tolist()), []
        for _ in range(24):
            tokens.append(int(logits.argmax()))
            logits = session.feed(tokens[-1:])
        assert tokens == expected, f"after a prompt of {length}"


def twin_loss(twin: LlamaForCausalLM, tokens: np.ndarray) -> torch.Tensor:
    logits = twin(torch.tensor(tokens[:, :-1])).logits
    return torch.nn.functional.cross_entropy(logits.reshape(-1, VOCABULARY), torch.tensor(tokens[:, 1:]).reshape(-1))


def our_loss(model: Llama, inputs: Tensor, labels: Tensor) -> Tensor:
    return model(inputs).reshape(-1, VOCABULARY).cross_entropy(labels.reshape(-1))


def halves(tokens: np.ndarray) -> tuple[Tensor, Tensor]:
    tokens = tokens.astype(np.int32)
    return Tensor(np.ascontiguousarray(tokens[:, :-1])), Tensor(np.ascontiguousarray(tokens[:, 1:]))


def own_weights(model: Llama) -> dict[str, Tensor]:
    """Weights that may be written: those of a model that was loaded lie in the mapped file."""
    weights = nn.state.get_state_dict(model)
    for weight in weights.values():
        weight.replace(Tensor(weight.numpy().copy(), requires_grad=True))
    return weights


def test_gradients_equal_the_twins(pair: Pair) -> None:
    tokens = some_tokens(33)
    weights = own_weights(pair.ours)
    loss = our_loss(pair.ours, *halves(tokens))
    loss.backward()
    expected = twin_loss(pair.twin, tokens)
    expected.backward()
    assert_close(loss.numpy().reshape(1), expected.detach().numpy().reshape(1), "loss")
    for name, weight in pair.twin.named_parameters():
        ours = weights[name.removeprefix("model.")].grad
        assert ours is not None, f"{name} has no gradient"
        assert_close(ours.numpy(), pair.layout(name, weight.grad.numpy()), f"gradient of {name}")


# Training a model of a GGUF file differs in the rotation only: one of them stands for all.
@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair[1] == "folder" or pair[0] is SHAPES[2]], indirect=True,
                         ids=lambda param: f"{param[0].name}, {param[1]}")
def test_twenty_training_steps_equal_the_twins(pair: Pair) -> None:
    batches = np.random.default_rng(6).integers(0, VOCABULARY, (20, 2, 25))
    model, weights = pair.ours, own_weights(pair.ours)
    options = {"lr": 1e-3, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}
    theirs = torch.optim.AdamW(pair.twin.parameters(), **options)
    mine = nn.optim.AdamW(list(weights.values()), lr=1e-3, b1=0.9, b2=0.95, eps=1e-8, weight_decay=0.1)

    @TinyJit
    def step(inputs: Tensor, labels: Tensor) -> Tensor:
        mine.zero_grad()
        loss = our_loss(model, inputs, labels)
        loss.backward()
        mine.step()
        return loss.realize()

    for number, batch in enumerate(batches):
        theirs.zero_grad()
        expected = twin_loss(pair.twin, batch)
        expected.backward()
        theirs.step()
        loss = step(*halves(batch)).item()
        assert loss == pytest.approx(expected.item(), rel=TOLERANCE), f"loss of step {number}"
    for name, weight in pair.twin.named_parameters():
        ours, twin = weights[name.removeprefix("model.")].numpy(), pair.layout(name, weight.detach().numpy())
        assert np.linalg.norm(ours - twin) <= TOLERANCE * np.linalg.norm(twin), f"{name} after 20 steps"


@pytest.mark.parametrize("kind", ["F16", "BF16"])
@pytest.mark.parametrize("source", ["folder", "gguf"])
def test_half_precision_files_keep_their_weights_exactly(kind: str, source: str, tmp_path: Path) -> None:
    """The twin computes in float32 from the rounded weights, as we do. bfloat16 weights are multiplied by activations
    rounded to bfloat16, where two that are nearly equal may be rounded apart.
    """
    shape, dtype = SHAPES[1], {"F16": torch.float16, "BF16": torch.bfloat16}[kind]
    twin = make_twin(shape)
    with torch.no_grad():
        for name, weight in twin.named_parameters():
            if source == "folder" or "norm" not in name:  # GGUF keeps vectors in float32
                weight.copy_(weight.to(dtype))
    if source == "folder":
        rounded = make_twin(shape).to(dtype)
        rounded.load_state_dict(twin.state_dict())
        ours = through_folder(rounded, shape, tmp_path)
    else:
        write_gguf(tmp_path / "model.gguf", twin, shape, kind)
        config, weights, _ = read_gguf(tmp_path / "model.gguf")
        ours = build(config, weights, "model.gguf")
    if kind == "BF16":
        for layer in twin.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.register_forward_pre_hook(lambda _, inputs: (inputs[0].to(dtype).float(),))
    tokens = some_tokens(19)
    with torch.no_grad():
        expected = twin(torch.tensor(tokens)).logits.numpy()
    tolerance = 5e-3 if kind == "BF16" else TOLERANCE
    assert_close(ours(Tensor(tokens.astype(np.int32))).numpy(), expected, "logits", tolerance)


def test_transformers_reads_what_we_save(tmp_path: Path) -> None:
    shape = SHAPES[2]
    twin = make_twin(shape)
    ours = through_folder(twin, shape, tmp_path / "theirs")
    save(ours, tmp_path / "ours")
    again = LlamaForCausalLM.from_pretrained(tmp_path / "ours").float().eval()
    tokens = torch.tensor(some_tokens(40))
    with torch.no_grad():
        assert_close(again(tokens).logits.numpy(), twin(tokens).logits.numpy(), "logits")
