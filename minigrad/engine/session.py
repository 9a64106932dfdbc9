"""One call of a jitted function: its arguments, as a key of what a graph depends on; what it launched, returned and
left behind.
"""
from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np

from ..runtime.device import Buffer
from ..schedule import without_collector
from ..shape.build import split_view
from ..uops import Ops, UOp, toposort
from ..uops.symbolic import substitute
from . import guards as guarding
from .describe import Describer, Expected, State, Value, flatten, unbind
from .guards import Guards, Holder
from .reach import CodeTracer, TooManyValues, collect, tensors_below
from .realize import recording
from .recording import Difference, Recording

EXACT = (int, str, bool, types.NoneType)


class JitError(RuntimeError):
    """A function that cannot be replayed without giving something stale."""


class Call:
    """One call's arguments: `key` (what a graph depends on), the tensors, values of variables, the other objects."""

    __slots__ = ("bounds", "buffers", "has_history", "key", "objects", "tensors", "variables")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.tensors: list[Any] = []
        self.buffers: list[Buffer] = []
        self.variables: dict[str, int] = {}
        self.bounds: dict[str, tuple[int, int]] = {}    # of the variables
        self.objects: list[Any] = []
        self.has_history = False        # a tensor was computed from others that want gradients
        parts: list[Any] = []
        for value in args:
            self._add(value, parts)
        for name in sorted(kwargs):
            parts.append(name)
            self._add(kwargs[name], parts)
        if len(self.buffers) > 1 and len(set(self.buffers)) < len(self.buffers):
            first = {buffer: i for i, buffer in reversed(list(enumerate(self.buffers)))}
            parts.append(tuple([first[buffer] for buffer in self.buffers]))
        self.key = tuple(parts)

    def _add(self, value: Any, parts: list[Any]) -> None:
        kind = type(value)
        if isinstance(value, guarding.tensor_type):
            self._add_tensor(value, parts)
        elif kind in EXACT:
            parts.append(kind)
            parts.append(value)
        elif kind is float:
            parts.append(value.hex())  # tells 0.0 from -0.0; a NaN equals itself
        elif isinstance(value, UOp):
            parts.append(self._unbound(value))
        elif isinstance(value, (list, tuple)):
            parts += (kind, len(value))
            for item in value:
                self._add(item, parts)
        elif isinstance(value, dict):
            parts += (kind, len(value))
            for key, item in value.items():
                parts.append(key)
                self._add(item, parts)
        elif isinstance(value, np.ndarray):
            parts += (kind, value.dtype.str, value.shape, value.tobytes())
        elif isinstance(value, (bytes, complex, np.generic)):
            parts += (kind, repr(value))
        else:
            parts += ("object", id(value))
            self.objects.append(value)

    def _add_tensor(self, tensor: Any, parts: list[Any]) -> None:
        node = tensor._node
        if node.op is not Ops.BUFFER:
            if not tensor.is_realized:
                tensor.realize()
                node = tensor._node
            if node.op is Ops.DETACH:
                if node.arg is not None and node.arg < 0:
                    parts.append("replayed")
                elif node.arg is not None:  # its gradient is a place that the function may fill
                    parts += ("leaf", id(tensor))
                    self.objects.append(tensor)
                self.has_history = self.has_history or len(node.src) > 1
                node = node.src[0]
            if node.op is Ops.VIEW:
                parts.append(self._without_values(node.arg))
                node = node.src[0]
            if node.op is not Ops.BUFFER:
                raise JitError(f"an argument of shape {tensor.shape} has no buffer: {node!r}")
        buffer = node.arg
        parts += (buffer.shape, buffer.dtype, buffer.device, buffer.readonly)
        self.tensors.append(tensor)
        self.buffers.append(buffer)

    def _without_values(self, tracker: Any) -> Any:
        """A view with variables instead of their values, which are noted."""
        for node in tracker.variables():
            if node.op is Ops.BIND:
                self._note(node)
        return unbind(tracker)

    def _unbound(self, value: UOp) -> Any:
        """An integer with variables instead of their values, which are noted."""
        if value.op is Ops.BIND:
            self._note(value)
            return value.src[0]
        bound = [node for node in toposort(value) if node.op is Ops.BIND]
        for node in bound:
            self._note(node)
        return substitute(value, {node: node.src[0] for node in bound})

    def _note(self, node: UOp) -> None:
        variable, value = node.unbind()
        name = variable.arg.name
        self.bounds[name] = variable.arg.low, variable.arg.high
        if self.variables.setdefault(name, value) != value:
            raise ValueError(f"variable {name} is bound to {self.variables[name]} and to {value} in one call")


class Session:
    """One recorded call: what it launched, returned and left behind."""

    def __init__(self, call: Call, before: Guards) -> None:
        self.call, self.before = call, before
        places: dict[Buffer, list[Any]] = {}
        for holder in before.holders:
            base = split_view(holder.tensor.uop)[0]
            if base.op is Ops.BUFFER:
                places.setdefault(base.arg, []).append(holder.place)
        # an argument that is also reached in another way stays where it is
        self.pins = {i: buffer for i, buffer in enumerate(call.buffers) if buffer in places}
        arguments = {buffer: i for i, buffer in reversed(list(enumerate(call.buffers))) if i not in self.pins}
        self.recording = Recording(arguments, {buffer: tuple(found) for buffer, found in places.items()})
        self.guards = before
        views = [(buffer, unbind(split_view(tensor.uop)[1])) for buffer, tensor in zip(call.buffers, call.tensors)]
        self.expected = tuple([Expected(buffer.size, buffer.dtype, buffer.device, view, call.buffers.index(buffer))
                               for buffer, view in views])
        self.result: Any = None
        self.states: list[State] = []
        self.odd: str | None = None     # what a replay cannot do
        self.too_many: TooManyValues | None = None

    def run(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any],
            roots: list[tuple[Any, str]], codes: dict[types.CodeType, dict[str, Any]], traced: bool) -> Any:
        """Calls the function and computes all that it left pending. `traced`: the code that runs is added to `codes`;
        otherwise the guards are of what could run."""
        nodes = [tensor.uop for tensor in self.call.tensors]
        with recording(self.recording), without_collector():
            with CodeTracer(traced) as tracer:
                value = function(*args, **kwargs)
            codes.update(tracer.users())
            try:
                self.guards = collect(roots, codes if tracer.active else None)
            except TooManyValues as error:
                self.too_many = error
                return value
            pending = self._pending(value)
            if pending:
                pending[0].realize(*pending[1:])
        self.guards.settle()
        for i, (tensor, node) in enumerate(zip(self.call.tensors, nodes)):
            if tensor.uop is not node:
                self.odd = f"the function gives argument {i} another buffer"
        describer = Describer(self.recording, self.call.tensors, self.before)
        self.result = describer.describe(value)
        self._find_states(describer)
        return value

    def _pending(self, value: Any) -> list[Any]:
        """Tensors that the call returned, changed or put somewhere, and that are not computed yet."""
        known = {id(tensor): node for tensor, node in zip(self.before.tensors, self.before.nodes)}
        found = {id(tensor): tensor for _, tensor in tensors_below(value)}
        found.update((id(tensor), tensor) for tensor in self.call.tensors)
        found.update((id(tensor), tensor) for tensor in self.guards.tensors
                     if known.get(id(tensor)) is not tensor._node)
        return [tensor for tensor in found.values() if not tensor.is_realized]

    def _find_states(self, describer: Describer) -> None:
        """Places that hold another tensor, or a tensor with other memory, than before the call."""
        before = {holder.place: (holder.tensor, self.before.nodes[holder.tensor_entry])
                  for holder in self.before.holders}
        known = {id(tensor) for tensor in self.before.tensors}
        filled: list[tuple[Holder, bool]] = []      # and whether the tensor there stays, with other memory
        updated: set[int] = set()
        for holder in self.guards.holders:
            tensor, node = before.get(holder.place, (None, None))
            if tensor is holder.tensor:
                if node is not tensor._node and id(tensor) not in updated:
                    updated.add(id(tensor))
                    filled.append((holder, True))
            elif id(holder.tensor) not in known or tensor is not None:
                filled.append((holder, False))
        self.recording.settle_places({holder.place for holder, _ in filled})
        for holder, update in filled:
            made = describer.made(holder.tensor)
            moves = made is not None and self.recording.memory[made.number].kind == "state"
            if made is not None and (update or moves or id(holder.tensor) not in known):
                self.states.append(State(holder, made, update))
            elif update:
                self.odd = f"{holder.path} takes memory that no kernel of the call made"
            else:
                self.states.append(State(holder, describer.tensor(holder.tensor), False))

    def difference(self, other: Session) -> Difference | None:
        """How another call differs from this one; None if it does not."""
        found = self.recording.difference(other.recording, frozenset(other.call.variables))
        if found is not None:
            return found
        mine, its = ([(state.holder.place, state.made, state.update) for state in session.states]
                     for session in (self, other))
        if mine != its or self.pins != other.pins:
            return Difference("the function fills other places", False)
        if self.result != other.result:
            old, new = flatten(self.result), flatten(other.result)
            for a, b in zip(old, new):
                if a != b and isinstance(a, Value) and isinstance(b, Value):
                    return Difference(f"the function returned {a.value!r:.60}, then {b.value!r:.60}", True)
            return Difference("the function returns something else", False)
        return None
