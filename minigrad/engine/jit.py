"""`TinyJit`: a function of tensors that is recorded in its first calls and replayed afterwards.

    @TinyJit
    def step(x, position): ...

The first two calls run and are recorded. If they did the same, the second one becomes a graph, and later calls replay
it: no Python of the function runs, no graph is built, one foreign call launches all kernels. A graph is used again
only while everything the function can be seen to depend on is as it was:

* arguments: tensors by shape, dtype, device, view and which of them share memory (their content may differ); a bound
  Variable by its name (its value may differ); anything else by value. Each combination has graphs of its own;
* what it reads from globals, closures, defaults, attributes and containers: see `reach.py`. A function that reaches
  more than can be watched (65,536 values) is run at each call, with a warning.

Arguments that were computed from others that want gradients are not recorded: the function runs as it is, since
`backward` inside of it may reach them.

A tensor that the function puts into such a place in every call (`self.hidden = ...`) is put there by a replay too.
What a call returned is never overwritten while somebody holds it. A replay keeps no history: a gradient that reaches
its result from outside raises RuntimeError. A constant that differs between two calls though
nothing visible changed raises `JitError`: it comes from a clock, a file, Python's random numbers.

Not seen, and so not replayed: other effects of Python (printing, appending to a list, counting), and reading a clock
or a file in a way that gives equal constants twice. A function that reads a tensor's value (`.item()`) in each of its
calls raises JitError.
"""
from __future__ import annotations

import functools
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, Generic, ParamSpec, TypeVar, cast

import numpy as np

from ..helpers import ALLOW_TF32, BEAM, DEBUG, DEV, EAGER, NOFUSE, NOOPT, TUNED
from ..runtime.device import Buffer
from ..runtime.disk import PathLike
from ..runtime.locks import fork_safe_lock
from ..schedule import without_collector
from ..shape.build import split_view
from ..uops import Ops, UOp, toposort
from ..uops.symbolic import substitute
from . import guards as guarding
from . import tracefile
from .capture import Captured, capture
from .describe import Describer, Expected, State, Value, flatten, unbind
from .export import export_c
from .guards import Guards, Holder, Jitted
from .profile import GlobalCounters
from .reach import MOST_VALUES, CodeTracer, TooManyValues, collect, tensors_below
from .realize import recorder, recording
from .recording import Difference, Recording
from .saved import LoadedGraph, load_graph, save_graph

P = ParamSpec("P")
R = TypeVar("R")

MOST_ENTRIES = 16       # combinations of arguments that a function is remembered for
MOST_CAPTURES = 4       # graphs for one combination: states of what else the function reads
FLAGS = (ALLOW_TF32, BEAM, DEV, EAGER, NOFUSE, NOOPT, TUNED)  # what decides the graph besides the function
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


def new_arguments(key: Any, last: Any) -> str:
    """Why a call has no graph yet: the first thing in which it differs from the last call's key."""
    (parts, *flags), (last_parts, *last_flags) = key, last
    if flags != last_flags:
        return "other flags"
    if len(parts) != len(last_parts):
        return "new arguments: more, fewer, or of other kinds"
    i = next(i for i, (new, old) in enumerate(zip(parts, last_parts)) if new != old or type(new) is not type(old))
    if i and parts[i - 1] in ("object", "leaf"):
        return "new arguments: another object"
    return f"new arguments: {parts[i]!r:.60} where {last_parts[i]!r:.60} was"


class Entry:
    """What is known about one combination of arguments."""

    def __init__(self, call: Call) -> None:
        self.objects = call.objects             # kept, since the key holds their ids
        self.captures: list[Captured] = []
        self.previous: Session | None = None
        self.guards: Guards | None = None       # at the end of the previous recording
        self.settled = False                    # the previous call changed nothing that it reads


class TinyJit(Jitted, Generic[P, R]):
    """See the module. `captured`: the graph used or made last; `recordings`: how many calls ran the function."""

    def __init__(self, function: Callable[P, R]) -> None:
        if not callable(function):
            raise TypeError(f"TinyJit: expected a function, got {function!r}")
        functools.update_wrapper(self, function)
        self.function = function
        self.name = getattr(function, "__qualname__", repr(function))
        self._lock = fork_safe_lock()
        self.reset()

    def reset(self) -> None:
        """Forgets all graphs: the next calls record again."""
        self._entries: OrderedDict[Any, Entry] = OrderedDict()
        self._codes: dict[types.CodeType, dict[str, Any]] = {}
        self.captured: Captured | None = None
        self.recordings = 0
        self.reason = "first call"
        self._gave_up = False
        self.reasons: list[str] = []        # of each recording, why

    # ---- for other processes

    def save(self, path: PathLike, weights: bool = True) -> None:
        """Writes the graph used or made last to a file that `load` reads: see `saved.py`."""
        save_graph(self._graph(), path, self.name, weights)

    def export(self, path: PathLike, weights: str = "inline") -> None:
        """Writes the graph used or made last as C, to `path` and a header beside it: see `export.py`."""
        export_c(self._graph(), path, self.name, weights)

    @staticmethod
    def load(path: PathLike, weights: Mapping[str, Any] | None = None) -> LoadedGraph:
        """The graph of a file, called with the recorded call's tensors in order and variables by name."""
        return load_graph(path, weights)

    def _graph(self) -> Captured:
        if self.captured is None:
            raise JitError(f"jit {self.name}: there is no graph yet ({self.reason}): call it twice first")
        return self.captured

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        # inside of another jitted function, whose graph this call becomes a part of; or beyond what can be guarded
        if recorder() is not None or self._gave_up:
            return cast(R, self.function(*args, **kwargs))
        start = perf_counter()
        with self._lock:
            call = Call(args, kwargs)
            modes = guarding.modes()
            if call.has_history and modes[0]:  # gradients may flow into what was computed before this call
                self.reason = "an argument has a history that wants gradients"
                return cast(R, self.function(*args, **kwargs))
            key = (call.key, modes, *[flag.value for flag in FLAGS])
            entry = self._entries.get(key)
            if entry is None:
                self.reason = new_arguments(key, next(reversed(self._entries))) if self._codes else "first call"
                entry = self._entries[key] = Entry(call)
                if len(self._entries) > MOST_ENTRIES:
                    self._entries.popitem(last=False)
            self._entries.move_to_end(key)
            captured = self._usable(entry, call)
            if captured is None:
                return self._record(entry, call, args, kwargs)
            self.captured = captured
            return cast(R, captured.run(call.tensors, call.variables, self.name, start))

    # ---- replaying

    def _usable(self, entry: Entry, call: Call) -> Captured | None:
        for captured in entry.captures:
            if captured.guards.hold() and captured.accepts(call.buffers):
                return captured
        for captured in entry.captures:
            for tensor, node in zip(captured.guards.tensors, captured.guards.nodes):
                if tensor._node is not node and split_view(tensor.uop)[0].op is Ops.ASSIGN:
                    tensor.realize()  # an assignment in place that is pending: then it is the same buffer
            changed = captured.guards.changed()
            if changed is None and not captured.accepts(call.buffers):
                changed = "an argument is a tensor that the function also reads elsewhere"
            if changed is None:
                return captured
            self.reason = changed
        return None

    # ---- recording

    def _record(self, entry: Entry, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        if DEBUG.value >= 1:
            print(f"jit {self.name}: recording, {self.reason}")
        if (trace := tracefile.current()) is not None:
            trace.recording(self.name, self.reason)
        self.recordings += 1
        self.reasons.append(self.reason)
        GlobalCounters.recordings += 1
        roots = [(self.function, self.name), *((value, f"argument {i}") for i, value in enumerate(call.objects))]
        last = entry.guards
        try:  # at the first call it is not known what will run: the guards are of what could
            before = last if last is not None and last.changed() is None else collect(roots, self._codes or None)
        except TooManyValues as error:
            if self._codes:
                return self._give_up(error, self.function(*args, **kwargs))
            with CodeTracer() as tracer:  # less may be needed than could be
                value = self.function(*args, **kwargs)
            self._codes.update(tracer.users())
            return cast(R, value)
        unchanged = last is not None and last.changed(scalars=True) is None
        realize_known(before)
        session = Session(call, before)
        value = session.run(self.function, args, kwargs, roots, self._codes)
        if session.too_many is not None:
            return self._give_up(session.too_many, value)
        settled = before.changed(scalars=True) is None
        previous, entry.previous = entry.previous, session
        entry.guards = session.guards
        entry_settled, entry.settled = entry.settled, settled
        if previous is None:
            self.reason = "the second call"
        elif (difference := previous.difference(session)) is None:
            session.guards.expect_start(before, last)
            self._capture(entry, session)
        else:
            self.reason = difference.text
            if difference.hidden and unchanged and settled and entry_settled:
                entry.previous = None
                raise JitError(f"jit {self.name}: {difference.text}, though nothing that the function is seen to read "
                               "has changed. It depends on something like a clock, a file or Python's random numbers: "
                               "pass that as an argument")
        return cast(R, value)

    def _give_up(self, error: TooManyValues, value: R) -> R:
        """What the function reads cannot be watched: from now on it runs as it is."""
        warnings.warn(f"jit {self.name}: the function reaches more than {MOST_VALUES} values, up to {error}: it is run "
                      "at each call. Let it reach less, or pass numbers instead of what holds them", RuntimeWarning,
                      stacklevel=4)
        self.reset()
        self._gave_up = True
        return value

    def _capture(self, entry: Entry, session: Session) -> None:
        """Makes a graph of two equal calls, unless a replay could not do what the call did."""
        recorded = session.recording
        if recorded.host_line is not None:
            raise JitError(f"jit {self.name}: the value of a tensor is read at {recorded.host_line}: a replay "
                           "cannot do that. Return the tensor and read it outside")
        if session.odd is not None:
            self.reason = session.odd
            return
        captured = capture(recorded, session.guards, session.result, session.states, session.call.bounds, session.pins,
                           session.expected, guarding.tensor_type._wrap)  # type: ignore[attr-defined]
        entry.captures.insert(0, captured)
        del entry.captures[MOST_CAPTURES:]
        entry.previous = None
        self.captured = captured


def realize_known(guards: Guards) -> None:
    """Computes pending tensors that the function can reach, such as new weights, once and outside of its graph."""
    pending = [tensor for tensor in guards.tensors
               if not tensor.is_realized and split_view(tensor.uop)[0].op is not Ops.CONST
               and all(isinstance(size, int) for size in tensor.shape)]
    if pending:
        pending[0].realize(*pending[1:])
        guards.settle()


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
            roots: list[tuple[Any, str]], codes: dict[types.CodeType, dict[str, Any]]) -> Any:
        """Calls the function and computes all that it left pending."""
        nodes = [tensor.uop for tensor in self.call.tensors]
        with recording(self.recording), without_collector():
            with CodeTracer() as tracer:
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
