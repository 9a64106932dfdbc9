"""Graphs of a trace for graphviz: of tensors, of a schedule, of a kernel on its way from AST to list.

In: a trace, as `tools/viz.py` reads it. Out: a `graphviz.Digraph`. Large graphs are cut: what lies nearest to the
root is kept, and the rest is one node that says how much it was.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

Trace = dict[str, Any]
OP, DTYPE, SHAPE, ARG, SOURCES, LINE = range(6)     # fields of a node
KINDS = ("schedule", "tensor", "kernel", "nest", "linear")
MOST = 400                                          # nodes of a picture
INFIX = {"ADD": "+", "MUL": "*", "IDIV": "//", "MOD": "%", "CMPLT": "<", "CMPNE": "!=", "AND": "&", "OR": "|"}


def name_of(trace: Trace, kernel: dict[str, Any], program: dict[str, Any] | None) -> str:
    return program["name"] if program else trace["nodes"][kernel["ast"]][OP].lower()


def program_of(trace: Trace, kernel: dict[str, Any], launches: Sequence[Sequence[Any]]) -> dict[str, Any] | None:
    """The program that a kernel became; None for a copy between devices."""
    if launches:
        return trace["programs"][launches[-1][2]]
    return next((p for p in trace["programs"] if p["ast"] == kernel["ast"]), None)


def roof_of(trace: Trace, launches: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """The share of the roofline that launches of one kernel reached, and the roof that bounds it."""
    seconds = sum(row[5] for row in launches)
    device = trace["devices"].get(launches[0][3]) if launches else None
    if not seconds or not device or not device["bandwidth"]:
        return {"share": None, "roof": None}
    memory = sum(row[7] for row in launches) / device["bandwidth"]
    compute = sum(row[6] for row in launches) / device["compute"]
    return {"share": max(memory, compute) / seconds, "roof": "memory" if memory >= compute else "compute"}


def below(trace: Trace, roots: Iterable[int]) -> list[int]:
    """The nodes below the roots, nearest first."""
    order = list(dict.fromkeys(roots))
    seen = set(order)
    for node in order:
        for source in trace["nodes"][node][SOURCES]:
            if source not in seen:
                seen.add(source)
                order.append(source)
    return order


def is_inline(row: Sequence[Any]) -> bool:
    """Constants, ranges and integers of addresses are written where they are used."""
    if row[DTYPE] == "index":
        return row[OP] not in ("LOOP", "INDEX", "LOAD")
    return row[OP] in ("CONST", "VARIABLE", "RANGE")


def expression(trace: Trace, node: int, depth: int = 6) -> str:
    row = trace["nodes"][node]
    if row[OP] == "CONST":
        return str(row[ARG]).split(":")[0]
    if row[OP] in ("RANGE", "VARIABLE"):
        found = re.search("name=(['\"])(.*?)\\1", row[ARG])
        return found[2] if found else row[ARG]
    if not depth:
        return "..."
    parts = [expression(trace, source, depth - 1) for source in row[SOURCES]]
    if row[OP] in INFIX and len(parts) == 2:
        return f"({parts[0]} {INFIX[row[OP]]} {parts[1]})"
    return f"{row[OP].lower()}({', '.join(parts)})"


def label(trace: Trace, node: int) -> str:
    """Op, sources that are written in place, argument, dtype and shape, the user's line."""
    row = trace["nodes"][node]
    inline = ", ".join(expression(trace, s) for s in row[SOURCES] if is_inline(trace["nodes"][s]))
    lines = [f"{row[OP]} {inline}"[:60]]
    if row[ARG] and row[OP] != "BUFFER":
        lines.append(row[ARG][:60])
    if row[SHAPE] is not None:
        lines.append(f"{row[DTYPE]} ({', '.join(map(str, row[SHAPE]))})")
    if row[LINE] is not None:
        lines.append(trace["lines"][row[LINE]].rpartition("/")[2])
    return "\n".join(lines)


def digraph(name: str) -> Any:
    import graphviz
    graph = graphviz.Digraph(name)
    graph.attr("node", shape="box", style="rounded", fontname="monospace", fontsize="10", height="0.2")
    graph.attr("edge", arrowsize="0.6")
    return graph


def escaped(text: str) -> str:
    """Text as a label: backslashes of its own are no line breaks."""
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def of_nodes(trace: Trace, name: str, roots: Sequence[int]) -> Any:
    graph = digraph(name)
    visible = [node for node in below(trace, roots) if not is_inline(trace["nodes"][node])]
    kept = set(visible[:MOST])
    for node in visible[:MOST]:
        graph.node(f"n{node}", escaped(label(trace, node)))
        for source in trace["nodes"][node][SOURCES]:
            if source in kept:
                graph.edge(f"n{source}", f"n{node}")
    if len(visible) > MOST:
        graph.node("rest", f"and {len(visible) - MOST} nodes more", style="dashed")
    return graph


def of_schedule(trace: Trace, place: int) -> Any:
    """Kernels, sized by time, and the buffers between them, sized by bytes."""
    graph = digraph("schedule")
    kernels = trace["schedules"][place]["kernels"]
    launches: dict[int, list[Any]] = {}
    for row in trace["launches"]:
        if row[0] == place:
            launches.setdefault(row[1], []).append(row)
    seconds = {number: sum(row[5] for row in rows) for number, rows in launches.items()}
    longest = max(seconds.values(), default=0.0) or 1.0
    drawn: set[int] = set()
    for number, kernel in enumerate(kernels):
        rows = launches.get(number, [])
        size = 0.3 + 1.2 * (seconds.get(number, 0.0) / longest) ** 0.5
        share = roof_of(trace, rows)["share"]
        lines = [trace["lines"][n].rpartition("/")[2] for n in kernel["lines"][:1]]
        text = [name_of(trace, kernel, program_of(trace, kernel, rows)), *lines]
        if rows:
            text.append(f"{seconds[number] / len(rows) * 1e6:.1f} us" + (f", {share:.0%} of roof" if share else ""))
        graph.node(f"k{number}", escaped("\n".join(text)), width=f"{2 * size:.2f}", height=f"{size:.2f}")
        for slot, buffer in enumerate(kernel["buffers"]):
            device, shape, dtype, nbytes, _, _ = trace["buffers"][buffer]
            if buffer not in drawn:
                drawn.add(buffer)
                width = min(2.5, 0.4 + (nbytes / (1 << 20)) ** 0.5 * 0.4)
                graph.node(f"b{buffer}", f"{dtype} ({', '.join(map(str, shape))})\\n{nbytes} B, {device}",
                           shape="ellipse", fontsize="8", width=f"{width:.2f}")
            ends = (f"k{number}", f"b{buffer}") if slot in kernel["written"] else (f"b{buffer}", f"k{number}")
            graph.edge(*ends)
    return graph


def draw(trace: Trace, kind: str, place: int | None, number: int | None, step: int | None) -> Any:
    """The graph that is asked for. SystemExit where the trace does not have it."""
    schedules = trace["schedules"]
    if place is None:
        place = max(range(len(schedules)), key=lambda i: (len(schedules[i]["kernels"]), i))
    if not 0 <= place < len(schedules):
        raise SystemExit(f"viz: there is no schedule {place}; there are {len(schedules)}")
    kernels = schedules[place]["kernels"]
    if kind == "schedule":
        return of_schedule(trace, place)
    if kind == "tensor":
        if not schedules[place]["sinks"]:
            raise SystemExit(f"viz: schedule {place} is a replay: it was made of no tensor graph")
        return of_nodes(trace, "tensor", schedules[place]["sinks"])
    if number is None:
        times = [sum(row[5] for row in trace["launches"] if row[:2] == [place, i]) for i in range(len(kernels))]
        number = max(range(len(kernels)), key=times.__getitem__)
    if not 0 <= number < len(kernels):
        raise SystemExit(f"viz: schedule {place} has no kernel {number}; it has {len(kernels)}")
    if kind == "kernel":
        return of_nodes(trace, "kernel", [kernels[number]["ast"]])
    program = program_of(trace, kernels[number], [row for row in trace["launches"] if row[:2] == [place, number]])
    if program is None or not program["steps"]:
        raise SystemExit(f"viz: kernel {number} was not lowered while it was traced")
    if kind == "linear":
        return of_nodes(trace, "linear", program["linear"])
    steps = program["steps"]
    step = len(steps) - 1 if step is None else step
    if not 0 <= step < len(steps) or steps[step][2] is None:
        raise SystemExit(f"viz: kernel {number} has no graph of a step {step}; it has {len(steps)} steps")
    return of_nodes(trace, f"after {steps[step][1]}", [steps[step][2]])
