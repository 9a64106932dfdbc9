"""What a call costs, counted: seconds differ from run to run and with what else the machine does, calls do not."""
from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def calls(function: Callable[..., object], *arguments: Any) -> int:
    """How many functions, Python's and C's, one call of a function calls in this thread."""
    count = 0

    def seen(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")
    previous = sys.getprofile()
    sys.setprofile(seen)
    try:
        function(*arguments)
    finally:
        sys.setprofile(previous)
    return count
