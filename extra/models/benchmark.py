"""How fast a Llama runs here: load time, time to the first token, prefill, decode, and what decode's bound is.

A token reads every weight once, so decode is bound by memory: its bytes per second are compared with the read
bandwidth probed beside it, before and after. Random weights are a million random numbers, repeated to full size:
speed does not depend on values, and no float32 copy of a large model is ever made. On a GPU the roof is what a copy
reads and writes.
"""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from extra.models.checkpoint import DTYPES, build, load
from extra.models.generate import Session
from extra.models.llama import Llama, LlamaConfig
from minigrad import GlobalCounters, Tensor, TinyJit, dtypes
from minigrad.dtype import DType, round_bfloat16
from minigrad.nn.state import tensor_of
from minigrad.progress import Progress
from minigrad.runtime.device import Buffer, default_device, get_device
from minigrad.runtime.probe import read_bandwidth_now

PREFILL = 512
PATIENCE = 15.0  # seconds for prefill, and for decode, after which fewer repetitions do
TILE = 1 << 20
COPY_SECONDS, LARGEST_COPY = 1e-3, 1 << 26  # of a copy that is long enough to be the roof; float32 numbers


@dataclass
class Result:
    """What a run showed. Times in seconds, sizes in bytes."""

    name: str
    dtype: DType
    parameters: int
    load: float = 0.0
    first_token: float = 0.0
    prefill_tokens: int = 0
    prefill: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)
    bytes_per_token: int = 0
    bandwidth: list[float] = field(default_factory=list)
    kernels_per_token: int = 0
    peak_memory: int = 0

    def rows(self) -> list[tuple[str, str]]:
        """The table, line by line."""
        rates = 1 / np.array(self.tokens)
        median, low, high = np.median(rates), np.percentile(rates, 10), np.percentile(rates, 90)
        read, probed = self.bytes_per_token * median, max(self.bandwidth)
        dots = {
            dtypes.float32: "float32, accumulated in float32",
            dtypes.float16: "float32, accumulated in float32 (float16 weights are widened in registers)",
            dtypes.bfloat16: "float32; rounded to bfloat16 before products, which are summed in float32",
        }[self.dtype]
        return [
            ("model", f"{self.name}, {self.parameters / 1e6:,.1f}M parameters"),
            ("weights", self.dtype.name),
            ("activations, dot products", dots),
            ("load", f"{self.load:.2f} s"),
            ("first token, nothing compiled in this process", f"{self.first_token:.2f} s"),
            (f"prefill of {self.prefill_tokens} tokens", f"{self.prefill_tokens / min(self.prefill):,.1f} tokens/s"),
            ("decode, median (10th, 90th percentile)", f"{median:,.1f} ({low:,.1f}, {high:,.1f}) tokens/s"),
            ("weights read per token", f"{self.bytes_per_token / 1e6:,.1f} MB"),
            (
                "read bandwidth used",
                f"{read / 1e9:.1f} GB/s, {read / probed:.0%} of the {probed / 1e9:.1f} GB/s probed",
            ),
            ("kernels per token", f"{self.kernels_per_token}"),
            ("peak memory", f"{self.peak_memory / 1e6:,.0f} MB"),
        ]

    def __str__(self) -> str:
        rows = self.rows()
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)


def random_weights(config: LlamaConfig, dtype: DType, seed: int = 0) -> dict[str, Tensor]:
    """Weights of a shape at full size: one random tile, normal with deviation 0.02, repeated; norms are one."""
    rng = np.random.default_rng(seed)
    tile = bits_of(rng.standard_normal(TILE, np.float32) * np.float32(0.02), dtype)
    one = bits_of(np.ones(1, np.float32), dtype)
    weights: dict[str, Tensor] = {}
    for name, shape in config.weight_shapes.items():
        array = np.empty(shape, tile.dtype)
        flat = array.reshape(-1)
        source = one if "norm" in name else tile
        for start in range(0, flat.size, source.size):
            flat[start : start + source.size] = source[: flat.size - start]
        weights[name] = tensor_of(Buffer.from_numpy(array, dtype, default_device()))
    return weights


def bits_of(values: np.ndarray, dtype: DType) -> np.ndarray:
    """float32 values in the numpy type that holds the bits of `dtype`."""
    return round_bfloat16(values) if dtype is dtypes.bfloat16 else values.astype(dtype.np)


def weight_bytes_per_token(model: Llama, config: LlamaConfig) -> int:
    """What a token must read: every weight once, of an embedding that is not also the output matrix one row."""
    total = 0
    for name, shape in config.weight_shapes.items():
        rows = 1 if name == "embed_tokens.weight" and not config.tied else shape[0]
        total += rows * int(np.prod(shape[1:])) * model.dtype.itemsize
    return total


def benchmark_random(
    config: LlamaConfig, name: str, dtype: str = "f32", tokens: int = 64, context: int = 1024
) -> Result:
    """Benchmark a shape with random weights; the time to load is the time to make them."""
    reset_peak_memory()
    began = time.perf_counter()
    model = build(config, random_weights(config, DTYPES[dtype]), name, context=min(context, config.context))
    return benchmark(model, f"{name}, random weights", time.perf_counter() - began, tokens)


def benchmark_path(path: str, dtype: str | None = None, tokens: int = 64, context: int = 1024) -> Result:
    """Benchmark a checkpoint."""
    reset_peak_memory()
    began = time.perf_counter()
    model, _ = load(path, dtype, at_most=context)
    return benchmark(model, path, time.perf_counter() - began, tokens)


def benchmark(model: Llama, name: str, load_seconds: float, tokens: int = 64) -> Result:
    """Time a model that was just made."""
    config = model.config
    parameters = sum(int(np.prod(shape)) for shape in config.weight_shapes.values())
    result = Result(name, model.dtype, parameters, load_seconds, bytes_per_token=weight_bytes_per_token(model, config))
    rng = np.random.default_rng(0)
    session = Session(model)
    tokens = min(tokens, model.context // 2)
    result.prefill_tokens = min(PREFILL, model.context - 1)
    bar = Progress(f"benchmark {name}")

    bar.update(0.02, "first token")
    result.first_token = _seconds(lambda: session.feed([1]))
    prompt = [int(token) for token in rng.integers(0, config.vocab_size, result.prefill_tokens)]
    for turn in range(5):  # the first ones capture and compile
        bar.update(0.1 + 0.1 * turn, "prefill")
        session.rewind()
        result.prefill.append(_seconds(lambda: session.feed(prompt)))
        if turn >= 1 and sum(result.prefill) > PATIENCE:
            break
    session.rewind(min(session.position, model.context - tokens - 4))
    token = 1
    for _ in range(4):
        token = int(session.feed([token]).argmax())
    before = GlobalCounters.kernels
    session.rewind(session.position - 1)
    session.feed([token])
    result.kernels_per_token = GlobalCounters.kernels - before
    session.rewind(session.position - 4)
    result.peak_memory = peak_memory()  # before the probe takes some
    result.bandwidth.append(bandwidth())
    for i in range(tokens):
        began = time.perf_counter()
        token = int(session.feed([token]).argmax())
        result.tokens.append(time.perf_counter() - began)
        bar.update(0.6 + 0.4 * i / tokens, "decode")
        if i >= 8 and sum(result.tokens) > PATIENCE:
            break
    result.bandwidth.append(bandwidth())
    bar.update(1.0)
    bar.close()
    return result


def bandwidth() -> float:
    """The roof, probed now: bytes per second that this machine's threads read; of a GPU those that a copy moves."""
    return copy_bandwidth() if get_device(default_device()).target.has_blocks else read_bandwidth_now()


def copy_bandwidth() -> float:
    """Bytes per second that the default device reads and writes, in copies that grow until one takes a while."""
    device, count = get_device(default_device()), 1 << 14
    while True:
        source = Tensor(np.ones(count, np.float32)).realize()

        def several(copy: Callable[[], Tensor], times: int = 8) -> None:
            for _ in range(times):
                copy()
            device.synchronize()

        copy = TinyJit(lambda source=source: (source + 0.5).realize())
        several(copy)
        least = min(_seconds(lambda copy=copy: several(copy)) / 8 for _ in range(5))  # type: ignore[misc]
        if least > COPY_SECONDS or count == LARGEST_COPY:
            return 2 * 4 * count / least
        count *= 16


def reset_peak_memory() -> None:
    """Begin to count the peak anew, where the system can (Linux)."""
    get_device(default_device()).reset_memory_peak()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """The most bytes this process had resident, mapped files included; of a GPU, the most in use on it."""
    device = get_device(default_device())
    if device.target.has_blocks:
        return device.memory_peak
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
