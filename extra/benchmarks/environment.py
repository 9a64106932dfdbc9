"""The environment of the libraries that minigrad is measured beside: `.venv-rivals`, one package at a time.

    python -m extra.benchmarks.environment

A package that cannot be installed is a row that says so, and nothing else misses it.
"""
from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent.parent / ".venv-rivals"
PYTHON = FOLDER / "bin" / "python"

# llama-cpp-python comes as source. Its models that see and its programs are not needed.
SMALL = "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF"
PACKAGES = ("numpy>=2", "gguf>=0.10", "ziglang>=0.13", "tinygrad==0.13.0", "torch==2.13.0", "llama-cpp-python==0.3.36")

# tinygrad calls a program named clang; the one inside of ziglang takes the same arguments.
CLANG = """#!/bin/sh
exec "$({python} -c 'import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), "zig"))')" clang "$@"
"""


def make() -> list[str]:
    """What could not be installed."""
    if not PYTHON.exists():
        print(f"==> creating {FOLDER.name}", flush=True)
        venv.create(FOLDER, with_pip=True)
    failed = []
    for package in PACKAGES:
        print(f"==> installing {package}", flush=True)
        done = subprocess.run([PYTHON, "-m", "pip", "install", "-qq", package], check=False,
                              env={**os.environ, "CMAKE_ARGS": SMALL}, capture_output=True, text=True)
        if done.returncode:
            failed.append(package)
            print(f"    it is not there: {(done.stderr.strip().splitlines() or ['no reason'])[-1]}", file=sys.stderr)
    clang = FOLDER / "bin" / "clang"
    clang.write_text(CLANG.format(python=PYTHON))
    clang.chmod(0o755)
    return failed


if __name__ == "__main__":
    make()
