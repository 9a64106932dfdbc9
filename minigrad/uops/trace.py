"""Where nodes come from, and what rewrites did.

`mark(node)` notes the user's line that asked for a value, on it and on all that was made for it; rewrites hand it on
with `inherit`. Equal nodes are one object, so the line is the one that asked first. `record` keeps every rewrite while
a trace is open (`with tracing() as steps:`), and costs a comparison otherwise.
"""
from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import NamedTuple

from .uop import UOp

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
MOST_PLACES = 1 << 16   # lines that are remembered as text


class Step(NamedTuple):
    """One rewrite: of which rule set, by which rule, from what to what."""

    rules: str
    rule: str
    before: UOp
    after: UOp


_ours: dict[str, bool] = {}                             # file name -> is it one of this package's?
_places: dict[tuple[int, int], tuple[str, CodeType]] = {}   # (a code object's id, instruction) -> "file:line"
_steps: list[Step] | None = None


def user_line() -> str | None:
    """"file:line" of the innermost frame outside of this package."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        ours = _ours.get(code.co_filename)
        if ours is None:
            ours = _ours[code.co_filename] = code.co_filename.startswith(PACKAGE)
        if not ours:
            key = id(code), frame.f_lasti
            known = _places.get(key)
            if known is None:
                if len(_places) >= MOST_PLACES:
                    _places.clear()
                known = _places[key] = f"{code.co_filename}:{frame.f_lineno}", code  # the code lives: its id is its own
            return known[0]
        frame = frame.f_back  # type: ignore[assignment]
    return None


def mark(node: UOp) -> None:
    """Notes the user's line, unless it is known already, on a node and on those below it that have none."""
    if node.line is None:
        inherit(node, user_line())


def inherit(root: UOp, line: str | None) -> None:
    """The node, and what was made for it, stands for something that this line asked for."""
    if line is None or root.line is not None:
        return
    root.line = line
    stack = [s for s in root.src if s.line is None]
    while stack:
        node = stack.pop()
        if node.line is None:
            node.line = line
            stack.extend(node.src)


def lines_of(nodes: Iterable[UOp]) -> tuple[str, ...]:
    """The lines of nodes, each once, in order of appearance."""
    return tuple([line for line in dict.fromkeys([node.line for node in nodes]) if line is not None])


def record(rules: str, rule: str, before: UOp, after: UOp) -> None:
    if _steps is not None:
        _steps.append(Step(rules, rule, before, after))


@contextmanager
def tracing(on: bool = True) -> Iterator[list[Step]]:
    """Collects every rewrite of a block; none if it is not `on`."""
    global _steps
    steps: list[Step] = []
    saved, _steps = _steps, steps if on else None
    try:
        yield steps
    finally:
        _steps = saved
