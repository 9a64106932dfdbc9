"""A tour: one expression on its way from a line of Python to numbers, every stage printed.

    python docs/tour.py

Read it from top to bottom beside docs/ARCHITECTURE.md, which says where each stage lives. The expression is a small
layer, a product of matrices with a bias and a ReLU; change it, and look at what changes.
"""
from __future__ import annotations

import numpy as np

from minigrad import Tensor, explain, get_device
from minigrad.codegen import cost
from minigrad.codegen.heuristic import choose
from minigrad.codegen.lower import lower_ast
from minigrad.codegen.pipeline import finish
from minigrad.codegen.simplify import simplify
from minigrad.printer import listing, render
from minigrad.runtime.device import Buffer
from minigrad.runtime.interpreter import evaluate_kernel
from minigrad.schedule import create_schedule
from minigrad.uops.trace import tracing


def title(text: str) -> None:
    print(f"\n{'=' * 100}\n{text}\n{'=' * 100}")


def main() -> None:
    title("1. Record. Nothing is computed: a Tensor holds a node of a graph, and methods make new nodes.")
    rng = np.random.default_rng(0)
    x, w, b = (Tensor(rng.normal(size=shape).astype(np.float32)) for shape in ((8, 32), (32, 16), (16,)))
    y = (x @ w + b).relu()
    print(render(y.uop, indent=True))
    print("\nMovement is a VIEW, which says where each element lies; the product is a MUL under a REDUCE.")
    print(f"Each node knows the line that asked for it: {y.uop.line}")

    title("2. Schedule. The graph is cut where a value has to lie in memory, for a reason from a closed list.")
    schedule, realized = create_schedule([y.uop], Buffer)
    kernel, = schedule.kernels
    print(explain(y))
    print(f"\nThe result will be {realized[y.uop]}")

    title("3. A kernel. STOREs over numbered buffers: it names no memory, so equal kernels are one object.")
    print(render(kernel.ast, indent=True))
    print(f"\nBy algebra: {cost.operations(kernel.ast)} operations, {cost.bytes_moved(kernel.ast)} bytes at least.")

    title("4. Lower. Indices are passed from the stores to the loads, and axes become ranges: a loop nest.")
    simple = simplify(kernel.ast)
    loops = lower_ast(simple)
    print(render(loops.root))

    title("5. Optimise. Each opt is a rewrite of ranges, with a check that says why not.")
    device = get_device("CPU")
    with tracing() as steps:
        choose(loops, device.target)
    for step in steps:
        print(f"{step.rules}: {step.rule}")

    title("6. Linearise. The nest becomes a list in which order matters: loops open and close, addresses are flat.")
    lowered = finish(kernel.ast, loops)
    print(listing(lowered.linear.ops[:40]))
    print(f"... {len(lowered.linear.ops)} in all")

    title("7. Render. The list becomes a function's text.")
    spec = device.render(lowered)
    print(spec.source)

    title("8. Compile and launch. Memory is handed out, all threads run the function on their part of the loop.")
    program, = device.compile([spec])
    seconds = device.launch(program, kernel.buffers, {}, wait=True)
    result = kernel.buffers[kernel.written[0]].numpy()
    print(f"{spec.name}: {seconds * 1e6:.1f} us on {device.describe()}")

    title("9. Check. The interpreter computes the AST with numpy, and what a user does is one line.")
    memory = [np.array(buffer.numpy()) for buffer in kernel.buffers]
    evaluate_kernel(kernel.ast, memory, {})
    expected = np.maximum(x.numpy() @ w.numpy() + b.numpy(), 0)
    for name, value in (("launched", result), ("interpreted", memory[0]), ("y.numpy()", y.numpy())):
        error = float(np.abs(value.reshape(expected.shape) - expected).max())
        print(f"{name:<12} differs from numpy by at most {error:.1e}")
        assert error < 1e-4


if __name__ == "__main__":
    main()
