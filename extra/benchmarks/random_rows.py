"""Forty shapes and ten fused expressions that nobody chose: drawn from a seed, the same each time."""
from __future__ import annotations

import math

import numpy as np

from extra.benchmarks.rows import BLAS, TORCH, Goal, Row, convolution, expression, product

EVEN = Goal(1.0)
REDUCTIONS = ("sum(x, {axis})", "max(x, {axis})", "mean(x, {axis})", "sum(exp(x), {axis})", "sum(x * x, {axis})",
              "sum(abs(x), {axis})")
ELEMENTWISE = ("tanh(x) + y", "exp(x) * y + 1", "sqrt(abs(x) + 1) * y", "maximum(x, y) - minimum(x, y) * 0.5",
               "sigmoid(x) * y", "where(x > 0, x, y * 0.1)", "x * y + x", "gelu(x) * sigmoid(y)")

# One step of an expression over a matrix x (R, C); `w` is (C, C), `b` a row (C,), `y` another matrix.
STEPS = ("tanh({x})", "gelu({x})", "sigmoid({x}) * {x}", "relu({x} + b)", "{x} * b + y",
         "{x} - max({x}, -1, keepdims=True)", "{x} / (sqrt(mean({x} * {x}, -1, keepdims=True)) + 0.1)", "softmax({x})",
         "{x} @ w", "{x} + y", "layernorm({x}, b, b)", "maximum({x}, y) * 0.5",
         "abs({x}) + mean({x}, -1, keepdims=True)")
ENDS = ("{x}", "{x}", "sum({x}, -1)", "sum({x}, 0)")


def _size(generator: np.random.Generator, least: int, most: int) -> int:
    """Sizes from small to large are equally likely on a logarithmic scale."""
    return round(math.exp(generator.uniform(math.log(least), math.log(most))))


def shapes(seed: int = 0) -> list[Row]:
    """Fourteen products, ten reductions, eight elementwise, eight convolutions."""
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(14):
        m, n, k = (_size(generator, 4, 2048) for _ in range(3))
        batch = _size(generator, 2, 32) if generator.random() < 0.25 else 1
        text = str(generator.choice(["a @ b", "a @ t(b)", "t(a) @ b"]))
        rows.append(product(m, n, k, text, batch, EVEN, rivals=BLAS))
    for number in range(10):
        shape = tuple(_size(generator, 16, 1024) for _ in range(int(generator.integers(1, 4))))
        while math.prod(shape) > 1 << 25 or math.prod(shape) < 1 << 12:
            shape = (*shape[:-1], shape[-1] // 2 + 1) if math.prod(shape) > 1 << 25 else (*shape[:-1], shape[-1] * 3)
        text = REDUCTIONS[number % len(REDUCTIONS)].format(axis=int(generator.integers(len(shape))))
        rows.append(expression(f"{text} on {_shown(shape)}", text, TORCH, EVEN, {"x": shape}))
    for number in range(8):
        shape = (_size(generator, 16, 4096), _size(generator, 16, 4096))
        other = (shape, (shape[1],), (shape[0], 1))[int(generator.integers(3))]
        text = ELEMENTWISE[number]
        rows.append(expression(f"{text} on {_shown(shape)}, {_shown(other)}", text, TORCH, EVEN,
                               {"x": shape, "y": other}))
    for _ in range(8):
        kernel = int(generator.choice([1, 3, 5]))
        rows.append(convolution(_size(generator, 1, 8), _size(generator, 3, 128), _size(generator, 8, 128),
                                _size(generator, 8, 96), kernel, int(generator.choice([1, 1, 2]))))
    return rows


def fused(seed: int = 0) -> list[Row]:
    """Ten chains of steps over a matrix, some ended by a sum."""
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(10):
        height, width = _size(generator, 32, 4096), _size(generator, 32, 1024)
        text = "x"
        for step in generator.permutation(len(STEPS))[:int(generator.integers(2, 5))]:
            text = STEPS[int(step)].format(x=text if text == "x" else f"({text})")
            if len(text) > 160:
                break
        text = str(generator.choice(ENDS)).format(x=text)
        sizes = {"x": (height, width), "w": (width, width), "b": (width,), "y": (height, width)}
        used = {name for name in sizes if name in set(compile(text, "row", "eval").co_names)}
        rows.append(expression(f"{text} on {_shown((height, width))}", text, TORCH, EVEN,
                               {name: size for name, size in sizes.items() if name in used}))
    return rows


def _shown(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
