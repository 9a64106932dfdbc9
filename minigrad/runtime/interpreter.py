"""The NUMPY device: runs kernel ASTs as they are, with numpy. Slow, no compiler, plainly right.

It compiles no source: the `code` of its Programs is the AST itself, a SINK of STOREs.
"""
from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from minigrad.renderer.base import ProgramSpec
from minigrad.runtime.device import Buffer, Program, check_buffers
from minigrad.runtime.host import HostDevice
from minigrad.runtime.numpy import evaluate_kernel
from minigrad.uops import UOp


class NumpyDevice(HostDevice):
    """The interpreter of kernel ASTs on host memory."""

    interprets = True

    def describe(self) -> str:
        return f"{self.name}: the interpreter of kernels, no compiler"

    def compile(self, specs: Iterable[ProgramSpec]) -> list[Program]:
        raise RuntimeError(f"{self.name} interprets kernel ASTs and compiles no source")

    def launch(self, program: Program, buffers: Sequence[Buffer], variables: Mapping[str, int],
               wait: bool = True) -> float:
        if not isinstance(program.code, UOp):
            raise RuntimeError(f"{self.name}: the program {program.name} holds no kernel AST")
        check_buffers(program.spec, buffers)
        start = time.perf_counter()
        evaluate_kernel(program.code, [buffer.numpy() for buffer in buffers], variables)
        return time.perf_counter() - start
