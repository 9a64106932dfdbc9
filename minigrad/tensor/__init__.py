"""Tensor: what a user writes with. One class, its methods by subject in the modules of this package, each building on
the one before: base, movement, elementwise, functions, reduce, creation, indexing, linalg, random, functional,
tensor."""
from ..dtype import dtypes
from ..engine.guards import register_tensor_type
from ..helpers import GRAD, TRAINING
from .base import lazy_tensors, no_grad
from .tensor import Tensor

# What else decides the graph that a function records: whether autodiff and training are on, the types of plain numbers.
register_tensor_type(Tensor, lambda: (GRAD.value, TRAINING.value, dtypes.default_float, dtypes.default_int),
                     lazy_tensors)

__all__ = ["Tensor", "no_grad"]
