"""Training a small byte-level Llama: AdamW, a cosine schedule, checkpoints that survive anything.

    train(Path("runs/english"), english_text(), minutes=2)

The folder holds config.json and model.safetensors, which `--model` loads, and training.safetensors: weights, the
optimiser's moments, the step and the time spent, in one file. Each file is replaced in one step, so a process killed
at any moment leaves a training that goes on from the last save; batches follow from the seed and the step alone, so it
goes on as if it had never stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from extra.models import checkpoint
from extra.models.llama import Llama, LlamaConfig
from extra.models.tokenizers import ByteTokenizer
from minigrad import Tensor, TinyJit, dtypes, nn
from minigrad.nn.state import MODEL_NAME, safe_load_metadata, safe_save
from minigrad.progress import Progress

SMALL = LlamaConfig(
    dim=128, layers=4, heads=4, kv_heads=2, hidden=384, vocab_size=ByteTokenizer.SIZE, context=512, tied=True
)
STATE_NAME = "training.safetensors"


@dataclass(frozen=True)
class Recipe:
    """Everything besides the text and the shape that the result depends on."""

    batch: int = 4  # small: in two minutes, more steps teach more than larger ones
    tokens: int = 256  # per sequence: as far as the model is to write
    rate: float = 5e-3  # at its highest
    final: float = 0.1  # of it, at the end
    warmup: float = 0.03  # of the whole
    decay: float = 0.1  # AdamW's weight decay
    seed: int = 0


def say(text: str) -> None:
    """A line of news on stderr, apart from what a program writes."""
    print(text, file=sys.stderr, flush=True)


def english_text() -> str:
    """The documentation of Python's language, which every CPython carries: about 460,000 characters of English."""
    from pydoc_data.topics import topics  # a megabyte of source: not for who trains on something else

    return "\n\n".join(topics[name] for name in sorted(topics))


def learning_rate(recipe: Recipe, progress: float) -> float:
    """A linear warm-up, then half a cosine down to `final` (Loshchilov & Hutter 2017). progress: 0 to 1."""
    if progress < recipe.warmup:
        return recipe.rate * max(progress / recipe.warmup, 0.01)
    turn = (progress - recipe.warmup) / (1 - recipe.warmup)
    return recipe.rate * (recipe.final + (1 - recipe.final) * 0.5 * (1 + math.cos(math.pi * min(turn, 1.0))))


def batch_of(data: np.ndarray, recipe: Recipe, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets (batch, tokens), int32, at random places; the same for the same seed and step."""
    rng = np.random.default_rng((recipe.seed, step))
    starts = rng.integers(0, len(data) - recipe.tokens, recipe.batch)
    windows = data[starts[:, None] + np.arange(recipe.tokens + 1)].astype(np.int32)
    return windows[:, :-1].copy(), windows[:, 1:].copy()


def loss_of(model: Llama, inputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy, in nats, of the next tokens: scalar. inputs and targets: (B, T)."""
    logits = model(inputs)  # (B, T, V)
    return logits.reshape(-1, logits.shape[-1]).cross_entropy(targets.reshape(-1))


class Trainer:
    """A model, its optimiser, and one captured function that does a step."""

    def __init__(self, config: LlamaConfig, recipe: Recipe) -> None:
        self.recipe = recipe
        self.model = Llama(config)
        self.model.initialise(recipe.seed)
        weights = nn.state.get_parameters(self.model)
        for weight in weights:
            weight.requires_grad = True
        self.optimiser = nn.optim.AdamW(weights, lr=recipe.rate, b1=0.9, b2=0.95, weight_decay=recipe.decay)
        self.run = TinyJit(self._run)
        self.step = 0
        self.seconds = 0.0  # spent training, over all sessions

    def _run(self, inputs: Tensor, targets: Tensor) -> Tensor:
        self.optimiser.zero_grad()
        loss = loss_of(self.model, inputs, targets)
        loss.backward()
        self.optimiser.step()
        return loss.realize()

    def advance(self, data: np.ndarray, progress: float) -> float:
        """One step; its loss."""
        self.optimiser.lr.assign(Tensor([learning_rate(self.recipe, progress)], dtype=dtypes.float32)).realize()
        inputs, targets = batch_of(data, self.recipe, self.step)
        loss = float(self.run(Tensor(inputs), Tensor(targets)).item())
        self.step += 1
        if not math.isfinite(loss):
            raise RuntimeError(f"training: the loss is {loss} at step {self.step}")
        return loss

    # --- files ---

    def state(self) -> dict[str, Tensor]:
        """Everything that a later step depends on, each tensor once."""
        named = nn.state.get_state_dict({"model": self.model, "optimiser": self.optimiser})
        unique = {id(tensor): (name, tensor) for name, tensor in reversed(named.items())}
        return dict(sorted(unique.values(), key=lambda item: item[0]))

    def save(self, folder: Path, identity: dict[str, Any]) -> None:
        """The training first, then the model: whichever of them is old after a kill is still whole."""
        note = identity | {"step": self.step, "seconds": self.seconds}
        folder.mkdir(parents=True, exist_ok=True)
        safe_save(self.state(), folder / STATE_NAME, {"training": json.dumps(note)})
        checkpoint.save(self.model, folder, note={"step": str(self.step)})

    def is_saved(self, folder: Path) -> bool:
        """Whether the folder's model is the one of this step: a process may have been killed before it wrote it."""
        try:
            return safe_load_metadata(folder / MODEL_NAME)[1].get("step") == str(self.step)
        except (OSError, ValueError):
            return False

    def resume(self, folder: Path, identity: dict[str, Any]) -> None:
        """Go on from a save. ValueError if it belongs to another text, shape or recipe, or lacks a tensor."""
        path = folder / STATE_NAME
        tensors, metadata = safe_load_metadata(path)
        try:
            note = json.loads(metadata["training"])
            step, seconds = int(note["step"]), float(note["seconds"])
        except (KeyError, TypeError, ValueError, RecursionError):
            raise ValueError(f"{path} is not a saved training") from None
        for key, value in identity.items():
            if note.get(key) != value:
                raise ValueError(f"{folder} holds a training with another {key}: choose another folder or remove it")
        own = self.state()
        if own.keys() != tensors.keys():
            raise ValueError(f"{path}: its tensors are not those of this training")
        for name, tensor in own.items():
            if tensor.shape != tensors[name].shape or tensor.dtype is not tensors[name].dtype:
                raise ValueError(f"{path}: {name} is {tensors[name].dtype} {tensors[name].shape}")
            # The mapped file is read-only, and training writes: numpy copies.
            tensor.assign(Tensor(tensors[name].numpy().copy())).realize()
        self.step, self.seconds = step, seconds


def train(
    folder: Path,
    text: str,
    minutes: float | None = None,
    steps: int | None = None,
    config: LlamaConfig | None = None,
    recipe: Recipe | None = None,
    save_every: float = 20.0,
    quiet: bool = False,
) -> float:
    """Train until `minutes` of training or `steps` are over (over all interruptions), saving every `save_every`
    seconds. Returns the last loss, averaged, in nats per byte; nan if there was nothing left to do."""
    config, recipe = config or SMALL, recipe or Recipe()
    if minutes is None and steps is None:
        raise ValueError("train: give minutes or steps")
    for name, end in (("minutes", minutes), ("steps", steps)):
        if end is not None and not 0 < end < math.inf:
            raise ValueError(f"train: {name} is {end}, expected more than 0")
    if recipe.tokens > config.context:
        raise ValueError(f"train: sequences of {recipe.tokens} tokens, the context holds {config.context}")
    data = np.frombuffer(text.encode("utf-8", errors="replace"), np.uint8)
    if len(data) <= recipe.tokens + 1:
        raise ValueError(f"train: the text has {len(data)} bytes, one sequence takes {recipe.tokens + 1}")
    identity = {
        "text": hashlib.sha256(data.tobytes()).hexdigest(),
        "shape": json.loads(json.dumps(asdict(config))),  # tuples become lists, as they come back
        "recipe": asdict(recipe),
    }
    trainer = Trainer(config, recipe)
    if (folder / STATE_NAME).is_file():
        trainer.resume(folder, identity)
        say(f"going on from step {trainer.step} in {folder}")

    def fraction() -> float:
        by_time = trainer.seconds / (60 * minutes) if minutes else 0.0
        return max(by_time, trainer.step / steps if steps else 0.0)

    bar = Progress("training", fraction(), quiet)
    average, saved, began = math.nan, time.monotonic(), time.monotonic()
    before, first_step = trainer.seconds, trainer.step
    try:
        while (done := fraction()) < 1:
            loss = trainer.advance(data, done)
            trainer.seconds = before + time.monotonic() - began
            average = loss if math.isnan(average) else 0.95 * average + 0.05 * loss
            speed = (trainer.step - first_step) * recipe.batch * recipe.tokens / (time.monotonic() - began)
            bar.update(fraction(), f"step {trainer.step}  loss {average:.3f}  {speed:,.0f} tokens/s")
            if time.monotonic() - saved > save_every:
                trainer.save(folder, identity)
                saved = time.monotonic()
    finally:
        bar.close()
        if trainer.step and not trainer.is_saved(folder):  # on Ctrl-C too
            trainer.save(folder, identity)
    return average
