"""What a jitted function depends on besides its arguments, as flat lists that are compared in C.

`Guards` holds what a walk over the function's code found (see `reach.py`): a few microseconds for a model's hundreds of
entries. A tensor is unchanged while it has the same node: assigned in place is the same buffer, and what was put in its
place is not. Scalars and arrays count by value.

A place that holds a tensor is a `Holder`: a replay can put the tensor there that the function would have put there.
"""
from __future__ import annotations

import types
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from operator import attrgetter, getitem, is_, setitem
from typing import Any

SCALARS = (int, float, bool, str, bytes, complex, types.NoneType, types.EllipsisType)

Place = tuple[int, Any]    # id of the container, key

MISSING = object()
GONE = (KeyError, IndexError, AttributeError, ValueError)     # what reading a place raises that is no more


class _Nothing:
    """In the place of a tensor that is not guarded any more."""

    _node = None


_NOTHING = _Nothing()


_node_of = attrgetter("_node")


class _NoTensor:
    """Stands for the Tensor class until it is registered: this package does not import the rows above it."""


tensor_type: type = _NoTensor
modes: Callable[[], tuple[Hashable, ...]] = lambda: (False,)
lazy_tensors: Callable[[], list[Any]] = lambda: []


def register_tensor_type(kind: type, read_modes: Callable[[], tuple[Hashable, ...]],
                         find_lazy: Callable[[], list[Any]]) -> None:
    """Told by the tensor package which class it is whose `_node` is guarded, the modes that a graph depends on (first:
    whether autodiff is on), and how to find the tensors that have no value yet."""
    global tensor_type, modes, lazy_tensors
    tensor_type, modes, lazy_tensors = kind, read_modes, find_lazy


class Jitted:
    """The base of jitted functions, so that a walk looks at the function inside."""

    function: Callable[..., Any]


class Entries:
    """Places that are read in one way, `read(container, key)` is the value, and changed in one way."""

    def __init__(self, read: Callable[[Any, Any], Any], write: Callable[[Any, Any, Any], object]) -> None:
        self.read, self.write = read, write
        self.containers: list[Any] = []
        self.keys: list[Any] = []
        self.values: list[Any] = []
        self.paths: list[str] = []

    def add(self, container: Any, key: Any, value: Any, path: str) -> int:
        """The number of a new entry."""
        self.containers.append(container)
        self.keys.append(key)
        self.values.append(value)
        self.paths.append(path)
        return len(self.values) - 1

    def hold(self) -> bool:
        return all(map(is_, map(self.read, self.containers, self.keys), self.values))

    def changed(self, scalars: bool) -> str | None:
        for i, (container, key, value) in enumerate(zip(self.containers, self.keys, self.values)):
            try:
                now = self.read(container, key)
            except GONE:
                return f"{self.paths[i]} is gone"
            if now is not value:
                if not _same(now, value):
                    if scalars and _is_tensor(now, value):
                        continue
                    return _was(self.paths[i], value, now)
                self.values[i] = now
        return None


@dataclass(eq=False, slots=True)
class Holder:
    """A place that holds a tensor: its entry among guards, and the tensor's."""

    entries: Entries
    container: Any
    key: Any
    entry: int
    tensor: Any
    tensor_entry: int
    path: str
    reset: bool = False     # somebody fills it anew before each call

    @property
    def place(self) -> Place:
        return id(self.container), self.key


class Guards:
    """Entries `container[key] is value`, `container.key is value` (contents of cells too), `tensor._node is node`,
    `len(container) == n`, and a few that need a call."""

    def __init__(self) -> None:
        self.items = Entries(getitem, setitem)
        self.attributes = Entries(getattr, setattr)
        self.tensors: list[Any] = []
        self.nodes: list[Any] = []
        self.tensor_paths: list[str] = []
        self.sized: list[Any] = []
        self.lengths: list[int] = []
        self.sized_paths: list[str] = []
        self.calls: list[tuple[Callable[[], Any], Any, str]] = []       # a function, what it gives, path
        self.holders: list[Holder] = []
        self.index: dict[Place, tuple[Entries, int]] = {}

    def hold(self) -> bool:
        """The fast question: True if nothing changed. False may still mean that equal values replaced each other."""
        try:
            return (self.items.hold() and all(map(is_, map(_node_of, self.tensors), self.nodes))
                    and self.attributes.hold() and list(map(len, self.sized)) == self.lengths
                    and (not self.calls or all(_same(read(), expected) for read, expected, _ in self.calls)))
        except GONE:
            return False

    def changed(self, scalars: bool = False) -> str | None:
        """What changed first, in words; None if nothing did. `scalars`: tensors may change.

        Equal scalars take each other's place.
        """
        if (reason := self.items.changed(scalars)) is not None:
            return reason
        for tensor, node, path in zip(self.tensors, self.nodes, self.tensor_paths):
            if tensor._node is not node and not scalars:
                return f"{path} is not the buffer that it was"
        for container, length, path in zip(self.sized, self.lengths, self.sized_paths):
            if len(container) != length:
                return f"len({path}) was {length}, is {len(container)}"
        if (reason := self.attributes.changed(scalars)) is not None:
            return reason
        for read, expected, path in self.calls:
            try:
                now = read()
            except GONE:
                return f"{path} is gone"
            if not _same(now, expected):
                return _was(path, expected, now)
        return None

    def settle(self) -> None:
        """Takes the tensors' nodes as they are now: what was pending has been realized."""
        self.nodes = [tensor._node for tensor in self.tensors]

    def value_at(self, place: Place) -> Any:
        """What is expected at a place; MISSING where it is not guarded."""
        if place not in self.index:
            return MISSING
        entries, entry = self.index[place]
        return entries.values[entry]

    def expect_start(self, start: Guards, last: Guards | None) -> None:
        """These are the guards at the end of a call, `start` those at its start, `last` those at the end of the call
        before it. Where the call changed what it found as the last call had left it, the same may go on. Where it
        found something else, somebody fills the place before each call (`p.grad = None`): that is expected again."""
        for place in self.index:
            found, left = start.value_at(place), self.value_at(place)
            if found is MISSING or _same(found, left) or (last is not None and _same(last.value_at(place), found)):
                continue
            entries, entry = self.index[place]
            entries.values[entry] = found
            for holder in self.holders:
                if holder.tensor is left and holder.place == place:
                    holder.reset = True
        for holder in self.holders:
            if holder.reset:
                self._let_go(holder)

    def _let_go(self, holder: Holder) -> None:
        """The tensor that a call left in a place is not looked at again."""
        if all(other.reset for other in self.holders if other.tensor is holder.tensor):
            self.tensors[holder.tensor_entry], self.nodes[holder.tensor_entry] = _NOTHING, None
            for (container, _), (entries, entry) in self.index.items():
                if container == id(holder.tensor):
                    entries.containers[entry], entries.keys[entry], entries.values[entry] = _NOTHING, "_node", None

    def rebind(self, holder: Holder, tensor: Any) -> None:
        """Puts another tensor into a place, and expects it there from now on unless the place is reset."""
        holder.entries.write(holder.container, holder.key, tensor)
        holder.tensor = tensor
        if not holder.reset:
            holder.entries.values[holder.entry] = tensor
            self.tensors[holder.tensor_entry], self.nodes[holder.tensor_entry] = tensor, tensor._node


def _was(path: str, then: Any, now: Any) -> str:
    return f"{path} was {_short(then)}, is {_short(now)}"


def _same(now: Any, then: Any) -> bool:
    """One object, or equal scalars of one type (a NaN equals itself)."""
    if now is then:
        return True
    if type(now) is not type(then) or not isinstance(now, SCALARS):
        return type(now) is tuple and type(then) is tuple and len(now) == len(then) and all(map(_same, now, then))
    return bool(now == then) or (now != now and then != then)


def _is_tensor(now: Any, then: Any) -> bool:
    return isinstance(now, (tensor_type, types.NoneType)) and isinstance(then, (tensor_type, types.NoneType))


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, (*SCALARS, tuple)) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
