"""Schedules compute what the graph means: fused, unfused, under any costs, against the definition of the ops."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from counting import calls
from graph_builder import NAMES, G, HostBuffer, case, leaves
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.dtype import dtypes
from minigrad.helpers import Context
from minigrad.runtime.numpy import evaluate, evaluate_kernel
from minigrad.schedule import Kernel, Schedule, create_schedule
from minigrad.schedule.cost import Costs
from minigrad.uops import Ops, UOp, toposort

COSTS = Costs(cores=2, l2=2 << 20)
# Constants that force other cuts than the usual: everything inside, everything stored, caps, no scratch, many cores.
EXTREMES: list[dict[str, Any]] = [
    {"launch": 0.0}, {"launch": 1e12}, {"launch": 1e12, "cores": 1}, {"launch": 0.0, "byte": 0.001, "cached_byte": 0.0},
    {"launch": 0.0, "byte": 1000.0}, {"nodes": 4}, {"nodes": 1}, {"reduces": 1}, {"indexings": 1, "launch": 1e12},
    {"inputs": 2}, {"scratch": 0, "launch": 1e12}, {"split_from": 0.0, "cores": 1000},
    {"split_from": 0.0, "cores": 1000, "launch": 0.0},
    {"l2": 0, "expand": 1}, {"likely": 0.0, "launch": 0.0}, {"operand": 0.0, "launch": 0.0, "plain": 0.0}]


def run(schedule: Schedule) -> None:
    """Runs the kernels on the interpreter."""
    for kernel in schedule.kernels:
        if kernel.ast.op is Ops.COPY:
            kernel.buffers[0].numpy()[...] = kernel.buffers[1].numpy()
        else:
            evaluate_kernel(kernel.ast, [b.numpy() for b in kernel.buffers], schedule.variables)


def check(outputs: list[UOp], costs: Costs = COSTS, tolerance: float = 1e-4) -> list[Kernel]:
    """Schedules, runs, compares with the graph's meaning before it ran; the kernels."""
    expected = evaluate(outputs)
    schedule, realized = create_schedule(outputs, HostBuffer, costs)
    run(schedule)
    for output, want in zip(outputs, expected):
        form = realized[output]
        assert form.op is Ops.BUFFER or (form.op is Ops.VIEW and form.src[0].op is Ops.BUFFER)
        if output.op is Ops.BUFFER:  # the user's own memory: an assignment changes it
            assert form is output
            continue
        got, = evaluate([form])
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=1e-5)
    check_kernels(schedule.kernels)
    return schedule.kernels


def check_kernels(kernels: Iterable[Kernel]) -> None:
    """What holds for every kernel: slots in order of first appearance, stores first, no bound values, a reason per
    written slot.
    """
    for kernel in kernels:
        if kernel.ast.op is Ops.COPY:
            continue
        params = {n.arg.slot: n for n in toposort(kernel.ast) if n.op is Ops.PARAM}
        assert sorted(params) == list(range(len(kernel.buffers)))
        assert all(tuple(p.arg.shape) == kernel.buffers[slot].shape and p.dtype is kernel.buffers[slot].dtype
                   for slot, p in params.items())
        written = tuple(dict.fromkeys(s.src[0].arg.slot for s in kernel.ast.src))
        assert written == kernel.written == tuple(range(len(written)))
        assert len(kernel.reasons) == len(kernel.written) and all(kernel.reasons)
        assert not any(n.op is Ops.BIND or n.op is Ops.BUFFER for n in toposort(kernel.ast))
        for store in kernel.ast.src:
            if len(store.src) == 2:
                region = store.arg.shape if store.arg is not None else store.src[0].shape
                assert tuple(store.src[1].shape) == tuple(region)
        assert len({id(b) for b in kernel.buffers}) == len(kernel.buffers)


@pytest.mark.parametrize("name", NAMES)
def test_fused_schedule_computes_the_graph(name: str) -> None:
    check([o.node for o in case(name, leaves(1))])


@pytest.mark.parametrize("name", NAMES)
def test_unfused_schedule_computes_the_graph_with_one_op_a_kernel(name: str) -> None:
    with Context(NOFUSE=1):
        for kernel in check([o.node for o in case(name, leaves(2))]):
            inner = [n for n in toposort(kernel.ast) if n.op not in
                     (Ops.PARAM, Ops.CONST, Ops.VARIABLE, Ops.IOTA, Ops.VIEW, Ops.STORE, Ops.SINK)]
            assert len([n for n in inner if n.dtype is not dtypes.index]) <= 1


@pytest.mark.parametrize("constants", EXTREMES, ids=str)
def test_any_costs_give_a_right_cut(constants: dict[str, Any]) -> None:
    for name in NAMES:
        if not name.startswith(("gpt 2", "llama decode 2")):
            check([o.node for o in case(name, leaves(3))], Costs(**constants))


def test_eager_mode_runs_one_op_a_kernel() -> None:
    x = G.of(np.ones((3, 4), np.float32))
    with Context(EAGER=1):
        assert len(check([x.softmax().node])) == 7
    assert len(check([x.softmax().node])) == 1


# ---- sinks

def test_views_of_buffers_need_no_kernel() -> None:
    x = G.of(np.arange(12, dtype=np.float32).reshape(3, 4))
    outputs = [x.permute(1, 0).node, x.shrink((1, 2), (0, 4)).node, x.node, x.reshape(12).flip(0).node]
    assert check(outputs) == []


def test_a_view_of_a_value_stores_the_value_once() -> None:
    x = G.of(np.arange(12, dtype=np.float32).reshape(3, 4)).exp()
    assert len(check([x.permute(1, 0).node, x.node, x.reshape(2, 6).node, x.reshape(1, 12).expand(5, 12).node])) == 1


def test_a_small_part_of_a_value_is_computed_alone() -> None:
    x = G.of(np.arange(12, dtype=np.float32).reshape(3, 4)).exp()
    kernel, = check([x.shrink((0, 1), (0, 4)).node])
    assert kernel.buffers[0].shape == (1, 4)


def test_the_same_output_twice_is_computed_once() -> None:
    x = G.of(np.ones(5, np.float32)).exp()
    assert len(check([x.node, x.node])) == 1


def test_constants_become_buffers() -> None:
    c = G.const(3.0)
    kernels = check([c.node, c.reshape(1, 1).expand(2, 3).node, G.arange(7).node, G.arange(6).reshape(2, 3).node])
    assert len(kernels) == 4


def test_empty_outputs_run_no_kernel_and_empty_sums_are_zero() -> None:
    x = G.of(np.ones((0, 4), np.float32))
    assert check([x.exp().node, (x * 2.0).reshape(4, 0).node]) == []
    assert len(check([x.exp().sum(0).node])) == 1
    with Context(NOFUSE=1):
        assert len(check([x.exp().sum(0).node])) == 1


def test_contiguous_is_a_buffer_of_its_own() -> None:
    x = G.of(np.arange(6, dtype=np.float32).reshape(2, 3))
    y = x.permute(1, 0).contiguous()
    outputs = [y.node, (y.exp() + y).node]
    kernels = check(outputs)
    assert sum("contiguous" in reason for k in kernels for reason in k.reasons) == 1
    assert evaluate([x.node])[0].tolist() == [[0, 1, 2], [3, 4, 5]]


# ---- symbolic shapes

def test_symbolic_shapes_are_allocated_at_their_maximum_and_compile_once() -> None:
    n = UOp.variable("n", 1, 8)
    x = G.of(np.arange(32, dtype=np.float32).reshape(8, 4))
    asts = []
    for value in (3, 5):
        y = x.shrink((0, n.bind(value)), (0, 4)).exp()
        outputs = [y.node, y.sum(0).node, (y * 2.0).sum(1).node]
        schedule, realized = create_schedule(outputs, HostBuffer, COSTS)
        assert schedule.variables == {"n": value}
        form = realized[outputs[0]]
        assert form.op is Ops.VIEW and form.src[0].arg.shape == (8, 4) and form.shape == outputs[0].shape
        run(schedule)
        for want, got in zip(evaluate(outputs), evaluate([realized[o] for o in outputs])):
            np.testing.assert_allclose(got, want, rtol=1e-5)
        asts.append([k.ast for k in schedule.kernels])
    assert asts[0] == asts[1]


def test_a_variable_with_two_values_is_refused() -> None:
    n = UOp.variable("n", 1, 8)
    x = G.of(np.ones(8, np.float32))
    a, b = x.shrink((0, n.bind(2))).exp().sum(0), x.shrink((0, n.bind(3))).exp().sum(0)
    with pytest.raises(ValueError, match="variable n is bound to"):
        create_schedule([(a + b).node], HostBuffer, COSTS)


# ---- devices

def test_a_copy_between_devices_is_a_kernel_of_its_own() -> None:
    x = G.of(np.arange(6, dtype=np.float32).reshape(2, 3))
    there = G(UOp(Ops.COPY, dtypes.float32, ((x * 2.0).permute(1, 0).node,), "NUMPY"))
    outputs = [(there + 1.0).node]
    schedule, realized = create_schedule(outputs, HostBuffer, COSTS)
    assert [k.ast.op for k in schedule.kernels] == [Ops.SINK, Ops.COPY, Ops.SINK]
    assert [k.buffers[0].device for k in schedule.kernels] == ["CPU", "NUMPY", "NUMPY"]
    run(schedule)
    np.testing.assert_array_equal(evaluate([realized[outputs[0]]])[0], np.arange(6.).reshape(2, 3).T * 2 + 1)


def test_operands_on_two_devices_are_refused() -> None:
    x, y = G.of(np.ones(3, np.float32)), G.of(np.ones(3, np.float32))
    y.node.arg.device = "NUMPY"
    with pytest.raises(ValueError, match="different devices, CPU and NUMPY"):
        create_schedule([(x + y).node], HostBuffer, COSTS)


# ---- canonical kernels

def test_equal_layers_share_their_kernels() -> None:
    schedule, _ = create_schedule([o.node for o in case("adam", G.empty, True)], HostBuffer, COSTS)
    assert len(schedule.kernels) == 3 and len({k.ast for k in schedule.kernels}) == 1
    decode, _ = create_schedule([o.node for o in case("llama decode 8", G.empty, True)], HostBuffer, COSTS)
    more, _ = create_schedule([o.node for o in case("llama decode 16", G.empty, True)], HostBuffer, COSTS)
    assert {k.ast for k in decode.kernels} == {k.ast for k in more.kernels}


# ---- random graphs

@st.composite
def graphs(draw: st.DrawFn) -> list[UOp]:
    """A few outputs of a random graph over small buffers."""
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    shapes = [(4, 6), (6,), (4, 1), (2, 3, 4), (1,)]
    chosen_shapes = draw(st.lists(st.sampled_from(shapes), min_size=1, max_size=4))
    values = [G.of((random.random(s) + 0.25).astype(np.float32)) for s in chosen_shapes]
    for _ in range(draw(st.integers(1, 12))):
        x = values[draw(st.integers(0, len(values) - 1))]
        kind = draw(st.sampled_from(["unary", "binary", "binary", "reduce", "move", "move", "where", "gather",
                                     "scatter", "assign", "contiguous"]))
        rank = len(x.shape)
        if kind == "unary":
            values.append(draw(st.sampled_from([lambda t: (t * -0.5).exp(), lambda t: t * t * 0.25, lambda t: -t]))(x))
        elif kind == "binary":
            y = values[draw(st.integers(0, len(values) - 1))]
            pairs = zip(reversed(x.shape), reversed(y.shape))
            if all(a == b or a == 1 or b == 1 for a, b in pairs):
                values.append(x + y if draw(st.booleans()) else x * y * 0.5)
        elif kind == "reduce" and rank:
            axes = draw(st.lists(st.integers(0, rank - 1), min_size=1, max_size=rank, unique=True))
            values.append(x.sum(*axes) * 0.25 if draw(st.booleans()) else x.max(*axes))
        elif kind == "move":
            values.append(draw(moved(x)))
        elif kind == "where" and rank:
            values.append(G.arange(x.shape[-1]).less(draw(st.integers(0, 4))).where(x, 0.5))
        elif kind == "gather" and rank and x.shape[0]:
            index = random.integers(-1, x.shape[0] + 1, draw(st.sampled_from([(2,), (2, 2)]))).astype(np.int32)
            values.append(x.gather(G.of(index)))
        elif kind == "scatter" and rank and x.shape[0]:
            index = random.integers(-1, x.shape[0] + 1, 3).astype(np.int32)
            value = x.sum(0).expand(3, *x.shape[1:]) * 0.1
            values.append(x.scatter(G.of(index), value, draw(st.sampled_from(["set", "add"]))))
        elif kind == "assign" and rank and 0 not in x.shape:
            bounds = [(draw(st.integers(0, n - 1)), n) for n in x.shape]
            part = x.shrink(*bounds)
            value = draw(st.sampled_from([lambda t: t * 2.0, lambda t: t.flip(0) + 1.0, lambda t: -t]))(part)
            values.append(x.assign(value, lambda t, b=tuple(bounds): t.shrink(b)))
        elif kind == "contiguous":
            values.append(x.contiguous())
        if values[-1].node.op is Ops.CONST or len(values[-1].shape) > 4:
            values.pop()
    chosen = draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=3))
    return [values[-1].node, *(values[i].node for i in chosen)]


@st.composite
def moved(draw: st.DrawFn, x: G) -> G:
    rank = len(x.shape)
    kind = draw(st.sampled_from(["permute", "flip", "shrink", "pad", "reshape", "expand"]))
    if kind == "permute":
        return x.permute(*draw(st.permutations(range(rank))))
    if kind == "flip":
        return x.flip(*draw(st.lists(st.integers(0, rank - 1), unique=True))) if rank else x
    if kind == "shrink":
        return x.shrink(*[(draw(st.integers(0, min(1, n))), n) for n in x.shape])
    if kind == "pad":
        return x.pad(*[(draw(st.integers(0, 1)), draw(st.integers(0, 2))) for _ in x.shape])
    if kind == "reshape":
        n = int(np.prod(x.shape))
        first = draw(st.sampled_from([d for d in (1, 2, 3, 4, 6) if n % d == 0]))
        return x.reshape(first, n // first)
    return x.expand(*[3 if n == 1 else n for n in x.shape]) if rank else x.reshape(1).expand(2)


@settings(max_examples=300, deadline=None)
@given(graphs(), st.sampled_from([{}, *EXTREMES]))
def test_random_graphs_under_random_costs(outputs: list[UOp], constants: dict[str, Any]) -> None:
    check(outputs, Costs(**constants), tolerance=1e-3)


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_random_graphs_unfused(outputs: list[UOp]) -> None:
    with Context(NOFUSE=1):
        check(outputs, tolerance=1e-3)


# ---- time

def cost(outputs: list[UOp]) -> int:
    """Of scheduling what was scheduled before: what is remembered of views is there."""
    create_schedule(outputs, HostBuffer, COSTS)
    return calls(create_schedule, outputs, HostBuffer, COSTS)


def test_a_chain_of_20_000_ops_is_scheduled_in_linear_time_with_bounded_kernels() -> None:
    def chain(n: int) -> UOp:
        x = G.empty(8).node
        for i in range(n):
            x = UOp(Ops.ADD, dtypes.float32, (x, UOp.const(dtypes.float32, i % 7)))
        return x
    short, long = chain(2000), chain(20_000)
    schedule, _ = create_schedule([long], HostBuffer, COSTS)
    assert 60 <= len(schedule.kernels) <= 200
    assert max(len(toposort(k.ast)) for k in schedule.kernels) < 400
    assert cost([long]) < 10.5 * cost([short])


def test_shared_subexpressions_do_not_explode() -> None:
    for name, most in (("flip 40", 1), ("shift 40", 25)):
        schedule, _ = create_schedule([o.node for o in case(name, G.empty, True)], HostBuffer, COSTS)
        assert len(schedule.kernels) <= most
    x = G.empty(64, 64)
    for _ in range(60):
        x = x + x.permute(1, 0) * x
    schedule, _ = create_schedule([x.node], HostBuffer, COSTS)
    assert len(schedule.kernels) <= 60


def test_ten_times_the_layers_take_about_ten_times_as_long() -> None:
    few, many = ([o.node for o in case(f"llama decode {n}", G.empty, True)] for n in (2, 20))
    assert cost(many) < 10.5 * cost(few)


def test_long_reduces_of_any_length_are_right() -> None:
    random = np.random.default_rng(5)
    for n in (1000, 1009, 997 * 4, 4096):
        x = G.of((random.random((n, 3)) - 0.5).astype(np.float32))
        check([(x + 1.0).sum(0, 1).node, (x - 2.0).max(0, 1).node, (x * x).sum(0).node], Costs(split_from=0.0, cores=4))
