"""Fits the polynomials of `PIECES` in minigrad/renderer/mathlib_numbers.py, and prints them with their errors.

    python -m tools.fit_pieces

In: an odd function that tends to 1, the width of a piece and a degree. Out: for k = 0..15 the coefficients, rounded to
float32, of f(x) - min(x, width / 2) slope as a polynomial of x - k width, where |x - k width| <= width / 2; of the
first piece where x >= 0, with 0 as its first coefficient. The largest error relative to f is the least (Lawson's
method: least squares, weighted by the errors again and again); a coefficient at a time is rounded, and the rest fitted
again.
"""
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

COUNT, POINTS, ROUNDS = 16, 301, 200
#          function, width, degree, slope
FUNCTIONS = {"TANH": (math.tanh, 0.5859375, 7, 0.0), "ERF": (math.erf, 0.2578125, 5, 1.0)}


def fit(f: Callable[[float], float], width: float, degree: int, slope: float, piece: int) -> tuple[list[float], float]:
    """The coefficients of a piece, and the largest error relative to f."""
    nodes = np.cos(np.pi * (np.arange(POINTS) + 0.5) / POINTS)          # -1..1, dense at the ends
    r = width / 2 * (nodes if piece else (nodes + 1) / 2)
    x = piece * width + r
    exact = np.array([f(value) for value in x])
    powers = r[:, None] ** np.arange(degree + 1)
    rest = exact - slope * np.minimum(x, width / 2)
    first = np.float32(f(piece * width) - slope * width / 2 if piece else 0.0)
    found, weights = [float(first)], 1 / exact
    rest -= found[0]
    for power in range(1, degree + 1):
        found.append(float(np.float32(_minimax(powers[:, power:], rest, weights)[0])))
        rest -= found[power] * powers[:, power]
    return found, float(np.abs(rest / exact).max())


def _minimax(basis: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The combination of the basis with the least largest weighted error."""
    importance, least, best = np.ones(len(target)), math.inf, np.zeros(basis.shape[1])
    for _ in range(ROUNDS):
        scale = np.sqrt(importance) * weights
        combination = np.linalg.lstsq(basis * scale[:, None], target * scale, rcond=None)[0]
        error = np.abs((basis @ combination - target) * weights)
        if error.max() < least:
            least, best = error.max(), combination
        importance *= error / error.max() + 1e-3
        importance /= importance.sum()
    return best


def main() -> None:
    for name, (f, width, degree, slope) in FUNCTIONS.items():
        fits = [fit(f, width, degree, slope, piece) for piece in range(COUNT)]
        print(f"{name}: {width}, at most 2^{math.log2(max(error for _, error in fits)):.1f}")
        for row in zip(*(coefficients for coefficients, _ in fits)):
            print(f"    ({', '.join(f'{value:.9g}' for value in row)}),")


if __name__ == "__main__":
    main()
