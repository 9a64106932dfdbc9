"""ShapeTracker against numpy: random chains of movement ops, indexed exhaustively; symbolic ones at several values."""
from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from reference_views import concrete_shape, flat_index

from minigrad.printer import integer
from minigrad.runtime.numpy import read_view
from minigrad.shape import ShapeTracker, View, broadcast_shapes, infer_reshape, show_shape
from minigrad.shape.view import decompose, merge
from minigrad.uops import Ops, UOp, toposort
from minigrad.uops.symbolic import evaluate

Chain = tuple[tuple[int, ...], list[tuple[str, Any]]]
MAX_SIZE = 240
many = settings(max_examples=4 * settings().max_examples)  # a chain takes about a millisecond


# ---- oracles --------------------------------------------------------------------------------------------------------

def numpy_movement(array: np.ndarray, op: str, arg: Any) -> np.ndarray:
    """What a movement op means."""
    if op == "reshape":
        return array.reshape(arg)
    if op == "permute":
        return array.transpose(arg)
    if op == "expand":
        return np.broadcast_to(array, arg)
    if op == "shrink":
        return array[tuple(slice(low, high) for low, high in arg)]
    if op == "pad":
        return np.pad(array, arg) if array.ndim else array
    return np.flip(array, arg)


EVALUATE = {
    Ops.ADD: np.add, Ops.MUL: np.multiply, Ops.IDIV: np.floor_divide, Ops.MOD: np.mod, Ops.MAX: np.maximum,
    Ops.NEG: np.negative, Ops.CMPLT: np.less, Ops.CMPNE: np.not_equal, Ops.AND: np.logical_and, Ops.OR: np.logical_or,
    Ops.NOT: np.logical_not, Ops.WHERE: np.where,
}


def evaluate_arrays(node: UOp, known: Mapping[UOp, Any]) -> np.ndarray:
    """An expression for arrays of values of its leaves."""
    values: dict[UOp, Any] = dict(known)
    for u in toposort(node):
        if u in values:
            continue
        if u.op is Ops.CONST:
            values[u] = np.asarray(u.arg)
        elif u.op is Ops.BIND:
            values[u] = values[u.src[1]]
        elif u.op in EVALUATE:
            with np.errstate(divide="ignore"):  # by the size of a symbolic axis that is empty here
                values[u] = EVALUATE[u.op](*[values[source] for source in u.src])
    return np.asarray(values[node])


def counting(shape: Sequence[int]) -> np.ndarray:
    """1, 2, 3, ...: every element differs, and from the 0 of masked ones."""
    return np.arange(1, math.prod(shape) + 1).reshape(shape)


def read_by_flat_index(tracker: ShapeTracker, array: np.ndarray,
                       variables: Mapping[str, int] | None = None) -> np.ndarray:
    flat, valid = flat_index(tracker, variables)
    elements = np.append(array.reshape(-1), 0)
    assert flat[valid].size == 0 or (0 <= flat[valid].min() and flat[valid].max() < array.size)
    return elements[np.where(valid, flat, array.size)]


def read_by_index(tracker: ShapeTracker, array: np.ndarray, base_shape: tuple[Any, ...],
                  variables: Mapping[UOp, int] | None = None) -> np.ndarray:
    """Through `index`, with ranges as indices: every point of the shape."""
    variables = variables or {}
    by_name = {variable.arg.name: value for variable, value in variables.items()}
    shape = concrete_shape(tracker, by_name)
    ranges = [UOp.range(f"axis{axis}", 0, size) for axis, size in enumerate(tracker.shape)]
    indices, condition = tracker.index(ranges, base_shape)
    assert len(indices) == len(base_shape)
    known = {**dict(zip(ranges, np.indices(shape))), **variables}
    valid = np.broadcast_to(True if condition is None else evaluate_arrays(condition, known), shape)
    result = np.zeros(shape, array.dtype)
    points = [np.broadcast_to(evaluate_arrays(index, known), shape)[valid] for index in indices]
    for axis, point in enumerate(points):
        assert point.size == 0 or 0 <= point.min() <= point.max() < array.shape[axis], "a valid index is out of bounds"
    result[valid] = array[tuple(points)] if points else array
    return result


# ---- random chains --------------------------------------------------------------------------------------------------

@some.composite
def factorisations(draw: Any, size: int) -> tuple[int, ...]:
    """A shape of this size."""
    if size == 0:
        return draw(some.sampled_from([(0,), (0, 3), (2, 0), (1, 0, 2)]))
    factors = []
    while size > 1:
        factor = draw(some.sampled_from([f for f in range(2, size + 1) if size % f == 0]))
        factors.append(factor)
        size //= factor
    for _ in range(draw(some.integers(0, 2))):
        factors.insert(draw(some.integers(0, len(factors))), 1)
    return tuple(factors)


@some.composite
def movements(draw: Any, shape: tuple[int, ...]) -> tuple[str, Any]:
    """A movement op with an argument that fits the shape."""
    op = draw(some.sampled_from(["reshape", "permute", "expand", "shrink", "pad", "flip"]))
    if op == "reshape":
        return op, draw(factorisations(math.prod(shape)))
    if op == "permute":
        return op, tuple(draw(some.permutations(range(len(shape)))))
    if op == "flip":
        return op, tuple(axis for axis in range(len(shape)) if draw(some.booleans()))
    if op == "expand":
        sizes = tuple(draw(some.sampled_from([1, 2, 3])) if size == 1 else size for size in shape)
        return op, sizes if math.prod(sizes) <= MAX_SIZE else shape
    pairs = []
    for size in shape:
        if draw(some.booleans()):
            pairs.append((0, size) if op == "shrink" else (0, 0))
        elif op == "shrink":
            low = draw(some.integers(0, size))
            pairs.append((low, draw(some.integers(min(low + 1, size), size))))
        else:
            pairs.append((draw(some.integers(0, 2)), draw(some.integers(0, 2))))
    if op == "pad" and math.prod(size + sum(pair) for size, pair in zip(shape, pairs)) > MAX_SIZE:
        pairs = [(0, 0)] * len(shape)
    return op, tuple(pairs)


@some.composite
def chains(draw: Any) -> Chain:
    base = tuple(draw(some.lists(some.sampled_from([1, 2, 3, 4, 6]), max_size=4)))
    if math.prod(base) > 96:
        base = base[:2]
    array, steps = counting(base), []
    for _ in range(draw(some.integers(1, 7))):
        steps.append(draw(movements(array.shape)))
        array = numpy_movement(array, *steps[-1])
    return base, steps


def follow(chain: Chain) -> tuple[ShapeTracker, np.ndarray]:
    base, steps = chain
    tracker, array = ShapeTracker.contiguous(base), counting(base)
    for op, arg in steps:
        tracker, array = getattr(tracker, op)(arg), numpy_movement(array, op, arg)
    return tracker, array


@many
@given(chains())
def test_a_chain_reads_what_numpy_reads(chain: Chain) -> None:
    tracker, expected = follow(chain)
    base = counting(chain[0])
    assert tracker.shape == expected.shape and tracker.size == expected.size
    np.testing.assert_array_equal(read_by_flat_index(tracker, base), expected)
    np.testing.assert_array_equal(read_view(base, tracker, {}), expected)


@many
@given(chains())
def test_index_leads_to_the_same_elements_in_bounds(chain: Chain) -> None:
    tracker, expected = follow(chain)
    np.testing.assert_array_equal(read_by_index(tracker, counting(chain[0]), chain[0]), expected)


@many
@given(chains(), some.data())
def test_index_serves_any_base_shape_of_the_same_size(chain: Chain, data: Any) -> None:
    tracker, expected = follow(chain)
    shape = data.draw(factorisations(math.prod(chain[0])))
    np.testing.assert_array_equal(read_by_index(tracker, counting(shape), shape), expected)


@many
@given(chains(), some.integers(0, 7))
def test_composition_equals_the_sequence(chain: Chain, cut: int) -> None:
    base, steps = chain
    whole, expected = follow(chain)
    inner, middle = follow((base, steps[:cut]))
    outer, _ = follow((middle.shape, steps[cut:]))
    composed = inner + outer
    assert composed.shape == whole.shape and inner + outer is composed
    np.testing.assert_array_equal(read_by_flat_index(composed, counting(base)), expected)


@many
@given(chains())
def test_views_that_merge_read_what_both_read(chain: Chain) -> None:
    tracker, _ = follow(chain)
    for inner, outer in zip(tracker.views, tracker.views[1:]):
        assert merge(inner, outer) is None, "left unmerged"
    for view in tracker.views:
        if (merged := merge(view, View.contiguous(view.shape))) is not None:
            assert merged is view, "the identity changes nothing"


def is_one_view(tracker: ShapeTracker) -> bool:
    """By brute force: do the valid elements form a box on which the flat index is affine?"""
    flat, valid = flat_index(tracker)
    if not valid.any():
        return True
    box = tuple(slice(points.min(), points.max() + 1) for points in np.nonzero(valid))
    if not valid[box].all():
        return False
    inside = flat[box]
    expected = np.full(inside.shape, inside.reshape(-1)[0])
    for axis, size in enumerate(inside.shape):
        if size > 1:
            lead = np.take(inside, [0, 1], axis).reshape(-1, order="A")
            step = np.take(inside, 1, axis).reshape(-1)[0] - lead[0]
            expected = expected + step * np.arange(size).reshape([-1 if a == axis else 1 for a in range(inside.ndim)])
    return bool((inside == expected).all())


@many
@given(chains())
def test_two_views_without_masks_remain_only_where_one_cannot_do(chain: Chain) -> None:
    base, steps = chain
    if any(op == "pad" for op, _ in steps):  # a mask that is a box only by chance may stay apart
        return
    tracker, _ = follow(chain)
    if len(tracker.views) == 2 and tracker.views[1].is_contiguous:
        assert not is_one_view(tracker), "one view would do"


# ---- symbolic shapes ------------------------------------------------------------------------------------------------

POS = UOp.variable("pos", 0, 5)
ROWS = UOp.variable("rows", 1, 3)


@some.composite
def symbolic_movements(draw: Any, shape: tuple[Any, ...]) -> tuple[str, Any]:
    """Like `movements`, with amounts that may depend on variables and sizes that may be symbolic."""
    op = draw(some.sampled_from(["join", "split", "ones", "permute", "expand", "shrink", "pad", "flip"]))
    if op == "permute":
        return op, tuple(draw(some.permutations(range(len(shape)))))
    if op == "flip":
        return op, tuple(axis for axis in range(len(shape)) if draw(some.booleans()))
    if op == "expand":
        return op, tuple(draw(some.sampled_from([1, 2, POS + 1, ROWS])) if size == 1 else size for size in shape)
    if op == "join" and len(shape) > 1:
        axis = draw(some.integers(0, len(shape) - 2))
        return "reshape", (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2:])
    if op == "split":
        axes = [axis for axis, size in enumerate(shape) if isinstance(size, int) and size % 2 == 0 and size]
        if axes:
            axis = draw(some.sampled_from(axes))
            pair = draw(some.sampled_from([(2, shape[axis] // 2), (shape[axis] // 2, 2)]))
            return "reshape", (*shape[:axis], *pair, *shape[axis + 1:])
    pairs: list[tuple[Any, Any]] = []
    for size in shape:
        if op == "pad":
            pairs.append(draw(some.sampled_from([(0, 0), (0, 0), (1, 0), (0, 2), (POS, 0), (0, 5 - POS), (ROWS, 1)])))
        elif op == "shrink" and isinstance(size, int) and size >= 6:
            pairs.append(draw(some.sampled_from([(0, size), (POS, POS + 1), (0, POS + 1), (POS, size), (1, size - 1)])))
        else:
            pairs.append((0, size))
    if op in ("pad", "shrink"):
        return op, tuple(pairs)
    axis = draw(some.integers(0, len(shape)))
    return "reshape", (*shape[:axis], 1, *shape[axis:])


@some.composite
def symbolic_chains(draw: Any) -> tuple[tuple[Any, ...], list[tuple[str, Any]]]:
    base = draw(some.sampled_from([(1, POS + 1, 6), (8, 4), (POS + 1, POS + 1), (6, ROWS, 2), (POS, 4),
                                   (ROWS, POS + 1, 4)]))
    shape, steps = base, []
    tracker = ShapeTracker.contiguous(base)
    for _ in range(draw(some.integers(1, 5))):
        op, arg = draw(symbolic_movements(shape))
        moved = getattr(tracker, op)(arg)
        if evaluate_shape(moved.shape, {"pos": 5, "rows": 3}, limit=3000) is None:
            continue
        tracker, shape = moved, moved.shape
        steps.append((op, arg))
    return base, steps


def evaluate_nested(arg: Any, values: Mapping[str, int]) -> Any:
    return tuple(evaluate_nested(a, values) for a in arg) if isinstance(arg, tuple) else evaluate(arg, values)


def evaluate_shape(shape: tuple[Any, ...], values: Mapping[str, int], limit: int) -> tuple[int, ...] | None:
    sizes = evaluate_nested(shape, values)
    return sizes if math.prod(sizes) <= limit else None


@many
@given(symbolic_chains())
def test_a_symbolic_chain_reads_what_numpy_reads_at_every_binding(chain: Any) -> None:
    base, steps = chain
    tracker = ShapeTracker.contiguous(base)
    for op, arg in steps:
        tracker = getattr(tracker, op)(arg)
    for pos, rows in ((0, 1), (1, 3), (3, 2), (5, 3)):
        values = {"pos": pos, "rows": rows}
        array = counting(evaluate_nested(base, values))
        expected = array
        for op, arg in steps:
            expected = numpy_movement(expected, op, evaluate_nested(arg, values))
        np.testing.assert_array_equal(read_by_flat_index(tracker, array, values), expected)
        np.testing.assert_array_equal(read_view(array, tracker, values), expected)
        np.testing.assert_array_equal(read_by_index(tracker, array, base, {POS: pos, ROWS: rows}), expected)


def test_reshape_regroups_symbolic_axes_in_one_view() -> None:
    tracker = ShapeTracker.contiguous((1, POS + 1, 64))
    assert tracker.reshape((POS + 1, 64)) is ShapeTracker.contiguous((POS + 1, 64))
    assert tracker.reshape((POS + 1, 8, 8)) is ShapeTracker.contiguous((POS + 1, 8, 8))
    assert tracker.reshape(((POS + 1) * 64,)).reshape((1, POS + 1, 64)) is tracker
    assert len(tracker.reshape((POS + 1, 8, 8)).permute((1, 0, 2)).views) == 1


def test_a_cache_is_indexed_by_position_without_division() -> None:
    cache = (4, 1024, 8, 64)
    pos = UOp.variable("position", 0, 1023)
    written = ShapeTracker.contiguous(cache).shrink(((2, 3), (pos, pos + 1), (0, 8), (0, 64)))
    head, lane = UOp.range("head", 0, 8), UOp.range("lane", 0, 64)
    zero = UOp.range("one", 0, 1)
    (layer, row, *rest), valid = written.index((zero, zero, head, lane), cache)
    assert (layer.arg, row, rest, valid) == (2, pos, [head, lane], None)


def test_grouped_heads_of_a_cache_need_one_division() -> None:
    pos = UOp.variable("position", 0, 1023)
    keys = ShapeTracker.contiguous((1, 1024, 8, 64)).shrink(((0, 1), (0, pos + 1), (0, 8), (0, 64)))
    shared = keys.permute((0, 2, 1, 3)).reshape((1, 8, 1, pos + 1, 64)).expand((1, 8, 4, pos + 1, 64))
    assert len(shared.views) == 1
    heads = shared.reshape((1, 32, pos + 1, 64))
    one, head, row, lane = (UOp.range(name, 0, size) for name, size in zip("ohrl", (1, 32, pos + 1, 64)))
    indices, valid = heads.index((one, head, row, lane), (1, 1024, 8, 64))
    assert indices[1:] == (row, head // 4, lane) and indices[0].arg == 0 and valid is None


def test_bound_variables_are_found_and_stripped() -> None:
    pos = UOp.variable("position", 0, 1023)
    bound = pos.bind(7)
    make = lambda at: ShapeTracker.contiguous((1024, 64)).shrink(((at, at + 1), (0, 64))).pad(((0, at), (0, 0)))
    assert make(bound).variables() == (bound,)
    assert make(bound).substitute({bound: pos}) is make(pos)
    assert make(pos).variables() == (pos,)
    assert ShapeTracker.contiguous((2, 3)).variables() == ()
    assert concrete_shape(make(bound)) == (8, 64)
    flat, valid = flat_index(make(bound))
    assert flat[0, 0] == 7 * 64 and valid[0].all() and not valid[1:].any()


def test_substituting_a_constant_folds_sizes() -> None:
    tracker = ShapeTracker.contiguous((POS + 1, 4)).pad(((0, 5 - POS), (0, 0)))
    three = tracker.substitute({POS: UOp.const(POS.dtype, 3)})
    assert three is ShapeTracker.contiguous((4, 4)).pad(((0, 2), (0, 0)))


def test_what_cannot_be_decided_is_allowed_and_not_merged() -> None:
    other = UOp.variable("other", 0, 9)
    tracker = ShapeTracker.contiguous((POS + 1, other + 1))
    tracker = tracker.permute((1, 0)).reshape(((POS + 1) * (other + 1),))
    assert len(tracker.views) == 2
    cut = ShapeTracker.contiguous((8,)).shrink(((other, other + 1),))  # may be out of bounds, need not be
    assert cut.shape == (1,)


# ---- how many views -------------------------------------------------------------------------------------------------

def test_matmul_operands_stay_one_view() -> None:
    left = ShapeTracker.contiguous((5, 7)).reshape((5, 1, 7)).expand((5, 3, 7))
    right = ShapeTracker.contiguous((7, 3)).permute((1, 0)).reshape((1, 3, 7)).expand((5, 3, 7))
    assert left.views == (View((5, 3, 7), (7, 0, 1)),)
    assert right.views == (View((5, 3, 7), (0, 1, 3)),)


def test_attention_heads_are_split_in_one_view() -> None:
    heads = ShapeTracker.contiguous((2, 10, 32)).reshape((2, 10, 4, 8)).permute((0, 2, 1, 3))
    assert heads.views == (View((2, 4, 10, 8), (320, 8, 32, 1)),)
    back = heads.permute((0, 2, 1, 3)).reshape((2, 10, 32))
    assert back.is_contiguous and back is ShapeTracker.contiguous((2, 10, 32))


def test_halves_of_a_rotation_are_one_masked_view() -> None:
    half = ShapeTracker.contiguous((1, 6, 4, 16)).shrink(((0, 1), (0, 6), (0, 4), (8, 16)))
    padded = half.pad(((0, 0), (0, 0), (0, 0), (0, 8)))
    assert len(padded.views) == 1 and padded.views[0].mask is not None
    pairs = ShapeTracker.contiguous((1, 6, 4, 16)).reshape((1, 6, 4, 8, 2))
    odd = pairs.shrink(((0, 1), (0, 6), (0, 4), (0, 8), (1, 2))).pad(((0, 0),) * 4 + ((0, 1),))
    assert len(odd.views) == 1
    assert len(odd.reshape((1, 6, 4, 16)).views) == 2  # every other element is no box


def windows(size: int, kernel: int, stride: int, dilation: int) -> ShapeTracker:
    """Sliding windows (3, outputs, kernel) of (3, size) from movement ops alone: repeat, cut, and let rows slip."""
    count = (size - dilation * (kernel - 1) - 1) // stride + 1
    repeats = -(-kernel * (size + dilation) // size)
    rows = ShapeTracker.contiguous((3, size)).reshape((3, 1, size)).expand((3, repeats, size))
    cut = rows.reshape((3, repeats * size)).shrink(((0, 3), (0, kernel * (size + dilation))))
    slipped = cut.reshape((3, kernel, size + dilation))
    kept = slipped.shrink(((0, 3), (0, kernel), (0, count * stride))) if count * stride <= size + dilation else slipped
    split = kept.reshape((3, kernel, count, stride)).shrink(((0, 3), (0, kernel), (0, count), (0, 1)))
    return split.reshape((3, kernel, count)).permute((0, 2, 1))


@pytest.mark.parametrize("size, kernel, stride, dilation",
                         [(8, 3, 1, 1), (9, 3, 2, 1), (9, 3, 1, 2), (7, 1, 1, 1), (12, 4, 4, 1)])
def test_windows_of_a_convolution_are_one_view(size: int, kernel: int, stride: int, dilation: int) -> None:
    tracker = windows(size, kernel, stride, dilation)
    expected = np.lib.stride_tricks.sliding_window_view(counting((3, size)), dilation * (kernel - 1) + 1, axis=1)
    np.testing.assert_array_equal(read_view(counting((3, size)), tracker, {}), expected[:, ::stride, ::dilation])
    assert len(tracker.views) == 1
    channel, output, tap = (UOp.range(name, 0, extent) for name, extent in zip("cot", tracker.shape))
    indices, valid = tracker.index((channel, output, tap), (3, size))
    assert indices == (channel, output * stride + (tap * dilation if kernel > 1 else 0))
    assert valid is None


def test_windows_of_a_padded_image_keep_two_views_at_most() -> None:
    padded = ShapeTracker.contiguous((3, 8)).pad(((0, 0), (1, 1)))
    assert len((padded + windows(10, 3, 1, 1)).views) == 2


def test_flips_are_negative_strides() -> None:
    tracker = ShapeTracker.contiguous((4, 6)).flip((0, 1))
    assert tracker.views == (View((4, 6), (-6, -1), 23),)
    assert tracker.reshape((24,)).views == (View((24,), (-1,), 23),)
    assert tracker.reshape((2, 2, 6)).flip((0, 1, 2)).reshape((4, 6)).is_contiguous
    row, column = UOp.range("row", 0, 4), UOp.range("column", 0, 6)
    assert tracker.index((row, column), (4, 6)) == ((3 - row, 5 - column), None)


def test_a_reshape_that_cannot_merge_is_undone_by_its_inverse() -> None:
    transposed = ShapeTracker.contiguous((4, 6)).permute((1, 0))
    flat = transposed.reshape((24,))
    assert len(flat.views) == 2
    assert flat.reshape((6, 4)) is transposed
    assert flat.reshape((6, 2, 2)).views == (View((6, 2, 2), (1, 12, 6)),)
    assert flat.reshape((1, 24)).permute((1, 0)).expand((24, 1)).reshape((6, 4)).permute((1, 0)).is_contiguous
    assert flat.shrink(((8, 12),)).views == (View((4,), (6,), 2),)


def test_a_mask_that_stays_a_box_does_not_stop_a_reshape() -> None:
    padded = ShapeTracker.contiguous((2, 3)).pad(((1, 1), (0, 0)))
    assert padded.reshape((12,)).views == (View((12,), (1,), -3, ((3, 9),)),)
    assert padded.reshape((12,)).reshape((4, 3)) is padded
    assert len(ShapeTracker.contiguous((2, 3)).pad(((0, 0), (1, 1))).reshape((10,)).views) == 2
    column = ShapeTracker.contiguous((3,)).reshape((1, 3)).pad(((2, 1), (0, 0)))
    assert column.reshape((12,)).views == (View((12,), (1,), -6, ((6, 9),)),)


def test_a_pad_that_is_cut_off_again_leaves_nothing() -> None:
    tracker = ShapeTracker.contiguous((4, 5))
    assert tracker.pad(((1, 2), (3, 0))).shrink(((1, 5), (3, 8))) is tracker
    nothing = tracker.pad(((1, 0), (0, 0))).shrink(((0, 1), (0, 5)))
    assert nothing.views[0].reads_nothing
    assert not flat_index(nothing.reshape((5,)))[1].any()


# ---- index: how it is written ---------------------------------------------------------------------------------------

def operators(nodes: Sequence[UOp]) -> set[Ops]:
    return {u.op for u in toposort(*nodes)}


def test_offsets_and_strides_are_taken_apart_by_dimension() -> None:
    tracker = ShapeTracker.contiguous((5, 6, 7)).shrink(((1, 4), (2, 6), (3, 7))).flip((1,)).permute((2, 0, 1))
    a, b, c = (UOp.range(name, 0, size) for name, size in zip("abc", tracker.shape))
    assert tracker.index((a, b, c), (5, 6, 7)) == ((b + 1, 5 - c, a + 3), None)


def test_only_dimensions_that_an_axis_runs_across_are_divided() -> None:
    tracker = ShapeTracker.contiguous((3, 4, 5)).reshape((3, 20))
    row, column = UOp.range("row", 0, 3), UOp.range("column", 0, 20)
    indices, _ = tracker.index((row, column), (3, 4, 5))
    assert indices == (row, column // 5, column % 5)
    split = UOp.range("split", 0, 4) * 5 + UOp.range("rest", 0, 5)
    indices, _ = tracker.index((row, split), (3, 4, 5))
    assert not operators(indices) & {Ops.IDIV, Ops.MOD}


def test_a_stride_across_dimensions_is_their_sum() -> None:
    diagonal = ShapeTracker((View((4,), (5,)),))
    index = UOp.range("i", 0, 4)
    assert diagonal.index((index,), (4, 4)) == ((index, index), None)
    back = ShapeTracker((View((4,), (3,), 3),))
    assert back.index((index,), (4, 4)) == ((index, 3 - index), None)


def test_a_mask_is_a_condition_on_the_logical_index() -> None:
    tracker = ShapeTracker.contiguous((4,)).pad(((2, 1),))
    index = UOp.range("i", 0, 7)
    (where,), valid = tracker.index((index,), (4,))
    assert where is index - 2
    assert valid is not None and valid is UOp.const(POS.dtype, 1).lt(index) & index.lt(6)
    assert tracker.index((UOp.range("inside", 2, 6),), (4,))[1] is None
    outside = tracker.index((UOp.const(POS.dtype, 0),), (4,))[1]
    assert outside is not None and outside.op is Ops.CONST and outside.arg is False


def test_scalars_and_empty_shapes() -> None:
    scalar = ShapeTracker.contiguous(())
    assert scalar.shape == () and scalar.size == 1 and scalar.is_contiguous and scalar.index((), ()) == ((), None)
    assert scalar.reshape((1, 1)).expand((2, 3)).index([UOp.range("i", 0, 2), UOp.range("j", 0, 3)], ()) == ((), None)
    empty = ShapeTracker.contiguous((0, 3))
    assert empty.size == 0 and empty.permute((1, 0)).reshape((0, 7)).is_contiguous
    padded = empty.pad(((1, 1), (0, 0)))
    assert (read_view(np.zeros((0, 3)), padded, {}) == np.zeros((2, 3))).all()
    assert read_by_index(padded, np.zeros((0, 3), int), (0, 3)).shape == (2, 3)


def test_decompose_gives_up_only_where_a_carry_is_possible() -> None:
    assert [(p.first, p.stop) for p in decompose(View((3, 4), (4, 1)), (3, 4))] == [(0, 1), (1, 2)]
    assert [(p.first, p.stop) for p in decompose(View((3, 5), (4, 1)), (4, 4))] == [(0, 2)]


# ---- objects --------------------------------------------------------------------------------------------------------

def test_equal_trackers_are_one_object() -> None:
    one = ShapeTracker.contiguous((2, 3, 4)).permute((2, 0, 1)).flip((0,))
    two = ShapeTracker.contiguous([2, 3, 4]).flip((2,)).permute((2, 0, 1))
    assert one is two and hash(one) == hash(two)
    assert ShapeTracker(one.views) is one
    assert copy.deepcopy(one) is one and pickle.loads(pickle.dumps(one)) is one
    assert ShapeTracker.contiguous((np.int64(2), True)).shape == (2, 1)
    assert all(type(size) is int for size in ShapeTracker.contiguous((np.int64(5), 1)).shape)


def test_trackers_cannot_be_changed() -> None:
    tracker = ShapeTracker.contiguous((2,))
    with pytest.raises(AttributeError):
        tracker.views = ()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        tracker.views[0].offset = 1  # type: ignore[misc]


def test_contiguous_is_about_the_map_and_identity_about_the_shape() -> None:
    tracker = ShapeTracker.contiguous((2, 3))
    assert tracker.is_contiguous is True and tracker.is_identity((2, 3)) and not tracker.is_identity((3, 2))
    assert tracker.reshape((6,)).is_contiguous and not tracker.reshape((6,)).is_identity((2, 3))
    assert tracker.shrink(((0, 1), (0, 3))).is_contiguous and not tracker.shrink(((0, 1), (0, 3))).is_identity((2, 3))
    assert not tracker.permute((1, 0)).is_contiguous and not tracker.pad(((0, 1), (0, 0))).is_contiguous
    assert tracker.permute((1, 0)).permute((1, 0)).is_identity((2, 3))


# ---- errors ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("op, arg, message", [
    ("permute", (0, 0), r"permute: order \(0, 0\) .* shape \(2, 3\)"),
    ("permute", (0,), "permute"),
    ("expand", (2, 6), r"expand: axis 1 of shape \(2, 3\) cannot become 6"),
    ("expand", (2, 3, 1), r"expand: \(2, 3, 1\) has 3 axes"),
    ("reshape", (4, 2), r"reshape: shape \(2, 3\) has 6 elements, \(4, 2\) has 8"),
    ("reshape", (-2, -3), r"reshape: sizes must not be negative, got \(-2, -3\)"),
    ("shrink", ((0, 3), (0, 3)), r"shrink: axis 0 of shape \(2, 3\) cannot be cut to \[0, 3\)"),
    ("shrink", ((0, 2), (2, 1)), r"shrink: axis 1"),
    ("shrink", ((-1, 2), (0, 3)), r"shrink: axis 0"),
    ("shrink", ((0, 2),), r"shrink: needs a pair for each axis of shape \(2, 3\), got \(\(0, 2\),\)"),
    ("pad", ((0, -1), (0, 0)), r"pad: axis 0 of shape \(2, 3\) cannot grow by \(0, -1\)"),
    ("pad", ((0, 1, 2), (0, 0)), "pad: needs a pair"),
    ("flip", (2,), r"flip: axes \(2,\) are not distinct axes of shape \(2, 3\)"),
    ("flip", (1, 1), "flip"),
])
def test_a_wrong_argument_is_named_with_the_shape(op: str, arg: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(ShapeTracker.contiguous((2, 3)), op)(arg)


def test_symbolic_sizes_in_messages_are_readable() -> None:
    with pytest.raises(ValueError, match=r"shape \(pos \+ 1, 64\) has pos\*64 \+ 64 elements, \(pos, 64\) has pos\*64"):
        ShapeTracker.contiguous((POS + 1, 64)).reshape((POS, 64))
    with pytest.raises(ValueError, match=r"cannot be cut to \[pos, pos \+ 9\)"):
        ShapeTracker.contiguous((8,)).shrink(((POS, POS + 9),))
    with pytest.raises(ValueError, match="index: 1 indices for shape"):
        ShapeTracker.contiguous((2, 3)).index((UOp.range("i", 0, 2),), (2, 3))
    assert integer((POS + 1) * ROWS // 2 % 3) and show_shape((POS - 1,)) == "(pos - 1,)"


def test_a_size_that_is_no_integer_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="2.5"):
        ShapeTracker.contiguous((2.5,))  # type: ignore[arg-type]


# ---- inference ------------------------------------------------------------------------------------------------------

def test_broadcasting_follows_numpy() -> None:
    assert broadcast_shapes((4, 1), (3,), ()) == (4, 3)
    assert broadcast_shapes((POS + 1, 1), (1, 8)) == (POS + 1, 8)
    assert broadcast_shapes((1,), (0,)) == (0,) and broadcast_shapes() == ()
    with pytest.raises(ValueError, match=r"add: shapes \(2, 3\) and \(2, 4\) do not broadcast: axis -1 has sizes"):
        broadcast_shapes((2, 3), (2, 4), op="add")
    with pytest.raises(ValueError, match=r"sizes pos \+ 1 and 4"):
        broadcast_shapes((POS + 1,), (4,))


def test_reshape_infers_one_size() -> None:
    assert infer_reshape((2, 12), (-1, 8)) == (3, 8)
    assert infer_reshape((POS + 1, 64), (8, -1)) == (8, (POS + 1) * 8)
    assert infer_reshape((1, POS + 1, 8, 8), (1, POS + 1, -1)) == (1, POS + 1, 64)
    assert infer_reshape((2, POS + 1, 8), (-1, 8)) == ((POS + 1) * 2, 8)
    assert infer_reshape((0, 3), (-1, 3)) == (0, 3)
    for shape, target in (((2, 3), (-1, 4)), ((2, 3), (-1, -1)), ((2, 3), (5,)), ((0,), (0, -1)), ((4,), (-2, -2))):
        with pytest.raises(ValueError, match="reshape: cannot infer"):
            infer_reshape(shape, target)
