"""BEAM on the token of a small Llama: how long the search takes, and what whole tokens gain by it.

Once from nothing, once with the package's records, which leave nothing to search for. Tokens with the heuristic's
kernels and tokens with those that were found take turns in one process.
"""
from __future__ import annotations

import tempfile
from collections.abc import Iterator

from extra.benchmarks.measure import Outcome, limited
from extra.benchmarks.models import Models
from extra.benchmarks.rows import LLAMA, Row
from extra.benchmarks.turns import OURS, Crew, Failed

WIDTH, BUDGET = 4, 60
SLACK = 0.03                    # of a whole token's time: two runs of the same code differ by as much
RIVAL, RIVAL_WIDTH = "tinygrad", 2


def searched(row: Row, shipped: bool, budget: int) -> dict[str, float]:
    """Seconds of searching, and tokens a second with the heuristic's kernels and with the best that are known."""
    with tempfile.TemporaryDirectory() as folder, Crew({"CACHEDIR": folder, "TUNED": "1"}) as crew:
        case = {**row.case, "kind": "search", "shipped": shipped, "beam": WIDTH, "budget": budget}
        facts: dict[str, float] = crew.ask(OURS[0], do="prepare", case=case)["facts"]
        return facts


def rivals_search(row: Row) -> dict[str, float | str]:
    """Seconds to the first token of a process that searches, and tokens a second after it."""
    try:
        with tempfile.TemporaryDirectory() as folder, \
                Crew({"BEAM": str(RIVAL_WIDTH), "CACHEDB": f"{folder}/tinygrad.db"}) as crew:
            first = crew.ask(RIVAL, do="prepare", case=dict(row.case))["facts"]["first"]
            return {"seconds": first, "tokens": 1 / min(crew.ask(RIVAL, do="run", seconds=1.0)["times"])}
    except Failed as reason:
        return {"seconds": str(reason), "tokens": str(reason)}


def outcomes(quick: bool) -> Iterator[Outcome]:
    row = next(row for row in LLAMA if row.case["model"] == ("15M", "f32"))
    with Models() as models:
        filled = models.filled(row)
        rival = {"seconds": "not asked", "tokens": "not asked"} if quick else rivals_search(filled)
        for shipped in (True, False) if not quick else (True,):
            facts, kind = searched(filled, shipped, BUDGET), "shipped records" if shipped else "nothing"
            yield limited(f"BEAM={WIDTH}, a token of 15M f32, from {kind}", "s",
                          {OURS[0]: facts["seconds"], **({} if shipped else {RIVAL: rival["seconds"]})},
                          0.1 if shipped else BUDGET)
            one = Outcome(f"BEAM={WIDTH}, 15M f32 after it", "tokens/s", facts["heuristic"], facts["found"],
                          {RIVAL: rival["tokens"]}, goal="no slower", holds=facts["times"] >= 1 - SLACK,
                          notes=f"{facts['times']:.3f} times the heuristic's tokens/s")
            one.name += f", from {kind}"
            yield one
