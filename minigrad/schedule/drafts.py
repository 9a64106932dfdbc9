"""Kernels before they are built: which nodes each of them stores, and why.

A `Draft` stores one or more nodes and computes everything between them and the nodes that lie in memory. `Placement`
is the answer of a policy: every node that lies in memory has one producer. `unfused` is the plain policy, and the
oracle for the other one.
"""
from __future__ import annotations

from dataclasses import dataclass, field

from ..uops import Ops, UOp, sint, toposort
from .graph import FREE, STORED, Graph
from .reasons import Reason


@dataclass(eq=False, slots=True)
class Layout:
    """How a store lines up with the kernel's axes: its own are cut, put in this order, and filled up with size 1."""

    cut: tuple[tuple[int, ...], ...]    # for each axis of the value, the sizes of its parts; (): it is one part
    order: tuple[int, ...]              # of the parts
    axes: tuple[int | None, ...]        # for each axis of the kernel, the part that it is, None: size 1


@dataclass(frozen=True, slots=True)
class Weighed:
    """Two prices in operations of the whole machine: of the value inside of the kernels that use it, and in memory."""

    inside: float
    stored: float
    readers: int


@dataclass(eq=False, slots=True)
class Draft:
    """A kernel to be: the nodes that it stores, each with its reason. The first decides the kernel's axes.

    weighed: the prices that decided, where prices did. order: those axes from the outermost loop inwards, where that is
    not how the first one's stand.
    """

    stores: list[UOp]
    reasons: list[Reason]
    layouts: dict[UOp, Layout] = field(default_factory=dict)
    weighed: dict[UOp, Weighed] = field(default_factory=dict)
    order: tuple[int, ...] | None = None


@dataclass(slots=True)
class Placement:
    """All drafts, in no particular order, and the draft that makes each node in memory.

    orders: the axes of a node from the outermost in memory inwards, where they do not lie as they stand.
    """

    drafts: list[Draft] = field(default_factory=list)
    producer: dict[UOp, Draft] = field(default_factory=dict)
    orders: dict[UOp, tuple[int, ...]] = field(default_factory=dict)

    def add(self, node: UOp, reason: Reason) -> Draft:
        """A new draft that stores this node."""
        draft = self.producer[node] = Draft([node], [reason])
        self.drafts.append(draft)
        return draft


def unfused(graph: Graph) -> Placement:
    """Every op that is not a movement is a kernel of its own."""
    placement = Placement()
    for node in graph.order:
        reason = graph.forced.get(node)
        if reason is None:
            if node.op in FREE or node.op is Ops.VIEW or node.op is Ops.BUFFER or node in graph.alias:
                continue
            reason = Reason.UNFUSED
        placement.add(node, reason)
    return placement


@dataclass(eq=False, slots=True)
class Body:
    """What a draft computes: its nodes, sources first, and the nodes that it reads from memory, in order of
    appearance.
    """

    nodes: list[UOp]
    loads: list[UOp]


def store_shape(node: UOp) -> tuple[sint, ...]:
    """The shape that a kernel with this store runs over."""
    if node.op is Ops.ASSIGN:
        return tuple(node.arg.shape)
    return tuple(node.src[2].shape if node.op is Ops.SCATTER else node.shape)


def stored_values(graph: Graph, node: UOp) -> tuple[UOp, ...]:
    """What a kernel that stores this node has to compute: the node itself, or the parts of a write."""
    op = node.op
    if op is Ops.ASSIGN:
        return (graph.source(node.src[1]),)
    if op is Ops.SCATTER:
        return (graph.source(node.src[2]), graph.source(node.src[1]))
    if op is Ops.CONTIGUOUS or op is Ops.COPY:
        return (graph.source(node.src[0]),)
    return (node,)


def body(graph: Graph, placement: Placement, draft: Draft) -> Body:
    """Walks from the stores down to memory."""
    def is_load(node: UOp) -> bool:
        return node.op is Ops.BUFFER or placement.producer.get(node, draft) is not draft

    def sources(node: UOp) -> tuple[UOp, ...]:
        if is_load(node):
            return ()
        # a node that is stored here and read here as well is computed once: the reader takes the value that is stored
        return stored_values(graph, node) if node.op in STORED else graph.sources(node)
    order = toposort(*[value for store in draft.stores for value in stored_values(graph, store)], sources=sources)
    return Body([node for node in order if not is_load(node)], [node for node in order if is_load(node)])
