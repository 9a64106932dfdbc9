"""Counts and times of what ran, and the lines that DEBUG prints about it.

`GlobalCounters` holds totals of this process since `reset()`: operations, bytes, kernels, compiled kernels,
recordings of jitted functions, and seconds (inside of kernels: measured at DEBUG >= 2 and with VIZ only). Memory in
use and its peak are counted where memory is handed out, in the runtime, and shown here. Operations and bytes come from
algebra on the kernel, not from the machine's counters.
"""
from __future__ import annotations

import atexit
import os
import sys
from copy import copy
from dataclasses import dataclass, field
from time import perf_counter

from ..helpers import DEBUG, VIZ
from ..runtime.device import Device, Roofs, devices_in_use
from ..uops import sint
from ..uops.symbolic import evaluate

UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass
class KernelTotal:
    """What one kernel, or one line of the user's, cost together."""

    launches: int = 0
    seconds: float = 0.0
    operations: int = 0
    bytes: int = 0

    def add(self, seconds: float, operations: int, moved: int) -> None:
        self.launches += 1
        self.seconds += seconds
        self.operations += operations
        self.bytes += moved


@dataclass
class Counters:
    """Totals since the last `reset`; read as attributes: `GlobalCounters.kernels`."""

    kernels: int = 0            # launched, replayed ones included
    seconds: float = 0.0        # inside kernels, where they were timed (DEBUG >= 2, VIZ)
    waking: float = 0.0         # seconds until the first kernel of replays could begin
    launching: float = 0.0      # seconds of calls that launch kernels, where these were timed; without the printing
    scheduling: float = 0.0     # seconds
    compiling: float = 0.0      # seconds of looking up, lowering and compiling
    schedules: int = 0
    lowered: int = 0            # kernels that went through the code generator
    compiled: int = 0           # kernels given to the device's compiler
    disk_hits: int = 0          # kernels whose source came from the disk cache
    recordings: int = 0         # calls of jitted functions that ran Python
    replays: int = 0
    showing: float = 0.0        # seconds of printing lines and tracing, which no other total has
    began: float = field(default_factory=perf_counter)
    by_kernel: dict[str, KernelTotal] = field(default_factory=dict)
    by_line: dict[str, KernelTotal] = field(default_factory=dict)
    _operations: int = 0
    _bytes: int = 0
    _later: list[tuple[sint, sint, dict[str, int]]] = field(default_factory=list)

    def reset(self) -> None:
        """Everything to zero; the peak of memory to what is in use now."""
        self.__dict__.update(Counters().__dict__)
        for device in devices_in_use():
            device.reset_memory_peak()

    @property
    def operations(self) -> int:
        """Arithmetic operations."""
        self._settle()
        return self._operations

    @property
    def bytes(self) -> int:
        """Bytes read and written, each element of a kernel once."""
        self._settle()
        return self._bytes

    def add(self, operations: sint, moved: sint, variables: dict[str, int]) -> None:
        """Counts work. Symbolic amounts are evaluated when somebody asks: a replay has no time for it."""
        if isinstance(operations, int) and isinstance(moved, int):
            self._operations += operations
            self._bytes += moved
        else:
            self._later.append((operations, moved, variables))
            if len(self._later) >= 4096:
                self._settle()

    def _settle(self) -> None:
        later, self._later = self._later, []
        for operations, moved, variables in later:
            self._operations += evaluate(operations, variables)
            self._bytes += evaluate(moved, variables)

    @property
    def memory_used(self) -> int:
        """Bytes in buffers that are alive."""
        return sum(device.memory_in_use for device in devices_in_use())

    @property
    def memory_peak(self) -> int:
        """The most bytes that were alive at once since `reset`."""
        return sum(device.memory_peak for device in devices_in_use())


GlobalCounters = Counters()


# ---- numbers as text ------------------------------------------------------------------------------------------------

def scaled(value: float, unit: str) -> str:
    """123456789, "B" -> "123.5 MB"."""
    for size, letter in UNITS:
        if value >= size:
            return f"{value / size:.4g} {letter}{unit}"
    return f"{value:.4g} {unit}"


def duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:8.3f} s "
    return f"{seconds * 1e3:8.3f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:8.2f} us"


def short(line: str) -> str:
    """A user's line, below the current folder without it."""
    here = os.getcwd() + os.sep
    return line[len(here):] if line.startswith(here) else line


def colours() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def painted(text: str, colour: str) -> str:
    codes = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "grey": 90}
    return f"\033[{codes[colour]}m{text}\033[0m" if colours() else text


def kernel_line(number: int, device: str, name: str, launch_size: int, line: str, seconds: float, operations: int,
                moved: int, roofs: Roofs | None) -> str:
    """One kernel's aligned line at DEBUG=2."""
    flops, rate = operations / max(seconds, 1e-9) / 1e9, moved / max(seconds, 1e-9) / 1e9
    intensity = operations / moved if moved else 0.0
    text = f"{device:<6} {number:5d} {painted(f'{name:<34}', 'cyan')} {launch_size:3d} {duration(seconds)} " \
           f"{flops:8.1f} GFLOP/s {rate:7.1f} GB/s {intensity:7.2f} op/B"
    if roofs is not None and seconds > 0:
        share = roofs.least_time(operations, moved) / seconds
        colour = "green" if share >= 0.7 else "yellow" if share >= 0.3 else "red"
        text += painted(f" {min(share, 9.99) * 100:4.0f}% of {roofs.bound_by(operations, moved)}", colour)
    return f"{text}  {painted(line, 'grey')}" if line else text


def count_time(name: str, line: str, seconds: float, operations: int, moved: int) -> None:
    """Adds one timed launch to the totals by kernel and by line."""
    counters = GlobalCounters
    counters.seconds += seconds
    for table, key in ((counters.by_kernel, name), (counters.by_line, line)):
        total = table.get(key)
        if total is None:
            total = table[key] = KernelTotal()
        total.add(seconds, operations, moved)


def is_timed() -> bool:
    """Whether somebody wants to know each launch's seconds."""
    return DEBUG.value >= 2 or bool(VIZ.value)


def replay_begins() -> Counters | None:
    """The counters as they are, where launches are timed: for `replay_ends`."""
    return copy(GlobalCounters) if is_timed() else None


def replay_ends(name: str, start: float, before: Counters) -> None:
    """Counts a replay whose call began at `start`, and prints what took its time (DEBUG >= 2)."""
    c = GlobalCounters
    took = perf_counter() - start - (c.showing - before.showing)
    c.launching += took
    if DEBUG.value >= 2:
        inside, waking = ((now - then) / took * 100 for now, then in
                          ((c.seconds, before.seconds), (c.waking, before.waking)))
        print(f"replay of {name}: {c.kernels - before.kernels} kernels in {duration(took).strip()}: {inside:.1f}% "
              f"inside of kernels, {waking:.1f}% waking threads, {100 - inside - waking:.1f}% Python")


def wall_time() -> list[tuple[str, float]]:
    """What the seconds since `reset` went into, and how much; printing and tracing left out."""
    c = GlobalCounters
    parts = [("inside of kernels", c.seconds), ("waking threads, before a replay's first kernel", c.waking),
             ("launching: Python around kernels", max(0.0, c.launching - c.seconds - c.waking)),
             ("scheduling", c.scheduling), ("lowering and compiling", c.compiling)]
    whole = perf_counter() - c.began - c.showing
    rest = max(0.0, whole - sum(seconds for _, seconds in parts))
    return [*parts, ("elsewhere: imports, recording graphs, the program itself", rest)]


def summary(most: int = 12) -> str:
    """Totals, and at DEBUG >= 2 what the time went into, and the kernels and lines that took most of it."""
    c = GlobalCounters
    rows = [f"{c.kernels} kernels, {scaled(c.operations, 'op')}, {scaled(c.bytes, 'B')} moved, "
            f"memory peak {scaled(c.memory_peak, 'B')}; {c.lowered} lowered, {c.compiled} compiled, "
            f"{c.disk_hits} from the disk cache; {c.recordings} recordings, {c.replays} replays"]
    if c.seconds:
        parts = wall_time()
        whole = sum(seconds for _, seconds in parts)
        rows.append(f"wall time {duration(whole).strip()} without what printing took, "
                    f"{100 - parts[-1][1] / whole * 100:.1f}% of it explained:")
        rows += [f"  {duration(seconds)} {seconds / whole * 100:5.1f}% {what}" for what, seconds in parts]
    for title, table in (("kernel", c.by_kernel), ("line", c.by_line)):
        ranked = sorted(table.items(), key=lambda item: -item[1].seconds)[:most]
        if ranked:
            rows.append(f"time by {title}:")
        for name, total in ranked:
            share = total.seconds / c.seconds if c.seconds else 0.0
            rows.append(f"  {duration(total.seconds)} {share * 100:5.1f}% {total.launches:6d} x {name or 'unknown'}")
    return "\n".join(rows)


_announced: set[str] = set()


def announce(device: Device) -> None:
    """At DEBUG=1: names a device when it is first used, and prints totals at exit."""
    if not _announced:
        atexit.register(lambda: print(summary()) if DEBUG.process_value >= 1 else None)
    if device.name not in _announced:
        _announced.add(device.name)
        print(device.describe())
