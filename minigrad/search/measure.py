"""Candidates are measured in another process, so that one that crashes or hangs costs that process alone.

In: a kernel's AST with its device, and rendered candidates. Out: for each its seconds, or why it was dropped. One
process serves all kernels of a search. What dies or says nothing for too long is killed with the compilers it started;
the candidate at hand is dropped and the others go on in a new process.
"""
from __future__ import annotations

import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..engine.store import encode
from ..helpers import Flag
from ..renderer.base import ProgramSpec
from ..uops import UOp

if TYPE_CHECKING:
    import subprocess

LIMIT = 10.0        # seconds that a candidate may take for one step
SETUP = 60.0        # ... that making a kernel's inputs and right results may take, and a compiler's call
# flags of the worker; the others are as they are in this process
QUIET = {"DEBUG": "0", "BEAM": "0", "SPEC": "0", "EAGER": "0", "VIZ": ""}


Times = list[float]     # seconds of each round, in order


class OutOfTime(Exception):
    """The time for the whole search is over."""


class Stuck(RuntimeError):
    """The worker died or hangs."""


class Worker:
    """A worker process; started when first needed, and again when it was killed."""

    def __init__(self, deadline: float, limit: float = LIMIT) -> None:
        self.deadline, self.limit = deadline, limit
        self.process: subprocess.Popen[bytes] | None = None
        self.kernel: tuple[UOp, str] | None = None      # at which the process works
        self.pending = b""

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill the process and what it started."""
        process, self.process, self.kernel, self.pending = self.process, None, None, b""
        if process is not None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except OSError:
                pass
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                try:
                    pipe.close()
                except OSError:
                    pass

    def start(self, kernel: tuple[UOp, str]) -> None:
        """Have a process that is ready for candidates of the kernel (AST, device name). Stuck, OutOfTime."""
        if self.process is None:
            import subprocess
            flags = {name: str(flag.value) for name, flag in Flag.registry.items()}
            package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
            path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH", ""))))
            self.process = subprocess.Popen([sys.executable, "-m", "minigrad.search.worker"], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, start_new_session=True,
                                            env={**os.environ, **flags, **QUIET, "PYTHONPATH": path})
        if self.kernel != kernel:
            self._tell({"device": kernel[1], "ast": encode(kernel[0])})
            self._answer(SETUP)
            self.kernel = kernel

    def measure(self, kernel: tuple[UOp, str], specs: Mapping[int, ProgramSpec], rounds: int = 3
                ) -> tuple[dict[int, Times], dict[int, str]]:
        """(seconds of each round, why dropped) by number. OutOfTime; Stuck if the kernel itself cannot be set up."""
        left, dropped = dict(specs), dict[int, str]()
        while left:
            try:
                self.start(kernel)
            except Stuck:
                self.stop()
                raise
            at = -1
            try:
                self._tell({"specs": [(number, encode(spec)) for number, spec in left.items()], "rounds": rounds})
                while True:
                    answer = self._answer(SETUP if at < 0 else self.limit)
                    if "times" in answer:
                        return dict(answer["times"]), dropped
                    at = answer.get("run", at)
                    if "bad" in answer:
                        dropped[answer["bad"]] = answer["why"]
                        del left[answer["bad"]]
            except Stuck as stuck:
                self.stop()
                # without one at hand it is the compiler: one half of them after the other
                if at < 0 and len(left) > 1:
                    numbers, times = list(left), dict[int, Times]()
                    for half in (numbers[::2], numbers[1::2]):
                        found, bad = self.measure(kernel, {number: left[number] for number in half}, rounds)
                        times |= found
                        dropped |= bad
                    return times, dropped
                at = at if at >= 0 else next(iter(left))
                dropped[at] = str(stuck)
                del left[at]
        return {}, dropped

    def _tell(self, message: dict[str, Any]) -> None:
        assert self.process is not None and self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise Stuck(f"it ended: {error}") from None

    def _answer(self, limit: float) -> dict[str, Any]:
        """The next line of the process."""
        assert self.process is not None and self.process.stdout is not None
        until = min(time.monotonic() + limit, self.deadline)
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.pending:
                seconds = until - time.monotonic()
                if seconds <= 0 or not selector.select(seconds):
                    if time.monotonic() >= self.deadline:
                        raise OutOfTime
                    if time.monotonic() >= until:
                        raise Stuck(f"it took more than {limit:.0f} s")
                    continue
                data = os.read(self.process.stdout.fileno(), 1 << 16)
                if not data:
                    code = self.process.wait()
                    raise Stuck(f"it crashed: {signal.Signals(-code).name if code < 0 else f'status {code}'}")
                self.pending += data
        line, _, self.pending = self.pending.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer
