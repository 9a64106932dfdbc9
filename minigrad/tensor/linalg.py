"""Products of matrices: matmul, einsum, and convolutions and poolings as products over sliding windows.

All are a reshape, an expand, a multiplication and a sum; what makes them fast happens in the compiler.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from ..dtype import dtypes, promote, to_dtype
from ..helpers import ALLOW_TF32, prod
from ..uops import Ops
from .base import composed
from .indexing import Indexing


def spread(value: int | Sequence[int], n: int, what: str) -> tuple[int, ...]:
    """One number for each of n axes. ValueError for another count."""
    result = (value,) * n if isinstance(value, int) else tuple(value)
    if len(result) != n:
        raise ValueError(f"{what}: {value} for {n} spatial axes")
    return result


@composed
class Linalg(Indexing):
    """See the module."""

    __slots__ = ()

    def matmul(self, other: Any, dtype: Any = None) -> Self:
        """(..., m, k) @ (..., k, n) -> (..., m, n), leading axes broadcast; vectors as in numpy. Halves accumulate in
        float32.

        `dtype`: in which dtype to sum. ValueError where the inner sizes differ.
        """
        if not isinstance(other, Indexing):
            other = type(self)(other, device=self.device)
        a, b = self, other
        if not a.ndim or not b.ndim:
            raise ValueError(f"matmul: shapes {a.shape} and {b.shape}: both need an axis")
        if a.shape[-1] != b.shape[-min(b.ndim, 2)]:
            raise ValueError(
                f"matmul: shapes {a.shape} and {b.shape}: inner sizes {a.shape[-1]} and {b.shape[-min(b.ndim, 2)]}"
            )
        common = promote(a.dtype, b.dtype)
        a, b = a.cast(common), b.cast(common)
        if b.ndim == 1:
            return a._multiplied_sum(b, -1, dtype)
        left = a.unsqueeze(-2)                       # (..., m, 1, k), or (1, k) for a vector
        right = b.transpose(-1, -2)                  # (..., n, k)
        right = right if a.ndim == 1 else right.unsqueeze(-3)  # (..., 1, n, k)
        return left._multiplied_sum(right, -1, dtype)

    def _multiplied_sum(self, other: Self, axis: Any, dtype: Any = None) -> Self:
        """sum(self * other) over axes; integers as `sum` does, bools count as or of and."""
        if self.dtype is dtypes.bool and dtype is None:
            return self._binary(Ops.AND, other).any(axis)
        if dtype is not None:
            target = to_dtype(dtype)
            return (self.cast(target) * other.cast(target)).sum(axis, dtype=target)
        if ALLOW_TF32 and self.dtype is dtypes.float32:
            self, other = self.tf32(), other.tf32()
        return (self * other).sum(axis, dtype=self.dtype)

    def dot(self, other: Any, dtype: Any = None) -> Self:
        """`matmul`."""
        return self.matmul(other, dtype)

    def __matmul__(self, other: Any) -> Self:
        return self.matmul(other)

    def __rmatmul__(self, other: Any) -> Self:
        return type(self)(other, device=self.device).matmul(self)

    def linear(self, weight: Self, bias: Self | None = None) -> Self:
        """x @ weight.T + bias, weight of shape (out, in)."""
        result = self.matmul(weight.transpose() if weight.ndim > 1 else weight)
        return result if bias is None else result + bias

    def outer(self, other: Self) -> Self:
        """Every product of two vectors' elements."""
        return self.flatten().unsqueeze(1) * other.flatten().unsqueeze(0)

    # ---- einsum

    @classmethod
    def einsum(cls, formula: str, *operands: Any) -> Self:
        """A sum of products, axes named by letters: "ij,jk->ik"; "..." stands for axes that broadcast.

        Without "->", the letters that occur once are kept, in alphabetical order. ValueError for a formula that does
        not fit.
        """
        tensors = list(operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands)
        inputs, output = _parse_formula(formula, [t.shape for t in tensors])
        letters = "".join(dict.fromkeys("".join(inputs)))
        sizes: dict[str, Any] = {}
        for names, t in zip(inputs, tensors):
            for name, n in zip(names, t.shape):
                known = sizes.setdefault(name, n)
                if known != n and isinstance(known, int) and known == 1:
                    sizes[name] = n
                elif known != n and not (isinstance(n, int) and n == 1):
                    raise ValueError(f"einsum: {formula!r}: axis {name!r} has sizes {known} and {n}")
        order = output + "".join(x for x in letters if x not in output)
        result = None
        for names, t in zip(inputs, tensors):
            names, t = _take_diagonals(names, t)
            t = t.permute([names.index(x) for x in order if x in names])
            t = t.reshape([t_n for x, t_n in _aligned(order, names, t.shape)])
            result = t if result is None else result * t
        if result is None:
            raise ValueError(f"einsum: {formula!r} without operands")
        result = result.expand([sizes[x] for x in order])
        summed = tuple(range(len(output), len(order)))
        return result.sum(summed, dtype=result.dtype) if summed else result  # type: ignore[no-any-return]

    # ---- windows

    def conv2d(self, weight: Self, bias: Self | None = None, groups: int = 1, stride: int | Sequence[int] = 1,
               dilation: int | Sequence[int] = 1, padding: int | Sequence[int] | str = 0) -> Self:
        """Cross-correlation: (batch, in, ...) with (out, in / groups, ...) -> (batch, out, ...), any number of
        spatial axes; without a batch for an input without one.

        padding: one number, one per axis, pairs from the last axis backwards, "valid" for none, or "same" for so much
        that the size stays, at stride 1. ValueError where shapes do not fit.
        """
        axes = weight.ndim - 2
        if axes > 0 and self.ndim == weight.ndim - 1:
            return self.unsqueeze(0).conv2d(weight, bias, groups, stride, dilation, padding).squeeze(0)
        if axes < 1 or self.ndim != weight.ndim:
            raise ValueError(f"conv2d: input {self.shape} and weight {weight.shape}: need batch, channels and the same "
                             "spatial axes")
        batch, channels = self.shape[:2]
        outs, per_group = weight.shape[:2]
        if groups < 1 or channels != groups * per_group or outs % groups:
            raise ValueError(f"conv2d: input {self.shape}, weight {weight.shape} and groups={groups}: {channels} input "
                             f"channels are not {groups} * {per_group}, or {outs} not a multiple of {groups}")
        if bias is not None and tuple(bias.shape) != (outs,):
            raise ValueError(f"conv2d: bias of shape {bias.shape} for {outs} output channels")
        strides, dilations = spread(stride, axes, "conv2d: stride"), spread(dilation, axes, "conv2d: dilation")
        kernel = weight.shape[2:]
        if isinstance(padding, str):
            padding = named_padding(padding, kernel, strides, dilations)
        x = self.pad(_padding(padding, axes, self.ndim))
        _check_windows("conv2d", x.shape[2:], kernel, strides, dilations)
        x = x._windows(kernel, strides, dilations)                       # (batch, channels, *outputs, *kernel)
        outputs = x.shape[2:2 + axes]
        x = x.reshape(batch, groups, 1, per_group, *outputs, *kernel)
        x = x.permute(0, 1, 2, *range(4, 4 + axes), 3, *range(4 + axes, 4 + 2 * axes))
        w = weight.reshape(1, groups, outs // groups, *[1] * axes, per_group, *kernel)
        common = promote(x.dtype, w.dtype)  # both (batch, groups, out, *outputs, in, *kernel)
        last = tuple(range(-1 - axes, 0))
        result = x.cast(common)._multiplied_sum(w.cast(common), last).reshape(batch, outs, *outputs)
        return result if bias is None else result + bias.reshape(1, outs, *[1] * axes)

    def conv_transpose2d(self, weight: Self, bias: Self | None = None, groups: int = 1, stride: int | Sequence[int] = 1,
                         dilation: int | Sequence[int] = 1, padding: int | Sequence[int] = 0,
                         output_padding: int | Sequence[int] = 0) -> Self:
        """The adjoint of `conv2d`: (batch, in, ...) with (in, out / groups, ...) -> (batch, out, ...)."""
        axes = weight.ndim - 2
        strides, dilations = (spread(stride, axes, "conv_transpose2d: stride"),
                              spread(dilation, axes, "conv_transpose2d: dilation"))
        pads, extra = (spread(padding, axes, "conv_transpose2d: padding"),
                       spread(output_padding, axes, "conv_transpose2d: output_padding"))
        x = self
        for i, s in enumerate(strides):  # zeros between the elements
            axis = 2 + i
            n = x.shape[axis]
            if s > 1:
                x = x.unsqueeze(axis + 1).pad([None] * (axis + 1) + [(0, s - 1)] + [None] * (x.ndim - axis - 1))
                x = x.reshape(*x.shape[:axis], n * s, *x.shape[axis + 2:])
                x = x.shrink([None] * axis + [(0, (n - 1) * s + 1)] + [None] * (x.ndim - axis - 1))
        ins, per_group, *kernel = weight.shape
        w = weight.reshape(groups, ins // groups, per_group, *kernel).transpose(1, 2)
        w = w.reshape(per_group * groups, ins // groups, *kernel).flip(*range(2, 2 + axes))
        around = [(d * (k - 1) - p, d * (k - 1) - p + e) for k, d, p, e in zip(kernel, dilations, pads, extra)]
        return x.pad([None, None, *around]).conv2d(w, bias, groups, 1, dilations)

    def max_pool2d(self, kernel_size: int | Sequence[int] = 2, stride: int | Sequence[int] | None = None,
                   dilation: int | Sequence[int] = 1, padding: int | Sequence[int] = 0, ceil_mode: bool = False,
                   return_indices: bool = False) -> Any:
        """The largest element of each window over the last axes (two, or as many as kernel_size has).

        ceil_mode: a last window may hang over the end. return_indices: also where each element was first found, int32,
        counted row-major over the spatial axes.
        """
        options = ("max_pool2d", kernel_size, stride, dilation, padding, ceil_mode)
        windows, axes = self._pooled(*options, self.dtype.min)
        last = tuple(range(-axes, 0))
        largest = windows.max(last)
        if not return_indices:
            return largest
        spatial = self.shape[self.ndim - axes:]
        n = prod(spatial)
        places, _ = self._counter(n).reshape(spatial)._pooled(*options, n)
        best = windows.eq(windows.max(last, keepdim=True)) | windows.ne(windows)
        return largest, best.where(places, n).min(last)

    def avg_pool2d(self, kernel_size: int | Sequence[int] = 2, stride: int | Sequence[int] | None = None,
                   dilation: int | Sequence[int] = 1, padding: int | Sequence[int] = 0,
                   ceil_mode: bool = False, count_include_pad: bool = True) -> Self:
        """The mean of each window over the last axes; what hangs over the end in ceil_mode is not counted."""
        options = ("avg_pool2d", kernel_size, stride, dilation, padding, ceil_mode)
        windows, axes = self._pooled(*options, 0)
        last = tuple(range(-axes, 0))
        if count_include_pad and not ceil_mode:
            return windows.mean(last)
        ones, _ = self.ones_like()._pooled(*options, int(count_include_pad), 0)
        return windows.sum(last) / ones.sum(last)

    def _pooled(self, what: str, kernel_size: Any, stride: Any, dilation: Any, padding: Any, ceil_mode: bool,
                fill: Any, beyond: Any = None) -> tuple[Self, int]:
        """(the windows as last axes, how many axes): self padded with `fill`, and in ceil_mode with `beyond` (fill)."""
        axes = 2 if isinstance(kernel_size, int) else len(kernel_size)
        lead = self.ndim - axes
        if lead < 0:
            raise ValueError(f"{what}: shape {self.shape} has no {axes} spatial axes")
        kernel = spread(kernel_size, axes, f"{what}: kernel_size")
        strides = kernel if stride is None else spread(stride, axes, f"{what}: stride")
        dilations = spread(dilation, axes, f"{what}: dilation")
        pairs = _padding(padding, axes, self.ndim)
        x = self.pad(pairs, value=fill)
        _check_windows(what, x.shape[lead:], kernel, strides, dilations)
        if ceil_mode:
            over = [-(n - d * (k - 1) - 1) % s for n, k, s, d in zip(x.shape[lead:], kernel, strides, dilations)]
            # no window begins behind the input and what stands before it
            over = [more if n + more - d * (k - 1) - 1 < n - after else 0 for more, n, k, d, (_, after)
                    in zip(over, x.shape[lead:], kernel, dilations, pairs[lead:])]
            x = x.pad([(0, 0)] * lead + [(0, more) for more in over], value=fill if beyond is None else beyond)
        return x._windows(kernel, strides, dilations), axes


def named_padding(name: str, kernel: Sequence[int], strides: Sequence[int],
                  dilations: Sequence[int]) -> tuple[int, ...]:
    """What "valid" and "same" stand for: pairs from the last axis backwards."""
    if name not in ("valid", "same") or (name == "same" and any(s != 1 for s in strides)):
        raise ValueError(f"conv2d: padding {name!r} with stride {tuple(strides)}: the words are 'valid', and 'same' "
                         f"with stride 1")
    total = [d * (k - 1) if name == "same" else 0 for k, d in zip(kernel, dilations)]
    return tuple(p for t in total[::-1] for p in (t // 2, t - t // 2))


def _padding(padding: int | Sequence[int], axes: int, ndim: int) -> list[tuple[int, int]]:
    """Pairs for every axis, (0, 0) for those in front of the spatial ones."""
    if any(p < 0 for p in ([padding] if isinstance(padding, int) else padding)):
        raise ValueError(f"padding {padding} is negative")
    if isinstance(padding, int):
        pairs = [(padding, padding)] * axes
    elif len(padding) == axes:
        pairs = [(p, p) for p in padding]
    elif len(padding) == 2 * axes:
        pairs = [(padding[i], padding[i + 1]) for i in range(0, 2 * axes, 2)][::-1]
    else:
        raise ValueError(f"padding {padding} for {axes} spatial axes")
    return [(0, 0)] * (ndim - axes) + pairs


def _check_windows(what: str, spatial: Sequence[Any], kernel: Sequence[Any], strides: Sequence[int],
                   dilations: Sequence[int]) -> None:
    if any(s < 1 for s in strides) or any(d < 1 for d in dilations) or any(k < 1 for k in kernel):
        raise ValueError(f"{what}: kernel {tuple(kernel)}, stride {strides} and dilation {dilations} must be positive")
    if any(isinstance(n, int) and n < d * (k - 1) + 1 for n, k, d in zip(spatial, kernel, dilations)):
        raise ValueError(f"{what}: a window of {tuple(kernel)} with dilation {dilations} does not fit "
                         f"the padded size {tuple(spatial)}")


# ---- einsum's formula

def _parse_formula(formula: str, shapes: Sequence[tuple[Any, ...]]) -> tuple[list[str], str]:
    """(names of each operand's axes, names of the result's), with "..." written out in capital letters that are not
    used.
    """
    left, arrow, right = formula.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(shapes):
        raise ValueError(f"einsum: {formula!r} names {len(inputs)} operands, {len(shapes)} are given")
    free = [chr(c) for c in range(0x391, 0x3A9) if chr(c).isalpha()]  # for "...": letters that no formula has
    longest = max((len(shape) - len(names.replace("...", "")) for names, shape in zip(inputs, shapes)
                   if "..." in names), default=0)
    hidden = "".join(free[:longest])
    written = []
    for names, shape in zip(inputs, shapes):
        if "..." in names:
            count = len(shape) - len(names.replace("...", ""))
            names = names.replace("...", hidden[longest - count:] if count > 0 else "")
        if len(names) != len(shape) or not all(c.isalpha() for c in names):
            raise ValueError(f"einsum: {formula!r} names axes {names!r} of shape {tuple(shape)}")
        written.append(names)
    every = "".join(written)
    if arrow:
        output = right.replace("...", hidden)
    else:
        output = hidden + "".join(sorted(c for c in set(every) if every.count(c) == 1 and c not in hidden))
    if len(set(output)) != len(output) or any(c not in every for c in output):
        raise ValueError(f"einsum: {formula!r}: the result's axes {right!r} are not distinct axes of the operands")
    return written, output


def _take_diagonals(names: str, t: Any) -> tuple[str, Any]:
    """An axis that is named twice is its diagonal."""
    for name in dict.fromkeys(names):
        while names.count(name) > 1:
            first, second = names.index(name), names.rindex(name)
            rest = [a for a in range(t.ndim) if a not in (first, second)]
            if t.shape[first] != t.shape[second]:
                raise ValueError(f"einsum: axis {name!r} has sizes {t.shape[first]} and {t.shape[second]}")
            t = t.permute(*rest, first, second).diagonal()
            names = "".join(names[a] for a in rest) + name
    return names, t


def _aligned(order: str, names: str, shape: Sequence[Any]) -> list[tuple[str, Any]]:
    """A size for every axis of the order: the operand's own, or 1."""
    sizes = iter(shape)
    return [(x, next(sizes) if x in names else 1) for x in order]


__all__ = ["Linalg", "named_padding", "spread"]
