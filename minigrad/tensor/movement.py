"""Movement: the same elements under another shape. Nothing is computed; every method composes the tensor's view.

Axes may be negative. Sizes may be symbolic. Errors are ValueError for shapes that do not fit and IndexError for axes
that do not exist, each naming the op and the values.
"""
from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any, Self

from ..dtype import dtypes
from ..helpers import prod
from ..shape import ShapeTracker, build, infer_reshape
from ..shape.view import View, suffix_products
from ..uops import Ops, sint
from ..uops.symbolic import ssimplify
from .base import Base


def arguments(given: tuple[Any, ...]) -> tuple[Any, ...]:
    """f(1, 2) and f((1, 2)) mean the same."""
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        return tuple(given[0])
    return given


def _first(tensors: Any, what: str) -> Any:
    """The first of a list of tensors, given where a tensor is usual."""
    if not isinstance(tensors, (list, tuple)) or not tensors or not isinstance(tensors[0], Movement):
        raise TypeError(f"{what}: expected tensors or a list of tensors, got {tensors!r}")
    return tensors[0]


class Movement(Base):
    """Reshape, permute, expand, shrink, pad, flip, and what is made of them."""

    __slots__ = ()

    # ---- axes

    def _axis(self, axis: int, what: str, extra: int = 0) -> int:
        """The axis counted from the front. IndexError if there is none; TypeError if it is no integer."""
        if isinstance(axis, bool) or not hasattr(axis, "__index__"):
            raise TypeError(f"{what}: an axis is an integer, got {axis!r}")
        axis, n = axis.__index__(), max(self.ndim + extra, 1)
        if not -n <= axis < n:
            raise IndexError(f"{what}: axis {axis} of a tensor of shape {self.shape}: there are {self.ndim} axes")
        return axis % n

    def _axes(self, axis: int | Sequence[int] | None, what: str) -> tuple[int, ...]:
        """Distinct axes, ascending; None means all."""
        if axis is None:
            return tuple(range(self.ndim))
        given = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
        axes = tuple(sorted(self._axis(a, what) for a in given))
        if len(set(axes)) != len(axes):
            raise ValueError(f"{what}: axes {given} of shape {self.shape} name one axis twice")
        return axes if self.ndim else ()

    def size(self, axis: int | None = None) -> Any:
        """The shape, or the size of one axis."""
        return self.shape if axis is None else self.shape[self._axis(axis, "size")]

    def numel(self) -> sint:
        """The number of elements."""
        return ssimplify(prod(self.shape))

    def nbytes(self) -> sint:
        """Bytes of all elements."""
        return ssimplify(self.numel() * self.dtype.itemsize)

    # ---- the six

    def reshape(self, *shape: Any) -> Self:
        """The same elements in row-major order under a shape of equal size; one size may be -1, None keeps an axis's
        size.
        """
        sizes = [self.shape[i] if n is None and i < self.ndim else n for i, n in enumerate(arguments(shape))]
        return self._view(build.reshape(self._node, infer_reshape(self.shape, sizes) if -1 in sizes else sizes))

    def permute(self, *order: Any) -> Self:
        """Axis i of the result is axis order[i]."""
        given = arguments(order)
        return self._view(build.permute(self._node, [self._axis(a, "permute") for a in given]))

    def expand(self, *shape: Any) -> Self:
        """Repeat axes of size 1, and new ones in front, without a copy; -1 and None keep a size."""
        given = arguments(shape)
        extra = len(given) - self.ndim
        if extra < 0:
            raise ValueError(f"expand: shape {self.shape} has more axes than {given}")
        own = (1,) * extra + tuple(self.shape)
        sizes = tuple([old if n is None or n == -1 else n for old, n in zip(own, given)])
        return self._view(build.stretch(self._node, sizes))

    def shrink(self, bounds: Sequence[tuple[sint, sint] | None]) -> Self:
        """Keep low <= i < high of each axis; None keeps an axis whole."""
        whole = [(0, n) if b is None else (b[0], b[1]) for b, n in zip(bounds, self.shape, strict=True)]
        return self._view(build.shrink(self._node, whole))

    def flip(self, *axes: Any) -> Self:
        """Reverse axes."""
        given = arguments(axes)
        return self._view(build.flip(self._node, self._axes(given if given else None, "flip")))

    def pad(self, padding: Sequence[Any], mode: str = "constant", value: float = 0.0) -> Self:
        """Elements before and after each axis: ((before, after) or None, ...) for every axis, or flat from the last
        axis backwards, (left, right, top, bottom, ...), as torch. Negative amounts cut off. mode: constant, reflect,
        replicate, circular.
        """
        pairs = self._pairs(padding)
        if mode != "constant":
            return self._pad_with_itself(pairs, mode)
        cut = [(max(-a, 0) if isinstance(a, int) else 0, n - max(-b, 0) if isinstance(b, int) else n)
               for (a, b), n in zip(pairs, self.shape)]
        grow = [(max(a, 0) if isinstance(a, int) else a, max(b, 0) if isinstance(b, int) else b) for a, b in pairs]
        node = build.pad(build.shrink(self._node, cut), grow)
        if value == 0:
            return self._view(node)
        inside = build.pad(build.full(dtypes.bool, True, [high - low for low, high in cut]), grow)
        return self._result(build.where(inside, node, value))

    def _pairs(self, padding: Sequence[Any]) -> list[tuple[Any, Any]]:
        padding = list(padding)
        if any(isinstance(p, (tuple, list)) or p is None for p in padding):
            if len(padding) != self.ndim or any(p is not None and len(p) != 2 for p in padding):
                raise ValueError(f"pad: {padding} is no (before, after) for each axis of shape {self.shape}")
            return [(0, 0) if p is None else (p[0], p[1]) for p in padding]
        if len(padding) % 2 or len(padding) > 2 * self.ndim:
            raise ValueError(f"pad: {padding} are no pairs for the last axes of shape {self.shape}")
        last_first = [(padding[i], padding[i + 1]) for i in range(0, len(padding), 2)]
        return [(0, 0)] * (self.ndim - len(last_first)) + last_first[::-1]

    def _pad_with_itself(self, pairs: list[tuple[int, int]], mode: str) -> Self:
        if mode not in ("reflect", "replicate", "circular"):
            raise ValueError(f"pad: mode {mode!r} is none of constant, reflect, replicate, circular")
        result = self
        for axis, (before, after) in enumerate(pairs):
            n = result.shape[axis]
            limit = n - 1 if mode == "reflect" else n if mode == "circular" else max(before, after)
            if min(before, after) < 0 or max(before, after) > limit or (n == 0 and before + after):
                raise ValueError(f"pad: ({before}, {after}) on axis {axis} of shape {self.shape} with mode {mode!r}")
            if mode == "reflect":
                left, right = (result._part(axis, low, high).flip(axis)
                               for low, high in ((1, before + 1), (n - 1 - after, n - 1)))
            elif mode == "circular":
                left, right = result._part(axis, n - before, n), result._part(axis, 0, after)
            else:
                left, right = (result._part(axis, end, end + 1).repeat_interleave(count, axis)
                               for end, count in ((0, before), (n - 1, after)))
            result = left.cat(result, right, dim=axis)
        return result

    def _part(self, axis: int, low: sint, high: sint) -> Self:
        """low <= i < high of one axis."""
        return self.shrink([(low, high) if a == axis else None for a in range(self.ndim)])

    # ---- made of them

    view = reshape

    def transpose(self, dim0: int = 1, dim1: int = 0) -> Self:
        """Swap two axes."""
        order = list(range(self.ndim))
        a, b = self._axis(dim0, "transpose"), self._axis(dim1, "transpose")
        if order:
            order[a], order[b] = order[b], order[a]
        return self.permute(order)

    @property
    def T(self) -> Self:
        """All axes in reverse order."""
        return self.permute(tuple(range(self.ndim))[::-1])

    @property
    def mT(self) -> Self:
        """The last two axes swapped."""
        return self.transpose(-2, -1)

    def squeeze(self, dim: int | None = None) -> Self:
        """Drop axes of size 1: all, or one (which stays if it is larger)."""
        if dim is None:
            return self.reshape([n for n in self.shape if not (isinstance(n, int) and n == 1)])
        axis = self._axis(dim, "squeeze")
        if not self.ndim or not (isinstance(self.shape[axis], int) and self.shape[axis] == 1):
            return self
        return self.reshape(self.shape[:axis] + self.shape[axis + 1:])

    def unsqueeze(self, dim: int) -> Self:
        """A new axis of size 1 at a position."""
        axis = self._axis(dim, "unsqueeze", 1)
        return self.reshape((*self.shape[:axis], 1, *self.shape[axis:]))

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Self:
        """Axes start_dim..end_dim as one."""
        if not self.ndim:
            return self.reshape(1)
        first, last = self._axis(start_dim, "flatten"), self._axis(end_dim, "flatten")
        if first > last:
            raise ValueError(f"flatten: start_dim {start_dim} lies behind end_dim {end_dim} in shape {self.shape}")
        return self.reshape((*self.shape[:first], prod(self.shape[first:last + 1]), *self.shape[last + 1:]))

    def unflatten(self, dim: int, sizes: Sequence[sint]) -> Self:
        """One axis as several."""
        axis = self._axis(dim, "unflatten")
        sizes = list(sizes)
        if -1 in sizes:
            sizes[sizes.index(-1)] = self.shape[axis] // max(-prod(sizes), 1)
        return self.reshape((*self.shape[:axis], *sizes, *self.shape[axis + 1:]))

    def movedim(self, source: int | Sequence[int], destination: int | Sequence[int]) -> Self:
        """Axes to other positions, the rest in order."""
        sources = [self._axis(a, "movedim") for a in ([source] if isinstance(source, int) else source)]
        targets = [self._axis(a, "movedim") for a in ([destination] if isinstance(destination, int) else destination)]
        if len(sources) != len(targets) or len(set(sources)) != len(sources) or len(set(targets)) != len(targets):
            raise ValueError(f"movedim: {source} to {destination} in shape {self.shape}")
        order = [a for a in range(self.ndim) if a not in sources]
        for target, axis in sorted(zip(targets, sources)):
            order.insert(target, axis)
        return self.permute(order)

    def repeat(self, *repeats: Any) -> Self:
        """The tensor laid out side by side, so many times along each axis; more counts than axes add axes in front."""
        counts = arguments(repeats)
        if len(counts) < self.ndim:
            raise ValueError(f"repeat: {counts} has fewer counts than shape {self.shape} has axes")
        own = (1,) * (len(counts) - self.ndim) + tuple(self.shape)
        inner = [x for n in own for x in (1, n)]
        outer = [x for count, n in zip(counts, own) for x in (count, n)]
        return self.reshape(inner).expand(outer).reshape([count * n for count, n in zip(counts, own)])

    def repeat_interleave(self, repeats: int, dim: int | None = None) -> Self:
        """Each element so many times in a row, along an axis (None: of the flattened tensor)."""
        x = self.flatten() if dim is None else self
        axis = 0 if dim is None else self._axis(dim, "repeat_interleave")
        shape = x.shape
        x = x.reshape((*shape[:axis + 1], 1, *shape[axis + 1:])).expand((*shape[:axis + 1], repeats, *shape[axis + 1:]))
        return x.reshape((*shape[:axis], shape[axis] * repeats, *shape[axis + 1:]))

    def split(self, sizes: int | Sequence[int], dim: int = 0) -> tuple[Self, ...]:
        """Parts of a size along an axis (the last may be smaller), or of the given sizes."""
        axis = self._axis(dim, "split")
        n = self.shape[axis]
        if isinstance(sizes, int):
            if sizes <= 0:
                raise ValueError(f"split: size {sizes} of axis {axis} of shape {self.shape}")
            sizes = [min(sizes, n - start) for start in range(0, n, sizes)] or [0]
        if sum(sizes) != n:
            raise ValueError(f"split: sizes {list(sizes)} do not add up to {n}, axis {axis} of shape {self.shape}")
        parts, start = [], 0
        for size in sizes:
            parts.append(self._part(axis, start, start + size))
            start += size
        return tuple(parts)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Self, ...]:
        """At most so many parts of equal size, the last one smaller."""
        if not isinstance(chunks, int) or chunks <= 0:
            raise ValueError(f"chunk: {chunks!r} parts of shape {self.shape}")
        n = self.shape[self._axis(dim, "chunk")]
        return self.split(-(-n // chunks) if n else 1, dim)

    def unbind(self, dim: int = 0) -> tuple[Self, ...]:
        """The slices along an axis, without it."""
        axis = self._axis(dim, "unbind")
        return tuple(part.squeeze(axis) for part in self.split(1, axis)) if self.shape[axis] else ()

    def unfold(self, dim: int, size: int, step: int) -> Self:
        """All windows of a size along an axis, a step apart: their elements become the last axis."""
        axis = self._axis(dim, "unfold")
        n = self.shape[axis]
        if not 0 < size <= n or step <= 0:
            raise ValueError(f"unfold: windows of {size} by {step} on axis {axis} of shape {self.shape}")
        order = [a for a in range(self.ndim) if a != axis] + [axis]
        back = list(range(self.ndim - 1))
        back.insert(axis, self.ndim - 1)
        return self.permute(order)._windows((size,), (step,), (1,)).permute([*back, self.ndim])

    def roll(self, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Self:
        """Rotate along axes; what leaves at the end comes back in front."""
        if dims is None:
            if not isinstance(shifts, int):
                raise ValueError(f"roll: shifts {shifts} need axes")
            return self.flatten().roll(shifts, 0).reshape(self.shape)
        amounts = [shifts] if isinstance(shifts, int) else list(shifts)
        axes = [dims] if isinstance(dims, int) else list(dims)
        if len(amounts) != len(axes):
            raise ValueError(f"roll: {amounts} for axes {axes}")
        result = self
        for amount, dim in zip(amounts, axes):
            axis = self._axis(dim, "roll")
            n = self.shape[axis]
            if n and amount % n:
                front, back = result.split([n - amount % n, amount % n], axis)
                result = back.cat(front, dim=axis)
        return result

    def diagonal(self) -> Self:
        """The diagonal of the last two axes, as the last axis."""
        if self.ndim < 2:
            raise ValueError(f"diagonal: shape {self.shape} has no two axes")
        *batch, rows, columns = self.shape
        n = min(rows, columns)
        square = self.shrink([None] * len(batch) + [(0, n), (0, n)])
        flat = square.reshape(*batch, n * n).pad([None] * len(batch) + [(0, n)])
        return flat.reshape(*batch, n, n + 1).shrink([None] * (len(batch) + 1) + [(0, 1)]).reshape(*batch, n)

    # ---- joining

    def cat(self, *others: Self, dim: int = 0) -> Self:
        """This tensor and others one after the other along an axis; the other axes are equal. Dtypes are promoted.

        `Tensor.cat([x, y], dim=1)` is the same as `x.cat(y, dim=1)`.
        """
        if not isinstance(self, Movement):
            return _first(self, "cat").cat(*self[1:], dim=dim)
        axis = self._axis(dim, "cat")
        tensors = self._common(*others)
        for t in tensors:
            if t.ndim != self.ndim or any(a != b for i, (a, b) in enumerate(zip(t.shape, self.shape)) if i != axis):
                raise ValueError(f"cat: shapes {[t.shape for t in tensors]} differ beside axis {dim}")
        if self.ndim == 0:
            raise ValueError("cat: tensors without axes cannot be joined; use stack")
        return self if len(tensors) == 1 else tensors[0]._joined(tensors, axis)

    def _joined(self, tensors: Sequence[Self], axis: int) -> Self:
        """The sum of the parts, each padded with zeros to the whole: its gradient is a slice for each. Of floats with
        -0.0, to which -0.0 and 0.0 can be added.
        """
        signed = self.dtype.is_float
        around: list[tuple[sint, sint]] = [(0, 0)] * self.ndim
        start, rest = 0, sum(t.shape[axis] for t in tensors)
        parts = []
        for t in tensors:
            rest = rest - t.shape[axis]
            around[axis] = (start, rest)
            parts.append(build.neg(build.pad(build.neg(t._node), around)) if signed else build.pad(t._node, around))
            start = start + t.shape[axis]
        join = partial(build.elementwise, Ops.OR if self.dtype is dtypes.bool else Ops.ADD)
        return self._result(reduce(join, parts), *tensors)

    def stack(self, *others: Self, dim: int = 0) -> Self:
        """This tensor and others along a new axis. `Tensor.stack([x, y])` is the same as `x.stack(y)`."""
        if not isinstance(self, Movement):
            return _first(self, "stack").stack(*self[1:], dim=dim)
        axis = self._axis(dim, "stack", 1)
        tensors = self._common(*others)
        if any(t.shape != self.shape for t in tensors):
            raise ValueError(f"stack: shapes differ: {[t.shape for t in tensors]}")
        return tensors[0].unsqueeze(axis).cat(*[t.unsqueeze(axis) for t in tensors[1:]], dim=axis)

    def _counter(self, n: sint, axis: int = 0, ndim: int = 1) -> Self:
        """0, 1, ... n - 1 along one of `ndim` axes, the others of size 1, int32, on this tensor's device."""
        shape: list[sint] = [1] * ndim
        shape[axis] = n
        return self._wrap(build.reshape(build.iota(dtypes.int32, n), shape), self.device)

    def _common(self, *others: Self) -> list[Self]:
        """All in their common dtype. Defined with the elementwise ops."""
        raise NotImplementedError

    def _windows(self, sizes: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> Self:
        """Sliding windows over the last axes: (..., spatial) -> (..., outputs, sizes)."""
        lead = self.ndim - len(sizes)
        outputs = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(self.shape[lead:], sizes, strides, dilations)]
        step = suffix_products(self.shape)
        across, within = ([k * n for k, n in zip(by, step[lead:])] for by in (strides, dilations))
        view = View((*self.shape[:lead], *outputs, *sizes), (*step[:lead], *across, *within))
        return self._view(build.viewed(self._node, ShapeTracker((view,))))


__all__ = ["Movement", "arguments"]
