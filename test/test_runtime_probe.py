"""The probes: rates of the right size, kept on disk."""
from __future__ import annotations

from pathlib import Path

import pytest

from minigrad.helpers import Context
from minigrad.runtime import cache, probe
from minigrad.runtime.device import Roofs, get_device
from minigrad.target import host_target


def test_rates_are_those_of_a_processor() -> None:
    cpu = get_device("CPU")
    before, peak = cpu.memory_in_use, cpu.memory_peak
    assert 1e8 < probe.read_bandwidth_now(1, 0.01) < 1e12
    assert 1e8 < probe.flops_now(1, 0.01) < 64 * host_target().vector_bytes * 1e9
    assert (cpu.memory_in_use, cpu.memory_peak) == (before, peak)


def test_a_machine_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def measure(threads: int) -> Roofs:
        calls.append(threads)
        return Roofs(1.0, threads)

    monkeypatch.setattr(probe, "_measure", measure)
    with Context(CACHEDIR=str(tmp_path), CACHE=1, THREADS=2):
        monkeypatch.setattr(probe, "_known", {})
        first = probe.probe()
        assert probe.probe() == first and calls == [2]
        monkeypatch.setattr(probe, "_known", {})            # a new process
        assert probe.probe() == first and calls == [2]
        with Context(THREADS=1):
            assert probe.probe().compute == 1 and calls == [2, 1]
        probe.probe(refresh=True)
        assert calls == [2, 1, 2]
        monkeypatch.setattr(probe, "_known", {})
        monkeypatch.setattr(cache, "get", lambda key: b'{"bandwidth": 1}')  # of another version
        assert probe.probe() == first and calls == [2, 1, 2, 2]
