"""Sums of products of bfloat16 as sums of DOTs: the same numbers, by the interpreter and by compiled kernels."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from kernel_cases import BF16, F32, Case, Shape, difference, finish_specs, one, param, run

from minigrad.codegen.pairs import pair_products
from minigrad.codegen.pipeline import lower_kernel
from minigrad.codegen.simplify import simplify
from minigrad.runtime.device import get_device
from minigrad.runtime.interpreter import evaluate_kernel
from minigrad.shape.build import cast, mul, pad, permute, reduce, reshape, shrink, stretch
from minigrad.spec import check_kernel
from minigrad.target import host_target
from minigrad.uops import Ops, UOp, toposort

TARGET = replace(host_target(), features=host_target().features | {"avx512_bf16"})


def products(x: UOp, w: UOp, axes: tuple[int, ...] = (2,)) -> UOp:
    """x (M, K) and w (N, K), both bfloat16 -> (M, N, 1), or summed over other axes of (M, N, K)."""
    m, n, k = (*x.shape[:1], *w.shape)
    both = (stretch(reshape(cast(x, F32), (m, 1, k)), (m, n, k)), stretch(reshape(cast(w, F32), (1, n, k)), (m, n, k)))
    return reduce(Ops.ADD, mul(*both), axes)


def weights(*shape: int) -> UOp:
    return param(2, shape, BF16)


def inputs(shape: Shape = (5, 22)) -> UOp:
    return param(1, shape, BF16)


PAIRED: dict[str, UOp] = {
    "both are read": products(inputs(), weights(18, 22)),
    "one is made": products(cast(mul(param(1, (5, 22)), 3.0), BF16), weights(18, 22)),
    "one is turned": products(permute(inputs((22, 5)), (1, 0)), weights(18, 22)),
    "rows of a larger one": products(inputs(), shrink(weights(18, 26), ((0, 18), (2, 24)))),
    "one is padded": products(pad(inputs((5, 19)), ((0, 0), (3, 0))), weights(18, 22)),
    "one row": products(inputs((1, 40)), weights(33, 40)),
    "one pair": products(inputs((1, 2)), weights(3, 2)),
    "few of an odd number of pairs": products(inputs((2, 6)), weights(1, 6)),
    "a square": products(inputs(), inputs()),
}
ALONE: dict[str, UOp] = {
    "an odd length": products(inputs((5, 21)), weights(18, 21)),
    "an odd start": products(inputs(), shrink(weights(18, 26), ((0, 18), (1, 23)))),
    "both columns": products(permute(inputs((22, 5)), (1, 0)), permute(weights(22, 18), (1, 0))),
    "float32 weights": products(cast(inputs(), F32), param(2, (18, 22))),
    "read as numbers too": mul(stretch(products(inputs(), inputs(), (1, 2)), (5, 1, 22)),
                               reshape(cast(inputs(), F32), (5, 1, 22))),
}


def dots(ast: UOp) -> int:
    return sum(u.op is Ops.DOT for u in toposort(ast))


@pytest.mark.parametrize("name", [*PAIRED, *ALONE])
def test_results_are_the_same(name: str) -> None:
    case = one("products", (PAIRED | ALONE)[name])
    paired = pair_products(simplify(case.ast), TARGET)
    assert dots(paired) == (name in PAIRED)
    if name == "read as numbers too":
        assert paired is simplify(case.ast)     # its buffer cannot be two things in one kernel
    check_kernel(paired)
    expected = case.expected({})
    by_slot = {u.arg.slot: u for u in toposort(paired) if u.op is Ops.PARAM}
    seen = [a.view(by_slot[p.arg.slot].dtype.np) for p, a in zip(case.params, case.arrays())]
    evaluate_kernel(paired, seen)
    np.testing.assert_allclose(seen[0], expected[0], rtol=2e-5, atol=2e-5)
    assert compiled(case) is None


def compiled(case: Case) -> str | None:
    device = get_device("CPU")
    program, = device.compile([finish_specs(device, lower_kernel(case.ast, TARGET))])
    return difference(case, run(program, case, {}), case.expected({}))


def test_other_targets_have_no_dots() -> None:
    ast = one("products", PAIRED["both are read"]).ast
    assert pair_products(ast, replace(TARGET, features=frozenset())) is ast


def test_large_products_stay_close() -> None:
    case = one("products", products(inputs((96, 600)), weights(80, 600)))
    assert compiled(case) is None
