"""What comes before the first token, and before the first training step: import, graph, schedule, lowering, compiling.

Each figure is of a process of its own, with a cache folder of its own: first empty, then filled by that process. The
weights are memory that was never written, so that nothing but the compiler's work takes time.
"""
from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from extra.benchmarks.measure import Outcome, limited
from extra.benchmarks.models import Models
from extra.benchmarks.rows import LLAMA, Row
from extra.benchmarks.turns import OURS, Crew, Failed
from extra.models.llama import PRESETS, KVCache, Llama, LlamaConfig
from extra.models.train import loss_of
from minigrad import Tensor, Variable, nn
from minigrad.engine import compile as programs
from minigrad.engine import realize
from minigrad.runtime.compiler import Compiler
from minigrad.runtime.device import Buffer, get_device
from minigrad.schedule import create_schedule
from minigrad.tensor import base

REPEATS = 3
IMPORTS = 9
LAYERS = (4, 40)
MOST_SECONDS = (0.6, 0.3)       # to the first token, from nothing cached and from the disk cache
RIVAL = "tinygrad"


# --- measured processes -----------------------------------------------------------------------------------------------


class Stopwatch:
    """Seconds and calls of functions that it wraps in place, by label. A function inside another counts in both.
    `clock`: also `time.thread_time`, of a function beside which others are at work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    def wrap(self, owner: Any, name: str, label: str, clock: Callable[[], float] = time.perf_counter) -> None:
        inner: Callable[..., Any] = getattr(owner, name)
        self.seconds.setdefault(label, 0.0)
        self.calls.setdefault(label, 0)

        def timed(*args: Any, **keywords: Any) -> Any:
            start = clock()
            try:
                return inner(*args, **keywords)
            finally:
                self.seconds[label] += clock() - start
                self.calls[label] += 1

        setattr(owner, name, timed)


def _empty_llama(config: LlamaConfig, context: int) -> Llama:
    """A model whose weights were never written."""
    model = Llama(config, context)
    for weight in nn.state.get_state_dict(model).values():
        weight.replace(Tensor.empty(*weight.shape, dtype=weight.dtype).realize())
    Tensor.realize(model._cos, model._sin)
    return model


def first_token() -> dict[str, float]:
    """Seconds of each phase of one token of the 3.2-1B shape, in this process."""
    context = 1024
    model = _empty_llama(PRESETS["1B"], context)
    cache = KVCache(model.config, context)
    token = Tensor([[1]]).realize()
    return _phases(lambda: model(token, Variable("start", 0, context - 1).bind(7), cache).realize())


def training_step() -> dict[str, float]:
    """Seconds of each phase of one training step of the 15M shape, forwards, backwards and AdamW, in this process."""
    model = _empty_llama(PRESETS["15M"], 128)
    optimiser = nn.optim.AdamW(nn.state.get_parameters(model), lr=1e-3)
    inputs, targets = (Tensor.zeros(4, 128, dtype="int32").contiguous().realize() for _ in range(2))

    def step() -> None:
        optimiser.zero_grad()
        loss = loss_of(model, inputs, targets)
        loss.backward()
        optimiser.step()
        loss.realize()

    return _phases(step)


def _phases(run: Callable[[], object]) -> dict[str, float]:
    """Seconds of what realizing is made of; "graph" is what comes before it. The first kernels are compiled while later
    ones are lowered: "lower" is processor time, "compile" what compiling and loading takes on top of it."""
    watch = Stopwatch()
    watch.wrap(realize, "create_schedule", "schedule")
    watch.wrap(programs, "_lowered", "lowered")
    watch.wrap(programs, "lower_kernel", "lower", time.thread_time)
    watch.wrap(type(get_device("CPU")), "render", "lower", time.thread_time)
    watch.wrap(base, "_realize", "realize")
    watch.wrap(realize, "programs_for", "programs")
    watch.wrap(type(get_device("CPU")), "compile", "compile")
    watch.wrap(Compiler, "compile", "compiler calls")
    start = time.perf_counter()
    run()
    graph = time.perf_counter() - start - watch.seconds["realize"]
    return {**watch.seconds, "graph": graph, "compile": watch.seconds["compile"] - watch.seconds["lowered"],
            "compiler calls": watch.calls["compiler calls"]}


def schedule_seconds(layers: int) -> float:
    """The least of several times to schedule one token of a small Llama of so many layers."""
    model = _empty_llama(replace(PRESETS["15M"], layers=layers), 256)
    token = Tensor([[1]]).realize()
    times = []
    for position in range(1, 8):
        cache = KVCache(model.config, 256)
        logits = model(token, Variable("start", 0, 255).bind(position), cache)
        sinks = [logits.uop, *(half.uop for half in [*cache.keys, *cache.values])]
        start = time.perf_counter()
        create_schedule(sinks, Buffer)
        times.append(time.perf_counter() - start)
    return min(times)


MEASURES: dict[str, Callable[[], Any]] = {
    "first token": first_token,
    "training step": training_step,
    "schedules": lambda: [schedule_seconds(layers) for layers in LAYERS],
}


# --- outcomes ---------------------------------------------------------------------------------------------------------


def in_new_process(measure: str, cache_folder: str) -> Any:
    environment = {**os.environ, "CACHEDIR": cache_folder, "SPEC": "0"}
    done = subprocess.run([sys.executable, "-m", "extra.benchmarks.compile_time", measure],
                          env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"measuring {measure!r} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def phases(measure: str, repeats: int) -> dict[str, float]:
    """The median seconds of each phase, nothing cached."""
    runs = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(in_new_process(measure, folder))
    return {phase: statistics.median(run[phase] for run in runs) for phase in runs[0]}


def first_tokens(row: Row, peer: str, cache_folder: str) -> dict[str, float]:
    """`first`: seconds of the first token in a new process, less those of a warm one; `compiling`: what of them the C
    compiler took, where the library says so. Failed where there is none."""
    with Crew({"CACHEDIR": cache_folder, "CACHEDB": os.path.join(cache_folder, "tinygrad.db"), "SPEC": "0"}) as crew:
        facts = crew.ask(peer, do="prepare", case=dict(row.case))["facts"]
        warm = min(crew.ask(peer, do="run", seconds=0.5)["times"])
    return {**facts, "first": facts["first"] - warm}


def first_token_outcomes(row: Row, repeats: int) -> list[Outcome]:
    found: dict[str, list[float]] = {"nothing cached": [], "the disk cache": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            for times in found.values():
                times.append(first_tokens(row, OURS[0], folder)["first"])
    rival: dict[str, dict[str, float | str]] = {kind: {} for kind in found}
    python: dict[str, float | str] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            cold = first_tokens(row, RIVAL, folder)
            rival = {"nothing cached": {RIVAL: cold["first"]},
                     "the disk cache": {RIVAL: first_tokens(row, RIVAL, folder)["first"]}}
            python = {RIVAL: cold["first"] - cold["compiling"]}
    except Failed as reason:
        rival, python = {kind: {RIVAL: str(reason)} for kind in found}, {RIVAL: str(reason)}
    token = phases("first token", repeats)
    before = token["graph"] + token["schedule"] + token["lower"]
    return [*(limited(f"first token, {' '.join(row.case['model'])}, from {kind}", "s",
                      {OURS[0]: statistics.median(times), **rival[kind]}, most)
              for (kind, times), most in zip(found.items(), MOST_SECONDS, strict=True)),
            limited("graph, schedule, lower and render, 1B token", "s", {OURS[0]: before, **python}, 0.25),
            limited("compile and load, 1B token", "s", {OURS[0]: token["compile"]}, 0.5)]


def import_seconds() -> float:
    """The median time of the import in a new process, its bytecode written by one before."""
    code = "import numpy, time; start = time.perf_counter(); import minigrad; print(time.perf_counter() - start)"
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        times = [float(subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True,
                                      check=True).stdout) for _ in range(1 + IMPORTS)]
    return statistics.median(times[1:])


def outcomes(quick: bool) -> Iterator[Outcome]:
    """As they come; quickly, those that take seconds alone."""
    yield limited("import minigrad, on top of Python and numpy", "ms", {OURS[0]: import_seconds() * 1e3}, 100)
    with tempfile.TemporaryDirectory() as folder:
        few, many = in_new_process("schedules", folder)
    yield limited(f"schedule, a token of {LAYERS[1]} layers over one of {LAYERS[0]}", "times", {OURS[0]: many / few},
                  11)
    step = phases("training step", 1 if quick else REPEATS)
    for phase in ("graph", "schedule", "lower", "compile"):
        yield Outcome(f"training step of the 15M Llama, {phase}", "s", step[phase])
    row = next(row for row in LLAMA if row.case["model"] == (("15M", "f32") if quick else ("1B", "bf16")))
    with Models() as models:
        yield from first_token_outcomes(models.filled(row), 1 if quick else REPEATS)


if __name__ == "__main__":
    print(json.dumps(MEASURES[sys.argv[1]]()))
