"""`python -m minigrad.doctor`: what minigrad finds on this machine, and what is in its way.

Each line is a part, and what it is or why it cannot be used. The exit status is 1 where the default device cannot
compute. The probe of the machine's speeds takes about two seconds; `--refresh` measures again.
"""
from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec

from .engine.profile import scaled
from .engine.tracefile import default_path
from .helpers import CACHE, Flag
from .runtime import cache
from .runtime.compiler import find_compiler
from .runtime.device import DEVICES, get_device
from .runtime.pool import thread_count
from .runtime.probe import probe
from .target import host_target
from .tensor import Tensor

OPTIONAL = ("graphviz", "tokenizers", "sentencepiece", "pycuda", "pyopencl")


def main(refresh: bool) -> bool:
    """Prints the report; whether the default device computes."""
    target, folder = host_target(), cache.folder()
    rows: list[tuple[str, Callable[[], object]]] = [
        ("minigrad", lambda: f"{version('minigrad')}, Python {sys.version.split()[0]}"),
        ("machine", lambda: f"{target.model} ({target.arch}), {target.cores} cores, vectors of "
                            f"{8 * target.vector_bytes} bits"),
        ("caches", lambda: ", ".join(scaled(size, "B") for size in (target.l1, target.l2, target.l3))),
        ("compiler", lambda: find_compiler().describe()),
        ("roofs", lambda: roofs_text(refresh)),
        ("kernels", lambda: f"{folder}, {scaled(size_of(folder), 'B')}" if CACHE else "not kept (CACHE=0)"),
        ("trace", lambda: default_path() + ("" if os.path.exists(default_path()) else " (none yet: VIZ=1)")),
        *((name, lambda name=name: get_device(name).describe()) for name in DEVICES),
        ("packages", lambda: ", ".join(f"{name}: {'yes' if find_spec(name) else 'no'}" for name in OPTIONAL)),
        ("flags", lambda: ", ".join(repr(flag) for flag in Flag.registry.values() if flag.value != flag.default)
                          or "all at their defaults"),
        ("computes", lambda: f"1 + 1 = {(Tensor([1.0]) + 1).item():g}")]
    works = False
    for title, answer in rows:
        try:
            works, text = True, str(answer())
        except Exception as error:  # whatever is broken is what the report is for
            works, text = False, f"NOT USABLE: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        print(f"{title:<15}{text}")
    return works


def roofs_text(refresh: bool) -> str:
    """The roofs of all threads, and of one."""
    roofs = {threads: probe(refresh, threads) for threads in sorted({thread_count(), 1}, reverse=True)}
    return "; ".join(f"{threads} threads: {scaled(r.bandwidth, 'B/s')} read, {scaled(r.compute, 'FLOP/s')} float32"
                     for threads, r in roofs.items())


def size_of(folder: str) -> int:
    """Bytes of the files in a folder."""
    return sum(os.path.getsize(os.path.join(place, name)) for place, _, names in os.walk(folder) for name in names)


if __name__ == "__main__":
    sys.exit(not main("--refresh" in sys.argv[1:]))
