"""What one more tiny kernel costs in a captured graph, on one thread: the slope between 64 and 1024 of them."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from extra.benchmarks.harness import Table, interleave, report
from minigrad import Context, GlobalCounters, Tensor, TinyJit

SHORT, LONG = 64, 1024
AT_MOST = 0.1  # microseconds each


def chain(kernels: int) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """A captured function of `kernels` kernels, each adding one to four floats, and its argument.

    Each reads its operand back to front, out of a buffer, so that no two of them can be one kernel."""
    @TinyJit
    def run(x: Tensor) -> Tensor:
        for _ in range(kernels):
            x = (x.flip(0) + 1).contiguous()
        return x.realize()
    start = Tensor(np.zeros(4, np.float32)).realize()
    for _ in range(3):
        before = GlobalCounters.kernels
        run(start)
    if GlobalCounters.kernels - before != kernels:
        raise RuntimeError(f"a chain of {kernels} additions ran as {GlobalCounters.kernels - before} kernels")
    return run, start


def table() -> Table:
    result = Table("replay of tiny kernels, one thread",
                   ["kernels", "µs", "p10", "p90", "µs per added kernel", "at most"])
    with Context(THREADS=1):
        cases = {}
        for kernels in (SHORT, LONG):
            run, start = chain(kernels)
            cases[str(kernels)] = lambda run=run, start=start: run(start)
            if not np.array_equal(run(start).numpy(), np.full(4, kernels, np.float32)):
                raise RuntimeError(f"a chain of {kernels} additions gives {run(start).tolist()}")
        times = interleave(cases, rounds=101, warm=10)
    short, long = times[str(SHORT)], times[str(LONG)]
    slope = (long.median - short.median) / (LONG - SHORT)
    result.add(SHORT, short.median * 1e6, short.percentile(10) * 1e6, short.percentile(90) * 1e6, None, None)
    result.add(LONG, long.median * 1e6, long.percentile(10) * 1e6, long.percentile(90) * 1e6, slope * 1e6, AT_MOST)
    return result


if __name__ == "__main__":
    report(table())
