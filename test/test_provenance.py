"""Every kernel knows the user's lines that it computes: through autodiff, optimisers, splits of reduces and replays."""
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from extra.models.llama import KVCache, Llama, LlamaConfig
from minigrad import Context, GlobalCounters, Tensor, TinyJit, explain, nn
from minigrad.runtime.device import get_device

TINY = LlamaConfig(dim=32, layers=1, heads=4, kv_heads=2, hidden=64, vocab_size=50, context=32)


class Gpt:
    """A block of a GPT: learned positions, layer norms, attention with a mask, a GELU."""

    def __init__(self, dim: int = 16, heads: int = 2, vocabulary: int = 20, context: int = 8) -> None:
        self.heads, self.dim = heads, dim
        self.tokens, self.positions = nn.Embedding(vocabulary, dim), nn.Embedding(context, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def __call__(self, tokens: Tensor) -> Tensor:
        b, t = tokens.shape
        x = self.tokens(tokens) + self.positions(Tensor.arange(t))
        q, k, v = self.qkv(self.norm1(x)).reshape(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4).chunk(3, 0)
        a = q.squeeze(0).scaled_dot_product_attention(k.squeeze(0), v.squeeze(0), is_causal=True)
        x = x + self.out(a.transpose(1, 2).reshape(b, t, self.dim)).dropout(0.1)
        x = x + self.down(self.up(self.norm2(x)).gelu())
        return x @ self.tokens.weight.transpose(0, 1)


@pytest.fixture
def known_lines(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...]]]:
    """The kernels that were launched, with their lines."""
    from minigrad.engine import realize
    seen: list[tuple[str, tuple[str, ...]]] = []
    launch = realize.launch

    def noting(program: Any, kernel: Any, variables: Any) -> None:
        seen.append((program.name if program is not None else "copy", kernel.lines))
        launch(program, kernel, variables)
    monkeypatch.setattr(realize, "launch", noting)
    return seen


def line_number(function: Callable[..., Any], text: str) -> str:
    """"file:line" of the first line of a function that holds this text."""
    lines, first = inspect.getsourcelines(function)
    return f"{inspect.getsourcefile(function)}:{first + next(i for i, line in enumerate(lines) if text in line)}"


def training_step(model: Any, tokens: Tensor, targets: Tensor) -> list[float]:
    optimiser = nn.optim.AdamW(nn.state.get_parameters(model), lr=1e-2)

    @TinyJit
    def step() -> Tensor:
        optimiser.zero_grad()
        logits = model(tokens)
        loss = logits.reshape(-1, logits.shape[-1]).cross_entropy(targets.reshape(-1))
        loss.backward()
        optimiser.step()
        return loss.realize()
    return [step().item() for _ in range(3)]


@pytest.mark.parametrize("make", [lambda: Gpt(), lambda: Llama(TINY)], ids=["gpt", "llama"])
def test_every_kernel_of_a_training_step_has_a_line(make: Callable[[], Any],
                                                    known_lines: list[tuple[str, tuple[str, ...]]]) -> None:
    numbers = np.random.default_rng(0).integers(0, 20, (2, 9)).astype(np.int32)
    losses = training_step(make(), Tensor(numbers[:, :-1].copy()), Tensor(numbers[:, 1:].copy()))
    assert losses[2] < losses[0]
    assert len(known_lines) > 15
    assert [name for name, lines in known_lines if not lines] == []
    assert not any("/minigrad/" in line for _, lines in known_lines for line in lines)


def test_every_kernel_of_a_token_has_a_line(known_lines: list[tuple[str, tuple[str, ...]]]) -> None:
    model = Llama(TINY)
    cache = KVCache(TINY, 32)
    model(Tensor([[1, 2, 3]], dtype="int32"), 0, cache).realize()
    with Context(DEBUG=2):
        GlobalCounters.reset()
        model(Tensor([[4]], dtype="int32"), 3, cache).realize()
        assert "" not in GlobalCounters.by_line and len(GlobalCounters.by_line) > 3
    assert len(known_lines) > 5 and all(lines for _, lines in known_lines)


def test_a_gradient_has_the_line_of_what_it_is_the_gradient_of() -> None:
    def forward(x: Tensor, y: Tensor) -> Tensor:
        hidden = x @ y
        return hidden.exp().sum()
    x = Tensor(np.ones((8, 8), np.float32), requires_grad=True)
    forward(x, Tensor(np.ones((8, 8), np.float32)).realize()).backward()
    kernels = explain(x.grad).kernels
    lines = {line for kernel in kernels for line in kernel.lines}
    assert line_number(forward, "x @ y") in lines and line_number(forward, "exp()") in lines


def test_a_reduce_that_is_cut_keeps_its_line() -> None:
    x = Tensor(np.ones(3_000_000, np.float32)).realize()
    total = x.sum()
    kernels = explain(total).kernels
    here = line_number(test_a_reduce_that_is_cut_keeps_its_line, "total = x")
    assert len(kernels) == 2 and all(kernel.lines[0] == here for kernel in kernels)


def test_errors_when_running_name_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    device = get_device("CPU")

    def failing(*arguments: Any, **options: Any) -> float:
        raise RuntimeError("no power")
    monkeypatch.setattr(device, "launch", failing)
    x = Tensor([1.0, 2.0]) * 3
    with pytest.raises(RuntimeError) as caught:
        x.realize()
    assert line_number(test_errors_when_running_name_the_line, "* 3") in caught.value.__notes__[0]


def test_errors_when_compiling_name_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    device = get_device("CPU")

    def failing(specs: Any) -> Any:
        raise RuntimeError(f"in {next(iter(specs)).source}")
    monkeypatch.setattr(device, "compile", failing)
    x = Tensor(np.ones(37, np.float32)) * 3 + 0.123
    with pytest.raises(RuntimeError) as caught:
        x.realize()
    assert line_number(test_errors_when_compiling_name_the_line, "* 3 + 0.123").rpartition("/")[2] in \
        caught.value.__notes__[0]
