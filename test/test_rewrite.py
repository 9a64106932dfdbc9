"""The rewriting engine, and the rules of simplify on values."""
from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest
from kernel_cases import param, store

from minigrad.codegen.simplify import SIMPLIFY, simplify
from minigrad.dtype import DType, dtypes
from minigrad.runtime.interpreter import evaluate_kernel
from minigrad.uops import Ops, UOp, toposort
from minigrad.uops.rewrite import P, Rule, RuleSet, rewrite
from minigrad.uops.trace import inherit, mark, tracing

F = dtypes.float32
X = param(1, (4,))


def unary(op: Ops, x: UOp) -> UOp:
    return UOp(op, x.dtype, (x,))


def chain(op: Ops, count: int) -> UOp:
    node = X
    for _ in range(count):
        node = unary(op, node)
    return node


NEG_NEG = Rule("neg-neg", P(Ops.NEG, P(Ops.NEG, P("x"))), lambda x: x)
EXP_TO_LOG = Rule("exp-to-log", P(Ops.EXP, P("x")), lambda x: unary(Ops.LOG, x))
LOG_TO_SIN = Rule("log-to-sin", P(Ops.LOG, P("x")), lambda x: unary(Ops.SIN, x))


# ---- the engine

def test_rules_apply_to_a_fixed_point() -> None:
    rules = RuleSet("test", [EXP_TO_LOG, LOG_TO_SIN, NEG_NEG])
    assert rewrite(unary(Ops.NEG, unary(Ops.NEG, unary(Ops.EXP, X))), rules) is unary(Ops.SIN, X)
    assert rewrite(chain(Ops.NEG, 7), rules) is unary(Ops.NEG, X)
    settled = rewrite(chain(Ops.EXP, 3), rules)
    assert rewrite(settled, rules) is settled


def test_what_a_rule_makes_is_rewritten_below_its_root_too() -> None:
    rules = RuleSet("test", [Rule("cos", P(Ops.COS, P("x")), lambda x: unary(Ops.NEG, unary(Ops.EXP, x))), EXP_TO_LOG])
    assert rewrite(unary(Ops.COS, X), rules) is unary(Ops.NEG, unary(Ops.LOG, X))


def test_the_first_rule_that_changes_the_node_wins() -> None:
    rules = RuleSet("test", [Rule("no", P(Ops.EXP, P("x")), lambda x: None), EXP_TO_LOG,
                             Rule("late", P(Ops.EXP, P("x")), lambda x: x)])
    assert rewrite(unary(Ops.EXP, X), rules) is unary(Ops.LOG, X)


def test_a_graph_without_matches_is_returned_as_it_is() -> None:
    root = UOp.sink(store(param(0, (4,)), chain(Ops.EXP, 5)))
    assert rewrite(root, RuleSet("test", [NEG_NEG])) is root


def test_shared_nodes_are_rewritten_once() -> None:
    seen: list[UOp] = []

    def note(x: UOp) -> UOp:
        seen.append(x)
        return unary(Ops.LOG, x)
    node = X
    for _ in range(40):  # a path for each choice of side: 2^40
        e = unary(Ops.EXP, node)
        node = UOp(Ops.ADD, F, (e, unary(Ops.NEG, e)))
    rewrite(node, RuleSet("test", [Rule("note", P(Ops.EXP, P("x")), note)]))
    assert len(seen) == 40


def test_deep_graphs_take_linear_time_and_no_recursion() -> None:
    rules = RuleSet("test", [EXP_TO_LOG])
    rewrite(chain(Ops.EXP, 1000), rules)
    times = []
    for count in (25_000, 100_000):
        node = chain(Ops.EXP, count)
        start = time.process_time()
        result = rewrite(node, rules)
        times.append(time.process_time() - start)
        assert result.op is Ops.LOG and len(toposort(result)) == count + 1
    assert times[1] < 12 * times[0] + 0.5


def test_a_chain_of_100_000_rewrites_folds() -> None:
    assert rewrite(chain(Ops.NEG, 100_000), RuleSet("test", [NEG_NEG])) is X


def test_rules_that_never_rest_are_an_error() -> None:
    rules = RuleSet("loop", [EXP_TO_LOG, Rule("back", P(Ops.LOG, P("x")), lambda x: unary(Ops.EXP, x))])
    with pytest.raises(RuntimeError, match="does not come to rest"):
        rewrite(unary(Ops.EXP, X), rules)
    grow = RuleSet("grow", [Rule("grow", P(Ops.EXP, P("x")), lambda x: unary(Ops.EXP, unary(Ops.NEG, x)))])
    with pytest.raises(RuntimeError, match="grow"):
        rewrite(unary(Ops.EXP, X), grow, limit=50)


def test_a_rule_with_an_unbound_capture_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rule bad: \['y'\] are captured nowhere"):
        Rule("bad", P(Ops.NEG, P("x")), lambda x, y: x)


def test_rule_sets_add_up_in_order() -> None:
    both = RuleSet("a", [EXP_TO_LOG]) + RuleSet("b", [LOG_TO_SIN])
    assert both.name == "a+b" and rewrite(unary(Ops.EXP, X), both) is unary(Ops.SIN, X)


# ---- patterns

def matches(pattern: P, node: UOp) -> dict[str, UOp] | None:
    found: dict[str, UOp] = {}
    return found if pattern.match(node, found) else None


def test_commutative_ops_match_in_both_orders() -> None:
    one = UOp.const(F, 1.0)
    pattern = P(Ops.ADD, P("x"), P.const(1))
    assert matches(pattern, UOp(Ops.ADD, F, (X, one))) == {"x": X} == matches(pattern, UOp(Ops.ADD, F, (one, X)))
    assert matches(P(Ops.FDIV, P("x"), P.const(1)), UOp(Ops.FDIV, F, (one, X))) is None


def test_a_name_used_twice_means_the_same_node() -> None:
    twice = P(Ops.MUL, P("x"), P("x"))
    assert matches(twice, UOp(Ops.MUL, F, (X, X))) == {"x": X}
    assert matches(twice, UOp(Ops.MUL, F, (X, unary(Ops.NEG, X)))) is None


def test_a_failed_order_leaves_no_captures_behind() -> None:
    pattern = P(Ops.ADD, P(Ops.NEG, P("x")), P(Ops.EXP, P("x")))
    other = param(2, (4,))
    node = UOp(Ops.ADD, F, (unary(Ops.EXP, X), unary(Ops.NEG, X)))
    assert matches(pattern, node) == {"x": X}
    assert matches(pattern, UOp(Ops.ADD, F, (unary(Ops.EXP, X), unary(Ops.NEG, other)))) is None


def test_constants_match_by_value_and_the_sign_of_zero() -> None:
    assert matches(P.const(0), UOp.const(F, 0.0)) is not None
    assert matches(P.const(0), UOp.const(dtypes.int32, 0)) is not None
    assert matches(P.const(0), UOp.const(F, -0.0)) is None
    assert matches(P.const(1), UOp.const(F, 1.5)) is None


def test_side_conditions_and_dtypes_narrow_a_match() -> None:
    cast = UOp(Ops.CAST, dtypes.int32, (X,))
    assert matches(P(Ops.CAST, dtype=lambda d: d.is_int), cast) is not None
    assert matches(P(Ops.CAST, dtype=lambda d: d.is_float), cast) is None
    assert matches(P(Ops.CAST, when=lambda u: u.src[0].op is Ops.EXP), cast) is None
    assert matches(P((Ops.CAST, Ops.BITCAST), P("x")), cast) == {"x": X}
    assert matches(P.const(3), UOp.const(dtypes.int32, 3)) is not None
    assert matches(P(Ops.CAST, P("x"), P("y")), cast) is None


# ---- hooks

def test_a_trace_names_every_rewrite() -> None:
    rules = RuleSet("letters", [EXP_TO_LOG, LOG_TO_SIN])
    with tracing() as steps:
        rewrite(unary(Ops.EXP, X), rules)
    assert [(s.rules, s.rule, s.before.op, s.after.op) for s in steps] == [
        ("letters", "exp-to-log", Ops.EXP, Ops.LOG), ("letters", "log-to-sin", Ops.LOG, Ops.SIN)]
    rewrite(unary(Ops.EXP, X), rules)
    assert len(steps) == 2  # closed


def test_traces_nest() -> None:
    with tracing() as outer:
        with tracing() as inner:
            rewrite(unary(Ops.EXP, X), RuleSet("r", [EXP_TO_LOG]))
        rewrite(unary(Ops.LOG, X), RuleSet("r", [LOG_TO_SIN]))
    assert (len(outer), len(inner)) == (1, 1)


def test_rewritten_nodes_keep_the_users_line() -> None:
    node = unary(Ops.EXP, param(7, (4,)))
    mark(node)
    assert node.line is not None and "test_rewrite.py" in node.line
    new = rewrite(node, RuleSet("r", [EXP_TO_LOG, LOG_TO_SIN]))
    assert new is not node and new.line == node.line
    above = unary(Ops.NEG, node)  # rebuilt because of its source
    mark(above)
    assert rewrite(above, RuleSet("r", [EXP_TO_LOG])).line == above.line != node.line


def test_what_was_made_for_a_node_gets_its_line() -> None:
    below = unary(Ops.EXP, param(10, (4,)))
    mark(unary(Ops.NEG, below))
    assert below.line is not None


def test_a_line_that_is_known_is_not_replaced() -> None:
    a, b = unary(Ops.EXP, param(8, (4,))), unary(Ops.EXP, param(9, (4,)))
    mark(a)
    mark(b)
    known = b.line
    inherit(b, a.line)
    assert b.line == known != a.line


# ---- simplify's rules, on values

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 3.0, math.inf, -math.inf, math.nan, 1e-45, 3e38, -7.25]


def values_of(dtype: DType) -> np.ndarray:
    if dtype.is_float:
        return np.array(SPECIAL, dtype.np)
    if dtype is dtypes.bool:
        return np.array([True, False] * 6)
    low, high = int(dtype.min), int(dtype.max)
    return np.array([low, low + 1, high, high - 1, 0, 1, 2, 3, 5, 7, 100, 127], dtype.np)


def outcome(value: UOp, dtype: DType, source: DType) -> bytes:
    """The kernel's output, bit by bit, with every NaN alike."""
    arrays = [np.zeros(12, dtype.np), values_of(source)]
    evaluate_kernel(UOp.sink(store(param(0, (12,), dtype), value)), arrays)
    result = arrays[0]
    if dtype.is_float:
        result = np.where(np.isnan(result), dtype.np.type(1234), result)
    return result.tobytes()


DTYPES = [dtypes.float32, dtypes.float64, dtypes.int8, dtypes.int32, dtypes.int64, dtypes.uint8, dtypes.uint32,
          dtypes.bool]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_arithmetic_with_constants_keeps_every_bit(dtype: DType) -> None:
    x = param(1, (12,), dtype)
    constants = [0.0, -0.0, 1.0, -1.0, math.inf, math.nan] if dtype.is_float else [0, 1, 2]
    operators = [Ops.ADD, Ops.MUL, Ops.MAX] + ([Ops.FDIV] if dtype.is_float else [])
    for op, c in itertools.product(operators, constants):
        k = UOp.const(dtype, c)
        for node in (UOp(op, dtype, (x, k)), UOp(op, dtype, (k, x))):
            assert outcome(simplify(node), dtype, dtype) == outcome(node, dtype, dtype), (op, c)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.kind != "b"], ids=str)
def test_negations_and_selects_keep_every_bit(dtype: DType) -> None:
    x = param(1, (12,), dtype)
    twice = unary(Ops.NEG, unary(Ops.NEG, x))
    assert simplify(twice) is x and outcome(twice, dtype, dtype) == outcome(x, dtype, dtype)
    condition = UOp(Ops.CMPLT, dtypes.bool, (x, UOp.const(dtype, 1)))
    same = UOp(Ops.WHERE, dtype, (condition, x, x))
    assert simplify(same) is x


@pytest.mark.parametrize("first", DTYPES, ids=str)
def test_casts_of_casts_keep_every_value(first: DType) -> None:
    x = param(1, (12,), first)
    every = [*DTYPES, dtypes.int16, dtypes.uint16, dtypes.uint64, dtypes.float16, dtypes.bfloat16]
    for inner, outer in itertools.product(every, every):
        if inner is first and outer is first:
            continue
        node = UOp(Ops.CAST, outer, (UOp(Ops.CAST, inner, (x,)),))
        with np.errstate(all="ignore"):
            assert outcome(simplify(node), outer, first) == outcome(node, outer, first), (first, inner, outer)


def test_adding_zero_is_kept_where_it_changes_the_sign() -> None:
    plus = UOp(Ops.ADD, F, (X, UOp.const(F, 0.0)))
    minus = UOp(Ops.ADD, F, (X, UOp.const(F, -0.0)))
    assert simplify(plus) is plus  # -0.0 + 0.0 is 0.0
    assert simplify(minus) is X


def test_a_rule_never_changes_a_shape() -> None:
    one, c = UOp.const(F, 1.0), UOp.const(F, 2.0)
    stretched = UOp(Ops.MUL, F, (c, UOp(Ops.EXP, F, (X,))))
    assert simplify(stretched).shape == (4,)
    for rule in SIMPLIFY.rules:
        assert rule.name
    node = UOp(Ops.MUL, F, (one, one))
    assert simplify(node).shape == node.shape
