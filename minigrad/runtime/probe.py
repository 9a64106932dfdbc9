"""What this machine can do at most: bytes read and copied a second, multiply-adds a second. Measured, not looked up.

`probe()` measures once per machine and keeps the answer on disk. `read_bandwidth_now()` takes a fraction of a second
and is for benchmarks that state a share of the bandwidth: a shared machine is not equally fast at every moment.

Rates are the best of several passes. Reading sums vectors of memory much larger than the last cache; copying counts
the bytes read and the bytes written; multiply-adds are float32 on independent accumulators, two operations each.
"""
from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields

from minigrad.runtime import cache
from minigrad.runtime.compiler import find_compiler
from minigrad.runtime.elf import LoadedObject
from minigrad.runtime.memory import c_library, map_huge
from minigrad.runtime.objects import load_source, machine_key
from minigrad.runtime.pool import get_pool, thread_count
from minigrad.target import host_target, physical_cpus

ACCUMULATORS = 12                       # latency of 4 to 5 cycles times 2 units, and a few to spare
CHUNK = 4096                            # bytes that the thread axis of reading and copying counts
SMALLEST, LARGEST = 256 << 20, 1 << 30  # bytes of memory that are read or copied
FMA_ROUNDS = 1 << 18                    # multiply-adds of each accumulator in one pass on one thread

PROBE_SOURCE = r"""
typedef float V __attribute__((vector_size(VECTOR_BYTES), may_alias));
enum { STEPS = CHUNK / VECTOR_BYTES };

void probe_read(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
    const V *in = (const V *)buffers[0] + lo * STEPS, *end = (const V *)buffers[0] + hi * STEPS;
    V a = {0}, b = {0}, c = {0}, d = {0};
    for (; in < end; in += 8) {
        a += in[0]; b += in[1]; c += in[2]; d += in[3];
        a += in[4]; b += in[5]; c += in[6]; d += in[7];
    }
    a += b + c + d;
    if (a[0] == 1.25f) ((float *)buffers[1])[0] = a[1];     /* never: the sums must look needed */
}

void probe_copy(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
    V *out = (V *)buffers[1];
    const V *in = (const V *)buffers[0];
    for (long i = lo * STEPS; i < hi * STEPS; i++) {
#ifdef __clang__
        __builtin_nontemporal_store(in[i], out + i);
#else
        out[i] = in[i];
#endif
    }
#ifdef __SSE2__
    __builtin_ia32_sfence();
#endif
}

void probe_write(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
    V *out = (V *)buffers[0];
    for (long i = lo * STEPS; i < hi * STEPS; i++) out[i] = (V){0} + 1e-3f;
}

void probe_fma(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
    const float *in = buffers[0];
    V factor = (V){0} + in[0], term = (V){0} + in[1], DECLARE;
    for (long i = lo; i < hi; i++) { UPDATE }
    V sum = SUM;
    if (sum[0] == 1.25f) ((float *)buffers[1])[0] = sum[1];
}
"""


@dataclass(frozen=True)
class Roofline:
    """Limits of this machine, a second: bytes, or float32 operations. `one_`: of one thread, the others: of all."""

    read_bandwidth: float
    copy_bandwidth: float
    flops: float
    one_read_bandwidth: float
    one_copy_bandwidth: float
    one_flops: float
    threads: int

    def time(self, operations: float, nbytes: float) -> float:
        """Seconds that a kernel needs at least: the larger of its time for bytes and its time for operations."""
        return max(operations / self.flops, nbytes / self.read_bandwidth)


@functools.cache
def _code() -> LoadedObject:
    names = [f"a{i}" for i in range(ACCUMULATORS)]
    text = {"VECTOR_BYTES": str(host_target().vector_bytes), "CHUNK": str(CHUNK), "SUM": " + ".join(names),
            "DECLARE": ", ".join(f"{name} = (V){{0}} + {i}.f" for i, name in enumerate(names)),
            "UPDATE": " ".join(f"{name} = {name} * factor + term;" for name in names)}
    source = PROBE_SOURCE
    for word, replacement in text.items():
        source = source.replace(word, replacement)
    return load_source(source)


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


def copy_bandwidth_now(threads: int | None = None, seconds: float = 0.15) -> float:
    """Bytes a second, read and written ones together, of a copy in memory, measured now."""
    threads, nbytes = threads or thread_count(), _probe_bytes()
    with _memory(nbytes, threads) as source, _memory(nbytes, threads) as target:
        return 2 * nbytes / _best("probe_copy", (source, target), nbytes // CHUNK, threads, seconds)


def flops_now(threads: int | None = None, seconds: float = 0.15) -> float:
    """float32 operations a second of multiply-adds on `threads` (default: all) threads, measured now."""
    threads = threads or thread_count()
    values = (ctypes.c_float * 2)(0.999, 0.001)
    address, extent = ctypes.addressof(values), FMA_ROUNDS * threads
    lanes = host_target().vector_bytes // 4
    return 2 * lanes * ACCUMULATORS * extent / _best("probe_fma", (address, address), extent, threads, seconds)


def _measure(threads: int) -> Roofline:
    all_read, all_copy, all_flops = read_bandwidth_now(threads), copy_bandwidth_now(threads), flops_now(threads)
    if threads == 1:
        return Roofline(all_read, all_copy, all_flops, all_read, all_copy, all_flops, 1)
    return Roofline(all_read, all_copy, all_flops, read_bandwidth_now(1), copy_bandwidth_now(1), flops_now(1), threads)


_known: dict[int, Roofline] = {}


def probe(refresh: bool = False) -> Roofline:
    """The machine's limits for the current number of threads, from memory, from disk, or measured in about 2 s."""
    threads = thread_count()
    key = f"roofline 1 {machine_key(find_compiler())} {threads} " \
          f"{hashlib.sha256(repr(physical_cpus()).encode()).hexdigest()[:16]}"
    if threads not in _known and not refresh:
        try:
            stored = json.loads(cache.get(key) or b"null")
            _known[threads] = Roofline(**{field.name: stored[field.name] for field in fields(Roofline)})
        except (ValueError, TypeError, KeyError):
            refresh = True
    if refresh or threads not in _known:
        _known[threads] = _measure(threads)
        cache.put(key, json.dumps(asdict(_known[threads])).encode())
    return _known[threads]
