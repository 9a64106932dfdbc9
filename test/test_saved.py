"""Captured graphs in files: what comes back in another process, and what is refused."""
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from minigrad import Tensor, TinyJit, Variable, nn
from minigrad.dtype import dtypes
from minigrad.engine.jit import JitError
from minigrad.engine.profile import GlobalCounters
from minigrad.engine.saved import GraphError
from minigrad.runtime import safetensors
from minigrad.runtime.device import default_device, get_device
from minigrad.target import Target

pytestmark = pytest.mark.skipif(default_device() != "CPU", reason="only the CPU's code is saved")

POSITION = Variable("position", 0, 7)


class Counter:
    """Adds rows to memory of its own at a position, and multiplies what is there by weights."""

    def __init__(self) -> None:
        self.weight = Tensor(np.arange(12, dtype=np.float32).reshape(3, 4) / 8).realize()
        self.memory = Tensor.zeros(8, 3).contiguous().realize()

    def step(self, row: Tensor, position: Any) -> Tensor:
        self.memory[position:position + 1] = row
        return (self.memory @ self.weight).relu().realize()


def counter_graph() -> tuple[TinyJit[..., Tensor], Counter]:
    counter = Counter()
    step = TinyJit(lambda row, position: counter.step(row, position))
    for i in range(3):
        step(Tensor([[1.0, i, -2.0]]), POSITION.bind(i))
    return step, counter


def saved(tmp_path: Path, function: Callable[..., Any], *arguments: Any) -> Path:
    """The file of a function that was called three times."""
    jitted = TinyJit(function)
    for _ in range(3):
        jitted(*arguments)
    jitted.save(tmp_path / "graph")
    return tmp_path / "graph"


CHILD = """
import sys
import numpy as np
from minigrad import GlobalCounters, Tensor, TinyJit
from minigrad.runtime.compiler import Compiler, find_compiler
find_compiler()  # a trial of the compiler is no compiling of the graph
def compiled(*_): raise AssertionError("compiled")
Compiler.compile = compiled
graph = TinyJit.load(sys.argv[1])
results = [graph(Tensor(np.array([[4.0, 5.0, i]], np.float32)), position=i).numpy() for i in (3, 7)]
assert GlobalCounters.schedules == GlobalCounters.lowered == GlobalCounters.compiled == 0, vars(GlobalCounters)
np.save(sys.argv[2], np.array(results))
"""


def test_a_new_process_without_a_cache_goes_on_where_the_graph_was_saved(tmp_path: Path) -> None:
    step, _ = counter_graph()
    step.save(tmp_path / "graph")
    expected = [step(Tensor([[4.0, 5.0, float(i)]]), POSITION.bind(i)).numpy() for i in (3, 7)]
    environment = {**os.environ, "CACHEDIR": str(tmp_path / "cache"), "SPEC": "0"}
    subprocess.run([sys.executable, "-c", CHILD, str(tmp_path / "graph"), str(tmp_path / "out.npy")], check=True,
                   env=environment, timeout=100)
    assert np.array_equal(np.load(tmp_path / "out.npy"), np.array(expected))


def test_a_loaded_graph_has_memory_of_its_own(tmp_path: Path) -> None:
    step, counter = counter_graph()
    step.save(tmp_path / "graph")
    first, second = TinyJit.load(tmp_path / "graph"), TinyJit.load(tmp_path / "graph")
    before = counter.memory.numpy().copy()
    first(Tensor([[9.0, 9.0, 9.0]]), position=6)
    assert np.array_equal(counter.memory.numpy(), before)
    assert np.array_equal(second.tensors["counter.memory"].numpy(), before)
    assert first.tensors["counter.memory"].numpy()[6].tolist() == [9.0, 9.0, 9.0]


def test_results_that_are_held_keep_their_values(tmp_path: Path) -> None:
    graph = TinyJit.load(saved(tmp_path, lambda x: (x * 2).realize(), Tensor([1.0, 2.0])))
    results = [graph(Tensor([float(i), 0.0])) for i in range(4)]
    assert [result.tolist() for result in results] == [[2.0 * i, 0.0] for i in range(4)]


def test_results_keep_their_structure(tmp_path: Path) -> None:
    table = Tensor([5, 6, 7]).realize()

    def function(x: Tensor, y: Tensor) -> Any:
        z = (x + y).realize()
        return {"sum": z, "turned": [z.transpose(), z[0:1]], "same": x, "kept": table, "one": Tensor.ones(2),
                "plain": (3, None, "text", 0.5)}

    x, y = Tensor([[1.0, 2.0], [3.0, 4.0]]), Tensor([[10.0, 20.0], [30.0, 40.0]])
    graph = TinyJit.load(saved(tmp_path, function, x, y))
    found = graph(y, y)
    assert list(found) == ["sum", "turned", "same", "kept", "one", "plain"]
    assert found["sum"].tolist() == [[20.0, 40.0], [60.0, 80.0]] and found["same"] is y
    assert [t.tolist() for t in found["turned"]] == [[[20.0, 60.0], [40.0, 80.0]], [[20.0, 40.0]]]
    assert found["kept"].tolist() == [5, 6, 7] and found["one"].tolist() == [1.0, 1.0]
    assert found["plain"] == (3, None, "text", 0.5)


def test_a_training_step_goes_on_in_a_loaded_graph(tmp_path: Path) -> None:
    layer = nn.Linear(3, 2)
    optimiser = nn.optim.AdamW(nn.state.get_parameters(layer), lr=0.01)

    def step(x: Tensor) -> Tensor:
        optimiser.zero_grad()
        loss = (layer(x) ** 2).mean()
        loss.backward()
        optimiser.step()
        return loss.realize()

    x = Tensor(np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32))
    jitted = TinyJit(step)
    for _ in range(3):
        jitted(x)
    jitted.save(tmp_path / "graph")
    graph = TinyJit.load(tmp_path / "graph")
    expected = [jitted(x).item() for _ in range(4)]
    assert [graph(x).item() for _ in range(4)] == expected and expected[-1] < expected[0]


def test_weights_can_be_given_when_the_graph_is_loaded(tmp_path: Path) -> None:
    step, counter = counter_graph()
    step.save(tmp_path / "graph", weights=False)
    weight = counter.weight.numpy() * 3
    for given in (weight, Tensor(weight)):
        graph = TinyJit.load(tmp_path / "graph", weights={"counter.weight": given})
        row = np.array([[1.0, 1.0, 1.0]], np.float32)
        memory = counter.memory.numpy().copy()
        memory[4] = row
        found = graph(Tensor(row), POSITION.bind(4)).numpy()
        np.testing.assert_allclose(found, np.maximum(memory @ weight, 0), rtol=1e-6)


@pytest.mark.parametrize("weights, message", [
    ({}, "the weight 'counter.weight', float32 of shape \\(3, 4\\), is not in the file"),
    ({"counter.weight": np.zeros((3, 4))}, "expected float32 of shape"),
    ({"counter.weight": np.zeros((3, 5), np.float32)}, "expected float32 of shape"),
    ({"weight": np.zeros((3, 4), np.float32)}, "no weight is named 'weight'; there are .*'counter.weight'"),
])
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, weights: dict[str, Any], message: str) -> None:
    counter_graph()[0].save(tmp_path / "graph", weights=False)
    with pytest.raises(GraphError, match=message):
        TinyJit.load(tmp_path / "graph", weights=weights)


def test_an_argument_with_another_view_is_copied(tmp_path: Path) -> None:
    graph = TinyJit.load(saved(tmp_path, lambda x: (x + 1).realize(), Tensor([[1.0, 2.0], [3.0, 4.0]])))
    x = Tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    assert graph(x[:, 1:]).tolist() == [[2.0, 3.0], [5.0, 6.0]]
    assert graph(x[:, :2].transpose()).tolist() == [[1.0, 4.0], [2.0, 5.0]]


@pytest.mark.parametrize("arguments, values, error, message", [
    ((Tensor([[1.0, 2.0]]),), {"position": 1}, GraphError, "argument 0 is float32 of shape \\(1, 2\\).*\\(1, 3\\)"),
    ((Tensor([[1, 2, 3]]),), {"position": 1}, GraphError, "argument 0 is int32"),
    ((Tensor([[1.0, 2.0, 3.0]]),), {"position": 8}, ValueError, "position is 8, expected 0 to 7"),
    ((Tensor([[1.0, 2.0, 3.0]]),), {"position": 1.5}, ValueError, "position is 1.5"),
    ((Tensor([[1.0, 2.0, 3.0]]), POSITION.bind(2)), {"position": 3}, ValueError, "given as 2 and as 3"),
    ((Tensor([[1.0, 2.0, 3.0]]),), {}, TypeError, "expected 1 tensors and variables \\['position'\\]"),
    ((), {"position": 1}, TypeError, "got 0"),
    ((Tensor([[1.0, 2.0, 3.0]]), 1), {}, TypeError, "expected tensors and bound variables, got 1"),
])
def test_arguments_that_do_not_fit_are_refused(tmp_path: Path, arguments: Any, values: Any, error: type[Exception],
                                               message: str) -> None:
    counter_graph()[0].save(tmp_path / "graph")
    graph = TinyJit.load(tmp_path / "graph")
    with pytest.raises(error, match=message):
        graph(*arguments, **values)


def test_a_graph_refuses_its_own_memory_as_an_argument(tmp_path: Path) -> None:
    weight = Tensor([1.0, 2.0]).realize()
    path = saved(tmp_path, lambda x: (x + weight).realize(), Tensor([1.0, 2.0]))
    graph = TinyJit.load(path)
    own, = graph.tensors.values()
    with pytest.raises(GraphError, match="share memory"):
        graph(own)


def test_a_loaded_graph_is_no_part_of_another(tmp_path: Path) -> None:
    graph = TinyJit.load(saved(tmp_path, lambda x: (x + 1).realize(), Tensor([1.0])))
    with pytest.raises(GraphError, match="cannot become a part of another one"):
        TinyJit(lambda x: graph(x))(Tensor([1.0]))


def test_weights_may_be_called_like_parts_of_the_file(tmp_path: Path) -> None:
    weights = {"code 0": Tensor([1.0]).realize(), "pool": Tensor([2.0]).realize()}
    pool = weights["pool"]
    graph = TinyJit.load(saved(tmp_path, lambda x: (x + weights["code 0"] + pool).realize(), Tensor([1.0])))
    assert graph(Tensor([1.0])).item() == 4.0


# ---- what cannot be saved -------------------------------------------------------------------------------------------


def test_a_function_without_a_graph_cannot_be_saved(tmp_path: Path) -> None:
    jitted = TinyJit(lambda x: (x + 1).realize())
    jitted(Tensor([1.0]))
    with pytest.raises(JitError, match="no graph yet .*: call it twice first"):
        jitted.save(tmp_path / "graph")


def test_what_only_this_process_has_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="random numbers"):
        saved(tmp_path, lambda x: (x + Tensor.rand(1)).realize(), Tensor([1.0]))
    held = {"state": Tensor([1.0]).realize()}

    def moves(x: Tensor) -> Tensor:
        held["state"] = (held["state"] + x).realize()
        return held["state"]

    with pytest.raises(GraphError, match="held\\['state'\\] gets other memory in each call"):
        saved(tmp_path, moves, Tensor([1.0]))
    x = Tensor([1.0]).realize()
    with pytest.raises(GraphError, match="argument 0 is a tensor that the function also reads elsewhere"):
        saved(tmp_path, lambda y: (y + x).realize(), x)
    with pytest.raises(GraphError, match="arguments 0 and 1 share memory"):
        saved(tmp_path, lambda y, z: (y + z).realize(), x, x)
    with pytest.raises(GraphError, match="returns a (builtin_)?function"):
        saved(tmp_path, lambda y: [len, (y + 1).realize(), saved], Tensor([1.0]))
    assert not (tmp_path / "graph").exists()


# ---- files from outside ---------------------------------------------------------------------------------------------


def test_every_damaged_byte_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path, lambda x: (x * 2).sum().realize(), Tensor([1.0, 2.0]))
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    start = 8 + int.from_bytes(data[:8], "little")
    places = [*range(12), *rng.integers(0, start, 60), *rng.integers(start, len(data), 40)]
    for place in places:
        if data[place] == ord(" ") and place < start:  # the header's padding, which may be any white space
            continue
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(GraphError):
            TinyJit.load(path)
    for length in [0, 7, 8, start - 1, start, *rng.integers(0, len(data), 20), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(GraphError):
            TinyJit.load(path)
    path.write_bytes(data)
    assert TinyJit.load(path)(Tensor([1.0, 2.0])).item() == 6.0


def rewritten(path: Path, change: Callable[[dict[str, Any]], None], **metadata: str) -> None:
    """The file with another plan, whose checksum fits."""
    file = memoryview(path.read_bytes())
    header = safetensors.parse(file)
    plan = json.loads(header.metadata["plan"])
    change(plan)
    text = json.dumps(plan)
    data_start = 8 + int.from_bytes(file[:8], "little")
    head = safetensors.write_header({name: (info.dtype, info.shape) for name, info in header.tensors.items()},
                                    {**header.metadata, "plan": text, "sum": str(crc32(text.encode())), **metadata})
    path.write_bytes(head + bytes(file[data_start:]))


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, lambda x: (x * 2).realize(), Tensor([1.0, 2.0]))
    rewritten(path, lambda plan: None, version="999")
    with pytest.raises(GraphError, match="of version '999'; this is version 1"):
        TinyJit.load(path)
    nn.state.safe_save({"x": Tensor([1.0])}, path)
    with pytest.raises(GraphError, match="not a saved graph"):
        TinyJit.load(path)


def test_code_for_another_processor_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, lambda x: (x * 2).realize(), Tensor([1.0, 2.0]))
    target = get_device("CPU").target
    plain = replace(target, features=frozenset(f for f in target.features if not f.startswith("avx")), model="Small")
    monkeypatch.setattr(type(get_device("CPU")), "target", property(lambda self: plain))
    if plain.features != target.features:
        with pytest.raises(GraphError, match="needs a processor with .*avx.*, which this one \\(Small\\) has not"):
            TinyJit.load(path)
    monkeypatch.setattr(type(get_device("CPU")), "target", property(lambda self: replace(target, arch="sparc")))
    with pytest.raises(GraphError, match="needs a processor with "):
        TinyJit.load(path)


def test_only_words_for_instructions_count(tmp_path: Path) -> None:
    features = frozenset({"avx512f", "fma", "hypervisor", "md_clear", "sse2"})
    target = Target("CPU", "x86_64", 64, 32, 1, 1, 1, 1, features)
    assert target.instruction_sets() == {"x86_64", "avx512f", "fma", "sse2"}


@pytest.mark.parametrize("change", [
    lambda plan: plan["steps"][0].__setitem__(0, 5), lambda plan: plan["steps"][0][1].append(99),
    lambda plan: plan["memory"][0].__setitem__(0, "other"), lambda plan: plan.pop("result"),
    lambda plan: plan["code"][0].__setitem__(1, "nothing"), lambda plan: plan["kernels"][0]["data"][2].pop("name"),
    lambda plan: plan["memory"][0].__setitem__(3, {"dtype": "float3"}), lambda plan: plan.update(device="GPU9"),
])
def test_a_plan_that_makes_no_sense_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = saved(tmp_path, lambda x: (x * 2).realize(), Tensor([1.0, 2.0]))
    rewritten(path, change)
    with pytest.raises(GraphError):
        TinyJit.load(path)


def test_sixteen_bit_weights_keep_their_bits(tmp_path: Path) -> None:
    weights = {dtype: Tensor([1.0, 1 / 3, 2e-3]).cast(dtype).realize() for dtype in (dtypes.float16, dtypes.bfloat16)}
    path = saved(tmp_path, lambda x: [(x * w).realize() for w in weights.values()], Tensor([1.0, 2.0, 3.0]))
    GlobalCounters.reset()
    found = TinyJit.load(path)(Tensor([1.0, 1.0, 1.0]))
    assert [t.tolist() for t in found] == [w.cast(dtypes.float32).tolist() for w in weights.values()]
