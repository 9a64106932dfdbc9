"""Which memory holds which value when, and in what order the kernels run.

In: drafts. Out: an `Arrangement`: the drafts in order, the memory of every node, and which copy a draft reads instead
of a value that will be gone.

ASSIGN and SCATTER make a new *version* of memory: a node names a version, the memory holds one version at a time. So
whoever reads a version runs after the draft that makes it and before the draft that overwrites it. A copy is made
only where that cannot be: two drafts that overwrite what the other one reads, a kernel that overwrites what it reads
elsewhere, a scatter over memory that is not its own, two new versions of one old one, an old version that is asked
for.
"""
from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

from ..dtype import DType
from ..shape import ShapeTracker
from ..uops import ELEMENTWISE, Ops, UOp
from ..uops.trace import inherit
from .drafts import Body, Draft, Placement, body, stored_values
from .graph import VERSIONS, Graph
from .reasons import Reason


@dataclass(eq=False, slots=True)
class Memory:
    """A buffer to be: `buffer` is known from the start for what exists already. `kept`: the user holds it afterwards.
    `order`: the axes of its value from the outermost in `shape` inwards, None: as they stand.
    """

    device: str
    shape: tuple[int, ...]
    dtype: DType
    buffer: Any = None
    kept: bool = False
    order: tuple[int, ...] | None = None


@dataclass(eq=False, slots=True)
class Arrangement:
    """drafts: in order of execution, each with its body. `read(draft, node)`: the memory from which a draft reads a
    node.
    """

    graph: Graph
    placement: Placement
    drafts: list[Draft] = field(default_factory=list)
    bodies: dict[Draft, Body] = field(default_factory=dict)
    memory: dict[UOp, Memory] = field(default_factory=dict)
    redirected: dict[tuple[Draft, UOp], UOp] = field(default_factory=dict)
    results: dict[UOp, UOp] = field(default_factory=dict)  # what a sink needs -> node whose memory holds it at the end

    def read(self, draft: Draft, node: UOp) -> Memory:
        return self.memory[self.redirected.get((draft, node), node)]


class _Arranger:
    """Builds an Arrangement: memory first, then copies that are certain, then the order."""

    def __init__(self, graph: Graph, placement: Placement) -> None:
        self.graph, self.placement = graph, placement
        self.result = Arrangement(graph, placement)
        self.base: dict[UOp, UOp] = {}              # version -> the version that it overwrites
        self.overwriter: dict[UOp, UOp] = {}        # version -> the one that overwrites it
        self.position = {node: i for i, node in enumerate(graph.order)}
        self.rank: dict[Draft, int] = {draft: max(self.position[s] for s in draft.stores) for draft in placement.drafts}
        self.copies = 0

    def run(self) -> Arrangement:
        for draft in self.placement.drafts:
            self.result.bodies[draft] = body(self.graph, self.placement, draft)
        for node in self.graph.order:
            if node.op is Ops.BUFFER:
                self.result.memory[node] = Memory(node.arg.device, tuple(node.arg.shape), node.dtype, node.arg, True)
            elif node in self.placement.producer:
                self.result.memory[node] = self.memory_of(node)
        for draft in list(self.placement.drafts):
            self.save_what_it_reads_and_overwrites(draft)
        for node in dict.fromkeys(self.graph.home.values()):
            self.save_what_is_asked_for(node)
        _Order(self).run()
        return self.result

    # ---- memory

    def fresh(self, node: UOp) -> Memory:
        order, shape = self.placement.orders.get(node), self.graph.shapes[node]
        return Memory(self.graph.device(node), shape if order is None else tuple(shape[axis] for axis in order),
                      node.dtype, order=order)

    def memory_of(self, node: UOp) -> Memory:
        """The memory of a node in memory: its base's for a new version, if that may be overwritten."""
        if node.op not in VERSIONS:
            return self.fresh(node)
        base = self.graph.source(node.src[0])
        memory = self.result.memory[base]
        is_whole = node.op is Ops.ASSIGN and node.arg.is_identity(base.shape)
        foreign = memory.buffer is not None and (memory.buffer.readonly or
                                                 (node.op is Ops.SCATTER and node not in self.graph.in_place))
        if foreign or base in self.overwriter:
            if is_whole:
                return self.fresh(node)
            base = self.copy(base, self.rank[self.placement.producer[node]], Reason.HAZARD)
            memory = self.result.memory[base]
        self.base[node] = base
        self.overwriter[base] = node
        return memory

    def copy(self, node: UOp, rank: int, reason: Reason) -> UOp:
        """A draft that copies a version to memory of its own, to run before `rank`; gives the node that stands for
        the copy.
        """
        self.copies += 1
        copied = UOp(Ops.CONTIGUOUS, node.dtype, (node,), -self.copies)  # a number that no copy of a user has
        inherit(copied, node.line)
        self.graph.measure(copied)
        self.result.memory[copied] = self.fresh(copied)
        draft = self.placement.add(copied, reason)
        self.rank[draft] = rank
        self.result.bodies[draft] = Body([], [node])
        return copied

    # ---- copies that no order can avoid

    def save_what_it_reads_and_overwrites(self, draft: Draft) -> None:
        """A kernel may read what it overwrites only where it writes it, at the same index."""
        for version in draft.stores:
            base = self.base.get(version)
            if base is None or base not in self.result.bodies[draft].loads:
                continue
            if not self.reads_where_it_writes(draft, base):
                copied = self.copy(base, self.rank[draft], Reason.HAZARD)
                self.result.redirected[draft, base] = copied

    def reads_where_it_writes(self, draft: Draft, base: UOp) -> bool:
        """True if every read of `base` in the draft is at the index that the draft writes: exact, and by structure
        alone.
        """
        writer = self.overwriter[base]
        if writer.op is not Ops.ASSIGN:
            return False
        region: ShapeTracker = writer.arg
        whole = region.is_identity(base.shape)
        elsewhere: set[UOp] = set()     # nodes that the kernel needs at other indices than those that it writes
        for store in draft.stores:
            values = stored_values(self.graph, store)
            if store in draft.layouts or not (whole or store is writer) or (base in values and not whole):
                elsewhere.update(values)
        for node in reversed(self.result.bodies[draft].nodes):  # consumers first
            sources = stored_values(self.graph, node) if node.op in VERSIONS else self.graph.sources(node)
            here = node not in elsewhere
            if here and node.op is Ops.VIEW and node.arg is region and sources[0] is base:
                continue
            if not (here and (node.op in ELEMENTWISE or node.op is Ops.ASSIGN or node.op is Ops.CONTIGUOUS)):
                elsewhere.update(sources)
            elif base in sources and not whole:
                return False
        return base not in elsewhere

    def save_what_is_asked_for(self, node: UOp) -> None:
        """A version that is asked for and overwritten later is copied; memory that the user holds already is not."""
        kept = node
        if node in self.overwriter and node.op is not Ops.BUFFER:
            kept = self.copy(node, self.position[node], Reason.HAZARD)
        self.result.memory[kept].kept = True
        self.result.results[node] = kept


class _Order:
    """Topological order over "reads what it makes" (hard) and "overwrites what it reads" (soft) edges, earliest rank
    first.
    """

    def __init__(self, arranger: _Arranger) -> None:
        self.arranger, self.result = arranger, arranger.result
        self.producer = arranger.placement.producer
        self.readers: dict[UOp, list[Draft]] = {}
        self.after: dict[Draft, list[tuple[Draft, bool]]] = {}      # draft -> (who waits for it, hard?)
        self.hard: dict[Draft, int] = {}
        self.soft: dict[Draft, int] = {}
        self.done: set[Draft] = set()
        self.ready: list[tuple[int, int, Draft]] = []
        self.stuck: list[tuple[int, int, Draft]] = []               # only soft edges hold them
        self.serial = 0

    def run(self) -> None:
        drafts = list(self.arranger.placement.drafts)
        for draft in drafts:
            self.after[draft], self.hard[draft], self.soft[draft] = [], 0, 0
        for draft in drafts:
            for node in self.reads(draft):
                self.readers.setdefault(node, []).append(draft)
                self.wait(draft, self.producer.get(node))
        for draft in drafts:
            for base in self.overwrites(draft):
                self.wait(draft, self.producer.get(base))
                for reader in self.readers.get(base, ()):
                    if reader is not draft:
                        self.after[reader].append((draft, False))
                        self.soft[draft] += 1
        for draft in drafts:
            self.queue(draft)
        while self.ready or self.stuck:
            if self.ready:
                self.finish(heapq.heappop(self.ready)[2])
                continue
            draft = heapq.heappop(self.stuck)[2]
            if draft not in self.done and self.soft[draft]:
                self.release(draft)

    def reads(self, draft: Draft) -> list[UOp]:
        redirected = self.result.redirected
        return [redirected.get((draft, node), node) for node in self.result.bodies[draft].loads]

    def overwrites(self, draft: Draft) -> list[UOp]:
        return [self.arranger.base[s] for s in draft.stores if s in self.arranger.base]

    def wait(self, draft: Draft, producer: Draft | None) -> None:
        if producer is not None and producer is not draft:
            self.after[producer].append((draft, True))
            self.hard[draft] += 1

    def queue(self, draft: Draft) -> None:
        if self.hard[draft] == 0:
            self.serial += 1
            if self.soft[draft]:  # should it come to copies, then of what is small
                size = sum(self.arranger.graph.sizes[base] for base in self.overwrites(draft))
                heapq.heappush(self.stuck, (size, self.serial, draft))
            else:
                rank = self.arranger.rank[draft] if self.needs_memory(draft) else -1
                heapq.heappush(self.ready, (rank, self.serial, draft))

    def needs_memory(self, draft: Draft) -> bool:
        """Whether it takes memory between kernels. One that does not had better run soon: then what it reads can go."""
        return not all(self.result.memory[s].kept for s in draft.stores)

    def finish(self, draft: Draft) -> None:
        if draft in self.done:
            return
        self.done.add(draft)
        self.result.drafts.append(draft)
        for waiting, hard in self.after[draft]:
            if waiting in self.done:
                continue
            if hard:
                self.hard[waiting] -= 1
            else:
                self.soft[waiting] -= 1
            self.queue(waiting)

    def release(self, draft: Draft) -> None:
        """Nothing can run before this draft overwrites what others still read: copy that, and let them read the copy.
        """
        for base in self.overwrites(draft):
            late = [r for r in self.readers.get(base, ()) if r is not draft and r not in self.done]
            if not late:
                continue
            copied = self.arranger.copy(base, self.arranger.rank[draft], Reason.HAZARD)
            copier = self.producer[copied]
            self.after[copier] = []
            self.finish(copier)
            for reader in late:
                self.result.redirected[reader, base] = copied
        self.soft[draft] = 0
        self.finish(draft)


def arrange(graph: Graph, placement: Placement) -> Arrangement:
    """Memory and order for drafts."""
    return _Arranger(graph, placement).run()


