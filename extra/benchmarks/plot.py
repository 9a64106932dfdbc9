"""The table and the plot of README.md, made of the record that the benchmarks keep.

    python -m extra.benchmarks --publish                     # measure, then write both
    python -m extra.benchmarks.plot runs/benchmarks.json     # write both from what was measured before

A row has a bar from 1 to how many times as fast as its best rival minigrad is, on a logarithmic scale, and a tick where
the goal is. Rows that nobody chose are one line of the table: their median, and the worst of them.
"""
from __future__ import annotations

import json
import math
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
README, PICTURE = ROOT / "README.md", ROOT / "docs" / "pictures" / "benchmarks.svg"
PLACE = re.compile(r"(?<=<!-- benchmarks -->\n).*?(?=<!-- /benchmarks -->)", re.DOTALL)

CHOSEN = ("products", "matvec", "ops", "llama", "training", "compile_time", "replay", "search")
DRAWN = {"random": "random shapes", "fused": "random fused expressions"}
LEAST, MOST = 0.5, 16.0                         # times a rival: the ends of the scale
WIDTH, LABEL, FIGURES, BAR = 940, 340, 260, 20  # pixels of the plot, of names, of figures, of a bar with the gap below
STYLE = """text { font: 13px system-ui, sans-serif; fill: #1d1f22; }
.faster { fill: #2563c9; } .slower { fill: #c2410c; } .soft { fill: #5a5e65; }
.axis { stroke: #d9d9d6; } .one { stroke: #5a5e65; } .goal { stroke: #1d1f22; stroke-width: 2; }
@media (prefers-color-scheme: dark) { text { fill: #e4e6ea; } .faster { fill: #77a9ff; } .slower { fill: #f08a5d; }
.axis { stroke: #343941; } .one { stroke: #9aa0a9; } .goal { stroke: #e4e6ea; } .soft { fill: #9aa0a9; } }"""

Row = Mapping[str, Any]         # an `Outcome` as the record has it


def rows_of(content: Row, sections: Sequence[str]) -> list[Row]:
    """What counts and has a figure, section by section."""
    found = [row for section in sections for row in content["sections"].get(section, ())]
    return [row for row in found if row["off"] is not None and not row["void"]]


def shown(value: float | None, unit: str = "") -> str:
    if value is None:
        return ""
    return (f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}") + (unit and f" {unit}")


def table(content: Row) -> str:
    """In Markdown."""
    lines = ["| | records off | on | best rival | times as fast | of the probe | goal | holds |",
             "|---|---:|---:|---:|---:|---:|---:|---|"]
    for row in rows_of(content, CHOSEN):
        rival = row["rivals"].get(row["best"])
        lines.append("| " + " | ".join([
            row["name"], shown(row["off"], row["unit"]), shown(row["on"], row["unit"]),
            f"{row['best']} {shown(rival, row['unit'])}" if row["best"] else "", shown(row["times"]),
            "" if row["share"] is None else f"{row['share']:.0%}", row["goal"],
            {True: "yes", False: "no", None: ""}[row["holds"]]]) + " |")
    lines += [line for section, name in DRAWN.items() if (line := _summary(name, rows_of(content, (section,))))]
    return "\n".join(lines)


def _summary(name: str, rows: Sequence[Row]) -> str:
    compared = [row for row in rows if row["times"] is not None]
    if not compared:
        return ""
    least = min(compared, key=lambda row: row["times"])
    middle = statistics.median(row["times"] for row in compared)
    return f"| {len(compared)} {name} | | | | {shown(middle)} in the median; the worst, {least['name']}: " \
           f"{shown(least['times'])} beside {least['best']} | | | |"


def picture(content: Row) -> str:
    """SVG: a bar for each row that has a rival."""
    rows = [row for row in rows_of(content, CHOSEN) if row["times"] is not None]
    height = 40 + BAR * len(rows)

    def x(times: float) -> float:
        place = math.log(min(max(times, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
        return LABEL + place * (WIDTH - LABEL - FIGURES)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
             f"<style>{STYLE}</style>"]
    mark = LEAST
    while mark <= MOST:
        at = f"{x(mark):.0f}"
        parts.append(f'<line class="{"one" if mark == 1 else "axis"}" x1="{at}" x2="{at}" y1="24" y2="{height}"/>'
                     f'<text class="soft" x="{at}" y="16" text-anchor="middle">{mark:g}×</text>')
        mark *= 2
    for number, row in enumerate(rows):
        y, left, right = 30 + BAR * number, *sorted((x(1), x(row["times"])))
        parts.append(f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">{escape(row["name"])}</text>'
                     f'<rect class="{"faster" if row["times"] >= 1 else "slower"}" x="{left:.0f}" y="{y}" '
                     f'width="{max(right - left, 1):.0f}" height="{BAR - 5}"/>')
        if goal := re.match(r"([\d.]+)×", row["goal"]):
            parts.append(f'<line class="goal" x1="{x(float(goal[1])):.0f}" x2="{x(float(goal[1])):.0f}" y1="{y - 1}" '
                         f'y2="{y + BAR - 4}"/>')
        figures = f"{shown(row['off'], row['unit'])}, {shown(row['times'])}× {row['best']}"
        parts.append(f'<text class="soft" x="{WIDTH - FIGURES + 10}" y="{y + 12}">{escape(figures)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def publish(content: Row, readme: Path = README, drawing: Path = PICTURE) -> None:
    """Writes the plot, and the table between README.md's marks. ValueError where nothing to show was measured."""
    if not rows_of(content, CHOSEN):
        raise ValueError(f"plot: nothing of {', '.join(CHOSEN)} was measured and counts")
    drawing.write_text(picture(content))
    text = f"{table(content)}\n\nMeasured on {content['machine']}.\n"
    readme.write_text(PLACE.sub(lambda _: text, readme.read_text()))


if __name__ == "__main__":
    publish(json.loads(Path(sys.argv[1]).read_text()))
