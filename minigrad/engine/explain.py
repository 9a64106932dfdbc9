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
from ..schedule.reasons import EDITS, Reason
from ..uops import Ops, sint
from .compile import programs_for
from .jit import TinyJit
from .profile import scaled, short
from .realize import device_of, is_realized


@dataclass(frozen=True)
class Stored:
    """A buffer that a kernel writes. Costs are in operations of the whole machine; None where they did not decide."""

    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    reason: Reason
    edit: str                   # what would change it
    inside: float | None        # of computing it inside of the kernels that read it; infinite: it cannot be
    stored: float | None        # of storing it
    readers: int | None

    def __str__(self) -> str:
        text = f"  {self.dtype} {self.shape}, {scaled(self.nbytes, 'B')}: {self.reason.value}"
        if self.inside is not None and self.stored is not None:
            inside = "not possible" if self.inside == float("inf") else scaled(self.inside, "op")
            text += f"\n    inside of its readers ({self.readers}): {inside}; stored: {scaled(self.stored, 'op')}"
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
        kernels = [Kernel(step.ast, tuple([captured.buffers[n] for n in step.memory]), step.written, step.reasons,
                          step.weighed, step.lines) for step in captured.recording.steps]
        return Explanation(_explained(kernels), tuple(subject.reasons))
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
        stores = []
        for slot, text, weighed in zip(k.written, k.reasons, k.weighed):
            buffer, reason = k.buffers[slot], Reason(text)
            prices = (weighed.inside, weighed.stored, weighed.readers) if weighed is not None else (None, None, None)
            stores.append(Stored(buffer.shape, buffer.dtype.name, buffer.nbytes, reason, EDITS[reason], *prices))
        spec = None if k.ast.op is Ops.COPY else next(programs).spec
        rows.append(Explained(f"copy from {k.buffers[1].device}" if spec is None else spec.name, device_of(k), k.lines,
                              0 if spec is None else spec.operations,
                              2 * k.buffers[0].nbytes if spec is None else spec.bytes, tuple(stores)))
    return tuple(rows)


def _amount(n: sint, unit: str) -> str:
    return scaled(n, unit) if isinstance(n, int) else f"{n} {unit}"
