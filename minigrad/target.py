"""What a device can do, as a frozen value: generic code asks the `Target`, never a device's name.

`host_target()` reads this machine: the processor's features, its caches and the cores that this process may use.

>>> host_target().vector_bytes in (8, 16, 32, 64)
True
"""
from __future__ import annotations

import functools
import glob
import os
import re
from dataclasses import dataclass

# of the words for an x86 processor, the beginnings of those that name instructions for computing
INSTRUCTION_SETS = r"abm|adx|aes|amx|avx|bmi|cx16|f16c|fma|gfni|lahf|movbe|pclmul|pni|popcnt|sha_ni|sse|ssse|v[ap]"
WORDS_OF_FEATURES = ("flags", "Features")  # the line of /proc/cpuinfo, on x86 and on ARM


@dataclass(frozen=True)
class Target:
    """A device's facts. Sizes are bytes; `l1`, `l2` are one core's data caches, `l3` is shared by the cores."""

    name: str                       # the device this describes: "CPU"
    arch: str                       # "x86_64", "aarch64", ...
    vector_bytes: int               # one SIMD register
    registers: int                  # how many of them
    l1: int
    l2: int
    l3: int
    cores: int                      # threads worth starting
    features: frozenset[str]        # the processor's own words: "avx512f", "avx512_bf16", "fma", ...
    model: str = ""                 # the processor's name
    scratch: int = 0                # bytes of scratch (workspace, shared memory) that one kernel may use per worker
    has_threads: bool = True        # THREAD: an axis may be cut among the threads of the device
    has_blocks: bool = False        # GLOBAL and LOCAL: a grid of blocks with shared memory and barriers
    block_threads: int = 1          # threads of a block at most
    warp: int = 0                   # threads that exchange values by SHUFFLE: so many, side by side in dimension 0
    matrix: frozenset[str] = frozenset()    # MATRIX: the operands' types that instructions of a warp multiply

    def has(self, *features: str) -> bool:
        """Whether the processor has all of these features."""
        return self.features.issuperset(features)

    def instruction_sets(self) -> frozenset[str]:
        """The features that name instructions which a compiler may choose: what machine code needs of a processor."""
        pattern = INSTRUCTION_SETS if self.arch == "x86_64" else ""
        return frozenset({self.arch, *(word for word in self.features if re.match(pattern, word))})

    def lanes(self, itemsize: int) -> int:
        """Elements of `itemsize` bytes in one vector register, at least 1."""
        return max(1, self.vector_bytes // itemsize)


def read_text(path: str) -> str | None:
    """A small file's text without surrounding space; None if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def parse_features(cpuinfo: str) -> frozenset[str]:
    """The feature words of the first processor in the text of /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in WORDS_OF_FEATURES:
            return frozenset(value.split())
    return frozenset()


def parse_model(cpuinfo: str) -> str:
    """The processor's name in the text of /proc/cpuinfo; the machine's architecture if it has none."""
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found.group(1).strip() if found else os.uname().machine


def vector_registers(arch: str, features: frozenset[str]) -> tuple[int, int]:
    """(bytes of a vector register, number of registers)."""
    if arch == "x86_64":
        if "avx512f" in features:
            return 64, 32
        return (32, 16) if "avx2" in features else (16, 16)
    return (16, 32) if arch == "aarch64" else (8, 32)


def parse_size(text: str) -> int:
    """Bytes in the kernel's notation: "32K", "1M", "49152"."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(text[:-1]) * units[text[-1]] if text[-1:] in units else int(text)


def cache_sizes(cpu: int) -> tuple[int, int, int]:
    """(L1 data, L2, L3) in bytes of one CPU; usual sizes where the system does not tell."""
    sizes = {1: 32 << 10, 2: 1 << 20, 3: 16 << 20}
    for folder in glob.glob(f"/sys/devices/system/cpu/cpu{cpu}/cache/index*"):
        level, kind, size = (read_text(f"{folder}/{name}") for name in ("level", "type", "size"))
        if level and size and kind in ("Data", "Unified") and re.fullmatch(r"\d+[KMG]?", size):
            sizes[int(level)] = parse_size(size)
    return sizes[1], sizes[2], sizes[3]


def affinity_cpus() -> tuple[int, ...]:
    """The CPUs that this process may run on, in order."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def physical_cpus() -> tuple[int, ...]:
    """One CPU for each physical core that this process may run on: a core's second hardware thread adds nothing."""
    seen: set[tuple[str | None, str | None]] = set()
    chosen = []
    for cpu in affinity_cpus():
        topology = f"/sys/devices/system/cpu/cpu{cpu}/topology"
        core = (read_text(f"{topology}/physical_package_id"), read_text(f"{topology}/core_id"))
        if None in core or core not in seen:
            seen.add(core)
            chosen.append(cpu)
    return tuple(chosen)


def control_groups(controller: str) -> list[str]:
    """Folders of the control groups that limit this process, its own and the outermost: version 2, then version 1."""
    groups = dict(line.split(":", 2)[1:] for line in (read_text("/proc/self/cgroup") or "").splitlines()
                  if line.count(":") >= 2)
    own = groups.get("", "/").rstrip("/")
    old = next((path for names, path in groups.items() if controller in names.split(",")), "/").rstrip("/")
    return list(dict.fromkeys((f"/sys/fs/cgroup{own}", "/sys/fs/cgroup", f"/sys/fs/cgroup/{controller}{old}",
                               f"/sys/fs/cgroup/{controller}")))


def cgroup_quota() -> float | None:
    """CPUs' worth of time that the control groups grant; None if they set no limit."""
    limits = []
    for folder in control_groups("cpu"):
        words = (read_text(f"{folder}/cpu.max") or "").split()
        words = words or [read_text(f"{folder}/cpu.cfs_{name}_us") or "" for name in ("quota", "period")]
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
            limits.append(int(words[0]) / int(words[1]))
    return min(limits, default=None)


def memory_limit() -> int:
    """Bytes of memory that this process may use: the machine's, or less if a control group says so."""
    try:
        limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (OSError, ValueError):
        limits = [8 << 30]
    for folder in control_groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = read_text(f"{folder}/{name}")
            if text and text.isdigit():
                limits.append(int(text))
    return min(limits)


def usable_cores() -> int:
    """Physical cores in the affinity mask, not more than the control group's quota (rounded up), at least 1."""
    cores = len(physical_cpus())
    quota = cgroup_quota()
    return max(1, cores if quota is None else min(cores, int(quota + 0.999)))


def cuda_target(arch: str) -> Target:
    """An NVIDIA GPU by its compute capability, "sm_80" (Ampere's A100) or newer; what any GPU of that kind has.

    ValueError: an architecture that is none of theirs. `scratch` is what a kernel may declare as shared memory.
    """
    found = re.fullmatch(r"sm_(\d+)[af]?", arch)
    if found is None or int(found.group(1)) < 80:
        raise ValueError(f"cuda_target: arch {arch!r} is not sm_80 or newer")
    wide = int(found.group(1)) in (80, 90, 100)     # data centre's GPUs; the others have less of everything
    return Target(name="CUDA", arch=arch, vector_bytes=16, registers=255, l1=(128 if wide else 64) << 10,
                  l2=(40 if wide else 4) << 20, l3=0, cores=108 if wide else 16, features=frozenset({"cp.async"}),
                  scratch=48 << 10, has_threads=False, has_blocks=True, block_threads=1024, warp=32,
                  matrix=frozenset({"tf32", "bfloat16", "float16"}))


@functools.cache
def host_target() -> Target:
    """The machine that this process runs on."""
    cpuinfo = read_text("/proc/cpuinfo") or ""
    arch = {"amd64": "x86_64", "arm64": "aarch64"}.get(os.uname().machine.lower(), os.uname().machine.lower())
    features = parse_features(cpuinfo)
    vector_bytes, registers = vector_registers(arch, features)
    l1, l2, l3 = cache_sizes(affinity_cpus()[0])
    return Target(name="CPU", arch=arch, vector_bytes=vector_bytes, registers=registers, l1=l1, l2=l2, l3=l3,
                  cores=usable_cores(), features=features, model=parse_model(cpuinfo), scratch=max(8 * l2, 2 * l3))
