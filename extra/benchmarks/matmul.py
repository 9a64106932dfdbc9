"""Matrix products in float32: GFLOP/s, the share of the FMA peak probed in the same run, and OpenBLAS beside it."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from extra.benchmarks.harness import Table, Timing, interleave, largest_error, report, tuned
from minigrad import Tensor, TinyJit
from minigrad.runtime.probe import flops_now

Array = np.ndarray[Any, np.dtype[np.float32]]
# name, (M, N, K), whether the second operand is stored N × K, as the weights of a linear layer are
PRODUCTS = [("sgemm 1024³", (1024, 1024, 1024), False), ("x @ W.T 512×2048×8192", (512, 2048, 8192), True)]
AT_LEAST = 0.65  # of the FMA peak


def operands(m: int, n: int, k: int, transposed: bool) -> tuple[Array, Array]:
    generator = np.random.default_rng(0)
    shapes = ((m, k), (n, k) if transposed else (k, n))
    x, y = (generator.standard_normal(shape, dtype=np.float32) for shape in shapes)
    return x, y


def compiled(x: Array, y: Array, transposed: bool) -> Callable[[], Tensor]:
    a, b = Tensor(x).realize(), Tensor(y).realize()
    return TinyJit(lambda: (a @ (b.T if transposed else b)).realize())


def table() -> Table:
    result = Table("matrix product, float32", ["product", "ms, shipped records off", "p10", "p90", "on", "GFLOP/s",
                                               "of FMA peak", "at least", "OpenBLAS ms", "times OpenBLAS", "error"])
    for name, (m, n, k), transposed in PRODUCTS:
        x, y = operands(m, n, k, transposed)
        ours = compiled(x, y, transposed)
        rival = lambda x=x, y=y, transposed=transposed: x @ (y.T if transposed else y)
        peaks: list[float] = []
        times = interleave({"probe": lambda peaks=peaks: peaks.append(flops_now(seconds=0.05) / 1e9),
                            "ours": tuned(False, ours), "tuned": tuned(True, ours), "OpenBLAS": rival})
        _row(result, name, 2 * m * n * k, times, max(peaks), largest_error(ours().numpy(), rival()))
    result.notes.append("OpenBLAS is numpy's; OPENBLAS_CORETYPE=SkylakeX is set where the processor has AVX-512.")
    return result


def _row(result: Table, name: str, operations: int, times: dict[str, Timing], peak: float, error: float) -> None:
    ours, rival = times["ours"], times["OpenBLAS"]
    rate = operations / ours.median / 1e9
    result.add(name, ours.median * 1e3, ours.percentile(10) * 1e3, ours.percentile(90) * 1e3,
               times["tuned"].median * 1e3, rate,
               f"{rate / peak:.0%} of {peak:.0f}", f"{AT_LEAST:.0%}", rival.median * 1e3, rival.median / ours.median,
               error)


if __name__ == "__main__":
    report(table())
