"""Tensor graphs for the scheduler's tests, built from UOps alone: a small tensor with gradients, and the named cases.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.dtype import DType, dtypes, to_dtype
from minigrad.helpers import prod
from minigrad.shape import ShapeTracker
from minigrad.uops import Ops, ReduceArg, ScatterArg, UOp


class HostBuffer:
    """The runtime's Buffer as far as scheduling knows it, over numpy memory; filled with NaN bits until it is
    written.
    """

    def __init__(self, device: str, shape: tuple[int, ...], dtype: DType, *, base: HostBuffer | None = None,
                 offset: int = 0) -> None:
        self.device, self.shape, self.dtype, self.base, self.offset = device, shape, dtype, base, offset
        self.size, self.readonly = prod(shape), False
        self.nbytes = self.size * dtype.itemsize
        self.memory: np.ndarray[Any, Any] | None = None

    @property
    def bytes(self) -> np.ndarray[Any, Any]:
        """The memory, made when it is first asked for: big cases are only counted."""
        if self.memory is None:
            if self.base is None:
                self.memory = np.full(self.nbytes, 255, np.uint8)
            else:
                self.memory = self.base.bytes[self.offset:self.offset + self.nbytes]
        return self.memory

    def numpy(self) -> np.ndarray[Any, Any]:
        return self.bytes.view(self.dtype.np).reshape(self.shape)


class G:
    """A node with what its gradient needs."""

    def __init__(self, node: UOp, parents: Sequence[G] = (),
                 backward: Callable[[G], Sequence[G | None]] | None = None) -> None:
        self.node, self.parents, self.pull = node, parents, backward

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.node.shape

    # ---- leaves

    @staticmethod
    def empty(*shape: int, dtype: DType = dtypes.float32) -> G:
        return G(UOp(Ops.BUFFER, dtype, (), HostBuffer("CPU", shape, dtype)))

    @staticmethod
    def of(array: np.ndarray[Any, Any]) -> G:
        buffer = HostBuffer("CPU", array.shape, to_dtype(array.dtype))
        buffer.numpy()[...] = array
        return G(UOp(Ops.BUFFER, buffer.dtype, (), buffer))

    @staticmethod
    def const(value: float, dtype: DType = dtypes.float32) -> G:
        return G(UOp.const(dtype, value))

    @staticmethod
    def arange(n: Any) -> G:
        return G(UOp(Ops.IOTA, dtypes.int32, (), n))

    # ---- movement

    def moved(self, move: Callable[[ShapeTracker], ShapeTracker], pull: Callable[[G], G]) -> G:
        node = self.node
        tracker = node.arg if node.op is Ops.VIEW else ShapeTracker.contiguous(node.shape)
        base = node.src[0] if node.op is Ops.VIEW else node
        tracker = move(tracker)
        new = base if tracker.is_identity(base.shape) else UOp(Ops.VIEW, node.dtype, (base,), tracker)
        return G(new, (self,), lambda g: (pull(g),))

    def reshape(self, *shape: Any) -> G:
        return self.moved(lambda t: t.reshape(shape), lambda g: g.reshape(*self.shape))

    def permute(self, *order: int) -> G:
        return self.moved(lambda t: t.permute(order), lambda g: g.permute(*[order.index(i) for i in range(len(order))]))

    def expand(self, *shape: Any) -> G:
        axes = [i for i, (a, b) in enumerate(zip(self.shape, shape)) if a != b]
        return self.moved(lambda t: t.expand(shape), lambda g: g.sum(*axes)) if axes else self

    def shrink(self, *bounds: tuple[Any, Any]) -> G:
        return self.moved(lambda t: t.shrink(bounds),
                          lambda g: g.pad(*[(a, n - b) for (a, b), n in zip(bounds, self.shape)]))

    def pad(self, *amounts: tuple[Any, Any]) -> G:
        return self.moved(lambda t: t.pad(amounts),
                          lambda g: g.shrink(*[(a, a + n) for (a, _), n in zip(amounts, self.shape)]))

    def flip(self, *axes: int) -> G:
        return self.moved(lambda t: t.flip(axes), lambda g: g.flip(*axes))

    def to_shape(self, shape: tuple[Any, ...]) -> G:
        x = self if len(self.shape) == len(shape) else self.reshape(*(1,) * (len(shape) - len(self.shape)), *self.shape)
        return x.expand(*shape)

    # ---- elementwise

    def alu(self, op: Ops, *others: Any, pull: Callable[[G], Sequence[G | None]] | None = None) -> G:
        kinds = [o.node.dtype for o in (self, *others) if isinstance(o, G)]
        first_dtype = next((dtype for dtype in kinds if dtype is not dtypes.bool), dtypes.bool)
        sources = [o if isinstance(o, G) else G.const(o, first_dtype) for o in (self, *others)]
        rank = max(len(s.shape) for s in sources)
        shape: tuple[Any, ...] = (1,) * rank
        for s in sources:
            padded = (1,) * (rank - len(s.shape)) + tuple(s.shape)
            shape = tuple(b if isinstance(a, int) and a == 1 else a for a, b in zip(shape, padded))
        wide = [s if s.shape == () and s.node.op is Ops.CONST else s.to_shape(shape) for s in sources]
        dtype = dtypes.bool if op in (Ops.CMPLT, Ops.CMPNE) else wide[-1].node.dtype
        result = G(UOp(op, dtype, tuple(w.node for w in wide)), wide)
        return result

    def __add__(self, other: Any) -> G:
        r = self.alu(Ops.ADD, other)
        r.pull = lambda g: (g, g)
        return r

    def __mul__(self, other: Any) -> G:
        r = self.alu(Ops.MUL, other)
        a, b = r.parents
        r.pull = lambda g: (g * b, g * a)
        return r

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> G:
        return self * -1.0

    def __sub__(self, other: Any) -> G:
        return self + (-other)

    def unary(self, op: Ops, slope: Callable[[G, G], G]) -> G:
        r = G(UOp(op, self.node.dtype, (self.node,)), (self,))
        r.pull = lambda g: (g * slope(self, r),)
        return r

    def reciprocal(self) -> G:
        return self.unary(Ops.RECIPROCAL, lambda x, r: -(r * r))

    def exp(self) -> G:
        return self.unary(Ops.EXP, lambda x, r: r)

    def log(self) -> G:
        return self.unary(Ops.LOG, lambda x, r: x.reciprocal())

    def sqrt(self) -> G:
        return self.unary(Ops.SQRT, lambda x, r: r.reciprocal() * 0.5)

    def less(self, other: Any) -> G:
        return self.alu(Ops.CMPLT, other)

    def equal(self, other: Any) -> G:
        different = self.alu(Ops.CMPNE, other)
        return G(UOp(Ops.NOT, dtypes.bool, (different.node,)))

    def where(self, yes: Any, no: Any) -> G:
        r = self.alu(Ops.WHERE, yes, no)
        condition = r.parents[0]
        r.pull = lambda g: (None, condition.where(g, 0.0), condition.where(0.0, g))
        return r

    def cast(self, dtype: DType) -> G:
        return G(UOp(Ops.CAST, dtype, (self.node,)), (self,), lambda g: (g.cast(self.node.dtype),))

    def relu(self) -> G:
        return G.const(0.0).less(self).where(self, 0.0)

    def silu(self) -> G:
        return self * ((-self).exp() + 1.0).reciprocal()

    # ---- reduce

    def reduce(self, op: Ops, axes: Sequence[int]) -> G:
        axes = tuple(sorted(a % len(self.shape) for a in axes))
        return G(UOp(Ops.REDUCE, self.node.dtype, (self.node,), ReduceArg(op, axes)), (self,))

    def sum(self, *axes: int) -> G:
        r = self.reduce(Ops.ADD, axes)
        r.pull = lambda g: (g.expand(*self.shape),)
        return r

    def max(self, *axes: int) -> G:
        r = self.reduce(Ops.MAX, axes)
        r.pull = lambda g: (self.equal(r).cast(dtypes.float32) * g,)
        return r

    def detach(self) -> G:
        return G(self.node)

    def matmul(self, other: G) -> G:
        """(..., m, k) @ (..., k, n)"""
        a = self.reshape(*self.shape[:-1], 1, self.shape[-1])
        n = len(other.shape)
        b = other.permute(*range(n - 2), n - 1, n - 2)
        r = (a * b.reshape(*b.shape[:-2], 1, *b.shape[-2:])).sum(-1)
        return r.reshape(*r.shape[:-1])

    def linear(self, weight: G) -> G:
        """weight: (out, in)"""
        return self.matmul(weight.permute(1, 0))

    def softmax(self) -> G:
        e = (self - self.max(-1).detach()).exp()
        return e * e.sum(-1).reciprocal()

    def log_softmax(self) -> G:
        x = self - self.max(-1).detach()
        return x - x.exp().sum(-1).log()

    def rmsnorm(self, weight: G) -> G:
        return self * ((self * self).sum(-1) * (1 / self.shape[-1]) + 1e-5).sqrt().reciprocal() * weight

    def layernorm(self, weight: G, bias: G) -> G:
        n = self.shape[-1]
        centred = self - self.sum(-1) * (1 / n)
        variance = (centred * centred).sum(-1) * (1 / n)
        return centred * (variance + 1e-5).sqrt().reciprocal() * weight + bias

    # ---- data at indices, versions

    def gather(self, index: G) -> G:
        def pull(g: G) -> tuple[G]:
            zeros = G.const(0.0).reshape(*(1,) * len(self.shape)).expand(*self.shape)
            return (zeros.scatter(index, g, "add"),)
        return G(UOp(Ops.GATHER, self.node.dtype, (self.node, index.node)), (self,), pull)

    def scatter(self, index: G, value: G, mode: str = "set") -> G:
        return G(UOp(Ops.SCATTER, self.node.dtype, (self.node, index.node, value.node), ScatterArg(mode)))

    def assign(self, value: G, region: Callable[[ShapeTracker], ShapeTracker] = lambda t: t) -> G:
        return G(UOp(Ops.ASSIGN, self.node.dtype, (self.node, value.node), region(ShapeTracker.contiguous(self.shape))))

    def contiguous(self) -> G:
        return G(UOp(Ops.CONTIGUOUS, self.node.dtype, (self.node,)), (self,), lambda g: (g,))

    def backward(self, leaves: Sequence[G]) -> list[G]:
        """Gradients of this scalar."""
        order: list[G] = []
        seen: set[int] = set()
        stack = [(self, False)]
        while stack:
            x, done = stack.pop()
            if done:
                order.append(x)
            elif id(x) not in seen:
                seen.add(id(x))
                stack += [(x, True), *((p, False) for p in x.parents)]
        gradients = {id(self): G.const(1.0).to_shape(self.shape)}
        for x in reversed(order):
            g = gradients.get(id(x))
            if g is None or x.pull is None:
                continue
            for parent, part in zip(x.parents, x.pull(g)):
                if part is not None:
                    known = gradients.get(id(parent))
                    gradients[id(parent)] = part if known is None else known + part
        return [gradients[id(leaf)] for leaf in leaves]


# ---- pieces of models

def heads(x: G, n: int) -> G:
    batch, length, width = x.shape
    return x.reshape(batch, length, n, width // n).permute(0, 2, 1, 3)


def attention(q: G, k: G, v: G, causal: bool = True) -> G:
    n = k.shape[-2]
    scores = q.matmul(k.permute(*range(len(k.shape) - 2), len(k.shape) - 1, len(k.shape) - 2)) * (q.shape[-1] ** -0.5)
    if causal:
        rows = G.arange(q.shape[-2]).reshape(q.shape[-2], 1)
        scores = rows.less(G.arange(n).reshape(1, n)).where(-1e9, scores)
    return scores.softmax().matmul(v)


def rope(x: G, cos: G, sin: G) -> G:
    half = x.shape[-1] // 2
    rest = [(0, n) for n in x.shape[:-1]]
    a, b = x.shrink(*rest, (0, half)), x.shrink(*rest, (half, 2 * half))
    none = [(0, 0)] * len(rest)
    return (a * cos - b * sin).pad(*none, (0, half)) + (b * cos + a * sin).pad(*none, (half, 0))


def cross_entropy(logits: G, labels: G) -> G:
    n, classes = logits.shape
    hot = G.arange(classes).reshape(1, classes).equal(labels.reshape(n, 1)).cast(dtypes.float32)
    return -((logits.log_softmax() * hot).sum(0, 1) * (1 / n)).reshape()


def adam(p: G, g: G, m: G, v: G) -> list[G]:
    m2 = m.assign(m * 0.9 + g * 0.1)
    v2 = v.assign(v * 0.99 + g * g * 0.01)
    return [p.assign(p * 0.999 - m2 * 0.01 * (v2.sqrt() + 1e-8).reciprocal()), m2, v2]


def windows(x: G, axis: int, k: int) -> G:
    """(..., n, ...) -> (..., k, n-k+1, ...): sliding windows by movement alone."""
    n = x.shape[axis]
    before, after = x.shape[:axis], x.shape[axis + 1:]
    all_before, all_after = [(0, m) for m in before], [(0, m) for m in after]
    t = x.reshape(*before, 1, n, *after).expand(*before, k + 1, n, *after).reshape(*before, (k + 1) * n, *after)
    t = t.shrink(*all_before, (0, k * (n + 1)), *all_after).reshape(*before, k, n + 1, *after)
    return t.shrink(*all_before, (0, k), (0, n - k + 1), *all_after)


def conv(x: G, w: G) -> G:
    out, channels, kh, kw = w.shape
    batch, _, height, width = x.shape
    t = windows(windows(x.pad((0, 0), (0, 0), (1, 1), (1, 1)), 2, kh), 4, kw).permute(0, 1, 3, 5, 2, 4)
    t = t.reshape(batch, 1, channels, height, width, kh, kw)
    return (t * w.reshape(1, out, channels, 1, 1, kh, kw)).sum(2, 5, 6).reshape(batch, out, height, width)


def llama_layer(x: G, cos: G, sin: G, h: int, kv: int, width: int, hd: int, make: Callable[..., G], pos: Any = None,
                context: int = 0) -> tuple[G, list[G]]:
    """One layer; with `pos`, a decode step over a cache of `context` rows."""
    batch, length, d = x.shape
    n = x.rmsnorm(make(d))
    q, k, v = [heads(n.linear(make(count * hd, d)), count) for count in (h, kv, kv)]
    q, k = rope(q, cos, sin), rope(k, cos, sin)
    outputs: list[G] = []
    keys: Any = length
    if pos is not None:
        def region(t: ShapeTracker) -> ShapeTracker:
            return t.shrink(((0, batch), (0, kv), (pos, pos + 1), (0, hd)))
        ck, cv = make(batch, kv, context, hd).assign(k, region), make(batch, kv, context, hd).assign(v, region)
        outputs, keys = [ck, cv], pos + 1
        k, v = (c.shrink((0, batch), (0, kv), (0, keys), (0, hd)) for c in (ck, cv))
    group = h // kv
    k, v = (t.reshape(batch, kv, 1, keys, hd).expand(batch, kv, group, keys, hd) for t in (k, v))
    o = attention(q.reshape(batch, kv, group, length, hd), k, v, causal=pos is None)
    x = x + o.reshape(batch, h, length, hd).permute(0, 2, 1, 3).reshape(batch, length, h * hd).linear(make(d, h * hd))
    n = x.rmsnorm(make(d))
    return x + (n.linear(make(width, d)).silu() * n.linear(make(width, d))).linear(make(d, width)), outputs


def llama(layers: int, make: Callable[..., G], length: int = 1, decode: bool = True, position: int = 5, d: int = 2048,
          h: int = 32, kv: int = 8, width: int = 8192, hd: int = 64, vocabulary: int = 32000,
          context: int = 1024) -> list[G]:
    pos = UOp.variable("pos", 0, context - 1).bind(position) if decode else None
    token = make(1, length, dtype=dtypes.int32)
    x = make(vocabulary, d).gather(token)
    cos, sin = make(context, hd // 2), make(context, hd // 2)
    window = (pos, pos + 1) if pos is not None else (0, length)
    cos, sin = (t.shrink(window, (0, hd // 2)) for t in (cos, sin))
    outputs: list[G] = []
    for _ in range(layers):
        x, caches = llama_layer(x, cos, sin, h, kv, width, hd, make, pos, context)
        outputs += caches
    return [x.rmsnorm(make(d)).linear(make(vocabulary, d)), *outputs]


def gpt(layers: int, make: Callable[..., G], batch: int, length: int, d: int, h: int, vocabulary: int) -> list[G]:
    """A training step with Adam: the loss, then new parameters and moments."""
    parameters: list[G] = []

    def p(*shape: int) -> G:
        parameters.append(make(*shape))
        return parameters[-1]

    tokens, labels = make(batch, length, dtype=dtypes.int32), make(batch * length, dtype=dtypes.int32)
    x = p(vocabulary, d).gather(tokens) + p(length, d)
    for _ in range(layers):
        n = x.layernorm(p(d), p(d))
        q, k, v = [heads(n.linear(p(d, d)), h) for _ in range(3)]
        x = x + attention(q, k, v).permute(0, 2, 1, 3).reshape(batch, length, d).linear(p(d, d))
        n = x.layernorm(p(d), p(d))
        x = x + (n.linear(p(4 * d, d)) + p(4 * d)).silu().linear(p(d, 4 * d))
    loss = cross_entropy(x.layernorm(p(d), p(d)).linear(p(vocabulary, d)).reshape(batch * length, vocabulary), labels)
    outputs = [loss]
    for parameter, gradient in zip(parameters, loss.backward(parameters)):
        outputs += adam(parameter, gradient, make(*parameter.shape), make(*parameter.shape))
    return outputs


# ---- named cases, small (to be computed) and large (to be counted)

def case(name: str, make: Callable[..., G], big: bool = False) -> list[G]:
    """The outputs of a named graph. `make(*shape, dtype=...)` gives a leaf."""
    def n(small: int, large: int) -> int:
        return large if big else small
    integer = dtypes.int32
    if name == "softmax":
        return [make(n(6, 4096), n(8, 2048)).softmax()]
    if name == "softmax, one long row":
        return [make(1, n(64, 1 << 20)).softmax()]
    if name == "layernorm":
        d = n(8, 1024)
        return [make(n(6, 4096), d).layernorm(make(d), make(d))]
    if name == "rmsnorm":
        return [make(n(6, 4096), n(8, 2048)).rmsnorm(make(n(8, 2048)))]
    if name == "rmsnorm, one row":
        return [make(1, n(8, 2048)).rmsnorm(make(n(8, 2048)))]
    if name == "norm and matvec":
        d = n(8, 2048)
        return [make(1, d).rmsnorm(make(d)).linear(make(d, d))]
    if name == "norm and matmul":
        d = n(8, 2048)
        return [make(n(5, 512), d).rmsnorm(make(d)).linear(make(d, d))]
    if name == "linear and softmax":
        d = n(8, 1024)
        return [make(n(6, 4096), d).linear(make(d, d)).softmax()]
    if name == "mlp":
        d = n(8, 1024)
        return [make(n(6, 512), d).linear(make(2 * d, d)).relu().linear(make(d, 2 * d))]
    if name == "mlp step":
        d = n(8, 1024)
        p = [make(2 * d, d), make(2 * d), make(d, 2 * d)]
        loss = ((make(n(6, 512), d).linear(p[0]) + p[1]).relu().linear(p[2]) * 0.5).sum(0, 1).reshape()
        return [loss, *(w.assign(w - g * 0.1) for w, g in zip(p, loss.backward(p)))]
    if name == "cross entropy":
        rows, classes = n(6, 4096), n(9, 32000)
        return [cross_entropy(make(rows, classes), make(rows, dtype=integer))]
    if name == "cross entropy, backward":
        rows, classes = n(6, 4096), n(9, 32000)
        x = make(rows, classes)
        loss = cross_entropy(x, make(rows, dtype=integer))
        return [loss, *loss.backward([x])]
    if name.startswith("attention"):
        length = int(name.split()[-1]) if name[-1].isdigit() else 1024
        p = [make(n(2, 1), n(2, 16), n(6, length), n(4, 64)) for _ in range(3)]
        o = attention(*p)
        if "backward" not in name:
            return [o]
        return [o, *(o * make(*o.shape)).sum(0, 1, 2, 3).reshape().backward(p)]
    if name.startswith("llama"):
        small = {"d": 16, "h": 4, "kv": 2, "width": 24, "hd": 4, "vocabulary": 13, "context": 16}
        decode = "decode" in name
        return llama(int(name.split()[-1]), make, 1 if decode else n(6, 512), decode, **({} if big else small))
    if name.startswith("gpt"):
        sizes = (16, 256, 384, 6, 65) if big else (2, 4, 8, 2, 11)
        return gpt(int(name.split()[-1]), make, *sizes)
    if name == "adam":
        return sum([adam(*[make(n(4, 1024), n(6, 1024)) for _ in range(4)]) for _ in range(3)], [])
    if name.startswith("flip"):
        x = make(n(8, 1 << 20))
        for _ in range(int(name.split()[-1])):
            x = x + x.flip(0)
        return [x]
    if name.startswith("shift"):
        x = make(n(64, 1 << 20))
        for _ in range(int(name.split()[-1])):
            x = x + x.shrink((1, x.shape[0])).pad((0, 1))
        return [x]
    if name == "one-hot embedding":
        v, d, rows = n(9, 32000), n(4, 512), n(6, 256)
        hot = G.arange(v).reshape(1, v).equal(make(rows, dtype=integer).reshape(rows, 1)).cast(dtypes.float32)
        return [hot.matmul(make(v, d))]
    if name == "embedding, backward":
        v, d, rows = n(9, 32000), n(4, 512), n(6, 256)
        w = make(v, d)
        loss = (w * 2.0).gather(make(rows, dtype=integer)).exp().sum(0, 1).reshape()
        return [loss, *loss.backward([w])]
    if name == "conv":
        return [conv(make(2, n(2, 64), n(5, 56), n(6, 56)), make(n(3, 64), n(2, 64), 3, 3)).relu()]
    if name == "two convs":
        c = n(2, 64)
        return [conv(conv(make(2, c, n(5, 56), n(6, 56)), make(c, c, 3, 3)).relu(), make(c, c, 3, 3))]
    if name == "assign of its flip":
        x = make(n(8, 1 << 20))
        return [x.assign(x.flip(0) * 2.0)]
    if name == "swap":
        a, b = make(8), make(8)
        return [a.assign(b * 1.0), b.assign(a * 1.0)]
    if name == "late reader":
        a = make(n(8, 1 << 20))
        new = a.assign(a * 2.0)
        return [new, a.flip(0) + new]
    if name == "two reduces, both ways":
        a, b = make(n(6, 2048), n(8, 512)), make(n(5, 2048), n(8, 512))
        return [a.sum(1).exp() * b.sum(1).exp().reshape(1, b.shape[0])]
    if name == "split and merged axes":
        a = make(n(12, 4096), n(6, 64))
        r = a.sum(1).reshape(n(3, 64), n(4, 64))
        return [(r * 2.0).max(1) * r]
    raise ValueError(name)


NAMES = ["softmax", "softmax, one long row", "layernorm", "rmsnorm", "rmsnorm, one row", "norm and matvec",
         "norm and matmul", "linear and softmax", "mlp", "mlp step", "cross entropy", "cross entropy, backward",
         "attention", "attention backward",
         "llama decode 1", "llama prefill 1", "llama decode 2", "gpt 1", "gpt 2", "adam", "flip 20", "shift 20",
         "one-hot embedding", "embedding, backward", "conv", "two convs", "assign of its flip", "swap", "late reader",
         "two reduces, both ways", "split and merged axes"]


def leaves(seed: int) -> Callable[..., G]:
    """Leaves with small random values; integers are indices below 9."""
    random = np.random.default_rng(seed)

    def make(*shape: int, dtype: DType = dtypes.float32) -> G:
        if dtype is dtypes.int32:
            return G.of(random.integers(0, 9, shape).astype(np.int32))
        return G.of((random.random(shape) * 0.5 + 0.1).astype(np.float32))
    return make


