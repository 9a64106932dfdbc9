"""Measure minigrad beside its peers: all of it, or the sections and rows that are named.

    python -m extra.benchmarks                          # everything: about 20 minutes
    python -m extra.benchmarks products softmax --quick
    python -m extra.benchmarks --publish                # and README.md's table and plot

A name is a section or a part of a row's name. With --json, rows that the file holds already are replaced, so that a
table can be measured in parts.
"""
from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from extra.benchmarks import compile_time, replay, search
from extra.benchmarks.harness import Table, machine
from extra.benchmarks.measure import Ceilings, Outcome, measure, probed
from extra.benchmarks.models import Models
from extra.benchmarks.plot import publish
from extra.benchmarks.random_rows import fused, shapes
from extra.benchmarks.rows import LLAMA, MATVEC, OPS, PRODUCTS, TRAINING, Row
from extra.benchmarks.turns import Crew
from minigrad.progress import Progress

SECTIONS: dict[str, tuple[str, Callable[[], Sequence[Row]]]] = {
    "products": ("matrix products and a convolution", lambda: PRODUCTS),
    "matvec": ("a matrix times a vector, from memory", lambda: MATVEC),
    "ops": ("row operations and attention", lambda: OPS),
    "llama": ("decoding and reading prompts", lambda: LLAMA),
    "training": ("training steps of GPTs, and what one reads", lambda: TRAINING),
    "random": ("forty shapes that nobody chose", shapes),
    "fused": ("ten expressions that nobody named", fused),
}
# What is not one call that is timed again and again measures itself.
OTHERS: dict[str, tuple[str, Callable[[bool], Iterable[Outcome]]]] = {
    "replay": ("what one more tiny kernel costs in a replay", replay.outcomes),
    "compile_time": ("the first token, and what the compiler takes of it", compile_time.outcomes),
    "search": ("BEAM on the 15M Llama, from nothing", search.outcomes),
}
LADDER = "ladder"
QUICK = 4               # every fourth of the random rows
BUDGET, QUICK_BUDGET = 6.0, 1.5


@dataclass(frozen=True)
class Plan:
    """The rows of a section that are wanted."""
    section: str
    rows: Sequence[Row]


def plans(names: Sequence[str], quick: bool) -> Iterator[Plan]:
    for section, (_, rows) in SECTIONS.items():
        found = [row for row in rows() if not names or section in names or any(name in row.name for name in names)]
        if quick:
            found = found[::QUICK] if section in ("random", "fused") else found
            found = [replace(row, rivals=[rival for rival in row.rivals if rival != "torch.compile"]) for row in found
                     if not row.case.get("model", "").count("1B")]
        if found:
            yield Plan(section, found)


def run_rows(plan: Plan, quick: bool, ceilings: Ceilings) -> Iterator[Outcome]:
    """A section's outcomes as they come. What was void is measured once more."""
    bar = Progress(plan.section)
    with Crew() as crew, Models() as models:
        for number, row in enumerate(plan.rows):
            bar.update(number / len(plan.rows), row.name)
            filled = models.filled(row)
            outcome = measure(filled, crew, ceilings, QUICK_BUDGET if quick else BUDGET)
            if outcome.void and outcome.off is not None and not quick:
                outcome = measure(filled, crew, ceilings, BUDGET)
            yield outcome
    bar.close()


def table(title: str, outcomes: Sequence[Outcome]) -> Table:
    """Names of figures are of the columns: minigrad's without and with shipped records, and the best rival's."""
    result = Table(title, ["what", "unit", "records off", "on", "best rival", "its figure", "times", "on ", "goal",
                           "holds", "of probe", "error", "void"])
    for one in outcomes:
        reasons = "; ".join(f"{name}: {why}" for name, why in one.rivals.items() if isinstance(why, str))
        result.add(one.name, one.unit, one.off, one.on, one.best or reasons, one.rival_figure, one.times, one.times_on,
                   one.goal, one.holds, None if one.share is None else f"{one.share:.0%}",
                   None if one.error is None else f"{one.error:.0e}", one.void)
    return result


def worst(outcomes: Sequence[Outcome], most: int = 10) -> list[Outcome]:
    """The least times as fast as a rival, least first."""
    compared = [one for one in outcomes if one.times is not None]
    return sorted(compared, key=lambda one: one.times or 0.0)[:most]


def save(path: Path, sections: dict[str, list[Outcome]]) -> dict[str, object]:
    """The file's content, with these outcomes in place of those of the same names. What is void replaces nothing that
    counted."""
    known = json.loads(path.read_text()) if path.exists() else {"sections": {}}
    for section, outcomes in sections.items():
        rows = {row["name"]: row for row in known["sections"].get(section, ())}
        rows |= {one.name: one.as_dict() for one in outcomes
                 if not one.void or rows.get(one.name, {"void": "not there"})["void"]}
        known["sections"][section] = list(rows.values())
    content: dict[str, object] = {"machine": machine(), "sections": known["sections"]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1))
    return content


def main() -> int:
    listed = {name: text for name, (text, _) in {**SECTIONS, **OTHERS}.items()}
    listed[LADDER] = "one matrix product from a Python loop to all cores, a list of opts a rung"
    parser = argparse.ArgumentParser(prog="python -m extra.benchmarks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="\n".join(f"{name:14} {text}" for name, text in listed.items()))
    parser.add_argument("names", nargs="*", metavar="NAME", help="sections, or parts of rows' names; all if none")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and rows, no large models, no torch.compile")
    parser.add_argument("--json", type=Path, metavar="FILE", default=Path("runs/benchmarks.json"),
                        help="where the record is kept (%(default)s)")
    parser.add_argument("--publish", action="store_true", help="also write the table and the plot of README.md")
    arguments = parser.parse_args()
    wanted = list(plans(arguments.names, arguments.quick))
    others = [name for name in OTHERS if not arguments.names or name in arguments.names]
    if not wanted and not others and LADDER not in arguments.names:
        parser.error(f"nothing is called {arguments.names[0]!r}; there are {', '.join(listed)}, and rows")
    ceilings, sections = Ceilings(), dict[str, list[Outcome]]()
    content = save(arguments.json, {})
    print(machine(), flush=True)
    for plan in wanted:
        done = sections.setdefault(plan.section, [])
        for outcome in run_rows(plan, arguments.quick, ceilings):
            done.append(outcome)
            content = save(arguments.json, {plan.section: [outcome]})
        print(f"\n{table(listed[plan.section], done)}", flush=True)
    for name in others:
        with Crew() as crew:
            sections[name] = list(probed(OTHERS[name][1](arguments.quick), crew, ceilings))
        content = save(arguments.json, {name: sections[name]})
        print(f"\n{table(listed[name], sections[name])}", flush=True)
    everything = [one for done in sections.values() for one in done]
    if everything:
        print(f"\n{table('the worst of them', worst(everything))}\n\nThe probes are those of {ceilings.machine.name}.")
    if LADDER in arguments.names or not arguments.names:
        subprocess.run([sys.executable, "-m", "extra.benchmarks.blas_ladder"], check=False)
    if arguments.publish:
        publish(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
