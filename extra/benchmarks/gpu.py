"""All that is asked of a GPU, in one visit: tests, then memory-bound ops, products, decoding and a search beside torch.

    python -m extra.benchmarks.gpu --save docs/gpu.md                    # on the machine with the GPU
    python -m extra.benchmarks.gpu --device CUDA_EMULATED --tiny         # that the script itself works

Sections run in order of what is asked most, each in a process of its own with a limit of seconds, so that neither a
kernel that hangs nor one that breaks the driver's context takes the others along. Rows are printed, and the page is
written, as they are found. Times are medians of several replays in a row, with one wait at the end. Data is random.
torch runs on the same GPU in the same process, where it is there.
"""
from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from extra.benchmarks.harness import Table, largest_error
from extra.models.benchmark import benchmark_random
from extra.models.llama import LlamaConfig, preset
from minigrad import Context, Tensor, TinyJit
from minigrad.runtime.device import get_device

ROOT = Path(__file__).resolve().parents[2]
TINY = LlamaConfig(dim=64, layers=1, heads=4, kv_heads=2, hidden=96, vocab_size=272, context=16)
FORMATS = {"f32": ("float32", 0), "tf32": ("float32", 1), "bf16": ("bfloat16", 0), "f16": ("float16", 0)}
COLUMNS = ["what", "minigrad", "torch", "of torch", "of copy", "error", "goal"]
FOUND = "found "         # begins a line of a section's process that holds a row as JSON
SEARCH = 150            # seconds for BEAM, of the three minutes that it may take with all that it compiles
PAGE = """# Measured on a GPU

    python -m extra.benchmarks.gpu --save docs/gpu.md

writes this page: on a machine with an NVIDIA GPU (sm_80 or newer), its driver, and `pip install 'minigrad[cuda]'`; with
torch, if it is there, as the other side of the comparison. It takes up to eight minutes. Sections for which there is no
time left, or that fail, are rows that say so; `--sections NAME ...` runs some of them alone.

* device: the driver, the compiler, a first product and its error.
* streams: copy, 2 x + 1, softmax and RMSNorm of 1 GiB of float32. Goal: 90% of the copy's bandwidth.
* f32: a product of 4096³ without tensor cores. Goal: 85% of cuBLAS.
* tf32, bf16, f16: products of 8192³ on tensor cores. Goal: 55% of cuBLAS (float16: none).
* decode-1B, decode-7B: tokens a second of Llama's shapes in bfloat16, batch 1, random weights. Goal: 80% of the copy's
  bandwidth, and faster than torch.
* torch-7B: the products, the attention and the norms of such a token in torch, compiled, in one CUDA graph.
* beam-1B: decoding after BEAM=2 searched for the 1B Llama's kernels. Goal: 3 minutes, never slower than the heuristic.
* operators, llama, tf32-tests: the suite of operators and gradients, Llama against its twin in numpy, tf32's rounding.

Bandwidth counts bytes read and written. Errors are relative: of streams the largest, of products in the norm, against
float64.

"""
NOTHING = "No figures have been taken yet: until now the kernels have run on an emulator alone.\n"


class Visit:
    """A section's process: what it runs on, and how it tells what it found."""

    def __init__(self, device: str, tiny: bool = False, copy: float = 0.0, seconds: float = 480.0) -> None:
        self.device, self.tiny, self.copy, self.end = device, tiny, copy, time.monotonic() + seconds
        self.rows: list[list[Any]] = []
        self.torch: Any = None
        if importlib.util.find_spec("torch") is not None and not tiny:
            import torch
            self.torch = torch if torch.cuda.is_available() else None

    def left(self) -> float:
        return self.end - time.monotonic()

    def add(self, what: str, ours: str, torch: str | None = None, of_torch: float | None = None,
            of_copy: float | None = None, error: float | None = None, goal: str | None = None) -> None:
        shares = (None if share is None else f"{share:.0%}" for share in (of_torch, of_copy))
        self.rows.append([what, ours, torch, *shares, error, goal])
        print(FOUND + json.dumps({"row": self.rows[-1], "copy": self.copy}), flush=True)

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


# ---- sections

def device(visit: Visit) -> None:
    """That it computes at all."""
    began = time.perf_counter()
    a, b = (np.random.default_rng(i).standard_normal((96, 96), dtype=np.float32) for i in (1, 2))
    error = largest_error((Tensor(a) @ Tensor(b)).numpy(), a.astype(np.float64) @ b)
    visit.add(get_device(visit.device).describe(), f"a first product in {time.perf_counter() - began:.1f} s",
              error=error)


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
        visit.add(f"{name}, {x.nbytes >> 20} MiB", f"{moved / mine / 1e9:,.1f} GB/s",
                  other and f"{moved / other / 1e9:,.1f} GB/s", other and other / mine, moved / mine / visit.copy,
                  largest_error(result[:64], expected), "90% of copy")


def product(visit: Visit, kind: str, n: int, goal: str | None = None) -> None:
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
    visit.add(f"{kind} product {n}³", f"{work / mine / 1e12:,.2f} TFLOP/s",
              other and f"{work / other / 1e12:,.2f} TFLOP/s", other and other / mine, None, error, goal)


def decode(visit: Visit, name: str, goal: str | None = None) -> None:
    config, tokens = (TINY, 4) if visit.tiny else (preset(name), 64)
    result = benchmark_random(config, name, "bf16", tokens)
    rate = statistics.median(1 / t for t in result.tokens)
    share = rate * result.bytes_per_token / visit.copy if visit.copy else None
    visit.add(f"decode {name} bf16, {result.kernels_per_token} kernels a token", f"{rate:,.1f} tokens/s", of_copy=share,
              goal=goal)
    visit.add(f"prefill {name} bf16", f"{result.prefill_tokens / min(result.prefill):,.0f} tokens/s")


def torch_decode(visit: Visit, name: str) -> None:
    """A token in torch: each layer's products, attention over 512 positions and norms, compiled, in one CUDA graph."""
    torch, c = visit.torch, preset(name)
    if torch is None:
        visit.add(f"decode {name} bf16 in torch", "no torch here")
        return
    F, size = torch.nn.functional, c.head_dim

    def random(*shape: int) -> Any:
        return torch.randn(*shape, device="cuda", dtype=torch.bfloat16) * 0.02

    shapes = {"qkv": ((c.heads + 2 * c.kv_heads) * size, c.dim), "out": (c.dim, c.heads * size),
              "gate": (2 * c.hidden, c.dim), "down": (c.dim, c.hidden)}
    layers = [{key: random(*shape) for key, shape in shapes.items()}
              | {key: random(1, c.kv_heads, 512, size) for key in ("keys", "values")} for _ in range(c.layers)]
    head, token = random(c.vocab_size, c.dim), random(1, c.dim)

    def layer(x: Any, w: dict[str, Any]) -> Any:
        widths = [size * n for n in (c.heads, c.kv_heads, c.kv_heads)]
        q, k, v = F.linear(F.rms_norm(x, (c.dim,)), w["qkv"]).split(widths, -1)
        keys, values = (torch.cat([w[key][:, :, 1:], new.view(1, c.kv_heads, 1, size)], 2)
                        for key, new in (("keys", k), ("values", v)))
        seen = F.scaled_dot_product_attention(q.view(1, c.heads, 1, size), keys, values, enable_gqa=True)
        x = x + F.linear(seen.reshape(1, -1), w["out"])
        gate, up = F.linear(F.rms_norm(x, (c.dim,)), w["gate"]).chunk(2, -1)
        return x + F.linear(F.silu(gate) * up, w["down"])

    with torch.no_grad():
        compiled = torch.compile(layer)

        def run() -> Any:
            x = token
            for w in layers:
                x = compiled(x, w)
            return F.linear(F.rms_norm(x, (c.dim,)), head)
        for _ in range(3):
            run()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
        taken = visit.seconds(graph.replay, torch.cuda.synchronize)
    visit.add(f"decode {name} bf16 in torch", "-", f"{1 / taken:,.1f} tokens/s", goal="slower than minigrad's")


def beam(visit: Visit, name: str) -> None:
    """Decoding with the heuristic's kernels, then with what a search finds."""
    config, tokens = (TINY, 4) if visit.tiny else (preset(name), 64)
    with Context(TUNED=0):
        plain = benchmark_random(config, name, "bf16", tokens)
    began = time.perf_counter()
    budget = 5 if visit.tiny else int(max(1, min(SEARCH, visit.left() - 40)))
    with Context(BEAM=0 if visit.tiny else 2, BEAM_BUDGET=budget):      # no search's own process has an emulator
        found = benchmark_random(config, name, "bf16", tokens)
    taken = time.perf_counter() - began
    before, after = (statistics.median(result.tokens) for result in (plain, found))
    visit.add(f"decode {name} bf16 after BEAM=2",
              f"{1 / after:,.1f} tokens/s, {before / after:.2f} times the heuristic's, in {taken:.0f} s",
              goal="1.00 times, in 180 s")


def run_tests(visit: Visit, name: str, words: Sequence[str]) -> None:
    """A part of the tests, on the device; in several processes where pytest-xdist is there."""
    several = importlib.util.find_spec("xdist") is not None
    command = [sys.executable, "-m", "pytest", "-q", *(["-n", "8"] if several else []), *words]
    try:
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True,
                              timeout=max(1.0, visit.left() - 3), env=os.environ | {"DEV": visit.device, "SPEC": "1"})
        lines = done.stdout.strip().splitlines()
        visit.add(f"tests: {name}", lines[-1].strip("= ") if lines else f"status {done.returncode}", goal="all pass")
        for line in [line for line in lines if line.startswith(("FAILED", "ERROR"))][:12]:
            print(line[:200], flush=True)
    except subprocess.TimeoutExpired as error:
        marks = "".join(re.findall(r"^[.FEsx]+", (error.stdout or b"").decode(), re.MULTILINE))
        counts = f"{marks.count('.')} passed, {marks.count('F')} failed"
        visit.add(f"tests: {name}", f"no time left: {counts}", goal="all pass")


# name: (what it runs, seconds that it may take)
SECTIONS: dict[str, tuple[Callable[[Visit], None], float]] = {
    "device": (device, 40),
    "streams": (streams, 60),
    "f32": (lambda visit: product(visit, "f32", 4096, "85% of torch"), 40),
    "tf32": (lambda visit: product(visit, "tf32", 8192, "55% of torch"), 40),
    "bf16": (lambda visit: product(visit, "bf16", 8192, "55% of torch"), 40),
    "decode-1B": (lambda visit: decode(visit, "1B"), 60),
    "decode-7B": (lambda visit: decode(visit, "7B", "80% of copy"), 90),
    "operators": (lambda visit: run_tests(visit, "operators", ["test/test_ops.py", "-k", "cuda-graph"]), 120),
    "beam-1B": (lambda visit: beam(visit, "1B"), 225),
    "llama": (lambda visit: run_tests(visit, "Llama", ["test/test_llama.py", "-k", "equal or see_each_other"]), 60),
    "torch-7B": (lambda visit: torch_decode(visit, "7B"), 60),
    "tf32-tests": (lambda visit: run_tests(visit, "tf32", ["test/test_tf32.py"]), 30),
    "f16": (lambda visit: product(visit, "f16", 8192), 40),
}


# ---- the visit

def run_section(name: str, words: Sequence[str], limit: float) -> tuple[list[list[Any]], float]:
    """(rows, bandwidth of a copy or 0) of a section in a process of its own; what it did not do is a row."""
    command = [sys.executable, "-m", "extra.benchmarks.gpu", "--section", name, "--seconds", str(limit), *words]
    failure = None
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          start_new_session=True) as process:
        try:
            text, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)           # with the processes that it has started
            text, _ = process.communicate()
            failure = f"stopped after {limit:.0f} s"
    lines = text.splitlines()
    messages = [json.loads(line.removeprefix(FOUND)) for line in lines if line.startswith(FOUND)]
    rest = [line for line in lines if line.strip() and not line.startswith(FOUND)]
    if failure is None and process.returncode:
        failure = next((line for line in reversed(rest) if re.match(r"[\w.]*(Error|Exception)\b", line)),
                       f"ended with status {process.returncode}")
    if failure is not None:
        print("\n".join(rest[-30:]), flush=True)        # of a kernel that failed, its source and log are above
        messages.append({"row": [name, failure[:120], *[None] * (len(COLUMNS) - 2)], "copy": 0.0})
    return [message["row"] for message in messages], max((message["copy"] for message in messages), default=0.0)


def commit() -> str:
    words = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m extra.benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="CUDA")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--tiny", action="store_true", help="sizes that an emulator takes")
    parser.add_argument("--save", type=Path, metavar="FILE", help="also write the page there")
    parser.add_argument("--commit", default=None, help="what the table is titled with, where there is no git")
    parser.add_argument("--sections", nargs="*", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--section", choices=list(SECTIONS), help=argparse.SUPPRESS)       # in its own process
    parser.add_argument("--copy", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=480.0, help=argparse.SUPPRESS)
    a = parser.parse_args(arguments)
    if a.section:
        with Context(DEV=a.device):
            SECTIONS[a.section][0](Visit(a.device, a.tiny, a.copy, a.seconds))
        return 0
    began, copy, failed = time.monotonic(), 0.0, False
    table = Table(f"{a.device}, {datetime.now(UTC):%Y-%m-%d}, commit {a.commit or commit()}", COLUMNS)
    for name in a.sections:
        start = time.monotonic()
        limit = min(SECTIONS[name][1] * (10 if a.tiny else 1), began + 60 * a.minutes - start)
        if limit < 10:
            rows: list[list[Any]] = [[name, "no time left", *[None] * (len(COLUMNS) - 2)]]
        else:
            words = ["--device", a.device, "--copy", str(copy), *(["--tiny"] if a.tiny else [])]
            rows, bandwidth = run_section(name, words, limit)
            copy = bandwidth or copy
        failed = failed or any(row[0] == name for row in rows)
        for row in rows:
            table.add(*row)
            print(" | ".join("" if cell is None else str(cell) for cell in row), flush=True)
        print(f"    {name}: {time.monotonic() - start:.0f} s", flush=True)
        if a.save:
            a.save.write_text(f"{PAGE}{table}\n")
    print(f"\n{table}\n", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
