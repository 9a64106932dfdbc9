"""Golden C sources: what the pipeline makes of small kernels for an AVX-512 machine, and that the compiler takes each.

GOLDEN=1 rewrites the files under test/golden/c. The target is fixed, so that they do not depend on the machine; most
kernels have their opts spelled out, so that they do not depend on the heuristic.
"""
from __future__ import annotations

import functools
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from kernel_cases import (
    BF16,
    CASES,
    F32,
    I32,
    attention,
    finish_specs,
    gelu,
    one,
    param,
    product,
    softmax,
    stretch,
    total,
    transposed,
)

from minigrad.codegen.opts import NonTemporal, Opt, Order, Peel, Split, Thread, Unroll, Upcast, Vector
from minigrad.codegen.pipeline import lower_kernel
from minigrad.codegen.place import Bound, Place
from minigrad.renderer.base import ProgramSpec, join_sources
from minigrad.renderer.clang import render
from minigrad.runtime.compiler import find_compiler, language_features
from minigrad.runtime.device import Buffer
from minigrad.schedule import create_schedule
from minigrad.shape.build import add, cast, elementwise, mul, pad, reshape, shrink
from minigrad.target import Target, host_target
from minigrad.tensor import Tensor
from minigrad.uops import Ops, UOp

FOLDER = Path(__file__).with_name("golden") / "c"
REFRESH = bool(os.environ.get("GOLDEN"))
TARGET = Target(name="CPU", arch="x86_64", vector_bytes=64, registers=32, l1=48 << 10, l2=2 << 20, l3=32 << 20, cores=8,
                features=frozenset({"avx512f", "fma"}), scratch=16 << 20)
CLANG = language_features("clang", 20)
README = "README.md"
Opts = Sequence[Opt] | None


def lanes(name: str, vectors: int = 4) -> tuple[Opt, ...]:
    """A range in blocks of so many vectors of 16."""
    return (Split(name, 16 * vectors), Split(f"{name}.1", 16), Vector(f"{name}.1.1"), Upcast(f"{name}.1.0"))


def made(name: str, value: UOp) -> UOp:
    return one(name, value).ast


def kernels() -> dict[str, tuple[UOp, Opts]]:
    """ASTs with their opts; None: as the heuristic chooses."""
    n = 4096
    a, b = param(1, (n,)), param(2, (n,))
    chain = elementwise(Ops.EXP, add(mul(a, b), 1.0))
    matrix, square = param(1, (64, 512)), param(1, (96, 96))
    tile: tuple[Opt, ...] = (
        Split("o1", 64), Split("o1.1", 16), Order(("o1.0", "o0", "o1.1.0", "o1.1.1")), Thread("o1.0"),
        Place("p2", ("o1.0",), ((0, 1, 0), (1, 1, 0))), Split("o0", 6), Upcast("o0.1"), Upcast("o1.1.0"),
        Vector("o1.1.1"), Split("p2_1", 16), Upcast("p2_1.0"), Vector("p2_1.1"))
    rows: tuple[Opt, ...] = (
        Split("o1", 16), Bound("r3", ("o1.0",), 16), Bound("r2", ("o1.0",), 16), Bound("r1", ("o1.0",), 16),
        Place("v1", ("o0", "o1.0")), Thread("o0"))
    # three rows, each shifted by one more, times what lies outside of the padding too: lanes are masked on both sides
    rows_of_3 = reshape(shrink(reshape(pad(mul(param(1, (4, 3, 37)), param(2, (4, 3, 37))), ((0, 0), (0, 0), (2, 2))),
                                       (4, 123)), ((0, 4), (2, 122))), (4, 3, 40))
    shifted = total(shrink(rows_of_3, ((0, 4), (0, 3), (0, 39))), 1)
    shape = (2, 64, 32)
    heads = attention(param(1, shape), param(2, shape), param(3, shape))
    return {
        "elementwise": (made("elementwise", chain), (*lanes("o0"), Thread("o0.0"))),
        "elementwise_rest": (made("rest", add(param(1, (1003,)), 1.0)), (
            Split("o0", 64), Peel("o0.0", 15), Split("o0.1", 16), Vector("o0.1.1"), Upcast("o0.1.0"))),
        "elementwise_plain": (made("plain", add(param(1, (1003,)), 1.0)), ()),
        "streamed": (made("streamed", mul(a, 2.0)), (*lanes("o0"), NonTemporal(0))),
        "masked_pad": (CASES["masked_pad"].ast, ()),
        "masked_pad_vector": (CASES["masked_pad"].ast, (Split("o1", 16), Vector("o1.1"))),
        "masked_sum": (made("windows", shifted), (Split("o2", 16), Vector("o2.1"))),
        "sum_rows": (made("sum", total(matrix, 1)), (*lanes("r0"), Thread("o0"))),
        "largest_of_two_axes": (CASES["largest_of_two_axes"].ast, (Unroll("r0_0"),)),
        "matmul_tile": (made("tile", product(square, param(2, (96, 128)))), tile),
        "matmul_plain": (CASES["matmul"].ast, ()),
        "linear": (CASES["linear"].ast, (Split("r0", 16), Upcast("o0"), Vector("r0.1"))),
        "matvec": (made("matvec", product(param(1, (1, 512)), transposed(param(2, (64, 512))))),
                   (*lanes("r0"), Thread("o1"))),
        "matmul_bf16": (CASES["matmul_bf16"].ast, (Split("r0", 16), Vector("r0.1"))),
        "softmax_rows": (made("softmax", softmax(matrix)), (
            Place("v1", ("o0",)), *lanes("r0"), *lanes("v1_1"), *lanes("r1"), *lanes("o1"), Thread("o0"))),
        "rmsnorm": (CASES["rmsnorm_f64"].ast, (Split("o1", 8), Vector("o1.1"), Split("r0", 8), Vector("r0.1"))),
        "attention_causal": (made("attention", heads), rows),
        "symbolic_softmax": (CASES["symbolic_softmax"].ast, (Split("o1", 16), Peel("o1.0", -1), Vector("o1.1"))),
        "cache_update": (CASES["cache_update"].ast, (Upcast("o1"), Vector("o2"))),
        "gather": (CASES["gather"].ast, (Upcast("o2"),)),
        "scatter_add": (CASES["scatter_add"].ast, ()),
        "scatter_set": (CASES["scatter_set"].ast, (Upcast("o1"),)),
        "cast_to_integers": (made("cast", cast(param(1, (100,)), I32)), (Split("o0", 16), Vector("o0.1"))),
        "halves": (made("halves", cast(mul(cast(param(1, (48,), BF16), F32), 3.0), BF16)),
                   (Split("o0", 16), Vector("o0.1"))),
        "int_division": (CASES["int_division"].ast, ()),
        "bytes": (CASES["bytes"].ast, (Split("r0", 16), Vector("r0.1"))),
        "conditions": (CASES["conditions"].ast, (Split("o1", 16), Vector("o1.1"))),
        "adam": (CASES["adam"].ast, (Split("o1", 16), Vector("o1.1"), Thread("o0"))),
        "statistics": (CASES["layernorm_statistics"].ast, ()),
        "windows": (CASES["window"].ast, ()),
        "chosen_linear": (made("chosen", gelu(add(product(param(1, (32, 256)), transposed(param(2, (64, 256)))),
                                                  stretch(param(3, (64,)), (32, 64))))), None),
        "chosen_softmax": (made("chosen", softmax(matrix)), None),
    }


def spec_of(name: str, features: frozenset[str] = CLANG) -> ProgramSpec:
    ast, opts = kernels()[name]

    class Fixed:
        """What `finish_specs` asks of a device."""

        @staticmethod
        def render(lowered: object) -> ProgramSpec:
            return render(lowered, TARGET, features)  # type: ignore[arg-type]
    return replace(finish_specs(Fixed, lower_kernel(ast, TARGET, opts)), name=name)


def text_of(name: str) -> str:
    spec = spec_of(name)
    opts = "".join(f"// {opt}\n" for opt in spec.opts)
    facts = f"// workspace {spec.workspace}, threads {spec.threads!r}\n"
    return opts + facts + "\n".join([*spec.prelude, spec.source]) + "\n"


def all_texts() -> dict[str, str]:
    """Each in a process of its own: terms of sums stand in the order in which a process made them."""
    names = list(kernels())
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        texts = dict(zip(names, pool.map(text_of, names, chunksize=1)))
        return texts | {README: pool.apply(readme_text)}


def readme_text() -> str:
    """What DEBUG=4 prints for the kernel that the README shows."""
    schedule, _ = create_schedule([Tensor.empty(1024, 16).softmax().uop], Buffer)
    kernel, = schedule.kernels
    spec = render(lower_kernel(kernel.ast, TARGET), TARGET, CLANG)
    return f"{spec.name}: {', '.join(map(str, spec.opts))}\n{spec.source}".strip() + "\n"


@functools.cache
def fresh_texts() -> dict[str, str]:
    root = Path(__file__).parent
    path = os.pathsep.join([str(root.parent), str(root), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_the_kernel_in_the_readme_is_what_comes_out() -> None:
    page = Path(__file__).parent.parent / README
    before, _, rest = page.read_text().partition("```c\n")
    shown, _, after = rest.partition("```")
    if REFRESH:
        page.write_text(f"{before}```c\n{fresh_texts()[README]}```{after}")
    assert shown == fresh_texts()[README] or REFRESH, f"GOLDEN=1 writes it into the README:\n{fresh_texts()[README]}"


def test_sources_are_the_golden_ones() -> None:
    texts = {name: text for name, text in fresh_texts().items() if name != README}
    if REFRESH:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for old in FOLDER.iterdir():
            old.unlink()
        for name, text in texts.items():
            (FOLDER / f"{name}.c").write_text(text)
    wrong = [name for name, text in texts.items()
             if not (FOLDER / f"{name}.c").is_file() or (FOLDER / f"{name}.c").read_text() != text]
    assert not wrong, f"{wrong} differ from test/golden/c: look at them, then run with GOLDEN=1\n{texts[wrong[0]]}"


def test_every_golden_file_has_its_kernel() -> None:
    assert {p.name for p in FOLDER.iterdir()} == {f"{name}.c" for name in kernels()}


def test_the_compiler_takes_every_golden_source() -> None:
    compiler = find_compiler()
    if host_target().arch != "x86_64":
        pytest.skip("the sources are for x86-64")
    machine = ("-march=x86-64-v4",) if compiler.kind == "clang" else ("-mavx512f", "-mavx512vl", "-mavx512bw", "-mfma")
    specs = {name: spec_of(name, compiler.features) for name in kernels()}
    unnamed = {name: replace(spec, name=spec.source.split("(")[0].split()[-1]) for name, spec in specs.items()}
    text, symbols = join_sources(unnamed)
    assert compiler.compile(text, machine)[:4] == b"\x7fELF" and len(set(symbols)) == len(specs)


def test_goldens_say_what_they_are_named_after() -> None:
    """A few marks in the texts, so that a refresh cannot quietly lose what a kernel stands for."""
    texts = {name: (FOLDER / f"{name}.c").read_text() for name in kernels()}
    assert texts["matmul_tile"].count("f32x16 acc") == 24 and "scratch_p2" in texts["matmul_tile"]
    assert "nontemporal" in texts["streamed"] and "mg_store_f32x16" in texts["masked_pad_vector"]
    assert "for (long o0_0t" in texts["elementwise_rest"] and "imin(hi" in texts["sum_rows"]
    assert texts["sum_rows"].count("f32x16 acc") == 4 and "+=" in texts["scatter_add"]
    assert "const long n = variables[0];" in texts["symbolic_softmax"] and "mg_floordiv_i32" in texts["int_division"]
    assert "mg_f32_to_i32" in texts["cast_to_integers"] and "mg_f32_to_bf16" in texts["halves"]


if __name__ == "__main__":
    print(json.dumps(all_texts()))
