"""One view: a box of logical indices, mapped affinely onto a flat base, and the algebra of such maps.

In: shapes, strides, offsets and masks whose entries are `int` or symbolic integers (`sint`). Out: interned `View`
objects, and the two questions that a stack of views asks about them: `decompose` (which index of each base dimension?)
and `merge` (are two views one?). A view reads element `offset + sum(stride[a] * index[a])` of its base where every
index lies inside the mask `low <= index[a] < high`, and 0 elsewhere; outside the mask the address means nothing and may
lie outside the base.

Everything is exact or not done at all: a symbolic question that cannot be decided means "do not merge", never an error.

    >>> View.contiguous((2, 3)).permute((1, 0)).strides
    (1, 3)
"""
from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from operator import mul
from typing import Any
from weakref import WeakValueDictionary

from ..uops import UOp, sint
from ..uops.symbolic import ceildiv, le, lt, smax, smin, ssimplify, vmax

Interval = tuple[sint, sint]

MEMO_SIZE = 1 << 13  # of each memo below: a few models' worth of views, and a bound for a process that runs for weeks


def entry(value: Any) -> sint:
    """A shape entry in its only form: a plain `int` where the value is constant, else a canonical index UOp.

    Raises TypeError for anything that is not an integer.
    """
    if type(value) is int:
        return value
    if isinstance(value, UOp):
        return ssimplify(value)
    try:
        return int(value.__index__())
    except AttributeError:
        raise TypeError(f"shape entries are integers, got {value!r} of type {type(value).__name__}") from None


def suffix_products(shape: Sequence[sint]) -> tuple[sint, ...]:
    """The number of elements below each axis: (2, 3, 4) -> (12, 4, 1). Unlike strides, axes of size 1 count as well."""
    return tuple(accumulate(reversed(shape[1:]), mul, initial=1))[::-1] if shape else ()


@dataclass(frozen=True, eq=False, init=False, slots=True, weakref_slot=True)
class View:
    """An affine map from indices of `shape` to a flat base, with an optional box outside which it reads 0.

    Views are canonical and interned: equal maps (of equal shape) are one object. In canonical form an axis of which
    only one index is ever read (size 1, or a mask of one element) has stride 0; a view without elements has strides and
    offset 0 and no mask; one of which every element is masked has strides and offset 0 and the mask (0, 0) everywhere.
    """
    shape: tuple[sint, ...]
    strides: tuple[sint, ...]
    offset: sint
    mask: tuple[Interval, ...] | None

    def __new__(cls, shape: Iterable[sint], strides: Iterable[sint], offset: sint = 0,
                mask: Iterable[Interval] | None = None) -> View:
        key = canonical(tuple(map(entry, shape)), tuple(map(entry, strides)), entry(offset),
                        None if mask is None else tuple([(entry(low), entry(high)) for low, high in mask]))
        if (known := _views.get(key)) is not None:
            return known
        with _lock:
            if (known := _views.get(key)) is not None:
                return known
            view = object.__new__(cls)
            for name, value in zip(cls.__slots__, key):
                object.__setattr__(view, name, value)
            _views[key] = view
            return view

    def __reduce__(self) -> tuple[Any, ...]:
        return View, (self.shape, self.strides, self.offset, self.mask)

    @staticmethod
    @lru_cache(MEMO_SIZE)
    def contiguous(shape: tuple[sint, ...]) -> View:
        """The identity: row-major over a base of the same shape."""
        return View(shape, suffix_products(shape))

    @property
    def is_contiguous(self) -> bool:
        return self is View.contiguous(self.shape)

    @property
    def reads_nothing(self) -> bool:
        """True where provably no element of the base is read: no elements, or all of them masked."""
        return 0 in self.shape or (self.mask is not None and self.mask[0] == (0, 0))

    @property
    def region(self) -> tuple[Interval, ...]:
        """Per axis, an interval [low, high) that holds the indices that may be read; where symbolic, perhaps wider."""
        return self.mask if self.mask is not None else tuple([(0, size) for size in self.shape])

    @property
    def clipped_region(self) -> tuple[Interval, ...]:
        """The region cut to the axes: no wider, at the price of MAX where a bound of the mask may lie outside."""
        if self.mask is None:
            return self.region
        return tuple([(smax(low, 0), smin(high, size)) for (low, high), size in zip(self.mask, self.shape)])

    def permute(self, order: tuple[int, ...]) -> View:
        mask = None if self.mask is None else [self.mask[axis] for axis in order]
        return View([self.shape[axis] for axis in order], [self.strides[axis] for axis in order], self.offset, mask)

    def expand(self, shape: tuple[sint, ...]) -> View:
        """Repeat axes of size 1. They have stride 0, and their mask is full unless the view reads nothing."""
        mask = None
        if self.mask is not None:
            mask = [interval if old == new else (0, 0) if interval == (0, 0) else (0, new)
                    for interval, old, new in zip(self.mask, self.shape, shape)]
        return View(shape, self.strides, self.offset, mask)

    def shrink(self, bounds: tuple[Interval, ...]) -> View:
        """Keep indices low <= i < high of each axis."""
        offset, mask = self.offset, None
        for (low, _), stride in zip(bounds, self.strides):
            offset = offset + low * stride
        if self.mask is not None:
            mask = [(a - low, b - low) for (low, _), (a, b) in zip(bounds, self.mask)]
        return View([high - low for low, high in bounds], self.strides, offset, mask)

    def pad(self, amounts: tuple[Interval, ...]) -> View:
        """Add masked elements before and after each axis."""
        offset = self.offset
        for (before, _), stride in zip(amounts, self.strides):
            offset = offset - before * stride
        shape = [before + size + after for size, (before, after) in zip(self.shape, amounts)]
        mask = [(low + before, high + before) for (low, high), (before, _) in zip(self.clipped_region, amounts)]
        return View(shape, self.strides, offset, mask)

    def flip(self, axes: tuple[int, ...]) -> View:
        offset, strides, mask = self.offset, list(self.strides), list(self.region)
        for axis in axes:
            size, (low, high) = self.shape[axis], mask[axis]
            offset = offset + (size - 1) * strides[axis]
            strides[axis], mask[axis] = -strides[axis], (size - high, size - low)
        return View(self.shape, strides, offset, mask)


_views: WeakValueDictionary[tuple[Any, ...], View] = WeakValueDictionary()
_lock = threading.Lock()


def canonical(shape: tuple[sint, ...], strides: tuple[sint, ...], offset: sint,
              mask: tuple[Interval, ...] | None) -> tuple[Any, ...]:
    """The fields of the canonical view (see `View`). A bound of the mask that bounds nothing becomes the axis's end."""
    if 0 in shape:
        return shape, (0,) * len(shape), 0, None
    if 1 in shape:
        strides = tuple([0 if size == 1 else stride for size, stride in zip(shape, strides)])
    if mask is None:
        return shape, strides, offset, None
    clipped, new_strides, full = [], list(strides), True
    for axis, (size, (low, high)) in enumerate(zip(shape, mask)):
        low, high = 0 if le(low, 0) else low, size if le(size, high) else high
        if le(high, low):
            return shape, (0,) * len(shape), 0, ((0, 0),) * len(shape)
        clipped.append((low, high))
        if high != size or low != 0:
            full = False
            if entry(high - low) == 1:
                offset, new_strides[axis] = entry(offset + low * new_strides[axis]), 0
    return (shape, strides, offset, None) if full else (shape, tuple(new_strides), offset, tuple(clipped))


# ---- which index of each base dimension? ---------------------------------------------------------------------------

@dataclass(frozen=True, slots=True)
class Part:
    """Dimensions first <= d < stop of a base, read as one, are indexed by `offset + sum(coefficients[a] * index[a])`.

    That number counts elements of these dimensions alone, row-major: with one dimension it is its index, with more it
    takes division and remainder to tell them apart.
    """
    first: int
    stop: int
    offset: sint
    coefficients: tuple[sint, ...]


def extremes(coefficients: Sequence[sint], region: Sequence[Interval]) -> tuple[sint, sint] | None:
    """The least and the greatest sum(coefficients[a] * index[a]) in the region; None where a sign is unknown."""
    least: sint = 0
    greatest: sint = 0
    for coefficient, (low, high) in zip(coefficients, region):
        if coefficient == 0:
            continue
        if coefficient > 0 if type(coefficient) is int else le(0, coefficient):
            least, greatest = least + coefficient * low, greatest + coefficient * (high - 1)
        elif le(coefficient, 0):
            least, greatest = least + coefficient * (high - 1), greatest + coefficient * low
        else:
            return None
    return least, greatest


def quotient(value: sint, step: sint, nearest: bool) -> sint:
    """How often `step` > 0 goes into `value`: towards zero, or to the nearest.

    Only a guess where `step` is symbolic: whoever uses it must prove that it serves.
    """
    if isinstance(step, UOp):
        if isinstance(value, UOp) and entry(value % step) == 0:
            return entry(value // step)
        value, step = (-vmax(-value) if le(value, 0) else vmax(value)), max(vmax(step), 1)
    if isinstance(value, UOp):
        return -entry(-value // step) if le(value, 0) else entry(value // step)
    if nearest:
        return (2 * value + step) // (2 * step)
    return value // step if value >= 0 else -(-value // step)


def split(offset: sint, coefficients: Sequence[sint], region: Sequence[Interval],
          step: sint) -> tuple[tuple[sint, Sequence[sint]], tuple[sint, Sequence[sint]]] | None:
    """Write offset + sum(coefficients * index) as high * step + low with 0 <= low < step everywhere in the region.

    Returns the two forms (offset, coefficients) of high and low, or None where none is found (a carry, or no proof).
    """
    previous: list[sint] | None = None
    for nearest in (False, True):
        high = [c and quotient(c, step, nearest) for c in coefficients]
        if high == previous:
            break
        previous = high
        low = [entry(c - h * step) if h != 0 else c for c, h in zip(coefficients, high)]
        if (bounds := extremes(low, region)) is None:
            continue
        least, greatest = bounds
        start = entry(offset + least)
        carry = quotient(start, step, False) if isinstance(step, UOp) else entry(start // step)
        rest = entry(offset - carry * step)
        if le(0, rest + least) and lt(rest + greatest, step):
            return (carry, high), (rest, low)
    return None


@lru_cache(MEMO_SIZE)
def decompose(view: View, base_shape: tuple[sint, ...]) -> tuple[Part, ...]:
    """How `view`, over a contiguous base of `base_shape`, indexes the base's dimensions: parts, outermost first.

    Greedy from the outermost: dimensions are told apart wherever the contribution of the inner ones provably never
    carries into the outer ones (nor borrows from them), for every index that the mask lets through.
    """
    if view.reads_nothing or 0 in base_shape:
        return tuple([Part(axis, axis + 1, 0, (0,) * len(view.shape)) for axis in range(len(base_shape))])
    parts, first, region = [], 0, view.region
    offset, coefficients = view.offset, view.strides
    for stop, step in enumerate(suffix_products(base_shape)[:-1], start=1):
        if (cut := split(offset, coefficients, region, step)) is not None:
            (high_offset, high), (offset, low) = cut
            parts.append(Part(first, stop, high_offset, tuple(high)))
            first, coefficients = stop, tuple(low)
    if base_shape:
        parts.append(Part(first, len(base_shape), offset, coefficients))
    return tuple(parts)


# ---- are two views one? --------------------------------------------------------------------------------------------

def flatten(view: View, first: int, stop: int) -> tuple[sint, sint, Interval | None] | None:
    """Axes first <= a < stop of a view, read as one axis: (offset, stride, mask or None), or None where they are not.

    The offset is to be added to the view's.
    """
    if stop - first == 1:
        return 0, view.strides[first], None if view.mask is None else view.mask[first]
    region = view.clipped_region
    offset: sint = 0
    stride: sint = 0
    size: sint = 1
    low: sint = 0
    high: sint = 1
    for axis in range(stop - 1, first - 1, -1):
        count, (below, above) = view.shape[axis], region[axis]
        if count == 1:
            continue
        if size == 1:
            stride, low, high = view.strides[axis], below, above
        else:
            single = entry(above - below) == 1
            if not single and not (low == 0 and high == size):
                return None  # a box in the plane, but no interval of the merged axis
            if single:       # a stride that is never used may be any: take the one that fits
                offset = offset - below * stride * size
            elif view.strides[axis] != entry(stride * size):
                return None
            low, high = (entry(below * size + low), entry(below * size + high)) if single else \
                        (entry(below * size), entry(above * size))
        size = entry(size * count)
    return offset, stride, None if low == 0 and high == size else (low, high)


def restrict(offset: sint, coefficients: Sequence[sint], region: list[Interval], low: sint, high: sint) -> bool:
    """Narrow the region, in place, to where low <= offset + sum(coefficients * index) < high. False if it is no box."""
    axes = sorted((a for a, c in enumerate(coefficients) if c != 0), key=lambda a: abs(vmax(coefficients[a])))
    while True:
        if (bounds := extremes([coefficients[a] for a in axes], [region[a] for a in axes])) is None:
            return False
        least, greatest = offset + bounds[0], offset + bounds[1]
        if le(low, least) and lt(greatest, high):
            return True
        if lt(greatest, low) or le(high, least):
            region[:] = [(0, 0)] * len(region)
            return bool(region)
        if not axes or not isinstance(coefficient := coefficients[axis := axes.pop()], int):
            return False
        if (rest := extremes([coefficients[a] for a in axes], [region[a] for a in axes])) is None:
            return False
        least, greatest = offset + rest[0], offset + rest[1]
        inside = solve(coefficient, low - least, high - greatest, region[axis])    # whatever the other indices are
        possible = solve(coefficient, low - greatest, high - least, region[axis])  # for some other indices
        if inside is None or possible is None:
            return False
        region[axis] = possible
        if inside == possible:
            return True
        if entry(possible[1] - possible[0]) != 1:
            return False
        offset = offset + coefficient * possible[0]


def solve(coefficient: int, low: sint, high: sint, within: Interval) -> Interval | None:
    """The interval of i in `within` where low <= coefficient * i < high; None where the two cannot be compared."""
    if coefficient < 0:  # low <= -c*i < high  <=>  1 - high <= c*i < 1 - low
        coefficient, low, high = -coefficient, 1 - high, 1 - low
    first, stop = ceildiv(low, coefficient), ceildiv(high, coefficient)
    if not (le(first, within[0]) or le(within[0], first)) or not (le(stop, within[1]) or le(within[1], stop)):
        return None
    return within[0] if le(first, within[0]) else entry(first), within[1] if le(within[1], stop) else entry(stop)


@lru_cache(MEMO_SIZE)
def merge(inner: View, outer: View) -> View | None:
    """The one view that reads through `outer`, whose base is `inner`'s elements, row-major; None if there is none."""
    if outer.reads_nothing:
        return outer
    if inner.reads_nothing:
        return View(outer.shape, outer.strides, 0, ((0, 0),) * len(outer.shape)) if outer.shape else None
    offset = inner.offset
    strides: list[sint] = [0] * len(outer.shape)
    region: list[Interval] | None = None
    for part in decompose(outer, inner.shape):
        if (merged := flatten(inner, part.first, part.stop)) is None:
            return None
        extra, stride, interval = merged
        if stride != 0:
            strides = [total + c * stride for total, c in zip(strides, part.coefficients)]
            offset = offset + extra + part.offset * stride
        if interval is not None:
            region = region or list(outer.region)
            if not restrict(part.offset, part.coefficients, region, *interval):
                return None
    return View(outer.shape, strides, offset, outer.mask if region is None else region)
