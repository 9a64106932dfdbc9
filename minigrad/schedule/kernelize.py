"""Kernels: what the scheduler hands on. Drafts in order become ASTs over numbered buffers.

An AST is a SINK of STOREs whose leaves are PARAMs (buffers by slot), CONST, VARIABLE and IOTA. It names no buffer and
no bound value, and slots are numbered by first appearance, stores first: kernels that do the same are the same
object, compiled once.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..dtype import dtypes
from ..shape import ShapeTracker
from ..shape.build import viewed
from ..uops import SCALARS, Ops, ParamArg, UOp
from ..uops.symbolic import rebuild, substitute
from ..uops.trace import inherit, lines_of, record
from .drafts import Draft, Layout, Weighed, stored_values
from .versions import Arrangement, Memory


@dataclass(frozen=True, slots=True)
class Kernel:
    """ast: a SINK of STOREs, or COPY between devices (buffers: destination, source). buffers: by slot; `Memory`, until
    that has buffers. written: slots it writes.

    reasons: why each written buffer is one, like `written`; weighed: what was compared, where costs decided. lines: the
    users' lines of what it computes, those that asked for what is written first.
    """

    ast: UOp
    buffers: tuple[Any, ...]
    written: tuple[int, ...]
    reasons: tuple[str, ...]
    weighed: tuple[Weighed | None, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Kernels in an order that gives the right result, and the value of every variable that was bound."""

    kernels: list[Kernel]
    variables: dict[str, int]


class Kernelizer:
    """Builds the ASTs of an arrangement; collects the values of bound variables."""

    def __init__(self, arrangement: Arrangement) -> None:
        self.arrangement, self.graph = arrangement, arrangement.graph
        self.variables: dict[str, int] = {}
        self.unbound: dict[UOp, UOp] = {}                       # BIND -> VARIABLE
        self.trackers: dict[ShapeTracker, ShapeTracker] = {}    # with BINDs -> with VARIABLEs

    def kernel(self, draft: Draft) -> Kernel | None:
        """The kernel of a draft; None if it has no elements to write."""
        stores = [s for s in draft.stores if all(self.graph.sizes[v] for v in stored_values(self.graph, s)[:1])]
        if not stores:
            return None
        if stores[0].op is Ops.COPY:
            return self._copy(draft)
        ast = _Ast(self, draft)
        written = list(dict.fromkeys(ast.slot(self.arrangement.memory[s]) for s in stores))
        sink = UOp.sink(*[ast.store(s, stores[0]) for s in stores])
        reasons = {ast.slot(self.arrangement.memory[s]): (reason.value, draft.weighed.get(s))
                   for s, reason in zip(draft.stores, draft.reasons) if s in stores}
        lines = lines_of([*stores, *reversed(self.arrangement.bodies[draft].nodes)])
        inherit(sink, lines[0] if lines else None)
        for node in stores:
            record("schedule", reasons[ast.slot(self.arrangement.memory[node])][0], node, sink)
        return Kernel(sink, tuple(ast.memory), tuple(written), tuple([reasons[w][0] for w in written]),
                      tuple([reasons[w][1] for w in written]), lines)

    def _copy(self, draft: Draft) -> Kernel:
        node, = draft.stores
        target, source = self.arrangement.memory[node], self.arrangement.read(draft, self.graph.source(node.src[0]))
        params = tuple([UOp(Ops.PARAM, node.dtype, (), ParamArg(slot, memory.shape))
                        for slot, memory in enumerate((target, source))])
        return Kernel(UOp(Ops.COPY, node.dtype, params, target.device), (target, source), (0,),
                      (draft.reasons[0].value,), (None,), lines_of([node]))

    def scalar(self, node: UOp) -> UOp:
        """CONST, VARIABLE, BIND: a BIND becomes its variable. ValueError if a variable has two values."""
        if node.op is not Ops.BIND:
            return node
        variable, value = node.unbind()
        name = variable.arg.name
        if self.variables.setdefault(name, value) != value:
            raise ValueError(f"variable {name} is bound to {self.variables[name]} and to {value} in one computation")
        self.unbound[node] = variable
        return variable

    def tracker(self, tracker: ShapeTracker) -> ShapeTracker:
        """The same map with variables instead of their values."""
        found = self.trackers.get(tracker)
        if found is None:
            for node in tracker.variables():
                self.scalar(node)
            found = self.trackers[tracker] = tracker.substitute(self.unbound)
        return found

    def size(self, n: Any) -> Any:
        """A shape's entry with variables instead of their values."""
        if type(n) is int:
            return n
        for variable in ShapeTracker.contiguous((n,)).variables():
            self.scalar(variable)
        return substitute(n, self.unbound)

    def held(self, memory: Memory, shape: tuple[Any, ...]) -> ShapeTracker | None:
        """Like `inside`, but with bound variables: how the user's graph goes on reading the buffer."""
        return placed(memory, shape, lambda n: n)

    def inside(self, memory: Memory, shape: tuple[Any, ...]) -> ShapeTracker | None:
        """How a value of this shape lies in its buffer, which is allocated at its largest; None: it is all of it."""
        return placed(memory, shape, self.size)


def placed(memory: Memory, shape: tuple[Any, ...], size: Callable[[Any], Any]) -> ShapeTracker | None:
    """The part of a buffer that holds a value, axes as the value has them; None: all of it, as it lies."""
    order = memory.order or tuple(range(len(shape)))
    if shape == memory.shape and memory.order is None:
        return None
    part = ShapeTracker.contiguous(memory.shape).shrink(tuple((0, size(shape[axis])) for axis in order))
    return part.permute(tuple(order.index(axis) for axis in range(len(shape))))


class _Ast:
    """One kernel's AST in the making."""

    def __init__(self, kernelizer: Kernelizer, draft: Draft) -> None:
        self.kernelizer, self.draft = kernelizer, draft
        self.arrangement, self.graph = kernelizer.arrangement, kernelizer.graph
        self.memory: list[Memory] = []
        self.slots: dict[Memory, int] = {}
        self.params: list[UOp] = []
        self.built: dict[UOp, UOp] = {}

    def slot(self, memory: Memory) -> int:
        """The slot of a buffer, a new one at its first appearance."""
        slot = self.slots.get(memory)
        if slot is None:
            slot = self.slots[memory] = len(self.memory)
            self.memory.append(memory)
            self.params.append(UOp(Ops.PARAM, memory.dtype, (), ParamArg(slot, memory.shape)))
        return slot

    def build(self) -> None:
        """Every node of the body over PARAMs."""
        body = self.arrangement.bodies[self.draft]
        for node in body.loads:
            self.built[node] = self.load(node)
        for node in body.nodes:
            self.built[node] = self.rebuilt(node)
            inherit(self.built[node], node.line)

    def load(self, node: UOp) -> UOp:
        memory = self.arrangement.read(self.draft, node)
        param = self.params[self.slot(memory)]
        part = self.kernelizer.inside(memory, node.shape)
        return param if part is None else viewed(param, part)

    def rebuilt(self, node: UOp) -> UOp:
        op, built = node.op, self.built
        if op in SCALARS:
            return self.kernelizer.scalar(node)
        if op is Ops.IOTA:
            return node.replace(arg=self.kernelizer.size(node.arg))
        if op is Ops.VIEW:
            return viewed(built[self.graph.source(node.src[0])], self.kernelizer.tracker(node.arg))
        if op is Ops.ASSIGN or op is Ops.CONTIGUOUS:  # stored by this kernel as well
            return built[stored_values(self.graph, node)[0]]
        sources = tuple([built[s] for s in self.graph.sources(node)])
        return rebuild(node, sources) if node.dtype is dtypes.index else UOp(op, node.dtype, sources, node.arg)

    def store(self, node: UOp, first: UOp) -> UOp:
        """The STORE of a node, lined up with the kernel's first one."""
        if not self.built:
            self.build()
        memory = self.arrangement.memory[node]
        param = self.params[self.slot(memory)]
        value = self.built[stored_values(self.graph, node)[0]]
        if node.op is Ops.SCATTER:
            return UOp(Ops.STORE, dtypes.void, (param, self.stretched(value, node.src[2].shape),
                                                self.built[self.graph.source(node.src[1])]), node.arg)
        part = self.kernelizer.inside(memory, node.shape)
        shape = node.shape
        if node.op is Ops.ASSIGN:
            region = self.kernelizer.tracker(node.arg)
            part = region if part is None else part + region
            shape = node.arg.shape
        value = self.stretched(value, shape)
        layout = self.draft.layouts.get(node)
        if layout is not None:
            part = lined_up(part or ShapeTracker.contiguous(memory.shape), layout)
            value = viewed(value, lined_up(ShapeTracker.contiguous(value.shape), layout))
        order = self.draft.order
        if order is not None:
            part = (part or ShapeTracker.contiguous(memory.shape)).permute(order)
            value = viewed(value, ShapeTracker.contiguous(value.shape).permute(order))
        if part is not None and part.is_identity(memory.shape):
            part = None
        return UOp(Ops.STORE, dtypes.void, (param, value), part)

    def stretched(self, value: UOp, shape: tuple[Any, ...]) -> UOp:
        """A scalar under the shape that is stored."""
        if value.shape == () and shape != ():
            shape = tuple(self.kernelizer.size(n) for n in shape)
            return viewed(value, ShapeTracker.contiguous(()).reshape((1,) * len(shape)).expand(shape))
        return value


def lined_up(tracker: ShapeTracker, layout: Layout) -> ShapeTracker:
    """What a tracker shows, under the axes of a kernel."""
    if any(layout.cut):
        tracker = tracker.reshape([n for size, cut in zip(tracker.shape, layout.cut) for n in cut or (size,)])
    axes = [1 if part is None else tracker.shape[part] for part in layout.axes]
    return tracker.permute(layout.order).reshape(axes)
