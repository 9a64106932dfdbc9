"""Why a program becomes the kernels that it becomes: `explain(tensor)`.

>>> from minigrad import Tensor
>>> text = str(explain(Tensor([1.0, 2.0]).exp()))
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..helpers import Context
from ..runtime.device import Buffer
from ..schedule import Kernel, create_schedule
from ..schedule.drafts import Weighed
from ..schedule.reasons import EDITS, Reason
from ..uops import Ops, sint
from .compile import programs_for
from .jit import TinyJit
from .profile import scaled, short
from .realize import device_of, is_realized


@dataclass(frozen=True)
class Stored:
    """A buffer that a kernel writes, and why. `weighed`: the prices that decided, where prices did."""

    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    reason: Reason
    weighed: Weighed | None

    @property
    def edit(self) -> str:
        """What would change it."""
        return EDITS[self.reason]

    def __str__(self) -> str:
        text = f"  {self.dtype} {self.shape}, {scaled(self.nbytes, 'B')}: {self.reason.value}"
        if self.weighed is not None:
            w = self.weighed
            inside = "not possible" if w.inside == float("inf") else scaled(w.inside, "op")
            text += f"\n    inside of its readers ({w.readers}): {inside}; stored: {scaled(w.stored, 'op')}"
        return f"{text}\n    to change it: {self.edit}"


@dataclass(frozen=True)
class Explained:
    """A kernel: what it computes, what it costs, what it writes and why."""

    name: str
    device: str
    lines: tuple[str, ...]
    operations: sint
    nbytes: sint
    stores: tuple[Stored, ...]


@dataclass(frozen=True)
class Explanation:
    """Kernels in order; for a jitted function also why each of its recordings was made."""

    kernels: tuple[Explained, ...]
    recordings: tuple[str, ...] = ()

    def __str__(self) -> str:
        rows = [f"recording {i}: {reason}" for i, reason in enumerate(self.recordings, 1)]
        rows.append(f"kernels: {len(self.kernels)}" if self.kernels else "no kernels: nothing is left to compute")
        for i, kernel in enumerate(self.kernels, 1):
            lines = ", ".join(map(short, kernel.lines))
            rows.append(f"{i}. {kernel.device} {kernel.name}: {_amount(kernel.operations, 'op')}, "
                        f"{_amount(kernel.nbytes, 'B')}  from {lines or 'unknown'}")
            rows += [str(stored) for stored in kernel.stores]
        return "\n".join(rows)


def explain(subject: Any, *others: Any) -> Explanation:
    """The kernels that realizing these tensors together would run, or that a jitted function replays. Compiles them
    and runs nothing. TypeError for anything else.
    """
    if isinstance(subject, TinyJit):
        captured = subject.captured
        if captured is None:
            return Explanation((), tuple(subject.reasons))
        return Explanation(_explained(captured.with_buffers()), tuple(subject.reasons))
    nodes = []
    for tensor in (subject, *others):
        if not hasattr(tensor, "uop"):
            raise TypeError(f"explain: expected tensors or a jitted function, got {type(tensor).__name__}")
        nodes += [] if is_realized(tensor.uop) else [tensor.uop]
    if not nodes:
        return Explanation(())
    with Context(DEV=subject.device):
        return Explanation(_explained(create_schedule(nodes, Buffer)[0].kernels))


def _explained(kernels: Sequence[Kernel]) -> tuple[Explained, ...]:
    programs = iter(programs_for([(k.ast, device_of(k)) for k in kernels if k.ast.op is not Ops.COPY]))
    rows = []
    for k in kernels:
        written = [k.buffers[slot] for slot in k.written]
        stores = tuple([Stored(buffer.shape, buffer.dtype.name, buffer.nbytes, Reason(text), weighed)
                        for buffer, text, weighed in zip(written, k.reasons, k.weighed)])
        facts: tuple[str, sint, sint] = f"copy from {k.buffers[1].device}", 0, 2 * written[0].nbytes
        if k.ast.op is not Ops.COPY:
            spec = next(programs).spec
            facts = spec.name, spec.operations, spec.bytes
        rows.append(Explained(facts[0], device_of(k), k.lines, facts[1], facts[2], stores))
    return tuple(rows)


def _amount(n: sint, unit: str) -> str:
    return scaled(n, unit) if isinstance(n, int) else f"{n} {unit}"
