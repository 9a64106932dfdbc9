"""Runs rendered CUDA on the CPU: the text goes unchanged through a C++ compiler, behind cuda_emulator.h."""
from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.renderer.base import ProgramSpec
from minigrad.uops.symbolic import evaluate

HEADER = Path(__file__).with_name("cuda_emulator.h")
Array = np.ndarray[Any, Any]


def find_cpp() -> list[str] | None:
    """The words that start a C++ compiler: g++, clang++, or the one in the ziglang package."""
    for name in ("g++", "clang++"):
        if shutil.which(name):
            return [name]
    try:
        import ziglang
    except ImportError:
        return None
    return [os.path.join(os.path.dirname(ziglang.__file__), "zig"), "c++"]


def build(kernels: Mapping[str, tuple[str, str]], folder: Path, compiler: list[str]) -> dict[str, Any]:
    """Emulated kernels, functions of (arguments, sizes, reverse), from their texts and names: one compiler call."""
    source, library = folder / "kernels.cpp", folder / "kernels.so"
    parts = [f'#include "{HEADER}"']
    for i, (text, name) in enumerate(kernels.values()):
        parts.append(f"#define {name} {name}_{i}\nnamespace kernel_{i} {{\n{text}\n"
                     f'extern "C" int launch_{i}(void **arguments, const int *sizes, int reverse) {{\n'
                     f"  return emulate({name}, arguments, sizes, reverse);\n}}\n}}\n#undef {name}")
    source.write_text("\n".join(parts) + "\n")
    options = ["-O1", "-std=c++17", "-shared", "-fPIC", "-ffp-contract=off", "-w"]
    words = [*compiler, *options, str(source), "-o", str(library), "-lm"]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}\n{done.stderr}\n{source.read_text()}")
    loaded = ctypes.CDLL(str(library))
    return {key: getattr(loaded, f"launch_{i}") for i, key in enumerate(kernels)}


def run(launch: Any, spec: ProgramSpec, arrays: list[Array], variables: Mapping[str, int],
        reverse: bool = False) -> list[Array]:
    """The buffers' contents after a launch. `reverse`: the last thread of a block runs first.

    Every buffer lies between margins of NaN bits: what is read there spreads, RuntimeError if it is written to.
    RuntimeError too where threads of a block wait at a barrier that others do not reach.
    """
    margin = 1024
    blocks = [np.full(a.nbytes + 2 * margin + 64, 0xff, np.uint8) for a in arrays]
    views = []
    for block, a in zip(blocks, arrays):
        start = margin + -(block.ctypes.data + margin) % 64
        views.append(block[start:start + a.nbytes].view(a.dtype).reshape(a.shape))
        views[-1][...] = a
    values: list[Any] = [ctypes.c_void_p(v.ctypes.data) for v in views]
    wide = "long long " in spec.source.split("{")[0]
    values += [(ctypes.c_longlong if wide else ctypes.c_int)(variables[name]) for name in spec.variables]
    arguments = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
    sizes = (ctypes.c_int * 6)(*(evaluate(n, variables) for n in (*spec.grid, *spec.block)))
    wrong = launch(arguments, sizes, int(reverse))
    if wrong:
        reasons = {1: "threads of a block part at a barrier", 2: "no memory for stacks"}
        raise RuntimeError(f"{spec.name}: {reasons[wrong]}")
    for slot, (block, view) in enumerate(zip(blocks, views)):
        start = view.ctypes.data - block.ctypes.data
        if (block[:start] != 0xff).any() or (block[start + view.nbytes:] != 0xff).any():
            raise RuntimeError(f"{spec.name}: writes outside of buffer {slot}")
    return [v.copy() for v in views]
