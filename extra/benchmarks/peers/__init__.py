"""One module for each library that is measured: how it computes what a row asks for.

A module has KINDS: by the kind of a case, a function that makes of the case what runs it (`Work`). A case is plain
data, so that it can be sent to another process: see `extra/benchmarks/worker.py`.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Case = Mapping[str, Any]

PIECE = (1 << 22) - 3       # an odd number, so that no two rows are alike


@dataclass(frozen=True)
class Work:
    """`run` does it once and returns what it computed, `values` makes numbers of that to compare; `facts` are figures
    of how it was made, asked for when it is warm."""
    run: Callable[[], Any]
    values: Callable[[Any], np.ndarray[Any, Any]]
    copies: int = 1         # how often a run does what the case asks for
    facts: Callable[[], Mapping[str, float]] = dict


class NotOffered(Exception):
    """The library has nothing for this case."""


def operands(case: Case) -> list[dict[str, tuple[np.ndarray[Any, Any], str]]]:
    """The same for every library: for each copy, arrays of float32 by name, and the dtype that they stand for. They are
    normal; of large ones a piece repeats."""
    generator = np.random.default_rng(0)

    def array(shape: Sequence[int]) -> np.ndarray[Any, Any]:
        size = math.prod(shape)
        return np.resize(generator.standard_normal(min(size, PIECE), dtype=np.float32), size).reshape(shape)
    return [{name: (array(shape), dtype) for name, (shape, dtype) in case["operands"].items()}
            for _ in range(case["copies"])]


def function(case: Case, names: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """The case's expression as a function of its operands. `names` are the functions that it may call."""
    space: dict[str, Any] = dict(names)
    missing = set(compile(case["expression"], "row", "eval").co_names) - set(space) - set(case["operands"])
    if missing - METHODS:
        raise NotOffered(f"nothing computes {', '.join(sorted(missing - METHODS))}")
    exec(f"def expression({', '.join(case['operands'])}): return {case['expression']}", space)
    made: Callable[..., Any] = space["expression"]
    return made


# What tensors of all libraries have by these names.
METHODS = frozenset({"T"})


def expression(case: Case, names: Mapping[str, Callable[..., Any]], tensor: Callable[..., Any],
               jit: Callable[[Callable[[], Any]], Callable[[], Any]],
               values: Callable[[Any], np.ndarray[Any, Any]]) -> Work:
    """The work of a case of the kind "expression". `tensor` makes one of an array and a dtype's name, `jit` compiles
    the call of all copies."""
    call = function(case, names)
    sets = [[tensor(*made) for made in copy.values()] for copy in operands(case)]
    return Work(jit(lambda: [call(*one) for one in sets]), lambda outputs: values(outputs[0]), len(sets))


def sampled(values: np.ndarray[Any, Any], most: int = 2048) -> Sequence[float]:
    """As many of the values as `most`, at the same places for the same size."""
    flat = values.reshape(-1)
    if flat.size > most:
        flat = flat[np.random.default_rng(flat.size).integers(0, flat.size, most)]
    return [float(value) for value in flat]
