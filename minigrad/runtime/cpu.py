"""The CPU device: C kernels compiled at run time, run by a pool of threads.

Programs are looked up in memory, then on disk, and what is missing is compiled, many kernels in one compiler call. A
graph is a table that the pool's C loop walks: replaying it is one foreign call, and threads meet only where a kernel
depends on one since the last meeting.
"""
from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence

from minigrad.codegen.pipeline import Lowered
from minigrad.renderer.base import ProgramSpec, join_sources
from minigrad.renderer.clang import render
from minigrad.runtime import cache
from minigrad.runtime.compiler import CompileError, Compiler, find_compiler
from minigrad.runtime.cpu_graph import CPUGraph, is_small
from minigrad.runtime.device import Buffer, Launch, Program, Roofs, check_buffers
from minigrad.runtime.elf import ElfError, LoadedObject
from minigrad.runtime.host import HostDevice
from minigrad.runtime.locks import fork_safe_lock
from minigrad.runtime.objects import build, load_object, machine_key, offer_object, support_source
from minigrad.runtime.pool import Pool, get_pool, pool_source, thread_count
from minigrad.runtime.probe import probe
from minigrad.target import host_target
from minigrad.uops.symbolic import evaluate

PER_CALL = 16                   # kernels that one compiler call takes at most
FIRST_PER_CALL = 4              # of the first call, while later kernels are still being made
LEAST_PER_CALL = 3              # fewer are not worth starting another compiler for
MOST_PROGRAMS = 8192            # code of so many is kept in memory, used or not
# (bytes, operations) below which one thread alone is faster than several, which may sleep and take 20 us to wake.
SMALL = (64 << 10, 128 << 10)


Code = tuple[LoadedObject, str]   # an object and a function's name in it


class CPUDevice(HostDevice):
    """This machine's processor. RuntimeError when made on a machine without a C compiler."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.compiler: Compiler = find_compiler()
        self._code: dict[str, Code] = {}
        self._lock = fork_safe_lock()
        threading.Thread(target=self._prepare_pool, daemon=True).start()

    @staticmethod
    def _prepare_pool() -> None:
        """The first launch needs the pool, and its compiler a core that recording and scheduling leave free."""
        with contextlib.suppress(CompileError):     # who launches is told
            get_pool()

    def describe(self) -> str:
        target = self.target
        return f"{self.name}: {target.model}, {thread_count()} threads, {8 * target.vector_bytes}-bit vectors, " \
               f"{self.compiler.describe()}"

    def roofs(self) -> Roofs:
        """Measured once per machine, 1 s."""
        return probe()

    # ---- compile

    def render(self, lowered: Lowered) -> ProgramSpec:
        return render(lowered, self.target, self.compiler.features)

    def compile(self, specs: Iterable[ProgramSpec]) -> list[Program]:
        """One Program for each spec. Of specs that are made one by one, the first are compiled while others are made.
        CompileError with the source of the kernel that failed.
        """
        compilers, early = Compilers(self.compiler), not isinstance(specs, Sequence)
        wanted: list[tuple[ProgramSpec, str]] = []
        found: dict[str, Code | None] = {}              # None: a compiler has it
        batches, waiting = list[dict[str, ProgramSpec]](), dict[str, ProgramSpec]()
        objects: dict[str, LoadedObject | None] = {}

        def start(batch: dict[str, ProgramSpec]) -> None:
            batches.append(batch)
            compilers.start(join_sources(batch)[0])
        for spec in specs:
            key = self._key(spec)
            wanted.append((spec, key))
            if key in found:
                continue
            found[key] = self._code.get(key) or self._from_disk(key, objects)
            if found[key] is None:
                waiting[key] = spec
                if early and len(waiting) == min(PER_CALL, max(FIRST_PER_CALL, sum(map(len, batches)))):
                    start(waiting)
                    waiting = {}
        for batch in split_batches(waiting, self.target.cores):
            start(batch)
        code = {key: known for key, known in found.items() if known is not None}
        for batch, data in zip(batches, compilers.results()):
            code |= self._load(batch, data)
        with self._lock:
            new = [key for key in code if key not in self._code]
            for old in list(self._code)[:max(0, len(self._code) + len(new) - MOST_PROGRAMS)]:
                del self._code[old]
            self._code |= code
        return [Program(spec, code[key][0][code[key][1]], code[key][0], is_small(spec, SMALL)) for spec, key in wanted]

    def _key(self, spec: ProgramSpec) -> str:
        return hashlib.sha256(f"{spec.name}\0{spec.prelude}\0{spec.source}".encode()).hexdigest()

    def _from_disk(self, key: str, objects: dict[str, LoadedObject | None]) -> Code | None:
        """What an earlier process compiled. `objects`: those that were looked for already, by name."""
        machine = machine_key(self.compiler)
        where = cache.get(f"program {machine} {key}")
        if where is None:
            return None
        batch, _, symbol = where.decode(errors="replace").partition(" ")
        if batch not in objects:
            data = cache.get(f"batch {machine} {batch}")
            try:
                objects[batch] = load_object(data, self.compiler) if data else None
            except ElfError:
                objects[batch] = None
        code = objects[batch]
        return (code, symbol) if code is not None and symbol in code.functions else None

    def _load(self, batch: Mapping[str, ProgramSpec], data: bytes | CompileError) -> dict[str, Code]:
        """Code of a batch, put on disk as well. CompileError where one of its kernels does not compile."""
        if isinstance(data, CompileError):
            if len(batch) == 1:
                raise data
            found: dict[str, Code] = {}
            for key, spec in batch.items():  # one by one, so that the error shows the kernel at fault
                found |= self._load({key: spec}, compile_one(self.compiler, join_sources({key: spec})[0]))
            return found
        source, symbols = join_sources(batch)
        code, machine = load_object(data, self.compiler), machine_key(self.compiler)
        name = hashlib.sha256(source.encode()).hexdigest()
        cache.put(f"batch {machine} {name}", data)
        for key, symbol in zip(batch, symbols):
            cache.put(f"program {machine} {key}", f"{name} {symbol}".encode())
        return {key: (code, symbol) for key, symbol in zip(batch, symbols)}

    # ---- code for other processes

    def pack(self, specs: Sequence[ProgramSpec]) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
        batches = split_batches({str(number): spec for number, spec in enumerate(specs)}, self.target.cores)
        sources = [join_sources(batch) for batch in batches]
        support = support_source(self.compiler)     # not every machine has what this compiler takes for granted
        code, places = {"pool": build(pool_source(), self.compiler)}, dict[str, tuple[str, str]]()
        compilers = Compilers(self.compiler)
        for source, _ in sources:
            compilers.start(support + source)
        for number, data in enumerate(compilers.results()):
            if isinstance(data, CompileError):
                raise data
            code[f"code {number}"] = data
            places |= {key: (f"code {number}", symbol) for key, symbol in zip(batches[number], sources[number][1])}
        return code, [places[str(number)] for number in range(len(specs))]

    def unpack(self, specs: Sequence[ProgramSpec], code: Mapping[str, bytes], places: Sequence[tuple[str, str]]
               ) -> list[Program]:
        offer_object(pool_source(), code["pool"])
        objects = {name: load_object(code[name], self.compiler) for name in dict.fromkeys(name for name, _ in places)}
        return [Program(spec, objects[name][symbol], objects[name], is_small(spec, SMALL))
                for spec, (name, symbol) in zip(specs, places)]

    # ---- run

    def launch(self, program: Program, buffers: Sequence[Buffer], variables: Mapping[str, int],
               wait: bool = True) -> float:
        """Run a program once, on all threads; seconds. Always waits. KeyError: a variable has no value."""
        spec = program.spec
        for slot in spec.written:
            if slot >= len(buffers) or buffers[slot].readonly:
                check_buffers(spec, buffers)
        pointers = (ctypes.c_void_p * len(buffers))(*[buffer.ptr for buffer in buffers])
        names, extent = spec.variables, spec.threads
        values = (ctypes.c_long * len(names))(*[variables[name] for name in names]) if names else None
        if not isinstance(extent, int):
            extent = evaluate(extent, variables)
        threads = 1 if extent <= 1 or program.alone else thread_count()
        return self.pool.launch(program.handle, pointers, values, extent, threads, spec.workspace) * 1e-9

    @functools.cached_property
    def pool(self) -> Pool:
        return get_pool()

    def graph(self, launches: Sequence[Launch]) -> CPUGraph:
        return CPUGraph(self, launches)


def compile_one(compiler: Compiler, source: str) -> bytes | CompileError:
    try:
        return compiler.compile(source)
    except CompileError as error:
        return error


class Compilers:
    """Compiler processes at work while this thread goes on; all of them have no more threads than there are cores."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.free = threading.Semaphore(max(1, host_target().cores - 1))
        self.done: dict[int, bytes | CompileError] = {}
        self.threads: list[threading.Thread] = []

    def start(self, source: str) -> None:
        def work(number: int) -> None:
            with self.free:
                self.done[number] = compile_one(self.compiler, source)
        self.threads.append(threading.Thread(target=work, args=(len(self.threads),), daemon=True))
        self.threads[-1].start()

    def results(self) -> list[bytes | CompileError]:
        """Each source's object or error, in the order in which they were started."""
        self.free.release()     # this thread's core
        for thread in self.threads:
            thread.join()
        return [self.done[number] for number in range(len(self.threads))]


def split_batches(specs: Mapping[str, ProgramSpec], cores: int) -> list[dict[str, ProgramSpec]]:
    """Kernels for each compiler call: as many calls as keep `cores` busy, long texts first."""
    keys = sorted(specs, key=lambda key: len(specs[key].source), reverse=True)
    calls = max(-(-len(keys) // PER_CALL), min(cores, len(keys) // LEAST_PER_CALL), 1)
    return [{key: specs[key] for key in keys[number::calls]} for number in range(calls) if keys[number::calls]]
