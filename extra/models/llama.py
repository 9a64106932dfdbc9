"""Llama: the model, as its papers describe it, with shapes beside each step.

    B batch, T tokens, S keys seen so far, V vocabulary, E width of the residual stream ("dim"), F hidden width of the
    feed-forward, H query heads, K key heads, G = H / K query heads per key head, D width of a head.

Llama is a pre-norm transformer with RMSNorm, rotary positions, grouped-query attention and a SwiGLU feed-forward:
    Touvron et al. 2023 (arXiv 2302.13971, 2307.09288), Grattafiori et al. 2024 (2407.21783);
    RMSNorm: Zhang & Sennrich 2019 (1910.07467); RoPE: Su et al. 2021 (2104.09864); GQA: Ainslie et al. 2023
    (2305.13245); SwiGLU: Shazeer 2020 (2002.05202).

Weights may be float32, float16 or bfloat16; activations are float32, and so are dot products, except that bfloat16
weights are multiplied by activations rounded to bfloat16 (and summed in float32). Names of layers and weights are those
of Hugging Face's checkpoints without their leading "model.".

    python -m extra.models.llama --help          # generate, chat, train, benchmark: extra/models/cli.py
    model = Llama(PRESETS["15M"]); logits = model(Tensor([[1, 2, 3]]))          # (1, 3, V)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from minigrad import Tensor, UOp, dtypes, nn
from minigrad.dtype import DType

MAX_CONTEXT = 1 << 20  # positions; a file that claims more would have us make tables of any size
Position = int | UOp  # a number, or a bound Variable, so that one compiled token serves every position


# --- shapes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RopeScaling:
    """Llama 3.1's stretching of the rotary frequencies to contexts longer than the trained one.

    Wavelengths above original_context / low are divided by `factor`, those below original_context / high are kept,
    those between are interpolated. `low == high == 0` divides all of them (linear scaling)."""

    factor: float
    low: float = 0.0
    high: float = 0.0
    original_context: int = 8192


@dataclass(frozen=True)
class LlamaConfig:
    """Every number that a Llama's shape depends on. ValueError for numbers that fit no Llama."""

    dim: int
    layers: int
    heads: int
    kv_heads: int
    hidden: int
    vocab_size: int
    context: int
    head_dim: int = 0  # 0: dim / heads
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling | None = None
    rope_factors: tuple[float, ...] = ()  # divide the frequencies one by one: how GGUF files store a scaling
    rope_interleaved: bool = False  # rotate rows (2i, 2i+1) of Q and K instead of (i, i + D/2): GGUF's order of rows
    tied: bool = False  # the output matrix is the embedding

    def __post_init__(self) -> None:
        for name in ("dim", "layers", "heads", "kv_heads", "hidden", "vocab_size", "context"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 31:
                raise ValueError(f"LlamaConfig: {name} is {value!r}, expected a positive integer")
        if self.context > MAX_CONTEXT:
            raise ValueError(f"LlamaConfig: a context of {self.context} positions, at most {MAX_CONTEXT} are supported")
        if not self.head_dim:
            if self.dim % self.heads:
                raise ValueError(f"LlamaConfig: dim {self.dim} is not a multiple of {self.heads} heads")
            object.__setattr__(self, "head_dim", self.dim // self.heads)
        if not isinstance(self.head_dim, int) or self.head_dim < 2 or self.head_dim % 2:
            raise ValueError(f"LlamaConfig: head_dim is {self.head_dim!r}, rotary positions need an even number")
        if self.heads % self.kv_heads:
            raise ValueError(f"LlamaConfig: {self.heads} heads cannot share {self.kv_heads} key heads evenly")
        if self.rope_factors and len(self.rope_factors) != self.head_dim // 2:
            raise ValueError(f"LlamaConfig: {len(self.rope_factors)} rope factors for a head_dim of {self.head_dim}")
        if not (self.norm_eps >= 0 and math.isfinite(self.norm_eps)):
            raise ValueError(f"LlamaConfig: norm_eps is {self.norm_eps!r}")
        if not 0 < self.rope_theta < 1e30:  # it must fit float32
            raise ValueError(f"LlamaConfig: rope_theta is {self.rope_theta!r}")

    @property
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every weight's name and shape, as a checkpoint must hold them."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        block = {
            "input_layernorm": (self.dim,),
            "self_attn.q_proj": (queries, self.dim),
            "self_attn.k_proj": (keys, self.dim),
            "self_attn.v_proj": (keys, self.dim),
            "self_attn.o_proj": (self.dim, queries),
            "post_attention_layernorm": (self.dim,),
            "mlp.gate_proj": (self.hidden, self.dim),
            "mlp.up_proj": (self.hidden, self.dim),
            "mlp.down_proj": (self.dim, self.hidden),
        }
        shapes: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (self.vocab_size, self.dim)}
        for i in range(self.layers):
            shapes |= {f"layers.{i}.{name}.weight": shape for name, shape in block.items()}
        shapes["norm.weight"] = (self.dim,)
        return shapes if self.tied else shapes | {"lm_head.weight": (self.vocab_size, self.dim)}


_LLAMA3 = LlamaConfig(4096, 32, 32, 8, 14336, 128256, 8192, rope_theta=500000.0)
_LLAMA32 = replace(_LLAMA3, context=131072, rope_scaling=RopeScaling(32.0, 1.0, 4.0, 8192), tied=True)
PRESETS: dict[str, LlamaConfig] = {
    "15M": LlamaConfig(dim=288, layers=6, heads=6, kv_heads=6, hidden=768, vocab_size=32000, context=256, tied=True),
    "1.1B": LlamaConfig(2048, 22, 32, 4, 5632, 32000, 2048),  # TinyLlama
    "1B": replace(_LLAMA32, dim=2048, layers=16, hidden=8192, head_dim=64),  # Llama 3.2
    "3B": replace(_LLAMA32, dim=3072, layers=28, heads=24, hidden=8192, head_dim=128),  # Llama 3.2
    "7B": LlamaConfig(4096, 32, 32, 32, 11008, 32000, 4096),  # Llama 2
    "8B": _LLAMA3,  # Llama 3
}
PRESET_NAMES = {
    "stories15m": "15M", "tinyllama": "1.1B", "3.2-1b": "1B", "3.2-3b": "3B", "2-7b": "7B", "3-8b": "8B",
}  # fmt: skip


def preset(name: str) -> LlamaConfig:
    """A published shape by its size ("1B") or its name ("3.2-1B"). ValueError for a name that is none."""
    known = {key.lower(): key for key in PRESETS} | PRESET_NAMES
    if name.lower() not in known:
        raise ValueError(f"no Llama shape is called {name!r}; known: {', '.join([*PRESETS, *PRESET_NAMES])}")
    return PRESETS[known[name.lower()]]


# --- rotary positions -------------------------------------------------------------------------------------------------


def rope_frequencies(config: LlamaConfig) -> np.ndarray:
    """The angle that one position adds to each pair of a head's elements: (D/2,), float32."""
    exponents = np.arange(0, config.head_dim, 2, dtype=np.float32) / np.float32(config.head_dim)
    frequencies = np.float32(1) / np.float32(config.rope_theta) ** exponents
    if config.rope_factors:
        return frequencies / np.array(config.rope_factors, np.float32)
    scaling = config.rope_scaling
    if scaling is None:
        return frequencies
    stretched = frequencies / np.float32(scaling.factor)
    if scaling.low == scaling.high:
        return stretched
    turns = scaling.original_context * frequencies / np.float32(2 * math.pi)  # within the original context
    keep = np.clip((turns - scaling.low) / np.float32(scaling.high - scaling.low), 0, 1).astype(np.float32)
    return (1 - keep) * stretched + keep * frequencies


def rope_table(config: LlamaConfig, context: int) -> tuple[Tensor, Tensor]:
    """cos and sin of every position's angles: (context, D/2) each, float32."""
    angles = np.arange(context, dtype=np.float32)[:, None] * rope_frequencies(config)
    return Tensor(np.cos(angles)), Tensor(np.sin(angles))


def rotate(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool) -> Tensor:
    """Turn each pair of a head's elements by its position's angle. x: (B, H, T, D), cos and sin: (T, D/2)."""
    half = cos.shape[-1]
    if interleaved:
        pairs = x.reshape(*x.shape[:-1], half, 2)  # (B, H, T, D/2, 2)
        a, b = pairs[..., 0], pairs[..., 1]
        return Tensor.stack(a * cos - b * sin, b * cos + a * sin, dim=-1).reshape(*x.shape)
    a, b = x[..., :half], x[..., half:]  # (B, H, T, D/2)
    return Tensor.cat(a * cos - b * sin, b * cos + a * sin, dim=-1)


# --- the model --------------------------------------------------------------------------------------------------------


class KVCache:
    """Keys and values of every position so far, one pair of tensors (B, K, context, D) per layer, written in place.

    Nothing is read before it was written, so the memory is not cleared: untouched pages stay untouched."""

    def __init__(self, config: LlamaConfig, context: int, batch: int = 1) -> None:
        shape = (batch, config.kv_heads, context, config.head_dim)
        self.context = context
        self.keys = [Tensor.empty(*shape, dtype=dtypes.float32).realize() for _ in range(config.layers)]
        self.values = [Tensor.empty(*shape, dtype=dtypes.float32).realize() for _ in range(config.layers)]

    def extend(self, layer: int, start: Position, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Put k and v (B, K, T, D) at positions start to start + T; return all of them: (B, K, start + T, D)."""
        keys, values, end = self.keys[layer], self.values[layer], start + k.shape[2]
        keys[:, :, start:end] = k
        values[:, :, start:end] = v
        return keys[:, :, :end], values[:, :, :end]


def product(x: Tensor, weight: Tensor) -> Tensor:
    """x (..., I) times weight (O, I) -> (..., O), float32. Processors multiply pairs of bfloat16 at twice the rate."""
    x = x.cast(weight.dtype) if weight.dtype is dtypes.bfloat16 else x
    return x.matmul(weight.transpose(0, 1), dtype=dtypes.float32)


class Linear(nn.Linear):
    """A layer's matrix, without a bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def __call__(self, x: Tensor) -> Tensor:
        return product(x, self.weight)


class Attention:
    """Grouped-query attention: G query heads read the same key and value head."""

    def __init__(self, config: LlamaConfig) -> None:
        queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.q_proj = Linear(config.dim, queries)
        self.k_proj = Linear(config.dim, keys)
        self.v_proj = Linear(config.dim, keys)
        self.o_proj = Linear(queries, config.dim)
        self._config = config

    def __call__(
        self, x: Tensor, cos: Tensor, sin: Tensor, layer: int, start: Position, cache: KVCache | None
    ) -> Tensor:
        heads, kv_heads, width = self._config.heads, self._config.kv_heads, self._config.head_dim
        batch, tokens, _ = x.shape
        q = self.q_proj(x).reshape(batch, tokens, heads, width).transpose(1, 2)  # (B, H, T, D)
        k = self.k_proj(x).reshape(batch, tokens, kv_heads, width).transpose(1, 2)  # (B, K, T, D)
        v = self.v_proj(x).reshape(batch, tokens, kv_heads, width).transpose(1, 2)  # (B, K, T, D)
        q = rotate(q, cos, sin, self._config.rope_interleaved)
        k = rotate(k, cos, sin, self._config.rope_interleaved)
        if cache is not None:
            k, v = cache.extend(layer, start, k, v)  # (B, K, S, D), S = start + T

        q = (q * width**-0.5).reshape(batch, kv_heads, heads // kv_heads, tokens, width)  # (B, K, G, T, D)
        scores = q @ k.unsqueeze(2).transpose(-1, -2)  # (B, K, G, T, S)
        if tokens != 1:  # a token sees itself and what came before; a single one is the last of all
            scores = causal_mask(tokens, start).where(scores, -math.inf)
        mixed = scores.softmax(-1) @ v.unsqueeze(2)  # (B, K, G, T, D)
        return self.o_proj(
            mixed.reshape(batch, heads, tokens, width).transpose(1, 2).reshape(batch, tokens, heads * width)
        )


def causal_mask(tokens: int, start: Position) -> Tensor:
    """(T, start + T) bool: may token start + i look at position j? Made of indices alone, so it costs no memory."""
    return Tensor.arange(start + tokens).reshape(1, -1) <= Tensor.arange(start, start + tokens).reshape(tokens, 1)


class FeedForward:
    """SwiGLU: down(silu(gate(x)) * up(x))."""

    def __init__(self, config: LlamaConfig) -> None:
        self.gate_proj = Linear(config.dim, config.hidden)
        self.up_proj = Linear(config.dim, config.hidden)
        self.down_proj = Linear(config.hidden, config.dim)

    def __call__(self, x: Tensor) -> Tensor:
        return self.down_proj(self.gate_proj(x).silu() * self.up_proj(x))  # (B, T, F) inside, (B, T, E) out


class Block:
    """One layer: attention, then feed-forward, each on the normed stream and added back to it."""

    def __init__(self, config: LlamaConfig) -> None:
        self.input_layernorm = nn.RMSNorm(config.dim, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.dim, config.norm_eps)
        self.mlp = FeedForward(config)

    def __call__(
        self, x: Tensor, cos: Tensor, sin: Tensor, layer: int, start: Position, cache: KVCache | None
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, layer, start, cache)  # (B, T, E)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama:
    """The whole model. Weights are freshly initialised, lazily: loading a checkpoint replaces them unseen."""

    def __init__(self, config: LlamaConfig, context: int | None = None) -> None:
        """`context`: how many positions to serve, at most (and by default) the config's."""
        self.config = config
        self.context = config.context if context is None else context
        if not 0 < self.context <= config.context:
            raise ValueError(f"Llama: a context of {self.context} positions, the model has {config.context}")
        self.embed_tokens = nn.Embedding(config.vocab_size, config.dim)
        self.layers = [Block(config) for _ in range(config.layers)]
        self.norm = nn.RMSNorm(config.dim, config.norm_eps)
        if not config.tied:
            self.lm_head = Linear(config.dim, config.vocab_size)
        self._cos, self._sin = rope_table(config, self.context)

    def __call__(
        self, tokens: Tensor, start: Position = 0, cache: KVCache | None = None, only: Position | None = None
    ) -> Tensor:
        """Logits (B, T, V) of tokens (B, T) at positions start to start + T; with `only`, (B, 1, V) of that one of the
        T tokens. With a cache, the tokens see those fed before and are added to it; start + T may not pass its end."""
        if len(tokens.shape) != 2:
            raise ValueError(f"Llama: tokens must have shape (batch, tokens), got {tokens.shape}")
        count = tokens.shape[1]
        room = self.context if cache is None else min(cache.context, self.context)
        if isinstance(start, int) and start + count > room:
            raise ValueError(f"Llama: tokens at positions {start} to {start + count}, the context holds {room}")
        cos, sin = self._cos[start : start + count], self._sin[start : start + count]  # (T, D/2)
        x = self.embed_tokens(tokens).cast(dtypes.float32)  # (B, T, E)
        for i, layer in enumerate(self.layers):
            x = layer(x, cos, sin, i, start, cache)  # (B, T, E)
        if only is not None:
            x = x[:, only : only + 1]  # (B, 1, E)
        return product(self.norm(x), self.output_weight)  # (B, T, V)

    @property
    def output_weight(self) -> Tensor:
        return self.embed_tokens.weight if self.config.tied else self.lm_head.weight

    @property
    def dtype(self) -> DType:
        """The weights' type."""
        return self.layers[0].mlp.up_proj.weight.dtype

    def initialise(self, seed: int = 0) -> None:
        """Weights for training: normal with deviation 0.02, smaller where a layer adds to the stream."""
        rng = np.random.default_rng(seed)
        for name, weight in nn.state.get_state_dict(self).items():
            if "norm" in name:
                values = np.ones(weight.shape, np.float32)
            else:
                adds = name.endswith(("o_proj.weight", "down_proj.weight"))
                deviation = 0.02 / (math.sqrt(2 * self.config.layers) if adds else 1)
                values = rng.standard_normal(weight.shape, np.float32) * np.float32(deviation)
            weight.replace(Tensor(values))


if __name__ == "__main__":
    from extra.models.cli import main

    raise SystemExit(main())
