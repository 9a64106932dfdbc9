"""Kernels that repeat one another's reduces over the same axes become one.

In: all kernels of a placement, decided. Two of them are joined where a good part of what one computes the other one
computes too, at the same place among its own axes: the gradients of attention's keys and values both need the
probabilities of a block of keys. Neither may need a result of the other, directly or not.
"""
from __future__ import annotations

from itertools import combinations
from typing import Any

from ..uops import UOp
from ..uops.symbolic import eq
from .cost import Costs, Work
from .drafts import Placement, store_shape
from .graph import VERSIONS, Graph
from .index import Form
from .nest import Nest

SHARED = 1 / 4      # of the lesser kernel's operations


class Joiner:
    """One pass over the kernels of a graph."""

    def __init__(self, graph: Graph, costs: Costs, work: Work, placement: Placement, nests: list[Nest]) -> None:
        self.graph, self.costs, self.work, self.placement, self.nests = graph, costs, work, placement, nests
        self.readers: dict[Nest, set[Nest]] = {nest: set() for nest in nests}
        for nest in nests:
            for other in nest.needs:
                self.readers[other].add(nest)
        self.depth: dict[Nest, int] = dict.fromkeys(nests, 0)   # a kernel lies deeper than all whose results it needs
        waiting = {nest: len(nest.needs) for nest in nests}
        ready = [nest for nest in nests if not nest.needs]
        while ready:
            nest = ready.pop()
            for reader in self.readers[nest]:
                self.depth[reader] = max(self.depth[reader], self.depth[nest] + 1)
                waiting[reader] -= 1
                if not waiting[reader]:
                    ready.append(reader)

    def run(self) -> list[Nest]:
        """The kernels that remain."""
        computing: dict[UOp, list[Nest]] = {}
        for nest in self.nests:
            if nest.joinable and nest.volume_of_root and not any(store.op in VERSIONS for store in nest.stores):
                for node in nest.reduced:
                    if self.operations(node) > self.costs.launch / 4:
                        computing.setdefault(node, []).append(nest)
        gone: set[Nest] = set()
        for node, nests in computing.items():
            for a, b in combinations(nests, 2):
                if a.order() is not None and b.order() is None:
                    a, b = b, a
                axes = None if gone & {a, b} else self.axes(a, b, node)
                if axes is not None and self.is_worth(a, b) and not self.needs(a, b):
                    self.join(a, b, axes)
                    gone.add(b)
        return [nest for nest in self.nests if nest not in gone]

    def operations(self, node: UOp) -> float:
        return self.work.own[node] * self.graph.sizes[node]

    def is_worth(self, a: Nest, b: Nest) -> bool:
        """Whether they share enough, and one kernel may hold both."""
        shared = sum(self.operations(node) for node in a.reduced if node in b.reduced)
        least = min(sum(self.operations(node) for node in nest.reduced) for nest in (a, b))
        costs, inputs = self.costs, len(a.loads.keys() | b.loads.keys())
        return bool(shared >= SHARED * least and a.nodes + b.nodes <= costs.nodes and inputs <= costs.inputs and
                len(a.reduced.keys() | b.reduced.keys()) <= costs.reduces)

    def axes(self, a: Nest, b: Nest, node: UOp) -> dict[int, int] | None:
        """For each axis of b the axis of a that it becomes, so that both compute the node at the same place; None if
        there is no such way, or what b stores would not fit.
        """
        stores, others = a.draft.stores[0], b.draft.stores[0]
        if self.graph.device(stores) != self.graph.device(others):
            return None
        found: dict[Any, Any] = {}
        for (_, mine), (_, theirs) in zip(a.reduced[node].axes, b.reduced[node].axes):
            if len(mine) != len(theirs):
                return None
            for (n, to), (m, source) in zip(mine, theirs):
                same = n == m and to == source._replace(source=to.source, ranges=to.ranges)
                if not same or found.setdefault(source.source, to.source) != to.source:
                    return None
        axes: dict[int, Any] = {y: x for y, x in found.items() if y in b.axes or x in a.axes}
        rest = [x for x in a.axes if x not in axes.values() and a.shape[x] != 1]
        for y in b.axes:
            if y not in axes and b.shape[y] != 1:
                axes[y] = next((x for x in rest if x not in axes.values() and a.shape[x] == b.shape[y]), None)
        shape, other_shape = store_shape(stores), store_shape(others)
        fit = len(set(axes.values())) == len(axes) == sum(n != 1 for n in a.shape) and all(
            x in a.axes and y in b.axes and eq(shape[x], other_shape[y]) for y, x in axes.items())
        return axes if fit and a.cuts(*[moved(forms, axes) for forms in b.stores.values()]) is not None else None

    def needs(self, a: Nest, b: Nest) -> bool:
        """Whether one kernel needs a result of the other."""
        upper, lower = sorted((a, b), key=self.depth.__getitem__)
        seen, stack = {lower}, [lower]
        while stack:
            for nest in stack.pop().needs:
                if nest is upper:
                    return True
                if nest not in seen and self.depth[nest] > self.depth[upper]:
                    seen.add(nest)
                    stack.append(nest)
        return False

    def join(self, a: Nest, b: Nest, axes: dict[int, int]) -> None:
        """All that b stores is stored by a."""
        a.draft.stores += b.draft.stores
        a.draft.reasons += b.draft.reasons
        a.draft.weighed |= b.draft.weighed
        self.placement.drafts.remove(b.draft)
        for node, forms in b.stores.items():
            a.stores[node] = moved(forms, axes)
            self.placement.producer[node] = a.draft
        for mask in b.level.chain:
            a.level.push(sum(1 << x for y, x in axes.items() if mask >> y & 1))
        for node, where in b.loads.items():
            a.loads.setdefault(node, set()).update(where)
        a.nodes += b.nodes
        a.needs |= b.needs
        for nest in b.needs:
            self.readers[nest].add(a)
        for reader in self.readers[b]:
            reader.needs.add(a)
        self.readers[a] |= self.readers[b]
        stack = [a]
        while stack:
            nest = stack.pop()
            depth = max((self.depth[other] + 1 for other in nest.needs if other is not b), default=0)
            if nest is a or depth > self.depth[nest]:
                self.depth[nest] = depth
                stack += self.readers[nest]


def moved(forms: tuple[Form, ...], axes: dict[int, int]) -> tuple[Form, ...]:
    """Forms over the axes of one kernel as forms over those of another one."""
    return tuple((offset, tuple((c, digit._replace(source=axes[digit.source])) for c, digit in terms))
                 for offset, terms in forms)
