"""Nodes: interning, immutability in practice, canonical integers, shapes and orders, all without recursion."""
from __future__ import annotations

import copy
import gc
import math
import pickle

import pytest

from minigrad.dtype import dtypes
from minigrad.shape import ShapeTracker
from minigrad.uops import (
    BINARY,
    COMMUTATIVE,
    ELEMENTWISE,
    TERNARY,
    UNARY,
    Ops,
    ParamArg,
    ReduceArg,
    UOp,
    Variable,
    identity,
    toposort,
)
from minigrad.uops.uop import FALSE, TRUE, alu, bounds, cast, index_const, linear

F, I = dtypes.float32, dtypes.int32


def param(*shape: int, slot: int = 0, dtype=F) -> UOp:
    return UOp(Ops.PARAM, dtype, (), ParamArg(slot, shape))


def deep(count: int) -> UOp:
    node = param(4)
    for _ in range(count):
        node = UOp(Ops.EXP, F, (node,))
    return node


def test_equal_nodes_are_the_same_object() -> None:
    a, b = param(4), param(4, slot=1)
    assert UOp(Ops.ADD, F, (a, b)) is UOp(Ops.ADD, F, (a, b))
    assert UOp(Ops.ADD, F, (a, b)) is not UOp(Ops.ADD, F, (b, a))
    assert UOp.const(F, 1) is UOp.const(F, 1.0) and UOp.const(I, True) is UOp.const(I, 1)
    assert UOp.const(F, 1) is not UOp.const(dtypes.float64, 1)


def test_constants_are_told_apart_by_their_bits() -> None:
    assert UOp.const(F, 0.0) is not UOp.const(F, -0.0)
    assert UOp.const(F, math.nan) is UOp.const(F, math.nan)
    assert UOp.const(F, math.inf) is not UOp.const(F, -math.inf)
    assert UOp.const(dtypes.bool, 1) is TRUE and UOp.const(dtypes.bool, 0) is FALSE
    assert UOp.const(I, 1) is not UOp.const(dtypes.bool, True)


def test_integer_constants_wrap_at_their_width() -> None:
    assert UOp.const(dtypes.uint8, 300).arg == 44 and UOp.const(dtypes.uint8, -1).arg == 255
    assert UOp.const(dtypes.int8, 128).arg == -128 and UOp.const(I, 1 << 31).arg == -(1 << 31)
    assert UOp.const(dtypes.int64, (1 << 63) - 1).arg == (1 << 63) - 1
    assert UOp.const(dtypes.index, 1 << 70).arg == 1 << 70  # mathematical integers


def test_nodes_are_held_weakly() -> None:
    from minigrad.uops.uop import _table
    gc.collect()
    before = len(_table)
    node = deep(1000)
    assert len(_table) >= before + 1000
    del node
    gc.collect()
    assert len(_table) <= before + 10


def test_a_graph_of_100_000_nodes_dies_without_recursion() -> None:
    node = deep(100_000)
    assert node.shape == (4,) and len(toposort(node)) == 100_001
    del node
    gc.collect()


def test_toposort_lists_sources_first_and_each_node_once() -> None:
    a, b = param(4), param(4, slot=1)
    s = UOp(Ops.ADD, F, (a, b))
    top = UOp(Ops.MUL, F, (s, UOp(Ops.EXP, F, (s,))))
    order = toposort(top, s)
    assert len(order) == len(set(order)) == 5
    for u in order:
        assert all(order.index(x) < order.index(u) for x in u.src)


def test_age_grows_and_orders_commutative_sources() -> None:
    a, b = param(4, slot=5), param(4, slot=6)
    assert a.age != b.age and UOp(Ops.EXP, F, (a,)).age > a.age
    assert alu(Ops.ADD, a, b) is alu(Ops.ADD, b, a)
    assert alu(Ops.FDIV, a, b) is not alu(Ops.FDIV, b, a)


def test_replace_changes_what_is_named() -> None:
    a = param(4)
    e = UOp(Ops.EXP, F, (a,))
    assert e.replace(op=Ops.LOG).op is Ops.LOG and e.replace() is e
    assert e.replace(src=(param(5),)).shape == (5,)
    assert a.replace(arg=ParamArg(0, (7,))).shape == (7,)


def test_a_node_is_neither_pickled_nor_copied() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(param(4))
    with pytest.raises(TypeError):
        copy.copy(param(4))


def test_shapes_follow_from_the_op() -> None:
    x = param(2, 3)
    assert UOp(Ops.REDUCE, F, (x,), ReduceArg(Ops.ADD, (1,))).shape == (2, 1)
    assert UOp(Ops.VIEW, F, (x,), ShapeTracker.contiguous((2, 3)).permute((1, 0))).shape == (3, 2)
    assert UOp(Ops.GATHER, F, (x, param(5, 7, slot=1, dtype=I))).shape == (5, 7, 3)
    assert UOp(Ops.IOTA, I, (), 9).shape == (9,)
    assert UOp(Ops.MUL, F, (UOp.const(F, 2), x)).shape == (2, 3)
    n = Variable("n", 1, 8)
    assert UOp(Ops.IOTA, I, (), n).shape == (n,)


def test_every_elementwise_op_has_a_family() -> None:
    assert ELEMENTWISE == UNARY | BINARY | TERNARY | {Ops.CAST, Ops.BITCAST}
    assert COMMUTATIVE < BINARY and not UNARY & BINARY


def test_identities_do_nothing() -> None:
    for dtype in (F, I, dtypes.uint8):
        assert identity(Ops.ADD, dtype) == 0 and identity(Ops.MUL, dtype) == 1
    assert identity(Ops.MAX, F) == -math.inf and identity(Ops.MAX, I) == -(1 << 31)
    assert identity(Ops.MAX, dtypes.uint8) == 0
    assert identity(Ops.ADD, dtypes.bool) is False and identity(Ops.MUL, dtypes.bool) is True
    with pytest.raises(ValueError, match="no reduce"):
        identity(Ops.FDIV, F)


def test_linear_forms_take_sums_apart() -> None:
    i, j = UOp.range("i", 0, 5), UOp.range("j", 0, 5)
    assert linear(i * 3 + j - 7) == (-7, {i: 3, j: 1})
    assert linear(index_const(4)) == (4, {}) and linear(i) == (0, {i: 1})
    n = Variable("n", 1, 4)
    assert linear((i + 1) * n) == (0, {n * i: 1, n: 1})


def test_conditions_fold_from_bounds() -> None:
    i = UOp.range("i", 2, 5)
    assert i.lt(5) is TRUE and i.lt(2) is FALSE and i.ge(2) is TRUE and i.ne(7) is TRUE
    assert (i.lt(4) & TRUE) is i.lt(4) and (i.lt(4) | TRUE) is TRUE and (i.lt(4) & FALSE) is FALSE
    assert i.lt(4).logical_not().logical_not() is i.lt(4)
    assert TRUE.where(i, i + 1) is i and i.lt(3).where(i, i) is i


def test_bounds_of_data_are_those_of_its_type() -> None:
    data = UOp(Ops.LOAD, dtypes.uint8, (param(4, dtype=dtypes.uint8),), 0)
    assert bounds(data) == (0, 255) and bounds(cast(data, dtypes.index)) == (0, 255)
    assert bounds(UOp.range("e", 3, 3))[0] == 3  # an empty range has some bound


def test_variables_are_checked_when_they_are_made_and_bound() -> None:
    n = Variable("n", 1, 8)
    assert n is Variable("n", 1, 8) and n.bind(3).unbind() == (n, 3)
    for arguments in (("1n", 0, 3), ("n", 3, 1), ("n", 0.5, 1), (7, 0, 1)):
        with pytest.raises(ValueError, match="Variable"):
            Variable(*arguments)  # type: ignore[arg-type]
    for value in (0, 9, 2.0):
        with pytest.raises(ValueError, match="takes 1..8"):
            n.bind(value)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no variable"):
        index_const(3).bind(3)
    with pytest.raises(TypeError, match="no bound variable"):
        n.unbind()


def test_a_symbolic_size_is_no_python_integer() -> None:
    assert int(index_const(3).__index__()) == 3 and list(range(5))[index_const(2)] == 2
    with pytest.raises(TypeError, match="symbolic"):
        range(Variable("n", 1, 8))  # type: ignore[arg-type]


def test_text_of_a_node_names_op_and_dtype() -> None:
    assert repr(UOp.const(F, 2)).startswith("<CONST 2.0 float32 #")
