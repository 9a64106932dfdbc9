"""Random shapes, views and indices against numpy: whatever chain of movement leads there, values and gradients are
numpy's.
"""
from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad import Context, Tensor

SEEDS = st.integers(0, 1 << 30)
DEVICES = pytest.mark.parametrize("device", ["NUMPY", "CPU"])


def random_shape(rng: random.Random, axes: int = 3, largest: int = 4) -> tuple[int, ...]:
    return tuple(rng.choice([0, 1, *range(1, largest + 1)] if rng.random() < 0.1 else range(1,
                             largest + 1)) for _ in range(rng.randint(0, axes)))


def moved(rng: random.Random, x: Any, a: np.ndarray) -> tuple[Any, np.ndarray]:
    """One random movement of a tensor and of an array."""
    kind = rng.choice(["permute", "reshape", "expand", "flip", "pad", "slice", "unsqueeze", "repeat", "roll"])
    if kind == "permute":
        order = rng.sample(range(a.ndim), a.ndim)
        return x.permute(order), a.transpose(order)
    if kind == "reshape":
        rest, sizes = a.size, []
        while rest > 1:
            n = rng.choice([d for d in range(2, rest + 1) if rest % d == 0])
            sizes.append(n)
            rest //= n
        return (x.reshape(sizes), a.reshape(sizes)) if a.size else (x, a)
    if kind == "expand":
        shape = [rng.randint(1, 3) if n == 1 else n for n in a.shape]
        return x.expand(*shape), np.broadcast_to(a, shape)
    if kind == "flip":
        axes = [i for i in range(a.ndim) if rng.random() < 0.5]
        return (x.flip(*axes), np.flip(a, axes)) if axes else (x, a)
    if kind == "pad":
        widths = [(rng.randint(0, 2), rng.randint(0, 2)) for _ in a.shape]
        return (x.pad(widths), np.pad(a, widths)) if a.ndim else (x, a)
    if kind == "slice":
        return indexed(rng, x, a)
    if kind == "unsqueeze":
        axis = rng.randint(0, a.ndim)
        return x.unsqueeze(axis), np.expand_dims(a, axis)
    if kind == "repeat":
        counts = [rng.randint(1, 2) for _ in a.shape]
        return (x.repeat(*counts), np.tile(a, counts)) if a.ndim else (x, a)
    if not a.ndim:
        return x, a
    axis, shift = rng.randrange(a.ndim), rng.randint(-3, 3)
    return x.roll(shift, axis), np.roll(a, shift, axis)


def random_index(rng: random.Random, shape: tuple[int, ...]) -> tuple[Any, ...]:
    index: list[Any] = []
    for n in shape[:rng.randint(0, len(shape))]:
        kind = rng.random()
        if kind < 0.25 and n:
            index.append(rng.randint(-n, n - 1))
        elif kind < 0.9:
            bound = lambda n=n: rng.choice([None, rng.randint(-n - 1, n + 1)])
            index.append(slice(bound(), bound(), rng.choice([None, 1, 2, 3, -1, -2])))
        else:
            index.append(None)
            index.append(slice(None))
    if rng.random() < 0.3 and len([i for i in index if i is not None]) <= len(shape):
        index.append(Ellipsis)
    return tuple(index)


def indexed(rng: random.Random, x: Any, a: np.ndarray) -> tuple[Any, np.ndarray]:
    index = random_index(rng, a.shape)
    return x[index], a[index]


def chain(rng: random.Random, x: Any, a: np.ndarray) -> tuple[Any, np.ndarray]:
    for _ in range(rng.randint(1, 5)):
        if a.size < 300:
            x, a = moved(rng, x, a)
    return x, a


@given(SEEDS)
def test_chains_of_movement_and_arithmetic(seed: int) -> None:
    rng = random.Random(seed)
    shape = random_shape(rng)
    start = np.random.default_rng(seed).standard_normal(shape) + np.zeros(())
    for device in ("NUMPY", "CPU")[:2 if seed % 8 == 0 else 1]:
        rng.seed(seed)
        with Context(DEV=device, EAGER=seed % 2):
            x, a = chain(rng, Tensor(start), start)
            x, a = x * 2 + 1, a * 2 + 1
            x, a = chain(rng, x, a)
            if a.ndim and a.size:
                axis = rng.randrange(a.ndim)
                x, a = x.sum(axis, keepdim=True) - x.max(axis, keepdim=True), a.sum(axis, keepdims=True) - a.max(axis,
                             keepdims=True)
            x, a = chain(rng, x, a)
            assert x.shape == a.shape
            np.testing.assert_allclose(x.numpy(), a, rtol=1e-9, atol=1e-9)


@given(SEEDS)
def test_gradients_of_chains_are_adjoint(seed: int) -> None:
    """For a linear map, <f(x), g> - <f(0), g> == <x, gradient>."""
    rng = random.Random(seed)
    shape = random_shape(rng)
    start = np.random.default_rng(seed).standard_normal(shape) + np.zeros(())
    with Context(DEV="NUMPY"):
        x = Tensor(start, requires_grad=True)
        y, b = chain(rng, x, start)
        g = np.random.default_rng(seed + 1).standard_normal(b.shape) + np.zeros(())
        (y * Tensor(g)).sum().backward()
        grad = x.grad.numpy() if x.grad is not None else np.zeros(shape)
        assert grad.shape == shape
        np.testing.assert_allclose((b * g).sum(), (start * grad).sum(), rtol=1e-9, atol=1e-9)


@given(SEEDS)
def test_broadcasting(seed: int) -> None:
    rng = random.Random(seed)
    shape = random_shape(rng)
    shapes = []
    for _ in range(3):
        kept = shape[rng.randint(0, len(shape)):]
        shapes.append(tuple(1 if rng.random() < 0.3 else n for n in kept))
    arrays = [np.random.default_rng(seed + i).standard_normal(s) for i, s in enumerate(shapes)]
    with Context(DEV="NUMPY"):
        a, b, c = (Tensor(x) for x in arrays)
        np.testing.assert_allclose((a * b + c).numpy(), arrays[0] * arrays[1] + arrays[2])
        np.testing.assert_allclose((a < b).where(b, c).numpy(), np.where(arrays[0] < arrays[1], arrays[1], arrays[2]))


@given(SEEDS)
def test_reductions(seed: int) -> None:
    rng = random.Random(seed)
    array = np.random.default_rng(seed).integers(-3, 4, random_shape(rng)).astype(np.float64)
    axes = tuple(a for a in range(array.ndim) if rng.random() < 0.5)
    keep = rng.random() < 0.5
    with Context(DEV="NUMPY"):
        x = Tensor(array)
        np.testing.assert_allclose(x.sum(axes, keepdim=keep).numpy(), array.sum(axes, keepdims=keep))
        np.testing.assert_allclose(x.prod(axes, keepdim=keep).numpy(), array.prod(axes, keepdims=keep))
        np.testing.assert_allclose(x.max(axes, keepdim=keep).numpy(), array.max(axes, keepdims=keep, initial=-np.inf))
        np.testing.assert_array_equal((x > 0).any(axes, keepdim=keep).numpy(), (array > 0).any(axes, keepdims=keep))
        if array.ndim and array.shape[0]:
            np.testing.assert_array_equal(x.argmax(0).numpy(), array.argmax(0))
            np.testing.assert_allclose(x.cumsum(0).numpy(), array.cumsum(0))


@given(SEEDS)
def test_assignment_through_random_indices(seed: int) -> None:
    rng = random.Random(seed)
    array = np.random.default_rng(seed).standard_normal(random_shape(rng, 3, 5))
    with Context(DEV="NUMPY", EAGER=seed % 2):
        x = Tensor(array.copy())
        for step in range(3):
            index = random_index(rng, array.shape)
            if rng.random() < 0.3 and array.ndim and array.shape[0]:
                index = ([rng.randrange(array.shape[0]) for _ in range(rng.randint(1, 3))],)
            part = array[index]
            value = np.full(part.shape,
                            float(step)) if rng.random() < 0.5 else np.arange(part.size).reshape(part.shape) * 1.0
            if isinstance(index and index[0], list):
                value = np.full(part.shape, float(step))
            array[index] = value
            x[index] = Tensor(value)
        np.testing.assert_array_equal(x.numpy(), array)


@given(SEEDS)
def test_index_tensors(seed: int) -> None:
    rng = random.Random(seed)
    shape = tuple(rng.randint(1, 4) for _ in range(rng.randint(1, 4)))
    array = np.random.default_rng(seed).standard_normal(shape) + np.zeros(())
    common = random_shape(rng, 2, 3)
    index: list[Any] = []
    for n in shape:
        kind = rng.random()
        if kind < 0.4:
            index.append(np.random.default_rng(seed + n).integers(-n, n, common))
        elif kind < 0.6:
            index.append(rng.randrange(n))
        else:
            index.append(slice(None))
    with Context(DEV="NUMPY"):
        mine = tuple(Tensor(i) if isinstance(i, np.ndarray) else i for i in index)
        np.testing.assert_array_equal(Tensor(array)[mine].numpy(), array[tuple(index)])


@DEVICES
@given(SEEDS)
def test_products(device: str, seed: int) -> None:
    rng = random.Random(seed)
    batch, m, k, n = random_shape(rng, 2, 3), *(rng.choice([0, 1, 2, 3, 5, 8]) for _ in range(3))
    a = np.random.default_rng(seed).standard_normal((*batch, m, k))
    b = np.random.default_rng(seed + 1).standard_normal((*batch[rng.randint(0, len(batch)):], k, n))
    if device == "CPU" and seed % 8:
        return  # a few are enough for the compiler
    with Context(DEV=device):
        np.testing.assert_allclose((Tensor(a) @ Tensor(b)).numpy(), a @ b, atol=1e-12)
        np.testing.assert_allclose(Tensor.einsum("...ij,...jk->...k", Tensor(a), Tensor(b)).numpy(),
                                   np.einsum("...ij,...jk->...k", a, b), atol=1e-12)


def test_lists_of_tensors_are_joined() -> None:
    with Context(DEV="NUMPY"):
        x, y = Tensor([1, 2]), Tensor([3, 4])
        assert Tensor.cat([x, y]).tolist() == x.cat(y).tolist() == [1, 2, 3, 4]
        assert Tensor.stack([x, y], dim=1).tolist() == [[1, 3], [2, 4]]
        with pytest.raises(TypeError, match="cat"):
            Tensor.cat([])
