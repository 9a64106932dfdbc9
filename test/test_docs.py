"""docs/ARCHITECTURE.md names every module, so that a new one gets its line. That named files exist: test_package.py."""
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
MODULES = [path.relative_to(ROOT).as_posix() for folder in ("minigrad", "extra", "tools")
           for path in sorted((ROOT / folder).rglob("*.py")) if path.name != "__init__.py"]


@pytest.mark.parametrize("module", MODULES)
def test_module_has_a_line_in_the_page(module: str) -> None:
    assert f"\n| `{module}` | " in PAGE
