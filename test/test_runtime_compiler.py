"""Which compiler is found, in which order, and what is said when it fails."""
from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from minigrad.helpers import Context
from minigrad.runtime import cache, compiler
from minigrad.runtime.compiler import CompileError, find_compiler, number_lines, try_compiler


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def compiler_script(folder: Path, name: str, version: str) -> Path:
    """Something that takes any source, and gives an object of three letters."""
    return script(folder, name, f"""case "$*" in *--version*) echo '{version}'; exit;; esac
        for output; do :; done
        if [ "$output" = - ]; then echo obj; else echo obj > "$output"; fi""")


@pytest.fixture(autouse=True)
def nothing_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)


def hide_ziglang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: None)
    compiler._find.cache_clear()


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    compiler._find.cache_clear()
    return folder


def test_cc_comes_first_and_may_hold_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cc = compiler_script(tmp_path, "mycc", "mycc version 7.1.0")
    monkeypatch.setenv("CC", f"{cc} --quick")
    found = find_compiler()
    assert found.command == (str(cc), "--quick") and found.version == "mycc version 7.1.0" and found.kind == "gcc"
    monkeypatch.setenv("CC", str(cc))
    assert find_compiler().identity != found.identity  # its objects may be others


def test_a_cc_that_does_not_run_is_passed_over_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    for bad in ("/nowhere/cc", "false"):
        monkeypatch.setenv("CC", bad)
        with pytest.warns(RuntimeWarning, match=bad):
            assert find_compiler().version


def test_a_compiler_that_compiles_nothing_is_passed_over(empty_path: Path, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    hide_ziglang(monkeypatch)
    compiler_script(empty_path, "cc", "gcc (X) 12.1.0")
    script(empty_path, "gcc", "echo 'gcc (X) 13.1.0'")                       # says nothing and does nothing
    script(empty_path, "clang", "[ \"$1\" = --version ] && echo 'clang version 19.1.7'")  # fails
    assert find_compiler().command == ("cc",)
    compiler._find.cache_clear()
    monkeypatch.setenv("CC", str(script(tmp_path, "mycc", "[ \"$1\" = --version ] && echo 'gcc 14.1.0' || "
                                        "{ echo no such option >&2; exit 1; }")))
    with pytest.warns(RuntimeWarning, match="no such option"):
        assert find_compiler().command == ("cc",)
    compiler._find.cache_clear()


def test_a_clang_on_path_is_used_if_it_is_new_enough(empty_path: Path) -> None:
    compiler_script(empty_path, "clang", "Debian clang version 14.0.6")
    compiler_script(empty_path, "clang-19", "Debian clang version 19.1.7 (3)")
    found = find_compiler()
    assert found.command == ("clang-19",) and "bf16" in found.features


def test_the_package_of_zig_comes_before_gcc(empty_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ziglang")
    compiler_script(empty_path, "gcc", "gcc (Debian 12.2.0-14) 12.2.0")
    assert find_compiler().command[1:] == ("clang",)
    hide_ziglang(monkeypatch)
    found = find_compiler()
    assert found.command == ("gcc",) and found.kind == "gcc" and "bf16" not in found.features


def test_without_any_compiler_the_error_says_what_to_install(empty_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_ziglang(monkeypatch)
    with pytest.raises(RuntimeError, match="pip install ziglang"):
        find_compiler()
    compiler._find.cache_clear()


def test_a_refused_source_is_shown_with_line_numbers_beside_the_message() -> None:
    with pytest.raises(CompileError) as caught:
        find_compiler().compile("int f(void) {\n  return nothing_of_that_name;\n}")
    text = str(caught.value)
    assert "nothing_of_that_name" in text and "   2 |   return nothing_of_that_name;" in text
    assert "error" in text


def test_a_compiler_that_dies_without_output_is_an_error(tmp_path: Path) -> None:
    cc = script(tmp_path, "clang", "[ \"$1\" = --version ] && echo 'clang version 20.0.0'; exit 0")
    silent = try_compiler((str(cc),))
    assert silent is not None
    with pytest.raises(CompileError, match="no object"):
        silent.compile("int x;")
    cc.unlink()
    with pytest.raises(CompileError, match="cannot be started"):
        silent.compile("int x;")


def test_the_version_is_asked_once_while_the_binary_stays_the_same(tmp_path: Path) -> None:
    log = tmp_path / "log"
    cc = script(tmp_path, "cc1", f"echo called >> {log}; echo 'gcc (X) 13.1.0'")
    with Context(CACHEDIR=str(tmp_path / "cache"), CACHE=1):
        assert compiler.compiler_version((str(cc),)) == compiler.compiler_version((str(cc),)) == "gcc (X) 13.1.0"
        assert log.read_text().count("called") == 1
        script(tmp_path, "cc1", f"echo called >> {log}; echo 'gcc (X) 14.2.0'")
        os.utime(cc, (5, 5))
        assert compiler.compiler_version((str(cc),)) == "gcc (X) 14.2.0"
        assert cache.folder() == str(tmp_path / "cache")


@pytest.mark.parametrize("version,major", [
    ("gcc (Debian 12.2.0-14+deb12u1) 12.2.0", 12), ("gcc (GCC) 9.4.0", 9), ("Debian clang version 19.1.7 (3~deb)", 19),
    ("clang version 22.1.8", 22), ("Ubuntu clang version 15.0.7", 15), ("cc (SUSE Linux) 7.5.0", 7), ("tcc", 0),
    ("gcc (Ubuntu 13.3.0-6ubuntu2~24.04) 13.3.0", 13)])
def test_major_versions_are_read(version: str, major: int) -> None:
    assert compiler._major(version) == major


def test_infinities_and_nan_survive_the_flags() -> None:
    flags = find_compiler().flags
    assert not [flag for flag in flags if "fast-math" in flag or "finite" in flag or "unsafe" in flag]


def test_lines_are_numbered_from_one() -> None:
    assert number_lines("a\nb") == "   1 | a\n   2 | b"


def test_describe_names_version_and_path() -> None:
    found = find_compiler()
    assert found.version in found.describe() and found.command[0] in found.describe()
