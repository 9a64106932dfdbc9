"""A recorded call as a graph that is replayed: its memory, its inputs and outputs, and what it returns.

In: a `Recording`, and a description of what the call returned. Out: a `Captured`, whose `run` binds the buffers of
new arguments, replays the launches in one call per device, and gives new tensors for what the call made.

The graph owns its memory: what lies between kernels shares an arena, planned by lifetime over the whole call; each
output has a buffer of its own, and gets another one in a replay if somebody still holds what the last replay put
there.
"""
from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from ..dtype import dtypes
from ..runtime.device import Buffer, Device, GraphRunner, Launch, get_device
from ..schedule.graph import value_order
from ..schedule.memory import share
from ..shape.build import viewed
from ..uops import Ops, UOp, sint
from ..uops.symbolic import ssum
from . import guards as guarding
from . import profile, tracefile
from .describe import Argument, Expected, Kept, Made, Many, State, Value, buffer_of, flatten, rebind
from .guards import Guards, Holder
from .profile import GlobalCounters
from .realize import copy, device_of_buffers, lock, show_launch, uninterrupted
from .recording import Recording

Places = list[tuple[int, int, int]]     # where a graph uses memory: (segment, launch, slot)


@dataclass(eq=False, slots=True)
class Output:
    """Fresh memory that outlives a replay: where launches use it, and its references when nobody else holds it."""

    number: int
    buffer: Buffer
    node: UOp
    places: Places
    parts: list[tuple[int, Places]]
    idle: tuple[int, int] = (0, 0)

    def count(self) -> tuple[int, int]:
        return sys.getrefcount(self.buffer), sys.getrefcount(self.node)


@dataclass(eq=False)
class Captured:
    """A graph ready to be replayed."""

    guards: Guards
    result: Any
    buffers: list[Buffer]
    segments: list[GraphRunner | tuple[int, int]]
    inputs: list[tuple[int | Holder, int, Places]]  # (argument, or where the last call left it; number; places)
    outputs: list[Output]
    states: list[State]
    constants: dict[str, int]
    pinned: frozenset[Buffer]
    pins: dict[int, Buffer]
    operations: sint
    moved: sint                             # bytes read and written
    kernels: int
    recording: Recording
    expected: tuple[Expected, ...]          # the arguments
    given: dict[str, tuple[int, int]]       # bounds of the variables that are arguments
    wrap: Callable[[UOp, str], Any]
    host: list[tuple[Buffer, Callable[[], bytes]]]      # written from Python before each replay
    by_number: dict[int, Output] = field(default_factory=dict)
    overwritten: frozenset[Buffer] = frozenset()        # fixed memory that the graph writes
    overwritten_arguments: tuple[int, ...] = ()
    harmless: weakref.WeakSet[UOp] = field(default_factory=weakref.WeakSet)   # pending values that read none of it

    def run(self, arguments: list[Any], given: Mapping[str, int], name: str, start: float) -> Any:
        """Replays with these argument tensors and values of variables; `start`: when the function `name` was called."""
        if self.overwritten or self.overwritten_arguments:
            self._spare_readers(arguments)
        with lock, uninterrupted() if self.states else nullcontext():
            for buffer, content in self.host:
                buffer.copyin(content())
            variables = {**self.constants, **given} if given else self.constants
            replaced = self._replacements(arguments)
            before = profile.replay_begins()
            if before is not None:
                self._profile(variables, replaced, arguments)
            else:
                for i, segment in enumerate(self.segments):
                    if isinstance(segment, tuple):
                        self._copy(segment, arguments)
                    else:
                        segment.run(variables, replaced.get(i))
            counters = GlobalCounters
            counters.replays += 1
            if before is None:
                counters.kernels += self.kernels
            counters.add(self.operations, self.moved, variables)
            made: dict[int, Any] = {}
            tensors = [self._tensor(state.made, arguments, given, made) for state in self.states]
            result = self._give(self.result, arguments, given, made)
            for state, tensor in zip(self.states, tensors):  # after all were made: places may swap their tensors
                self._fill(state, tensor)
            if before is not None:
                profile.replay_ends(name, start, before)
            return result

    def _spare_readers(self, arguments: list[Any]) -> None:
        """Computes tensors that are pending and read memory which the graph is about to overwrite."""
        pending = [tensor for tensor in guarding.lazy_tensors() if tensor.uop not in self.harmless]
        if not pending:
            return
        written = {buffer_of(arguments[i]) for i in self.overwritten_arguments} | self.overwritten
        for tensor in pending:
            if any(u.op is Ops.BUFFER and u.arg in written for u in value_order([tensor.uop])):
                tensor.realize()
            elif not self.overwritten_arguments:
                self.harmless.add(tensor.uop)

    def accepts(self, buffers: list[Buffer]) -> bool:
        """Whether arguments share memory with what the function reads elsewhere exactly as they did when recorded."""
        if not self.pins:
            return self.pinned.isdisjoint(buffers)
        return all(buffer is self.pins[i] if i in self.pins else buffer not in self.pinned
                   for i, buffer in enumerate(buffers))

    def _fill(self, state: State, tensor: Any) -> None:
        """Puts what a replay made where the function would have put it."""
        if state.update:
            if tensor.requires_grad:
                state.holder.tensor._node = tensor._node
            else:
                state.holder.tensor.uop = tensor.uop
            tensor = state.holder.tensor
        self.guards.rebind(state.holder, tensor)

    def _replacements(self, arguments: list[Any]) -> dict[int, dict[tuple[int, int], Buffer]]:
        """By segment: the buffers that take the place of the recorded ones."""
        replaced: dict[int, dict[tuple[int, int], Buffer]] = {}

        def put(buffer: Buffer, places: Places) -> None:
            for segment, launch, slot in places:
                replaced.setdefault(segment, {})[launch, slot] = buffer

        for source, number, places in self.inputs:
            buffer = buffer_of(arguments[source] if isinstance(source, int) else source.tensor)
            if buffer is not self.buffers[number]:
                put(buffer, places)
        for output in self.outputs:
            if output.count() != output.idle:
                self._renew(output)
            if output.buffer is not self.buffers[output.number]:
                put(output.buffer, output.places)
                for number, places in output.parts:
                    part = self.buffers[number]
                    put(output.buffer.view(part.shape, part.dtype, part.offset), places)
        return replaced

    def _renew(self, output: Output) -> None:
        """Leaves the output's memory to those who hold it and takes new memory."""
        old = output.buffer
        output.buffer = Buffer(old.device, old.shape, old.dtype)
        output.node = UOp(Ops.BUFFER, old.dtype, (), output.buffer)
        output.idle = output.count()

    def _buffer(self, number: int, arguments: list[Any]) -> Buffer:
        for source, known, _ in self.inputs:
            if known == number:
                return buffer_of(arguments[source] if isinstance(source, int) else source.tensor)
        output = self.by_number.get(number)
        return self.buffers[number] if output is None else output.buffer

    def _copy(self, pair: tuple[int, int], arguments: list[Any], lines: tuple[str, ...] = ()) -> None:
        copy(self._buffer(pair[0], arguments), self._buffer(pair[1], arguments), lines)

    def _tensor(self, description: Made | Argument | Kept, arguments: list[Any], given: Mapping[str, int],
                made: dict[int, Any]) -> Any:
        if isinstance(description, Argument):
            return arguments[description.index]
        if isinstance(description, Kept):
            return description.tensor
        tensor = made.get(description.ordinal)
        if tensor is None:
            output = self.by_number.get(description.number)
            if output is not None:
                node = output.node
            else:
                buffer = self._buffer(description.number, arguments)
                node = UOp(Ops.BUFFER, buffer.dtype, (), buffer)
            if description.tracker is not None:
                base, node = node, viewed(node, rebind(description.tracker, given))
                if node.line is None:
                    node.line = base.line       # the call's, as long as the memory is the same
            tensor = made[description.ordinal] = self.wrap(node, description.device)
            if description.tracked:
                tensor._forget_history()
        return tensor

    def _give(self, description: Any, arguments: list[Any], given: Mapping[str, int], made: dict[int, Any]) -> Any:
        if isinstance(description, Value):
            return description.value
        if not isinstance(description, Many):
            return self._tensor(description, arguments, given, made)
        items = [self._give(item, arguments, given, made) for item in description.items]
        if description.keys is not None:
            return description.kind(zip(description.keys, items))
        return description.kind(*items) if hasattr(description.kind, "_fields") else description.kind(items)

    def _profile(self, variables: Mapping[str, int], replaced: dict[int, dict[tuple[int, int], Buffer]],
                 arguments: list[Any]) -> None:
        """Runs with a time for each kernel."""
        begin = perf_counter()
        if (trace := tracefile.current()) is not None:
            trace.replay(self, self.recording.steps, self.buffers)
        GlobalCounters.showing += perf_counter() - begin
        steps = iter(self.recording.steps)
        for i, segment in enumerate(self.segments):
            if isinstance(segment, tuple):
                self._copy(segment, arguments, next(steps).lines)
                continue
            start = perf_counter()
            times = segment.profile(variables, replaced.get(i))
            GlobalCounters.waking += segment.waking
            for seconds in times:
                step = next(steps)
                assert step.program is not None
                GlobalCounters.kernels += 1
                show_launch(segment.device, step.program.spec, step.lines, variables, start, seconds)
                start += seconds


def arena_buffers(recording: Recording, outputs: set[int]) -> dict[int, Buffer]:
    """Buffers for the fresh memory that is no output: by number of the root, in one arena for each device."""
    memory = recording.memory
    roots = [number if m.root is None else m.root for number, m in enumerate(memory)]
    between = {root for root in roots if memory[root].kind == "fresh"} - outputs
    sizes, places = share([[roots[number] for number in step.memory if roots[number] in between]
                           for step in recording.steps], lambda root: (memory[root].device, memory[root].nbytes))
    arenas = {device: Buffer(device, (nbytes,), dtypes.uint8) for device, nbytes in sizes.items()}
    return {root: arenas[memory[root].device].view(memory[root].shape, memory[root].dtype, start)
            for root, start in places.items()}


def capture(recording: Recording, guards: Guards, result: Any, states: list[State], given: dict[str, tuple[int, int]],
            pins: dict[int, Buffer], expected: tuple[Expected, ...], wrap: Callable[[UOp, str], Any]) -> Captured:
    """The graph of a recording. `states`: places that each call fills with a tensor that it made; `given`: bounds of
    the variables that are arguments."""
    made = [d for d in (*flatten(result), *(state.made for state in states)) if isinstance(d, Made)]
    roots = {m.number if recording.memory[m.number].root is None else recording.memory[m.number].root for m in made}
    outputs = {root for root in roots if root is not None and recording.memory[root].kind == "fresh"}
    arena = arena_buffers(recording, outputs)
    buffers: list[Buffer] = []
    for number, memory in enumerate(recording.memory):
        if memory.buffer is not None:
            buffers.append(memory.buffer)
        elif memory.root is not None:
            buffers.append(buffers[memory.root].view(memory.shape, memory.dtype, memory.offset))
        else:
            buffers.append(arena.get(number) or Buffer(memory.device, memory.shape, memory.dtype))
    segments, places = _segments(recording, buffers)
    holders = {holder.place: holder for holder in guards.holders}
    captured = Captured(
        guards=guards, result=result, buffers=buffers, segments=segments, outputs=[], states=states,
        pins=pins, wrap=wrap, host=_host_written(recording, buffers), recording=recording, expected=expected,
        given=given,
        inputs=[(m.which if m.kind == "argument" else holders[m.which], number, places[number])
                for number, m in enumerate(recording.memory) if m.kind in ("argument", "state")],
        constants={name: value for step in recording.steps for name, value in step.variables if name not in given},
        pinned=frozenset(m.buffer for m in recording.memory if m.kind == "fixed" and m.buffer is not None),
        operations=ssum(step.program.spec.operations for step in recording.steps if step.program is not None),
        moved=ssum(step.program.spec.bytes for step in recording.steps if step.program is not None),
        kernels=sum(step.program is not None for step in recording.steps))
    written = {number for step in recording.steps for number in (step.memory[slot] for slot in step.written)}
    captured.overwritten = frozenset(buffers[n] for n in written if recording.memory[n].kind in ("fixed", "state"))
    captured.overwritten_arguments = tuple(sorted({recording.memory[n].which for n in written
                                                   if recording.memory[n].kind == "argument"}))
    for number in sorted(outputs):
        parts = [(i, places[i]) for i, m in enumerate(recording.memory) if m.root == number]
        node = UOp(Ops.BUFFER, buffers[number].dtype, (), buffers[number])
        output = Output(number, buffers[number], node, places[number], parts)
        del node
        captured.outputs.append(output)
        captured.by_number[number] = output
    del buffers, arena
    for output in captured.outputs:
        output.idle = output.count()
    return captured


def _host_written(recording: Recording, buffers: list[Buffer]) -> list[tuple[Buffer, Callable[[], bytes]]]:
    """Every draw of a call has a buffer of the graph's own, in order, also where no kernel needs it."""
    numbers = {memory.which: number for number, memory in enumerate(recording.memory) if memory.kind == "host"}
    return [(buffers[numbers[i]] if i in numbers else Buffer(made.device, made.shape, made.dtype), content)
            for i, (made, content) in enumerate(recording.host_written.items())]


def _segments(recording: Recording, buffers: list[Buffer]
              ) -> tuple[list[GraphRunner | tuple[int, int]], list[Places]]:
    """Runs of launches of one device as graphs, copies between devices; and where each memory is used."""
    segments: list[GraphRunner | tuple[int, int]] = []
    places: list[Places] = [[] for _ in buffers]
    launches: list[Launch] = []
    device: Device | None = None

    def close() -> None:
        if device is not None and launches:
            segments.append(device.graph(launches))
        launches.clear()

    for step in recording.steps:
        if step.program is None:
            close()
            segments.append((step.memory[0], step.memory[1]))
            continue
        here = get_device(device_of_buffers([buffers[n] for n in step.memory], step.written))
        if here is not device:
            close()
            device = here
        for slot, number in enumerate(step.memory):
            places[number].append((len(segments), len(launches), slot))
        launches.append(Launch(step.program, tuple(buffers[n] for n in step.memory)))
    close()
    return segments, places
