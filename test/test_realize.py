"""From graphs to values: compiled once, nothing marked before it ran, stored across processes, counted, printed."""
import os
import subprocess
import sys

import numpy as np
import pytest

from minigrad.dtype import dtypes
from minigrad.engine import store
from minigrad.engine.compile import programs_for
from minigrad.engine.profile import GlobalCounters, duration, kernel_line, scaled, summary
from minigrad.engine.realize import is_realized, realize
from minigrad.helpers import Context
from minigrad.runtime.device import Buffer, Roofs, default_device, get_device
from minigrad.schedule import create_schedule
from minigrad.target import host_target
from minigrad.tensor import Tensor
from minigrad.uops import Ops, UOp, Variable


def leaf(*values: float) -> UOp:
    array = np.array(values, dtype=np.float32)
    buffer = Buffer(default_device(), array.shape, dtypes.float32)
    buffer.copyin(array.tobytes())
    return UOp(Ops.BUFFER, dtypes.float32, (), buffer)


def values(node: UOp) -> list[float]:
    assert is_realized(node)
    base = node.src[0] if node.op is Ops.VIEW else node
    return [float(x) for x in np.array(base.arg.numpy()).reshape(-1)]


# ---- realize

def test_sinks_become_buffers() -> None:
    x = leaf(1, 2, 3)
    double = UOp(Ops.ADD, dtypes.float32, (x, x))
    answer = realize([double, x])
    assert answer[x] is x and answer[double].op is Ops.BUFFER and values(answer[double]) == [2, 4, 6]


def test_register_is_called_with_the_answer() -> None:
    told = []
    node = UOp(Ops.NEG, dtypes.float32, (leaf(1),))
    answer = realize([node], told.append)
    assert told == [answer]


def test_kernels_of_equal_structure_are_one_program() -> None:
    def kernel() -> UOp:
        x = leaf(1, 2)
        schedule, _ = create_schedule([UOp(Ops.MUL, dtypes.float32, (x, x))], Buffer)
        return schedule.kernels[0].ast

    first, second = kernel(), kernel()
    assert first is second
    one, two = programs_for([(first, default_device()), (second, default_device())])
    assert one is two


def test_a_failing_kernel_marks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    device = get_device(default_device())

    def broken(*args: object, **kwargs: object) -> float:
        raise RuntimeError("broken")

    x = Tensor([1.0, 2.0])
    y = x * 3
    monkeypatch.setattr(device, "launch", broken)
    with pytest.raises(RuntimeError, match="broken"):
        y.realize()
    assert not y.is_realized
    monkeypatch.undo()
    assert y.tolist() == [3, 6]


def test_an_interrupt_waits_for_assignments_to_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    device = get_device(default_device())
    launch = device.launch

    def interrupted(*args: object, **kwargs: object) -> float:
        os.kill(os.getpid(), 2)
        return launch(*args, **kwargs)

    x = Tensor([1.0, 2.0])
    for i in range(3):
        x.assign(x + 1)
        monkeypatch.setattr(device, "launch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            x.realize()
        monkeypatch.undo()
        assert x.tolist() == [2 + i, 3 + i]


def test_an_interrupt_elsewhere_leaves_the_graph_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    device = get_device(default_device())

    def interrupted(*args: object, **kwargs: object) -> float:
        raise KeyboardInterrupt

    y = Tensor([1.0, 2.0]).exp()
    monkeypatch.setattr(device, "launch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        y.realize()
    monkeypatch.undo()
    np.testing.assert_allclose(y.numpy(), np.exp([1.0, 2.0]), rtol=1e-6)


def test_memory_between_kernels_is_given_back() -> None:
    x = Tensor(np.ones((256, 256), dtype=np.float32))
    (x @ x).realize()
    before = GlobalCounters.memory_used
    for _ in range(5):
        with Context(NOFUSE=1):
            ((x @ x + 1) * 2 - x).sum().realize()
    assert GlobalCounters.memory_used <= before + (1 << 16)


def test_eager_mode_gives_each_op_a_value_and_equal_results() -> None:
    def compute() -> Tensor:
        x = Tensor([[1.0, 2.0], [3.0, 4.0]])
        return ((x @ x).softmax(-1) * 2 - x.T).sum(0)

    expected = compute().numpy()
    with Context(EAGER=1):
        y = compute()
        assert y.is_realized and (y + 1).is_realized
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)


# ---- counted and printed

def test_operations_bytes_and_kernels_are_counted() -> None:
    x = Tensor([1.0, 2.0, 3.0, 4.0]).realize()
    GlobalCounters.reset()
    with Context(NOFUSE=1):
        (x + 1).realize()
    assert GlobalCounters.kernels == 1 and GlobalCounters.schedules == 1
    if not get_device(default_device()).interprets:
        assert GlobalCounters.operations == 4 and GlobalCounters.bytes == 32


def test_symbolic_work_is_counted_for_the_variables_values() -> None:
    if get_device(default_device()).interprets:
        pytest.skip("the interpreter knows no operations")
    n = Variable("n", 1, 64)
    x = Tensor(np.ones(64, dtype=np.float32)).realize()
    counts = []
    for size in (8, 16):
        GlobalCounters.reset()
        x[:n.bind(size)].exp().realize()
        counts.append((GlobalCounters.operations, GlobalCounters.bytes))
    assert counts[1][0] == 2 * counts[0][0] and counts[1][1] == 2 * counts[0][1]


def test_the_peak_of_memory_starts_over_at_reset() -> None:
    Tensor(np.ones(1 << 20, dtype=np.float32)).exp().realize()
    GlobalCounters.reset()
    low = GlobalCounters.memory_peak
    y = Tensor(np.ones(1 << 20, dtype=np.float32)).exp().realize()
    assert GlobalCounters.memory_peak >= low + (4 << 20) and GlobalCounters.memory_used >= 4 << 20
    del y


def test_debug_2_prints_a_line_for_each_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    with Context(DEBUG=2):
        (Tensor([1.0, 2.0]) * 3).realize()
    out = capsys.readouterr().out
    assert "GFLOP/s" in out and "GB/s" in out and default_device() in out and "test_realize.py" in out
    assert "kernels" in summary() and "time by kernel" in summary()


def test_debug_levels_print_opts_source_and_ast(capsys: pytest.CaptureFixture[str]) -> None:
    x = Tensor(np.arange(17, dtype=np.float32))
    with Context(DEBUG=5, CACHE=0):
        (x * 3.5 + 17.25).realize()
    out = capsys.readouterr().out
    assert "PARAM  slot=0" in out and "17.25:float32" in out
    if not get_device(default_device()).interprets:
        assert "void " in out and "data0[" in out or "data0 +" in out


def test_lines_show_the_share_of_the_roofline() -> None:
    roofs = Roofs(bandwidth=100e9, compute=1000e9)
    line = kernel_line(1, "CPU", "copy_1024", 2, "x.py:3", 1e-3, operations=1000, moved=50_000_000, roofs=roofs)
    assert "50% of memory" in line and "50.0 GB/s" in line
    line = kernel_line(1, "CPU", "matmul", 2, "", 1e-3, operations=500_000_000, moved=1000, roofs=roofs)
    assert "50% of compute" in line and "500.0 GFLOP/s" in line


def test_numbers_are_scaled() -> None:
    assert scaled(123_456_789, "B") == "123.5 MB" and scaled(12, "op") == "12 op"
    assert duration(0.0000015).strip() == "1.50 us" and duration(0.25).strip() == "250.000 ms"


# ---- stored across processes

def test_keys_depend_on_structure_flags_and_target_alone() -> None:
    def ast(value: float) -> UOp:
        x = leaf(1, 2)
        schedule, _ = create_schedule([UOp(Ops.MUL, dtypes.float32, (x, UOp.const(dtypes.float32, value)))], Buffer)
        return schedule.kernels[0].ast

    target = host_target()
    key = store.kernel_key(ast(2.0), target, "c")
    assert key == store.kernel_key(ast(2.0), target, "c")
    assert key != store.kernel_key(ast(3.0), target, "c")
    assert key != store.kernel_key(ast(2.0), target, "other")
    with Context(NOOPT=1):
        assert key != store.kernel_key(ast(2.0), target, "c")


def test_stored_values_come_back_as_they_were() -> None:
    n, m = Variable("n", 1, 8), Variable("m", 0, 3)
    plain = (1, 2.5, float("inf"), "text", None, True, (1, (2, "x")), frozenset({"a", "b"}), dtypes.float16, Ops.ADD)
    for value in (*plain, n * 4 + m // 2, (n + 1).maximum(m * 3), n % 3, n * m + 7):
        decoded = store.decode(store.encode(value))
        assert decoded == value or decoded is value


@pytest.mark.parametrize("damage", [
    b"", b"{", b"[]", b"null", b'{"data": ["os", "system", {}]}', b'{"data": ["minigrad.engine.store", "load", {}]}',
    b'{"uop": [["ADD", "float32", [5], null]]}', b'{"tuple": 3}', b'{"nothing": 1}', b'\xff\xfe'])
def test_damaged_records_are_absent(damage: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.cache, "get", lambda key: damage)
    assert store.load("any") is None


PROGRAM = """
import numpy as np
from minigrad import GlobalCounters, Tensor
x = Tensor(np.arange(64, dtype=np.float32).reshape(8, 8))
y = (x @ x).softmax(-1).sum(0)
assert np.isfinite(y.numpy()).all()
print(GlobalCounters.lowered, GlobalCounters.disk_hits)
"""


def test_a_second_process_neither_lowers_nor_compiles(tmp_path) -> None:
    if get_device(default_device()).interprets:
        pytest.skip("the interpreter compiles nothing")
    environment = {**os.environ, "CACHEDIR": str(tmp_path), "CACHE": "1", "DEBUG": "0"}

    def run(**more: str) -> tuple[int, int]:
        done = subprocess.run([sys.executable, "-c", PROGRAM], env={**environment, **more}, capture_output=True,
                              text=True)
        assert done.returncode == 0, done.stderr
        lowered, hits = done.stdout.split()
        return int(lowered), int(hits)

    lowered, hits = run()
    assert lowered > 0 and hits == 0
    assert run(PYTHONHASHSEED="1") == (0, lowered)
