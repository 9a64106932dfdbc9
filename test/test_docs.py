"""docs/ARCHITECTURE.md names every module, so that a new one gets its line; what users call says what it does. That
named files exist: test_package.py.
"""
import inspect
from pathlib import Path

import pytest

from minigrad import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
MODULES = [path.relative_to(ROOT).as_posix() for folder in ("minigrad", "extra", "tools")
           for path in sorted((ROOT / folder).rglob("*.py")) if path.name != "__init__.py"]


@pytest.mark.parametrize("module", MODULES)
def test_module_has_a_line_in_the_page(module: str) -> None:
    assert f"\n| `{module}` | " in PAGE


PUBLIC = [Tensor, *(kind for module in (nn, nn.optim) for kind in vars(module).values()
                    if inspect.isclass(kind) and kind.__module__.startswith("minigrad"))]


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_everything_public_has_a_docstring(kind: type) -> None:
    silent = [name for base in kind.__mro__[:-1] for name, value in vars(base).items() if not name.startswith("_")
              and (inspect.isfunction(value) or isinstance(value, (property, classmethod, staticmethod)))
              and not inspect.getdoc(getattr(kind, name) if not isinstance(value, property) else value)]
    assert kind.__doc__ and not silent
