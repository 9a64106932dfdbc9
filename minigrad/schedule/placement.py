"""Which values lie in memory: the policy that fuses.

In: a graph. Out: drafts of kernels. Nodes are visited from the sinks back to the leaves. When a node's turn comes,
all of its uses are known, as *sites*: in which kernel, at which index, at which level of the loops. It then either
stays inside the kernels that use it (each computes it in place, or keeps it in scratch at some level: which, is
codegen's choice; here it is only priced), which hands its sites on to its sources; or it becomes a buffer, made by a
kernel of its own or by one that computes it anyway.

A producer is always decided after its consumers, so kernels cannot wait for each other; storing a value in a kernel
that computes it anyway is refused where that would make a cycle.
"""
from __future__ import annotations

from ..uops import Ops, UOp
from ..uops.symbolic import eq
from .cost import Costs
from .drafts import Placement, Weighed, store_shape, stored_values
from .graph import FREE, STORED, VERSIONS, Graph
from .index import ZERO, Digit, Index, Indices, whole
from .join import Joiner
from .nest import Level, Nest, hoisted
from .pricing import Pricer, Scratch, Site, Sites
from .reasons import Reason


class Placer:
    """One pass over a graph, consumers first."""

    def __init__(self, graph: Graph, costs: Costs) -> None:
        self.graph, self.costs = graph, costs
        self.indices = Indices()
        self.sites: Sites = {}
        self.pricer = Pricer(graph, costs, self.indices, self.sites)
        self.placement = Placement()
        self.nests: list[Nest] = []
        self.bases_of: dict[UOp, list[Nest]] = {}   # base -> kernels that write a new version of it

    def run(self) -> Placement:
        graph = self.graph
        for node in reversed(graph.order):
            if node in graph.alias or node.op is Ops.BUFFER:
                continue
            forced = graph.forced.get(node)
            if forced is not None:
                self.store(node, self.sites_of(node), forced)
            elif node.op not in FREE and node.op is not Ops.VIEW:
                by_nest = self.sites_of(node)
                if by_nest:
                    self.decide(node, by_nest)
        fixed = graph.bases.union(graph.sinks)
        for nest in Joiner(graph, self.costs, self.pricer.work, self.placement, self.nests).run():
            if nest.joinable and nest.volume_of_root:
                # one store that cannot lie otherwise holds the others: stores that go different ways have no vectors
                bound = any(node in fixed or node.op in STORED for node in nest.stores)
                self.placement.orders |= nest.arrange(() if bound else nest.stores)
        return self.placement

    def sites_of(self, node: UOp) -> dict[Nest, list[Site]]:
        found: dict[Nest, list[Site]] = {}
        for (nest, _), site in self.sites.pop(node, {}).items():
            found.setdefault(nest, []).append(site)
        return found

    # ---- uses

    def use(self, node: UOp, nest: Nest, index: Index, level: Level, share: float = 1.0) -> None:
        """A kernel needs this value at this index."""
        graph, forced = self.graph, self.graph.forced
        node = graph.source(node)
        while node.op is Ops.VIEW and node not in forced:
            source = graph.source(node.src[0])
            index = self.indices.through(index, node.arg, graph.shapes[source])
            share *= self.indices.share(node.arg)
            node = source
        if node.op is Ops.BUFFER:
            nest.load(node, index)
        elif node.op not in FREE or node in forced:
            sites = self.sites.setdefault(node, {})
            known = sites.get((nest, index))
            if known is None or known.share < share:
                sites[nest, index] = Site(index, hoisted(level, index.ranges), share)

    def compute(self, node: UOp, nest: Nest, index: Index, level: Level, share: float = 1.0) -> None:
        """The value is computed in the kernel at this index: so its sources are needed there."""
        op = node.op
        nest.nodes += 1
        if op is Ops.REDUCE:
            nest.reduces += 1
            nest.reduced.setdefault(node, index)
            source = self.graph.source(node.src[0])
            shape = self.graph.shapes[source]
            axes, own = list(index.axes), 0
            for axis in node.arg.axes:
                if shape[axis] != 1:
                    number = nest.range(shape[axis])
                    own |= 1 << number
                    axes[axis] = whole(number, shape[axis])
            level.push(index.ranges)
            below = Level(level, own, index.ranges | own) if own else level
            self.use(source, nest, self.indices.index(tuple(axes)), below, share)
        elif op is Ops.GATHER:
            table, positions = self.graph.sources(node)
            rank = len(positions.shape)
            where = self.indices.index(index.axes[:rank])
            self.use(positions, nest, where, level, share)
            row = self.indices.data((positions, where), self.graph.shapes[table][0], where.ranges)
            self.use(table, nest, self.indices.index((row, *index.axes[rank:])), level, share)
        elif op is Ops.SCATTER:
            positions, value = self.graph.sources(node)[1:]
            self.use(positions, nest, self.indices.index(index.axes[:len(positions.shape)]), level, share)
            self.use(value, nest, index, level, share)
        else:
            for source in stored_values(self.graph, node) if op in STORED else self.graph.sources(node):
                self.use(source, nest, index, level, share)

    # ---- memory

    def store(self, node: UOp, sites: dict[Nest, list[Site]], reason: Reason) -> None:
        """The node becomes a buffer: made by a kernel that computes it anyway, or by one of its own."""
        nest = self.host(node, sites, reason)
        if nest is not None:
            site = sites[nest][0]
            nest.draft.stores.append(node)
            nest.draft.reasons.append(reason)
            self.placement.producer[node] = nest.draft
            index, level = site.where, site.level
        else:
            shape = self.graph.shapes[node]
            if node.op in VERSIONS:
                shape = self.graph.shapes[self.graph.source(node.src[1 if node.op is Ops.ASSIGN else 2])]
                if node.op is Ops.ASSIGN:
                    shape = self.indices.views(node.arg)[-1].shape
            nest = Nest(len(self.nests), self.placement.add(node, reason), shape)
            nest.joinable = node.op not in (Ops.SCATTER, Ops.COPY)
            self.nests.append(nest)
            index, level = self.indices.of_ranges(nest.axes, shape), nest.level
            nest.joinable = nest.joinable and not self.pricer.is_blocked(node, index, nest)
        nest.stores[node] = index.axes
        for reader, its in sites.items():
            if reader is not nest:
                reader.needs.add(nest)
                for site in its:
                    reader.load(node, site.where)
        for writer in self.bases_of.pop(node, ()):
            writer.needs.add(nest)
        if node.op in VERSIONS:
            self.bases_of.setdefault(self.graph.source(node.src[0]), []).append(nest)
        if node.op is Ops.VIEW:
            source = self.graph.source(node.src[0])
            nest.nodes += 1
            self.use(source, nest, self.indices.through(index, node.arg, self.graph.shapes[source]), level,
                     self.indices.share(node.arg))
        elif node.op not in FREE:
            self.compute(node, nest, index, level)

    def host(self, node: UOp, sites: dict[Nest, list[Site]], reason: Reason) -> Nest | None:
        """The youngest kernel that computes exactly this value once, along its own axes, and may store it too."""
        if node.op in (Ops.SCATTER, Ops.COPY, Ops.VIEW) or node in self.graph.bases:
            return None
        if not self.graph.sizes[node]:
            return None
        if node.op is Ops.ASSIGN and not node.arg.is_identity(node.src[0].shape):
            return None
        for nest in sorted(sites, key=lambda n: -n.number):
            site = sites[nest][0]
            if len(sites[nest]) > 1 or site.level.parent is not None or site.share < 1.0:
                continue
            if not nest.joinable or not nest.volume_of_root:
                continue
            if nest.nodes >= self.costs.nodes or len(nest.loads) >= self.costs.inputs:
                continue
            if len(sites) > 1 and any(store.op is Ops.ASSIGN for store in nest.draft.stores):
                continue  # another reader may read what this kernel overwrites too, and would have to run before it
            if not self.along_axes(node, site.where, nest) or self.pricer.is_blocked(node, site.where, nest):
                continue
            if nest.volume(site.where.ranges) < min(self.costs.cores, nest.volume_of_root):
                continue
            if node.op is Ops.REDUCE and not nest.level.nests(site.where.ranges):
                continue
            if reason is Reason.HEAVY and (nest.volume(site.where.ranges) > site.where.count or
                                           self.pricer.is_part(site.where, nest)):
                continue  # loops cut to its axes would have no tile
            if not nest.reaches({other for other in sites if other is not nest}):
                return nest
        return None

    def along_axes(self, node: UOp, index: Index, nest: Nest) -> bool:
        """Whether each axis of the value is one of the kernel's, or a part of one, if its axes may be cut."""
        cuts, root_shape = nest.cuts(index.axes), store_shape(nest.draft.stores[0])
        if cuts is None:
            return False
        if any(len(cut) > 2 for cut in cuts) and (any(type(n) is not int for n in root_shape) or
                                                  any(store.op in VERSIONS for store in [node, *nest.stores])):
            return False
        seen: list[Digit] = []
        for (_, terms), n, largest in zip(index.axes, node.shape, self.graph.shapes[node]):
            if not terms:
                if largest != 1 or type(n) is not int:
                    return False
                continue
            digit = terms[0][1]
            whole_axis = digit.size == nest.shape[digit.source]
            if (whole_axis and not eq(root_shape[digit.source], n)) or any(
                    digit.source == other.source and digit.low < other.low * other.size and
                    other.low < digit.low * digit.size for other in seen):
                return False
            seen.append(digit)
        return True

    # ---- the decision

    def decide(self, node: UOp, sites: dict[Nest, list[Site]]) -> None:
        """Inside of each kernel that uses it, or a buffer for all: whatever costs less in sum."""
        if node.op is Ops.CAST and node.src[0].dtype.itemsize < node.dtype.itemsize:
            for nest, its in sites.items():     # what it is made from is smaller, if anything is to be stored
                for site in its:
                    self.compute(node, nest, site.where, site.level, site.share)
            return
        pricer = self.pricer
        buffer = pricer.stored(node, sites)
        options = {nest: pricer.inside(node, nest, its, buffer) for nest, its in sites.items()}
        inside = sum(option.cost for option in options.values()) - self.graph.sizes[node] * pricer.work.again[node]
        if inside > buffer:
            worst = max(options.values(), key=lambda option: option.cost)
            shared = len(sites) > 1 and worst.reason is Reason.RECOMPUTE
            self.store(node, sites, Reason.SHARED if shared else worst.reason)
            self.placement.producer[node].weighed[node] = Weighed(inside, buffer, len(sites))
            return
        for nest, its in sites.items():
            scratch = options[nest].scratch
            if scratch is None:
                for site in its:
                    self.compute(node, nest, site.where, site.level, site.share)
            else:
                self.fill(node, nest, scratch)

    def fill(self, node: UOp, nest: Nest, scratch: Scratch) -> None:
        """Computes the value at a level, over fresh ranges for the axes that are not kept."""
        axes, own = [], 0
        for form, kept, n in zip(scratch.where.axes, scratch.kept, self.graph.shapes[node]):
            if kept or n == 1:
                axes.append(form if kept else ZERO)
            else:
                number = nest.range(n)
                own |= 1 << number
                axes.append(whole(number, n))
        scratch.level.push(scratch.ranges)
        level = Level(scratch.level, own, scratch.ranges | own) if own else scratch.level
        self.compute(node, nest, self.indices.index(tuple(axes)), level)


def fused(graph: Graph, costs: Costs) -> Placement:
    """Values lie in memory only for a reason."""
    return Placer(graph, costs).run()
