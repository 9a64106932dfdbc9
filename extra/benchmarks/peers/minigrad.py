"""minigrad. TUNED says whether the package's records of searches are used."""
from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from extra.benchmarks.gpt import GPT, gpt_weights, training_batch
from extra.benchmarks.peers import Case, Work, expression
from extra.models.checkpoint import build, read_gguf
from extra.models.generate import Session
from minigrad import Context, GlobalCounters, Tensor, TinyJit, Variable, dtypes, nn
from minigrad.runtime.probe import flops_now, read_bandwidth_now
from minigrad.search import beam, records
from minigrad.search.records import Database

DUEL_ROUNDS, DUEL_TOKENS = 24, 40

NAMES: dict[str, Callable[..., Any]] = {
    "t": lambda x: x.transpose(-1, -2),
    "sum": lambda x, axis=None: x.sum() if axis is None else x.sum(axis),
    "mean": lambda x, axis=None, keepdims=False: x.mean(axis, keepdim=keepdims),
    "max": lambda x, axis, keepdims=False: x.max(axis, keepdim=keepdims),
    "min": lambda x, axis, keepdims=False: x.min(axis, keepdim=keepdims),
    "argmax": Tensor.argmax, "cumsum": Tensor.cumsum,
    "exp": Tensor.exp, "log": Tensor.log, "sqrt": Tensor.sqrt, "tanh": Tensor.tanh, "abs": Tensor.abs,
    "sigmoid": Tensor.sigmoid, "maximum": Tensor.maximum, "minimum": Tensor.minimum, "where": Tensor.where,
    "gelu": lambda x: x.gelu("tanh"), "silu": Tensor.silu,
    "softmax": lambda x: x.softmax(-1), "log_softmax": lambda x: x.log_softmax(-1),
    "rmsnorm": lambda x, w: x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * w,
    "layernorm": lambda x, w, b: x.layernorm(eps=1e-5) * w + b,
    "attention": lambda q, k, v: q.scaled_dot_product_attention(k, v, is_causal=True),
    "attention_to_all": Tensor.scaled_dot_product_attention,
    "conv": lambda x, w, stride=1, padding=0: x.conv2d(w, stride=stride, padding=padding),
    "relu": Tensor.relu,
}


def probe(seconds: float) -> dict[str, float]:
    """Bytes read and float32 operations a second of all threads, now."""
    return {"read": read_bandwidth_now(seconds=seconds), "fma": flops_now(seconds=seconds)}


class _Records:
    """How many kernels of what is prepared have opts that a search found."""
    used = 0


def _count(best: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*arguments: Any) -> Any:
        record = best(*arguments)
        _Records.used += record is not None and record.opts is not None
        return record
    return counted


Database.best = _count(Database.best)  # type: ignore[method-assign]


def _counted(make: Callable[[Case], Work]) -> Callable[[Case], Work]:
    """The work, with the number of its kernels and of those that have a record among its facts."""
    def made(case: Case) -> Work:
        _Records.used = kernels = 0
        work = make(case)

        def run() -> Any:
            nonlocal kernels
            before = GlobalCounters.kernels
            output = work.run()
            kernels = GlobalCounters.kernels - before
            return output
        return Work(run, work.values, work.copies,
                    lambda: {"kernels": kernels, "records": _Records.used, **work.facts()})
    return made


def _values(x: Tensor) -> np.ndarray:
    return x.cast(dtypes.float32).numpy()


def _expression(case: Case) -> Work:
    def tensor(array: np.ndarray, dtype: str) -> Tensor:
        return Tensor(array).cast(dtype).realize()

    def jit(run: Callable[[], list[Tensor]]) -> Callable[[], list[Tensor]]:
        def realized() -> list[Tensor]:
            """One of the copies is what a call is for; a tensor for each would cost more than small ones compute."""
            outputs = run()
            Tensor.realize(*outputs)
            return outputs[:1]
        return TinyJit(realized)
    return expression(case, NAMES, tensor, jit, _values)


def _train(case: Case) -> Work:
    weights = {name: Tensor(array, requires_grad=True) for name, array in gpt_weights(case["shape"]).items()}
    optimiser = nn.optim.AdamW(list(weights.values()), lr=1e-3, b1=0.9, b2=0.95, eps=1e-8, weight_decay=0.1)
    tokens, targets = (Tensor(x).realize() for x in training_batch(case["shape"], case["batch"], case["tokens"]))
    model = GPT(case["shape"], NAMES, lambda x, table: table[x], lambda x, y: x.cross_entropy(y))

    @TinyJit
    def step() -> Tensor:
        optimiser.zero_grad()
        loss = model.loss(weights, tokens, targets)
        loss.backward()
        optimiser.step()
        return loss.realize()
    return Work(step, _values)


def _forward(case: Case) -> Work:
    weights = {name: Tensor(array).realize() for name, array in gpt_weights(case["shape"]).items()}
    tokens = Tensor(training_batch(case["shape"], case["batch"], case["tokens"])[0]).realize()
    model = GPT(case["shape"], NAMES, lambda x, table: table[x], lambda x, y: x.cross_entropy(y))
    return Work(TinyJit(lambda: model.logits(weights, tokens).realize()), _values)


def _token(case: Case) -> Work:
    """One token of a GPT after a prompt that nobody wrote, always at the same place."""
    weights = {name: Tensor(array).realize() for name, array in gpt_weights(case["shape"]).items()}
    model = GPT(case["shape"], NAMES, lambda x, table: table[x], lambda x, y: x.cross_entropy(y))
    layers, heads, width, context = (case["shape"][name] for name in ("layers", "heads", "dim", "context"))
    caches = [[Tensor(np.zeros((1, heads, context, width // heads), np.float32)).realize() for _ in range(layers)]
              for _ in range(2)]

    @TinyJit
    def step(tokens: Tensor, start: Any) -> Tensor:
        def remember(layer: int, *new: Tensor) -> tuple[Tensor, Tensor]:
            for cache, part in zip(caches, new):
                cache[layer][:, :, start:start + 1] = part
            keys, values = (cache[layer][:, :, :start + 1] for cache in caches)
            return keys, values
        return model.logits(weights, tokens, start, remember).realize()
    token, start = Tensor([[1]], dtype=dtypes.int32).realize(), Variable("start", 0, context - 1)
    return Work(lambda: step(token, start.bind(case["position"])), _values)


def _session(case: Case) -> Session:
    config, weights, _ = read_gguf(Path(case["path"]))
    return Session(build(config, weights, case["path"], context=min(case["context"], config.context)))


def _prefill(case: Case) -> Work:
    session = _session(case)

    def run() -> np.ndarray:
        session.rewind()
        return session.feed(case["prompt"])
    return Work(run, lambda logits: logits)


def _decode(case: Case) -> Work:
    """One token after a prompt, always at the same place. `facts`: seconds of the first token in this process."""
    session = _session(case)
    began = time.perf_counter()
    session.feed([1])
    first = time.perf_counter() - began
    session.rewind()
    session.feed(case["prompt"])
    start = session.position

    def run() -> np.ndarray:
        session.rewind(start)
        return session.feed([1])
    return Work(run, lambda logits: logits, facts=lambda: {"first": first})


def _search(case: Case) -> Work:
    """Tokens with the heuristic's kernels in turns with those of a search. `facts`: seconds that it took, tokens a
    second of either, and the median of their ratios."""
    if not case["shipped"]:
        records.SHIPPED = ""
    heuristic, found = _session(case), _session(case)

    def feed(session: Session, **flags: int) -> None:
        with Context(**flags):
            session.rewind()
            for _ in range(DUEL_TOKENS):
                session.feed([1])
    feed(heuristic, TUNED=0)
    feed(found, BEAM=case["beam"], BEAM_BUDGET=case["budget"])
    seconds = beam._spent[0]
    rates: tuple[list[float], list[float]] = ([], [])
    for turn in range(DUEL_ROUNDS):
        for number in (turn % 2, 1 - turn % 2):
            began = time.perf_counter()
            feed(heuristic, TUNED=0) if number == 0 else feed(found)
            rates[number].append(DUEL_TOKENS / (time.perf_counter() - began))
    before, after = map(statistics.median, rates)
    times = statistics.median(b / a for a, b in zip(*rates))
    return Work(lambda: feed(found), lambda _: np.zeros(1), 1,
                lambda: {"seconds": seconds, "heuristic": before, "found": after, "times": times})


def _chain(case: Case) -> Work:
    """Kernels that each need the one before: four floats, read back to front out of a buffer, and one added."""
    start = Tensor(np.zeros(case["size"], np.float32)).realize()

    @TinyJit
    def run(x: Tensor) -> Tensor:
        for _ in range(case["kernels"]):
            x = (x.flip(0) + 1).contiguous()
        return x.realize()

    def limited() -> Tensor:
        with Context(THREADS=case["threads"]):
            return run(start)
    return Work(limited, _values)


KINDS = {kind: _counted(make) for kind, make in {
    "expression": _expression, "train": _train, "forward": _forward, "prefill": _prefill, "decode": _decode,
    "token": _token, "chain": _chain, "search": _search}.items()}
