"""The arena: places are shared only by values that never live at once, and the peak follows the graph."""
from __future__ import annotations

import numpy as np
from graph_builder import G, HostBuffer, case
from hypothesis import given
from hypothesis import strategies as st
from test_schedule import COSTS, check

from minigrad.dtype import dtypes
from minigrad.helpers import Context
from minigrad.schedule import Schedule, create_schedule
from minigrad.schedule.memory import ALIGNMENT, Arena
from minigrad.uops import Ops, UOp


def arena_of(schedule: Schedule) -> int:
    return sum({id(b.base): b.base.nbytes for k in schedule.kernels for b in k.buffers if b.base is not None}.values())


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 30), st.integers(0, 10)), max_size=60))
def test_blocks_that_live_at_once_never_overlap(blocks: list[tuple[int, int, int]]) -> None:
    arena, alive = Arena(), dict[int, tuple[int, int]]()
    for step in range(45):
        for i, (_, start, length) in enumerate(blocks):
            if start + length + 1 == step:
                arena.give_back(alive.pop(i))
        for i, (size, start, _) in enumerate(blocks):
            if start == step:
                block = arena.take(size)
                assert block[0] % ALIGNMENT == 0 and block[1] - block[0] >= size and block[1] <= arena.size
                assert all(block[1] <= a or b <= block[0] for a, b in alive.values())
                alive[i] = block
    assert not alive and arena.gaps in ([], [(0, arena.size)])


def test_freed_places_are_used_again() -> None:
    arena = Arena()
    first, second = arena.take(100), arena.take(100)
    arena.give_back(first)
    assert arena.take(64)[0] == 0 and arena.take(64)[0] == 64
    arena.give_back(second)
    assert arena.take(300)[0] == 128 and arena.size == 128 + 320


def chain(n: int) -> list[UOp]:
    x = G.of(np.ones((64, 64), np.float32))
    for _ in range(n):
        x = x.permute(1, 0) * x + 1.0 if n % 2 else (x.permute(1, 0) * 0.5).exp()
    return [x.node]


def test_a_long_chain_needs_memory_for_a_few_values() -> None:
    with Context(NOFUSE=1):
        schedule, _ = create_schedule(chain(50), HostBuffer, COSTS)
        assert len(schedule.kernels) == 100
        assert arena_of(schedule) == 2 * 64 * 64 * 4
        check(chain(50), tolerance=1e-3)


def test_what_the_user_holds_has_buffers_of_its_own() -> None:
    x = G.of(np.ones((8, 8), np.float32))
    outputs = [(x * 2.0).node, (x.exp().permute(1, 0).sum(0)).node]
    with Context(NOFUSE=1):
        schedule, realized = create_schedule(outputs, HostBuffer, COSTS)
    for form in realized.values():
        buffer = form.arg if form.op is Ops.BUFFER else form.src[0].arg
        assert buffer.base is None
    inside = [b for k in schedule.kernels for b in k.buffers if b.base is not None]
    assert inside and all(b.offset % ALIGNMENT == 0 and b.offset + b.nbytes <= b.base.nbytes for b in inside)


def test_a_kernel_never_writes_over_what_it_reads() -> None:
    for name in ("gpt 1", "llama prefill 1", "attention backward", "two convs"):
        for mode in (0, 1):
            with Context(NOFUSE=mode):
                schedule, _ = create_schedule([o.node for o in case(name, G.empty, name == "gpt 1")], HostBuffer, COSTS)
            for kernel in schedule.kernels:
                parts = [(b.base, b.offset, b.offset + b.nbytes) for b in kernel.buffers if b.base is not None]
                for i, (base, start, end) in enumerate(parts):
                    assert all(base is not other or end <= a or b <= start for other, a, b in parts[i + 1:])


def test_each_device_has_an_arena() -> None:
    x = G.of(np.arange(6, dtype=np.float32))
    there = G(UOp(Ops.COPY, dtypes.float32, ((x.flip(0) * 2.0).node,), "NUMPY"))
    schedule, _ = create_schedule([(there + 1.0).node], HostBuffer, COSTS)
    assert {b.base.device for k in schedule.kernels for b in k.buffers if b.base is not None} == {"CPU", "NUMPY"}


def test_training_more_layers_needs_memory_in_proportion() -> None:
    sizes = []
    for layers in (2, 4, 8):
        schedule, _ = create_schedule([o.node for o in case(f"gpt {layers}", G.empty, True)], HostBuffer, COSTS)
        sizes.append(arena_of(schedule))
    assert sizes[2] - sizes[1] <= 2.1 * (sizes[1] - sizes[0])


def test_parameters_are_updated_as_soon_as_their_gradients_are_known() -> None:
    schedule, _ = create_schedule([o.node for o in case("gpt 4", G.empty, True)], HostBuffer, COSTS)
    updates = [all(reason.startswith("assign") for reason in k.reasons) for k in schedule.kernels]
    assert sum(updates[:len(updates) * 3 // 4]) > sum(updates) // 3
