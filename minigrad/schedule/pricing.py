"""What it costs to keep a value inside of a kernel, and what it costs to store it.

In: a value and its uses (`Site`s). Inside, it is computed at each use or once into scratch at a level that all uses
share; the price counts evaluations, lost parallelism, and what the loops of a level stream from memory again. Which
of the two a kernel really does is codegen's choice; here it is only priced. A price may also be infinite: caps, and
reduces that are better off alone.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ..uops import Ops, UOp
from .cost import OPERATIONS, Costs, Work
from .graph import FREE, STORED, Graph
from .index import ZERO, Index, Indices, whole
from .nest import Level, Nest, hoisted
from .reasons import Reason


class Site(NamedTuple):
    """A use of a value: its index there, the level where it can be computed, the share of the index inside masks."""

    where: Index
    level: Level
    share: float


class Scratch(NamedTuple):
    """A value kept at a level: `kept` axes have one index there, the others are filled (`rest` elements)."""

    level: Level
    kept: tuple[bool, ...]
    ranges: int
    where: Index


class Inside(NamedTuple):
    """What it costs a kernel to compute a value itself, and how (scratch: None, at each site); the reason against it.
    """

    cost: float
    scratch: Scratch | None
    reason: Reason


Sites = dict[UOp, dict[tuple[Nest, Index], Site]]


class Pricer:
    """Prices for one graph. `sites` is the placer's table of uses that are not decided yet."""

    def __init__(self, graph: Graph, costs: Costs, indices: Indices, sites: Sites) -> None:
        self.graph, self.costs, self.indices, self.sites = graph, costs, indices, sites
        self.work = Work(graph, costs, indices)

    def stored(self, node: UOp, sites: dict[Nest, list[Site]]) -> float:
        """What a buffer costs beside computing the value once: writing, reading in each kernel, repeated reads, a
        kernel more.
        """
        costs, size, nbytes = self.costs, self.graph.sizes[node], node.dtype.itemsize
        expansion = self.work.expansion(node)
        far = costs.load(size * nbytes, nbytes) if expansion == 1.0 else self.work.far(node)
        traffic, repeated = float(size), 0.0
        for nest, its in sites.items():
            reads = self.reads(nest, its)
            traffic += min(size, reads)
            repeated += reads
        return far * traffic * expansion + costs.near(nbytes) * repeated + costs.launch

    def reads(self, nest: Nest, sites: list[Site]) -> float:
        """How many elements a kernel would read of a value that is stored; a tile reads each once for all of its
        columns.
        """
        total = 0.0
        for index, level, share in sites:
            missing = level.full & ~index.ranges if level.parent is not None else 0
            repeated = nest.volume(missing) / self.costs.tile if missing & ~level.own else 1.0
            total += index.count * share * max(1.0, repeated)
        return total

    def inside(self, node: UOp, nest: Nest, sites: list[Site], buffer: float) -> Inside:
        """The cheaper of computing the value at each site and keeping it in scratch."""
        costs, work = self.costs, self.work
        if nest.nodes >= costs.nodes or (node.op is Ops.REDUCE and nest.reduces >= costs.reduces):
            return Inside(math.inf, None, Reason.NODES)
        if len(sites) > costs.indexings:
            return Inside(math.inf, None, Reason.INDEXINGS)
        if len(nest.loads) >= costs.inputs:
            return Inside(math.inf, None, Reason.INPUTS)
        size, is_reduce = self.graph.sizes[node], node.op is Ops.REDUCE
        evaluations, reason = [], Reason.RECOMPUTE
        for site in sites:
            count, why = self.evaluations(node, nest, site)
            evaluations.append(count)
            reason = why or reason
        total = sum(evaluations)
        cost = self.computing(node, nest, sites, total)
        if is_reduce:
            if total > size * 1.01:
                cost += (total - size) * work.repeat[node] * (costs.reduce_again - 1)
                reason = Reason.REDUCE_AGAIN if reason is Reason.RECOMPUTE else reason
        elif len(sites) > 1 and node.op is not Ops.GATHER:  # sites that ask the same of the sources cost only the op
            first = self.computing(node, nest, sites, evaluations[0])
            distinct = self.demand(node, sites, evaluations) - self.demand(node, sites[:1], evaluations)
            cost = min(cost, first + (total - evaluations[0]) * OPERATIONS.get(node.op, 1) + max(0.0, distinct))
        if is_reduce and work.own[node] > costs.masked and any(site.share < 1.0 for site in sites):
            return Inside(math.inf, None, Reason.HEAVY)
        if self.is_heavy(node, buffer) and any(site.level.parent is not None and site.where.ranges for site in sites):
            return Inside(math.inf, None, Reason.HEAVY)
        if is_reduce and self.is_heavy(node, buffer) and any(self.is_part(site.where, nest) for site in sites):
            return Inside(math.inf, None, Reason.HEAVY)
        if self.is_heavy(node, buffer) and self.is_blocked(node, sites[0].where, nest):
            return Inside(math.inf, None, Reason.BLOCKED)
        if (len(sites) == 1 and total <= size * 1.05) or work.repeat[node] <= costs.plain:
            return Inside(cost, None, reason)
        if self.is_operand(node, nest, sites, buffer):
            return Inside(math.inf, None, Reason.OPERAND)
        kept = self.in_scratch(node, nest, sites, buffer)
        if isinstance(kept, Reason):
            return Inside(cost, None, kept)
        if kept.cost < cost:
            return kept
        return Inside(cost, None, reason if kept.reason is Reason.RECOMPUTE else kept.reason)

    def computing(self, node: UOp, nest: Nest, sites: list[Site], evaluations: float) -> float:
        """Computing so many elements in a kernel: each once from memory, then again; what it reads anyway is free."""
        again, repeat = self.work.again[node], self.work.repeat[node]
        first = min(evaluations, self.graph.sizes[node])
        for leaf in self.work.leaves[node]:
            if self.reads_anyway(nest, leaf, sites[0].where):
                again -= self.work.leaf_again[leaf]
                repeat -= self.work.leaf_repeat[leaf]
        return first * again + (evaluations - first) * repeat

    def reads_anyway(self, nest: Nest, node: UOp, where: Index) -> bool:
        """Whether other values in the kernel, decided before, read this one at the same index."""
        while node.op is Ops.VIEW and node not in self.graph.forced:
            source = self.graph.source(node.src[0])
            where = self.indices.through(where, node.arg, self.graph.shapes[source])
            node = source
        return where in nest.loads.get(node, ()) or (nest, where) in self.sites.get(node, ())

    def is_heavy(self, node: UOp, buffer: float) -> bool:
        """Whether it is a long reduce, or what follows from one, and so much more work than storing it."""
        own = self.work.own[node]
        return own > self.costs.long and own * self.graph.sizes[node] > self.costs.own_kernel * buffer

    def is_part(self, index: Index, nest: Nest) -> bool:
        """Whether it goes by parts of an axis of the kernel: heads that lie side by side. What is computed for one of
        them would seem to depend on all.
        """
        axes = range(len(nest.shape))
        return any(type(digit.source) is int and digit.source in axes and digit.size != nest.shape[digit.source]
                   for _, terms in index.axes for _, digit in terms)

    def is_blocked(self, node: UOp, index: Index, nest: Nest) -> bool:
        """Whether a long reduce reads several arrays, and none of them along the axis of which elements are neighbours.
        """
        if node.op is not Ops.REDUCE or self.work.own[node] <= self.costs.blocked:
            return False
        first, count = len(nest.sizes), len(node.arg.axes)      # the numbers that `leaves` makes up for its own ranges
        own = ((1 << count) - 1) << first
        leaves = [where for _, where in self.leaves(node, index, nest, own)]
        if any(where.ranges >> first + count for where in leaves):
            return False    # there are reduces inside of it, for each of its outputs
        summed = [where for where in leaves if where.ranges & own]
        return len(summed) > 1 and not any(where.axis_ranges[-1] & own for where in summed)

    def is_operand(self, node: UOp, nest: Nest, sites: list[Site], buffer: float) -> bool:
        """Whether a reduce reads the value over and over, for each of many outputs, and is much more work than
        storing it.
        """
        far = self.work.far(node)
        if far * self.graph.sizes[node] < 4 * self.costs.launch:
            return False
        work = self.costs.operand * 2 * far * self.work.expansion(node)
        for index, level, _ in sites:
            missing = level.full & ~index.ranges
            if level.parent is not None and missing & ~level.own and index.ranges & nest.root:
                if nest.volume(missing) > work and nest.volume(level.full) > buffer:
                    return True
        return False

    def evaluations(self, node: UOp, nest: Nest, site: Site) -> tuple[float, Reason | None]:
        """How often a site evaluates the value, in elements, lost parallelism included."""
        index, level, share = site
        count, is_reduce = index.count * share, node.op is Ops.REDUCE
        again = nest.volume(index.ranges) / max(1, index.count)     # it may depend on a part of a loop's counter alone
        missing = level.full & ~index.ranges
        if level.parent is None:
            if not is_reduce:
                return count, None
            if not level.nests(index.ranges):
                return count * nest.volume(missing), Reason.ORDER
            parallel = nest.volume(index.ranges)
            idle = min(self.costs.cores, nest.volume_of_root) / max(1, parallel)
            if again > 1:
                return count * again, Reason.REDUCE_AGAIN
            return (count * idle, Reason.PARALLEL) if idle > 1 else (count, None)
        if missing & ~level.own:    # an outer loop that it does not depend on stands outside of its own
            repeated = nest.volume(missing)
            if is_reduce:
                return count * repeated, Reason.REDUCE_AGAIN
            return count * max(1.0, repeated / self.costs.tile), None
        if is_reduce and not level.nests(index.ranges):
            return count * nest.volume(missing), Reason.ORDER
        return count, None

    def demand(self, node: UOp, sites: Sequence[Site], evaluations: Sequence[float]) -> float:
        """What sites ask of the node's sources, each (source, index) once."""
        asked: dict[tuple[UOp, Index], float] = {}
        for site, count in zip(sites, evaluations):
            for source in self.graph.sources(node):
                index = site.where
                while source.op is Ops.VIEW and source not in self.graph.forced:
                    below = self.graph.source(source.src[0])
                    index = self.indices.through(index, source.arg, self.graph.shapes[below])
                    source = below
                if source.op not in FREE:
                    number = count if index.count >= site.where.count else min(count, index.count)
                    asked[source, index] = max(number, asked.get((source, index), 0.0))
        return sum(self.work.seen_repeat(source) * number for (source, _), number in asked.items())

    # ---- scratch

    def in_scratch(self, node: UOp, nest: Nest, sites: list[Site], buffer: float) -> Inside | Reason:
        """Keeping the value at the innermost level that all sites share; the reason if that cannot be."""
        costs = self.costs
        chosen = self.scratch_level(node, nest, sites)
        if chosen is None:
            return Reason.RECOMPUTE
        level, kept, ranges = chosen
        if ranges and not level.nests(ranges):
            return Reason.ORDER
        index = sites[0].where
        shape = self.graph.shapes[node]
        rest = math.prod(n for n, k in zip(shape, kept) if not k)
        nbytes = node.dtype.itemsize
        most = costs.scratch
        if self.work.expansion(node) != 1.0:    # long rows of a table of pairs: some, in the shared cache or by blocks
            most = max(most, costs.l3 // costs.cores // 4)
        elif rest * nbytes > most:
            return Reason.SCRATCH
        if self.is_heavy(node, buffer):
            return Reason.HEAVY
        kept_index = self.indices.index(tuple([f if k else ZERO for f, k in zip(index.axes, kept)]))
        filled = kept_index.count * rest
        parallel = nest.volume(ranges)
        idle = 1.0
        if level.parent is None:
            idle = max(1.0, min(costs.cores, nest.volume_of_root) / max(1, parallel))
        streams = self.streams(node, nest, index, ranges, max(1, most // max(1, rest * nbytes)))
        traffic = costs.near(nbytes) * (filled + self.reads(nest, sites)) + streams
        cost = self.computing(node, nest, sites, filled * idle) + traffic
        reason = Reason.STREAM if streams > cost / 2 else Reason.PARALLEL if idle > 1 else Reason.RECOMPUTE
        return Inside(cost, Scratch(level, kept, ranges, index), reason)

    def scratch_level(self, node: UOp, nest: Nest, sites: list[Site]) -> tuple[Level, tuple[bool, ...], int] | None:
        """(level, kept axes, the ranges they depend on): axes are kept where all sites have the same index."""
        first = sites[0].where
        common = -1
        for site in sites:
            common &= site.level.full
        kept = [form != ZERO and not first.axis_ranges[axis] & ~common and
                all(s.where.axes[axis] == form for s in sites) for axis, form in enumerate(first.axes)]

        def ranges_kept() -> int:
            mask = 0
            for k, ranges in zip(kept, first.axis_ranges):
                mask |= ranges if k else 0
            return mask
        ranges = ranges_kept()
        level = hoisted(sites[0].level, ranges)
        if len(sites) == 1 and ranges == first.ranges and level.parent is not None:
            # a lone site that stands deeper than it need: keep only what lies outside of its level
            kept = [k and not first.axis_ranges[axis] & level.own for axis, k in enumerate(kept)]
            ranges = ranges_kept()
            level = hoisted(sites[0].level, ranges)
        if not all(level.contains(site.level) for site in sites):
            return None
        if level.parent is not None and level.full & ~ranges & ~level.own:
            return None
        return level, tuple(kept), ranges

    def streams(self, node: UOp, nest: Nest, index: Index, ranges: int, rows: int) -> float:
        """What is read again because the loops of a level come back to it: once for each block of rows that scratch
        holds.
        """
        total = 0.0
        if nest.volume(ranges) <= rows:
            return total
        for leaf, where in [*self.leaves(node, index, nest),
                            *((leaf, where) for leaf, its in nest.loads.items() for where in its)]:
            missing = nest.volume(ranges & ~where.ranges)
            times = math.ceil(missing / rows) - 1
            if times > 0:
                nbytes = min(where.count, self.graph.sizes[leaf]) * leaf.dtype.itemsize
                at_once = nbytes / max(1, nest.volume(ranges & where.ranges))
                costs = self.costs
                total += times * nbytes * (costs.byte if at_once > costs.l3 else
                                           costs.shared_byte if at_once > costs.l2 else costs.cached_byte / 8)
        return total

    def leaves(self, node: UOp, index: Index, nest: Nest, own: int = 0) -> list[tuple[UOp, Index]]:
        """What computing the value at an index reads from memory: a bounded walk, with made-up ranges for reduces. Not
        what reduces read that depend on ranges of `own` alone: they are done once, whatever reads them.
        """
        found: list[tuple[UOp, Index]] = []
        stack, seen = [(node, index)], set[tuple[UOp, Index]]()
        number = len(nest.sizes)
        while stack and len(seen) < 32:
            at, where = stack.pop()
            at = self.graph.source(at)
            if at.op in FREE or (at, where) in seen:
                continue
            seen.add((at, where))
            if at.op in STORED or at is not node and (at in self.graph.forced or at in self.work.likely_stored):
                found.append((at, where))
            elif at.op is Ops.VIEW:
                below = self.graph.source(at.src[0])
                stack.append((below, self.indices.through(where, at.arg, self.graph.shapes[below])))
            elif at.op is Ops.REDUCE:
                if at is not node and where.ranges & own and not where.ranges & ~own:
                    continue
                axes = list(where.axes)
                for axis in at.arg.axes:
                    axes[axis] = whole(number, self.graph.shapes[self.graph.source(at.src[0])][axis])
                    number += 1
                stack.append((at.src[0], self.indices.index(tuple(axes))))
            elif at.op is not Ops.GATHER:
                stack += [(source, where) for source in at.src]
        return found
