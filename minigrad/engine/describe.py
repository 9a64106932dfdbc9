"""What a recorded call returned and left behind, described so that a replay can make it again.

In: values that the call gave, nested in lists, tuples and dicts. Out: for each tensor which memory it is a view of
(`Made`), or which argument or older tensor it is; anything else as it is.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..dtype import DType
from ..runtime.device import Buffer
from ..shape.build import split_view
from ..shape.shapetracker import ShapeTracker
from ..uops import Ops
from . import guards as guarding
from .guards import Guards, Holder
from .recording import Recording, equal_data


@dataclass(frozen=True)
class Made:
    """A tensor over memory that the call used: its number, the view of it, which of the call's tensors it is, and
    whether it has a history, which a replay forgets.
    """

    number: int
    tracker: ShapeTracker | None
    device: str
    ordinal: int
    tracked: bool = False


@dataclass(frozen=True)
class Argument:
    """The tensor that was given as the argument of this number."""

    index: int


@dataclass(frozen=True, eq=False)
class Kept:
    """A tensor that existed before, or whose value needs no memory: always the same one."""

    tensor: Any

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Kept):
            return False
        return self.tensor is other.tensor or self.tensor._node is other.tensor._node or self._equals(other)

    def _equals(self, other: Kept) -> bool:
        """Equal data that no kernel made: no elements, or from Python's numbers."""
        (mine, view), (its, other_view) = split_view(self.tensor.uop), split_view(other.tensor.uop)
        if not mine.op is its.op is Ops.BUFFER or mine.dtype is not its.dtype or view is not other_view:
            return False
        return mine.arg.shape == its.arg.shape and equal_data(mine.arg, its.arg)


@dataclass(frozen=True, eq=False)
class Value:
    """Anything else."""

    value: Any

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value) or type(self.value) is not type(other.value):
            return False
        return self.value is other.value or (isinstance(self.value, (int, float, str, bytes, tuple, complex))
                                             and repr(self.value) == repr(other.value))


@dataclass(frozen=True)
class Many:
    """A list, a tuple or a dict."""

    kind: type
    keys: tuple[Any, ...] | None
    items: tuple[Any, ...]


def unbind(tracker: ShapeTracker) -> ShapeTracker:
    """The view with variables in the place of their values."""
    bound = [u for u in tracker.variables() if u.op is Ops.BIND]
    return tracker.substitute({u: u.src[0] for u in bound}) if bound else tracker


def rebind(tracker: ShapeTracker, values: Mapping[str, int]) -> ShapeTracker:
    """The view with these values of its variables."""
    free = [u for u in tracker.variables() if u.op is Ops.VARIABLE and u.arg.name in values]
    return tracker.substitute({u: u.bind(values[u.arg.name]) for u in free}) if free else tracker


@dataclass(frozen=True)
class State:
    """A place that each call fills with what it made; `update`: the tensor there stays, and gets another buffer."""

    holder: Holder
    made: Made | Argument | Kept
    update: bool


@dataclass(frozen=True)
class Expected:
    """An argument tensor as recorded: elements of its buffer, its view of them, and the first that has this buffer."""

    size: int
    dtype: DType
    device: str
    tracker: ShapeTracker
    first: int


class Describer:
    """Describes tensors of one recorded call, and nested containers of them."""

    def __init__(self, recording: Recording, arguments: list[Any], before: Guards) -> None:
        self.recording = recording
        self.arguments = {id(tensor): i for i, tensor in reversed(list(enumerate(arguments)))}
        self.before = {id(tensor) for tensor in before.tensors}
        self.ordinals: dict[int, int] = {}

    def tensor(self, tensor: Any) -> Made | Argument | Kept:
        if id(tensor) in self.arguments:
            return Argument(self.arguments[id(tensor)])
        if id(tensor) in self.before:
            return Kept(tensor)
        return self.made(tensor) or Kept(tensor)

    def made(self, tensor: Any) -> Made | None:
        """The tensor as a view of memory that the call used; None if it is not."""
        base, tracker = split_view(tensor.uop)
        if base.op is not Ops.BUFFER:
            return None
        number = self.recording.find(base.arg)
        if number is None:
            if base.arg not in self.recording.arguments:
                return None
            number = self.recording.number(base.arg)
        ordinal = self.ordinals.setdefault(id(tensor), len(self.ordinals))
        tracked = tensor.requires_grad and not tensor.is_leaf
        return Made(number, None if tensor.uop is base else unbind(tracker), tensor.device, ordinal, tracked)

    def describe(self, value: Any) -> Any:
        if isinstance(value, guarding.tensor_type):
            return self.tensor(value)
        if isinstance(value, (list, tuple)):
            return Many(type(value), None, tuple(self.describe(item) for item in value))
        if isinstance(value, dict):
            return Many(type(value), tuple(value), tuple(self.describe(item) for item in value.values()))
        return Value(value)


def flatten(description: Any) -> list[Any]:
    """The leaves of a description, in order."""
    if isinstance(description, Many):
        return [leaf for item in description.items for leaf in flatten(item)]
    return [description]


def buffer_of(tensor: Any) -> Buffer:
    """The memory of a realized tensor."""
    buffer: Buffer = split_view(tensor.uop)[0].arg
    return buffer
