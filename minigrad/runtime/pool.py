"""The thread pool: runs one kernel, or a table of kernels, on the threads of this process.

`run_table` walks a `Table` on all threads; `launch` runs one kernel. Threads are started when first needed, sleep when
there is nothing to do, and number as many as the flag THREADS says, by default one for each core that this process may
use. Two Python threads that launch at once take turns. A child of fork starts threads of its own.
"""
from __future__ import annotations

import atexit
import ctypes
import os
import struct
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from minigrad.helpers import PIN, THREADS
from minigrad.runtime.elf import LoadedObject
from minigrad.runtime.locks import fork_safe_lock
from minigrad.runtime.memory import HUGE, align_up, c_library, map_huge, map_memory
from minigrad.runtime.objects import c_text, load_source
from minigrad.target import host_target, physical_cpus

MOST_THREADS = 512
MOST_VARIABLES = 32                     # that one kernel may take
MEET, SINGLE = 1, 2                     # flags of an entry: the threads meet before it; one thread runs all of it
ENTRY = struct.Struct("PPPiii0P")        # struct entry of pool.c
FLAGS = struct.calcsize("PPPii")        # where in an entry they stand
ADDRESS = struct.calcsize("P")

_POINTER, _LONG, _INT = ctypes.c_void_p, ctypes.c_long, ctypes.c_int
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "pool_bytes": (_LONG, _LONG),
    "pool_start": (_INT, _POINTER, _LONG, _LONG),
    "pool_stop": (None, _POINTER, _LONG),
    "pool_set_home": (None, _POINTER, _LONG),
    "pool_set_workspace": (None, _POINTER, _LONG, _POINTER),
    "pool_run": (_LONG, _POINTER, _POINTER, _LONG, _POINTER, _POINTER, _POINTER, _LONG),
    "pool_launch": (_LONG, _POINTER, _POINTER, _POINTER, _POINTER, _LONG, _LONG),
}


def pool_source() -> str:
    """The pool's C text: threads, meetings, the walk over a table."""
    return c_text("pool.c", MEET=MEET, SINGLE=SINGLE, MOST_VARIABLES=MOST_VARIABLES)


def thread_count() -> int:
    """How many threads a launch uses: the flag THREADS, or the cores of this machine. ValueError for a bad flag."""
    wanted = THREADS.value
    if not 0 <= wanted <= MOST_THREADS:
        raise ValueError(f"THREADS={wanted}: expected 0 (one for each core) to {MOST_THREADS}")
    return int(wanted) or min(host_target().cores, MOST_THREADS)


class Table:
    """Kernels in the order in which they run, as the C walker reads them.

    `rows`: (function, first place in `pointers`, variables' numbers, number of its extent, threads meet before, one
    thread only). `pointers`: the addresses of all kernels' buffers, one after the other; may be changed between runs.
    """

    def __init__(self, rows: Sequence[tuple[int, int, tuple[int, ...], int, bool, bool]], pointers: Sequence[int],
                 variables: int, extents: int) -> None:
        self.count = len(rows)
        self.pointers = (_POINTER * max(1, len(pointers)))(*pointers)
        self.variables = (_LONG * max(1, variables))()
        self.extents = (_LONG * max(1, extents))()
        base = ctypes.addressof(self.pointers)
        most = max((len(numbers) for _, _, numbers, *_ in rows), default=0)
        if most > MOST_VARIABLES:
            raise ValueError(f"a kernel takes {most} variables; at most {MOST_VARIABLES} are supported")
        self._indices = [(_INT * len(numbers))(*numbers) for _, _, numbers, *_ in rows]
        entries = b"".join(
            ENTRY.pack(function, base + first * ADDRESS, ctypes.addressof(indices), len(indices), extent,
                       MEET * meet | SINGLE * single)
            for (function, first, _, extent, meet, single), indices in zip(rows, self._indices))
        self.entries = ctypes.create_string_buffer(entries)
        self.flags = [MEET * meet | SINGLE * single for *_, meet, single in rows]
        self.addresses = (ctypes.addressof(self.entries), ctypes.addressof(self.variables),
                          ctypes.addressof(self.extents))

    def set_meetings(self, meet: Sequence[bool]) -> None:
        """Change before which entries the threads meet."""
        for number, (flags, wanted) in enumerate(zip(self.flags, meet)):
            struct.pack_into("i", self.entries, number * ENTRY.size + FLAGS, flags & ~MEET | MEET * wanted)


class Pool:
    """The threads of this process and their workspaces. Its methods may be called from any Python thread."""

    def __init__(self, code: LoadedObject) -> None:
        self.code = code                # never unmapped: threads run in it until the process ends
        self.c = SimpleNamespace(**{name: ctypes.CFUNCTYPE(result, *arguments)(code[name])
                                    for name, (result, *arguments) in _SIGNATURES.items()})
        self.lock = fork_safe_lock()
        os.register_at_fork(after_in_child=self._forget_threads)
        self._forget_threads()

    def _forget_threads(self) -> None:
        """Begin anew: no threads but the caller. Also what a child of fork does, whose threads stayed behind."""
        self.state, _, _ = map_memory(self.c.pool_bytes(MOST_THREADS), 4096)
        self.threads = 1
        self.home = -1
        self.c.pool_set_home(self.state, -1)
        self.workspace = 0
        self._workspace_mapping: tuple[int, int] | None = None

    def require(self, threads: int, workspace: int) -> None:
        """Have at least so many threads, and workspace bytes for each. RuntimeError if a thread cannot be started."""
        if threads <= self.threads and workspace <= self.workspace:
            return
        with self.lock:
            cpus = physical_cpus()
            # Pinned only where the threads fill the machine: otherwise processes would crowd the same few CPUs.
            pinned = bool(PIN) and threads == len(cpus) == host_target().cores
            while self.threads < threads:
                cpu = cpus[self.threads] if pinned else -1
                error = self.c.pool_start(self.state, self.threads, cpu)
                if error:
                    raise RuntimeError(f"thread {self.threads} of {threads} cannot be started: {os.strerror(error)}")
                self.threads += 1
                if pinned:
                    self.c.pool_set_home(self.state, cpus[0])
            self._set_workspaces(max(workspace, self.workspace))

    def _set_workspaces(self, size: int) -> None:
        """Give every thread `size` bytes at a multiple of 64."""
        stride = align_up(max(size, 64), 4096) + 4096 + 64  # threads' arrays do not start at the same place of a page
        total = align_up(stride * self.threads, HUGE) if size else 4096
        old = self._workspace_mapping
        address, start, mapped = map_huge(total) if size else map_memory(total)
        self._workspace_mapping = start, mapped
        for thread in range(self.threads):
            place = address + (thread * stride if size else 0)
            self.c.pool_set_workspace(self.state, thread, place)
        self.workspace = size
        if old is not None:
            c_library().munmap(*old)

    def run_table(self, table: Table, threads: int, workspace: int, times: ctypes.Array[ctypes.c_long] | None = None
                  ) -> int:
        """Run a table once; ns. `times` receives when each entry began and the last one ended; then threads meet
        before every entry."""
        entries, variables, extents = table.addresses
        with self.lock:
            self.require(threads, workspace)
            result: int = self.c.pool_run(self.state, entries, table.count, variables, extents, times, threads)
            return result

    def launch(self, function: int, buffers: ctypes.Array[ctypes.c_void_p],
               variables: ctypes.Array[ctypes.c_long] | None, extent: int, threads: int, workspace: int) -> int:
        """Run one kernel; ns."""
        with self.lock:
            if threads > self.threads or workspace > self.workspace:
                self.require(threads, workspace)
            result: int = self.c.pool_launch(self.state, function, buffers, variables, extent, threads)
            return result

    def stop(self) -> None:
        """End the threads; the next launch starts new ones. Gives up if another Python thread is still launching."""
        if self.lock.acquire(timeout=1.0):
            try:
                if self.threads > 1:
                    self.c.pool_stop(self.state, self.threads)
                    self._forget_threads()
            finally:
                self.lock.release()


_pools: list[Pool] = []
_pools_lock = fork_safe_lock()


def get_pool() -> Pool:
    """The pool of this process, compiled or taken from the disk cache when first asked for. CompileError."""
    if not _pools:
        with _pools_lock:
            if not _pools:
                pool = Pool(load_source(pool_source()))
                atexit.register(pool.stop)
                _pools.append(pool)
    return _pools[0]
