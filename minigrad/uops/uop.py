"""The node of every graph, and the algebra of its integers.

A UOp is immutable and interned: equal nodes are the same object, so `is` compares graphs. The table holds nodes weakly.

Integers of dtype `index` (shapes, addresses) are kept in a canonical form by their constructors: a sum of constant
times atom, ordered by the atoms' age, plus a constant. So equal expressions are the same object, and most questions
about shapes are answered by looking at bounds. Atoms are RANGE, VARIABLE, BIND, products, IDIV and MOD that did not
fold, MAX, WHERE, and casts of data.

>>> n = UOp.variable("n", 1, 8)
>>> (n * 4 + 3) // 4 is n
True
"""
from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable
from math import gcd
from operator import attrgetter
from typing import Any

from ..dtype import DType, dtypes
from .ops import COMMUTATIVE, COMPARISON, Ops, RangeArg, ReduceArg, VariableArg

BIG = 1 << 62  # stands for "unbounded"


class _Ref(weakref.ref["UOp"]):
    __slots__ = ("key",)
    key: tuple[Any, ...]


_table: dict[tuple[Any, ...], _Ref] = {}
_age = itertools.count()


def _forget(ref: _Ref) -> None:
    if _table.get(ref.key) is ref:
        removed = _table.pop(ref.key, ref)
        if removed is not ref:  # another thread has made the node anew
            _table.setdefault(ref.key, removed)


class UOp:
    """One node: `op`, `dtype`, `src` (the sources), `arg` (see `Ops`). `age` grows with creation.

    `line` is no part of it: the user's line that first asked for this value ("file:number"), for those who explain.
    """

    __slots__ = ("__weakref__", "_bounds", "_free", "_linear", "_shape", "age", "arg", "dtype", "line", "op", "src")
    op: Ops
    dtype: DType
    src: tuple[UOp, ...]
    arg: Any
    age: int
    line: str | None
    _shape: Any
    _bounds: Any
    _linear: Any
    _free: Any

    def __new__(cls, op: Ops, dtype: DType, src: tuple[UOp, ...] = (), arg: Any = None) -> UOp:
        # floats by their bits' text: 0.0 is not -0.0, and a NaN equals itself
        key = (op, dtype, src, arg.hex() if type(arg) is float else arg)
        ref = _table.get(key)
        if ref is not None:
            found = ref()
            if found is not None:
                return found
        self = object.__new__(cls)
        self.op, self.dtype, self.src, self.arg = op, dtype, src, arg
        self.age = next(_age)
        self._shape = self._bounds = self._linear = self._free = self.line = None
        ref = _Ref(self, _forget)
        ref.key = key
        kept = _table.setdefault(key, ref)
        if kept is not ref:  # another thread made the same node meanwhile
            other = kept()
            if other is not None:
                return other
            _table[key] = ref
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a UOp cannot be pickled: print it with minigrad.printer, or save tensors with nn.state")

    def __repr__(self) -> str:
        arg = "" if self.arg is None else f" {self.arg}"
        return f"<{self.op.name}{arg} {self.dtype.name} #{self.age}>"

    def replace(self, *, op: Ops | None = None, dtype: DType | None = None, src: tuple[UOp, ...] | None = None,
                arg: Any = ...) -> UOp:
        return UOp(self.op if op is None else op, self.dtype if dtype is None else dtype,
                   self.src if src is None else src, self.arg if arg is ... else arg)

    # ---- constructors

    @staticmethod
    def const(dtype: DType, value: Any) -> UOp:
        """A constant, converted to the dtype's Python type; integers wrap to the dtype's width."""
        if dtype.kind == "f":
            return UOp(Ops.CONST, dtype, (), float(value))
        if dtype.kind == "b":
            return UOp(Ops.CONST, dtype, (), bool(value))
        value = int(value)
        if dtype.kind in "iu":
            bits = dtype.itemsize * 8
            value &= (1 << bits) - 1
            if dtype.kind == "i" and value >> (bits - 1):
                value -= 1 << bits
        return UOp(Ops.CONST, dtype, (), value)

    @staticmethod
    def variable(name: str, low: int, high: int) -> UOp:
        """A symbolic integer with low <= value <= high, known when a kernel is launched."""
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"Variable: name {name!r} is not an identifier")
        if not (isinstance(low, int) and isinstance(high, int)) or low > high:
            raise ValueError(f"Variable {name}: needs integers low <= high, got {low!r}, {high!r}")
        return UOp(Ops.VARIABLE, dtypes.index, (), VariableArg(name, low, high))

    @staticmethod
    def range(name: str, start: int | UOp, end: int | UOp, kind: str = "loop", copy: int = 0) -> UOp:
        return UOp(Ops.RANGE, dtypes.index, (index_const(start), index_const(end)), RangeArg(name, kind, copy))

    @staticmethod
    def sink(*src: UOp) -> UOp:
        return UOp(Ops.SINK, dtypes.void, src)

    def bind(self, value: int) -> UOp:
        """A variable with its value. ValueError outside of its bounds."""
        if self.op is not Ops.VARIABLE:
            raise TypeError(f"bind: {self!r} is no variable")
        if not isinstance(value, int) or not self.arg.low <= value <= self.arg.high:
            raise ValueError(f"bind: variable {self.arg.name} takes {self.arg.low}..{self.arg.high}, got {value!r}")
        return UOp(Ops.BIND, dtypes.index, (self, UOp.const(dtypes.index, value)))

    def unbind(self) -> tuple[UOp, int]:
        """(variable, value) of a BIND."""
        if self.op is not Ops.BIND:
            raise TypeError(f"unbind: {self!r} is no bound variable")
        return self.src[0], self.src[1].arg

    # ---- tensor level

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shape at tensor level: ints, and index UOps where symbolic."""
        shape: tuple[Any, ...] | None = self._shape
        if shape is None:
            shape = self._shape = _infer_shapes(self)
        return shape

    # ---- arithmetic of integers and conditions (loop level)

    def __add__(self, other: int | UOp) -> UOp:
        return alu(Ops.ADD, self, like(self, other))

    def __mul__(self, other: int | UOp) -> UOp:
        return alu(Ops.MUL, self, like(self, other))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> UOp:
        return alu(Ops.NEG, self)

    def __sub__(self, other: int | UOp) -> UOp:
        return alu(Ops.ADD, self, -like(self, other))

    def __rsub__(self, other: int | UOp) -> UOp:
        return alu(Ops.ADD, like(self, other), -self)

    def __floordiv__(self, other: int | UOp) -> UOp:
        return alu(Ops.IDIV, self, like(self, other))

    def __rfloordiv__(self, other: int) -> UOp:
        return alu(Ops.IDIV, like(self, other), self)

    def __mod__(self, other: int | UOp) -> UOp:
        return alu(Ops.MOD, self, like(self, other))

    def __rmod__(self, other: int) -> UOp:
        return alu(Ops.MOD, like(self, other), self)

    def lt(self, other: int | UOp) -> UOp:
        return alu(Ops.CMPLT, self, like(self, other))

    def ge(self, other: int | UOp) -> UOp:
        return self.lt(other).logical_not()

    def ne(self, other: int | UOp) -> UOp:
        return alu(Ops.CMPNE, self, like(self, other))

    def maximum(self, other: int | UOp) -> UOp:
        return alu(Ops.MAX, self, like(self, other))

    def minimum(self, other: int | UOp) -> UOp:
        return -alu(Ops.MAX, -self, -like(self, other))

    def __and__(self, other: UOp) -> UOp:
        return alu(Ops.AND, self, other)

    def __or__(self, other: UOp) -> UOp:
        return alu(Ops.OR, self, other)

    def logical_not(self) -> UOp:
        return alu(Ops.NOT, self)

    def where(self, yes: UOp, no: UOp) -> UOp:
        return alu(Ops.WHERE, self, yes, no)

    def cast(self, dtype: DType) -> UOp:
        return self if dtype is self.dtype else cast(self, dtype)

    @property
    def vmin(self) -> int:
        return bounds(self)[0]

    @property
    def vmax(self) -> int:
        return bounds(self)[1]

    def __index__(self) -> int:
        if self.op is Ops.CONST and self.dtype.kind in "iux":
            return int(self.arg)
        raise TypeError(f"{self!r} is symbolic: it has no value before it is bound")


def toposort(*roots: UOp, sources: Callable[[UOp], tuple[UOp, ...]] | None = None) -> list[UOp]:
    """Every node below the roots, each once, sources first. Iterative. `sources`: those of a node that count."""
    order: list[UOp] = []
    seen: set[UOp] = set()
    stack: list[UOp | None] = [*reversed(roots)]
    while stack:
        node = stack.pop()
        if node is None:  # all below the node that comes next is in order
            order.append(stack.pop())  # type: ignore[arg-type]
        elif node not in seen:
            seen.add(node)
            below = node.src if sources is None else sources(node)
            if below:
                stack += (node, None)
                stack += below[::-1]
            else:
                order.append(node)
    return order


# ---- shapes

def _infer_shapes(root: UOp) -> tuple[Any, ...]:
    stack = [root]
    while stack:
        node = stack[-1]
        missing = [s for s in node.src if s._shape is None]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        if node._shape is None:
            node._shape = _shape_of(node)
    shape: tuple[Any, ...] = root._shape
    return shape


def _shape_of(node: UOp) -> tuple[Any, ...]:
    op = node.op
    if op in (Ops.BUFFER, Ops.PARAM, Ops.VIEW):
        return tuple(node.arg.shape)
    if op is Ops.REDUCE and isinstance(node.arg, ReduceArg):
        return tuple(1 if axis in node.arg.axes else n for axis, n in enumerate(node.src[0].shape))
    if op is Ops.IOTA:
        return (node.arg,)
    if op is Ops.GATHER:
        return tuple(node.src[1].shape) + tuple(node.src[0].shape[1:])
    if op in (Ops.ASSIGN, Ops.SCATTER, Ops.CONTIGUOUS, Ops.COPY):
        return node.src[0].shape
    if op in (Ops.STORE, Ops.SINK, Ops.CONST, Ops.VARIABLE, Ops.BIND, Ops.RANGE):
        return ()
    shape: tuple[Any, ...] = ()
    for source in node.src:
        if source._shape and len(source._shape) >= len(shape):
            shape = source._shape
    return shape


# ---- constants

_small = [UOp.const(dtypes.index, value) for value in range(-64, 1025)]  # kept alive: they are everywhere
TRUE, FALSE = UOp.const(dtypes.bool, True), UOp.const(dtypes.bool, False)


def index_const(value: int | UOp) -> UOp:
    """An index UOp from an int or itself."""
    if isinstance(value, UOp):
        return value
    return _small[value + 64] if -64 <= value < 1025 else UOp(Ops.CONST, dtypes.index, (), int(value))


def like(node: UOp, value: Any) -> UOp:
    """`value` as a UOp of node's dtype."""
    if isinstance(value, UOp):
        return value
    return index_const(value) if node.dtype is dtypes.index else UOp.const(node.dtype, value)


# ---- linear forms: (constant, {atom: coefficient})

_Linear = tuple[int, dict[UOp, int]]


def linear(node: UOp) -> _Linear:
    """The linear form of an index UOp. Do not change the dict."""
    form: _Linear | None = node._linear
    if form is None:
        form = node._linear = _linear_of(node)
    return form


def _linear_of(node: UOp) -> _Linear:
    if node.op is Ops.CONST:
        return node.arg, {}
    if node.op is Ops.MUL and node.src[1].op is Ops.CONST:
        return 0, {node.src[0]: node.src[1].arg}
    if node.op is Ops.ADD:
        parts: list[UOp] = []
        while node.op is Ops.ADD:  # sums are chains to the left, built by from_linear
            parts.append(node.src[1])
            node = node.src[0]
        constant, terms = 0, dict[UOp, int]()
        for part in (*parts, node):
            c, d = linear(part)
            constant += c
            for atom, k in d.items():
                terms[atom] = terms.get(atom, 0) + k
        return constant, terms
    return 0, {node: 1}


_age_of = attrgetter("age")


def from_linear(constant: int, terms: dict[UOp, int]) -> UOp:
    """The canonical node of a linear form: atoms by age, the constant last. Zero coefficients vanish."""
    result: UOp | None = None
    for atom in sorted(terms, key=_age_of) if len(terms) > 1 else terms:
        if k := terms[atom]:
            term = atom if k == 1 else UOp(Ops.MUL, dtypes.index, (atom, index_const(k)))
            result = term if result is None else UOp(Ops.ADD, dtypes.index, (result, term))
    if result is None:
        return index_const(constant)
    return UOp(Ops.ADD, dtypes.index, (result, index_const(constant))) if constant else result


def add_scaled(a: UOp, b: UOp, scale: int = 1) -> UOp:
    """a + scale * b in canonical form."""
    (c1, d1), (c2, d2) = linear(a), linear(b)
    if not d2:  # the terms stay as they are
        constant = c1 + c2 * scale
        if constant == c1 or not d1:
            return a if d1 else index_const(constant)
        start = a.src[0] if c1 else a
        return UOp(Ops.ADD, dtypes.index, (start, index_const(constant))) if constant else start
    terms = dict(d1)
    for atom, k in d2.items():
        terms[atom] = terms.get(atom, 0) + k * scale
    for atom in terms:
        if atom.op is Ops.MOD and terms[atom]:
            whole = _join_digits(terms, atom)
            if whole is not None:
                return add_scaled(from_linear(c1 + c2 * scale, {a: k for a, k in terms.items() if k}), whole)
    return from_linear(c1 + c2 * scale, {atom: k for atom, k in terms.items() if k})


def _join_digits(terms: dict[UOp, int], low: UOp) -> UOp | None:
    """n * (x//n) + x%n is x: drops both from the terms and returns x times their coefficient."""
    x, n = low.src
    if n.op is not Ops.CONST or len(terms) < 2:
        return None
    high, k = _divide(x, n), terms[low]
    if terms.get(high, 0) != k * n.arg:
        return None
    terms[low] = terms[high] = 0
    return _multiply(x, index_const(k))


def _factors(atom: UOp) -> tuple[UOp, ...]:
    """The factors of a product of atoms, by age."""
    factors: list[UOp] = []
    while atom.op is Ops.MUL:
        factors.append(atom.src[1])
        atom = atom.src[0]
    factors.append(atom)
    return tuple(sorted(factors, key=lambda f: f.age))


def _product(factors: Iterable[UOp]) -> UOp:
    result: UOp | None = None
    for factor in sorted(factors, key=lambda f: f.age):
        result = factor if result is None else UOp(Ops.MUL, dtypes.index, (result, factor))
    return index_const(1) if result is None else result


def _multiply(a: UOp, b: UOp) -> UOp:
    (c1, d1), (c2, d2) = linear(a), linear(b)
    terms = {atom: k * c2 for atom, k in d1.items()}
    for other, m in d2.items():
        terms[other] = terms.get(other, 0) + m * c1
        for atom, k in d1.items():
            both = _product(_factors(atom) + _factors(other))
            terms[both] = terms.get(both, 0) + k * m
    return from_linear(c1 * c2, {atom: k for atom, k in terms.items() if k})


def _split_by(a: UOp, divisor: int) -> tuple[UOp, UOp]:
    """(q, r) with a == q * divisor + r, r the part whose coefficients are not multiples; 0 <= constant of r < divisor.
    """
    constant, terms = linear(a)
    return (from_linear(constant // divisor, {t: k // divisor for t, k in terms.items() if k % divisor == 0}),
            from_linear(constant % divisor, {t: k for t, k in terms.items() if k % divisor}))


def _fold_small_parts(rest: UOp, divisor: int) -> tuple[int, UOp, UOp]:
    """(g, big, small) with rest == g * big + small and 0 <= small < g, g a divisor of `divisor`; g is 1 where there is
    none.
    """
    constant, terms = linear(rest)
    for g in sorted({gcd(divisor, k) for k in terms.values()}, reverse=True):
        if g > 1:
            small = from_linear(constant % g, {t: k for t, k in terms.items() if k % g})
            low, high = bounds(small)
            if low >= 0 and high < g:
                return g, from_linear(constant // g, {t: k // g for t, k in terms.items() if k % g == 0}), small
    return 1, rest, index_const(0)


def _divide(a: UOp, b: UOp) -> UOp:
    """Floor division of canonical integers."""
    if b.op is not Ops.CONST:
        quotient, rest = _divide_symbolic(a, b)
        low, high = bounds(b)
        if rest is index_const(0) and (low > 0 or high < 0 or quotient is rest):  # x // 0 is 0
            return quotient
        if bounds(rest)[0] >= 0 and bounds(add_scaled(rest, b, -1))[1] < 0:
            return quotient
        return UOp(Ops.IDIV, dtypes.index, (a, b))
    divisor = b.arg
    if divisor == 0:
        return index_const(0)
    if divisor < 0:
        return _divide(_multiply(a, index_const(-1)), index_const(-divisor))
    if divisor == 1:
        return a
    quotient, rest = _split_by(a, divisor)
    low, high = bounds(rest)
    if low // divisor == high // divisor:
        return add_scaled(quotient, index_const(low // divisor))
    factor, big, _ = _fold_small_parts(rest, divisor)
    if factor > 1:  # (g*x + s) // (g*d) == x // d for 0 <= s < g
        return add_scaled(quotient, _divide(big, index_const(divisor // factor)))
    if rest.op is Ops.IDIV and rest.src[1].op is Ops.CONST:  # (x // c) // d == x // (c*d)
        return add_scaled(quotient, _divide(rest.src[0], index_const(rest.src[1].arg * divisor)))
    return add_scaled(quotient, UOp(Ops.IDIV, dtypes.index, (rest, b)))


def _take(factor: UOp, factors: list[UOp]) -> bool:
    """Removes one factor from the list; False if it is not there."""
    if factor not in factors:
        return False
    factors.remove(factor)
    return True


def _divide_symbolic(a: UOp, b: UOp) -> tuple[UOp, UOp]:
    """Long division by a symbolic sum: (q, r) with a == q*b + r, by b's youngest product as the leading term."""
    _, terms = linear(b)
    lead, lead_k = max(terms.items(), key=lambda item: (len(_factors(item[0])), item[0].age))
    lead_factors = _factors(lead)
    quotient, rest = index_const(0), a
    for _ in range(8):
        step: UOp | None = None
        for atom, k in linear(rest)[1].items():
            left = list(_factors(atom))
            if k % lead_k == 0 and all(_take(f, left) for f in lead_factors):
                step = _multiply(_product(left), index_const(k // lead_k))
                break
        if step is None:
            break
        quotient, rest = add_scaled(quotient, step), add_scaled(rest, _multiply(step, b), -1)
    return quotient, rest


def _modulo(a: UOp, b: UOp) -> UOp:
    if b.op is not Ops.CONST:
        _, rest = _divide_symbolic(a, b)
        if rest is index_const(0) or (bounds(rest)[0] >= 0 and bounds(add_scaled(rest, b, -1))[1] < 0):
            return rest
        return UOp(Ops.MOD, dtypes.index, (a, b))
    divisor = b.arg
    if divisor == 0 or divisor == 1:
        return index_const(0)
    if divisor < 0:
        return _multiply(_modulo(_multiply(a, index_const(-1)), index_const(-divisor)), index_const(-1))
    _, rest = _split_by(a, divisor)
    low, high = bounds(rest)
    if low // divisor == high // divisor:
        return add_scaled(rest, index_const(-(low // divisor) * divisor))
    factor, big, small = _fold_small_parts(rest, divisor)
    if factor > 1:  # (g*x + s) % (g*d) == g * (x % d) + s for 0 <= s < g
        return add_scaled(small, _modulo(big, index_const(divisor // factor)), factor)
    # a multiple of a MOD inside drops: (x % (d*m)) % d == x % d, and coefficients reduce to the nearest of 0
    constant, terms = linear(rest)
    for atom, k in terms.items():
        if atom.op is Ops.MOD and atom.src[1].op is Ops.CONST and atom.src[1].arg % divisor == 0:
            return _modulo(add_scaled(rest, add_scaled(atom.src[0], atom, -1), k), b)
    reduced = from_linear(constant % divisor, {t: k % divisor for t, k in terms.items()})
    low, high = bounds(reduced)
    if low // divisor == high // divisor:
        return add_scaled(reduced, index_const(-(low // divisor) * divisor))
    return UOp(Ops.MOD, dtypes.index, (reduced, b))


# ---- bounds

def bounds(node: UOp) -> tuple[int, int]:
    """Smallest and largest value of an index UOp (or a bool's, or the dtype's for other data)."""
    result: tuple[int, int] | None = node._bounds
    if result is None:
        result = node._bounds = _bounds_of(node)
    return result


def _bounds_of(node: UOp) -> tuple[int, int]:
    op = node.op
    if op is Ops.CONST:
        return (int(node.arg), int(node.arg)) if node.dtype.kind != "f" else (-BIG, BIG)
    if op is Ops.VARIABLE:
        return node.arg.low, node.arg.high
    if op is Ops.BIND or (op is Ops.CAST and node.dtype is dtypes.index):
        return bounds(node.src[0])
    if op is Ops.RANGE:
        low = bounds(node.src[0])[0]
        return low, max(bounds(node.src[1])[1] - 1, low)
    if node.dtype is dtypes.index and op in (Ops.ADD, Ops.MUL):
        return _bounds_of_sum(node)
    if node.dtype is dtypes.index and op in (Ops.MAX, Ops.WHERE, Ops.IDIV, Ops.MOD):
        (l1, h1), (l2, h2) = bounds(node.src[-2]), bounds(node.src[-1])
        if op is Ops.MAX:
            return max(l1, l2), max(h1, h2)
        if op is Ops.WHERE:
            return min(l1, l2), max(h1, h2)
        if l2 <= 0:
            return -BIG, BIG
        if op is Ops.MOD:
            return 0, min(h2 - 1, h1) if l1 >= 0 else h2 - 1
        corners = [l1 // l2, l1 // h2, h1 // l2, h1 // h2]
        return min(corners), max(corners)
    if op is Ops.CAST and node.src[0].dtype is dtypes.index and node.dtype.kind in "iu":
        low, high = bounds(node.src[0])
        if low >= node.dtype.min and high <= node.dtype.max:
            return low, high
    if node.dtype.kind in "iub":
        return int(node.dtype.min), int(node.dtype.max)
    return -BIG, BIG


def _bounds_of_sum(node: UOp) -> tuple[int, int]:
    if node.op is Ops.MUL and node.src[1].op is not Ops.CONST:  # a product of atoms
        (l1, h1), (l2, h2) = bounds(node.src[0]), bounds(node.src[1])
        corners = [l1 * l2, l1 * h2, h1 * l2, h1 * h2]
        return min(corners), max(corners)
    constant, terms = linear(node)
    low = high = constant
    related = False
    for atom, k in terms.items():
        l, h = bounds(atom)
        low += k * (l if k > 0 else h)
        high += k * (h if k > 0 else l)
        related = related or (len(terms) > 1 and atom.op in (Ops.RANGE, Ops.IDIV, Ops.MAX, Ops.MOD, Ops.MUL))
    if related:
        low, high = max(low, _extreme_value(node, False)), min(high, _extreme_value(node, True))
    return low, high


def _extreme_value(node: UOp, largest: bool) -> int:
    """A bound that uses how atoms relate: the end of a range may mention another atom of the sum."""
    values: list[int] = []
    relaxed: UOp | None = node
    while relaxed is not None and len(values) < 16:
        constant, terms = linear(relaxed)
        values.append(constant + sum(k * bounds(t)[1 if (k > 0) == largest else 0] for t, k in terms.items()))
        relaxed = _relax(relaxed, terms, largest)
    return min(values) if largest else max(values)


def _relax(expression: UOp, terms: dict[UOp, int], largest: bool) -> UOp | None:
    """Replaces the youngest atom that has a symbolic bound by that bound, quotients last: theirs is not exact; None if
    there is none.
    """
    for atom in sorted(terms, key=lambda t: (t.op is Ops.IDIV, -t.age)):
        k = terms[atom]
        up = (k > 0) == largest
        substitute: UOp | None = None
        if atom.op is Ops.RANGE:
            start, end = atom.src
            if up and end.op is not Ops.CONST:
                substitute = add_scaled(end, index_const(-1))
            elif not up and start.op is not Ops.CONST:
                substitute = start
        elif atom.op is Ops.IDIV and atom.src[1].op is Ops.CONST and k % atom.src[1].arg == 0:
            n = atom.src[1].arg  # n*(x//n) lies in [x-n+1, x]
            bound = atom.src[0] if up else add_scaled(atom.src[0], index_const(1 - n))
            return add_scaled(add_scaled(expression, atom, -k), bound, k // n)
        elif atom.op is Ops.MAX and not up:
            # -max(a, b) is at most -a and at most -b: try both
            options = [add_scaled(add_scaled(expression, atom, -k), s, k) for s in atom.src]
            return (min if largest else max)(options, key=lambda option: _extreme_value(option, largest))
        elif atom.op is Ops.MUL and up:  # range * something non-negative
            for range_, other in (atom.src, atom.src[::-1]):
                if range_.op is Ops.RANGE and bounds(other)[0] >= 0 and range_.src[1].op is not Ops.CONST:
                    substitute = _multiply(add_scaled(range_.src[1], index_const(-1)), other)
                    break
        if substitute is not None:
            return add_scaled(add_scaled(expression, atom, -k), substitute, k)
    return None


# ---- constructors that fold

def alu(op: Ops, *src: UOp) -> UOp:
    """An elementwise node; index arithmetic comes out canonical, conditions and selects fold."""
    first = src[0]
    if op is Ops.WHERE:
        if first.op is Ops.CONST:
            return src[1] if first.arg else src[2]
        if src[1] is src[2]:
            return src[1]
    elif first.dtype is dtypes.index or first.dtype is dtypes.bool:
        folded = (_alu_index if first.dtype is dtypes.index else _alu_bool)(op, src)
        if folded is not None:
            return folded
    dtype = (dtypes.bool if op in COMPARISON else src[1].dtype if op is Ops.WHERE else dtypes.float32 if op is Ops.DOT
             else first.dtype)
    if op in COMMUTATIVE and src[0].age > src[1].age and dtype is not dtypes.index:
        src = (src[1], src[0])
    return UOp(op, dtype, src)


def _alu_index(op: Ops, src: tuple[UOp, ...]) -> UOp | None:
    a = src[0]
    if op is Ops.NEG:
        return _multiply(a, index_const(-1))
    b = src[1]
    if op in _CANONICAL:
        return _CANONICAL[op](a, b)
    if op is Ops.MAX:
        low, high = bounds(add_scaled(a, b, -1))
        if low >= 0:
            return a
        if high <= 0:
            return b
        return UOp(Ops.MAX, dtypes.index, (a, b) if a.age <= b.age else (b, a))
    if op is Ops.CMPLT:
        (lowest, highest), (low, high) = bounds(a), bounds(b)
        if highest < low:
            return TRUE
        if lowest >= high:
            return FALSE
        difference = add_scaled(a, b, -1)
        low, high = bounds(difference)
        if high < 0:
            return TRUE
        if low >= 0:
            return FALSE
        return UOp(Ops.CMPLT, dtypes.bool, (_reduce_gcd(difference), index_const(0)))
    if op is Ops.CMPNE:
        difference = add_scaled(a, b, -1)
        low, high = bounds(difference)
        if low == high == 0:
            return FALSE
        if low > 0 or high < 0:
            return TRUE
        return UOp(Ops.CMPNE, dtypes.bool, (difference, index_const(0)))
    return None


_CANONICAL: dict[Ops, Callable[[UOp, UOp], UOp]] = {
    Ops.ADD: add_scaled, Ops.MUL: _multiply, Ops.IDIV: _divide, Ops.MOD: _modulo}


def _reduce_gcd(difference: UOp) -> UOp:
    """d < 0 keeps its meaning when d is divided by a factor, rounding down: one that its coefficients share, but for a
    term that with the constant's remainder stays in [0, factor). 4*x + lane < 5000 is x < 1250 for lanes 0 to 3.
    """
    constant, terms = linear(difference)
    shared = gcd(*terms.values())
    if shared <= 1 and len(terms) > 1:
        small = min(terms, key=lambda t: abs(terms[t]))
        rest = {t: k for t, k in terms.items() if t is not small}
        factor = gcd(*rest.values())
        if factor > 1:
            low, high = sorted(terms[small] * x for x in bounds(small))
            if 0 <= low + constant % factor and high + constant % factor < factor:
                return from_linear(constant // factor, {t: k // factor for t, k in rest.items()})
    if shared <= 1:
        return difference
    # g*x + c < 0  <=>  x < -c/g  <=>  x + floor(c/g) < 0
    return from_linear(constant // shared, {t: k // shared for t, k in terms.items()})


def _alu_bool(op: Ops, src: tuple[UOp, ...]) -> UOp | None:
    a = src[0]
    if op is Ops.NOT:
        if a.op is Ops.CONST:
            return FALSE if a.arg else TRUE
        if a.op is Ops.NOT:
            return a.src[0]
        if a.op is Ops.CMPLT and a.src[0].dtype is dtypes.index:  # not d < 0  <=>  -d - 1 < 0
            return alu(Ops.CMPLT, -a.src[0] - 1, index_const(0))
        return None
    if op not in (Ops.AND, Ops.MUL, Ops.OR, Ops.MAX, Ops.ADD):
        return None
    deciding = op not in (Ops.AND, Ops.MUL)  # the constant that decides; the other one changes nothing
    for x, y in ((a, src[1]), (src[1], a)):
        if x.op is Ops.CONST:
            return x if x.arg == deciding else y
    return a if a is src[1] else None


def is_round_trip(wide: UOp, dtype: DType) -> bool:
    """Whether a cast was from this type of 16-bit floats, to a float32."""
    return wide.src[0].dtype is dtype and dtype in (dtypes.float16, dtypes.bfloat16) and wide.dtype is dtypes.float32


def cast(node: UOp, dtype: DType) -> UOp:
    """A conversion; between index and integers it folds where no value can change."""
    if node.op is Ops.CONST and (node.dtype.kind != "f" or dtype.kind == "f"):
        if dtype not in (dtypes.float16, dtypes.bfloat16, dtypes.float32):
            return UOp.const(dtype, node.arg)
    if dtype is dtypes.index and node.op is Ops.CAST and node.src[0].dtype is dtypes.index:
        low, high = bounds(node.src[0])
        if low >= node.dtype.min and high <= node.dtype.max:
            return node.src[0]
    if node.op is Ops.CAST and is_round_trip(node, dtype):
        return node.src[0]
    return UOp(Ops.CAST, dtype, (node,))
