"""What `VIZ=1` keeps of a run, for `tools/viz.py`: a JSON file, written when the process ends. It changes no result.

    version     1. A reader refuses another one.
    command     the program and its arguments
    seconds     how long it ran
    devices     name -> {description, bandwidth, compute}: bytes and operations a second, or null
    lines       the users' lines, as text; all others name them by number
    nodes       [op, dtype, shape, argument, [sources], line]: a UOp; all others name them by number
    buffers     [device, shape, dtype, bytes, root, offset]: a part of the buffer `root`, or root is null
    schedules   {name, at, seconds, sinks: [node], rewrites: [[rules, rule, before, after]], kernels}: what `realize`
                made of a tensor graph, or what a jitted function replays. A kernel is {ast, buffers: by slot, written:
                slots, reasons: [[text, edit, inside, stored, readers]] like `written`, lines}
    programs    {name, ast, source, text, listing, opts, tuned, operations, bytes, threads, workspace, steps, linear}:
                what became of a kernel's AST. steps: [[rules, rule, root, before, after]] in order: `root` is the whole
                graph after the step, null where there were too many nodes to keep; linear: the list at the end;
                tuned: the share of the heuristic's time that a search measured for these opts, null: the heuristic's
    searches    {ast, tried: [[opts, seconds]]}: what searches of this run tried, the heuristic's opts first
    launches    [schedule, kernel, program, device, at, seconds, operations, bytes]
    recordings  [function, reason, at]: calls of jitted functions that ran Python, and why

Times are in seconds since the trace began. Amounts that depend on variables are text.
"""
from __future__ import annotations

import atexit
import json
import os
import sys
import weakref
from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import Any

from ..helpers import VIZ
from ..printer import LOOP_LEVEL, describe_arg, listing, render, walk
from ..renderer.base import ProgramSpec
from ..runtime import cache
from ..runtime.device import Buffer, Device
from ..runtime.disk import write_atomically
from ..schedule import Schedule
from ..schedule.kernelize import Kernel
from ..schedule.reasons import EDITS, Reason
from ..uops import UOp
from ..uops.symbolic import substitute
from ..uops.trace import Step

VERSION = 1
MOST_NODES = 6000   # new nodes that the steps of one kernel may keep


def plain(value: Any) -> Any:
    """Numbers as they are, the rest as text."""
    return value if isinstance(value, (int, float)) else str(value)


class Trace:
    """A trace in the making."""

    def __init__(self, path: str) -> None:
        self.path, self.began = path, perf_counter()
        self.lines: dict[str, int] = {}
        self.nodes: list[Any] = []
        self.buffers: list[Any] = []
        self.numbers: weakref.WeakKeyDictionary[UOp, int] = weakref.WeakKeyDictionary()
        self.buffer_numbers: weakref.WeakKeyDictionary[Buffer, int] = weakref.WeakKeyDictionary()
        self.graphs: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()   # captured ones, as schedules
        self.devices: dict[str, Device] = {}
        self.schedules: list[dict[str, Any]] = []
        self.programs: list[dict[str, Any]] = []
        self.known: dict[tuple[ProgramSpec, int], int] = {}     # a spec and its AST -> its program
        self.searches: list[Any] = []
        self.launches: list[Any] = []
        self.recordings: list[Any] = []
        self.cursor = [0, 0]                                    # what is launched next: schedule, kernel

    def since(self, at: float) -> float:
        return round(at - self.began, 7)

    # ---- told by the engine

    def schedule(self, sinks: Sequence[UOp], schedule: Schedule, steps: Sequence[Step], start: float) -> None:
        roots = self.number(sinks)
        rewrites = [[s.rules, s.rule, *self.number([s.before, s.after])] for s in steps]
        self._schedule("realize", schedule.kernels, start, sinks=roots, rewrites=rewrites)

    def replay(self, graph: Any) -> None:
        """What is launched next are the kernels of a captured graph."""
        if graph not in self.graphs:
            self._schedule("replay", graph.with_buffers(), perf_counter(), sinks=[], rewrites=[])
            self.graphs[graph] = len(self.schedules) - 1
        self.cursor = [self.graphs[graph], 0]

    def lowered(self, ast: UOp, spec: ProgramSpec, steps: Iterable[Step], linear: Sequence[UOp], tuned: float | None
                ) -> None:
        rows, root, first = [], ast, len(self.nodes)
        number = self.number([ast])[0]
        for step in steps:
            # a rule sees one node; the other steps see all of the kernel
            whole = step.before is root or step.rules in ("lower", "opts")
            root = step.after if whole else self._replaced(root, step)
            kept = len(self.nodes) - first < MOST_NODES
            numbers = self.number([root, step.before, step.after]) if kept else [None] * 3
            rows.append([step.rules, step.rule, *numbers])
        self._program(spec, number, text=render(ast, indent=True), listing=listing(linear), steps=rows,
                      linear=self.number(linear) if len(self.nodes) - first < MOST_NODES else [], tuned=tuned)

    def searched(self, ast: UOp, tried: Iterable[tuple[Sequence[Any], float]]) -> None:
        """Lists of opts that a search ran, with the best seconds of each."""
        rows = [[[str(opt) for opt in opts], seconds] for opts, seconds in tried]
        self.searches.append({"ast": self.number([ast])[0], "tried": rows})

    def launch(self, device: Device, spec: ProgramSpec, line: str, at: float, seconds: float, operations: int,
               moved: int) -> None:
        place, kernel = self.cursor
        self.cursor[1] += 1
        self.devices[device.name] = device
        ast = self.schedules[place]["kernels"][kernel]["ast"]
        if (spec, ast) not in self.known:
            self._program(spec, ast)
        self.launches.append([place, kernel, self.known[spec, ast], device.name, self.since(at), seconds, operations,
                              moved])

    def recording(self, function: str, reason: str) -> None:
        self.recordings.append([function, reason, self.since(perf_counter())])

    # ---- rows

    def number(self, roots: Sequence[UOp]) -> list[int]:
        """The roots' numbers; their graphs are written down first, as far as they are new."""
        if all(root in self.numbers for root in roots):
            return [self.numbers[root] for root in roots]
        order = walk(*roots)
        shaped = not any(node.op in LOOP_LEVEL for node in order)
        for node in order:
            if node not in self.numbers:
                shape = [plain(n) for n in node.shape] if shaped else None
                self.numbers[node] = len(self.nodes)
                self.nodes.append([node.op.name, node.dtype.name, shape, describe_arg(node),
                                   [self.numbers[s] for s in node.src], self.line(node.line)])
        return [self.numbers[root] for root in roots]

    def line(self, line: str | None) -> int | None:
        return None if line is None else self.lines.setdefault(line, len(self.lines))

    def buffer(self, buffer: Buffer) -> int:
        if buffer not in self.buffer_numbers:
            root = None if buffer.base is None else self.buffer(buffer.base)
            self.buffer_numbers[buffer] = len(self.buffers)
            self.buffers.append([buffer.device, list(buffer.shape), buffer.dtype.name, buffer.nbytes, root,
                                 buffer.offset])
        return self.buffer_numbers[buffer]

    def _schedule(self, name: str, kernels: Sequence[Kernel], start: float, **more: Any) -> None:
        rows = [{"ast": self.number([kernel.ast])[0], "buffers": [self.buffer(b) for b in kernel.buffers],
                 "written": kernel.written, "lines": [self.line(line) for line in kernel.lines],
                 "reasons": [[text, EDITS[Reason(text)], *((w.inside if w.inside < 1e300 else None, w.stored, w.readers)
                                                           if w is not None else ())]
                             for text, w in zip(kernel.reasons, kernel.weighed)]} for kernel in kernels]
        self.cursor = [len(self.schedules), 0]
        self.schedules.append({"name": name, "at": self.since(start), "seconds": perf_counter() - start,
                               "kernels": rows, **more})

    def _program(self, spec: ProgramSpec, ast: int, **more: Any) -> None:
        self.known[spec, ast] = len(self.programs)
        self.programs.append({"name": spec.name, "ast": ast, "source": spec.source, "opts": [str(o) for o in spec.opts],
                              "operations": plain(spec.operations), "bytes": plain(spec.bytes),
                              "threads": plain(spec.threads), "workspace": spec.workspace,
                              "text": "", "listing": "", "steps": [], "linear": [], "tuned": None, **more})

    @staticmethod
    def _replaced(root: UOp, step: Step) -> UOp:
        """The whole graph after one node was rewritten."""
        new = substitute(root, {step.before: step.after})
        assert isinstance(new, UOp)
        return new

    # ---- the file

    def save(self) -> str:
        """Writes the file, whole or not at all; its path. Nothing ran: no file is written."""
        if not self.schedules:
            return self.path
        devices = {}
        for name, device in self.devices.items():
            roofs = device.roofs()
            devices[name] = {"description": device.describe(), "bandwidth": roofs and roofs.bandwidth,
                             "compute": roofs and roofs.compute}
        content = {"version": VERSION, "command": sys.argv, "seconds": self.since(perf_counter()), "devices": devices,
                   "lines": list(self.lines), **{key: getattr(self, key) for key in (
                       "nodes", "buffers", "schedules", "programs", "searches", "launches", "recordings")}}
        os.makedirs(os.path.dirname(os.path.abspath(self.path)), exist_ok=True)
        write_atomically(self.path, [json.dumps(content, separators=(",", ":")).encode()])
        return self.path


def default_path() -> str:
    """Where `VIZ=1` writes."""
    return os.path.join(cache.folder(), "trace.json")


_traces: dict[str, Trace] = {}


def current() -> Trace | None:
    """The trace that is being made, if VIZ says so."""
    name = VIZ.value
    if not name or name == "0":
        return None
    trace = _traces.get(name)
    if trace is None:
        if not _traces:
            atexit.register(_save_all)
        trace = _traces[name] = Trace(default_path() if name == "1" else os.path.abspath(name))
    return trace


def _save_all() -> None:
    """Writes at the end of a process, which must not fail for it."""
    for trace in _traces.values():
        try:
            trace.save()
        except OSError as error:
            print(f"VIZ: {trace.path} cannot be written: {error}", file=sys.stderr)
