"""A process that compiles candidates, compares what they compute and times them. It may crash or hang.

`measure` starts it (`python -m minigrad.search.worker`), sends lines of JSON and reads lines of JSON:

    {"device": name, "ast": AST}                   a kernel to work on; answered by {"ready": true}
    {"specs": [[number, spec], ...], "rounds": n}  {"run": number} before whatever may crash or hang (-1: compiling),
                                                   {"bad": number, "why": text} for each that is dropped,
                                                   {"times": [[number, seconds of each round], ...]} at the end

Candidates are timed in turns, so that a slow moment of the machine meets all of them and times of one round can be
compared. Each is timed twice: on buffers that it has just used, and on buffers of which there are so many that none
is left in a cache; the sum counts.
"""
from __future__ import annotations

import json
import os
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
from .trial import conditioning, contents, difference, expected, params_of, tolerance, trials_of

MARGIN = 4096                   # bytes before and behind each buffer
EDGE = bytes([0xA5]) * MARGIN   # what they hold
HUGE = 256 << 20                # bytes of buffers beyond which one trial has to do: the interpreter takes seconds
MOST_COPIES = 64                # of the buffers
LEAST_SECONDS = 3e-4            # of a timing
MOST_LAUNCHES = 256             # of a timing
SLOW = 4.0                      # times the heuristic's at the first launch: not timed at all
HOPELESS = 1.5                  # times the best so far: not timed again
MOST_BYTES = 1 << 30            # of kernels' buffers that are kept, besides those in use

Answer = Callable[..., None]


def _framed(array: Any) -> Any:
    """An array's bytes with a margin before and behind."""
    data = np.full(array.nbytes + 2 * MARGIN, EDGE[0], np.uint8)
    data[MARGIN:MARGIN + array.nbytes] = array.reshape(-1).view(np.uint8)
    return data


class Bench:
    """One kernel's buffers on its device, and what must be in them after a launch."""

    def __init__(self, device: Device, ast: UOp) -> None:
        self.device, self.ast = device, ast
        self.params = params_of(ast)
        # what buffers hold before a launch, with their margins, by whether inputs are positive
        need = max(1, sum(prod(p.arg.shape) * p.dtype.itemsize for p in self.params))
        trials = trials_of(ast)[:1 if need > HUGE else None]
        self.before = {positive: list(map(_framed, contents(ast, positive)))
                       for positive in {trial.positive for trial in trials}}
        self.trials = []
        for trial in trials:
            arrays = [self._inside(*x) for x in zip(self.before[trial.positive], self.params)]
            wanted = expected(ast, arrays, trial.variables)
            changes = conditioning(ast, arrays, trial.variables, wanted) if need <= HUGE else {}
            self.trials.append((trial, wanted, changes))
        room = 2 * max(device.target.l3, device.target.l2)
        self.copies = [self._blocks() for _ in range(max(1, min(MOST_COPIES, -(-room // need))))]
        self.bytes = need * (len(self.copies) + len(self.before))
        for blocks in self.copies:
            self._fill(blocks, trials[-1].positive, range(len(blocks)))

    def _blocks(self) -> list[Buffer]:
        """Memory for each slot, with a margin before and behind."""
        return [Buffer(self.device.name, (len(data),), dtypes.uint8)
                for data in next(iter(self.before.values()))]

    def _buffers(self, blocks: Sequence[Buffer]) -> tuple[Buffer, ...]:
        return tuple(b.view(p.arg.shape, p.dtype, MARGIN) for b, p in zip(blocks, self.params))

    @staticmethod
    def _inside(data: Any, param: UOp) -> Any:
        """The array between the margins."""
        return np.frombuffer(data, param.dtype.np, prod(param.arg.shape), MARGIN).reshape(param.arg.shape)

    def _fill(self, blocks: Sequence[Buffer], positive: bool, slots: Iterable[int]) -> None:
        for slot in slots:
            blocks[slot].copyin(self.before[positive][slot].data)

    def judge(self, programs: dict[int, Program], answer: Answer) -> None:
        """Takes out of `programs` those that compute something else than they should, and the slowest."""
        limit = float("inf")
        for trial, wanted, changes in self.trials:
            slots: Iterable[int] = range(len(self.params))
            for number, program in list(programs.items()):
                self._fill(self.copies[0], trial.positive, slots)
                answer(run=number)
                seconds = self.device.launch(program, self._buffers(self.copies[0]), trial.variables)
                self.device.synchronize()
                if not number:
                    limit = SLOW * max(seconds, LEAST_SECONDS)
                elif seconds > limit:
                    del programs[number]
                    continue
                why = self._wrong(trial.variables, wanted, changes)
                slots = wanted
                if why:
                    slots = range(len(self.params))     # it may have written anywhere
                    del programs[number]
                    answer(bad=number, why=why)

    def _wrong(self, variables: Mapping[str, int], wanted: Mapping[int, Any], changes: Mapping[int, float]) -> str:
        for slot, right in wanted.items():
            after = self.copies[0][slot].copyout()
            if after[:MARGIN] != EDGE or after[-MARGIN:] != EDGE:
                return f"it wrote outside of buffer {slot}"
            found = difference(self._inside(after, self.params[slot]), right, self.params[slot].dtype,
                               tolerance(self.ast, variables), changes.get(slot, 0.0))
            if found:
                return f"buffer {slot}: {found}"
        return ""

    def time(self, programs: dict[int, Program], rounds: int, answer: Answer) -> list[tuple[int, list[float]]]:
        """(number, seconds of each round): of a launch on used buffers and one on cold ones, together. What is hopeless
        has fewer rounds.
        """
        variables = self.trials[0][0].variables
        copies = [self._buffers(blocks) for blocks in self.copies]
        seconds: dict[int, list[float]] = {}
        for number, program in programs.items():
            answer(run=number)
            once = self.device.timer(program, copies[:1], variables)
            seconds[number] = [(1 + (len(copies) > 1)) * min(once(), once(), once())]
        launches = min(MOST_LAUNCHES, max(1, int(LEAST_SECONDS / max(min(map(min, seconds.values())), 1e-9))))
        cold = [copies[at:at + launches] for at in range(1, len(copies), launches)]
        timers: dict[int, list[list[Callable[[], float]]]] = {    # on used buffers; on some cold ones, on others
            number: [[self.device.timer(program, each, variables) for each in sets]
                     for sets in ([copies[:1] * launches], cold)] for number, program in programs.items()}
        for turn in range(rounds):
            limit = (HOPELESS if turn else SLOW) * min(map(min, seconds.values()))
            for i, (number, found) in enumerate(seconds.items(), turn * (len(seconds) + 1)):
                if min(found) > limit and number:
                    continue
                answer(run=number)      # never on the cold buffers that the one before has used, if there are others
                found.append(sum(functions[i % len(functions)]() for functions in timers[number] if functions))
        return [(number, found[1:] or found) for number, found in seconds.items()]


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

    benches: dict[str, Bench] = {}      # by what they were asked for with, the last used last
    for line in sys.stdin:
        message = json.loads(line)
        if "ast" in message:
            kept = benches.pop(line, None)
            while sum(old.bytes for old in benches.values()) > MOST_BYTES:
                del benches[next(iter(benches))]
            benches[line] = bench = kept or Bench(get_device(message["device"]), decode(message["ast"]))
            answer(ready=True)
        else:
            specs = {number: decode(spec) for number, spec in message["specs"]}
            programs = compiled(bench.device, specs, answer)
            bench.judge(programs, answer)
            answer(times=bench.time(programs, message["rounds"], answer) if programs else [])


if __name__ == "__main__":
    main()
