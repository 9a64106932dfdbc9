"""The loop nest: a graph of scalar nodes that depend on RANGEs, and how to take it apart and rebuild it.

Two ops close ranges. REDUCE(value, *ranges) is a number: the values combined over the ranges. END(*statements, *ranges,
*level) is an effect: the statements executed for each iteration. A value's place in the loops follows from the ranges
it is free in.

    out[i] = sum_k a[i, k]   is   END(STORE(out, REDUCE(LOAD(a, i, k), k), TRUE, i), i)

A scratch array is filled by an END whose level names the outer ranges at which it happens once per iteration; a LOAD of
scratch has the fill among its sources: LOAD(SCRATCH, *indices, fill).
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..dtype import dtypes
from ..uops import EndArg, Ops, UOp, identity, toposort
from ..uops.symbolic import rebuild
from ..uops.uop import TRUE, add_scaled, bounds, index_const, linear

Free = frozenset[UOp]
Nodes = tuple[UOp, ...]
_NONE: Free = frozenset()


@functools.lru_cache(16)
def order(root: UOp) -> tuple[UOp, ...]:
    """Every node of a nest, sources first: several opts in turn ask for the same nest's."""
    return tuple(toposort(root))


def parts(closer: UOp) -> tuple[Nodes, Nodes, Nodes]:
    """(body, ranges, level) of an END or REDUCE."""
    if closer.op is Ops.REDUCE:
        return closer.src[:1], closer.src[1:], ()
    n, m = closer.arg.statements, closer.arg.ranges
    return closer.src[:n], closer.src[n:n + m], closer.src[n + m:]


def is_closer(node: UOp) -> bool:
    return node.op is Ops.END or node.op is Ops.REDUCE


def end(statements: Sequence[UOp], ranges: Sequence[UOp], level: Sequence[UOp] = ()) -> UOp:
    """Statements for each iteration of the ranges; without ranges and level, of several statements, a plain sequence.
    """
    return UOp(Ops.END, dtypes.void, (*statements, *ranges, *level), EndArg(len(statements), len(ranges)))


def reduce(op: Ops, value: UOp, ranges: Sequence[UOp]) -> UOp:
    """The values combined over the ranges; the identity stays itself."""
    if value.op is Ops.CONST and value.arg == identity(op, value.dtype):
        return value
    return UOp(Ops.REDUCE, value.dtype, (value, *ranges), op) if ranges else value


def rebuild_closer(closer: UOp, body: Sequence[UOp], ranges: Sequence[UOp], level: Sequence[UOp]) -> UOp:
    return reduce(closer.arg, body[0], ranges) if closer.op is Ops.REDUCE else end(body, ranges, level)


def store(memory: UOp, value: UOp, indices: Sequence[UOp], gate: UOp = TRUE, mode: str | None = None) -> UOp:
    return UOp(Ops.STORE, dtypes.void, (memory, value, gate, *indices), mode)


def load(memory: UOp, indices: Sequence[UOp], fills: Sequence[UOp] = ()) -> UOp:
    return UOp(Ops.LOAD, memory.dtype, (memory, *indices, *fills), len(indices))


def access(node: UOp) -> tuple[UOp, tuple[UOp, ...]]:
    """(memory, indices) of a LOAD or STORE."""
    if node.op is Ops.LOAD:
        return node.src[0], node.src[1:1 + node.arg]
    return node.src[0], node.src[3:]


def waits_of(node: UOp) -> tuple[UOp, ...]:
    """What stands in a LOAD behind its indices: fills, and a RANGE of which each iteration reads anew."""
    return node.src[1 + node.arg:]


def fills_of(node: UOp) -> tuple[UOp, ...]:
    """The fills that a LOAD waits for."""
    return tuple(u for u in node.src[1 + node.arg:] if u.op is not Ops.RANGE) if node.op is Ops.LOAD else ()


def free(node: UOp) -> Free:
    """The ranges a node depends on and that are not closed below it. Cached on the node."""
    stack = [node] if node._free is None else []
    while stack:
        u = stack[-1]
        missing = [s for s in u.src if s._free is None]
        if missing:
            stack += missing
            continue
        stack.pop()
        if u._free is None:
            u._free = _free_of(u)
    result: Free = node._free
    return result


def _free_of(node: UOp) -> Free:
    sets = [s._free for s in node.src if s._free]
    if not sets:
        result = _NONE
    elif len(sets) == 1:
        result = sets[0]
    else:
        result = sets[0].union(*sets[1:])
    if node.op is Ops.RANGE:
        return result | {node}
    if node.op is Ops.REDUCE or node.op is Ops.END:
        return result.difference(parts(node)[1])
    return result


def carried(root: UOp) -> set[tuple[UOp, UOp]]:
    """Scratch arrays that a loop carries, with its range: each iteration reads what the one before it left there."""
    return {(u.src[0], r) for u in order(root) if u.op is Ops.LOAD and u.src[0].op is Ops.SCRATCH
            for r in waits_of(u) if r.op is Ops.RANGE}


def toposort_until(root: UOp, stop: Callable[[UOp], bool]) -> list[UOp]:
    """Like toposort, without the nodes where `stop` holds and what is only below them."""
    order: list[UOp] = []
    seen: set[UOp] = set()
    stack: list[UOp | None] = [root]
    while stack:
        node = stack.pop()
        if node is None:  # all below the node that comes next is in order
            order.append(stack.pop())  # type: ignore[arg-type]
        elif node not in seen and not stop(node):
            seen.add(node)
            if node.src:
                stack += (node, None)
                stack += node.src
            else:
                order.append(node)
    return order


def reads(closer: UOp) -> list[UOp]:
    """The LOADs below a reduce, those of fills left out."""
    return [u for u in toposort_until(closer.src[0], lambda u: u.op is Ops.END) if u.op is Ops.LOAD]


def substitute(root: UOp, mapping: Mapping[UOp, UOp], ranges: Mapping[UOp, tuple[UOp, ...]] | None = None) -> UOp:
    """Replaces nodes by others; where a closer (or a level) lists a range of `ranges`, by those ranges."""
    if not mapping:
        return root
    ranges = ranges or {}
    done: dict[UOp, UOp] = dict(mapping)    # what is replaced, and what stands above it; the rest stays as it is
    without = done.keys().isdisjoint
    for u in order(root):
        if without(u.src) or u in mapping:
            continue
        if is_closer(u):
            body, rs, level = parts(u)
            new_ranges = [x for r in rs for x in ranges.get(r, (done.get(r, r),))]
            new_level = [x for r in level for x in ranges.get(r, (done.get(r, r),))]
            done[u] = rebuild_closer(u, [done.get(b, b) for b in body], [r for r in new_ranges if r.op is Ops.RANGE],
                                     [r for r in new_level if r.op is Ops.RANGE])
        else:
            done[u] = rebuild(u, tuple([done.get(s, s) for s in u.src]))
    return done.get(root, root)


def transform(root: UOp, change: Callable[[UOp], UOp]) -> UOp:
    """Rebuilds the nest sources first, each node passed through `change`."""
    done: dict[UOp, UOp] = {}               # what became another; the rest stays as it is
    without = done.keys().isdisjoint
    for u in order(root):
        new = change(u if without(u.src) else rebuild(u, tuple([done.get(s, s) for s in u.src])))
        if new is not u:
            done[u] = new
    return done.get(root, root)


def transform_closers(root: UOp, r: UOp, change: Callable[[UOp, Nodes, Nodes, Nodes], UOp]) -> UOp:
    """Each closer over a range rebuilt by `change(closer, body, ranges, level)`."""
    return transform(root, lambda u: change(u, *parts(u)) if is_closer(u) and r in parts(u)[1] else u)


def closers(root: UOp, name: str) -> list[UOp]:
    """What closes ranges of this name."""
    return [u for u in order(root) if is_closer(u) and any(r.arg.name == name for r in parts(u)[1])]


def extreme(expression: UOp, keep: Iterable[UOp], largest: bool) -> UOp:
    """The largest (smallest) value of an index over all ranges not in `keep`, as an expression of those that are."""
    kept = frozenset(keep)
    for _ in range(200):
        constant, terms = linear(expression)
        loose = [(atom, k) for atom, k in terms.items() if not free(atom) <= kept]
        if not loose:
            return expression
        atom, k = max(loose, key=lambda item: item[0].age)  # inner bounds may mention outer ranges: youngest first
        up = (k > 0) == largest
        if atom.op is Ops.RANGE:
            value = add_scaled(atom.src[1], index_const(-1)) if up else atom.src[0]
        elif atom.op is Ops.IDIV and atom.src[1].op is Ops.CONST:
            value = extreme(atom.src[0], kept, up) // atom.src[1]
        elif atom.op is Ops.MAX:
            value = extreme(atom.src[0], kept, up).maximum(extreme(atom.src[1], kept, up))
        else:
            value = index_const(bounds(atom)[1 if up else 0])
        expression = add_scaled(add_scaled(expression, atom, -k), value, k)
    return index_const(bounds(expression)[1 if largest else 0])


def extent(r: UOp) -> int:
    """A range's iterations, at most."""
    return max(0, r.src[1].vmax - r.src[0].vmin)


@functools.lru_cache(16)
def _ranges(root: UOp) -> tuple[UOp, ...]:
    return tuple([u for u in order(root) if u.op is Ops.RANGE])


def ranges_named(root: UOp, name: str) -> list[UOp]:
    return [r for r in _ranges(root) if r.arg.name == name]


def innermost(root: UOp) -> tuple[UOp, Nodes]:
    """The innermost of the loops around everything, and the ranges of all of these, outermost first."""
    ranges = parts(root)[1]
    while parts(root)[0][0].op is Ops.END:
        root = parts(root)[0][0]
        ranges += parts(root)[1]
    return root, ranges


def ranges_in(index: UOp) -> set[UOp]:
    """The ranges of which an index is made; not those on which only the ends of these depend."""
    return {u for u in toposort(index, sources=lambda u: () if u.op is Ops.RANGE else u.src) if u.op is Ops.RANGE}


def is_index_condition(node: UOp) -> bool:
    """Whether a condition is made of comparisons of indices alone."""
    if node.op in (Ops.CMPLT, Ops.CMPNE):
        return node.src[0].dtype is dtypes.index
    return node.op in (Ops.AND, Ops.OR, Ops.NOT) and all(is_index_condition(s) for s in node.src)


def lanes(node: UOp) -> list[UOp]:
    """The lane ranges a node depends on: one at most, where it can be rendered."""
    return [r for r in free(node) if r.arg.kind == "lane"]
