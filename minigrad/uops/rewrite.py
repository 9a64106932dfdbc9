"""Rewriting: rules are rows with a name, a pattern and a function; the engine applies them to a fixed point.

    RULES = RuleSet("simplify", [
        Rule("mul-one", P(Ops.MUL, P("x"), P.const(1)), lambda x: x),
    ])
    root = rewrite(root, RULES)

A pattern captures nodes by name and the function takes them as keyword arguments. It returns a new node, or None where
it does not apply. The engine visits each node once, sources first, without recursion; a node made by a rule is visited
like any other.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import copysign
from typing import Any

from . import trace
from .ops import COMMUTATIVE, Ops
from .symbolic import rebuild
from .uop import UOp


class P:
    """A pattern. P("x") is any node; P(op or ops, *sources, name=, dtype=, when=) matches by shape.

    Without sources given, any sources match. Commutative ops match in both orders.
    """

    __slots__ = ("dtype", "name", "ops", "src", "when")

    def __init__(self, ops: Ops | Iterable[Ops] | str | None = None, *src: P, name: str | None = None,
                 dtype: Callable[[Any], bool] | None = None, when: Callable[[UOp], bool] | None = None) -> None:
        if isinstance(ops, str):
            ops, name = None, ops
        self.ops = None if ops is None else frozenset((ops,)) if isinstance(ops, Ops) else frozenset(ops)
        self.src, self.name, self.dtype, self.when = src, name, dtype, when

    @staticmethod
    def const(value: int | float | bool, name: str | None = None) -> P:
        """A CONST of that value; the sign of zero counts."""
        sign = copysign(1, value)
        return P(Ops.CONST, name=name, when=lambda u: bool(u.arg == value and copysign(1, u.arg) == sign))

    def names(self) -> set[str]:
        return ({self.name} if self.name else set()).union(*(s.names() for s in self.src))

    def match(self, node: UOp, found: dict[str, UOp]) -> bool:
        """Fills `found` where the node matches."""
        if self.ops is not None and node.op not in self.ops:
            return False
        if self.dtype is not None and not self.dtype(node.dtype):
            return False
        if self.when is not None and not self.when(node):
            return False
        if self.name is not None:
            earlier = found.setdefault(self.name, node)
            if earlier is not node:
                return False
        if not self.src:
            return True
        if len(self.src) != len(node.src):
            return False
        if len(self.src) == 2 and node.op in COMMUTATIVE:
            saved = dict(found)
            if all(p.match(s, found) for p, s in zip(self.src, node.src)):
                return True
            found.clear()
            found.update(saved)
            return all(p.match(s, found) for p, s in zip(self.src, reversed(node.src)))
        return all(p.match(s, found) for p, s in zip(self.src, node.src))


class Rule:
    """One named row. ValueError when the function asks for a capture that the pattern does not have."""

    __slots__ = ("apply", "name", "pattern")

    def __init__(self, name: str, pattern: P, apply: Callable[..., UOp | None]) -> None:
        wanted = set(apply.__code__.co_varnames[:apply.__code__.co_argcount])
        if not wanted <= pattern.names():
            raise ValueError(f"rule {name}: {sorted(wanted - pattern.names())} are captured nowhere")
        self.name, self.pattern, self.apply = name, pattern, apply

    def __call__(self, node: UOp) -> UOp | None:
        found: dict[str, UOp] = {}
        if not self.pattern.match(node, found):
            return None
        code = self.apply.__code__
        return self.apply(*(found[n] for n in code.co_varnames[:code.co_argcount]))


class RuleSet:
    """Rules in order of preference, indexed by the root's op."""

    def __init__(self, name: str, rules: Sequence[Rule]) -> None:
        self.name, self.rules = name, tuple(rules)
        self._index: dict[Ops, tuple[Rule, ...]] = {}

    def __add__(self, other: RuleSet) -> RuleSet:
        return RuleSet(f"{self.name}+{other.name}", self.rules + other.rules)

    def for_op(self, op: Ops) -> tuple[Rule, ...]:
        rules = self._index.get(op)
        if rules is None:
            rules = self._index[op] = tuple(r for r in self.rules if r.pattern.ops is None or op in r.pattern.ops)
        return rules

    def once(self, node: UOp) -> UOp | None:
        """The first rule's result that changes the node, or None."""
        for rule in self.for_op(node.op):
            new = rule(node)
            if new is not None and new is not node:
                trace.record(self.name, rule.name, node, new)
                return new
        return None


def rewrite(root: UOp, rules: RuleSet, limit: int = 1000) -> UOp:
    """The graph with the rules applied to a fixed point. RuntimeError if one node is rewritten more than `limit` times.
    """
    done: dict[UOp, UOp] = {}
    # (node, what it came from, times rewritten); a node waits until its sources are done
    stack: list[tuple[UOp, UOp, int]] = [(root, root, 0)]
    while stack:
        node, origin, count = stack[-1]
        if node in done:
            stack.pop()
            if origin is not node:
                done[origin] = done[node]
            continue
        missing = [s for s in node.src if s not in done]
        if missing:
            stack.extend((s, s, 0) for s in missing)
            continue
        stack.pop()
        built = rebuild(node, tuple(done[s] for s in node.src)) if node.src else node
        new = rules.once(built)
        if new is None:
            done[node] = done[origin] = built
            done.setdefault(built, built)
            if built is not node:
                trace.inherit(built, node.line)
            continue
        if count >= limit:
            raise RuntimeError(f"rewrite {rules.name}: {origin!r} does not come to rest after {limit} rewrites")
        trace.inherit(new, node.line)
        if new in done:
            done[node] = done[origin] = done[new]
        else:
            stack.append((node, origin, count))  # take the result over once it is known
            stack.append((new, node, count + 1))
    return done[root]
