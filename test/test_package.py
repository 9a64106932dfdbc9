"""What a user gets: the wheel's contents, a light import, commands that exist, and pages that match the source."""
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from tools.env_page import page

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run_python(code: str, **environment: str) -> str:
    """The standard output of `code` in a new interpreter; its errors are the test's."""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **environment},
                            capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_wheel_holds_the_package_its_types_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=ROOT,
                   check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "minigrad").rglob("*")
               if path.suffix in (".py", ".c", ".h")}
    assert sources | {"minigrad/py.typed", "minigrad/search/shipped.jsonl"} <= set(names)
    assert {name.split("/")[0] for name in names} == {"minigrad", f"minigrad-{PROJECT['version']}.dist-info"}


def test_installed_version_is_the_projects() -> None:
    assert metadata.version("minigrad") == PROJECT["version"]


def test_the_library_needs_only_numpy_and_a_compiler() -> None:
    needed = {re.split(r"[^\w-]", requirement)[0] for requirement in PROJECT["dependencies"]}
    assert needed == {"numpy", "ziglang"}


def test_import_loads_no_optional_package_and_starts_nothing() -> None:
    loaded = run_python("import sys, numpy; before = set(sys.modules); import minigrad, threading;"
                        "print(*{name.split('.')[0] for name in set(sys.modules) - before});"
                        "print(threading.active_count())").split("\n")
    optional = {"ziglang", "tokenizers", "sentencepiece", "torch", "pycuda", "cuda", "pyopencl", "graphviz", "sqlite3",
                "pydoc_data", "multiprocessing", "unittest", "asyncio", "extra", "tools"}
    assert not optional & set(loaded[0].split())
    assert loaded[1] == "1"


def test_public_names_are_there_and_documented() -> None:
    import minigrad
    for name in minigrad.__all__:
        assert getattr(minigrad, name, None) is not None, name
    assert (minigrad.__doc__ or "").strip()


def test_library_computes_with_nothing_on_the_path(tmp_path: Path) -> None:
    """No gcc, no clang, no HOME: the compiler that came along is enough."""
    code = "from minigrad import Tensor; print((Tensor([1.0, 2.0, 3.0]) * 2).sum().item())"
    assert run_python(code, PATH="/nonexistent", CC="", XDG_CACHE_HOME=str(tmp_path), HOME="/nonexistent") == "12.0"


def test_readme_names_commands_that_the_makefile_has() -> None:
    commands = set(re.findall(r"`?make ([a-z-]+)", (ROOT / "README.md").read_text()))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"llama", "test"} <= commands <= targets


def test_readme_example_runs() -> None:
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert examples
    for example in examples:
        run_python(example)


def test_page_of_flags_is_current() -> None:
    """`make docs` writes it."""
    assert (ROOT / "docs" / "env.md").read_text() == page()


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_files_named_in_a_page_exist(path: Path) -> None:
    """Anything in backquotes that looks like a path of this repository, but for files that a recipe makes."""
    named = re.findall(r"(?<!new file )`((?:minigrad|extra|test|tools|docs)/[\w./-]+)`", path.read_text())
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing
