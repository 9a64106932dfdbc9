"""What one more tiny kernel costs in a captured graph: the slope between 64 and 1024 of them, and a call's own cost."""
from __future__ import annotations

import statistics
from collections.abc import Iterator

from extra.benchmarks.measure import Outcome, error, limited
from extra.benchmarks.turns import OURS, THREADS, Crew, Failed

SHORT, LONG = 64, 1024
ROUNDS, SECONDS = 9, 0.1
# threads, floats of a kernel, µs at most. Four floats leave nothing to share; 2048 are the least that threads do share.
CHAINS = {"1 thread": (1, 4, 0.05), f"{THREADS} threads with a barrier": (int(THREADS), 2048, 0.12)}
CALL = 15.0             # microseconds of a call with its guards, at most


def _times(crew: Crew, peers: list[str], threads: int, size: int, kernels: int) -> dict[str, float | str]:
    """Seconds of a call of a chain, by peer; why there are none."""
    case = {"kind": "chain", "kernels": kernels, "threads": threads, "size": size}
    found: dict[str, list[float]] = {}
    failed: dict[str, float | str] = {}
    for name in peers:
        try:
            ready = crew.ask(name, do="prepare", case=case)
            if error(ready["values"], [float(kernels)] * len(ready["values"])) > 0:
                raise Failed(f"a chain of {kernels} additions gives {ready['values'][0]}")
            found[name] = [statistics.median(crew.ask(name, do="run", seconds=SECONDS)["times"]) for _ in range(ROUNDS)]
        except Failed as reason:
            failed[name] = str(reason)
    return {**failed, **{name: statistics.median(times) for name, times in found.items()}}


def outcomes(quick: bool) -> Iterator[Outcome]:
    """Microseconds for each added kernel, and of a call: what is left of the short chain."""
    ours = OURS[0]
    for shown, (threads, size, most) in CHAINS.items():
        peers = [ours] if threads > 1 or quick else [ours, "tinygrad"]
        with Crew() as crew:
            short, long = (_times(crew, peers, threads, size, kernels) for kernels in (SHORT, LONG))
        slopes = {name: _slope(short[name], long[name]) for name in peers}
        call, slope = short[ours], slopes[ours]
        yield limited(f"replay, each tiny kernel, {shown}", "µs", slopes, most)
        if threads == 1 and isinstance(call, float) and isinstance(slope, float):
            yield limited("replay, a call with its guards", "µs", {ours: call * 1e6 - SHORT * slope}, CALL)


def _slope(first: float | str, last: float | str) -> float | str:
    """Microseconds for each kernel that is added; the reason where a chain has no time."""
    if isinstance(first, str) or isinstance(last, str):
        return first if isinstance(first, str) else str(last)
    return (last - first) / (LONG - SHORT) * 1e6
