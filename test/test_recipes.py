"""docs/recipes.md, carried out word by word in a copy of the repository; and docs/tour.py, which runs."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "recipes.md").read_text()
STEP = re.compile(r"(?:in|new\s+file)\s+`(?P<path>[\w/.]+)`(?:,\s+(?P<how>after|before|in\s+place\s+of)"
                  r"\s+`(?P<place>[^`]+)`)?:\n\n```python\n(?P<code>.*?)```", re.DOTALL)


def recipes() -> dict[str, str]:
    parts = re.split(r"^## (.*)\n", TEXT, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def carry_out(recipe: str, folder: Path) -> int:
    """Makes every edit; how many."""
    steps = list(STEP.finditer(recipe))
    for step in steps:
        path, how, place, code = folder / step["path"], step["how"], step["place"], step["code"]
        if how is None:
            assert not path.exists()
            path.write_text(code)
            continue
        text = path.read_text()
        assert text.count(place) == 1, f"{step['path']} has {place!r} {text.count(place)} times"
        if how == "after":
            new = f"{place}\n{code.rstrip()}" if not place.endswith("[") else f"{place}\n{code.rstrip()}"
        elif how == "before":
            new = code + place
        else:
            new = code.rstrip("\n")
        path.write_text(text.replace(place, new))
    return len(steps)


@pytest.mark.parametrize("name", recipes())
def test_recipe(name: str, tmp_path: Path) -> None:
    recipe = recipes()[name]
    for part in ("minigrad", "extra", "test"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "golden", "peers"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert carry_out(recipe, tmp_path) == recipe.count("```python\n") > 2
    command, = re.findall(r"```console\n(.*?)\n```", recipe)
    words = [sys.executable, *command.split('"')[0].split()[1:], command.split('"')[1], "-p", "no:cacheprovider"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=500,
                          env={**os.environ, "PYTHONPATH": str(tmp_path), "SPEC": "1"})
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert re.search(r"\d+ passed", done.stdout) and "no tests ran" not in done.stdout


def test_the_tour_runs() -> None:
    done = subprocess.run([sys.executable, "docs/tour.py"], cwd=ROOT, capture_output=True, text=True, timeout=200,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    stages = re.findall(r"=\n(\d)\. (\w+)", done.stdout)
    assert [stage for _, stage in stages] == ["Record", "Schedule", "A", "Lower", "Optimise", "Linearise", "Render",
                                              "Compile", "Check"]
    for text in ("REDUCE", "output: it was asked for", "STORE", "RANGE", "opts: ", "LOOP", "void matmul", "differs"):
        assert text in done.stdout
