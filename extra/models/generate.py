"""Text from a Llama: prompts in chunks, then a token at a time.

A prompt of any length runs in chunks of a few fixed sizes, so that no length compiles anew: the last chunk is filled
up with tokens whose results nobody reads, at positions that are written again before anybody looks. A token is one
replay of one captured function of (token, position).

    session = Session(model)
    logits = session.feed(tokenizer.encode("Once upon a time"))      # (V,) of the last token
    for token in generate(session, logits, Sampling(temperature=0.8), limit=100): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from extra.models.llama import KVCache, Llama
from extra.models.tokenizers import StreamDecoder, Tokenizer
from minigrad import Tensor, TinyJit, Variable, no_grad

CHUNKS = (1, 16, 128, 512)


class Session:
    """A model in conversation: the cache of what it has read, and the compiled functions that feed it."""

    def __init__(self, model: Llama) -> None:
        self.model = model
        self.cache = KVCache(model.config, model.context)
        self.position = 0
        self.chunks = [size for size in CHUNKS if size == 1 or 2 * size <= model.context]
        self.steps: dict[int, Callable[..., Tensor]] = {}

    @property
    def room(self) -> int:
        """How many more tokens fit."""
        return self.model.context - self.position

    def rewind(self, position: int = 0) -> None:
        """Forget every token from `position` on."""
        if not 0 <= position <= self.position:
            raise ValueError(f"Session: cannot rewind from position {self.position} to {position}")
        self.position = position

    def feed(self, tokens: Sequence[int]) -> np.ndarray:
        """Read tokens; the logits (V,) after the last one. ValueError if they are none, unknown or too many."""
        if not tokens:
            raise ValueError("Session: there is nothing to read")
        if len(tokens) > self.room:
            raise ValueError(
                f"the prompt's {len(tokens)} tokens do not fit: the context holds {self.model.context}, "
                f"{self.position} are used"
            )
        if not all(0 <= token < self.model.config.vocab_size for token in tokens):
            raise ValueError(f"Session: tokens must lie in 0 to {self.model.config.vocab_size - 1}")
        logits, done = None, 0
        while done < len(tokens):
            size = self._chunk_size(len(tokens) - done)
            part = list(tokens[done : done + size])
            logits = self._run(part, size)
            done += len(part)
            self.position += len(part)
        assert logits is not None
        return logits.numpy().reshape(-1)

    def _chunk_size(self, rest: int) -> int:
        """The smallest chunk that holds the rest; where that would pass the context's end, or none does, the largest
        that the rest fills."""
        for size in self.chunks:
            if rest <= size <= self.room:
                return size
        return max(size for size in self.chunks if size <= rest)

    def _run(self, part: list[int], size: int) -> Tensor:
        if size not in self.steps:
            self.steps[size] = self._make_step(size)
        padded = np.zeros((1, size), np.int32)
        padded[0, : len(part)] = part
        start = Variable("start", 0, self.model.context - size).bind(self.position)
        with no_grad():
            if size == 1:
                return self.steps[1](Tensor(padded), start)
            return self.steps[size](Tensor(padded), start, Variable("only", 0, size - 1).bind(len(part) - 1))

    def _make_step(self, size: int) -> Callable[..., Tensor]:
        """One function per chunk size, captured on its own. Only one token's logits are wanted."""
        model, cache = self.model, self.cache
        if size == 1:
            return TinyJit(lambda tokens, start: model(tokens, start, cache).realize())
        return TinyJit(lambda tokens, start, only: model(tokens, start, cache, only).realize())


# --- choosing a token -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn: temperature 0 takes the likeliest; otherwise of the `top_k` likeliest (0: all) those that
    together have probability `top_p` (Holtzman et al. 2019), at least one."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature is {self.temperature}, expected a number from 0 up")
        if self.top_k < 0:
            raise ValueError(f"top-k is {self.top_k}, expected 0 (all) or more")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top-p is {self.top_p}, expected more than 0 and at most 1")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, expected 0 or more")


def draw(logits: np.ndarray, sampling: Sampling, rng: np.random.Generator) -> int:
    """A token for logits (V,)."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    scaled = logits.astype(np.float64) / sampling.temperature
    kept = np.arange(len(scaled))
    if 0 < sampling.top_k < len(scaled):
        kept = np.argpartition(scaled, -sampling.top_k)[-sampling.top_k :]
    kept = kept[np.argsort(-scaled[kept], kind="stable")]  # likeliest first
    probabilities = np.exp(scaled[kept] - scaled[kept[0]])
    probabilities /= probabilities.sum()
    if sampling.top_p < 1:
        count = int(np.searchsorted(np.cumsum(probabilities), sampling.top_p)) + 1
        kept, probabilities = kept[:count], probabilities[:count] / probabilities[:count].sum()
    return int(rng.choice(kept, p=probabilities))


def generate(
    session: Session,
    logits: np.ndarray,
    sampling: Sampling,
    limit: int | None = None,
    stops: frozenset[int] = frozenset(),
    vocab_size: int | None = None,
) -> Iterator[int]:
    """Tokens that follow what the session has read, `logits` being what came of it. Ends after `limit` tokens, at one
    of `stops` (which is yielded and not fed), or when the context is full. Only ids below `vocab_size` are drawn."""
    rng = np.random.default_rng(sampling.seed)
    count = 0
    while limit is None or count < limit:
        token = draw(logits[:vocab_size], sampling, rng)
        count += 1
        yield token
        if token in stops or session.room == 0:
            return
        if limit is None or count < limit:
            logits = session.feed([token])


def complete(
    session: Session, tokenizer: Tokenizer, prompt: str, sampling: Sampling, limit: int | None = None
) -> Iterator[str]:
    """The text that follows a prompt, in pieces of whole characters. The session starts anew."""
    session.rewind()
    ids = ([] if tokenizer.bos is None else [tokenizer.bos]) + tokenizer.encode(prompt)
    logits = session.feed(ids)
    stream = StreamDecoder(tokenizer)
    for token in generate(session, logits, sampling, limit, tokenizer.stops, tokenizer.vocab_size):
        if token not in tokenizer.stops:
            yield stream.push(token)
    yield stream.finish()
