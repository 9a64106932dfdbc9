"""Graphs of the CPU device: a list of launches becomes a table that every thread of the pool walks.

Replaying is one foreign call. Threads meet only where it is needed: before a launch that reads bytes which another
wrote since the last meeting, or writes bytes which another read or wrote. A launch of too little work to share is run
by the calling thread alone; such launches are in order among themselves without a meeting.

A buffer can be replaced for one run. If it then overlaps memory that it did not overlap before, the meetings are found
anew for that run.
"""
from __future__ import annotations

import ctypes
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence

from minigrad.renderer.base import ProgramSpec
from minigrad.runtime.device import Device, GraphRunner, Launch, Replaced
from minigrad.runtime.pool import Table, get_pool, thread_count
from minigrad.uops import sint
from minigrad.uops.symbolic import evaluate

Span = tuple[int, int]          # the bytes of a buffer: first address, address after the last
Touched = tuple[int, int, bool]     # a span, and whether one thread alone touched it

WINDOW = 64                     # launches that a new one is compared with, before the threads meet in any case
# (bytes, operations) below which a kernel is not shared: threads that are awake meet in 50 ns
SMALL = (8 << 10, 8 << 10)


def is_small(spec: ProgramSpec, limit: tuple[int, int]) -> bool:
    """Whether a launch is known to be too little work to share; limit: (bytes, operations)."""
    if isinstance(spec.threads, int) and spec.threads <= 1:
        return True
    return isinstance(spec.bytes, int) and isinstance(spec.operations, int) \
        and spec.bytes <= limit[0] and spec.operations <= limit[1]


def find_meetings(accesses: Iterable[tuple[Sequence[Span], Sequence[int], bool]]) -> list[bool]:
    """Before which launches the threads must meet.

    One row per launch: the spans of its buffers by slot, the slots that it writes, whether one thread runs all of it.
    """
    result: list[bool] = []
    count, written, read = 0, list[Touched](), list[Touched]()      # of the launches since the last meeting
    for spans, slots, single in accesses:
        conflict = count >= WINDOW or any(
            _conflicts(written, span, single) or (slot in slots and _conflicts(read, span, single))
            for slot, span in enumerate(spans))
        if conflict:
            count, written, read = 0, [], []
        count += 1
        for slot, span in enumerate(spans):
            (written if slot in slots else read).append((*span, single))
        result.append(conflict)
    return result


def _conflicts(touched: list[Touched], span: Span, single: bool) -> bool:
    start, end = span
    return any(start < other_end and other_start < end and not (single and other_single)
               for other_start, other_end, other_single in touched)


class _Intervals:
    """A union of spans that answers whether another span overlaps it."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        for start, end in sorted(spans):
            if self.ends and start <= self.ends[-1]:
                self.ends[-1] = max(self.ends[-1], end)
            else:
                self.starts.append(start)
                self.ends.append(end)

    def overlaps(self, span: Span) -> bool:
        before = bisect_right(self.starts, span[1] - 1) - 1     # the last interval that starts inside or before it
        return before >= 0 and self.ends[before] > span[0]


class CPUGraph(GraphRunner):
    """Launches as a table of the pool. The buffers and programs are kept alive; the buffers are allocated."""

    def __init__(self, device: Device, launches: Sequence[Launch]) -> None:
        super().__init__(device, launches)
        self.pool = get_pool()
        specs = [launch.program.spec for launch in self.launches]
        self.workspace = max((spec.workspace for spec in specs), default=0)
        self.names = list(dict.fromkeys(name for launch in self.launches for name in launch.names))
        self.first: list[int] = []              # each launch's first place among all buffers
        self.spans: list[Span] = []             # by place
        for launch in self.launches:
            self.first.append(len(self.spans))
            self.spans += [(buffer.ptr, buffer.ptr + buffer.nbytes) for buffer in launch.buffers]
        self.single = [is_small(spec, SMALL) for spec in specs]
        self.alone = all(self.single)           # nothing to share: the other threads are left asleep
        self.written = {first + slot for first, spec in zip(self.first, specs) for slot in spec.written}
        self.extents: dict[sint, int] = {}      # -> its number in the table
        self.meetings = self._find_meetings({})
        self.table = self._build_table()
        self._values: list[int] | None = None           # of the variables, as the table has them
        self._moved: dict[int, Span] = {}               # places whose buffers are replaced in the table
        self._meetings_changed = False
        self._still: dict[frozenset[int], tuple[_Intervals, _Intervals]] = {}

    def run(self, variables: Mapping[str, int], replaced: Replaced | None = None) -> float:
        with self.pool.lock:
            self._prepare(variables, replaced)
            threads = 1 if self.alone else thread_count()
            return self.pool.run_table(self.table, threads, self.workspace) * 1e-9

    def profile(self, variables: Mapping[str, int], replaced: Replaced | None = None) -> list[float]:
        """As `run`, with a meeting before every launch; the seconds of each."""
        times = (ctypes.c_long * (len(self.launches) + 1))()
        with self.pool.lock:
            self._prepare(variables, replaced)
            took = self.pool.run_table(self.table, thread_count(), self.workspace, times)
        self.waking = (took - (times[len(self.launches)] - times[0])) * 1e-9
        return [(end - start) * 1e-9 for start, end in zip(times, times[1:])]

    def _find_meetings(self, moved: Mapping[int, Span]) -> list[bool]:
        """Where threads must meet with the buffers at some places elsewhere."""
        spans = self.spans
        if moved:
            spans = list(spans)
            for place, span in moved.items():
                spans[place] = span
        ends = [*self.first[1:], len(spans)]
        return find_meetings((spans[first:end], launch.program.spec.written, single) for first, end, launch, single
                             in zip(self.first, ends, self.launches, self.single))

    def _build_table(self) -> Table:
        numbers = {name: number for number, name in enumerate(self.names)}
        rows = []
        for launch, first, meet, single in zip(self.launches, self.first, self.meetings, self.single):
            spec = launch.program.spec
            extent = self.extents.setdefault(spec.threads, len(self.extents))
            taken = tuple(numbers[name] for name in launch.names)
            rows.append((launch.program.handle, first, taken, extent, meet, single))
        table = Table(rows, [start for start, _ in self.spans], len(self.names), len(self.extents))
        for constant, number in self.extents.items():
            if isinstance(constant, int):
                table.extents[number] = constant
        return table

    def _prepare(self, variables: Mapping[str, int], replaced: Replaced | None) -> None:
        """Bring the table to these variables and buffers."""
        values: list[int] = [variables[name] for name in self.names]
        if values != self._values:
            self._values = None
            for number, value in enumerate(values):
                self.table.variables[number] = value
            for extent, number in self.extents.items():
                if not isinstance(extent, int):
                    self.table.extents[number] = evaluate(extent, variables)
            self._values = values
        if replaced or self._moved:
            self._move(replaced or {})

    def _move(self, replaced: Replaced) -> None:
        """Put the replacing buffers into the table, and the original ones back where nothing replaces them."""
        moved = {}
        for (number, slot), buffer in replaced.items():
            launch = self.launches[number]
            if buffer.nbytes < launch.buffers[slot].nbytes:
                raise ValueError(f"launch {number}: {buffer!r} is smaller than {launch.buffers[slot]!r}")
            place = self.first[number] + slot
            if buffer.readonly and place in self.written:
                raise RuntimeError(f"launch {number}: {launch.program.name} would write buffer {slot}, {buffer!r}")
            moved[place] = (buffer.ptr, buffer.ptr + launch.buffers[slot].nbytes)
        if moved == self._moved:
            return
        pointers, spans = self.table.pointers, self.spans
        for place in self._moved:
            pointers[place] = spans[place][0]
        for place, (start, _) in moved.items():
            pointers[place] = start
        self._moved = moved
        changed = not self._overlaps_nothing_new(moved)
        if changed or self._meetings_changed:
            self.table.set_meetings(self._find_meetings(moved) if changed else self.meetings)
        self._meetings_changed = changed

    def _overlaps_nothing_new(self, moved: Mapping[int, Span]) -> bool:
        """Whether the meetings of the original buffers are enough: equal buffers were replaced by equal ones, and these
        touch neither each other nor what other launches write (or read, where they are written themselves)."""
        places = frozenset(moved)
        if places not in self._still:
            stay = [place for place in range(len(self.spans)) if place not in places]
            self._still[places] = (_Intervals(self.spans[place] for place in stay),
                                   _Intervals(self.spans[place] for place in stay if place in self.written))
        touched, written = self._still[places]
        targets: dict[Span, Span] = {}
        for place, span in moved.items():
            if targets.setdefault(self.spans[place], span) != span:
                return False
            if span != self.spans[place] and (touched if place in self.written else written).overlaps(span):
                return False
        ordered = sorted(targets.values())
        return all(one[1] <= other[0] for one, other in zip(ordered, ordered[1:]))
