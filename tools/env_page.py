"""The page of environment variables, made from the flags as they are declared (`make docs` writes docs/env.md)."""
from __future__ import annotations

from minigrad.helpers import Flag

HEAD = """# Environment variables

Made by `make docs` from `minigrad/helpers.py`. A flag's value comes from the environment when minigrad is imported;
`with Context(NAME=value):` changes it for a block of code.

| flag | default | meaning |
|---|---|---|
"""
TAIL = """
Read from the environment as well:

| variable | meaning |
|---|---|
| `CC` | the C compiler to use, before any other: see the README for the order in which one is looked for |
| `NO_COLOR` | any value: the lines of `DEBUG` have no colours |
| `XDG_CACHE_HOME` | the user's cache folder: compiled kernels are kept there unless `CACHEDIR` is set |
"""


def page() -> str:
    """The page's text, a row for each flag by name."""
    rows = [f"| `{name}` | {_default(flag)} | {flag.doc} |" for name, flag in sorted(Flag.registry.items())]
    return HEAD + "\n".join(rows) + "\n" + TAIL


def _default(flag: Flag) -> str:
    return f"`{flag.default}`" if flag.default != "" else "none"


if __name__ == "__main__":
    print(page(), end="")
