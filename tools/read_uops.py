"""Reads back what `minigrad.printer` writes: the graphs of DEBUG=5, the lists of DEBUG=6.

    parse(text)         the nodes of the text in order; the last one is the root of a graph

Nodes are interned, so what comes back is the very object that was printed, if that lives. A BUFFER comes back as a
new one of the same shape. ValueError, with the line, for anything else.
"""
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from minigrad.dtype import DType, dtypes, to_dtype
from minigrad.printer import INFIX
from minigrad.runtime.device import Buffer
from minigrad.shape import ShapeTracker
from minigrad.shape.view import View
from minigrad.uops import Ops, ParamArg, ReduceArg, ScatterArg, UOp
from minigrad.uops.ops import EndArg, RangeArg, ScratchArg, SpecialArg
from minigrad.uops.uop import alu, index_const

ARGUMENTS: dict[frozenset[str], Callable[..., Any]] = {  # which class an argument is, by its fields
    frozenset(field.name for field in fields(kind) if field.repr): kind
    for kind in (ParamArg, ReduceArg, ShapeTracker, ScatterArg, RangeArg, ScratchArg, EndArg, SpecialArg)}
OPERATORS = {symbol: (op, level) for op, (symbol, level) in INFIX.items()} | {"-": (Ops.ADD, 4)}
TOKEN = re.compile(r"""\s*(?:
    (?P<node>%\d+) |
    (?P<const>-?(?:inf|nan|True|False|\d[\d.]*(?:e[+-]?\d+)?):\w+) |
    (?P<number>-?(?:inf\b|nan\b|\d[\d.]*(?:e[+-]?\d+)?)) |
    (?P<string>'[^']*'|"[^"]*") |
    (?P<name>[A-Za-z_]\w*) |
    (?P<symbol>//|!=|[-+*%<&|=(),{}])
)""", re.VERBOSE)


def read_dtype(text: str) -> DType:
    """"float32", "float32x16"."""
    scalar, _, lanes = text.partition("x") if re.fullmatch(r"[a-z]+\d*x\d+", text) else (text, "", "")
    named = {"index": dtypes.index, "void": dtypes.void}
    dtype = named[scalar] if scalar in named else to_dtype(scalar)
    return dtype.vec(int(lanes)) if lanes else dtype


def is_dtype(text: str) -> bool:
    try:
        read_dtype(text)
    except (ValueError, TypeError):
        return False
    return True


class Reader:
    """The values of one line: expressions, tuples, arguments."""

    def __init__(self, text: str, nodes: dict[str, UOp]) -> None:
        self.nodes, self.tokens = nodes, list[tuple[str, str, bool]]()
        place = 0
        while text[place:].strip():
            match = TOKEN.match(text, place)
            if match is None:
                raise ValueError(f"cannot read {text[place:]!r}")
            kind = str(match.lastgroup)
            value, start = match[kind], match.start(kind)
            before = text[:start].rstrip()[-1:]
            spaced = start > 0 and text[start - 1] == " "
            if kind in ("number", "const") and value[0] == "-" and not (spaced or before in ("", "(", *"*/%<&|+-=,")):
                kind, value, match_end = "symbol", "-", start + 1   # a-3 is a difference, "a -3" are two values
            elif kind == "node" and not spaced and (before.isalnum() or before == ")"):
                kind, value, match_end = "symbol", "%", start + 1   # %22%8 is a remainder
            else:
                match_end = match.end()
            self.tokens.append((kind, value, text[match_end:match_end + 1] == " "))
            place = match_end
        self.place = 0

    def peek(self) -> str:
        return self.tokens[self.place][1] if self.place < len(self.tokens) else ""

    def take(self, expected: str | None = None) -> tuple[str, str]:
        if self.place >= len(self.tokens):
            raise ValueError("the line ends too early")
        kind, value, _ = self.tokens[self.place]
        if expected is not None and value != expected:
            raise ValueError(f"expected {expected!r}, got {value!r}")
        self.place += 1
        return kind, value

    def all(self) -> list[Any]:
        """Every value up to the end."""
        found = []
        while self.place < len(self.tokens):
            found.append(self.expression(0))
        return found

    def expression(self, level: int) -> Any:
        left = self.atom()
        while self.peek() in OPERATORS and self.tokens[self.place][0] == "symbol":
            symbol = self.peek()
            op, binds = OPERATORS[symbol]
            if binds <= level:
                break
            self.take()
            right = self.expression(binds)
            if symbol == "-":
                right = -right if isinstance(right, int) else UOp.const(right.dtype, -right.arg)
            left = operation(op, left, right)
        return left

    def atom(self) -> Any:
        kind, value = self.take()
        if kind == "node":
            return self.nodes[value]
        if kind == "const":
            number, _, name = value.partition(":")
            dtype = read_dtype(name)
            return UOp.const(dtype, float(number) if dtype.kind == "f" else int(number))
        if kind == "number":
            return float(value) if re.search(r"[.en]", value) else int(value)
        if kind == "string":
            return value[1:-1]
        if value == "(":
            return self.tuple_or_group()
        if kind != "name":
            raise ValueError(f"expected a value, got {value!r}")
        if value in ("True", "False"):
            return value == "True"
        if self.peek() == "(" and value == "View":
            self.take("(")
            return View(**self.fields(")"))
        if value in self.nodes:
            variable = self.nodes[value]
            if self.peek() == "=":
                self.take()
                return variable.bind(int(self.take()[1]))
            return variable
        return Ops[value] if value in Ops.__members__ else read_dtype(value) if is_dtype(value) else value

    def tuple_or_group(self) -> Any:
        items, is_tuple = [], self.peek() == ")"
        while self.peek() != ")":
            items.append(self.expression(0))
            if self.peek() == ",":
                self.take()
                is_tuple = True
        self.take(")")
        return tuple(items) if is_tuple else items[0]

    def fields(self, end: str = "") -> dict[str, Any]:
        """name=value pairs."""
        found: dict[str, Any] = {}
        while self.peek() != end:
            _, name = self.take()
            self.take("=")
            found[name] = self.expression(0)
            if self.peek() == ",":
                self.take()
        if end:
            self.take(end)
        return found


def node_of(value: Any) -> UOp:
    """A source as a node: plain integers are of dtype index."""
    if isinstance(value, bool):
        return UOp.const(dtypes.bool, value)
    return index_const(value) if isinstance(value, int) else value


def operation(op: Ops, *values: Any) -> Any:
    sources = tuple(node_of(value) for value in values)
    if all(s.dtype in (dtypes.index, dtypes.bool) for s in sources):
        return alu(op, *sources)
    return UOp(op, sources[0].dtype, sources)


def argument(text: str, nodes: dict[str, UOp], op: Ops, dtype: DType, shape: tuple[Any, ...]) -> Any:
    if op is Ops.BUFFER:
        return Buffer(text.rpartition(" ")[2], shape, dtype)
    if re.match(r"[a-z_]+=", text):
        found = Reader(text, nodes).fields()
        for names, kind in ARGUMENTS.items():
            if names == set(found):
                return kind(**found)
        raise ValueError(f"no argument has the fields {sorted(found)}")
    values = Reader(text, nodes).all()
    return values[0] if len(values) == 1 else text


def parse(text: str) -> list[UOp]:
    """The nodes that have a line, in order."""
    nodes: dict[str, UOp] = {}
    order: list[UOp] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            if bounds := re.fullmatch(r"(\w+) in (-?\d+)\.\.(-?\d+)", line.strip()):
                nodes[bounds[1]] = UOp.variable(bounds[1], int(bounds[2]), int(bounds[3]))
                continue
            name, _, rest = line.strip().partition(" = ") if line.lstrip().startswith("%") else ("", "", line.strip())
            head, *parts = rest.split("  ")
            word, _, sources = head.partition(" ")
            dtype, shape = dtypes.void, ()
            if word not in Ops.__members__:
                order.append(node_of(Reader(rest, nodes).all()[0]))
                continue
            if parts and is_dtype(parts[-1].partition(" ")[0]):
                kind, _, dims = parts.pop().partition(" ")
                dtype, shape = read_dtype(kind), Reader(dims, nodes).all()[0] if dims else ()
            op = Ops[word]
            arg = argument("  ".join(parts), nodes, op, dtype, shape) if parts else None
            made = UOp(op, dtype, tuple(node_of(s) for s in Reader(sources, nodes).all()), arg)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise ValueError(f"line {number}, {line.strip()!r}: {error}") from None
        order.append(made)
        if name:
            nodes[name] = made
    return order
