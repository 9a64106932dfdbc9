"""The script for a visit to a GPU: that its parts run, and that what fails or finds no time is a line of its table."""
from __future__ import annotations

from typing import Any

from extra.benchmarks import gpu
from minigrad import Context


def cells(visit: gpu.Visit) -> dict[str, list[Any]]:
    return {row[0]: row[1:] for row in visit.table.rows}


def test_parts_run_on_the_emulator() -> None:
    visit = gpu.Visit("CUDA_EMULATED", tiny=True, minutes=5)
    with Context(DEV="CUDA_EMULATED"):
        visit.section("streams", lambda: gpu.streams(visit), 1)
        for kind in ("f32", "tf32", "bf16"):
            visit.section(kind, lambda kind=kind: gpu.product(visit, kind, 0), 1)
        visit.section("decode", lambda: gpu.decode(visit, "1B"), 1)
    found = cells(visit)
    (token,) = [name for name in found if name.startswith("decode 1B bf16")]
    rates = {name: found.pop(name)[0] for name in (token, "prefill 1B bf16")}
    assert all(text.endswith(" tokens/s") for text in rates.values())
    assert set(found) == {*(f"{name}, 1 MiB" for name in ("copy", "2 x + 1", "softmax", "rmsnorm")),
                          *(f"{kind} product 64³" for kind in ("f32", "tf32", "bf16"))}
    errors = {name: row[-1] for name, row in found.items()}
    assert all(errors[f"{name}, 1 MiB"] < 1e-5 for name in ("copy", "2 x + 1", "softmax", "rmsnorm"))
    f32, tf32, bf16 = (errors[f"{kind} product 64³"] for kind in ("f32", "tf32", "bf16"))
    assert f32 < 1e-6 < 1e-4 < tf32 < 1e-3 < bf16 < 1e-2


def test_what_fails_and_what_finds_no_time_are_lines() -> None:
    visit = gpu.Visit("CUDA_EMULATED", tiny=True, minutes=1)

    def fail() -> None:
        raise ValueError("no\nmore")

    visit.section("one", fail, 1)
    visit.section("two", fail, 100)
    assert cells(visit)["one"][0] == "ValueError: no" and cells(visit)["two"][0] == "no time left"
