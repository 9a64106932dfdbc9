"""Indices in a small affine form: what the scheduler knows of where a kernel reads a value.

Each axis of a value is indexed by a *form*, `offset + sum(coefficient * digit)`. A digit is a part of one loop's
counter, `(range // low) % size`, or its reverse, `size - 1 - ...`. An index that passes through a view is flattened
and cut again at the strides of the view's base: splitting a digit at a stride is local, adjacent digits merge back,
so equal indices are the same object. Where a sum cannot be proved not to carry, the axis becomes an *opaque* digit
that remembers its form and its loops.

That answers what placement asks: is it the same index? on which loops does it depend? how many different elements are
read? Exact indices for code are built later, once for each unique kernel. Symbolic sizes are taken at their maximum,
symbolic offsets are opaque tags.

>>> indices = Indices()
>>> transposed = ShapeTracker.contiguous((4, 3)).permute((1, 0))
>>> indices.through(indices.of_ranges([0, 1], (3, 4)), transposed, (4, 3)) is indices.of_ranges([1, 0], (4, 3))
True
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..shape import ShapeTracker
from ..uops import sint
from ..uops.symbolic import vmax


class Digit(NamedTuple):
    """`(source // low) % size`, reversed: `size - 1 -` that. `source`: a range's number, or what an opaque value is
    made of.
    """

    source: Any
    low: int
    size: int
    reversed: bool
    ranges: int         # bit mask of the ranges that it depends on


Form = tuple[int, tuple[tuple[int, Digit], ...]]    # offset, (coefficient, digit)...
Term = tuple[int, Digit, int, int]                  # coefficient > 0, digit, its least and greatest value
ZERO: Form = (0, ())


class Index:
    """One form for each axis. Interned by `Indices`: the same index is the same object."""

    __slots__ = ("axes", "axis_ranges", "count", "memo", "ranges")

    def __init__(self, axes: tuple[Form, ...]) -> None:
        self.axes = axes
        self.memo: dict[tuple[ShapeTracker, tuple[int, ...]], Index] = {}
        self.ranges = 0                             # bit mask of the ranges that it depends on
        self.count = 1                              # different elements, at most: the product of its digits' sizes
        axis_ranges = []
        seen: set[tuple[Any, int, int]] = set()
        for _, terms in axes:
            mask = 0
            for _, digit in terms:
                mask |= digit.ranges
                key = digit[:3]
                if key not in seen:
                    seen.add(key)
                    self.count *= digit.size
            axis_ranges.append(mask)
            self.ranges |= mask
        self.axis_ranges = tuple(axis_ranges)


class ConcreteView(NamedTuple):
    """A view with its variables at their maximum; the symbolic part of its offset is a tag."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    tag: Any
    mask: tuple[tuple[int, int], ...] | None


class Indices:
    """The table of indices of one schedule, and how they pass through views."""

    def __init__(self) -> None:
        self.table: dict[tuple[Form, ...], Index] = {}
        self.concrete: dict[ShapeTracker, tuple[ConcreteView, ...]] = {}
        self.shares: dict[ShapeTracker, float] = {}
        self.opaque: dict[Any, Digit] = {}

    def index(self, axes: tuple[Form, ...]) -> Index:
        found = self.table.get(axes)
        if found is None:
            found = self.table[axes] = Index(axes)
        return found

    def of_ranges(self, ranges: Sequence[int], shape: Sequence[int]) -> Index:
        """Each axis indexed by a range of its own."""
        return self.index(tuple([whole(r, n) for r, n in zip(ranges, shape)]))

    def data(self, key: Any, size: int, ranges: int) -> Form:
        """An index that is data: nothing is known but what it depends on."""
        return 0, ((1, self._opaque(key, size, ranges)),)

    def through(self, index: Index, tracker: ShapeTracker, base_shape: tuple[int, ...]) -> Index:
        """The index into the base of a view, for an index of the view."""
        key = (tracker, base_shape)
        found = index.memo.get(key)
        if found is None:
            views = self.views(tracker)
            axes: Sequence[Form] = index.axes
            for i in range(len(views) - 1, -1, -1):
                axes = self._through_view(axes, views[i], views[i - 1].shape if i else base_shape)
            found = index.memo[key] = self.index(tuple(axes))
        return found

    def share(self, tracker: ShapeTracker) -> float:
        """The share of a view's elements that lie inside its masks."""
        found = self.shares.get(tracker)
        if found is None:
            found = 1.0
            for view in self.views(tracker):
                for (low, high), n in zip(view.mask or (), view.shape):
                    found *= max(0, high - low) / max(1, n)
            self.shares[tracker] = found
        return found

    def views(self, tracker: ShapeTracker) -> tuple[ConcreteView, ...]:
        found = self.concrete.get(tracker)
        if found is None:
            found = self.concrete[tracker] = tuple([_concrete(view) for view in tracker.views])
        return found

    def _opaque(self, key: Any, size: int, ranges: int) -> Digit:
        digit = self.opaque.get(key)
        if digit is None:
            digit = self.opaque[key] = Digit(-1 - len(self.opaque), 1, size, False, ranges)
        return digit

    # ---- one view: flatten, cut again

    def _through_view(self, axes: Sequence[Form], view: ConcreteView, base_shape: tuple[int, ...]) -> list[Form]:
        terms: list[Term] = []
        offset = view.offset
        kept_whole: dict[Digit, Form] = {}      # masked axes whose form is no single digit travel as one
        if view.tag is not None:
            terms.append((1, Digit(("offset", view.tag), 1, 1, False, 0), 0, 0))
        for axis, (form, stride) in enumerate(zip(axes, view.strides)):
            if stride == 0:
                continue
            constant, digits = form
            low, high = view.mask[axis] if view.mask is not None else (0, view.shape[axis])
            if (low, high) == (0, view.shape[axis]):
                offset += stride * constant
                for coefficient, digit in digits:
                    offset = _add_term(terms, offset, coefficient * stride, digit, 0, digit.size - 1)
            elif high - low == 1:               # one element inside the mask
                offset += stride * low
            elif constant == 0 and len(digits) == 1 and digits[0][0] == 1 and not digits[0][1].reversed:
                offset = _add_term(terms, offset, stride, digits[0][1], low, high - 1)
            else:
                digit = Digit(("form", form), 1, high, False, ranges_of(digits))
                kept_whole[digit] = form
                offset = _add_term(terms, offset, stride, digit, low, high - 1)
        result = self._cut(offset, terms, base_shape)
        return [_expand_whole(form, kept_whole) for form in result] if kept_whole else result

    def _cut(self, offset: int, terms: list[Term], shape: tuple[int, ...]) -> list[Form]:
        """A flat index, cut into one for each axis of a shape in row-major order."""
        if 0 in shape:
            return [ZERO] * len(shape)          # nothing is read
        result: list[Form] = []
        for n, stride in zip(shape, _strides(shape)):
            if n == 1:
                result.append(ZERO)
                continue
            if stride == 1:
                result.append(_normal(offset, [(c, d) for c, d, _, _ in terms]))
                offset, terms = 0, []
                continue
            high, low = _split_terms(terms, stride)
            least, greatest = sum(c * a for c, _, a, _ in low), sum(c * b for c, _, _, b in low)
            quotient = (offset + least) // stride
            rest = offset - quotient * stride
            if rest + least >= 0 and rest + greatest < stride:
                result.append(_normal(quotient, [(c, d) for c, d, _, _ in high]))
                offset, terms = rest, low
            else:                               # a carry cannot be ruled out
                key = (offset, tuple([(c, d) for c, d, _, _ in terms]), stride)
                ranges = ranges_of([(c, d) for c, d, _, _ in terms])
                result.append((0, ((1, self._opaque((*key, "quotient"), n, ranges)),)))
                offset, terms = 0, [(1, self._opaque((*key, "rest"), stride, ranges), 0, stride - 1)]
        return result


def whole(number: int, size: int) -> Form:
    """The form of an axis indexed by a whole range."""
    return ZERO if size == 1 else (0, ((1, Digit(number, 1, size, False, 1 << number)),))


def ranges_of(digits: Sequence[tuple[int, Digit]]) -> int:
    mask = 0
    for _, digit in digits:
        mask |= digit.ranges
    return mask


def _concrete(view: Any) -> ConcreteView:
    def largest(n: sint) -> int:
        return n if type(n) is int else vmax(n)
    offset, tag = (view.offset, None) if type(view.offset) is int else (0, view.offset)
    mask = None if view.mask is None else tuple([(largest(a), largest(b)) for a, b in view.mask])
    return ConcreteView(tuple(map(largest, view.shape)), tuple(map(largest, view.strides)), offset, tag, mask)


def _strides(shape: tuple[int, ...]) -> list[int]:
    strides, total = [], 1
    for n in reversed(shape):
        strides.append(total)
        total *= n
    return strides[::-1]


def _add_term(terms: list[Term], offset: int, coefficient: int, digit: Digit, least: int, greatest: int) -> int:
    """Adds coefficient * digit with a positive coefficient, reversing the digit if need be; gives the new offset."""
    if coefficient < 0:  # c*d == c*(size-1) - c*(size-1-d)
        offset += coefficient * (digit.size - 1)
        least, greatest = digit.size - 1 - greatest, digit.size - 1 - least
        digit, coefficient = digit._replace(reversed=not digit.reversed), -coefficient
    terms.append((coefficient, digit, least, greatest))
    return offset


def _split_terms(terms: list[Term], stride: int) -> tuple[list[Term], list[Term]]:
    """The terms that are multiples of a stride, divided by it, and the rest; digits and coefficients are split where
    exact.
    """
    high: list[Term] = []
    low: list[Term] = []
    for term in terms:
        coefficient, digit, least, greatest = term
        if coefficient % stride == 0:
            high.append((coefficient // stride, digit, least, greatest))
        elif coefficient * greatest < stride:
            low.append(term)
        elif (least == 0 and greatest == digit.size - 1 and stride % coefficient == 0 and
              digit.size % (stride // coefficient) == 0 and not isinstance(digit.source, tuple)):
            n = stride // coefficient
            low.append((coefficient, digit._replace(size=n), 0, n - 1))
            high.append((1, digit._replace(low=digit.low * n, size=digit.size // n), 0, digit.size // n - 1))
        elif coefficient > stride:
            high.append((coefficient // stride, digit, least, greatest))
            low.append((coefficient % stride, digit, least, greatest))
        else:
            low.append(term)
    return high, low


def _normal(offset: int, terms: list[tuple[int, Digit]]) -> Form:
    """The canonical form: equal digits together, ordered, neighbours merged."""
    if not terms:
        return offset, ()
    if len(terms) > 1:
        total: dict[Digit, int] = {}
        for coefficient, digit in terms:
            total[digit] = total.get(digit, 0) + coefficient
        terms = sorted([(c, d) for d, c in total.items() if c], key=lambda term: (str(term[1].source), term[1].low))
        merged = terms[:1]
        for coefficient, digit in terms[1:]:
            below_coefficient, below = merged[-1]
            if (below.source == digit.source and below.reversed == digit.reversed and
                    digit.low == below.low * below.size and coefficient == below_coefficient * below.size):
                merged[-1] = (below_coefficient, below._replace(size=below.size * digit.size))
            else:
                merged.append((coefficient, digit))
        terms = merged
    return offset, tuple(terms)


def _expand_whole(form: Form, kept_whole: dict[Digit, Form]) -> Form:
    """Puts the forms that travelled as one digit back."""
    offset, terms = form
    result: list[tuple[int, Digit]] = []
    for coefficient, digit in terms:
        source = kept_whole.get(digit._replace(reversed=False))
        if source is None:
            result.append((coefficient, digit))
            continue
        if digit.reversed:
            offset += coefficient * (digit.size - 1)
            coefficient = -coefficient
        offset += coefficient * source[0]
        result += [(coefficient * c, d) for c, d in source[1]]
    return _normal(offset, result)
