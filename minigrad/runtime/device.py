"""Buffers, and the interface that every device implements.

`get_device("CPU")` gives a device: it allocates, compiles ProgramSpecs to Programs, launches a Program on Buffers, and
turns a list of launches into a graph that is replayed in one call. `Buffer` is a piece of a device's memory with a
shape and a dtype; nothing is allocated before its `ptr` is asked for.

>>> from minigrad.dtype import dtypes
>>> buffer = Buffer("CPU", (2, 3), dtypes.float32)
>>> buffer.copyin(np.arange(6, dtype=np.float32).data)
>>> float(buffer.numpy()[1, 2])
5.0
"""
from __future__ import annotations

import importlib
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.codegen.pipeline import Lowered
from minigrad.dtype import DType, to_dtype
from minigrad.helpers import DEV, prod
from minigrad.renderer.base import ProgramSpec
from minigrad.runtime.locks import fork_safe_lock
from minigrad.runtime.memory import Recycler
from minigrad.target import Target

# name -> module and class; a device's module is imported when it is first asked for
DEVICES = {
    "CPU": ("minigrad.runtime.cpu", "CPUDevice"),
    "NUMPY": ("minigrad.runtime.interpreter", "NumpyDevice"),
    "NULL": ("minigrad.runtime.null", "NullDevice"),
    "CUDA": ("minigrad.runtime.cuda", "CUDADevice"),
    "OPENCL": ("minigrad.runtime.opencl", "OpenCLDevice"),
    "CUDA_EMULATED": ("extra.cuda_emulated.device", "EmulatedDevice"),     # a tool of the repository
}
_lock = fork_safe_lock()


class Buffer:
    """Memory of a device: `shape` (ints) elements of `dtype`, in row-major order. Compared and hashed by identity.

    A buffer with a `base` is a part of it, `offset` bytes from its start; the memory planner places many in one arena.
    ValueError for negative sizes, or a part that does not lie inside its base.
    """

    __slots__ = ("__weakref__", "_owner", "_ptr", "base", "device", "dtype", "nbytes", "offset", "readonly", "shape",
                 "size")

    def __init__(self, device: str, shape: tuple[int, ...], dtype: DType, *, base: Buffer | None = None,
                 offset: int = 0) -> None:
        self._ptr: int | None = None
        self._owner: object = None          # what keeps external memory alive
        self.base: Buffer | None = None
        if any(n < 0 for n in shape) or dtype.itemsize == 0:
            raise ValueError(f"Buffer: shape {shape} of {dtype!r}")
        self.device = canonical_name(device)
        self.shape, self.dtype, self.offset = tuple(shape), dtype, offset
        self.size = int(prod(shape))
        self.nbytes = self.size * dtype.itemsize
        self.readonly = False
        if base is not None:
            if not 0 <= offset <= base.nbytes - self.nbytes:
                raise ValueError(f"Buffer: bytes {offset}..{offset + self.nbytes} of a base of {base.nbytes} bytes")
            if base.device != self.device:
                raise ValueError(f"Buffer: on {self.device}, but its base is on {base.device}")
            self.readonly = base.readonly
            self.base, self.offset = (base, offset) if base.base is None else (base.base, base.offset + offset)
        elif offset:
            raise ValueError(f"Buffer: offset {offset} without a base")

    @classmethod
    def external(cls, owner: object, ptr: int, shape: tuple[int, ...], dtype: DType, *, device: str = "CPU",
                 readonly: bool = True) -> Buffer:
        """Memory that something else owns, used where it lies; `owner` is kept alive as long as the buffer.

        The address may have any alignment, and nothing after the end may be read.
        """
        buffer = cls(device, shape, dtype)
        if not get_device(buffer.device).is_host:
            raise ValueError(f"Buffer.external: {device} does not compute on host memory")
        buffer._ptr, buffer._owner, buffer.readonly = ptr, owner if owner is not None else buffer.shape, readonly
        return buffer

    @classmethod
    def from_numpy(cls, array: np.ndarray[Any, Any], dtype: DType | None = None, device: str = "CPU") -> Buffer:
        """An array's memory, without a copy where it is contiguous and the device computes on host memory.

        TypeError for dtypes that have no DType.

        `dtype` gives the bits another meaning of the same size: bfloat16 for an array of uint16.
        """
        dtype = dtype or to_dtype(array.dtype)
        if dtype.itemsize != array.itemsize:
            raise ValueError(f"Buffer.from_numpy: {dtype!r} for an array of {array.dtype}")
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
        if not get_device(device).is_host:
            buffer = cls(device, array.shape, dtype)
            buffer.copyin(array.reshape(-1).view(np.uint8).data if array.size else b"")
            return buffer
        return cls.external(array, array.__array_interface__["data"][0], array.shape, dtype, device=device,
                            readonly=not array.flags.writeable)

    @property
    def is_external(self) -> bool:
        """Whether something else owns the memory."""
        return (self._owner if self.base is None else self.base._owner) is not None

    @property
    def is_allocated(self) -> bool:
        return self._ptr is not None or (self.base is not None and self.base.is_allocated)

    @property
    def ptr(self) -> int:
        """The address of the first element; allocates when first asked. MemoryError if the device has no more."""
        return self._ptr if self._ptr is not None else self.allocate()._ptr  # type: ignore[return-value]

    def allocate(self) -> Buffer:
        """Make sure that the memory exists; its content is undefined. Returns itself."""
        with _lock:
            if self._ptr is None:
                if self.base is not None:
                    self._ptr = self.base.ptr + self.offset
                else:
                    self._ptr = get_device(self.device).allocate(self.nbytes)
        return self

    def view(self, shape: tuple[int, ...], dtype: DType, offset: int = 0) -> Buffer:
        """A part of this buffer, `offset` bytes from its start, that shares its memory."""
        return Buffer(self.device, shape, dtype, base=self, offset=offset)

    def numpy(self) -> np.ndarray[Any, Any]:
        """The buffer as an array in the type that holds its bits (uint16 for bfloat16).

        On a device that computes on host memory it is a view that shares and keeps the memory, else a copy.
        """
        device = get_device(self.device)
        if device.is_host:
            return np.asarray(_HostView(self))
        array = np.empty(self.shape, self.dtype.np)
        self.copyout(array.data)
        return array

    def copyin(self, data: memoryview | bytes | bytearray) -> None:
        """Fill the buffer with `nbytes` bytes. ValueError: there are more or fewer; RuntimeError: it is read-only."""
        if self.readonly:
            raise RuntimeError(f"copyin: {self!r} is read-only")
        source = _flat_bytes(data)
        if source.nbytes != self.nbytes:
            raise ValueError(f"copyin: {source.nbytes} bytes into {self!r} of {self.nbytes} bytes")
        if self.nbytes:
            get_device(self.device).copyin(self.ptr, source)

    def copyout(self, data: memoryview | bytearray | None = None) -> memoryview:
        """The buffer's bytes, in `data` if given (ValueError if its size differs)."""
        target = _flat_bytes(bytearray(self.nbytes) if data is None else data)
        if target.nbytes != self.nbytes:
            raise ValueError(f"copyout: {self!r} of {self.nbytes} bytes into {target.nbytes} bytes")
        if self.nbytes:
            get_device(self.device).copyout(target, self.ptr)
        return target

    def __repr__(self) -> str:
        kind = "part" if self.base is not None else "external" if self.is_external else \
            "allocated" if self.is_allocated else "lazy"
        return f"Buffer({self.device}, {self.shape}, {self.dtype!r}, {kind}{', readonly' if self.readonly else ''})"

    def __del__(self) -> None:
        ptr = getattr(self, "_ptr", None)
        if ptr is not None and self.base is None and self._owner is None:
            device = _instances.get(self.device) if _instances else None  # emptied when the interpreter ends
            if device is not None:
                device.free(ptr, self.nbytes)


class _HostView:
    """What numpy asks for the memory of a buffer; arrays made from it keep it, and so the buffer, alive."""

    __slots__ = ("__array_interface__", "buffer")

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        self.__array_interface__ = {"version": 3, "shape": buffer.shape, "typestr": buffer.dtype.np.str,
                                    "data": (buffer.ptr, buffer.readonly)}


def _flat_bytes(data: memoryview | bytes | bytearray) -> memoryview:
    view = memoryview(data)
    if not view.c_contiguous:
        raise ValueError("the bytes to copy are not contiguous")
    return view.cast("B") if view.nbytes else memoryview(bytearray())


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled kernel of one device. `handle` is what the device launches; `code` keeps it alive.

    `alone`: it is too little work to wake other threads for.
    """

    spec: ProgramSpec
    handle: int = 0
    code: object = None
    alone: bool = False

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(frozen=True)
class Launch:
    """One step of a graph: a program and its buffers by slot."""

    program: Program
    buffers: tuple[Buffer, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the graph's variables that the program takes."""
        return self.program.spec.variables


@dataclass(frozen=True)
class Roofs:
    """A device's limits: bytes read from memory, and float32 operations, a second."""

    bandwidth: float
    compute: float

    def least_time(self, operations: float, moved: float) -> float:
        """Seconds that a kernel needs at least: the larger of its time for bytes and its time for operations."""
        return max(moved / self.bandwidth, operations / self.compute)

    def bound_by(self, operations: float, moved: float) -> str:
        return "memory" if moved / self.bandwidth >= operations / self.compute else "compute"


Replaced = Mapping[tuple[int, int], Buffer]


class GraphRunner:
    """A list of launches that is run again and again, with other variables, or with other buffers in some slots."""

    def __init__(self, device: Device, launches: Sequence[Launch]) -> None:
        self.device, self.launches = device, tuple(launches)
        self.waking = 0.0       # seconds that `profile` took last until its first launch could begin
        for number, launch in enumerate(self.launches):
            check_buffers(launch.program.spec, launch.buffers, f"launch {number}")

    def run(self, variables: Mapping[str, int], replaced: Replaced | None = None) -> float:
        """Run all launches in order; seconds. `replaced`: (launch, slot) -> the buffer to use instead, this time only.

        KeyError: a variable has no value. RuntimeError: a read-only buffer would be written.
        """
        return sum(self.profile(variables, replaced))

    def profile(self, variables: Mapping[str, int], replaced: Replaced | None = None) -> list[float]:
        """Run all launches; the seconds of each."""
        return self.launch_each(variables, replaced, wait=True)

    def launch_each(self, variables: Mapping[str, int], replaced: Replaced | None, wait: bool) -> list[float]:
        """One launch after the other; the seconds of each, 0.0 for those not waited for."""
        times = []
        for number, launch in enumerate(self.launches):
            buffers = tuple(replaced.get((number, slot), buffer) for slot, buffer in enumerate(launch.buffers)) \
                if replaced else launch.buffers
            times.append(self.device.launch(launch.program, buffers, variables, wait))
        return times


class Device(ABC):
    """A device. Methods that take sizes or counts raise ValueError, those that run kernels RuntimeError."""

    is_host = False             # its memory is the host's: Buffer.numpy() is a view
    interprets = False          # it compiles nothing: a Program's `code` is the kernel's AST, run as it is

    def __init__(self, name: str, blocks: Recycler) -> None:
        self.name, self.blocks = name, blocks

    @property
    @abstractmethod
    def target(self) -> Target:
        """What the device can do."""

    def allocate(self, nbytes: int) -> int:
        """The address of a block of memory. MemoryError."""
        try:
            return self.blocks.allocate(nbytes)
        except MemoryError as error:
            used = self.memory_in_use
            raise MemoryError(f"{self.name}: no {nbytes} bytes, where {used} are in use: {error}") from None

    def free(self, ptr: int, nbytes: int) -> None:
        """Give back a block. Called by finalisers, at any moment and in any thread."""
        self.blocks.free(ptr, nbytes)

    @abstractmethod
    def copyin(self, ptr: int, data: memoryview) -> None:
        """Copy bytes of the host to the device."""

    @abstractmethod
    def copyout(self, data: memoryview, ptr: int) -> None:
        """Copy bytes of the device to the host."""

    def render(self, lowered: Lowered) -> ProgramSpec:
        """A lowered kernel in the device's language."""
        raise RuntimeError(f"{self.name} renders no kernels")

    @abstractmethod
    def compile(self, specs: Iterable[ProgramSpec]) -> list[Program]:
        """Compile kernels, as few compiler calls as sensible; specs may be made while the first are compiled already.
        CompileError with the source of the one that failed.
        """

    def pack(self, specs: Sequence[ProgramSpec]) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
        """Code of kernels for other processes, by name; for each kernel the name of its code and its own in there."""
        raise RuntimeError(f"{self.name} has no code that another process can load")

    def unpack(self, specs: Sequence[ProgramSpec], code: Mapping[str, bytes], places: Sequence[tuple[str, str]]
               ) -> list[Program]:
        """Programs of what `pack` gave, without compiling. ValueError if the code is damaged."""
        raise RuntimeError(f"{self.name} loads no code of another process")

    @abstractmethod
    def launch(self, program: Program, buffers: Sequence[Buffer], variables: Mapping[str, int],
               wait: bool = True) -> float:
        """Run a program once. Returns seconds, 0.0 if it was not waited for."""

    def graph(self, launches: Sequence[Launch]) -> GraphRunner:
        """Prepare launches to be replayed."""
        return GraphRunner(self, launches)

    def timer(self, program: Program, buffers: Sequence[Sequence[Buffer]],
              variables: Mapping[str, int]) -> Callable[[], float]:
        """A function that launches a program once on each of the sets of buffers; seconds of one launch."""
        graph = self.graph([Launch(program, tuple(each)) for each in buffers])
        return lambda: graph.run(variables) / len(buffers)

    def synchronize(self) -> None:
        """Wait until everything launched has run."""
        return None

    @property
    def memory_in_use(self) -> int:
        """Bytes of live buffers; external memory does not count."""
        return self.blocks.in_use

    @property
    def memory_peak(self) -> int:
        """The most bytes in use since the last `reset_memory_peak`."""
        return self.blocks.peak

    def reset_memory_peak(self) -> None:
        """Count the peak anew, from what is in use now."""
        self.blocks.reset_peak()

    def describe(self) -> str:
        """One line for DEBUG=1."""
        return self.name

    def roofs(self) -> Roofs | None:
        """The device's limits; None where they are not known."""
        return None

    def remark(self) -> str:
        """What DEBUG=2 adds to the line of the kernel that ran last."""
        return ""


def check_buffers(spec: ProgramSpec, buffers: Sequence[Buffer], what: str = "launch") -> None:
    """RuntimeError if a kernel would write a read-only buffer, ValueError if it lacks one."""
    for slot in spec.written:
        if slot >= len(buffers):
            raise ValueError(f"{what}: {spec.name} writes buffer {slot}, but {len(buffers)} are given")
        if buffers[slot].readonly:
            raise RuntimeError(f"{what}: {spec.name} would write buffer {slot}, {buffers[slot]!r}")


_instances: dict[str, Device] = {}
_canonical: dict[str, str] = {}


def canonical_name(name: str) -> str:
    """The one spelling of a device's name: "cpu" and "CPU:0" are "CPU". ValueError names the devices there are."""
    known = _canonical.get(name)
    if known is not None:
        return known
    found = re.fullmatch(r"([A-Za-z_]+)(?::(\d+))?", name)
    if found is None or found.group(1).upper() not in DEVICES:
        raise ValueError(f"no device {name!r}; there are {', '.join(DEVICES)}")
    number = int(found.group(2) or 0)
    result = found.group(1).upper() + (f":{number}" if number else "")
    _canonical[name] = result
    return result


def get_device(name: str) -> Device:
    """The device of that name, made when first asked for. ValueError if there is none."""
    device = _instances.get(name)
    if device is not None:
        return device
    name = canonical_name(name)
    with _lock:
        if name not in _instances:
            module, kind = DEVICES[name.partition(":")[0]]
            _instances[name] = getattr(importlib.import_module(module), kind)(name)
        return _instances[name]


def devices_in_use() -> list[Device]:
    """The devices that were asked for so far."""
    return list(_instances.values())


_without_compiler: list[str] = []  # the device used in the CPU's place, once it is known that there is no compiler


def default_device() -> str:
    """The device of new tensors: the flag DEV. Without a C compiler the interpreter stands in for the CPU."""
    name = canonical_name(DEV.value)
    if name != "CPU" or "CPU" in _instances:
        return name
    if not _without_compiler:
        try:
            get_device("CPU")
        except RuntimeError as error:
            warnings.warn(f"running on NUMPY, slowly: {error}", RuntimeWarning, stacklevel=2)
            _without_compiler.append("NUMPY")
    return _without_compiler[0] if _without_compiler else name
