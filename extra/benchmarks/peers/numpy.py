"""numpy, and the BLAS in it."""
from __future__ import annotations

import numpy as np

from extra.benchmarks.peers import Case, NotOffered, Work, expression

NAMES = {
    "t": lambda x: x.swapaxes(-1, -2), "sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min,
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "tanh": np.tanh, "abs": np.abs, "maximum": np.maximum,
    "minimum": np.minimum, "where": np.where, "cumsum": np.cumsum, "argmax": np.argmax,
}


def _tensor(array: np.ndarray, dtype: str) -> np.ndarray:
    if dtype != "float32":
        raise NotOffered(f"no products of {dtype}")
    return array


def _expression(case: Case) -> Work:
    return expression(case, NAMES, _tensor, lambda run: run, np.asarray)


KINDS = {"expression": _expression}
