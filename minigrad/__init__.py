"""minigrad: a tensor compiler that one person can hold in their head.

>>> from minigrad import Tensor
>>> (Tensor([1.0, 2.0]) * 3).tolist()
[3.0, 6.0]
"""
from . import nn
from .dtype import DType, dtypes
from .engine.explain import explain
from .engine.jit import JitError, TinyJit
from .engine.profile import GlobalCounters
from .helpers import Context
from .runtime.device import Device, get_device
from .tensor import Tensor, no_grad
from .uops import Ops, UOp, Variable

jit = TinyJit

__all__ = [
    "Context", "DType", "Device", "GlobalCounters", "JitError", "Ops", "Tensor", "TinyJit", "UOp", "Variable", "dtypes",
    "explain", "get_device", "jit", "nn", "no_grad",
]
