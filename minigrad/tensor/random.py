"""Random numbers from a counter: element i of the k-th call is threefry2x32(seed, (i, k)), whatever else runs, on
every device.

`manual_seed` starts over. Seed and call lie in memory, so that every draw of a shape is the same kernel, in every
process; where a jitted function draws, each replay writes the words of its own call there. Source: Salmon, Moraes,
Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011), 20 rounds.
"""
from __future__ import annotations

import math
import struct
import threading
import time
from typing import Any, Self

from ..dtype import DType, dtypes, to_dtype
from ..engine.realize import recorder
from ..helpers import prod
from ..runtime.device import Buffer
from ..shape import build
from ..uops import Ops, UOp, sint
from .base import composed, device_name
from .creation import sizes
from .linalg import Linalg

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA


class _State:
    """The seed, and how many calls there have been."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seed = time.time_ns() & 0xFFFFFFFFFFFFFFFF
        self.calls = 0

    def next_words(self) -> bytes:
        """The four words that the next call draws with: the key, its parity word, the call's number."""
        with self.lock:
            low, high = self.seed & 0xFFFFFFFF, self.seed >> 32
            self.calls += 1
            return struct.pack("=4I", low, high, PARITY ^ low ^ high, self.calls - 1 & 0xFFFFFFFF)


_state = _State()


def _rounds(x0: UOp, x1: UOp, key: tuple[UOp, UOp, UOp]) -> tuple[UOp, UOp]:
    """threefry2x32 of a counter's two words under a key and its parity word."""
    x0, x1 = build.add(x0, key[0]), build.add(x1, key[1])
    for block in range(5):
        for r in ROTATIONS[block % 2]:
            x0 = build.add(x0, x1)
            rotated = build.elementwise(Ops.OR, build.elementwise(Ops.SHL, x1, build.constant(x1, r)),
                                        build.elementwise(Ops.SHR, x1, build.constant(x1, 32 - r)))
            x1 = build.elementwise(Ops.XOR, rotated, x0)
        x0 = build.add(x0, key[(block + 1) % 3])
        x1 = build.add(x1, build.add(key[(block + 2) % 3], block + 1))
    return x0, x1


@composed
class Random(Linalg):
    """See the module."""

    __slots__ = ()

    @staticmethod
    def manual_seed(seed: int = 0) -> None:
        """Start the streams of all devices over, from a seed of up to 64 bits."""
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"manual_seed: {seed!r} is no integer")
        if recorder() is not None:
            raise RuntimeError("manual_seed: inside of a jitted function, whose replays could not do it")
        _state.seed, _state.calls = seed & 0xFFFFFFFFFFFFFFFF, 0

    @classmethod
    def _random_words(cls, shape: tuple[sint, ...], device: str) -> tuple[UOp, UOp]:
        """Two random uint32 words for each element of a shape."""
        n = prod(shape)
        if isinstance(n, int) and n >= 1 << 32:
            raise ValueError(f"rand: shape {shape} has more than 2**32 elements")
        low, high, parity, call = cls._words_in_memory(device)
        counter = build.reshape(build.iota(dtypes.uint32, n), shape)
        return _rounds(counter, build.stretch(call, shape), (low, high, parity))

    @classmethod
    def _words_in_memory(cls, device: str) -> list[UOp]:
        """The words of the next call as scalars: data and no constants, so that every draw of a shape is one kernel."""
        memory = Buffer(device, (4,), dtypes.uint32)
        memory.copyin(_state.next_words())
        listener = recorder()
        if listener is not None:  # a replay draws with the words of its own call
            listener.written_by_host(memory, _state.next_words)
        node = UOp(Ops.BUFFER, dtypes.uint32, (), memory)
        return [build.reshape(build.shrink(node, [(i, i + 1)]), ()) for i in range(4)]

    @classmethod
    def _target(cls, dtype: Any, device: str | None, what: str) -> tuple[DType, str]:
        target = dtypes.default_float if dtype is None else to_dtype(dtype)
        if not target.is_float:
            raise TypeError(f"{what}: gives floats, not {target!r}")
        return target, device_name(device)

    @classmethod
    def rand(cls, *shape: Any, dtype: Any = None, device: str | None = None, requires_grad: bool | None = None) -> Self:
        """Uniform numbers, 0 <= x < 1."""
        target, name = cls._target(dtype, device, "rand")
        first, second = cls._random_words(sizes(shape, "rand"), name)
        return cls._wrap(_uniform(first, second, target), name, requires_grad)

    @classmethod
    def uniform(cls, *shape: Any, low: float = 0.0, high: float = 1.0, dtype: Any = None, device: str | None = None,
                requires_grad: bool | None = None) -> Self:
        """Uniform numbers, low <= x < high; integers if the dtype is one. ValueError for low > high."""
        if not low <= high:
            raise ValueError(f"uniform: no number x with {low!r} <= x < {high!r}")
        target = dtypes.default_float if dtype is None else to_dtype(dtype)
        wide = target if target in (dtypes.float32, dtypes.float64) else dtypes.float32
        result = cls.rand(*shape, device=device, dtype=wide) * (high - low) + low
        result = result.cast(target) if target.is_float else result
        result = (result >= high).where(low, result)  # rounding may have made it high
        return (result if target.is_float else result.floor().cast(target)).requires_grad_(requires_grad)

    @classmethod
    def randn(cls, *shape: Any, dtype: Any = None, device: str | None = None,
              requires_grad: bool | None = None) -> Self:
        """Normal numbers of mean 0 and deviation 1, by Box and Muller."""
        target, name = cls._target(dtype, device, "randn")
        wide = dtypes.float64 if target is dtypes.float64 else dtypes.float32
        first, second = cls._random_words(sizes(shape, "randn"), name)
        u, v = cls._wrap(_uniform(first, first, wide, 32), name), cls._wrap(_uniform(second, second, wide, 32), name)
        result = ((1 - u).log() * -2).sqrt() * (v * (2 * math.pi)).cos()
        return result.cast(target).requires_grad_(requires_grad)

    @classmethod
    def normal(cls, *shape: Any, mean: float = 0.0, std: float = 1.0, dtype: Any = None, device: str | None = None,
               requires_grad: bool | None = None) -> Self:
        """Normal numbers."""
        result = cls.randn(*shape, dtype=dtype, device=device) * std + mean
        return result.requires_grad_(requires_grad)

    @classmethod
    def randint(cls, *shape: Any, low: int = 0, high: int = 10, dtype: Any = None, device: str | None = None) -> Self:
        """Uniform integers, low <= x < high. ValueError if there are none or they do not fit the dtype."""
        target = dtypes.int32 if dtype is None else to_dtype(dtype)
        if not target.is_int:
            raise TypeError(f"randint: gives integers, not {target!r}")
        if not all(isinstance(x, int) for x in (low, high)) or not low < high:
            raise ValueError(f"randint: no integer x with {low!r} <= x < {high!r}")
        if low < target.min or high - 1 > target.max:
            raise ValueError(f"randint: {low}..{high - 1} does not fit {target!r}")
        name = device_name(device)
        first, second = (build.cast(word, dtypes.uint64) for word in cls._random_words(sizes(shape, "randint"), name))
        span = high - low
        if span <= 1 << 32:  # the high half of a product: as even as 32 bits can be
            drawn = build.elementwise(Ops.SHR, build.mul(first, span), build.constant(first, 32))
        else:
            both = build.elementwise(Ops.OR, build.elementwise(Ops.SHL, first, build.constant(first, 32)), second)
            drawn = build.elementwise(Ops.MOD, both, build.constant(both, span)) if span < 1 << 64 else both
        shifted = build.add(drawn, UOp.const(dtypes.uint64, low))  # wraps, as two's complement does
        return cls._wrap(build.cast(shifted, target), name)

    @classmethod
    def _scaled(cls, shape: tuple[Any, ...], bound: float, options: dict[str, Any]) -> Self:
        return cls.uniform(*shape, low=-bound, high=bound, **options)

    @classmethod
    def scaled_uniform(cls, *shape: Any, **options: Any) -> Self:
        """Uniform in ±1/sqrt(number of elements)."""
        return cls._scaled(shape, prod(sizes(shape, "scaled_uniform")) ** -0.5, options)

    @classmethod
    def glorot_uniform(cls, *shape: Any, **options: Any) -> Self:
        """Uniform in ±sqrt(6 / (in + out)), Glorot and Bengio (2010); weights are (out, in, ...)."""
        return cls._scaled(shape, (6 / sum(_fans(shape, "glorot_uniform"))) ** 0.5, options)

    xavier_uniform = glorot_uniform

    @classmethod
    def xavier_normal(cls, *shape: Any, **options: Any) -> Self:
        """Normal of variance 2 / (in + out)."""
        return cls.normal(*shape, std=(2 / sum(_fans(shape, "xavier_normal"))) ** 0.5, **options)

    @classmethod
    def kaiming_uniform(cls, *shape: Any, a: float = 0.01, **options: Any) -> Self:
        """Uniform of variance 2 / (1 + a²) / in, He et al. (2015), for leaky rectifiers of slope a."""
        return cls._scaled(shape, (6 / (1 + a * a) / _fans(shape, "kaiming_uniform")[0]) ** 0.5, options)

    @classmethod
    def kaiming_normal(cls, *shape: Any, a: float = 0.01, **options: Any) -> Self:
        """Normal of variance 2 / (1 + a²) / in."""
        return cls.normal(*shape, std=(2 / (1 + a * a) / _fans(shape, "kaiming_normal")[0]) ** 0.5, **options)

    def rand_like(self, *, dtype: Any = None) -> Self:
        """`rand` of this tensor's shape and dtype."""
        return self.rand(*self.shape, dtype=dtype or self.dtype, device=self.device)

    def randn_like(self, *, dtype: Any = None) -> Self:
        """`randn` of this tensor's shape and dtype."""
        return self.randn(*self.shape, dtype=dtype or self.dtype, device=self.device)

    def bernoulli(self) -> Self:
        """1 with each element's probability, else 0."""
        return (self.rand(*self.shape, device=self.device) < self).cast(self.dtype)

    def multinomial(self, num_samples: int = 1, replacement: bool = True) -> Self:
        """Positions drawn in proportion to weights along the last axis (of one or two), int32, with replacement."""
        if self.ndim not in (1, 2) or num_samples < 1 or not (replacement or num_samples == 1):
            raise ValueError(f"multinomial: {num_samples} samples of weights of shape {self.shape}, {replacement=}")
        weights = self.unsqueeze(0) if self.ndim == 1 else self
        edges = weights.cast(dtypes.float32).cumsum(1)
        rows, columns = weights.shape
        total = edges.shrink([None, (columns - 1, columns)]).unsqueeze(1)
        drawn = self.rand(rows, num_samples, 1, device=self.device) * total
        positions = (edges.unsqueeze(1) <= drawn).sum(2).clip(max=columns - 1).cast(dtypes.int32)
        return positions.squeeze(0) if self.ndim == 1 else positions


def _fans(shape: tuple[Any, ...], what: str) -> tuple[int, int]:
    """(in, out) of weights (out, in, ...), each at least 1."""
    out, *rest = sizes(shape, what) or (1,)
    return max(prod(rest), 1), max(out, 1)  # type: ignore[type-var,return-value]


def _uniform(first: UOp, second: UOp, dtype: DType, bits: int = 64) -> UOp:
    """Words as a float in [0, 1): as many leading bits as the float holds, so that none rounds up to 1."""
    digits = {dtypes.float16: 11, dtypes.bfloat16: 8, dtypes.float32: 24}.get(dtype)
    if digits is not None:
        kept = build.elementwise(Ops.SHR, first, build.constant(first, 32 - digits))
        return build.mul(build.cast(kept, dtype), 2.0 ** -digits)
    if bits == 32:
        return build.mul(build.cast(first, dtypes.float64), 2.0 ** -32)
    high = build.cast(build.elementwise(Ops.SHR, first, build.constant(first, 5)), dtypes.float64)     # 27 bits
    low = build.cast(build.elementwise(Ops.SHR, second, build.constant(second, 6)), dtypes.float64)    # 26 bits
    return build.mul(build.add(build.mul(high, 2.0 ** 26), low), 2.0 ** -53)


__all__ = ["Random"]
