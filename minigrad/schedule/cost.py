"""What things cost: the constants, and how much work one element of each value is.

The unit is one arithmetic operation of the whole machine working in full vectors. Bytes are converted by the ratio of
the machine's speeds: about ten operations pass while one byte comes from memory. The constants are rough on purpose:
decisions that matter differ by factors, not by percents.
"""
from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ..target import Target
from ..uops import Ops, UOp
from .graph import FREE, STORED, Graph
from .index import Indices

OPERATIONS = {Ops.EXP: 8, Ops.EXP2: 8, Ops.LOG: 8, Ops.LOG2: 8, Ops.SIN: 12, Ops.COS: 12, Ops.TANH: 12, Ops.ERF: 12,
              Ops.SQRT: 4, Ops.RECIPROCAL: 4, Ops.FDIV: 4, Ops.IDIV: 8, Ops.MOD: 8}  # all others: 1


NOTHING: frozenset[UOp] = frozenset()
MOST_LEAVES = 24    # an elementwise value with more of them counts as a leaf itself


@dataclass(frozen=True)
class Costs:
    """Facts of the target, and calibrated numbers."""

    cores: int = 2
    l2: int = 2 << 20               # bytes of one core's cache
    l3: int = 16 << 20              # bytes of the cache that all cores share
    scratch: int = 256 << 10        # bytes that a kernel may keep of its values per core
    byte: float = 10.0              # a byte to or from memory
    shared_byte: float = 2.5        # one from the cache that all cores share
    cached_byte: float = 0.5        # a byte that lies in a core's own cache
    launch: float = 100_000.0       # a kernel more: a barrier, and cores that wait at its end
    tile: int = 32                  # columns of a matmul's tile: its prologue is computed once for each tile
    likely: float = 3.0             # a value with several readers, this much more work than writing it, will be stored
    expand: float = 1.5             # a value so much larger than all it is made from costs memory that it need not,
    expand_below: float = 220.0     # if an element of it is less work than this, times that ratio,
    expand_most: float = 600.0      # and than this, or twice as much where the ratio is larger than
    expand_far: float = 16.0        # this: what would not be worth its memory at any price
    growth: float = 5.0             # what its bytes count for then: this at least, and half the square of the ratio
    reduce_again: float = 3.0       # repeating a reduce inside of a kernel costs more than its operations
    own_kernel: float = 4.0         # a reduce that is this much more work than storing it gets loops of its own,
    long: float = 520.0             # if an element is more operations than this
    blocked: float = 2048.0         # a sum over rows that are longer than this is done in blocks: nothing follows it
    masked: float = 64.0            # a reduce that parts of its kernel do not need: loops around a mask have no tile
    nodes: int = 300                # caps of one kernel
    reduces: int = 8
    indexings: int = 4
    inputs: int = 24
    plain: float = 3.0              # operations of a value that is computed wherever it is read: never worth an array
    operand: float = 3.5            # an operand is stored if a reduce does this much more with each element
    split_from: float = 2_000_000.0  # work of a reduce from which it is worth a partial result for each core
    parts: int = 64                 # at most so many partial results

    @staticmethod
    def of(target: Target) -> Costs:
        """The costs on this target."""
        return Costs(cores=target.cores, l2=target.l2, l3=max(target.l2, target.l3))

    def load(self, nbytes: int, itemsize: int) -> float:
        """Reading one element of a buffer of so many bytes again."""
        return self.near(itemsize) if nbytes <= self.l2 else itemsize * self.byte

    def near(self, itemsize: int) -> float:
        """Reading one element from a cache: an operation at least."""
        return max(1.0, itemsize * self.cached_byte)


class Work:
    """Operations to compute one element of each value: `again` in another kernel, with what that reads from memory;
    `repeat` in a kernel that has just read it.

    An elementwise value is arithmetic (`operations`) on `leaves`: what lies in memory or will, reduces, views. A heavy
    value with several readers is taken to be stored: then it is a leaf that costs a load.
    `own` is the arithmetic if what has several readers, or is read for several elements, lay in memory.
    `inputs` is the size of the largest value below that is worth storing: what a value is an expansion of, in elements.
    """

    def __init__(self, graph: Graph, costs: Costs, indices: Indices) -> None:
        self.graph, self.costs, self.indices = graph, costs, indices
        self.again: dict[UOp, float] = {}
        self.repeat: dict[UOp, float] = {}
        self.leaf_again: dict[UOp, float] = {}      # what a leaf costs its readers
        self.leaf_repeat: dict[UOp, float] = {}
        self.operations: dict[UOp, float] = {}
        self.leaves: dict[UOp, frozenset[UOp]] = {}
        self.own: dict[UOp, float] = {}
        self.inputs: dict[UOp, int] = {}
        self.readers: dict[UOp, int] = {}
        self.likely_stored: set[UOp] = set()
        for node in graph.order:
            if node not in graph.alias and node.op is not Ops.VIEW:
                for source in graph.sources(node):
                    below = graph.without_views(source)[0]
                    self.readers[below] = self.readers.get(below, 0) + 1
        for node in graph.order:
            if node not in graph.alias:
                self.measure(node)

    def load(self, node: UOp) -> float:
        """Reading an element of this node in another kernel."""
        return self.costs.load(self.graph.sizes[node] * node.dtype.itemsize, node.dtype.itemsize)

    def near(self, node: UOp) -> float:
        """Reading an element of this node again."""
        return self.costs.near(node.dtype.itemsize)

    def far(self, node: UOp) -> float:
        """Reading an element of this node for the first time."""
        return node.dtype.itemsize * self.costs.byte

    def seen_own(self, node: UOp) -> float:
        """The own work of a node as its readers see it."""
        return 0.0 if self.readers.get(node, 0) > 1 else self.own[node]

    def measure(self, node: UOp) -> None:
        """Needs the sources measured."""
        op, sources = node.op, self.graph.sources(node)
        is_leaf, own = True, 0.0
        operations, leaves = 0.0, NOTHING
        if op in STORED:
            again, repeat = self.load(node), self.near(node)
        elif op in FREE:
            again = repeat = 0.0
            is_leaf = False
        elif op is Ops.VIEW:
            again, repeat, own = self.viewed(node, sources[0])
        elif op is Ops.REDUCE:
            terms = self.graph.sizes[sources[0]] / max(1, self.graph.sizes[node])
            again, repeat = terms * (1 + self.seen_again(sources[0])), terms * (1 + self.seen_repeat(sources[0]))
            own = terms * (1 + self.seen_own(sources[0]))
        else:
            operations = own = float(OPERATIONS.get(op, 1))
            for source in set(sources):
                own += self.seen_own(source)
                if source in self.leaf_again:
                    leaves |= {source}
                else:
                    operations += self.operations[source]
                    leaves |= self.leaves[source]
            again = operations + sum([self.leaf_again[leaf] for leaf in leaves])
            repeat = operations + sum([self.leaf_repeat[leaf] for leaf in leaves])
            is_leaf = op is Ops.GATHER or len(leaves) > MOST_LEAVES
        self.inputs[node] = self.basis(node, again if is_leaf else operations)
        self.again[node], self.repeat[node], self.own[node] = again, repeat, own
        self.operations[node], self.leaves[node] = operations, leaves
        if node in self.graph.forced or (self.readers.get(node, 0) > 1 and self.is_likely_stored(node)):
            self.likely_stored.add(node)
            is_leaf = True
            again, repeat = min(again, self.load(node)), min(repeat, self.near(node))
        if is_leaf:
            self.leaf_again[node], self.leaf_repeat[node] = again, repeat

    def seen_again(self, node: UOp) -> float:
        """`again` as a reader of the node sees it."""
        return self.leaf_again.get(node, self.again[node])

    def seen_repeat(self, node: UOp) -> float:
        """`repeat` as a reader of the node sees it."""
        return self.leaf_repeat.get(node, self.repeat[node])

    def viewed(self, node: UOp, source: UOp) -> tuple[float, float, float]:
        """(again, repeat, own) of a view: an element that is read for several counts for each of them in part."""
        share = min(1.0, self.graph.sizes[source] / max(1, self.graph.sizes[node]))
        again, repeat = self.seen_again(source) * share, self.seen_repeat(source) * share
        if share <= 1 / 8 and source.op not in FREE:  # read for many: whatever it is, it will be computed once
            again, repeat = min(again, self.load(source) * share), min(repeat, self.near(source) * share)
        return again, repeat, self.seen_own(source) if share == 1.0 else 0.0

    def is_likely_stored(self, node: UOp) -> bool:
        """Whether computing a value again is so much more work than storing it that its readers will find it in
        memory.
        """
        storing = self.costs.likely * self.far(node) * self.expansion(node)
        launch = self.costs.launch / max(1, self.graph.sizes[node])
        return node.op is not Ops.VIEW and self.again[node] > storing + launch

    def basis(self, node: UOp, work: float) -> int:
        """The size of what a value expands; its own, if it is no cheap expansion of anything.

        `work`: that of the value itself, without its leaves.
        """
        if node.op in FREE:
            return 0
        if node.op in STORED or node in self.graph.forced or node.op is Ops.GATHER:
            return self.graph.sizes[node]
        below = max([self.inputs[s] for s in self.graph.sources(node)])
        if node.op is Ops.VIEW:     # a part of what is put together stands for all of it, and a slice for itself
            read = min(prod(n for n, step in zip(v.shape, v.strides) if step) for v in self.indices.views(node.arg))
            return min(int(below / max(self.indices.share(node.arg), 1e-6)), read)
        ratio = self.graph.sizes[node] / max(1, below)
        costs = self.costs
        most = costs.expand_most * (2 if ratio > costs.expand_far else 1)
        cheap = ratio > costs.expand and work < min(costs.expand_below * ratio, most)
        return below if cheap else self.graph.sizes[node]

    def expansion(self, node: UOp) -> float:
        """What a buffer's bytes cost more than their traffic: memory that grows faster than what the user put in."""
        size, inputs = self.graph.sizes[node], self.inputs[node]
        if not inputs:
            return 8.0
        ratio, growth = size / inputs, self.costs.growth
        return max(growth, ratio * ratio / 2) if ratio > self.costs.expand else 1.0
