"""Libraries in processes of their own that take turns: whoever is not asked stands still.

A process that waits for its turn is stopped (SIGSTOP), and its threads with it: those of OpenMP and OpenBLAS go on
spinning for a while after a call, on the cores that the next one needs.
"""
from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from extra.benchmarks.environment import PYTHON

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 240.0    # seconds for one answer
THREADS = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)

# Rivals keep the memory that they free, as we do: no call pays for fresh pages.
WARM_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(1 << 26)}
OPENMP = {"OMP_NUM_THREADS": THREADS, "OMP_PROC_BIND": "true"}


@dataclass(frozen=True)
class Peer:
    """`library` names a module of extra/benchmarks/peers; `needs` the package without which it is not there."""
    library: str
    needs: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


PEERS = {
    "records off": Peer("minigrad", environment={"TUNED": "0"}),
    "records on": Peer("minigrad", environment={"TUNED": "1"}),
    # What a numpy built for many machines picks on a new processor can be its slowest path.
    "OpenBLAS": Peer("numpy", "numpy", {"OPENBLAS_NUM_THREADS": THREADS, "OPENBLAS_CORETYPE": "SkylakeX",
                                        **WARM_MEMORY}),
    "torch": Peer("torch", "torch", {**OPENMP, **WARM_MEMORY}),
    "torch.compile": Peer("torch", "torch", {**OPENMP, **WARM_MEMORY, "COMPILE": "1"}),
    "llama.cpp": Peer("llama_cpp", "llama_cpp", OPENMP),
    "tinygrad": Peer("tinygrad", "tinygrad", {"CPU_COUNT": THREADS, "HALF": "0"}),
}
OURS = ("records off", "records on")


class Failed(Exception):
    """Why there is no figure."""


class Process:
    """A peer at work. It runs only inside of `ask`."""

    def __init__(self, peer: Peer, more: Mapping[str, str] | None = None) -> None:
        python = Path(sys.executable) if not peer.needs else PYTHON
        if not python.exists():
            raise Failed(f"{peer.needs} is not installed: `make bench` makes its environment")
        environment = {**os.environ, "OMP_NUM_THREADS": THREADS, **peer.environment, **(more or {})}
        environment["PATH"] = f"{python.parent}{os.pathsep}{environment.get('PATH', '')}"
        self.process = subprocess.Popen([str(python), "-m", "extra.benchmarks.worker", peer.library], cwd=ROOT,
                                        env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=None if os.environ.get("DEBUG") else subprocess.DEVNULL,
                                        start_new_session=True)

    def ask(self, patience: float = PATIENCE, **order: Any) -> dict[str, Any]:
        """The answer. Failed, with the reason, where there is none."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self._signal(signal.SIGCONT)
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            ready, _, _ = select.select([self.process.stdout], [], [], patience)
            line = self.process.stdout.readline() if ready else ""
        except OSError as error:
            raise Failed(str(error)) from None
        if not line:
            self.close()
            raise Failed("it died" if ready else f"it took longer than {patience:.0f} s")
        self._signal(signal.SIGSTOP)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def _signal(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def close(self) -> None:
        self._signal(signal.SIGKILL)
        self.process.wait()


class Crew:
    """Processes by peer's name, started when they are first asked, ended together."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self.environment = environment
        self.processes: dict[str, Process] = {}

    def ask(self, name: str, **order: Any) -> dict[str, Any]:
        process = self.processes.get(name)
        if process is None or process.process.poll() is not None:
            process = self.processes[name] = Process(PEERS[name], self.environment)
        return process.ask(**order)

    def close(self) -> None:
        for process in self.processes.values():
            process.close()
        self.processes.clear()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()
