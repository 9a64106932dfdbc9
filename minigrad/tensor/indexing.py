"""Indexing: slices, integers and Variables move nothing; index tensors become GATHER and SCATTER, which cost what
they touch.

`x[...]` takes what numpy takes: integers, slices (also backwards, also with bound Variables as bounds), None, `...`,
lists, arrays and tensors of integers, which broadcast among each other, and of bools: they stand for the places where
they are True, which are computed at once, since their number is a size; only `x[mask] = number` needs no such count.
An integer that does not fit raises IndexError, also in a list or an array; an index inside a tensor cannot be checked:
outside of the axis it reads 0 and writes nothing. Negative ones count from the end.
"""
from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any, Self

import numpy as np

from ..dtype import dtypes, promote
from ..helpers import prod
from ..shape import broadcast_shapes, build
from ..shape.shapetracker import ShapeTracker
from ..uops import Ops, ScatterArg, UOp, sint
from ..uops.symbolic import lt, ssimplify, vmax
from .base import composed, one_op
from .creation import Creation
from .elementwise import fitting


@composed
class Indexing(Creation):
    """See the module."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Self:
        """See the module."""
        view, tensors, front = self._view_of(self._items(index))
        result = self._view(build.viewed(self._node, view))
        return result._take(tensors, front) if tensors else result

    def __setitem__(self, index: Any, value: Any) -> None:
        """Write values, broadcast and cast to this tensor's dtype. Views of the same memory see them."""
        given = value if isinstance(value, Indexing) else self._of_value(value)
        if given.device != self.device:
            raise ValueError(f"setitem: a value on {given.device} for a tensor on {self.device}")
        given = given.cast(self.dtype)
        if isinstance(index, Indexing) and index.dtype is dtypes.bool and index.shape == self.shape and given.ndim == 0:
            self._write(ShapeTracker.contiguous(self.shape), index.where(given, self))
            return
        view, tensors, front = self._view_of(self._items(index))
        if tensors:
            given = self._view(build.viewed(self._node, view))._put(tensors, given, front)
        self._write(view, given._stretched(tuple(view.shape), "setitem"))

    def _of_value(self, value: Any) -> Self:
        if isinstance(value, (bool, int, float)):
            return self._wrap(UOp.const(self.dtype, fitting(value, self.dtype, "assignment")), self.device)
        return type(self)(value, device=self.device)

    def _stretched(self, shape: tuple[sint, ...], what: str) -> Self:
        """Broadcast to exactly a shape; leading axes of size 1 may be left out, as numpy does when it assigns."""
        own = tuple(self.shape)
        while len(own) > len(shape) and own[0] == 1:
            own = own[1:]
        if len(own) > len(shape) or any(n not in (1, m) for n, m in zip(own[::-1], shape[::-1])):
            raise ValueError(f"{what}: a value of shape {self.shape} does not broadcast to {shape}")
        return self._view(build.stretch(build.reshape(self._node, own), shape))

    # ---- what an index means

    def _items(self, index: Any) -> list[Any]:
        """The items of an index, each bool tensor or array written as the positions where it is True: one for each of
        its axes.
        """
        given = [self._index_item(item) for item in (index if isinstance(index, tuple) else (index,))]
        masks = [isinstance(item, (Indexing, np.ndarray)) and item.dtype.kind == "b" for item in given]
        widths = [item.ndim if mask else int(item is not None and item is not Ellipsis)
                  for item, mask in zip(given, masks)]
        items: list[Any] = []
        axis = 0
        for place, (item, mask, width) in enumerate(zip(given, masks, widths)):
            if item is Ellipsis:
                axis = self.ndim - sum(widths[place:])
            if not mask:
                items.append(item)
            elif not width or tuple(item.shape) != tuple(self.shape[axis:axis + width]):
                raise IndexError(f"index: bools of shape {item.shape} for axes {self.shape[axis:axis + width]} of "
                                 f"shape {self.shape}")
            else:
                items += np.nonzero(item._array() if isinstance(item, Indexing) else item)
            axis += width
        return items

    def _view_of(self, items: list[Any]) -> tuple[ShapeTracker, dict[int, Self], bool]:
        """(the view that slices, integers and None leave, {axis of it: index tensor}, do their axes go in front?)."""
        used = sum(1 for item in items if item is not None and item is not Ellipsis)
        if used > self.ndim:
            raise IndexError(f"index: {used} indices for shape {self.shape}")
        dots = [i for i, item in enumerate(items) if item is Ellipsis]
        if len(dots) > 1:
            raise IndexError("index: more than one ...")
        first, stop = (dots[0], dots[0] + 1) if dots else (len(items), len(items))
        items = [*items[:first], *[slice(None)] * (self.ndim - used), *items[stop:]]
        ranges = [self._range_of(item, axis) for axis, item in enumerate(x for x in items if x is not None)]
        tracker = ShapeTracker.contiguous(self.shape).shrink([(low, high) for low, high, _ in ranges])
        tracker = _stepped(tracker, [step for _, _, step in ranges])
        # integers drop their axis, None makes one
        sizes, shape, tensors = iter(tracker.shape), list[sint](), dict[int, Self]()
        for item in items:
            size = 1 if item is None else next(sizes)
            if isinstance(item, (Indexing, np.ndarray)):
                tensors[len(shape)] = self._as_index(item)
            if not isinstance(item, (int, UOp)):
                shape.append(size)
        # as numpy: index tensors, and integers beside them, that are no neighbours send their axes to the front; `...`
        # separates them also where it stands for no axis
        places = [i + (i >= first) for i, x in enumerate(items) if isinstance(x, (int, UOp, Indexing, np.ndarray))]
        front = bool(tensors) and places[-1] - places[0] + 1 != len(places)
        return tracker.reshape(shape), tensors, front

    def _index_item(self, item: Any) -> Any:
        """An item in one of its forms: None, Ellipsis, int, UOp, slice, or an array or tensor of integers or bools."""
        if item is None or item is Ellipsis or isinstance(item, (slice, UOp)):
            return item
        if isinstance(item, (bool, np.bool_)):
            raise IndexError("index: True and False are no indices")
        if isinstance(item, list):
            tensors = any(isinstance(x, Indexing) for x in item)
            item = type(self)(item, device=self.device) if tensors else np.asarray(item) if item else np.zeros(0, int)
        if isinstance(item, np.ndarray):
            if item.dtype.kind not in "iub":
                raise IndexError(f"index: an array of {item.dtype} is no index")
            return item
        if isinstance(item, Indexing):
            if item.dtype.is_float:
                raise IndexError(f"index: a tensor of {item.dtype!r} is no index")
            if item.device != self.device:
                raise IndexError(f"index: a tensor on {item.device} for one on {self.device}")
            return item
        if hasattr(item, "__index__"):
            return item.__index__()
        raise IndexError(f"index: {item!r} of type {type(item).__name__} is no index")

    def _range_of(self, item: Any, axis: int) -> tuple[sint, sint, int]:
        """(low, high, step) that an item keeps of an axis; a negative step runs from high - 1 down."""
        n = self.shape[axis]
        if isinstance(item, int):
            if isinstance(n, int) and not -n <= item < n:
                raise IndexError(f"index: {item} on axis {axis} of size {n}, shape {self.shape}")
            low = item + n if item < 0 else item
            return low, low + 1, 1
        if isinstance(item, UOp):
            return item, item + 1, 1
        if not isinstance(item, slice):
            if isinstance(item, np.ndarray) and isinstance(n, int) and item.size:
                worst = item.max() if item.max() >= n else item.min()
                if not -n <= worst < n:
                    raise IndexError(f"index: {worst} on axis {axis} of size {n}, shape {self.shape}")
            return 0, n, 1
        step = 1 if item.step is None else item.step
        if isinstance(step, UOp) or not hasattr(step, "__index__"):
            raise TypeError(f"index: step {step!r} is no integer")
        if step == 0:
            raise ValueError("index: a slice's step is 0")
        if isinstance(n, int) and not isinstance(item.start, UOp) and not isinstance(item.stop, UOp):
            start, stop, step = item.indices(n)
            if step > 0:
                return start, max(start, stop), step
            return (stop + 1, max(start + 1, stop + 1), step)
        if step < 0:
            raise ValueError(f"index: a slice with symbolic bounds has a positive step, got {step}")
        low = _from_end(item.start, n, 0)
        high = _from_end(item.stop, n, n)
        if lt(high, low):
            high = low
        return low, high, step

    # ---- index tensors

    def _wrapped(self, index: Self, n: sint) -> UOp:
        """An index tensor's node with negative entries counted from the end."""
        node = index._node
        if node.dtype.kind == "u":
            return build.cast(node, dtypes.int64 if node.dtype.itemsize >= 4 else dtypes.int32)
        if node.dtype.kind == "b":
            raise IndexError(f"index: a bool tensor of shape {index.shape} where positions are expected")
        index = index.cast(promote(node.dtype, dtypes.int32 if vmax(n) < 1 << 31 else dtypes.int64))
        node = index._node
        size = index._operand(n, "index")._node
        size = size if size.op is Ops.CONST else build.stretch(build.cast(size, node.dtype), node.shape)
        return build.where(build.less(node, 0), build.add(node, build.cast(size, node.dtype)), node)

    def _flat_index(self, tensors: dict[int, Self]) -> tuple[UOp, list[int], tuple[sint, ...]]:
        """One index into the indexed axes taken as one: (node, the axes, the index's shape). -1 where one of several
        is outside.
        """
        axes = sorted(tensors)
        parts = [tensors[a] for a in axes]
        if len(axes) == 1:
            return self._wrapped(parts[0], self.shape[axes[0]]), axes, tuple(parts[0].shape)
        small = vmax(prod(self.shape[a] for a in axes)) < 1 << 31 and all(p.dtype.itemsize < 8 for p in parts)
        dtype = dtypes.int32 if small else dtypes.int64
        shape = parts[0]._shape_with(*parts[1:])
        nodes = [build.stretch(build.cast(self._wrapped(p, self.shape[a]), dtype), shape) for a, p in zip(axes, parts)]
        every = partial(build.elementwise, Ops.AND)
        inside = [every(build.elementwise(Ops.NOT, build.less(node, 0)), build.less(node, self.shape[a]))
                  for a, node in zip(axes, nodes)]
        flat = nodes[0]
        for a, node in zip(axes[1:], nodes[1:]):
            flat = build.add(build.mul(flat, self.shape[a]), node)
        return build.where(reduce(every, inside), flat, -1), axes, shape

    def _shape_with(self, *others: Self) -> tuple[sint, ...]:
        try:
            return broadcast_shapes(*[tuple(t.shape) for t in (self, *others)])
        except ValueError as error:
            raise IndexError(f"index: {error}") from None

    def _table(self, axes: Sequence[int]) -> tuple[UOp, list[int]]:
        """Self with the indexed axes in front as one: (node, the other axes)."""
        rest = [a for a in range(self.ndim) if a not in axes]
        node = build.permute(self._node, [*axes, *rest])
        return build.reshape(node, (ssimplify(prod(self.shape[a] for a in axes)), *[self.shape[a] for a in rest])), rest

    @one_op
    def _take(self, tensors: dict[int, Self], in_front: bool = False) -> Self:
        """x[..., index, ...]: the index's axes stand where the first indexed axis stood, or in front."""
        flat, axes, shape = self._flat_index(tensors)
        table, rest = self._table(axes)
        node = UOp(Ops.GATHER, self.dtype, (table, flat))
        front = 0 if in_front else axes[0]
        k = len(shape)
        order = [*range(k, k + front), *range(k), *range(k + front, k + len(rest))]
        return self._result(build.permute(node, order), *tensors.values())

    @one_op
    def _put(self, tensors: dict[int, Self], value: Self, in_front: bool = False) -> Self:
        """A copy with x[..., index, ...] set to a value."""
        flat, axes, shape = self._flat_index(tensors)
        table, rest = self._table(axes)
        front = 0 if in_front else axes[0]
        k = len(shape)
        rest_sizes = [self.shape[a] for a in rest]
        outside = value._stretched((*rest_sizes[:front], *shape, *rest_sizes[front:]), "setitem")
        # the value's axes in the order of the scatter: the index's first
        order = [*range(front, front + k), *range(front), *range(front + k, front + k + len(rest) - front)]
        values = build.permute(outside._node, order)
        node = UOp(Ops.SCATTER, self.dtype, (table, flat, values), ScatterArg("set"))
        node = build.reshape(node, [self.shape[a] for a in (*axes, *rest)])
        back = sorted(range(self.ndim), key=(*axes, *rest).__getitem__)
        return self._result(build.permute(node, back), value, *tensors.values())

    # ---- gather and scatter

    def _along(self, dim: int, index: Self, what: str) -> UOp:
        """The flat index into self of index[i][j][k] along an axis, the other coordinates the element's own."""
        axis = self._axis(dim, what)
        if index.ndim != self.ndim or index.dtype.is_float or index.dtype is dtypes.bool:
            raise ValueError(f"{what}: an index of shape {index.shape} and {index.dtype!r} for shape {self.shape}")
        if any(isinstance(m, int) and isinstance(n, int) and m > n
               for a, (m, n) in enumerate(zip(index.shape, self.shape)) if a != axis):
            raise ValueError(f"{what}: index shape {index.shape} exceeds {self.shape} beside axis {dim}")
        coordinates = {a: index if a == axis else self._counter(m, a, self.ndim) for a, m in enumerate(index.shape)}
        return self._flat_index(coordinates)[0]

    def gather(self, dim: int, index: Self) -> Self:
        """out[i][j][k] = x[index[i][j][k]][j][k] for axis 0, likewise for others. Outside of the axis it reads 0."""
        index = self._as_index(index)
        if not self.ndim:
            return self.reshape(1).gather(0, index.reshape(1)).reshape(())
        flat = self._along(dim, index, "gather")
        table = build.reshape(self._node, (self.numel(),))
        return self._result(UOp(Ops.GATHER, self.dtype, (table, flat)), index)

    def take_along_dim(self, index: Self, dim: int) -> Self:
        """`gather` with the index first."""
        return self.gather(dim, index)

    def index_select(self, dim: int, index: Self) -> Self:
        """The slices of an axis that a list of indices names."""
        return self._take({self._axis(dim, "index_select"): self._as_index(index)})

    def _as_index(self, index: Any) -> Self:
        item = self._index_item(index)
        if isinstance(item, np.ndarray):
            return type(self)(item, device=self.device)
        if not isinstance(item, Indexing):
            raise TypeError(f"index: expected a tensor of integers, got {index!r}")
        return item  # type: ignore[return-value]

    def scatter(self, dim: int, index: Self, src: Any, reduce: str | None = None) -> Self:
        """A copy with out[index[i][j][k]][j][k] = src[i][j][k] for axis 0; reduce="add" adds, "multiply" multiplies.

        Of equal indices the last wins. Outside of the axis nothing is written.
        """
        if reduce not in (None, "add", "multiply"):
            raise ValueError(f"scatter: reduce {reduce!r} is none of None, 'add', 'multiply'")
        if reduce == "multiply":
            return self.scatter_reduce(dim, index, src, "prod")
        index = self._as_index(index)
        flat = self._along(dim, index, "scatter")
        value = src if isinstance(src, Indexing) else self._of_value(src)
        if value.ndim == self.ndim and value.ndim:
            if any(isinstance(m, int) and isinstance(n, int) and m > n for m, n in zip(index.shape, value.shape)):
                raise ValueError(f"scatter: index shape {index.shape} exceeds src shape {value.shape}")
            value = value.shrink([(0, n) for n in index.shape])
        values = value.cast(self.dtype)._stretched(tuple(index.shape), "scatter")
        table = build.reshape(self._node, (self.numel(),))
        node = UOp(Ops.SCATTER, self.dtype, (table, flat, values._node), ScatterArg("set" if reduce is None else "add"))
        return self._result(build.reshape(node, self.shape), value, index)

    def scatter_add(self, dim: int, index: Self, src: Any) -> Self:
        """`scatter` with reduce="add"."""
        return self.scatter(dim, index, src, "add")

    def scatter_reduce(self, dim: int, index: Self, src: Any, reduce: str, include_self: bool = True) -> Self:
        """sum, prod, mean, amax or amin of all that falls on an element, and of what was there if include_self."""
        if reduce not in ("sum", "prod", "mean", "amax", "amin"):
            raise ValueError(f"scatter_reduce: reduce {reduce!r} is none of 'sum', 'prod', 'mean', 'amax', 'amin'")
        index = self._as_index(index)
        axis = self._axis(dim, "scatter_reduce")
        value = (src if isinstance(src, Indexing) else self._of_value(src)).cast(self.dtype)
        shape = tuple(index.shape)
        value = value.shrink([(0, n) for n in shape]) if value.ndim else value._stretched(shape, "scatter_reduce")
        ones = self._wrap(build.full(self.dtype, 1, index.shape), self.device)
        counts = self.zeros_like().scatter(dim, index, ones, "add")
        if reduce in ("sum", "mean"):
            start = self if include_self else counts.eq(0).where(self, 0)
            total = start.scatter(dim, index, value, "add")
            return total if reduce == "sum" else (total / (counts + include_self).maximum(1)).cast(self.dtype)
        # every (target, source) pair along the axis: target position on one new axis, source on the other
        n = self.shape[axis]
        grown = [(0, 0) if a == axis else (0, self.shape[a] - index.shape[a]) for a in range(self.ndim)]
        wide = index.cast(dtypes.int64).pad(grown, value=-1 - n)
        wide = (wide < 0).where(wide + n, wide).unsqueeze(axis)
        values = value.pad(grown).unsqueeze(axis)
        hit = wide.eq(self._counter(n, axis, self.ndim + 1))
        op = Ops.MUL if reduce == "prod" else Ops.MAX
        flipped = reduce == "amin"
        values = values._reversed_order() if flipped else values
        found = hit.where(values, 1 if op is Ops.MUL else self.dtype.min)._reduce(op, axis + 1, False)
        start = self._reversed_order() if flipped else self
        both = start._binary(op, found) if include_self else hit.any(axis + 1).where(found, start)
        return both._reversed_order() if flipped else both

    # ---- positions as values

    def one_hot(self, num_classes: int = -1) -> Self:
        """A new last axis with 1 at each element's index and 0 elsewhere, int32. num_classes: -1 stands for one more
        than the largest index, which is computed at once.
        """
        if self.dtype.is_float:
            raise TypeError(f"one_hot: takes integers, got {self.dtype!r}")
        if num_classes == -1:
            num_classes = int(self._array().max(initial=-1)) + 1
        return self.unsqueeze(-1).eq(self._counter(num_classes)).cast(dtypes.int32)

    def _below(self, diagonal: int, what: str) -> Self:
        """True where column - row <= diagonal, over the last two axes."""
        if self.ndim < 2:
            raise ValueError(f"{what}: shape {self.shape} has no two axes")
        rows, columns = self.shape[-2:]
        return self._counter(columns, 1, 2) < self._counter(rows, 0, 2) + (diagonal + 1)

    def tril(self, diagonal: int = 0) -> Self:
        """The lower triangle of the last two axes, 0 above a diagonal."""
        return self._below(diagonal, "tril").where(self, 0)

    def triu(self, diagonal: int = 0) -> Self:
        """The upper triangle of the last two axes, 0 below a diagonal."""
        return self._below(diagonal - 1, "triu").where(0, self)

    def masked_select(self, mask: Self) -> Self:
        """The elements where a mask holds, in row-major order: computed at once, since their number is the shape."""
        stretched = self._operand(mask, "masked_select").bool()._stretched(tuple(self.shape), "masked_select")
        chosen = np.flatnonzero(stretched._array())
        return self.flatten()._take({0: type(self)(chosen, device=self.device)})

    def nonzero(self) -> Self:
        """The indices of elements that are not 0, one row each, int64: computed at once."""
        return type(self)(np.argwhere(self._array()), device=self.device)

    def argsort(self, dim: int = -1, descending: bool = False) -> Self:
        """The positions along an axis in the order of their elements, equal ones as they stand, NaN as the largest;
        int64, computed at once.
        """
        axis = self._axis(dim, "argsort")
        if not self.ndim:
            return self.reshape(1).argsort().reshape(())
        x = self.detach()
        array = (x.cast(dtypes.float32) if x.dtype is dtypes.bfloat16 else x)._array()
        if descending:
            order = array.shape[axis] - 1 - np.flip(np.argsort(np.flip(array, axis), axis, kind="stable"), axis)
        else:
            order = np.argsort(array, axis, kind="stable")
        return type(self)(order, device=self.device)

    def sort(self, dim: int = -1, descending: bool = False) -> tuple[Self, Self]:
        """The elements along an axis in order, and where they stood (`argsort`)."""
        order = self.argsort(dim, descending)
        return self.gather(dim, order), order

    def topk(self, k: int, dim: int = -1, largest: bool = True) -> tuple[Self, Self]:
        """The k largest (or smallest) elements along an axis in order, and where they stood. ValueError if there are
        fewer.
        """
        axis = self._axis(dim, "topk")
        if not self.ndim or not 0 <= k <= self.shape[axis]:
            raise ValueError(f"topk: {k} elements of axis {axis} of shape {self.shape}")
        order = self.argsort(dim, largest)._part(axis, 0, k)
        return self.gather(dim, order), order

    def _array(self) -> np.ndarray[Any, Any]:
        """The values as an array. Defined where values leave for Python."""
        raise NotImplementedError


def _from_end(value: Any, n: sint, default: sint) -> sint:
    """A slice's bound, negative ones counted from the end."""
    if value is None:
        return default
    if isinstance(value, UOp):
        return value
    if not hasattr(value, "__index__"):
        raise TypeError(f"index: a slice's bound is an integer, got {value!r}")
    position: int = value.__index__()
    return position + n if position < 0 else position


def _stepped(tracker: ShapeTracker, steps: Sequence[int]) -> ShapeTracker:
    """Every step-th element of each axis, backwards for negative steps."""
    backwards = [a for a, step in enumerate(steps) if step < 0]
    if backwards:
        tracker = tracker.flip(backwards)
    for axis, step in enumerate(map(abs, steps)):
        if step == 1:
            continue
        n = tracker.shape[axis]
        rows = -(-n // step)
        keep = [(0, m) for m in tracker.shape]
        tracker = tracker.pad([(0, 0)] * axis + [(0, rows * step - n)] + [(0, 0)] * (len(keep) - axis - 1))
        shape = tracker.shape
        tracker = tracker.reshape((*shape[:axis], rows, step, *shape[axis + 1:]))
        tracker = tracker.shrink([*keep[:axis], (0, rows), (0, 1), *keep[axis + 1:]])
        tracker = tracker.reshape((*shape[:axis], rows, *shape[axis + 1:]))
    return tracker


__all__ = ["Indexing"]
