"""Finds a C compiler and turns C text into an object file's bytes.

The first that compiles a trial, in this order:
1. the command in the environment variable CC (it may hold arguments: "ccache gcc");
2. a clang of version 15 or newer on PATH;
3. the clang inside the `ziglang` package, called directly: it needs no headers, no libc and no environment;
4. gcc (or cc) on PATH. Right but slower, and without __bf16: see `Compiler.features`.

Text goes in on stdin, the object comes back on stdout: no files. The sources must include no headers.

>>> compiler = find_compiler()
>>> compiler.compile("int f(void) { return 1; }")[:4] == b"\\x7fELF"
True
"""
from __future__ import annotations

import functools
import importlib.util
import os
import re
import shlex
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from minigrad.runtime import cache
from minigrad.target import Target, host_target

OLDEST_CLANG = 15
NEWEST_CLANG = 30       # clang-NN names looked for on PATH
TIMEOUT = 600.0         # seconds; a compiler that takes longer is taken to hang

# No -ffast-math: NaN, infinity and signed zeros must survive. A multiply and an add may fuse (both the reference and
# tests allow for it), errno is not set, floating point traps are not watched, integers wrap, any pointer may alias.
COMMON_FLAGS = (
    "-O2", "-fPIC", "-std=gnu11", "-w", "-fwrapv", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast",
    "-fno-strict-aliasing", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-stack-protector",
    "-fno-ident", "-fno-unroll-loops")

# From this clang on, a search for CRCs in loops takes time that doubles with each round of a random number generator.
CLANG_SEEKS_HASHES = 22
SEEK_NO_HASHES = ("-mllvm", "-disable-loop-idiom-hashrecognize")


class CompileError(RuntimeError):
    """The compiler refused a source: its message, then the source with line numbers."""


@dataclass(frozen=True)
class Compiler:
    """A compiler on this machine. `features` are parts of C that not every compiler has:

    "bf16": the type __bf16; "f16": the type _Float16; "shufflevector": __builtin_shufflevector;
    "elementwise": __builtin_elementwise_max and relatives; "ext_vector": ext_vector_type and `mask ? a : b` on vectors.
    """

    command: tuple[str, ...]
    kind: str               # "clang" or "gcc"
    version: str            # the first line of --version
    flags: tuple[str, ...]
    features: frozenset[str]
    language: str = "c"

    @property
    def identity(self) -> str:
        """What a compiled object depends on besides its source and the machine."""
        return "\n".join((self.version, *self.command[1:], *self.flags))

    def describe(self) -> str:
        """For DEBUG=1: "clang version 22.1.8 (/path/to/zig clang)"."""
        return f"{self.version} ({' '.join(self.command)})"

    def compile(self, source: str, extra_flags: tuple[str, ...] = ()) -> bytes:
        """C text -> the bytes of a relocatable object. CompileError with the compiler's message and the source."""
        words = [*self.command, *self.flags, *extra_flags, "-c", "-x", self.language, "-", "-o"]
        if self.kind == "clang":
            output = self._run([*words, "-"], source)
        else:  # gcc's assembler seeks in its output, so that it must be a file
            import tempfile
            with tempfile.TemporaryDirectory(prefix="minigrad") as folder:
                path = os.path.join(folder, "kernels.o")
                self._run([*words, path], source)
                output = _read_bytes(path)
        if not output:
            raise CompileError(f"{self.describe()} gave no object\n\n{number_lines(source)}")
        return output

    def link(self, objects: list[str], output: str) -> None:
        """Link object files into a shared library, for machines whose objects `elf.py` cannot load. CompileError."""
        if self.command[1:] == ("clang",):  # the ziglang package's: its linker is a command of its own
            self._run([self.command[0], "ld.lld", "-shared", "-o", output, *objects], "")
        else:
            self._run([*self.command, "-shared", "-nostdlib", "-o", output, *objects], "")

    def _run(self, words: list[str], source: str) -> bytes:
        import subprocess
        try:
            done = subprocess.run(words, input=source.encode(), capture_output=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            raise CompileError(f"{self.describe()} took more than {TIMEOUT:.0f} s\n\n{number_lines(source)}") from None
        except OSError as error:
            raise CompileError(f"{self.describe()} cannot be started: {error}") from None
        if done.returncode:
            message = done.stderr.decode(errors="replace").strip()
            raise CompileError(f"{self.describe()} failed with status {done.returncode}:\n{message}\n\n"
                               f"{number_lines(source)}")
        return done.stdout


def number_lines(source: str) -> str:
    """The source with a line number before each line."""
    return "\n".join(f"{number:4d} | {line}" for number, line in enumerate(source.splitlines(), 1))


def _read_bytes(path: str) -> bytes:
    if not os.path.exists(path):  # a compiler that says nothing and does nothing
        return b""
    with open(path, "rb") as file:
        return file.read()


def machine_flags(target: Target) -> tuple[str, ...]:
    """Flags that make the compiler use all of the processor it runs on."""
    if target.arch == "x86_64":
        # Some Intel models default to 256-bit code where 512 bits exist.
        wide = ("-mprefer-vector-width=512",) if target.has("avx512f") else ()
        return ("-march=native", *wide, "-fcf-protection=none")
    return ("-mcpu=native",) if target.arch == "aarch64" else ()


def language_features(kind: str, major: int) -> frozenset[str]:
    """Parts of C that a compiler of this kind and version has; see `Compiler`."""
    if kind == "clang":
        modern = {"bf16", "f16", "elementwise"} if major >= OLDEST_CLANG else set()
        return frozenset({"shufflevector", "ext_vector", *modern})
    return frozenset({"f16", "shufflevector"} if major >= 12 else ())


def compiler_version(command: tuple[str, ...]) -> str | None:
    """The first line of `command --version`; None if it does not run. Kept on disk while the binary is the same."""
    path = shutil.which(command[0])
    if path is None:
        return None
    status = os.stat(path)
    key = f"compiler {command} {os.path.realpath(path)} {status.st_size} {status.st_mtime_ns}"
    known = cache.get(key)
    if known is not None:
        return known.decode()
    import subprocess
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.decode(errors="replace").splitlines()
    if not lines:
        return None
    cache.put(key, lines[0].strip().encode())
    return lines[0].strip()


def _major(version: str) -> int:
    """The major version in a line such as "gcc (Debian 12.2.0-14) 12.2.0" or "Debian clang version 19.1.7"."""
    found = re.search(r"clang version (\d+)", version) or re.search(r"(\d+)\.\d+\.\d+\S*$", version) \
        or re.search(r"(\d+)\.\d+", version)
    return int(found.group(1)) if found else 0


def try_compiler(command: tuple[str, ...]) -> Compiler | None:
    """The compiler behind a command; None if the command does not run."""
    version = compiler_version(command)
    if version is None:
        return None
    # Kind by what it says of itself; `zig cc` says clang too, but caches and adds debug information: it still works.
    kind = "clang" if "clang" in version or os.path.basename(command[0]) == "zig" else "gcc"
    target = host_target()
    quirks = SEEK_NO_HASHES if kind == "clang" and _major(version) >= CLANG_SEEKS_HASHES else ()
    flags = COMMON_FLAGS + machine_flags(target) + quirks
    return Compiler(command, kind, version, flags, language_features(kind, _major(version)))


def refusal(compiler: Compiler) -> str | None:
    """Why the compiler, with its flags, does not compile even a function that does nothing; None if it does. That is
    kept on disk.
    """
    key = f"compiles {compiler.command} {compiler.identity}"
    if cache.get(key) is None:
        try:
            compiler.compile("void nothing(void) {}")
        except CompileError as error:
            return str(error).partition("\n\n")[0]
        cache.put(key, b"yes")
    return None


def _candidates() -> Iterator[tuple[str, ...]]:
    """Commands to try after CC, in the documented order."""
    for name in ("clang", *(f"clang-{n}" for n in range(NEWEST_CLANG, OLDEST_CLANG - 1, -1))):
        if shutil.which(name):
            yield (name,)
    spec = importlib.util.find_spec("ziglang")
    for place in (spec.submodule_search_locations or []) if spec else []:
        binary = os.path.join(place, "zig")
        if os.access(binary, os.X_OK):
            yield binary, "clang"
    for name in ("gcc", "cc"):
        if shutil.which(name):
            yield (name,)


@functools.cache
def _find(cc: str, path: str) -> Compiler:
    """`find_compiler` for one value of CC and PATH."""
    if cc.strip():
        chosen = try_compiler(tuple(shlex.split(cc)))
        reason = "it does not run" if chosen is None else refusal(chosen)
        if chosen and reason is None:
            return chosen
        warnings.warn(f"CC={cc!r}: {reason}; looking for another C compiler", RuntimeWarning, stacklevel=3)
    for command in _candidates():
        found = try_compiler(command)
        if found and not (found.kind == "clang" and _major(found.version) < OLDEST_CLANG) and refusal(found) is None:
            return found
    raise RuntimeError(
        "the CPU device needs a C compiler and none was found: CC is not set, and there is no clang >= "
        f"{OLDEST_CLANG} on PATH, no ziglang package and no gcc. `pip install ziglang` brings one; "
        "DEV=NUMPY runs without")


def find_compiler() -> Compiler:
    """The compiler in use. RuntimeError that says what to do if there is none."""
    return _find(os.environ.get("CC", ""), os.environ.get("PATH", ""))
