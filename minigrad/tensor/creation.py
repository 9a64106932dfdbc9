"""Creation: from Python values, numpy arrays and DLPack capsules, and from constants and counters alone.

`Tensor(array)` uses the array's memory where it lies, if it is contiguous and the device computes on host memory: the
array must not be changed afterwards. Nothing is ever written to it: an assignment moves the tensor to memory of its
own.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from ..dtype import DType, dtypes, round_bfloat16, to_dtype
from ..runtime.device import Buffer, default_device, get_device
from ..shape import build
from ..uops import Ops, UOp, sint
from . import dlpack
from .base import device_name, enlist, unbound
from .elementwise import fitting
from .movement import arguments
from .reduce import Reduce

INT32 = (-(1 << 31), (1 << 31) - 1)


def sizes(shape: tuple[Any, ...], what: str) -> tuple[sint, ...]:
    """A shape from (2, 3) or ((2, 3),). TypeError for what is no integer, ValueError for negative ones."""
    result = arguments(shape)
    for n in result:
        if isinstance(n, bool) or not (hasattr(n, "__index__") or isinstance(n, UOp)):
            raise TypeError(f"{what}: shape {result}: {n!r} is no integer")
        if not isinstance(n, UOp) and n < 0:
            raise ValueError(f"{what}: shape {result}: {n} is negative")
    return tuple([n if isinstance(n, UOp) else n.__index__() for n in result])


class Creation(Reduce):
    """See the module."""

    __slots__ = ()

    def __init__(self, data: Any = None, device: str | None = None, dtype: Any = None,
                 requires_grad: bool | None = None) -> None:
        """data: a number, nested lists of numbers, a numpy array, another tensor, a bound Variable, or None (no
        elements).

        Without a dtype, arrays keep theirs, Python ints are int32 (int64 where they do not fit), floats float32.
        TypeError for data that is none of these, ValueError for ragged lists.
        """
        name = device_name(device)
        target = None if dtype is None else to_dtype(dtype)
        made = self._from_data(data, name, target)
        if target is not None:
            made = made.cast(target)
        if made.device != name:
            made = made.to(name)
        self._node, self.device, self.grad = made._node, name, None
        self._requires_grad, self._storage = made._requires_grad, made._storage
        enlist(self)
        if requires_grad is not None:
            self.requires_grad = requires_grad

    @classmethod
    def _from_data(cls, data: Any, device: str, dtype: DType | None) -> Self:
        if isinstance(data, Creation):
            return data._view(data._node)  # type: ignore[return-value]
        if isinstance(data, UOp):
            if data.dtype is dtypes.index:
                data = UOp(Ops.CAST, dtype or dtypes.default_int, (data,))
            return cls._wrap(data, device)
        if isinstance(data, (np.ndarray, np.generic)):
            return cls._of_numpy(np.asarray(data), device)
        if isinstance(data, (bool, int, float)):
            kind = dtype or _dtype_of_list([data])
            if isinstance(data, float) and not kind.is_float:
                kind = dtypes.float64  # whoever asked for integers casts it
            return cls._wrap(UOp.const(kind, fitting(data, kind, "Tensor")), device)
        if isinstance(data, (bytes, bytearray, memoryview)):
            array = np.frombuffer(data, np.uint8)
            return cls._of_numpy(array, device) if dtype is None else cls._of_buffer(array, device, dtype)
        if data is None:
            return cls._of_numpy(np.zeros(0, (dtype or dtypes.default_float).np), device)
        if isinstance(data, (list, tuple, range)):
            return cls._of_list(data, device, dtype)
        if hasattr(data, "__dlpack__"):
            return cls.from_dlpack(data).to(device)
        if hasattr(data, "__array__"):
            return cls._of_numpy(np.asarray(data), device)
        raise TypeError(f"Tensor: cannot be made from {data!r} of type {type(data).__name__}")

    @classmethod
    def _of_list(cls, data: Any, device: str, dtype: DType | None) -> Self:
        """Nested lists; tensors of equal shape among them are stacked."""
        flat = _leaves(data)
        tensors = [x for x in flat if isinstance(x, Creation)]
        if tensors:
            if len(tensors) != len(data):
                raise TypeError("Tensor: a list of tensors holds tensors alone")
            return tensors[0].stack(*tensors[1:])  # type: ignore[return-value]
        wrong = next((x for x in flat if not isinstance(x, (bool, int, float, np.generic, np.ndarray))), None)
        if wrong is not None:
            raise TypeError(f"Tensor: a list holds numbers, got {wrong!r} of type {type(wrong).__name__}")
        if dtype is None:
            dtype = _dtype_of_list(flat)
        try:
            if dtype is dtypes.bfloat16:
                bits = round_bfloat16(np.array(data, np.float32))
                return cls._of_buffer(bits, device, dtype, shared=False)
            array = np.array(data) if not flat else np.array(data, dtype.np)
        except (OverflowError, ValueError) as error:
            if isinstance(error, OverflowError) or any(isinstance(x, float) and x != x for x in flat):
                raise ValueError(f"Tensor: a number of {data!r} does not fit {dtype!r}") from None
            raise ValueError(f"Tensor: lists of unequal lengths: {error}") from None
        return cls._of_buffer(array.astype(dtype.np, copy=False), device, dtype, shared=False)

    @classmethod
    def _of_numpy(cls, array: np.ndarray[Any, Any], device: Any = None) -> Self:
        """A numpy array's memory. TypeError for types that there is no dtype for."""
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        dtype = to_dtype(array.dtype)
        return cls._of_buffer(array, device_name(device), dtype)

    @classmethod
    def _of_buffer(cls, array: np.ndarray[Any, Any], device: str, dtype: DType, shared: bool = True) -> Self:
        """An array whose bits are of dtype, in place on a device that computes on host memory, else copied there.

        A shared one belongs to somebody else and is not written to.
        """
        if not array.flags.c_contiguous:
            array, shared = np.ascontiguousarray(array).reshape(array.shape), False
        buffer = Buffer.from_numpy(array, dtype, device)
        buffer.readonly = shared and buffer.is_external
        return cls._wrap(UOp(Ops.BUFFER, dtype, (), buffer), device)

    # ---- constants and counters

    @classmethod
    def full(cls, shape: Any, fill_value: Any, *, dtype: Any = None, device: str | None = None,
             requires_grad: bool | None = None) -> Self:
        """A shape filled with a value, in memory only when it has to be."""
        name = device_name(device)
        scalar = cls._from_data(fill_value, name, None if dtype is None else to_dtype(dtype))
        if dtype is not None:
            scalar = scalar.cast(dtype)
        if scalar.ndim:
            raise ValueError(f"full: fill_value is a number, got a tensor of shape {scalar.shape}")
        shape = shape if isinstance(shape, (tuple, list)) else (shape,)
        return cls._wrap(build.stretch(scalar._node, sizes(tuple(shape), "full")), name, requires_grad)

    @classmethod
    def zeros(cls, *shape: Any, dtype: Any = None, device: str | None = None,
              requires_grad: bool | None = None) -> Self:
        """A shape filled with 0, in memory only when it has to be."""
        return cls.full(sizes(shape, "zeros"), 0.0, dtype=dtype, device=device, requires_grad=requires_grad)

    @classmethod
    def ones(cls, *shape: Any, dtype: Any = None, device: str | None = None, requires_grad: bool | None = None) -> Self:
        """A shape filled with 1, in memory only when it has to be."""
        return cls.full(sizes(shape, "ones"), 1.0, dtype=dtype, device=device, requires_grad=requires_grad)

    @classmethod
    def empty(cls, *shape: Any, dtype: Any = None, device: str | None = None,
              requires_grad: bool | None = None) -> Self:
        """Memory of a shape, with whatever it holds."""
        name = device_name(device)
        target = to_dtype(dtype) if dtype is not None else dtypes.default_float
        memory = Buffer(name, unbound(sizes(shape, "empty")), target)
        return cls._wrap(UOp(Ops.BUFFER, target, (), memory), name, requires_grad)

    def full_like(self, fill_value: Any, *, dtype: Any = None, requires_grad: bool | None = None) -> Self:
        """`full` of this tensor's shape, dtype and device."""
        dtype = dtype or self.dtype
        return self.full(self.shape, fill_value, dtype=dtype, device=self.device, requires_grad=requires_grad)

    def zeros_like(self, *, dtype: Any = None, requires_grad: bool | None = None) -> Self:
        """`zeros` of this tensor's shape, dtype and device."""
        return self.full_like(0, dtype=dtype, requires_grad=requires_grad)

    def ones_like(self, *, dtype: Any = None, requires_grad: bool | None = None) -> Self:
        """`ones` of this tensor's shape, dtype and device."""
        return self.full_like(1, dtype=dtype, requires_grad=requires_grad)

    @classmethod
    def arange(cls, start: Any, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: str | None = None,
               requires_grad: bool | None = None) -> Self:
        """start, start + step, ... before stop: a counter, without memory. Ints give int32 (int64 where they do not
        fit).
        """
        if stop is None:
            start, stop = 0, start
        name = device_name(device)
        values = (start, stop, step)
        if any(isinstance(v, UOp) for v in values):
            return cls._symbolic_arange(start, stop, step, dtype, name)
        if any(isinstance(v, bool) or not isinstance(v, (int, float, np.number)) for v in values):
            raise TypeError(f"arange: start, stop and step are numbers, got {values}")
        if step == 0:
            raise ValueError("arange: step is 0")
        n = max(math.ceil((stop - start) / step), 0)
        whole = all(isinstance(v, (int, np.integer)) for v in values)
        counting = dtypes.int32 if whole and all(INT32[0] <= v <= INT32[1] for v in values) else dtypes.int64
        target = to_dtype(dtype) if dtype is not None else counting if whole else dtypes.default_float
        if not n:
            return cls.full((0,), 0, dtype=target, device=name, requires_grad=requires_grad)
        node = build.iota(counting, n)
        if not whole:  # start + i * step in a float wide enough, rounded once
            node = build.cast(node, target if target.is_float and target.itemsize >= 4 else dtypes.float32)
        if step != 1 or start:
            node = build.add(build.mul(node, step), start)
        return cls._wrap(build.cast(node, target), name, requires_grad)

    @classmethod
    def _symbolic_arange(cls, start: Any, stop: Any, step: Any, dtype: Any, device: str) -> Self:
        if not (isinstance(step, int) and step == 1):
            raise ValueError(f"arange: a symbolic range has step 1, got {step!r}")
        counter = cls._wrap(build.iota(dtypes.int32, stop - start), device)
        result = counter if isinstance(start, int) and start == 0 else counter + start
        return result if dtype is None else result.cast(dtype)

    @classmethod
    def linspace(cls, start: float, stop: float, steps: int, *, dtype: Any = None, device: str | None = None,
                 requires_grad: bool | None = None) -> Self:
        """Evenly spaced numbers, both ends included."""
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
            raise ValueError(f"linspace: {steps!r} steps")
        target = dtypes.default_float if dtype is None else to_dtype(dtype)
        if steps <= 1:
            return cls.full((steps,), start, dtype=target, device=device, requires_grad=requires_grad)
        wide = dtypes.float64 if target is dtypes.float64 else dtypes.float32
        i = cls.arange(steps, device=device)
        up, down = i.cast(wide), (steps - 1 - i).cast(wide)
        # from the nearer end, so that both ends are exact
        step = (stop - start) / (steps - 1)
        result = (i * 2 < steps).where(up * step + start, stop - down * step).cast(target)
        return result.requires_grad_() if requires_grad else result

    @classmethod
    def eye(cls, n: int, m: int | None = None, *, dtype: Any = None, device: str | None = None,
            requires_grad: bool | None = None) -> Self:
        """Ones on the diagonal of an n by m matrix."""
        rows, columns = sizes((n, n if m is None else m), "eye")
        i = cls.arange(rows, device=device).reshape(rows, 1)
        result = i.eq(cls.arange(columns, device=device).reshape(1, columns)).cast(dtype or dtypes.default_float)
        return result.requires_grad_() if requires_grad else result

    # ---- DLPack

    @classmethod
    def from_dlpack(cls, source: Any) -> Self:
        """A tensor of another library on host memory, in place where its elements lie in row-major order.

        TypeError for types that there is no dtype for, ValueError for memory that is not the host's.
        """
        array, dtype = dlpack.take(source)
        return cls._of_buffer(array, default_device(), dtype)

    def __dlpack__(self, *, stream: Any = None, max_version: tuple[int, int] | None = None, dl_device: Any = None,
                   copy: bool | None = None) -> Any:
        """A capsule over this tensor's memory, which lives as long as the capsule's taker. BufferError off the host."""
        if not get_device(self.device).is_host:
            raise BufferError(f"__dlpack__: device {self.device} does not keep its tensors in host memory")
        whole = self.realize().detach().contiguous().realize()  # self's own memory, where it has that layout
        if whole.uop.op is not Ops.BUFFER or copy:
            whole = self.detach().clone().realize()
        return dlpack.give(whole.uop.arg, max_version)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


def _leaves(data: Any) -> list[Any]:
    """The elements of nested lists."""
    found: list[Any] = []
    stack = [data]
    while stack:
        item = stack.pop()
        if isinstance(item, (list, tuple, range)):
            stack.extend(reversed(item))
        else:
            found.append(item)
    return found


def _dtype_of_list(flat: Sequence[Any]) -> DType:
    kinds = {type(x) for x in flat}
    if not flat:
        return dtypes.default_float
    if kinds <= {bool, np.bool_}:
        return dtypes.bool
    if kinds <= {int, bool}:
        return dtypes.int32 if all(INT32[0] <= x <= INT32[1] for x in flat) else dtypes.int64
    if any(issubclass(k, (np.generic, np.ndarray)) for k in kinds):
        return to_dtype(np.result_type(*[np.asarray(x) for x in flat]).type)
    return dtypes.default_float


__all__ = ["Creation", "sizes"]
