"""All that is asked of a GPU, in one visit: tests, then memory-bound ops, products and decoding beside torch.

    python -m extra.benchmarks.gpu --minutes 8 --save docs/gpu.md        # on the machine with the GPU
    python -m extra.benchmarks.gpu --device CUDA_EMULATED --tiny         # that the script itself works

Sections run in order of what is asked most, each as long as there is time; what fails is a line of the table. Times are
medians of several replays in a row, with one wait at the end. Data is random. torch runs on the same GPU in the same
process, where it is there.
"""
from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from extra.benchmarks.harness import Table, largest_error
from extra.models.benchmark import benchmark_random
from extra.models.llama import PRESETS, LlamaConfig, preset
from minigrad import Context, Tensor, TinyJit
from minigrad.runtime.device import get_device

ROOT = Path(__file__).resolve().parents[2]
TESTS = {
    "operators": ["test/test_ops.py", "-k", "{device}-graph"],
    "tf32": ["test/test_tf32.py"],
    "Llama against numpy": ["test/test_llama.py", "-k", "equal or see_each_other"],
}
TINY = LlamaConfig(dim=64, layers=1, heads=4, kv_heads=2, hidden=96, vocab_size=272, context=16)
FORMATS = {"f32": ("float32", 0), "tf32": ("float32", 1), "bf16": ("bfloat16", 0), "f16": ("float16", 0)}


class Visit:
    """What was found so far, and how much time is left."""

    def __init__(self, device: str, tiny: bool, minutes: float) -> None:
        self.device, self.tiny, self.end = device, tiny, time.monotonic() + 60 * minutes
        self.torch: Any = None
        if importlib.util.find_spec("torch") is not None and not tiny:
            import torch
            self.torch = torch if torch.cuda.is_available() else None
        self.table = Table(f"{device}, {datetime.now(UTC):%Y-%m-%d}, commit {commit()}",
                           ["what", "minigrad", "torch", "of torch", "of copy", "error"])
        self.copy = 0.0                 # bytes a second, read and written

    def left(self) -> float:
        return self.end - time.monotonic()

    def section(self, name: str, run: Callable[[], None], seconds: float) -> None:
        """Runs a part if there are `seconds` left for it."""
        if self.left() < seconds:
            self.table.add(name, "no time left", None, None, None, None)
            return
        print(f"{name} ...", flush=True)
        try:
            run()
        except Exception as error:      # the rest is wanted whatever fails
            self.table.add(name, f"{type(error).__name__}: {error}".splitlines()[0][:90], None, None, None, None)

    def seconds(self, run: Callable[[], object], wait: Callable[[], object], rounds: int = 7) -> float:
        """Of one run: median over rounds of several in a row."""
        for _ in range(4):              # records, captures, replays
            run()
        wait()
        start = time.perf_counter()
        run()
        wait()
        count = 1 if self.tiny else max(1, min(100, int(0.03 / max(time.perf_counter() - start, 1e-6))))
        times = []
        for _ in range(2 if self.tiny else rounds):
            start = time.perf_counter()
            for _ in range(count):
                run()
            wait()
            times.append((time.perf_counter() - start) / count)
        return statistics.median(times)

    def ours(self, run: Callable[[], Tensor]) -> tuple[float, np.ndarray]:
        """(seconds, result)"""
        step = TinyJit(lambda: run().realize())
        taken = self.seconds(step, get_device(self.device).synchronize)
        return taken, step().numpy()

    def theirs(self, run: Callable[[], Any]) -> float | None:
        return self.seconds(run, self.torch.cuda.synchronize) if self.torch is not None else None


def commit() -> str:
    words = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def run_tests(visit: Visit, name: str) -> None:
    """A part of the tests in a process of its own, on the device."""
    words = [word.format(device=visit.device.lower().replace("_", "-")) for word in TESTS[name]]
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", *words], cwd=ROOT, check=False,
                          env=os.environ | {"DEV": visit.device, "SPEC": "1"}, capture_output=True, text=True,
                          timeout=max(1.0, visit.left() - 30))
    lines = done.stdout.strip().splitlines()
    visit.table.add(f"tests: {name}", lines[-1].strip("= ") if lines else f"status {done.returncode}", None, None, None,
                    None)


def streams(visit: Visit) -> None:
    """Copies and ops that memory bounds, on a GiB."""
    rows = 64 if visit.tiny else 1 << 16
    x = np.random.default_rng(0).standard_normal((rows, 4096), dtype=np.float32)
    moved, tensor = 2 * x.nbytes, Tensor(x).realize()
    theirs = visit.torch.tensor(x, device="cuda") if visit.torch is not None else None
    exact, F = x[:64].astype(np.float64), visit.torch.nn.functional if visit.torch is not None else None
    e = np.exp(exact - exact.max(-1, keepdims=True))
    cases: list[tuple[str, Callable[[], Tensor], Callable[[], Any], np.ndarray]] = [
        ("copy", lambda: tensor * 1.0 + 0.0, lambda: theirs.clone(), exact),
        ("2 x + 1", lambda: tensor * 2 + 1, lambda: theirs * 2 + 1, 2 * exact + 1),
        ("softmax", lambda: tensor.softmax(), lambda: F.softmax(theirs, -1), e / e.sum(-1, keepdims=True)),
        ("rmsnorm", lambda: tensor.rmsnorm(eps=1e-5), lambda: F.rms_norm(theirs, (4096,), None, 1e-5),
         exact / np.sqrt((exact * exact).mean(-1, keepdims=True) + 1e-5)),
    ]
    for name, ours, rival, expected in cases:
        mine, result = visit.ours(ours)
        other = visit.theirs(rival)
        if name == "copy":
            visit.copy = moved / min(mine, other or mine)
        visit.table.add(f"{name}, {x.nbytes >> 20} MiB", f"{moved / mine / 1e9:,.1f} GB/s",
                        other and f"{moved / other / 1e9:,.1f} GB/s", other and f"{other / mine:.0%}",
                        f"{moved / mine / visit.copy:.0%}", largest_error(result[:64], expected))


def product(visit: Visit, kind: str, n: int) -> None:
    n = 64 if visit.tiny else n
    dtype, tf32 = FORMATS[kind]
    a, b = (np.random.default_rng(i).standard_normal((n, n), dtype=np.float32) for i in (1, 2))
    with Context(ALLOW_TF32=tf32):
        x, y = (Tensor(v).cast(dtype).realize() for v in (a, b))
        mine, result = visit.ours(lambda: (x @ y).float())
    other = None
    if visit.torch is not None:
        visit.torch.backends.cuda.matmul.allow_tf32 = bool(tf32)
        p, q = (visit.torch.tensor(v, device="cuda").to(getattr(visit.torch, dtype)) for v in (a, b))
        other = visit.theirs(lambda: p @ q)
    work = 2 * n**3
    expected = a[:16].astype(np.float64) @ b
    error = float(np.linalg.norm(result[:16] - expected) / np.linalg.norm(expected))
    visit.table.add(f"{kind} product {n}³", f"{work / mine / 1e12:,.2f} TFLOP/s",
                    other and f"{work / other / 1e12:,.2f} TFLOP/s", other and f"{other / mine:.0%}", None, error)


def decode(visit: Visit, name: str) -> None:
    config, tokens = (TINY, 4) if visit.tiny else (preset(name), 64)
    result = benchmark_random(config, name, "bf16", tokens)
    rate = statistics.median(1 / t for t in result.tokens)
    share = f"{rate * result.bytes_per_token / visit.copy:.0%}" if visit.copy else None
    visit.table.add(f"decode {name} bf16, {result.kernels_per_token} kernels a token", f"{rate:,.1f} tokens/s", None,
                    None, share, None)
    visit.table.add(f"prefill {name} bf16", f"{result.prefill_tokens / min(result.prefill):,.0f} tokens/s", None, None,
                    None, None)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m extra.benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="CUDA")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--tiny", action="store_true", help="sizes that an emulator takes")
    parser.add_argument("--skip-tests", action="store_true")
    parser.add_argument("--save", type=Path, metavar="FILE", help="also write the table there")
    parser.add_argument("--models", nargs="*", default=["1B", "7B"], choices=sorted(PRESETS))
    arguments = parser.parse_args()
    visit = Visit(arguments.device, arguments.tiny, arguments.minutes)
    print(get_device(arguments.device).describe(), flush=True)
    with Context(DEV=arguments.device):
        visit.section("streams", lambda: streams(visit), 20)
        for kind, n in (("f32", 4096), ("tf32", 8192), ("bf16", 8192), ("f16", 8192)):
            visit.section(f"{kind} product", lambda kind=kind, n=n: product(visit, kind, n), 20)  # type: ignore[misc]
        for name in arguments.models:
            visit.section(f"decode {name}", lambda name=name: decode(visit, name), 60)  # type: ignore[misc]
        for name in () if arguments.skip_tests else TESTS:
            visit.section(f"tests: {name}", lambda name=name: run_tests(visit, name), 40)  # type: ignore[misc]
    visit.table.notes.append(get_device(arguments.device).describe())
    if arguments.save:
        arguments.save.write_text(f"# Measured on a GPU\n\n`python -m extra.benchmarks.gpu` wrote this page.\n\n"
                                  f"{visit.table}\n")
    print(f"\n{visit.table}\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
