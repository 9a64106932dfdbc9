"""What this machine can do at most: bytes read a second, multiply-adds a second. Measured, not looked up.

`probe()` measures once per machine and keeps the answer on disk. `read_bandwidth_now()` takes a fraction of a second
and is for benchmarks that state a share of the bandwidth: a shared machine is not equally fast at every moment.

Rates are the best of several passes. Reading sums vectors of memory much larger than the last cache; multiply-adds
are float32 on independent accumulators, two operations each.
"""
from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from minigrad.runtime import cache
from minigrad.runtime.compiler import find_compiler
from minigrad.runtime.device import Roofs
from minigrad.runtime.elf import LoadedObject
from minigrad.runtime.memory import c_library, map_huge
from minigrad.runtime.objects import c_text, load_source, machine_key
from minigrad.runtime.pool import get_pool, thread_count
from minigrad.target import host_target, physical_cpus

ACCUMULATORS = 12                       # of multiply-adds, in probe.c
CHUNK = 4096                            # bytes that the thread axis of reading and writing counts
SMALLEST, LARGEST = 256 << 20, 1 << 30  # bytes of memory that are read
FMA_ROUNDS = 1 << 18                    # multiply-adds of each accumulator in one pass on one thread


@functools.cache
def _code() -> LoadedObject:
    return load_source(c_text("probe.c", VECTOR_BYTES=host_target().vector_bytes, CHUNK=CHUNK))


def _seconds(name: str, addresses: tuple[int, int], extent: int, threads: int) -> float:
    return get_pool().launch(_code()[name], (ctypes.c_void_p * 2)(*addresses), None, extent, threads, 0) * 1e-9


def _best(name: str, addresses: tuple[int, int], extent: int, threads: int, budget: float) -> float:
    """The least seconds of a pass, of as many as fit the budget in seconds, three at least."""
    end = time.perf_counter() + budget
    times = [_seconds(name, addresses, extent, threads) for _ in range(3)]
    while time.perf_counter() < end:
        times.append(_seconds(name, addresses, extent, threads))
    return min(times)


@contextmanager
def _memory(nbytes: int, threads: int) -> Iterator[int]:
    """Memory outside of any device's books, every page of it written: pages that never were are all the same one."""
    address, start, total = map_huge(nbytes)
    try:
        _seconds("probe_write", (address, address), nbytes // CHUNK, threads)
        yield address
    finally:
        c_library().munmap(start, total)


def _probe_bytes() -> int:
    return min(max(SMALLEST, 4 * host_target().l3), LARGEST) // CHUNK * CHUNK


def read_bandwidth_now(threads: int | None = None, seconds: float = 0.15) -> float:
    """Bytes a second that `threads` (default: all) threads read from memory, measured now for so many seconds."""
    threads, nbytes = threads or thread_count(), _probe_bytes()
    with _memory(nbytes, threads) as address:
        return nbytes / _best("probe_read", (address, address), nbytes // CHUNK, threads, seconds)


def flops_now(threads: int | None = None, seconds: float = 0.15) -> float:
    """float32 operations a second of multiply-adds on `threads` (default: all) threads, measured now."""
    threads = threads or thread_count()
    values = (ctypes.c_float * 2)(0.999, 0.001)
    address, extent = ctypes.addressof(values), FMA_ROUNDS * threads
    lanes = host_target().vector_bytes // 4
    return 2 * lanes * ACCUMULATORS * extent / _best("probe_fma", (address, address), extent, threads, seconds)


_known: dict[int, Roofs] = {}


def _measure(threads: int) -> Roofs:
    return Roofs(read_bandwidth_now(threads), flops_now(threads))


def probe(refresh: bool = False, threads: int | None = None) -> Roofs:
    """The limits of so many threads (default: all), from memory, from disk, or measured in about 1 s."""
    threads = threads or thread_count()
    key = f"roofs 2 {machine_key(find_compiler())} {threads} " \
          f"{hashlib.sha256(repr(physical_cpus()).encode()).hexdigest()[:16]}"
    if threads not in _known and not refresh:
        try:
            _known[threads] = Roofs(**json.loads(cache.get(key) or b"null"))
        except (ValueError, TypeError):
            refresh = True
    if refresh:
        _known[threads] = _measure(threads)
        cache.put(key, json.dumps(asdict(_known[threads])).encode())
    return _known[threads]
