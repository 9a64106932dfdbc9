"""The CUDA_EMULATED device: CUDA kernels, their text unchanged, on one thread of this machine.

A kernel's text goes through clang behind `kernel.h`; `machine.cpp` runs it, and a kernel that does what a GPU would not
forgive ends with a RuntimeError that names the kernel, the thread and the memory:

* an access outside of its buffer, or outside of a shared array;
* a read of memory that nothing wrote;
* a race: two threads on one element, one of them writing, without a barrier in between;
* a barrier or a shuffle that not all threads reach; a vector access that is not aligned.

DEBUG=2 adds to each kernel's line what it asked of memory. `sectors` are the 32-byte pieces of global memory that
accesses of warps touch, with the least number that would hold their bytes; `passes` are those that shared memory
needs for accesses of warps, with the least number if no two words were in one bank.
"""
from __future__ import annotations

import ctypes
import functools
import time
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from minigrad.codegen.pipeline import Lowered
from minigrad.renderer.base import ProgramSpec
from minigrad.renderer.cuda import join_kernels, render
from minigrad.runtime.compiler import Compiler, find_compiler
from minigrad.runtime.device import Buffer, Program
from minigrad.runtime.elf import Image, LoadedObject, load_elf
from minigrad.runtime.gpu import GPUDevice, Grid
from minigrad.runtime.locks import fork_safe_lock
from minigrad.runtime.memory import Allocator
from minigrad.runtime.objects import build
from minigrad.target import Target, cuda_target

FOLDER = Path(__file__).parent
COMMON = ("-std=c++17", "-fPIC", "-fno-exceptions", "-fno-rtti", "-fno-stack-protector", "-fno-ident", "-w",
          "-fno-asynchronous-unwind-tables", "-fcf-protection=none", "-ffp-contract=off")
# Accesses stay what the text says: nothing is vectorised, unrolled, or turned into a call of memset.
KERNEL = ("-O1", "-fno-vectorize", "-fno-slp-vectorize", "-fno-unroll-loops", "-fno-builtin", "-fwrapv",
          "-fno-strict-aliasing", "-fsanitize=thread,array-bounds", "-mllvm", "-tsan-instrument-func-entry-exit=0",
          "-mllvm", "-tsan-instrument-read-before-write=1", "-mllvm", "-disable-vector-combine")


class Index(ctypes.Structure):
    _fields_ = (("x", ctypes.c_uint), ("y", ctypes.c_uint), ("z", ctypes.c_uint))

    def __repr__(self) -> str:
        return f"({self.x}, {self.y}, {self.z})"


class Slot(ctypes.Structure):
    _fields_ = (("start", ctypes.c_ulong), ("bytes", ctypes.c_ulong), ("granule", ctypes.c_ulong),
                ("written", ctypes.c_void_p))


class Report(ctypes.Structure):
    _fields_ = (("fault", ctypes.c_uint), ("kind", ctypes.c_uint), ("block", Index), ("thread", Index),
                ("other", Index), ("other_block", ctypes.c_uint), ("slot", ctypes.c_int), ("offset", ctypes.c_long),
                ("size", ctypes.c_uint), ("line", ctypes.c_uint))


class Counts(ctypes.Structure):
    """What a launch asked of memory: see the module."""

    _fields_ = tuple((name, ctypes.c_ulong) for name in (
        "global_requests", "sectors", "least_sectors", "shared_requests", "passes", "least_passes", "barriers",
        "shuffles", "matrices"))

    def __str__(self) -> str:
        text = f"{self.sectors} sectors (least {self.least_sectors})"
        if self.shared_requests:
            text += f", {self.passes} passes (least {self.least_passes})"
        return text + (f", {self.barriers} barriers" if self.barriers else "")


class Launch(ctypes.Structure):
    _fields_ = (("kernel", ctypes.c_void_p), ("arguments", ctypes.c_void_p), ("grid", Index), ("block", Index),
                ("slots", ctypes.c_ulong), ("slot", ctypes.POINTER(Slot)), ("shared", ctypes.c_ulong),
                ("shared_bytes", ctypes.c_ulong), ("report", Report), ("counts", Counts))


(OUT_OF_BOUNDS, UNWRITTEN, RACE, BARRIER_UNREACHED, BARRIERS_DIFFER, MISALIGNED, LANES_PART, INDEX) = range(1, 9)


@dataclass(frozen=True)
class Code:
    """Compiled kernels: the object that holds them, and where its shared arrays lie: (first byte, behind, name)."""

    loaded: LoadedObject
    shared: int
    shared_bytes: int
    arrays: tuple[tuple[int, int, str], ...]

    def array_at(self, offset: int) -> tuple[str, int]:
        """(name, byte within) of a place in shared memory."""
        for start, stop, name in self.arrays:
            if start <= offset < stop:
                return name, offset - start
        return "shared memory", offset


@functools.cache
def compilers() -> tuple[Compiler, Compiler]:
    """clang for the machine, and for kernels. RuntimeError if the C compiler in use is another."""
    compiler = find_compiler()
    if compiler.kind != "clang":
        raise RuntimeError(f"CUDA_EMULATED needs clang, and the compiler in use is {compiler.describe()}; "
                           "`pip install ziglang` brings one, CC names another")
    return (replace(compiler, language="c++", flags=("-O2", *COMMON)),
            replace(compiler, language="c++", flags=(*KERNEL, *COMMON)))


@functools.cache
def machine() -> LoadedObject:
    return load_elf(build((FOLDER / "machine.cpp").read_text(), compilers()[0]))


def load_kernels(text: str, symbols: Sequence[str]) -> Code:
    """The kernels of a text that `join_kernels` made. CompileError."""
    callers = (f'extern "C" void call_{i}(void **a) {{ emulated_call(kernel_{i}::{symbol}, a); }}'
               for i, symbol in enumerate(symbols))
    mark = "extern \"C\" { __shared__ char emulated_mark = 1; void *emulated_shared() { return &emulated_mark; } }"
    data = build("\n".join([(FOLDER / "kernel.h").read_text(), mark, text, *callers]), compilers()[1])
    loaded = load_elf(data, machine().functions.get)
    symbols = Image(data).symbols
    marks = [symbol for symbol in symbols if "emulated_mark" in symbol.name]
    found = [symbol for symbol in symbols if symbol.section == marks[0].section]
    arrays = tuple((s.value, s.value + s.size, s.name.rpartition("E")[2].lstrip("0123456789")) for s in found)
    start = ctypes.CFUNCTYPE(ctypes.c_ulong)(loaded["emulated_shared"])() - marks[0].value
    return Code(loaded, start, max(stop for _, stop, _ in arrays), arrays)


def open_window(slot: int, nbytes: int) -> int:
    """The address at which a launch sees the buffer of a slot: its content has to be there. MemoryError."""
    start = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_uint, ctypes.c_ulong)(machine()["emulated_window"])(slot, nbytes)
    if not start:
        raise MemoryError(f"the emulator has no memory for a copy of the {nbytes} bytes of buffer {slot}")
    return start


def start_launch(code: Code, kernel: int, slots: Sequence[Slot], values: Sequence[int], grid: Grid,
                 block: tuple[int, ...]) -> Launch:
    """Run a kernel until it ends or errs. MemoryError."""
    arguments = [*(ctypes.c_ulong(s.start) for s in slots), *map(ctypes.c_longlong, values)]
    places = (ctypes.c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
    launch = Launch(kernel, ctypes.addressof(places), Index(*grid), Index(*block), len(slots),
                    (Slot * len(slots))(*slots), code.shared, code.shared_bytes)
    if ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Launch))(machine()["emulated_launch"])(launch) == 2:
        raise MemoryError("the emulator has no memory for threads")
    return launch


class EmulatedDevice(GPUDevice):
    """A GPU of compute capability 9.0 in slow motion. `counts` are those of the last launch."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        compilers()
        self.counts = Counts()
        self.memory = Allocator()
        self.lock = fork_safe_lock()
        self._starts: list[int] = []                    # of blocks, in order
        self._sizes: dict[int, int] = {}
        self._written: dict[int, np.ndarray] = {}       # which of a block's bytes were written

    @property
    def target(self) -> Target:
        return cuda_target("sm_90")

    def describe(self) -> str:
        return f"{self.name}: CUDA for {self.target.arch}, emulated with {compilers()[1].describe()}"

    def remark(self) -> str:
        return str(self.counts)

    # ---- memory

    def allocate(self, nbytes: int) -> int:
        ptr = super().allocate(nbytes)
        self._written[ptr] = np.zeros(nbytes, np.uint8)
        return ptr

    def new_block(self, nbytes: int) -> int:
        ptr = self.memory.allocate(nbytes)
        insort(self._starts, ptr)
        self._sizes[ptr] = nbytes
        return ptr

    def drop_block(self, ptr: int) -> None:
        self._starts.remove(ptr)
        self.memory.free(ptr, self._sizes.pop(ptr))

    def written(self, ptr: int, nbytes: int) -> np.ndarray:
        """Which bytes of a part of a block were written: 1, else 0."""
        start = self._starts[bisect_right(self._starts, ptr) - 1]
        return self._written[start][ptr - start:ptr - start + nbytes]

    def copyin(self, ptr: int, data: memoryview) -> None:
        ctypes.memmove(ptr, data.tobytes(), data.nbytes)
        self.written(ptr, data.nbytes)[:] = 1

    def copyout(self, data: memoryview, ptr: int) -> None:
        ctypes.memmove((ctypes.c_char * data.nbytes).from_buffer(data), ptr, data.nbytes)

    # ---- kernels

    def render(self, lowered: Lowered) -> ProgramSpec:
        return render(lowered, self.target)

    def build(self, specs: Sequence[ProgramSpec]) -> list[tuple[int, object]]:
        code = load_kernels(*join_kernels(specs))
        return [(code.loaded[f"call_{number}"], code) for number in range(len(specs))]

    def run(self, program: Program, buffers: Sequence[Buffer], values: Sequence[int], grid: Grid, wait: bool) -> float:
        """RuntimeError: the kernel does what it must not; the buffers are then as they were."""
        code = program.code
        assert isinstance(code, Code)
        began = time.perf_counter()
        with self.lock:
            slots = [self._slot(number, buffer) for number, buffer in enumerate(buffers)]
            launch = start_launch(code, program.handle, slots, values, grid, program.spec.block)
            if launch.report.fault:
                raise RuntimeError(f"{program.name} on {self.name}: {self.explain(launch.report, code, buffers)}")
            for number in program.spec.written:
                ctypes.memmove(buffers[number].ptr, slots[number].start, slots[number].bytes)
            self.counts = launch.counts
        return time.perf_counter() - began

    def _slot(self, number: int, buffer: Buffer) -> Slot:
        """The buffer's content, copied to where a kernel finds it."""
        start = open_window(number, buffer.nbytes)
        ctypes.memmove(start, buffer.ptr, buffer.nbytes)
        return Slot(start, buffer.nbytes, buffer.dtype.itemsize, self.written(buffer.ptr, buffer.nbytes).ctypes.data)

    def explain(self, report: Report, code: Code, buffers: Sequence[Buffer]) -> str:
        """What a launch did wrong, in words."""
        who = f"block {report.block}, thread {report.thread}"
        if report.fault == BARRIER_UNREACHED:
            return f"{who} waits at a barrier that other threads of its block never reach"
        if report.fault == BARRIERS_DIFFER:
            return f"{who} waits at another barrier than thread (0, 0, 0)"
        if report.fault == LANES_PART:
            return f"{who} is in a shuffle or a matrix instruction without all lanes that it names"
        if report.fault == INDEX:
            return f"{who} uses index {report.offset} outside of an array, in line {report.line}"
        deed = f"{'writes' if report.kind else 'reads'} {report.size} bytes"
        if report.slot == -2:
            return f"{who} {deed} at address {report.offset:#x}, which belongs to no buffer"
        if report.slot == -1:
            name, offset = code.array_at(report.offset)
            where = f"byte {offset} of {name}"
        else:
            buffer = buffers[report.slot]
            where = f"element {report.offset // buffer.dtype.itemsize} of buffer {report.slot}, {buffer!r}"
        other = "another block" if report.other_block else f"thread {report.other}"
        why = {OUT_OF_BOUNDS: "outside of it", UNWRITTEN: "which nothing wrote before",
               RACE: f"which {other} accesses too, without a barrier in between",
               MISALIGNED: "which is not aligned to them"}[report.fault]
        return f"{who} {deed} at {where}: {why}"
