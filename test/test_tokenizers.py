"""Tokenizers: the plain-Python ones against the packages they replace, streaming, special tokens, bad files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extra.models import tokenizers as ours
from extra.models.chat import chat_style, chat_turn
from extra.models.folder_tokenizers import ModelTokenizer, from_folder
from extra.models.tokenizers import ByteTokenizer, StreamDecoder

TEXTS = [
    "",
    " ",
    "hello world",
    "  two  spaces\n\nand\tlines \r\n ",
    "don't WE'LL they'Re",
    "naïve café — 東京 🙂🙃",
    "123456789 3.14 x²½",
    "<s> is text </s>",
]
CORPUS = [
    "the quick brown fox jumps over the lazy dog, then sleeps; don't wake it before 12345.",
    "statements and expressions: the value of an expression is computed when the statement runs\n\n    def f(x):\n",
    "naïve café in 東京 🙂 was great, they'll say; we've 1000 numbers 3.14 and spaces   here",
] * 40


# --- the package `tokenizers` as oracle for byte-level BPE ----------------------------------------------------------


SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]


def train_bpe(pattern: str) -> Any:
    package = pytest.importorskip("tokenizers")
    tokenizer = package.Tokenizer(package.models.BPE())
    split = package.pre_tokenizers.Split(package.Regex(pattern), "isolated")
    byte_level = package.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = package.pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = package.decoders.ByteLevel()
    trainer = package.trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=SPECIAL,
        initial_alphabet=package.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


LLAMA3 = "|".join(
    [
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        r"[^\r\n\p{L}\p{N}]?\p{L}+",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def bpe_metadata(tokenizer: Any, pre: str) -> dict[str, Any]:
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    special = {t.content for t in tokenizer.get_added_tokens_decoder().values()}
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.token_type": [3 if t in special else 1 for t in tokens],
        "tokenizer.ggml.bos_token_id": tokens.index("<|begin_of_text|>"),
        "tokenizer.ggml.eos_token_id": tokens.index("<|eot_id|>"),
    }


@pytest.fixture(scope="module", params=[("gpt-2", GPT2), ("llama-bpe", LLAMA3)], ids=["gpt2", "llama3"])
def bpe(request: pytest.FixtureRequest) -> tuple[Any, ours.Tokenizer]:
    pre, pattern = request.param
    oracle = train_bpe(pattern)
    return oracle, ours.from_gguf(bpe_metadata(oracle, pre))


def check_bpe(bpe: tuple[Any, ours.Tokenizer], text: str) -> None:
    oracle, mine = bpe
    oracle.encode_special_tokens = True
    ids = mine.encode(text)
    assert ids == oracle.encode(text, add_special_tokens=False).ids
    assert mine.decode(ids) == text


@pytest.mark.parametrize("text", TEXTS + CORPUS[:3])
def test_bpe_from_gguf_equals_the_tokenizers_package(bpe: tuple[Any, ours.Tokenizer], text: str) -> None:
    check_bpe(bpe, text)


@settings(deadline=None, max_examples=200)
@given(text=st.text(st.sampled_from("aehtnd's LlRrVv'\n\r\t .,!0123456789é東京²🙂\u00a0\u2028ſ-_"), max_size=40))
def test_bpe_from_gguf_equals_the_tokenizers_package_on_random_text(bpe: tuple[Any, ours.Tokenizer], text: str) -> None:
    check_bpe(bpe, text)


def test_long_word_is_merged_in_near_linear_time(bpe: tuple[Any, ours.Tokenizer]) -> None:
    ids = bpe[1].encode("th" * 20_000)  # quadratic merging would take minutes
    assert bpe[1].decode(ids) == "th" * 20_000


# --- the package `sentencepiece` as oracle for Llama 2's ------------------------------------------------------------


@pytest.fixture(scope="module")
def sentencepiece_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    package = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("sp")
    package.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=420,
        byte_fallback=True,
        add_dummy_prefix=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        character_coverage=0.98,
        minloglevel=2,
    )
    return folder / "tokenizer.model"


def unigram_metadata(path: Path) -> dict[str, Any]:
    import sentencepiece

    inner = sentencepiece.SentencePieceProcessor(model_file=str(path))
    size = inner.vocab_size()

    def kind(i: int) -> int:
        return 2 if inner.is_unknown(i) else 3 if inner.is_control(i) else 6 if inner.is_byte(i) else 1

    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [inner.id_to_piece(i) for i in range(size)],
        "tokenizer.ggml.scores": [inner.get_score(i) for i in range(size)],
        "tokenizer.ggml.token_type": [kind(i) for i in range(size)],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


def check_unigram(path: Path, text: str) -> None:
    import sentencepiece

    oracle = sentencepiece.SentencePieceProcessor(model_file=str(path))
    gguf, model = ours.from_gguf(unigram_metadata(path)), ModelTokenizer(path)
    ids = gguf.encode(text)
    assert ids == oracle.encode(text) == model.encode(text)
    assert gguf.decode(ids) == model.decode(ids) == text


@pytest.mark.parametrize("text", TEXTS + CORPUS[:3])
def test_unigram_from_gguf_equals_sentencepiece(sentencepiece_model: Path, text: str) -> None:
    check_unigram(sentencepiece_model, text)


@settings(deadline=None, max_examples=100)
@given(text=st.text(st.sampled_from("aehtnd's .,\n0123é東🙂qz"), max_size=40))
def test_unigram_from_gguf_equals_sentencepiece_on_random_text(sentencepiece_model: Path, text: str) -> None:
    check_unigram(sentencepiece_model, text)


def test_user_defined_symbols_are_never_cut() -> None:
    metadata = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "a", "b", "<tab>"],
        "tokenizer.ggml.scores": [0.0] * 6,
        "tokenizer.ggml.token_type": [2, 3, 3, 1, 1, 4],
        "tokenizer.ggml.add_space_prefix": False,
    }
    tokenizer = ours.from_gguf(metadata)
    assert tokenizer.encode("a<tab>b") == [3, 5, 4]
    assert tokenizer.decode([3, 5, 4]) == "a<tab>b"
    assert tokenizer.encode("</s>", special=True) == [2]


# --- folders ----------------------------------------------------------------------------------------------------------


def test_folder_with_tokenizer_json_knows_bos_stops_and_template(tmp_path: Path) -> None:
    oracle = train_bpe(LLAMA3)
    oracle.save(str(tmp_path / "tokenizer.json"))
    config = {"bos_token": "<|begin_of_text|>", "eos_token": {"content": "<|eot_id|>"}, "chat_template": "x"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = from_folder(tmp_path)
    assert tokenizer.bos == oracle.token_to_id("<|begin_of_text|>")
    assert oracle.token_to_id("<|eot_id|>") in tokenizer.stops
    assert tokenizer.chat_template == "x"
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no tokenizer\.json"):
        from_folder(tmp_path)


def test_our_own_checkpoint_folder_uses_bytes(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"tokenizer": "bytes"}')
    assert isinstance(from_folder(tmp_path), ByteTokenizer)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model"])
def test_damaged_tokenizer_file_is_a_value_error(tmp_path: Path, name: str) -> None:
    pytest.importorskip("tokenizers" if name.endswith("json") else "sentencepiece")
    (tmp_path / name).write_bytes(b"{]not a tokenizer")
    with pytest.raises(ValueError, match=name):
        from_folder(tmp_path)


# --- streaming --------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.text(max_size=30))
def test_streamed_bytes_make_only_whole_characters(text: str) -> None:
    text = text.encode("utf-8", errors="replace").decode()
    tokenizer = ByteTokenizer()
    stream = StreamDecoder(tokenizer)
    parts = [stream.push(token) for token in tokenizer.encode(text)]
    assert "".join(parts) + stream.finish() == text
    assert all(len(part) <= 1 for part in parts)  # one byte never completes two characters
    assert "\ufffd" not in "".join(parts) or "\ufffd" in text


def test_cut_character_is_held_back_and_marked_at_the_end() -> None:
    stream = StreamDecoder(ByteTokenizer())
    assert [stream.push(byte) for byte in "東".encode()[:2]] == ["", ""]
    assert stream.finish() == "\ufffd"


def test_stream_keeps_the_leading_space_of_a_continuation(sentencepiece_model: Path) -> None:
    tokenizer = ours.from_gguf(unigram_metadata(sentencepiece_model))
    stream = StreamDecoder(tokenizer)
    assert "".join(map(stream.push, tokenizer.encode("fox"))) == " fox"


def test_unknown_token_is_an_index_error() -> None:
    with pytest.raises(IndexError, match="vocabulary of 272"):
        ByteTokenizer().token_bytes(272)


# --- special tokens and chat ------------------------------------------------------------------------------------------


def test_special_names_in_text_stay_text_unless_asked_for() -> None:
    tokenizer = ByteTokenizer()
    assert tokenizer.encode("</s>") == list(b"</s>")
    assert tokenizer.encode("a</s>b", special=True) == [97, 257, 98]


def test_llama3_chat_turn_follows_the_published_template() -> None:
    tokenizer = ours.from_gguf(bpe_metadata(train_bpe(LLAMA3), "llama-bpe"))
    ids = chat_turn(tokenizer, "say <|eot_id|> twice", system="be brief")
    names = {i: name for name, i in tokenizer.special.items()}
    text = "".join(names[i] if i in names else tokenizer.decode([i]) for i in ids)
    assert text == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nbe brief<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nsay <|eot_id|> twice<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert sum(names.get(i) == "<|eot_id|>" for i in ids) == 2  # the one the user typed is text
    assert tokenizer.bos not in chat_turn(tokenizer, "again", first=False)


def test_llama2_chat_turn_follows_the_published_template(sentencepiece_model: Path) -> None:
    tokenizer = ours.from_gguf(unigram_metadata(sentencepiece_model))
    assert chat_style(tokenizer) == "llama2"
    ids = chat_turn(tokenizer, "hello", system="be brief")
    assert ids[0] == tokenizer.bos
    assert tokenizer.decode(ids) == "[INST] <<SYS>>\nbe brief\n<</SYS>>\n\nhello [/INST]"


def test_byte_level_chat_is_plain_text() -> None:
    tokenizer = ByteTokenizer()
    assert tokenizer.decode(chat_turn(tokenizer, "hello")) == "User: hello\nAssistant:"


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 300),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.text(max_size=3), max_size=4),
    st.lists(st.integers(-2, 9), max_size=4),
    st.lists(st.floats(), max_size=4).map(np.array),
)


@given(st.dictionaries(st.sampled_from(["model", "tokens", "scores", "token_type", "merges", "pre", "bos_token_id",
                                        "eos_token_id", "add_bos_token", "add_space_prefix"]), ODD),
       st.sampled_from(["llama", "gpt2"]))  # fmt: skip
def test_odd_gguf_metadata_is_used_or_a_value_error(odd: dict[str, Any], model: str) -> None:
    metadata = {"tokenizer.ggml.model": model, "tokenizer.ggml.tokens": ["<unk>", "a", "b", "ab"]}
    metadata |= {f"tokenizer.ggml.{key}": value for key, value in odd.items()}
    try:
        tokenizer = ours.from_gguf(metadata)
    except ValueError:
        return
    ids = tokenizer.encode("ab <unk>", special=True)
    assert all(0 <= i < tokenizer.vocab_size for i in ids)
    tokenizer.decode(range(tokenizer.vocab_size))


# --- bad metadata -----------------------------------------------------------------------------------------------------

GOOD = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<unk>", "a"],
    "tokenizer.ggml.scores": [0.0, 0.0],
    "tokenizer.ggml.token_type": [2, 1],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizer.ggml.model": "rwkv"}, "rwkv"),
        ({"tokenizer.ggml.tokens": [1, 2]}, "list of strings"),
        ({"tokenizer.ggml.tokens": None}, "list of strings"),
        ({"tokenizer.ggml.scores": [0.0]}, "2 tokens, 1 scores"),
        ({"tokenizer.ggml.token_type": [1]}, "2 tokens, 1 token types"),
        ({"tokenizer.ggml.token_type": [2, 6]}, "marked as a byte"),
        ({"tokenizer.ggml.bos_token_id": 2}, "bos_token_id is 2"),
        ({"tokenizer.ggml.model": "gpt2"}, "merges"),
        ({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.merges": ["ab"]}, "merges"),
        ({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.merges": [], "tokenizer.ggml.pre": "odd"}, "'odd'"),
    ],
)
def test_bad_gguf_metadata_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ours.from_gguf({**GOOD, **change})
