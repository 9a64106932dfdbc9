"""Memory for a schedule: what the user keeps gets buffers of its own, everything between shares one arena a device.

In: kernels in order, over `Memory`. Out: every `Memory.buffer` is set. A value lives from the kernel that
first writes it to the last one that uses it; two that never live at once may lie at the same place. Places are given
first-fit in the order of the kernels, 64-byte aligned; what a kernel reads and what it writes never overlap.
"""
from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from ..dtype import dtypes
from ..helpers import prod
from .kernelize import Kernel
from .versions import Memory

ALIGNMENT = 64
Item = TypeVar("Item")
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


def share(steps: Sequence[Sequence[Item]], size: Callable[[Item], tuple[str, int]]
          ) -> tuple[dict[str, int], dict[Item, int]]:
    """Places for what steps use, each from the first step that does to the last: the bytes of an arena for each device,
    and where in it everything lies. `size`: (device, bytes).
    """
    last = {item: step for step, items in enumerate(steps) for item in items}
    arenas: dict[str, Arena] = {}
    blocks: dict[Item, tuple[int, int]] = {}
    for step, items in enumerate(steps):
        for item in items:
            if item not in blocks:
                device, nbytes = size(item)
                blocks[item] = arenas.setdefault(device, Arena()).take(nbytes)
        for item in dict.fromkeys(items):
            if last[item] == step:
                arenas[size(item)[0]].give_back(blocks[item])
    sizes = {device: arena.size for device, arena in arenas.items()}
    return sizes, {item: start for item, (start, _) in blocks.items()}


def allocate(kernels: Sequence[Kernel], kept: Iterable[Memory], new_buffer: NewBuffer) -> None:
    """Gives every memory of the kernels, and what is kept, its buffer."""
    sizes, places = share([[m for m in kernel.buffers if m.buffer is None and not m.kept and prod(m.shape)]
                           for kernel in kernels], lambda m: (m.device, prod(m.shape) * m.dtype.itemsize))
    arenas = {device: new_buffer(device, (nbytes,), dtypes.uint8) for device, nbytes in sizes.items()}
    for memory, start in places.items():
        memory.buffer = new_buffer(memory.device, memory.shape, memory.dtype, base=arenas[memory.device], offset=start)
    for memory in [*kept, *(memory for kernel in kernels for memory in kernel.buffers)]:
        if memory.buffer is None:
            memory.buffer = new_buffer(memory.device, memory.shape, memory.dtype)
