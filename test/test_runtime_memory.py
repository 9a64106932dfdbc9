"""The allocator: alignment, slack, recycling, counting."""
from __future__ import annotations

import ctypes
import gc
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.runtime.memory import ALIGNMENT, HUGE, SLACK, Allocator, size_class


@given(st.integers(0, 1 << 34))
def test_a_size_class_holds_the_block_and_its_slack_and_wastes_little(size: int) -> None:
    reserved = size_class(size)
    assert reserved >= size + SLACK and reserved % ALIGNMENT == 0
    assert reserved <= max((size + SLACK) * 5 // 4 + ALIGNMENT, size + SLACK + HUGE)
    assert size_class(size + 1) >= reserved


@given(st.lists(st.integers(0, 300_000), min_size=1, max_size=30))
def test_blocks_are_aligned_apart_and_readable_past_their_end(sizes: list[int]) -> None:
    allocator = Allocator()
    blocks = sorted((allocator.allocate(size), size) for size in sizes)
    assert all(address % ALIGNMENT == 0 for address, _ in blocks)
    assert all(a + size + SLACK <= b for (a, size), (b, _) in zip(blocks, blocks[1:]))
    for address, size in blocks:
        ctypes.memset(address, 255, size)
        assert len(ctypes.string_at(address + size, SLACK)) == SLACK
    assert allocator.in_use == allocator.peak == sum(sizes)
    for address, size in blocks:
        allocator.free(address, size)
    assert allocator.in_use == 0
    allocator.release_cached()


def test_large_blocks_are_aligned_to_huge_pages() -> None:
    allocator = Allocator()
    for size in (HUGE - SLACK, HUGE, 5_000_000):
        assert allocator.allocate(size) % HUGE == 0


def test_a_freed_block_is_used_again_for_the_same_size() -> None:
    allocator = Allocator()
    for size in (100, 70_000, 1_000_000, 10_000_000):
        first = allocator.allocate(size)
        allocator.free(first, size)
        assert allocator.allocate(size) == first


def test_above_the_cap_large_blocks_go_back_to_the_system() -> None:
    allocator = Allocator(cap=8 << 20)
    blocks = [allocator.allocate(3 << 20) for _ in range(6)]
    for block in blocks:
        allocator.free(block, 3 << 20)
    assert allocator.in_use == 0 and 0 < allocator.cached <= 8 << 20
    allocator.release_cached()
    assert allocator.cached == 0
    assert len({allocator.allocate(3 << 20) for _ in range(6)}) == 6


def test_the_peak_counts_live_bytes_only() -> None:
    allocator = Allocator()
    for _ in range(5):
        allocator.free(allocator.allocate(1000), 1000)
    assert allocator.peak == 1000
    kept = allocator.allocate(10)
    allocator.reset_peak()
    assert allocator.peak == allocator.in_use == 10
    allocator.free(kept, 10)


def test_too_much_memory_is_a_memory_error() -> None:
    with pytest.raises(MemoryError):
        Allocator().allocate(1 << 60)
    with pytest.raises(ValueError):
        Allocator().allocate(-1)


def test_threads_never_share_a_block() -> None:
    allocator, errors = Allocator(), []

    def work(number: int) -> None:
        for turn in range(300):
            size = 64 + 997 * (turn % 50)
            address = allocator.allocate(size)
            ctypes.memset(address, number, size)
            if set(ctypes.string_at(address, size)) != {number}:
                errors.append((number, turn))
            allocator.free(address, size)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and allocator.in_use == 0


def test_memory_of_dropped_blocks_does_not_pile_up() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    allocator = Allocator()
    gc.collect()
    before = resident()
    for _ in range(40):
        address = allocator.allocate(8 << 20)
        ctypes.memset(address, 1, 8 << 20)
        allocator.free(address, 8 << 20)
    assert resident() - before < 40 << 20
    allocator.release_cached()
    assert resident() - before < 8 << 20
