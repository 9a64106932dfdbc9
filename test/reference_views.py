"""What a ShapeTracker means, in integers: strides and masks taken literally, sharing nothing with what it answers."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minigrad.shape import ShapeTracker
from minigrad.uops.symbolic import evaluate

Array = np.ndarray[Any, Any]


def concrete_shape(tracker: ShapeTracker, variables: Mapping[str, int] | None = None) -> tuple[int, ...]:
    """The shape for these values of its variables; those that are bound have theirs."""
    return tuple(evaluate(size, variables or {}) for size in tracker.shape)


def flat_index(tracker: ShapeTracker, variables: Mapping[str, int] | None = None) -> tuple[Array, Array]:
    """(index into the flat base, validity) for every index of the shape; where it is not valid, it means nothing."""
    values, shape = variables or {}, concrete_shape(tracker, variables)
    current: Sequence[Array] = np.indices(shape, sparse=True)
    valid: Array = np.ones((), bool)
    flat: Array = np.zeros((), np.int64)
    for level in reversed(range(len(tracker.views))):
        view = tracker.views[level]
        flat = np.full((), evaluate(view.offset, values), np.int64)
        for axis, index in enumerate(current):
            flat = flat + index * evaluate(view.strides[axis], values)
            if view.mask is not None:
                low, high = (evaluate(bound, values) for bound in view.mask[axis])
                valid = valid & (index >= low) & (index < high)
        if level:
            below = [evaluate(size, values) for size in tracker.views[level - 1].shape]
            steps = [max(math.prod(below[axis + 1:]), 1) for axis in range(len(below))]
            current = [flat // step % max(size, 1) for step, size in zip(steps, below)]
    return np.broadcast_to(flat, shape), np.broadcast_to(valid, shape)
