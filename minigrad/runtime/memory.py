"""Memory for buffers: blocks recycled by size, of any device; and those of this machine, from the system's pages.

Every block is aligned to 64 bytes and has at least 64 bytes after its end that may be read. Blocks of 2 MB and more
are aligned to 2 MB and ask for huge pages. Small blocks are cut from chunks of 2 MB. A freed block goes to a list of
its size and is handed out again as it is: memory is not zeroed. Above a cap, large blocks go back to the system.

`free` takes no lock and may be called at any moment, also by the garbage collector in the middle of an `allocate`.
"""
from __future__ import annotations

import ctypes
import functools
import math
import mmap
import os
from collections import deque
from collections.abc import Callable

from minigrad.runtime.locks import fork_safe_lock
from minigrad.target import memory_limit

PAGE = mmap.PAGESIZE
HUGE = 2 << 20
ALIGNMENT = 64
SLACK = 64              # readable bytes after the end of every block
SMALL = 128 << 10       # blocks up to this size are cut from chunks


def align_up(value: int, alignment: int) -> int:
    """The next multiple of a power of two."""
    return (value + alignment - 1) & -alignment


@functools.cache
def c_library() -> ctypes.CDLL:
    """The C library of this process, with the calls that map memory."""
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    library.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    library.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return library


def map_memory(size: int, alignment: int = PAGE) -> tuple[int, int, int]:
    """Zeroed private memory: (aligned address, address of the mapping, its size). MemoryError if there is none."""
    library = c_library()
    total = align_up(size, PAGE) + (alignment - PAGE if alignment > PAGE else 0)
    start = library.mmap(None, total, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if start in (None, ctypes.c_void_p(-1).value):
        raise MemoryError(f"the system gives no {size} bytes of memory: {os.strerror(ctypes.get_errno())}")
    return align_up(start, alignment), start, total


def map_huge(size: int) -> tuple[int, int, int]:
    """As `map_memory`, aligned to 2 MB and with huge pages where the system grants them."""
    address, start, total = map_memory(size, HUGE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        c_library().madvise(address, size, mmap.MADV_HUGEPAGE)
    return address, start, total


def size_class(size: int) -> int:
    """Bytes reserved for a block of `size`, slack included: at most a quarter more, or up to 2 MB above 2 MB."""
    size += SLACK
    if size >= HUGE:
        return align_up(size, HUGE)
    step = max(ALIGNMENT, 1 << max(0, size.bit_length() - 3))
    return min(align_up(size, step), HUGE)


class Recycler:
    """Blocks by address. Freed ones go to a list of their size class and are handed out again as they are.

    `new_block(bytes)` gives the address of memory that was not in use, `drop_block(address)` gives it back: above `cap`
    bytes of freed blocks, and where there is no memory left; but never blocks of up to `least` bytes. `in_use` and
    `peak` count the bytes that callers asked for; `cached` those kept for reuse.
    """

    def __init__(self, new_block: Callable[[int], int], drop_block: Callable[[int], None], cap: float = math.inf,
                 least: int = 0) -> None:
        self._new_block, self._drop_block, self.cap, self.least = new_block, drop_block, cap, least
        self.cached = 0
        self._in_use = 0
        self.peak = 0
        self._lock = fork_safe_lock()
        self._freed: deque[tuple[int, int]] = deque()           # (address, size asked for), not yet looked at
        self._recycled: dict[int, list[int]] = {}               # size class -> addresses

    def allocate(self, size: int) -> int:
        """The address of a block of at least `size` bytes. MemoryError if there is no more."""
        if size < 0:
            raise ValueError(f"allocate: {size} bytes")
        with self._lock:
            self._collect()
            kind = size_class(size)
            recycled = self._recycled.get(kind)
            if recycled:
                address = recycled.pop()
                self.cached -= kind
            else:
                try:
                    address = self._new_block(kind)
                except MemoryError:
                    self._shrink(0)
                    address = self._new_block(kind)
            self._in_use += size
            self.peak = max(self.peak, self._in_use)
            return address

    def free(self, address: int, size: int) -> None:
        """Give back a block, with the size that was asked for."""
        self._freed.append((address, size))

    @property
    def in_use(self) -> int:
        with self._lock:
            self._collect()
            return self._in_use

    def reset_peak(self) -> None:
        """Start counting the peak anew from what is in use."""
        self.peak = self.in_use

    def release_cached(self) -> None:
        """Give freed blocks back, but for the smallest."""
        with self._lock:
            self._collect()
            self._shrink(0)

    def _collect(self) -> None:
        """Put freed blocks on the lists of their sizes."""
        while self._freed:
            address, size = self._freed.popleft()
            kind = size_class(size)
            self._recycled.setdefault(kind, []).append(address)
            self.cached += kind
            self._in_use -= size
        if self.cached > self.cap:
            self._shrink(self.cap)

    def _shrink(self, limit: float) -> None:
        """Drop cached blocks, the largest sizes first, until `limit` bytes at most are cached."""
        for kind in sorted(self._recycled, reverse=True):
            addresses = self._recycled[kind]
            while addresses and kind > self.least and self.cached > limit:
                self._drop_block(addresses.pop())
                self.cached -= kind


class Allocator(Recycler):
    """Blocks of this machine's memory: small ones are cut from chunks and stay there, large ones are mappings."""

    def __init__(self, cap: int | None = None) -> None:
        super().__init__(self._fresh, self._unmap, memory_limit() // 4 if cap is None else cap, SMALL)
        self._mappings: dict[int, tuple[int, int]] = {}         # address -> (start, size) of its own mapping
        self._chunk, self._chunk_end = 0, 0

    def _fresh(self, kind: int) -> int:
        if kind > SMALL:
            address, start, total = map_memory(kind) if kind < HUGE else map_huge(kind)
            self._mappings[address] = start, total
            return address
        if self._chunk + kind > self._chunk_end:
            # What is left of the old chunk, less than the largest small block, is given up.
            self._chunk, _, _ = map_huge(HUGE)
            self._chunk_end = self._chunk + HUGE
        address, self._chunk = self._chunk, self._chunk + kind
        return address

    def _unmap(self, address: int) -> None:
        c_library().munmap(*self._mappings.pop(address))
