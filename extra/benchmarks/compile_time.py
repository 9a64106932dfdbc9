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
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from extra.benchmarks.harness import Table, report
from extra.models.llama import PRESETS, KVCache, Llama, LlamaConfig
from extra.models.train import loss_of
from minigrad import Tensor, Variable, nn
from minigrad.engine import compile as programs
from minigrad.engine import realize
from minigrad.progress import Progress
from minigrad.runtime.compiler import Compiler
from minigrad.runtime.device import Buffer, get_device
from minigrad.schedule import create_schedule
from minigrad.tensor import base

REPEATS = 3
IMPORTS = 9
LAYERS = (4, 40)


# --- measured processes -----------------------------------------------------------------------------------------------


class Stopwatch:
    """Seconds and calls of functions that it wraps in place, by label. A function inside another counts in both."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    def wrap(self, owner: Any, name: str, label: str) -> None:
        inner: Callable[..., Any] = getattr(owner, name)
        self.seconds.setdefault(label, 0.0)
        self.calls.setdefault(label, 0)

        def timed(*args: Any, **keywords: Any) -> Any:
            start = time.perf_counter()
            try:
                return inner(*args, **keywords)
            finally:
                self.seconds[label] += time.perf_counter() - start
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
    """Seconds of what realizing is made of; "graph" is what comes before it."""
    watch = Stopwatch()
    watch.wrap(realize, "create_schedule", "schedule")
    watch.wrap(programs, "lower_kernel", "lower")
    watch.wrap(type(get_device("CPU")), "render", "lower")
    watch.wrap(base, "_realize", "realize")
    watch.wrap(realize, "programs_for", "programs")
    watch.wrap(type(get_device("CPU")), "compile", "compile")
    watch.wrap(Compiler, "compile", "compiler calls")
    start = time.perf_counter()
    run()
    graph = time.perf_counter() - start - watch.seconds["realize"]
    return {**watch.seconds, "graph": graph, "compiler calls": watch.calls["compiler calls"]}


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


# --- the tables -------------------------------------------------------------------------------------------------------


def in_new_process(measure: str, cache_folder: str) -> Any:
    environment = {**os.environ, "CACHEDIR": cache_folder, "SPEC": "0"}
    done = subprocess.run([sys.executable, "-m", "extra.benchmarks.compile_time", "--measure", measure],
                          env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"measuring {measure!r} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def median(runs: list[dict[str, float]], *phases: str) -> float:
    return statistics.median(sum(run[phase] for phase in phases) for run in runs)


def token_table() -> Table:
    cold, warm, bar = [], [], Progress("first token")
    for repeat in range(REPEATS):
        bar.update(repeat / REPEATS, f"{repeat + 1} of {REPEATS}")
        with tempfile.TemporaryDirectory() as folder:
            cold.append(in_new_process("first token", folder))
            warm.append(in_new_process("first token", folder))
    bar.close()
    result = Table("one token of the 3.2-1B shape, float32, before it runs", ["phase", "s", "at most"])
    result.add("nothing cached: graph + schedule", median(cold, "graph", "schedule"), 0.3)
    result.add("nothing cached: lower + render", median(cold, "lower"), 0.3)
    result.add("nothing cached: compile and load", median(cold, "compile"), 0.5)
    result.add("new process, warm disk cache: all", median(warm, "graph", "schedule", "programs"), 0.5)
    result.add("new process, warm disk cache: compiler calls", int(median(warm, "compiler calls")), 0)
    return result


def step_table() -> Table:
    runs, bar = [], Progress("training step")
    for repeat in range(REPEATS):
        bar.update(repeat / REPEATS, f"{repeat + 1} of {REPEATS}")
        with tempfile.TemporaryDirectory() as folder:
            runs.append(in_new_process("training step", folder))
    bar.close()
    result = Table("one training step of the 15M shape, batch 4 of 128, nothing cached", ["phase", "s"])
    for name, phases in {"graph, forwards and backwards": ("graph",), "schedule": ("schedule",),
                         "lower + render": ("lower",), "compile and load": ("compile",)}.items():
        result.add(name, median(runs, *phases))
    return result


def import_seconds() -> float:
    """The median time of the import in a new process, its bytecode written by one before."""
    code = "import numpy, time; start = time.perf_counter(); import minigrad; print(time.perf_counter() - start)"
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        times = [float(subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True,
                                      check=True).stdout) for _ in range(1 + IMPORTS)]
    return statistics.median(times[1:])


def import_table() -> Table:
    with tempfile.TemporaryDirectory() as folder:
        few, many = in_new_process("schedules", folder)
    result = Table("import and schedule", ["what", "ms", "ratio", "at most"])
    result.add("import minigrad, on top of Python and numpy", import_seconds() * 1e3, None, "100 ms")
    result.add(f"schedule of one token, {LAYERS[0]} layers", few * 1e3, None, None)
    result.add(f"schedule of one token, {LAYERS[1]} layers", many * 1e3, many / few, "11 times")
    return result


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(MEASURES[sys.argv[2]]()))
    else:
        report(token_table(), step_table(), import_table())
