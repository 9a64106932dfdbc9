"""DLPack: memory handed to and taken from other libraries, without a copy and without their code.

In: a Buffer, or an object with `__dlpack__`. Out: a capsule, or a numpy array over the other's memory with its dtype.
Layout as in the DLPack specification, `dlpack.h`, version 1.0; both the old capsule ("dltensor", read-only for numpy)
and the versioned one.
"""
from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..dtype import SCALARS, DType, dtypes
from ..runtime.device import Buffer

CPU = 1
CODES = {"i": 0, "u": 1, "f": 2, "b": 6}
TYPES = {dtype: (4 if dtype is dtypes.bfloat16 else CODES[dtype.kind], 8 * dtype.itemsize) for dtype in SCALARS}
# a capsule borrows its name: these live as long as the module
NAMES = ((b"dltensor_versioned", b"used_dltensor_versioned"), (b"dltensor", b"used_dltensor"))
_given: dict[int, Any] = {}  # address of a managed tensor handed out -> what keeps it and its memory alive


@functools.cache
def _structures() -> tuple[Any, ...]:
    """The C structures, made when first needed: ctypes is slow to import."""
    import ctypes

    class Device(ctypes.Structure):
        _fields_ = [("type", ctypes.c_int32), ("id", ctypes.c_int32)]

    class DataType(ctypes.Structure):
        _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]

    class DLTensor(ctypes.Structure):
        _fields_ = [("data", ctypes.c_void_p), ("device", Device), ("ndim", ctypes.c_int32), ("dtype", DataType),
                    ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
                    ("byte_offset", ctypes.c_uint64)]

    deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

    class Managed(ctypes.Structure):
        _fields_ = [("tensor", DLTensor), ("context", ctypes.c_void_p), ("deleter", deleter)]

    class Versioned(ctypes.Structure):
        _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
                    ("deleter", deleter), ("flags", ctypes.c_uint64), ("tensor", DLTensor)]

    api = ctypes.pythonapi
    api.PyCapsule_New.restype = ctypes.py_object
    api.PyCapsule_New.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    api.PyCapsule_IsValid.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    api.PyCapsule_SetName.argtypes = (ctypes.py_object, ctypes.c_char_p)

    released = deleter(lambda address: _given.pop(address, None) and None)

    def destroy(capsule: int) -> None:
        """A capsule that nobody took gives its memory back itself."""
        for name, _ in NAMES:
            if api.PyCapsule_IsValid(capsule, name):
                _given.pop(api.PyCapsule_GetPointer(capsule, name), None)

    destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(destroy)
    return ctypes, Managed, Versioned, released, destructor


def give(buffer: Buffer, max_version: tuple[int, int] | None) -> Any:
    """A capsule over a buffer of the host."""
    ctypes, managed_type, versioned_type, released, destructor = _structures()
    versioned = max_version is not None and max_version[0] >= 1
    managed = versioned_type() if versioned else managed_type()
    shape = (ctypes.c_int64 * max(len(buffer.shape), 1))(*buffer.shape)
    steps, step = [], 1
    for n in reversed(buffer.shape):
        steps.append(step)
        step *= n
    strides = (ctypes.c_int64 * max(len(buffer.shape), 1))(*steps[::-1])
    tensor = managed.tensor
    tensor.data, tensor.ndim, tensor.byte_offset = buffer.ptr, len(buffer.shape), 0
    tensor.device.type, tensor.device.id = CPU, 0
    (tensor.dtype.code, tensor.dtype.bits), tensor.dtype.lanes = TYPES[buffer.dtype], 1
    tensor.shape, tensor.strides = shape, strides
    managed.deleter = released
    if versioned:
        managed.major, managed.minor, managed.flags = 1, 0, int(buffer.readonly)
    address = ctypes.addressof(managed)
    _given[address] = (managed, shape, strides, buffer)
    return ctypes.pythonapi.PyCapsule_New(address, NAMES[0 if versioned else 1][0],
                                          ctypes.cast(destructor, ctypes.c_void_p))


class _Taken:
    """Another library's memory: calls its deleter when nobody uses it any more."""

    def __init__(self, address: int, managed: Any, interface: dict[str, Any]) -> None:
        self.address, self.managed, self.__array_interface__ = address, managed, interface

    def __del__(self) -> None:
        if self.managed.deleter:
            self.managed.deleter(self.address)


def take(source: Any) -> tuple[np.ndarray[Any, Any], DType]:
    """An array over the memory of an object with `__dlpack__` (or of a capsule), and its dtype.

    TypeError for what is neither or has no dtype here, ValueError for memory that is not the host's.
    """
    if hasattr(source, "__dlpack_device__") and source.__dlpack_device__()[0] != CPU:
        raise ValueError(f"from_dlpack: device {source.__dlpack_device__()} is not the host's memory")
    if hasattr(source, "__dlpack__"):
        try:
            capsule = source.__dlpack__(max_version=(1, 0))
        except TypeError:
            capsule = source.__dlpack__()
    elif type(source).__name__ == "PyCapsule":
        capsule = source
    else:
        raise TypeError(f"from_dlpack: {type(source).__name__} has no __dlpack__")
    ctypes, managed_type, versioned_type, _, _ = _structures()
    api = ctypes.pythonapi
    self = ctypes.cast(id(capsule), ctypes.c_void_p)
    kinds = [(names, kind) for names, kind in zip(NAMES, (versioned_type, managed_type))
             if api.PyCapsule_IsValid(self, names[0])]
    if not kinds:
        raise TypeError("from_dlpack: the capsule holds no tensor, or was taken already")
    (name, used), kind = kinds[0]
    address = api.PyCapsule_GetPointer(self, name)
    managed = kind.from_address(address)
    tensor = managed.tensor
    dtype = _dtype(tensor)
    if tensor.device.type != CPU:
        raise ValueError(f"from_dlpack: device type {tensor.device.type} is not the host's memory")
    shape = tuple(tensor.shape[i] for i in range(tensor.ndim))
    strides = tuple(tensor.strides[i] * dtype.itemsize for i in range(tensor.ndim)) if tensor.strides else None
    interface = {"version": 3, "shape": shape, "typestr": dtype.np.str, "strides": strides,
                 "data": ((tensor.data or 0) + tensor.byte_offset, True)}
    api.PyCapsule_SetName(capsule, used)
    if 0 in shape:
        _Taken(address, managed, interface)
        return np.zeros(shape, dtype.np), dtype
    return np.asarray(_Taken(address, managed, interface)), dtype


def _dtype(tensor: Any) -> DType:
    code, bits, lanes = tensor.dtype.code, tensor.dtype.bits, tensor.dtype.lanes
    found = next((dtype for dtype, known in TYPES.items() if known == (code, bits)), None)
    if found is None or lanes != 1:
        raise TypeError(f"from_dlpack: there is no dtype for code {code} of {bits} bits in {lanes} lanes")
    return found


__all__ = ["give", "take"]
