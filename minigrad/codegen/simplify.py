"""Algebra on a kernel's AST, as rows. Exact for floats too: signs of zero, NaN and infinity survive."""
from __future__ import annotations

from ..dtype import dtypes
from ..uops import Ops, UOp
from ..uops.rewrite import P, Rule, RuleSet, rewrite


def _same_shape(x: UOp, node: UOp) -> UOp | None:
    return x if x.shape == node.shape else None


def _cast_of_cast(x: UOp, inner: UOp, outer: UOp) -> UOp | None:
    """A conversion through a type that holds every value of the first changes nothing."""
    a, b = x.dtype, inner.dtype
    wide = (a.kind == "b" or (a.is_int and b.is_int and b.itemsize > a.itemsize and (b.kind == "i" or a.kind == "u"))
            or (a.is_float and b.is_float and b.itemsize > a.itemsize))
    if not wide or dtypes.index in (a, b, outer.dtype):
        return None
    return x if outer.dtype is a else UOp(Ops.CAST, outer.dtype, (x,))


SIMPLIFY = RuleSet("simplify", [
    Rule("mul-one", P(Ops.MUL, P("x"), P.const(1), name="node"), _same_shape),
    Rule("add-minus-zero", P(Ops.ADD, P("x"), P.const(-0.0), name="node"), _same_shape),
    Rule("add-zero-int", P(Ops.ADD, P("x"), P.const(0), name="node", dtype=lambda d: not d.is_float), _same_shape),
    Rule("neg-neg", P(Ops.NEG, P(Ops.NEG, P("x"))), lambda x: x),
    Rule("divide-by-one", P(Ops.FDIV, P("x"), P.const(1), name="node"), _same_shape),
    Rule("where-same", P(Ops.WHERE, P("c"), P("x"), P("x"), name="node"), _same_shape),
    Rule("cast-same", P(Ops.CAST, P("x"), name="node"), lambda x, node: x if x.dtype is node.dtype else None),
    Rule("cast-const", P(Ops.CAST, P(Ops.CONST, name="x"), name="node", dtype=lambda d: d.kind in "iub"),
         lambda x, node: UOp.const(node.dtype, x.arg) if x.dtype.kind in "iub" else None),
    Rule("cast-cast", P(Ops.CAST, P(Ops.CAST, P("x"), name="inner"), name="outer"), _cast_of_cast),
])


def simplify(ast: UOp) -> UOp:
    """The AST with the rules applied to a fixed point."""
    return rewrite(ast, SIMPLIFY)
