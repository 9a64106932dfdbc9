"""The adjoint of a view: <view(x), g> == <x, adjoint(g)> for random chains, by movement ops and sums alone."""
from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_views import flat_index

from minigrad.dtype import dtypes
from minigrad.runtime.device import Buffer
from minigrad.runtime.numpy import evaluate
from minigrad.shape import ShapeTracker, View
from minigrad.shape.adjoint import view_adjoint
from minigrad.uops import Ops, UOp, toposort


def node_of(array: Any) -> UOp:
    return UOp(Ops.BUFFER, dtypes.float64, (), Buffer.from_numpy(np.asarray(array)))


def random_tracker(rng: random.Random, shape: tuple[int, ...]) -> ShapeTracker:
    tracker = ShapeTracker.contiguous(shape)
    for _ in range(rng.randint(1, 6)):
        sizes = tracker.shape
        kind = rng.choice(["permute", "flip", "pad", "shrink", "expand", "reshape"])
        if kind == "permute":
            tracker = tracker.permute(rng.sample(range(len(sizes)), len(sizes)))
        elif kind == "flip":
            tracker = tracker.flip([a for a in range(len(sizes)) if rng.random() < 0.5])
        elif kind == "pad" and math.prod(sizes) < 200:
            tracker = tracker.pad([(rng.randint(0, 2), rng.randint(0, 2)) for _ in sizes])
        elif kind == "shrink":
            starts = [rng.randint(0, n - 1) for n in sizes]
            tracker = tracker.shrink([(a, rng.randint(a + 1, n)) for a, n in zip(starts, sizes)])
        elif kind == "expand":
            tracker = tracker.expand([rng.randint(1, 3) if n == 1 else n for n in sizes])
        elif kind == "reshape":
            rest, factors = math.prod(sizes), []
            while rest > 1 and rng.random() < 0.8:
                factor = rng.choice([d for d in range(1, rest + 1) if rest % d == 0])
                factors.append(factor)
                rest //= factor
            tracker = tracker.reshape([*factors, rest])
    return tracker


def check(tracker: ShapeTracker, shape: tuple[int, ...]) -> None:
    g = np.random.default_rng(0).standard_normal(tracker.shape)
    result = view_adjoint(node_of(g), tracker, shape)
    assert result.shape == shape
    assert {u.op for u in toposort(result)} <= {Ops.BUFFER, Ops.VIEW, Ops.REDUCE, Ops.CONST}
    flat, valid = flat_index(tracker)
    expected = np.zeros(math.prod(shape))
    np.add.at(expected, np.where(valid, flat, 0).ravel(), np.where(valid, g, 0).ravel())
    np.testing.assert_allclose(evaluate([result])[0], expected.reshape(shape), rtol=1e-12, atol=1e-12)


@given(st.integers(0, 1 << 30), st.lists(st.integers(1, 4), max_size=3))
def test_random_chains(seed: int, shape: list[int]) -> None:
    tracker = random_tracker(random.Random(seed), tuple(shape))
    if math.prod(tracker.shape) <= 3000:
        check(tracker, tuple(shape))


@pytest.mark.parametrize(
    "view",
    [
        View((4, 3), (1, 1)),
        View((4, 3, 2), (2, 1, 1), 1),
        View((3, 3), (2, 2)),
        View((3, 4), (3, 2)),
        View((2, 2, 2), (5, 4, 3)),
    ],
    ids=str,
)
def test_overlapping_windows_are_shifted_and_summed(view: View) -> None:
    check(ShapeTracker((view,)), (4, 4))


def test_simple_movements_give_their_inverse() -> None:
    x = ShapeTracker.contiguous((4, 8))
    for tracker in (
        x.permute((1, 0)),
        x.shrink(((1, 3), (2, 5))),
        x.pad(((1, 3), (2, 5))),
        x.flip((0,)),
        x.reshape((32,)),
        x.reshape((2, 2, 8)),
    ):
        result = view_adjoint(node_of(np.zeros(tracker.shape)), tracker, (4, 8))
        assert result.op is Ops.BUFFER or (
            result.op is Ops.VIEW and result.src[0].op is Ops.BUFFER and len(result.arg.views) == 1
        )


def test_symbolic_slices() -> None:
    n = UOp.variable("n", 1, 8).bind(3)
    base = ShapeTracker.contiguous((2, 8))
    tracker = base.shrink(((0, 2), (0, n))).permute((1, 0))
    g = np.arange(6.0).reshape(3, 2)
    part = UOp(
        Ops.VIEW,
        dtypes.float64,
        (node_of(np.pad(g, ((0, 5), (0, 0)))),),
        ShapeTracker.contiguous((8, 2)).shrink(((0, n), (0, 2))),
    )
    np.testing.assert_array_equal(evaluate([view_adjoint(part, tracker, (2, 8))])[0], np.pad(g.T, ((0, 0), (0, 5))))
