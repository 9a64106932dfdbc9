"""The table and the plot of README.md, made of what the benchmarks measured.

    python -m extra.benchmarks --publish                 # measure, then write both
    python -m extra.benchmarks.plot runs/bench.json      # write both from what `--json` saved

Each row is a figure, the share of the machine's bound that it is, and how it compares with a rival in the same run.
"""
from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
README, PICTURE = ROOT / "README.md", ROOT / "docs" / "pictures" / "benchmarks.svg"
PLACE = re.compile(r"(?<=<!-- benchmarks -->\n).*?(?=<!-- /benchmarks -->)", re.DOTALL)

WIDTH, LABEL, BAR = 760, 250, 20                # pixels of the plot, of its names, of a bar with the gap below it
STYLE = """text { font: 13px system-ui, sans-serif; fill: #1d1f22; } .ours { fill: #2563c9; } .rival { fill: #b9bec6; }
.axis { stroke: #d9d9d6; } .soft { fill: #5a5e65; }
@media (prefers-color-scheme: dark) { text { fill: #e4e6ea; } .ours { fill: #77a9ff; } .rival { fill: #5a616c; }
.axis { stroke: #343941; } .soft { fill: #9aa0a9; } }"""


@dataclass(frozen=True)
class Shown:
    """Which columns of a table are shown: how they name a row, the figure, and the share of a bound."""

    title: str
    name: str
    figure: str
    share: str
    bound: str
    rival: str = ""         # as in "times OpenBLAS"


SHOWN = (Shown("decode, one sequence", "decode, {shape} {weights}, records {shipped records}", "tokens/s", "of probe",
               "read bandwidth"),
         Shown("matrix product, float32", "matrix product, {product}", "GFLOP/s", "of FMA peak", "FMA peak",
               "OpenBLAS"))


@dataclass(frozen=True)
class Bar:
    """A row; `share` and `rival_share` are of the bound, from 0 to 1."""

    name: str
    figure: str
    bound: str
    share: float
    rival: str = ""
    rival_share: float | None = None


def bars(results: Iterable[dict[str, Any]]) -> list[Bar]:
    """The rows to show, of results as `--json` saves them."""
    tables = {table["title"]: table["rows"] for result in results for table in result["tables"]}
    found = []
    for shown in SHOWN:
        for row in tables.get(shown.title, ()):
            share = float(row[shown.share].partition("%")[0]) / 100
            times = row.get(f"times {shown.rival}")
            found.append(Bar(shown.name.format_map(row), f"{row[shown.figure]:,.0f} {shown.figure}", shown.bound, share,
                             shown.rival if times else "", share / times if times else None))
    return found


def table(rows: Iterable[Bar]) -> str:
    """In Markdown."""
    lines = ["| | minigrad | of the bound | beside |", "|---|---:|---:|---|"]
    for bar in rows:
        beside = "" if not bar.rival_share else f"{bar.share / bar.rival_share:.2f} times {bar.rival}"
        lines.append(f"| {bar.name} | {bar.figure} | {bar.share:.0%} of {bar.bound} | {beside} |")
    return "\n".join(lines)


def picture(rows: list[Bar]) -> str:
    """A bar for each row, from 0 to 100% of its bound, and a grey one for its rival: SVG."""
    height = 44 + BAR * sum(2 + bool(bar.rival) for bar in rows)
    scale = (WIDTH - LABEL - 130) / 100
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
             f"<style>{STYLE}</style>"]
    for percent in range(0, 101, 25):
        x = LABEL + percent * scale
        parts.append(f'<line class="axis" x1="{x:.0f}" x2="{x:.0f}" y1="24" y2="{height}"/>'
                     f'<text class="soft" x="{x:.0f}" y="16" text-anchor="middle">{percent}%</text>')
    y = 34
    for bar in rows:
        for kind, share, text in (("ours", bar.share, f"{bar.figure}, {bar.share:.0%} of {bar.bound}"),
                                  ("rival", bar.rival_share, bar.rival)):
            if share is None:
                continue
            width = min(share, 1.2) * 100 * scale
            parts.append(f'<rect class="{kind}" x="{LABEL}" y="{y}" width="{width:.0f}" height="{BAR - 4}"/>')
            inside = width > 300
            parts.append(f'<text x="{LABEL + (6 if inside else width + 6):.0f}" y="{y + 12}"'
                         f'{" style=" + chr(34) + "fill:#fff" + chr(34) if inside else ""}>{escape(text)}</text>')
            if kind == "ours":
                parts.append(f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">{escape(bar.name)}</text>')
            y += BAR
        y += BAR // 2
    return "\n".join([*parts, "</svg>\n"])


def publish(results: list[dict[str, Any]], readme: Path = README, drawing: Path = PICTURE) -> None:
    """Writes the plot, and the table between README.md's marks. ValueError where nothing to show was measured."""
    rows = bars(results)
    if not rows:
        raise ValueError(f"plot: none of {', '.join(shown.title for shown in SHOWN)} was measured")
    drawing.write_text(picture(rows))
    text = f"{table(rows)}\n\nMeasured on {results[0]['machine']}.\n"
    readme.write_text(PLACE.sub(lambda _: text, readme.read_text()))


if __name__ == "__main__":
    publish(json.loads(Path(sys.argv[1]).read_text()))
