"""`explain`: the kernels of a program, and for each buffer a reason from the closed list."""
import numpy as np
import pytest

from minigrad import Context, GlobalCounters, Tensor, TinyJit, explain
from minigrad.schedule.reasons import EDITS, Reason


def ones(*shape: int) -> Tensor:
    return Tensor(np.ones(shape, np.float32)).realize()


def test_every_reason_has_an_edit() -> None:
    assert set(EDITS) == set(Reason) and all(EDITS.values())


def test_what_was_asked_for_is_an_output_and_nothing_runs() -> None:
    x = ones(64, 64)
    y = x.exp()
    GlobalCounters.reset()
    kernel, = explain(y).kernels
    assert GlobalCounters.kernels == 0 and not y.is_realized
    stored, = kernel.stores
    assert stored.reason is Reason.OUTPUT and stored.shape == (64, 64) and stored.nbytes == 4 * 64 * 64
    assert kernel.operations == 64 * 64 and kernel.nbytes == 2 * 4 * 64 * 64


def test_a_value_that_is_stored_says_what_the_alternative_would_cost() -> None:
    a, b = ones(256, 256), ones(256, 256)
    answer = explain(((a @ b).relu().softmax(axis=1) @ a).sum(axis=0))
    inner = [s for kernel in answer.kernels for s in kernel.stores if s.reason is not Reason.OUTPUT]
    assert inner and all(s.weighed is not None and s.weighed.inside > s.weighed.stored for s in inner)
    assert inner[0].reason.value in str(answer) and inner[0].edit in str(answer)


@pytest.mark.parametrize("reason, make", [
    (Reason.CONTIGUOUS, lambda x: x.exp().contiguous() + 1),
    (Reason.PARTIAL, lambda x: x.expand(600, 64, 64).exp().contiguous().sum()),
    (Reason.OUTPUT, lambda x: x + 1),
])
def test_reasons(reason: Reason, make: object) -> None:
    answer = explain(make(ones(64, 64)))  # type: ignore[operator]
    assert reason in {s.reason for kernel in answer.kernels for s in kernel.stores}


def test_a_copy_and_the_plain_policy_have_reasons() -> None:
    moved = explain(ones(4).to("NUMPY") + 1)
    assert [s.reason for kernel in moved.kernels for s in kernel.stores] == [Reason.COPY, Reason.OUTPUT]
    with Context(NOFUSE=1):
        assert Reason.UNFUSED in {s.reason for k in explain(ones(4).exp() + 1).kernels for s in k.stores}


def test_several_tensors_are_explained_together() -> None:
    x = ones(32, 32)
    y = x.exp()
    assert len(explain(y.sum(), y * 2).kernels) <= 2
    assert explain(x).kernels == () and "nothing" in str(explain(x))


def test_a_jitted_function_says_why_it_was_recorded() -> None:
    @TinyJit
    def double(x: Tensor) -> Tensor:
        return (x * 2).realize()
    assert explain(double).kernels == ()
    for n in (8, 8, 8, 9):
        double(ones(n))
    answer = explain(double)
    assert answer.recordings == ("first call", "the second call", "new arguments")
    assert [s.reason for k in answer.kernels for s in k.stores] == [Reason.OUTPUT]


def test_other_things_are_refused() -> None:
    with pytest.raises(TypeError, match="expected tensors or a jitted function, got int"):
        explain(3)
