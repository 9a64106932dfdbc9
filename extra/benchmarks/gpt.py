"""A GPT in as few ops as it takes, for every library alike: a table of functions says how each op is called.

The shape is that of small character models and of GPT-2: learned positions, pre-norm blocks, gelu, a tied output.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Shape = Mapping[str, int]       # layers, heads, dim, vocab, context

CHARACTERS = {"layers": 6, "heads": 6, "dim": 384, "vocab": 65, "context": 256}             # 10.8M parameters
GPT2 = {"layers": 12, "heads": 12, "dim": 768, "vocab": 50257, "context": 1024}             # 124M


def weight_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    dim = shape["dim"]
    shapes: dict[str, tuple[int, ...]] = {"tokens": (shape["vocab"], dim), "positions": (shape["context"], dim)}
    for i in range(shape["layers"]):
        shapes |= {f"{i}.norm1": (dim,), f"{i}.bias1": (dim,), f"{i}.qkv": (3 * dim, dim), f"{i}.out": (dim, dim),
                   f"{i}.norm2": (dim,), f"{i}.bias2": (dim,), f"{i}.up": (4 * dim, dim), f"{i}.down": (dim, 4 * dim)}
    return shapes | {"norm": (dim,), "bias": (dim,)}


def gpt_weights(shape: Shape) -> dict[str, np.ndarray[Any, Any]]:
    """float32, the same each time: normal with deviation 0.02; norms are one and their biases zero."""
    generator = np.random.default_rng(0)

    def weight(name: str, size: tuple[int, ...]) -> np.ndarray[Any, Any]:
        if len(size) == 1:
            return np.full(size, float("norm" in name), np.float32)
        return generator.standard_normal(size, np.float32) * np.float32(0.02)
    return {name: weight(name, size) for name, size in weight_shapes(shape).items()}


def training_batch(shape: Shape, batch: int, tokens: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Inputs and targets (batch, tokens), int32, the same each time."""
    drawn = np.random.default_rng(1).integers(0, shape["vocab"], (batch, tokens + 1), dtype=np.int32)
    return drawn[:, :-1].copy(), drawn[:, 1:].copy()


class GPT:
    """`names` has t, gelu, layernorm, attention (causal) and, for what remembers, attention_to_all; `embed(tokens,
    table)` reads rows, `cross_entropy(logits, targets)` is the mean over all."""

    def __init__(self, shape: Shape, names: Mapping[str, Callable[..., Any]], embed: Callable[[Any, Any], Any],
                 cross_entropy: Callable[[Any, Any], Any]) -> None:
        self.shape, self.names, self.embed, self.cross_entropy = shape, names, embed, cross_entropy

    def logits(self, weights: Mapping[str, Any], tokens: Any, start: Any = 0,
               remember: Callable[[int, Any, Any], tuple[Any, Any]] | None = None) -> Any:
        """(B, T) to (B, T, V). `remember(layer, k, v)`: the keys and values of every position so far, those of the one
        token at `start` being the last."""
        (batch, count), dim, heads = tokens.shape, self.shape["dim"], self.shape["heads"]
        t, gelu, norm, attention = (self.names[name] for name in (
            "t", "gelu", "layernorm", "attention" if remember is None else "attention_to_all"))
        x = self.embed(tokens, weights["tokens"]) + weights["positions"][start:start + count]  # (B, T, E)
        for i in range(self.shape["layers"]):
            w = {name: weights[f"{i}.{name}"] for name in
                 ("norm1", "bias1", "qkv", "out", "norm2", "bias2", "up", "down")}
            mixed = norm(x, w["norm1"], w["bias1"]) @ t(w["qkv"])                           # (B, T, 3E)
            q, k, v = (mixed[..., n * dim:(n + 1) * dim].reshape(batch, count, heads, dim // heads).transpose(1, 2)
                       for n in range(3))                                                   # (B, H, T, D)
            if remember is not None:
                k, v = remember(i, k, v)
            x = x + attention(q, k, v).transpose(1, 2).reshape(batch, count, dim) @ t(w["out"])
            x = x + gelu(norm(x, w["norm2"], w["bias2"]) @ t(w["up"])) @ t(w["down"])
        return norm(x, weights["norm"], weights["bias"]) @ t(weights["tokens"])

    def loss(self, weights: Mapping[str, Any], tokens: Any, targets: Any) -> Any:
        """Mean cross entropy in nats: scalar. tokens and targets: (B, T)."""
        logits = self.logits(weights, tokens)
        return self.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))
