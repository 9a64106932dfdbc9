"""What became of a program, to be looked at: its kernels, graphs, rewrites, times and memory.

    python tools/viz.py script.py [arguments]       runs a program, or with -m a module, and makes its page
    VIZ=1 python anything.py; python tools/viz.py   makes the page of what ran last

    --html FILE     one HTML file that needs nothing else (the default: beside the trace)
    --serve [PORT]  the page on localhost
    --json FILE     the facts as data; --chrome FILE: a trace for Perfetto or chrome://tracing
    --dot, --svg, --png, --pdf FILE     a picture by graphviz of --graph schedule (the default), tensor, kernel, nest
                    or linear; --schedule N, --kernel N and --step N say which (default: the one with most kernels,
                    its slowest kernel, after its last step)

It reads a trace (`minigrad/engine/tracefile.py` says what is in it) and needs no device.
"""
from __future__ import annotations

import argparse
import base64
import gzip
import http.server
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file
    sys.path.insert(0, str(ROOT))

from tools import graphs  # noqa: E402

PAGE = Path(__file__).resolve().parent / "page"
VERSION = 1
PICTURES = ("dot", "svg", "png", "pdf")


def default_trace() -> Path:
    """Where VIZ=1 writes: as `minigrad.engine.tracefile` has it, without importing it."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(os.environ.get("CACHEDIR") or os.path.join(base, "minigrad")) / "trace.json"


def read(path: Path) -> dict[str, Any]:
    """A trace. SystemExit with what is wrong, for a file that is none."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise SystemExit(f"viz: there is no trace {path}: run a program with VIZ=1, or name one here") from None
    except (OSError, ValueError) as error:
        raise SystemExit(f"viz: {path} is no trace: {error}") from None
    if not isinstance(content, dict) or content.get("version") != VERSION:
        found = content.get("version") if isinstance(content, dict) else type(content).__name__
        raise SystemExit(f"viz: {path} has version {found!r} of the schema, expected {VERSION}")
    return content


def packed(text: str) -> str:
    """Text as it is put into a page: gzip, in letters."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def html(trace: dict[str, Any]) -> str:
    """The page, whole."""
    page = (PAGE / "page.html").read_text()
    for name, text in (("STYLE", (PAGE / "page.css").read_text()), ("SCRIPT", (PAGE / "page.js").read_text()),
                       ("LAYOUT", packed((PAGE / "viz-global.js").read_text())),
                       ("DATA", packed(json.dumps(trace, separators=(",", ":"))))):
        page = page.replace(f"@{name}@", text, 1)
    return page


def facts(trace: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of each kernel, as data."""
    rows = []
    tried = {search["ast"]: search["tried"] for search in trace["searches"]}
    for place, schedule in enumerate(trace["schedules"]):
        for number, kernel in enumerate(schedule["kernels"]):
            launches = [row for row in trace["launches"] if row[:2] == [place, number]]
            program = graphs.program_of(trace, kernel, launches)
            seconds = sum(row[5] for row in launches)
            rows.append({
                "schedule": place, "kernel": number, "name": graphs.name_of(trace, kernel, program),
                "device": launches[0][3] if launches else None, "lines": [trace["lines"][n] for n in kernel["lines"]],
                "reasons": [row[0] for row in kernel["reasons"]], "edits": [row[1] for row in kernel["reasons"]],
                "buffers": [trace["buffers"][n] for n in kernel["buffers"]], "written": kernel["written"],
                "launches": len(launches), "seconds": seconds,
                "operations": sum(row[6] for row in launches), "bytes": sum(row[7] for row in launches),
                **graphs.roof_of(trace, launches),
                "opts": program["opts"] if program else [], "tuned": program["tuned"] if program else None,
                "tried": tried.get(kernel["ast"], []), "source": program["source"] if program else "",
                "rewrites": [row[:2] for row in program["steps"]] if program else []})
    return {"version": VERSION, "command": trace["command"], "seconds": trace["seconds"], "devices": trace["devices"],
            "recordings": trace["recordings"], "kernels": rows}


def chrome(trace: dict[str, Any]) -> dict[str, Any]:
    """The run in the Trace Event Format, which Perfetto and chrome://tracing open. Times in microseconds.

    Source: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU (Trace Event Format).
    """
    devices = {name: number for number, name in enumerate(trace["devices"], 1)}
    events: list[dict[str, Any]] = [{"ph": "M", "name": "process_name", "pid": number, "args": {"name": name}}
                                    for name, number in [("scheduling", 0), *devices.items()]]
    for number, schedule in enumerate(trace["schedules"]):
        if schedule["name"] == "realize":
            events.append({"ph": "X", "name": f"schedule {number}", "pid": 0, "tid": 0, "ts": schedule["at"] * 1e6,
                           "dur": schedule["seconds"] * 1e6, "args": {"kernels": len(schedule["kernels"])}})
    for place, number, program, device, at, seconds, operations, moved in trace["launches"]:
        kernel = trace["schedules"][place]["kernels"][number]
        lines = [trace["lines"][n] for n in kernel["lines"]]
        events.append({"ph": "X", "name": trace["programs"][program]["name"], "pid": devices[device], "tid": 0,
                       "ts": at * 1e6, "dur": seconds * 1e6, "cat": "kernel",
                       "args": {"line": lines[0] if lines else "", "operations": operations, "bytes": moved,
                                "schedule": place, "kernel": number}})
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def picture(trace: dict[str, Any], kind: str, path: Path, arguments: argparse.Namespace) -> None:
    """A graph as DOT text, or drawn by graphviz' `dot`. SystemExit where one of them is missing."""
    try:
        import graphviz
    except ImportError:
        raise SystemExit("viz: pictures need the graphviz package: pip install 'minigrad[viz]'") from None
    graph = graphs.draw(trace, arguments.graph, arguments.schedule, arguments.kernel, arguments.step)
    if kind == "dot":
        path.write_text(graph.source)
        return
    try:
        path.write_bytes(graph.pipe(format=kind))
    except graphviz.ExecutableNotFound:
        raise SystemExit(f"viz: --{kind} needs graphviz' `dot` on the path (Debian: apt install graphviz); "
                         "--dot and --html work without") from None


def serve(text: str, port: int) -> None:
    """The page on localhost, until Ctrl-C."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *values: Any) -> None:
            pass
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        print(f"http://localhost:{server.server_port}/  (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass


def run(script: list[str]) -> tuple[Path, int]:
    """Runs a program with tracing; its trace, and its exit status."""
    path = default_trace()
    path.unlink(missing_ok=True)
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run([sys.executable, *script], env={**os.environ, "VIZ": str(path), "PYTHONPATH": paths})
    if not path.exists():
        raise SystemExit(f"viz: {' '.join(script)} ended with {done.returncode} and computed nothing")
    return path, done.returncode


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="viz.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    made.add_argument("--trace", type=Path, help="a trace file (default: what VIZ=1 wrote last)")
    for name in ("html", "json", "chrome", *PICTURES):
        made.add_argument(f"--{name}", type=Path, metavar="FILE")
    made.add_argument("--serve", type=int, nargs="?", const=0, metavar="PORT")
    made.add_argument("--graph", choices=graphs.KINDS, default="schedule")
    for name in ("schedule", "kernel", "step"):
        made.add_argument(f"--{name}", type=int, metavar="N")
    made.add_argument("-m", dest="module", nargs=argparse.REMAINDER, default=[], help="a module and its arguments")
    made.add_argument("script", nargs=argparse.REMAINDER, help="a program and its arguments")
    return made


def main(words: list[str]) -> int:
    arguments = parser().parse_args(words)
    status = 0
    path = arguments.trace or default_trace()
    if arguments.script or arguments.module:
        path, status = run(["-m", *arguments.module] if arguments.module else arguments.script)
    trace = read(path)
    wanted = [name for name in ("html", "json", "chrome", *PICTURES) if getattr(arguments, name)]
    if not wanted and arguments.serve is None:
        arguments.html, wanted = path.with_suffix(".html"), ["html"]
    for name in wanted:
        target: Path = getattr(arguments, name)
        if name == "html":
            target.write_text(html(trace))
        elif name in PICTURES:
            picture(trace, name, target, arguments)
        else:
            target.write_text(json.dumps(facts(trace) if name == "json" else chrome(trace)))
        print(f"{target.resolve().as_uri()}" if name == "html" else str(target))
    if arguments.serve is not None:
        serve(html(trace), arguments.serve)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
