"""Beam search over lists of opts: the flags BEAM and BEAM_BUDGET, and `tune`.

In: the kernels of a schedule that no search of this width has seen. Out: records of what was better than the
heuristic, written as they are found. Each kernel's search goes in rounds: the best lists so far are changed in one
step each, a model orders what comes out, the first are compiled together, compared with the interpreter and timed
beside the heuristic's kernel. All kernels share one worker process and one budget of time; the next round goes to the
kernel that has the most seconds at stake for those already spent on it.

The fastest of a round is no more than a suspect: of many times on a busy machine the least is luck. It is accepted
after a duel, in which it runs in turns with the heuristic's kernel and the best so far, and has to win in the median
of the rounds by more than GAIN and in most of them at all. At the end all winners together have to be faster than the
heuristic's kernels inside of the schedule that they are of; those with the least at stake are given up until they are.
"""
from __future__ import annotations

import heapq
import itertools
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from ..codegen.cost import bytes_moved, operations
from ..codegen.pipeline import finish, lower_kernel
from ..engine import store, tracefile
from ..helpers import BEAM, BEAM_BUDGET, DEBUG, Context
from ..progress import Progress
from ..renderer.base import ProgramSpec
from ..runtime.device import Device, get_device
from ..uops import UOp
from ..uops.symbolic import ssimplify
from .measure import LIMIT, OutOfTime, Stuck, Times, Worker
from .model import estimate
from .moves import Candidate, Opts, replay, starts, steps
from .records import Database, Record, database, machine_of
from .together import ratios

BATCH = 12                  # candidates of a round, besides the heuristic's
PATIENCE = 2                # rounds without a gain that end a search, besides one for each of the beam
GAIN = 0.97                 # of the best time so far: what counts as a gain
DUEL = 15, 41               # rounds of the comparison that decides, at least and at most
DUEL_SECONDS = 0.5          # for the heuristic's kernel alone, where that is enough for so many rounds
WINS = 0.75                 # of these rounds that a challenger has to win
LAST = 0.1                  # of the time that is left for the winners together
TOGETHER = 0.99             # of the time of the schedule with the heuristic's kernels: less is not worth the doubt
DRAW = BATCH                # steps away from one candidate in one round
EXPAND = 0.3                # seconds for taking steps in one round, or as many as its measuring took
SHARE = 0.5                 # of the time left that the kernels of one schedule may take: others will come
MOST_TEXT = 200_000         # characters of a source: compilers take minutes over more

Result = TypeVar("Result")
_spent = [0.0]              # seconds that this process has searched


class Search:
    """The search for one kernel: `round` after `round`, with the best so far in `opts` and `ratio` at any moment."""

    def __init__(self, ast: UOp, device: Device, beam: int, records: Database, worker: Worker) -> None:
        self.ast, self.device, self.beam, self.records, self.worker = ast, device, beam, records, worker
        self.kernel = store.structure(ast)
        self.rng = random.Random(self.kernel)
        self.opts: Opts | None = None
        self.ratio, self.seconds = 1.0, 0.0             # of the best; of the heuristic
        self.name = ""
        self.tried = self.stale = 0
        self.uses, self.spent = 1, 0.0                  # launches of the kernel; seconds of search
        # operations, and as many for a byte as machines do in the time it takes: before anything is measured
        self.work = ssimplify(operations(ast) + 8 * bytes_moved(ast))
        self.work = self.work if isinstance(self.work, int) else self.work.vmax
        self.ended = False
        self.measured: list[tuple[float, int, Candidate]] = []      # ratio, number
        self.duels = {0}                                            # numbers of those that were in one
        self.leaving: dict[int, Iterator[Candidate]] = {}           # steps not taken yet, by number
        self.waiting: list[tuple[float, int, Candidate]] = []       # a heap by what the model expects
        self.seen: dict[tuple[object, ...], int] = {}               # nests by number, in the order they were met
        self.measuring = 0.0                                        # seconds of the last round

    def round(self) -> None:
        """One batch: candidates made, measured, and a record written if one is better. OutOfTime."""
        try:
            if not self.seen:
                self._begin()
            self._expand()
            batch = [heapq.heappop(self.waiting)[2] for _ in range(min(BATCH, len(self.waiting)))]
            before = self.ratio
            if batch:
                self._measure(batch)
            self.stale = self.stale + 1 if self.ratio > before * GAIN else 0
            if not self.ended and self.stale >= PATIENCE + self.beam:
                self._confirm()
                self._end()
        except Stuck as stuck:      # the kernel's inputs or right results cannot be made
            self._say(f"cannot be searched: {stuck}")
            self._end()

    def _begin(self) -> None:
        """The starting points, and what an earlier search found."""
        first, *others = starts(self.ast, self.device.target)
        known = self.records.best(self.kernel, self.device.target)
        if known is not None and known.opts is not None:
            again = replay(Candidate((), first.stages[:1], first.most_nodes), known.opts, self.device.target)
            others = [again, *others] if again is not None else others
        self.seen[first.key] = 0
        self.heuristic = first
        self.measured.append((1.0, 0, first))
        for candidate in others:
            self._wait(candidate, 0.0)

    def _wait(self, candidate: Candidate, expected: float) -> None:
        if candidate.key not in self.seen:
            self.seen[candidate.key] = number = len(self.seen)
            heapq.heappush(self.waiting, (expected, number, candidate))

    def _expand(self) -> None:
        """Some more steps away from each of the best `beam` candidates: their time as the model changes it."""
        until = min(time.monotonic() + max(EXPAND, self.measuring), self.worker.deadline)
        for ratio, number, candidate in sorted(self.measured, key=lambda m: m[:2])[:self.beam]:
            if len(self.measured) == 1 and self.waiting:
                return                  # the other starting points first: they say where to go on
            if number not in self.leaving:
                self.leaving[number] = steps(candidate, self.device.target, self.rng)
            base = max(estimate(candidate.loops, self.device.target), 1e-12)
            for new in itertools.islice(self.leaving[number], DRAW):
                self._wait(new, ratio * estimate(new.loops, self.device.target) / base)
                if time.monotonic() > until:
                    return

    def _spec(self, candidate: Candidate) -> ProgramSpec | None:
        try:
            spec = self.device.render(finish(self.ast, candidate.loops))
        except (ValueError, KeyError, IndexError, AssertionError, RecursionError) as error:
            self._drop(candidate, f"lowering: {type(error).__name__}: {error}")
            return None
        return spec if len(spec.source) <= MOST_TEXT else None

    def _drop(self, candidate: Candidate, why: str) -> None:
        self._say(f"dropped, {why}: {', '.join(map(str, candidate.opts))}")
        self.records.add(Record(self.kernel, machine_of(self.device.target), self.name, candidate.opts, dropped=why))

    def _measure(self, batch: Sequence[Candidate], rounds: int = 3) -> None:
        """Times a batch beside the heuristic's kernel; the best challenges the best so far."""
        bad = self.records.dropped(self.kernel, self.device.target)
        began = time.monotonic()
        trying = {self.seen[c.key]: c for c in (self.heuristic, *batch) if c.opts not in bad}
        times = self._times(trying, rounds)
        self.tried += len(trying) - 1
        self.measured += [(min(seconds) / min(times[0]), number, trying[number])
                          for number, seconds in times.items() if number]
        ratio, number, challenger = min((m for m in self.measured if m[1] not in self.duels), key=lambda m: m[:2],
                                        default=(1.0, 0, self.heuristic))
        if ratio < self.ratio * GAIN:
            self._challenge(number, challenger)
        self.measuring = time.monotonic() - began

    def _times(self, candidates: dict[int, Candidate], rounds: int) -> dict[int, Times]:
        """Seconds by number, the heuristic's under 0; nothing if that one fails."""
        specs = {number: spec for number, c in candidates.items() if (spec := self._spec(c)) is not None}
        if 0 in specs:
            self.name = specs[0].name
        times, dropped = self.worker.measure((self.ast, self.device.name), specs, rounds) if 0 in specs else ({}, {})
        if 0 in times:
            for number, why in dropped.items():
                self._drop(candidates[number], why)
            self.seconds = min(times[0])
            return times
        # a mistake in the compiler, or a device that computes nothing: not to be remembered
        self._say(f"the heuristic's kernel cannot be compared with: {dropped.get(0, 'it was not timed')}")
        self.ended = True
        return {}

    def _challenge(self, number: int, challenger: Candidate) -> None:
        """The challenger takes the place of the best so far if it wins against it."""
        self.duels.add(number)
        best, = [(n, c) for _, n, c in self.measured if c.opts == self.opts][:1] or [(0, self.heuristic)]
        ratio, won = self._duel(number, challenger, *best)
        self.measured = [(ratio if n == number else r, n, c) for r, n, c in self.measured]
        if won:
            beaten, self.opts, self.ratio = self.opts, challenger.opts, round(ratio, 3)
            self._record(beam=0)
            if beaten is not None:      # its record must not outlive this one's, should that not win again
                self._drop(best[1], "another was faster")

    def _duel(self, number: int, challenger: Candidate, other: int, best: Candidate) -> tuple[float, bool]:
        """(its time over the heuristic's, whether it won against both) of a challenger in turns with the best so far
        and the heuristic's kernel. Times of one round are compared, so that neither a moment's luck nor a slow minute
        of the machine decides.
        """
        rounds = max(DUEL[0], min(DUEL[1], int(DUEL_SECONDS / (self.seconds + 1e-3))))
        times = self._times({0: self.heuristic, other: best, number: challenger}, rounds)
        if not times or len(times.get(number, ())) < len(times[0]):
            return 1.0, False           # it failed, or was left early
        ratio = statistics.median(a / b for a, b in zip(times[number], times[0]))
        ratios = [a / b for a, b in zip(times[number], times.get(other, times[0]))]
        return ratio, max(ratio, statistics.median(ratios)) < GAIN and sum(r < 1 for r in ratios) >= WINS * len(ratios)

    def _confirm(self) -> None:
        """The winner of many duels may have been lucky in one: it has to win once more."""
        for _, number, candidate in [m for m in self.measured if m[2].opts == self.opts][:1]:
            ratio, won = self._duel(number, candidate, 0, self.heuristic)
            if won:
                self.ratio = round(max(ratio, self.ratio), 3)
            elif not self.ended:
                self._drop(candidate, "it did not win again")
                self.opts, self.ratio = None, 1.0

    def _record(self, beam: int) -> None:
        self.records.add(Record(self.kernel, machine_of(self.device.target), self.name, self.opts, self.ratio, beam))

    def _end(self) -> None:
        self.ended = True
        self._record(self.beam)
        self._say(f"{self.ratio:.2f} of the heuristic's time, {self.tried} tried")

    @property
    def stake(self) -> float:
        """Seconds of a schedule that the best so far is expected to save."""
        return self.uses * self.seconds * (1 - self.ratio)

    def give_up(self) -> None:
        """The best is no faster where it is used."""
        for candidate in [m[2] for m in self.measured if m[2].opts == self.opts][:1]:
            self._drop(candidate, "no faster among the others")
        self.opts, self.ratio = None, 1.0
        self._record(self.beam if self.ended else 0)

    def _say(self, text: str) -> None:
        if DEBUG.value >= 2:
            print(f"BEAM {self.name}: {text}")


def search(kernels: Sequence[tuple[UOp, str]], beam: int, budget: float, records: Database | None = None,
           limit: float = LIMIT) -> list[Search]:
    """Searches for the kernels (AST, device name) that no search of this width has ended for, for `budget` seconds.

    The more often a kernel stands in the list, the more of the time it gets. An interrupt leaves what was found.
    """
    records = database() if records is None else records
    records.refresh()
    start = time.monotonic()
    worker = Worker(start + (1 - LAST) * budget, limit)
    uses = Counter(kernels)
    found: list[Search] = []
    for (ast, name), count in uses.items():
        device = get_device(name)
        best = None if device.interprets else records.best(store.structure(ast), device.target)
        if not device.interprets and (best is None or best.beam < beam):
            found.append(Search(ast, device, beam, records, worker))
            found[-1].uses = count
    bar = Progress("searching")
    try:
        while (left := [one for one in found if not one.ended]) and time.monotonic() < start + (1 - LAST) * budget:
            # first a round for each, large ones first, then the most at stake
            one = max(left, key=lambda s: (not s.seen, s.uses * s.seconds * s.ratio / max(s.spent, 1e-3),
                                           s.uses * s.work))
            began = time.monotonic()
            bar.update((began - start) / budget, f"{len(found) - len(left)} of {len(found)} kernels done, "
                       f"{one.name or 'next'}: {one.ratio:.2f} of the heuristic's time, {one.tried} tried")
            try:
                one.round()
            finally:
                one.spent += time.monotonic() - began
    except OutOfTime:
        pass
    finally:
        bar.close()
        worker.stop()
    try:
        _together(kernels, found)
    finally:
        for one in found:
            if (trace := tracefile.current()) is not None and one.seconds:
                trace.searched(one.ast, [(c.opts, ratio * one.seconds) for ratio, _, c in one.measured])
        _spent[0] += time.monotonic() - start
    return found


def _together(kernels: Sequence[tuple[UOp, str]], found: Sequence[Search]) -> None:
    """The winners have to win inside of the schedule; until they do, the half with the least at stake is given up."""
    for name in dict.fromkeys(one.device.name for one in found):
        device, ours = get_device(name), {one.ast: one for one in found if one.device.name == name}
        winners = sorted((one for one in ours.values() if one.opts is not None), key=lambda one: one.stake)
        if len(ours) < 2 or not winners:
            continue            # alone it has won already
        order = [ast for ast, where in kernels if where == name and ast in ours]
        specs = [device.render(lower_kernel(ast, device.target, opts)) for ast, one in ours.items()
                 for opts in (None, one.opts)]
        programs = device.compile(specs)
        heuristic, searched = dict(zip(ours, programs[::2])), dict(zip(ours, programs[1::2]))
        while winners:
            rounds = ratios(device, order, searched, heuristic)
            if statistics.median(rounds) < TOGETHER and sum(r < 1 for r in rounds) >= WINS * len(rounds):
                break
            for one in winners[:-(-len(winners) // 2)]:
                one.give_up()
                searched[one.ast] = heuristic[one.ast]
            winners = [one for one in winners if one.opts is not None]


def search_within_budget(kernels: Sequence[tuple[UOp, str]]) -> set[UOp]:
    """What BEAM=n does before kernels are compiled; a process searches for BEAM_BUDGET seconds in all. The ASTs for
    which something better was found.
    """
    left = SHARE * (BEAM_BUDGET.value - _spent[0])
    return {one.ast for one in search(kernels, BEAM.value, left) if one.opts is not None} if left > 0 else set()


def tune(function: Callable[..., Result], *args: Any, beam: int = 4, budget: float = 60.0) -> Result:
    """Calls the function, searching for the kernels that it runs: `tune(model, x, budget=30)`.

    Later calls, in this process and in others, use what was found; a jitted function that was recorded before goes on
    as it was until its `reset()`. ValueError: a width or a budget that is not positive.
    """
    if beam < 1 or budget <= 0:
        raise ValueError(f"tune: beam={beam}, budget={budget}; both must be positive")
    with Context(BEAM=beam, BEAM_BUDGET=int(_spent[0] + budget + 0.999)):
        return function(*args)
