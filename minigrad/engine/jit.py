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

from ..helpers import ALLOW_TF32, BEAM, DEBUG, DEV, EAGER, NOFUSE, NOOPT, TUNED
from ..runtime.disk import PathLike
from ..runtime.locks import fork_safe_lock
from ..shape.build import split_view
from ..uops import Ops
from . import guards as guarding
from . import tracefile
from .capture import Captured
from .export import export_c
from .guards import Guards, Jitted
from .profile import GlobalCounters
from .reach import MOST_VALUES, CodeTracer, TooManyValues, collect
from .realize import recorder
from .saved import LoadedGraph, load_graph, save_graph
from .session import Call, JitError, Session

P = ParamSpec("P")
R = TypeVar("R")

MOST_ENTRIES = 16       # combinations of arguments that a function is remembered for
MOST_CAPTURES = 4       # graphs for one combination: states of what else the function reads
FLAGS = (ALLOW_TF32, BEAM, DEV, EAGER, NOFUSE, NOOPT, TUNED)  # what decides the graph besides the function


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
                self.reason = new_arguments(key, next(reversed(self._entries))) if self._entries else "first call"
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
        # to see what runs takes several times as long as running it: not at the first call, which becomes no graph
        value = session.run(self.function, args, kwargs, roots, self._codes, traced=self.recordings > 1)
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
        captured = Captured(recorded, session.guards, session.result, session.states, session.call.bounds, session.pins,
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


__all__ = ["JitError", "TinyJit"]
