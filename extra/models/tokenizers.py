"""Tokenizers: text to token ids and back.

Three kinds behind one class, `Tokenizer`, all in plain Python:
  * `ByteTokenizer`: the 256 bytes, BOS and EOS; needs no file.
  * `UnigramTokenizer`: Llama 1 and 2's, from a GGUF file's metadata; merges the adjacent pair of best score.
  * `BpeTokenizer`: GPT-2's and Llama 3's, from a GGUF file's metadata; merges the adjacent pair of lowest rank.
Those of Hugging Face folders, which need packages, are in folder_tokenizers.py, chat templates in chat.py.

Every token stands for some bytes (`token_bytes`); a character may be cut across tokens, so text is put together from
bytes, and `StreamDecoder` holds back a character until it is whole.

    >>> tokenizer = ByteTokenizer()
    >>> tokenizer.decode(tokenizer.encode("grüß"))
    'grüß'

Text is data: the names of special tokens in it are only recognised with `special=True`, which chat templates use for
their own parts and never for what a user typed.
"""

from __future__ import annotations

import codecs
import functools
import heapq
import math
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

SPACE_MARK = "\u2581"  # sentencepiece writes a space as this lower block

# Token types of sentencepiece, as GGUF stores them.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

# Names under which a token that ends an answer is known.
END_NAMES = ("</s>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>", "<|im_end|>")


class Tokenizer:
    """What all kinds share. A subclass gives `_encode_plain` and `_bytes_of`."""

    def __init__(
        self,
        vocab_size: int,
        bos: int | None,
        stops: Iterable[int],
        special: Mapping[str, int],
        whole: Mapping[str, int] | None = None,
    ) -> None:
        """`special` tokens stand for no text; `whole` ones (user-defined symbols) do, and are never cut."""
        self.vocab_size = vocab_size
        self.least_size = vocab_size  # weights that a model needs: an added token (a pad) may have none
        self.bos = bos
        self.stops = frozenset(stops)
        self.special = dict(special)
        self.whole = dict(whole or {})
        self.strips_leading_space = False
        self.chat_template = ""
        self._special_ids = frozenset(self.special.values())
        self._whole_pattern = _any_of(self.whole)
        self._special_pattern = _any_of([*self.whole, *self.special])

    def encode(self, text: str, special: bool = False) -> list[int]:
        """The ids of `text`, without BOS or EOS. With `special`, names of special tokens in it become their ids."""
        pattern = self._special_pattern if special else self._whole_pattern
        if pattern is None:
            return self._encode_plain(text)
        ids: list[int] = []
        position = 0
        for match in pattern.finditer(text):
            ids += self._encode_plain(text[position : match.start()])
            name = match.group()
            ids.append(self.whole[name] if name in self.whole else self.special[name])
            position = match.end()
        return ids + self._encode_plain(text[position:])

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token adds to the text; nothing for a special token. IndexError for an unknown id."""
        if not 0 <= token < self.vocab_size:
            raise IndexError(f"token {token} is outside the vocabulary of {self.vocab_size}")
        return b"" if token in self._special_ids else self._bytes_of(token)

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of whole sequence; bytes that are not UTF-8 become U+FFFD."""
        text = b"".join(map(self.token_bytes, tokens)).decode("utf-8", errors="replace")
        return text[1:] if self.strips_leading_space and text.startswith(" ") else text

    def _encode_plain(self, text: str) -> list[int]:
        raise NotImplementedError

    def _bytes_of(self, token: int) -> bytes:
        raise NotImplementedError


def _any_of(names: Iterable[str]) -> re.Pattern[str] | None:
    by_length = sorted(filter(None, names), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, by_length))) if by_length else None


class StreamDecoder:
    """Text as its tokens come: what `push` returns is whole characters, the rest waits for the next token."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        return self.decoder.decode(self.tokenizer.token_bytes(token))

    def finish(self) -> str:
        """What was held back, as U+FFFD, at the end of the text."""
        return self.decoder.decode(b"", final=True)


class ByteTokenizer(Tokenizer):
    """Token i < 256 is byte i; 256 begins a text, 257 ends it; the rest pads the vocabulary to a multiple of 16."""

    BOS, EOS, SIZE = 256, 257, 272

    def __init__(self) -> None:
        special = {"<s>": self.BOS, "</s>": self.EOS}
        special |= {f"<unused {i}>": i for i in range(self.EOS + 1, self.SIZE)}
        super().__init__(self.SIZE, self.BOS, [self.EOS], special)

    def _encode_plain(self, text: str) -> list[int]:
        return list(text.encode("utf-8", errors="replace"))

    def _bytes_of(self, token: int) -> bytes:
        return bytes([token])


# --- merging: what both plain-Python tokenizers do to a word ----------------------------------------------------------


def merge_pairs(symbols: list[str], rank: Callable[[str, str], float | None]) -> list[str]:
    """Join adjacent symbols, always the pair of lowest rank and among equals the leftmost, until no pair has a rank.

    A heap of candidates over a linked list: n log n, where joining in a loop would take n² for one long word."""
    right = [*range(1, len(symbols)), -1]
    left = list(range(-1, len(symbols) - 1))
    text: list[str] = list(symbols)  # "" once a symbol was joined into its left neighbour
    heap: list[tuple[float, int, str, str]] = []

    def consider(i: int) -> None:
        if i >= 0 and right[i] >= 0:
            first, second = text[i], text[right[i]]
            if (value := rank(first, second)) is not None:
                heapq.heappush(heap, (value, i, first, second))

    for i in range(len(symbols) - 1):
        consider(i)
    while heap:
        _, i, first, second = heapq.heappop(heap)
        j = right[i]
        if j < 0 or text[i] != first or text[j] != second:
            continue  # one of the two was joined with another meanwhile
        text[i], text[j] = first + second, ""
        right[i] = right[j]
        if right[j] >= 0:
            left[right[j]] = i
        right[j] = -1
        consider(left[i])
        consider(i)
    return [piece for piece in text if piece]


# --- Llama 1 and 2: scores --------------------------------------------------------------------------------------------


class UnigramTokenizer(Tokenizer):
    """sentencepiece's BPE as Llama 2 uses it: spaces become a mark, pairs merge by the score of what they form, and
    a character without a token falls back to its bytes."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        tokens, kinds = _gguf_tokens(metadata)
        scores = _gguf_numbers(metadata, "scores")
        if len(scores) != len(tokens):
            raise ValueError(f"tokenizer: {len(tokens)} tokens, {len(scores)} scores")
        super().__init__(len(tokens), *_gguf_ends(metadata, tokens), *_gguf_special(tokens, kinds))
        self.tokens, self.kinds = tokens, kinds
        self.scores = {token: scores[i] for i, token in enumerate(tokens) if kinds[i] == NORMAL}
        self.ids = {token: i for i, token in enumerate(tokens) if kinds[i] == NORMAL}
        self.byte_ids = {byte_of_name(token): i for i, token in enumerate(tokens) if kinds[i] == BYTE}
        self.unknown = _gguf_id(metadata, "unknown_token_id", len(tokens)) or 0
        self.adds_space = _gguf_flag(metadata, "add_space_prefix", True)
        self.strips_leading_space = self.adds_space

    def _encode_plain(self, text: str) -> list[int]:
        if not text:
            return []
        marked = ((" " if self.adds_space else "") + text).replace(" ", SPACE_MARK)
        ids: list[int] = []
        for piece in merge_pairs(list(marked), self._rank):
            if (token := self.ids.get(piece)) is not None:
                ids.append(token)
            else:
                ids += [self.byte_ids.get(byte, self.unknown) for byte in piece.encode("utf-8", errors="replace")]
        return ids

    def _rank(self, first: str, second: str) -> float | None:
        score = self.scores.get(first + second)
        return None if score is None else -score

    def _bytes_of(self, token: int) -> bytes:
        if self.kinds[token] == BYTE:
            return bytes([byte_of_name(self.tokens[token])])
        return self.tokens[token].replace(SPACE_MARK, " ").encode("utf-8", errors="replace")


def byte_of_name(name: str) -> int:
    """ "<0x0A>" -> 10."""
    if not re.fullmatch(r"<0x[0-9A-Fa-f]{2}>", name):
        raise ValueError(f"tokenizer: {name!r} is marked as a byte token, those are named <0x00> to <0xFF>")
    return int(name[3:5], 16)


# --- GPT-2 and Llama 3: ranks -----------------------------------------------------------------------------------------

# A word is what one of these patterns matches. L and N are Unicode's letters and numbers, S is its white space.
_GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?[L]+| ?[N]+| ?[^SLN]+|[S]+(?![^S])|[S]+"
_LLAMA3_WORDS = (
    r"'(?:[sS\u017f]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\r\nLN]?[L]+|[N]{1,3}| ?[^SLN]+[\r\n]*"
    r"|[S]*[\r\n]+|[S]+(?![^S])|[S]+"
)
WORD_PATTERNS: dict[str, str] = {
    "default": _GPT2_WORDS,
    "gpt-2": _GPT2_WORDS,
    "gpt2": _GPT2_WORDS,
    "llama-bpe": _LLAMA3_WORDS,
    "llama3": _LLAMA3_WORDS,
    "llama-v3": _LLAMA3_WORDS,
    "smaug-bpe": _LLAMA3_WORDS,
    "dbrx": _LLAMA3_WORDS,
}


class BpeTokenizer(Tokenizer):
    """Byte-level BPE: each byte is written as a printable character, words are split by a pattern, and within a word
    the pair that stands first in the list of merges is joined first."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        tokens, kinds = _gguf_tokens(metadata)
        merges = metadata.get("tokenizer.ggml.merges")
        if not isinstance(merges, list) or not all(isinstance(m, str) and m.count(" ") == 1 for m in merges):
            raise ValueError("tokenizer: tokenizer.ggml.merges must be a list of 'first second'")
        name = _gguf_text(metadata, "tokenizer.ggml.pre", "default")
        if name not in WORD_PATTERNS:
            raise ValueError(f"tokenizer: pre-tokenizer {name!r} is not known; known: {', '.join(WORD_PATTERNS)}")
        super().__init__(len(tokens), *_gguf_ends(metadata, tokens), *_gguf_special(tokens, kinds))
        self.tokens, self.kinds = tokens, kinds
        self.ids = {token: i for i, token in enumerate(tokens) if kinds[i] == NORMAL}
        self.ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(merges)}
        self.words = _word_pattern(WORD_PATTERNS[name])
        self.keeps_known_words = WORD_PATTERNS[name] is _LLAMA3_WORDS
        self.unknown = _gguf_id(metadata, "unknown_token_id", len(tokens))
        self._encode_word = functools.lru_cache(1 << 16)(self._encode_word_afresh)

    def _encode_plain(self, text: str) -> list[int]:
        return [token for word in self.words.findall(text) for token in self._encode_word(word)]

    def _encode_word_afresh(self, word: str) -> tuple[int, ...]:
        symbols = [CHARACTER_OF_BYTE[byte] for byte in word.encode("utf-8", errors="replace")]
        whole = self.ids.get("".join(symbols)) if self.keeps_known_words else None
        if whole is not None:
            return (whole,)
        pieces = merge_pairs(symbols, lambda first, second: self.ranks.get((first, second)))
        ids = (self.ids.get(piece, self.unknown) for piece in pieces)
        return tuple(token for token in ids if token is not None)

    def _bytes_of(self, token: int) -> bytes:
        name = self.tokens[token]
        return (
            name.encode("utf-8", errors="replace") if self.kinds[token] == USER_DEFINED else bytes_of_characters(name)
        )


def _characters_of_bytes() -> list[str]:
    """GPT-2's way to write any byte as a printable character: Latin-1's printable ones stand for themselves, the
    others are numbered from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


CHARACTER_OF_BYTE = _characters_of_bytes()
BYTE_OF_CHARACTER = {character: byte for byte, character in enumerate(CHARACTER_OF_BYTE)}


def bytes_of_characters(token: str) -> bytes:
    """Undo `CHARACTER_OF_BYTE`; a token that is not written that way stands for its own UTF-8."""
    if all(character in BYTE_OF_CHARACTER for character in token):
        return bytes(BYTE_OF_CHARACTER[character] for character in token)
    return token.encode("utf-8", errors="replace")


@functools.cache
def _word_pattern(pattern: str) -> re.Pattern[str]:
    """Python's `re` has no Unicode properties: spell the classes L, N and S out (only inside brackets)."""
    classes = _unicode_classes()
    spelled = re.sub(
        r"\[[^\]]*\]",
        lambda match: (
            re.sub("[LNS](?![a-z])", lambda name: classes[name.group()], match.group())
            if re.fullmatch(r"\[\^?(\\r\\n)?[LNS]+\]", match.group())
            else match.group()
        ),
        pattern,
    )
    return re.compile(spelled)


@functools.cache
def _unicode_classes() -> dict[str, str]:
    ranges: dict[str, list[list[int]]] = {"L": [], "N": []}
    for code in range(sys.maxunicode + 1):
        kind = unicodedata.category(chr(code))[0]
        if kind in ranges:
            if ranges[kind] and ranges[kind][-1][1] == code - 1:
                ranges[kind][-1][1] = code
            else:
                ranges[kind].append([code, code])
    classes = {kind: "".join(f"\\U{lo:08x}-\\U{hi:08x}" for lo, hi in spans) for kind, spans in ranges.items()}
    # Unicode's White_Space; Python's \s adds U+001C to U+001F.
    classes["S"] = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
    return classes


# --- GGUF metadata ----------------------------------------------------------------------------------------------------


def from_gguf(metadata: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that a GGUF file carries. ValueError for a kind that is not known or contents that do not fit."""
    model = _gguf_text(metadata, "tokenizer.ggml.model")
    if model == "llama":
        tokenizer: Tokenizer = UnigramTokenizer(metadata)
    elif model == "gpt2":
        tokenizer = BpeTokenizer(metadata)
    elif model == "minigrad-bytes":
        tokenizer = ByteTokenizer()
    else:
        raise ValueError(f"tokenizer: tokenizer.ggml.model is {model!r}; known are 'llama' and 'gpt2'")
    tokenizer.chat_template = _gguf_text(metadata, "tokenizer.chat_template")
    return tokenizer


def _gguf_text(metadata: Mapping[str, Any], key: str, default: str = "") -> str:
    value = metadata.get(key, default)
    if not isinstance(value, str):
        raise ValueError(f"tokenizer: {key} is {value!r:.80}, expected a string")
    return value


def _gguf_flag(metadata: Mapping[str, Any], key: str, default: bool) -> bool:
    value = metadata.get(f"tokenizer.ggml.{key}", default)
    if not isinstance(value, bool):
        raise ValueError(f"tokenizer: tokenizer.ggml.{key} is {value!r:.80}, expected a bool")
    return value


def _gguf_numbers(metadata: Mapping[str, Any], key: str) -> list[float]:
    values = metadata.get(f"tokenizer.ggml.{key}")
    try:
        return [] if values is None else [float(value) for value in values]
    except (TypeError, ValueError):
        raise ValueError(f"tokenizer: tokenizer.ggml.{key} must be an array of numbers") from None


def _gguf_tokens(metadata: Mapping[str, Any]) -> tuple[list[str], list[int]]:
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) for token in tokens):
        raise ValueError("tokenizer: tokenizer.ggml.tokens must be a list of strings")
    kinds: list[int] = [NORMAL] * len(tokens)
    if "tokenizer.ggml.token_type" in metadata:
        kinds = [int(kind) if math.isfinite(kind) else UNUSED for kind in _gguf_numbers(metadata, "token_type")]
    if len(kinds) != len(tokens):
        raise ValueError(f"tokenizer: {len(tokens)} tokens, {len(kinds)} token types")
    return tokens, kinds


def _gguf_id(metadata: Mapping[str, Any], key: str, size: int) -> int | None:
    value = metadata.get(f"tokenizer.ggml.{key}")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < size:
        raise ValueError(f"tokenizer: tokenizer.ggml.{key} is {value!r}, the vocabulary has {size} tokens")
    return value


def _gguf_special(tokens: Sequence[str], kinds: Sequence[int]) -> tuple[dict[str, int], dict[str, int]]:
    """(special tokens, user-defined ones): their ids by name."""
    named = [(token, i, kinds[i]) for i, token in enumerate(tokens) if token]
    special = {token: i for token, i, kind in named if kind in (CONTROL, UNKNOWN)}
    return special, {token: i for token, i, kind in named if kind == USER_DEFINED}


def _gguf_ends(metadata: Mapping[str, Any], tokens: Sequence[str]) -> tuple[int | None, set[int]]:
    """(BOS or None where the file says not to add it, the tokens that end a text)."""
    size = len(tokens)
    stops = {_gguf_id(metadata, key, size) for key in ("eos_token_id", "eot_token_id", "eom_token_id")}
    names = {name: i for i, name in enumerate(tokens) if name in END_NAMES}
    # Files that do not say: llama.cpp begins a text with BOS for Llama's tokenizers, not for others of GPT-2's kind.
    is_llama = _gguf_text(metadata, "tokenizer.ggml.model") == "llama"
    is_llama = is_llama or WORD_PATTERNS.get(_gguf_text(metadata, "tokenizer.ggml.pre")) == _LLAMA3_WORDS
    bos = _gguf_id(metadata, "bos_token_id", size) if _gguf_flag(metadata, "add_bos_token", is_llama) else None
    return bos, {stop for stop in stops if stop is not None} | set(names.values())
