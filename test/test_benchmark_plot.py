"""README's table and plot are made of what was measured."""
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from extra.benchmarks.__main__ import save
from extra.benchmarks.measure import Outcome
from extra.benchmarks.plot import PLACE, README, picture, publish, table

ROWS = {
    "products": [Outcome("A @ B 512³", "GFLOP/s", 150.0, rivals={"OpenBLAS": 120.0, "torch": "not installed"},
                         best="OpenBLAS", times=1.25, goal="1.05×", holds=True, share=0.6),
                 Outcome("A @ B 256³", "GFLOP/s", 75.0, rivals={"OpenBLAS": 150.0}, best="OpenBLAS", times=0.5,
                         goal="1.05×", holds=False, share=0.3),
                 Outcome("A @ B 128³", "GFLOP/s", 75.0, void="read 20 of 34")],
    "llama": [Outcome("decode, 15M f32", "tokens/s", 1234.5, 1300.0, goal="1.2×")],
    "random": [Outcome(f"shape {n}", "ms", 1.0, rivals={"torch": float(n)}, best="torch", times=float(n))
               for n in (3, 1, 2)],
}


@pytest.fixture
def content(tmp_path: Path) -> dict[str, object]:
    """As the benchmarks save it, in parts."""
    for section, outcomes in ROWS.items():
        save(tmp_path / "record.json", {section: outcomes})
    read: dict[str, object] = json.loads((tmp_path / "record.json").read_text())
    return read


def test_the_table_has_the_rows_that_count_with_their_rivals(content: dict[str, object]) -> None:
    lines = table(content).splitlines()[2:]
    assert lines == [
        "| A @ B 512³ | 150 GFLOP/s |  | OpenBLAS 120 GFLOP/s | 1.25 | 60% | 1.05× | yes |",
        "| A @ B 256³ | 75 GFLOP/s |  | OpenBLAS 150 GFLOP/s | 0.5 | 30% | 1.05× | no |",
        "| decode, 15M f32 | 1,234 tokens/s | 1,300 tokens/s |  |  |  | 1.2× |  |",
        "| 3 random shapes | | | | 2 in the median; the worst, shape 1: 1 beside torch | | | |"]


def test_bars_reach_from_one_to_the_ratio(content: dict[str, object]) -> None:
    space = "{http://www.w3.org/2000/svg}"
    faster, slower = ElementTree.fromstring(picture(content)).findall(f"{space}rect")
    assert (faster.attrib["class"], slower.attrib["class"]) == ("faster", "slower")
    one = float(faster.attrib["x"])
    assert float(slower.attrib["x"]) + float(slower.attrib["width"]) == pytest.approx(one, abs=1)
    assert float(slower.attrib["width"]) / float(faster.attrib["width"]) == pytest.approx(1 / 0.3219, rel=0.1)


def test_what_is_void_replaces_nothing_that_counted(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    for off, void in ((1.0, ""), (2.0, "busy"), (3.0, "")):
        content = save(path, {"ops": [Outcome("softmax", "ms", off, void=void), Outcome("other", "ms", void="busy")]})
        rows = {row["name"]: row for row in content["sections"]["ops"]}  # type: ignore[index]
        assert rows["softmax"]["off"] == (3.0 if off == 3.0 else 1.0) and rows["other"]["void"] == "busy"


def test_publishing_writes_the_place_in_the_readme(content: dict[str, object], tmp_path: Path) -> None:
    readme, drawing = tmp_path / "README.md", tmp_path / "plot.svg"
    readme.write_text(README.read_text())
    publish(content, readme, drawing)
    before, after = PLACE.split(README.read_text())
    text = readme.read_text()
    assert text.startswith(before) and text.endswith(after) and "1,234 tokens/s" in text
    assert drawing.stat().st_size > 500
    publish(content, readme, drawing)
    assert readme.read_text() == text
    with pytest.raises(ValueError, match="was measured"):
        publish({"machine": "", "sections": {}}, readme, drawing)
