"""What networks are made of: attention, normalisation, dropout and losses, each in terms of the ops below it."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

from ..dtype import dtypes, promote
from ..helpers import TRAINING, Context
from .base import composed
from .random import Random


class _TrainingFlag:
    """`Tensor.training`: read through the class or a tensor; set in `with Tensor.train()`."""

    def __get__(self, instance: Any, owner: Any) -> bool:
        return bool(TRAINING)


@composed
class Functional(Random):
    """See the module."""

    __slots__ = ()

    training = _TrainingFlag()

    @staticmethod
    def train(mode: bool = True) -> Context:
        """Dropout acts inside: `with Tensor.train():`."""
        return Context(TRAINING=int(mode))

    # ---- normalisation

    def layernorm(self, axis: int | Sequence[int] = -1, eps: float = 1e-5) -> Self:
        """(x - mean) / sqrt(variance + eps) over axes; halves in float32."""
        x = self._wide()
        centred = x - x.mean(axis, keepdim=True)
        scale = ((centred * centred).mean(axis, keepdim=True) + eps).rsqrt()
        return (centred * scale).cast(self.dtype)

    def rmsnorm(self, axis: int | Sequence[int] = -1, eps: float = 1e-6) -> Self:
        """x / sqrt(mean(x²) + eps) over axes; halves in float32."""
        x = self._wide()
        return (x * ((x * x).mean(axis, keepdim=True) + eps).rsqrt()).cast(self.dtype)

    def _wide(self) -> Self:
        """Halves as float32, as part of the op that follows."""
        self._check("f", "normalisation")
        return self.cast(dtypes.float32) if self.dtype.itemsize < 4 else self

    def batchnorm(self, weight: Self | None, bias: Self | None, mean: Self, invstd: Self, axis: int = 1) -> Self:
        """(x - mean) * invstd * weight + bias, each given per channel."""
        shape = [n if a == axis else 1 for a, n in enumerate(self.shape)]
        result = (self - mean.reshape(shape)) * invstd.reshape(shape)
        result = result if weight is None else result * weight.reshape(shape)
        return result if bias is None else result + bias.reshape(shape)

    def normalize(self, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Self:
        """x divided by its p-norm along an axis."""
        return self / self.norm(p, dim, keepdim=True).maximum(eps)

    def norm(self, p: float = 2.0, axis: int | Sequence[int] | None = None, keepdim: bool = False) -> Self:
        """The p-norm over axes; p=inf and -inf: the largest and least absolute value, p=0: how many are not 0."""
        if math.isinf(p):
            return self.abs().max(axis, keepdim) if p > 0 else self.abs().min(axis, keepdim)
        if p == 0:
            return self.ne(0).cast(self.dtype).sum(axis, keepdim)
        powers = self * self if p == 2 else self.abs().pow(p)
        return powers.sum(axis, keepdim)._root(p)

    # ---- dropout

    def dropout(self, p: float = 0.5) -> Self:
        """While training (`Tensor.train()`): each element 0 with probability p, else divided by 1 - p."""
        if not 0 <= p <= 1:
            raise ValueError(f"dropout: probability {p!r} does not lie between 0 and 1")
        if not self.training or p == 0:
            return self
        if p == 1:
            return self.zeros_like()
        kept = self.rand(*self.shape, device=self.device) >= p
        return kept.where(self, 0) * (1 / (1 - p))

    # ---- attention

    def scaled_dot_product_attention(self, key: Self, value: Self, attn_mask: Self | None = None,
                                     dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
                                     enable_gqa: bool = False) -> Self:
        """softmax(q @ k.T * scale + mask) @ v for q (..., heads, n, d), k and v (..., kv heads, m, d).

        attn_mask: bool (False is left out) or a number added, broadcast to (..., heads, n, m). is_causal: row i sees
        columns up to i, both counted from the first. A row that sees nothing gives 0. enable_gqa: each key and value
        head serves heads / kv heads neighbouring query heads; without it one may serve all. scale: default 1 / sqrt(d).
        Products and softmax of halves are in float32.
        ValueError where shapes do not fit.
        """
        q = self
        heads_fit = q.ndim < 3 or key.shape[-3] in (1, q.shape[-3]) or enable_gqa
        if q.ndim < 2 or key.ndim != q.ndim or value.ndim != q.ndim or q.shape[-1] != key.shape[-1] or \
                key.shape[-2] != value.shape[-2] or not heads_fit:
            raise ValueError(f"scaled_dot_product_attention: query {q.shape}, key {key.shape}, value {value.shape}, "
                             f"enable_gqa={enable_gqa}")
        groups = 1
        if enable_gqa and q.ndim >= 3:
            heads, kv_heads = q.shape[-3], key.shape[-3]
            if kv_heads == 0 or heads % kv_heads or value.shape[-3] != kv_heads:
                raise ValueError(f"scaled_dot_product_attention: {heads} query heads for {kv_heads} key heads")
            groups = heads // kv_heads
        shape = q.shape
        if groups > 1:  # (..., kv heads, groups, n, d) against (..., kv heads, 1, m, d)
            q = q.reshape(*shape[:-3], key.shape[-3], groups, *shape[-2:])
            key, value = key.unsqueeze(-3), value.unsqueeze(-3)
        wide = dtypes.float32 if promote(q.dtype, key.dtype).itemsize < 4 else None
        scores = q.matmul(key.transpose(-2, -1), dtype=wide) * (1 / math.sqrt(shape[-1]) if scale is None else scale)
        rows, columns = scores.shape[-2:]
        if is_causal:
            if attn_mask is not None:
                raise ValueError("scaled_dot_product_attention: is_causal with attn_mask")
            scores = (self._counter(rows, 0, 2) < self._counter(columns, 1, 2)).where(-math.inf, scores)
        if attn_mask is not None:
            mask = attn_mask
            if groups > 1 and mask.ndim >= 3:
                heads = mask.shape[-3]
                mask = mask.unsqueeze(-3) if heads == 1 else mask.unflatten(-3, (heads // groups, groups))
            scores = mask.where(scores, -math.inf) if mask.dtype is dtypes.bool else scores + mask
        weights = (scores.softmax(-1) if attn_mask is None else scores._masked_softmax()).cast(value.dtype)
        result = weights.dropout(dropout_p).matmul(value)
        return result.reshape(*shape[:-1], value.shape[-1]) if groups > 1 else result

    # ---- losses

    def cross_entropy(self, target: Self, reduction: str = "mean", ignore_index: int = -100,
                      label_smoothing: float = 0.0) -> Self:
        """-log softmax(x)[target]: x (batch, classes, ...), target class numbers (batch, ...) or probabilities of x's
        shape.

        Targets equal to ignore_index count nothing. reduction: "mean" over those that count, "sum" or "none".
        """
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"cross_entropy: label_smoothing {label_smoothing!r} does not lie between 0 and 1")
        axis = 1 if self.ndim > 1 else 0
        if self.ndim == 0:
            raise ValueError("cross_entropy: needs an axis of classes")
        logs = self._wide().log_softmax(axis)
        classes = self.shape[axis]
        if target.dtype.is_float:
            if target.shape != self.shape:
                raise ValueError(f"cross_entropy: probabilities of shape {target.shape} for {self.shape}")
            smooth = target * (1 - label_smoothing) + label_smoothing / classes if label_smoothing else target
            return (-(logs * smooth).sum(axis))._reduced(reduction)
        return logs._picked(target, axis, reduction, ignore_index, label_smoothing)

    def _picked(self, target: Self, axis: int, reduction: str, ignore_index: int, smoothing: float) -> Self:
        """Losses from log probabilities and class numbers."""
        expected = (*self.shape[:axis], *self.shape[axis + 1:])
        if tuple(target.shape) != expected:
            raise ValueError(f"cross_entropy: targets of shape {target.shape}, expected {expected}")
        target = target.cast(dtypes.int64) if target.dtype.kind == "u" else target  # which ignore_index need not fit
        counted = target.ne(ignore_index)
        # a comparison with a counter picks within the kernel that made the probabilities
        chosen = target.unsqueeze(axis).eq(self._counter(self.shape[axis], axis, self.ndim))
        losses = -chosen.where(self, 0).sum(axis)
        if smoothing:
            losses = losses * (1 - smoothing) - self.mean(axis) * smoothing
        return counted.where(losses, 0)._reduced(reduction, counted)

    def _reduced(self, reduction: str, counted: Self | None = None) -> Self:
        if reduction == "none":
            return self
        if reduction == "sum":
            return self.sum()
        if reduction != "mean":
            raise ValueError(f"reduction {reduction!r} is none of 'mean', 'sum', 'none'")
        return self.mean() if counted is None else self.sum() / counted.sum().cast(self.dtype)

    def sparse_categorical_crossentropy(self, target: Self, ignore_index: int = -1, label_smoothing: float = 0.0,
                                        reduction: str = "mean") -> Self:
        """`cross_entropy` with the classes on the last axis."""
        logs = self._wide().log_softmax(-1)
        return logs._picked(target, self.ndim - 1, reduction, ignore_index, label_smoothing)

    def nll_loss(self, target: Self, ignore_index: int = -100, reduction: str = "mean") -> Self:
        """-x[target] for log probabilities x (batch, classes, ...)."""
        return self._picked(target, 1 if self.ndim > 1 else 0, reduction, ignore_index, 0.0)

    def mse_loss(self, target: Self, reduction: str = "mean") -> Self:
        """(x - target)², averaged, summed or as it is."""
        return (self - target).square()._reduced(reduction)

    def l1_loss(self, target: Self, reduction: str = "mean") -> Self:
        """|x - target|, averaged, summed or as it is."""
        return (self - target).abs()._reduced(reduction)

    def binary_crossentropy(self, target: Self, reduction: str = "mean") -> Self:
        """-t log(p) - (1 - t) log(1 - p), where log(0) counts as -100."""
        return (-target * self._finite_log() - (1 - target) * (1 - self)._finite_log())._reduced(reduction)

    def _finite_log(self) -> Self:
        zero = self.eq(0)
        return zero.where(-100.0, zero.where(1.0, self).log())

    def binary_crossentropy_logits(self, target: Self, reduction: str = "mean") -> Self:
        """The same from logits, without overflow."""
        return (self.softplus() - self * target)._reduced(reduction)

    # ---- rows of a table

    def embedding(self, indices: Self) -> Self:
        """Rows of this table: (n, ...) and indices of any shape -> indices.shape + (...). Out of range reads zeros."""
        if indices.dtype.is_float or indices.dtype is dtypes.bool or not self.ndim:
            raise TypeError(f"embedding: indices of {indices.dtype!r} into a table of shape {self.shape}")
        return self._take({0: indices})


__all__ = ["Functional"]
