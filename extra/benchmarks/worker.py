"""A process that runs what it is told, a line of JSON at a time: one library, alone with its threads and its memory.

    python -m extra.benchmarks.worker torch

In: {"do": "prepare", "case": ...}, {"do": "run", "seconds": 0.1}, {"do": "probe"} or {"do": "drop"}. Out: a line each,
{"error": ...} where it did not work.
"""
from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import sys
import time
from typing import Any

from extra.benchmarks.peers import NotOffered, Work, sampled

WARM = 3            # calls before any that counts: recording, compiling, page faults
MOST_RUNS = 200
PARENT_DIES = 1     # PR_SET_PDEATHSIG of Linux


class Worker:
    def __init__(self, name: str) -> None:
        self.library = importlib.import_module(f"extra.benchmarks.peers.{name}")
        self.work: Work | None = None
        self.last = 0.0     # seconds of the latest run

    def prepare(self, case: dict[str, Any]) -> dict[str, Any]:
        """Make the work and run it until it is warm; some of the values that it computed."""
        make = self.library.KINDS.get(case["kind"])
        if make is None:
            raise NotOffered(f"nothing for {case['kind']}")
        start = time.perf_counter()
        self.work = make(case)
        for _ in range(WARM):
            output = self._once()
        return {"values": sampled(self.work.values(output)), "facts": dict(self.work.facts()),
                "seconds": time.perf_counter() - start}

    def _once(self) -> Any:
        assert self.work is not None
        start = time.perf_counter()
        output = self.work.run()
        self.last = time.perf_counter() - start
        return output

    def run(self, seconds: float) -> dict[str, Any]:
        """Seconds of each of as many calls as fit the time, one at least. A short one is run once more before, which
        wakes the threads and warms the caches."""
        assert self.work is not None
        if self.last < seconds:
            self._once()
        times: list[float] = []
        start, delay = time.perf_counter(), waited()
        while not times or (time.perf_counter() < start + seconds and len(times) < MOST_RUNS):
            self._once()
            times.append(self.last / self.work.copies)
        return {"times": times, "waited": (waited() - delay) / (time.perf_counter() - start)}

    def probe(self, seconds: float) -> dict[str, Any]:
        return dict(self.library.probe(seconds))

    def drop(self) -> dict[str, Any]:
        self.work = None
        gc.collect()
        return {}


def waited() -> float:
    """Seconds that this process's threads were ready to run and found no core free; 0 where the system does not say."""
    total = 0
    with contextlib.suppress(OSError):
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/schedstat") as file:
                total += int(file.read().split()[1])
    return total / 1e9


def main() -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PARENT_DIES, signal.SIGKILL)    # it may be standing still when its parent goes
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)               # libraries may print
    worker: Worker | None = None
    for line in sys.stdin:
        order = json.loads(line)
        try:
            worker = worker or Worker(sys.argv[1])
            answer = getattr(worker, order.pop("do"))(**order)
        except NotOffered as error:
            answer = {"error": str(error)}
        except Exception as error:  # whatever a library raises is a cell of the table, and its text the reason
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
