"""Searches ahead of time, and looks after the files of what searches found.

    python -m extra.search llama 15M --dtype f32 --beam 4 --budget 300    # the kernels of a prompt and of a token
    python -m extra.search rows training "decode, 15M" --budget 60        # those of rows of the benchmarks, for each
    python -m extra.search export FILE                # what is known on this class of machines, a line for each kernel
    python -m extra.search merge FILE ...             # others' files into this user's
    python -m extra.search show                       # a line for each kernel

`export minigrad/search/shipped.jsonl` writes what the package ships. The folder of the user's file is the flag
CACHEDIR.
"""
from __future__ import annotations

import argparse
import sys

from extra.benchmarks.__main__ import plans
from extra.benchmarks.models import Models
from extra.benchmarks.peers.minigrad import KINDS
from extra.models.benchmark import DTYPES, random_weights
from extra.models.checkpoint import build
from extra.models.generate import Session
from extra.models.llama import preset
from minigrad.runtime.device import default_device, get_device
from minigrad.search.beam import tune
from minigrad.search.records import Database, Record, database, export


def best_records() -> list[Record]:
    """One for each kernel for which something is known on this class of machines."""
    known, target = database(), get_device(default_device()).target
    kernels = sorted({*known.lines, *known.known})
    return [record for kernel in kernels if (record := known.best(kernel, target)) is not None]


def search_llama(name: str, dtype: str, beam: int, budget: float) -> None:
    """Runs a prompt and a few tokens of a Llama with random weights."""
    config = preset(name)
    session = Session(build(config, random_weights(config, DTYPES[dtype]), name, context=min(1024, config.context)))

    def work() -> None:
        session.feed([1])
        session.feed(list(range(min(512, session.model.context - 8))))
        session.feed([1])
    tune(work, beam=beam, budget=budget)


def search_rows(names: list[str], beam: int, budget: float) -> None:
    """Prepares and runs the benchmarks' rows of these sections or names. ValueError: there are none."""
    found = [row for plan in plans(names, False) for row in plan.rows]
    if not found:
        raise ValueError(f"no row of the benchmarks is called {', '.join(names)}")
    with Models() as models:
        for row in found:
            case = models.filled(row).case
            tune(lambda: KINDS[case["kind"]](case).run(), beam=beam, budget=budget)  # noqa: B023


def merge(paths: list[str]) -> int:
    """Adds the records of files to the user's that are not there yet; their number."""
    known, other = database(), Database(*paths)
    other.refresh()
    new = [record for kernel in sorted(other.lines) for record in other.records(kernel) - known.records(kernel)]
    for record in sorted(new, key=lambda r: r.line()):
        known.add(record)
    return len(new)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m extra.search", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    llama = commands.add_parser("llama", help="search for the kernels of a Llama with random weights")
    llama.add_argument("shape")
    llama.add_argument("--dtype", default="f32", choices=sorted(DTYPES))
    rows = commands.add_parser("rows", help="search for the kernels of rows of the benchmarks")
    rows.add_argument("names", nargs="+")
    for command in (llama, rows):
        command.add_argument("--beam", type=int, default=4)
        command.add_argument("--budget", type=float, default=300, help="seconds; of a row")
    commands.add_parser("export", help="write the best of each kernel to a file").add_argument("file")
    commands.add_parser("merge", help="read others' files").add_argument("files", nargs="+")
    commands.add_parser("show", help="a line for each kernel")
    arguments = parser.parse_args()
    if arguments.command == "llama":
        search_llama(arguments.shape, arguments.dtype, arguments.beam, arguments.budget)
    elif arguments.command == "rows":
        search_rows(arguments.names, arguments.beam, arguments.budget)
    elif arguments.command == "export":
        print(f"{export(best_records(), arguments.file)} records")
    elif arguments.command == "merge":
        print(f"{merge(arguments.files)} new records")
    else:
        for record in sorted(best_records(), key=lambda r: (r.name, r.kernel)):
            print(f"{record.ratio:.2f}  {record.name}  {', '.join(map(str, record.opts or ())) or 'the heuristic'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
