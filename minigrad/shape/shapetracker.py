"""A stack of views: which element of a buffer is a given index of the logical tensor, and is there one?

In: a shape, then movement ops (reshape, permute, expand, shrink, pad, flip), each giving a new `ShapeTracker` at once,
for nothing is moved. Out: `index`, the answer as expressions.

A reshape of a permuted tensor is no affine map of its base any more; then a second view is stacked on the first,
indexing the first one's elements in row-major order. Views are merged whenever their composition is again one view.

Shapes, strides and masks may hold symbolic integers: a ShapeTracker is then a map for every value of its variables.

    >>> ShapeTracker.contiguous((2, 3)).permute((1, 0)).reshape((6,)).views
    (View(shape=(3, 2), strides=(1, 3), offset=0, mask=None), View(shape=(6,), strides=(1,), offset=0, mask=None))
"""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce, wraps
from operator import and_
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from ..printer import integer
from ..uops import Ops, UOp, sint, toposort
from ..uops.symbolic import lt, sprod, substitute
from ..uops.uop import index_const
from .infer import show_shape
from .view import MEMO_SIZE, Interval, View, decompose, entry, merge, suffix_products

T = TypeVar("T")


def remembered(movement: Callable[[ShapeTracker, tuple[T, ...]], ShapeTracker]
               ) -> Callable[[ShapeTracker, Iterable[T]], ShapeTracker]:
    """A movement whose results are kept; its argument may be any iterable."""
    kept = lru_cache(MEMO_SIZE)(movement)

    @wraps(movement)
    def method(self: ShapeTracker, argument: Iterable[T]) -> ShapeTracker:
        return kept(self, tuple(argument))
    return method


@dataclass(frozen=True, eq=False, init=False, slots=True, weakref_slot=True)
class ShapeTracker:
    """Views from the buffer outwards: views[0] reads it, views[-1] has the logical shape. Interned: equal is same."""
    views: tuple[View, ...]

    def __new__(cls, views: Iterable[View]) -> ShapeTracker:
        views = simplify(tuple(views))
        if not views:
            raise ValueError("ShapeTracker: needs at least one view")
        if (known := _trackers.get(views)) is not None:
            return known
        with _lock:
            if (known := _trackers.get(views)) is not None:
                return known
            tracker = object.__new__(cls)
            object.__setattr__(tracker, "views", views)
            _trackers[views] = tracker
            return tracker

    def __reduce__(self) -> tuple[Any, ...]:
        return ShapeTracker, (self.views,)

    @staticmethod
    def contiguous(shape: Iterable[sint]) -> ShapeTracker:
        """The identity over a base of this shape. ValueError for a negative size, TypeError for a non-integer."""
        return _contiguous(tuple(shape))

    # ---- what it is ----

    @property
    def shape(self) -> tuple[sint, ...]:
        return self.views[-1].shape

    @property
    def size(self) -> sint:
        return sprod(self.views[-1].shape)

    @property
    def is_contiguous(self) -> bool:
        """True if the elements are those of the base in row-major order, under whatever shape."""
        return len(self.views) == 1 and self.views[0].is_contiguous

    def is_identity(self, base_shape: tuple[sint, ...]) -> bool:
        """True if this reads exactly a base of this shape, index by index."""
        return self.is_contiguous and self.shape == base_shape

    def variables(self) -> tuple[UOp, ...]:
        """The variables and bound variables (VARIABLE and BIND nodes) that entries depend on, ordered by name."""
        return _variables(self)

    def substitute(self, mapping: Mapping[UOp, UOp]) -> ShapeTracker:
        """The same with nodes of its entries replaced, such as BIND by VARIABLE."""
        if not self.variables():
            return self
        replace: Callable[[sint], sint] = lambda value: substitute(value, mapping)
        return ShapeTracker(
            View(map(replace, view.shape), map(replace, view.strides), replace(view.offset),
                 None if view.mask is None else [(replace(low), replace(high)) for low, high in view.mask])
            for view in self.views)

    # ---- movement: each raises ValueError naming its argument where that is provably wrong ----

    @remembered
    def permute(self, order: tuple[int, ...]) -> ShapeTracker:
        """Logical axis a is the old axis order[a]."""
        if sorted(order) != list(range(len(self.shape))):
            raise ValueError(f"permute: order {order} is no permutation of the axes of shape {show_shape(self.shape)}")
        return self._on_top(self.views[-1].permute(tuple(map(int, order))))

    @remembered
    def expand(self, shape: tuple[sint, ...]) -> ShapeTracker:
        """Repeat axes of size 1 to the sizes of `shape`, which has as many axes."""
        old, shape = self.shape, check_sizes("expand", shape)
        if len(shape) != len(old):
            raise ValueError(f"expand: {show_shape(shape)} has {len(shape)} axes, "
                             f"shape {show_shape(old)} has {len(old)}")
        for axis, (before, after) in enumerate(zip(old, shape)):
            if before != after and before != 1:
                raise ValueError(f"expand: axis {axis} of shape {show_shape(old)} cannot become {integer(after)}")
        return self._on_top(self.views[-1].expand(shape))

    @remembered
    def reshape(self, shape: tuple[sint, ...]) -> ShapeTracker:
        """The same elements in row-major order, under a shape of provably equal size."""
        shape = check_sizes("reshape", shape)
        if self.shape == shape:
            return self
        if (size := sprod(shape)) != self.size:
            raise ValueError(f"reshape: shape {show_shape(self.shape)} has {integer(self.size)} elements, "
                             f"{show_shape(shape)} has {integer(size)}")
        return ShapeTracker((*self.views, View.contiguous(shape)))

    @remembered
    def shrink(self, bounds: tuple[Interval, ...]) -> ShapeTracker:
        """Keep low <= i < high of each axis: one (low, high) an axis."""
        bounds = self._check_pairs("shrink", bounds)
        for axis, ((low, high), size) in enumerate(zip(bounds, self.shape)):
            if lt(low, 0) or lt(high, low) or lt(size, high):
                raise ValueError(f"shrink: axis {axis} of shape {show_shape(self.shape)} cannot be cut to "
                                 f"[{integer(low)}, {integer(high)})")
        return self._on_top(self.views[-1].shrink(bounds))

    @remembered
    def pad(self, amounts: tuple[Interval, ...]) -> ShapeTracker:
        """Add elements that read 0: one (before, after) an axis."""
        amounts = self._check_pairs("pad", amounts)
        for axis, (before, after) in enumerate(amounts):
            if lt(before, 0) or lt(after, 0):
                raise ValueError(f"pad: axis {axis} of shape {show_shape(self.shape)} cannot grow by "
                                 f"({integer(before)}, {integer(after)})")
        return self._on_top(self.views[-1].pad(amounts))

    @remembered
    def flip(self, axes: tuple[int, ...]) -> ShapeTracker:
        """Reverse these axes."""
        if len(set(axes)) != len(axes) or any(not 0 <= axis < len(self.shape) for axis in axes):
            raise ValueError(f"flip: axes {axes} are not distinct axes of shape {show_shape(self.shape)}")
        return self._on_top(self.views[-1].flip(axes))

    def _on_top(self, view: View) -> ShapeTracker:
        """This with its last view replaced."""
        return ShapeTracker((*self.views[:-1], view))

    def _check_pairs(self, what: str, pairs: tuple[tuple[Any, ...], ...]) -> tuple[Interval, ...]:
        if len(pairs) != len(self.shape) or any(len(pair) != 2 for pair in pairs):
            raise ValueError(f"{what}: needs a pair for each axis of shape {show_shape(self.shape)}, got {pairs}")
        return tuple([(entry(first), entry(second)) for first, second in pairs])

    def __add__(self, outer: ShapeTracker) -> ShapeTracker:
        """Read through `outer`, whose base is the logical tensor of this."""
        return _compose(self, outer)

    # ---- the question it answers ----

    def index(self, indices: Sequence[UOp], base_shape: tuple[sint, ...]) -> tuple[tuple[UOp, ...], UOp | None]:
        """Where logical `indices` lie in a contiguous base of `base_shape`: one index per base dimension, and validity.

        The second result is a bool UOp, or None where every index is valid; where it is false, the indices mean nothing
        and may lie outside the base. `indices` are index UOps within the logical shape, one per axis. Dimensions are
        indexed apart, by sums of products, wherever that is exact; else by // and % where an axis runs across several.
        """
        if len(indices) != len(self.shape):
            raise ValueError(f"index: {len(indices)} indices for shape {show_shape(self.shape)}")
        current: tuple[sint, ...] = tuple(map(entry, indices))
        conditions: list[UOp] = []
        for level in reversed(range(len(self.views))):
            view = self.views[level]
            conditions += mask_conditions(view, current)
            current = base_indices(view, current, self.views[level - 1].shape if level else base_shape)
        valid = reduce(and_, conditions) if conditions else None
        return tuple(map(index_const, current)), valid


_trackers: WeakValueDictionary[tuple[View, ...], ShapeTracker] = WeakValueDictionary()
_lock = threading.Lock()


def simplify(views: tuple[View, ...]) -> tuple[View, ...]:
    """The same map with neighbours merged, each view in turn with those below it."""
    result: list[View] = []
    for view in views:
        while result and (merged := merge(result[-1], view)) is not None:
            view = merged
            result.pop()
        result.append(view)
    return tuple(result)


def mask_conditions(view: View, indices: Sequence[sint]) -> list[UOp]:
    """Bool UOps whose conjunction says that the indices lie inside the view's mask, without those that fold to true."""
    conditions: list[UOp] = []
    for index, size, (low, high) in zip(map(index_const, indices), view.shape, view.mask or ()):
        if low != 0:
            conditions.append(index_const(low - 1).lt(index))
        if high != size:
            conditions.append(index.lt(high))
    return [condition for condition in conditions if not (condition.op is Ops.CONST and condition.arg)]


def base_indices(view: View, indices: Sequence[sint], base_shape: tuple[sint, ...]) -> tuple[sint, ...]:
    """One index per dimension of the view's base, for indices inside the view."""
    result: list[sint] = []
    for part in decompose(view, base_shape):
        number = part.offset
        for index, coefficient in zip(indices, part.coefficients):
            if coefficient != 0:
                term = index if coefficient == 1 else index * coefficient
                number = term if number == 0 else number + term
        sizes = base_shape[part.first:part.stop]
        steps = suffix_products(sizes)
        result.append(number // steps[0] if len(sizes) > 1 else number)  # in bounds by the view's meaning: no remainder
        result += [number // step % size for step, size in zip(steps[1:], sizes[1:])]
    return tuple(map(entry, result))


def check_sizes(what: str, shape: tuple[Any, ...]) -> tuple[sint, ...]:
    sizes = tuple(map(entry, shape))
    if any(lt(size, 0) for size in sizes):
        raise ValueError(f"{what}: sizes must not be negative, got {show_shape(sizes)}")
    return sizes


@lru_cache(MEMO_SIZE)
def _contiguous(shape: tuple[sint, ...]) -> ShapeTracker:
    return ShapeTracker((View.contiguous(check_sizes("shape", shape)),))


@lru_cache(MEMO_SIZE)
def _compose(inner: ShapeTracker, outer: ShapeTracker) -> ShapeTracker:
    return ShapeTracker(inner.views + outer.views)


@lru_cache(MEMO_SIZE)
def _variables(tracker: ShapeTracker) -> tuple[UOp, ...]:
    entries: list[sint] = []
    for view in tracker.views:
        entries += [*view.shape, *view.strides, view.offset]
        for interval in view.mask or ():
            entries += interval
    nodes = toposort(*{value for value in entries if isinstance(value, UOp)})
    bound = {node.src[0] for node in nodes if node.op is Ops.BIND}
    found = [node for node in nodes if node.op is Ops.BIND or (node.op is Ops.VARIABLE and node not in bound)]
    return tuple(sorted(found, key=lambda node: str((node.src[0] if node.op is Ops.BIND else node).arg.name)))
