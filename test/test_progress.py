"""What is long shows how it goes: on a terminal at once, elsewhere in a line now and then."""
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from extra.benchmarks.__main__ import Plan, run_rows
from extra.benchmarks.measure import Ceilings
from extra.benchmarks.rows import product
from extra.models import checkpoint, train
from extra.models.benchmark import benchmark
from extra.models.llama import Llama, LlamaConfig
from minigrad import Tensor, nn, progress
from minigrad.engine import compile as engine
from minigrad.progress import Progress, clock
from minigrad.runtime.device import Buffer
from minigrad.schedule import create_schedule
from minigrad.search import beam
from minigrad.search.records import Database

TINY = LlamaConfig(dim=32, layers=1, heads=4, kv_heads=2, hidden=64, vocab_size=259, context=32)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def load(folder: Path) -> None:
    model = Llama(TINY)
    model.initialise(0)
    checkpoint.build(TINY, nn.state.get_state_dict(model), "here", "bf16")


def compile_many(folder: Path) -> None:
    engine.forget_programs()
    x = Tensor(np.ones((40, 50), np.float32)).realize()
    Tensor.realize(*(x[:, :i].exp().sum(axis=1) for i in range(2, 20)))


def search(folder: Path) -> None:
    """Nothing runs: the first round is out of time."""
    class Slow(beam.Search):
        def round(self) -> None:
            raise beam.OutOfTime
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beam, "Search", Slow)
        x = Tensor(np.ones((8, 8), np.float32)).realize()
        schedule, _ = create_schedule([(x @ x).uop], Buffer)
        beam.search([(schedule.kernels[0].ast, "CPU")], 1, 9.0, Database(str(folder / "tuning.jsonl")))


def train_a_model(folder: Path) -> None:
    train.train(folder / "model", config=TINY, text="a text to learn. " * 99, steps=2,
                recipe=train.Recipe(tokens=16, batch=2))


def measure(folder: Path) -> None:
    model = Llama(TINY)
    model.initialise(0)
    benchmark(model, "tiny", 0.0, tokens=2)


LONG = {"loading here": load, "compiling": compile_many, "searching": search, "training": train_a_model,
        "benchmark tiny": measure,
        "fused": lambda folder: [*run_rows(Plan("fused", [product(4, 4, 4, rivals=())]), True, Ceilings())]}


@pytest.mark.parametrize("title", LONG)
@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_what_is_long_shows_how_it_goes_on_a_terminal(title: str, stream: Callable[[], io.StringIO], tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    err = stream()
    monkeypatch.setattr(sys, "stderr", err)
    LONG[title](tmp_path)
    if isinstance(err, Terminal):
        assert f"\r\033[K{title} [" in err.getvalue() and err.getvalue().endswith("\r\033[K")
    else:
        assert err.getvalue() == ""


def test_the_time_left_follows_from_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = Progress("work", fraction=0.5)
    now[0] += 30
    bar.update(0.75, "half of the rest")
    assert sys.stderr.getvalue() == "\r\033[Kwork [##################......]  75%  half of the rest  0:30 left"
    bar.update(0.76)        # drawn ten times a second
    bar.close()
    assert sys.stderr.getvalue().endswith("0:30 left\r\033[K")


def test_a_log_has_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now, log = [100.0], io.StringIO()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", log)
    bar = Progress("work")
    for second in range(1, 61):
        now[0] += 1
        bar.update(second / 60)
    bar.close()
    assert log.getvalue().splitlines() == [
        "work [########................]  33%    0:40 left", "work [################........]  67%    0:20 left",
        "work [########################] 100%    0:00 left"]


def test_times_as_text() -> None:
    assert [clock(t) for t in (0, 75.2, 3600, 3725)] == ["0:00", "1:15", "1:00:00", "1:02:05"]
