"""What benchmarks print: tables of named rows, the machine that they were measured on, and how far results differ."""
from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


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


def report(*tables: Table) -> None:
    print("\n\n".join([machine(), *map(str, tables)]) + "\n", flush=True)
