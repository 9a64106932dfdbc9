"""The script for a visit to a GPU: that its parts run, and that what fails or finds no time is a row of its table."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from extra.benchmarks import gpu
from extra.models.benchmark import bandwidth
from minigrad import Context


def cells(visit: gpu.Visit) -> dict[str, list[Any]]:
    return {row[0]: row[1:] for row in visit.rows}


def test_parts_run_on_the_emulator() -> None:
    visit = gpu.Visit("CUDA_EMULATED", tiny=True)
    with Context(DEV="CUDA_EMULATED"):
        for section in ("device", "streams", "f32", "tf32", "bf16", "decode-1B", "beam-1B"):
            gpu.SECTIONS[section][0](visit)
        assert 0 < bandwidth() < 1e9        # the roof is the device's, and it is slow
    found = cells(visit)
    (token, searched) = [name for name in found if name.startswith("decode 1B bf16")]
    (first,) = [name for name in found if name.startswith("CUDA_EMULATED")]
    assert re.fullmatch(r"[\d.,]+ tokens/s, [\d.]+ times the heuristic's, in \d+ s", found.pop(searched)[0])
    assert found.pop(first)[-2] < 1e-6
    rates = {name: found.pop(name)[0] for name in (token, "prefill 1B bf16")}
    assert all(text.endswith(" tokens/s") for text in rates.values())
    assert set(found) == {*(f"{name}, 1 MiB" for name in ("copy", "2 x + 1", "softmax", "rmsnorm")),
                          *(f"{kind} product 64³" for kind in ("f32", "tf32", "bf16"))}
    errors = {name: row[-2] for name, row in found.items()}
    assert all(errors[f"{name}, 1 MiB"] < 1e-5 for name in ("copy", "2 x + 1", "softmax", "rmsnorm"))
    f32, tf32, bf16 = (errors[f"{kind} product 64³"] for kind in ("f32", "tf32", "bf16"))
    assert f32 < 1e-6 < 1e-4 < tf32 < 1e-3 < bf16 < 1e-2


def test_what_fails_and_what_finds_no_time_are_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "gpu.md"
    assert gpu.main(["--device", "ABACUS", "--sections", "device", "f32", "--save", str(page), "--commit", "abc"]) == 1
    text = page.read_text()
    assert text.startswith(gpu.PAGE) and "commit abc" in text
    assert len(re.findall(r"^\| (device|f32) +\| \w+Error: .*ABACUS", text, re.MULTILINE)) == 2
    assert "Traceback" in capsys.readouterr().out       # with all that the process said
    assert gpu.run_section("device", [], 0.05) == ([["device", "stopped after 0 s", *[None] * 5]], 0.0)
    assert gpu.main(["--device", "ABACUS", "--sections", "f32", "--minutes", "0.1"]) == 1
    assert "f32 | no time left" in capsys.readouterr().out


def test_tests_that_find_no_time_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(command: list[str], **options: Any) -> None:
        raise gpu.subprocess.TimeoutExpired(command, 1.0, b"bringing up nodes...\n..F.s\n...\n")

    monkeypatch.setattr(gpu.subprocess, "run", late)
    visit = gpu.Visit("CUDA_EMULATED", tiny=True)
    gpu.run_tests(visit, "operators", [])
    assert cells(visit)["tests: operators"][0] == "no time left: 6 passed, 1 failed"


def test_the_page_says_how_it_is_made() -> None:
    """docs/gpu.md is what the script writes, up to its table."""
    text = (gpu.ROOT / "docs/gpu.md").read_text()
    assert text.startswith(gpu.PAGE)
    assert text == gpu.PAGE + gpu.NOTHING or "\n## CUDA, 20" in text
