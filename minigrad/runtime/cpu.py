"""The CPU device: C kernels compiled at run time, run by a pool of threads.

Programs are looked up in memory, then on disk, and what is missing is compiled, many kernels in one compiler call. A
graph is a table that the pool's C loop walks: replaying it is one foreign call, and threads meet only where a kernel
depends on one since the last meeting.
"""
from __future__ import annotations

import ctypes
import functools
import hashlib
from collections.abc import Mapping, Sequence

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

    def compile(self, specs: Sequence[ProgramSpec]) -> list[Program]:
        """One Program for each spec. CompileError with the source of the kernel that failed."""
        keys = [self._key(spec) for spec in specs]
        found = {key: self._code[key] for key in keys if key in self._code}
        missing = {key: spec for key, spec in zip(keys, specs) if key not in found}
        if missing:
            found |= self._from_disk(missing)
            found |= self._compile_batches({key: spec for key, spec in missing.items() if key not in found})
            with self._lock:
                for old in list(self._code)[:max(0, len(self._code) + len(missing) - MOST_PROGRAMS)]:
                    del self._code[old]
                self._code |= {key: found[key] for key in missing}
        return [Program(spec, code[symbol], code, is_small(spec, SMALL))
                for spec, (code, symbol) in zip(specs, (found[key] for key in keys))]

    def _key(self, spec: ProgramSpec) -> str:
        return hashlib.sha256(f"{spec.name}\0{spec.prelude}\0{spec.source}".encode()).hexdigest()

    def _from_disk(self, wanted: Mapping[str, ProgramSpec]) -> dict[str, Code]:
        """What earlier processes compiled."""
        machine = machine_key(self.compiler)
        found, objects = {}, dict[str, LoadedObject | None]()
        for key in wanted:
            where = cache.get(f"program {machine} {key}")
            if where is None:
                continue
            batch, _, symbol = where.decode(errors="replace").partition(" ")
            if batch not in objects:
                data = cache.get(f"batch {machine} {batch}")
                try:
                    objects[batch] = load_object(data, self.compiler) if data else None
                except ElfError:
                    objects[batch] = None
            code = objects[batch]
            if code is not None and symbol in code.functions:
                found[key] = code, symbol
        return found

    def _compile_batches(self, missing: Mapping[str, ProgramSpec]) -> dict[str, Code]:
        """Compile in as few compiler calls as keep the cores busy, load the objects and put them on disk."""
        batches = split_batches(missing, self.target.cores)
        sources = [join_sources(batch) for batch in batches]
        objects = compile_all(self.compiler, [source for source, _ in sources])
        machine = machine_key(self.compiler)
        found: dict[str, Code] = {}
        for batch, (source, symbols), data in zip(batches, sources, objects):
            if isinstance(data, CompileError):
                if len(batch) == 1:
                    raise data
                for key, spec in batch.items():  # one by one, so that the error shows the kernel at fault
                    found |= self._compile_batches({key: spec})
                continue
            code = load_object(data, self.compiler)
            name = hashlib.sha256(source.encode()).hexdigest()
            cache.put(f"batch {machine} {name}", data)
            for key, symbol in zip(batch, symbols):
                cache.put(f"program {machine} {key}", f"{name} {symbol}".encode())
                found[key] = code, symbol
        return found

    # ---- code for other processes

    def pack(self, specs: Sequence[ProgramSpec]) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
        batches = split_batches({str(number): spec for number, spec in enumerate(specs)}, self.target.cores)
        sources = [join_sources(batch) for batch in batches]
        support = support_source(self.compiler)     # not every machine has what this compiler takes for granted
        code, places = {"pool": build(pool_source(), self.compiler)}, dict[str, tuple[str, str]]()
        for number, data in enumerate(compile_all(self.compiler, [support + source for source, _ in sources])):
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


def compile_all(compiler: Compiler, sources: Sequence[str]) -> list[bytes | CompileError]:
    """Each source's object or error, compiled on as many threads as there are sources but no more than cores."""
    def result(source: str) -> bytes | CompileError:
        try:
            return compiler.compile(source)
        except CompileError as error:
            return error

    if len(sources) < 2:
        return list(map(result, sources))
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(min(len(sources), host_target().cores)) as pool:
        return list(pool.map(result, sources))


def split_batches(specs: Mapping[str, ProgramSpec], cores: int) -> list[dict[str, ProgramSpec]]:
    """Kernels for each compiler call: as many calls as keep `cores` busy, long texts first."""
    keys = sorted(specs, key=lambda key: len(specs[key].source), reverse=True)
    calls = max(-(-len(keys) // PER_CALL), min(cores, len(keys) // LEAST_PER_CALL), 1)
    return [{key: specs[key] for key in keys[number::calls]} for number in range(calls) if keys[number::calls]]
