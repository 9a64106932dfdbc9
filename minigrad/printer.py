"""Any UOp graph as text: one node a line, sources first, each node once.

In: the roots of a graph at any stage. Out: lines `%3 = REDUCE %2  op=ADD axes=(1,)  float32 (4, 1)`. Integers of
shapes and addresses, constants and variables are written in place, as the expressions that they are; a long or shared
one gets a line of its own. The text depends on the structure alone, never on the order in which nodes were made or on
addresses in memory, except for a BUFFER, whose argument is an object: it is named by its first appearance. So the
text of a kernel's AST is its name across processes.

>>> print(render(UOp.sink(UOp.variable("n", 1, 8) * 4 + 3)))
n in 1..8
SINK n*4 + 3
"""
from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, cast

from .dtype import DType, dtypes
from .uops import Ops, UOp, sint, toposort

INLINE_WIDTH = 80  # an expression longer than this gets a line of its own
# infix operators of index expressions and how tightly they bind
INFIX = {Ops.ADD: ("+", 4), Ops.MUL: ("*", 5), Ops.IDIV: ("//", 5), Ops.MOD: ("%", 5), Ops.CMPLT: ("<", 3),
         Ops.CMPNE: ("!=", 3), Ops.AND: ("&", 2), Ops.OR: ("|", 1)}
LEAVES = frozenset({Ops.CONST, Ops.VARIABLE, Ops.BIND})
LOOP_LEVEL = frozenset({Ops.RANGE, Ops.LOAD, Ops.END, Ops.LOOP, Ops.INDEX, Ops.ACCUMULATOR, Ops.SCRATCH, Ops.SPECIAL,
                        Ops.VALUE})
OPENS = frozenset({Ops.LOOP, Ops.IF})
CLOSES = frozenset({Ops.ENDLOOP, Ops.ENDIF})


def arg_uops(arg: Any) -> tuple[UOp, ...]:
    """The nodes that an argument holds: the symbolic entries of shapes and views."""
    if arg is None or isinstance(arg, (int, float, str, DType, Enum)):
        return ()
    if isinstance(arg, UOp):
        return (arg,)
    if isinstance(arg, (tuple, frozenset)):
        return tuple(u for item in arg for u in arg_uops(item))
    if is_dataclass(arg) and not isinstance(arg, type):
        return _uops_of_dataclass(cast(Hashable, arg))
    return ()


@lru_cache(1 << 12)
def _uops_of_dataclass(arg: Hashable) -> tuple[UOp, ...]:
    return tuple(u for name in _field_names(type(arg)) for u in arg_uops(getattr(arg, name)))


@lru_cache
def _field_names(kind: Hashable) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cast(type, kind)) if field.repr)


def walk(*roots: UOp) -> list[UOp]:
    """Every node below the roots and inside their arguments, each once, sources first."""
    return toposort(*roots, sources=lambda node: node.src if node.arg is None else node.src + arg_uops(node.arg))


def depths_below(order: Sequence[UOp]) -> dict[UOp, int]:
    """How many steps each node is away from the nearest root; order: sources first."""
    depths: dict[UOp, int] = {}
    for node in reversed(order):
        depth = depths.setdefault(node, 0)
        for source in node.src + arg_uops(node.arg):
            depths[source] = min(depth + 1, depths.get(source, depth + 1))
    return depths


def format_value(value: Any, names: dict[UOp, str]) -> str:
    """An argument, or a part of one: dataclasses as `name=value` pairs, but None, nodes by their names."""
    if isinstance(value, UOp):
        return names[value]
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, DType):
        return value.name
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, tuple):
        if len(value) == 1:
            return f"({format_value(value[0], names)},)"
        return "(" + ", ".join([format_value(item, names) for item in value]) + ")"
    if isinstance(value, frozenset):
        return "{" + ", ".join(sorted(format_value(item, names) for item in value)) + "}"
    if is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__}({_format_fields(value, names, ', ')})"
    return repr(value)


def _format_fields(value: Any, names: dict[UOp, str], separator: str) -> str:
    pairs = [(name, getattr(value, name)) for name in _field_names(cast(Hashable, type(value)))]
    return separator.join([f"{name}={format_value(entry, names)}" for name, entry in pairs if entry is not None])


def format_arg(node: UOp, names: dict[UOp, str], objects: dict[int, str]) -> str:
    """What stands behind the sources: empty where the op has no argument."""
    arg = node.arg
    if arg is None:
        return ""
    if node.op is Ops.BUFFER:
        name = objects.setdefault(id(arg), f"buffer{len(objects)}")
        return f"{name} on {getattr(arg, 'device', '?')}"
    if is_dataclass(arg) and not isinstance(arg, type):
        return _format_fields(arg, names, " ")
    return format_value(arg, names)


def describe_arg(node: UOp) -> str:
    """A node's argument alone, with the symbolic integers in it as expressions."""
    return _constant(node) if node.op is Ops.CONST else format_arg(node, expressions(*arg_uops(node.arg)), {})


def integer(value: sint) -> str:
    """A size or an index as an expression: `pos*8 + 8`."""
    return str(value) if isinstance(value, int) else expressions(value)[value]


def expressions(*roots: UOp) -> dict[UOp, str]:
    """Texts of integers and of all that is in them; what has no operator is written as a function."""
    names: dict[UOp, str] = {}
    binding: dict[UOp, int] = {}
    for node in walk(*roots):
        names[node] = _inline(node, names, binding) or f"{node.op.name}({', '.join([names[s] for s in node.src])})"
    return names


def _constant(node: UOp) -> str:
    text = repr(node.arg)
    return text if node.dtype is dtypes.index or node.dtype is dtypes.bool else f"{text}:{node.dtype.name}"


def _operand(node: UOp, names: dict[UOp, str], level: int, binding: dict[UOp, int], loose: bool) -> str:
    text = names[node]
    return text if binding.get(node, 9) > level or (loose and binding.get(node, 9) == level) else f"({text})"


def _inline(node: UOp, names: dict[UOp, str], binding: dict[UOp, int]) -> str | None:
    """The node as an expression to be written where it is used; None if it needs a line."""
    if node.op is Ops.CONST:
        return _constant(node)
    if node.op is Ops.VARIABLE:
        return str(node.arg.name)
    if node.op is Ops.BIND:
        return f"{node.src[0].arg.name}={node.src[1].arg}"
    if node.op in INFIX and all(s.dtype is dtypes.index or s.op is Ops.CONST or s in binding for s in node.src):
        symbol, level = INFIX[node.op]
        if node.op is Ops.ADD and node.src[1].op is Ops.CONST and node.src[1].arg < 0:
            text = f"{_operand(node.src[0], names, level, binding, True)} - {-node.src[1].arg}"
        else:
            left, right = (_operand(s, names, level, binding, i == 0) for i, s in enumerate(node.src))
            text = f"{left}{symbol}{right}" if level == 5 else f"{left} {symbol} {right}"
        if len(text) <= INLINE_WIDTH:
            binding[node] = level
            return text
    return None


def lines(*roots: UOp, shapes: bool | None = None, listed: bool = False, indent: bool = False) -> Iterator[str]:
    """The lines of `render`. `shapes`: print each node's shape; by default at tensor level only.

    `listed`: the roots are a list in order, sources first, and keep it; expressions stand before their first use.
    """
    order = walk(*roots)
    depths = depths_below(order) if indent else {}
    if shapes is None:
        shapes = not any(node.op in LOOP_LEVEL for node in order)
    names: dict[UOp, str] = {}
    binding: dict[UOp, int] = {}  # how tightly the operator of an inline expression binds
    objects: dict[int, str] = {}
    uses: dict[UOp, int] = {}
    for node in order:
        for source in node.src:
            uses[source] = uses.get(source, 0) + 1
    variables = [u for u in order if u.op is Ops.VARIABLE]
    for variable in sorted(variables, key=lambda u: (u.arg.name, u.arg.low, u.arg.high)):
        yield f"{variable.arg.name} in {variable.arg.low}..{variable.arg.high}"
    root_set, count, depth = set() if listed else set(roots), 0, 0
    for node in order:
        if node in root_set or node.op in LEAVES or uses.get(node, 0) <= 1 or node.dtype is dtypes.index:
            text = _inline(node, names, binding)
            if text is not None:
                names[node] = text
                if node in root_set:
                    yield text
                continue
        depth -= node.op in CLOSES
        line = " ".join([node.op.name, *(names[s] for s in node.src)])
        arg = format_arg(node, names, objects)
        kind = "" if node.dtype is dtypes.void else node.dtype.name
        if shapes and node.dtype is not dtypes.void:
            kind += f" ({', '.join([format_value(n, names) for n in node.shape])}{',' * (len(node.shape) == 1)})"
        names[node] = f"%{count}"
        prefix = "" if node.op is Ops.SINK else f"%{count} = "
        count += 1
        margin = "  " * (depths[node] if indent else depth)
        yield margin + "  ".join([part for part in (prefix + line, arg, kind) if part])
        depth += node.op in OPENS


def listing(ops: Sequence[UOp]) -> str:
    """The text of a list of UOps in its own order, indented by loops."""
    return "\n".join(lines(*ops, listed=True))


def render(*roots: UOp, shapes: bool | None = None, indent: bool = False) -> str:
    """The text of a graph. Linear in its size. `indent`: by how many steps a node is away from the root."""
    return "\n".join(lines(*roots, shapes=shapes, indent=indent))
