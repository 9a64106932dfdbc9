"""The disk cache: what is put is got, and nothing that happens to the folder is worse than slow."""
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minigrad.helpers import Context
from minigrad.runtime import cache

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with Context(CACHEDIR=str(tmp_path / "cache"), CACHE=1):
        yield tmp_path / "cache"


def entries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_was_put_is_got(folder: Path) -> None:
    assert cache.get("a") is None
    cache.put("a", b"first")
    cache.put("b", b"")
    assert cache.get("a") == b"first" and cache.get("b") == b""
    cache.put("a", b"second")
    assert cache.get("a") == b"second"


def test_cache_0_neither_reads_nor_writes(folder: Path) -> None:
    cache.put("a", b"1")
    with Context(CACHE=0):
        assert cache.get("a") is None
        cache.put("b", b"2")
    assert cache.get("b") is None and len(entries(folder)) == 1


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-1], lambda data: data + b"x",
                                    lambda data: data[:-3] + b"XYZ", lambda data: b"\0" * len(data),
                                    lambda data: data[:20]])
def test_a_damaged_entry_is_absent_and_can_be_rewritten(folder: Path, damage: object) -> None:
    cache.put("key", b"some bytes of an object")
    path, = entries(folder)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get("key") is None
    cache.put("key", b"some bytes of an object")
    assert cache.get("key") == b"some bytes of an object"


def test_an_entry_under_another_entrys_name_is_absent(folder: Path) -> None:
    cache.put("one", b"1")
    first, = entries(folder)
    data = first.read_bytes()
    cache.put("two", b"2")
    second = next(path for path in entries(folder) if path != first)
    second.write_bytes(data)
    assert cache.get("two") is None


def test_a_folder_that_cannot_exist_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with Context(CACHEDIR=str(tmp_path / "file" / "cache"), CACHE=1):
        cache.put("a", b"1")
        assert cache.get("a") is None
        cache.trim(0)


def test_a_read_only_folder_is_read_and_not_written(folder: Path) -> None:
    cache.put("a", b"1")
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert cache.get("a") == b"1"
        cache.put("b", b"2")
        if os.getuid() != 0:  # root writes everywhere
            assert cache.get("b") is None
    finally:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755)


def test_trim_removes_what_was_used_longest_ago(folder: Path) -> None:
    for number in range(10):
        cache.put(f"key {number}", bytes(1000))
    oldest = [path for path in entries(folder) if path == Path(cache._path("key 3"))]
    os.utime(oldest[0], (1, 1))
    size = sum(path.stat().st_size for path in entries(folder))
    cache.trim(size)
    assert len(entries(folder)) == 10
    cache.trim(size - 1)
    assert cache.get("key 3") is None
    assert sum(path.stat().st_size for path in entries(folder)) <= size * 3 // 4


def test_trim_clears_what_killed_writers_left(folder: Path) -> None:
    cache.put("a", b"1")
    left, fresh = entries(folder)[0].parent / "x.1.2.tmp", entries(folder)[0].parent / "y.1.2.tmp"
    left.write_bytes(b"half")
    fresh.write_bytes(b"half")
    os.utime(left, (1, 1))
    cache.trim(1 << 20)
    assert not left.exists() and fresh.exists()


WRITER = """
import sys
from minigrad.runtime import cache
own = sys.argv[1]
for round in range(60):
    for key in range(8):
        cache.put(f"key {key}", f"{key}:{own}:".encode() * 500)
        got = cache.get(f"key {key}")
        if got is not None:
            number, writer, _ = got.split(b":", 2)
            assert int(number) == key and got == f"{key}:{writer.decode()}:".encode() * 500
    if round % 20 == 0:
        cache.trim(10_000)
"""


def test_processes_that_write_the_same_keys_at_once_read_whole_entries(folder: Path) -> None:
    environment = {**os.environ, "CACHEDIR": str(folder), "PYTHONPATH": str(ROOT)}
    processes = [subprocess.Popen([sys.executable, "-c", WRITER, str(number)], env=environment) for number in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert not [path for path in entries(folder) if path.name.endswith(".tmp")]
