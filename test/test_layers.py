"""Imports go one way: every module's imports are read and compared with the house that the design draws."""
import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Rows from top to bottom. A module imports only from its own row or from rows below it. A name stands for a module
# or for a whole package; the longest name that fits a module decides.
HOUSE = [
    ["extra.models", "extra.benchmarks", "extra.cuda_emulated", "extra.search", "tools", "minigrad.doctor"],
    ["minigrad"],  # the package's own page: what a user imports
    ["minigrad.nn", "minigrad.blas"],
    ["minigrad.tensor"],
    ["minigrad.engine", "minigrad.gradient", "minigrad.search"],
    ["minigrad.runtime"],
    ["minigrad.renderer"],
    ["minigrad.codegen"],
    ["minigrad.schedule"],
    ["minigrad.spec"],
    ["minigrad.shape"],
    ["minigrad.printer", "minigrad.uops"],
    ["minigrad.target", "minigrad.dtype", "minigrad.helpers", "minigrad.progress"],
]
# Standard modules that take longer to import than a small program takes to run, or that only one path needs.
SLOW_STANDARD = {"asyncio", "concurrent", "ctypes", "http", "inspect", "multiprocessing", "pdb", "pydoc", "pydoc_data",
                 "socket", "sqlite3", "subprocess", "tempfile", "traceback", "unittest", "urllib"}


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_module_name(path): path for folder in ("minigrad", "extra", "tools")
           for path in sorted((ROOT / folder).rglob("*.py"))}


def _is_ours(name: str) -> bool:
    return name.split(".")[0] in ("minigrad", "extra", "tools")


def _targets(node: ast.stmt, importer: str) -> Iterator[str]:
    """Names of the modules that an import statement asks for; `from package import module` names the module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = importer.split(".")
            is_package = MODULES[importer].name == "__init__.py"
            package = package[:len(package) - node.level + is_package]
            base = ".".join([*package, base] if base else package)
        for alias in node.names:
            name = f"{base}.{alias.name}"
            yield name if name in MODULES else base


def _imports(name: str) -> list[tuple[str, int, bool]]:
    """(imported module, line, stands inside a function) for each import of a module, but for those of its program."""
    found: list[tuple[str, int, bool]] = []
    stack: list[tuple[ast.AST, bool]] = [(ast.parse(MODULES[name].read_text()), False)]
    while stack:
        node, inside = stack.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'":
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found += [(target, node.lineno, inside) for target in _targets(node, name)]
        inside = inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        stack += [(child, inside) for child in ast.iter_child_nodes(node)]
    return found


IMPORTS = {name: _imports(name) for name in MODULES}


def _row(name: str) -> int:
    candidates = [(len(entry), row) for row, entries in enumerate(HOUSE) for entry in entries
                  if name == entry or name.startswith(entry + ".")]
    # A new package of minigrad must be given a row: the page at the top is no home for it.
    candidates = [(length, row) for length, row in candidates if HOUSE[row] != ["minigrad"] or name == "minigrad"]
    return max(candidates)[1] if candidates else -1


@pytest.mark.parametrize("name", MODULES)
def test_module_stands_in_a_row(name: str) -> None:
    if name not in ("extra", "tools"):
        assert _row(name) >= 0, f"{name} has no row in the house"


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_only_from_its_row_or_below(name: str) -> None:
    upwards = [f"{MODULES[name].relative_to(ROOT)}:{line} imports {target}" for target, line, _ in IMPORTS[name]
               if _is_ours(target) and 0 <= _row(target) < _row(name)]
    assert not upwards, "\n".join(upwards)


@pytest.mark.parametrize("name", MODULES)
def test_imports_inside_functions_are_optional_or_slow_packages(name: str) -> None:
    hidden = [f"{MODULES[name].relative_to(ROOT)}:{line} imports {target} inside a function"
              for target, line, inside in IMPORTS[name]
              if inside and (_is_ours(target) or target.split(".")[0] in sys.stdlib_module_names - SLOW_STANDARD)]
    assert not hidden, "\n".join(hidden)


@pytest.mark.parametrize("name", MODULES)
def test_star_imports_are_not_used(name: str) -> None:
    stars = [node.lineno for node in ast.walk(ast.parse(MODULES[name].read_text()))
             if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)]
    assert not stars


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("minigrad")])
def test_other_tensor_libraries_are_never_imported(name: str) -> None:
    rivals = {"torch", "tinygrad", "jax", "tensorflow", "transformers"}
    assert not [target for target, _, _ in IMPORTS[name] if target.split(".")[0] in rivals]


def test_no_modules_import_each_other_in_a_cycle() -> None:
    """Depth first over the imports; the modules still open when one of them is met again are a cycle."""
    graph = {name: [target for target, _, _ in found if target in MODULES and target != name]
             for name, found in IMPORTS.items()}
    done: set[str] = set()
    for root in graph:
        path: list[str] = []
        stack = [(root, iter(graph[root]))]
        path.append(root)
        while stack:
            name, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                stack.pop()
                done.add(path.pop())
            elif following in path:
                pytest.fail("import cycle: " + " -> ".join([*path[path.index(following):], following]))
            elif following not in done:
                path.append(following)
                stack.append((following, iter(graph[following])))
