"""A schedule's kernels one after the other, with opts that won alone and with the heuristic's, in turns.

A kernel that is faster on its own need not be among others: it may leave less in the caches, or keep the other threads
waiting. In: the kernels of a schedule as often as they stand in it, and two sets of programs for them. Out: how the
times of the two compare, round by round. Every launch has memory of its own while there is room, as weights have.
"""
from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence

from ..runtime.device import Buffer, Device, GraphRunner, Launch, Program
from ..uops import UOp
from .trial import contents, params_of, trials_of

ROOM = 1 << 29              # bytes of buffers
ROUNDS = 11, 41             # at least and at most
SECONDS = 1.0               # for all rounds, where that is enough for the least


def _memory(device: Device, kernels: Sequence[UOp]) -> list[tuple[Buffer, ...]]:
    """The buffers of each launch, with what trials put there. Beyond the room, launches of a kernel share them."""
    made: dict[UOp, list[tuple[Buffer, ...]]] = {}
    room = ROOM
    for ast, uses in Counter(kernels).items():
        params, arrays = params_of(ast), contents(ast, True)
        need = sum(array.nbytes for array in arrays)
        made[ast] = [tuple(Buffer(device.name, p.arg.shape, p.dtype) for p in params)
                     for _ in range(max(1, min(uses, room // max(need, 1))))]
        room -= need * len(made[ast])
        for buffers in made[ast]:
            for buffer, array in zip(buffers, arrays):
                buffer.copyin(array.tobytes())
    return [made[ast][number % len(made[ast])] for number, ast in enumerate(kernels)]


def ratios(device: Device, kernels: Sequence[UOp], ours: Mapping[UOp, Program], theirs: Mapping[UOp, Program]
           ) -> list[float]:
    """The time with our programs over that with theirs, of each round."""
    memory = _memory(device, kernels)
    variables = {name: value for ast in kernels for name, value in trials_of(ast)[0].variables.items()}
    graphs = [device.graph([Launch(programs[ast], buffers) for ast, buffers in zip(kernels, memory)])
              for programs in (ours, theirs)]
    once = max(_seconds(device, graph, variables) + _seconds(device, graph, variables) for graph in graphs)
    found = []
    for turn in range(max(ROUNDS[0], min(ROUNDS[1], int(SECONDS / once)))):
        seconds = [0.0, 0.0]
        for number in (turn % 2, 1 - turn % 2):
            seconds[number] = _seconds(device, graphs[number], variables)
        found.append(seconds[0] / seconds[1])
    return found


def _seconds(device: Device, graph: GraphRunner, variables: Mapping[str, int]) -> float:
    """Of one run; launches that a device has only started are waited for."""
    began = time.perf_counter()
    seconds = graph.run(variables)
    device.synchronize()
    return seconds or time.perf_counter() - began
