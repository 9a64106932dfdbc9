"""The steps from a kernel's AST to the list of UOps that a renderer prints. This file is the list and nothing else."""
from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ..helpers import NOOPT
from ..target import Target
from ..uops import Ops, UOp, sint, toposort
from ..uops.symbolic import ssimplify
from ..uops.trace import record
from . import cost, heuristic, heuristic_gpu, nest
from .linearize import Linear, linearize
from .lower import Loops, lower_ast
from .naming import kernel_name
from .opts import Opt, perform
from .pairs import pair_products
from .simplify import simplify

# Expressions of unrolled loops nest deeper than Python's default limit; the walks over them are bounded by the
# kernel's size.
DEPTH = 50_000


@dataclass(frozen=True)
class Lowered:
    """A kernel, ready to be rendered."""

    name: str
    linear: Linear
    thread: str | None                          # the range that is cut among threads
    threads: sint                               # its extent
    params: tuple[UOp, ...]                     # one PARAM a slot, with the buffer's shape
    written: tuple[int, ...]
    variables: tuple[str, ...]
    operations: sint
    bytes: sint
    opts: tuple[Opt, ...]


def lower_kernel(ast: UOp, target: Target, opts: Sequence[Opt] | None = None) -> Lowered:
    """Lower, optimise and linearise a SINK of STOREs. `opts`: these instead of the heuristic's; ValueError where one
    does not fit."""
    sys.setrecursionlimit(max(sys.getrecursionlimit(), DEPTH))
    loops = loops_of(ast, target)
    record("lower", "indices passed from stores to loads", loops.lowering.ast, loops.root)
    if opts is not None:
        apply_opts(loops, opts, target)
    else:
        choose(loops, target, plain=bool(NOOPT))    # placement, tiles, lanes, threads
    return finish(ast, loops)


def loops_of(ast: UOp, target: Target) -> Loops:
    """The nest on which opts work: algebra first, for fewer nodes and plainer guards."""
    return lower_ast(pair_products(simplify(ast), target))


def choose(loops: Loops, target: Target, plain: bool = False) -> None:
    """The heuristic's opts for the kind of target. `plain`: only those that keep values from being computed again."""
    (heuristic_gpu if target.has_blocks else heuristic).choose(loops, target, plain)


def apply_opts(loops: Loops, opts: Sequence[Opt], target: Target) -> None:
    for opt in opts:
        reason = opt.check(loops, target)
        if reason is not None:
            raise ValueError(f"{opt}: {reason}")
        perform(loops, opt)


def finish(ast: UOp, loops: Loops) -> Lowered:
    linear = linearize(loops)                       # loops opened and closed, addresses and gates made
    params = {u.arg.slot: u for root in (ast, loops.lowering.ast) for u in toposort(root) if u.op is Ops.PARAM}
    used = {u for u in nest.order(loops.root) if u.op is Ops.VARIABLE}
    return Lowered(kernel_name(ast, loops.root), linear, loops.thread, _threads(loops),
                   params=tuple(params[slot] for slot in sorted(params)),
                   written=tuple(sorted({s.src[0].arg.slot for s in ast.src})),
                   variables=tuple(sorted(str(u.arg.name) for u in used)),
                   operations=cost.operations(ast), bytes=cost.bytes_moved(ast),
                   opts=tuple(o for o in loops.opts if isinstance(o, Opt)))


def _threads(loops: Loops) -> sint:
    """The extent of the axis that is cut among threads: where the last part of it ends."""
    if loops.thread is None:
        return 1
    ends = [u.src[1] for u in nest.order(loops.root) if u.op is Ops.RANGE and u.arg.name.rstrip("'") == loops.thread]
    return ssimplify(functools.reduce(UOp.maximum, ends))
