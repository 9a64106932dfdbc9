"""Captured graphs as C: built by the compilers that are here, run without Python, and compared with Python."""
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extra.models.llama import KVCache, Llama, LlamaConfig
from minigrad import Tensor, TinyJit, Variable, nn
from minigrad.dtype import dtypes
from minigrad.engine.saved import GraphError
from minigrad.runtime.compiler import find_compiler
from minigrad.runtime.device import default_device

pytestmark = pytest.mark.skipif(default_device() != "CPU", reason="only the CPU's kernels are written as C")

FLAGS = ("-O2", "-march=native", "-fwrapv", "-fno-strict-aliasing", "-fno-math-errno", "-Werror=implicit")
GCC = shutil.which("gcc")
has_gcc = pytest.mark.skipif(GCC is None, reason="no gcc, or no C library's headers")


def weighted(rng: np.random.Generator, model: Any) -> Any:
    for weight in nn.state.get_parameters(model):
        weight.replace(Tensor((rng.normal(size=weight.shape) * 0.3).astype(np.float32)).realize())
    return model


def called(function: Callable[..., Any], *arguments: Any) -> TinyJit[..., Any]:
    """The function after three calls."""
    jitted = TinyJit(function)
    for _ in range(3):
        jitted(*arguments)
    return jitted


def built(folder: Path, name: str, main: str, *flags: str) -> Path:
    """The program of an exported graph and a `main` that uses it."""
    (folder / "main.c").write_text(f'#include "{name}.h"\n#include <stdio.h>\n#include <stdlib.h>\n{main}')
    assert GCC is not None
    subprocess.run([GCC, *FLAGS, *flags, f"{name}.c", "main.c", "-o", "program", "-lm"], cwd=folder, check=True,
                   timeout=200)
    return folder / "program"


def output_of(program: Path, *arguments: str, **environment: str) -> list[float]:
    done = subprocess.run([program, *arguments], cwd=program.parent, check=True, capture_output=True, text=True,
                          timeout=60, env={"PATH": "", **environment})
    return [float(line) for line in done.stdout.split()]


class Perceptron:
    """Two layers with a hidden one between."""

    def __init__(self) -> None:
        self.hidden, self.output = nn.Linear(3, 20), nn.Linear(20, 2)

    def __call__(self, x: Tensor) -> Tensor:
        return self.output(self.hidden(x).tanh()).softmax().realize()


MLP_MAIN = """
int main(void) {
    float x[5 * 3], y[5 * 2];
    mlp *graph = mlp_create();
    for (int i = 0; i < 15; i++) x[i] = i * 0.125f - 1;
    if (!graph || mlp_run(graph, x, y)) return 1;
    for (int i = 0; i < 10; i++) printf("%.9g\\n", y[i]);
    mlp_free(graph);
    return 0;
}
"""


@has_gcc
@pytest.mark.parametrize("flags", [(), ("-fopenmp",)])
def test_a_perceptron_runs_without_python(tmp_path: Path, flags: tuple[str, ...]) -> None:
    model = weighted(np.random.default_rng(0), Perceptron())
    x = Tensor((np.arange(15, dtype=np.float32) * 0.125 - 1).reshape(5, 3))
    jitted = called(lambda x: model(x), x)
    jitted.export(tmp_path / "mlp.c")
    found = output_of(built(tmp_path, "mlp", MLP_MAIN, *flags))
    np.testing.assert_allclose(np.array(found).reshape(5, 2), jitted(x).numpy(), rtol=2e-6)


LLAMA_MAIN = """
int main(int count, char **arguments) {
    static float logits[96];
    decode *graph = decode_create(%s);
    if (!graph) return 1;
    if (decode_run(graph, (int[]){0}, 24, logits) != 1 || decode_run(graph, (int[]){0}, -1, logits) != 1) return 2;
    for (int position = 0; position < 20; position++) {
        if (decode_run(graph, (int[]){position * 7 %% 96}, position, logits)) return 3;
        for (int i = 0; i < 96; i++) printf("%%.9g\\n", logits[i]);
    }
    decode_free(graph);
    return 0;
}
"""


def tiny_llama() -> tuple[TinyJit[..., Tensor], KVCache, Variable]:
    config = LlamaConfig(dim=32, layers=2, heads=4, kv_heads=2, hidden=48, vocab_size=96, context=24)
    model, cache, start = weighted(np.random.default_rng(1), Llama(config, 24)), KVCache(config, 24), Variable(
        "start", 0, 23)
    decode = TinyJit(lambda token, start: model(token, start, cache).realize())
    for position in range(3):
        decode(Tensor([[position]]), start.bind(position))
    return decode, cache, start


@has_gcc
@pytest.mark.parametrize("weights", ["inline", "file"])
def test_a_small_llama_decodes_without_python(tmp_path: Path, weights: str) -> None:
    decode, _, start = tiny_llama()
    decode.export(tmp_path / "decode.c", weights=weights)
    program = built(tmp_path, "decode", LLAMA_MAIN % ("arguments[1]" if weights == "file" else ""))
    found = np.array(output_of(program, str(tmp_path / "decode.bin"))).reshape(20, 96)
    expected = [decode(Tensor([[position * 7 % 96]]), start.bind(position)).numpy().reshape(96)
                for position in range(20)]
    np.testing.assert_allclose(found, np.array(expected), rtol=1e-4, atol=1e-5)
    if weights == "file":
        data = (tmp_path / "decode.bin").read_bytes()
        for damaged in (data[:-1], data + b"x", bytes(8) + data[8:], b""):
            (tmp_path / "decode.bin").write_bytes(damaged)
            assert subprocess.run([program, "decode.bin"], cwd=tmp_path, check=False).returncode == 1
        assert subprocess.run([program, "nothing"], cwd=tmp_path, check=False).returncode == 1


def test_the_project_s_own_compiler_reads_the_text(tmp_path: Path) -> None:
    """It comes without headers: what the text takes from the C library is declared here."""
    tiny_llama()[0].export(tmp_path / "decode.c")
    text = (tmp_path / "decode.c").read_text().replace('#include "decode.h"', (tmp_path / "decode.h").read_text())
    library = "typedef unsigned long size_t; void *calloc(size_t, size_t); void free(void *);" \
              "void *aligned_alloc(size_t, size_t); void *memcpy(void *, const void *, size_t);" \
              "void *memset(void *, int, size_t);\n"
    text = library + "\n".join(line for line in text.splitlines() if not line.startswith("#include"))
    assert b"decode_run" in find_compiler().compile(text)


STRUCTURE_MAIN = """
int main(void) {
    int x[6] = {1, 2, 3, 4, 5, 6}, sum[2], again[2], kept[3], same[6];
    unsigned short half[6];
    shapes *graph = shapes_create();
    for (int turn = 0; turn < 2; turn++) {
        if (!graph || shapes_run(graph, x, sum, again, kept, half)) return 1;
        printf("%d %d %d %d %d %d %d\\n", sum[0], sum[1], again[0], again[1], kept[0], kept[1], kept[2]);
        for (int i = 0; i < 6; i++) printf("%d\\n", half[i]);
    }
    shapes_free(graph);
    return 0;
}
"""


@has_gcc
def test_results_of_every_kind_are_written_in_order(tmp_path: Path) -> None:
    """An output twice, memory that each call changes, 16-bit floats as bits, an argument that is given back."""
    counts = Tensor([100, 200, -2**31]).realize()

    def shapes(x: Tensor) -> Any:
        nonlocal counts
        counts.assign(counts + 1)
        total = x.sum(axis=1).realize()
        return {"sum": total, "again": [total.reshape(1, 2)], "kept": counts,
                "half": (x / 3).cast(dtypes.float16), "x": x}

    x = Tensor([[1, 2, 3], [4, 5, 6]])
    jitted = called(shapes, x)
    jitted.export(tmp_path / "shapes.c")
    found = output_of(built(tmp_path, "shapes", STRUCTURE_MAIN))
    bits = (np.arange(1, 7, dtype=np.float32) / 3).astype(np.float16).view(np.uint16).tolist()
    assert found == [6, 15, 6, 15, 104, 204, 4 - 2**31, *bits, 6, 15, 6, 15, 105, 205, 5 - 2**31, *bits]


@pytest.fixture
def doubled() -> Iterator[TinyJit[..., Tensor]]:
    yield called(lambda x: (x * 2).realize(), Tensor([1.0, 2.0]))


@pytest.mark.parametrize("name, weights", [("a b.c", "inline"), ("4.c", "inline"), ("int.c", "inline"),
                                           ("twice", "inline"), ("twice.c", "passed")])
def test_names_and_choices_are_checked(tmp_path: Path, doubled: TinyJit[..., Tensor], name: str, weights: str) -> None:
    with pytest.raises(ValueError, match="expected the path of a file IDENTIFIER.c and weights of inline, file"):
        doubled.export(tmp_path / name, weights=weights)
    assert os.listdir(tmp_path) == []


def test_a_variable_that_c_has_no_name_for_is_refused(tmp_path: Path) -> None:
    table = Tensor([1.0, 2.0, 3.0]).realize()
    jitted = called(lambda n: table[n:n + 1].contiguous().realize(), Variable("block", 0, 2).bind(1))
    with pytest.raises(GraphError, match="the variable 'block' needs another name in C"):
        jitted.export(tmp_path / "a.c")


def test_views_that_c_could_not_name_are_refused(tmp_path: Path) -> None:
    x = Tensor([[1.0, 2.0], [3.0, 4.0]]).realize()
    with pytest.raises(GraphError, match=r"output 0 is a view that is not contiguous: return \.contiguous\(\) of it"):
        called(lambda x: (x * 2).realize().transpose(), x).export(tmp_path / "a.c")
    with pytest.raises(GraphError, match="argument 0 is a view that is not contiguous"):
        called(lambda x: (x * 2).realize(), x.transpose()).export(tmp_path / "a.c")
    assert os.listdir(tmp_path) == []
