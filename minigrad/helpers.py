"""Flags and small pure helpers: the bottom of the house, imported by everything, importing nothing of ours.

A flag is declared once, here, with its meaning. Its value comes from the environment and can be changed for a block
of code with `Context`:

    with Context(DEBUG=2, NOOPT=1):
        x.realize()
"""
from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import ContextDecorator
from types import TracebackType
from typing import Any


class Flag:
    """One setting: `value` is the innermost `Context`'s value in this thread, else the process's."""

    registry: dict[str, Flag] = {}
    __slots__ = ("default", "doc", "name", "process_value", "type")

    def __init__(self, name: str, default: int | str, doc: str) -> None:
        self.name, self.default, self.doc = name, default, doc
        self.type: type[int] | type[str] = type(default)
        text = os.environ.get(name)
        try:
            self.process_value: Any = default if text is None or text == "" else self.type(text)
        except ValueError:
            raise ValueError(f"environment variable {name}={text!r}: expected {self.type.__name__}") from None
        Flag.registry[name] = self

    @property
    def value(self) -> Any:
        overrides = _overrides.__dict__
        return overrides[self.name] if self.name in overrides else self.process_value

    def __bool__(self) -> bool:
        return bool(self.value)

    def __repr__(self) -> str:
        return f"{self.name}={self.value!r}"


_overrides = threading.local()


class Context(ContextDecorator):
    """Set flags for a block, in this thread: `with Context(DEBUG=2):`. Unknown names raise ValueError."""

    def __init__(self, **values: int | str) -> None:
        for name in values:
            if name not in Flag.registry:
                raise ValueError(f"Context: no flag {name!r}; flags are {', '.join(sorted(Flag.registry))}")
        self.values = values
        self.saved: list[dict[str, Any]] = []

    def _recreate_cm(self) -> Context:
        return Context(**self.values)  # as a decorator: one for each call, since threads may call at once

    def __enter__(self) -> Context:
        self.saved.append(dict(_overrides.__dict__))
        _overrides.__dict__.update(self.values)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        _overrides.__dict__.clear()
        _overrides.__dict__.update(self.saved.pop())


DEBUG = Flag("DEBUG", 0, "1 device and totals, 2 a line per kernel, 3 opts, 4 source, 5 kernel AST, 6 UOps")
DEV = Flag("DEV", "CPU", "the device of new tensors: CPU, CUDA, OPENCL, NUMPY (interpreter), NULL (runs nothing)")
NOOPT = Flag("NOOPT", 0, "1 turns the optimiser of kernels off: plain loops, with no more scratch than keeps values "
             "from being computed again")
ALLOW_TF32 = Flag("ALLOW_TF32", 0, "1 rounds the operands of float32 products to tf32, whose mantissa has 10 bits: "
                  "GPUs then use their tensor cores")
NOFUSE = Flag("NOFUSE", 0, "1 makes every op a kernel of its own")
EAGER = Flag("EAGER", 0, "1 runs each op as it is called, one kernel per op")
SPEC = Flag("SPEC", 0, "1 checks every stage's spec and proves every index in bounds")
VIZ = Flag("VIZ", "", "1 records every rewrite and launch for tools/viz.py, in the cache folder; or the file to write")
GRAD = Flag("GRAD", 1, "0 records nothing for gradients: `no_grad()` sets it for a block")
TRAINING = Flag("TRAINING", 0, "1 makes dropout act: `Tensor.train()` sets it for a block")
THREADS = Flag("THREADS", 0, "threads of the CPU device; 0: as many as the process may use cores")
PIN = Flag("PIN", 1, "0 lets the system move the CPU device's threads between cores")
BEAM = Flag("BEAM", 0, "n searches for better opts than the heuristic's, going on from the n best so far; what it "
            "finds is remembered")
BEAM_BUDGET = Flag("BEAM_BUDGET", 60, "seconds that a process may search for, half of what is left for the kernels of "
                   "one schedule")
TUNED = Flag("TUNED", 1, "0 ignores opts that searches found, the package's and the user's")
CACHE = Flag("CACHE", 1, "0 keeps compiled kernels off the disk")
CACHEDIR = Flag("CACHEDIR", "", "folder of the disk cache; default: minigrad in the user's cache folder")


prod: Callable[[Iterable[Any]], Any] = math.prod    # also of symbolic ints


