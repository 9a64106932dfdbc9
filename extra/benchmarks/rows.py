"""What is measured, as data: a case that every library understands, its rivals, and the goal.

An expression names its operands and the functions of `extra/benchmarks/peers`.
"""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from extra.benchmarks.gpt import CHARACTERS, GPT2, Shape, weight_shapes
from extra.models.llama import PRESETS

BLAS = ("OpenBLAS", "torch")
EAGER = ("torch",)
TORCH = ("torch", "torch.compile")
ARRAYS = ("OpenBLAS", "torch", "torch.compile")
NAMES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

SMALL = 1 << 22     # operations of a call below which several copies are one call, in a captured graph: see `copies`
MOST_COPIES = 16


@dataclass(frozen=True)
class Goal:
    """To be so many times as fast as the best rival, or to reach a share of what the probes beside it show."""
    times: float
    share: float = 0.0
    bound: str = "read"     # or "fma"

    def __str__(self) -> str:
        ways = [f"{self.times:g}×"] if math.isfinite(self.times) else []
        return " or ".join(ways + ([f"{self.share:.0%} of the {self.bound} probe"] if self.share else []))


@dataclass(frozen=True)
class Row:
    name: str
    case: Mapping[str, Any]
    rivals: Sequence[str]
    goal: Goal
    speed: str = "ms"           # how a time is shown: itself, or `work` of this unit a second
    work: float = 0.0
    bound: str = ""             # the probe that bounds it: "fma" or "read"
    billions: float = 0.0       # of operations or bytes that it takes of that
    tolerance: float = 1e-4     # of the largest value, between what libraries computed


def expression(name: str, text: str, rivals: Sequence[str], goal: Goal, operands: Mapping[str, tuple[int, ...]],
               operations: float = 0.0, moved: float = 0.0, dtype: str = "float32") -> Row:
    """Rates are of `operations`, else of `moved` bytes; with neither it is a time."""
    case = {"kind": "expression", "expression": text,
            "operands": {key: (shape, dtype) for key, shape in operands.items()},
            "copies": copies(operations or sum(math.prod(shape) for shape in operands.values()))}
    speed, bound = ("GFLOP/s", "fma") if operations else ("GB/s", "read") if moved else ("ms", "")
    amount = (operations or moved) / 1e9
    return Row(name, case, rivals, goal, speed, amount, bound, amount, 1e-4 if dtype == "float32" else 2e-2)


def copies(operations: float) -> int:
    """How often one call does something small, each time with operands of its own: no user calls a graph for it alone,
    and calling takes longer than computing."""
    return max(1, min(MOST_COPIES, int(SMALL / max(operations, 1))))


def product(m: int, n: int, k: int, text: str = "a @ b", batch: int = 1, goal: Goal = Goal(1.05),
            rivals: Sequence[str] = BLAS) -> Row:
    """`text` is a @ b, with either or both of them transposed."""
    front = (batch,) if batch > 1 else ()
    a, b = (k, m) if "t(a)" in text else (m, k), (n, k) if "t(b)" in text else (k, n)
    shown = text.replace("t(a)", "A.T").replace("t(b)", "B.T").replace("a @", "A @").replace("@ b", "@ B")
    size = f"{m}³" if m == n == k else f"{m}×{n}×{k}"
    return expression(f"{shown} {f'{batch} × ' if batch > 1 else ''}{size}", text, rivals, goal,
                      {"a": (*front, *a), "b": (*front, *b)}, operations=2.0 * batch * m * n * k)


def convolution(batch: int, channels: int, out: int, size: int, kernel: int, stride: int = 1) -> Row:
    pad, end = kernel // 2, (size - 1) // stride + 1
    steps = f" stride {stride}" if stride > 1 else ""
    return expression(f"convolution {kernel}×{kernel}{steps}, {batch}×{channels}→{out} on {size}×{size}",
                      f"conv(x, w, {stride}, {pad})", EAGER, Goal(1.0),
                      {"x": (batch, channels, size, size), "w": (out, channels, kernel, kernel)},
                      operations=2.0 * batch * out * channels * kernel * kernel * end * end)


def matvec(text: str, dtype: str) -> Row:
    n, k = 128256, 2048
    return expression(f"matvec {text.replace('t(w)', 'W.T').replace('@ w', '@ W')} 1×{k}×{n} {dtype}", text,
                      BLAS if dtype == "float32" else EAGER, Goal(math.inf, 0.9),
                      {"x": (1, k), "w": (n, k) if "t(w)" in text else (k, n)}, moved=n * k * BYTES[dtype], dtype=dtype)


def attention(features: float, tokens: int) -> float:
    """Operations of causal attention: two products over heads that have so many features together, half of each."""
    return 4.0 * features * tokens * (tokens + 1) / 2


def llama(shape: str, dtype: str, goal: Goal, rivals: Sequence[str] = ("llama.cpp",), prompt: int = 0) -> Row:
    """A token after a short prompt, or a prompt of `prompt` tokens. The model is a file that whoever measures makes."""
    what, config = f"prefill {prompt}" if prompt else "decode", PRESETS[shape]
    dtype_bytes = BYTES[NAMES[dtype]]
    case = {"kind": what.split()[0], "model": (shape, dtype), "context": min(1024, config.context),
            "prompt": [(7 * i) % 997 + 1 for i in range(prompt or 16)]}
    weights = sum(math.prod(size) for size in config.weight_shapes.values())    # tied: each is read once
    amount = weights * dtype_bytes / 1e9
    if prompt:      # operations; the instruction for pairs of bfloat16 does two in the place of one
        inner = sum(math.prod(size) for size in config.weight_shapes.values() if len(size) == 2) \
            - config.vocab_size * config.dim
        heads = config.layers * config.heads * config.head_dim
        amount = (2.0 * inner * prompt / (4 // dtype_bytes) + attention(heads, prompt)) / 1e9
    return Row(f"{what}, {shape} {dtype}", case, rivals, goal, "tokens/s", prompt or 1, "fma" if prompt else "read",
               amount, 5e-2)


PRODUCTS = [
    *(product(n, n, n, text) for n in (512, 1024, 2048, 4096) for text in ("a @ b", "a @ t(b)")),
    *(product(512, 2048, 8192, text) for text in ("a @ b", "a @ t(b)")),
    product(256, 256, 256), product(1000, 1000, 1000), product(257, 515, 1023), product(37, 53, 71),
    product(128, 128, 128, batch=64),
    product(1024, 1024, 1024, "t(a) @ b", goal=Goal(1.0)), product(512, 2048, 2048, "t(a) @ b", goal=Goal(1.0)),
    product(1024, 1024, 1024, "t(a) @ t(b)", goal=Goal(1.0)),
    convolution(1, 64, 64, 56, 3),
]

MATVEC = [matvec(text, dtype) for dtype in ("float32", "bfloat16") for text in ("x @ w", "x @ t(w)")]

OPS = [
    expression("gelu(2x+1), 64Mi floats", "gelu(2 * x + 1)", TORCH, Goal(5.0), {"x": (1 << 26,)}),
    expression("softmax 4096²", "softmax(x)", TORCH, Goal(1.3), {"x": (4096, 4096)}),
    expression("rmsnorm 4096×2048", "rmsnorm(x, w)", TORCH, Goal(1.3), {"x": (4096, 2048), "w": (2048,)}),
    expression("layernorm 4096×2048", "layernorm(x, w, b)", TORCH, Goal(1.3),
               {"x": (4096, 2048), "w": (2048,), "b": (2048,)}),
    replace(expression("causal attention 1×32×1024×64", "attention(q, k, v)", TORCH, Goal(2.5),
                       dict.fromkeys("qkv", (1, 32, 1024, 64))), bound="fma", billions=attention(32 * 64, 1024) / 1e9),
]

# Rows of the same file stand together: it is made once.
LLAMA = [
    llama("15M", "f32", Goal(1.2, 0.92)), llama("15M", "bf16", Goal(1.2, 0.92)),
    llama("1B", "f16", Goal(1.05, 0.92)),
    llama("1B", "f32", Goal(1.05, 0.92)), llama("1B", "f32", Goal(1.4), ("llama.cpp", "torch"), prompt=512),
    llama("1B", "bf16", Goal(1.05, 0.92)), llama("1B", "bf16", Goal(1.4), ("llama.cpp", "torch"), prompt=512),
]


def gpt(name: str, kind: str, shape: Shape, batch: int, tokens: int, goal: Goal) -> Row:
    """The products alone are counted: going back takes twice as many again, of attention five for two."""
    products = 2.0 * tokens * sum(math.prod(size) for key, size in weight_shapes(shape).items()
                                  if len(size) == 2 and key != "positions")
    pairs = shape["layers"] * attention(shape["dim"], tokens)
    total = products + pairs if kind == "forward" else 3 * products + 3.5 * pairs
    return Row(name, {"kind": kind, "shape": shape, "batch": batch, "tokens": tokens}, TORCH, goal, "tokens/s",
               batch * tokens, "fma", batch * total / 1e9, 1e-3)


# the table of positions is not read
GPT2_WEIGHTS = sum(math.prod(size) for name, size in weight_shapes(GPT2).items() if name != "positions")

TRAINING = [
    gpt("char-GPT training step, 10.8M, 12×256, AdamW", "train", CHARACTERS, 12, 256, Goal(2.0)),
    gpt("GPT-2 124M, logits of 512 tokens", "forward", GPT2, 1, 512, Goal(1.4)),
    Row("GPT-2 124M, a token", {"kind": "token", "shape": GPT2, "position": 16}, (), Goal(math.inf, 0.9), "tokens/s", 1,
        "read", GPT2_WEIGHTS * 4 / 1e9),
    gpt("GPT-2 124M, training step 2×128, AdamW", "train", GPT2, 2, 128, Goal(2.0)),
]
