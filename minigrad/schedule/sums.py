"""A sum of shifted parts of sums is one sum: sum_k pad(sum_o x[o, k, ...]) = sum_{k, o} pad(x[o, k, ...]).

So the gradient of a convolution's input, a product summed over the output channels and then over the windows that each
element lies in, becomes a convolution itself, which has loops that a tile fits. Sums of whole sums stay as they are:
the rows of a product that are summed up afterwards are rows of tiles now.
"""
from __future__ import annotations

from math import prod

from ..shape import ShapeTracker
from ..shape.build import viewed
from ..shape.view import View, suffix_products
from ..uops import Ops, ReduceArg, UOp
from .graph import Graph

MOST = 2.0      # elements of a part, those of the padding too, for each that is summed


def merge_sums(graph: Graph) -> None:
    """Replaces such sums in the graph."""
    readers: dict[UOp, int] = dict.fromkeys(graph.sinks, 1)
    for node in graph.order:
        for source in node.src:
            readers[source] = readers.get(source, 0) + 1
    order: list[UOp] = []
    for node in graph.order:
        order.append(node)
        if node.op is not Ops.REDUCE or node.arg.op is not Ops.ADD or readers.get(node.src[0]) != 1:
            continue
        inner, tracker = graph.without_views(node.src[0])
        if inner.op is not Ops.REDUCE or inner.arg.op is not Ops.ADD or tracker is None or inner.dtype != node.dtype:
            continue
        alone = all(readers.get(n, 0) == 1 for n in between(node.src[0], graph))
        shifted = len(tracker.views) > 1 or tracker.views[0].mask is not None
        if alone and shifted and is_concrete(inner, tracker) and graph.sizes[node.src[0]] <= MOST * graph.sizes[inner]:
            made = merged(node, inner, graph.source(inner.src[0]), tracker)
            graph.replace(node, made, "sum of sums", order)
            readers |= {**dict.fromkeys(made, 1), made[-1]: readers.get(node, 0)}
    graph.order = order


def between(node: UOp, graph: Graph) -> list[UOp]:
    """A node, what it is a view of, and so on, down to the first that is no view."""
    found = [node]
    while node.op is Ops.VIEW or node in graph.alias:
        node = graph.alias[node] if node in graph.alias else node.src[0]
        found.append(node)
    return found


def is_concrete(inner: UOp, tracker: ShapeTracker) -> bool:
    """Whether no size is symbolic."""
    sizes = [*inner.src[0].shape]
    for v in tracker.views:
        sizes += [*v.shape, *v.strides, v.offset, *[end for pair in v.mask or () for end in pair]]
    return all(type(n) is int for n in sizes)


def merged(node: UOp, inner: UOp, source: UOp, tracker: ShapeTracker) -> list[UOp]:
    """The new nodes, sources first: the last one stands for the outer sum.

    What the inner one sums becomes the last axes of what the outer one sums: each view reads rows of that many elements
    where it read one.
    """
    axes = inner.arg.axes
    kept = [axis for axis in range(len(source.shape)) if axis not in axes]
    summed = [source.shape[axis] for axis in axes]
    row, steps = prod(summed), suffix_products(summed)
    whole = tuple((0, n) for n in summed)
    first = View.contiguous(source.shape).permute((*kept, *axes))
    views = [View((*v.shape, *summed), (*[stride * row for stride in v.strides], *steps), v.offset * row,
                  None if v.mask is None else (*v.mask, *whole)) for v in tracker.views]
    parts = viewed(source, ShapeTracker((first, *views)))
    rank = len(tracker.shape)
    total = UOp(Ops.REDUCE, node.dtype, (parts,), ReduceArg(Ops.ADD, (*node.arg.axes, *range(rank, rank + len(axes)))))
    return [parts, total, viewed(total, ShapeTracker.contiguous(total.shape).reshape(node.shape))]


__all__ = ["merge_sums"]
