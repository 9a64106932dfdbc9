"""What a renderer hands to a runtime: the text of one kernel and the facts needed to launch it."""
from __future__ import annotations

from collections.abc import Mapping
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


def join_sources(batch: Mapping[str, ProgramSpec]) -> tuple[str, list[str]]:
    """One C text of many kernels, and the name of each in it: the preprocessor renames one whose name is taken."""
    parts = list(dict.fromkeys(chunk for spec in batch.values() for chunk in spec.prelude))
    symbols, taken = list[str](), set[str]()
    for spec in batch.values():
        symbol = spec.name
        while symbol in taken:
            symbol = f"{spec.name}__{len(symbols)}"
        taken.add(symbol)
        symbols.append(symbol)
        renamed = symbol != spec.name
        parts.append(f"#define {spec.name} {symbol}\n{spec.source}\n#undef {spec.name}" if renamed else spec.source)
    return "\n".join(parts) + "\n", symbols
