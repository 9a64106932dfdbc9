"""BLAS on numpy arrays, made by the compiler: `axpy`, `dot`, `gemv`, `gemm` for float32 and float64.

    gemm("N", "T", m, n, k, 1.0, a, lda, b, ldb, 0.0, c, ldc)       # c[:m, :n] = a[:m, :k] @ b[:n, :k].T

The signatures are the classic ones, for matrices whose rows lie one after the other: a leading dimension is the
distance between the first elements of two rows, an increment that between two elements of a vector; where it is
negative the vector runs backwards from its end. An array stands for the memory from its first element to its last, so
that a view such as `big[2:, 3:]` is given with the leading dimension of `big`. Nothing is copied.

The first call of a structure (everything but the memory and the values of the scalars) compiles it; later ones launch
its kernels. What is written must not share memory with what is read: ValueError, as for all that does not fit.

Reference: Dongarra, Du Croz, Hammarling, Duff, "A set of level 3 basic linear algebra subprograms" (1990).
"""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .dtype import to_dtype
from .engine.realize import Recorder, recording
from .runtime.device import Buffer, Program, default_device, get_device
from .runtime.locks import fork_safe_lock
from .schedule import Kernel
from .tensor import Tensor, no_grad
from .uops import Ops, UOp

MOST_ROUTINES = 512     # structures that stay compiled
TRANSPOSED = {"N": False, "n": False, "T": True, "t": True, "C": True, "c": True}

Array = np.ndarray[Any, Any]
# of an operand: (rows, distance between two of them), and how many elements an array must hold
Memory = tuple[tuple[int, int], int]


class Routine(Recorder):
    """Launches of one structure, recorded in its first run and repeated with other memory. The last operand is written
    unless there is a result. `shapes`: of the operands' memory; `counts`: how many elements of it are touched."""

    def __init__(self, name: str, build: Callable[..., Tensor], arrays: Sequence[Array], memory: Sequence[Memory],
                 scalars: int) -> None:
        for i, (array, (_, count)) in enumerate(zip(arrays, memory)):
            if array.dtype.str != arrays[-1].dtype.str or array.dtype not in (np.float32, np.float64):
                raise TypeError(f"{name}: array {i} has dtype {array.dtype}, the last {arrays[-1].dtype}: expected "
                                "float32 or float64 throughout")
            if _span(name, i, array) < count:
                raise ValueError(f"{name}: array {i} of shape {array.shape} holds {_span(name, i, array)} elements, "
                                 f"{count} are needed")
        dtype, device = to_dtype(arrays[0].dtype), default_device()
        self.device = get_device(device)
        if not self.device.is_host:
            raise ValueError(f"{name}: {device} does not compute on the host's memory")
        self.name, self.build = name, build
        self.sizes = [count * dtype.itemsize for _, count in memory]
        self.operands = [Buffer.external(None, 0, shape, dtype, device=device, readonly=False) for shape, _ in memory]
        self.numbers = [Buffer(device, (1,), dtype) for _ in range(scalars)]
        self.scalars = [buffer.numpy() for buffer in self.numbers]
        self.launches: list[tuple[Program, tuple[Buffer, ...]]] | None = None
        self.result: Array | None = None

    def run(self, arrays: Sequence[Array], scalars: tuple[float, ...]) -> Array | None:
        addresses = [array.__array_interface__["data"][0] for array in arrays]
        if self.name != "dot":
            start, end = addresses[-1], addresses[-1] + self.sizes[-1]
            if not arrays[-1].flags.writeable:
                raise ValueError(f"{self.name}: the array to be written is read-only")
            for address, size in zip(addresses[:-1], self.sizes):
                if address < end and start < address + size:
                    raise ValueError(f"{self.name}: the array to be written shares memory with another")
        for buffer, address in zip(self.operands, addresses):
            buffer._ptr = address
        for place, value in zip(self.scalars, scalars):
            place[0] = value
        if self.launches is None:
            self._first_run()
        else:
            for program, buffers in self.launches:
                self.device.launch(program, buffers, {})
        return self.result

    def _first_run(self) -> None:
        self.launches = []
        tensors = [Tensor._wrap(UOp(Ops.BUFFER, buffer.dtype, (), buffer), buffer.device)
                   for buffer in self.operands + self.numbers]
        with recording(self), no_grad():
            made = self.build(*tensors).realize().buffer
        self.result = None if made is None or made in self.operands else made.numpy()

    def launch(self, program: Program | None, kernel: Kernel, variables: Mapping[str, int]) -> None:
        assert program is not None and self.launches is not None
        self.launches.append((program, tuple(kernel.buffers)))


_routines: OrderedDict[tuple[Any, ...], Routine] = OrderedDict()
_lock = fork_safe_lock()


def _known(structure: tuple[Any, ...], arrays: Sequence[Array]) -> tuple[tuple[Any, ...], Routine | None]:
    """The key of a structure with these arrays, and its routine if it was called before. TypeError."""
    for i, array in enumerate(arrays):
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{structure[0]}: operand {i} is a {type(array).__name__}, expected an array")
    key = structure, *[(array.dtype.str, array.shape, array.strides) for array in arrays]
    return key, _routines.get(key)


def _run(key: tuple[Any, ...], routine: Routine, arrays: Sequence[Array], scalars: tuple[float, ...]) -> Array | None:
    with _lock:
        result = routine.run(arrays, scalars)
        if key not in _routines:
            _routines[key] = routine
            if len(_routines) > MOST_ROUTINES:
                _routines.popitem(last=False)
        return result


def _span(name: str, number: int, array: Array) -> int:
    """Elements of the memory from the first element of an array to its last."""
    if array.size == 0:
        return 0
    if any(stride < 0 or stride % array.itemsize for stride in array.strides):
        raise ValueError(f"{name}: array {number} has strides of {array.strides} bytes: expected views whose elements "
                         "lie in ascending order")
    return int(1 + sum((n - 1) * stride for n, stride in zip(array.shape, array.strides)) // array.itemsize)


def _sizes(name: str, **sizes: int) -> None:
    for key, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or size < 0:
            raise ValueError(f"{name}: {key} is {size!r}, expected an integer that is not negative")


def _matrix(name: str, which: str, rows: int, columns: int, leading: int) -> Memory:
    if leading < max(1, columns):
        raise ValueError(f"{name}: ld{which} is {leading}, expected at least {max(1, columns)}, the length of a row")
    return (rows, leading), (rows - 1) * leading + columns if rows and columns else 0


def _vector(name: str, which: str, n: int, increment: int) -> Memory:
    if increment == 0:
        raise ValueError(f"{name}: inc{which} is 0")
    return (n, abs(increment)), (n - 1) * abs(increment) + 1 if n else 0


def _transposed(name: str, which: str, letter: str) -> bool:
    if letter not in TRANSPOSED:
        raise ValueError(f"{name}: trans{which} is {letter!r}, expected 'N', 'T' or 'C'")
    return TRANSPOSED[letter]


def _elements(memory: Tensor, increment: int) -> Tensor:
    """A vector (n) in memory of n elements with their gaps."""
    vector = memory[:, 0]
    return vector.flip(0) if increment < 0 else vector


def _kind(factor: float) -> int:
    """Factors of 0 and 1 have kernels of their own: 2 stands for any other."""
    return 0 if factor == 0 else 1 if factor == 1 else 2


def _scaled(value: Tensor, kind: int, factor: Tensor) -> Tensor:
    return value if kind == 1 else value * factor


def _update(old: Tensor, product: Tensor, kinds: tuple[int, int], alpha: Tensor, beta: Tensor) -> Tensor:
    """alpha · product + beta · old. What has a factor of 0 is not read: it may be NaN."""
    new = _scaled(product, kinds[0], alpha) if kinds[0] else Tensor.zeros(*old.shape, dtype=old.dtype)
    return new + _scaled(old, kinds[1], beta) if kinds[1] else new


def axpy(n: int, alpha: float, x: Array, incx: int, y: Array, incy: int) -> None:
    """y += alpha · x, for n elements."""
    key, routine = _known(("axpy", n, incx, incy), (x, y))
    if routine is None:
        _sizes("axpy", n=n)
        memory = _vector("axpy", "x", n, incx), _vector("axpy", "y", n, incy)

        def build(x: Tensor, y: Tensor, alpha: Tensor) -> Tensor:
            y[:, 0] = y[:, 0] + alpha * _elements(x, incx * incy)
            return y

        routine = Routine("axpy", build, (x, y), memory, 1)
    if n and alpha:
        _run(key, routine, (x, y), (alpha,))


def dot(n: int, x: Array, incx: int, y: Array, incy: int) -> float:
    """The sum of x · y, over n elements."""
    key, routine = _known(("dot", n, incx, incy), (x, y))
    if routine is None:
        _sizes("dot", n=n)
        memory = _vector("dot", "x", n, incx), _vector("dot", "y", n, incy)
        routine = Routine("dot", lambda x, y: (_elements(x, incx) * _elements(y, incy)).sum(), (x, y), memory, 0)
    result = _run(key, routine, (x, y), ()) if n else None
    return 0.0 if result is None else float(result.item())


def gemv(trans: str, m: int, n: int, alpha: float, a: Array, lda: int, x: Array, incx: int, beta: float, y: Array,
         incy: int) -> None:
    """y = alpha · a · x + beta · y, for a of m rows and n columns; with trans "T" the transpose of a."""
    kinds = _kind(alpha), _kind(beta)
    key, routine = _known(("gemv", trans, m, n, lda, incx, incy, kinds), (a, x, y))
    if routine is None:
        _sizes("gemv", m=m, n=n)
        turned = _transposed("gemv", "", trans)
        inner, outer = (m, n) if turned else (n, m)
        memory = (_matrix("gemv", "a", m, n, lda), _vector("gemv", "x", inner, incx), _vector("gemv", "y", outer, incy))

        def build(a: Tensor, x: Tensor, y: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
            matrix = a[:, :n].transpose() if turned else a[:, :n]
            product = _elements(matrix @ _elements(x, incx).reshape(inner, 1), incy).reshape(outer)
            y[:, 0] = _update(y[:, 0], product, kinds, alpha, beta)
            return y

        routine = Routine("gemv", build, (a, x, y), memory, 2)
        if not outer:
            return
    _run(key, routine, (a, x, y), (alpha, beta))


def gemm(transa: str, transb: str, m: int, n: int, k: int, alpha: float, a: Array, lda: int, b: Array, ldb: int,
         beta: float, c: Array, ldc: int) -> None:
    """c = alpha · a · b + beta · c, for c of m rows and n columns, and k products in each sum. With "T" a is given as
    its transpose, of k rows and m columns; so is b, of n rows and k columns."""
    kinds = _kind(alpha), _kind(beta)
    key, routine = _known(("gemm", transa, transb, m, n, k, lda, ldb, ldc, kinds), (a, b, c))
    if routine is None:
        _sizes("gemm", m=m, n=n, k=k)
        turned_a, turned_b = _transposed("gemm", "a", transa), _transposed("gemm", "b", transb)
        rows_a, columns_a = (k, m) if turned_a else (m, k)
        rows_b, columns_b = (n, k) if turned_b else (k, n)
        memory = (_matrix("gemm", "a", rows_a, columns_a, lda), _matrix("gemm", "b", rows_b, columns_b, ldb),
                  _matrix("gemm", "c", m, n, ldc))

        def build(a: Tensor, b: Tensor, c: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
            left, right = a[:, :columns_a], b[:, :columns_b]
            product = (left.transpose() if turned_a else left) @ (right.transpose() if turned_b else right)
            c[:, :n] = _update(c[:, :n], product, kinds, alpha, beta)
            return c

        routine = Routine("gemm", build, (a, b, c), memory, 2)
        if not (m and n):
            return
    _run(key, routine, (a, b, c), (alpha, beta))
