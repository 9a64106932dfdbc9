"""What shapes follow from shapes: broadcasting, -1 in a reshape; and how they read in an error message.

In: shapes. Out: plain tuples of `sint`, or a ValueError that names the op, the argument and the values. Nothing here
touches a ShapeTracker.

    >>> broadcast_shapes((4, 1), (3,))
    (4, 3)
    >>> infer_reshape((2, 12), (-1, 8))
    (3, 8)
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..printer import integer
from ..uops import sint
from ..uops.symbolic import sprod
from .view import entry

Shape = tuple[sint, ...]


def show_shape(shape: Iterable[sint]) -> str:
    """A shape for an error message: `(2, pos + 1)`."""
    sizes = [integer(size) for size in shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


# ---- shapes from shapes ---------------------------------------------------------------------------------------------

def broadcast_shapes(*shapes: Shape, op: str = "broadcast") -> Shape:
    """The shape that all stretch to, aligned at the last axis: sizes of an axis are equal, or 1. Else ValueError."""
    first = shapes[0] if shapes else ()
    if all(shape == first for shape in shapes):
        return first
    ndim = max(map(len, shapes))
    result: list[sint] = [1] * ndim
    for shape in shapes:
        for axis, size in enumerate(shape, start=ndim - len(shape)):
            if size == 1 or size == result[axis]:
                continue
            if result[axis] != 1:
                raise ValueError(f"{op}: shapes {' and '.join(map(show_shape, shapes))} do not broadcast: "
                                 f"axis {axis - ndim} has sizes {integer(result[axis])} and {integer(size)}")
            result[axis] = size
    return tuple(result)


def infer_reshape(shape: Shape, target: Sequence[sint]) -> Shape:
    """The target of a reshape with its -1 replaced by the size that is left. ValueError where that is not one size."""
    total, known = sprod(shape), sprod(size for size in target if size != -1)
    if target.count(-1) != 1 or known == 0 or entry(total % known) != 0:
        raise ValueError(f"reshape: cannot infer -1 in {show_shape(target)} from shape {show_shape(shape)}: "
                         f"{integer(total)} elements for {integer(known)}")
    return tuple([entry(total // known) if size == -1 else size for size in target])
