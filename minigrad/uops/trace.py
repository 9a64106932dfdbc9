"""Where nodes come from, and what rewrites did: two side tables, since an interned node cannot hold a user's line.

`record_line(node)` remembers the user's line that made a node; rewrites hand it on with `inherit`. `record` keeps every
rewrite while a trace is open (`with tracing() as steps:`), and costs a comparison otherwise.
"""
from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from .uop import UOp

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Step(NamedTuple):
    """One rewrite: of which rule set, by which rule, from what to what."""

    rules: str
    rule: str
    before: UOp
    after: UOp


_lines: weakref.WeakKeyDictionary[UOp, str] = weakref.WeakKeyDictionary()
_steps: list[Step] | None = None


def user_line() -> str | None:
    """"file:line" of the innermost frame outside of this package."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back  # type: ignore[assignment]
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else None


def record_line(node: UOp) -> None:
    """Remembers the user's line for a node, unless it is known already."""
    if node not in _lines:
        line = user_line()
        if line is not None:
            _lines[node] = line


def line_of(node: UOp) -> str | None:
    return _lines.get(node)


def inherit(new: UOp, old: UOp) -> None:
    """The new node stands for the old one: it takes over its line."""
    if _lines and old in _lines and new not in _lines:
        _lines[new] = _lines[old]


def record(rules: str, rule: str, before: UOp, after: UOp) -> None:
    if _steps is not None:
        _steps.append(Step(rules, rule, before, after))


@contextmanager
def tracing() -> Iterator[list[Step]]:
    """Collects every rewrite of a block."""
    global _steps
    saved, _steps = _steps, []
    try:
        yield _steps
    finally:
        _steps = saved
