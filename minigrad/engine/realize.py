"""Tensor graphs become values: schedule, compile what is missing, launch.

In: the sinks of a tensor graph. Out: for each sink its realized form, a BUFFER or a VIEW of one, once all kernels
have run. Nothing is marked before: an interrupt or an error leaves every graph as it was. Kernels that write memory
which existed before (assignments) are not interrupted halfway: Ctrl-C waits until they are done and registered.

Any thread may call `realize`; one lock lets one schedule run at a time. A child after `fork` starts with a free lock.
"""
from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from time import perf_counter
from types import FrameType

from ..helpers import DEBUG, SPEC, VIZ
from ..renderer.base import ProgramSpec
from ..runtime.device import Buffer, Device, Program, get_device
from ..runtime.locks import fork_safe_lock
from ..schedule import Kernel, create_schedule
from ..spec import TENSOR, check
from ..uops import Ops, UOp
from ..uops.symbolic import evaluate
from ..uops.trace import tracing
from . import profile, tracefile
from .compile import programs_for
from .profile import GlobalCounters

lock = fork_safe_lock()


class Recorder:
    """Told of each launch, before it happens, and of values that leave for Python: for those who want to know."""

    def launch(self, program: Program | None, kernel: Kernel, variables: Mapping[str, int]) -> None:
        """`program` None: a copy between devices."""

    def host_read(self, buffer: Buffer) -> None:
        """The buffer's values leave for Python."""

    def written_by_host(self, buffer: Buffer, content: Callable[[], bytes]) -> None:
        """The library itself made this buffer's content; a replay writes what `content` gives then."""


_recording = threading.local()


def recorder() -> Recorder | None:
    """The innermost recorder of this thread."""
    stack: list[Recorder] | None = getattr(_recording, "stack", None)
    return stack[-1] if stack else None


@contextmanager
def recording(new: Recorder) -> Iterator[None]:
    """Launches of this thread are told to `new` for the length of a block."""
    stack: list[Recorder] = _recording.__dict__.setdefault("stack", [])
    stack.append(new)
    try:
        yield
    finally:
        stack.remove(new)


def host_read(buffer: Buffer) -> None:
    """To be called where a buffer's values leave for Python: a recorded function must not depend on them."""
    for listener in getattr(_recording, "stack", ()):
        listener.host_read(buffer)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C inside of the block takes effect at its end. In the main thread; elsewhere it never arrives."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[tuple[int, FrameType | None]] = []
    previous = signal.signal(signal.SIGINT, lambda number, frame: pending.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous if previous is not None else signal.SIG_DFL)
        if pending and callable(previous):
            previous(*pending[0])


@contextmanager
def untraced() -> Iterator[None]:
    """No tracing of calls inside of the block, in this thread: a recorder needs to see the user's code, not ours."""
    trace = sys.getprofile()
    if recorder() is None or not callable(trace):
        yield
        return
    sys.setprofile(None)
    try:
        yield
    finally:
        sys.setprofile(trace)


def is_realized(node: UOp) -> bool:
    """A BUFFER or a VIEW of one."""
    return node.op is Ops.BUFFER or (node.op is Ops.VIEW and node.src[0].op is Ops.BUFFER)


def realize(sinks: Sequence[UOp], register: Callable[[dict[UOp, UOp]], None] | None = None) -> dict[UOp, UOp]:
    """Computes the sinks; the answer maps each to its realized form.

    `register` is called with the answer before an interrupt can come in between: whoever holds graphs with
    assignments replaces them there, since running an assignment twice would apply it twice.
    """
    pending = [sink for sink in dict.fromkeys(sinks) if not is_realized(sink)]
    answer = {sink: sink for sink in sinks}
    if pending:
        with lock, untraced():
            if SPEC:
                check(TENSOR, *pending)
            start = perf_counter()
            with tracing(bool(VIZ.value)) as steps:
                schedule, results = create_schedule(pending, Buffer)
            GlobalCounters.schedules += 1
            GlobalCounters.scheduling += perf_counter() - start
            if (trace := tracefile.current()) is not None:
                trace.schedule(pending, schedule, steps, start)
            answer.update(results)
            finish = None if register is None else lambda: register(answer)
            run_schedule(schedule.kernels, schedule.variables, finish)
    elif register is not None:
        register(answer)
    return answer


def run_schedule(kernels: list[Kernel], variables: Mapping[str, int], finish: Callable[[], None] | None = None) -> None:
    """Compiles what is missing and launches the kernels in order. Empties the list: a buffer lives until its last use.

    `finish` runs before an interrupt can, if memory that existed before was written.
    """
    start = perf_counter()
    programs = programs_for([(kernel.ast, device_of(kernel)) for kernel in kernels if kernel.ast.op is not Ops.COPY])
    GlobalCounters.compiling += perf_counter() - start
    programs.reverse()
    kernels.reverse()
    in_place = any(kernel.buffers[slot].is_allocated for kernel in kernels for slot in kernel.written)
    with uninterrupted() if in_place else nullcontext():
        _launch_all(kernels, programs, variables)
        if finish is not None:
            finish()


def _launch_all(kernels: list[Kernel], programs: list[Program], variables: Mapping[str, int]) -> None:
    listener = recorder()
    start = perf_counter() - GlobalCounters.showing
    while kernels:
        kernel = kernels.pop()
        program = None if kernel.ast.op is Ops.COPY else programs.pop()
        if listener is not None:
            listener.launch(program, kernel, variables)
        try:
            launch(program, kernel, variables)
        except Exception as error:
            if kernel.lines:
                error.add_note(f"while computing {kernel.lines[0]}")
            raise
    if profile.is_timed():
        GlobalCounters.launching += perf_counter() - GlobalCounters.showing - start


def device_of_buffers(buffers: Sequence[Buffer], written: Sequence[int]) -> str:
    """The device that runs a kernel: where it writes."""
    return buffers[written[0] if written else 0].device


def device_of(kernel: Kernel) -> str:
    return device_of_buffers(kernel.buffers, kernel.written)


def launch(program: Program | None, kernel: Kernel, variables: Mapping[str, int]) -> None:
    """Runs one kernel, or copies between devices, and counts it."""
    if program is None:
        copy(kernel.buffers[0], kernel.buffers[1], kernel.lines)
        return
    device = get_device(device_of(kernel))
    timed = profile.is_timed()
    start = perf_counter()
    seconds = device.launch(program, kernel.buffers, variables, wait=timed)
    GlobalCounters.kernels += 1
    GlobalCounters.add(program.spec.operations, program.spec.bytes, dict(variables))
    if timed:
        show_launch(device, program.spec, kernel.lines, variables, start, seconds)
    elif DEBUG.value >= 1:
        profile.announce(device)


def copy(target: Buffer, source: Buffer, lines: Sequence[str]) -> None:
    """Moves a value between devices."""
    get_device(source.device).synchronize()
    start = perf_counter()
    target.copyin(source.copyout())
    if profile.is_timed():
        spec = ProgramSpec(f"copy_{source.device}", "", (), (), 1, 0, (0,), 0, 2 * target.nbytes)
        show_launch(get_device(target.device), spec, lines, {}, start, perf_counter() - start)


def show_launch(device: Device, spec: ProgramSpec, lines: Sequence[str], variables: Mapping[str, int], start: float,
                seconds: float) -> None:
    """Adds a timed kernel to the totals, prints its line (DEBUG >= 2), traces it (VIZ). No total has what that takes.
    """
    begin = perf_counter()
    operations, moved = evaluate(spec.operations, variables), evaluate(spec.bytes, variables)
    line = lines[0] if lines else ""
    profile.count_time(spec.name, line, seconds, operations, moved)
    if (trace := tracefile.current()) is not None:
        trace.launch(device, spec, line, start, seconds, operations, moved)
    if DEBUG.value >= 2:
        profile.announce(device)
        threads = min(evaluate(spec.threads, variables), device.target.cores)
        print(profile.kernel_line(GlobalCounters.kernels, device.name, spec.name, threads, os.path.basename(line),
                                  seconds, operations, moved, device.roofs()), device.remark())
    GlobalCounters.showing += perf_counter() - begin
