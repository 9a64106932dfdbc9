"""What devices with memory of their own have in common: programs kept by their text, and grids.

A device brings how to get and give back a block, how to build a few kernels in one go, and how to run one of them.
"""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence

from minigrad.renderer.base import ProgramSpec
from minigrad.runtime.compiler import CompileError
from minigrad.runtime.device import Buffer, Device, GraphRunner, Launch, Program, Replaced, check_buffers
from minigrad.runtime.memory import Recycler
from minigrad.uops.symbolic import evaluate

Grid = tuple[int, ...]


class GPUGraph(GraphRunner):
    """A list of launches: all are started, none is waited for."""

    def run(self, variables: Mapping[str, int], replaced: Replaced | None = None) -> float:
        return sum(self.launch_each(variables, replaced, wait=False))


class GPUDevice(Device):
    """What does not depend on how a driver is called. A block is reused at once: launches and copies run in order."""

    def __init__(self, name: str) -> None:
        super().__init__(name, Recycler(self.new_block, self.drop_block))
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

    # ---- kernels

    def compile(self, specs: Iterable[ProgramSpec]) -> list[Program]:
        specs = list(specs)
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

    def timer(self, program: Program, buffers: Sequence[Sequence[Buffer]],
              variables: Mapping[str, int]) -> Callable[[], float]:
        """As the driver's events time each launch: a graph's are only started."""
        return lambda: sum(self.launch(program, each, variables) for each in buffers) / len(buffers)

    def graph(self, launches: Sequence[Launch]) -> GraphRunner:
        return GPUGraph(self, launches)
