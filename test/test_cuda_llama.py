"""Llama's kernels as CUDA: NVRTC compiles every one, of reading, of a token and of a training step; on the emulator a
small Llama computes what it computes on the CPU.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import prod

import numpy as np
import pytest
from cuda_cases import ARCHITECTURES

from extra.models.checkpoint import build
from extra.models.generate import Session
from extra.models.llama import LlamaConfig
from extra.models.train import Recipe, Trainer, loss_of
from minigrad import Context, Tensor
from minigrad.codegen.pipeline import Lowered
from minigrad.engine.compile import forget_programs
from minigrad.nn.state import get_parameters
from minigrad.renderer.base import ProgramSpec
from minigrad.renderer.cuda import join_kernels, render
from minigrad.runtime import device
from minigrad.runtime.compiler import CompileError
from minigrad.runtime.cuda import compile_cuda
from minigrad.runtime.device import Program
from minigrad.runtime.null import NullDevice
from minigrad.target import Target, cuda_target
from minigrad.uops.symbolic import evaluate

CONFIG = LlamaConfig(dim=64, layers=1, heads=4, kv_heads=2, hidden=96, vocab_size=272, context=64, tied=True)


class Sources(NullDevice):
    """Renders kernels as CUDA, keeps them, and runs nothing."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.specs: list[ProgramSpec] = []

    @property
    def target(self) -> Target:
        return cuda_target("sm_90")

    def render(self, lowered: Lowered) -> ProgramSpec:
        return render(lowered, self.target)

    def compile(self, specs: Iterable[ProgramSpec]) -> list[Program]:
        made = list(specs)
        self.specs += made
        return super().compile(made)


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: (rng.normal(size=shape) * 0.2 + ("norm" in name)).astype(np.float32)
            for name, shape in CONFIG.weight_shapes.items()}


def read_and_write(dtype: str) -> np.ndarray:
    """Logits after a prompt in chunks and three tokens, one by one.

    Kernels read whole blocks of the cache and drop what is behind its end: it holds NaN, where nothing may come from.
    """
    session = Session(build(CONFIG, {name: Tensor(w).cast(dtype).realize() for name, w in weights().items()}, "test"))
    for memory in (*session.cache.keys, *session.cache.values):
        memory.assign(Tensor.full(memory.shape, float("nan"))).realize()
    rows = [session.feed([(7 * i) % 272 for i in range(33)])]
    return np.stack(rows + [session.feed([token]) for token in (3, 1, 4)])


def train(steps: int = 1) -> list[float]:
    """The losses of steps of AdamW."""
    data = np.random.default_rng(0).integers(0, 256, 500).astype(np.uint8)
    trainer = Trainer(CONFIG, Recipe(batch=2, tokens=16))
    return [trainer.advance(data, 0.5) for _ in range(steps)]


def gradients() -> list[np.ndarray]:
    model = build(CONFIG, {name: Tensor(w, requires_grad=True) for name, w in weights().items()}, "test")
    tokens = np.random.default_rng(0).integers(0, 272, (2, 17))
    loss = loss_of(model, Tensor(tokens[:, :-1]), Tensor(tokens[:, 1:]))
    loss.backward()
    found = [loss, *(w.grad for w in get_parameters(model))]
    Tensor.realize(*found)
    return [t.numpy() for t in found]


@contextmanager
def rendered() -> Iterator[list[ProgramSpec]]:
    """What is rendered in the block."""
    device.DEVICES["SOURCES"] = (__name__, "Sources")
    device._instances["SOURCES"] = found = Sources("SOURCES")
    with Context(DEV="SOURCES", CACHE=0):
        yield found.specs
    forget_programs(lambda key: key[1] != "SOURCES")
    del device.DEVICES["SOURCES"], device._instances["SOURCES"]


@pytest.fixture(scope="module")
def sources() -> list[ProgramSpec]:
    """Every kernel of reading and writing, in float32 with tf32 and without and in bfloat16, and of training."""
    with rendered() as specs:
        for dtype in ("float32", "bfloat16"):
            read_and_write(dtype)
        with Context(ALLOW_TF32=1):
            read_and_write("float32")
        train()
    return list(dict.fromkeys(specs))


def test_many_blocks_read_the_weights_of_a_token() -> None:
    """One would be as slow as one of a GPU's many cores."""
    wide = LlamaConfig(dim=1024, layers=1, heads=8, kv_heads=8, hidden=2048, vocab_size=2048, context=64)
    with rendered() as specs:
        weights = {name: Tensor.empty(*shape, dtype="bfloat16") for name, shape in wide.weight_shapes.items()}
        Session(build(wide, weights, "test")).feed([1])
        large = [spec for spec in specs if isinstance(spec.bytes, int) and spec.bytes > 1 << 20]
    assert len(large) >= 5
    few = [(spec.name, spec.grid) for spec in large if prod(evaluate(n, {}) for n in spec.grid) < 64]
    assert not few


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_nvrtc_compiles_every_kernel(arch: str, sources: list[ProgramSpec]) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed", exc_type=ImportError)
    assert len(sources) > 40 and any("__shared__" in spec.source for spec in sources)
    try:
        cubin = compile_cuda(join_kernels(sources)[0], arch)
    except CompileError:
        for spec in sources:            # the error shows the kernel at fault
            compile_cuda(join_kernels([spec])[0], arch)
        raise
    assert cubin[:4] == b"\x7fELF" and all(spec.name.encode() in cubin for spec in sources)


def test_a_small_llama_reads_and_writes_on_the_emulator() -> None:
    with Context(DEV="CUDA_EMULATED"):
        got = read_and_write("float32")
    np.testing.assert_allclose(got, read_and_write("float32"), rtol=1e-4, atol=1e-4)


def test_a_small_llama_has_its_gradients_on_the_emulator() -> None:
    with Context(DEV="CUDA_EMULATED"):
        got = gradients()
    for one, other in zip(got, gradients()):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * np.abs(other).max())


def test_a_small_llama_learns_on_the_emulator() -> None:
    """The second loss is of weights that a step has changed."""
    with Context(DEV="CUDA_EMULATED"):
        got = train(2)
    np.testing.assert_allclose(got, train(2), rtol=1e-4)
