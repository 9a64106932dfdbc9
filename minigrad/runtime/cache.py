"""Bytes by key on disk: compiled objects, tuning results and probes, kept from one process to the next.

`get(key)` gives the bytes that an earlier `put(key, data)` stored, or None. The folder is the flag CACHEDIR, else
`minigrad` in the user's cache folder ($XDG_CACHE_HOME, ~/.cache). Nothing here can fail: a folder that cannot be
written, an entry that is damaged, a full disk or another process at the same work cost time, never correctness.

An entry is one file whose name is the hash of its key: a header (magic, length, checksum of key and data), then the
data. It is written to a temporary file and renamed, so that a reader sees all of it or nothing. When the folder
passes its size the entries used longest ago are removed; a read marks its entry as used.
"""
from __future__ import annotations

import hashlib
import os
import time

from minigrad.helpers import CACHE, CACHEDIR

MAGIC = b"minigrad1\n"
HEADER = len(MAGIC) + 8 + 32            # magic, length of the data, checksum
LIMIT = 1 << 30                         # bytes that the folder may hold
CHECK_EVERY = 64 << 20                  # bytes written by this process between two looks at the folder's size
MARK_AFTER = 3600.0                     # seconds before a read marks its entry as used again

_written = CHECK_EVERY // 2             # a process that writes half of that also looks once


def folder() -> str:
    """The cache folder, which need not exist yet."""
    if CACHEDIR.value:
        return str(CACHEDIR.value)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "minigrad")


def _path(key: str) -> str:
    name = hashlib.sha256(key.encode()).hexdigest()
    return os.path.join(folder(), name[:2], name[2:40])


def _checksum(key: str, data: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\0" + data).digest()


def get(key: str) -> bytes | None:
    """The data stored under `key`; None if there is none, or if the entry is damaged."""
    if not CACHE:
        return None
    path = _path(key)
    try:
        with open(path, "rb") as file:
            entry = file.read()
            used = os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    start = len(MAGIC)
    data = entry[HEADER:]
    if entry[:start] != MAGIC or entry[start:start + 8] != len(data).to_bytes(8, "little") \
            or entry[start + 8:HEADER] != _checksum(key, data):
        return None
    if time.time() - used > MARK_AFTER:
        try:
            os.utime(path)
        except OSError:
            pass
    return data


def put(key: str, data: bytes) -> None:
    """Store `data` under `key`, replacing what was there. Silent where it cannot be stored."""
    global _written
    if not CACHE:
        return
    path = _path(key)
    temporary = f"{path}.{os.getpid()}.{time.monotonic_ns()}.tmp"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(MAGIC + len(data).to_bytes(8, "little") + _checksum(key, data))
            file.write(data)
        os.replace(temporary, path)
    except OSError:
        _remove(temporary)
        return
    _written += HEADER + len(data)
    if _written >= CHECK_EVERY:
        _written = 0
        trim(LIMIT)


def _remove(path: str) -> None:
    try:
        os.remove(path)
    except OSError:
        pass


def trim(limit: int) -> None:
    """Remove the entries used longest ago until the folder holds three quarters of `limit` bytes at most."""
    entries: list[tuple[float, int, str]] = []
    for where, _, names in os.walk(folder()):
        for name in names:
            path = os.path.join(where, name)
            try:
                status = os.stat(path)
            except OSError:
                continue
            if name.endswith(".tmp") and time.time() - status.st_mtime > MARK_AFTER:
                _remove(path)  # left by a process that was killed while writing
            elif not name.endswith(".tmp"):
                entries.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in entries)
    if total <= limit:
        return
    for _, size, path in sorted(entries):
        if total <= limit * 3 // 4:
            break
        _remove(path)
        total -= size
