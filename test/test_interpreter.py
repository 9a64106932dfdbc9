"""The interpreter: kernel ASTs as the scheduler makes them, and the definitions of `uops/ops.py` at their edges."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad.dtype import DType, dtypes
from minigrad.runtime.device import Buffer
from minigrad.runtime.numpy import evaluate, evaluate_kernel, read_view
from minigrad.shape import ShapeTracker
from minigrad.shape.build import full, iota
from minigrad.uops import Ops, ParamArg, ReduceArg, ScatterArg, UOp


def param(slot: int, shape: tuple[int, ...], dtype: DType = dtypes.float32) -> UOp:
    return UOp(Ops.PARAM, dtype, (), ParamArg(slot, shape))


def store(target: UOp, *values: UOp, arg: Any = None) -> UOp:
    return UOp(Ops.STORE, dtypes.void, (target, *values), arg)


def data(array: Any, dtype: DType | None = None) -> UOp:
    buffer = Buffer.from_numpy(np.asarray(array), dtype)
    return UOp(Ops.BUFFER, buffer.dtype, (), buffer)


def test_all_stores_see_the_values_from_before() -> None:
    a, b = param(0, (3,)), param(1, (3,))
    arrays = [np.array([1, 2, 3], np.float32), np.array([10, 20, 30], np.float32)]
    evaluate_kernel(UOp.sink(store(a, b), store(b, a)), arrays)
    assert arrays[0].tolist() == [10, 20, 30] and arrays[1].tolist() == [1, 2, 3]


def test_a_store_through_a_view_leaves_the_rest_alone() -> None:
    a = param(0, (4, 4), dtypes.int32)
    array = np.zeros((4, 4), np.int32)
    for tracker in (
        ShapeTracker.contiguous((4, 4)).shrink(((1, 3), (0, 2))),
        ShapeTracker.contiguous((4, 4)).reshape((16,)).shrink(((0, 4),)).reshape((2, 2)).flip((0,)),
        ShapeTracker.contiguous((4, 4)).permute((1, 0)).reshape((16,)).shrink(((3, 7),)).reshape((2, 2)),
    ):
        value = UOp(Ops.VIEW, dtypes.int32, (iota(dtypes.int32, 4),), ShapeTracker.contiguous((4,)).reshape((2, 2)))
        evaluate_kernel(UOp.sink(store(a, value, arg=tracker)), [array])
        np.testing.assert_array_equal(read_view(array, tracker, {}), [[0, 1], [2, 3]])
    assert array[2, 2] == 0


def test_symbolic_kernels_take_their_variables() -> None:
    n = UOp.variable("n", 1, 8)
    x = param(1, (8,))
    part = UOp(Ops.VIEW, dtypes.float32, (x,), ShapeTracker.contiguous((8,)).shrink(((0, n),)))
    total = UOp(Ops.REDUCE, dtypes.float32, (part,), ReduceArg(Ops.ADD, (0,)))
    scaled = UOp(
        Ops.MUL,
        dtypes.float32,
        (
            total,
            UOp(
                Ops.VIEW,
                dtypes.float32,
                (UOp(Ops.CAST, dtypes.float32, (n,)),),
                ShapeTracker.contiguous(()).reshape((1,)),
            ),
        ),
    )
    out = np.zeros(1, np.float32)
    evaluate_kernel(UOp.sink(store(param(0, (1,)), scaled)), [out, np.arange(8, dtype=np.float32)], {"n": 3})
    assert out[0] == 9


def test_bfloat16_rounds_to_even_where_it_is_stored() -> None:
    out = np.zeros(3, np.uint16)
    values = data(np.array([1.00390625, 1.01171875, np.nan], np.float32))
    x = UOp(Ops.CAST, dtypes.bfloat16, (values.replace(op=Ops.PARAM, arg=ParamArg(1, (3,))),))
    evaluate_kernel(UOp.sink(store(param(0, (3,), dtypes.bfloat16), x)), [out, values.arg.numpy()])
    assert out[0] == 0x3F80 and out[1] == 0x3F82 and (out[2] & 0x7FC0) == 0x7FC0


def test_halves_accumulate_in_float32() -> None:
    for dtype in (dtypes.float16, dtypes.bfloat16):
        total, = evaluate([UOp(Ops.REDUCE, dtype, (full(dtype, 1, (5000,)),), ReduceArg(Ops.ADD, (0,)))])
        assert total.view(np.float16 if dtype is dtypes.float16 else np.uint16)[0] == (
            5000 if dtype is dtypes.float16 else 0x459C
        )


def test_gather_and_scatter_ignore_what_lies_outside() -> None:
    table, index = data(np.array([[1.0, 2.0], [3.0, 4.0]])), data(np.array([1, -1, 2, 0]))
    rows, = evaluate([UOp(Ops.GATHER, dtypes.float64, (table, index))])
    assert rows.tolist() == [[3, 4], [0, 0], [0, 0], [1, 2]]
    values = data(np.arange(8.0).reshape(4, 2))
    for mode, expected in [("set", [[6, 7], [0, 1]]), ("add", [[7, 9], [3, 5]])]:
        result, = evaluate([UOp(Ops.SCATTER, dtypes.float64, (table, index, values), ScatterArg(mode))])
        assert result.tolist() == expected
    (last,) = evaluate(
        [
            UOp(
                Ops.SCATTER,
                dtypes.float64,
                (table, data(np.array([0, 0, 0])), data(np.arange(6.0).reshape(3, 2))),
                ScatterArg("set"),
            )
        ]
    )
    assert last.tolist() == [[4, 5], [3, 4]]  # the last of equal indices


def test_reduces_of_nothing_give_the_identity() -> None:
    nothing = data(np.zeros((2, 0), np.float32))
    for op, expected in [(Ops.ADD, 0), (Ops.MUL, 1), (Ops.MAX, -np.inf)]:
        assert evaluate([UOp(Ops.REDUCE, dtypes.float32, (nothing,), ReduceArg(op, (1,)))])[0].tolist() == [
            [expected],
            [expected],
        ]


def test_large_products_are_summed_without_being_stored() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((300, 200)), rng.standard_normal((200, 100))
    whole = (300, 200, 100)
    left = UOp(
        Ops.VIEW, dtypes.float64, (data(a),), ShapeTracker.contiguous(a.shape).reshape((300, 200, 1)).expand(whole)
    )
    right = UOp(
        Ops.VIEW, dtypes.float64, (data(b),), ShapeTracker.contiguous(b.shape).reshape((1, 200, 100)).expand(whole)
    )
    product = UOp(Ops.MUL, dtypes.float64, (left, right))
    for axes, expected in [((1,), a @ b), ((0,), a.sum(0)[:, None] * b), ((0, 1, 2), (a @ b).sum())]:
        result, = evaluate([UOp(Ops.REDUCE, dtypes.float64, (product,), ReduceArg(Ops.ADD, axes))])
        np.testing.assert_allclose(result.squeeze(), expected)
    same = UOp(Ops.MUL, dtypes.float64, (left, left))
    np.testing.assert_allclose(
        evaluate([UOp(Ops.REDUCE, dtypes.float64, (same,), ReduceArg(Ops.ADD, (2,)))])[0].squeeze(), a * a * 100
    )


def test_assign_makes_a_new_version_and_leaves_the_old_one() -> None:
    base = data(np.zeros(4))
    new = UOp(
        Ops.ASSIGN,
        dtypes.float64,
        (base, full(dtypes.float64, 7, (2,))),
        ShapeTracker.contiguous((4,)).shrink(((1, 3),)),
    )
    after, before = evaluate([new, base])
    assert after.tolist() == [0, 7, 7, 0] and before.tolist() == [0, 0, 0, 0]


def test_reading_outside_of_a_buffer_is_an_error() -> None:
    from minigrad.shape import View
    with pytest.raises(IndexError, match="elements"):
        evaluate([UOp(Ops.VIEW, dtypes.float64, (data(np.zeros(4)),), ShapeTracker((View((3,), (2,)),)))])


def test_what_is_no_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="SINK"):
        evaluate_kernel(param(0, (1,)), [])
