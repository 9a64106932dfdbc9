"""A process that compiles candidates, compares what they compute and times them. It may crash or hang.

`measure` starts it (`python -m minigrad.search.worker`), sends lines of JSON and reads lines of JSON:

    {"device": name, "ast": AST}                   a kernel to work on; answered by {"ready": true}
    {"specs": [[number, spec], ...], "rounds": n}  {"run": number} before whatever may crash or hang (-1: compiling),
                                                   {"bad": number, "why": text} for each that is dropped,
                                                   {"times": [[number, least, median], ...]} at the end

Candidates are timed in turns, so that a slow moment of the machine meets all of them. Each is timed twice: on buffers
that it has just used, and on buffers of which there are so many that none is left in a cache; the sum counts.
"""
from __future__ import annotations

import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..dtype import dtypes
from ..engine.store import decode
from ..helpers import Context, prod
from ..renderer.base import ProgramSpec
from ..runtime.compiler import CompileError
from ..runtime.device import Buffer, Device, Program, get_device
from ..uops import UOp
from .trial import contents, difference, expected, params_of, tolerance, trials_of

MARGIN = 4096                   # bytes before and behind each buffer
EDGE = bytes([0xA5]) * MARGIN   # what they hold
MOST_COPIES = 64                # of the buffers
LEAST_SECONDS = 3e-4            # of a timing
MOST_LAUNCHES = 256             # of a timing
HOPELESS = 2.0                  # times the best: not timed again

Answer = Callable[..., None]


class Bench:
    """One kernel's buffers on its device, and what must be in them after a launch."""

    def __init__(self, device: Device, ast: UOp) -> None:
        self.device, self.ast = device, ast
        self.params = params_of(ast)
        self.trials = [(trial, expected(ast, contents(ast, trial.positive), trial.variables))
                       for trial in trials_of(ast)]
        need = max(1, sum(prod(p.arg.shape) * p.dtype.itemsize for p in self.params))
        room = 2 * max(device.target.l3, device.target.l2)
        self.copies = [self._blocks() for _ in range(max(1, min(MOST_COPIES, -(-room // need))))]
        for blocks in self.copies:
            self._fill(blocks, contents(ast, True), range(len(blocks)))

    def _blocks(self) -> list[Buffer]:
        """Memory for each slot, with a margin before and behind."""
        return [Buffer(self.device.name, (prod(p.arg.shape) * p.dtype.itemsize + 2 * MARGIN,), dtypes.uint8)
                for p in self.params]

    def _buffers(self, blocks: Sequence[Buffer]) -> tuple[Buffer, ...]:
        return tuple(b.view(p.arg.shape, p.dtype, MARGIN) for b, p in zip(blocks, self.params))

    def _fill(self, blocks: Sequence[Buffer], arrays: Sequence[Any], slots: Iterable[int]) -> None:
        for slot in slots:
            blocks[slot].copyin(EDGE + arrays[slot].tobytes() + EDGE)

    def judge(self, programs: dict[int, Program], answer: Answer) -> None:
        """Takes out of `programs` those that compute something else than they should."""
        for trial, wanted in self.trials:
            arrays = contents(self.ast, trial.positive)
            self._fill(self.copies[0], arrays, range(len(arrays)))
            for number, program in list(programs.items()):
                self._fill(self.copies[0], arrays, wanted)
                answer(run=number)
                self.device.launch(program, self._buffers(self.copies[0]), trial.variables)
                self.device.synchronize()
                why = self._wrong(trial.variables, wanted)
                if why:
                    del programs[number]
                    answer(bad=number, why=why)

    def _wrong(self, variables: Mapping[str, int], wanted: Mapping[int, Any]) -> str:
        for slot, right in wanted.items():
            after = bytes(self.copies[0][slot].copyout())
            if after[:MARGIN] != EDGE or after[-MARGIN:] != EDGE:
                return f"it wrote outside of buffer {slot}"
            got = np.frombuffer(after[MARGIN:-MARGIN], right.dtype).reshape(right.shape)
            found = difference(got, right, self.params[slot].dtype, tolerance(self.ast, variables))
            if found:
                return f"buffer {slot}: {found}"
        return ""

    def time(self, programs: dict[int, Program], rounds: int, answer: Answer) -> list[tuple[int, float, float]]:
        """(number, least, median of the rounds): seconds of a launch on used buffers and one on cold ones, together."""
        variables = self.trials[0][0].variables
        warm, cold = self._buffers(self.copies[0]), [self._buffers(blocks) for blocks in self.copies]
        timers: dict[int, list[Callable[[], float]]] = {}
        seconds: dict[int, list[float]] = {}
        for number, program in programs.items():
            answer(run=number)
            once = self.device.timer(program, [warm], variables)
            first = min(once(), once())
            launches = min(MOST_LAUNCHES, max(1, int(LEAST_SECONDS / max(first, 1e-9))))
            timers[number] = [self.device.timer(program, [warm] * launches, variables)]
            if len(cold) > 1:
                timers[number].append(self.device.timer(program, cold, variables))
            seconds[number] = [first * len(timers[number])]
        for turn in range(rounds):
            best = min(min(found) for found in seconds.values())
            for number, functions in timers.items():
                if min(seconds[number]) <= HOPELESS * best or not number:
                    answer(run=number)
                    total = sum(run() for run in functions)
                    seconds[number] = [*seconds[number], total] if turn else [total]    # the first guess goes
        return [(number, min(found), statistics.median(found)) for number, found in seconds.items()]


def compiled(device: Device, specs: dict[int, ProgramSpec], answer: Answer) -> dict[int, Program]:
    """Programs of the specs, several per compiler call; those that the compiler refuses are answered as bad."""
    answer(run=-1)
    with Context(CACHE=0):      # what is tried once is not kept
        try:
            return dict(zip(specs, device.compile(list(specs.values()))))
        except CompileError:
            programs = {}
            for number, spec in specs.items():
                answer(run=number)
                try:
                    programs[number], = device.compile([spec])
                except CompileError as error:
                    answer(bad=number, why=f"compiler: {str(error).splitlines()[0]}")
            return programs


def end_with(parent: int) -> None:
    """Ends this process when its parent is gone, whatever the candidate at hand does."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def main() -> None:
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)               # what kernels or devices print goes elsewhere

    def answer(**message: Any) -> None:
        print(json.dumps(message), file=stream, flush=True)

    bench: Bench | None = None
    for line in sys.stdin:
        message = json.loads(line)
        if "ast" in message:
            bench = Bench(get_device(message["device"]), decode(message["ast"]))
            answer(ready=True)
        elif bench is not None:
            specs = {number: decode(spec) for number, spec in message["specs"]}
            programs = compiled(bench.device, specs, answer)
            bench.judge(programs, answer)
            answer(times=bench.time(programs, message["rounds"], answer) if programs else [])


if __name__ == "__main__":
    main()
