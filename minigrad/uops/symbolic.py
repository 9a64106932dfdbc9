"""Questions and arithmetic on `sint`: a shape's entry, an int where constant and an index UOp where symbolic.

All answers are ints whenever they are constant. "Provable" questions say False when they cannot decide.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import prod

from ..dtype import dtypes
from .ops import Ops
from .uop import UOp, alu, bounds, cast, index_const, toposort

sint = int | UOp


def ssimplify(x: sint) -> sint:
    """The int of a constant, else x itself."""
    if isinstance(x, UOp) and x.op is Ops.CONST:
        return int(x.arg)
    return x


def vmin(x: sint) -> int:
    return bounds(x)[0] if isinstance(x, UOp) else x


def vmax(x: sint) -> int:
    return bounds(x)[1] if isinstance(x, UOp) else x


def le(a: sint, b: sint) -> bool:
    """Provably a <= b."""
    if isinstance(a, int) and isinstance(b, int):
        return a <= b
    return bounds(index_const(b) - a)[0] >= 0


def lt(a: sint, b: sint) -> bool:
    """Provably a < b."""
    if isinstance(a, int) and isinstance(b, int):
        return a < b
    return bounds(index_const(b) - a)[0] > 0


def eq(a: sint, b: sint) -> bool:
    """Provably equal; canonical forms make this identity."""
    return a is b or (a == b if isinstance(a, int) and isinstance(b, int) else index_const(a) is index_const(b))


def smax(a: sint, b: sint) -> sint:
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    return ssimplify(index_const(a).maximum(b))


def smin(a: sint, b: sint) -> sint:
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    return ssimplify(index_const(a).minimum(b))


def sprod(xs: Iterable[sint]) -> sint:
    return ssimplify(prod(xs))


def ssum(xs: Iterable[sint]) -> sint:
    return ssimplify(sum(xs))


def ceildiv(a: sint, n: int) -> sint:
    """a / n rounded up."""
    return ssimplify((a + (n - 1)) // n)


def rebuild(node: UOp, src: tuple[UOp, ...]) -> UOp:
    """The node with other sources; integer arithmetic, conditions and casts fold again."""
    if src == node.src:
        return node
    op = node.op
    if op is Ops.CAST:
        return cast(src[0], node.dtype)
    if op in _FOLDING and (node.dtype is dtypes.index or node.dtype is dtypes.bool or op is Ops.WHERE):
        return alu(op, *src)
    return UOp(op, node.dtype, src, node.arg)


_FOLDING = frozenset({Ops.ADD, Ops.MUL, Ops.NEG, Ops.IDIV, Ops.MOD, Ops.MAX, Ops.CMPLT, Ops.CMPNE, Ops.WHERE, Ops.AND,
                      Ops.OR, Ops.NOT})


def substitute(node: sint, mapping: Mapping[UOp, UOp]) -> sint:
    """Replaces nodes below `node`; the result is folded again."""
    if not isinstance(node, UOp):
        return node
    done: dict[UOp, UOp] = dict(mapping)
    for u in toposort(node):
        if u not in done:
            done[u] = rebuild(u, tuple(done[s] for s in u.src))
    return ssimplify(done[node])


def variables(*nodes: sint) -> list[UOp]:
    """The VARIABLEs below, by name."""
    found = {u for u in toposort(*(n for n in nodes if isinstance(n, UOp))) if u.op is Ops.VARIABLE}
    return sorted(found, key=lambda u: str(u.arg.name))


def evaluate(node: sint, values: Mapping[str, int]) -> int:
    """The integer's value for given variables (a BIND has its own). KeyError names a variable without one."""
    if not isinstance(node, UOp):
        return node
    known: dict[UOp, int | None] = {}
    for u in toposort(node):
        s = [known[x] for x in u.src]
        if u.op is Ops.CONST:
            known[u] = int(u.arg)
        elif u.op is Ops.VARIABLE:
            known[u] = values.get(u.arg.name)  # None is fine below a BIND only
        elif u.op is Ops.BIND:
            known[u] = s[1]
        elif None in s:
            raise KeyError(f"no value for {', '.join(v.arg.name for v in variables(node) if v.arg.name not in values)}")
        else:
            known[u] = _EVALUATE[u.op](*s)
    result = known[node]
    if result is None:
        raise KeyError(f"no value for {node.arg.name}")
    return result


_EVALUATE: dict[Ops, Callable[..., int]] = {
    Ops.ADD: lambda a, b: a + b, Ops.MUL: lambda a, b: a * b, Ops.NEG: lambda a: -a,
    Ops.IDIV: lambda a, b: a // b if b else 0, Ops.MOD: lambda a, b: a % b if b else 0, Ops.MAX: max,
    Ops.CMPLT: lambda a, b: int(a < b), Ops.CMPNE: lambda a, b: int(a != b), Ops.WHERE: lambda c, a, b: a if c else b,
    Ops.AND: lambda a, b: a & b, Ops.OR: lambda a, b: a | b, Ops.NOT: lambda a: 1 - a, Ops.CAST: lambda a: a,
}
