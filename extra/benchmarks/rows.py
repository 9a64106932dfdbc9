"""Attention, softmax and rmsnorm over rows: milliseconds against bounds, kernels, and torch where it is there."""
from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from extra.benchmarks.harness import Table, interleave, largest_error, report, tuned
from minigrad import GlobalCounters, Tensor, TinyJit

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """An op on random operands. `reference` is the definition in float64; `torch` names the rival's function."""
    name: str
    shapes: tuple[tuple[int, ...], ...]
    run: Callable[..., Tensor]
    reference: Callable[..., Array]
    rival: Callable[..., Any]
    at_most: float  # milliseconds


def softmax(x: Array) -> Array:
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def causal_attention(q: Array, k: Array, v: Array) -> Array:
    """The last two axes are (positions, head size); a position sees itself and those before it."""
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    hidden = np.triu(np.ones(scores.shape[-2:], dtype=bool), 1)
    return softmax(np.where(hidden, -np.inf, scores)) @ v


def rmsnorm(x: Array, weight: Array) -> Array:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * weight


CASES = [
    Case("causal attention 1×32×1024×64", ((1, 32, 1024, 64),) * 3,
         lambda q, k, v: q.scaled_dot_product_attention(k, v, is_causal=True), causal_attention,
         lambda F, q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), 20),
    Case("softmax 4096²", ((4096, 4096),), lambda x: x.softmax(-1), softmax, lambda F, x: F.softmax(x, -1), 4),
    Case("rmsnorm 4096×2048", ((4096, 2048), (2048,)),
         lambda x, w: x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * w, rmsnorm,
         lambda F, x, w: F.rms_norm(x, (2048,), w, 1e-5), 1.5),
]


def torch_case(case: Case, operands: list[Array]) -> Callable[[], Any] | None:
    """The same in torch; None where torch is not installed."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch
    tensors = [torch.tensor(x) for x in operands]
    return lambda: case.rival(torch.nn.functional, *tensors)


def compiled(case: Case, operands: list[Array]) -> Callable[[], Tensor]:
    tensors = [Tensor(x).realize() for x in operands]
    return TinyJit(lambda: case.run(*tensors).realize())


def kernel_count(run: Callable[[], object]) -> int:
    before = GlobalCounters.kernels
    run()
    return GlobalCounters.kernels - before


def table() -> Table:
    result = Table("rows, float32", ["op", "ms, shipped records off", "p10", "p90", "on", "at most", "kernels", "GB/s",
                                     "torch ms", "times torch", "error"])
    for case in CASES:
        generator = np.random.default_rng(0)
        operands: list[Array] = [generator.standard_normal(shape, dtype=np.float32) for shape in case.shapes]
        ours = compiled(case, operands)
        runs: dict[str, Callable[[], object]] = {"ours": tuned(False, ours), "tuned": tuned(True, ours)}
        rival = torch_case(case, operands)
        if rival is not None:
            runs["torch"] = rival
        times = interleave(runs)
        mine, theirs = times["ours"], times.get("torch")
        output = ours().numpy()
        moved = sum(x.nbytes for x in operands) + output.nbytes
        error = largest_error(output, case.reference(*(x.astype(np.float64) for x in operands)))
        result.add(case.name, mine.median * 1e3, mine.percentile(10) * 1e3, mine.percentile(90) * 1e3,
                   times["tuned"].median * 1e3, case.at_most, kernel_count(ours), moved / mine.median / 1e9,
                   theirs and theirs.median * 1e3,
                   theirs and theirs.median / mine.median, error)
    result.notes.append("GB/s counts each operand and the result once.")
    return result


if __name__ == "__main__":
    report(table())
