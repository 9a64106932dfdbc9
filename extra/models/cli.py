"""The commands of `python -m extra.models.llama`: generate, chat, train, benchmark, and the demonstration.

Text that a model writes goes to stdout, everything else to stderr, except the benchmark's table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from extra.models import benchmark, train
from extra.models.chat import Chat
from extra.models.checkpoint import DTYPES, load
from extra.models.generate import Sampling, Session, complete
from extra.models.llama import PRESET_NAMES, PRESETS, preset
from extra.models.tokenizers import Tokenizer
from extra.models.train import say
from minigrad import Context

DEMO_FOLDER = Path("runs/english")
DEMO_PROMPTS = ("The value of an expression ", "When a class is defined, ", "In Python, ")
DEFAULT_CONTEXT = 4096  # of a model that would take more: the cache of 128k positions is larger than a small model


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m extra.models.llama", description="Generate text with a Llama, chat, train one, or measure one."
    )
    what = parser.add_argument_group("what to do (default: continue --prompt)")
    what.add_argument("--chat", action="store_true", help="talk to the model, a line at a time")
    what.add_argument("--train", action="store_true", help="train a small byte-level Llama into --out")
    what.add_argument("--benchmark", action="store_true", help="measure --model, or a shape with random weights")
    what.add_argument("--demo", action="store_true", help="train once, write a little, then measure two shapes")
    model = parser.add_argument_group("model")
    model.add_argument("--model", metavar="PATH", help="a Hugging Face folder, a GGUF file, or a folder of --train")
    model.add_argument("--device", help="CPU (default), NUMPY: DEV in the environment does the same")
    model.add_argument("--dtype", choices=list(DTYPES), help="convert the weights; default: as they are in the file")
    model.add_argument(
        "--context", type=int, metavar="N", help=f"positions to serve, default min(model's, {DEFAULT_CONTEXT})"
    )
    text = parser.add_argument_group("text")
    text.add_argument("--prompt", default="", help="what to continue")
    text.add_argument("--system", default="", help="the system message of a chat")
    text.add_argument("--temperature", type=float, default=0.8, help="0: always the likeliest token (default 0.8)")
    text.add_argument(
        "--top-p", type=float, default=0.95, metavar="P", help="draw from the likeliest tokens that have P together"
    )
    text.add_argument("--top-k", type=int, default=0, metavar="K", help="draw from the K likeliest tokens (0: all)")
    text.add_argument("--seed", type=int, default=0)
    text.add_argument("--max-tokens", type=int, default=256, metavar="N")
    training = parser.add_argument_group("training")
    training.add_argument(
        "--text", type=Path, metavar="FILE", help="what to learn; default: the documentation in CPython"
    )
    training.add_argument("--out", type=Path, default=DEMO_FOLDER, metavar="FOLDER", help=f"default {DEMO_FOLDER}")
    training.add_argument("--minutes", type=float, help="how long to train, over all interruptions (default 2)")
    training.add_argument("--steps", type=int, help="how many steps to train")
    measuring = parser.add_argument_group("benchmark")
    shapes = ", ".join([*PRESETS, *PRESET_NAMES])
    measuring.add_argument("--random", metavar="SHAPE", help=f"a shape with random weights: {shapes}")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    try:
        with Context(**({"DEV": options.device} if options.device else {})):
            run(parser, options)
    except (ValueError, RuntimeError, OSError) as error:
        say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        say("\ninterrupted")
        return 130
    return 0


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if options.max_tokens < 1:
        raise ValueError(f"--max-tokens is {options.max_tokens}, expected 1 or more")
    if options.demo:
        demo()
    elif options.train:
        run_training(options)
    elif options.benchmark:
        run_benchmark(options)
    elif options.model is None:
        parser.error("--model is needed, or --train, --benchmark, --demo")
    else:
        model, tokenizer = load(options.model, options.dtype, options.context, at_most=DEFAULT_CONTEXT)
        session = Session(model)
        (chat if options.chat else write)(session, tokenizer, options)


def sampling_of(options: argparse.Namespace) -> Sampling:
    return Sampling(options.temperature, options.top_k, options.top_p, options.seed)


def stream(pieces: Iterable[str]) -> None:
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    sys.stdout.flush()


def write(session: Session, tokenizer: Tokenizer, options: argparse.Namespace) -> None:
    sampling = sampling_of(options)
    pieces = complete(session, tokenizer, options.prompt, sampling, options.max_tokens)
    first = next(pieces, "")  # a prompt that does not fit is refused before anything is printed
    sys.stdout.write(options.prompt + first)
    stream(pieces)


def chat(session: Session, tokenizer: Tokenizer, options: argparse.Namespace) -> None:
    """Lines from stdin, answers to stdout; an empty line or the end of the input ends it."""
    conversation = Chat(session, tokenizer, sampling_of(options), options.system)
    if options.prompt:
        stream(conversation.answer(options.prompt, options.max_tokens))
    while True:
        if sys.stdin.isatty():
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline().strip()
        if not line:
            return
        stream(conversation.answer(line, options.max_tokens))


def run_training(options: argparse.Namespace) -> None:
    text = train.english_text()
    if options.text is not None:
        text = options.text.read_text(encoding="utf-8", errors="replace")
    minutes = 2.0 if options.minutes is None and options.steps is None else options.minutes
    loss = train.train(options.out, text, minutes, options.steps)
    say(
        f"loss {loss:.3f} nats per byte; --model {options.out} loads it"
        if loss == loss
        else f"{options.out} is trained"
    )


def run_benchmark(options: argparse.Namespace) -> None:
    if options.model is not None and options.random is not None:
        raise ValueError("--benchmark measures --model or --random, not both")
    if options.model is not None:
        result = benchmark.benchmark_path(options.model, options.dtype)
    else:
        name = options.random or "15M"
        result = benchmark.benchmark_random(preset(name), name, options.dtype or "f32")
    print(result, flush=True)


def demo() -> None:
    """What `make llama` shows: training (once), writing, and how fast two shapes run."""
    say("1/3  a byte-level Llama learns English from CPython's documentation, once, for two minutes")
    loss = train.train(DEMO_FOLDER, train.english_text(), minutes=2.0)
    say(f"     loss {loss:.3f} nats per byte" if loss == loss else f"     {DEMO_FOLDER} is trained already")
    say("2/3  it writes")
    model, tokenizer = load(DEMO_FOLDER)
    session = Session(model)
    for seed, prompt in enumerate(DEMO_PROMPTS):
        sys.stdout.write(f"\n{prompt}")
        stream(complete(session, tokenizer, prompt, Sampling(0.7, top_p=0.95, seed=seed), 300))
    del model, session
    say("\n3/3  how fast Llamas run here, with random weights")
    for name, dtype, tokens in (("15M", "f32", 128), ("1B", "bf16", 32)):
        result = benchmark.benchmark_random(preset(name), name, dtype, tokens)
        print(f"\n{result}", flush=True)
