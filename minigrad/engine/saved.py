"""Captured graphs in files, for processes that neither schedule nor compile.

    step.save("step.graph")                     # a TinyJit that has a graph: it was called twice
    step = TinyJit.load("step.graph")           # in another process
    logits = step(token, start=7)               # the same tensors in order; variables by name, or bound ones

A file is a safetensors file: the memory that the graph reads and was not given as an argument (weights, caches), under
the names by which the function reached it, and machine code as bytes. Its metadata is the plan: launches over numbered
memory, as they were recorded, the processor that the code needs, and a checksum of every part. Memory that the graph
writes is a loaded graph's own, and keeps its content between calls.

A file that is damaged, of another version or for another processor is refused. One that is whole is believed: its code
runs in this process, so load files only of those whom you would let run any program.
"""
from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any
from zlib import crc32

import numpy as np

from ..dtype import DType, dtypes
from ..helpers import prod
from ..runtime.device import Buffer, get_device
from ..runtime.disk import MappedFile, PathLike, map_file, write_atomically
from ..runtime.safetensors import SafetensorsError, TensorInfo, parse, write_header
from ..schedule import Kernel
from ..shape.build import split_view
from ..uops import Ops, UOp
from . import guards as guarding
from .capture import Captured
from .describe import Expected, Kept, Made, Many, Value, buffer_of, unbind
from .guards import Guards
from .realize import recorder
from .recording import Memory, Recording, Step, root_of
from .store import decode, encode

FORMAT, VERSION = "minigrad graph", 1
CODE = "* "             # before the names of parts that are code: no way to a tensor begins so
CONTAINERS = {kind.__name__: kind for kind in (list, tuple, dict)}


class GraphError(ValueError):
    """A graph that cannot leave its process, or a file or an argument that does not fit."""


# ---- a graph without its process ------------------------------------------------------------------------------------


@dataclass
class Contents:
    """What a graph is made of. `names`: of memory that existed before the call, by number; `written`: numbers of roots
    that launches write; `result`: Made, Argument and Value in nested containers."""

    captured: Captured
    device: str
    memory: list[Memory]
    names: dict[int, str]
    unnamed: set[int]
    written: set[int]
    result: Any = None

    @property
    def steps(self) -> list[Step]:
        return self.captured.recording.steps

    def content(self, number: int) -> memoryview:
        """The bytes of memory that existed before the call."""
        buffer = self.memory[number].buffer
        assert buffer is not None
        return np.ascontiguousarray(buffer.numpy()).reshape(-1).view(np.uint8).data


def contents(captured: Captured) -> Contents:
    """GraphError for a graph that needs this process: Python's random numbers, places that it fills and reads."""
    recording = captured.recording
    memory = list(recording.memory)
    devices = {m.device for m in memory}
    if captured.host:
        raise GraphError("the graph draws random numbers: pass them as an argument")
    if len(devices) != 1 or any(step.program is None for step in recording.steps):
        raise GraphError(f"the graph computes on {', '.join(sorted(devices)) or 'no device'}: expected one device")
    filled = {state.holder.place: state.made for state in captured.states}
    for holder, number, _ in captured.inputs:
        if isinstance(holder, int):
            continue
        made = filled[holder.place]
        if not isinstance(made, Made) or made.number != number:
            raise GraphError(f"{holder.path} gets other memory in each call: assign to it in place, with .assign()")
        memory[number] = replace(memory[number], kind="fixed", which=None, buffer=buffer_of(holder.tensor))
    for i, expected in enumerate(captured.expected):
        if i in captured.pins or any(
                m.root is not None and (memory[m.root].kind, memory[m.root].which) == ("argument", i) for m in memory):
            raise GraphError(f"argument {i} is a tensor that the function also reads elsewhere")
        if expected.first != i:
            raise GraphError(f"arguments {expected.first} and {i} share memory")
    found = Contents(captured, devices.pop(), memory, {}, set(),
                     {root_of(memory, step.memory[slot]) for step in recording.steps for slot in step.kernel.written})
    found.result = _portable(captured.result, found)
    _name_memory(found)
    return found


def _portable(description: Any, found: Contents) -> Any:
    """The description of a result; a tensor that is always the same becomes memory of the graph."""
    if isinstance(description, Many):
        if description.kind not in CONTAINERS.values():
            raise GraphError(f"the function returns a {description.kind.__name__}: expected lists, tuples and dicts")
        return replace(description, items=tuple(_portable(item, found) for item in description.items))
    if isinstance(description, Value) and not isinstance(description.value, (bool, int, float, str, type(None))):
        raise GraphError(f"the function returns a {type(description.value).__name__}, which has no stored form")
    if not isinstance(description, Kept):
        return description
    tensor = description.tensor
    if split_view(tensor.uop)[0].op is not Ops.BUFFER:
        tensor = tensor.contiguous().realize()
    base, tracker = split_view(tensor.uop)
    number = found.captured.recording.find(base.arg)
    if number is None:
        number = len(found.memory)
        found.memory.append(Memory(base.arg.device, base.arg.shape, base.arg.dtype, base.arg.nbytes, "fixed",
                                   buffer=base.arg))
    return Made(number, None if tensor.uop is base else unbind(tracker), tensor.device, -1 - id(description.tensor))


def _name_memory(found: Contents) -> None:
    """Memory that existed before the call gets the name of a tensor that holds it."""
    guards = found.captured.guards
    paths: dict[Buffer, str] = {}
    for tensor, path in zip(guards.tensors, guards.tensor_paths):
        base = split_view(tensor.uop)[0]
        if base.op is Ops.BUFFER:
            paths.setdefault(base.arg, path)
    ends = 0
    for number, m in sorted(((n, m) for n, m in enumerate(found.memory) if m.kind == "fixed" and m.root is None),
                            key=lambda item: item[1].buffer.ptr):  # type: ignore[union-attr]
        assert m.buffer is not None
        name = paths.get(m.buffer)
        if name is None or name in found.names.values():
            name = f"constant {number}"
            found.unnamed.add(number)
        found.names[number] = name
        if m.buffer.ptr < ends and found.written:
            raise GraphError(f"{name} shares memory with another tensor that the function reads")
        ends = max(ends, m.buffer.ptr + m.nbytes)


# ---- saving ---------------------------------------------------------------------------------------------------------


def save_graph(captured: Captured, path: PathLike, name: str, weights: bool = True) -> None:
    """Writes a graph, in one step. `weights` False: named tensors that are only read are given when it is loaded.

    GraphError: it depends on what no file can hold. OSError, CompileError.
    """
    found = contents(captured)
    device = get_device(found.device)
    programs = list(dict.fromkeys([step.program for step in found.steps if step.program is not None]))
    code, symbols = device.pack([program.spec for program in programs])
    parts: dict[str, tuple[DType, tuple[int, ...], memoryview]] = {
        found.names[n]: (found.memory[n].dtype, found.memory[n].shape, found.content(n)) for n in sorted(found.names)
        if weights or n in found.written or n in found.unnamed}
    parts |= {CODE + name: (dtypes.uint8, (len(data),), memoryview(data)) for name, data in code.items()}
    parts = dict(sorted(parts.items(), key=lambda item: -item[1][0].itemsize))  # so that all are aligned
    places = {program: i for i, program in enumerate(programs)}
    plan = json.dumps({
        "name": name, "device": found.device, "needs": sorted(device.target.instruction_sets()),
        "expected": encode(captured.expected), "variables": captured.given, "result": _pack(found.result),
        "memory": [[m.kind, m.which, list(m.shape), encode(m.dtype), m.root, m.offset, found.names.get(n)]
                   for n, m in enumerate(found.memory)],
        "kernels": [encode(replace(program.spec, source="", prelude=())) for program in programs], "code": symbols,
        "steps": [[places[step.program], list(step.memory), list(step.variables), list(step.kernel.lines)]
                  for step in found.steps if step.program is not None],
        "sums": {name: crc32(data) for name, (_, _, data) in parts.items()}}, separators=(",", ":"))
    metadata = {"format": FORMAT, "version": str(VERSION), "sum": str(crc32(plan.encode())), "plan": plan}
    header = write_header({name: (dtype, shape) for name, (dtype, shape, _) in parts.items()}, metadata)
    write_atomically(path, [header, *(data for _, _, data in parts.values())])


def _pack(description: Any) -> Any:
    if isinstance(description, Many):
        return [description.kind.__name__, encode(description.keys), [_pack(item) for item in description.items]]
    return encode(description)


def _unpack(data: Any) -> Any:
    if isinstance(data, list):
        return Many(CONTAINERS[data[0]], decode(data[1]), tuple(_unpack(item) for item in data[2]))
    return decode(data)


# ---- loading --------------------------------------------------------------------------------------------------------


def load_graph(path: PathLike, weights: Mapping[str, Any] | None = None) -> LoadedGraph:
    """The graph of a file. `weights`: tensors or arrays by name, in place of the file's own.

    GraphError: the file is damaged, of another version, for another processor, or a weight is missing or does not fit.
    """
    for name, value in (weights or {}).items():
        if not isinstance(value, (guarding.tensor_type, np.ndarray)):
            raise TypeError(f"weight {name!r}: expected a Tensor or an array, got {value!r:.80}")
    mapped = map_file(path)
    try:
        header = parse(mapped.bytes)
        plan = _checked_plan(header.metadata)
        target = get_device(plan["device"]).target
        lacking = set(plan["needs"]) - target.instruction_sets()
        if lacking:
            raise GraphError(f"its code needs a processor with {', '.join(sorted(lacking))}, which this one "
                             f"({target.model}) has not: save it on a machine of this kind")
        if plan["sums"].keys() != header.tensors.keys():
            raise GraphError("its parts are not those of its plan")
        for name, info in header.tensors.items():
            if crc32(mapped.bytes[info.start:info.end]) != plan["sums"][name]:
                raise GraphError(f"{name!r} is damaged: its checksum does not fit")
        return _build(plan, mapped, header.tensors, dict(weights or {}))
    except (GraphError, SafetensorsError) as error:
        raise GraphError(f"{os.fspath(path)}: {error}") from None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError) as error:
        raise GraphError(f"{os.fspath(path)}: the plan makes no sense: {error!r}") from error


def _checked_plan(metadata: Mapping[str, str]) -> dict[str, Any]:
    if metadata.get("format") != FORMAT:
        raise GraphError("not a saved graph")
    if metadata.get("version") != str(VERSION):
        raise GraphError(f"of version {metadata.get('version')!r}; this is version {VERSION}: save it again")
    text = metadata.get("plan", "")
    if str(crc32(text.encode())) != metadata.get("sum"):
        raise GraphError("the plan is damaged: its checksum does not fit")
    plan: dict[str, Any] = json.loads(text)
    return plan


def _build(plan: dict[str, Any], mapped: MappedFile, stored: Mapping[str, TensorInfo], given: dict[str, Any]
           ) -> LoadedGraph:
    device = get_device(plan["device"])
    steps = [(kernel, tuple(numbers), tuple((name, value) for name, value in variables), tuple(lines))
             for kernel, numbers, variables, lines in plan["steps"]]
    specs = [decode(data) for data in plan["kernels"]]
    code = {name.removeprefix(CODE): mapped[info.start:info.end] for name, info in stored.items()
            if name.startswith(CODE)}
    programs = device.unpack(specs, code, plan["code"])
    rows = [(kind, which, tuple(shape), decode(dtype), root, offset, name)
            for kind, which, shape, dtype, root, offset, name in plan["memory"]]
    written = {numbers[slot] for kernel, numbers, _, _ in steps for slot in specs[kernel].written}
    written |= {rows[n][4] for n in written if rows[n][4] is not None}
    unknown = given.keys() - {row[-1] for row in rows}
    if unknown:
        raise GraphError(f"no weight is named {', '.join(map(repr, sorted(unknown)))}; there are "
                         f"{', '.join(repr(row[-1]) for row in rows if row[-1])}")
    memory: list[Memory] = []
    for number, (kind, which, shape, dtype, root, offset, name) in enumerate(rows):
        buffer: Buffer | None = None
        if name in given:
            buffer = _given(name, given[name], shape, dtype, device.name)
        elif name in stored:
            info = stored[name]
            if (info.shape, info.dtype) != (shape, dtype):
                raise GraphError(f"{name!r} is {info.dtype!r} of shape {info.shape}, the plan says {dtype!r}, {shape}")
            buffer = mapped.buffer(info.start, shape, dtype, device.name) if device.is_host else None
            if buffer is None or number in written:
                buffer = Buffer(device.name, shape, dtype)
                buffer.copyin(mapped.bytes[info.start:info.end])
        elif name is not None:
            raise GraphError(f"the weight {name!r}, {dtype.name} of shape {shape}, is not in the file: pass weights="
                             f"{{{name!r}: ...}}")
        elif kind == "argument":
            buffer = Buffer(device.name, shape, dtype)
        elif kind == "fixed":
            parent = memory[root].buffer
            assert parent is not None
            buffer = parent.view(shape, dtype, offset)
        elif kind != "fresh":
            raise GraphError(f"memory {number} is {kind!r}")
        memory.append(Memory(device.name, shape, dtype, prod(shape) * dtype.itemsize, kind, which, buffer, root,
                             offset))
    nothing = UOp(Ops.SINK, dtypes.void)        # the kernels' ASTs stayed behind
    recording = Recording({}, {}, [
        Step(programs[kernel], Kernel(nothing, (), specs[kernel].written, (), (), lines), numbers, variables)
        for kernel, numbers, variables, lines in steps], memory)
    wrap: Callable[[UOp, str], Any] = guarding.tensor_type._wrap  # type: ignore[attr-defined]
    bounds = {name: (low, high) for name, (low, high) in plan["variables"].items()}
    captured = Captured(recording, Guards(), _unpack(plan["result"]), [], bounds, {}, decode(plan["expected"]), wrap)
    tensors = {row[-1]: wrap(UOp(Ops.BUFFER, m.dtype, (), m.buffer), device.name)
               for row, m in zip(rows, memory) if row[-1] is not None}
    return LoadedGraph(plan["name"], captured, tensors)


def _given(name: str, value: Any, shape: tuple[int, ...], dtype: DType, device: str) -> Buffer:
    """The memory of a weight that the caller passes."""
    is_array = isinstance(value, np.ndarray)
    buffer = Buffer.from_numpy(value, device=device) if is_array else buffer_of(value.contiguous().realize())
    if (buffer.size, buffer.dtype, buffer.device) != (prod(shape), dtype, device):
        raise GraphError(f"weight {name!r}: expected {dtype.name} of shape {shape} on {device}, got {buffer!r}")
    return buffer


class LoadedGraph:
    """A graph of a file. `tensors`: the memory it came with, by name; `variables`: the bounds of each."""

    def __init__(self, name: str, captured: Captured, tensors: dict[str, Any]) -> None:
        self.name, self.captured, self.tensors, self.variables = name, captured, tensors, captured.given

    def __call__(self, *arguments: Any, **values: int) -> Any:
        """Runs it: the recorded call's tensors in order, and a value for each variable. What the recorded call
        returned. TypeError, ValueError (GraphError) for arguments that do not fit."""
        start = perf_counter()
        if recorder() is not None:
            raise GraphError(f"{self.name}: a loaded graph cannot become a part of another one")
        tensors: list[Any] = []
        given = dict(values)
        for argument in arguments:
            if isinstance(argument, UOp) and argument.op is Ops.BIND:
                variable, value = argument.unbind()
                if given.setdefault(variable.arg.name, value) != value:
                    raise ValueError(f"{self.name}: variable {variable.arg.name} is given as {value} and as "
                                     f"{given[variable.arg.name]}")
            elif isinstance(argument, guarding.tensor_type):
                tensors.append(argument)
            else:
                raise TypeError(f"{self.name}: expected tensors and bound variables, got {argument!r:.80}")
        if len(tensors) != len(self.captured.expected) or given.keys() != self.variables.keys():
            raise TypeError(f"{self.name}: expected {len(self.captured.expected)} tensors and variables "
                            f"{sorted(self.variables)}, got {len(tensors)} and {sorted(given)}")
        for name, (low, high) in self.variables.items():
            if not isinstance(given[name], int) or not low <= given[name] <= high:
                raise ValueError(f"{self.name}: variable {name} is {given[name]!r}, expected {low} to {high}")
        tensors = [self._fitting(i, tensor, expected)
                   for i, (tensor, expected) in enumerate(zip(tensors, self.captured.expected))]
        buffers = [buffer_of(tensor) for tensor in tensors]
        shared = len(set(buffers)) < len(buffers) and self.captured.overwritten_arguments
        if shared or not self.captured.accepts(buffers):
            raise GraphError(f"{self.name}: arguments share memory with each other or with the graph's own tensors")
        return self.captured.run(tensors, given, self.name, start)

    def _fitting(self, number: int, tensor: Any, expected: Expected) -> Any:
        if not tensor.is_realized:
            tensor.realize()
        base, view = split_view(tensor.uop)
        dtype_fits = (tensor.dtype, tensor.device) == (expected.dtype, expected.device)
        if dtype_fits and (base.arg.size, base.dtype, unbind(view)) == (expected.size, expected.dtype,
                                                                        expected.tracker):
            return tensor
        packed = expected.tracker.is_contiguous and prod(expected.tracker.shape) == expected.size
        if dtype_fits and packed and view.shape == expected.tracker.shape \
                and number not in self.captured.overwritten_arguments:
            return tensor.contiguous().realize()
        raise GraphError(f"{self.name}: argument {number} is {tensor.dtype.name} of shape {tensor.shape} on "
                         f"{tensor.device}; expected {expected.dtype.name} of shape {expected.tracker.shape} on "
                         f"{expected.device}, laid out as in the call that was saved")

