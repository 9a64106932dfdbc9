"""Every op of Tensor equals torch, forward and gradient. A row is an op: its expression and its operands' shapes."""
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from minigrad import Context, Tensor

Expression = Callable[..., Any]


@dataclass(frozen=True)
class Row:
    """`ours` also runs on torch's tensors unless `theirs` says how the same is written there.

    Operands are uniform between `low` and `high`; integers when `integer`.
    """
    name: str
    shapes: tuple[tuple[int, ...], ...]
    ours: Expression
    theirs: Expression | None = None
    low: float = -2.0
    high: float = 2.0
    integer: bool = False
    gradient: bool = True
    rtol: float = 1e-4
    atol: float = 1e-5


def unary(name: str, ours: Expression, theirs: Expression | None = None, **more: Any) -> Row:
    return Row(name, ((5, 7),), ours, theirs, **more)


def binary(name: str, ours: Expression, theirs: Expression | None = None, **more: Any) -> Row:
    return Row(name, ((5, 7), (5, 7)), ours, theirs, **more)


def whole(name: str, ours: Expression, theirs: Expression | None = None, **more: Any) -> Row:
    """An op on integers: no gradient, compared exactly."""
    return Row(name, ((5, 7), (5, 7)), ours, theirs, -9, 10, integer=True, gradient=False, rtol=0, atol=0, **more)


UNARY = [
    unary("neg", lambda x: -x),
    unary("abs", lambda x: x.abs()),
    unary("square", lambda x: x.square()),
    unary("reciprocal", lambda x: x.reciprocal(), low=0.3),
    unary("sqrt", lambda x: x.sqrt(), low=0.1),
    unary("rsqrt", lambda x: x.rsqrt(), low=0.1),
    unary("exp", lambda x: x.exp(), low=-20, high=20),
    unary("exp2", lambda x: x.exp2(), low=-20, high=20),
    unary("log", lambda x: x.log(), low=1e-3, high=50),
    unary("log2", lambda x: x.log2(), low=1e-3, high=50),
    unary("sin", lambda x: x.sin(), low=-30, high=30),
    unary("cos", lambda x: x.cos(), low=-30, high=30),
    unary("tan", lambda x: x.tan(), low=-1.2, high=1.2),
    unary("tanh", lambda x: x.tanh(), low=-12, high=12),
    unary("erf", lambda x: x.erf(), low=-4, high=4),
    unary("sigmoid", lambda x: x.sigmoid(), low=-12, high=12),
    unary("relu", lambda x: x.relu()),
    unary("silu", lambda x: x.silu(), F.silu, low=-12, high=12),
    unary("gelu", lambda x: x.gelu(), F.gelu, low=-6, high=6),
    unary("gelu tanh", lambda x: x.gelu("tanh"), lambda x: F.gelu(x, approximate="tanh"), low=-6, high=6),
    unary("log10", lambda x: x.log10(), low=1e-3, high=50),
    unary("log1p", lambda x: x.log1p(), low=-0.9, high=5),
    unary("expm1", lambda x: x.expm1(), low=-3, high=3),
    unary("sinh", lambda x: x.sinh()),
    unary("cosh", lambda x: x.cosh()),
    unary("leaky_relu", lambda x: x.leaky_relu(0.1), lambda x: F.leaky_relu(x, 0.1)),
    unary("elu", lambda x: x.elu(), F.elu),
    unary("softplus", lambda x: x.softplus(), F.softplus, low=-30, high=30),
    unary("mish", lambda x: x.mish(), F.mish),
    unary("relu6", lambda x: x.relu6(), F.relu6, low=-8, high=8),
    unary("hardtanh", lambda x: x.hardtanh(), F.hardtanh),
    unary("hardswish", lambda x: x.hardswish(), F.hardswish, low=-5, high=5),
    unary("hardsigmoid", lambda x: x.hardsigmoid(), F.hardsigmoid, low=-5, high=5),
    unary("softsign", lambda x: x.softsign(), F.softsign),
    unary("logsigmoid", lambda x: x.logsigmoid(), F.logsigmoid, low=-30, high=30),
    unary("frac", lambda x: x.frac(), low=-9, high=9),
    unary("sign", lambda x: x.sign(), gradient=False),
    unary("trunc", lambda x: x.trunc(), gradient=False, low=-9, high=9),
    unary("floor", lambda x: x.floor(), gradient=False, low=-9, high=9),
    unary("ceil", lambda x: x.ceil(), gradient=False, low=-9, high=9),
    unary("round half to even", lambda x: (x * 2).round() / 2 + (x * 0 + 2.5).round(), gradient=False, low=-9, high=9),
    unary("clip", lambda x: x.clip(-1.0, 0.5)),
    unary("clamp", lambda x: x.clamp(-1.0, 0.5)),
    unary("power 2", lambda x: x ** 2),
    unary("power 3", lambda x: x ** 3),
    unary("power 0.5", lambda x: x ** 0.5, low=0.1),
    unary("power -1", lambda x: x ** -1, low=0.3),
    unary("scalar power", lambda x: 2.0 ** x),
    unary("subtract from a scalar", lambda x: 3.0 - x),
    unary("divide a scalar", lambda x: 3.0 / x, low=0.3),
    unary("divide by a scalar", lambda x: x / 3),
]
BINARY = [
    binary("add", lambda a, b: a + b),
    binary("subtract", lambda a, b: a - b),
    binary("multiply", lambda a, b: a * b),
    binary("divide", lambda a, b: a / b, low=0.2),
    binary("power", lambda a, b: a ** b, low=0.2),
    binary("maximum", lambda a, b: a.maximum(b)),
    binary("minimum", lambda a, b: a.minimum(b)),
    binary("floor divide", lambda a, b: a // b, gradient=False),
    binary("modulo", lambda a, b: a % b, gradient=False),
    binary("fmod", lambda a, b: a.fmod(b), gradient=False, low=-9, high=9),
    binary("where", lambda a, b: (a > b).where(a, b), lambda a, b: torch.where(a > b, a, b)),
    binary("where scalar", lambda a, b: (a > 0).where(a, 0.0) * b, lambda a, b: torch.where(a > 0, a, 0.0) * b),
    binary("reused operand", lambda a, b: a * b + a * a + b),
    *(binary(f"compare {sign}", expression, gradient=False) for sign, expression in {
        "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
        "==": lambda a, b: a == a, "!=": lambda a, b: a != b}.items()),
    Row("broadcast a row", ((5, 7), (7,)), lambda a, b: a + b * a),
    Row("broadcast a column", ((5, 7), (5, 1)), lambda a, b: a * b),
    Row("broadcast both", ((5, 1), (1, 7)), lambda a, b: a - b),
    Row("broadcast a scalar", ((5, 7), ()), lambda a, b: a * b),
    Row("lerp", ((5, 7), (5, 7), (7,)), lambda a, b, t: a.lerp(b, t)),
]
INTEGERS = [
    whole("integer add and multiply", lambda a, b: a * b + a - b),
    whole("integer floor divide", lambda a, b: a // (b.abs() + 1)),
    whole("integer floor divide by negatives", lambda a, b: a // (-b.abs() - 1)),
    whole("integer modulo", lambda a, b: a % (b.abs() + 1)),
    whole("integer modulo of negatives", lambda a, b: a % (-b.abs() - 1)),
    whole("integer true divide", lambda a, b: a / 4 + b * 0),
    whole("and", lambda a, b: a & b),
    whole("or", lambda a, b: a | b),
    whole("xor", lambda a, b: a ^ b),
    whole("invert", lambda a, b: ~a + b),
    whole("shift left", lambda a, b: a << 3),
    whole("shift right", lambda a, b: a >> 2),
    whole("integer sum", lambda a, b: a.sum(1) + b.sum(1)),
    whole("integer max", lambda a, b: a.max(1), lambda a, b: a.amax(1)),
    whole("logic", lambda a, b: ((a > 0) & (b > 0)) | ~(a > b)),
    whole("mean of comparisons", lambda a, b: (a > b).sum()),
]
MOVEMENT = [
    unary("reshape", lambda x: x.reshape(7, 5) * 2),
    unary("reshape infers -1", lambda x: x.reshape(-1, 1, 5) * 2),
    unary("transpose", lambda x: x.transpose(0, 1).exp()),
    unary("T", lambda x: x.T.exp()),
    Row("permute", ((2, 3, 4),), lambda x: x.permute(2, 0, 1) * 3),
    Row("expand", ((3, 1, 4),), lambda x: x.expand(3, 5, 4) * 3),
    Row("squeeze", ((3, 1, 4),), lambda x: x.squeeze(1) * 2),
    Row("squeeze all", ((1, 3, 1),), lambda x: x.squeeze() * 2),
    Row("unsqueeze", ((3, 4),), lambda x: x.unsqueeze(1) * 2),
    Row("unsqueeze last", ((3, 4),), lambda x: x.unsqueeze(-1) * 2),
    Row("flatten", ((2, 3, 4),), lambda x: x.flatten(1) * 2),
    Row("flatten middle", ((2, 3, 4, 2),), lambda x: x.flatten(1, 2) * 2),
    unary("flip", lambda x: x.flip(0) + x, lambda x: x.flip(0) + x),
    unary("flip both", lambda x: x.flip((0, 1)) * x),
    unary("pad", lambda x: x.pad(((1, 2), (3, 0))) + 1, lambda x: F.pad(x, (3, 0, 1, 2)) + 1),
    unary("shrink", lambda x: x.shrink(((1, 4), (2, 7))) * 2, lambda x: x[1:4, 2:7] * 2),
    unary("repeat", lambda x: x.repeat(2, 3) * 2),
    unary("slice", lambda x: x[1:4, 2:] * 2),
    unary("slice with a step", lambda x: x[::2, 1::3] * 2),
    unary("integer index", lambda x: x[2] * 2),
    unary("negative index", lambda x: x[-1, -2] * 2),
    unary("new axis and ellipsis", lambda x: x[None, ..., 1] * 2),
    unary("chunk", lambda x: sum(part.sum() * i for i, part in enumerate(x.chunk(3, 0)))),
    unary("split", lambda x: x.split(2, 1)[1] * 2),
    unary("split by sizes", lambda x: x.split([1, 4, 2], 1)[1] * 2),
    binary("cat rows", lambda a, b: a.cat(b, dim=0) * 2, lambda a, b: torch.cat([a, b]) * 2),
    binary("cat columns", lambda a, b: Tensor.cat(a, b * 2, a, dim=1), lambda a, b: torch.cat([a, b * 2, a], 1)),
    binary("stack", lambda a, b: Tensor.stack(a, b, dim=1) * 2, lambda a, b: torch.stack([a, b], 1) * 2),
    unary("triu", lambda x: x.triu(1) * 2),
    unary("tril", lambda x: x.tril(-1) + 1),
    unary("roll", lambda x: x.roll((2, -3), (0, 1)) * 2),
    unary("movedim", lambda x: x.movedim(0, 1) * 2),
    unary("unflatten", lambda x: x.reshape(35).unflatten(0, (5, 7)) * 2),
    unary("repeat_interleave", lambda x: x.repeat_interleave(3, 1) * 2),
    unary("unfold", lambda x: x.unfold(1, 3, 2) * 2),
    unary("diagonal", lambda x: x.diagonal() * 2),
    unary("masked_fill", lambda x: x.masked_fill(x > 0.5, 3.0) * 2),
    unary("pad reflected", lambda x: x.reshape(1, 5, 7).pad((2, 1), mode="reflect") * 2,
          lambda x: F.pad(x.reshape(1, 5, 7), (2, 1), mode="reflect") * 2),
    unary("pad circular", lambda x: x.reshape(1, 5, 7).pad((2, 1), mode="circular") * 2,
          lambda x: F.pad(x.reshape(1, 5, 7), (2, 1), mode="circular") * 2),
    unary("crop by negative pads", lambda x: x.pad((-1, -2)) * 2, lambda x: F.pad(x, (-1, -2)) * 2),
    Row("chain of views", ((4, 6, 2),), lambda x: x.permute(1, 0, 2).reshape(3, 16)[:, 2:9].T * 2),
]
REDUCE = [
    unary("sum", lambda x: x.sum()),
    unary("sum of rows", lambda x: x.sum(1)),
    Row("sum of two axes", ((3, 4, 5),), lambda x: x.sum((0, 2))),
    unary("sum keepdim", lambda x: x / (x * x).sum(1, keepdim=True)),
    unary("prod", lambda x: x.prod(1), low=0.5, high=1.5),
    unary("prod with a zero", lambda x: (x * (x > 0)).prod(1), lambda x: (x * (x > 0)).prod(1), gradient=False),
    unary("max", lambda x: x.max()),
    unary("max of rows", lambda x: x.max(1), lambda x: x.amax(1)),
    unary("min of columns", lambda x: x.min(0), lambda x: x.amin(0)),
    unary("mean", lambda x: x.mean()),
    unary("mean of rows", lambda x: x.mean(1)),
    unary("var", lambda x: x.var(1)),
    unary("var without correction", lambda x: x.var(1, correction=0)),
    unary("std", lambda x: x.std(0)),
    unary("argmax", lambda x: x.argmax(1), gradient=False),
    unary("argmax of all", lambda x: x.argmax(), gradient=False),
    unary("argmin", lambda x: x.argmin(0), gradient=False),
    unary("any", lambda x: (x > 1.5).any(1), gradient=False),
    unary("all", lambda x: (x > -1.5).all(1), gradient=False),
    unary("softmax", lambda x: x.softmax(1), high=30),
    unary("softmax of columns", lambda x: x.softmax(0)),
    unary("log_softmax", lambda x: x.log_softmax(1), high=30),
    unary("logsumexp", lambda x: x.logsumexp(1), high=80),
    unary("cumsum", lambda x: x.cumsum(1)),
    unary("cumsum of columns", lambda x: x.cumsum(0)),
    unary("cumprod", lambda x: x.cumprod(1), low=0.5, high=1.5),
    unary("norm", lambda x: x.norm(2, 1)),
    unary("normalize", lambda x: x.normalize(2, 1), lambda x: F.normalize(x, 2, 1)),
    Row("long sum", ((3, 4099),), lambda x: x.sum(1), low=0, high=1),
    Row("long cumsum", ((2, 1031),), lambda x: x.cumsum(1), low=0, high=1),
    Row("two reduces of one row", ((6, 33),), lambda x: (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)),
]


def torch_attention(**options: Any) -> Expression:
    return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **options)


LINEAR = [
    Row("matmul", ((17, 33), (33, 9)), lambda a, b: a @ b),
    Row("matmul of vectors", ((33,), (33,)), lambda a, b: a @ b),
    Row("matrix times vector", ((17, 33), (33,)), lambda a, b: a @ b),
    Row("vector times matrix", ((33,), (33, 9)), lambda a, b: a @ b),
    Row("batched matmul", ((3, 5, 8), (3, 8, 6)), lambda a, b: a @ b),
    Row("broadcast batch", ((2, 1, 5, 8), (3, 8, 6)), lambda a, b: a.matmul(b)),
    Row("dot", ((5, 8), (8, 6)), lambda a, b: a.dot(b), torch.matmul),
    Row("matmul larger than a tile", ((97, 130), (130, 101)), lambda a, b: a @ b, atol=1e-4),
    Row("transposed operand", ((17, 33), (9, 33)), lambda a, b: a @ b.T),
    Row("matmul with a prologue and an epilogue", ((17, 33), (33, 9), (9,)), lambda a, b, c: (a.exp() @ b + c).relu(),
        low=-1, high=1),
    Row("einsum", ((3, 4), (4, 5)), lambda a, b: Tensor.einsum("ij,jk->ki", a, b),
        lambda a, b: torch.einsum("ij,jk->ki", a, b)),
    Row("einsum over batches", ((2, 3, 4), (2, 5, 4)), lambda a, b: Tensor.einsum("bij,bkj->bik", a, b),
        lambda a, b: torch.einsum("bij,bkj->bik", a, b)),
    Row("linear", ((4, 6), (5, 6), (5,)), lambda x, w, b: x.linear(w, b), F.linear),
    Row("conv2d", ((2, 3, 9, 8), (4, 3, 3, 3), (4,)), lambda x, w, b: x.conv2d(w, b), F.conv2d),
    Row("conv2d stride and padding", ((2, 3, 9, 8), (4, 3, 3, 3)), lambda x, w: x.conv2d(w, stride=2, padding=1),
        lambda x, w: F.conv2d(x, w, stride=2, padding=1)),
    Row("conv2d groups", ((2, 4, 7, 7), (6, 2, 3, 3)), lambda x, w: x.conv2d(w, groups=2),
        lambda x, w: F.conv2d(x, w, groups=2)),
    Row("conv2d dilation", ((1, 2, 9, 9), (3, 2, 3, 3)), lambda x, w: x.conv2d(w, dilation=2),
        lambda x, w: F.conv2d(x, w, dilation=2)),
    Row("conv_transpose2d", ((2, 3, 5, 4), (3, 4, 3, 3)), lambda x, w: x.conv_transpose2d(w, stride=2, padding=1),
        lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1)),
    Row("avg_pool2d", ((2, 3, 8, 6),), lambda x: x.avg_pool2d((2, 2)), lambda x: F.avg_pool2d(x, 2)),
    Row("avg_pool2d padded", ((1, 2, 7, 7),), lambda x: x.avg_pool2d((3, 3), stride=2, padding=1),
        lambda x: F.avg_pool2d(x, 3, stride=2, padding=1)),
    Row("max_pool2d padded", ((1, 2, 7, 7),), lambda x: x.max_pool2d((3, 3), stride=2, padding=1),
        lambda x: F.max_pool2d(x, 3, stride=2, padding=1)),
    Row("max_pool2d", ((2, 3, 8, 6),), lambda x: x.max_pool2d((2, 2)), lambda x: F.max_pool2d(x, 2)),
    Row("max_pool2d overlapping", ((1, 2, 9, 9),), lambda x: x.max_pool2d((3, 3), stride=2),
        lambda x: F.max_pool2d(x, 3, stride=2)),
    Row("max_pool2d ceil_mode", ((1, 2, 8, 7),), lambda x: x.max_pool2d((3, 3), stride=2, padding=1, ceil_mode=True),
        lambda x: F.max_pool2d(x, 3, stride=2, padding=1, ceil_mode=True)),
    Row("max_pool2d indices", ((1, 2, 8, 7),), lambda x: x.max_pool2d((2, 2), return_indices=True)[1],
        lambda x: F.max_pool2d(x, 2, return_indices=True)[1], gradient=False),
    Row("avg_pool2d ceil_mode", ((1, 2, 8, 7),), lambda x: x.avg_pool2d((3, 3), stride=2, padding=1, ceil_mode=True),
        lambda x: F.avg_pool2d(x, 3, stride=2, padding=1, ceil_mode=True)),
    Row("conv2d same", ((2, 3, 8, 9), (4, 3, 4, 3)), lambda x, w: x.conv2d(w, padding="same", dilation=2),
        lambda x, w: F.conv2d(x, w, padding="same", dilation=2)),
    Row("conv1d without a batch", ((3, 9), (4, 3, 3)), lambda x, w: x.conv2d(w), F.conv1d),
    Row("attention with one key head", ((2, 6, 9, 8), (2, 1, 9, 8), (2, 1, 9, 8)),
        lambda q, k, v: q.scaled_dot_product_attention(k, v), torch_attention()),
    Row("attention that sees nothing", ((2, 3, 4, 8), (2, 3, 4, 8), (2, 3, 4, 8)),
        lambda q, k, v: q.scaled_dot_product_attention(k, v, attn_mask=Tensor([[True], [False], [True], [True]])),
        torch_attention(attn_mask=torch.tensor([[True], [False], [True], [True]]))),
    Row("layernorm", ((4, 16),), lambda x: x.layernorm(), lambda x: F.layer_norm(x, (16,))),
    Row("rmsnorm", ((4, 16),), lambda x: x.rmsnorm(eps=1e-5), lambda x: F.rms_norm(x, (16,), eps=1e-5)),
    Row("outer", ((5,), (7,)), lambda a, b: a.outer(b)),
    Row("attention", ((2, 3, 9, 8), (2, 3, 11, 8), (2, 3, 11, 8)),
        lambda q, k, v: q.scaled_dot_product_attention(k, v), torch_attention()),
    Row("causal attention", ((2, 3, 33, 8),) * 3, lambda q, k, v: q.scaled_dot_product_attention(k, v, is_causal=True),
        torch_attention(is_causal=True)),
    Row("masked attention", ((2, 3, 9, 8), (2, 3, 11, 8), (2, 3, 11, 8), (9, 11)),
        lambda q, k, v, m: q.scaled_dot_product_attention(k, v, attn_mask=m),
        lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, attn_mask=m)),
    Row("grouped-query attention", ((2, 6, 9, 8), (2, 2, 9, 8), (2, 2, 9, 8)),
        lambda q, k, v: q.scaled_dot_product_attention(k, v, is_causal=True, enable_gqa=True),
        torch_attention(is_causal=True, enable_gqa=True)),
]
ROWS = UNARY + BINARY + INTEGERS + MOVEMENT + REDUCE + LINEAR


def make_operands(row: Row) -> list[np.ndarray]:
    """The same numbers in every run: the seed is the row's name."""
    generator = np.random.default_rng(zlib.crc32(row.name.encode()))
    if row.integer:
        return [generator.integers(int(row.low), int(row.high), shape, dtype=np.int32) for shape in row.shapes]
    return [generator.uniform(row.low, row.high, shape).astype(np.float32) for shape in row.shapes]


def compare(ours: np.ndarray, theirs: torch.Tensor, row: Row, what: str) -> None:
    expected = theirs.detach().numpy()
    assert ours.shape == expected.shape, f"{row.name}: shape of {what}"
    assert ours.dtype.kind == expected.dtype.kind, f"{row.name}: {what} is {ours.dtype}, torch has {expected.dtype}"
    np.testing.assert_allclose(ours, expected, rtol=row.rtol, atol=row.atol, err_msg=f"{row.name}: {what}")


@pytest.mark.parametrize("eager", [False, True], ids=["graph", "eager"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_values_and_gradients_equal_torch(row: Row, eager: bool) -> None:
    operands = make_operands(row)
    theirs = [torch.tensor(x, requires_grad=row.gradient) for x in operands]
    expected = (row.theirs or row.ours)(*theirs)
    with Context(EAGER=int(eager)):
        ours = [Tensor(x, requires_grad=row.gradient) for x in operands]
        result = row.ours(*ours)
        compare(result.numpy(), expected, row, "result")
        if not row.gradient:
            return
        weights = np.random.default_rng(7).uniform(0.5, 1.5, tuple(expected.shape)).astype(np.float32)
        (expected * torch.tensor(weights)).sum().backward()
        (result * Tensor(weights)).sum().backward()
        for position, (x, y) in enumerate(zip(ours, theirs, strict=True)):
            assert x.grad is not None, f"{row.name}: operand {position} has no gradient"
            compare(x.grad.numpy(), y.grad, row, f"gradient of operand {position}")


def test_advanced_indexing_equals_torch() -> None:
    table = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    rows, columns = np.array([[0, 5], [2, 2]]), np.array([4, 1])
    ours, theirs = Tensor(table, requires_grad=True), torch.tensor(table, requires_grad=True)
    for mine, other in [(ours[Tensor(rows)], theirs[torch.tensor(rows)]),
                        (ours[Tensor(rows), Tensor(columns)], theirs[torch.tensor(rows), torch.tensor(columns)]),
                        (ours[:, Tensor(columns)], theirs[:, torch.tensor(columns)]),
                        (ours[Tensor(columns), :, Tensor(columns - 1)],
                         theirs[torch.tensor(columns), :, torch.tensor(columns - 1)])]:
        np.testing.assert_array_equal(mine.numpy(), other.detach().numpy())
    (ours[Tensor(rows)] * 3).sum().backward()
    (theirs[torch.tensor(rows)] * 3).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy())


def test_gather_and_scatter_equal_torch() -> None:
    generator = np.random.default_rng(1)
    x, index = generator.normal(size=(4, 6)).astype(np.float32), generator.integers(0, 4, (3, 6))
    source = generator.normal(size=(3, 6)).astype(np.float32)
    ours, theirs = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    mine, other = ours.gather(0, Tensor(index)), theirs.gather(0, torch.tensor(index))
    np.testing.assert_array_equal(mine.numpy(), other.detach().numpy())
    (mine * mine).sum().backward()
    (other * other).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-5)
    unique = np.argsort(generator.normal(size=(4, 6)), axis=0)[:3]  # torch leaves the order of duplicates open
    np.testing.assert_array_equal(Tensor(x).scatter(0, Tensor(unique), Tensor(source)).numpy(),
                                  torch.tensor(x).scatter(0, torch.tensor(unique), torch.tensor(source)).numpy())


def test_cross_entropy_equals_torch() -> None:
    generator = np.random.default_rng(2)
    logits, labels = generator.normal(size=(8, 11)).astype(np.float32) * 4, generator.integers(0, 11, 8)
    ours, theirs = Tensor(logits, requires_grad=True), torch.tensor(logits, requires_grad=True)
    mine, other = ours.cross_entropy(Tensor(labels)), F.cross_entropy(theirs, torch.tensor(labels))
    np.testing.assert_allclose(mine.numpy(), other.detach().numpy(), rtol=1e-5)
    mine.backward()
    other.backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_half_precision_accumulates_like_torch(name: str) -> None:
    """Inputs are rounded alike; sums run in f32, so only the last rounding may differ."""
    x = np.random.default_rng(3).uniform(0, 1, (4, 2048)).astype(np.float32)
    ours = Tensor(x).cast(name).sum(1).cast("float32").numpy()
    theirs = torch.tensor(x).to(getattr(torch, name)).sum(1).float().numpy()
    np.testing.assert_allclose(ours, theirs, rtol=2 ** -7 if name == "bfloat16" else 2 ** -10)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_optimisers_follow_torch_for_twenty_steps(name: str) -> None:
    from minigrad.nn import optim
    generator = np.random.default_rng(4)
    start, target = (generator.normal(size=(6, 5)).astype(np.float32) for _ in range(2))
    options = {"SGD": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}, "Adam": {"lr": 0.05},
               "AdamW": {"lr": 0.05, "weight_decay": 0.1}}[name]
    ours, theirs = Tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    mine, other = getattr(optim, name)([ours], **options), getattr(torch.optim, name)([theirs], **options)
    for _ in range(20):
        mine.zero_grad()
        other.zero_grad()
        ((ours - Tensor(target)) ** 2).mean().backward()
        ((theirs - torch.tensor(target)) ** 2).mean().backward()
        mine.step()
        other.step()
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-4, atol=1e-6)


EDGES = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -2.5, 6.0, 30.0, -30.0, 1000.0, -1000.0, 1e10, -1e10,
                  np.inf, -np.inf])
AT_EDGES = ["abs", "square", "reciprocal", "sqrt", "rsqrt", "exp", "exp2", "log", "log2", "log10", "expm1", "sin",
            "tanh", "erf", "sinh", "cosh", "sigmoid", "relu", "frac", "sign", "trunc", "floor", "ceil", "round"]
POWERS = [0, 1, 2, 3, -1, -2, 0.5, 2.0]
ROWS_AT_EDGES = [
    *(Row(name, (EDGES.shape,), lambda x, name=name: getattr(x, name)()) for name in AT_EDGES),
    *(Row(f"power {p}", (EDGES.shape,), lambda x, p=p: x ** p) for p in POWERS),
    *(Row(f"power of {p}", (EDGES.shape,), lambda x, p=p: p ** x) for p in (2.0, 0.5)),
    Row("relu6", (EDGES.shape,), lambda x: x.relu6(), F.relu6), Row("elu", (EDGES.shape,), lambda x: x.elu(), F.elu),
    Row("leaky_relu", (EDGES.shape,), lambda x: x.leaky_relu(), F.leaky_relu),
    Row("clip", (EDGES.shape,), lambda x: x.clip(-1.0, 2.5)),
    Row("clip by NaN", (EDGES.shape,), lambda x: x.clip(float("nan"), 2.0)),
    Row("std of equal elements", (EDGES.shape,), lambda x: x.clip(4, 4).std()),
]


@pytest.mark.parametrize("row", ROWS_AT_EDGES, ids=lambda row: row.name)
def test_values_and_gradients_at_the_edges_equal_torch(row: Row) -> None:
    ours, theirs = Tensor(EDGES, requires_grad=True), torch.tensor(EDGES, requires_grad=True)
    result, expected = row.ours(ours), (row.theirs or row.ours)(theirs)
    compare(result.numpy(), expected, row, "result")
    result.sum().backward()
    expected.sum().backward()
    compare(ours.grad.numpy(), theirs.grad, row, "gradient")


@pytest.mark.parametrize("exponent", [0.3, 1.0, 1.5, 2.0, 0.0, -0.5, -1.0, -2.0])
def test_powers_of_zero_have_torch_s_gradient(exponent: float) -> None:
    for given in (exponent, np.full(2, exponent)):
        ours, theirs = Tensor(np.array([0.0, 3.0]), requires_grad=True), torch.tensor([0.0, 3.0], requires_grad=True)
        (ours ** (given if isinstance(given, float) else Tensor(given))).sum().backward()
        (theirs ** (given if isinstance(given, float) else torch.tensor(given))).sum().backward()
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-5)
