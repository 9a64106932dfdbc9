"""What DEBUG prints, and the numbers in it: operations and bytes follow from the kernel alone."""
import os
import re
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from extra.models.llama import KVCache, Llama, LlamaConfig
from minigrad import Context, GlobalCounters, Tensor, TinyJit, Variable, dtypes, explain
from minigrad.engine.compile import forget_programs
from minigrad.engine.profile import duration, scaled, short, summary, wall_time
from minigrad.runtime.device import Roofs


def zeros(*shape: int, dtype: object = dtypes.float32) -> Tensor:
    return Tensor.zeros(*shape, dtype=dtype).contiguous().realize()


@pytest.mark.parametrize("n", [48, 96])
def test_a_product_of_half_matrices_has_intensity_n_over_3(n: int) -> None:
    kernel, = explain(zeros(n, n, dtype=dtypes.float16) @ zeros(n, n, dtype=dtypes.float16)).kernels
    assert kernel.operations / kernel.nbytes == n / 3


@pytest.mark.parametrize("make, operations, nbytes", [
    (lambda x: x + 1, 600, 2 * 4 * 600),
    (lambda x: x.exp() * 2 + x, 3 * 600, 2 * 4 * 600),
    (lambda x: x.sum(), 600, 4 * 601),
    (lambda x: x[:, :10] + 1, 200, 2 * 4 * 200),
    (lambda x: x.reshape(30, 20).permute(1, 0) * 3, 600, 2 * 4 * 600),
])
def test_operations_and_least_bytes(make: object, operations: int, nbytes: int) -> None:
    kernel, = explain(make(zeros(20, 30))).kernels  # type: ignore[operator]
    assert (kernel.operations, kernel.nbytes) == (operations, nbytes)


def test_the_higher_roof_is_named() -> None:
    roofs = Roofs(bandwidth=10.0, compute=100.0)
    assert roofs.bound_by(1000, 1) == "compute" and roofs.least_time(1000, 1) == 10
    assert roofs.bound_by(1, 1000) == "memory" and roofs.least_time(1, 1000) == 100


def test_every_kernel_has_a_line_with_where_it_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    x = zeros(64, 64)
    with Context(DEBUG=2):
        GlobalCounters.reset()
        (x @ x).exp().realize()
        x.sum().realize()
        text = summary()
    here = Path(__file__).name
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("CPU ") and "op/B" in line]
    assert len(printed) == 2 and all(f"{here}:" in line and "GFLOP/s" in line for line in printed)
    assert all("% of compute" in line or "% of memory" in line for line in printed)
    assert len({line.index("GFLOP/s") for line in printed}) == 1  # aligned
    assert GlobalCounters.kernels == 2 == sum(t.launches for t in GlobalCounters.by_line.values())
    assert all(line.startswith(__file__) for line in GlobalCounters.by_line)
    assert 0 < GlobalCounters.seconds <= GlobalCounters.launching
    assert "inside of kernels" in text and "time by kernel" in text and "time by line" in text


def test_a_replay_says_what_its_time_went_into(capsys: pytest.CaptureFixture[str]) -> None:
    @TinyJit
    def step(x: Tensor) -> Tensor:
        return (x @ x).exp().sum(axis=0).realize()
    x = zeros(256, 256)
    for _ in range(3):
        step(x)
    capsys.readouterr()
    with Context(DEBUG=2):
        step(x)
    found = re.search(r"^replay of \S*step: (\d+) kernels in .*: (.*)% inside of kernels, (.*)% waking threads, "
                      r"(.*)% Python$", capsys.readouterr().out, re.MULTILINE)
    assert found is not None
    shares = [float(text) for text in found.groups()[1:]]
    assert int(found[1]) == len(explain(step).kernels)
    assert all(share >= 0 for share in shares) and abs(sum(shares) - 100) < 0.3


def test_the_wall_time_of_a_token_has_parts_that_add_up() -> None:
    config = LlamaConfig(dim=64, layers=2, heads=4, kv_heads=2, hidden=128, vocab_size=500, context=32)
    model, cache = Llama(config), KVCache(config, 32)
    model.initialise(0)
    token = TinyJit(lambda tokens, start: model(tokens, start, cache).realize())
    inputs, start = Tensor([[1]], dtype="int32").realize(), Variable("start", 0, 31)
    for place in range(3):
        token(inputs, start.bind(place))
    with Context(DEBUG=2):
        GlobalCounters.reset()
        token(inputs, start.bind(3))
        parts = dict(wall_time())
    assert GlobalCounters.replays == 1
    kernels, waking, launching, scheduling, compiling, elsewhere = parts.values()
    assert min(kernels, launching, elsewhere) > 0 and min(waking, scheduling) >= 0 and not compiling
    assert sum(parts.values()) <= perf_counter() - GlobalCounters.began


def test_sources_say_which_lines_they_compute(capsys: pytest.CaptureFixture[str]) -> None:
    x = zeros(13, 7)
    forget_programs()
    with Context(DEBUG=4):
        y = x.exp()
        (y * 1.625).realize()
    comment, = [line for line in capsys.readouterr().out.splitlines() if line.startswith("// computes")]
    assert comment.count(Path(__file__).name) == 2
    forget_programs()
    with Context(DEBUG=5):
        (x.exp() * 1.625).realize()
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("  %") and " = STORE " in line for line in lines)
    assert any(line.startswith("SINK ") for line in lines)


def test_numbers_as_text() -> None:
    assert scaled(123456789, "B") == "123.5 MB" and duration(0.0021).strip() == "2.100 ms"
    assert short(os.path.join(os.getcwd(), "a.py:3")) == "a.py:3" and short("/elsewhere/a.py:3") == "/elsewhere/a.py:3"


def test_the_doctor_finds_the_machine() -> None:
    done = subprocess.run([sys.executable, "-m", "minigrad.doctor"], capture_output=True, text=True, timeout=100,
                          env={**os.environ, "THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FLOP/s float32" in done.stdout and "THREADS=1" in done.stdout and "1 + 1 = 2" in done.stdout
    broken = subprocess.run([sys.executable, "-m", "minigrad.doctor"], capture_output=True, text=True, timeout=100,
                            env={**os.environ, "DEV": "NOWHERE"})
    assert broken.returncode == 1 and "NOT USABLE" in broken.stdout


def test_timing_does_not_change_results() -> None:
    x = Tensor(np.linspace(0, 1, 30, dtype=np.float32))
    with Context(DEBUG=0):
        plain = x.softmax().numpy()
    with Context(DEBUG=2):
        assert np.array_equal(x.softmax().numpy(), plain)
