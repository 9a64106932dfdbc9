"""torch on the CPU: op by op, or compiled where COMPILE=1."""
from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from extra.benchmarks.gpt import GPT, gpt_weights, training_batch
from extra.benchmarks.peers import Case, Work, expression

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
COMPILED = os.environ.get("COMPILE") == "1"

NAMES: dict[str, Callable[..., Any]] = {
    "t": lambda x: x.mT, "sum": lambda x, axis=None: torch.sum(x) if axis is None else torch.sum(x, axis),
    "mean": lambda x, axis=None, keepdims=False: torch.mean(x, axis, keepdim=keepdims),
    "max": lambda x, axis, keepdims=False: torch.amax(x, axis, keepdim=keepdims),
    "min": lambda x, axis, keepdims=False: torch.amin(x, axis, keepdim=keepdims),
    "argmax": torch.argmax, "cumsum": torch.cumsum,
    "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "tanh": torch.tanh, "abs": torch.abs,
    "sigmoid": torch.sigmoid, "maximum": torch.maximum, "minimum": torch.minimum, "where": torch.where,
    "gelu": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu,
    "softmax": lambda x: F.softmax(x, -1), "log_softmax": lambda x: F.log_softmax(x, -1),
    "rmsnorm": lambda x, w: F.rms_norm(x, w.shape, w, 1e-5),
    "layernorm": lambda x, w, b: F.layer_norm(x, w.shape, w, b, 1e-5),
    "attention": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    "conv": lambda x, w, stride=1, padding=0: F.conv2d(x, w, stride=stride, padding=padding),
    "relu": F.relu,
}


def _compiled(call: Callable[..., Any]) -> Callable[..., Any]:
    torch._dynamo.reset()
    return torch.compile(call, dynamic=False) if COMPILED else call


def _values(x: torch.Tensor) -> np.ndarray:
    return x.detach().to(torch.float32).numpy()


def _expression(case: Case) -> Work:
    tensor = lambda array, dtype: torch.from_numpy(array).to(getattr(torch, dtype))

    return expression(case, NAMES, tensor, lambda run: torch.inference_mode()(_compiled(run)), _values)


def _train(case: Case) -> Work:
    """AdamW on all weights, fused; the loss before each step."""
    weights = {name: torch.from_numpy(array).requires_grad_() for name, array in gpt_weights(case["shape"]).items()}
    optimiser = torch.optim.AdamW(weights.values(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True)
    tokens, targets = (torch.from_numpy(x).long() for x in training_batch(case["shape"], case["batch"], case["tokens"]))
    model = GPT(case["shape"], NAMES, F.embedding, F.cross_entropy)
    loss_of = _compiled(lambda: model.loss(weights, tokens, targets))

    def step() -> torch.Tensor:
        optimiser.zero_grad()
        loss = loss_of()
        loss.backward()
        optimiser.step()
        return loss
    return Work(step, _values)


def _forward(case: Case) -> Work:
    weights = {name: torch.from_numpy(array) for name, array in gpt_weights(case["shape"]).items()}
    tokens = torch.from_numpy(training_batch(case["shape"], case["batch"], case["tokens"])[0]).long()
    model = GPT(case["shape"], NAMES, F.embedding, F.cross_entropy)
    return Work(torch.inference_mode()(_compiled(lambda: model.logits(weights, tokens))), _values)


def _prefill(case: Case) -> Work:
    """All layers of a Llama over a prompt, in the file's dtype, and the logits of its last token."""
    weights, config = _gguf(case["path"])
    prompt = torch.from_numpy(np.array(case["prompt"]))
    count, width = len(prompt), config["width"]
    angles = torch.outer(torch.arange(count, dtype=torch.float32), config["frequencies"])
    cos, sin = angles.cos(), angles.sin()                   # (T, D/2)

    def rotate(x: torch.Tensor) -> torch.Tensor:            # (H, T, D), pairs are neighbours
        a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2).to(x.dtype)

    def run() -> torch.Tensor:
        x = weights["token_embd"][prompt]                   # (T, E)
        for i in range(config["layers"]):
            w = {name: weights[f"blk.{i}.{name}"] for name in LAYER}
            h = F.rms_norm(x, x.shape[-1:], w["attn_norm"].to(x.dtype), config["epsilon"])
            q, k, v = ((h @ w[f"attn_{name}"].T).reshape(count, -1, width).transpose(0, 1) for name in "qkv")
            mixed = F.scaled_dot_product_attention(rotate(q)[None], rotate(k)[None], v[None], is_causal=True,
                                                   enable_gqa=True)[0]
            x = x + mixed.transpose(0, 1).reshape(count, -1) @ w["attn_output"].T
            h = F.rms_norm(x, x.shape[-1:], w["ffn_norm"].to(x.dtype), config["epsilon"])
            x = x + (F.silu(h @ w["ffn_gate"].T) * (h @ w["ffn_up"].T)) @ w["ffn_down"].T
        x = F.rms_norm(x[-1:], x.shape[-1:], weights["output_norm"].to(x.dtype), config["epsilon"])
        return x @ weights.get("output", weights["token_embd"]).T
    return Work(torch.inference_mode()(_compiled(run)), lambda logits: _values(logits[0]))


LAYER = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")


def _gguf(path: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The weights of a GGUF file by name, and the numbers of the model."""
    from gguf import GGUFReader
    reader = GGUFReader(path)
    weights = {}
    for tensor in reader.tensors:
        array = torch.from_numpy(np.array(tensor.data))
        if tensor.tensor_type.name == "BF16":
            array = array.view(torch.bfloat16)
        weights[tensor.name.removesuffix(".weight")] = array.reshape(*reversed([int(n) for n in tensor.shape]))
    read = lambda name: reader.fields[f"llama.{name}"].contents()
    width = read("attention.key_length")
    plain = 1 / read("rope.freq_base") ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    factors = weights.pop("rope_freqs", torch.ones_like(plain))
    return weights, {"layers": read("block_count"), "width": width, "frequencies": plain / factors,
                     "epsilon": read("attention.layer_norm_rms_epsilon")}


KINDS = {"expression": _expression, "train": _train, "forward": _forward, "prefill": _prefill}
