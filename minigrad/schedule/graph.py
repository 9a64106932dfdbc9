"""The graph as the scheduler sees it: what is asked for, in what order, how large, where.

In: the sinks, tensor-level UOps. Out: a `Graph`: nodes in topological order, which of them must lie in memory before
any cost is weighed (`forced`), and the node whose memory each sink is (`home`). Nothing is rewritten; `Graph.source`
looks through the few nodes that stand for others (`alias`).

Sizes are those with every variable at its maximum, since that is what buffers are allocated for.
"""
from __future__ import annotations

from collections.abc import Iterable

from ..helpers import DEV, prod
from ..shape import ShapeTracker
from ..uops import COMPARISON, SCALARS, Ops, UOp, toposort
from ..uops.symbolic import vmax
from ..uops.trace import inherit, record
from .reasons import Reason

FREE = SCALARS | {Ops.IOTA}                                    # values that cost nothing and need no memory
VERSIONS = frozenset({Ops.ASSIGN, Ops.SCATTER})                # new versions of memory that exists
EXACT = COMPARISON | {Ops.VIEW, Ops.NEG, Ops.MAX, Ops.WHERE, Ops.CAST, Ops.BITCAST, Ops.GATHER}  # round nothing
STORED = VERSIONS | {Ops.BUFFER, Ops.CONTIGUOUS, Ops.COPY}     # always in memory


def largest_shape(node: UOp) -> tuple[int, ...]:
    """The shape with every variable at its maximum."""
    return tuple([n if type(n) is int else vmax(n) for n in node.shape])


def value_order(roots: Iterable[UOp]) -> list[UOp]:
    """Every node that the roots' values need, each once, sources first: what only autodiff needs (DETACH's history)
    is left out.
    """
    return toposort(*roots, sources=lambda node: node.src[:1] if node.op is Ops.DETACH else node.src)


class Graph:
    """Nodes in topological order, and what is known of them before placement."""

    def __init__(self, sinks: Iterable[UOp]) -> None:
        self.sinks = list(dict.fromkeys(sinks))
        self.order = value_order(self.sinks)
        self.alias: dict[UOp, UOp] = {}             # node -> the node that stands for it
        self.in_place: set[UOp] = set()             # SCATTERs that write into the buffer that they start from
        self.forced: dict[UOp, Reason] = {}         # nodes that must lie in memory
        self.bases: set[UOp] = set()                # nodes in whose memory a version is made, or that are copied
        self.home: dict[UOp, UOp] = {}              # sink -> the node in memory that it is, or is a view of
        self.shapes: dict[UOp, tuple[int, ...]] = {}
        self.sizes: dict[UOp, int] = {}
        self.devices: dict[UOp, str | None] = {}
        for node in self.order:
            self.measure(node)
            if node.op is Ops.DETACH:
                self.alias[node] = self.source(node.src[0])

    def force(self) -> None:
        """Finds what must lie in memory, whatever it costs."""
        self._scatter_in_place()
        self._force_operands()
        self._force_sinks()
        self._force_compared()

    def source(self, node: UOp) -> UOp:
        """The node that stands for this one."""
        return self.alias.get(node, node)

    def sources(self, node: UOp) -> tuple[UOp, ...]:
        """What a node is made from."""
        if self.alias.keys().isdisjoint(node.src):
            return node.src
        return tuple([self.alias.get(s, s) for s in node.src])

    def replace(self, node: UOp, made: list[UOp], rule: str, order: list[UOp]) -> None:
        """The last of some new nodes, sources first, stands for a node; they are measured, and behind it in the order.
        """
        inherit(made[-1], node.line)
        record("graph", rule, node, made[-1])
        for new in made:
            if new not in self.sizes:
                self.measure(new)
                order.append(new)
        self.alias[node] = made[-1]

    def device(self, node: UOp) -> str:
        """The device of a node; the default one for what is made of constants alone."""
        return self.devices[node] or str(DEV.value)

    def measure(self, node: UOp) -> None:
        """Shape, size and device of a node whose sources are measured. ValueError if sources lie on different
        devices.
        """
        shape = self.shapes[node] = largest_shape(node)
        self.sizes[node] = prod(shape)
        device: str | None = None
        if node.op is Ops.BUFFER:
            device = node.arg.device
        elif node.op is Ops.COPY:
            device = node.arg
        else:
            for source in node.src if node.op is not Ops.DETACH else node.src[:1]:
                other = self.devices[source]
                if other is not None and device is not None and other != device:
                    shapes = [s.shape for s in node.src]
                    raise ValueError(f"{node.op.name}: operands of shapes {shapes} lie on different devices, "
                                     f"{device} and {other}")
                device = device or other
        self.devices[node] = device

    def _scatter_in_place(self) -> None:
        """x.assign(scatter(x, ...)) needs no copy: the scatter is the assignment if nobody else reads it."""
        readers: dict[UOp, int] = {}
        candidates: list[UOp] = []
        for node in self.order:
            if node in self.alias:
                continue
            for source in self.sources(node):
                if source.op is Ops.SCATTER:
                    readers[source] = readers.get(source, 0) + 1
                    if node.op is Ops.ASSIGN:
                        candidates.append(node)
        wanted = {self.source(sink) for sink in self.sinks}
        for node in candidates:
            base, value = self.sources(node)
            if value.op is Ops.SCATTER and self.source(value.src[0]) is base and readers[value] == 1 and \
                    value not in wanted and node.arg.is_identity(base.shape):
                self.alias[node] = value
                self.in_place.add(value)
        for node in self.order:  # those who looked through to an assignment look through to its scatter
            if node in self.alias:
                self.alias[node] = self.source(self.alias[node])

    def _force_operands(self) -> None:
        """Writes need memory to write into, copies between devices need memory to read from."""
        forced = self.forced
        for node in self.order:
            op = node.op
            if op not in STORED or op is Ops.BUFFER or node in self.alias:
                continue
            if op is Ops.CONTIGUOUS:
                forced[node] = Reason.CONTIGUOUS
                continue
            below = self.source(node.src[0])
            self.bases.add(below)
            if op is Ops.COPY:
                forced[node] = Reason.COPY
            else:
                forced[node] = Reason.ASSIGN if op is Ops.ASSIGN else Reason.SCATTER
            if below.op is not Ops.BUFFER:
                forced.setdefault(below, Reason.BASE)

    def _force_sinks(self) -> None:
        """Every sink gets memory, or is a view of what has memory."""
        overwritten = {self.source(node.src[0]) for node in self.order if node.op is Ops.ASSIGN}
        for sink in self.sinks:
            node = self.source(sink)
            below = self.without_views(node)[0]
            if below.op is Ops.BUFFER:
                if below not in overwritten:
                    node = below
            elif below.op not in FREE and self.sizes[below] <= self.sizes[node]:
                node = below
            self.home[sink] = node
            if node.op is not Ops.BUFFER:
                self.forced.setdefault(node, Reason.OUTPUT)

    def _force_compared(self) -> None:
        """What is compared with its own maximum must be the same number in both places: computed twice, a sum may be
        rounded twice, and none would equal the maximum.
        """
        for node in self.order:
            if node.op in COMPARISON and node.src[0].dtype.is_float:
                below = [self.without_views(s)[0] for s in node.src]
                for x, largest in (below, below[::-1]):
                    if largest.op is Ops.REDUCE and largest.arg.op is Ops.MAX and \
                            self.without_views(largest.src[0])[0] is x and not self._is_exact(x):
                        self.forced.setdefault(x, Reason.COMPARED)

    def _is_exact(self, node: UOp) -> bool:
        """Whether a value is selected from what lies in memory, without arithmetic that rounds."""
        stack, seen = [self.source(node)], set[UOp]()
        while stack:
            u = stack.pop()
            if u in seen or u.op in STORED or u.op in FREE or u in self.forced:
                continue
            seen.add(u)
            if u.op not in EXACT and u.dtype.is_float:
                return False
            stack += self.sources(u)
        return True

    def without_views(self, node: UOp, stop: UOp | None = None) -> tuple[UOp, ShapeTracker | None]:
        """The node below a node's views, or `stop` if it is met first, and how the node reads it (None: as it is)."""
        node = self.source(node)
        tracker: ShapeTracker | None = None
        while node.op is Ops.VIEW and node is not stop:
            tracker = node.arg if tracker is None else node.arg + tracker
            node = self.source(node.src[0])
        return node, tracker
