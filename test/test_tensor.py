"""The tensor's state: how values come in and go out, dtypes, assignment and shared memory, errors."""
from __future__ import annotations

import copy
import gc
import itertools
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad import Context, GlobalCounters, Tensor, Variable, dtypes, no_grad
from minigrad.runtime.numpy import evaluate
from minigrad.tensor import base
from minigrad.tensor.base import live_tensors
from minigrad.uops import Ops


@pytest.fixture(autouse=True, params=["NUMPY", "CPU"])
def device(request: Any) -> Any:
    with Context(DEV=request.param):
        yield request.param


# ---- creation

def test_python_values_have_the_documented_dtypes() -> None:
    for value, dtype in [(True, dtypes.bool), (1, dtypes.int32), (1 << 40, dtypes.int64), (1.5, dtypes.float32),
                         ([1, 2], dtypes.int32),
                         ([1, 2.5], dtypes.float32), ([True, False], dtypes.bool), ([1, True], dtypes.int32),
                         ([], dtypes.float32), ([1 << 40], dtypes.int64), (np.float64(2), dtypes.float64),
                         ([[1.0], [2.0]], dtypes.float32), (range(3), dtypes.int32)]:
        t = Tensor(value)
        assert t.dtype is dtype, value
        np.testing.assert_array_equal(t.numpy(), np.array(list(value) if isinstance(value, range) else value, dtype.np))


def test_a_numpy_array_is_used_where_it_lies_and_never_written() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    t = Tensor(array)
    assert t.buffer is not None and t.buffer.ptr == array.ctypes.data
    t[0] = 7
    t += 1
    assert t.numpy()[0, 0] == 8 and array[0, 0] == 0
    u = Tensor(array)
    u.assign(u * 2).realize()
    assert u.numpy()[2, 3] == 22 and array[2, 3] == 11


def test_a_copy_that_is_asked_for_is_not_the_copy_that_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_leaf_numbers", itertools.count(1))
    array = Tensor(np.array([1.0, 2.0, 3.0]))
    other = array * 1  # the same node
    other[1] = 5
    assert other.detach().tolist() == [1, 5, 3] and array.tolist() == [1, 2, 3]


def test_arrays_that_are_not_contiguous_or_not_native_are_copied() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    for odd in (array.T, array[::2], array[:, ::-1], array.astype(">f4"), np.broadcast_to(array[0], (2, 4))):
        np.testing.assert_array_equal(Tensor(odd).numpy(), odd)


def test_constants_counters_and_identities_like_numpy() -> None:
    for ours, theirs in [
            (Tensor.zeros(2, 3), np.zeros((2, 3))), (Tensor.ones((2,), dtype="int8"), np.ones(2)),
            (Tensor.full((2, 2), 7), np.full((2, 2), 7)), (Tensor.arange(5), np.arange(5)),
            (Tensor.arange(2, 9, 3), np.arange(2, 9, 3)), (Tensor.arange(5, 0, -2), np.arange(5, 0, -2)),
            (Tensor.arange(0, 1, 0.25), np.arange(0, 1, 0.25)), (Tensor.arange(3, 1), np.arange(3, 1)),
            (Tensor.eye(3), np.eye(3)), (Tensor.eye(2, 4), np.eye(2, 4)),
            (Tensor.linspace(0, 1, 5), np.linspace(0, 1, 5)), (Tensor.linspace(3, 3, 1), np.linspace(3, 3, 1)),
            (Tensor.linspace(1, -1, 4), np.linspace(1, -1, 4)), (Tensor([1.0, 2.0]).full_like(3), np.full(2, 3)),
            (Tensor.full((), 2.5), np.array(2.5)), (Tensor([3, 1]).one_hot(4), np.eye(4)[[3, 1]])]:
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-6)
    assert Tensor.arange(5).dtype is dtypes.int32 and Tensor.arange(5.0).dtype is dtypes.float32
    assert Tensor.empty(2, 3).shape == (2, 3)
    assert Tensor.arange(1 << 33, (1 << 33) + 3).tolist() == [(1 << 33) + i for i in range(3)]


def test_halves_round_to_even_and_come_out_as_floats() -> None:
    values = [1.0, 1.00390625, 1.01171875, -3.14159, 65504.0, float("inf")]
    assert Tensor(values, dtype=dtypes.float16).numpy().dtype == np.float16
    np.testing.assert_array_equal(Tensor(values).half().numpy(), np.array(values, np.float16))
    assert Tensor(values, dtype=dtypes.bfloat16).tolist()[:3] == [1.0, 1.0, 1.015625]
    assert Tensor(values).bfloat16().tolist() == Tensor(values, dtype=dtypes.bfloat16).tolist()
    total = Tensor.ones(4096, dtype=dtypes.bfloat16).sum()
    # accumulated in float32: in bfloat16 it would stay at 256
    assert total.dtype is dtypes.bfloat16 and total.item() == 4096


def test_tensors_in_lists_are_stacked() -> None:
    assert Tensor([Tensor([1, 2]), Tensor([3, 4])]).tolist() == [[1, 2], [3, 4]]
    with pytest.raises(TypeError, match="list"):
        Tensor([Tensor([1, 2]), 3])


# ---- dtypes

ORDER = [dtypes.bool, dtypes.uint8, dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64, dtypes.float16,
         dtypes.bfloat16, dtypes.float32,
         dtypes.float64]


def test_promotion_is_symmetric_and_scalars_are_weak() -> None:
    for a, b in itertools.product(ORDER, ORDER):
        x, y = Tensor.ones(1, dtype=a), Tensor.ones(1, dtype=b)
        assert (x * y).dtype is (y * x).dtype
    assert (Tensor.ones(1, dtype="uint8") * Tensor.ones(1, dtype="int8")).dtype is dtypes.int16
    assert (Tensor.ones(1, dtype="float16") * Tensor.ones(1, dtype="bfloat16")).dtype is dtypes.float32
    assert (Tensor([1]) + 1.5).dtype is dtypes.float32 and (Tensor([1], dtype="int8") + 1).dtype is dtypes.int8
    assert (Tensor([1.0], dtype="float16") + 1.5).dtype is dtypes.float16 and (Tensor([True]) + 1).dtype is dtypes.int32
    assert (Tensor([1]) / 2).dtype is dtypes.float32 and (Tensor([1]) // 2).dtype is dtypes.int32
    assert (Tensor([True]) * True).dtype is dtypes.bool and Tensor([True, True]).sum().item() == 2
    assert Tensor([1], dtype="int8").sum().dtype is dtypes.int32
    assert Tensor([1], dtype="uint8").sum().dtype is dtypes.uint32
    assert Tensor([1]).mean().dtype is dtypes.float32 and Tensor([1]).exp().dtype is dtypes.float32
    assert (2 * Tensor([1.0], dtype="float64")).dtype is dtypes.float64
    assert Tensor([1, 2]).argmax().dtype is dtypes.int32


def test_casts_of_floats_to_integers_truncate_and_clamp() -> None:
    x = Tensor([1.9, -1.9, float("nan"), 1e20, -1e20, 300.0], dtype="float64")
    assert x.cast("int32").tolist() == [1, -1, 0, 2 ** 31 - 1, -2 ** 31, 300]
    assert x.cast("uint8").tolist() == [1, 0, 0, 255, 0, 255] and x.cast("int64").tolist()[3] == 2 ** 63 - 1
    assert x.bool().tolist() == [True] * 6 and Tensor([300, -1]).cast("uint8").tolist() == [44, 255]


def test_bitcast_keeps_bits() -> None:
    x = np.array([1.0, -2.5, np.inf], np.float32)
    np.testing.assert_array_equal(Tensor(x).bitcast("int32").numpy(), x.view(np.int32))
    np.testing.assert_array_equal(Tensor(x).bitcast("uint32").bitcast("float32").numpy(), x)
    assert Tensor(np.array([0x3F80], np.uint16)).bitcast("bfloat16").item() == 1.0
    with pytest.raises(ValueError, match="bytes"):
        Tensor(x).bitcast("int16")


# ---- values out

def test_repr_shows_values_shape_dtype_and_device(device: str) -> None:
    text = repr(Tensor([[1.0, 2.5]]))
    assert "[[1. , 2.5]]" in text and "(1, 2)" in text and "float32" in text and device in text
    assert "..." in repr(Tensor.arange(5000)) and "requires_grad" in repr(Tensor([1.0], requires_grad=True))


def test_repr_shows_the_values_of_variables_in_shapes() -> None:
    n = Variable("n", 1, 10)
    assert "shape=(3,)" in repr(Tensor.ones(10)[:n.bind(3)])
    assert "without a value" in repr(Tensor.ones(10)[:n]) and "without a value" in repr(Tensor.arange(10)[n : n + 2])
    with pytest.raises(ValueError, match="has no value"):
        Tensor.ones(10)[:n].numpy()


def test_scalars_convert_and_others_refuse() -> None:
    assert Tensor([3]).item() == 3 and int(Tensor(3)) == 3 and float(Tensor([2.5])) == 2.5 and bool(Tensor([1]))
    assert [10, 20][Tensor(1)] == 20
    for wrong in (lambda: Tensor([1, 2]).item(), lambda: bool(Tensor([1, 2])), lambda: Tensor([]).item()):
        with pytest.raises(ValueError, match="shape"):
            wrong()
    assert len(Tensor([[1, 2], [3, 4]])) == 2 and [row.tolist() for row in Tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    with pytest.raises(TypeError):
        len(Tensor(1))
    assert 3 in Tensor([1, 3]) and 2 not in Tensor([1, 3])
    with pytest.raises(TypeError):
        [1, 2][Tensor(1.0)]


def test_numpy_gives_a_copy_that_nothing_changes() -> None:
    x = Tensor([1.0, 2.0]).contiguous().realize()
    array = x.numpy()
    array[0] = 5
    x[1] = 9
    assert x.tolist() == [1, 9] and array.tolist() == [5, 2]


def test_numpy_arrays_meet_tensors_in_expressions() -> None:
    a = np.array([1.0, 2.0], np.float32)
    for result in (a + Tensor([1.0, 1.0]), Tensor([1.0, 1.0]) + a, np.float32(1) * Tensor(a + 1)):
        assert isinstance(result, Tensor) and result.tolist() == [2, 3]
    assert np.asarray(Tensor(a)).tolist() == [1, 2]


def test_dlpack_shares_memory_both_ways() -> None:
    array = np.arange(6, dtype=np.int64).reshape(2, 3)
    t = Tensor.from_dlpack(array)
    assert t.dtype is dtypes.int64 and t.buffer is not None and t.buffer.ptr == array.ctypes.data
    assert t.tolist() == array.tolist()
    for dtype in ("float32", "bool", "uint16", "float16"):
        source = Tensor(array).cast(dtype).contiguous().realize()
        back = np.from_dlpack(source)
        assert back.tolist() == source.tolist() and back.ctypes.data == source.buffer.ptr
        pointer = weakref.ref(source.buffer)
        del source
        gc.collect()
        assert back.shape == (2, 3) and pointer() is not None  # the taker keeps the memory
    for version in (None, (1, 0)):
        source = Tensor([1.5, -2.0]).cast("bfloat16").contiguous().realize()    # which numpy has not
        taken = Tensor.from_dlpack(source.__dlpack__(max_version=version))
        assert taken.dtype is dtypes.bfloat16 and taken.tolist() == [1.5, -2.0]
        assert taken.buffer.ptr == source.buffer.ptr and taken.buffer.readonly
    np.testing.assert_array_equal(Tensor.from_dlpack(array.T).numpy(), array.T)
    pending = Tensor([1.0, 2.0]) * 2
    np.from_dlpack(pending)[0] = 7
    assert pending.tolist() == [7, 4]
    capsule = Tensor([1.0]).__dlpack__()
    assert Tensor.from_dlpack(capsule).tolist() == [1.0]
    with pytest.raises(TypeError, match="taken"):
        Tensor.from_dlpack(capsule)
    buffer = weakref.ref(Tensor([1.0, 2.0]).clone().realize().buffer)
    Tensor([1.0]).clone().__dlpack__()
    gc.collect()
    assert buffer() is None


def test_moving_between_devices_keeps_values(device: str) -> None:
    other = "CPU" if device == "NUMPY" else "NUMPY"
    x = Tensor([1.0, 2.0])
    y = (x * 2).to(other)
    assert y.device == other and y.to(device).tolist() == [2, 4]
    assert (y + Tensor([1.0], device=other)).tolist() == [3, 5]
    assert Tensor.zeros(2, device=other).contiguous().realize().buffer.device == other
    with pytest.raises(ValueError, match="devices"):
        x + y


# ---- assignment and shared memory

def test_axes_have_both_names() -> None:
    x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.sum(dim=1, keepdims=True).tolist() == x.sum(axis=1, keepdim=True).tolist() == [[3], [7]]
    assert x.argmax(dim=-1).tolist() == [1, 1] and x.softmax(dim=0).tolist() == x.softmax(axis=0).tolist()
    assert x.cat(x, axis=1).shape == Tensor.stack([x, x], axis=1).reshape(2, 4).shape == (2, 4)
    assert Tensor.amax(x, dim=0).tolist() == [3, 4]
    with pytest.raises(TypeError, match="name one argument twice"):
        x.sum(axis=0, dim=1)  # type: ignore[call-arg]


def test_assign_writes_in_place() -> None:
    x = Tensor([1.0, 2.0, 3.0]).clone().realize()
    buffer = x.buffer
    x.assign(x * 2 + 1).realize()
    assert x.buffer is buffer and x.tolist() == [3, 5, 7]
    x.assign(x.flip(0)).realize()
    assert x.buffer is buffer and x.tolist() == [7, 5, 3]


def test_results_keep_the_value_they_were_recorded_with() -> None:
    x = Tensor([1.0, 2.0]).clone().realize()
    before = x + 10
    x.assign(x * 100)
    after = x + 10
    x.assign(x + 1)
    assert after.tolist() == [110, 210] and before.tolist() == [11, 12] and x.tolist() == [101, 201]


def test_a_pending_assignment_runs_once_whoever_asks() -> None:
    x = Tensor([1.0]).clone().realize()
    x.assign(x + 1)
    y = x * 10
    assert y.tolist() == [20] and x.tolist() == [2] and (x * 10).tolist() == [20]
    x.assign(x + 1)
    assert x.tolist() == [3] and y.tolist() == [20]


def test_swap_through_assignments() -> None:
    a, b = Tensor([1.0, 2.0]).clone().realize(), Tensor([3.0, 4.0]).clone().realize()
    old = a + 0
    a.assign(b)
    b.assign(old)
    Tensor.realize(a, b)
    assert a.tolist() == [3, 4] and b.tolist() == [1, 2]


def test_views_share_memory_and_equal_values_do_not() -> None:
    x = Tensor.arange(6).reshape(2, 3).clone().realize()
    row, flipped, copy = x[1], x.T.flip(0), x.clone()
    x[1, 0] = 50
    assert row.tolist() == [50, 4, 5] and flipped.tolist() == [[2, 5], [1, 4], [0, 50]]
    assert copy.tolist() == [[0, 1, 2], [3, 4, 5]]
    row[2] = 7
    assert x.tolist() == [[0, 1, 2], [50, 4, 7]]
    flipped.assign(flipped * 0)
    assert x.tolist() == [[0] * 3] * 2 and x.detach().tolist() == [[0] * 3] * 2
    a, b = Tensor.zeros(2).contiguous(), Tensor.zeros(2).contiguous()
    a.realize(b)
    a[0] = 1
    assert a.tolist() == [1, 0] and b.tolist() == [0, 0]
    c, d = Tensor.zeros(2), Tensor.zeros(2)
    c[0] = 1
    d[0] = 1
    c[1] = 2
    assert c.tolist() == [1, 2] and d.tolist() == [1, 0]


def test_views_of_what_is_not_computed_yet_share_too() -> None:
    x = Tensor([1.0, 2.0, 3.0]) * 2
    y = x[1:]
    x[1] = 50
    assert y.tolist() == [50, 6] and x.tolist() == [2, 50, 6]


def test_setitem_like_numpy() -> None:
    for index, value in [(0, 5.0), ((slice(None), 1), [1.0, 2.0, 3.0]), ((slice(0, 2), slice(1, 3)), 9.0),
                         ((Ellipsis, -1), 4.0), (slice(None, None, 2), 1.0),
                         ((slice(None, None, -1), slice(3, 0, -2)), [[1.0, 2.0]]), ([0, 2], 3.0),
                         (([0, 2], [1, 3]), [7.0, 8.0]), ((slice(None), [0, 0, 1]), np.arange(9.0).reshape(3, 3)),
                         ((1, None, slice(2)), 6.0)]:
        array = np.arange(12.0).reshape(3, 4)
        t = Tensor(array.copy())
        array[index] = value
        t[index] = value
        np.testing.assert_array_equal(t.numpy(), array, err_msg=str(index))
    t = Tensor([1.0, -2.0, 3.0])
    t[t < 0] = 0
    assert t.tolist() == [1, 0, 3]
    t[1] = t[2]
    t[1] += 1
    assert t.tolist() == [1, 4, 3]


def test_operators_in_place_change_the_tensor_and_its_views() -> None:
    x = Tensor([4.0, 9.0]).clone().realize()
    same, view, buffer = x, x[1:], x.buffer
    x += 1
    x *= Tensor([2.0, 3.0])
    x -= 1
    x /= 2
    assert same is x and x.tolist() == [4.5, 14.5] and view.tolist() == [14.5] and x.realize().buffer is buffer
    y = Tensor([1.0, 2.0]) * 3
    y += 1
    y **= 2
    y //= 3
    y %= 10
    assert y.tolist() == [5, 6]
    i = Tensor([6, 3])
    i &= 2
    i |= 1
    i <<= 2
    i ^= 1
    i >>= 1
    assert i.tolist() == [6, 6]
    total = Tensor(0.0)
    w = Tensor([2.0], requires_grad=True)
    total += (w * w).sum()
    total.backward()
    assert w.grad.tolist() == [4]
    with pytest.raises(RuntimeError, match="leaf"):
        w -= 1
    with no_grad():
        w -= w.grad * 0.25
    assert w.tolist() == [1] and w.is_leaf and w.requires_grad
    with pytest.raises(TypeError, match="float32"):
        i += 1.5
    with pytest.raises(ValueError, match="shape"):
        w += Tensor.ones(3, 1)


def test_deep_copies_share_nothing() -> None:
    w = Tensor([1.0, 2.0], requires_grad=True)
    layers = copy.deepcopy({"a": w, "b": [w]})
    assert layers["a"] is layers["b"][0] and layers["a"].requires_grad and layers["a"].is_leaf
    w.assign([5.0, 6.0])
    assert layers["a"].tolist() == [1, 2]


def test_setitem_casts_broadcasts_and_refuses() -> None:
    t = Tensor.zeros(2, 3, dtype="int32")
    t[0] = 2.7
    t[:, 1] = Tensor([[5], [6]])[:, 0]
    assert t.tolist() == [[2, 5, 2], [0, 6, 0]]
    with pytest.raises(ValueError, match="broadcast"):
        t[0] = Tensor([1, 2])
    with pytest.raises(IndexError):
        t[5] = 1


def test_bools_are_the_positions_where_they_are_true() -> None:
    array, holes = np.arange(12.0).reshape(3, 4), np.arange(12).reshape(3, 4) % 5 < 2
    for index, value in [((holes,), 7.0), ((holes,), np.arange(6.0)), ((slice(None), holes[0]), [[1.0], [2.0], [3.0]]),
                         ((slice(1), holes[1]), -1.0), ((holes[:, 0], holes[0]), 9.0)]:
        expected, x = array.copy(), Tensor(array.copy())
        expected[index] = value
        ours = tuple(Tensor(i) if isinstance(i, np.ndarray) else i for i in index)
        x[ours if len(ours) > 1 else ours[0]] = value
        np.testing.assert_array_equal(x.numpy(), expected)
    assert Tensor(array)[Tensor(array) > 9].tolist() == [10, 11] and Tensor(array)[array > 99].shape == (0,)
    for wrong in (holes[:2], holes[0], np.array(True)):
        with pytest.raises(IndexError, match="bools of shape"):
            Tensor(array)[wrong]
    with pytest.raises(ValueError, match="broadcast"):
        Tensor(array)[holes] = Tensor(array)


def test_an_index_has_the_range_of_the_axis_not_of_its_dtype() -> None:
    x = Tensor.arange(300)
    assert x[Tensor(np.array([-1, 5], np.int8))].tolist() == [299, 5]
    assert x[Tensor(np.array([255], np.uint8))].tolist() == [255]
    for wrong in ([5, 300], np.array([[-301]])):
        with pytest.raises(IndexError, match="30. on axis 0 of size 300"):
            x[wrong]
    target = np.array([3, 156], np.uint8)  # -100, which is ignored, would be 156 there
    logits = np.random.default_rng(0).normal(size=(2, 200))
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(Tensor(logits).cross_entropy(Tensor(target), "none").numpy(), -logs[[0, 1], target])


def test_numbers_that_an_integer_dtype_does_not_hold_are_refused() -> None:
    x = Tensor([1, 2], dtype="uint8")
    for wrong in (lambda: x + 300, lambda: x < -1, lambda: x.clip(-1, 3), lambda: x.maximum(256),
                  lambda: x.full_like(-1), lambda: x.__setitem__(0, 256), lambda: x - 300):
        with pytest.raises(ValueError, match="does not fit dtypes.uint8"):
            wrong()
    with pytest.raises(ValueError, match="does not fit dtypes.int32"):
        Tensor([1]) * 2 ** 40
    for operation in (Tensor.bitwise_and, Tensor.lshift):
        with pytest.raises(TypeError, match="uint64.*int32"):
            operation(x.cast("uint64"), Tensor([1]))


def test_nan_is_no_integer() -> None:
    with pytest.raises(ValueError, match=r"a number of \[nan\] does not fit dtypes.int32"):
        Tensor([float("nan")], dtype="int32")


def test_symbolic_slices_are_read_and_written() -> None:
    cache = Tensor.zeros(2, 8).contiguous().realize()
    buffer = cache.buffer
    for position in range(3):
        p = Variable("p", 0, 7).bind(position)
        cache[:, p:p + 1] = Tensor([[position + 1.0], [10.0]])
        total = cache[:, :p + 1].sum(1)
        assert total.tolist() == [sum(range(position + 2)), 10 * (position + 1)]
        assert cache[:, p].tolist() == [position + 1, 10]
    assert cache.buffer is buffer and cache.numpy()[0].tolist() == [1, 2, 3, 0, 0, 0, 0, 0]
    n = Variable("n", 1, 8).bind(3)
    part = cache[:, :n]
    assert (part * 2).numpy().tolist() == [[2, 4, 6], [20, 20, 20]] and part.softmax(-1).numpy().shape == (2, 3)
    assert part.mean(1).tolist() == [2, 10] and Tensor.arange(n).tolist() == [0, 1, 2]
    assert (Tensor([1.0, 2.0]) * n).tolist() == [3, 6]


def test_assign_refuses_what_does_not_fit() -> None:
    x = Tensor([1.0, 2.0])
    for wrong, kind in [(Tensor([1.0]), ValueError), (Tensor([1, 2]), TypeError)]:
        with pytest.raises(kind, match="assign"):
            x.assign(wrong)
    w = Tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        w[0] = 2
    with no_grad():
        w[0] = 2
    assert w.tolist() == [2] and w.requires_grad and w.assign([3.0]).tolist() == [3]


@given(st.lists(st.sampled_from(["slice", "flip", "whole", "read", "realize", "index"]), min_size=1, max_size=8),
       st.integers(0, 1000))
def test_random_programs_with_assignments_follow_numpy(steps: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    array = np.arange(12.0).reshape(3, 4)
    with Context(DEV="NUMPY"):
        t = Tensor(array.copy())
        views, kept = [(t, array)], []
        for step in steps:
            mine, theirs = views[rng.integers(len(views))]
            if step == "slice":
                a = int(rng.integers(theirs.shape[0]))
                mine[a] = mine[0] * 2 + 1
                theirs[a] = theirs[0] * 2 + 1
            elif step == "index":
                a = int(rng.integers(theirs.shape[0]))
                mine[[a, 0]] = 3
                theirs[[a, 0]] = 3
            elif step == "flip":
                views.append((mine.flip(0), theirs[::-1]))
            elif step == "whole":
                mine.assign(mine + mine.flip(0))
                theirs[...] = theirs + theirs[::-1]
            elif step == "read":
                kept.append((mine * 3, theirs * 3))
            else:
                mine.realize()
        for mine, theirs in [*kept, *views]:
            np.testing.assert_array_equal(mine.numpy(), theirs)


# ---- eager mode

def test_eager_mode_runs_one_kernel_an_op() -> None:
    x, w = Tensor([[1.0, 2.0], [3.0, 4.0]]).clone().realize(), Tensor([[1.0, 0.5], [2.0, 1.0]]).clone().realize()
    with Context(EAGER=1):
        for op in (lambda: x + w, lambda: x - 1, lambda: x / w, lambda: x.exp(), lambda: x @ w, lambda: x.sum(1),
                   lambda: x.sigmoid(), lambda: x > w,
                   lambda: x.T.contiguous(), lambda: x[[1, 0]], lambda: x.cast("int32"), lambda: x.gelu(),
                   lambda: x.T + w, lambda: x.pad((1, 1)) + 1, lambda: x.linear(w, w[0]), lambda: x.outer(w),
                   lambda: x.any(), lambda: x ** w, lambda: x.sum(dtype="float64")):
            GlobalCounters.reset()
            op()
            assert GlobalCounters.kernels == 1
        GlobalCounters.reset()
        x.T[0].reshape(1, 2).expand(4, 2).flip(0)
        assert GlobalCounters.kernels == 0


def test_eager_mode_has_values_when_the_line_has_run() -> None:
    with Context(EAGER=1):
        x = Tensor([1.0, 2.0, 3.0])
        for result in (x + 1, x.exp(), x.sum(), x.softmax(), x @ x, x.reshape(3, 1) * x, x.cumsum(), x[[0, 1]],
                       x.layernorm(), x.cast("int32"), x - 1):
            assert result.is_realized
        x[0] = 5
        assert x.is_realized and x.tolist() == [5, 2, 3]


# ---- errors: the kind, and that the message names the op and the values

ERRORS = [
    (lambda x: x.reshape(5, 5), ValueError, "reshape.*(12|shape)"),
    (lambda x: x.reshape(-1, -1), ValueError, "reshape"), (lambda x: x.permute(0, 0), ValueError, "permute"),
    (lambda x: x.permute(0, 5), IndexError, "permute.*5"), (lambda x: x.expand(4, 4), ValueError, "expand"),
    (lambda x: x.sum(2), IndexError, "axis 2"), (lambda x: x.sum((0, 0)), ValueError, "twice"),
    (lambda x: x + Tensor.zeros(5), ValueError, "ADD.*broadcast"),
    (lambda x: x @ Tensor.zeros(5, 2), ValueError, "matmul"), (lambda x: x @ 3, ValueError, "matmul"),
    (lambda x: x[3], IndexError, "3 on axis 0"), (lambda x: x[0, 0, 0], IndexError, "3 indices"),
    (lambda x: x["a"], IndexError, "'a'"), (lambda x: x[1.5], IndexError, "1.5"),
    (lambda x: x[::0], ValueError, "step"), (lambda x: x[x], IndexError, "float32"),
    (lambda x: x[..., ...], IndexError, r"\.\.\."), (lambda x: x.cat(Tensor.zeros(2, 2), dim=0), ValueError, "cat"),
    (lambda x: x.stack(Tensor.zeros(2, 2)), ValueError, "stack"), (lambda x: x.split(0), ValueError, "split"),
    (lambda x: x.split([1, 1]), ValueError, "add up"), (lambda x: x & x, TypeError, "bitwise_and"),
    (lambda x: x << 1, TypeError, "lshift"), (lambda x: x + "a", TypeError, "'a'"),
    (lambda x: x.cast("float99"), TypeError, "float99"), (lambda x: x.pad(((0, 1),)), ValueError, "pad"),
    (lambda x: x.pad((1, 1), mode="odd"), ValueError, "odd"), (lambda x: x.clip(), ValueError, "clip"),
    (lambda x: x.gelu("no"), ValueError, "'no'"), (lambda x: x.conv2d(Tensor.zeros(1, 1, 3, 3)), ValueError, "conv2d"),
    (lambda x: Tensor.zeros(1, 2, 4, 4).conv2d(Tensor.zeros(1, 3, 3, 3)), ValueError, "channels"),
    (lambda x: Tensor.zeros(1, 1, 2, 2).max_pool2d(3), ValueError, "max_pool2d"),
    (lambda x: x.dropout(2), ValueError, "dropout"),
    (lambda x: x.cross_entropy(Tensor([1, 2])), ValueError, "cross_entropy"),
    (lambda x: x.triu().reshape(12).triu(), ValueError, "triu"),
    (lambda x: x.scaled_dot_product_attention(x, x.reshape(4, 3)), ValueError, "scaled_dot"),
    (lambda x: x.gather(0, Tensor([1])), ValueError, "gather"),
    (lambda x: x.scatter(0, Tensor([[0]]), 1.0, "odd"), ValueError, "odd"),
    (lambda x: Tensor.einsum("ij,jk", x), ValueError, "einsum"), (lambda x: x.backward(), RuntimeError, "backward"),
    (lambda x: Tensor.einsum("ij,jk", x, x), ValueError, "einsum"), (lambda x: Tensor.zeros(-1), ValueError, "-1"),
    (lambda x: Tensor.zeros(1.5), TypeError, "1.5"), (lambda x: Tensor([[1], [1, 2]]), ValueError, "lengths"),
    (lambda x: Tensor(object()), TypeError, "object"), (lambda x: Tensor([1, "a"]), TypeError, "'a'"),
    (lambda x: Tensor(300, dtype="uint8"), ValueError, "300"),
    (lambda x: Tensor([300], dtype="uint8"), ValueError, "fit"),
    (lambda x: Tensor([1], device="GPU9X"), ValueError, "GPU9X"), (lambda x: x.to("NOPE"), ValueError, "NOPE"),
    (lambda x: Tensor.arange(0, 5, 0), ValueError, "step"), (lambda x: Tensor.arange("a"), TypeError, "arange"),
    (lambda x: Tensor([1]).requires_grad_(), TypeError, "int32"),
    (lambda x: Tensor(np.array(["a"])), TypeError, "dtype"),
    (lambda x: Tensor.randint(2, low=3, high=3), ValueError, "randint"),
    (lambda x: x.squeeze(4), IndexError, "squeeze"), (lambda x: x.unsqueeze(5), IndexError, "unsqueeze"),
    (lambda x: x.one_hot(3), TypeError, "one_hot"), (lambda x: Tensor([1, 2]) ** -1, ValueError, "-1"),
    (lambda x: Tensor([True]) - Tensor([True]), TypeError, "sub"), (lambda x: x.expand(2), ValueError, "expand"),
    (lambda x: x.shrink(((0, 9), None)), ValueError, "shrink"), (lambda x: x.repeat(2), ValueError, "repeat"),
    (lambda x: Variable("n", 1, 4).bind(9), ValueError, "bind"), (lambda x: x.embedding(x), TypeError, "embedding"),
    (lambda x: x.linear(Tensor.zeros(2, 5)), ValueError, "matmul"),
    (lambda x: x.multinomial(0), ValueError, "multinomial"),
    (lambda x: x.gradient(Tensor.zeros(2)), ValueError, "scalar"),
    (lambda x: x.sum().gradient(Tensor.zeros(2).clone()), RuntimeError, "depend"),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_mistakes_are_answered_where_they_are_made(number: int) -> None:
    wrong, kind, message = ERRORS[number]
    with pytest.raises(kind, match=message):
        wrong(Tensor.ones(3, 4))


# ---- the graph

def test_movement_ops_compose_into_one_view() -> None:
    x = Tensor.empty(4, 6)
    y = x.T.reshape(6, 2, 2).permute(2, 0, 1)[:, 1:3].flip(0)
    assert y.uop.op is Ops.VIEW and y.uop.src[0] is x.uop and len(y.uop.arg.views) == 1
    assert x.reshape(24).reshape(4, 6).uop is x.uop and x.expand(4, 6).uop is x.uop


def test_direct_evaluation_agrees_with_realizing() -> None:
    x = Tensor(np.arange(6.0).reshape(2, 3))
    y = (x @ x.T).softmax() + x.sum(1)
    np.testing.assert_allclose(evaluate([y.uop])[0], y.numpy())


def test_deep_graphs_are_recorded_and_dropped_without_recursion() -> None:
    x = Tensor([1.0])
    for _ in range(100_000):
        x = x + 1
    del x
    gc.collect()


def test_dead_tensors_are_not_kept() -> None:
    count = len(live_tensors())
    x = Tensor([1.0]) + 1
    assert len(live_tensors()) > count
    del x
    gc.collect()
    assert len(live_tensors()) == count


def test_two_threads_record_and_realize() -> None:
    results: dict[int, Any] = {}

    def work(number: int) -> None:
        with Context(DEV="NUMPY"):
            x = Tensor([float(number)] * 4)
            for _ in range(20):
                x = (x + 1).realize()
                x.assign(x - 0.5)
            results[number] = x.tolist()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # they take turns as often as can be
    try:
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(usual)
    assert results == {n: [n + 10.0] * 4 for n in range(4)}
