"""What a renderer hands to a runtime: the text of one kernel and the facts needed to launch it."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minigrad.uops import sint


@dataclass(frozen=True)
class ProgramSpec:
    """One rendered kernel.

    In C its calling convention is

        void NAME(void *const *buffers, const long *variables, long lo, long hi, char *workspace)

    `buffers` by slot; `variables` in the order of the field; lo:hi the part of the thread axis that this call computes;
    `workspace` 64-byte aligned, one per thread.
    """

    name: str
    source: str                     # the text of one function, no includes
    prelude: tuple[str, ...]        # pieces of text that kernels share, in order: each once per object file
    variables: tuple[str, ...]      # the names of the values in `variables`
    threads: sint                   # extent of the axis that is cut among threads; 1: run on one thread only
    workspace: int                  # bytes of workspace per thread
    written: tuple[int, ...]        # slots of the buffers that are written
    operations: sint                # arithmetic operations of one launch
    bytes: sint                     # bytes read and written by one launch, each element once
    opts: tuple[Any, ...] = ()      # the opts that made it
    grid: tuple[sint, ...] = ()     # blocks in x, y, z; empty where the target has none
    block: tuple[int, ...] = ()     # threads of a block in x, y, z
    shared: int = 0                 # bytes of memory that the threads of a block share
