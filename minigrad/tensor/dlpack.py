"""DLPack: memory handed to and taken from other libraries, without a copy and without their code.

In: a Buffer, or an object with `__dlpack__`. Out: a capsule, or a numpy array over the other's memory with its dtype.
numpy writes and reads the structures; but it has no bfloat16, so that such elements are 16-bit integers on its side and
bfloat16 on the other one. Layout as in the DLPack specification, `dlpack.h`, version 1.0.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from ..dtype import DType, dtypes, to_dtype
from ..runtime.device import Buffer

CPU = 1
TYPE_AT = {b"dltensor_versioned": 52, b"dltensor": 20}      # name of a capsule: bytes before the elements' type
UINT16, BFLOAT16 = (code | 16 << 8 | 1 << 16 for code in (1, 4))    # a type: code, bits, lanes


def _replace_type(capsule: Any, old: int, new: int) -> bool:
    """Has a capsule's elements another type if they are of the old one; whether they are. TypeError: it holds none."""
    import ctypes  # slow to import
    api = ctypes.pythonapi
    api.PyCapsule_IsValid.argtypes = api.PyCapsule_GetPointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    for name, offset in TYPE_AT.items():
        if api.PyCapsule_IsValid(capsule, name):
            kind = ctypes.c_uint32.from_address(api.PyCapsule_GetPointer(capsule, name) + offset)
            found = kind.value == old
            kind.value = new if found else kind.value
            return found
    raise TypeError("from_dlpack: the capsule holds no tensor, or was taken already")


class _Writable:
    """A buffer's memory, for takers that know of no read-only memory."""

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        self.__array_interface__ = {**buffer.numpy().__array_interface__, "data": (buffer.ptr, False)}


def give(buffer: Buffer, max_version: tuple[int, int] | None) -> Any:
    """A capsule over a buffer of the host."""
    try:
        capsule = buffer.numpy().__dlpack__(max_version=max_version)  # type: ignore[call-arg,unused-ignore]
    except (TypeError, BufferError):    # a numpy that knows one version only; read-only memory in the old one
        capsule = np.asarray(_Writable(buffer)).__dlpack__()
    if buffer.dtype is dtypes.bfloat16:
        _replace_type(capsule, UINT16, BFLOAT16)
    return capsule


class _Source:
    """What numpy asks in the place of another library's object, or of a capsule."""

    def __init__(self, source: Any) -> None:
        self.source, self.is_bfloat16 = source, False

    def __dlpack_device__(self) -> tuple[int, int]:
        return CPU, 0

    def __dlpack__(self, **wanted: Any) -> Any:
        capsule = self.source.__dlpack__(**wanted) if hasattr(self.source, "__dlpack__") else self.source
        self.is_bfloat16 = _replace_type(capsule, BFLOAT16, UINT16)
        return capsule


def take(source: Any) -> tuple[np.ndarray[Any, Any], DType]:
    """A read-only array over the memory of an object with `__dlpack__` (or of a capsule), and its dtype.

    TypeError for what is neither or has no dtype here, ValueError for memory that is not the host's.
    """
    if hasattr(source, "__dlpack_device__") and source.__dlpack_device__()[0] != CPU:
        raise ValueError(f"from_dlpack: device {source.__dlpack_device__()} is not the host's memory")
    if not hasattr(source, "__dlpack__") and type(source).__name__ != "PyCapsule":
        raise TypeError(f"from_dlpack: {type(source).__name__} has no __dlpack__")
    asked = _Source(source)
    try:
        array = np.from_dlpack(asked)
    except (BufferError, RuntimeError) as error:
        raise TypeError(f"from_dlpack: {error}") from None
    array.flags.writeable = False
    return array, dtypes.bfloat16 if asked.is_bfloat16 else to_dtype(array.dtype)


__all__ = ["give", "take"]
