"""What each step from a Python loop to all of the machine is worth: one matrix product, one list of opts a rung.

The kernel is the same on every rung, and so is the compiler; only the opts differ. Every rung's result is compared
with numpy's. `minigrad.blas.gemm` and numpy's OpenBLAS end the table.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from extra.benchmarks.harness import Table, largest_error, report
from minigrad import Context, Tensor
from minigrad.blas import gemm
from minigrad.codegen.opts import Opt, Order, Split, Thread, Unroll, Upcast, Vector
from minigrad.codegen.pipeline import lower_kernel
from minigrad.codegen.place import Place
from minigrad.dtype import dtypes
from minigrad.progress import Progress
from minigrad.runtime.device import Buffer, get_device
from minigrad.runtime.pool import thread_count
from minigrad.runtime.probe import flops_now
from minigrad.schedule import create_schedule
from minigrad.target import Target, host_target
from minigrad.uops import UOp

SIZE = 1536         # rows, columns and products a sum: a multiple of every tile below
PYTHON_SIZE = 96    # of the Python loop, which takes a second per 10 million products
SECONDS = 1.0       # for each rung; the slow ones run once
LARGEST_ERROR = 1e-5

Array = np.ndarray[Any, np.dtype[np.float32]]


def rungs(target: Target) -> list[tuple[str, list[Opt], bool]]:
    """(what is new, opts, on all cores). o0 and o1 are the rows and columns of the result, r0 the products of a sum."""
    lanes = target.lanes(4)
    rows, vectors = (6, 4) if target.registers >= 32 else (6, 2)    # accumulators that leave registers for operands
    width = lanes * vectors
    tile: list[Opt] = [Split("o0", rows), Split("o1.1", lanes), Upcast("o0.1"), Vector("o1.1.1"), Upcast("o1.1.0")]
    blocks: list[Opt] = [Split("o1", width), Order(("o1.0", "o0", "o1.1"))]
    panel = f"p2_{'o1.1'.replace('.', '')}_1"
    packing: list[Opt] = [Place("p2", ("o1.0",), ((0, 1, 0), (1, 1, 0)), along="o1.1")]
    filling: list[Opt] = [Split(panel, lanes), Vector(f"{panel}.1"), Upcast(f"{panel}.0")]
    return [
        ("scalar C", [], False),
        ("unrolled: 8 products a turn", [Split("r0", 8), Unroll("r0.1")], False),
        ("4 independent accumulators", [Split("r0", 4), Upcast("r0.1")], False),
        (f"SIMD: {lanes} columns a vector", [Split("o1", lanes), Vector("o1.1")], False),
        (f"register tile: {rows} rows, {vectors} vectors", [Split("o1", width), *tile], False),
        (f"cache blocking: panels of {width} columns", [*blocks, *tile], False),
        ("packing: a panel's rows lie side by side", [*blocks, *packing, *tile, *filling], False),
        ("threads", [*blocks, *packing, *tile, *filling, Thread("o1.0")], True),
    ]


def product_ast(size: int) -> UOp:
    """The kernel: c = a @ b, all of them size × size."""
    a, b = (Tensor.empty(size, size, dtype="float32").realize() for _ in range(2))
    kernel, = create_schedule([(a @ b).uop], Buffer)[0].kernels
    return kernel.ast


def best_seconds(run: Callable[[], float]) -> float:
    """The least of as many runs as fit the time."""
    start, times = time.perf_counter(), [run()]
    while time.perf_counter() - start < SECONDS:
        times.append(run())
    return min(times)


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def run_rung(ast: UOp, opts: Sequence[Opt], a: Array, b: Array, c: Array) -> float:
    """Seconds of the kernel with these opts; c is what it computed."""
    device = get_device("CPU")
    program, = device.compile([device.render(lower_kernel(ast, device.target, opts))])
    buffers = [Buffer.from_numpy(array, dtypes.float32) for array in (c, a, b)]
    return best_seconds(lambda: device.launch(program, buffers, {}))


def python_product(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
    result = []
    for row in a:
        line = []
        for j in range(len(b[0])):
            total = 0.0
            for k, x in enumerate(row):
                total += x * b[k][j]
            line.append(total)
        result.append(line)
    return result


def table(size: int = SIZE) -> Table:
    result = Table(f"matrix product {size}³, float32, one rung at a time",
                   ["rung", "ms", "GFLOP/s", "times the last", "of FMA peak", "error"])
    generator = np.random.default_rng(0)
    a, b = (generator.standard_normal((size, size), dtype=np.float32) for _ in range(2))
    reference, c = a @ b, np.empty((size, size), np.float32)
    previous = 0.0

    def add(name: str, seconds: float, computed: Array, expected: Array, threads: int) -> None:
        nonlocal previous
        rate = 2 * len(expected) ** 3 / seconds / 1e9
        peak, error = flops_now(threads) / 1e9, largest_error(computed, expected)
        if not error <= LARGEST_ERROR:
            raise RuntimeError(f"{name}: an error of {error:.2e} beside numpy's result")
        result.add(name, seconds * 1e3, rate, rate / previous if previous else None,
                   f"{rate / peak:.1%} of {peak:.0f}", error)
        previous = rate

    few = slice(0, min(size, PYTHON_SIZE))
    small_a, small_b = a[few, few], b[few, few]
    lists = small_a.tolist(), small_b.tolist()
    found = np.array(python_product(*lists), np.float32)
    add(f"Python loop ({len(found)}³)", best_seconds(lambda: timed(lambda: python_product(*lists))), found,
        small_a @ small_b, 1)
    ast = product_ast(size)
    steps, bar = list(rungs(host_target())), Progress("measuring")
    for number, (name, opts, parallel) in enumerate(steps):
        bar.update(number / len(steps), name)
        threads = thread_count() if parallel else 1
        with Context(THREADS=threads):
            c[:] = np.nan
            add(name, run_rung(ast, opts, a, b, c), c, reference, threads)
    bar.close()
    c[:] = np.nan
    call = lambda: gemm("N", "N", size, size, size, 1.0, a, size, b, size, 0.0, c, size)
    add("minigrad.blas.gemm (the heuristic's opts)", best_seconds(lambda: timed(call)), c, reference, thread_count())
    time.sleep(0.3)     # OpenBLAS's threads and ours do not share the cores well
    add("numpy's OpenBLAS", best_seconds(lambda: timed(lambda: np.matmul(a, b, out=c))), c, reference, thread_count())
    result.notes.append("The share is of the FMA peak of as many threads as the rung uses, measured beside it.")
    return result


if __name__ == "__main__":
    report(table())
