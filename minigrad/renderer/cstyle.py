"""From the linear list to C-like text: what C, CUDA and OpenCL have in common, scalars only.

A statement per value; a value that is used once, in the block where it is made, is written where it is used. A backend
overrides the tables (types, functions) and the few methods that name its launch parameters, vectors and special loads.
"""
from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..codegen.nest import is_index_condition
from ..dtype import DType, dtypes
from ..uops import Ops, UOp, toposort
from ..uops.uop import bounds, index_const, linear

Names = dict[UOp, str]

BINARY_SIGN = {Ops.ADD: "+", Ops.MUL: "*", Ops.FDIV: "/", Ops.CMPLT: "<", Ops.CMPNE: "!=", Ops.AND: "&", Ops.OR: "|",
               Ops.XOR: "^"}
BINARY_CALL = {Ops.MAX: "max", Ops.IDIV: "floordiv", Ops.MOD: "floormod", Ops.SHL: "shl", Ops.SHR: "shr"}
CONDITIONS = (Ops.CMPLT, Ops.CMPNE, Ops.AND, Ops.OR, Ops.NOT)
WIDENED = {Ops.ADD, Ops.MUL, Ops.NEG, Ops.AND, Ops.OR, Ops.XOR, Ops.WHERE}


class CStyle:
    """Renders one kernel. `scopes` maps linear values to their names, innermost block last."""

    types: Mapping[str, str] = {
        "bool": "unsigned char", "int8": "signed char", "int16": "short", "int32": "int", "int64": "long",
        "uint8": "unsigned char", "uint16": "unsigned short", "uint32": "unsigned int", "uint64": "unsigned long",
        "float16": "_Float16", "bfloat16": "unsigned short", "float32": "float", "float64": "double", "index": "long"}
    index_type = "long"
    inline_limit = 90  # characters of a value written in place
    inline_vectors = True
    named = frozenset({Ops.LOAD})  # what is never written in place

    def __init__(self, ops: list[UOp]) -> None:
        self.ops = ops
        self.scopes: list[Names] = [{}]
        self.lines: list[str] = []
        self.depth = 1
        self.counter = 0
        self.helpers: set[str] = set()
        self.uses = _count_uses(ops)
        self.inline: dict[UOp, str] = {}
        self.chunks: dict[str, None] = {}      # pieces of the prelude, in order

    def need(self, text: str) -> None:
        self.chunks.setdefault(text)

    # ---- tables that a backend changes

    def type_of(self, dtype: DType) -> str:
        return self.types[dtype.name]

    def constant(self, value: int | float | bool, dtype: DType) -> str:
        if dtype.kind == "f":
            return self.float_constant(float(value), dtype)
        if dtype.kind == "b":
            return "1" if value else "0"
        suffix = {"int64": "L", "uint64": "UL", "uint32": "U"}.get(dtype.name, "")
        if dtype is dtypes.int64 and value == dtype.min:
            return "(-9223372036854775807L - 1)"
        if dtype is dtypes.int32 and value == dtype.min:
            return "(-2147483647 - 1)"
        return f"{value}{suffix}" if value >= 0 else f"({value}{suffix})"

    def float_constant(self, value: float, dtype: DType) -> str:
        double = dtype is dtypes.float64
        value = value if double else _as_float32(value)
        if not math.isfinite(value):
            text = self.not_finite("nan" if math.isnan(value) else "inf", double)
            return f"(-{text})" if value < 0 else text
        text = repr(value) + ("" if double else "f")
        return text if math.copysign(1.0, value) > 0 else f"({text})"

    def not_finite(self, name: str, double: bool) -> str:
        """The positive number "inf", or "nan"."""
        argument = '""' if name == "nan" else ""
        return f"__builtin_{name}{'' if double else 'f'}({argument})"

    # ---- the walk

    def body(self) -> list[str]:
        """The statements of the kernel, indented."""
        for op in self.ops:
            self.statement(op)
        return self.lines

    def write(self, text: str) -> None:
        self.lines.append("  " * self.depth + text)

    def lookup(self, u: UOp) -> str:
        if u.op is Ops.CONST:
            return self.constant(u.arg, u.dtype)
        if u in self.inline:
            return _group(self.inline.pop(u))
        for scope in reversed(self.scopes):
            if u in scope:
                return scope[u]
        raise RuntimeError(f"render: {u!r} is used before it is made")

    def plain(self, u: UOp) -> str:
        """Like `lookup`, where nothing binds tighter: an argument, the right side of an assignment."""
        return self.inline.pop(u) if u in self.inline else self.lookup(u)

    def name(self, prefix: str) -> str:
        self.counter += 1
        return f"{prefix}{self.counter}"

    def statement(self, u: UOp) -> None:
        op = u.op
        if op is Ops.LOOP:
            name = range_name(u.src[0])
            start, stop = self.loop_bounds(u.src[0])
            self.open(f"for ({self.index_type} {name} = {start}; {name} < {stop}; {name}++) {{")
        elif op is Ops.IF:
            self.open(f"if ({self.lookup(u.src[0])}) {{")
        elif op in (Ops.ENDLOOP, Ops.ENDIF):
            self.depth -= 1
            self.scopes.pop()
            self.write("}")
        elif op is Ops.BARRIER:
            self.write(self.barrier())
        elif op is Ops.ACCUMULATOR:
            name = self.name("acc")
            self.write(f"{self.type_of(u.dtype)} {name} = {self.splat(self.lookup(u.src[0]), u.dtype)};")
            self.scopes[-1][u] = name
        elif op is Ops.UPDATE:
            self.update(u)
        elif op is Ops.STORE:
            self.store(u)
        else:
            self.define(u)

    def define(self, u: UOp) -> None:
        text = self.expression(u)
        fits = len(text) <= self.inline_limit and (self.inline_vectors or u.dtype.count == 1)
        if fits and u.op not in self.named and self.uses.get(u) == "once":
            # C computes small integers as int: where no variable makes them wrap, a cast does
            small = u.op in WIDENED and u.dtype.is_int and u.dtype.count == 1 and u.dtype.itemsize < 4
            self.inline[u] = f"({self.type_of(u.dtype)}){_group(text)}" if small else text
            return
        name = self.name("v")
        self.write(f"{self.type_of(u.dtype)} {name} = {text};")
        self.scopes[-1][u] = name

    def open(self, head: str) -> None:
        self.write(head)
        self.depth += 1
        self.scopes.append({})

    def loop_bounds(self, r: UOp) -> tuple[str, str]:
        return self.index(r.src[0]), self.index(r.src[1])

    def barrier(self) -> str:
        raise NotImplementedError

    # ---- values

    def splat(self, text: str, dtype: DType) -> str:
        """A scalar's text as a value of `dtype`."""
        return text

    def update(self, u: UOp) -> None:
        accumulator, value = u.src
        name, text = self.lookup(accumulator), self.plain(value)
        if u.arg is None:
            self.write(f"{name} = {text};")
        elif u.arg is Ops.ADD and accumulator.dtype.kind != "b":
            self.write(f"{name} += {text};")
        elif u.arg is Ops.MUL and accumulator.dtype.kind != "b":
            self.write(f"{name} *= {text};")
        else:
            combined = self.binary(u.arg, accumulator.dtype, accumulator.dtype, name, _group(text))
            self.write(f"{name} = {combined};")

    def expression(self, u: UOp) -> str:
        op = u.op
        if op is Ops.LOAD:
            return self.load(u)
        if op is Ops.CAST:
            return self.cast(u)
        if op is Ops.BITCAST:
            return self.bitcast(self.lookup(u.src[0]), u.src[0].dtype, u.dtype)
        if op is Ops.WHERE:
            return self.where(u)
        if len(u.src) == 1:
            text = self.lookup if op in (Ops.NEG, Ops.NOT, Ops.RECIPROCAL) else self.plain
            return self.unary(op, u.dtype, text(u.src[0]))
        if op in BINARY_SIGN or op in BINARY_CALL:
            a, b = u.src
            operand = a.dtype if a.dtype.count >= b.dtype.count else b.dtype
            return self.binary(op, u.dtype, operand, self.lookup(a), self.lookup(b))
        raise RuntimeError(f"render: {u!r} has no text")

    def unary(self, op: Ops, dtype: DType, x: str) -> str:
        if op is Ops.NEG:
            return f"-{x}"
        if op is Ops.NOT:
            return f"~{x}" if dtype.count > 1 or dtype.kind != "b" else f"!{x}"
        if op is Ops.RECIPROCAL:
            return f"{self.constant(1, dtype.scalar)} / {x}"
        return self.function(op, dtype, x)

    def function(self, op: Ops, dtype: DType, x: str) -> str:
        """A function of one argument: SQRT, EXP, TRUNC, ..."""
        raise NotImplementedError

    def binary(self, op: Ops, dtype: DType, operand: DType, a: str, b: str) -> str:
        """`dtype` is the result's, `operand` the sources'."""
        if operand.kind == "b" and op in (Ops.ADD, Ops.MAX):
            op = Ops.OR
        elif operand.kind == "b" and op is Ops.MUL:
            op = Ops.AND
        elif operand.kind == "b" and op is Ops.CMPLT:
            return f"!{a} & {b}"
        if op in BINARY_SIGN:
            return f"{a} {BINARY_SIGN[op]} {b}"
        return self.helper_call(BINARY_CALL[op], operand, a, b)

    def helper_call(self, name: str, dtype: DType, *arguments: str) -> str:
        raise NotImplementedError

    def where(self, u: UOp) -> str:
        c, a, b = (self.lookup(s) for s in u.src)
        return f"{c} ? {a} : {b}"

    def cast(self, u: UOp) -> str:
        source = u.src[0]
        if source.dtype is dtypes.index or (source.dtype is dtypes.bool and is_index_condition(source)):
            text = self.condition(source) if source.dtype is dtypes.bool else self.index(source)
            return f"({self.type_of(u.dtype)})({text})"
        return self.convert(self.lookup(source), source.dtype, u.dtype)

    def convert(self, x: str, source: DType, target: DType) -> str:
        return f"({self.type_of(target)}){x}"

    def bitcast(self, x: str, source: DType, target: DType) -> str:
        return f"((union {{ {self.type_of(source)} a; {self.type_of(target)} b; }}){{ .a = {x} }}).b"

    # ---- memory

    def pointer(self, memory: UOp) -> str:
        return f"data{memory.arg.slot}" if memory.op is Ops.PARAM else scratch_name(memory)

    def element(self, index: UOp) -> str:
        return f"{self.pointer(index.src[0])}[{self.index(index.src[1])}]"

    def load(self, u: UOp) -> str:
        index = u.src[0]
        gate = index.src[2]
        text = self.element(index)
        if gate.op is Ops.CONST:
            return text
        return f"{self.condition(gate)} ? {text} : {self.constant(0, u.dtype)}"

    def store(self, u: UOp) -> None:
        index, value = u.src
        gate = index.src[2]
        sign = "+=" if u.arg == "add" else "="
        text = f"{self.element(index)} {sign} {self.plain(value)};"
        self.write(text if gate.op is Ops.CONST else f"if ({self.condition(gate)}) {text}")

    # ---- integers

    def index(self, u: UOp) -> str:
        """An index expression's text."""
        op = u.op
        if op is Ops.CONST:
            return str(u.arg)
        if op is Ops.RANGE:
            return range_name(u)
        if op is Ops.VARIABLE:
            return str(u.arg.name)
        if op in (Ops.ADD, Ops.MUL) and u.dtype is dtypes.index:
            return self.sum(u)
        if op is Ops.CAST:
            source = u.src[0]
            return self.index(source) if source.dtype is dtypes.index else f"({self.index_type}){self.lookup(source)}"
        if op is Ops.WHERE:
            return f"({self.condition(u.src[0])} ? {self.index(u.src[1])} : {self.index(u.src[2])})"
        if op is Ops.MAX:
            return self.extreme("imax", *u.src)
        a, b = (self.index(s) for s in u.src)
        if op in (Ops.IDIV, Ops.MOD):
            if bounds(u.src[0])[0] >= 0 and bounds(u.src[1])[0] > 0:
                return f"{_group(a)} {'/' if op is Ops.IDIV else '%'} {_group(b)}"
            quotient = f"{self.index_helper('ifloordiv')}({a}, {b})"
            return quotient if op is Ops.IDIV else f"({_group(a)} - {quotient} * {_group(b)})"
        raise RuntimeError(f"render: {u!r} is no index")

    def index_helper(self, name: str) -> str:
        """What a function of indices is called: imin, imax, ifloordiv."""
        self.helpers.add(name)
        return name

    def extreme(self, name: str, *src: UOp) -> str:
        return f"{self.index_helper(name)}({', '.join(sorted(map(self.index, src)))})"

    def sum(self, u: UOp) -> str:
        """A sum's text: what is added by its text, then what is subtracted, the constant last; so a change elsewhere,
        which makes nodes in another order, leaves it as it is.
        """
        if u.op is Ops.MUL and u.src[1].op is not Ops.CONST:
            return f"{_group(self.index(u.src[0]))} * {_group(self.index(u.src[1]))}"
        constant, terms = linear(u)
        parts = []
        for atom, k in terms.items():
            if atom.op is Ops.MAX and k < 0:  # -max(-a, -b) is min(a, b)
                part, k = self.extreme("imin", -atom.src[0], -atom.src[1]), -k
            else:
                part = self.index(atom)
            if abs(k) != 1:
                part = f"{_group(part)} * {abs(k)}"
            elif k < 0:
                part = _group(part)
            parts.append((k < 0, part))
        (negative, text), *rest = sorted(parts)
        rest += [(constant < 0, str(abs(constant)))] if constant else []
        return "".join(["-" * negative + text, *[f" {'-' if negative else '+'} {part}" for negative, part in rest]])

    def condition(self, u: UOp) -> str:
        """A condition's text: comparisons of indices, and data that stands in a variable."""
        op = u.op
        if op is Ops.CONST:
            return "1" if u.arg else "0"
        if op is Ops.CMPLT and u.src[0].dtype is dtypes.index:
            constant, terms = linear(u.src[0])  # sum < 0: negative terms to the right
            left = {t: k for t, k in terms.items() if k > 0}
            right = {t: -k for t, k in terms.items() if k < 0}
            return f"{self._side(left, max(constant, 0))} < {self._side(right, max(-constant, 0))}"
        if op is Ops.CMPNE and u.src[0].dtype is dtypes.index:
            return f"{self.index(u.src[0])} != 0"
        if op in (Ops.AND, Ops.OR):
            sign = " && " if op is Ops.AND else " || "
            texts = [(self.condition(s), s.op in (Ops.OR, Ops.AND) and s.op is not op) for s in u.src]
            return sign.join(f"({text})" if grouped else text for text, grouped in texts)
        if op is Ops.NOT:
            return f"!({self.condition(u.src[0])})"
        return self.lookup(u)

    def _side(self, terms: dict[UOp, int], constant: int) -> str:
        total = index_const(constant)
        for t, k in terms.items():
            total = total + t * k
        return self.index(total)


def range_name(r: UOp) -> str:
    """A C identifier for a range: o0.1.0 is o0_1_0, a peeled part ends in t, a copy in its number."""
    name = str(r.arg.name).replace(".", "_").replace("'", "t")
    return f"{name}_c{r.arg.copy}" if r.arg.copy else name


def scratch_name(memory: UOp) -> str:
    return f"scratch_{memory.arg.name}".replace(".", "_") + (f"_{memory.arg.copy}" if memory.arg.copy else "")


def _group(text: str) -> str:
    """The text in parentheses, unless it is a name, a number, a call or in parentheses already."""
    head = text[:text.find("(")] if "(" in text else ""
    if text.isidentifier() or text.isdigit() or (text.startswith("(") and _balanced(text)):
        return text
    return text if head.isidentifier() and _balanced(text[len(head):]) else f"({text})"


def _balanced(text: str) -> bool:
    """True if the first parenthesis closes at the end."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0:
            return i == len(text) - 1
    return False


def _as_float32(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def _count_uses(ops: list[UOp]) -> dict[UOp, str]:
    """"once" for values used exactly once, in the block that makes them, by something that is no index expression."""
    made: dict[UOp, tuple[int, ...]] = {}
    count: dict[UOp, int] = {}
    same: dict[UOp, bool] = {}
    block: tuple[int, ...] = ()
    serial = 0
    for u in ops:
        if u.op in (Ops.LOOP, Ops.IF):
            serial += 1
            block = (*block, serial)
        for s in u.src:
            count[s] = count.get(s, 0) + 1
            same[s] = made.get(s) == block
        of_indices = u.op is Ops.CAST and u.src[0].dtype in (dtypes.index, dtypes.bool)
        if u.op in (Ops.LOAD, Ops.STORE, Ops.LOOP) or of_indices:
            for leaf in _leaves(u.src[0]):  # data inside of addresses and conditions keeps its name
                count[leaf] = count.get(leaf, 0) + 2
        if u.op in (Ops.ENDLOOP, Ops.ENDIF):
            block = block[:-1]
        if u in made:  # made again in another block: keep its name
            count[u] = count.get(u, 0) + 2
        made[u] = block
    return {u: "once" for u, n in count.items() if n == 1 and same.get(u)}


def _leaves(root: UOp) -> list[UOp]:
    """The nodes of an index expression, down to its data."""
    return toposort(root, sources=lambda u: u.src if _is_of_indices(u) else ())


def _is_of_indices(u: UOp) -> bool:
    return u.op is not Ops.LOAD and (u.dtype is dtypes.index or u.op in CONDITIONS)
