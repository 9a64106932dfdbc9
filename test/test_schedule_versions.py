"""Assignments and scatters: who reads which version, in which order, and where a copy is made."""
from __future__ import annotations

import numpy as np
import pytest
from graph_builder import G, HostBuffer, case, leaves
from test_schedule import COSTS, check, run

from minigrad.helpers import Context
from minigrad.runtime.numpy import evaluate
from minigrad.schedule import Kernel, create_schedule
from minigrad.uops import Ops, UOp

MODES = pytest.mark.parametrize("unfused", [0, 1])


def of(*values: float) -> G:
    return G.of(np.array(values, np.float32))


def copies(kernels: list[Kernel]) -> int:
    return sum(reason.startswith("hazard") for k in kernels for reason in k.reasons)


def memory(x: G) -> list[float]:
    return list(x.node.arg.numpy().reshape(-1).tolist())


@MODES
def test_an_assignment_writes_into_the_buffer_it_names(unfused: int) -> None:
    x = of(1, 2, 3)
    with Context(NOFUSE=unfused):
        schedule, realized = create_schedule([(new := x.assign(x * 2.0)).node], HostBuffer, COSTS)
    run(schedule)
    assert realized[new.node] is x.node and memory(x) == [2, 4, 6]
    if not unfused:
        kernel, = schedule.kernels
        assert kernel.buffers == (x.node.arg,)  # read and written: one parameter


def test_an_elementwise_update_of_a_region_copies_nothing() -> None:
    x = of(1, 2, 3, 4)
    new = x.assign(x.shrink((1, 3)) * 10.0, lambda t: t.shrink(((1, 3),)))
    assert copies(check([new.node])) == 0 and memory(x) == [1, 20, 30, 4]


@MODES
def test_swap(unfused: int) -> None:
    a, b = of(1, 2), of(3, 4)
    with Context(NOFUSE=unfused):
        kernels = check([a.assign(b * 1.0).node, b.assign(a * 1.0).node])
    assert (memory(a), memory(b)) == ([3, 4], [1, 2])
    assert copies(kernels) == (0 if unfused else 1)


@MODES
def test_assigning_the_flip_of_itself_reads_the_old_version(unfused: int) -> None:
    x = of(1, 2, 3)
    with Context(NOFUSE=unfused):
        check([x.assign(x.flip(0)).node])
    assert memory(x) == [3, 2, 1]


def test_an_aligned_and_a_shifted_read_in_one_kernel_need_a_copy() -> None:
    x = of(1, 2, 3, 4)
    kernels = check([x.assign(x + x.flip(0)).node])
    assert copies(kernels) == 1 and memory(x) == [5, 5, 5, 5]


def test_a_flipped_region_of_the_same_shape_is_no_elementwise_read() -> None:
    x = of(1, 2, 3, 4)
    check([x.assign(x * 2.0, lambda t: t.flip((0,))).node])
    assert memory(x) == [8, 6, 4, 2]


def test_a_reduce_over_what_is_overwritten_reads_the_old_version() -> None:
    x = of(1, 2, 3, 4)
    check([x.assign(x * x.sum(0).expand(4)).node])
    assert memory(x) == [10, 20, 30, 40]


@MODES
def test_a_late_reader_of_an_old_version(unfused: int) -> None:
    a = of(1, 2, 3)
    new = a.assign(a * 2.0)
    with Context(NOFUSE=unfused):
        kernels = check([new.node, (a.flip(0) + new).node, a.sum(0).node])
    assert memory(a) == [2, 4, 6] and copies(kernels) <= 1


@MODES
def test_readers_of_every_version_in_a_chain(unfused: int) -> None:
    a = of(1, 2, 3)
    b = a.assign(a + 1.0)
    c = b.assign(b * b.flip(0))
    d = c.assign(c.shrink((0, 1)) * 100.0, lambda t: t.shrink(((2, 3),)))
    with Context(NOFUSE=unfused):
        check([(a + b).sum(0).node, (b * c.flip(0)).node, d.node, (d + a).node])
    assert memory(a) == [8, 9, 800]


@MODES
def test_an_old_version_that_is_asked_for_is_kept(unfused: int) -> None:
    a = of(1, 2)
    b = a.assign(a + 1.0)
    c = b.assign(b * 10.0)
    with Context(NOFUSE=unfused):
        check([b.node, c.node, b.flip(0).node])
    assert memory(a) == [20, 30]


@MODES
def test_a_view_of_a_buffer_that_is_overwritten_keeps_the_old_values(unfused: int) -> None:
    a = of(1, 2, 3)
    part = a.shrink((0, 2))
    with Context(NOFUSE=unfused):
        schedule, realized = create_schedule([part.node, a.assign(a * 2.0).node], HostBuffer, COSTS)
    run(schedule)
    assert evaluate([realized[part.node]])[0].tolist() == [1, 2] and memory(a) == [2, 4, 6]


@MODES
def test_two_new_versions_of_one_buffer_do_not_meet(unfused: int) -> None:
    a = of(1, 2, 3, 4)
    first = a.assign(a.shrink((0, 2)) + 10.0, lambda t: t.shrink(((0, 2),)))
    second = a.assign(a.shrink((2, 4)) + 20.0, lambda t: t.shrink(((2, 4),)))
    with Context(NOFUSE=unfused):
        check([first.node, second.node, (first + second).node])


@MODES
def test_a_readonly_buffer_is_never_written(unfused: int) -> None:
    a = of(1, 2, 3)
    a.node.arg.readonly = True
    outputs = [a.assign(a * 2.0).node, a.assign(a.shrink((0, 1)) * 5.0, lambda t: t.shrink(((1, 2),))).node]
    with Context(NOFUSE=unfused):
        check(outputs)
    assert memory(a) == [1, 2, 3]


@MODES
def test_a_scatter_leaves_its_destination_alone(unfused: int) -> None:
    a, index = of(1, 2, 3), G.of(np.array([0, 2, 0, 7, -1], np.int32))
    value = of(10, 20, 30, 40, 50)
    with Context(NOFUSE=unfused):
        check([a.scatter(index, value).node, a.scatter(index, value, "add").node,
               (a * 2.0).scatter(index, value, "add").node])
    assert memory(a) == [1, 2, 3]


def test_a_scatter_over_a_value_nobody_else_reads_makes_no_copy() -> None:
    a, index, value = of(1, 2, 3), G.of(np.array([0, 2], np.int32)), of(10, 20)
    kernels = check([(a * 2.0).scatter(index, value, "add").node])
    assert len(kernels) == 2 and copies(kernels) == 0 and kernels[0].buffers[0] is kernels[1].buffers[0]


def test_assigning_a_scatter_of_itself_happens_in_place() -> None:
    a, index, value = of(1, 2, 3), G.of(np.array([0, 2, 0], np.int32)), of(10, 20, 30)
    kernel, = check([a.assign(a.scatter(index, value, "add")).node])
    assert memory(a) == [41, 2, 23] and kernel.buffers[0] is a.node.arg


def test_an_empty_region_writes_nothing() -> None:
    a = of(1, 2, 3)
    assert check([a.assign(a.shrink((1, 1)), lambda t: t.shrink(((1, 1),))).node]) == []


def test_a_step_of_decoding_writes_one_row_and_then_reads_the_cache() -> None:
    n = UOp.variable("pos", 0, 7)
    for position in (0, 3, 7):
        pos = n.bind(position)
        cache, row = G.of(np.arange(16, dtype=np.float32).reshape(8, 2)), of(100, 200)
        new = cache.assign(row.reshape(1, 2) * 2.0, lambda t, p=pos: t.shrink(((p, p + 1), (0, 2))))
        out = new.shrink((0, pos + 1), (0, 2)).exp().sum(0)
        outputs = [(new * 1e-3).shrink((0, pos + 1), (0, 2)).sum(0).node, new.node]
        schedule, realized = create_schedule(outputs, HostBuffer, COSTS)
        assert [r.partition(":")[0] for k in schedule.kernels for r in k.reasons] == ["assign", "output"]
        assert schedule.variables == {"pos": position}
        run(schedule)
        want = np.arange(16, dtype=np.float32).reshape(8, 2)
        want[position] = [200, 400]
        np.testing.assert_array_equal(cache.node.arg.numpy(), want)
        assert out.shape == (1, 2)


def test_a_chain_of_assignments_is_linear_in_time_and_makes_no_copies() -> None:
    x = of(*range(16))
    for _ in range(2000):
        x = x.assign(x + 1.0)
    kernels = check([x.node])
    assert copies(kernels) == 0


def test_named_hazards() -> None:
    for name in ("swap", "assign of its flip", "late reader"):
        assert copies(check([o.node for o in case(name, leaves(0))])) == 1
    assert Ops.ASSIGN is not Ops.SCATTER
