"""Tokenizers of Hugging Face folders: tokenizer.json through the package `tokenizers`, tokenizer.model through
`sentencepiece` (pip install 'minigrad[llama]'), and none at all for our own checkpoints, which use bytes.

    tokenizer = from_folder("path/to/folder")

The packages encode; the bytes of each token are worked out here, so that text can be streamed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extra.models.tokenizers import END_NAMES, SPACE_MARK, ByteTokenizer, Tokenizer, byte_of_name, bytes_of_characters

MAX_TOKENIZER_BYTES = 1 << 28


class JsonTokenizer(Tokenizer):
    """tokenizer.json, encoded by the package `tokenizers`; the bytes of its tokens follow from its decoder."""

    def __init__(self, path: str | Path, config: Mapping[str, Any] | None = None) -> None:
        try:
            import tokenizers
        except ImportError:
            raise RuntimeError(
                f"{path} needs the package 'tokenizers': pip install 'minigrad[llama]', or use a GGUF file, "
                "whose tokenizer is built in"
            ) from None
        text = _read_limited(Path(path))
        try:
            parsed = json.loads(text)
            self.inner = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the package raises bare Exception
            raise ValueError(f"{path} is not a tokenizer.json: {error}") from None
        config = config or {}
        added = self.inner.get_added_tokens_decoder()
        special = {token.content: i for i, token in added.items() if token.special and token.content}
        bos = special.get(
            _token_name(config.get("bos_token")) or next((n for n in ("<s>", "<|begin_of_text|>") if n in special), "")
        )
        stops = {special[name] for name in (*END_NAMES, _token_name(config.get("eos_token"))) if name in special}
        size = max(self.inner.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        super().__init__(size, bos, stops, special)
        self.least_size = self.inner.get_vocab_size(with_added_tokens=False)
        self.added = {i: token.content.encode() for i, token in added.items()}
        self.byte_level = '"ByteLevel"' in json.dumps(parsed.get("decoder"))
        self.strips_leading_space = not self.byte_level
        template = config.get("chat_template", "")
        self.chat_template = template if isinstance(template, str) else ""

    def _encode_plain(self, text: str) -> list[int]:
        self.inner.encode_special_tokens = True  # special tokens' names are text
        ids: list[int] = self.inner.encode(text, add_special_tokens=False).ids
        return ids

    def _bytes_of(self, token: int) -> bytes:
        if token in self.added:
            return self.added[token]
        name = self.inner.id_to_token(token)
        if name is None:
            return b""
        if self.byte_level:
            return bytes_of_characters(name)
        if re.fullmatch(r"<0x[0-9A-Fa-f]{2}>", name):
            return bytes([byte_of_name(name)])
        return str(name).replace(SPACE_MARK, " ").encode("utf-8", errors="replace")


class ModelTokenizer(Tokenizer):
    """tokenizer.model, encoded by the package `sentencepiece`."""

    def __init__(self, path: str | Path, config: Mapping[str, Any] | None = None) -> None:
        try:
            import sentencepiece
        except ImportError:
            raise RuntimeError(
                f"{path} needs the package 'sentencepiece': pip install 'minigrad[llama]', or use a GGUF file, "
                "whose tokenizer is built in"
            ) from None
        try:
            self.inner = sentencepiece.SentencePieceProcessor(model_proto=Path(path).read_bytes())
            size = self.inner.vocab_size()
        except RuntimeError as error:
            raise ValueError(f"{path} is not a sentencepiece model: {error}") from None
        special = {
            self.inner.id_to_piece(i): i for i in range(size) if self.inner.is_control(i) or self.inner.is_unknown(i)
        }
        bos, eos = self.inner.bos_id(), self.inner.eos_id()
        super().__init__(size, bos if bos >= 0 else None, [eos] if eos >= 0 else [], special)
        self.strips_leading_space = True
        template = (config or {}).get("chat_template", "")
        self.chat_template = template if isinstance(template, str) else ""

    def _encode_plain(self, text: str) -> list[int]:
        ids: list[int] = self.inner.encode(text) if text else []
        return ids

    def _bytes_of(self, token: int) -> bytes:
        if self.inner.is_byte(token):
            return bytes([byte_of_name(self.inner.id_to_piece(token))])
        return str(self.inner.id_to_piece(token)).replace(SPACE_MARK, " ").encode("utf-8", errors="replace")


def from_folder(folder: str | Path) -> Tokenizer:
    """The tokenizer of a Hugging Face folder: tokenizer.json, tokenizer.model, or, where config.json says
    `"tokenizer": "bytes"` (our own checkpoints), the built-in one. ValueError where there is none."""
    folder = Path(folder)
    config = _read_json(folder / "tokenizer_config.json")
    if (folder / "tokenizer.json").is_file():
        return JsonTokenizer(folder / "tokenizer.json", config)
    if (folder / "tokenizer.model").is_file():
        return ModelTokenizer(folder / "tokenizer.model", config)
    if _read_json(folder / "config.json").get("tokenizer") == "bytes":
        return ByteTokenizer()
    raise ValueError(f"{folder} has no tokenizer.json and no tokenizer.model")


def _read_limited(path: Path) -> str:
    if (size := path.stat().st_size) > MAX_TOKENIZER_BYTES:
        raise ValueError(f"{path} has {size} bytes, more than any tokenizer needs")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from None


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(_read_limited(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    return value if isinstance(value, dict) else {}


def _token_name(token: Any) -> str:
    """tokenizer_config.json gives a token as its name or as an object with `content`."""
    name = token.get("content") if isinstance(token, dict) else token
    return name if isinstance(name, str) else ""
