"""Layers and optimizers against their formulas in numpy; training reaches where it should."""
from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

from minigrad import Context, Tensor, nn


@pytest.fixture(autouse=True, params=["NUMPY", "CPU"])
def device(request: Any) -> Any:
    with Context(DEV=request.param):
        Tensor.manual_seed(1)
        yield request.param


def test_layers_compute_their_formulas() -> None:
    x = np.random.default_rng(0).standard_normal((2, 5, 4)).astype(np.float32)
    t = Tensor(x)
    linear = nn.Linear(4, 3)
    np.testing.assert_allclose(
        linear(t).numpy(), x @ linear.weight.numpy().T + linear.bias.numpy(), rtol=1e-5, atol=1e-6
    )
    assert nn.Linear(4, 3, bias=False).bias is None and abs(linear.weight.numpy()).max() <= 0.5
    table = nn.Embedding(7, 3)
    np.testing.assert_array_equal(table(Tensor([[1, 6], [0, 1]])).numpy(), table.weight.numpy()[[[1, 6], [0, 1]]])
    norm = nn.LayerNorm(4)
    norm.weight.assign([1.0, 2.0, 3.0, 4.0])
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * [1, 2, 3, 4]
    np.testing.assert_allclose(norm(t).numpy(), expected, rtol=1e-4, atol=1e-5)
    both = nn.LayerNorm((5, 4), elementwise_affine=False)(t).numpy()
    np.testing.assert_allclose(both.mean((1, 2)), 0, atol=1e-6)
    rms = nn.RMSNorm(4)
    np.testing.assert_allclose(rms(t).numpy(), x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6), rtol=1e-5)
    conv = nn.Conv2d(2, 3, 3, padding="same")
    image = Tensor(np.random.default_rng(1).standard_normal((1, 2, 5, 6)).astype(np.float32))
    assert conv(image).shape == (1, 3, 5, 6)
    np.testing.assert_allclose(conv(image).numpy(), image.conv2d(conv.weight, conv.bias, padding=1).numpy())
    assert nn.Conv2d(4, 4, (2, 3), stride=2, groups=2).weight.shape == (4, 2, 2, 3)
    assert nn.Dropout(0.5)(t) is t


def test_layers_refuse_what_does_not_fit() -> None:
    for wrong in (
        lambda: nn.Linear(0, 3),
        lambda: nn.Conv2d(3, 4, 3, groups=2),
        lambda: nn.Conv2d(3, 4, 3, padding="odd"),
        lambda: nn.Dropout(1.5),
        lambda: nn.LayerNorm(3)(Tensor.zeros(2, 4)),
        lambda: nn.RMSNorm(3)(Tensor.zeros(2, 4)),
        lambda: nn.Linear(4, 3)(Tensor.zeros(2, 5)),
        lambda: nn.optim.SGD([]),
        lambda: nn.optim.AdamW([Tensor([1.0])], b1=1.5),
        lambda: nn.optim.SGD([Tensor([1.0])], nesterov=True),
    ):
        with pytest.raises(ValueError):
            wrong()
    with pytest.raises(TypeError):
        nn.optim.SGD([Tensor([1])])
    with pytest.raises(RuntimeError, match="backward"):
        nn.optim.SGD([Tensor([1.0])]).step()


def steps(make: Any, update: Any, count: int = 6) -> None:
    """An optimizer on sum((w - target)²) against numpy's version of it."""
    start, target = np.array([[1.0, -2.0], [3.0, 0.5]], np.float32), np.array([[0.0, 1.0], [2.0, 0.0]], np.float32)
    w, other = Tensor(start.copy()), Tensor([1.0, 2.0])
    optimizer = make([w, other])
    mine, state = start.astype(np.float64), {}
    for t in range(1, count + 1):
        optimizer.zero_grad()
        ((w - Tensor(target)) ** 2).sum().backward()
        optimizer.step()
        mine = update(mine, 2 * (mine - target), state, t)
        np.testing.assert_allclose(w.numpy(), mine, rtol=2e-5, atol=1e-6)
    assert other.tolist() == [1, 2] and w.is_leaf


def test_sgd_follows_its_formula() -> None:
    steps(lambda p: nn.optim.SGD(p, lr=0.1), lambda w, g, s, t: w - 0.1 * g)

    def momentum(w: Any, g: Any, s: Any, t: int) -> Any:
        g = g + 0.01 * w
        s["v"] = 0.9 * s.get("v", 0) + g
        return w - 0.1 * (g + 0.9 * s["v"])

    steps(lambda p: nn.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True), momentum)


@pytest.mark.parametrize("decoupled", [True, False])
def test_adam_follows_its_formula(decoupled: bool) -> None:
    def adam(w: Any, g: Any, s: Any, t: int) -> Any:
        g = g if decoupled else g + 0.1 * w
        s["m"], s["v"] = 0.8 * s.get("m", 0) + 0.2 * g, 0.95 * s.get("v", 0) + 0.05 * g * g
        step = s["m"] / (1 - 0.8 ** t) / (np.sqrt(s["v"] / (1 - 0.95 ** t)) + 1e-8)
        return w - 0.05 * (step + (0.1 * w if decoupled else 0))

    kind = nn.optim.AdamW if decoupled else nn.optim.Adam
    steps(lambda p: kind(p, lr=0.05, betas=(0.8, 0.95), weight_decay=0.1), adam)


def test_optimizers_change_parameters_in_place() -> None:
    layer = nn.Linear(3, 2)
    Tensor.realize(layer.weight, layer.bias)
    buffer = layer.weight.buffer
    optimizer = nn.optim.AdamW([layer.weight, layer.bias], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        layer(Tensor.ones(1, 3)).sum().backward()
        optimizer.step()
    assert layer.weight.buffer is buffer and layer.weight.is_realized


def test_a_small_network_learns_xor() -> None:
    x, y = Tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), Tensor([0, 1, 1, 0])
    first, second = nn.Linear(2, 16), nn.Linear(16, 2)
    optimizer = nn.optim.Adam([first.weight, first.bias, second.weight, second.bias], lr=0.05)
    loss = None
    for _ in range(80):
        optimizer.zero_grad()
        loss = second(first(x).tanh()).cross_entropy(y)
        loss.backward()
        optimizer.step()
    assert loss is not None and loss.item() < 0.1
    assert second(first(x).tanh()).argmax(1).tolist() == [0, 1, 1, 0]


def test_half_precision_parameters_have_float32_moments() -> None:
    w = Tensor([1.0, 2.0], dtype="bfloat16")
    optimizer = nn.optim.AdamW([w], lr=0.1, weight_decay=0.0)
    (w * w).sum().backward()
    optimizer.step()
    assert w.dtype.name == "bfloat16" and optimizer.first[0].dtype.name == "float32"
    np.testing.assert_allclose(w.numpy(), [0.9, 1.9], atol=0.01)
    assert math.isfinite(w.sum().item())


def test_frozen_parameters_stay() -> None:
    body, head = nn.Linear(3, 4), nn.Linear(4, 2)
    for p in nn.state.get_parameters(body):
        p.requires_grad = False
    before = [p.numpy() for p in nn.state.get_parameters([body, head])]
    optimizer = nn.optim.AdamW(nn.state.get_parameters([body, head]), lr=0.1)
    head(body(Tensor.ones(5, 3)).relu()).square().mean().backward()
    optimizer.step()
    after = nn.state.get_parameters([body, head])
    assert [bool((p.numpy() == old).all()) for p, old in zip(after, before)] == [True, True, False, False]
    with pytest.raises(ValueError, match="no parameters"):
        nn.optim.SGD(nn.state.get_parameters(body))
    plain = [Tensor.uniform(2), Tensor.randn(2), copy.deepcopy(Tensor.ones(2))]  # of which nobody said anything
    assert all(p is q for p, q in zip(nn.optim.SGD(plain).params, plain, strict=True))
    assert copy.deepcopy(body.weight).is_frozen


def test_a_group_of_optimizers_steps_each_with_its_own_options() -> None:
    starts = [np.arange(1, 4, dtype=np.float32), np.full(2, 2, np.float32)]
    alone, together = ([Tensor(s, requires_grad=True) for s in starts] for _ in range(2))
    optimizers = [nn.optim.AdamW([alone[0]], lr=0.1, weight_decay=0.5), nn.optim.SGD([alone[1]], lr=0.2)]
    group = nn.optim.OptimizerGroup(nn.optim.AdamW([together[0]], lr=0.1, weight_decay=0.5),
                                    nn.optim.SGD([together[1]], lr=0.2))
    for _ in range(2):
        for optimizer, p in zip(optimizers, alone):
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()
        group.zero_grad()
        sum((p * p).sum() for p in together).backward()  # type: ignore[union-attr]
        group.step()
    for p, q in zip(alone, together):
        np.testing.assert_allclose(q.numpy(), p.numpy(), rtol=1e-6)
    group.zero_grad()
    with pytest.raises(RuntimeError, match="AdamW, SGD.step: no parameter has a gradient"):
        group.step()
