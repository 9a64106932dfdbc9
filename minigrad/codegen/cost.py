"""Operations and bytes of a kernel, by algebra on its AST: what a launch has to do at least.

A product of an n x m by an m x k matrix counts 2nmk operations and each of its three matrices once.
"""
from __future__ import annotations

from ..uops import ELEMENTWISE, Ops, ScatterArg, UOp, sint, toposort
from ..uops.symbolic import smin, sprod, ssum

_FREE = frozenset({Ops.CAST, Ops.BITCAST, Ops.WHERE, Ops.NOT})


def operations(ast: UOp) -> sint:
    """Arithmetic operations: one per element of every elementwise op, one per element that a reduce takes in."""
    total: list[sint] = []
    for u in toposort(ast):
        if u.op is Ops.REDUCE:
            total.append(sprod(u.src[0].shape))
        elif u.op in ELEMENTWISE and u.op not in _FREE and u.dtype.kind == "f":
            total.append(sprod(u.shape))
    return ssum(total)


def bytes_moved(ast: UOp) -> sint:
    """Bytes read and written, each element that is touched once."""
    read: dict[UOp, sint] = {}
    total: list[sint] = []
    order = toposort(ast)
    for u in order:
        for position, s in enumerate(u.src):
            if s.op is Ops.PARAM and not (u.op is Ops.STORE and position == 0):
                read[s] = _most(read.get(s, 0), _touched(u, position, s), sprod(s.shape))
    for param, count in read.items():
        total.append(count * param.dtype.itemsize)
    for store in ast.src:
        times = 2 if isinstance(store.arg, ScatterArg) else 1
        total.append(sprod(store.src[1].shape or (1,)) * store.src[0].dtype.itemsize * times)
    return ssum(total)


def _touched(user: UOp, position: int, param: UOp) -> sint:
    """Elements of an input that one user reads."""
    if user.op is Ops.GATHER and position == 0:
        return smin(sprod(user.shape), sprod(param.shape))
    if user.op is Ops.VIEW and len(user.arg.views) == 1:
        view = user.arg.views[0]
        spans = [n if view.mask is None else view.mask[i][1] - view.mask[i][0] for i, n in enumerate(view.shape)]
        return smin(sprod(n for n, stride in zip(spans, view.strides) if not (isinstance(stride, int) and stride == 0)),
                    sprod(param.shape))
    return sprod(param.shape)


def _most(a: sint, b: sint, limit: sint) -> sint:
    if isinstance(a, int) and isinstance(b, int) and isinstance(limit, int):
        return min(max(a, b), limit)
    return limit if a != 0 else b
