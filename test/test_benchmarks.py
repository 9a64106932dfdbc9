"""What `make bench` is made of: rows that every library computes alike, turns, and what makes a run void."""
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extra import search
from extra.benchmarks import measure as measuring
from extra.benchmarks import turns
from extra.benchmarks.__main__ import QUICK, Plan, plans, worst
from extra.benchmarks.gguf_file import write_llama
from extra.benchmarks.gpt import GPT, gpt_weights, training_batch
from extra.benchmarks.measure import CLASSES, OURS, Ceilings, Class, Outcome, judge, limited, measure
from extra.benchmarks.peers import NotOffered, minigrad, operands, sampled
from extra.benchmarks.peers import numpy as peer_numpy
from extra.benchmarks.random_rows import fused, shapes
from extra.benchmarks.rows import LLAMA, MATVEC, OPS, PRODUCTS, Goal, Row, expression, product
from extra.benchmarks.turns import PEERS, Crew, Failed, Peer
from extra.models.checkpoint import build, read_gguf
from extra.models.generate import Session
from extra.models.llama import PRESETS, LlamaConfig, RopeScaling
from minigrad import Tensor

TINY = LlamaConfig(dim=64, layers=2, heads=4, kv_heads=2, hidden=96, vocab_size=50, context=32, tied=True,
                   rope_scaling=RopeScaling(8.0, 1.0, 4.0, 64))


def small(row: Row) -> dict[str, Any]:
    """The case with sizes that a test can compute: each at most 24, equal ones alike."""
    names = {key: (tuple(min(n, 24) for n in shape), dtype) for key, (shape, dtype) in row.case["operands"].items()}
    return {**row.case, "operands": names, "copies": 1}


def reference(case: dict[str, Any]) -> np.ndarray[Any, Any]:
    """In float64, by definitions of its own."""
    def softmax(x: Any) -> Any:
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    def attention(q: Any, k: Any, v: Any) -> Any:
        hidden = np.triu(np.ones((q.shape[-2], k.shape[-2]), bool), 1)
        return softmax(np.where(hidden, -np.inf, q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]))) @ v

    def conv(x: Any, w: Any, stride: int, padding: int) -> Any:
        x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], (2, 3))[:, :, ::stride, ::stride]
        return np.einsum("bchwij,ocij->bohw", windows, w)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    norm = lambda x, w, b: (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * w + b
    names = {**peer_numpy.NAMES, "softmax": softmax, "attention": attention, "conv": conv, "sigmoid": sigmoid,
             "relu": lambda x: np.maximum(x, 0), "layernorm": norm,
             "rmsnorm": lambda x, w: x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * w,
             "gelu": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))}
    arrays = {name: array.astype(np.float64) for name, (array, _) in operands(case)[0].items()}
    return np.asarray(eval(case["expression"], {**names, **arrays}))


@pytest.mark.parametrize("row", {row.case["expression"]: row for row in
                                 (*PRODUCTS, *OPS, MATVEC[0], *shapes(), *fused())}.values(), ids=lambda row: row.name)
def test_an_expression_is_what_its_definition_says(row: Row) -> None:
    case = small(row)
    work = minigrad.KINDS["expression"](case)
    expected = reference(case)
    found = work.values(work.run())
    assert work.facts()["kernels"] >= 1
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4 * float(np.abs(expected).max()))


def test_numpy_computes_what_it_has_names_for() -> None:
    case = small(product(8, 9, 10, "t(a) @ b"))
    work = peer_numpy.KINDS["expression"](case)
    np.testing.assert_allclose(work.values(work.run()), reference(case), rtol=1e-5, atol=1e-5)
    with pytest.raises(NotOffered, match="nothing computes softmax"):
        peer_numpy.KINDS["expression"](small(OPS[1]))


def test_random_rows_are_the_same_each_time_and_as_many_as_promised() -> None:
    assert shapes() == shapes() != shapes(seed=1) and fused() == fused() != fused(seed=1)
    assert (len(shapes()), len(fused())) == (40, 10)
    assert len({row.name for row in (*shapes(), *fused())}) == 50


def test_small_work_is_done_several_times_a_call() -> None:
    assert product(37, 53, 71).case["copies"] > 1 == product(512, 512, 512).case["copies"]
    case = {**product(5, 6, 7).case, "copies": 3}
    assert minigrad.KINDS["expression"](case).copies == 3


def test_names_are_sections_or_parts_of_rows() -> None:
    assert [(plan.section, [row.name for row in plan.rows]) for plan in plans(["softmax 4096"], False)] == \
        [("ops", ["softmax 4096²"])]
    quick = {plan.section: plan.rows for plan in plans([], True)}
    assert len(quick["random"]) == 40 // QUICK
    assert not any("torch.compile" in row.rivals or "1B" in row.name for rows in quick.values() for row in rows)
    assert [plan.section for plan in plans(["llama"], False)] == ["llama"]


# --- turns ------------------------------------------------------------------------------------------------------------


def test_a_process_stands_still_between_its_turns() -> None:
    with Crew() as crew:
        ready = crew.ask(OURS[0], do="prepare", case=small(OPS[1]))
        assert ready["facts"] == {"kernels": 1, "records": 0} and len(ready["values"]) == 24 * 24
        process = crew.processes[OURS[0]].process
        state = lambda: Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        end = time.monotonic() + 20
        while state() != "T":
            assert time.monotonic() < end, "it goes on"
            time.sleep(0.01)
        answer = crew.ask(OURS[0], do="run", seconds=0.01)
        assert answer["times"] and min(answer["times"]) > 0 and answer["waited"] >= 0
        with pytest.raises(Failed, match="nothing for dancing"):
            crew.ask(OURS[0], do="prepare", case={"kind": "dancing"})
    assert process.poll() is not None


def test_a_rival_that_is_not_installed_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PYTHON", Path("/nowhere/python"))
    row = replace(product(8, 8, 8), rivals=("OpenBLAS",))
    monkeypatch.setattr(measuring, "LEAST_ROUNDS", 1)
    with Crew() as crew:
        outcome = measure(row, crew, Ceilings(), 0.0)
    assert outcome.off is not None and outcome.times is None and outcome.holds is None
    assert outcome.rivals == {"OpenBLAS": "numpy is not installed: `make bench` makes its environment"}


class Fake:
    """A crew that answers at once: seconds and values by peer."""

    def __init__(self, seconds: dict[str, float], values: dict[str, float] | None = None, records: int = 0) -> None:
        self.seconds, self.values, self.records = seconds, values or {}, records

    def ask(self, name: str, do: str, **order: Any) -> dict[str, Any]:
        if name not in self.seconds:
            raise Failed("it died")
        return {"prepare": {"values": [self.values.get(name, 1.0)], "facts": {"records": self.records}},
                "run": {"times": [self.seconds[name]], "waited": 0.0}, "drop": {},
                "probe": {"read": 34e9, "fma": 236e9}}[do]


def outcome_of(crew: Fake, row: Row) -> Outcome:
    return measure(row, crew, Ceilings(), 0.0)  # type: ignore[arg-type]


def test_the_best_rival_is_the_fastest_that_answered() -> None:
    row = product(1000, 1000, 1000)
    found = outcome_of(Fake({OURS[0]: 0.01, OURS[1]: 0.01, "OpenBLAS": 0.02, "torch": 0.015}), row)
    assert (found.best, found.times, found.holds, found.void) == ("torch", pytest.approx(1.5), True, "")
    assert found.off == pytest.approx(200.0) and found.share == pytest.approx(200 / 236)
    assert found.on is None            # no record: it is the same code, and was not measured
    alone = outcome_of(Fake({OURS[0]: 0.01, OURS[1]: 0.005, "OpenBLAS": 0.0075}, records=1), row)
    assert (alone.times, alone.times_on, alone.holds) == (pytest.approx(0.75), pytest.approx(1.5), False)
    assert alone.rivals["torch"] == "it died"


def test_who_dies_in_a_round_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for dead in ("torch", OURS[0]):
        crew = Fake({OURS[0]: 0.01, "OpenBLAS": 0.02, "torch": 0.005})
        ask = crew.ask

        def dying(name: str, do: str, *, ask: Any = ask, dead: str = dead, **order: Any) -> dict[str, Any]:
            if name == dead and do == "run":
                raise Failed("it died")
            return ask(name, do, **order)  # type: ignore[no-any-return]
        monkeypatch.setattr(crew, "ask", dying)
        found = outcome_of(crew, product(1000, 1000, 1000))
        if dead == "torch":
            assert (found.best, found.times, found.rivals[dead], found.void) == ("OpenBLAS", 2.0, "it died", "")
        else:
            assert found.void == "minigrad: it died" and found.off is None


def test_a_share_of_the_probe_is_a_goal_of_its_own() -> None:
    row = expression("x", "x @ w", ("torch",), Goal(1.05, 0.9), {"x": (1, 4)}, moved=31e9)
    assert outcome_of(Fake({OURS[0]: 1.0, "torch": 1.0}), row).holds is True
    assert outcome_of(Fake({OURS[0]: 1.2, "torch": 1.2}), row).holds is False


def test_results_that_differ_make_a_run_void() -> None:
    found = outcome_of(Fake({OURS[0]: 1.0, "torch": 1.0}, {"torch": 1.1}), OPS[1])
    assert found.void == "results differ: torch 1.0e-01"
    assert outcome_of(Fake({"torch": 1.0}), OPS[1]).void == "minigrad: it died"


def test_a_run_is_void_below_the_ceilings_of_the_probes_own_class() -> None:
    zen4 = CLASSES[1]
    known = Ceilings()
    known.note({"fma": [zen4.fma], "read": [zen4.read[0]]})
    assert known.machine is zen4
    for read, why in ((58e9, ""), (33e9, ""), (20e9, "read 20 of 34"), (48e9, "read 48 of 56")):
        assert known.void({"fma": [236e9], "read": [read]}, "") == why
    assert known.void({"fma": [118e9], "read": [20e9]}, "fma") == "fma 118 of 236"
    unknown = Ceilings()
    unknown.note({"fma": [400e9, 410e9], "read": [70e9]})
    assert unknown.machine == Class("a class of its own", 410e9, (70e9,))
    assert unknown.void({"fma": [410e9], "read": [50e9]}, "read") == "read 50 of 70"


def test_others_on_the_cores_make_a_run_void(monkeypatch: pytest.MonkeyPatch) -> None:
    crew = Fake({OURS[0]: 1.0, "torch": 1.0})
    ask = crew.ask
    monkeypatch.setattr(crew, "ask", lambda name, do, **order: {**ask(name, do, **order), "waited": 1.0}
                        if do == "run" else ask(name, do, **order))
    assert "in use by others" in outcome_of(crew, OPS[1]).void


def test_what_measures_itself_is_void_by_the_probes_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is measured while the memory is slow, and the third with it; the fourth after that."""
    monkeypatch.setattr(measuring, "TOGETHER", 0.1)
    read, crew = iter([33e9, 34e9, 20e9, 34e9]), Fake({})
    monkeypatch.setattr(crew, "ask", lambda name, do, **order: {"read": next(read), "fma": 236e9})

    def outcomes() -> Iterator[Outcome]:
        for name in "abcd":
            if name != "c":
                time.sleep(0.2)
            yield Outcome(name, "s", 1.0)
    found = list(measuring.probed(outcomes(), crew, Ceilings()))  # type: ignore[arg-type]
    assert [one.void for one in found] == ["", "read 27 of 34", "read 27 of 34", "read 27 of 34"]
    assert [one.probes["read"] for one in found[1:]] == [[34e9, 20e9], [34e9, 20e9], [20e9, 34e9]]


def test_the_ratio_compares_times_of_the_same_round() -> None:
    outcome = Outcome("x", "ms", seconds={OURS[0]: [1.0, 10.0, 1.0], "torch": [2.0, 20.0, 2.0]},
                      probes={"read": [34e9, 34e9, 34e9, 60e9], "fma": [1.0]})
    row = expression("x", "x @ w", ("torch",), Goal(2.0), {"x": (1, 4)}, moved=17e9)
    assert judge(outcome, row).times == 2.0
    assert outcome.share == pytest.approx(17 / 60)      # of (17 / 34, 1.7 / 34, 17 / 60)


def test_a_limit_is_a_goal() -> None:
    found = limited("first token", "s", {OURS[0]: 0.5, "tinygrad": 2.0, "other": "broken"}, 0.6)
    assert (found.holds, found.times, found.best, found.goal) == (True, 4.0, "tinygrad", "≤ 0.6 s")
    assert limited("first token", "s", {OURS[0]: 0.7}, 0.6).holds is False
    assert limited("first token", "s", {OURS[0]: "broken"}, 0.6).void == "broken"


def test_the_worst_come_first() -> None:
    rows = [Outcome(str(n), "ms", times=n) for n in (2.0, 0.5, None, 1.0)]
    assert [one.name for one in worst(rows, 2)] == ["0.5", "1.0"]


def test_samples_are_of_the_same_places() -> None:
    values = np.arange(10_000.0)
    assert sampled(values) == sampled(values.reshape(100, 100)) and len(sampled(values)) == 2048
    assert sampled(values[:5]) == [0, 1, 2, 3, 4]


# --- model files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f32", "bf16", "f16"])
def test_a_written_gguf_is_the_llama_of_its_config(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_llama(path, TINY, dtype)
    config, weights, metadata = read_gguf(path)
    assert metadata["general.name"] == "tiny" and config.weight_shapes == TINY.weight_shapes
    assert config.norm_eps == pytest.approx(TINY.norm_eps) and len(config.rope_factors) == 8
    assert weights["layers.1.mlp.up_proj.weight"].dtype.name == {"f32": "float32", "bf16": "bfloat16",
                                                                 "f16": "float16"}[dtype]
    assert np.isfinite(Session(build(config, weights, "tiny")).feed([1, 2, 3])).all()


def test_a_token_reads_each_weight_once() -> None:
    row = next(row for row in LLAMA if row.case["model"] == ("15M", "bf16"))
    count = sum(math.prod(shape) for shape in PRESETS["15M"].weight_shapes.values())
    assert row.billions == pytest.approx(2 * count / 1e9)


def test_any_row_can_be_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(search, "plans", lambda names, quick: [Plan("products", [product(5, 6, 7)])])
    monkeypatch.setattr(search, "tune", lambda function, **flags: ran.append((flags, function())))
    search.search_rows(["products"], 2, 9.0)
    (flags, outputs), = ran
    assert flags == {"beam": 2, "budget": 9.0} and outputs[0].shape == (5, 6)
    monkeypatch.setattr(search, "plans", lambda names, quick: [])
    with pytest.raises(ValueError, match="no row of the benchmarks is called nothing"):
        search.search_rows(["nothing"], 2, 9.0)


def test_every_peer_of_a_row_is_known() -> None:
    rows = [row for plan in plans([], False) for row in plan.rows]
    assert {rival for row in rows for rival in row.rivals} <= set(PEERS)
    assert all(isinstance(peer, Peer) and (turns.ROOT / f"extra/benchmarks/peers/{peer.library}.py").exists()
               for peer in PEERS.values())


# --- a GPT ------------------------------------------------------------------------------------------------------------


def test_a_gpt_that_remembers_reads_tokens_one_by_one_as_it_reads_them_all() -> None:
    shape = {"layers": 2, "heads": 2, "dim": 16, "vocab": 11, "context": 8}
    weights = {name: Tensor(array) for name, array in gpt_weights(shape).items()}
    tokens = training_batch(shape, 1, 5)[0]
    model = GPT(shape, minigrad.NAMES, lambda x, table: table[x], Tensor.cross_entropy)
    known: dict[int, tuple[Tensor, Tensor]] = {}

    def remember(layer: int, *new: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = (old.cat(part, dim=2) for old, part in zip(known[layer], new)) if layer in known else new
        known[layer] = keys, values
        return keys, values
    one_by_one = [model.logits(weights, Tensor(tokens[:, at:at + 1]), at, remember).numpy()[0, 0] for at in range(5)]
    np.testing.assert_allclose(one_by_one, model.logits(weights, Tensor(tokens)).numpy()[0], rtol=1e-4, atol=1e-5)
