"""README's table and plot are made of what was measured."""
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from extra.benchmarks.harness import Table, save
from extra.benchmarks.plot import PLACE, README, bars, picture, publish, table


@pytest.fixture
def results(tmp_path: Path) -> list[dict[str, object]]:
    """As the benchmarks save them."""
    products = Table("matrix product, float32", ["product", "GFLOP/s", "of FMA peak", "times OpenBLAS"])
    products.add("512³", 150.0, "60% of 250", 1.25)
    decode = Table("decode, one sequence", ["shape", "weights", "shipped records", "tokens/s", "of probe"])
    decode.add("15M", "f32", "on", 1234.5, "80% of 26")
    save([products, Table("another", ["what"]), decode], tmp_path / "one.json")
    return [json.loads((tmp_path / "one.json").read_text())]


def test_the_rival_is_shown_by_the_same_measure(results: list[dict[str, object]]) -> None:
    decode, product = bars(results)
    assert (decode.name, decode.figure) == ("decode, 15M f32, records on", "1,234 tokens/s")
    assert (decode.share, decode.rival_share) == (0.8, None)
    assert (product.share, product.rival) == (0.6, "OpenBLAS") and product.rival_share == pytest.approx(0.48)
    assert "| matrix product, 512³ | 150 GFLOP/s | 60% of FMA peak | 1.25 times OpenBLAS |" in table([decode, product])


def test_bars_are_as_long_as_their_shares(results: list[dict[str, object]]) -> None:
    space = "{http://www.w3.org/2000/svg}"
    drawn = ElementTree.fromstring(picture(bars(results))).findall(f"{space}rect")
    widths = [float(bar.attrib["width"]) for bar in drawn]
    assert [bar.attrib["class"] for bar in drawn] == ["ours", "ours", "rival"]
    assert widths == pytest.approx([widths[0], widths[0] * 0.75, widths[0] * 0.6], abs=1)


def test_publishing_writes_the_place_in_the_readme(results: list[dict[str, object]], tmp_path: Path) -> None:
    readme, drawing = tmp_path / "README.md", tmp_path / "plot.svg"
    readme.write_text(README.read_text())
    publish(results, readme, drawing)
    before, after = PLACE.split(README.read_text())
    text = readme.read_text()
    assert text.startswith(before) and text.endswith(after) and "1,234 tokens/s" in text
    assert drawing.stat().st_size > 500
    publish(results, readme, drawing)
    assert readme.read_text() == text
    with pytest.raises(ValueError, match="was measured"):
        publish([{"tables": []}], readme, drawing)
