"""From tensor graphs to kernels: which values lie in memory, which kernels make them, in what order, where.

`create_schedule(sinks, Buffer)` gives the kernels that compute the sinks, and for each sink the BUFFER, or VIEW of a
BUFFER, that will hold it. Kernels are ASTs over numbered buffers; how one computes what lies between its loads and
stores is codegen's. Nothing runs here.

    graph.py       what is asked for, in what order, how large, on which device
    sums.py        sums of shifted parts of sums, merged
    parallel.py    long reduces to few values, cut for the cores
    placement.py   which values lie in memory (nest.py: kernels in the making; index.py: where they read)
    join.py        kernels that repeat one another's work, joined
    pricing.py     what either choice costs (cost.py: the constants, work of each value)
    drafts.py      kernels before they are built; the plain policy: every op its own
    versions.py    which memory holds which version of a value, the order, the copies that hazards need
    kernelize.py   ASTs
    memory.py      buffers of their own, and one arena for all that lies between
"""
from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from ..helpers import EAGER, NOFUSE
from ..shape.build import viewed
from ..target import host_target
from ..uops import Ops, UOp
from .cost import Costs
from .drafts import unfused
from .graph import Graph
from .kernelize import Kernel, Kernelizer, Schedule
from .memory import NewBuffer, allocate
from .parallel import split_long_reduces
from .placement import fused
from .reasons import Reason
from .sums import merge_sums
from .versions import arrange

__all__ = ["Kernel", "Reason", "Schedule", "create_schedule"]


@contextmanager
def without_collector() -> Iterator[None]:
    """Scheduling makes many objects that stay: the cyclic collector would walk them again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def create_schedule(sinks: Iterable[UOp], new_buffer: NewBuffer,
                    costs: Costs | None = None) -> tuple[Schedule, dict[UOp, UOp]]:
    """The kernels that compute the sinks, and what each sink is once they have run.

    `new_buffer` is the runtime's Buffer class: (device, shape, dtype, *, base=None, offset=0). ValueError if operands
    lie on
    different devices or a variable is bound to two values.
    """
    with without_collector():
        graph = Graph(sinks)
        if EAGER or NOFUSE:
            graph.force()
            placement = unfused(graph)
        else:
            costs = costs or Costs.of(host_target())
            merge_sums(graph)
            split_long_reduces(graph, costs)
            graph.force()
            placement = fused(graph, costs)
        arrangement = arrange(graph, placement)
        kernelizer = Kernelizer(arrangement)
        kernels = [kernel for draft in arrangement.drafts if (kernel := kernelizer.kernel(draft)) is not None]
        kept = [arrangement.memory[arrangement.results[node]] for node in graph.home.values()]
        allocate(kernels, kept, new_buffer)
        kernels = [replace(kernel, buffers=tuple([memory.buffer for memory in kernel.buffers])) for kernel in kernels]
        realized: dict[UOp, UOp] = {}
        for sink, home in graph.home.items():
            memory = arrangement.memory[arrangement.results[home]]
            buffer = UOp(Ops.BUFFER, memory.dtype, (), memory.buffer)
            part = kernelizer.held(memory, home.shape)
            _, tracker = graph.without_views(sink, home)
            for step in (part, tracker):
                if step is not None:
                    buffer = viewed(buffer, step)
            realized[sink] = buffer
        return Schedule(kernels, kernelizer.variables), realized
