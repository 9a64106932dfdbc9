"""`explain`: the kernels of a program, and for each buffer a reason from the closed list."""
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minigrad import Context, GlobalCounters, Tensor, TinyJit, dtypes, explain
from minigrad.nn.state import tensor_of
from minigrad.runtime.device import Buffer
from minigrad.schedule import create_schedule
from minigrad.schedule.cost import Costs
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


def data(*shape: int) -> Tensor:
    """Memory that nothing touches."""
    return tensor_of(Buffer("CPU", shape, dtypes.float32))


def hard(x: Tensor) -> Tensor:
    for _ in range(6):
        x = x.exp().sin()
    return x


def windows(x: Tensor, count: int) -> Tensor:
    return sum((x[i:i + 50] for i in range(count)), start=Tensor(0.0))


def shift_rows(x: Tensor) -> Tensor:
    x[1:] = x[:-1]
    return x


def scattered() -> Tensor:
    return data(8, 4).scatter(0, Tensor(np.zeros((2, 4), np.int32)), data(2, 4))


def neighbours(x: Tensor) -> Tensor:
    """Of each element of a row, and it, the sum."""
    return x[:, :-2] + x[:, 1:-1] + x[:, 2:]


def softmax_of_a_product(columns: int) -> Tensor:
    return (data(4096, 256) @ data(256, columns)).softmax(axis=1) @ data(columns, 64)


def chain(count: int) -> Tensor:
    x = data(4, 4)
    for i in range(count):
        x = (x + i).sin()
    return x


# A reason, a program that has it, and the program with the edit that `explain` names. RECOMPUTE and REDUCE_AGAIN are
# left out: whatever small programs have them keep the value in scratch.
EDITED: dict[Reason, tuple[Callable[[], Any], Callable[[], Any]]] = {
    Reason.OUTPUT: (lambda: [x := data(8, 8).exp(), x.sum()], lambda: data(8, 8).exp().sum()),
    Reason.ASSIGN: (lambda: (x := data(8)).assign(x + 1), lambda: data(8) + 1),
    Reason.SCATTER: (scattered, lambda: (Tensor.arange(8).reshape(8, 1) == 0).where(1.0, data(8, 4))),
    Reason.BASE: (scattered, lambda: Tensor.cat(data(2, 4), data(8, 4)[2:])),
    Reason.CONTIGUOUS: (lambda: data(8).exp().contiguous() + 1, lambda: data(8).exp() + 1),
    Reason.COPY: (lambda: data(8).to("NUMPY") + 1, lambda: Tensor([1.0], device="NUMPY") + 1),
    Reason.HAZARD: (lambda: shift_rows(data(8, 4)), lambda: Tensor.cat((x := data(8, 4))[:1], x[:-1])),
    Reason.COMPARED: (lambda: (x := data(8, 8).exp()).eq(x.max(axis=1, keepdim=True)),
                      lambda: (x := data(8, 8).exp().realize()).eq(x.max(axis=1, keepdim=True))),
    Reason.SHARED: (lambda: [(x := hard(data(1000, 1000))).sum(axis=0), x.sum(axis=1)],
                    lambda: hard(data(1000, 1000)).sum(axis=0)),
    Reason.ORDER: (lambda: (x := data(256, 256)).sum(axis=0, keepdim=True) + x.sum(axis=1, keepdim=True) + x,
                   lambda: (x := data(256, 256)).sum(axis=1, keepdim=True) + x),
    Reason.PARALLEL: (lambda: data(1, 100_000).softmax(axis=1), lambda: data(8, 12_500).softmax(axis=1)),
    Reason.SCRATCH: (lambda: neighbours(hard(data(4, 1 << 18))), lambda: neighbours(hard(data(1 << 10, 1 << 10)))),
    Reason.STREAM: (lambda: softmax_of_a_product(600_000), lambda: softmax_of_a_product(6000)),
    Reason.HEAVY: (lambda: (data(1024, 1024) @ data(1024, 1024)) @ data(1024, 64),
                   lambda: (data(1024, 64) @ data(64, 1024)) @ data(1024, 64)),
    Reason.BLOCKED: (lambda: (data(4096, 256).T @ data(4096, 256)).exp(),
                     lambda: (data(256, 4096) @ data(256, 4096).T).exp()),
    Reason.OPERAND: (lambda: hard(data(1024, 1024)) @ data(1024, 1024), lambda: hard(data(1024, 1024)) @ data(1024, 2)),
    Reason.NODES: (lambda: chain(400), lambda: chain(40)),
    Reason.INDEXINGS: (lambda: windows(data(64, 64).exp(), 12), lambda: windows(data(64, 64).exp(), 3)),
    Reason.INPUTS: (lambda: sum((data(512, 512) for _ in range(40)), start=Tensor(0.0)),
                    lambda: data(40, 512, 512).sum(axis=0)),
    Reason.PARTIAL: (lambda: data(600, 64, 64).exp().sum(), lambda: data(600, 64, 64).exp().sum(axis=0)),
}


def reasons_of(program: Callable[[], Any]) -> list[str]:
    tensors = program()
    nodes = [tensor.uop for tensor in (tensors if isinstance(tensors, list) else [tensors])]
    return [text for kernel in create_schedule(nodes, Buffer, Costs())[0].kernels for text in kernel.reasons]


@pytest.mark.parametrize("reason", EDITED, ids=lambda reason: reason.name)
def test_the_edit_that_is_named_takes_the_buffer_away(reason: Reason) -> None:
    before, after = (reasons_of(program).count(reason.value) for program in EDITED[reason])
    assert before > after


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
    assert answer.recordings == ("first call", "the second call", "new arguments: (9,) where (8,) was")
    with Context(NOFUSE=1):
        double(ones(9))
    assert explain(double).recordings[3] == "other flags"
    assert [s.reason for k in answer.kernels for s in k.stores] == [Reason.OUTPUT]


def test_other_things_are_refused() -> None:
    with pytest.raises(TypeError, match="expected tensors or a jitted function, got int"):
        explain(3)
