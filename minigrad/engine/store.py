"""Lowered kernels on disk: a kernel's key across processes, and its ProgramSpec as plain data.

In: a kernel's AST, its target and the flags that lowering reads. Out: a key that is the same in every process that
runs the same compiler, and the ProgramSpec stored under it. A process that finds all of its kernels here neither
lowers nor calls a C compiler.

The data is JSON: numbers, strings, lists, and tagged objects for tuples, ops, dtypes, dataclasses and symbolic
integers. Reading it back builds only values of this package's own classes; anything that does not fit is treated as
absent.
"""
from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from ..dtype import DType, dtypes, to_dtype
from ..helpers import BEAM, NOOPT, SPEC, TUNED
from ..printer import format_value, lines
from ..renderer.base import ProgramSpec
from ..runtime import cache
from ..target import Target
from ..uops import ELEMENTWISE, Ops, UOp, toposort
from ..uops.uop import alu, cast

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# what decides how an AST becomes source; a change in any of it makes every stored kernel stale
COMPILER_PARTS = ("dtype.py", "helpers.py", "printer.py", "target.py", "uops", "shape", "codegen", "renderer")


@functools.cache
def compiler_version() -> str:
    """A hash of the compiler's own source."""
    digest = hashlib.sha256()
    for part in COMPILER_PARTS:
        path = os.path.join(PACKAGE, part)
        files = [path] if path.endswith(".py") else sorted(
            os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names if name.endswith(".py"))
        for file in files:
            try:
                with open(file, "rb") as source:
                    digest.update(os.path.relpath(file, PACKAGE).encode() + b"\0" + source.read())
            except OSError:
                digest.update(file.encode())
    return digest.hexdigest()[:32]


@functools.cache
def _target_text(target: Target) -> str:
    return format_value(target, {})


def flags() -> tuple[int, ...]:
    """The flags that decide a Program: those that lowering reads, then those that choose its opts. SPEC is one: a
    kernel stored under it was proved in bounds.
    """
    return int(NOOPT.value), int(SPEC.value), int(TUNED.value), int(BEAM.value)


@functools.lru_cache(1 << 12)
def structure(ast: UOp) -> str:
    """A hash of the AST's text: the kernel's name across processes."""
    return hashlib.sha256("\n".join(lines(ast, shapes=False)).encode()).hexdigest()[:40]


def kernel_key(ast: UOp, target: Target, dialect: str, opts: Any = None) -> str:
    """Names a lowered kernel: its structure, opts, flags, target, dialect of C, and the compiler's version."""
    parts = structure(ast), format_value(opts, {}), flags()[:2], dialect, _target_text(target), compiler_version()
    return "kernel " + hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()


# ---- plain data -----------------------------------------------------------------------------------------------------

def _encode_graph(root: UOp) -> list[Any]:
    order = toposort(root)
    place = {node: i for i, node in enumerate(order)}
    return [[node.op.name, node.dtype.name, [place[s] for s in node.src], encode(node.arg)] for node in order]


def _decode_graph(rows: list[Any]) -> UOp:
    nodes: list[UOp] = []
    for op_name, dtype_name, sources, arg in rows:
        op, dtype, src = Ops[op_name], to_dtype(dtype_name), tuple(nodes[i] for i in sources)
        if op is Ops.CAST:
            nodes.append(cast(src[0], dtype))
        elif op in ELEMENTWISE and dtype in (dtypes.index, dtypes.bool):
            nodes.append(alu(op, *src))  # canonical again: the order of a sum follows this process's ages
        else:
            nodes.append(UOp(op, dtype, src, decode(arg)))
    return nodes[-1]


def _own_class(module: str, name: str) -> Any:
    """A dataclass or enum of this package that is loaded already: stored data never imports or calls anything else."""
    found = getattr(sys.modules[module], name) if module.startswith(__name__.partition(".")[0] + ".") else None
    if not isinstance(found, type) or not (is_dataclass(found) or issubclass(found, Enum)):
        raise ValueError(f"{module}.{name} is no class of stored data")
    return found


def _encode_data(value: Any) -> list[Any]:
    kind = type(value)
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} has no stored form: {value!r}")
    return [kind.__module__, kind.__qualname__, {f.name: encode(getattr(value, f.name)) for f in fields(kind)}]


# by tag: the types that are stored so, to plain data and back; the first that fits
FORMS: dict[str, tuple[type | tuple[type, ...], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "float": (float, float.hex, float.fromhex),
    "tuple": ((tuple, list), lambda value: [encode(item) for item in value], lambda body: tuple(map(decode, body))),
    "set": (frozenset, lambda value: sorted(map(encode, value), key=repr), lambda body: frozenset(map(decode, body))),
    "dtype": (DType, lambda value: value.name, to_dtype),
    "uop": (UOp, _encode_graph, _decode_graph),
    "op": (Ops, lambda value: value.name, lambda body: Ops[body]),
    "enum": (Enum, lambda value: [type(value).__module__, type(value).__qualname__, value.name],
             lambda body: _own_class(body[0], body[1])[body[2]]),
    "data": (object, _encode_data,
             lambda body: _own_class(body[0], body[1])(**{name: decode(item) for name, item in body[2].items()})),
}


def encode(value: Any) -> Any:
    """A value as JSON-able data. TypeError for what has no form."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return next({tag: plain(value)} for tag, (kinds, plain, _) in FORMS.items() if isinstance(value, kinds))


def decode(data: Any) -> Any:
    """The value of `encode`'s data. ValueError, KeyError, TypeError or AttributeError if it is damaged."""
    if not isinstance(data, dict):
        return data
    (tag, body), = data.items()
    return FORMS[tag][2](body)


# ---- stored kernels -------------------------------------------------------------------------------------------------

def load(key: str) -> ProgramSpec | None:
    """The ProgramSpec stored under the key; None if there is none or it cannot be read."""
    data = cache.get(key)
    if data is None:
        return None
    try:
        spec = decode(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return None
    return spec if isinstance(spec, ProgramSpec) else None


def save(key: str, spec: ProgramSpec) -> None:
    """Stores a ProgramSpec; one with a value that has no plain form is not stored."""
    try:
        data = encode(spec)
    except TypeError:
        return
    cache.put(key, json.dumps(data, separators=(",", ":")).encode())
