"""Run the benchmarks named on the command line, or all of them.

    python -m extra.benchmarks matmul rows --json runs/bench.json
    python -m extra.benchmarks --publish        # README.md's table and plot

Each runs in a process of its own, so that none meets another's threads, memory or caches.
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from extra.benchmarks.harness import OPENBLAS_CORE, has_avx512
from extra.benchmarks.plot import publish

NAMES = {
    "matmul": "matrix products against the FMA peak and OpenBLAS",
    "rows": "attention, softmax and rmsnorm against their bounds (and torch, where it is installed)",
    "replay": "what one more tiny kernel costs in a replayed graph",
    "blas_ladder": "one matrix product from a Python loop to all cores, a list of opts a rung",
    "compile_time": "scheduling, lowering, compiling and the warm start of one token of a 1B Llama",
    "beam": "what a search finds for matrix products, attention, softmax and the kernels of a token",
    "decode": "tokens/s of Llama against the read bandwidth",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m extra.benchmarks", description=__doc__.splitlines()[0],
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="\n".join(f"{name:14} {text}" for name, text in NAMES.items()))
    parser.add_argument("names", nargs="*", metavar="NAME", help="which to run; all if none is given")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the tables as JSON")
    parser.add_argument("--publish", action="store_true", help="also write the table and the plot of README.md")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    environment = dict(os.environ)
    if has_avx512():
        environment.setdefault("OPENBLAS_CORETYPE", OPENBLAS_CORE)
    failed, results = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.names or NAMES:
            part = Path(folder) / f"{name}.json"
            command = [sys.executable, "-m", f"extra.benchmarks.{name}", str(part)]
            if subprocess.run(command, env=environment, check=False).returncode:
                failed.append(name)
            elif part.exists():
                results.append(json.loads(part.read_text()))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(results, indent=1))
    if arguments.publish:
        publish(results)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
