"""From C text to code in this process, by way of the disk cache.

`load_source(text)` gives the functions of a text that was perhaps compiled by an earlier process; `load_object(bytes)`
those of an object. What compilers expect of their own support library, conversions to 16-bit floats that the
processor lacks, is supplied here: see `halves.c`.
"""
from __future__ import annotations

import functools
import hashlib
import os

from minigrad.runtime import cache
from minigrad.runtime.compiler import Compiler, find_compiler
from minigrad.runtime.elf import ElfError, LoadedObject, load_elf, load_shared
from minigrad.target import host_target

SUPPORT_NAMES = ("__truncsfbf2", "__truncdfbf2", "__truncsfhf2", "__truncdfhf2", "__extendhfsf2")


@functools.cache
def c_text(name: str, **defined: object) -> str:
    """The text of a .c file of this folder, with words defined for it."""
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return "".join(f"#define {word} {value}\n" for word, value in defined.items()) + file.read()


@functools.cache
def machine_key(compiler: Compiler) -> str:
    """What an object of this compiler depends on besides its source: a short hash."""
    target = host_target()
    text = "\n".join((compiler.identity, target.arch, target.model, *sorted(target.features)))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def object_key(source: str, compiler: Compiler) -> str:
    """The cache key of a compiled source."""
    return f"object {machine_key(compiler)} {hashlib.sha256(source.encode()).hexdigest()}"


def build(source: str, compiler: Compiler | None = None) -> bytes:
    """The object of a source, from the disk cache or compiled and put there. CompileError."""
    compiler = compiler or find_compiler()
    key = object_key(source, compiler)
    data = cache.get(key) or _offered.get(source)
    if data is None:
        data = compiler.compile(source)
        cache.put(key, data)
    return data


_offered: dict[str, bytes] = {}


def offer_object(source: str, data: bytes) -> None:
    """An object of the source that came from elsewhere, for this process, in case that it has none."""
    _offered[source] = data


def support_source(compiler: Compiler) -> str:
    """The conversions, as far as the compiler has the types."""
    return c_text("halves.c", **{f"HAS_{name.upper()}": 1 for name in ("bf16", "f16") if name in compiler.features})


@functools.cache
def _support(compiler: Compiler) -> LoadedObject:
    """The conversions for objects of this compiler."""
    return load_elf(build(support_source(compiler), compiler))


def _find_support(name: str, compiler: Compiler) -> int | None:
    """The address of a conversion that a compiler may call; they are compiled when first needed."""
    return _support(compiler).functions.get(name) if name in SUPPORT_NAMES else None


def load_object(data: bytes, compiler: Compiler | None = None) -> LoadedObject:
    """Code of an object of `compiler` (default: the one in use). ElfError if the object is damaged."""
    compiler = compiler or find_compiler()
    if host_target().arch != "x86_64":
        return load_shared([data], compiler.link)
    try:
        return load_elf(data, lambda name: _find_support(name, compiler))
    except OSError:  # a system that forbids memory that was written from being executed still opens libraries
        return load_shared([data], compiler.link)


def load_source(source: str, compiler: Compiler | None = None) -> LoadedObject:
    """Functions of a C text, by way of the disk cache. A damaged cached object is compiled again. CompileError."""
    compiler = compiler or find_compiler()
    data = build(source, compiler)
    try:
        return load_object(data, compiler)
    except ElfError:
        data = compiler.compile(source)
        cache.put(object_key(source, compiler), data)
        return load_object(data, compiler)
