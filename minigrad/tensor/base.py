"""What every tensor has: a node of the graph, a device, and the rules by which nodes become values and values change.

A tensor holds one node, `_node`, and everything it does makes new nodes. Two bookmarks of autodiff may lie on top of
it, both of op DETACH:
* a *leaf* (requires_grad=True) is DETACH(value) with the leaf's number: gradients stop there and are collected under
the number;
* a tracked result that was realized is DETACH(value, history): its value is a buffer, its gradient goes on through
its history. `uop` is the node without its bookmark.

Assignment makes a new version of memory (`Ops.ASSIGN`) and moves the tensor to it. Tensors made from each other by
movement ops share their memory, as in torch: they move along. Others that have read the old version, and have not
been computed yet, are computed in the same schedule, before the memory changes.
"""
from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from types import FunctionType
from typing import Any, ParamSpec, Self, TypeVar

from ..dtype import DType
from ..engine.realize import is_realized
from ..engine.realize import realize as run
from ..helpers import EAGER, GRAD, Context
from ..runtime.device import Buffer, canonical_name, default_device
from ..runtime.locks import fork_safe_lock
from ..schedule.graph import value_order
from ..shape.build import split_view, viewed
from ..shape.shapetracker import ShapeTracker
from ..uops import Ops, UOp, sint
from ..uops.symbolic import substitute, vmax
from ..uops.trace import mark

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=type)

_leaf_numbers = itertools.count(1)


def no_grad() -> Context:
    """Nothing inside is recorded for gradients: `with no_grad():`, or as a decorator, `@no_grad()`."""
    return Context(GRAD=0)


def device_name(device: str | None) -> str:
    """The one spelling of a device's name; None is the default device. ValueError if there is none of that name."""
    return default_device() if device is None else canonical_name(device)


def one_op(function: Callable[P, R]) -> Callable[P, R]:
    """A method made of several ops that counts as one: with EAGER=1 its result is computed at its end, in as few
    kernels as can be.
    """
    @wraps(function)
    def composed(*args: P.args, **kwargs: P.kwargs) -> R:
        if not EAGER.value:
            return function(*args, **kwargs)
        with Context(EAGER=0):
            result = function(*args, **kwargs)
            outputs = result if isinstance(result, (tuple, list)) else (result,)
            tensors = [t for t in outputs if isinstance(t, Base)]
            if tensors:
                tensors[0].realize(*tensors[1:])
        return result
    return composed


OTHER_NAMES = {"dim": "axis", "axis": "dim", "keepdims": "keepdim"}


def with_other_names(function: FunctionType) -> Callable[..., Any]:
    """A method that takes `axis` takes it as `dim` too, one that takes `dim` as `axis`, and `keepdim` as `keepdims`."""
    code = function.__code__
    own = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
    meant = {other: name for other, name in OTHER_NAMES.items() if name in own and other not in own}
    if not meant:
        return function

    @wraps(function)
    def renaming(*args: Any, **kwargs: Any) -> Any:
        renamed = {meant.get(name, name): value for name, value in kwargs.items()}
        if len(renamed) < len(kwargs):
            raise TypeError(f"{function.__name__}: {sorted(kwargs)} name one argument twice")
        return function(*args, **renamed)
    return renaming


def composed(kind: T) -> T:
    """A class whose public methods are each made of several ops, and count as one."""
    methods = {name: method for name, method in vars(kind).items() if isinstance(method, (FunctionType, classmethod))}
    public = {id(method) for name, method in methods.items() if not name.startswith("_")}
    for name, method in methods.items():
        if id(method) in public:  # also under the name of an operator
            setattr(kind, name, one_op(method) if isinstance(method, FunctionType) else
                    classmethod(one_op(method.__func__)))
    return kind


_leaves: weakref.WeakValueDictionary[int, Base] = weakref.WeakValueDictionary()  # by number


def leaf_tensors(numbers: Iterable[int]) -> list[Base]:
    """The leaves of these numbers that live."""
    return [t for n in numbers if (t := _leaves.get(n)) is not None]


# ---- the tensors that live, so that assignments can move those that share memory

_live: set[weakref.ref[Base]] = set()
_recent: list[weakref.ref[Base]] = []   # made since `lazy_tensors` was last asked
_lazy: list[weakref.ref[Base]] = []     # older ones that had no value then
_lazy_lock = fork_safe_lock()
MOST_RECENT = 4096


def enlist(tensor: Base) -> None:
    """Notes a new tensor."""
    ref = weakref.ref(tensor, _live.discard)
    _live.add(ref)
    _recent.append(ref)
    if len(_recent) > MOST_RECENT:
        lazy_tensors()


def lazy_tensors() -> list[Base]:
    """Every live tensor that has no value yet. Takes time for those made since the last question, and for what it
    gives.
    """
    with _lazy_lock:
        count = len(_recent)
        refs = [*_lazy, *_recent[:count]]
        del _recent[:count]
        found = [(ref, t) for ref in refs if (t := ref()) is not None and not _is_view_of_data(t._node)]
        _lazy[:] = [ref for ref, _ in found]
        return [t for _, t in found]


def live_tensors() -> list[Base]:
    """Every tensor of this process that has not been collected."""
    return [t for ref in list(_live) if (t := ref()) is not None]


class Base:
    """See the module. Subclasses add the methods; this has the state."""

    __slots__ = ("__weakref__", "_node", "_requires_grad", "_storage", "device", "grad")
    _node: UOp
    _requires_grad: bool | None
    _storage: object | None  # tensors that are views of each other hold the same one
    device: str
    grad: Any

    def __init_subclass__(cls) -> None:
        for name, method in list(vars(cls).items()):
            if isinstance(method, FunctionType) and not name.startswith("_"):
                setattr(cls, name, with_other_names(method))

    # ---- construction

    @classmethod
    def _wrap(cls, node: UOp, device: str | None = None, requires_grad: bool | None = None) -> Self:
        """A tensor of a node."""
        self = object.__new__(cls)
        self._node, self.grad, self._storage, self._requires_grad = node, None, None, None
        self.device = default_device() if device is None else device
        enlist(self)
        if node.line is None:
            mark(node)
        if requires_grad is not None:
            self.requires_grad = requires_grad
        return self

    def _result(self, node: UOp, *others: Base) -> Self:
        """The tensor that an op on self and others makes. ValueError if they lie on different devices."""
        tracked, device = self._requires_grad, self.device
        for other in others:
            tracked = tracked or other._requires_grad
            if other.device != device:
                raise ValueError(f"{node.op.name}: tensors of shapes {self.shape} and {other.shape} lie on different "
                                 f"devices, {device} and {other.device}; move one with .to(device)")
        if tracked and not node.dtype.is_float:
            tracked = None  # no gradient flows through integers and bools
        elif tracked and not GRAD.value:
            node, tracked = UOp(Ops.DETACH, node.dtype, (node.src[0] if node.op is Ops.DETACH else node,)), None
        if node.line is None:
            mark(node)
        result = object.__new__(type(self))
        result._node, result.grad, result._storage, result.device = node, None, None, device
        result._requires_grad = True if tracked else None
        enlist(result)
        if EAGER.value and not _is_view_of_data(node):
            result.realize()
        return result

    def _view(self, node: UOp) -> Self:
        """The tensor that a movement op makes: it shares self's memory. A bookmark stays on top: value and history are
        moved alike.
        """
        own = self._node
        if own.op is Ops.DETACH and node is not own:
            past = (viewed(own.src[1] if len(own.src) > 1 else own, node.arg),) if self._requires_grad else ()
            node = UOp(Ops.DETACH, node.dtype, (viewed(own.src[0], node.arg), *past))
        result = self._result(node)
        if self._storage is None:
            self._storage = object()
        result._storage = self._storage
        return result

    # ---- what it is

    @property
    def uop(self) -> UOp:
        """The node of the value, without autodiff's bookmark."""
        node = self._node
        return node.src[0] if node.op is Ops.DETACH else node

    @uop.setter
    def uop(self, value: UOp) -> None:
        node = self._node
        self._node = UOp(Ops.DETACH, value.dtype, (value, *node.src[1:]), node.arg) if node.op is Ops.DETACH else value

    @property
    def shape(self) -> tuple[Any, ...]:
        """The sizes of the axes: ints, or symbolic where a Variable is involved."""
        return self._node.shape

    @property
    def dtype(self) -> DType:
        """The type of the elements."""
        return self._node.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._node.shape)

    @property
    def requires_grad(self) -> bool:
        """Whether `backward` follows this tensor."""
        return bool(self._requires_grad)

    @requires_grad.setter
    def requires_grad(self, value: bool | None) -> None:
        """Makes a tensor a leaf, or a leaf an ordinary tensor; one of which this was said is left alone by optimizers.
        RuntimeError for results of tracked tensors.
        """
        if bool(value) == self.requires_grad:
            self._requires_grad = value if self._requires_grad is None else self._requires_grad
            return
        if value:
            if not self.dtype.is_float:
                raise TypeError(f"requires_grad: only floats have gradients, not {self.dtype!r}")
            number = next(_leaf_numbers)
            self._node = UOp(Ops.DETACH, self.dtype, (self._node,), number)
            _leaves[number] = self
        elif not self.is_leaf:
            raise RuntimeError("requires_grad: only leaves can stop to require gradients; use detach() for results")
        else:
            self._node = self.uop
        self._requires_grad = True if value else value

    @property
    def is_frozen(self) -> bool:
        """Whether somebody said that this tensor requires no gradients."""
        return self._requires_grad is False

    def requires_grad_(self, requires_grad: bool | None = True) -> Self:
        """Set `requires_grad` (None: as it is by default); returns itself."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """True for tensors that no tracked op made: those that `backward` gives a gradient, and those without."""
        return not self._requires_grad or (self._node.op is Ops.DETACH and _leaves.get(self._node.arg) is self)

    @property
    def is_realized(self) -> bool:
        """True where the value lies in memory already."""
        return is_realized(self.uop)

    @property
    def buffer(self) -> Buffer | None:
        """The memory of a realized tensor (of which it may be a view), else None."""
        base = split_view(self.uop)[0]
        return base.arg if base.op is Ops.BUFFER else None

    # ---- values

    def realize(self, *others: Base) -> Self:
        """Compute this tensor and the others, in one schedule. Returns itself."""
        tensors: list[Base] = [self, *others]
        pending = [t for t in tensors if not t.is_realized]
        by_device: dict[str, list[Base]] = {}
        for tensor in pending:
            by_device.setdefault(tensor.device, []).append(tensor)
        for device, group in by_device.items():
            with Context(DEV=device):  # where constants without data are computed
                _realize(group)
        return self

    def detach(self) -> Self:
        """The same value and memory, without history: gradients stop here."""
        result = self._view(self._node)
        if self._requires_grad:
            result._node, result._requires_grad = UOp(Ops.DETACH, self.dtype, (self.uop,)), None
        return result

    def contiguous(self) -> Self:
        """The same value in memory of its own, in row-major order. A tensor that has such memory is returned as it
        is.
        """
        uop = self.uop
        if uop.op in (Ops.BUFFER, Ops.CONTIGUOUS, Ops.ASSIGN):
            return self
        return self._result(UOp(Ops.CONTIGUOUS, self.dtype, (self._node,)))

    def to(self, device: str | None) -> Self:
        """The same value on another device; itself if it is there already. ValueError if there is no such device."""
        name = device_name(device)
        if name == self.device:
            return self
        result = self._result(UOp(Ops.COPY, self.dtype, (self._node,), name))
        result.device = name
        return result

    def _forget_history(self) -> None:
        """A gradient that reaches this tensor is an error from now on."""
        self._node, self._requires_grad = UOp(Ops.DETACH, self.dtype, (self.uop,), -next(_leaf_numbers)), True

    def clone(self) -> Self:
        """A copy that shares nothing."""
        return self._result(UOp(Ops.CONTIGUOUS, self.dtype, (self._node,), next(_leaf_numbers)))

    # ---- assignment

    def _write(self, region: ShapeTracker, value: Base) -> None:
        """Elements of self that `region` (over self's shape) reads become those of value, of region's shape and
        self's dtype.
        """
        if GRAD.value and (self._requires_grad or value._requires_grad):
            self._write_tracked(region, value)
        else:
            new = self._write_value(region, value._node)
            if self._requires_grad and self.is_leaf:  # under no_grad: the same leaf, changed
                self.uop = new
            else:
                self._node, self._requires_grad = new, None
        mark(self.uop)
        if EAGER.value:
            self.realize()

    def _is_plain_memory(self) -> bool:
        """Whether this is memory that was made without gradients, however often it was written since."""
        if split_view(self.uop)[0].op not in (Ops.BUFFER, Ops.ASSIGN):
            return False
        node = self._split()[1] if self._requires_grad else self.uop
        while node.op is Ops.ASSIGN or node.op is Ops.VIEW or (node.op is Ops.DETACH and len(node.src) > 1):
            node = node.src[1] if node.op is Ops.DETACH else node.src[0]
        return node.op is Ops.BUFFER

    def _write_tracked(self, region: ShapeTracker, value: Base) -> None:
        """The same, differentiated: in memory of its own, since gradients may need what was there before; but memory
        that was made without gradients stays where it is, as caches do.
        """
        sharing = self._sharing()
        if any(t._requires_grad and t.is_leaf for t in sharing):
            raise RuntimeError("in-place change of a leaf that requires gradients: use no_grad() or detach()")
        base, past, tracker = self._split()
        past = next((t._split()[1] for t in sharing if t._requires_grad and t._split()[0] is base), past)
        owned, whole = self._owned(base) if not self._is_plain_memory() else (base, ShapeTracker.contiguous(base.shape))
        if owned is base and tracker.is_identity(base.shape):
            past = self._node       # the bookmark, with what is there now: no longer history than need be
        new = UOp(Ops.ASSIGN, self.dtype, (owned, value._node), whole + tracker + region)
        history = UOp(Ops.ASSIGN, self.dtype, (past, value._node), tracker + region)
        for t in sharing:
            mine, _, through = t._split()
            if mine is base:
                t._node = UOp(Ops.DETACH, t.dtype, (viewed(new, whole + through), viewed(history, through)))
                t._requires_grad = True

    def _sharing(self) -> list[Base]:
        """The tensors that share self's memory, and self."""
        others = [] if self._storage is None else [t for t in live_tensors() if t._storage is self._storage]
        return [self, *(t for t in others if t is not self)]

    def _split(self) -> tuple[UOp, UOp, ShapeTracker]:
        """(the node that self is a view of and can write through, the same with its history, the view); self where
        there is none.
        """
        node, uop = self._node, self.uop
        past = (node.src[-1] if len(node.src) > 1 else node) if self._requires_grad and node.op is Ops.DETACH else uop
        (base, tracker), (origin, through) = split_view(uop), split_view(past)
        if through == tracker and _is_injective(tracker) and base.op is not Ops.CONST and base.op is not Ops.IOTA:
            return base, origin, tracker
        return uop, past, ShapeTracker.contiguous(uop.shape)

    def _owned(self, base: UOp) -> tuple[UOp, ShapeTracker]:
        """(a copy of base in memory of its own, so that no equal node can be taken for it, base as a view of it)."""
        shape = tuple([n if isinstance(n, int) else vmax(n) for n in base.shape])
        fresh = UOp(Ops.BUFFER, self.dtype, (), Buffer(self.device, shape, self.dtype))
        whole = ShapeTracker.contiguous(shape)
        if shape != tuple(base.shape):
            whole = whole.shrink([(0, n) for n in base.shape])
        return UOp(Ops.ASSIGN, self.dtype, (fresh, base), whole), whole

    def _write_value(self, region: ShapeTracker, value: UOp) -> UOp:
        """The node of self after the write; views of the same memory move along."""
        base, _, tracker = self._split()
        if base.op is not Ops.ASSIGN and base.op is not Ops.BUFFER:
            owned, whole = self._owned(base)
            self._move(base, owned, whole)
            base, tracker = owned, whole + tracker
        new = UOp(Ops.ASSIGN, self.dtype, (base, value), tracker + region)
        self._move(base, new, ShapeTracker.contiguous(new.shape))
        return viewed(new, tracker)

    def _move(self, old: UOp, new: UOp, through: ShapeTracker) -> None:
        """Other tensors that share self's memory and lie on `old` now lie on `new` seen through a tracker."""
        for tensor in self._sharing()[1:]:
            base, tracker = split_view(tensor.uop)
            if base is old or tensor.uop is old:
                inner = tracker if base is old else ShapeTracker.contiguous(old.shape)
                tensor._lies_at(viewed(new, through + inner))

    def _lies_at(self, new: UOp) -> None:
        """The value is now this node; what autodiff knows of it stays."""
        before = self._node
        if self._requires_grad and not self.is_leaf:
            history = before.src[1] if before.op is Ops.DETACH and len(before.src) > 1 else before
            self._node = UOp(Ops.DETACH, new.dtype, (new, history))
        elif before.op is Ops.DETACH and before.arg is None:
            self._node = new
        else:
            self.uop = new


def _is_injective(tracker: ShapeTracker) -> bool:
    """True if no element of the base is seen twice, and none is masked: the view can be written through."""
    if len(tracker.views) != 1 or tracker.views[0].mask is not None:
        return False
    view = tracker.views[0]
    return all(n == 1 or stride != 0 for n, stride in zip(view.shape, view.strides))


def _is_view_of_data(node: UOp) -> bool:
    """Nodes that have a value without a kernel: memory, constants, and views of them."""
    while node.op in (Ops.VIEW, Ops.DETACH):
        node = node.src[0]
    return node.op is Ops.BUFFER or node.op is Ops.CONST


# ---- realizing

def _realize(tensors: Sequence[Base]) -> None:
    """Compute tensors of one device, with all that assignments among them entail."""
    nodes = {t: _home(t.uop) for t in tensors}
    order = value_order(nodes.values())
    assigned = {u for u in order if u.op is Ops.ASSIGN}
    sinks: list[UOp] = list(dict.fromkeys(nodes.values()))
    if assigned:
        for tensor in _readers_of_old_versions(assigned, nodes):
            uop = tensor.uop
            # memory that is about to change under a tensor of its own: it gets a copy
            nodes[tensor] = UOp(Ops.CONTIGUOUS, uop.dtype, (uop,), next(_leaf_numbers)) if tensor.is_realized else uop
        sinks = list(dict.fromkeys([*nodes.values(), *_newest(assigned)]))
    run(sinks, lambda answer: _adopt(nodes, assigned, answer))


def _adopt(nodes: dict[Base, UOp], assigned: set[UOp], answer: dict[UOp, UOp]) -> None:
    """Tensors take their realized nodes; versions that were written become plain memory wherever they are mentioned."""
    for tensor, old in nodes.items():
        new = answer[old]
        if old is not tensor.uop and tensor.uop.op is Ops.VIEW and tensor.uop.src[0] is old:
            old, new = tensor.uop, viewed(new, tensor.uop.arg)
        tensor._lies_at(new)
        base = split_view(old)[0]
        tensor._move(old, new, ShapeTracker.contiguous(old.shape))
        if base is not old and base in answer:
            tensor._move(base, answer[base], ShapeTracker.contiguous(base.shape))
    if assigned:
        replaced = {u: answer[u] for u in _newest(assigned) if answer[u] is not u}
        _substitute(live_tensors(), replaced)


def _home(uop: UOp) -> UOp:
    """What to compute for a node: the memory that it is a view of, if that is being assigned to, so that it stays a
    view of it.
    """
    return uop.src[0] if uop.op is Ops.VIEW and uop.src[0].op is Ops.ASSIGN else uop


def _newest(assigned: set[UOp]) -> list[UOp]:
    """The assignments that no other one of them writes over."""
    bases = {u.src[0] for u in assigned}
    return sorted((u for u in assigned if u not in bases), key=lambda u: u.age)


def _readers_of_old_versions(assigned: set[UOp], known: dict[Base, UOp]) -> list[Base]:
    """Tensors outside of `known` whose values need memory as it was before these assignments; grows `assigned` by
    theirs.
    """
    # each node is read once: another thread may put another in its place. Constants and counters need no memory
    others = [(t, t.uop) for t in live_tensors() if t not in known]  # by identity: tensors hash so
    others = [(t, uop) for t, uop in others if split_view(uop)[0].op not in (Ops.CONST, Ops.IOTA)]
    found: list[Base] = []
    while True:
        old = {u.src[0] for u in assigned}
        reads: dict[UOp, bool] = {}
        for u in value_order([uop for _, uop in others]):
            # what an assignment under way does to its own base is no reading
            sources = u.src[:1] if u.op is Ops.DETACH else u.src
            reads[u] = u not in assigned and any(s in old or reads[s] for s in sources)
        more = {id(t): uop for t, uop in others if reads[uop] or uop in old}
        if not more:
            return found
        found += [t for t, _ in others if id(t) in more]
        others = [(t, uop) for t, uop in others if id(t) not in more]
        added = {u for u in value_order(more.values()) if u.op is Ops.ASSIGN} - assigned
        if not added:
            return found
        assigned |= added


def _substitute(tensors: Iterable[Base], replaced: dict[UOp, UOp]) -> None:
    """Replace nodes in the graphs (and histories) of tensors. Those without such nodes may be other threads'.

    A node is younger than its sources: what is older than all that is replaced is not walked. So a history that grows
    step by step costs each step what the step added.
    """
    if not replaced:
        return
    oldest = min(u.age for u in replaced)
    nodes = [(t, node) for t in tensors if (node := t._node).age >= oldest]
    done: dict[UOp, UOp] = dict(replaced)
    stack: list[tuple[UOp, bool]] = [(node, False) for _, node in nodes]
    while stack:
        node, ready = stack.pop()
        if node in done:
            continue
        if not ready:
            stack.append((node, True))
            stack.extend((s, False) for s in node.src if s.age >= oldest and s not in done)
            continue
        src = tuple([done.get(s, s) for s in node.src])
        if src == node.src:
            done[node] = node
        elif node.op is Ops.VIEW:
            done[node] = viewed(src[0], node.arg)
        else:
            done[node] = node.replace(src=src)
    for tensor, node in nodes:
        if done[node] is not node:
            tensor._node = done[node]


def unbound(shape: Iterable[sint]) -> tuple[int, ...]:
    """The sizes that bound variables give a shape."""
    result = []
    for n in shape:
        value = substitute(n, _bindings(n)) if isinstance(n, UOp) else n
        if not isinstance(value, int):
            raise ValueError(f"shape {tuple(shape)}: {n!r} has no value; bind its variables")
        result.append(value)
    return tuple(result)


def _bindings(n: UOp) -> dict[UOp, UOp]:
    return {u: u.src[1] for u in value_order([n]) if u.op is Ops.BIND}


__all__ = ["Base", "composed", "device_name", "enlist", "live_tensors", "no_grad", "one_op", "unbound"]
