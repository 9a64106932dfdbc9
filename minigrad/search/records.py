"""What searches found: for a kernel's structure on a class of machines, a list of opts. Plain lines of JSON.

A record says that opts make a kernel run in `ratio` of the time that the heuristic's take (None: nothing better was
found), or why opts must not be used again (`dropped`). A file of records is only ever appended to, a line at a time:
whoever is killed loses nothing, and joining files merges them. Lines that cannot be read are passed over.

Records that ship with the package stand in `shipped.jsonl`, the user's in `tuning.jsonl` in the cache folder; the
user's come first. Opts are checked again when they are applied, so that a foreign or stale record costs time at most.
"""
from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from typing import Any

from ..codegen.gpu import Global, Group, Local
from ..codegen.matrix import Matrix
from ..codegen.online import Online
from ..codegen.opts import Carry, Fuse, Merge, NonTemporal, Opt, Order, Peel, Split, Thread, Unroll, Upcast, Vector
from ..codegen.place import Bound, Place
from ..codegen.prefetch import Ahead, Prefetch
from ..helpers import CACHE
from ..runtime import cache
from ..runtime.disk import write_atomically
from ..target import Target

OPTS: dict[str, type[Opt]] = {kind.__name__: kind for kind in (
    Split, Merge, Fuse, Order, Thread, Vector, Upcast, Unroll, Peel, Carry, Online, NonTemporal, Place, Bound, Global,
    Local, Group, Matrix, Prefetch, Ahead)}
SHIPPED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shipped.jsonl")

Opts = tuple[Opt, ...]


@dataclass(frozen=True)
class Record:
    """`beam`: the width of the search that ended with this; 0 while it has not ended."""

    kernel: str                 # the structure: a hash of the AST's text
    machine: str                # `machine_of` the target
    name: str                   # the kernel's, for readers
    opts: Opts | None           # None: the heuristic's
    ratio: float = 1.0          # time over the heuristic's, measured side by side
    beam: int = 0
    dropped: str = ""           # why these opts are not to be tried again

    def line(self) -> str:
        """One line of JSON, the same for equal records."""
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        data["opts"] = None if self.opts is None else [opt_data(opt) for opt in self.opts]
        return json.dumps(data, separators=(",", ":"))

    @property
    def order(self) -> tuple[float, int, str]:
        """The least is the best: of the same kernel, the largest gain, then the widest search."""
        return self.ratio, -self.beam, self.line()


def read_line(line: str) -> Record | None:
    """The record of a line; None where there is none."""
    try:
        data = json.loads(line)
        opts = None if data["opts"] is None else tuple(opt_from(item) for item in data["opts"])
        record = Record(**{**data, "opts": opts})
        well = all(isinstance(getattr(record, name), str) for name in ("kernel", "machine", "name", "dropped"))
        return record if well and 0 <= float(record.ratio) and isinstance(record.beam, int) else None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def opt_data(opt: Opt) -> list[Any]:
    """["Split", "o1", 64]: the kind and its fields in order."""
    return [type(opt).__name__, *astuple(opt)]  # type: ignore[call-overload]


def opt_from(data: Sequence[Any]) -> Opt:
    """The opt of `opt_data`; fields that it had not yet have their defaults. ValueError, TypeError: not what it has."""
    kind = OPTS[data[0]]
    values = [_frozen(value) for value in data[1:]]
    for field, value in zip(fields(kind), values):  # type: ignore[arg-type]
        wanted = {"str": str, "int": int, "bool": bool}.get(str(field.type), tuple)
        if type(value) is not wanted:
            raise ValueError(f"{data[0]}.{field.name}: {value!r} is no {field.type}")
    return kind(*values)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


@functools.cache
def machine_of(target: Target) -> str:
    """The class of machines for which opts that were measured on one hold."""
    return f"{target.name} {target.arch} {target.vector_bytes}-byte vectors, {target.registers} registers, " \
           f"{target.l1 >> 10} KB L1, {target.l2 >> 10} KB L2, {target.cores} cores"


class Database:
    """Records of several files by kernel. The first file is the one that is appended to."""

    def __init__(self, *paths: str) -> None:
        self.paths = paths
        self.read = dict.fromkeys(paths, 0)             # bytes of each file that were read
        self.lines: dict[str, list[str]] = {}           # by kernel, read when the kernel is asked for
        self.known: dict[str, set[Record]] = {}

    def refresh(self) -> None:
        """Read what was appended since, by other processes too."""
        for path in self.paths:
            try:
                with open(path, "rb") as file:
                    file.seek(self.read[path])
                    text = file.read()
            except OSError:
                continue
            whole = text.rfind(b"\n") + 1               # a line that is still being written comes next time
            self.read[path] += whole
            for line in text[:whole].decode(errors="replace").splitlines():
                found = re.search(r'"kernel": ?"(\w+)"', line)
                if found:
                    self.lines.setdefault(found[1], []).append(line)

    def records(self, kernel: str) -> set[Record]:
        """All of a kernel's, of every class of machines."""
        known = self.known.setdefault(kernel, set())
        known |= {record for line in self.lines.pop(kernel, ()) if (record := read_line(line)) is not None}
        return known

    def best(self, kernel: str, target: Target) -> Record | None:
        """The record whose opts to use, with the widest search's width; the order in which records came makes no
        difference.
        """
        bad = self.dropped(kernel, target)
        good = [r for r in self.records(kernel) if r.machine == machine_of(target) and not r.dropped
                and (r.opts is None or r.opts not in bad)]
        # of equal opts what was confirmed at a search's end, and of that the least gain
        sure = {r.opts: r for r in sorted(good, key=lambda r: (r.beam > 0, r.ratio, r.line()))}
        return replace(min(sure.values(), key=lambda r: r.order), beam=max(r.beam for r in good)) if good else None

    def dropped(self, kernel: str, target: Target) -> dict[Opts, str]:
        """Opts that crashed, hung or were wrong, and how."""
        return {r.opts or (): r.dropped for r in self.records(kernel) if r.dropped and r.machine == machine_of(target)}

    def add(self, record: Record) -> None:
        """Remember a record, here and in the first file. A file that cannot be written costs the next process time."""
        self.records(record.kernel).add(record)
        if self.paths and CACHE:
            try:
                os.makedirs(os.path.dirname(self.paths[0]), exist_ok=True)
                with open(self.paths[0], "ab", buffering=0) as file:    # one write: lines of processes do not mix
                    file.write(f"\n{record.line()}\n".encode())         # the line before may be a killed process's
            except OSError:
                pass


def database() -> Database:
    """The user's records and the package's."""
    return _open(os.path.join(cache.folder(), "tuning.jsonl"), SHIPPED)


@functools.cache
def _open(*paths: str) -> Database:
    found = Database(*paths)
    found.refresh()
    return found


def export(records: Iterable[Record], path: str) -> int:
    """Write the given records to a file of their own, sorted, so that equal records make equal files; their number."""
    lines = sorted(record.line() for record in records)
    write_atomically(path, [f"{line}\n".encode() for line in lines])
    return len(lines)
