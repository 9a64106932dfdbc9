"""What devices with memory of their own have in common: blocks kept for reuse, programs kept by their text, and grids.

A device brings how to get and give back a block, how to build a few kernels in one go, and how to run one of them.
"""
from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence

from minigrad.renderer.base import ProgramSpec
from minigrad.runtime.compiler import CompileError
from minigrad.runtime.device import Buffer, Device, GraphRunner, Launch, Program, Replaced, check_buffers
from minigrad.runtime.locks import fork_safe_lock
from minigrad.runtime.memory import size_class
from minigrad.uops.symbolic import evaluate

Grid = tuple[int, ...]


class GPUGraph(GraphRunner):
    """A list of launches: all are started, none is waited for."""

    def run(self, variables: Mapping[str, int], replaced: Replaced | None = None) -> float:
        return sum(self.launch_each(variables, replaced, wait=False))


class GPUDevice(Device):
    """What does not depend on how a driver is called. A block is reused at once: launches and copies run in order."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._lock = fork_safe_lock()
        self._freed: deque[tuple[int, int]] = deque()           # (address, size asked for), not yet looked at
        self._spare: dict[int, list[int]] = {}                  # size class -> addresses
        self._in_use = self._peak = 0
        self._built: dict[tuple[str, tuple[str, ...], str], tuple[int, object]] = {}

    # ---- what a device brings

    @abstractmethod
    def new_block(self, nbytes: int) -> int:
        """The address of memory that was not in use. MemoryError."""

    @abstractmethod
    def drop_block(self, ptr: int) -> None:
        """Give a block back to the driver."""

    @abstractmethod
    def build(self, specs: Sequence[ProgramSpec]) -> list[tuple[int, object]]:
        """The handle and the code of each kernel, in one compiler call. CompileError."""

    @abstractmethod
    def run(self, program: Program, buffers: Sequence[Buffer], values: Sequence[int], grid: Grid, wait: bool) -> float:
        """Launch a kernel; `values` are those of its variables. Seconds, 0.0 if it was not waited for."""

    # ---- memory

    def allocate(self, nbytes: int) -> int:
        with self._lock:
            self._collect()
            spare = self._spare.get(size_class(nbytes))
            ptr = spare.pop() if spare else self._new(nbytes)
            self._in_use += nbytes
            self._peak = max(self._peak, self._in_use)
            return ptr

    def _new(self, nbytes: int) -> int:
        kind = size_class(nbytes)
        try:
            return self.new_block(kind)
        except MemoryError:
            for ptr in [ptr for spare in self._spare.values() for ptr in spare]:
                self.drop_block(ptr)
            self._spare.clear()
        try:
            return self.new_block(kind)
        except MemoryError as error:
            raise MemoryError(f"{self.name}: no {nbytes} bytes, where {self._in_use} are in use: {error}") from None

    def free(self, ptr: int, nbytes: int) -> None:
        self._freed.append((ptr, nbytes))

    def _collect(self) -> None:
        while self._freed:
            ptr, nbytes = self._freed.popleft()
            self._spare.setdefault(size_class(nbytes), []).append(ptr)
            self._in_use -= nbytes

    @property
    def memory_in_use(self) -> int:
        with self._lock:
            self._collect()
            return self._in_use

    @property
    def memory_peak(self) -> int:
        return self._peak

    def reset_memory_peak(self) -> None:
        self._peak = self.memory_in_use

    # ---- kernels

    def compile(self, specs: Sequence[ProgramSpec]) -> list[Program]:
        keys = [(spec.name, spec.prelude, spec.source) for spec in specs]
        missing = {key: spec for key, spec in zip(keys, specs) if key not in self._built}
        if missing:
            try:
                self._built.update(zip(missing, self.build(list(missing.values()))))
            except CompileError:
                if len(missing) == 1:
                    raise
                for spec in missing.values():       # one by one, so that the error shows the kernel at fault
                    self.compile([spec])
        return [Program(spec, *self._built[key]) for spec, key in zip(specs, keys)]

    def launch(self, program: Program, buffers: Sequence[Buffer], variables: Mapping[str, int],
               wait: bool = True) -> float:
        spec = program.spec
        check_buffers(spec, buffers)
        for slot, buffer in enumerate(buffers):
            if buffer.device != self.name:
                raise ValueError(f"launch: {spec.name} on {self.name} has {buffer!r} in slot {slot}")
        grid = tuple(evaluate(n, variables) for n in spec.grid)
        values = [variables[name] for name in spec.variables]
        return 0.0 if 0 in grid else self.run(program, buffers, values, grid, wait)

    def graph(self, launches: Sequence[Launch]) -> GraphRunner:
        return GPUGraph(self, launches)
