"""ONLINE: blocks that carry a maximum and the sums below it compute what whole rows do, infinities and NaN included."""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from kernel_cases import (
    BF16,
    F32,
    Array,
    Case,
    attention,
    difference,
    divide,
    elementwise,
    exp,
    finish_specs,
    largest,
    one,
    param,
    product,
    run,
    softmax,
    store,
    stretch,
    total,
    transposed,
    where,
)

from minigrad.codegen.lower import Loops
from minigrad.codegen.online import Online
from minigrad.codegen.opts import Opt, Peel, Split, Thread, Upcast, Vector
from minigrad.codegen.pipeline import Lowered, loops_of, lower_kernel
from minigrad.codegen.place import Bound, Place
from minigrad.runtime.device import get_device
from minigrad.shape.build import add, cast, mul, neg
from minigrad.target import Target, host_target
from minigrad.uops import Ops, UOp, toposort

SMALL = replace(host_target(), l2=4 << 10)      # of which half holds 16 rows of 32 scores: longer ones go by blocks


@dataclass
class Special(Case):
    """A case whose first input is given."""

    first: Array | None = None

    def arrays(self) -> list[Array]:
        arrays = super().arrays()
        return arrays if self.first is None else [arrays[0], self.first, *arrays[2:]]


def compute(case: Case, target: Target, opts: tuple[Opt, ...] | None = None) -> Lowered:
    """Compares the kernel's results with the interpreter's."""
    device = get_device("CPU")
    lowered = lower_kernel(case.ast, target, opts)
    program, = device.compile([finish_specs(device, lowered)])
    for bound in case.bindings:
        problem = difference(case, run(program, case, bound), case.expected(bound))
        assert problem is None, f"{dict(bound)}: {problem}"
    return lowered


def attended(rows: int, keys: int, width: int = 8, values: int = 8, **facts: Any) -> Case:
    q, k, v = param(1, (2, rows, width)), param(2, (2, keys, width)), param(3, (2, keys, values))
    return one(f"online {rows} {keys} {values}", attention(q, k, v, **facts))


def masked_sums(shift: Callable[[UOp], UOp]) -> UOp:
    """Products of exp(s + shift(largest of s)) and of its row's sum, of scores (4, 12) and values (12, 3)."""
    s, v = param(1, (4, 12)), param(2, (12, 3))
    e = exp(add(s, stretch(shift(largest(s, 1)), (4, 12))))
    return add(product(e, v), stretch(total(e, 1), (4, 3)))


def finite(m: UOp) -> UOp:
    """-m, or 0 where the row is -inf alone."""
    return neg(where(elementwise(Ops.CMPNE, m, stretch(UOp.const(F32, -math.inf), m.shape)), m, 0.0))


def awkward() -> Array:
    s = np.random.default_rng(0).standard_normal((4, 12)).astype(np.float32) * 30
    s[0] = -np.inf                  # a row of which nothing is left
    s[1, :8] = -np.inf              # one whose first blocks are
    s[2, 5] = np.inf
    s[3, 9] = np.nan
    return s


@pytest.mark.parametrize("shift", [neg, finite], ids=["maximum", "maximum or zero"])
@pytest.mark.parametrize("size", [4, 5])
def test_infinities_and_nan_come_out_as_in_one_piece(shift: Callable[[UOp], UOp], size: int) -> None:
    case = one(f"awkward {shift.__name__}", masked_sums(shift))
    special = Special(case.name, case.ast, first=awkward())
    loops = loops_of(case.ast, SMALL)
    names = sorted({u.arg.name for u in toposort(loops.root) if u.op is Ops.RANGE})
    top = next(name for name in names if Online(name, size, ("o0",)).check(loops, SMALL) is None)
    with np.errstate(all="ignore"):
        expected = special.expected({})[0]
        compute(special, SMALL, (Online(top, size, ("o0",)),))
    assert np.isnan(expected[3]).all() and np.isfinite(expected[1]).all()
    assert np.isnan(expected[0]).all() if shift is neg else (expected[0] == 0).all()


@pytest.mark.parametrize(("rows", "keys", "values"), [(64, 64, 8), (70, 96, 24), (100, 77, 5), (64, 131, 16)])
def test_long_rows_go_by_blocks(rows: int, keys: int, values: int) -> None:
    lowered = compute(attended(rows, keys, values=values), SMALL)
    assert any(isinstance(opt, Online) for opt in lowered.opts)


def test_scratch_does_not_grow_with_the_rows() -> None:
    sizes = [lower_kernel(attended(64, keys).ast, SMALL).linear.workspace for keys in (128, 4096)]
    assert sizes[0] == sizes[1]


def test_blocks_beyond_a_causal_mask_are_left_out() -> None:
    case = attended(256, 256)
    lowered = compute(case, SMALL)
    assert any(isinstance(opt, Bound) for opt in lowered.opts)
    loops = {u.src[0].arg.name: u.src[0] for u in lowered.linear.ops if u.op is Ops.LOOP}
    carried = next(opt for opt in lowered.opts if isinstance(opt, Online))
    assert loops[f"{carried.range}.0"].src[1].op is not Ops.CONST


def test_exponentials_may_be_rounded_and_divided_before_they_are_summed() -> None:
    q, k, v = param(1, (64, 8)), param(2, (80, 8)), param(3, (80, 8), BF16)
    weights = cast(softmax(product(q, transposed(k))), BF16)
    lowered = compute(one("rounded weights", product(cast(weights, F32), cast(v, F32)), BF16), SMALL)
    assert any(isinstance(opt, Online) for opt in lowered.opts)


def test_the_maximum_and_the_sum_may_be_stored_beside_the_result() -> None:
    q, k, v = param(3, (64, 8)), param(4, (80, 8)), param(5, (80, 8))
    scores = product(q, transposed(k))
    m = largest(scores, 1)
    e = exp(add(scores, neg(stretch(m, scores.shape))))
    out, below = product(e, v), total(e, 1)
    case = Case("statistics", UOp.sink(store(param(0, (64, 8)), divide(out, stretch(below, out.shape))),
                                       store(param(1, (64, 1)), m), store(param(2, (64, 1)), below)))
    lowered = compute(case, SMALL)
    assert any(isinstance(opt, Online) for opt in lowered.opts)


def test_powers_of_two_and_sums_of_any_width() -> None:
    s, v = mul(product(param(1, (64, 8)), param(2, (8, 96))), 0.3), param(3, (96, 7))
    e = elementwise(Ops.EXP2, add(s, neg(stretch(largest(s, 1), s.shape))))
    halves = [product(e, mul(v, x)) for x in (0.5, 2.0)]
    compute(one("powers of two", add(divide(halves[0], stretch(total(e, 1), (64, 7))), halves[1])), SMALL)


def test_what_is_read_behind_the_loop_is_kept_whole() -> None:
    lowered = compute(one("weights", softmax(product(param(1, (64, 8)), param(2, (8, 96))))), SMALL)
    assert not any(isinstance(opt, Online) for opt in lowered.opts)


BLOCKS = (Split("o1", 8), Online("r1", 4, ("o0", "o1.0")))
INSIDE = ("o0", "o1.0", "r1.0")
LISTS: list[tuple[Opt, ...]] = [
    (*BLOCKS, Place("v3", INSIDE), Place("v1", INSIDE), Place("v0", INSIDE, ((2, 1, 0), (1, 1, 0)))),
    (*BLOCKS, Place("v3", INSIDE, ((2, 1, 0), (1, 1, 0))), Split("r3c_0", 4), Upcast("r3c_0.1"), Peel("r1.0", -1)),
    (Bound("r1", ("o0", "o1")), Bound("r2", ("o0", "o1")), Bound("r3", ("o0", "o1")), Online("r1", 4, ("o0", "o1"))),
    (*BLOCKS, Place("v3", INSIDE), Vector("r1c_0"), Vector("v3_1"), Thread("o0")),
    (Online("r1", 16, ()),),
]


@pytest.mark.parametrize("opts", LISTS, ids=range(len(LISTS)))
def test_lists_of_opts_change_no_result(opts: tuple[Opt, ...]) -> None:
    compute(attended(19, 21), SMALL, opts)
    compute(attended(16, 24), SMALL, opts)


def reason(value: UOp, opt: Opt, *before: Opt) -> str:
    loops: Loops = loops_of(one("refused", value).ast, SMALL)
    for other in before:
        assert other.check(loops, SMALL) is None
        other.apply(loops)
    found = opt.check(loops, SMALL)
    assert found is not None, f"{opt} is let through"
    return found


def test_sums_of_another_form_stay_whole() -> None:
    s, v = param(1, (4, 12)), param(2, (12, 3))
    below = add(s, neg(stretch(largest(s, 1), s.shape)))
    for terms in (mul(exp(below), exp(below)), mul(exp(below), below), exp(mul(below, 2.0)), exp(neg(below))):
        for name in ("r0", "r1"):
            found = reason(product(terms, v), Online(name, 4, ("o0",)))
            assert "no sum has exponentials" in found or "not the range of one maximum" in found


def test_what_is_carried_is_not_placed_around_the_loop_nor_cut_with_a_rest() -> None:
    case = attention(*(param(slot, (2, 19, 8)) for slot in (1, 2, 3)))
    assert "indices that are no ranges" in reason(case, Place("v3", ("o0", "o1.0")), *BLOCKS)
    assert "a rest would change" in reason(case, Split("r1.0", 4), *BLOCKS)
    assert "has to stay a loop" in reason(case, Upcast("r1.0"), *BLOCKS)
    assert reason(case, Online("r1", 1, ())) == "blocks of 1"
    assert reason(case, Online("r1", 4, ("x",))) == "a range of the level is not one loop"
