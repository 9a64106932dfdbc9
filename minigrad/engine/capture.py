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
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from ..dtype import dtypes
from ..runtime.device import Buffer, Device, GraphRunner, Launch, get_device
from ..schedule import Kernel
from ..schedule.graph import value_order
from ..schedule.memory import share
from ..shape.build import viewed
from ..uops import Ops, UOp
from ..uops.symbolic import ssum
from . import guards as guarding
from . import profile, tracefile
from .describe import Argument, Expected, Kept, Made, Many, State, Value, buffer_of, flatten, rebind
from .guards import Guards, Holder
from .profile import GlobalCounters
from .realize import copy, device_of_buffers, lock, show_launch, uninterrupted
from .recording import Recording, root_of

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


class Captured:
    """A graph ready to be replayed. `states`: places that each call fills with a tensor that it made; `given`: bounds
    of the variables that are arguments; `pins`: arguments that the function reads elsewhere too.
    """

    def __init__(self, recording: Recording, guards: Guards, result: Any, states: list[State],
                 given: dict[str, tuple[int, int]], pins: dict[int, Buffer], expected: tuple[Expected, ...],
                 wrap: Callable[[UOp, str], Any]) -> None:
        self.recording, self.guards, self.result, self.states = recording, guards, result, states
        self.given, self.pins, self.expected, self.wrap = given, pins, expected, wrap
        memory, steps = recording.memory, recording.steps
        made = {d.number for d in (*flatten(result), *(state.made for state in states)) if isinstance(d, Made)}
        outputs = sorted(root for root in {root_of(memory, number) for number in made} if memory[root].kind == "fresh")
        self.buffers = _buffers(recording, outputs)
        self.segments, places = _segments(recording, self.buffers)
        holders = {holder.place: holder for holder in guards.holders}
        # (argument, or where the last call left it; number; places)
        self.inputs: list[tuple[int | Holder, int, Places]] = [
            (m.which if m.kind == "argument" else holders[m.which], number, places[number])
            for number, m in enumerate(memory) if m.kind in ("argument", "state")]
        self.host = _host_written(recording, self.buffers)      # written from Python before each replay
        self.constants = {name: value for step in steps for name, value in step.variables if name not in given}
        self.pinned = frozenset(m.buffer for m in memory if m.kind == "fixed" and m.buffer is not None)
        specs = [step.program.spec for step in steps if step.program is not None]
        self.kernels = len(specs)
        self.operations, self.moved = ssum(spec.operations for spec in specs), ssum(spec.bytes for spec in specs)
        written = {step.memory[slot] for step in steps for slot in step.kernel.written}
        # fixed memory that the graph writes, and arguments
        self.overwritten = frozenset(self.buffers[n] for n in written if memory[n].kind in ("fixed", "state"))
        self.overwritten_arguments = tuple(sorted({memory[n].which for n in written if memory[n].kind == "argument"}))
        self.harmless: weakref.WeakSet[UOp] = weakref.WeakSet()     # pending values that read none of it
        self.outputs = {number: self._output(number, places) for number in outputs}
        for output in self.outputs.values():
            output.idle = output.count()

    def _output(self, number: int, places: list[Places]) -> Output:
        buffer = self.buffers[number]
        parts = [(i, places[i]) for i, m in enumerate(self.recording.memory) if m.root == number]
        return Output(number, buffer, UOp(Ops.BUFFER, buffer.dtype, (), buffer), places[number], parts)

    def with_buffers(self) -> list[Kernel]:
        """The kernels, as a schedule has them: over the graph's own buffers."""
        return [replace(step.kernel, buffers=tuple([self.buffers[n] for n in step.memory]))
                for step in self.recording.steps]

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
        for output in self.outputs.values():
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
        output = self.outputs.get(number)
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
            output = self.outputs.get(description.number)
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
            trace.replay(self)
        GlobalCounters.showing += perf_counter() - begin
        steps = iter(self.recording.steps)
        for i, segment in enumerate(self.segments):
            if isinstance(segment, tuple):
                self._copy(segment, arguments, next(steps).kernel.lines)
                continue
            start = perf_counter()
            times = segment.profile(variables, replaced.get(i))
            GlobalCounters.waking += segment.waking
            for seconds in times:
                step = next(steps)
                assert step.program is not None
                GlobalCounters.kernels += 1
                show_launch(segment.device, step.program.spec, step.kernel.lines, variables, start, seconds)
                start += seconds


def _buffers(recording: Recording, outputs: Sequence[int]) -> list[Buffer]:
    """A buffer for each memory. What is fresh and no output shares an arena on each device."""
    memory = recording.memory
    between = {root for number in range(len(memory)) if memory[root := root_of(memory, number)].kind == "fresh"}
    between.difference_update(outputs)
    sizes, places = share([[root for number in step.memory if (root := root_of(memory, number)) in between]
                           for step in recording.steps], lambda root: (memory[root].device, memory[root].nbytes))
    arenas = {device: Buffer(device, (nbytes,), dtypes.uint8) for device, nbytes in sizes.items()}
    buffers: list[Buffer] = []
    for number, m in enumerate(memory):
        if m.buffer is not None:
            buffers.append(m.buffer)
        elif m.root is not None:
            buffers.append(buffers[m.root].view(m.shape, m.dtype, m.offset))
        elif number in places:
            buffers.append(arenas[m.device].view(m.shape, m.dtype, places[number]))
        else:
            buffers.append(Buffer(m.device, m.shape, m.dtype))
    return buffers


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
        here = get_device(device_of_buffers([buffers[n] for n in step.memory], step.kernel.written))
        if here is not device:
            close()
            device = here
        for slot, number in enumerate(step.memory):
            places[number].append((len(segments), len(launches), slot))
        launches.append(Launch(step.program, tuple(buffers[n] for n in step.memory)))
    close()
    return segments, places
