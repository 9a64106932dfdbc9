"""Files as read-only buffers, without a copy: pages are read when a kernel first touches them; files replaced in one
step.

    weights = map_file("model.safetensors")
    buffer = weights.buffer(offset=1234, shape=(4096, 4096), dtype=dtypes.bfloat16)

A buffer may start at any byte of the file, aligned or not. It keeps the mapping alive. A file that another program
shortens while it is mapped cannot be read any more: the system then ends the process (SIGBUS).
"""
from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from minigrad.dtype import DType
from minigrad.helpers import prod
from minigrad.runtime.device import Buffer

PathLike = str | os.PathLike[str]


class MappedFile:
    """A file's bytes in memory. OSError if it cannot be read; ValueError if it is no plain file."""

    def __init__(self, path: PathLike) -> None:
        self.path = os.fspath(path)
        with open(self.path, "rb") as file:
            if not os.path.isfile(self.path):
                raise ValueError(f"{self.path}: not a plain file")
            self.size = os.fstat(file.fileno()).st_size
            # an empty file cannot be mapped
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self.size else None
        self.bytes = memoryview(self._map if self._map is not None else b"")
        # an array over the mapping knows its address
        self._address = int(np.frombuffer(self.bytes, np.uint8).__array_interface__["data"][0]) if self.size else 0

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> bytes:
        """A copy of some bytes, such as a header; a part that lies outside the file is shorter, as of `bytes`."""
        return bytes(self.bytes[part])

    def buffer(self, offset: int, shape: tuple[int, ...], dtype: DType, device: str = "CPU") -> Buffer:
        """The elements at `offset` bytes as a read-only buffer. ValueError if they do not lie inside the file."""
        if any(n < 0 for n in shape):
            raise ValueError(f"{self.path}: shape {shape}")
        nbytes = prod(shape) * dtype.itemsize
        if offset < 0 or offset + nbytes > self.size:
            raise ValueError(f"{self.path}: {dtype!r} of shape {shape} at byte {offset} ends at {offset + nbytes}, "
                             f"but the file has {self.size} bytes")
        return Buffer.external(self, self._address + offset, shape, dtype, device=device)


def map_file(path: PathLike) -> MappedFile:
    """Map a file for reading. OSError if it cannot be read, ValueError if it is no plain file."""
    return MappedFile(path)


def write_atomically(path: PathLike, parts: Iterable[bytes | memoryview]) -> None:
    """Replace a file by `parts` in one step. A process killed meanwhile leaves the old file whole, and beside it
    ".NAME.partial", which the next save takes over; the lock on it lets two processes save in turn."""
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".{target.name}.partial")
    with _locked_file(partial) as file:
        os.ftruncate(file, 0)
        for part in parts:
            rest = memoryview(part).cast("B")
            while rest:
                rest = rest[os.write(file, rest[: 1 << 30]) :]
        os.fsync(file)
        os.replace(partial, target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name itself
    finally:
        os.close(folder)


@contextlib.contextmanager
def _locked_file(path: Path) -> Iterator[int]:
    """The file, open for writing and locked. Who held the lock before may have renamed it away: then it is not the
    file at `path` any more, and another one is made."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                current = os.stat(path)
            except FileNotFoundError:
                continue
            if os.path.samestat(os.fstat(file), current):
                yield file
                return
        finally:
            os.close(file)
