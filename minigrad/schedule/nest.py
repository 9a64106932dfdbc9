"""A kernel in the making, as placement sees it: its ranges, the levels of its loops, what it reads and stores.

A `Level` stands for a place in the loops: the kernel's own axes at the root, below it the loops of reduces and the
arrays that are filled. A value can be computed outside of a level if it depends on none of the level's own ranges.
"""
from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import pairwise

from ..helpers import prod
from ..uops import UOp
from .drafts import Draft, Layout
from .graph import VERSIONS
from .index import Form, Index


class Level:
    """own: ranges of this level; full: those of the levels outside as well. chain: ranges of the reduces that stand
    here.

    Loops nest one way: of two reduces at a level, one must depend on all that the other one depends on.
    """

    __slots__ = ("chain", "full", "own", "parent")

    def __init__(self, parent: Level | None, own: int, full: int) -> None:
        self.parent, self.own, self.full = parent, own, full
        self.chain: list[int] = []

    def nests(self, ranges: int) -> bool:
        """Whether a reduce that depends on these ranges fits between those that stand here."""
        return all(ranges & other in (ranges, other) for other in self.chain)

    def push(self, ranges: int) -> None:
        if ranges not in self.chain:
            self.chain.append(ranges)

    def contains(self, other: Level) -> bool:
        """Whether this is the other level or lies outside of it."""
        level: Level | None = other
        while level is not None:
            if level is self:
                return True
            level = level.parent
        return False


def hoisted(level: Level, ranges: int) -> Level:
    """The outermost level where something that depends on these ranges can be computed."""
    while level.parent is not None and not ranges & level.own:
        level = level.parent
    return level


class Nest:
    """One kernel: ranges by number, the root level, buffers that it reads and where, the kernels whose results it
    needs.
    """

    def __init__(self, number: int, draft: Draft, shape: tuple[int, ...]) -> None:
        self.number, self.draft, self.shape = number, draft, shape
        self.sizes: list[int] = []
        self.axes = [self.range(n) for n in shape]
        self.root = (1 << len(shape)) - 1
        self.level = Level(None, 0, self.root)
        self.volume_of_root = prod(shape)
        self.loads: dict[UOp, set[Index]] = {}
        self.stores: dict[UOp, tuple[Form, ...]] = {}   # what it stores, and where among its axes
        self.reduced: dict[UOp, Index] = {}             # reduces that it computes, and where
        self.nodes = self.reduces = 0
        self.needs: set[Nest] = set()
        self.joinable = True        # other values with these axes may be stored here too
        self._volumes: dict[int, int] = {}

    def range(self, size: int) -> int:
        """A fresh range."""
        self.sizes.append(size)
        return len(self.sizes) - 1

    def volume(self, ranges: int) -> int:
        """The product of the ranges' sizes."""
        found = self._volumes.get(ranges)
        if found is None:
            found, rest = 1, ranges
            while rest:
                lowest = rest & -rest
                found *= self.sizes[lowest.bit_length() - 1]
                rest ^= lowest
            self._volumes[ranges] = found
        return found

    def cuts(self, *values: Sequence[Form]) -> list[list[int]] | None:
        """Where the kernel's axes are cut, so that each axis of what it stores, and of `values`, is one of the parts or
        several: for each axis bounds from 1 to its size, each a multiple of the one below. None if that cannot be.
        """
        bounds = [{1, n} for n in self.shape]
        for forms in [*self.stores.values(), *values]:
            for offset, terms in forms:
                if offset or len(terms) > 1:
                    return None
                for coefficient, digit in terms:
                    is_axis = type(digit.source) is int and 0 <= digit.source < len(self.shape)
                    if coefficient != 1 or digit.reversed or not is_axis:
                        return None
                    bounds[digit.source] |= {digit.low, digit.low * digit.size}
        cuts = [sorted(b) for b in bounds]
        return cuts if all(high % low == 0 for cut in cuts for low, high in pairwise(cut)) else None

    def finer(self, cuts: list[list[int]]) -> list[list[int]]:
        """Cuts also where a reduce inside depends on a part of an axis only: heads that lie side by side are an axis of
        their own to it. As they are where what is stored has a symbolic shape, or is a version of other memory.
        """
        if any(node.op in VERSIONS or not all(type(n) is int for n in node.shape) for node in self.stores):
            return cuts
        for index in self.reduced.values():
            for _, terms in index.axes:
                for _, digit in terms:
                    if type(digit.source) is int and 0 <= digit.source < len(cuts):
                        cut = sorted({*cuts[digit.source], digit.low, digit.low * digit.size})
                        if all(high % low == 0 for low, high in pairwise(cut)) and cut[-1] == self.shape[digit.source]:
                            cuts[digit.source] = cut
        return cuts

    def arrange(self, free: Container[UOp]) -> dict[UOp, tuple[int, ...]]:
        """Sets the draft's layouts and order. Gives the orders of those of the `free` values whose axes the loops walk
        otherwise than they stand: they had better lie in memory as they are made.
        """
        cuts, order = self.finer(self.cuts() or []), self.order()
        parts = [(axis, low, high // low) for axis, cut in enumerate(cuts)
                 for low, high in reversed([*pairwise(cut)] or [(1, 1)])]
        number = {(axis, low): i for i, (axis, low, _) in enumerate(parts)}
        if order is not None:
            order = tuple(i for axis in order for i, part in enumerate(parts) if part[0] == axis)
            self.draft.order = order
        found: dict[UOp, tuple[int, ...]] = {}
        for node, forms in self.stores.items():
            own: list[int | None] = []                  # the kernel's part that each part of the value is
            cut: list[tuple[int, ...]] = []
            for _, terms in forms:
                mine = [number[d.source, low] for _, d in terms for low in reversed(cuts[d.source])
                        if d.low <= low < d.low * d.size]
                own += mine or [None]
                cut.append(tuple(parts[i][2] for i in mine) if len(mine) > 1 else ())
            position = {part: i for i, part in enumerate(own) if part is not None}
            axes = tuple(position.get(i) for i in range(len(parts)))
            rest = tuple(i for i, part in enumerate(own) if part is None)
            matched = tuple(i for i in axes if i is not None)
            if any(cut) or len(own) != len(axes) or any(
                    axis != i if axis is not None else own[i] is not None for i, axis in enumerate(axes)):
                self.draft.layouts[node] = Layout(tuple(cut), rest + matched, axes)
            walked = [axis for i in order or range(len(parts)) if (axis := axes[i]) is not None]
            if node in free and not any(cut) and walked != sorted(walked):
                found[node] = (*rest, *walked)
        return found

    def order(self) -> tuple[int, ...] | None:
        """The axes, those first on which all that is computed once for several elements depends; None: as they are.

        What is computed outside of some axes' loops then depends on the outermost ones only.
        """
        masks = sorted((mask & self.root for mask in self.level.chain), key=self.volume)
        last = len(masks)
        outermost = [next((i for i, mask in enumerate(masks) if mask >> axis & 1), last)
                     for axis in range(len(self.shape))]
        real = [axis for axis, n in enumerate(self.shape) if n != 1]
        if sorted(real, key=lambda axis: outermost[axis]) == real:
            return None
        return tuple(sorted(range(len(self.shape)), key=lambda axis: outermost[axis] if self.shape[axis] != 1 else -1))

    def load(self, node: UOp, index: Index) -> None:
        self.loads.setdefault(node, set()).add(index)

    def reaches(self, others: set[Nest], limit: int = 200) -> bool:
        """Whether this kernel needs results of one of the others, directly or not; True if that is not found out
        soon.
        """
        if not others:
            return False
        seen, stack = {self}, [self]
        while stack:
            for nest in stack.pop().needs:
                if nest in others or len(seen) > limit:
                    return True
                if nest not in seen:
                    seen.add(nest)
                    stack.append(nest)
        return False
