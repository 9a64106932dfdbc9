"""Indices through views against numpy: never a wrong index, never a dependence missed."""
from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_views import concrete_shape, flat_index

from minigrad.schedule.index import Form, Indices
from minigrad.shape import ShapeTracker
from minigrad.uops import UOp


def value(form: Form, ranges: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """A form's value where it is exact; None if it is opaque."""
    total: np.ndarray[Any, Any] = np.full((), form[0])
    for coefficient, digit in form[1]:
        if not isinstance(digit.source, int) or digit.source < 0:
            return None
        part = ranges[digit.source] // digit.low % digit.size
        total = total + coefficient * (digit.size - 1 - part if digit.reversed else part)
    return total


@st.composite
def trackers(draw: st.DrawFn) -> tuple[tuple[int, ...], ShapeTracker]:
    base = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=3)))
    tracker = ShapeTracker.contiguous(base)
    for _ in range(draw(st.integers(1, 5))):
        shape = concrete_shape(tracker)
        kind = draw(st.sampled_from(["permute", "expand", "shrink", "pad", "flip", "reshape"]))
        if kind == "permute":
            tracker = tracker.permute(draw(st.permutations(range(len(shape)))))
        elif kind == "expand":
            tracker = tracker.expand([draw(st.sampled_from([2, 3])) if n == 1 else n for n in shape])
        elif kind == "shrink":
            tracker = tracker.shrink([(draw(st.integers(0, n - 1)), n) for n in shape])
        elif kind == "pad":
            tracker = tracker.pad([(draw(st.integers(0, 1)), draw(st.integers(0, 2))) for _ in shape])
        elif kind == "flip":
            tracker = tracker.flip(draw(st.lists(st.integers(0, len(shape) - 1), unique=True)))
        else:
            n = int(np.prod(shape))
            first = draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0]))
            second = draw(st.sampled_from([d for d in range(1, n // first + 1) if n // first % d == 0]))
            tracker = tracker.reshape((first, second, n // first // second))
        if np.prod(concrete_shape(tracker)) > 3000:
            break
    return base, tracker


@settings(max_examples=400, deadline=None)
@given(trackers())
def test_indices_through_random_views_are_exact_or_opaque(chosen: tuple[tuple[int, ...], ShapeTracker]) -> None:
    base, tracker = chosen
    shape, indices = concrete_shape(tracker), Indices()
    index = indices.through(indices.of_ranges(range(len(shape)), shape), tracker, base)
    grid = np.indices(shape)
    flat, valid = flat_index(tracker)
    truth = np.unravel_index(np.where(valid, flat, 0), base)
    for axis, form in enumerate(index.axes):
        computed = value(form, grid)
        if computed is not None:
            assert (np.broadcast_to(computed, shape)[valid] == truth[axis][valid]).all()
        for r, n in enumerate(shape):
            if n > 1:
                both = np.take(valid, range(1, n), r) & np.take(valid, range(n - 1), r)
                if (np.diff(truth[axis], axis=r)[both] != 0).any():
                    assert index.axis_ranges[axis] >> r & 1
    assert index.count >= len(np.unique(flat[valid])) if index.axes else True


def test_equal_indices_are_one_object_whatever_way_they_came() -> None:
    indices = Indices()
    i = indices.of_ranges([0, 1], (4, 6))
    there = indices.through(i, ShapeTracker.contiguous((24,)).reshape((4, 6)), (24,))
    assert indices.through(there, ShapeTracker.contiguous((2, 2, 6)).reshape((24,)), (2, 2, 6)) is \
        indices.through(i, ShapeTracker.contiguous((2, 2, 6)).reshape((4, 6)), (2, 2, 6))
    again = indices.through(indices.through(i, ShapeTracker.contiguous((8, 3)).reshape((4, 6)), (8, 3)),
                            ShapeTracker.contiguous((4, 6)).reshape((8, 3)), (4, 6))
    assert again is i


def test_a_split_axis_depends_on_its_part_of_the_range() -> None:
    indices = Indices()
    heads = ShapeTracker.contiguous((8, 64)).reshape((2, 4, 8, 8)).permute((0, 2, 1, 3))
    index = indices.through(indices.of_ranges(range(4), (2, 8, 4, 8)), heads, (8, 64))
    assert index.axis_ranges == (0b0101, 0b1010)


def test_symbolic_offsets_are_told_apart() -> None:
    n = UOp.variable("n", 0, 7)
    whole = ShapeTracker.contiguous((8, 4))
    indices = Indices()
    i = indices.of_ranges([0, 1], (1, 4))
    here, there = (indices.through(i, whole.shrink(((at, at + 1), (0, 4))), (8, 4)) for at in (n, 0))
    assert here is not there and here.ranges == there.ranges == 0b10


def test_the_share_inside_masks() -> None:
    assert Indices().share(ShapeTracker.contiguous((4,)).pad(((4, 0),))) == 0.5
