"""Layers: objects with weights that are called with a tensor. Weights require gradients; `nn.state.get_parameters`
finds them.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

from ..tensor import Tensor
from ..tensor.linalg import named_padding, spread


def _uniform(shape: Sequence[int], bound: float) -> Tensor:
    return Tensor.uniform(*shape, low=-bound, high=bound).requires_grad_()


def _positive(name: str, **sizes: int) -> None:
    for what, n in sizes.items():
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"{name}: {what} is a positive integer, got {n!r}")


class Linear:
    """x @ weight.T + bias: (..., in_features) -> (..., out_features)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        _positive("Linear", in_features=in_features, out_features=out_features)
        bound = 1 / math.sqrt(in_features)
        self.weight = _uniform((out_features, in_features), bound)
        self.bias = _uniform((out_features,), bound) if bias else None

    def __call__(self, x: Tensor) -> Tensor:
        return x.linear(self.weight, self.bias)


class Embedding:
    """Rows of a table: integers of any shape -> shape + (embed_size,)."""

    def __init__(self, vocab_size: int, embed_size: int) -> None:
        _positive("Embedding", vocab_size=vocab_size, embed_size=embed_size)
        self.weight = Tensor.randn(vocab_size, embed_size).requires_grad_()

    def __call__(self, indices: Tensor) -> Tensor:
        return self.weight.embedding(indices)


class Conv2d:
    """(batch, in_channels, height, width) -> (batch, out_channels, ...). padding "same" keeps the size at stride 1."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int],
                 stride: int | tuple[int, int] = 1, padding: int | tuple[int, ...] | str = 0,
                 dilation: int | tuple[int, int] = 1, groups: int = 1, bias: bool = True) -> None:
        _positive("Conv2d", in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"Conv2d: {in_channels} and {out_channels} channels are no multiples of groups={groups}")
        kernel = spread(kernel_size, 2, "Conv2d: kernel_size")
        if isinstance(padding, str):
            padding = named_padding(padding, kernel, spread(stride, 2, "Conv2d: stride"),
                                    spread(dilation, 2, "Conv2d: dilation"))
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        bound = 1 / math.sqrt(in_channels // groups * kernel[0] * kernel[1])
        self.weight = _uniform((out_channels, in_channels // groups, *kernel), bound)
        self.bias = _uniform((out_channels,), bound) if bias else None

    def __call__(self, x: Tensor) -> Tensor:
        return x.conv2d(self.weight, self.bias, self.groups, self.stride, self.dilation, self.padding)


class LayerNorm:
    """(x - mean) / sqrt(variance + eps) * weight + bias over the last axes, which have normalized_shape."""

    def __init__(self, normalized_shape: int | Sequence[int], eps: float = 1e-5,
                 elementwise_affine: bool = True) -> None:
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        self.axes = tuple(range(-len(self.normalized_shape), 0))
        self.weight = Tensor.ones(*self.normalized_shape, requires_grad=True) if elementwise_affine else None
        self.bias = Tensor.zeros(*self.normalized_shape, requires_grad=True) if elementwise_affine else None

    def __call__(self, x: Tensor) -> Tensor:
        if tuple(x.shape[-len(self.axes):]) != self.normalized_shape:
            raise ValueError(f"LayerNorm: input of shape {x.shape} for normalized_shape {self.normalized_shape}")
        result = x.layernorm(self.axes, self.eps)
        return result if self.weight is None or self.bias is None else result * self.weight + self.bias


class RMSNorm:
    """x / sqrt(mean(x²) + eps) * weight over the last axis, of size dim. Zhang and Sennrich (2019)."""

    def __init__(self, dim: int, eps: float = 1e-6, elementwise_affine: bool = True) -> None:
        _positive("RMSNorm", dim=dim)
        self.eps, self.dim = eps, dim
        self.weight = Tensor.ones(dim, requires_grad=True) if elementwise_affine else None

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.dim:
            raise ValueError(f"RMSNorm: input of shape {x.shape} for dim {self.dim}")
        result = x.rmsnorm(-1, self.eps)
        return result if self.weight is None else result * self.weight


class Dropout:
    """While training (`with Tensor.train():`), zeros with probability p; else nothing."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: probability {p!r} does not lie between 0 and 1")
        self.p = p

    def __call__(self, x: Tensor) -> Tensor:
        return x.dropout(self.p)
