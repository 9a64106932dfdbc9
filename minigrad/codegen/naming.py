"""Names that tell what a kernel is: matmul_512_2048_8192, reduce_4096_2048, elementwise_1024."""
from __future__ import annotations

from ..uops import Ops, ScatterArg, UOp, sint, toposort
from ..uops.symbolic import vmax


def kernel_name(ast: UOp, root: UOp) -> str:
    """kind, output sizes, reduced sizes (symbolic ones at their maximum, after a v)."""
    order = toposort(ast)
    reduces = [u for u in order if u.op is Ops.REDUCE]
    outputs = [n for n in max((s.src[1].shape for s in ast.src), key=len) if n != 1]
    reduced: list[sint] = []
    for u in reduces:
        sizes = [u.src[0].shape[axis] for axis in u.arg.axes]
        for n in sizes:
            if n != 1 and n not in reduced:
                reduced.append(n)
    if any(isinstance(s.arg, ScatterArg) for s in ast.src):
        kind = "scatter"
    elif (any(u.op is Ops.EXP for u in order) and any(_is_product(u) for u in reduces)
          and any(u.arg.op is Ops.MAX for u in reduces)):
        kind = "attention"
    elif any(_is_product(u) for u in reduces):
        kind = "matmul" if len(outputs) > 1 else "matvec"
    elif reduces:
        kind = "reduce"
    elif any(u.op is Ops.GATHER for u in order):
        kind = "gather"
    else:
        kind = "elementwise"
    return "_".join([kind, *(_size(n) for n in outputs + reduced)])


def _size(n: sint) -> str:
    return str(n) if isinstance(n, int) else f"v{vmax(n)}"


def _is_product(reduce: UOp) -> bool:
    """A sum of products of two things that are not the same."""
    value = _bare(reduce.src[0])
    return (reduce.arg.op is Ops.ADD and value.op is Ops.MUL and all(_bare(s).op is Ops.VIEW for s in value.src)
            and value.src[0] is not value.src[1])


def _bare(value: UOp) -> UOp:
    while value.op is Ops.CAST:
        value = value.src[0]
    return value
