"""Kernels with the heuristic's opts and with those that a search finds in a given time, timed in turns.

BEAM is the width (4), BEAM_BUDGET the seconds for all kernels of one case (20 serve well). Nothing that was found
before is used, and nothing is kept.
"""
from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np

import minigrad.engine.realize as realize
from extra.benchmarks.harness import Table, report
from extra.models.benchmark import random_weights
from extra.models.checkpoint import build
from extra.models.generate import Session
from extra.models.llama import preset
from minigrad import Context, Tensor, UOp, dtypes
from minigrad.codegen.pipeline import lower_kernel
from minigrad.helpers import BEAM, BEAM_BUDGET
from minigrad.runtime.device import Buffer
from minigrad.search.beam import Search, search
from minigrad.search.records import Database
from minigrad.search.trial import contents, params_of, trials_of

ROUNDS = 25
LAUNCHES = 3


def kernels_of(work: Callable[[], object]) -> list[tuple[UOp, str]]:
    """The kernels that a call runs, as often as it does."""
    found: list[tuple[UOp, str]] = []
    programs_for = realize.programs_for
    realize.programs_for = lambda kernels: found.extend(kernels) or programs_for(kernels)
    try:
        with Context(TUNED=0, BEAM=0):
            work()
    finally:
        realize.programs_for = programs_for
    return found


def cases() -> dict[str, list[tuple[UOp, str]]]:
    """Kernels by what they are for."""
    rng = np.random.default_rng(0)

    def tensor(*shape: int) -> Tensor:
        return Tensor(rng.standard_normal(shape, dtype=np.float32)).realize()
    q, k, v = (tensor(1, 8, 512, 64) for _ in range(3))
    found: dict[str, list[tuple[UOp, str]]] = {}
    for m, n, k_ in ((256, 256, 256), (512, 512, 512), (257, 515, 1023), (37, 53, 71)):
        a, b, turned = tensor(m, k_), tensor(k_, n), tensor(n, k_)
        found[f"A @ B {m}×{n}×{k_}"] = kernels_of(lambda a=a, b=b: (a @ b).realize())
        found[f"A @ B.T {m}×{n}×{k_}"] = kernels_of(lambda a=a, b=turned: (a @ b.T).realize())
    a, b = tensor(1024, 512), tensor(1024, 512)
    found["A.T @ B 512×512×1024"] = kernels_of(lambda: (a.T @ b).realize())
    a, b = tensor(64, 128, 128), tensor(64, 128, 128)
    found["batched 64 × 128³"] = kernels_of(lambda: (a @ b).realize())
    image, weight = tensor(1, 64, 56, 56), tensor(64, 64, 3, 3)
    found["convolution 3×3"] = kernels_of(lambda: image.conv2d(weight, padding=1).realize())
    x = tensor(1024, 1024)
    found["softmax"] = kernels_of(lambda: x.softmax(-1).realize())
    found["attention"] = kernels_of(lambda: q.scaled_dot_product_attention(k, v, is_causal=True).realize())
    config = preset("15M")
    session = Session(build(config, random_weights(config, dtypes.float32), "15M", context=config.context))
    found["15M token"] = kernels_of(lambda: session.feed([1]))
    return found


def times(one: Search) -> tuple[float, float]:
    """Median seconds of a launch with the heuristic's opts, and with those that were found."""
    device, ast = one.device, one.ast
    specs = [device.render(lower_kernel(ast, device.target, opts)) for opts in (None, one.opts)]
    buffers = [Buffer(device.name, p.arg.shape, p.dtype) for p in params_of(ast)]
    for buffer, array in zip(buffers, contents(ast, True)):
        buffer.copyin(array.tobytes())
    variables = trials_of(ast)[0].variables
    timers = [device.timer(program, [buffers] * LAUNCHES, variables) for program in device.compile(specs)]
    seconds = [[timer() for timer in timers] for _ in range(ROUNDS)]
    return statistics.median(row[0] for row in seconds), statistics.median(row[1] for row in seconds)


def table() -> Table:
    width = BEAM.value or 4
    result = Table(f"search, width {width}, {BEAM_BUDGET.value} s a case",
                   ["case", "kernel", "uses", "heuristic ms", "beam ms", "ratio", "tried", "seconds"])
    for name, kernels in cases().items():
        for one in search(kernels, width, BEAM_BUDGET.value, Database()):
            heuristic, found = times(one)
            result.add(name, one.name, one.uses, heuristic * 1e3, found * 1e3, found / heuristic, one.tried, one.spent)
    result.notes.append("Medians of launches in turns, on buffers just used; a search weighs cold ones too.")
    return result


if __name__ == "__main__":
    report(table())
