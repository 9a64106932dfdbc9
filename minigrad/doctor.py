"""`python -m minigrad.doctor`: what minigrad finds on this machine, and what is in its way.

Each line is a part, and what it is or why it cannot be used. The exit status is 1 where the default device cannot
compute. The probe of the machine's speeds takes about two seconds; `--refresh` measures again.
"""
from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec

from .engine.profile import scaled
from .engine.tracefile import default_path
from .helpers import CACHE, Flag
from .runtime import cache
from .runtime.compiler import find_compiler
from .runtime.device import DEVICES, get_device
from .runtime.probe import probe
from .target import host_target
from .tensor import Tensor

OPTIONAL = {"graphviz": "pictures of graphs", "tokenizers": "pretrained models", "sentencepiece": "pretrained models",
            "cuda": "NVIDIA GPUs", "pyopencl": "OpenCL devices"}


def main(refresh: bool) -> bool:
    """Prints the report; whether the default device computes."""
    def row(title: str, answer: Callable[[], object]) -> bool:
        try:
            print(f"{title:<14}{answer()}")
            return True
        except Exception as error:  # whatever is broken is what the report is for
            print(f"{title:<14}NOT USABLE: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
            return False

    row("minigrad", lambda: f"{version('minigrad')}, Python {sys.version.split()[0]}")
    row("machine", machine_text)
    row("compiler", lambda: find_compiler().describe())
    row("roofs", lambda: "; ".join([roofs_text(refresh, one) for one in (False, True)]))
    row("cache", cache_text)
    row("trace", lambda: default_path() + ("" if os.path.exists(default_path()) else " (none yet: VIZ=1)"))
    for name in DEVICES:
        row(name, partial(device_text, name))
    for package, purpose in OPTIONAL.items():
        row(package, partial("{} ({})".format, "installed" if find_spec(package) else "not installed", purpose))
    row("flags", lambda: ", ".join(map(repr, changed_flags())) or "all at their defaults")
    return row("computes", lambda: f"1 + 1 = {(Tensor([1.0]) + 1).item():g}")


def machine_text() -> str:
    t = host_target()
    caches = ", ".join(scaled(n, "B") for n in (t.l1, t.l2, t.l3))
    return f"{t.model} ({t.arch}), {t.cores} cores, vectors of {8 * t.vector_bytes} bits, caches of {caches}"


def device_text(name: str) -> str:
    return get_device(name).describe()


def roofs_text(refresh: bool, one: bool) -> str:
    """Both roofs, of all threads or of one."""
    r = probe(refresh and not one)
    read, compute, threads = ((r.one_read_bandwidth, r.one_flops, 1) if one else (r.read_bandwidth, r.flops, r.threads))
    return f"{threads} thread{'s' * (threads > 1)}: {scaled(read, 'B/s')} read, {scaled(compute, 'FLOP/s')} float32"


def cache_text() -> str:
    """Where compiled kernels are kept, and how much of it there is."""
    if not CACHE:
        return "off (CACHE=0)"
    folder = cache.folder()
    os.makedirs(folder, exist_ok=True)
    sizes = [os.path.getsize(os.path.join(place, name)) for place, _, names in os.walk(folder) for name in names]
    return f"{folder}: {len(sizes)} files, {scaled(sum(sizes), 'B')}" + \
        ("" if os.access(folder, os.W_OK) else ", NOT WRITABLE")


def changed_flags() -> list[Flag]:
    """The flags that the environment sets."""
    return [flag for flag in Flag.registry.values() if flag.value != flag.default]


if __name__ == "__main__":
    sys.exit(not main("--refresh" in sys.argv[1:]))
