"""The OpenCL device: any platform that pyopencl finds, GPUs first. `pip install minigrad[opencl]`.

"OPENCL" is the first device, "OPENCL:1" the second. Kernels are built many in one program, each text once in a
process; drivers keep what they built on disk themselves. Launches and copies go to one queue, in order.

A block's address is a number of ours: a kernel gets the memory object in which an address lies and how far from its
start, so that parts of a block need no objects of their own.

https://documen.tician.de/pyopencl/
"""
from __future__ import annotations

import importlib
import os
import sys
import warnings
from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad.codegen.pipeline import Lowered
from minigrad.renderer.base import ProgramSpec, join_sources
from minigrad.renderer.opencl import FP64, render
from minigrad.runtime.compiler import CompileError, number_lines
from minigrad.runtime.device import Buffer, Program
from minigrad.runtime.gpu import GPUDevice, Grid
from minigrad.runtime.locks import fork_safe_lock
from minigrad.runtime.memory import align_up
from minigrad.target import Target

INSTALL = "`pip install 'minigrad[opencl]'`"
PER_PROGRAM = 32                # kernels that one program holds at most
BETWEEN = 4096                  # addresses of blocks lie as far apart at least
BUILT_BY_PIP = "lib/libintelocl.so"     # Intel's runtime for processors, where pip puts it


class OpenCLDevice(GPUDevice):
    """One device of one platform. RuntimeError, when made, that says in a line what is missing."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.cl = load_package(name)
        self.device = find_device(self.cl, name)
        self.context = self.cl.Context([self.device])
        self.queue = self.cl.CommandQueue(self.context, self.device, self.cl.command_queue_properties.PROFILING_ENABLE)
        self._blocks: dict[int, Any] = {}
        self._starts: list[int] = []
        self._next = BETWEEN
        self._lock = fork_safe_lock()
        self.options = ["-cl-std=CL1.2"]
        if self.device.single_fp_config & self.cl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT:
            self.options.append("-cl-fp32-correctly-rounded-divide-sqrt")
        self._target = target_of(self.device)

    @property
    def target(self) -> Target:
        return self._target

    def describe(self) -> str:
        return f"{self.name}: {self.device.name}, {self.device.platform.name} {self.device.driver_version}, " \
               f"{self.target.cores} compute units, {self.device.global_mem_size >> 20} MB"

    @contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """MemoryError or RuntimeError where the driver fails in the block."""
        try:
            yield
        except self.cl.Error as error:
            words = str(error)
            none_left = isinstance(error, self.cl.MemoryError) or "OUT_OF" in words or "INVALID_BUFFER_SIZE" in words
            raise (MemoryError if none_left else RuntimeError)(f"{self.name}: {what}: {words}") from None

    # ---- memory

    def new_block(self, nbytes: int) -> int:
        most = self.device.max_mem_alloc_size
        if nbytes > most:
            raise MemoryError(f"{self.device.name} gives {most} bytes at most in one piece")
        with self.asking(f"{nbytes} bytes"):
            block = self.cl.Buffer(self.context, self.cl.mem_flags.READ_WRITE, nbytes)
        ptr, self._next = self._next, self._next + align_up(nbytes + 1, BETWEEN)
        self._blocks[ptr] = block
        insort(self._starts, ptr)
        return ptr

    def drop_block(self, ptr: int) -> None:
        self._starts.remove(ptr)
        self._blocks.pop(ptr).release()

    def place(self, ptr: int) -> tuple[Any, int]:
        """(the memory object in which an address lies, bytes from its start)."""
        start = self._starts[bisect_right(self._starts, ptr) - 1]
        return self._blocks[start], ptr - start

    def copyin(self, ptr: int, data: memoryview) -> None:
        block, offset = self.place(ptr)
        with self.asking(f"copying {data.nbytes} bytes in"):
            self.cl.enqueue_copy(self.queue, block, np.frombuffer(data, np.uint8), dst_offset=offset)

    def copyout(self, data: memoryview, ptr: int) -> None:
        block, offset = self.place(ptr)
        with self.asking(f"copying {data.nbytes} bytes out"):
            self.cl.enqueue_copy(self.queue, np.frombuffer(data, np.uint8), block, src_offset=offset)

    def synchronize(self) -> None:
        with self.asking("waiting"):
            self.queue.finish()

    # ---- kernels

    def render(self, lowered: Lowered) -> ProgramSpec:
        return render(lowered, self.target)

    def build(self, specs: Sequence[ProgramSpec]) -> list[tuple[int, object]]:
        built: list[tuple[int, object]] = []
        for first in range(0, len(specs), PER_PROGRAM):
            group = specs[first:first + PER_PROGRAM]
            text, symbols = join_sources({str(number): spec for number, spec in enumerate(group)})
            try:
                with warnings.catch_warnings():     # of what the compiler says beside errors
                    warnings.simplefilter("ignore")
                    program = self.cl.Program(self.context, text).build(self.options, cache_dir=False)
            except self.cl.Error as error:
                raise CompileError(f"{self.describe()}: {error}\n\n{number_lines(text)}") from None
            for spec, symbol in zip(group, symbols):
                kernel = self.cl.Kernel(program, symbol)
                buffers = (kernel.num_args - len(spec.variables)) // 2
                kernel.set_scalar_arg_dtypes([None, np.int64] * buffers + [np.int64] * len(spec.variables))
                built.append((0, kernel))
        return built

    def run(self, program: Program, buffers: Sequence[Buffer], values: Sequence[int], grid: Grid, wait: bool) -> float:
        block, arguments = program.spec.block, list[Any]()
        with self._lock:        # a kernel holds its arguments until it is put into the queue
            for buffer in buffers:
                memory, offset = self.place(buffer.ptr)
                arguments += [memory, offset // buffer.dtype.itemsize]
            try:
                with self.asking(program.name):
                    kernel: Any = program.code
                    kernel.set_args(*arguments, *values)
                    event = self.cl.enqueue_nd_range_kernel(
                        self.queue, kernel, tuple(n * size for n, size in zip(grid, block)), block)
                    if not wait:
                        return 0.0
                    event.wait()
                    return float(event.profile.end - event.profile.start) * 1e-9
            except RuntimeError as error:
                raise RuntimeError(f"{error}\n\n{number_lines(program.spec.source)}") from None


def target_of(device: Any) -> Target:
    """What a device can do. Its arch names everything on which what a compiler makes may depend."""
    return Target(name="OPENCL", arch=f"{device.name} {device.driver_version}", vector_bytes=16, registers=64,
                  l1=32 << 10, l2=max(device.global_mem_cache_size, 1 << 20), l3=0, cores=device.max_compute_units,
                  features=frozenset({FP64} & set(device.extensions.split())),
                  scratch=min(device.local_mem_size, 48 << 10), has_threads=False, has_blocks=True,
                  block_threads=min(device.max_work_group_size, 1024))


def load_package(name: str) -> Any:
    """pyopencl. RuntimeError: it is not there."""
    runtime = os.path.join(sys.prefix, BUILT_BY_PIP)
    if os.path.exists(runtime) and not os.path.isdir("/etc/OpenCL/vendors"):
        os.environ.setdefault("OCL_ICD_VENDORS", runtime)       # the file in its package names a path of its maker's
    try:
        return importlib.import_module("pyopencl")
    except ImportError as error:
        raise RuntimeError(f"{name} needs the package pyopencl: {INSTALL} ({error})") from None


def find_device(cl: Any, name: str) -> Any:
    """The device of that name. RuntimeError: there are fewer."""
    try:
        found = [device for platform in cl.get_platforms() for device in platform.get_devices()]
    except cl.Error as error:       # no platform at all is an error of the loader
        raise RuntimeError(f"{name}: pyopencl finds no OpenCL platform ({error}): install the driver of the GPU, or "
                           f"PoCL (Debian: pocl-opencl-icd), or {INSTALL}") from None
    found.sort(key=lambda device: not device.type & cl.device_type.GPU)
    number = int(name.partition(":")[2] or 0)
    if number >= len(found):
        raise RuntimeError(f"{name}: there are {len(found)} OpenCL devices: "
                           f"{', '.join(device.name for device in found) or 'none'}")
    return found[number]
