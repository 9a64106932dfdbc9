"""Memory for a schedule: what the user keeps gets buffers of its own, everything between shares one arena a device.

In: kernels in order, as plans over `Memory`. Out: every `Memory.buffer` is set. A value lives from the kernel that
first writes it to the last one that uses it; two that never live at once may lie at the same place. Places are given
first-fit in the order of the kernels, 64-byte aligned; what a kernel reads and what it writes never overlap.
"""
from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..dtype import dtypes
from ..helpers import prod
from .kernelize import Plan
from .versions import Memory

ALIGNMENT = 64
NewBuffer = Callable[..., Any]  # runtime's Buffer: (device, shape, dtype, *, base=None, offset=0)


class Arena:
    """Offsets for blocks that come and go. `size` is the most that was in use, gaps included."""

    def __init__(self) -> None:
        self.size = 0
        self.gaps: list[tuple[int, int]] = []  # (start, end), ascending, never adjacent

    def take(self, nbytes: int) -> tuple[int, int]:
        """The first gap that is large enough, else the end."""
        nbytes = max(ALIGNMENT, -(-nbytes // ALIGNMENT) * ALIGNMENT)
        for i, (start, end) in enumerate(self.gaps):
            if end - start >= nbytes:
                if end - start == nbytes:
                    del self.gaps[i]
                else:
                    self.gaps[i] = (start + nbytes, end)
                return start, start + nbytes
        start = self.size
        if self.gaps and self.gaps[-1][1] == self.size:  # the last gap grows
            start = self.gaps.pop()[0]
        self.size = start + nbytes
        return start, self.size

    def give_back(self, block: tuple[int, int]) -> None:
        """Makes a block a gap, merged with its neighbours."""
        i = bisect_left(self.gaps, block)
        start, end = block
        if i < len(self.gaps) and self.gaps[i][0] == end:
            end = self.gaps.pop(i)[1]
        if i and self.gaps[i - 1][1] == start:
            start = self.gaps.pop(i - 1)[0]
        insort(self.gaps, (start, end))


def lifetimes(plans: Sequence[Plan]) -> dict[Memory, tuple[int, int]]:
    """Of what lies between kernels: the first and the last kernel that uses it."""
    found: dict[Memory, tuple[int, int]] = {}
    for step, plan in enumerate(plans):
        for memory in plan.memory:
            if memory.buffer is None and not memory.kept and prod(memory.shape):
                found[memory] = found[memory][0] if memory in found else step, step
    return found


def allocate(plans: Sequence[Plan], kept: Iterable[Memory], new_buffer: NewBuffer) -> None:
    """Gives every memory of the plans, and what is kept, its buffer."""
    alive = lifetimes(plans)
    dying: dict[int, list[Memory]] = {}
    for memory, (_, last) in alive.items():
        dying.setdefault(last, []).append(memory)
    arenas: dict[str, Arena] = {}
    blocks: dict[Memory, tuple[int, int]] = {}
    for step, plan in enumerate(plans):
        for memory in plan.memory:
            if memory in alive and memory not in blocks:
                arena = arenas.setdefault(memory.device, Arena())
                blocks[memory] = arena.take(prod(memory.shape) * memory.dtype.itemsize)
        for memory in dying.get(step, ()):
            arenas[memory.device].give_back(blocks[memory])
    bases = {device: new_buffer(device, (arena.size,), dtypes.uint8) for device, arena in arenas.items()}
    for memory, (start, _) in blocks.items():
        memory.buffer = new_buffer(memory.device, memory.shape, memory.dtype, base=bases[memory.device], offset=start)
    for memory in [*kept, *(memory for plan in plans for memory in plan.memory)]:
        if memory.buffer is None:
            memory.buffer = new_buffer(memory.device, memory.shape, memory.dtype)
