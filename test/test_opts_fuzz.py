"""Random lists of opts on small kernels: what `check` lets through computes what the kernel without opts does.

The interpreter of ASTs is the judge. OPTS_FUZZ=n tries n lists per kernel instead of a few, from seed OPTS_FUZZ_START
on. A failure prints a line to be pasted after `from test_opts_fuzz import *` in a Python that has `test` on its path:
`replay("matmul", (Split("o1", 16), Vector("o1.1")))`.
"""
from __future__ import annotations

import os
import random
import traceback
from collections.abc import Iterator, Sequence

import pytest
from kernel_cases import CASES, Case, difference, finish_specs, run

from minigrad.codegen import nest
from minigrad.codegen.lower import Loops
from minigrad.codegen.online import Online
from minigrad.codegen.opts import (
    Carry,
    Fuse,
    Merge,
    NonTemporal,
    Opt,
    Order,
    Peel,
    Split,
    Thread,
    Unroll,
    Upcast,
    Vector,
)
from minigrad.codegen.pipeline import Lowered, finish, loops_of, lower_kernel
from minigrad.codegen.place import Bound, Place
from minigrad.codegen.prefetch import Prefetch
from minigrad.runtime.compiler import CompileError
from minigrad.runtime.device import get_device
from minigrad.uops import Ops, UOp, toposort

LISTS = int(os.environ.get("OPTS_FUZZ", "8"))
START = int(os.environ.get("OPTS_FUZZ_START", "0"))
MOST_OPTS, MOST_NODES, TRIES = 12, 1500, 60
PER_COMPILE = 64
MOST_TEXT = 200_000  # characters: lanes that gather, duplicated, can take a compiler minutes


def propose(rng: random.Random, loops: Loops) -> Opt:
    """An opt on something that is there, or nearly."""
    order = toposort(loops.root)
    ranges = [u for u in order if u.op is Ops.RANGE] or [UOp.range("none", 0, 2)]
    names = sorted({r.arg.name for r in ranges})
    name = rng.choice(names)
    closers = [u for u in order if nest.is_closer(u) and nest.parts(u)[1]]
    together = [r.arg.name for r in nest.parts(rng.choice(closers))[1]] if closers else names
    kind = rng.choices(("split", "merge", "order", "thread", "vector", "upcast", "unroll", "peel", "place", "bound",
                        "carry", "online", "stream", "prefetch", "fuse"),
                       (6, 2, 3, 2, 5, 4, 2, 3, 5, 3, 3, 4, 1, 2, 2))[0]
    if kind == "split":
        return Split(name, rng.choice((2, 3, 4, 4, 5, 8, 16)))
    if kind == "merge":
        at = rng.randrange(max(1, len(together) - 1))
        return Merge(together[at], together[min(at + 1, len(together) - 1)])
    if kind == "fuse":
        return Fuse(name, rng.choice(names))
    if kind == "order":
        return Order(tuple(rng.sample(together, len(together))))
    if kind == "thread":
        return Thread(name)
    if kind == "vector":
        fitting = [r.arg.name for r in ranges if r.src[1].op is Ops.CONST and r.src[1].arg in (4, 8, 16)]
        return Vector(rng.choice(fitting) if fitting and rng.random() < 0.8 else name)
    if kind in ("upcast", "unroll"):
        small = [r.arg.name for r in ranges if r.src[1].op is Ops.CONST and r.src[1].arg <= 8]
        return (Upcast if kind == "upcast" else Unroll)(rng.choice(small) if small and rng.random() < 0.8 else name)
    if kind == "peel":
        return Peel(name, rng.choice((1, 2, 3, 4, 16, -1, -1, -2)))
    if kind == "place":
        return propose_place(rng, loops, names)
    if kind == "bound":
        return Bound(name, tuple(rng.sample(names, min(len(names), rng.randrange(3)))), rng.choice((1, 1, 4, 16)))
    if kind == "carry":
        return Carry(name, rng.choice(names))
    if kind == "online":
        maxima = [nest.parts(u)[1][0].arg.name for u in closers if u.op is Ops.REDUCE and u.arg is Ops.MAX]
        outer = [r.arg.name for r in nest.innermost(loops.root)[1]]
        level = tuple(outer[:rng.randrange(len(outer) + 1)])
        return Online(rng.choice(maxima or names), rng.choice((2, 3, 4, 8, 16)), level)
    if kind == "prefetch":
        return Prefetch(rng.randrange(1, 3), rng.choice(names), rng.choice(names))
    return NonTemporal(rng.randrange(2))


def propose_place(rng: random.Random, loops: Loops, names: list[str]) -> Place:
    root = loops.root
    around: list[str] = []
    while root.op is Ops.END:
        body, ranges, _ = nest.parts(root)
        around += [r.arg.name for r in ranges]
        root = rng.choice(body)
    level = tuple(around[:rng.randrange(len(around) + 1)])
    if rng.random() < 0.2:
        level = tuple(rng.sample(names, rng.randrange(min(len(names), 3) + 1)))
    value = rng.choice(sorted(loops.values))
    rank = len(loops.values[value].shape)
    layout: tuple[tuple[int, int, int], ...] = ()
    if rng.random() < 0.4:
        axes = rng.sample(range(rank), rank)
        axes = [a for a in axes if loops.values[value].shape[a] != 1]
        layout = tuple((a, 1, 0) for a in axes)
        if axes and rng.random() < 0.5:  # an axis in panels
            width = rng.choice((4, 8, 16))
            layout = ((axes[-1], width, 0), *((a, 1, 0) for a in axes[:-1]), (axes[-1], 1, width))
    return Place(value, level, layout)


def random_list(case: Case, seed: int) -> tuple[tuple[Opt, ...], Lowered | str]:
    """The opts that were applied, and the kernel or what went wrong."""
    rng = random.Random(f"{case.name} {seed}")
    target = get_device("CPU").target
    loops = loops_of(case.ast, target)
    done: list[Opt] = []
    opt: Opt | None = None
    try:
        for _ in range(rng.randrange(10, TRIES)):
            opt = propose(rng, loops)
            if opt.check(loops, target) is None:
                done.append(opt)
                opt.apply(loops)
                loops.opts.append(opt)
                if len(done) == MOST_OPTS or len(toposort(loops.root)) > MOST_NODES:
                    break
            opt = None
        return tuple(done), finish(case.ast, loops)
    except Exception:  # a broken check or apply
        return tuple(done), f"{f'at {opt}: ' if opt else ''}{traceback.format_exc(limit=-3)}"


def replay(name: str, opts: Sequence[Opt], show: bool = False) -> list[str]:
    """What is wrong with a kernel of CASES under a list of opts: one line per binding of its variables."""
    device, case = get_device("CPU"), CASES[name]
    spec = finish_specs(device, lower_kernel(case.ast, device.target, opts))
    if show:
        print(spec.source)
    program, = device.compile([spec])
    found = [(v, difference(case, run(program, case, v), case.expected(v))) for v in case.bindings]
    return [f"{dict(v)}: {d}" for v, d in found if d is not None]


def wrong(cases: Sequence[tuple[Case, int]]) -> Iterator[str]:
    """What is wrong with the kernels of these cases and seeds."""
    device = get_device("CPU")
    ready = []
    for case, seed in cases:
        opts, lowered = random_list(case, seed)
        line = f'replay("{case.name}", {opts!r})  # seed {seed}'
        if isinstance(lowered, str):
            yield f"{line}\n    {lowered}"
            continue
        try:
            spec = finish_specs(device, lowered)
            if len(spec.source) <= MOST_TEXT:
                ready.append((case, line, spec))
        except Exception:
            yield f"{line}\n    {traceback.format_exc(limit=-3)}"
    for at in range(0, len(ready), PER_COMPILE):
        part = ready[at:at + PER_COMPILE]
        try:
            programs = device.compile([spec for _, _, spec in part])
        except CompileError as error:
            bad = next((line for _, line, spec in part if spec.source in str(error)), part[0][1])
            yield f"{bad}\n    {str(error)[:800]}"
            continue
        expected: dict[tuple[str, int], list[object]] = {}
        for (case, line, _), program in zip(part, programs):
            for i, variables in enumerate(case.bindings):
                key = (case.name, i)
                if key not in expected:
                    expected[key] = list(case.expected(variables))
                try:
                    bad = difference(case, run(program, case, variables), expected[key])  # type: ignore[arg-type]
                except AssertionError as error:
                    bad = str(error)
                if bad is not None:
                    yield f"{line}\n    {dict(variables)}: {bad}"


@pytest.mark.parametrize("name", sorted(CASES))
def test_random_lists_of_opts_change_no_result(name: str) -> None:
    problems = list(wrong([(CASES[name], START + i) for i in range(LISTS)]))
    assert not problems, f"{len(problems)} of {LISTS} lists\n" + "\n".join(problems[:10])


def test_most_random_lists_hold_several_opts() -> None:
    """The fuzzer finds nothing if nothing can be applied."""
    sizes = [len(random_list(CASES[name], seed)[0]) for name in ("matmul", "attention") for seed in range(6)]
    assert sum(sizes) / len(sizes) > 4
