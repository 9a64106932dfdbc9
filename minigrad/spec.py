"""What may appear after each stage: ops, their sources, dtypes and arguments, as tables that are checked when SPEC=1.

In: the roots of a graph and the name of its stage. Out: nothing, or a SpecError that names the stage, the node and
what is wrong. The tables are the definition of what one stage may hand to the next:

* TENSOR: what `Tensor` records and the scheduler reads. Shapes and dtypes agree; BUFFERs are real.
* KERNEL: a kernel's AST, a SINK of STOREs. PARAMs are dense and numbered by first appearance; no BUFFER, no BIND.

A stage's table is a list of rows; the first row of an op decides. `check_linear` is the spec of the list that a
renderer prints, where order matters.

>>> check(TENSOR, UOp.const(dtypes.float32, 1.0))
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .dtype import dtypes
from .printer import walk
from .shape.shapetracker import ShapeTracker
from .shape.view import extremes
from .uops import COMPARISON, ELEMENTWISE, SCALARS, TRANSCENDENTAL, Ops, UOp, sint
from .uops.ops import ParamArg, ReduceArg, ScatterArg, VariableArg
from .uops.symbolic import eq, lt, sprod, vmax, vmin

Check = Callable[[UOp], str | None]


class SpecError(RuntimeError):
    """A stage made a graph that its spec forbids: an error of the compiler, not of its user."""


@dataclass(frozen=True)
class Row:
    """`ops` have `sources` sources (None: any number) and an `arg` of these types; `check` says what else is wrong."""

    ops: frozenset[Ops]
    sources: int | None
    arg: tuple[type, ...]
    check: Check


@dataclass(frozen=True)
class Spec:
    """A stage: its name, its rows, and a check of the whole graph (its nodes, sources first)."""

    name: str
    rows: tuple[Row, ...]
    whole: Callable[[list[UOp]], str | None] = lambda nodes: None

    def row_of(self, op: Ops) -> Row | None:
        return next((row for row in self.rows if op in row.ops), None)


def row(ops: Ops | Iterable[Ops], sources: int | None, arg: type | tuple[type, ...],
        check: Check = lambda u: None) -> Row:
    return Row(frozenset((ops,)) if isinstance(ops, Ops) else frozenset(ops), sources,
               arg if isinstance(arg, tuple) else (arg,), check)


def check(spec: Spec, *roots: UOp) -> None:
    """Raises SpecError at the first node below the roots that the spec forbids. Linear in the graph."""
    nodes = walk(*roots)
    rows = {op: spec.row_of(op) for op in {node.op for node in nodes}}
    for node in nodes:
        wrong = _wrong(node, rows[node.op])
        if wrong is not None:
            raise SpecError(f"{spec.name}: {node!r} with sources {list(node.src)!r}: {wrong}")
    wrong = spec.whole(nodes)
    if wrong is not None:
        raise SpecError(f"{spec.name}: {wrong}")


def _wrong(node: UOp, row: Row | None) -> str | None:
    if row is None:
        return f"{node.op.name} may not appear at this stage"
    if row.sources is not None and len(node.src) != row.sources:
        return f"needs {row.sources} sources, has {len(node.src)}"
    if not isinstance(node.arg, row.arg):
        return f"arg must be {' or '.join(kind.__name__ for kind in row.arg)}, is {node.arg!r}"
    return row.check(node)


# ---- what the rows ask ----------------------------------------------------------------------------------------------

def same_shape(a: tuple[sint, ...], b: tuple[sint, ...]) -> bool:
    return len(a) == len(b) and all(x is y or eq(x, y) for x, y in zip(a, b))


def first_of(*checks: Check) -> Check:
    """The first complaint of several checks."""
    return lambda u: next((wrong for c in checks if (wrong := c(u)) is not None), None)


def sources_stretch(u: UOp) -> str | None:
    """All sources that are no scalars have one shape."""
    shapes = [s.shape for s in u.src if s.op not in SCALARS]
    if all(same_shape(shapes[0], shape) for shape in shapes[1:]):
        return None
    return f"shapes differ: {shapes}"


def dtype_of_sources(u: UOp) -> str | None:
    """One dtype for all sources, and for the node (bool for a comparison)."""
    expected = dtypes.bool if u.op in COMPARISON else u.src[0].dtype
    if any(s.dtype is not u.src[0].dtype for s in u.src):
        return f"source dtypes differ: {[s.dtype for s in u.src]}"
    return None if u.dtype is expected else f"dtype must be {expected!r}"


def dtype_is(kinds: str) -> Check:
    return lambda u: None if u.dtype.kind in kinds else f"dtype {u.dtype!r} is not of kind {'/'.join(kinds)}"


def dtype_of_first(u: UOp) -> str | None:
    return None if u.dtype is u.src[0].dtype else f"dtype must be that of its source, {u.src[0].dtype!r}"


def constant(u: UOp) -> str | None:
    expected = {"f": float, "b": bool}.get(u.dtype.kind, int)
    if type(u.arg) is not expected:
        return f"a constant of {u.dtype!r} holds {expected.__name__}, not {u.arg!r}"
    if u.dtype.is_int and not u.dtype.min <= u.arg <= u.dtype.max:
        return f"{u.arg} does not fit {u.dtype!r}"
    return None


def buffer(u: UOp) -> str | None:
    shape, dtype = getattr(u.arg, "shape", None), getattr(u.arg, "dtype", None)
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        return f"a buffer's shape is a tuple of ints, not {shape!r}"
    return None if dtype is u.dtype else f"the buffer holds {dtype!r}"


def view(u: UOp) -> str | None:
    if u.src[0].op is Ops.VIEW:
        return "a view of a view: compose them"
    return dtype_of_first(u) or tracker_inside(u.arg, u.src[0].shape)


def tracker_inside(tracker: ShapeTracker, base: tuple[sint, ...]) -> str | None:
    """Every element that the mask lets through lies inside the base (as far as bounds can decide)."""
    sizes = [sprod(base)] + [sprod(view.shape) for view in tracker.views[:-1]]
    for size, view in zip(sizes, tracker.views):
        if view.reads_nothing or any(vmin(high) <= 0 for _, high in view.region):
            continue
        bounds = extremes(view.strides, view.region)
        if bounds is not None and all(isinstance(x, int) for x in (*bounds, view.offset, size)):
            low, high = vmin(view.offset + bounds[0]), vmax(view.offset + bounds[1])
            if low < 0 or not lt(high, size):
                return f"reads elements {low}..{high} of a base of {size}: {view}"
    return None


def where(u: UOp) -> str | None:
    condition, yes, no = u.src
    if condition.dtype is not dtypes.bool:
        return f"the condition is {condition.dtype!r}"
    if yes.dtype is not u.dtype or no.dtype is not u.dtype:
        return f"source dtypes {yes.dtype!r}, {no.dtype!r} are not the node's"
    return sources_stretch(u)


def dot(u: UOp) -> str | None:
    pairs = all(s.dtype.scalar is dtypes.uint32 for s in u.src)
    return None if pairs and u.dtype.scalar is dtypes.float32 else f"{u.dtype!r} of {[s.dtype for s in u.src]}"


def reduce_(u: UOp) -> str | None:
    axes, rank = u.arg.axes, len(u.src[0].shape)
    if u.arg.op not in (Ops.ADD, Ops.MUL, Ops.MAX):
        return f"reduces with {u.arg.op.name}"
    if list(axes) != sorted(set(axes)) or not axes or axes[0] < 0 or axes[-1] >= rank:
        return f"axes {axes} of a source of rank {rank}"
    return dtype_of_first(u)


def bitcast(u: UOp) -> str | None:
    source = u.src[0].dtype
    return None if u.dtype.itemsize == source.itemsize else f"sizes of {source!r} and {u.dtype!r} differ"


def gather(u: UOp) -> str | None:
    table, index = u.src
    if not table.shape:
        return "the table has no axis"
    return dtype_of_first(u) or (None if index.dtype.is_int else f"indices are {index.dtype!r}")


def scatter(u: UOp) -> str | None:
    """SCATTER has (destination, index, value), a scattered STORE (PARAM, value, index)."""
    destination, index, value = u.src if u.op is Ops.SCATTER else (u.src[0], u.src[2], u.src[1])
    if u.arg.mode not in ("set", "add"):
        return f"mode {u.arg.mode!r}"
    if not destination.shape or not index.dtype.is_int or value.dtype is not destination.dtype:
        return f"destination {destination.shape} {destination.dtype!r}, index {index.dtype!r}, value {value.dtype!r}"
    expected = index.shape + destination.shape[1:]
    if value.op not in SCALARS and not same_shape(value.shape, expected):
        return f"value has shape {value.shape}, expected {expected}"
    return dtype_of_first(u) if u.op is Ops.SCATTER else None


def assign(u: UOp) -> str | None:
    base, value = u.src
    if value.dtype is not base.dtype:
        return f"assigns {value.dtype!r} to {base.dtype!r}"
    if value.op not in SCALARS and not same_shape(value.shape, u.arg.shape):
        return f"assigns a value of shape {value.shape} to a region of shape {u.arg.shape}"
    return dtype_of_first(u) or tracker_inside(u.arg, base.shape)


def store(u: UOp) -> str | None:
    if u.src[0].op is not Ops.PARAM:
        return "stores to something that is no PARAM"
    if len(u.src) == 3:
        return scatter(u) if isinstance(u.arg, ScatterArg) else f"a scattered store needs a ScatterArg, has {u.arg!r}"
    if len(u.src) != 2 or isinstance(u.arg, ScatterArg):
        return f"{len(u.src)} sources with arg {u.arg!r}"
    parameter, value = u.src
    if value.dtype is not parameter.dtype:
        return f"stores {value.dtype!r} to {parameter.dtype!r}"
    if u.arg is None:
        fits = value.op in SCALARS or len(value.shape) == len(parameter.shape) and all(
            vmax(n) <= size for n, size in zip(value.shape, parameter.shape))
        return None if fits else f"stores shape {value.shape} to a buffer of {parameter.shape}"
    if value.op not in SCALARS and not same_shape(value.shape, u.arg.shape):
        return f"stores shape {value.shape} through a view of shape {u.arg.shape}"
    return tracker_inside(u.arg, parameter.shape)


def kernel_whole(nodes: list[UOp]) -> str | None:
    """One PARAM for each slot, slots dense; VARIABLEs of one name are one."""
    slots: dict[int, UOp] = {}
    names: dict[str, UOp] = {}
    for u in nodes:
        if u.op is Ops.PARAM and slots.setdefault(u.arg.slot, u) is not u:
            return f"two buffers in slot {u.arg.slot}: {slots[u.arg.slot]!r}, {u!r}"
        if u.op is Ops.VARIABLE and names.setdefault(u.arg.name, u) is not u:
            return f"two variables of one name: {names[u.arg.name]!r}, {u!r}"
    if sorted(slots) != list(range(len(slots))):
        return f"slots {sorted(slots)} are not 0..{len(slots) - 1}"
    return None


def sink_of(ops: frozenset[Ops] | None) -> Check:
    def inner(u: UOp) -> str | None:
        odd = [s for s in u.src if ops is not None and s.op not in ops]
        return f"holds {odd}" if odd or not u.src else None
    return inner


def is_index(u: UOp) -> str | None:
    return None if u.dtype is dtypes.index else f"dtype {u.dtype!r} is not index"


NOTHING = type(None)
_agree = first_of(sources_stretch, dtype_of_sources)

VALUES = (
    row(Ops.CONST, 0, (int, float), constant),
    row(Ops.VARIABLE, 0, VariableArg, is_index),
    row(Ops.VIEW, 1, ShapeTracker, view),
    row(Ops.IOTA, 0, (int, UOp), dtype_is("iux")),
    row(Ops.NOT, 1, NOTHING, first_of(dtype_of_first, dtype_is("b"))),
    row(TRANSCENDENTAL | {Ops.SQRT, Ops.RECIPROCAL, Ops.TRUNC}, 1, NOTHING, first_of(dtype_of_first, dtype_is("f"))),
    row(Ops.TF32, 1, NOTHING, first_of(dtype_of_first, lambda u: None if u.dtype.scalar is dtypes.float32 else
                                       f"expected float32, got {u.dtype!r}")),
    row(Ops.NEG, 1, NOTHING, first_of(dtype_of_first, dtype_is("iufx"))),
    row({Ops.FDIV}, 2, NOTHING, first_of(_agree, dtype_is("f"))),
    row({Ops.SHL, Ops.SHR}, 2, NOTHING, first_of(_agree, dtype_is("iu"))),
    row({Ops.AND, Ops.OR, Ops.XOR}, 2, NOTHING, first_of(_agree, dtype_is("biu"))),
    row({Ops.IDIV, Ops.MOD}, 2, NOTHING, first_of(_agree, dtype_is("iux"))),
    row(COMPARISON | {Ops.ADD, Ops.MUL, Ops.MAX}, 2, NOTHING, _agree),
    row(Ops.DOT, 2, NOTHING, first_of(sources_stretch, dot)),
    row(Ops.WHERE, 3, NOTHING, where),
    row(Ops.CAST, 1, NOTHING),
    row(Ops.BITCAST, 1, NOTHING, bitcast),
    row(Ops.REDUCE, 1, ReduceArg, reduce_),
    row(Ops.GATHER, 2, NOTHING, gather),
)

TENSOR = Spec("tensor graph", VALUES + (
    row(Ops.BUFFER, 0, object, buffer),
    row(Ops.BIND, 2, NOTHING, is_index),
    row(Ops.SCATTER, 3, ScatterArg, scatter),
    row(Ops.CONTIGUOUS, 1, (NOTHING, int), dtype_of_first),
    row(Ops.DETACH, None, (NOTHING, int), dtype_of_first),
    row(Ops.COPY, 1, str, dtype_of_first),
    row(Ops.ASSIGN, 2, ShapeTracker, assign),
    row(Ops.SINK, None, NOTHING, sink_of(None)),
))

KERNEL = Spec("kernel AST", VALUES + (
    row(Ops.PARAM, 0, ParamArg),
    row(Ops.STORE, None, (NOTHING, ShapeTracker, ScatterArg), store),
    row(Ops.SINK, None, NOTHING, sink_of(frozenset({Ops.STORE}))),
), kernel_whole)


def check_kernel(ast: UOp) -> None:
    """A kernel's AST: a SINK of STOREs, or the COPY between devices, which has nothing to check."""
    if ast.op is not Ops.COPY:
        check(KERNEL, ast)



# ---- lists of UOps: order matters -----------------------------------------------------------------------------------

SIMPLE = frozenset({Ops.CONST, Ops.VARIABLE, Ops.PARAM, Ops.SCRATCH, Ops.SPECIAL})
EXPRESSIONS = ELEMENTWISE | {Ops.INDEX}     # may stand inside of another node instead of in the list
LISTED = ELEMENTWISE | {Ops.LOAD, Ops.STORE, Ops.LOOP, Ops.ENDLOOP, Ops.ACCUMULATOR, Ops.UPDATE, Ops.BROADCAST,
                        Ops.LANES, Ops.HORIZONTAL, Ops.IF, Ops.ENDIF, Ops.PREFETCH, Ops.BARRIER, Ops.SPECIAL,
                        Ops.MATRIX, Ops.ELEMENT, Ops.SHUFFLE, Ops.ASYNC, Ops.WAIT}
OPENING, CLOSING = {Ops.LOOP: Ops.ENDLOOP, Ops.IF: Ops.ENDIF}, {Ops.ENDLOOP: Ops.LOOP, Ops.ENDIF: Ops.IF}


def check_linear(ops: Sequence[UOp], scratch: Mapping[UOp, int] | None = None) -> None:
    """A kernel as a list. SpecError names the first op that breaks one of these:

    * a value is used after it is made, in the block that made it or inside of it;
    * blocks close in the order in which they opened; a RANGE is mentioned only inside of its loop, and not opened there
      again (a value that is computed in two places opens its ranges in both);
    * an UPDATE changes an accumulator that still lives;
    * an access without a gate lies inside of its memory, proved from bounds. `scratch`: elements of each SCRATCH.
    """
    scopes: list[set[UOp]] = [set()]
    blocks: list[UOp] = []
    for op in ops:
        wrong = _wrong_in_list(op, scopes, blocks) or _wrong_access(op, scratch or {})
        if wrong is not None:
            raise SpecError(f"linear: {op!r} with sources {list(op.src)!r}: {wrong}")
        if op.op in CLOSING:
            blocks.pop()
            scopes.pop()
        scopes[-1].add(op)
        if op.op in OPENING:
            blocks.append(op)
            scopes.append({op.src[0]} if op.op is Ops.LOOP else set())
    if blocks:
        raise SpecError(f"linear: {blocks[-1]!r} is never closed")


def _wrong_in_list(op: UOp, scopes: list[set[UOp]], blocks: list[UOp]) -> str | None:
    if op.op not in LISTED:
        return f"{op.op.name} may not stand in the list"
    if op.op in CLOSING and (not blocks or op.src != (blocks[-1],)):
        return f"closes something else than {blocks[-1] if blocks else 'nothing'!r}"
    if op.op is Ops.LOOP and any(op.src[0] in scope for scope in scopes):
        return "its range is open already"
    if op.op in (Ops.UPDATE, Ops.MATRIX) and op.src[0].op is not Ops.ACCUMULATOR:
        return "updates what is no accumulator"
    stack = [*op.src[0].src] if op.op is Ops.LOOP else [] if op.op in CLOSING else [*op.src]
    seen: set[UOp] = set()
    while stack:
        u = stack.pop()
        if u in seen or u.op in SIMPLE or any(u in scope for scope in scopes):
            continue
        seen.add(u)
        if u.op is Ops.RANGE:
            if u.arg.kind == "loop":
                return f"mentions {u!r} outside of its loop"
        elif u.op not in EXPRESSIONS:
            return f"uses {u!r} before it is made, or after its block was closed"
        stack.extend(u.src)
    return None


def _wrong_access(op: UOp, scratch: Mapping[UOp, int]) -> str | None:
    if op.op not in (Ops.LOAD, Ops.STORE) or op.src[0].op is not Ops.INDEX:
        return None
    memory, address, gate = op.src[0].src[:3]
    size = sprod(memory.arg.shape) if memory.op is Ops.PARAM else scratch.get(memory)
    if size is None or gate.op is not Ops.CONST or not gate.arg or len(op.src[0].src) > 3:
        return None
    count = (op if op.op is Ops.LOAD else op.src[1]).dtype.count
    low, high = vmin(address), vmax(address) + count - 1
    if 0 <= low and high < vmax(size):
        return None
    return f"accesses elements {low}..{high} of {size}, as far as can be proved"
