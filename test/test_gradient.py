"""Derivatives: accumulation, leaves, history of what was computed already, second order, long chains, shapes of the
graphs.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from counting import calls

from minigrad import Context, Tensor, dtypes, no_grad
from minigrad.gradient import RULES, gradient
from minigrad.shape.build import full
from minigrad.uops import ELEMENTWISE, Ops, toposort


@pytest.fixture(autouse=True, params=[("NUMPY", 0), ("NUMPY", 1), ("CPU", 0)], ids=["numpy", "numpy-eager", "cpu"])
def mode(request: Any) -> Any:
    with Context(DEV=request.param[0], EAGER=request.param[1]):
        yield request.param


def leaf(values: Any) -> Tensor:
    return Tensor(np.array(values, np.float64), requires_grad=True)


def test_gradients_accumulate_until_they_are_forgotten() -> None:
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5, 7] and not x.grad.requires_grad
    x.grad = None
    x.sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_a_value_used_twice_gets_both_gradients() -> None:
    x = leaf([2.0])
    y = x * x
    (y * y + y).sum().backward()
    assert x.grad.tolist() == [4 * 8 + 4]


def test_equal_leaves_are_told_apart() -> None:
    x, y = Tensor.ones(2, requires_grad=True), Tensor.ones(2, requires_grad=True)
    (x * 2 + y * 3).sum().backward()
    assert x.grad.tolist() == [2, 2] and y.grad.tolist() == [3, 3]


def test_only_leaves_on_the_way_get_gradients() -> None:
    x, y, z = leaf([1.0]), leaf([1.0]), Tensor([1.0], dtype="float64")
    (x * z).sum().backward()
    assert x.grad.tolist() == [1] and y.grad is None and z.grad is None


def test_reading_a_value_before_backward_changes_nothing() -> None:
    x = leaf([1.0, 2.0, 3.0])
    hidden = (x * x).realize()
    loss = (hidden.exp() * x).sum()
    loss.item()
    loss.backward()
    v = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(x.grad.numpy(), np.exp(v * v) * (1 + 2 * v * v))
    later = (hidden * 2).sum()
    x.grad = None
    later.backward()
    np.testing.assert_allclose(x.grad.numpy(), 4 * v)


def test_a_leaf_realized_after_it_was_used_still_gets_its_gradient() -> None:
    x = Tensor.full((2,), 3.0, requires_grad=True)
    y = (x * x).sum()
    x.realize()
    y.backward()
    (x * 2).sum().backward()
    assert x.grad.tolist() == [8, 8]


def test_computed_values_are_used_by_backward_and_not_computed_again(mode: Any) -> None:
    x = leaf([0.5, 1.0])
    y = x.exp().realize()
    y.sum().backward()
    nodes = toposort(x.grad.uop)
    assert not any(u.op is Ops.EXP for u in nodes if u.op is not Ops.DETACH) or all(
        u.op is not Ops.EXP for u in _value_nodes(x.grad))
    np.testing.assert_allclose(x.grad.numpy(), np.exp([0.5, 1.0]))


def _value_nodes(t: Tensor) -> list[Any]:
    found, stack = [], [t.uop]
    while stack:
        node = stack.pop()
        found.append(node)
        stack.extend(node.src[:1] if node.op is Ops.DETACH else node.src)
    return found


def test_detach_and_no_grad_stop_gradients() -> None:
    x = leaf([3.0])
    (x.detach() * x).sum().backward()
    assert x.grad.tolist() == [3]
    with no_grad():
        y = x * 2
        assert not y.requires_grad

    @no_grad()
    def tripled(t: Tensor) -> Tensor:
        return t * 3

    z = (y + x + tripled(x)).sum()
    x.grad = None
    z.backward()
    assert x.grad.tolist() == [1] and (x * 1).requires_grad


def test_gradients_of_gradients() -> None:
    x = leaf([0.3, -1.2, 2.0])
    for function, second in [
        (lambda t: t**3, lambda v: 6 * v),
        (lambda t: t.exp(), np.exp),
        (lambda t: t.sin(), lambda v: -np.sin(v)),
        (lambda t: t.tanh(), lambda v: -2 * np.tanh(v) * (1 - np.tanh(v) ** 2)),
        (lambda t: 1 / t, lambda v: 2 / v**3),
        (lambda t: t.sigmoid(), lambda v: (s := 1 / (1 + np.exp(-v))) * (1 - s) * (1 - 2 * s)),
        (lambda t: t.pad((1, 1)).flip(0) ** 2, lambda v: 2 + 0 * v),
    ]:
        g, = function(x).sum().gradient(x)
        h, = g.sum().gradient(x)
        np.testing.assert_allclose(h.numpy(), second(np.array([0.3, -1.2, 2.0])), rtol=1e-9)


def test_powers_have_their_gradient_at_one() -> None:
    x = leaf([1.0, 2.0])
    for power in (2.5, 0.3, 70.0, Tensor([2.5, 2.5], dtype=x.dtype)):
        g, = (x ** power).sum().gradient(x)
        exponent = power.numpy() if isinstance(power, Tensor) else power
        np.testing.assert_allclose(g.numpy(), exponent * np.array([1.0, 2.0]) ** (exponent - 1), rtol=1e-9)
    y = leaf([-1.0, -2.0])
    g, = (y ** Tensor([3.0, 3.0], dtype=y.dtype)).sum().gradient(y)
    np.testing.assert_allclose(g.numpy(), [3.0, 12.0])


def test_hessian_of_a_matrix_product() -> None:
    a = np.random.default_rng(0).standard_normal((3, 3))
    x = leaf(np.array([1.0, 2.0, 3.0]))
    g, = (x @ Tensor(a) @ x).gradient(x)
    for i in range(3):
        np.testing.assert_allclose(g[i].gradient(x)[0].numpy(), (a + a.T)[i])


def test_gradient_with_respect_to_results_and_untracked_tensors(mode: Any) -> None:
    x = Tensor([1.0, 2.0])
    y = x * 3
    z = (y * y).sum()
    if mode[1]:  # what was computed and not tracked has no history
        with pytest.raises(RuntimeError, match="does not depend"):
            z.gradient(y)
        return
    gy, gx = z.gradient(y, x)
    assert gy.tolist() == [6, 12] and gx.tolist() == [18, 36]


def test_a_given_gradient_flows_back() -> None:
    x = leaf([1.0, 2.0])
    (x * x).backward(Tensor([1.0, 10.0], dtype="float64"))
    assert x.grad.tolist() == [2, 40]
    with pytest.raises(ValueError, match="scalar"):
        (x * x).backward()
    with pytest.raises(ValueError, match="shape"):
        (x * x).backward(Tensor([1.0]))


def test_steps_give_zeros_and_independence_gives_nothing() -> None:
    x, y = leaf([1.5]), leaf([1.0])
    (x.floor() + y).sum().backward()
    assert x.grad.tolist() == [0] and y.grad.tolist() == [1]
    with pytest.raises(RuntimeError, match="depend"):
        (x * 2).sum().gradient(y)


def test_extremes_share_at_ties_and_relu_is_flat_at_zero() -> None:
    x = leaf([3.0, 1.0, 3.0])
    x.max().backward()
    assert x.grad.tolist() == [0.5, 0, 0.5]
    y = leaf([-1.0, 0.0, 2.0])
    y.relu().sum().backward()
    assert y.grad.tolist() == [0, 0, 1]
    z = leaf([-1.0, 0.0, 2.0])
    z.clip(0, 2).sum().backward()
    assert z.grad.tolist() == [0, 1, 1]


@pytest.mark.parametrize("function, points, expected", [
    (lambda x: x.norm(), [0.0, 0.0], [0, 0]),
    (lambda x: x.reshape(2, 1).norm(axis=1).sum(), [0.0, 3.0], [0, 1]),
    (lambda x: x.normalize(dim=0).sum(), [0.0, 0.0], [1e12, 1e12]),
    (lambda x: x.leaky_relu(0.25).sum(), [-1.0, 0.0, 1.0], [0.25, 0.25, 1]),
    (lambda x: x.relu6().sum(), [-1.0, 0.0, 3.0, 6.0, 7.0], [0, 0, 1, 0, 0]),
    (lambda x: x.hardtanh(-2, 2).sum(), [-3.0, -2.0, 0.0, 2.0, 3.0], [0, 0, 1, 0, 0]),
    (lambda x: x.hardsigmoid().sum(), [-3.0, 0.0, 3.0], [0, 1 / 6, 0]),
    (lambda x: x.pow(Tensor([1.0, 2.0, 0.0, 1.0], dtype=dtypes.float64)).sum(), [0.0, 0.0, 0.0, 2.0], [1, 0, 0, 1]),
], ids=["norm", "norm-axis", "normalize", "leaky_relu", "relu6", "hardtanh", "hardsigmoid", "pow"])
def test_gradients_at_corners_are_torchs(function: Any, points: list[float], expected: list[float]) -> None:
    x = leaf(points)
    function(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6, atol=1e-12)


def test_integers_and_bools_take_no_part() -> None:
    x = leaf([1.0, 2.0])
    assert not (x > 1).requires_grad and not x.cast(dtypes.int32).requires_grad and not x.any().requires_grad
    assert (x > 1).where(x, 0).requires_grad and x[x.argmax()].requires_grad


def test_products_with_zeros() -> None:
    for values, expected in [([2.0, 3.0, 4.0], [12, 8, 6]), ([2.0, 0.0, 4.0], [0, 8, 0]), ([0.0, 0.0, 4.0], [0, 0, 0])]:
        x = leaf(values)
        x.prod().backward()
        assert x.grad.tolist() == expected


def test_saturated_functions_have_finite_gradients() -> None:
    x = Tensor([-1000.0, -100.0, 0.0, 100.0, 1000.0], requires_grad=True)
    for function in (
        lambda t: t.sigmoid(),
        lambda t: t.softplus(),
        lambda t: t.tanh(),
        lambda t: t.silu(),
        lambda t: t.softmax(),
        lambda t: t.logsumexp(),
        lambda t: t.log_softmax()[0],
        lambda t: t.gelu(),
        lambda t: t.elu(),
    ):
        x.grad = None
        function(x).sum().backward()
        assert np.isfinite(x.grad.numpy()).all()


def test_setitem_is_differentiated() -> None:
    x, w = leaf([1.0, 2.0, 3.0]), leaf([5.0])
    y = x * 2
    y[1] = w[0] * 3
    (y * Tensor([1.0, 10.0, 100.0], dtype="float64")).sum().backward()
    assert x.grad.tolist() == [2, 0, 200] and w.grad.tolist() == [30]
    z = Tensor.zeros(3, dtype="float64")
    z[[0, 2]] = w * Tensor([1.0, 2.0], dtype="float64")
    w.grad = None
    (z * Tensor([1.0, 10.0, 100.0], dtype="float64")).sum().backward()
    assert w.grad.tolist() == [201]


def test_gather_gradient_adds_up_equal_indices() -> None:
    table = leaf(np.zeros((4, 2)))
    table.embedding(Tensor([[1, 1], [3, 1]])).sum().backward()
    assert table.grad.tolist() == [[0, 0], [3, 3], [0, 0], [1, 1]]


def test_movement_gradients_are_movement() -> None:
    x = leaf(np.arange(24.0).reshape(2, 3, 4))
    for move in (
        lambda t: t.permute(2, 0, 1),
        lambda t: t.reshape(6, 4),
        lambda t: t.flip(1),
        lambda t: t.pad(((1, 1), None, (0, 2))),
        lambda t: t[:, 1:, ::2],
        lambda t: t.T.reshape(4, 6)[1:, ::-1],
        lambda t: t.expand(5, 2, 3, 4),
        lambda t: t.unfold(2, 2, 1),
    ):
        y = move(x)
        seed = full(dtypes.float64, 1.0, y.shape)
        found, = gradient(y._node, seed, [x._node])
        assert {u.op for u in toposort(found)} <= {Ops.CONST, Ops.VIEW, Ops.REDUCE, Ops.ADD, Ops.MUL}


def test_half_precision_gradients_have_their_dtype() -> None:
    for dtype in ("float16", "bfloat16"):
        x = Tensor([1.0, 2.0], dtype=dtype, requires_grad=True)
        ((x * x).sum() * 2).backward()
        assert x.grad.dtype is x.dtype and x.grad.tolist() == [4, 8]


def test_mixed_dtypes_cast_gradients_back() -> None:
    x, y = Tensor([1.0, 2.0], requires_grad=True), leaf([3.0, 4.0])
    (x * y).sum().backward()
    assert x.grad.dtype is dtypes.float32 and x.grad.tolist() == [3, 4] and y.grad.tolist() == [1, 2]


def test_parameters_changed_under_no_grad_stay_leaves() -> None:
    w = leaf([1.0, 2.0])
    for _ in range(3):
        w.grad = None
        (w * w).sum().backward()
        w.assign(w - w.grad * 0.25)
        w.realize()
    np.testing.assert_allclose(w.numpy(), [0.125, 0.25])
    assert w.is_leaf and w.requires_grad and len(toposort(w._node)) < 5


@pytest.mark.parametrize("mode", [("NUMPY", 0)], indirect=True)  # nothing is computed here
def test_long_chains_take_linear_time_and_no_stack() -> None:
    def cost(n: int) -> int:
        x = Tensor([1.0], requires_grad=True)
        y = x
        for _ in range(n):
            y = y * 0.999 + 0.001
        count = calls(y.sum().backward)
        assert x.grad is not None
        return count

    assert cost(20_000) < 10.5 * cost(2000)


def test_every_elementwise_op_of_floats_has_a_rule() -> None:
    steps = {Ops.NOT, Ops.IDIV, Ops.MOD, Ops.CMPLT, Ops.CMPNE, Ops.AND, Ops.OR, Ops.XOR, Ops.SHL, Ops.SHR, Ops.BITCAST}
    assert ELEMENTWISE - steps - {Ops.DOT} <= set(RULES)     # DOT is in kernels only


def test_a_view_that_changes_nothing_is_not_the_leaf() -> None:
    x = leaf([1.0, 2.0])
    y = x.reshape(2).permute(0)
    (y * y).sum().backward()
    assert x.grad.tolist() == [2, 4] and y.grad is None and x.is_leaf and not y.is_leaf


def test_a_step_costs_the_same_however_long_its_history_is() -> None:
    """A cache that tracked values are written into keeps its whole history; writing into it does not walk it."""
    weight, cache = Tensor.ones(4, requires_grad=True), Tensor.zeros(64, 4).realize()
    counts = []
    for i in range(40):
        def step(i: int = i) -> None:
            cache[i] = weight * float(i)
            cache.realize()
        counts.append(calls(step))
    assert min(counts[30:]) < 1.2 * min(counts[5:10])


# ---- values that change

def test_looking_at_a_detached_value_keeps_the_history() -> None:
    for look in (repr, lambda t: t.detach().numpy(), lambda t: t.detach()[1:].tolist()):
        x = leaf([1.0, 2.0, 3.0])
        y = x * 2
        look(y)
        (y * y).sum().backward()
        assert x.grad.tolist() == [8, 16, 24]


def test_changes_in_place_keep_what_gradients_need() -> None:
    x = leaf([1.0, 2.0, 3.0])
    y = (x * 2).realize()
    square = (y * y).realize()  # its gradient needs y as it was
    y *= x                      # 2x²
    y[0] = y[1] * 10            # [20 x1², 2 x1², 2 x2²]
    y.realize()
    (square + y).sum().backward()
    assert x.grad.tolist() == [8, 16 + 40 * 2 + 4 * 2, 24 + 4 * 3] and y.tolist() == [80, 8, 18]


def test_views_of_tracked_values_change_together() -> None:
    x, w = leaf([1.0, 2.0, 3.0]), leaf([5.0])
    for realized in (False, True):
        y = x * 2
        if realized:
            y.realize()
        tail, kept = y[1:], y + 0
        tail *= w                 # y is [2, 20, 30]
        y += 1
        assert y.tolist() == [3, 21, 31] and tail.tolist() == [21, 31] and kept.tolist() == [2, 4, 6]
        x.grad = w.grad = None
        (tail * tail).sum().backward()
        assert x.grad.tolist() == [0, 2 * 21 * 10, 2 * 31 * 10] and w.grad.tolist() == [2 * 21 * 4 + 2 * 31 * 6]
    total = Tensor.zeros(3, dtype="float64").contiguous()
    total[1:][0] = w[0] * 2
    assert total.requires_grad and total.tolist() == [0, 10, 0]


def test_what_is_detached_writes_to_the_leaf_and_its_views_do_not() -> None:
    x = leaf([1.0, 2.0, 3.0])
    x.detach()[0] = 9
    with no_grad():
        tail = x[1:]
        tail += 1
    assert x.tolist() == [9, 3, 4] and x.is_leaf and x.requires_grad
    with pytest.raises(RuntimeError, match="leaf"):
        x[1:][0] = 5
    (x * x).sum().backward()
    assert x.grad.tolist() == [18, 6, 8] and tail.tolist() == [3, 4]


def test_the_first_power_is_a_tensor_of_its_own() -> None:
    x = Tensor([1.0, 2.0])
    y = x ** 1
    y += 1
    assert x.tolist() == [1, 2] and y.tolist() == [2, 3]


def test_the_gradient_of_a_maximum_of_sums_knows_which_it_was() -> None:
    """A product that was computed in two ways would equal its own maximum in one of them only: nobody got a gradient,
    or all were divided by none.
    """
    rng = np.random.default_rng(0)
    images, weights = rng.standard_normal((4, 1, 28, 28)), rng.standard_normal((8, 1, 5, 5))
    more = rng.standard_normal((8, 8, 5, 5))
    x, w, v = (Tensor(a.astype(np.float32), requires_grad=True) for a in (images, weights, more))
    pooled = x.conv2d(w).relu().conv2d(v).relu().max_pool2d(2)
    pooled.sum().backward()
    largest = x.conv2d(w).relu().conv2d(v).relu().detach().realize()
    alive = largest.max_pool2d(2).numpy() > 0
    got = v.grad.numpy()
    windows = np.lib.stride_tricks.sliding_window_view(x.conv2d(w).relu().numpy(), (5, 5), axis=(2, 3))
    rows = largest.numpy().reshape(4, 8, 10, 2, 10, 2)
    first = (rows == rows.max((3, 5), keepdims=True)) & alive[:, :, :, None, :, None]
    expected = np.einsum("noyx,ncyxij->ocij", first.reshape(4, 8, 20, 20).astype(np.float64), windows)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3 * abs(expected).max())
    assert all(np.isfinite(t.grad.numpy()).all() for t in (x, w))


INF = float("inf")
EDGES: list[tuple[str, Any, list[float], list[float]]] = [  # name, function, where, its gradient there
    ("expm1", lambda x: x.expm1(), [0, 0.5, 50, 1000, -INF], [1, np.exp(0.5), np.exp(50), INF, 0]),
    ("sinh", lambda x: x.sinh(), [0, 40, -40], [1, np.cosh(40), np.cosh(40)]),
    ("log1p", lambda x: x.log1p(), [0, 1, INF], [1, 0.5, 0]),
    ("round", lambda x: x.round(), [0.5, 1e300, INF], [0, 0, 0]),
    ("power 0", lambda x: x ** 0, [0, 2, INF], [0, 0, 0]),
    ("power 0.3", lambda x: x ** 0.3, [0, 1], [INF, 0.3]),
    ("power 1.5", lambda x: x ** 1.5, [0, 4], [0, 3]),
    ("power -2", lambda x: x ** -2, [0, 2, INF], [-INF, -0.25, 0]),
    ("power -1.5", lambda x: x ** -1.5, [0, 1, 1e-200], [-INF, -1.5, -INF]),
    ("powers", lambda x: x ** Tensor([2.0, 1.0, 0.5, 0.0, -1.0, -0.5, 3.0], dtype="float64"), [0] * 6 + [2],
     [0, 1, INF, 0, -INF, -INF, 12]),
    ("exponents", lambda y: Tensor([2.0, 3.0, 0.0, 0.0], dtype="float64") ** y, [0, 2, 0, 2],
     [np.log(2), 9 * np.log(3), 0, 0]),
    ("std of equal elements", lambda x: x.std(), [3, 3, 3], [0, 0, 0]),
    ("norm of zeros", lambda x: x.norm() + x.norm(3), [0, 0], [0, 0]),
    ("norm 0", lambda x: x.norm(0) + x, [0, 2], [1, 1]),
    ("relu6", lambda x: x.relu6(), [0, 1, 6, 7], [0, 1, 0, 0]),
    ("leaky_relu", lambda x: x.leaky_relu(0.1), [0, 1, -1], [0.1, 1, 0.1]),
    ("clip by NaN", lambda x: x.clip(Tensor([np.nan, -1.0], dtype="float64"), 2), [0, 0], [0, 1]),
    ("binary_crossentropy", lambda p: p.binary_crossentropy(Tensor([0.0, 1.0, 1.0], dtype="float64")), [0, 1, 0.5],
     [1 / 3, -1 / 3, -2 / 3]),
]


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: edge[0])
def test_gradients_at_the_edges(edge: tuple[str, Any, list[float], list[float]]) -> None:
    _, function, values, expected = edge
    x = leaf(values)
    function(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("bools", [True, False])
def test_attention_rows_without_anything_to_see_are_zero(bools: bool) -> None:
    q, k, v = (leaf(np.random.default_rng(i).normal(size=(1, 2, 3, 4))) for i in range(3))
    seen = np.array([[True, True, False], [False] * 3, [True, False, True]])
    mask = Tensor(seen) if bools else Tensor(np.where(seen, 0.0, -np.inf))
    result = q.scaled_dot_product_attention(k, v, attn_mask=mask)
    (result * result).sum().backward()
    assert not result.numpy()[:, :, 1].any() and result.numpy()[:, :, ::2].all()
    assert not q.grad.numpy()[:, :, 1].any() and np.isfinite(k.grad.numpy()).all() and v.grad.numpy().all()
