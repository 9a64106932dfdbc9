"""Golden CUDA sources: what the pipeline makes of small kernels, that NVRTC compiles it, that its numbers are right.

GOLDEN=1 rewrites the files under test/golden/cuda.
"""
from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import cuda_cases
import numpy as np
import pytest
from cuda_cases import CASES, Case

from minigrad.dtype import widen_bfloat16
from minigrad.renderer.base import ProgramSpec
from minigrad.runtime.compiler import CompileError
from minigrad.runtime.cuda import compile_cuda
from minigrad.runtime.device import Program
from minigrad.runtime.interpreter import evaluate_kernel
from minigrad.spec import check_linear
from minigrad.uops import Ops

FOLDER = Path(__file__).with_name("golden") / "cuda"
REFRESH = bool(os.environ.get("GOLDEN"))
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@functools.cache
def spec_of(case_name: str) -> ProgramSpec:
    return next(c for c in CASES if c.name == case_name).spec()


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    """The cases' sources by name, rendered in a process of their own."""
    done = subprocess.run([sys.executable, cuda_cases.__file__], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(FOLDER.parents[2])})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@each_case
def test_source_is_the_golden_one(case: Case, sources: dict[str, str]) -> None:
    path, text = FOLDER / f"{case.name}.cu", sources[case.name]
    if REFRESH:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.is_file(), f"{path} is missing: GOLDEN=1 writes it"
    assert text == path.read_text()


def test_every_golden_file_has_its_kernel() -> None:
    assert {p.name for p in FOLDER.iterdir()} == {f"{case.name}.cu" for case in CASES}


@each_case
def test_list_keeps_the_spec_and_begins_with_the_indices_of_blocks_and_threads(case: Case) -> None:
    ops = case.lowered().linear.ops
    check_linear(ops)
    specials = [i for i, u in enumerate(ops) if u.op is Ops.SPECIAL]
    assert specials and specials == list(range(len(specials)))


# ---- NVRTC

@pytest.fixture(scope="module")
def nvrtc() -> None:
    missing = "the package cuda-bindings or nvidia-cuda-nvrtc is not installed"
    pytest.importorskip("cuda.bindings.nvrtc", reason=missing, exc_type=ImportError)


@each_case
@pytest.mark.parametrize("arch", cuda_cases.ARCHITECTURES)
def test_nvrtc_compiles_it(case: Case, arch: str, nvrtc: None) -> None:
    spec = spec_of(case.name)
    cubin = compile_cuda(cuda_cases.text_of(spec), arch)
    assert cubin[:4] == b"\x7fELF" and spec.name.encode() in cubin


def test_nvrtc_refuses_what_is_wrong(nvrtc: None) -> None:
    text = cuda_cases.text_of(spec_of("softmax"))
    with pytest.raises(CompileError, match="(?s)NVRTC for sm_90: .*__syncthread.* is undefined.*   1 | "):
        compile_cuda(text.replace("__syncthreads", "__syncthread"), "sm_90")


# ---- numbers, on the emulator

SHARED = [case for case in CASES if "__shared__" in spec_of(case.name).source]


@pytest.fixture(scope="module")
def programs() -> dict[str, Program]:
    """The kernels by their cases' names; "softmax-1" is softmax without its second barrier."""
    specs = {}
    for case in CASES:
        spec = spec_of(case.name)
        specs[case.name] = spec
        specs |= {f"{case.name}-{i}": variant for i, variant in enumerate(cuda_cases.without_a_barrier(spec))}
    return dict(zip(specs, cuda_cases.compile_emulated(list(specs.values()))))


@each_case
def test_kernel_computes_what_the_interpreter_does(case: Case, programs: dict[str, Program]) -> None:
    arrays = case.arrays()
    expected = [a.copy() for a in arrays]
    evaluate_kernel(case.ast, expected, case.variables)
    for got, e in zip(cuda_cases.run(programs[case.name], arrays, case.variables), expected):
        if got.dtype == np.uint16:
            got, e = widen_bfloat16(got), widen_bfloat16(e)
        n = case.variables.get("n", len(e))     # what is behind a symbolic end was not written
        np.testing.assert_allclose(got[:n], e[:n], rtol=case.tolerance, atol=case.tolerance * np.abs(e).max())


@pytest.mark.parametrize("case", SHARED, ids=lambda case: case.name)
def test_no_barrier_may_go(case: Case, programs: dict[str, Program]) -> None:
    """Without any one of them threads race."""
    variants = [programs[key] for key in programs if key.startswith(f"{case.name}-")]
    assert variants
    spare = []
    for number, program in enumerate(variants):
        try:
            cuda_cases.run(program, case.arrays(), case.variables)
            spare.append(number)
        except RuntimeError as error:
            assert "without a barrier in between" in str(error)
    assert tuple(spare) == case.spare
