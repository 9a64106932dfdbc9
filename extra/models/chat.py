"""Conversations: the templates that models were trained with, and a loop that reads only what is new.

    chat = Chat(Session(model), tokenizer, Sampling(temperature=0.8))
    for piece in chat.answer("How are you?"): print(piece, end="")

Templates: Llama 3, Llama 2, Zephyr (TinyLlama), and plain text for models that were trained on none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from extra.models.generate import Sampling, Session, generate
from extra.models.tokenizers import ByteTokenizer, StreamDecoder, Tokenizer


def chat_style(tokenizer: Tokenizer) -> str:
    """Which template a model's tokenizer asks for: "llama3", "zephyr" (TinyLlama), "llama2" or "plain"."""
    if "<|start_header_id|>" in tokenizer.special:
        return "llama3"
    if "<|user|>" in tokenizer.chat_template:
        return "zephyr"
    if isinstance(tokenizer, ByteTokenizer) or tokenizer.bos is None or not tokenizer.strips_leading_space:
        return "plain"
    return "llama2"


def chat_turn(tokenizer: Tokenizer, user: str, system: str = "", first: bool = True) -> list[int]:
    """The ids of one turn of a conversation, up to where the model answers; they follow the answer before it, whose
    closing token has been fed. `system` counts in the first turn only."""
    bos = [] if tokenizer.bos is None else [tokenizer.bos]

    def header(role: str) -> list[int]:
        return tokenizer.encode(f"<|start_header_id|>{role}<|end_header_id|>\n\n", special=True)

    style = chat_style(tokenizer)
    if style == "llama3":
        end = tokenizer.encode("<|eot_id|>", special=True)
        preamble = [*header("system"), *tokenizer.encode(system.strip()), *end] if system and first else []
        return [
            *(bos if first else []),
            *preamble,
            *header("user"),
            *tokenizer.encode(user.strip()),
            *end,
            *header("assistant"),
        ]
    if style == "llama2":
        preamble_text = f"<<SYS>>\n{system.strip()}\n<</SYS>>\n\n" if system and first else ""
        return bos + tokenizer.encode(f"[INST] {preamble_text}{user.strip()} [/INST]")
    if style == "zephyr":
        end = sorted(tokenizer.stops)[:1]
        preamble = [*tokenizer.encode(f"<|system|>\n{system.strip()}"), *end] if system and first else []
        return [*preamble, *tokenizer.encode(f"<|user|>\n{user.strip()}"), *end, *tokenizer.encode("\n<|assistant|>\n")]
    lead = f"{system.strip()}\n\n" if system and first else ""
    return [*(bos if first else []), *tokenizer.encode(f"{lead if first else chr(10)}User: {user.strip()}\nAssistant:")]


class Chat:
    """A conversation. Each turn reads only what is new; the cache holds the rest."""

    def __init__(self, session: Session, tokenizer: Tokenizer, sampling: Sampling, system: str = "") -> None:
        self.session, self.tokenizer, self.sampling, self.system = session, tokenizer, sampling, system
        self.unread: list[int] = []  # the token that closed the last answer, drawn but not yet fed
        self.turns = 0

    def answer(self, text: str, limit: int | None = None) -> Iterator[str]:
        """The answer to what the user says, in pieces. ValueError when the conversation no longer fits."""
        turn = chat_turn(self.tokenizer, text, self.system, first=self.turns == 0)
        logits = self.session.feed(self.unread + turn)
        self.turns += 1
        self.unread = []
        stream = StreamDecoder(self.tokenizer)
        sampling = replace(self.sampling, seed=self.sampling.seed + self.turns)
        for token in generate(self.session, logits, sampling, limit, self.tokenizer.stops, self.tokenizer.vocab_size):
            self.unread = [token]
            if token not in self.tokenizer.stops:
                yield stream.push(token)
        yield stream.finish()
