"""Every op as a row: what it is called, what numpy says, on which shapes. Values are compared with numpy, gradients
with central differences of the numpy function in float64, on the interpreter and on the CPU, as a graph and op by op.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from devices import needs_opencl, why_not

from minigrad import Context, Tensor

erf = np.vectorize(math.erf, otypes=[float])


def np_softmax(x: Any, axis: int = -1) -> Any:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def np_sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def np_conv(x: Any, w: Any, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1) -> Any:
    """Cross-correlation by definition, one output at a time."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    batch, _, height, width = x.shape
    outs, per, kh, kw = w.shape
    oh, ow = (height - dilation * (kh - 1) - 1) // stride + 1, (width - dilation * (kw - 1) - 1) // stride + 1
    result = np.zeros((batch, outs, oh, ow))
    for o in range(outs):
        first = o // (outs // groups) * per
        for i in range(oh):
            for j in range(ow):
                top, left = i * stride, j * stride
                window = x[:, first:first + per, top:top + dilation * (kh - 1) + 1:dilation,
                           left:left + dilation * (kw - 1) + 1:dilation]
                result[:, o, i, j] = (window * w[o]).sum((1, 2, 3))
    return result


def np_pool(x: Any, reduce: Any, size: int, stride: int) -> Any:
    height, width = x.shape[-2:]
    rows = [[reduce(x[..., i:i + size, j:j + size], (-2, -1)) for j in range(0, width - size + 1, stride)]
            for i in range(0, height - size + 1, stride)]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def np_attention(q: Any, k: Any, v: Any, causal: bool = False, mask: Any = None) -> Any:
    groups = q.shape[-3] // k.shape[-3]
    k, v = np.repeat(k, groups, -3), np.repeat(v, groups, -3)
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    return np_softmax(scores) @ v


@dataclass(frozen=True)
class Row:
    """name; ours and numpy's function of the inputs; the inputs' shapes, and the interval of their elements."""

    name: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    shapes: Sequence[tuple[int, ...]] = ((3, 4),)
    low: float = -2.0
    high: float = 2.0
    smooth: bool = True   # has a gradient to be compared
    options: dict[str, Any] = field(default_factory=dict)


A, B = (3, 4), (5,)
MASK = np.array([[True, False, True, True], [True, True, False, True], [False, True, True, True]])
HOLES = np.arange(30).reshape(5, 6) % 4 == 1
INDEX = np.array([[0, 2, 1, 0], [1, 1, 0, 2]])

ROWS = [
    # arithmetic
    Row("add", lambda x, y: x + y, np.add, [A, A]), Row("add-broadcast", lambda x, y: x + y, np.add, [(3, 1), (4,)]),
    Row("add-scalar", lambda x: 2 + x + 1.5, lambda x: x + 3.5), Row("sub", lambda x, y: x - y, np.subtract, [A, (4,)]),
    Row("rsub", lambda x: 1 - x, lambda x: 1 - x), Row("mul", lambda x, y: x * y, np.multiply, [A, (3, 1)]),
    Row("div", lambda x, y: x / y, np.divide, [A, A], 0.5, 2),
    Row("rdiv", lambda x: 2 / x, lambda x: 2 / x, [A], 0.5, 2), Row("neg", lambda x: -x, np.negative),
    Row("reciprocal", lambda x: x.reciprocal(), np.reciprocal, [A], 0.3, 2),
    Row("pow-2", lambda x: x ** 2, lambda x: x ** 2), Row("pow-5", lambda x: x ** 5, lambda x: x ** 5),
    Row("pow--2", lambda x: x ** -2, lambda x: x ** -2.0, [A], 0.5, 2),
    Row("pow-0", lambda x: x ** 0, lambda x: x ** 0, smooth=False),
    Row("pow-half", lambda x: x ** 0.5, lambda x: x ** 0.5, [A], 0.2, 2),
    Row("pow-frac", lambda x: x ** 1.7, lambda x: x ** 1.7, [A], 0.2, 2),
    Row("rpow", lambda x: 2 ** x, lambda x: 2 ** x), Row("pow-tensor", lambda x, y: x ** y, np.power, [A, A], 0.2, 2),
    Row("square", lambda x: x.square(), np.square),
    Row("floordiv", lambda x, y: x // y, np.floor_divide, [A, A], 0.3, 4, smooth=False),
    Row("mod", lambda x, y: x % y, np.mod, [A, A], 0.3, 4),
    Row("mod-negative", lambda x: x % 0.7, lambda x: np.mod(x, 0.7), smooth=False),
    Row("fmod", lambda x, y: x.fmod(y), np.fmod, [A, A], smooth=False),
    Row("lerp", lambda x, y: x.lerp(y, 0.3), lambda x, y: x + (y - x) * 0.3, [A, A]),
    # comparison and selection
    *[Row(f"{name}", ours, theirs, [A, A], smooth=False) for name, ours, theirs in [
        ("lt", lambda x, y: x < y, np.less), ("gt", lambda x, y: x > y, np.greater),
        ("le", lambda x, y: x <= y, np.less_equal), ("ge", lambda x, y: x >= y, np.greater_equal),
        ("eq", lambda x, y: x == y, np.equal), ("ne", lambda x, y: x != y, np.not_equal),
        ("isclose", lambda x, y: x.isclose(y, rtol=0.5), lambda x, y: np.isclose(x, y, rtol=0.5))]],
    Row("where", lambda x, y: (x < 0.05).where(x, y), lambda x, y: np.where(x < 0.05, x, y), [A, A]),
    Row("where-scalar", lambda x: (x < 0.05).where(x, 2.0), lambda x: np.where(x < 0.05, x, 2.0)),
    Row("masked_fill", lambda x: x.masked_fill(Tensor(MASK), 3.0), lambda x: np.where(MASK, 3.0, x)),
    Row("maximum", lambda x, y: x.maximum(y), np.maximum, [A, A]),
    Row("minimum", lambda x, y: x.minimum(y), np.minimum, [A, (4,)]),
    Row("clip", lambda x: x.clip(-1, 1), lambda x: np.clip(x, -1, 1)),
    Row("clamp-min", lambda x: x.clamp(min=0.5), lambda x: np.maximum(x, 0.5)),
    # functions
    Row("exp", lambda x: x.exp(), np.exp), Row("exp2", lambda x: x.exp2(), np.exp2),
    Row("expm1", lambda x: x.expm1(), np.expm1), Row("log", lambda x: x.log(), np.log, [A], 0.1, 3),
    Row("log2", lambda x: x.log2(), np.log2, [A], 0.1, 3), Row("log10", lambda x: x.log10(), np.log10, [A], 0.1, 3),
    Row("log1p", lambda x: x.log1p(), np.log1p, [A], -0.5, 3), Row("sqrt", lambda x: x.sqrt(), np.sqrt, [A], 0.1, 3),
    Row("rsqrt", lambda x: x.rsqrt(), lambda x: 1 / np.sqrt(x), [A], 0.1, 3), Row("sin", lambda x: x.sin(), np.sin),
    Row("cos", lambda x: x.cos(), np.cos), Row("tan", lambda x: x.tan(), np.tan, [A], -1, 1),
    Row("tanh", lambda x: x.tanh(), np.tanh), Row("sinh", lambda x: x.sinh(), np.sinh),
    Row("cosh", lambda x: x.cosh(), np.cosh), Row("erf", lambda x: x.erf(), erf), Row("abs", lambda x: x.abs(), np.abs),
    Row("sign", lambda x: x.sign(), np.sign), Row("trunc", lambda x: x.trunc(), np.trunc),
    Row("floor", lambda x: x.floor(), np.floor), Row("ceil", lambda x: x.ceil(), np.ceil),
    Row("round", lambda x: (x * 3).round(), lambda x: np.round(x * 3)),
    Row("frac", lambda x: x.frac(), lambda x: x - np.trunc(x)),
    Row("relu", lambda x: x.relu(), lambda x: np.maximum(x, 0)), Row("sigmoid", lambda x: x.sigmoid(), np_sigmoid),
    Row("silu", lambda x: x.silu(), lambda x: x * np_sigmoid(x)),
    Row("gelu", lambda x: x.gelu(), lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2)))),
    Row("gelu-tanh", lambda x: x.gelu("tanh"),
        lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))),
    Row("quick_gelu", lambda x: x.quick_gelu(), lambda x: x * np_sigmoid(1.702 * x)),
    Row("leaky_relu", lambda x: x.leaky_relu(0.1), lambda x: np.where(x < 0, 0.1 * x, x)),
    Row("elu", lambda x: x.elu(), lambda x: np.where(x > 0, x, np.expm1(x))),
    Row("softplus", lambda x: x.softplus(), lambda x: np.log1p(np.exp(x))),
    Row("mish", lambda x: x.mish(), lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    Row("softsign", lambda x: x.softsign(), lambda x: x / (1 + np.abs(x))),
    Row("logsigmoid", lambda x: x.logsigmoid(), lambda x: np.log(np_sigmoid(x))),
    Row("hardswish", lambda x: x.hardswish(), lambda x: x * np.clip(x + 3, 0, 6) / 6),
    # reduce
    Row("sum", lambda x: x.sum(), np.sum), Row("sum-axis", lambda x: x.sum(1), lambda x: x.sum(1)),
    Row("sum-axes", lambda x: x.sum((0, 2), keepdim=True), lambda x: x.sum((0, 2), keepdims=True), [(2, 3, 4)]),
    Row("prod", lambda x: x.prod(1), lambda x: x.prod(1)), Row("max", lambda x: x.max(0), lambda x: x.max(0)),
    Row("max-all", lambda x: x.max(), np.max),
    Row("min", lambda x: x.min(1, keepdim=True), lambda x: x.min(1, keepdims=True)),
    Row("mean", lambda x: x.mean(), np.mean),
    Row("mean-axis", lambda x: x.mean((0, 1)), lambda x: x.mean((0, 1)), [(2, 3, 4)]),
    Row("var", lambda x: x.var(), lambda x: x.var(ddof=1)),
    Row("var-axis", lambda x: x.var(1, correction=0), lambda x: x.var(1)),
    Row("std", lambda x: x.std(0), lambda x: x.std(0, ddof=1)),
    Row("argmax", lambda x: x.argmax(1), lambda x: x.argmax(1), smooth=False),
    Row("argmin", lambda x: x.argmin(), np.argmin, smooth=False),
    Row("any", lambda x: (x > 1).any(1), lambda x: (x > 1).any(1), smooth=False),
    Row("all", lambda x: (x > -1.5).all(0), lambda x: (x > -1.5).all(0), smooth=False),
    Row("softmax", lambda x: x.softmax(), np_softmax),
    Row("softmax-0", lambda x: x.softmax(0), lambda x: np_softmax(x, 0)),
    Row("log_softmax", lambda x: x.log_softmax(), lambda x: np.log(np_softmax(x))),
    Row("logsumexp", lambda x: x.logsumexp(1), lambda x: np.log(np.exp(x).sum(1))),
    Row("logsumexp-all", lambda x: x.logsumexp(), lambda x: np.log(np.exp(x).sum())),
    Row("cumsum", lambda x: x.cumsum(1), lambda x: x.cumsum(1)),
    Row("cumsum-long", lambda x: x.cumsum(0), lambda x: x.cumsum(0), [(70, 2)]),
    Row("cumprod", lambda x: x.cumprod(1), lambda x: x.cumprod(1), [(2, 5)], 0.5, 1.5),
    Row("cummax", lambda x: x.cummax(1), lambda x: np.maximum.accumulate(x, 1), [(2, 37)]),
    Row("norm", lambda x: x.norm(), lambda x: np.sqrt((x * x).sum())),
    Row("norm-3", lambda x: x.norm(3, 1), lambda x: (np.abs(x) ** 3).sum(1) ** (1 / 3)),
    # movement
    Row("reshape", lambda x: x.reshape(2, -1), lambda x: x.reshape(2, -1)),
    Row("permute", lambda x: x.permute(2, 0, 1), lambda x: x.transpose(2, 0, 1), [(2, 3, 4)]),
    Row("transpose", lambda x: x.transpose(0, 1), lambda x: x.T), Row("T", lambda x: x.T, lambda x: x.T, [(2, 3, 4)]),
    Row("expand", lambda x: x.expand(2, 3, 4), lambda x: np.broadcast_to(x, (2, 3, 4)), [(3, 1)]),
    Row("pad", lambda x: x.pad(((1, 2), (0, 3))), lambda x: np.pad(x, ((1, 2), (0, 3)))),
    Row("pad-value", lambda x: x.pad((1, 2), value=5.0), lambda x: np.pad(x, ((0, 0), (1, 2)), constant_values=5)),
    Row("pad-negative", lambda x: x.pad(((-1, 1), (1, -2))), lambda x: np.pad(x[1:, :-2], ((0, 1), (1, 0)))),
    *[Row(f"pad-{mode}", lambda x, mode=mode: x.pad(((1, 2), (2, 1)), mode=mode),
          lambda x, theirs=theirs: np.pad(x, ((1, 2), (2, 1)), theirs))
      for mode, theirs in [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]],
    Row("shrink", lambda x: x.shrink(((1, 3), (0, 2))), lambda x: x[1:3, :2]),
    Row("flip", lambda x: x.flip(0, 1), lambda x: x[::-1, ::-1]),
    Row("squeeze", lambda x: x.squeeze(1), lambda x: x.squeeze(1), [(3, 1, 2)]),
    Row("unsqueeze", lambda x: x.unsqueeze(-1), lambda x: x[..., None]),
    Row("flatten", lambda x: x.flatten(1), lambda x: x.reshape(2, 12), [(2, 3, 4)]),
    Row("movedim", lambda x: x.movedim(0, 2), lambda x: np.moveaxis(x, 0, 2), [(2, 3, 4)]),
    Row("repeat", lambda x: x.repeat(2, 3), lambda x: np.tile(x, (2, 3))),
    Row("repeat_interleave", lambda x: x.repeat_interleave(2, 1), lambda x: np.repeat(x, 2, 1)),
    Row("roll", lambda x: x.roll(1, 1), lambda x: np.roll(x, 1, 1)),
    Row("roll-flat", lambda x: x.roll(-5), lambda x: np.roll(x, -5)),
    Row("diagonal", lambda x: x.diagonal(), lambda x: np.diagonal(x, axis1=-2, axis2=-1), [(2, 4, 3)]),
    Row("unfold", lambda x: x.unfold(1, 3, 2), lambda x: np.lib.stride_tricks.sliding_window_view(x, 3, 1)[:, ::2],
        [(2, 8)]),
    Row("cat", lambda x, y: Tensor.cat(x, y, dim=1), lambda x, y: np.concatenate([x, y], 1), [(3, 4), (3, 2)]),
    Row("stack", lambda x, y: Tensor.stack(x, y, dim=1), lambda x, y: np.stack([x, y], 1), [A, A]),
    Row("split", lambda x: x.split(3, 1)[1], lambda x: x[:, 3:]),
    Row("chunk", lambda x: x.chunk(2, 1)[1], lambda x: x[:, 2:]),
    # indexing
    *[Row(f"index-{i}", ours, theirs, [(4, 5, 6)]) for i, (ours, theirs) in enumerate([
        (lambda x: x[1], lambda x: x[1]), (lambda x: x[-1, 2:], lambda x: x[-1, 2:]),
        (lambda x: x[..., None, 3], lambda x: x[..., None, 3]), (lambda x: x[::2, ::-1], lambda x: x[::2, ::-1]),
        (lambda x: x[3:0:-2, 1:4:2, ::3], lambda x: x[3:0:-2, 1:4:2, ::3]),
        (lambda x: x[[0, 2, 2]], lambda x: x[[0, 2, 2]]), (lambda x: x[:, Tensor(INDEX)], lambda x: x[:, INDEX]),
        (lambda x: x[[0, -1], [1, 2]], lambda x: x[[0, -1], [1, 2]]),
        (lambda x: x[[0, 1], :, [2, 3]], lambda x: x[[0, 1], :, [2, 3]]),
        (lambda x: x[0, :, [2, 3]], lambda x: x[0, :, [2, 3]]), (lambda x: x[:, 1, [2, 3]], lambda x: x[:, 1, [2, 3]]),
        (lambda x: x[5:], lambda x: x[5:]),
        (lambda x: x[None, 1, [0, 2], ..., -1], lambda x: x[None, 1, [0, 2], ..., -1]),
        (lambda x: x[[True, False, True, True]], lambda x: x[[True, False, True, True]]),
        (lambda x: x[..., Tensor(HOLES)], lambda x: x[..., HOLES]),
        (lambda x: x[[0, 0, 1], HOLES[:, 1]], lambda x: x[[0, 0, 1], HOLES[:, 1]]),
        (lambda x: x[:, ~HOLES & HOLES], lambda x: x[:, ~HOLES & HOLES])])],
    Row("gather", lambda x: x.gather(1, Tensor(INDEX)), lambda x: np.take_along_axis(x[:2], INDEX, 1)),
    Row("index_select", lambda x: x.index_select(1, Tensor([2, 0])), lambda x: x[:, [2, 0]]),
    Row("scatter", lambda x, y: x.scatter(0, Tensor(np.array([[0, 2, 1, 0]])), y),
        lambda x, y: _put(x, [[0, 2, 1, 0]], y), [A, (1, 4)]),
    Row("scatter_add", lambda x, y: x.scatter_add(0, Tensor(INDEX), y), lambda x, y: _put(x, INDEX, y, True),
        [A, (2, 4)]),
    *[Row(f"scatter_reduce-{how}", lambda x, y, how=how: x.scatter_reduce(0, Tensor(INDEX), y, how),
          lambda x, y, f=f: _fold(x, INDEX, y, f), [A, (2, 4)])
      for how, f in [("prod", np.multiply), ("amax", np.maximum), ("amin", np.minimum), ("sum", np.add)]],
    Row("tril", lambda x: x.tril(), np.tril), Row("triu", lambda x: x.triu(1), lambda x: np.triu(x, 1)),
    Row("tril--1", lambda x: x.tril(-1), lambda x: np.tril(x, -1)),
    Row("embedding", lambda x: x.embedding(Tensor(INDEX)), lambda x: x[INDEX]),
    # products
    Row("matmul", lambda x, y: x @ y, np.matmul, [(3, 4), (4, 5)]),
    Row("matmul-batch", lambda x, y: x @ y, np.matmul, [(2, 3, 4), (4, 5)]),
    Row("matmul-broadcast", lambda x, y: x @ y, np.matmul, [(2, 1, 3, 4), (3, 4, 2)]),
    Row("matmul-vector", lambda x, y: x @ y, np.matmul, [(4,), (4, 3)]),
    Row("matmul-vectors", lambda x, y: x.dot(y), np.dot, [(4,), (4,)]),
    Row("matrix-vector", lambda x, y: x @ y, np.matmul, [(2, 3, 4), (4,)]),
    Row("linear", lambda x, w, b: x.linear(w, b), lambda x, w, b: x @ w.T + b, [(3, 4), (5, 4), (5,)]),
    *[Row(f"einsum {f}", lambda *t, f=f: Tensor.einsum(f, *t), lambda *a, f=f: np.einsum(f, *a), shapes)
      for f, shapes in [
        ("ij,jk->ik", [(2, 3), (3, 4)]), ("bij,bjk->bik", [(2, 3, 4), (2, 4, 2)]), ("ii->i", [(3, 3)]),
        ("ii", [(3, 3)]), ("ij->ji", [(2, 3)]), ("ij,ij", [(2, 3), (2, 3)]),
        ("...ij,...jk->...ik", [(2, 3, 4), (4, 2)]), ("i,j,k->kji", [(2,), (3,), (4,)]), ("ba", [(2, 3)])]],
    Row("conv2d", lambda x, w: x.conv2d(w), np_conv, [(1, 2, 5, 6), (3, 2, 2, 3)]),
    Row("conv2d-stride", lambda x, w: x.conv2d(w, stride=2, padding=1), lambda x, w: np_conv(x, w, 2, 1),
        [(2, 1, 5, 5), (2, 1, 3, 3)]),
    Row("conv2d-dilation", lambda x, w: x.conv2d(w, dilation=2), lambda x, w: np_conv(x, w, dilation=2),
        [(1, 1, 6, 5), (1, 1, 2, 3)]),
    Row("conv2d-groups", lambda x, w, b: x.conv2d(w, b, groups=2),
        lambda x, w, b: np_conv(x, w, groups=2) + b.reshape(1, -1, 1, 1), [(1, 4, 4, 4), (4, 2, 2, 2), (4,)]),
    Row("max_pool2d", lambda x: x.max_pool2d(2), lambda x: np_pool(x, np.max, 2, 2), [(1, 2, 5, 4)]),
    Row("max_pool2d-overlap", lambda x: x.max_pool2d(3, stride=1), lambda x: np_pool(x, np.max, 3, 1), [(1, 1, 5, 5)]),
    Row("avg_pool2d", lambda x: x.avg_pool2d(2), lambda x: np_pool(x, np.mean, 2, 2), [(1, 2, 4, 4)]),
    # networks
    Row("layernorm", lambda x: x.layernorm(),
        lambda x: (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)),
    Row("rmsnorm", lambda x: x.rmsnorm(), lambda x: x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)),
    Row("attention", lambda q, k, v: q.scaled_dot_product_attention(k, v), np_attention,
        [(2, 3, 4), (2, 5, 4), (2, 5, 3)]),
    Row("attention-causal", lambda q, k, v: q.scaled_dot_product_attention(k, v, is_causal=True),
        lambda q, k, v: np_attention(q, k, v, True), [(1, 2, 4, 3)] * 3),
    Row("attention-gqa", lambda q, k, v: q.scaled_dot_product_attention(k, v, enable_gqa=True, is_causal=True),
        lambda q, k, v: np_attention(q, k, v, True),
        [(1, 4, 3, 2), (1, 2, 3, 2), (1, 2, 3, 2)]),
    Row("attention-mask", lambda q, k, v: q.scaled_dot_product_attention(k, v, attn_mask=Tensor(MASK)),
        lambda q, k, v: np_attention(q, k, v, mask=MASK),
        [(2, 3, 2), (2, 4, 2), (2, 4, 2)]),
    Row("cross_entropy", lambda x: x.cross_entropy(Tensor([1, 0, 3])),
        lambda x: -np.log(np_softmax(x))[[0, 1, 2], [1, 0, 3]].mean()),
    Row("cross_entropy-ignore", lambda x: x.cross_entropy(Tensor([1, -100, 3])),
        lambda x: -np.log(np_softmax(x))[[0, 2], [1, 3]].mean()),
    Row("cross_entropy-smooth", lambda x: x.cross_entropy(Tensor([1, 0, 3]), label_smoothing=0.1, reduction="sum"),
        lambda x: -(np.log(np_softmax(x)) * (np.eye(4)[[1, 0, 3]] * 0.9 + 0.025)).sum()),
    Row("mse", lambda x, y: x.mse_loss(y), lambda x, y: ((x - y) ** 2).mean(), [A, A]),
    Row("bce-logits", lambda x: x.binary_crossentropy_logits(Tensor(MASK).double()),
        lambda x: -np.where(MASK, np.log(np_sigmoid(x)), np.log(1 - np_sigmoid(x))).mean()),
    Row("bce", lambda x: x.binary_crossentropy(Tensor(MASK).double()),
        lambda x: -np.where(MASK, np.log(x), np.log(1 - x)).mean(), [A], 0.1, 0.9),
]


def _put(x: Any, index: Any, y: Any, add: bool = False) -> Any:
    result, index = x.copy(), np.asarray(index)
    for i, j in np.ndindex(index.shape):
        result[index[i, j], j] = y[i, j] + (result[index[i, j], j] if add else 0)
    return result


def _fold(x: Any, index: Any, y: Any, f: Any) -> Any:
    result = x.copy()
    for i, j in np.ndindex(index.shape):
        result[index[i, j], j] = f(result[index[i, j], j], y[i, j])
    return result


def inputs(row: Row) -> list[np.ndarray]:
    """Numbers that stay apart from each other and from whole and half numbers, where gradients may jump."""
    rng = np.random.default_rng(len(row.name))
    arrays = []
    for number, shape in enumerate(row.shapes):
        n = math.prod(shape)
        grid = row.low + (row.high - row.low) * (np.arange(n) + 0.3 + 0.17 * number) / max(n, 1)
        arrays.append(rng.permutation(grid).reshape(shape))
    return arrays


def central_differences(function: Callable[..., Any], arrays: list[np.ndarray], weights: np.ndarray,
                        step: float = 1e-6) -> list[np.ndarray]:
    """d sum(weights * function(*arrays)) / d each element."""
    grads = []
    for array in arrays:
        grad = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            kept = array[place]
            array[place] = kept + step
            above = (function(*arrays) * weights).sum()
            array[place] = kept - step
            below = (function(*arrays) * weights).sum()
            array[place] = kept
            grad[place] = (above - below) / (2 * step)
        grads.append(grad)
    return grads


MODES = [pytest.param("NUMPY", 0, id="numpy-graph"), pytest.param("NUMPY", 1, id="numpy-eager"),
         pytest.param("CPU", 0, id="cpu-graph"),
         pytest.param("CPU", 1, id="cpu-eager"), pytest.param("CUDA_EMULATED", 0, id="cuda-emulated"),
         pytest.param("OPENCL", 0, id="opencl", marks=needs_opencl)]
MODES += [] if why_not("CUDA") else [pytest.param("CUDA", 0, id="cuda-graph")]     # no machine of ours has to have one
GRAPHS = [MODES[0], MODES[2], *MODES[4:]]


@pytest.mark.parametrize(("device", "eager"), MODES)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_value_and_gradient(row: Row, device: str, eager: int) -> None:
    arrays = inputs(row)
    with np.errstate(all="ignore"):
        expected = np.asarray(row.theirs(*arrays))
    with Context(DEV=device, EAGER=eager):
        tensors = [Tensor(a.copy(), requires_grad=True) for a in arrays]
        result = row.ours(*tensors)
        assert result.shape == expected.shape
        if not row.smooth or not expected.size:
            np.testing.assert_allclose(result.numpy(), expected, rtol=1e-9, atol=1e-11)
            return
        weights = np.cos(np.arange(expected.size)).reshape(expected.shape)
        (result * Tensor(weights)).sum().backward()
        Tensor.realize(result, *[t.grad for t in tensors])
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-9, atol=1e-11)
        numeric = central_differences(lambda *a: np.asarray(row.theirs(*a)), arrays, weights)
        for tensor, grad in zip(tensors, numeric):
            np.testing.assert_allclose(tensor.grad.numpy(), grad, rtol=2e-5, atol=2e-7)


# ---- other dtypes: values alone, against numpy in the same dtype

INTS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]
INTEGER_ROWS: list[tuple[str, Callable[..., Any], Callable[..., Any]]] = [
    ("add", lambda x, y: x + y, np.add), ("sub", lambda x, y: x - y, np.subtract),
    ("mul", lambda x, y: x * y, np.multiply), ("floordiv", lambda x, y: x // y, np.floor_divide),
    ("mod", lambda x, y: x % y, np.mod), ("neg", lambda x, y: -x, lambda x, y: np.negative(x)),
    ("and", lambda x, y: x & y, np.bitwise_and), ("or", lambda x, y: x | y, np.bitwise_or),
    ("xor", lambda x, y: x ^ y, np.bitwise_xor), ("not", lambda x, y: ~x, lambda x, y: ~x),
    ("shl", lambda x, y: x << (y & 7), lambda x, y: x << (y & 7)),
    ("shr", lambda x, y: x >> (y & 7), lambda x, y: x >> (y & 7)), ("maximum", lambda x, y: x.maximum(y), np.maximum),
    ("minimum", lambda x, y: x.minimum(y), np.minimum), ("lt", lambda x, y: x < y, np.less),
    ("le", lambda x, y: x <= y, np.less_equal), ("eq", lambda x, y: x == y, np.equal),
    ("max", lambda x, y: x.max(), lambda x, y: x.max()), ("min", lambda x, y: x.min(), lambda x, y: x.min()),
    ("argmin", lambda x, y: x.argmin(), lambda x, y: x.argmin()), ("abs", lambda x, y: x.abs(), lambda x, y: np.abs(x)),
    ("pow", lambda x, y: x ** 3, lambda x, y: x ** 3), ("sign", lambda x, y: x.sign(), lambda x, y: np.sign(x)),
]


@pytest.mark.parametrize(("device", "eager"), GRAPHS)
@pytest.mark.parametrize("dtype", INTS, ids=lambda t: t.__name__)
def test_integers_wrap_and_divide_like_numpy(dtype: Any, device: str, eager: int) -> None:
    info = np.iinfo(dtype)
    x = np.array([0, 1, 3, 7, 100, info.max, info.min, info.max - 1, info.min + 5, 5], dtype)
    y = np.array([1, 0, 2, 3, 7, 2, info.max, 3, 2, info.min], dtype)
    with Context(DEV=device, EAGER=eager), np.errstate(all="ignore"):
        results = [ours(Tensor(x), Tensor(y)) for _, ours, _ in INTEGER_ROWS]
        Tensor.realize(*results)
        for (name, _, theirs), result in zip(INTEGER_ROWS, results):
            np.testing.assert_array_equal(result.numpy(), theirs(x, y), err_msg=f"{name} {dtype.__name__}")


SMALL_ROWS: list[tuple[str, Callable[..., Any]]] = [  # with x and y of one shape, z another row of it
    ("compare", lambda x, y, z: (x + y) < z), ("negate", lambda x, y, z: (-x) < y),
    ("invert", lambda x, y, z: (~x) + z < y), ("subtract", lambda x, y, z: (x - y) != z),
    ("multiply", lambda x, y, z: (x * y + z) < x), ("mean", lambda x, y, z: (x + y).mean()),
]


@pytest.mark.parametrize("noopt", [0, 1])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16], ids=lambda t: t.__name__)
def test_small_integers_wrap_inside_of_an_expression(dtype: Any, noopt: int) -> None:
    info = np.iinfo(dtype)
    x, y = np.array([info.max, info.min, info.max - 3, 7, 5], dtype), np.array([3, info.max, 100, info.min, info.max],
                    dtype)
    row = np.resize(y, (1, 16))
    with Context(DEV="CPU", NOOPT=noopt), np.errstate(all="ignore"):
        results = [ours(Tensor(x), Tensor(y), Tensor(y[::-1])) for _, ours in SMALL_ROWS]
        wide = [Tensor(x).reshape(5, 1).minimum(Tensor(row)), ~Tensor(x).reshape(5, 1) + Tensor(row),
                -Tensor(x).reshape(5, 1) * Tensor(row)]
        Tensor.realize(*results, *wide)
        for (name, theirs), result in zip(SMALL_ROWS, results):
            np.testing.assert_allclose(result.numpy(), theirs(x, y, y[::-1]), rtol=1e-6, err_msg=name)
        for result, expected in zip(wide, [np.minimum(x[:, None], row), ~x[:, None] + row, -x[:, None] * row]):
            np.testing.assert_array_equal(result.numpy(), expected)


def test_a_bool_beside_a_row_of_small_integers_becomes_one() -> None:
    row = np.arange(16, dtype=np.int8).reshape(1, 16) - np.int8(5)
    result = Tensor(np.array([[True], [False]])).minimum(Tensor(row))
    np.testing.assert_array_equal(result.numpy(), np.minimum([[1], [0]], row))


def test_functions_of_unsigned_integers_and_bools_are_those_of_floats() -> None:
    x, b = np.array([0, 1, 2, 5], np.uint8), np.array([True, False])
    with Context(DEV="NUMPY"):
        t, u = Tensor(x), Tensor(b)
        for ours, expected in [
                (t.sinh(), np.sinh(x, dtype=np.float32)), (t.cosh(), np.cosh(x, dtype=np.float32)),
                (u.sinh(), np.sinh(b * 1.0)), (t.logsigmoid(), -np.log1p(np.exp(-(x * 1.0)))),
                (t / -3, x / -3.0), (-3 / (t + 1), -3 / (x + 1.0)), (t / 300, x / 300), (t / 2 ** 40, x / 2 ** 40),
                (t ** 0.0, np.ones(4)), (u ** 2, [1, 0]), (u ** 0, [1, 1]), (u ** u, [1, 1])]:
            np.testing.assert_allclose(ours.numpy(), expected, rtol=2e-6)


SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1.5, 2.5, float(np.float32(1e30)), -float(np.float32(1e30)),
                    np.inf, -np.inf, np.nan, 3.7, -3.7])
SPECIAL_ROWS: list[tuple[str, Callable[..., Any], Callable[..., Any]]] = [
    ("add", lambda x, y: x + y, np.add), ("mul", lambda x, y: x * y, np.multiply),
    ("div", lambda x, y: x / y, np.divide), ("maximum", lambda x, y: x.maximum(y), np.maximum),
    ("minimum", lambda x, y: x.minimum(y), np.minimum), ("lt", lambda x, y: x < y, np.less),
    ("le", lambda x, y: x <= y, np.less_equal), ("ge", lambda x, y: x >= y, np.greater_equal),
    ("eq", lambda x, y: x == y, np.equal), ("ne", lambda x, y: x != y, np.not_equal),
    ("pow", lambda x, y: x ** y, lambda x, y: np.power(x + 0.0, y)),  # -0.0 counts as 0.0
    ("mod", lambda x, y: (x.abs() == np.float32(1e30)).where(7, x) % y,
     lambda x, y: np.mod(np.where(abs(x) == np.float32(1e30), 7, x), y)),
    ("pow-0.5", lambda x, y: x ** 0.5, lambda x, y: np.sqrt(x)),
    ("pow-2.5", lambda x, y: x ** 2.5, lambda x, y: np.power(x, 2.5)),
    ("floordiv", lambda x, y: x // y, np.floor_divide),
    ("pow-inf", lambda x, y: x ** math.inf, lambda x, y: np.power(x, np.inf)),
    ("pow-71", lambda x, y: x ** 71, lambda x, y: np.power(x, 71.0)),
    ("exp", lambda x, y: x.exp(), lambda x, y: np.exp(x)), ("log", lambda x, y: x.log(), lambda x, y: np.log(x)),
    ("sqrt", lambda x, y: x.sqrt(), lambda x, y: np.sqrt(x)), ("tanh", lambda x, y: x.tanh(), lambda x, y: np.tanh(x)),
    ("abs", lambda x, y: x.abs(), lambda x, y: np.abs(x)), ("sign", lambda x, y: x.sign(), lambda x, y: np.sign(x)),
    ("floor", lambda x, y: x.floor(), lambda x, y: np.floor(x)),
    ("ceil", lambda x, y: x.ceil(), lambda x, y: np.ceil(x)),
    ("round", lambda x, y: x.round(), lambda x, y: np.round(x)),
    ("relu", lambda x, y: x.relu(), lambda x, y: np.maximum(x, 0)),
    ("isnan", lambda x, y: x.isnan(), lambda x, y: np.isnan(x)),
    ("isinf", lambda x, y: x.isinf(), lambda x, y: np.isinf(x)),
    ("isfinite", lambda x, y: x.isfinite(), lambda x, y: np.isfinite(x)),
    ("sigmoid", lambda x, y: x.sigmoid(), lambda x, y: np_sigmoid(x)),
    ("log1p", lambda x, y: x.log1p(), lambda x, y: np.log1p(x)),
    ("clip", lambda x, y: x.clip(-1, 1), lambda x, y: np.clip(x, -1, 1)),
    ("max", lambda x, y: x.max(), lambda x, y: np.max(x)), ("min", lambda x, y: x.min(), lambda x, y: np.min(x)),
    ("argmax", lambda x, y: x.argmax(), lambda x, y: np.argmax(x)),
    ("sum", lambda x, y: x.sum(), lambda x, y: np.sum(x)),
]


@pytest.mark.parametrize(("device", "eager"), GRAPHS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values_like_numpy(dtype: Any, device: str, eager: int) -> None:
    x, y = (a.reshape(-1).astype(dtype) for a in np.meshgrid(SPECIAL, SPECIAL))
    with Context(DEV=device, EAGER=eager), np.errstate(all="ignore"):
        results = [ours(Tensor(x), Tensor(y)) for _, ours, _ in SPECIAL_ROWS]
        Tensor.realize(*results)
        for (name, _, theirs), result in zip(SPECIAL_ROWS, results):
            np.testing.assert_allclose(result.numpy(), theirs(x, y), rtol=1e-5 if dtype is np.float32 else 1e-10,
                                       atol=1e-30, err_msg=name)


@pytest.mark.parametrize("device", ["NUMPY", "CPU", "CUDA_EMULATED", pytest.param("OPENCL", marks=needs_opencl)])
def test_empty_tensors_like_numpy(device: str) -> None:
    x = np.zeros((0, 3), np.float32)
    with Context(DEV=device):
        t = Tensor(x)
        assert t.sum().item() == 0 and t.prod().item() == 1 and math.isnan(t.mean().item())
        assert t.sum(0).tolist() == [0, 0, 0] and t.sum(1).shape == (0,) and (t + 1).tolist() == []
        assert t.exp().numpy().shape == (0, 3) and (t.T @ t).tolist() == [[0.0] * 3] * 3
        assert (t @ Tensor.ones(3, 2)).numpy().shape == (0, 2)
        assert Tensor.cat(t, Tensor.ones(1, 3)).tolist() == [[1, 1, 1]]
        assert t.softmax(-1).numpy().shape == (0, 3) and t.cumsum(0).numpy().shape == (0, 3)
        assert not t.any().item() and t.all().item() and t.logsumexp().item() == -np.inf
        assert t.max(1).numpy().shape == t.min(1).numpy().shape == (0,)
        for name in ("argmax", "argmin", "max", "min"):
            with pytest.raises(ValueError, match="elements"):
                getattr(t, name)(0)


@pytest.mark.parametrize(("device", "eager"), GRAPHS)
def test_zeros_keep_their_sign(device: str, eager: int) -> None:
    x = np.array([0.0, -0.0, 1.0], np.float32)
    with Context(DEV=device, EAGER=eager):
        t = Tensor(x)
        for ours, theirs in [(t.cat(t * 2), np.concatenate([x, x])), (Tensor.stack(t, t, dim=1), np.stack([x, x], 1)),
                             (t.abs(), np.abs(x)), ((t * 0.25).round(), np.round(x * 0.25)),
                             (t.pad((1, 1)), np.pad(x, 1)), (t.roll(1), np.roll(x, 1))]:
            np.testing.assert_array_equal(np.signbit(ours.numpy()), np.signbit(theirs))


@pytest.mark.parametrize(("device", "eager"), GRAPHS)
def test_bounds_that_are_nan_give_nan(device: str, eager: int) -> None:
    with Context(DEV=device, EAGER=eager):
        x = Tensor([-2.0, 0.5, 3.0])
        assert np.isnan(x.clip(min=math.nan).numpy()).all() and np.isnan(x.clip(0, math.nan).numpy()).all()
        np.testing.assert_array_equal(x.clip(Tensor([-1.0, math.nan, 0]), 2).numpy(), [-1, math.nan, 2])


def test_fmod_where_the_quotient_is_rounded_up_to_a_whole_number() -> None:
    """On a device that multiplies and adds with one rounding."""
    x, y = np.float32([1, -1, 30, -30, 1000]), np.float32([0.1, 0.1, 0.1, -0.1, 0.1])
    with Context(DEV="CPU"):
        np.testing.assert_allclose(Tensor(x).fmod(Tensor(y)).numpy(), np.fmod(x, y), atol=1e-6)


def test_norms_that_are_no_sums_of_powers() -> None:
    x = Tensor([[0.0, -3.0, 2.0], [1.0, 0.0, 0.0]])
    assert x.norm(0, 1).tolist() == [2, 1] and x.norm(math.inf, 1).tolist() == [3, 1]
    assert x.norm(-math.inf, 0).tolist() == [0, 0, 0] and x.norm(-math.inf).item() == 0


POOLS = [((3, 3), 2, 0, (8, 8)), ((3, 3), 2, 1, (8, 7)), ((2, 2), 3, 1, (7, 7)), ((3, 2), (2, 3), (1, 0), (9, 8))]


@pytest.mark.parametrize(("kernel", "stride", "padding", "size"), POOLS)
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_poolings_like_loops(kernel: Any, stride: Any, padding: Any, size: Any, ceil_mode: bool) -> None:
    """Values, positions of the largest, and how many elements a mean counts."""
    strides, pads = ((s, s) if isinstance(s, int) else s for s in (stride, padding))
    x = np.random.default_rng(0).integers(-3, 3, (2, *size)).astype(np.float32)  # with ties
    counts = []
    for n, k, s, p in zip(size, kernel, strides, pads):
        count = math.ceil((n + 2 * p - k) / s) + 1 if ceil_mode else (n + 2 * p - k) // s + 1
        counts.append(count - (ceil_mode and (count - 1) * s >= n + p))
    largest, where = np.zeros((2, *counts), np.float32), np.zeros((2, *counts), np.int32)
    means, inner_means = np.zeros((2, *counts), np.float32), np.zeros((2, *counts), np.float32)
    for b, i, j in np.ndindex(*largest.shape):
        rows, columns = ([first + step for step in range(k) if first + step < n + p] for first, k, n, p in
                         zip((i * strides[0] - pads[0], j * strides[1] - pads[1]), kernel, size, pads))
        inside = [(r, c) for r in rows for c in columns if 0 <= r < size[0] and 0 <= c < size[1]]
        values = [x[b, r, c] for r, c in inside]
        largest[b, i, j], best = max(values), inside[int(np.argmax(values))]
        where[b, i, j] = best[0] * size[1] + best[1]
        means[b, i, j], inner_means[b, i, j] = sum(values) / (len(rows) * len(columns)), sum(values) / len(values)
    options = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    t = Tensor(x)
    values, positions = t.max_pool2d(kernel, return_indices=True, **options)
    np.testing.assert_array_equal(values.numpy(), largest)
    np.testing.assert_array_equal(t.max_pool2d(kernel, **options).numpy(), largest)
    np.testing.assert_array_equal(positions.numpy(), where)
    np.testing.assert_allclose(t.avg_pool2d(kernel, **options).numpy(), means, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(t.avg_pool2d(kernel, count_include_pad=False, **options).numpy(), inner_means, rtol=1e-5,
                               atol=1e-6)


def test_convolutions_take_one_image_and_words_for_padding() -> None:
    generator = np.random.default_rng(0)
    x, w, b = (Tensor(generator.normal(size=s).astype(np.float32)) for s in ((3, 8, 9), (4, 3, 4, 3), (4,)))
    batched = x.unsqueeze(0).conv2d(w, b, padding=(1, 1, 1, 2))
    np.testing.assert_array_equal(x.conv2d(w, b, padding=(1, 1, 1, 2)).numpy(), batched.squeeze(0).numpy())
    np.testing.assert_array_equal(x.conv2d(w, b, padding="same").numpy(), batched.squeeze(0).numpy())
    assert x.conv2d(w, dilation=2, padding="same").shape == (4, 8, 9)
    np.testing.assert_array_equal(x.conv2d(w, padding="valid").numpy(), x.conv2d(w).numpy())
    assert x[0].conv2d(w[:, :1, 0].expand(4, 8, 3), padding="same").shape == (4, 9)  # one axis, no batch
    for options in ({"padding": "full"}, {"padding": "same", "stride": 2}, {"padding": -1}, {"padding": (0, -1)}):
        with pytest.raises(ValueError, match="padding"):
            x.conv2d(w, **options)


def test_one_hot_counts_the_classes_itself() -> None:
    assert Tensor([2, 0]).one_hot().tolist() == [[0, 0, 1], [1, 0, 0]]
    assert Tensor.zeros(0, dtype="int32").one_hot().shape == (0, 0)


def test_one_key_head_serves_all_query_heads() -> None:
    q, k = (Tensor(np.random.default_rng(i).normal(size=(2, heads, 3, 4)).astype(np.float32))
            for i, heads in enumerate((4, 1)))
    shared = q.scaled_dot_product_attention(k.expand(2, 4, 3, 4), k.expand(2, 4, 3, 4), is_causal=True)
    np.testing.assert_allclose(q.scaled_dot_product_attention(k, k, is_causal=True).numpy(), shared.numpy(), rtol=1e-5)
    with pytest.raises(ValueError, match="enable_gqa=False"):
        q.scaled_dot_product_attention(k.expand(2, 2, 3, 4), k.expand(2, 2, 3, 4))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "uint8"])
def test_sorted_elements_and_their_places(dtype: str) -> None:
    x = np.array([[3, 1, 2, 3, 0], [5, 5, 1, 0, 5]], np.float32)
    t = Tensor(x).cast(dtype)
    for axis in (0, 1, -1):
        values, order = t.sort(axis)
        np.testing.assert_array_equal(values.numpy(), np.sort(x, axis))
        np.testing.assert_array_equal(order.numpy(), np.argsort(x, axis, kind="stable"))
        np.testing.assert_array_equal(t.argsort(axis, descending=True).numpy(), np.argsort(-x, axis, kind="stable"))
    values, order = t.topk(2)
    assert values.tolist() == [[3, 3], [5, 5]] and order.tolist() == [[0, 3], [0, 1]]
    assert t.topk(1, dim=0, largest=False)[0].tolist() == [[3, 1, 1, 0, 0]]
    with pytest.raises(ValueError, match=r"topk: 6 elements of axis 1 of shape \(2, 5\)"):
        t.topk(6)


def test_gradients_go_to_the_places_that_sorted_elements_had() -> None:
    x = Tensor([2.0, math.nan, 1.0], requires_grad=True)
    (x.sort()[0] * Tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [10, 100, 1] and x.sort(descending=True)[1].tolist() == [1, 0, 2]
