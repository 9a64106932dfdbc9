"""The one intermediate representation: ops, nodes, integer algebra, rewriting."""
from .ops import (
    BINARY,
    COMMUTATIVE,
    COMPARISON,
    ELEMENTWISE,
    SCALARS,
    TERNARY,
    TRANSCENDENTAL,
    UNARY,
    EndArg,
    Ops,
    ParamArg,
    RangeArg,
    ReduceArg,
    ScatterArg,
    ScratchArg,
    SpecialArg,
    VariableArg,
    identity,
)
from .symbolic import sint
from .uop import UOp, toposort

Variable = UOp.variable

__all__ = [
    "BINARY", "COMMUTATIVE", "COMPARISON", "ELEMENTWISE", "SCALARS", "TERNARY", "TRANSCENDENTAL", "UNARY", "EndArg",
    "Ops", "ParamArg", "RangeArg", "ReduceArg", "ScatterArg", "ScratchArg", "SpecialArg", "UOp", "Variable",
    "VariableArg", "identity", "sint", "toposort",
]
