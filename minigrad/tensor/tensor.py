"""`Tensor`: all the methods, and the way out to Python and numpy."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import reduce
from math import prod
from typing import Any, Self

import numpy as np

from ..dtype import dtypes, widen_bfloat16
from ..engine.realize import host_read
from ..gradient import gradient as gradient_of
from ..gradient import leaves
from ..helpers import EAGER, GRAD
from ..runtime.device import get_device
from ..runtime.numpy import evaluate, read_view
from ..shape import build
from ..shape.shapetracker import ShapeTracker
from ..uops import Ops, UOp
from .base import leaf_tensors, no_grad, unbound
from .functional import Functional

SHOWN = 1000  # elements from which on a printed tensor leaves some out


class Tensor(Functional):
    """An array that computes itself when its values are asked for.

    >>> x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad.tolist()
    [[2.0, 4.0], [6.0, 8.0]]
    """

    __slots__ = ()

    no_grad = staticmethod(no_grad)

    def sequential(self, layers: Iterable[Callable[[Any], Any]]) -> Any:
        """Each layer applied to the result of the one before."""
        return reduce(lambda x, layer: layer(x), layers, self)

    # ---- values

    def _array(self) -> np.ndarray[Any, Any]:
        """The values in memory's format (bfloat16 as bits): may share memory, not to be written."""
        unbound(self.shape)  # names variables without a value
        uop = self.uop
        base = uop.src[0] if uop.op is Ops.VIEW else uop
        if base.op is Ops.CONST:
            return evaluate([uop])[0]
        uop = self.realize().uop
        base, tracker = build.split_view(uop)
        host_read(base.arg)
        get_device(self.device).synchronize()
        array = np.asarray(base.arg.numpy())
        shape = tracker.shape
        if tracker.is_contiguous and all(isinstance(n, int) for n in shape) and prod(shape) == array.size:
            return array.reshape(shape)
        return read_view(array, tracker, {})

    def numpy(self) -> np.ndarray[Any, Any]:
        """The values as a new array. bfloat16, which numpy has not, comes as float32."""
        array = self._array()
        return widen_bfloat16(array) if self.dtype is dtypes.bfloat16 else np.array(array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)

    def item(self) -> Any:
        """The only element as a Python number. ValueError if there are more or none."""
        n = self.numel()
        if not isinstance(n, int) or n != 1:
            raise ValueError(f"item: a tensor of shape {self.shape} has not one element but {n}")
        return self.numpy().reshape(()).item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers, a number for a scalar."""
        return self.numpy().tolist()

    def data(self) -> memoryview:
        """The values as a memoryview of a copy."""
        return self.numpy().data

    def __bool__(self) -> bool:
        """The truth of a tensor with one element. ValueError for others."""
        if self.numel() != 1:
            raise ValueError(f"the truth of a tensor of shape {self.shape} is ambiguous: use any() or all()")
        return bool(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __index__(self) -> int:
        if self.dtype.is_float:
            raise TypeError(f"a tensor of {self.dtype!r} is no index")
        return int(self.item())

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len: a tensor of shape () has no length")
        n = self.shape[0]
        return n if isinstance(n, int) else unbound(self.shape[:1])[0]

    def __iter__(self) -> Iterator[Self]:
        if not self.ndim:
            raise TypeError("iteration over a tensor of shape ()")
        return iter([self[i] for i in range(len(self))])

    def __contains__(self, value: Any) -> bool:
        return bool(self.eq(value).any())

    def __repr__(self) -> str:
        """Values (computed now), shape, dtype and device."""
        shape, values = self.shape, "<variables without a value>"
        with suppress(ValueError, KeyError):
            shape = unbound(shape)
            values = np.array2string(self._shown(), separator=", ", prefix="Tensor(", threshold=SHOWN)
        tail = ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({values}, shape={shape}, dtype={self.dtype!r}, device={self.device!r}{tail})"

    def _shown(self) -> np.ndarray[Any, Any]:
        with no_grad():
            return self.detach().numpy()

    # ---- assignment

    def assign(self, value: Any) -> Self:
        """Replace all values, in place: shape and dtype must be this tensor's (numbers are converted). Returns itself.

        Not recorded for gradients. Other tensors that view the same memory see the new values, results computed from
        the old ones keep them. ValueError, TypeError.
        """
        new = value if isinstance(value, Tensor) else self._of_value(value)
        if not isinstance(value, Tensor):
            new = new.cast(self.dtype)
        if new.dtype is not self.dtype:
            raise TypeError(f"assign: a value of {new.dtype!r} to a tensor of {self.dtype!r}")
        if new.device != self.device:
            raise ValueError(f"assign: a value on {new.device} to a tensor on {self.device}")
        if new.shape != self.shape and not (new.ndim == 0 and not isinstance(value, Tensor)):
            raise ValueError(f"assign: a value of shape {new.shape} to a tensor of shape {self.shape}")
        with no_grad():
            self._write(ShapeTracker.contiguous(self.shape), new.detach()._stretched(tuple(self.shape), "assign"))
        return self

    def replace(self, other: Tensor) -> Self:
        """Let this tensor be another one of its shape, in the other's dtype: nothing is written."""
        if other.shape != self.shape:
            raise ValueError(f"replace: a tensor of shape {other.shape} for one of shape {self.shape}")
        self.uop, self.device, self._storage = other.detach().uop, other.device, other._storage
        return self

    def _in_place(self, new: Tensor, what: str) -> Self:
        """`x += y`: this tensor, and those that share its memory, take the values of x + y. Differentiated.

        ValueError if the result has another shape, TypeError if it is a float and this tensor is none.
        """
        if new.shape != self.shape:
            raise ValueError(f"{what}: the result has shape {new.shape}, the tensor {self.shape}")
        if new.dtype.is_float and not self.dtype.is_float:
            raise TypeError(f"{what}: the result is {new.dtype!r}, the tensor {self.dtype!r}")
        new = new.cast(self.dtype)
        if self.requires_grad and self.is_leaf and GRAD.value:
            raise RuntimeError(f"{what}: in-place change of a leaf that requires gradients: use no_grad() or detach()")
        kept = not new.requires_grad and build.split_view(self.uop)[0].op in (Ops.BUFFER, Ops.ASSIGN)
        if kept or len(self._sharing()) > 1 or (self.requires_grad and self.is_leaf):
            self._write(ShapeTracker.contiguous(self.shape), new)
        else:  # nobody else can see the old value
            self._node, self._requires_grad = new._node, new._requires_grad
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """The same values in memory of their own, a leaf if this requires gradients; the history is not copied."""
        with no_grad():
            copy = self.detach().clone()
        copy._storage = None
        copy.requires_grad = self._requires_grad
        memo[id(self)] = copy
        return copy

    # ---- gradients

    def gradient(self, *targets: Tensor, gradient: Tensor | None = None) -> list[Tensor]:
        """d self / d target for each target, itself differentiable. `gradient`: of what self flows into; default 1
        for a scalar.

        RuntimeError for a target that self does not depend on, and where a gradient reaches what a replay of a jitted
        function made; ValueError for a gradient that does not fit.
        """
        seed = self._seed(gradient, "gradient")
        _refuse_replayed(set(leaves(self._node)) - {t._node.arg for t in targets if t._node.op is Ops.DETACH})
        found = gradient_of(self._node, seed, [t._node for t in targets])
        results = []
        for target, node in zip(targets, found):
            if node is None:
                raise RuntimeError(f"gradient: the tensor of shape {self.shape} does not depend on the target of shape "
                                   f"{target.shape}")
            results.append(target._result(node, self))
        return results

    def backward(self, gradient: Tensor | None = None) -> Self:
        """Add d self / d leaf to `.grad` of every leaf that requires gradients and that self depends on. Returns
        itself.

        RuntimeError if there is no such leaf, and where a gradient reaches what a replay of a jitted function made;
        ValueError for a gradient that does not fit.
        """
        if not self.requires_grad:
            raise RuntimeError(f"backward: the tensor of shape {self.shape} depends on none that requires gradients")
        seed = self._seed(gradient, "backward")
        numbers = leaves(self._node)
        _refuse_replayed(numbers)
        targets = leaf_tensors(numbers)
        found = gradient_of(self._node, seed, [t._node for t in targets])
        grads = []
        for tensor, node in zip(targets, found):
            if node is None:
                continue
            grad = Tensor._wrap(UOp(Ops.DETACH, node.dtype, (node,)), tensor.device)
            tensor.grad = grad if tensor.grad is None else tensor.grad + grad
            grads.append(tensor.grad)
        if grads and EAGER.value:
            grads[0].realize(*grads[1:])
        return self

    def _seed(self, gradient: Tensor | None, what: str) -> UOp:
        if gradient is None:
            if self.numel() != 1:
                raise ValueError(f"{what}: a tensor of shape {self.shape} is no scalar: give the gradient of what it "
                                 f"flows into")
            return build.full(self.dtype, 1.0, self.shape)
        if gradient.shape != self.shape or gradient.dtype is not self.dtype:
            raise ValueError(f"{what}: a gradient of shape {gradient.shape} and {gradient.dtype!r} for a tensor of "
                             f"shape {self.shape} and {self.dtype!r}")
        return gradient._node


def _refuse_replayed(numbers: Iterable[int]) -> None:
    if any(number < 0 for number in numbers):
        raise RuntimeError("a gradient reaches a result of a jitted function, of which a replay keeps no history: call "
                           "backward() inside of the function, or compute the result under no_grad() or detach() it")


def _in_place_operator(name: str, symbol: str) -> Callable[[Tensor, Any], Tensor]:
    """`__iadd__` and its like, from `__add__`."""
    operation = getattr(Tensor, f"__{name}__")
    return lambda self, other: self._in_place(operation(self, other), symbol)


for _name, _symbol in (("add", "+="), ("sub", "-="), ("mul", "*="), ("truediv", "/="), ("floordiv", "//="),
                       ("mod", "%="), ("pow", "**="), ("matmul", "@="), ("and", "&="), ("or", "|="), ("xor", "^="),
                       ("lshift", "<<="), ("rshift", ">>=")):
    setattr(Tensor, f"__i{_name}__", _in_place_operator(_name, _symbol))

__all__ = ["Tensor", "no_grad"]
