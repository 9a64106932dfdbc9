"""tinygrad on the CPU: its own Llama, and chains of tiny kernels."""
from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from tinygrad import Tensor, TinyJit, UOp
from tinygrad.device import Compiler
from tinygrad.llm import model as llm

from extra.benchmarks.peers import Case, Work


def _chain(case: Case) -> Work:
    start = Tensor(np.zeros(case["size"], np.float32)).realize()

    @TinyJit
    def run(x: Tensor) -> Tensor:
        for _ in range(case["kernels"]):
            x = (x.flip(0) + 1).contiguous()
        return x.realize()
    return Work(lambda: run(start), lambda x: x.numpy())


def _decode(case: Case) -> Work:
    """A token at a time from a file without a tokenizer. `facts`: seconds of the first, and of those what the C
    compiler took."""
    compiling = 0.0
    compile_cached = Compiler.compile_cached

    def timed(*arguments: Any) -> Any:
        nonlocal compiling
        start = time.perf_counter()
        try:
            return compile_cached(*arguments)
        finally:
            compiling += time.perf_counter() - start
    Compiler.compile_cached = timed
    sys.setrecursionlimit(1 << 16)
    load = llm.gguf_load
    llm.gguf_load = lambda file: _with_tokens(*load(file))
    model, _ = llm.Transformer.from_gguf(case["path"], case["context"], realize=True)
    position, zero = UOp.variable("start_pos", 0, case["context"] - 1), Tensor([0.0])
    token = Tensor([[1]], dtype="int32").realize()

    def run() -> int:
        return int(model(token, position.bind(len(case["prompt"])), zero).item())
    start = time.perf_counter()
    run()
    first = time.perf_counter() - start
    return Work(run, lambda number: np.array([number]), 1, lambda: {"first": first, "compiling": compiling})


def _with_tokens(metadata: dict[str, Any], weights: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """It counts the tokens of the tokenizer, of which there is none."""
    return {**metadata, "tokenizer.ggml.tokens": range(weights["token_embd.weight"].shape[0])}, weights


KINDS = {"chain": _chain, "decode": _decode}
