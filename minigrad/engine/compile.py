"""From kernel ASTs to programs: cached in memory, then on disk, then lowered and compiled in one batch.

In: the ASTs of a schedule, each with its device. Out: a Program for each. A program that is in memory costs one
look-up: ASTs are interned, so the AST itself is the key. The disk keeps the lowered ProgramSpecs (`store.py`); the
device keeps compiled objects.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..codegen.addresses import stored_size
from ..codegen.opts import Opt
from ..codegen.pipeline import Lowered, lower_kernel
from ..helpers import BEAM, CACHE, DEBUG, NOOPT, SPEC, TUNED, VIZ
from ..printer import listing, render
from ..progress import Progress
from ..renderer.base import ProgramSpec
from ..runtime.device import Device, Program, get_device
from ..search.beam import search_within_budget
from ..search.records import database
from ..spec import check_kernel, check_linear
from ..uops import Ops, UOp, toposort
from ..uops.trace import lines_of, tracing
from . import store, tracefile
from .profile import GlobalCounters, short

Key = tuple[UOp, str, tuple[int, ...]]

MOST_PROGRAMS = 1 << 13         # programs kept in memory; the oldest quarter goes when there are more
PROGRESS_FROM = 16              # kernels to be compiled from which on a terminal shows progress

_programs: dict[Key, Program] = {}


def programs_for(kernels: Sequence[tuple[UOp, str]]) -> list[Program]:
    """A program for each (AST, device name); what is missing is lowered, then compiled in one batch per device.

    RuntimeError, with the source, when the device's compiler fails.
    """
    flags = *store.flags(), bool(VIZ.value)  # a trace wants to see each kernel lowered
    keys: list[Key] = [(ast, device, flags) for ast, device in kernels]
    missing = dict.fromkeys(key for key in keys if key not in _programs)
    if missing:
        if BEAM and not NOOPT:
            better = search_within_budget([kernel for kernel, key in zip(kernels, keys) if key in missing])
            forget_programs(lambda key: key[0] not in better)
            missing = dict.fromkeys(key for key in keys if key not in _programs)
        for device_name in dict.fromkeys(key[1] for key in missing):
            _compile(get_device(device_name), [key for key in missing if key[1] == device_name])
    return [_programs[key] for key in keys]


def _compile(device: Device, keys: list[Key]) -> None:
    for ast, _, _ in keys:
        if SPEC:
            check_kernel(ast)
        if DEBUG.value >= 5:
            print(render(ast, indent=True))
    if device.interprets:
        new = [Program(interpreted_spec(ast), code=ast) for ast, _, _ in keys]
    else:
        progress, specs = Progress("compiling", quiet=len(keys) < PROGRESS_FROM), list[ProgramSpec]()

        def lowered() -> Iterator[ProgramSpec]:
            for number, (ast, _, _) in enumerate(keys):
                progress.update(number / len(keys), f"lowering kernel {number + 1} of {len(keys)}")
                specs.append(_lowered(ast, device))
                yield specs[-1]
            progress.update(1.0, f"{len(keys)} kernels in the compiler")
        try:
            new = device.compile(lowered())
        except RuntimeError as error:
            for (ast, _, _), spec in zip(keys, specs):
                if spec.name in str(error):
                    error.add_note(f"{spec.name} computes {where(ast)}")
            raise
        finally:
            progress.close()
        GlobalCounters.compiled += len(new)
    if len(_programs) + len(new) > MOST_PROGRAMS:
        for key in list(_programs)[:MOST_PROGRAMS // 4]:
            del _programs[key]
    _programs.update(zip(keys, new))


def _lowered(ast: UOp, device: Device) -> ProgramSpec:
    """The kernel's source and facts, from the disk if they are there."""
    known_opts = database().best(store.structure(ast), device.target) if TUNED and not NOOPT else None
    opts = known_opts.opts if known_opts is not None else None
    key = ""
    if CACHE and DEBUG.value < 6 and not VIZ.value:  # these show what happens inside of lowering
        key = store.kernel_key(ast, device.target, _dialect(device), opts)
        known = store.load(key)
        if known is not None:
            GlobalCounters.disk_hits += 1
            _show(ast, known)
            return known
    try:
        with tracing(bool(VIZ.value)) as steps:
            lowered = _lower(ast, device, opts)
    except Exception as error:
        error.add_note(f"while lowering what computes {where(ast)}")
        raise
    if DEBUG.value >= 6:
        print(listing(lowered.linear.ops))
    if SPEC:
        check_linear(lowered.linear.ops, {m: stored_size(m, s.dims) for m, s in lowered.linear.scratch.items()})
    spec = device.render(lowered)
    GlobalCounters.lowered += 1
    if key:
        store.save(key, spec)
    if (trace := tracefile.current()) is not None:
        tuned = known_opts.ratio if known_opts is not None and lowered.opts == known_opts.opts else None
        trace.lowered(ast, spec, steps, lowered.linear.ops, tuned)
    _show(ast, spec)
    return spec


def _lower(ast: UOp, device: Device, opts: Sequence[Opt] | None) -> Lowered:
    """With these opts, or with the heuristic's where there are none, or where they are of another compiler's."""
    try:
        return lower_kernel(ast, device.target, opts)
    except ValueError:
        if opts is None:
            raise
        return lower_kernel(ast, device.target)


def _dialect(device: Device) -> str:
    """Which C the device's compiler reads: sources are stored for one dialect."""
    features: frozenset[str] = getattr(getattr(device, "compiler", None), "features", frozenset())
    return " ".join([type(device).__name__, *sorted(features)])


def _show(ast: UOp, spec: ProgramSpec) -> None:
    if DEBUG.value >= 3:
        print(f"{spec.name}: " + (", ".join(map(str, spec.opts)) or "no opts"))
    if DEBUG.value >= 4:
        print(f"// computes {where(ast)}\n{spec.source}")


def where(ast: UOp) -> str:
    """The users' lines that a kernel computes, the one that it is for first."""
    lines = lines_of([ast, *(u for u in reversed(toposort(ast)) if u.src)])
    return ", ".join(map(short, lines))


def interpreted_spec(ast: UOp) -> ProgramSpec:
    """The facts of a kernel that is not lowered: its name, what it writes; bytes are those of its buffers."""
    written = tuple(sorted({store_.src[0].arg.slot for store_ in ast.src}))
    value = ast.src[0].src[1]
    while value.op in (Ops.VIEW, Ops.CAST):
        value = value.src[0]
    sizes = "_".join(str(n) if isinstance(n, int) else "n" for n in value.shape)
    name = f"{value.op.name.lower()}_{sizes}".rstrip("_")
    return ProgramSpec(name=name, source="", prelude=(), variables=(), threads=1, workspace=0, written=written,
                       operations=0, bytes=0)


def forget_programs(keep: Callable[[Key], bool] = lambda key: False) -> None:
    """Empties the cache in memory: for tests and for measuring."""
    for key in [key for key in _programs if not keep(key)]:
        del _programs[key]
