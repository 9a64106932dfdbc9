"""Rows become outcomes: each library takes its turn, in rounds, with the machine's limits probed in between.

A ratio is the median over rounds of the rival's time over ours in the same round, so that a slow moment meets both;
a share is of the probes right before and after the round.

What counts is what was measured while the machine was itself. A virtual machine may be given less of its cores, or of
its memory, than it has. So an outcome is void when a probe beside it stays below what machines of this class reach:
multiply-adds by more than a tenth below the class's ceiling; reading by more than a tenth below the nearest of the
levels between which the class's memory changes in the course of minutes. The class is told by the probes themselves,
by the ceiling of multiply-adds that is nearest; of a class that is not known, the ceilings are the best of this run.
The probes take the best of a few passes, and so do not see other programs on the cores: an outcome is void as well when
a thread waited for a core for more than a twentieth of the time.
"""
from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from extra.benchmarks.rows import Row
from extra.benchmarks.turns import OURS, THREADS, Crew, Failed

BELOW = 0.9             # of a ceiling
NEAR = 1.15             # a probe may exceed a class's ceiling by this; what does is of another class
WAITED = 0.05           # seconds that a thread waits for a core, a second
LEAST_ROUNDS, MOST_ROUNDS = 3, 9
TURN = 0.12             # seconds of one library in a round
PROBE = 0.04
TOGETHER = 0.01         # seconds between two outcomes of one measurement, at most


@dataclass(frozen=True)
class Class:
    """Two threads' multiply-adds (operations a second), and the levels of their reading (bytes a second)."""
    name: str
    fma: float
    read: tuple[float, ...]


CLASSES = (Class("two cores of Zen 5", 573e9, (53e9, 95e9)), Class("two cores of Zen 4", 236e9, (34e9, 56e9)))


@dataclass
class Outcome:
    """Figures are in `unit`; more is better but for times. Of a library without a figure, `rivals` has the reason."""
    name: str
    unit: str
    off: float | None = None                    # minigrad with the heuristic's opts, and with shipped records
    on: float | None = None
    rivals: dict[str, float | str] = field(default_factory=dict)
    best: str = ""                              # the fastest rival
    times: float | None = None                  # how many times as fast as it, with records off and on
    times_on: float | None = None
    goal: str = ""
    holds: bool | None = None                   # with records off
    share: float | None = None                  # of the probe that bounds it, with records off
    error: float | None = None                  # the largest difference to a rival, over the largest value
    void: str = ""                              # why this does not count
    notes: str = ""
    probes: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)   # the median of each round

    @property
    def rival_figure(self) -> float | None:
        figure = self.rivals.get(self.best)
        return figure if isinstance(figure, float) else None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Ceilings:
    """What machines like this one reach, as far as it is known by now."""

    def __init__(self) -> None:
        self.best = {"fma": 0.0, "read": 0.0}

    def note(self, probes: Mapping[str, list[float]]) -> None:
        self.best = {name: max(best, *probes[name]) for name, best in self.best.items()}

    @property
    def machine(self) -> Class:
        fits = [known for known in CLASSES if 1 / NEAR < self.best["fma"] / known.fma < NEAR]
        return fits[0] if fits else Class("a class of its own", self.best["fma"], (self.best["read"],))

    def void(self, probes: Mapping[str, list[float]], bound: str) -> str:
        """Why a run with these probes does not count; "" if it does. What multiplies is judged by its probe alone."""
        known, reasons = self.machine, []
        levels = {"fma": (known.fma,)} | ({} if bound == "fma" else {"read": known.read})
        for name, ceilings in levels.items():
            found = statistics.median(probes[name])
            ceiling = min(ceilings, key=lambda level: abs(math.log(level / found)))
            if found < BELOW * ceiling:
                reasons.append(f"{name} {found / 1e9:.0f} of {ceiling / 1e9:.0f}")
        return ", ".join(reasons)


def measure(row: Row, crew: Crew, ceilings: Ceilings, budget: float = 8.0) -> Outcome:
    """A row's outcome. `budget` is in seconds, for the rounds; three of them are run in any case."""
    outcome = Outcome(row.name, row.speed, goal=str(row.goal))
    ready: dict[str, dict[str, Any]] = {}
    for name in (*OURS, *row.rivals):
        try:
            ready[name] = crew.ask(name, do="prepare", case=dict(row.case))
        except Failed as reason:
            outcome.rivals[name] = str(reason)
    if (ours := ready.get(OURS[0])) is None:
        outcome.void = f"minigrad: {outcome.rivals.pop(OURS[0])}"
        return outcome
    outcome.notes = ", ".join(f"{value:g} {name}" for name, value in ready.get(OURS[1], ours)["facts"].items())
    errors = {name: error(answer["values"], ours["values"]) for name, answer in ready.items()}
    outcome.error = max((value for name, value in errors.items() if name != OURS[0]), default=None)
    if outcome.error is not None and not outcome.error <= row.tolerance:
        outcome.void = "results differ: " + ", ".join(f"{name} {e:.1e}" for name, e in errors.items() if e)
    if not ready.get(OURS[1], {}).get("facts", {}).get("records"):
        ready.pop(OURS[1], None)        # it would be the same code
    waited = _rounds(list(ready), crew, outcome, budget)
    for name in outcome.seconds:
        crew.ask(name, do="drop")
    if OURS[0] not in outcome.seconds:
        outcome.void = f"minigrad: {outcome.rivals.pop(OURS[0])}"
        return outcome
    ceilings.note(outcome.probes)
    busy = f"cores in use by others for {waited:.0%} of the time" if waited > WAITED else ""
    outcome.void = outcome.void or busy or ceilings.void(outcome.probes, row.bound)
    return judge(outcome, row)


def _rounds(names: list[str], crew: Crew, outcome: Outcome, budget: float) -> float:
    """Every library once a round, each time beginning with another; one that fails is out. How much of its time the
    unluckiest of them waited for a core, in the median round."""
    end, taken, waited = time.monotonic() + budget, 0, {name: list[float]() for name in names}
    outcome.probes, outcome.seconds = {"read": [], "fma": []}, {name: [] for name in names}

    def probe() -> None:
        for name, value in crew.ask(OURS[0], do="probe", seconds=PROBE).items():
            outcome.probes[name].append(value)
    probe()
    while taken < LEAST_ROUNDS or (taken < MOST_ROUNDS and time.monotonic() < end):
        first = taken % len(names)
        for name in names[first:] + names[:first]:
            try:
                answer = crew.ask(name, do="run", seconds=TURN)
            except Failed as reason:
                outcome.rivals[name] = str(reason)
                names.remove(name)
                del outcome.seconds[name]
                continue
            outcome.seconds[name].append(statistics.median(answer["times"]))
            waited[name].append(answer["waited"] / int(THREADS))
        if OURS[0] not in names:
            break
        probe()
        taken += 1
    return max((statistics.median(waited[name]) for name in names if waited[name]), default=0.0)


def probed(outcomes: Iterable[Outcome], crew: Crew, ceilings: Ceilings) -> Iterator[Outcome]:
    """Outcomes that were measured elsewhere, void by the probes right before and after. Those that come together were
    measured together."""
    def probe() -> dict[str, float]:
        return crew.ask(OURS[0], do="probe", seconds=PROBE)
    before = after = probe()
    start = time.monotonic()
    for outcome in outcomes:
        if time.monotonic() > start + TOGETHER:
            before, after = after, probe()
        outcome.probes = {name: [before[name], after[name]] for name in before}
        ceilings.note(outcome.probes)
        outcome.void = outcome.void or ceilings.void(outcome.probes, "")
        yield outcome
        start = time.monotonic()


def judge(outcome: Outcome, row: Row) -> Outcome:
    """Figures, ratios and whether the goal holds, of the seconds of each round."""
    figure = {name: _figure(statistics.median(times), row) for name, times in outcome.seconds.items() if times}
    outcome.off = figure.get(OURS[0])
    outcome.on = figure.get(OURS[1])
    measured = {name: statistics.median(times) for name, times in outcome.seconds.items() if name not in OURS and times}
    outcome.rivals |= {name: figure[name] for name in measured}
    outcome.best = min(measured, key=lambda name: measured[name], default="")
    if outcome.best:
        outcome.times, outcome.times_on = (_ratio(outcome, name) for name in OURS)
    if row.bound and OURS[0] in outcome.seconds:
        limits = map(max, pairwise(outcome.probes[row.bound]))      # before and after each round
        outcome.share = statistics.median(row.billions * 1e9 / seconds / limit
                                          for seconds, limit in zip(outcome.seconds[OURS[0]], limits))
    enough = [outcome.times is not None and outcome.times >= row.goal.times,
              bool(row.goal.share) and outcome.share is not None and outcome.share >= row.goal.share]
    outcome.holds = any(enough) if outcome.times is not None or row.goal.share else None
    return outcome


def _ratio(outcome: Outcome, ours: str) -> float | None:
    pairs = zip(outcome.seconds[outcome.best], outcome.seconds.get(ours, ()))
    return statistics.median([theirs / mine for theirs, mine in pairs]) if outcome.seconds.get(ours) else None


def _figure(seconds: float, row: Row) -> float:
    return row.work / seconds if row.work else seconds * 1e3


def error(values: list[float], reference: list[float]) -> float:
    """The largest difference, relative to the reference's largest magnitude; infinity where shapes differ."""
    if len(values) != len(reference):
        return math.inf
    ours, theirs = np.array(values), np.array(reference)
    return float(np.abs(ours - theirs).max() / (np.abs(theirs).max() or 1.0))


def limited(name: str, unit: str, figures: Mapping[str, float | str], most: float) -> Outcome:
    """An outcome whose goal is a number that the figure may reach; less is better."""
    rivals = dict(figures)
    own = rivals.pop(OURS[0])
    outcome = Outcome(name, unit, rivals=rivals, goal=f"≤ {most:g} {unit}")
    if not isinstance(own, float):
        outcome.void = own
        return outcome
    outcome.off, outcome.holds = own, own <= most
    measured = {rival: figure for rival, figure in rivals.items() if isinstance(figure, float)}
    if measured:
        outcome.best = min(measured, key=lambda rival: measured[rival])
        outcome.times = measured[outcome.best] / own if own > 0 else None
    return outcome
