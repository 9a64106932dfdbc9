"""The NULL device: everything up to the launch happens, then nothing. For timing and testing what comes before.

Kernels are rendered but not compiled, launches take no time, buffers have no memory: they are counted, read as zeros,
and what is copied in is forgotten.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from minigrad.codegen.pipeline import Lowered
from minigrad.renderer.base import ProgramSpec
from minigrad.renderer.clang import render
from minigrad.runtime.device import Buffer, Device, GraphRunner, Launch, Program, Replaced, check_buffers
from minigrad.runtime.memory import Recycler
from minigrad.target import Target, host_target


class NullGraph(GraphRunner):
    """Launches that do nothing."""

    def profile(self, variables: Mapping[str, int], replaced: Replaced | None = None) -> list[float]:
        for launch in self.launches:
            for name in launch.names:
                variables[name]
        return [0.0] * len(self.launches)


class NullDevice(Device):
    """A device like this machine's processor that runs nothing."""

    def __init__(self, name: str) -> None:
        super().__init__(name, Recycler(lambda nbytes: 0, lambda ptr: None))

    @property
    def target(self) -> Target:
        return host_target()

    def copyin(self, ptr: int, data: memoryview) -> None:
        return None

    def copyout(self, data: memoryview, ptr: int) -> None:
        data[:] = bytes(data.nbytes)

    def render(self, lowered: Lowered) -> ProgramSpec:
        return render(lowered, self.target, frozenset({"elementwise"}))

    def compile(self, specs: Iterable[ProgramSpec]) -> list[Program]:
        return [Program(spec) for spec in specs]

    def launch(self, program: Program, buffers: Sequence[Buffer], variables: Mapping[str, int],
               wait: bool = True) -> float:
        check_buffers(program.spec, buffers)
        return 0.0

    def graph(self, launches: Sequence[Launch]) -> NullGraph:
        return NullGraph(self, launches)
