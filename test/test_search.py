"""Searching for opts: what may be a candidate, what is dropped, what is remembered. No test asserts a time."""
from __future__ import annotations

import io
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cuda_cases
import numpy as np
import pytest
from kernel_cases import CASES, Case, difference, finish_specs, run

from minigrad import Context, Tensor, dtypes
from minigrad.codegen import nest
from minigrad.codegen.opts import Merge, Opt, Order, Peel, Split, Thread, Upcast, Vector
from minigrad.codegen.pipeline import lower_kernel
from minigrad.codegen.place import Place
from minigrad.engine import compile as engine
from minigrad.engine import tracefile
from minigrad.engine.store import decode, encode, structure
from minigrad.renderer.base import ProgramSpec
from minigrad.runtime.device import get_device
from minigrad.runtime.numpy import evaluate_kernel
from minigrad.search import beam, measure, moves, records, trial
from minigrad.search.beam import Search, search, tune
from minigrad.search.measure import OutOfTime, Stuck, Worker
from minigrad.search.model import estimate
from minigrad.search.records import Database, Record, export, machine_of, opt_data, opt_from, read_line
from minigrad.search.together import ROUNDS, ratios
from minigrad.target import Target
from minigrad.uops import UOp

DEVICE = get_device("CPU")
TARGET = DEVICE.target
OPTS: tuple[Opt, ...] = (Split("o1", 16), Place("p2", ("o1.0",), ((0, 1, 0), (1, 16, 0), (1, 1, 16)), along="o1.1"),
                         Vector("o1.1"), Thread("o0"))
# A kernel that never ends; where the test knows how, it sleeps (the system call `pause`) and keeps no core busy.
HANG = ('for (;;) { long a = 34; __asm__ volatile("syscall" : "+a"(a) : : "rcx", "r11", "memory"); }'
        if TARGET.arch == "x86_64" else "for (volatile long i = 0; i >= 0;) {}")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine makes no difference."""
    monkeypatch.setattr(measure, "SETUP", 600.0)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(str(tmp_path / "tuning.jsonl"))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A cache folder of its own, and no programs from before."""
    engine.forget_programs()
    with Context(CACHEDIR=str(tmp_path), TUNED=1):
        yield tmp_path
    engine.forget_programs()


def spec_of(ast: UOp, opts: tuple[Opt, ...] | None = None) -> ProgramSpec:
    return DEVICE.render(lower_kernel(ast, TARGET, opts))


def spoiled(spec: ProgramSpec, statement: str) -> ProgramSpec:
    """The kernel with a C statement at its start."""
    return replace(spec, source=spec.source.replace("{\n", "{\n" + statement + "\n", 1))


def record(kernel: str = "ab", **changes: object) -> Record:
    return replace(Record(kernel, machine_of(TARGET), "matmul", OPTS, 0.5, 4), **changes)  # type: ignore[arg-type]


# ---- candidates

@pytest.mark.parametrize("name", ["matmul", "linear", "matmul_softmax", "symbolic_attention", "cumulative_sum"])
def test_steps_lead_to_kernels_that_compute_the_same(name: str) -> None:
    case, rng = CASES[name], random.Random(name)
    found = moves.starts(case.ast, TARGET)
    for _ in range(2):      # two steps away
        found += itertools.islice(moves.steps(rng.choice(found), TARGET, rng), 6)
    specs = [finish_specs(DEVICE, lower_kernel(case.ast, TARGET, candidate.opts)) for candidate in found]
    for candidate, program in zip(found, DEVICE.compile(specs)):
        for variables in case.bindings[-1:]:
            wrong = difference(case, run(program, case, variables), case.expected(variables))
            assert wrong is None, f"{candidate.opts}: {wrong}"


@pytest.mark.parametrize("target", [TARGET, cuda_cases.TARGET], ids=lambda target: target.name)
def test_the_heuristic_comes_first_and_no_start_twice(target: Target) -> None:
    for name in ("matmul", "attention", "elementwise"):
        found = moves.starts(CASES[name].ast, target)
        assert found[0].opts == lower_kernel(CASES[name].ast, target).opts
        assert len({candidate.key for candidate in found}) == len(found) > (name != "elementwise" or target is TARGET)


@pytest.mark.parametrize("name", ["elementwise_symbolic", "softmax", "matmul", "attention", "matrix_bfloat16"])
def test_steps_of_a_gpus_kernel_compute_the_same_without_races(name: str) -> None:
    """What lowers runs on the emulator, which checks every access."""
    case, rng = next(c for c in cuda_cases.CASES if c.name == name), random.Random(name)
    found = moves.starts(case.ast, cuda_cases.TARGET)
    for _ in range(2):
        found += itertools.islice(moves.steps(rng.choice(found), cuda_cases.TARGET, rng), 6)
    arrays, specs = case.arrays(), []
    wanted = [a.copy() for a in arrays]
    evaluate_kernel(case.ast, wanted, case.variables)
    for candidate in found:
        try:
            specs.append(replace(case, opts=candidate.opts).spec())
        except ValueError:      # a barrier that not all threads would reach, too much shared memory
            assert candidate is not found[0]
    assert len(specs) > 8
    for spec, program in zip(specs, cuda_cases.compile_emulated(specs)):
        got = cuda_cases.run(program, arrays, case.variables)[0]
        got, expected = (a[:case.variables.get("n")] for a in (got, wanted[0]))
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max(), err_msg=spec.source)


def test_replay_leaves_out_what_does_not_fit_any_more() -> None:
    first = moves.starts(CASES["matmul"].ast, TARGET)[0]
    empty = replace(first, opts=(), stages=first.stages[:1])
    found = moves.replay(empty, [Split("o1", 16), Merge("o1.0", "nothing"), Upcast("gone"), Vector("o1.1")], TARGET)
    assert found is not None and found.opts == (Split("o1", 16), Vector("o1.1"))


def test_another_tile_has_another_remainder() -> None:
    """The rows that are peeled off follow the height of the tile."""
    found = moves.starts(CASES["linear"].ast, TARGET)[0]
    (rows,) = (r.src[1].arg for r in nest.ranges_named(found.stages[0].root, "o0"))
    empty = replace(found, opts=(), stages=found.stages[:1])
    tiled = moves.replay(empty, [Peel("o0", rows - 1), Split("o0", rows - 1), Upcast("o0.1")], TARGET)
    assert tiled is not None and len(tiled.opts) == 3
    for candidate in moves.steps(tiled, TARGET, random.Random(0)):
        sizes = [opt.size for opt in candidate.opts if isinstance(opt, Split) and opt.range == "o0"]
        cuts = [opt.at for opt in candidate.opts if isinstance(opt, Peel) and opt.range == "o0"]
        if sizes and cuts and candidate.opts[:2] != tiled.opts[:2]:
            assert cuts == [rows // sizes[0] * sizes[0]]


def test_steps_of_equal_seeds_are_equal() -> None:
    first = moves.starts(CASES["linear"].ast, TARGET)[0]
    lists = [[c.opts for c in itertools.islice(moves.steps(first, TARGET, random.Random(7)), 10)] for _ in range(2)]
    assert lists[0] == lists[1] and len(lists[0]) == 10


def test_the_model_prefers_what_an_expert_would() -> None:
    """Lanes to scalars, a register tile to none, for a product that is large enough for either to matter."""
    product = Tensor(np.zeros((128, 256), np.float32)) @ Tensor(np.zeros((256, 192), np.float32))
    heuristic, plain, *_ = moves.starts(kernel_of(product), TARGET)
    empty = replace(heuristic, opts=(), stages=heuristic.stages[:1])
    lanes = moves.replay(empty, [Split("o1", TARGET.lanes(4)), Vector("o1.1")], TARGET)
    assert lanes is not None
    times = [estimate(candidate.loops, TARGET) for candidate in (heuristic, lanes, plain)]
    assert times == sorted(times) and times[0] * 4 < times[2]


def test_what_is_turned_has_its_lanes_along_what_is_written() -> None:
    """Lines side by side, an element of each at a time: of an operand that is packed, and of a transposed copy."""
    copied = lower_kernel(kernel_of(Tensor(np.zeros((40, 96), np.float32)).T.contiguous()), TARGET).opts
    lanes = min(40, TARGET.lanes(4))
    assert copied[:2] == (Split("o1", lanes), Order(("o1.0", "o0", "o1.1"))) and Vector("o1.1") in copied
    packed = lower_kernel(kernel_of(Tensor(np.zeros((64, 128), np.float32)) @ Tensor(np.ones((96, 128), np.float32)).T),
                          TARGET).opts
    fill = [opt for opt in packed if isinstance(opt, Order) and opt.ranges[0].startswith("p")]
    assert [opt.ranges[0].endswith("_0.0") and opt.ranges[-1].endswith("_0.1") for opt in fill] == [True]


def test_an_axis_that_runs_through_several_has_lanes_inside_of_one() -> None:
    """Heads side by side: each vector lies within a head, though the axis' addresses jump from one to the next."""
    lanes = TARGET.lanes(4)
    heads = Tensor(np.zeros((3, 10, 2 * lanes), np.float32)) * 2        # (head, position, inside of the head)
    found = lower_kernel(kernel_of(heads.permute(1, 0, 2).reshape(10, -1) + Tensor(np.ones((10, 1), np.float32))),
                         TARGET).opts
    assert any(isinstance(opt, Vector) for opt in found), found


def kernel_of(tensor: Tensor) -> UOp:
    """The AST of the one kernel that computes a tensor."""
    found: list[UOp] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minigrad.engine.realize.programs_for",
                      lambda kernels: found.extend(ast for ast, _ in kernels) or engine.programs_for(kernels))
        tensor.realize()
    assert len(found) == 1
    return found[0]


# ---- measuring

def test_wrong_crashing_and_hanging_candidates_are_dropped_and_the_others_timed() -> None:
    good = spec_of(CASES["linear"].ast)
    bad = {2: ("return;", "buffer 0: element"), 3: ("*(volatile int *)8 = 1;", "crashed: SIGSEGV"),
           4: (HANG, "took more than 20 s"),
           5: ("((char *)buffers[0])[-3] = 1;", "outside of buffer 0"), 6: ("no C", "compiler"),
           7: ("__builtin_trap();", "crashed: SIGILL")}
    specs = {number: spoiled(good, statement) for number, (statement, _) in bad.items()}
    with Worker(time.monotonic() + 3000, limit=20) as worker:
        times, dropped = worker.measure((CASES["linear"].ast, "CPU"), {0: good, **specs, 9: good}, rounds=2)
    assert set(times) == {0, 9} and all(len(seconds) in (1, 2) and min(seconds) > 0 for seconds in times.values())
    assert [number for number, (_, why) in bad.items() if why not in dropped.get(number, "")] == [], dropped


def test_a_worker_out_of_time_is_killed() -> None:
    kernel = CASES["elementwise"].ast, "CPU"
    hanging = spoiled(spec_of(kernel[0]), HANG)
    with Worker(time.monotonic() + 3000) as worker:
        worker.start(kernel)
        process = worker.process
        worker.deadline = time.monotonic() + 0.5
        with pytest.raises(OutOfTime):
            worker.measure(kernel, {0: hanging})
    assert process is not None and process.poll() is not None


def test_one_process_serves_all_kernels_until_one_of_its_candidates_kills_it() -> None:
    kernels = [(CASES[name].ast, "CPU") for name in ("elementwise", "linear")]
    with Worker(time.monotonic() + 3000) as worker:
        processes = []
        for kernel in (*kernels, kernels[0]):
            times, dropped = worker.measure(kernel, {0: spec_of(kernel[0])}, rounds=2)
            assert len(times[0]) == 2 and not dropped
            processes.append(worker.process)
        assert processes[0] is processes[1] is processes[2] is not None
        assert worker.measure(kernels[1], {0: spoiled(spec_of(kernels[1][0]), "__builtin_trap();")})[1]
        assert worker.measure(kernels[1], {0: spec_of(kernels[1][0])})[0] and worker.process is not processes[0]


def test_a_wrong_candidate_that_spoils_the_inputs_costs_the_next_ones_nothing() -> None:
    case = CASES["linear"]
    good = spec_of(case.ast)
    spoils = spoiled(good, "".join(f"((int *)buffers[{slot}])[0] = 1 << 30;" for slot in range(len(case.params))))
    with Worker(time.monotonic() + 3000) as worker:
        times, dropped = worker.measure((case.ast, "CPU"), {0: good, 1: spoils, 2: good})
    assert set(times) == {0, 2} and set(dropped) == {1}


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_interpreters_results_are_inside_of_the_tolerance(name: str) -> None:
    """The heuristic's kernel passes on every input that candidates are judged by, and a wrong element never does."""
    case = CASES[name]
    for wanted, got, allowed, changes in results(case):
        for slot, right in wanted.items():
            dtype, change = case.params[slot].dtype, changes.get(slot, 0.0)
            assert trial.difference(got[slot], right, dtype, allowed, change) == ""
            spoilt = right.copy()
            flat = spoilt.reshape(-1).view(f"u{right.dtype.itemsize}")
            at = int(np.argmax(np.abs(np.nan_to_num(right.reshape(-1).astype(np.float64), posinf=0, neginf=0))))
            flat[at] ^= 1 << (8 * right.dtype.itemsize - 2 if dtype.is_float else 0)
            assert trial.difference(spoilt, right, dtype, allowed, change)


def results(case: Case) -> list[tuple[dict[int, np.ndarray], list[np.ndarray], tuple[float, float], dict[int, float]]]:
    """For each trial: what must be written, all buffers after the heuristic's kernel, the tolerance, and what the
    inputs' last bits change."""
    program, = DEVICE.compile([finish_specs(DEVICE, lower_kernel(case.ast, TARGET))])
    found = []
    for each in trial.trials_of(case.ast):
        arrays = trial.contents(case.ast, each.positive)
        wanted = trial.expected(case.ast, arrays, each.variables)

        class Given(Case):
            def arrays(self) -> list[np.ndarray]:
                return arrays  # noqa: B023
        got = run(program, Given(case.name, case.ast), each.variables)
        found.append((wanted, got, trial.tolerance(case.ast, each.variables),
                      trial.conditioning(case.ast, arrays, each.variables, wanted)))
    return found


def test_what_roundings_may_do_follows_from_what_the_last_bits_of_inputs_do() -> None:
    """A sum of products hardly moves with them; where a sum loses its digits, right kernels differ as much."""
    values = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    changes = []
    for tensor in ((Tensor(values) * Tensor(values + 1)).sum(1), (Tensor(values) * 1e5).sin().sum(1)):
        ast = kernel_of(tensor)
        arrays = [values if p.arg.shape == (4, 64) else np.zeros(p.arg.shape, np.float32) for p in trial.params_of(ast)]
        wanted = trial.expected(ast, arrays, {})
        changes.append(trial.conditioning(ast, arrays, {}, wanted)[0])
    assert 0 < changes[0] < 1e-4 and changes[1] > 1e-3
    assert trial.difference(np.float32([1.001]), np.float32([1]), dtypes.float32, (1e-6, 1e-6))
    assert not trial.difference(np.float32([1.001]), np.float32([1]), dtypes.float32, (1e-6, 1e-6), changes[1])


def test_a_kernel_arrives_in_the_worker_as_it_is() -> None:
    """Views, reduces and tables of conditions too: the mask of causal attention is one."""
    mask = Tensor(np.tri(8, dtype=np.bool_)).realize()
    masked = kernel_of(mask.permute(1, 0).all(0).where(Tensor(np.ones((4, 8), np.float32)), 2.0))
    for ast in (masked, *(case.ast for case in CASES.values())):
        assert structure(decode(json.loads(json.dumps(encode(ast))))) == structure(ast)


# ---- searching

def test_a_search_ends_with_a_valid_record_and_is_not_repeated(database: Database, tmp_path: Path) -> None:
    case = CASES["matvec"]
    with Context(VIZ=str(tmp_path / "trace.json")):
        found, = search([(case.ast, "CPU")], beam=1, budget=200, records=database)
        trace = tracefile.current()
    assert trace is not None
    tried = trace.searches[0]["tried"]      # what the page shows: the heuristic's and all others that ran, with seconds
    assert len(tried) > 1 and tried[0] == [[str(opt) for opt in found.heuristic.opts], found.seconds]
    assert all(seconds > 0 for _, seconds in tried) and len({tuple(opts) for opts, _ in tried}) == len(tried)
    best = database.best(found.kernel, TARGET)
    assert found.tried > 0 and best is not None and best.ratio == found.ratio <= 1 and best.opts == found.opts
    program, = DEVICE.compile([finish_specs(DEVICE, lower_kernel(case.ast, TARGET, best.opts))])
    assert difference(case, run(program, case, {}), case.expected({})) is None
    if found.ended:     # and not out of time, on a busy machine
        assert best.beam == 1 and not search([(case.ast, "CPU")], beam=1, budget=60, records=database)


def search_of(name: str, database: Database) -> Search:
    return Search(CASES[name].ast, DEVICE, 1, database, Worker(time.monotonic() + 100))


def test_a_kernel_is_accepted_only_if_it_wins_by_more_than_the_noise(database: Database) -> None:
    """Without a worker: times as given."""
    one_search = search_of("matmul", database)
    one_search._begin()
    near = moves.steps(one_search.heuristic, TARGET, random.Random(0))
    challengers = (candidate for candidate in near if candidate.key not in one_search.seen)
    regimes = [1.0, 2.0] * 10       # the machine is now fast, now slow: what counts is the same round of the others
    duels = [([0.5] * 6 + [2.4] * 14, False),       # the least is luck
             ([0.9] * 14 + [2.6] * 6, False),       # ... and so are many, in a fast minute
             ([0.98, 1.96] * 10, False),            # faster, by less than a gain
             ([0.9, 1.8] * 10, True),
             ([0.89, 1.79] * 10, False),            # than the best so far
             ([0.8, 1.6] * 10, True)]
    for challenge, accepted in duels:
        challenger = next(challengers)
        one_search._wait(challenger, 0.0)
        number, best = one_search.seen[challenger.key], one_search.opts
        one_search.measured.append((0.5, number, challenger))
        lists = {challenger.opts: challenge, best: [0.9, 1.8] * 10, one_search.heuristic.opts: regimes}
        one_search.worker.measure = lambda kernel, specs, rounds, lists=lists: (  # type: ignore[method-assign]
            {number: lists[spec.opts] for number, spec in specs.items()}, {})
        one_search._challenge(number, challenger)
        assert (one_search.opts == challenger.opts) == accepted, challenge
        assert accepted or one_search.opts == best
    assert one_search.ratio == 0.8 and database.best(one_search.kernel, TARGET) == \
        Record(one_search.kernel, machine_of(TARGET), one_search.name, one_search.opts, 0.8, 0)


def test_a_winner_that_does_not_win_again_is_dropped_for_good(database: Database) -> None:
    one_search = search_of("matmul", database)
    one_search._begin()
    challenger = one_search.waiting[0][2]
    number, times = one_search.seen[challenger.key], iter((0.8, 0.9, 1.01))
    one_search.measured.append((0.8, number, challenger))
    one_search.worker.measure = lambda kernel, specs, rounds: (  # type: ignore[method-assign]
        {0: [1.0] * rounds, number: [next(times)] * rounds}, {})
    one_search._challenge(number, challenger)
    one_search._confirm()
    assert one_search.opts == challenger.opts and one_search.ratio == 0.9
    one_search._confirm()
    assert one_search.opts is None and one_search.ratio == 1
    best = database.best(one_search.kernel, TARGET)
    assert best is None and challenger.opts in database.dropped(one_search.kernel, TARGET)


def test_who_was_beaten_does_not_come_back_when_the_winner_does_not_win_again(database: Database) -> None:
    one_search = search_of("matmul", database)
    one_search._begin()
    first, second = (candidate for _, _, candidate in one_search.waiting[:2])
    numbers = {candidate.opts: one_search.seen[candidate.key] for candidate in (first, second)}
    one_search.measured += [(0.8, numbers[first.opts], first), (0.6, numbers[second.opts], second)]
    times = {numbers[first.opts]: 0.8, numbers[second.opts]: 0.6, 0: 1.0}
    one_search.worker.measure = lambda kernel, specs, rounds: (  # type: ignore[method-assign]
        {number: [times[number]] * rounds for number, _ in specs.items()}, {})
    for candidate in (first, second):
        one_search._challenge(numbers[candidate.opts], candidate)
        best = database.best(one_search.kernel, TARGET)
        assert best is not None and best.opts == candidate.opts == one_search.opts
    times[numbers[second.opts]] = 1.01
    one_search._confirm()
    assert one_search.opts is None and database.best(one_search.kernel, TARGET) is None
    assert {first.opts, second.opts} <= set(database.dropped(one_search.kernel, TARGET))


def test_who_lost_a_duel_is_not_challenging_again(database: Database) -> None:
    one_search = search_of("matmul", database)
    rounds_asked: list[int] = []

    def measure(kernel: object, specs: dict[int, ProgramSpec], rounds: int) -> tuple[dict[int, list[float]], dict]:
        rounds_asked.append(rounds)
        return {number: [1.0 if rounds > 3 or not number else 0.5] * rounds for number in specs}, {}
    one_search.worker.measure = measure  # type: ignore[assignment, method-assign]
    one_search._begin()
    first = one_search.waiting[0][2]
    one_search._measure([first])
    one_search._measure([])
    assert rounds_asked == [3, beam.DUEL[0], 3] and one_search.opts is None


def test_what_was_dropped_is_remembered_and_never_tried_again(database: Database) -> None:
    case = CASES["matmul"]
    bad = [candidate.opts for candidate in moves.starts(case.ast, TARGET)[1:]]
    for opts in bad:
        database.add(record(structure(case.ast), opts=opts, ratio=0.1, beam=0))     # the fastest, but
        database.add(record(structure(case.ast), opts=opts, dropped="it crashed"))
    assert database.best(structure(case.ast), TARGET) is None
    again = search_of("matmul", Database(*database.paths))
    again.records.refresh()
    tried: list[tuple[Opt, ...]] = []
    again.worker.measure = lambda kernel, specs, rounds: (  # type: ignore
        tried.extend(s.opts for s in specs.values()), (dict.fromkeys(specs, [1.0]), {}))[1]
    again.round()
    assert not set(bad) & set(tried)


def test_a_search_goes_on_from_what_an_earlier_one_found(database: Database) -> None:
    case = CASES["matmul"]
    database.add(record(structure(case.ast), opts=OPTS, ratio=0.9, beam=0))
    again = search_of("matmul", database)
    again._begin()
    assert OPTS in [candidate.opts for _, _, candidate in again.waiting]


def test_a_kernel_whose_reference_fails_keeps_the_heuristic(database: Database) -> None:
    one_search = search_of("matmul", database)

    def fails(*_: object, **__: object) -> None:
        raise Stuck("it crashed: SIGSEGV")
    one_search.worker.measure = fails  # type: ignore[assignment, method-assign]
    one_search.round()
    best = database.best(one_search.kernel, TARGET)
    assert one_search.ended and best is not None and best.opts is None


def test_what_a_killed_search_found_is_there(folder: Path) -> None:
    """Killed as soon as something is written; the next process reads it. Whatever is tried is said to be faster: what a
    busy machine measures may be no gain for long.
    """
    code = ("import numpy as np; from minigrad import Tensor; from minigrad.search.beam import tune;"
            "from minigrad.search.measure import Worker;"
            "Worker.measure = lambda self, kernel, specs, rounds: (self.start(kernel), "
            "({n: [0.5 if n else 1.0] * rounds for n in specs}, {}))[1];"
            "tune(lambda: (Tensor(np.ones((8, 96), np.float32)) @ Tensor(np.ones((96, 80), np.float32))).realize(),"
            "beam=4, budget=200)")
    path = folder / "tuning.jsonl"
    environment = {**os.environ, "CACHEDIR": str(folder), "TUNED": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True)
    until = time.monotonic() + 240
    while not (path.exists() and path.stat().st_size) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    lines = [line for line in path.read_text().splitlines() if line]
    read = [read_line(line) for line in lines]
    assert lines and None not in read[:-1]
    again = Database(str(path))
    again.refresh()
    kept = [r for r in read if r is not None]
    assert all(again.records(r.kernel) >= {r} for r in kept)


def test_a_device_that_computes_nothing_leaves_no_record(database: Database) -> None:
    found, = search([(CASES["elementwise"].ast, "NULL")], beam=1, budget=60, records=database)
    assert found.opts is None and not os.path.exists(database.paths[0])


def test_an_interpreting_device_is_not_searched_for(database: Database) -> None:
    assert search([(CASES["matmul"].ast, "NUMPY")], beam=4, budget=10, records=database) == []


# ---- records

def test_records_keep_every_kind_of_opt() -> None:
    found = [opt for name in ("attention", "matmul", "everything", "symbolic_softmax", "linear")
             for opt in lower_kernel(CASES[name].ast, TARGET).opts]
    assert [opt_from(opt_data(opt)) for opt in (*found, *OPTS)] == [*found, *OPTS]
    assert opt_from(["Place", "v1", ["o1"], [], True, ""]) == Place("v1", ("o1",), shared=True)     # as it was once
    line = record(opts=tuple(found)).line()
    assert read_line(line) == record(opts=tuple(found)) and read_line(line).line() == line  # type: ignore[union-attr]


@pytest.mark.parametrize("data", [["Split", "o1"], ["Split", "o1", "16"], ["Split", 1, 16], ["exec", "x"], [], "Split",
                                  ["Place", "v", "o1", [], False, ""], ["Split", "o1", True]])
def test_damaged_opts_are_no_record(data: object) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, IndexError)):
        opt_from(data)  # type: ignore[arg-type]
    assert read_line(record().line().replace('["Split","o1",16]', str(data).replace("'", '"'))) is None


def test_a_line_that_breaks_off_is_passed_over_and_the_next_is_read(database: Database) -> None:
    database.add(record("aa"))
    path, whole = Path(database.paths[0]), record("bb").line()
    for end in range(1, len(whole)):
        assert read_line(whole[:end]) is None
    with path.open("a") as file:
        file.write(whole[:-9])      # killed here
    database.add(record("cc"))
    again = Database(*database.paths)
    again.refresh()
    assert [len(again.records(kernel)) for kernel in ("aa", "bb", "cc")] == [1, 0, 1]


def test_joined_files_are_merged_whatever_their_order(tmp_path: Path) -> None:
    lines = [record(ratio=0.7, beam=2), record(ratio=0.5, beam=0, opts=OPTS[:2]), record(ratio=0.1, opts=OPTS[:1]),
             record(ratio=0.6, beam=1, opts=OPTS[:2]),
             record(opts=OPTS[:1], dropped="wrong"), record(machine="another", ratio=0.01), record(opts=None, ratio=1)]
    answers = set()
    for order in itertools.permutations(lines):
        found = Database()
        for each in order:
            found.add(each)
        answers.add(found.best("ab", TARGET))
    assert answers == {record(ratio=0.6, beam=4, opts=OPTS[:2])}


def test_exports_of_equal_records_are_equal_files(tmp_path: Path) -> None:
    some = [record(kernel, ratio=ratio) for kernel in ("aa", "bb") for ratio in (0.5, 0.25)]
    assert export(some, str(tmp_path / "one")) == export(some[::-1], str(tmp_path / "two")) == 4
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    found = Database(str(tmp_path / "one"))
    found.refresh()
    assert found.records("aa") == set(some[:2])


def test_what_ships_can_be_read() -> None:
    text = Path(records.SHIPPED).read_text()
    found = [read_line(line) for line in text.splitlines()]     # gains, and that a search has ended without one
    assert all(r is not None and (r.ratio < beam.GAIN if r.opts is not None else r.beam) for r in found)


# ---- what is found is used

def test_kernels_are_lowered_with_the_opts_that_were_found(folder: Path) -> None:
    ast = CASES["matmul"].ast
    heuristic = engine.programs_for([(ast, "CPU")])[0].spec.opts
    records.database().add(record(structure(ast), opts=OPTS[:1]))
    assert engine.programs_for([(ast, "CPU")])[0].spec.opts == heuristic    # in memory
    engine.forget_programs()
    assert engine.programs_for([(ast, "CPU")])[0].spec.opts == OPTS[:1] != heuristic
    with Context(TUNED=0):
        assert engine.programs_for([(ast, "CPU")])[0].spec.opts == heuristic
    with Context(NOOPT=1):
        assert engine.programs_for([(ast, "CPU")])[0].spec.opts == ()


def test_what_ships_is_used_without_searching(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the class of machines that it was found on, and on no other."""
    shipped, ast = folder / "shipped.jsonl", CASES["matmul"].ast
    monkeypatch.setattr(records, "SHIPPED", str(shipped))
    monkeypatch.setattr(Worker, "measure", lambda *_: pytest.fail("it searches"))
    for machine, opts in (("another", ()), (machine_of(TARGET), OPTS[:1])):
        export([record(structure(ast), machine=machine, opts=opts), record(structure(CASES["linear"].ast), opts=None)],
               str(shipped))
        records._open.cache_clear()
        engine.forget_programs()
        with Context(BEAM=4 if opts else 0):
            first, second = engine.programs_for([(ast, "CPU"), (CASES["linear"].ast, "CPU")])
        assert (first.spec.opts == OPTS[:1]) == bool(opts) and second.spec.opts


def test_opts_that_do_not_fit_any_more_leave_the_heuristic(folder: Path) -> None:
    ast = CASES["matmul"].ast
    with Context(TUNED=0):
        heuristic = engine.programs_for([(ast, "CPU")])[0].spec.opts
    records.database().add(record(structure(ast), opts=(Split("no such range", 4),)))
    assert engine.programs_for([(ast, "CPU")])[0].spec.opts == heuristic


def test_beam_searches_once_and_what_it_found_is_used_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def found(kernels: list[tuple[UOp, str]]) -> set[UOp]:
        asked.append([device for _, device in kernels])
        records.database().add(record(structure(kernels[0][0]), opts=()))
        return {kernels[0][0]}
    monkeypatch.setattr(engine, "search_within_budget", found)
    kernels = [(CASES["matmul"].ast, "CPU")] * 2
    before = engine.programs_for(kernels)[0]
    with Context(BEAM=2):
        assert engine.programs_for(kernels)[0].spec.opts == () and engine.programs_for(kernels)[0].spec.opts == ()
    assert asked == [["CPU", "CPU"]]
    assert before.spec.opts and engine.programs_for(kernels)[0].spec.opts == ()


@pytest.mark.parametrize("terminal", [True, False])
def test_only_a_terminal_sees_how_far_a_search_is(terminal: bool, database: Database,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal
    monkeypatch.setattr(sys, "stderr", Stream())
    search([(CASES["elementwise"].ast, "NULL")], beam=1, budget=60, records=database)
    text = sys.stderr.getvalue()
    assert ("searching [" in text and text.endswith("\r\033[K")) if terminal else not text


def test_the_kernels_of_one_schedule_leave_time_for_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    def takes_all(kernels: object, beam_width: int, budget: float) -> list[Search]:
        given.append(budget)
        beam._spent[0] += budget
        return []
    monkeypatch.setattr(beam, "_spent", [0.0])
    monkeypatch.setattr(beam, "search", takes_all)
    with Context(BEAM=1, BEAM_BUDGET=60):
        for _ in range(3):
            beam.search_within_budget([(CASES["matmul"].ast, "CPU")])
    assert given == [30.0, 15.0, 7.5]


def test_tune_calls_the_function_under_the_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(beam, "_spent", [5.0])
    assert tune(lambda x: seen.append((beam.BEAM.value, beam.BEAM_BUDGET.value)) or x, 3, beam=2, budget=7) == 3
    assert seen == [(2, 12)]
    with pytest.raises(ValueError, match="beam=0"):
        tune(print, beam=0)


def test_winners_that_are_no_faster_together_are_given_up(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ones with the least at stake first, until the rest is faster."""
    kernels = [(CASES[name].ast, "CPU") for name in ("matmul", "matmul_softmax", "matmul", "rmsnorm_f64")]
    searches = [search_of(name, database) for name in ("matmul", "matmul_softmax", "rmsnorm_f64")]
    for one, ratio in zip(searches, (0.5, 0.9, 0.8)):
        one._begin()
        one.seconds, one.ratio, one.ended = 1.0, ratio, True
        one.measured.append((ratio, 1, candidate := one.waiting[0][2] if one.waiting else one.heuristic))
        one.opts = candidate.opts
    asked: list[int] = []

    def ratios(device: object, order: list[UOp], ours: dict[UOp, object], theirs: dict[UOp, object]) -> list[float]:
        assert order == [ast for ast, _ in kernels] and ours.keys() == theirs.keys()
        asked.append(sum(ours[ast] is not theirs[ast] for ast in ours))
        return [1.1] * 10 if asked[-1] > 1 else [0.9] * 10
    monkeypatch.setattr(beam, "ratios", ratios)
    beam._together(kernels, searches)
    assert asked == [3, 1]
    assert [one.opts is None for one in searches] == [False, True, True]
    for one in searches[1:]:
        best = database.best(one.kernel, TARGET)
        assert best is not None and best.opts is None and best.beam == 1
        assert "no faster among the others" in database.dropped(one.kernel, TARGET).values()


@pytest.mark.parametrize("name", ["CPU", "CUDA_EMULATED"])
def test_a_schedule_runs_with_both_sets_of_programs_in_turns(name: str) -> None:
    """On a GPU, where launches are only started, too."""
    device, names = get_device(name), ["matmul", "matmul_softmax", "matmul"] if name == "CPU" else ["matmul"]
    kernels = [CASES[name].ast for name in names]
    sets = [{ast: device.compile([device.render(lower_kernel(ast, device.target, opts))])[0] for ast in kernels}
            for opts in (None, ())]
    found = ratios(device, kernels, *sets)
    assert ROUNDS[0] <= len(found) <= ROUNDS[1] and min(found) > 0
