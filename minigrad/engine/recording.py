"""What one call of a jitted function launched, and whether two such calls did the same.

In: the launches of a call, told by `realize` one by one. Out: a `Recording`: steps over numbered memory, where memory
is an argument's, a state's (held by a place that the function fills anew in each call), fixed (it existed before) or
fresh (the call made it). Fresh memory is not kept alive: a replay has its own.

Two recordings are the same if their steps are, with equal numbers. Where they differ only in a constant, the function
depends on something that cannot be seen (a clock, a file, a random number of Python's), and `difference` says which
constant.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..runtime.device import Buffer, Program
from ..schedule import Kernel
from ..uops import Ops, toposort
from ..uops.trace import user_line
from .realize import Recorder

SAMPLE = 1 << 24  # bytes of data made inside of a call that are compared between two calls


@dataclass(eq=False, slots=True)
class Memory:
    """A buffer as a recording knows it. `kind`: argument, state, fixed, host or fresh.

    `which`: the argument, the place, or the number of what Python wrote. `root`: the number of what it is a part of.
    """

    device: str
    shape: tuple[int, ...]
    dtype: Any
    nbytes: int
    kind: str
    which: Any = None
    buffer: Buffer | None = None    # not kept for fresh memory
    root: int | None = None
    offset: int = 0
    held: bool = False              # by a tensor that the function reads: it may be another one at the next call

    def fits(self, other: Memory) -> bool:
        return (self.kind == other.kind and self.which == other.which and self.shape == other.shape
                and self.dtype is other.dtype and self.device == other.device and self.offset == other.offset)


def root_of(memory: Sequence[Memory], number: int) -> int:
    """The number of the whole that a piece of memory is a part of, or its own."""
    root = memory[number].root
    return number if root is None else root


@dataclass(eq=False, slots=True)
class Step:
    """A launch: `program` None is a copy between devices. `kernel`: without its buffers; `memory`: their numbers."""

    program: Program | None
    kernel: Kernel
    memory: tuple[int, ...]
    variables: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Difference:
    """Why two recordings differ. `hidden`: only in a constant, or in data: what made it was not seen."""

    text: str
    hidden: bool


@dataclass(eq=False)
class Recording(Recorder):
    """Filled by `realize`. `arguments`: buffers of the call's tensors; `places`: buffer -> what held it before."""

    arguments: dict[Buffer, int]
    places: dict[Buffer, tuple[Any, ...]]
    steps: list[Step] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    numbers: weakref.WeakKeyDictionary[Buffer, int] = field(default_factory=weakref.WeakKeyDictionary)
    host_line: str | None = None        # where a value left for Python
    # what each call writes from Python before its kernels run, in order
    host_written: dict[Buffer, Callable[[], bytes]] = field(default_factory=dict)

    # ---- told by realize

    def launch(self, program: Program | None, kernel: Kernel, variables: Mapping[str, int]) -> None:
        numbers = tuple([self.number(buffer) for buffer in kernel.buffers])
        self.steps.append(Step(program, replace(kernel, buffers=()), numbers, tuple(sorted(variables.items()))))

    def host_read(self, buffer: Buffer) -> None:
        self.host_line = self.host_line or user_line() or "an unknown line"

    def written_by_host(self, buffer: Buffer, content: Callable[[], bytes]) -> None:
        self.host_written[buffer] = content

    def number(self, buffer: Buffer) -> int:
        known = self.numbers.get(buffer)
        if known is not None:
            return known
        root: int | None = None
        which: Any = None
        kept: Buffer | None = None
        if buffer.base is not None:
            root = self.number(buffer.base)
            kind = self.memory[root].kind
            kept = None if kind == "fresh" else buffer
            if kind in ("argument", "state"):
                kind = "fixed"  # a part of an argument's memory under another name: do not move it
        elif buffer in self.arguments:
            kind, which, kept = "argument", self.arguments[buffer], buffer
        elif buffer in self.places:
            kind, which, kept = "state", self.places[buffer], buffer
        elif buffer in self.host_written:
            kind, which = "host", list(self.host_written).index(buffer)
        elif buffer.is_allocated:
            kind, kept = "fixed", buffer
        else:
            kind = "fresh"
        self.memory.append(Memory(buffer.device, buffer.shape, buffer.dtype, buffer.nbytes, kind, which, kept, root,
                                  buffer.offset, kind == "state"))
        self.numbers[buffer] = len(self.memory) - 1
        return len(self.memory) - 1

    def settle_places(self, filled: set[Any]) -> None:
        """Memory of places that the call did not fill anew is fixed; the rest is named by the first of its places."""
        for memory in self.memory:
            if memory.kind == "state":
                memory.which = next((place for place in memory.which if place in filled), None)
                memory.kind = "fixed" if memory.which is None else "state"

    def find(self, buffer: Buffer) -> int | None:
        """The number of a buffer that some step used."""
        return self.numbers.get(buffer)

    # ---- compared

    def difference(self, other: Recording, given: frozenset[str]) -> Difference | None:
        """How `other` differs; None if it does not. `given`: variables whose values are arguments."""
        if len(self.host_written) != len(other.host_written):
            return Difference(f"{len(self.host_written)} draws became {len(other.host_written)}", False)
        if len(self.steps) != len(other.steps):
            return Difference(f"{len(self.steps)} kernels became {len(other.steps)}", False)
        for mine, its in zip(self.steps, other.steps):
            if mine.kernel.ast is not its.kernel.ast:
                return different_ast(mine, its)
        for mine, its in zip(self.steps, other.steps):
            if mine.memory != its.memory:
                return Difference(f"{name_of(its)} reads or writes other memory", False)
            for (name, value), (other_name, other_value) in zip(mine.variables, its.variables):
                if name != other_name or (value != other_value and name not in given):
                    return Difference(f"variable {other_name} was {value} and is {other_value}", True)
        for old, new in zip(self.memory, other.memory):
            if not old.fits(new):
                return Difference(f"{old.kind} memory of shape {old.shape} is {new.kind} of shape {new.shape}", False)
            if old.kind == "fixed" and old.buffer is not new.buffer and not equal_data(old.buffer, new.buffer):
                what = "reads" if new.held else "made"
                return Difference(f"data of shape {new.shape} and {new.dtype!r} that the function {what} differ",
                                  not new.held)
        return None

    def moved(self, other: Recording) -> list[int]:
        """Numbers of fixed memory that is another buffer in `other`, with equal content."""
        return [i for i, (mine, its) in enumerate(zip(self.memory, other.memory)) if mine.buffer is not its.buffer]


def equal_data(mine: Buffer | None, its: Buffer | None) -> bool:
    """Whether two buffers that the function made from Python's data hold the same. What a kernel made is never here."""
    if mine is None or its is None or mine.nbytes != its.nbytes or mine.nbytes > SAMPLE:
        return False
    return bytes(mine.copyout()) == bytes(its.copyout())


def name_of(step: Step) -> str:
    """A step in words: its kernel and the user's line."""
    name = step.program.name if step.program is not None else "copy"
    return f"kernel {name} ({step.kernel.lines[0]})" if step.kernel.lines else f"kernel {name}"


def different_ast(mine: Step, its: Step) -> Difference:
    """The first constant that differs, if constants are all that differs."""
    old, new = toposort(mine.kernel.ast), toposort(its.kernel.ast)
    structure = Difference(f"{name_of(mine)} became {name_of(its)}", False)
    if len(old) != len(new):
        return structure
    place_old, place_new = {u: i for i, u in enumerate(old)}, {u: i for i, u in enumerate(new)}
    found: str | None = None
    for a, b in zip(old, new):
        if a is b:
            continue
        if a.op is not b.op or a.dtype is not b.dtype or len(a.src) != len(b.src):
            return structure
        if [place_old[s] for s in a.src] != [place_new[s] for s in b.src]:
            return structure
        if a.op is Ops.CONST:
            found = found or f"the constant {a.arg!r} of {name_of(its)} became {b.arg!r}"
        elif a.arg is not b.arg and a.arg != b.arg:
            found = found or f"{a.op.name} {a.arg} of {name_of(its)} became {b.arg}"
            if a.op is not Ops.VIEW:
                return structure
    return Difference(found, True) if found is not None else structure
