"""What every benchmark shares: interleaved timing, comparison of outputs, and tables that print and save themselves.

In: cases (a name and a function that runs it once). Out: a `Timing` for each, medians over rounds in which every case
ran once, so that a slow moment of the machine meets all of them alike. Nothing here judges: bounds are shown beside
the figures, and tests never assert a time.
"""
from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import Context
from minigrad.progress import Progress

# What a numpy built for many machines picks on a new processor can be its slowest path; one that knows AVX-512 is the
# rival to beat. Read by OpenBLAS when numpy is first imported: see __main__.py.
OPENBLAS_CORE = "SkylakeX"

# Seconds between two cases. The threads of OpenBLAS and of OpenMP go on spinning for up to 0.2 s after a call, on the
# cores that the next case needs.
PAUSE = 0.25


@dataclass(frozen=True)
class Timing:
    """Seconds of each repetition of one case."""
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def percentile(self, percent: float) -> float:
        return float(np.percentile(self.seconds, percent))


def interleave(cases: dict[str, Callable[[], object]], rounds: int = 15, warm: int = 3) -> dict[str, Timing]:
    """Run each case once per round; the first `warm` rounds (compiling, page faults) do not count. Before each measured
    call come a pause, so that no case meets another's threads still spinning, and one that wakes its own."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    bar = Progress("measuring")
    for turn in range(warm + rounds):
        for name, run in cases.items():
            if turn >= warm:
                time.sleep(PAUSE)
                run()
            start = time.perf_counter()
            run()
            elapsed = time.perf_counter() - start
            if turn >= warm:
                seconds[name].append(elapsed)
        bar.update((turn + 1) / (warm + rounds), f"round {turn + 1} of {warm + rounds}")
    bar.close()
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def tuned(on: bool, run: Callable[[], object]) -> Callable[[], object]:
    """The call with opts that searches found (the package's records, and the user's), or with the heuristic's alone."""
    def call() -> object:
        with Context(TUNED=int(on)):
            return run()
    return call


def largest_error(ours: np.ndarray[Any, Any], reference: np.ndarray[Any, Any]) -> float:
    """The largest difference, relative to the reference's largest magnitude; ValueError for unequal shapes."""
    if ours.shape != reference.shape:
        raise ValueError(f"outputs differ in shape: {ours.shape}, reference {reference.shape}")
    scale = float(np.abs(reference).max()) or 1.0
    return float(np.abs(ours.astype(np.float64) - reference.astype(np.float64)).max()) / scale


@dataclass
class Table:
    """Rows of named cells. A number is shown with three significant digits; None as a dash."""
    title: str
    columns: Sequence[str]
    notes: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)

    def add(self, *cells: Any) -> None:
        if len(cells) != len(self.columns):
            raise ValueError(f"table {self.title!r}: {len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(list(cells))

    def __str__(self) -> str:
        text = [list(self.columns)] + [[_show(cell) for cell in row] for row in self.rows]
        widths = [max(len(row[i]) for row in text) for i in range(len(self.columns))]
        lines = [_line(text[0], widths), "|" + "|".join("-" * (width + 2) for width in widths) + "|"]
        lines += [_line(row, widths) for row in text[1:]]
        return "\n".join([f"## {self.title}", "", *lines, *(f"\n{note}" for note in self.notes)])

    def as_dict(self) -> dict[str, Any]:
        return {"title": self.title, "notes": self.notes,
                "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows]}


def _show(cell: Any) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return str(cell)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) if i == 0 else cell.rjust(width)
              for i, (cell, width) in enumerate(zip(cells, widths, strict=True))]
    return "| " + " | ".join(padded) + " |"


def machine() -> str:
    """The processor, its usable cores and the versions that matter to a figure."""
    model = next((line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")), "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (f"{model or platform.processor() or platform.machine()}, {cores} cores, load {os.getloadavg()[0]:.1f}, "
            f"Python {platform.python_version()}, numpy {np.__version__}")


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def has_avx512() -> bool:
    return any(line.startswith("flags") and " avx512f" in line for line in _cpuinfo())


def save(tables: Sequence[Table], path: Path) -> None:
    """Write the tables as JSON, with the machine they were measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "tables": [table.as_dict() for table in tables]}, indent=1))


def report(*tables: Table) -> None:
    """Print the tables; a benchmark run as a program with a file name as its argument also saves them there."""
    print("\n\n".join([machine(), *map(str, tables)]) + "\n", flush=True)
    if len(sys.argv) > 1:
        save(tables, Path(sys.argv[1]))
