"""The adjoint of a view: where each element's gradient goes, written as movement ops and sums alone.

In: a gradient with a tracker's logical shape, and the shape of the tracker's base. Out: the gradient of the base. The
adjoint of a permute is the inverse permute, of a pad a shrink, of a shrink a pad, of an expand a sum; but a
ShapeTracker no longer knows which of these it came from. So they are found again, view by view, from what a view is:
shape, strides, offset and mask.

1. What the mask hides has no gradient: shrink to the mask. Axes of stride 0 were repeated: sum them.
2. Flip the axes of negative stride. Now every index adds to the address.
3. Share the axes out among the base's axes: an axis of stride s moves along the innermost base axis whose own stride
divides s.
   If the indices of a base axis can run over its end, it is read as one axis with the base axis outside it.
4. Along one base axis of length n, the view's axes are strided lines. From the smallest stride up, rows of a line are
laid
   out s apart: where they do not touch, by padding each to s; where they overlap (windows), shifted and summed.
5. Pad the line to n by where it starts.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

from ..uops import Ops, UOp, sint
from ..uops.symbolic import sprod
from .build import expand, flip, pad, permute, reduce, reshape, shrink
from .shapetracker import ShapeTracker
from .view import View, suffix_products


def view_adjoint(gradient: UOp, tracker: ShapeTracker, base_shape: tuple[sint, ...]) -> UOp:
    """The gradient of a base of `base_shape` from that of the base seen through `tracker`.

    Symbolic sizes are taken through views that are permutes, expands and full slices; ValueError for others.
    """
    shapes = [base_shape, *(view.shape for view in tracker.views[:-1])]
    for view, shape in zip(reversed(tracker.views), reversed(shapes)):
        gradient = _single(gradient, view, tuple(shape))
    return gradient


@dataclass
class _Line:
    """One base axis, or several read as one: its length, its stride in the base, where the view starts on it."""
    size: int
    stride: int
    start: int
    axes: list[int]


def _single(gradient: UOp, view: View, base_shape: tuple[sint, ...]) -> UOp:
    if view.reads_nothing or 0 in base_shape:
        # expanding a zero of no elements or hiding all: the base's gradient is zero
        zero = UOp.const(gradient.dtype, 0)
        return expand(reshape(zero, (1,) * len(base_shape)), base_shape)
    if view.is_contiguous and sprod(view.shape) == sprod(base_shape):
        return reshape(gradient, base_shape)
    offset, strides = view.offset, list(view.strides)
    if view.mask is not None:
        gradient = shrink(gradient, view.mask)
        for (low, _), stride in zip(view.mask, strides):
            offset = offset + low * stride
    repeated = [axis for axis, stride in enumerate(strides) if stride == 0]
    gradient = reduce(Ops.ADD, gradient, repeated)
    kept = [axis for axis in range(len(strides)) if axis not in repeated]
    gradient = reshape(gradient, [gradient.shape[axis] for axis in kept])
    strides = [strides[axis] for axis in kept]
    if any(not isinstance(n, int) for n in (*gradient.shape, *strides, offset, *base_shape)):
        return _symbolic(gradient, strides, offset, base_shape)
    return _concrete(gradient, [int(s) for s in strides], int(offset), tuple(int(n) for n in base_shape))


def _concrete(gradient: UOp, strides: list[int], offset: int, base_shape: tuple[int, ...]) -> UOp:
    """Steps 2 to 5, for sizes that are ints."""
    backwards = [axis for axis, stride in enumerate(strides) if stride < 0]
    for axis in backwards:
        offset += (gradient.shape[axis] - 1) * strides[axis]
        strides[axis] = -strides[axis]
    gradient = flip(gradient, backwards) if backwards else gradient
    lines = _share_out(gradient.shape, strides, offset, base_shape)
    order = [axis for line in lines for axis in line.axes]
    gradient = permute(gradient, order)
    for number, line in enumerate(lines):  # lines left of `number` are done and have one axis each
        gradient = _lay_out(gradient, number, [strides[axis] // line.stride for axis in line.axes], line.start,
                            line.size)
    return reshape(gradient, base_shape)


def _share_out(shape: tuple[int, ...], strides: list[int], offset: int, base_shape: tuple[int, ...]) -> list[_Line]:
    """The base's axes as lines, outermost first, each with the view's axes that move along it, largest stride first."""
    lines = [_Line(n, int(step), 0, []) for n, step in zip(base_shape, suffix_products(base_shape))] or [
        _Line(1, 1, 0, [])
    ]
    while True:
        rest = offset
        for line in lines:
            line.start, rest = divmod(rest, line.stride)
            line.axes = []
        crowded = None
        for axis in sorted(range(len(strides)), key=lambda axis: -strides[axis]):
            home = next(number for number, line in enumerate(lines) if strides[axis] >= line.stride and line.size > 1
                        or number == len(lines) - 1)
            lines[home].axes.append(axis)
            if strides[axis] % lines[home].stride:
                crowded = home
        for number, line in enumerate(lines):
            reach = sum((shape[axis] - 1) * (strides[axis] // line.stride) for axis in line.axes)
            if line.start + reach >= line.size:
                crowded = number
        if crowded is None:
            return lines
        # merge with the axis outside; the outermost one, whose strides do not fit, with the one inside
        outer = (max(crowded - 1, 0) if crowded and not _misfit(lines[crowded], strides)
                 else min(crowded, len(lines) - 2))
        lines[outer:outer + 2] = [_Line(lines[outer].size * lines[outer + 1].size, lines[outer + 1].stride, 0, [])]


def _misfit(line: _Line, strides: list[int]) -> bool:
    return any(strides[axis] % line.stride for axis in line.axes)


def _lay_out(gradient: UOp, number: int, strides: list[int], start: int, size: int) -> UOp:
    """Axes number..number+len(strides) of the gradient, strided along a line of `size` elements from `start`, as one
    axis.
    """
    before, after = gradient.shape[:number], gradient.shape[number + len(strides):]
    order = _innermost_first(gradient.shape[number:number + len(strides)], strides)
    gradient = permute(gradient, [*range(number), *[number + axis for axis in reversed(order)],
                                  *range(number + len(strides), len(gradient.shape))])
    rows = list(gradient.shape[number:number + len(strides)])
    length = 1  # of the line so far, made from the innermost axes
    gradient = reshape(gradient, (*before, *rows, 1, *after))

    def padded(x: UOp, low: int, high: int) -> UOp:
        return pad(x, [(low, high) if axis == number + len(rows) else (0, 0) for axis in range(len(x.shape))])

    def cut(x: UOp, start: int, stop: int) -> UOp:
        return shrink(x, [(start, stop) if axis == number + len(rows) else (0, n) for axis, n in enumerate(x.shape)])

    for step in [strides[axis] for axis in order]:
        count = rows.pop()
        reach = (count - 1) * step + length
        # rows that overlap get room for all that they are shifted by, on both sides
        low, high = (0, step - length) if step >= length else ((count - 1) * step, (count - 1) * step)
        row = low + length + high
        gradient = pad(gradient, [(low, high) if axis == number + len(rows) + 1 else (0, 0)
                                  for axis in range(len(gradient.shape))])
        gradient = reshape(gradient, (*before, *rows, count * row, *after))
        if step >= length:
            gradient = cut(gradient, 0, reach)
        else:  # read with rows one step shorter, each row starts one step later than the one before: sum them
            gradient = reshape(cut(gradient, low, count * row - step), (*before, *rows, count, row - step, *after))
            gradient = shrink(gradient, [(0, reach if axis == number + len(rows) + 1 else n)
                                         for axis, n in enumerate(gradient.shape)])
            gradient = reduce(Ops.ADD, gradient, [number + len(rows)])
            gradient = reshape(gradient, (*before, *rows, reach, *after))
        length = reach
    return padded(gradient, start, size - start - length)


def _innermost_first(counts: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """The order in which axes are laid along a line that leaves the fewest rows to be summed: windows overlap, and
    there are fewer elements in a window than windows.
    """
    def summed(order: tuple[int, ...]) -> int:
        length, rows = 1, 1
        for axis in order:
            rows *= counts[axis] if strides[axis] < length else 1
            length += (counts[axis] - 1) * strides[axis]
        return rows
    natural = tuple(sorted(range(len(strides)), key=lambda axis: strides[axis]))
    return natural if summed(natural) == 1 else min([natural, *permutations(natural)], key=summed)


def _symbolic(gradient: UOp, strides: list[sint], offset: sint, base_shape: tuple[sint, ...]) -> UOp:
    """Permutes of whole or sliced axes: each base axis is read by the one view axis that has its stride, or not at
    all.
    """
    order: list[int] = []
    pads: list[tuple[sint, sint]] = []
    rest = offset
    shape: list[sint] = []
    for n, step in zip(base_shape, suffix_products(base_shape)):
        axis = next((a for a, stride in enumerate(strides) if stride == step and a not in order), None)
        start = rest // step if isinstance(rest, int) and isinstance(step, int) else (rest if step == 1 else 0)
        rest = rest - start * step
        length: sint = 1
        if axis is not None:
            order.append(axis)
            length = gradient.shape[axis]
        shape.append(length)
        pads.append((start, n - start - length))
    if len(order) != len(strides) or rest != 0:
        raise ValueError(
            f"gradient: a view of strides {strides} over the symbolic shape {base_shape} has no derivative here"
        )
    return pad(reshape(permute(gradient, order), shape), pads)


