"""What DEBUG=5 and DEBUG=6 print is read back as the very same nodes."""
import numpy as np
import pytest

from extra.models.llama import KVCache, Llama, LlamaConfig
from minigrad import Tensor, Variable, nn
from minigrad.codegen.pipeline import lower_kernel
from minigrad.engine import compile as engine
from minigrad.printer import listing, render
from minigrad.runtime.device import get_device
from minigrad.uops import UOp
from tools.read_uops import parse

TINY = LlamaConfig(dim=32, layers=1, heads=4, kv_heads=2, hidden=64, vocab_size=50, context=32)


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> list[UOp]:
    """The ASTs of a training step of a Llama, and of a token at a symbolic position."""
    found: dict[UOp, None] = {}
    programs_for = engine.programs_for

    def noting(wanted):  # type: ignore[no-untyped-def]
        found.update(dict.fromkeys(ast for ast, _ in wanted))
        return programs_for(wanted)
    monkeypatch.setattr("minigrad.engine.realize.programs_for", noting)
    model, tokens = Llama(TINY), Tensor(np.arange(8, dtype=np.int32).reshape(1, 8))
    model(tokens).reshape(8, -1).cross_entropy(tokens.reshape(-1)).backward()
    gradients = [p.grad for p in nn.state.get_parameters(model)]
    gradients[0].realize(*gradients[1:])
    cache = KVCache(TINY, 32)
    model(tokens[:, :1], Variable("start", 0, 31).bind(3), cache).realize()
    (Tensor.rand(33, 17).realize()[:, 3:].flip(1) @ Tensor.rand(14, 9).realize()).max(axis=0).realize()
    return list(found)


def test_graphs_and_lists_are_read_back_as_themselves(kernels: list[UOp]) -> None:
    assert len(kernels) > 10
    target = get_device("CPU").target
    for ast in kernels:
        text = render(ast, indent=True)
        assert parse(text)[-1] is ast, text
        ops = list(lower_kernel(ast, target).linear.ops)
        text = listing(ops)
        assert listing(parse(text)) == text


def test_what_cannot_be_read_is_an_error_with_its_line() -> None:
    with pytest.raises(ValueError, match="line 2, '%1 = EXP %7  float32"):
        parse("%0 = PARAM  slot=0 shape=(4,)  float32 (4,)\n%1 = EXP %7  float32 (4,)")
    with pytest.raises(ValueError, match="no argument has the fields"):
        parse("%0 = PARAM  slot=0 size=(4,)  float32 (4,)")
