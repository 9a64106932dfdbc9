"""Integer rewrite rules: random expressions over small ranges against plain Python, point by point, and bounds."""
from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pytest

from minigrad.dtype import dtypes
from minigrad.uops import Ops, UOp, Variable
from minigrad.uops.symbolic import (
    ceildiv,
    eq,
    evaluate,
    le,
    lt,
    smax,
    smin,
    sprod,
    ssimplify,
    ssum,
    substitute,
    variables,
    vmax,
    vmin,
)
from minigrad.uops.uop import bounds, index_const, like

EXPRESSIONS = int(os.environ.get("SYMBOLIC_FUZZ", "250"))
Point = Mapping[str, int]


@dataclass(frozen=True)
class Pair:
    """An expression twice: as UOps and as plain Python, with the text that makes it."""

    node: UOp
    value: Callable[[Point], int]
    text: str


def floordiv(a: int, b: int) -> int:
    return a // b if b else 0


def modulo(a: int, b: int) -> int:
    return a % b if b else 0


def leaf(name: str, low: int, high: int, kind: str) -> Pair:
    node = Variable(name, low, high) if kind == "variable" else UOp.range(name, low, high + 1)
    return Pair(node, lambda p: p[name], name)


def number(value: int) -> Pair:
    return Pair(index_const(value), lambda p: value, str(value))


def combined(op: str, a: Pair, b: Pair) -> Pair:
    text = f"({a.text} {op} {b.text})"
    u, v, f, g = a.node, b.node, a.value, b.value
    if op == "+":
        return Pair(u + v, lambda p: f(p) + g(p), text)
    if op == "-":
        return Pair(u - v, lambda p: f(p) - g(p), text)
    if op == "*":
        return Pair(u * v, lambda p: f(p) * g(p), text)
    if op == "//":
        return Pair(u // v, lambda p: floordiv(f(p), g(p)), text)
    if op == "%":
        return Pair(u % v, lambda p: modulo(f(p), g(p)), text)
    if op == "max":
        return Pair(u.maximum(v), lambda p: max(f(p), g(p)), text)
    assert op == "min"
    return Pair(u.minimum(v), lambda p: min(f(p), g(p)), text)


def chosen(a: Pair, b: Pair, yes: Pair, no: Pair) -> Pair:
    return Pair(a.node.lt(b.node).where(yes.node, no.node),
                lambda p: yes.value(p) if a.value(p) < b.value(p) else no.value(p),
                f"({yes.text} if {a.text} < {b.text} else {no.text})")


def grown(rng: random.Random, leaves: Sequence[Pair], size: int, operators: Sequence[str]) -> Pair:
    pool = [*leaves]
    for _ in range(size):
        a, b = rng.choice(pool), rng.choice(pool)
        op = rng.choice(operators)
        if op in ("//", "%") and rng.random() < 0.8:
            b = number(rng.choice((2, 3, 4, 6, 8, 12)))
        elif rng.random() < 0.5:
            b = number(rng.choice((-6, -4, -1, 0, 1, 2, 3, 4, 5, 8, 16)))
        new = chosen(a, b, rng.choice(pool), rng.choice(pool)) if op == "where" else combined(op, a, b)
        pool += [new, new]  # what is new is taken more often
    return pool[-1]


def check_everywhere(pair: Pair, box: Mapping[str, tuple[int, int]]) -> None:
    """Equal at every point of the box, and inside of its bounds."""
    symbols = {u.arg.name: u for u in (leaf(n, *box[n], "range").node for n in box)}
    low, high = vmin(pair.node), vmax(pair.node)
    for values in itertools.product(*(range(a, b + 1) for a, b in box.values())):
        point = dict(zip(box, values))
        want = pair.value(point)
        assert low <= want <= high, f"{pair.text} is {want} at {point}, bounds say {low}..{high}"
        node = substitute(pair.node, {symbols[n]: index_const(v) for n, v in point.items()})
        got = evaluate(node, point)
        assert got == want, f"{pair.text} is {want} at {point}, the node says {got}"


BOXES: list[dict[str, tuple[int, int]]] = [
    {"a": (0, 11), "b": (0, 5)}, {"a": (0, 7), "b": (0, 3), "c": (0, 4)}, {"a": (-5, 6), "b": (0, 8)}, {"a": (3, 17)},
    {"a": (-9, -2), "b": (-3, 3)}, {"a": (1, 9), "b": (1, 6), "c": (0, 2)}]
ALL = ("+", "-", "*", "//", "//", "%", "%", "max", "min", "where")


@pytest.mark.parametrize("part", range(8))
def test_random_expressions_equal_plain_python(part: int) -> None:
    for seed in range(part * EXPRESSIONS // 8, (part + 1) * EXPRESSIONS // 8):
        rng = random.Random(seed)
        box = rng.choice(BOXES)
        leaves = [leaf(name, low, high, "range") for name, (low, high) in box.items()]
        check_everywhere(grown(rng, leaves, rng.randrange(2, 9), ALL), box)


def test_random_expressions_of_variables_equal_plain_python() -> None:
    for seed in range(EXPRESSIONS // 2):
        rng = random.Random(seed)
        box = rng.choice(BOXES)
        pair = grown(rng, [leaf(n, *box[n], "variable") for n in box], rng.randrange(2, 8), ALL)
        low, high = vmin(pair.node), vmax(pair.node)
        for values in itertools.product(*(range(a, b + 1) for a, b in box.values())):
            point = dict(zip(box, values))
            assert low <= pair.value(point) <= high, (pair.text, point, low, high)
            assert evaluate(pair.node, point) == pair.value(point), (pair.text, point)


def test_symbolic_divisors_equal_plain_python() -> None:
    """Flat indices taken apart by sizes that are variables, as reshapes of symbolic shapes do."""
    for seed in range(EXPRESSIONS):
        rng = random.Random(seed)
        box = {"n": (rng.choice((0, 1, 2)), 5), "m": (1, 3), "i": (0, 4), "j": (0, 3)}
        n, m, i, j = (leaf(name, *box[name], "range") for name in box)
        flat = combined("+", combined("*", i, rng.choice((n, m, combined("*", n, m), combined("+", n, number(2))))), j)
        flat = rng.choice((flat, combined("+", flat, n), combined("*", flat, m)))
        divisor = rng.choice((n, m, combined("*", n, m), combined("+", n, number(2)), combined("+", n, m),
                              combined("*", n, number(3))))
        check_everywhere(combined(rng.choice(("//", "%")), flat, divisor), box)


def test_quotients_do_not_loosen_what_ranges_prove() -> None:
    """row + rest stays below 32 however the quotients beside them are bounded, older or younger."""
    before = UOp.range("before", 0, 32)
    row = UOp.range("row", 0, 32)
    rest = UOp.range("rest", index_const(0), index_const(32) - row)
    after = UOp.range("after", 0, 32)
    for x in (before, after):
        within = (x // 8) * 8 + ((x % 8) // 2) * 2
        assert bounds((row + rest) * 32 + within) == (0, 31 * 32 + 30)


def test_ranges_with_symbolic_ends_have_right_bounds() -> None:
    """Triangles and tiles: an inner range ends where an outer one says."""
    for seed in range(EXPRESSIONS):
        rng = random.Random(seed)
        i = UOp.range("i", 0, 7)
        start = rng.choice((index_const(0), i, i // 2 * 2))
        end = start + rng.choice((i + 1, index_const(4), (i + 3) // 4 * 4, (i - 2).maximum(1)))
        j = UOp.range("j", start, end)
        pairs = [Pair(i, lambda p: p["i"], "i"), Pair(j, lambda p: p["j"], "j")]
        pair = grown(rng, pairs, rng.randrange(1, 6), ("+", "-", "*", "//", "%", "max", "min"))
        low, high = vmin(pair.node), vmax(pair.node)
        for a in range(7):
            first, last = (evaluate(substitute(x, {i: index_const(a)}), {}) for x in (start, end))
            for b in range(first, last):
                want = pair.value({"i": a, "j": b})
                assert low <= want <= high, f"seed {seed}: {pair.text} is {want} at {(a, b)}, bounds say {low}..{high}"


@pytest.mark.parametrize("part", range(2))
def test_random_conditions_equal_plain_python(part: int) -> None:
    for seed in range(part * EXPRESSIONS, (part + 1) * EXPRESSIONS):
        rng = random.Random(seed)
        box = rng.choice(BOXES)
        leaves = [leaf(name, low, high, "range") for name, (low, high) in box.items()]
        a, b, c, d = (grown(rng, leaves, rng.randrange(1, 4), ALL) for _ in range(4))
        first, second = a.node.lt(b.node), c.node.ne(d.node)
        kind = rng.randrange(4)
        node = (first & second, first | second.logical_not(), first.logical_not() & second,
                first.where(second, first))[kind]
        for values in itertools.product(*(range(x, y + 1) for x, y in box.values())):
            point = dict(zip(box, values))
            x, y = a.value(point) < b.value(point), c.value(point) != d.value(point)
            want = (x and y, x or not y, not x and y, y if x else x)[kind]
            symbols = {leaf(n, *box[n], "range").node: index_const(v) for n, v in point.items()}
            assert bool(evaluate(substitute(node, symbols), {})) == want, (seed, point)


def test_equal_expressions_are_the_same_node() -> None:
    n, i, j = Variable("n", 1, 8), UOp.range("i", 0, 6), UOp.range("j", 0, 4)
    assert i + j is j + i and (i + 1) * 2 is i * 2 + 2 and (i + j) - j is i
    assert i * n is n * i and (i + j) * n is n * j + n * i
    assert (i * 4 + j) // 4 is i and (i * 4 + j) % 4 is j
    assert (i // 2) * 2 + i % 2 is i
    assert (i * n + j) * 3 - 3 * j is n * i * 3
    assert (n * 4 + 3) // 4 is n and (i * 8 + j * 2) // 4 is i * 2 + j // 2
    assert (i * 4 + j).lt(24) is UOp.const(dtypes.bool, True)
    assert i.lt(j) is (i + 1).lt(j + 1) and (i * 2).lt(8) is i.lt(4)


def test_division_by_a_product_takes_it_apart() -> None:
    n, m = Variable("n", 1, 8), Variable("m", 1, 4)
    i, j, k = UOp.range("i", 0, 5), UOp.range("j", 0, n), UOp.range("k", 0, m)
    flat = (i * n + j) * m + k
    assert flat // m % n is j and flat % m is k and flat // (n * m) is i


def test_a_division_that_does_not_fold_keeps_floor_semantics() -> None:
    a = UOp.range("a", -7, 8)
    for divisor in (-4, -3, -1, 1, 2, 3, 5):
        for value in range(-7, 8):
            at = {a: index_const(value)}
            assert substitute(a // divisor, at) == value // divisor
            assert substitute(a % divisor, at) == value % divisor


def test_division_by_zero_is_zero() -> None:
    a, n = UOp.range("a", 0, 5), Variable("n", 0, 3)
    assert a // 0 is index_const(0) and a % 0 is index_const(0)
    assert evaluate(index_const(7) // n, {"n": 0}) == 0 and evaluate(index_const(7) % n, {"n": 0}) == 0
    assert vmin(index_const(7) // n) <= 0
    zero = n - n
    assert zero is index_const(0) and 5 // zero is index_const(0)


def test_casts_of_data_stay_atoms() -> None:
    data = UOp(Ops.LOAD, dtypes.int32, (UOp.const(dtypes.int32, 1),), 0)
    row = data.cast(dtypes.index)
    assert vmin(row) == -(1 << 31) and vmax(row) == (1 << 31) - 1
    kept = row.maximum(0).minimum(9)
    assert (vmin(kept), vmax(kept)) == (0, 9)
    assert (row * 2 + 1) % 2 is index_const(1)


def test_a_cast_through_a_type_that_is_too_small_does_not_fold() -> None:
    i = UOp.range("i", 0, 300)
    assert i.cast(dtypes.int32).cast(dtypes.index) is i
    assert i.cast(dtypes.uint8).cast(dtypes.index) is not i
    assert like(UOp.const(dtypes.uint8, 0), 300).arg == 44


# ---- questions about shapes

def test_answers_are_ints_where_constant() -> None:
    n = Variable("n", 2, 6)
    for value in (sprod((2, 3)), ssum((1, n, -n)), ceildiv(7, 2), ssimplify(n - n), ssimplify(ceildiv(n * 4, 4) - n)):
        assert isinstance(value, int)
    assert smax(n, 1) is n and smin(n, 9) is n and smax(3, 5) == 5 and smin(3, 5) == 3
    assert ssum((1, n, -n)) == 1 and isinstance(ssum((1, n, -n)), int)
    assert ceildiv(n * 4 + 1, 4) is n + 1


def test_provable_questions_say_false_when_they_cannot_decide() -> None:
    n, m = Variable("n", 2, 6), Variable("m", 4, 9)
    assert le(n, 6) and not le(n, 5) and le(n, n) and lt(n, 7) and not lt(n, 6)
    assert not le(n, m) and not le(m, n) and lt(n, m + 3)
    assert eq(n + 1, 1 + n) and not eq(n, m) and eq(3, 3) and not eq(3, n)


def test_substitute_folds_and_evaluate_wants_every_variable() -> None:
    n, m = Variable("n", 0, 6), Variable("m", 0, 9)
    assert substitute(n * 3 + m, {n: index_const(2)}) is m + 6
    assert substitute(n * 3, {n: index_const(2)}) == 6
    assert variables(n * m + 1, 4, m) == [m, n]
    assert evaluate(n.bind(5) + 1, {}) == 6
    with pytest.raises(KeyError, match="no value for m"):
        evaluate(n * m, {"n": 1})
