"""A long reduce to few values leaves cores idle: it becomes partial reduces, one for each of some parts, and a short
one.

sum over 1,000,000 elements -> 64 sums of 15,625 elements each, in memory, then their sum. The number of parts follows
from the shape alone, so results do not depend on the machine. A sum without a fitting divisor is padded with zeros.
"""
from __future__ import annotations

from ..dtype import dtypes
from ..shape import ShapeTracker
from ..shape.build import viewed
from ..uops import Ops, ReduceArg, UOp
from .cost import Costs
from .graph import FREE, Graph
from .reasons import Reason

HALVES = (dtypes.float16, dtypes.bfloat16)


def split_long_reduces(graph: Graph, costs: Costs) -> None:
    """Replaces such reduces in the graph."""
    order: list[UOp] = []
    for node in graph.order:
        order.append(node)
        if node.op is not Ops.REDUCE or graph.sizes[node] >= costs.cores:
            continue
        source = graph.source(node.src[0])
        below = graph.without_views(source)[0]
        work = graph.sizes[source] * costs.byte
        if not work or work < costs.split_from or below.op in FREE:
            continue
        cut = where_to_cut(node, costs.parts)
        if cut is not None:
            made = split(node, source, *cut)
            graph.replace(node, made, "partial reduces", order)
            partial = next(n for n in made if n.op is Ops.REDUCE)
            graph.forced[partial] = Reason.PARTIAL
    graph.order = order


def where_to_cut(node: UOp, most: int) -> tuple[int, int] | None:
    """(axis, parts) of the outermost reduced axis that has a fitting number of equal parts, or can be padded for it."""
    shape = node.src[0].shape
    axes = [axis for axis in node.arg.axes if type(shape[axis]) is int]
    for axis in axes:
        parts = max(p for p in range(1, min(shape[axis], most) + 1) if shape[axis] % p == 0)
        if parts >= most // 4:
            return axis, parts
    longest = max(axes, key=lambda axis: int(shape[axis]), default=None)
    if longest is not None and node.arg.op is Ops.ADD and shape[longest] >= 16 * most:
        return longest, most
    return None


def split(node: UOp, source: UOp, axis: int, parts: int) -> list[UOp]:
    """The new nodes, sources first; the last one stands for the reduce."""
    made: list[UOp] = []

    def new(made_node: UOp) -> UOp:
        made.append(made_node)
        return made_node
    op, axes, shape = node.arg.op, node.arg.axes, source.shape
    if source.dtype in HALVES:  # partial sums keep the precision of the accumulator
        source = new(UOp(Ops.CAST, dtypes.float32, (source,)))
    length = -(-shape[axis] // parts)
    padding = tuple((0, parts * length - shape[axis] if a == axis else 0) for a in range(len(shape)))
    cut = (*shape[:axis], parts, length, *shape[axis + 1:])
    whole = new(viewed(source, ShapeTracker.contiguous(shape).pad(padding).reshape(cut)))
    partial = new(UOp(Ops.REDUCE, whole.dtype, (whole,), ReduceArg(op, tuple(a if a < axis else a + 1 for a in axes))))
    flat = (*partial.shape[:axis + 1], *partial.shape[axis + 2:])
    joined = new(viewed(partial, ShapeTracker.contiguous(partial.shape).reshape(flat)))
    result = new(UOp(Ops.REDUCE, joined.dtype, (joined,), ReduceArg(op, (axis,))))
    if result.dtype is not node.dtype:
        new(UOp(Ops.CAST, node.dtype, (result,)))
    return made
