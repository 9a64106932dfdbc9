"""llama.cpp, through the Python package that carries it."""
from __future__ import annotations

import ctypes
import os
from typing import Any

import llama_cpp as c
import numpy as np

from extra.benchmarks.peers import Case, Work


@c.llama_log_callback
def _quiet(level: int, text: bytes, data: Any) -> None:
    """Its news are nobody's."""


class Model:
    """A file with what it has read so far; `feed` reads more and returns the logits (V,) after the last token."""

    def __init__(self, case: Case) -> None:
        c.llama_log_set(_quiet, ctypes.c_void_p(0))
        c.llama_backend_init()
        self.model = c.llama_model_load_from_file(case["path"].encode(), c.llama_model_default_params())
        parameters = c.llama_context_default_params()
        parameters.n_ctx = case["context"]
        parameters.n_batch = parameters.n_ubatch = 512
        parameters.n_threads = parameters.n_threads_batch = int(os.environ["OMP_NUM_THREADS"])
        if not self.model:
            raise RuntimeError("the file is not loaded")
        self.context = c.llama_init_from_model(self.model, parameters)
        self.size = c.llama_vocab_n_tokens(c.llama_model_get_vocab(self.model))

    def feed(self, tokens: list[int]) -> np.ndarray:
        held = (c.llama_token * len(tokens))(*tokens)       # the batch points into it
        if c.llama_decode(self.context, c.llama_batch_get_one(held, len(held))):
            raise RuntimeError("llama_decode failed")
        return np.ctypeslib.as_array(c.llama_get_logits_ith(self.context, -1), (self.size,))

    def rewind(self, position: int) -> None:
        c.llama_memory_seq_rm(c.llama_get_memory(self.context), 0, position, -1)


def _prefill(case: Case) -> Work:
    model = Model(case)

    def run() -> np.ndarray:
        model.rewind(0)
        return model.feed(case["prompt"])
    return Work(run, lambda logits: logits.copy())


def _decode(case: Case) -> Work:
    model = Model(case)
    model.feed(case["prompt"])

    def run() -> np.ndarray:
        model.rewind(len(case["prompt"]))
        return model.feed([1])
    return Work(run, lambda logits: logits.copy())


KINDS = {"prefill": _prefill, "decode": _decode}
