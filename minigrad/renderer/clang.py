"""C for the CPU: GNU vectors, threads by the bounds lo:hi, transcendental functions of our own.

    void NAME(void *const *buffers, const long *variables, long lo, long hi, char *workspace)
"""
from __future__ import annotations

from ..codegen.pipeline import Lowered
from ..dtype import DType, dtypes
from ..target import Target
from ..uops import Ops, UOp
from ..uops.uop import index_const
from . import helpers_c as c
from .base import ProgramSpec
from .cstyle import BINARY_CALL, CStyle, scratch_name
from .mathlib import INLINE, SELECT, by_lane, function_name, texts_of, types_of


class ClangRenderer(CStyle):
    """`compiler_features`: see runtime/compiler.py; `thread` is the name of the range that lo:hi cuts."""

    def __init__(self, ops: list[UOp], target: Target, compiler_features: frozenset[str], thread: str | None) -> None:
        super().__init__(ops)
        self.target, self.features, self.thread = target, compiler_features, thread
        self.streams = False

    # ---- the prelude

    def vector(self, name: str) -> str:
        """A type's C name; vectors are defined in the prelude."""
        if "x" in name:
            self.need(c.typedefs(name))
        return c.c_type(name)

    def type_of(self, dtype: DType) -> str:
        return self.types[dtype.name] if dtype.count == 1 else self.vector(c.short(dtype))

    def prelude(self) -> tuple[str, ...]:
        return (*(c.INDEX[name] for name in sorted(self.helpers)), *self.chunks)

    # ---- loops

    def loop_bounds(self, r: UOp) -> tuple[str, str]:
        start, stop = super().loop_bounds(r)
        if self.thread is None or r.arg.name.rstrip("'") != self.thread:
            return start, stop
        self.helpers |= {"imax", "imin"}
        return "lo" if start == "0" else f"imax(lo, {start})", f"imin(hi, {stop})"

    # ---- values

    def splat(self, text: str, dtype: DType) -> str:
        if dtype.count == 1:
            return text
        name = self.type_of(dtype)
        if dtype.kind == "b":
            return f"({name}){{}} - ({text})"
        if dtype.scalar is dtypes.float16:  # gcc computes with one in float, and then refuses to mix it with a vector
            return self.call("fill", c.short(dtype), text)
        return f"({name}){{}}" if text in ("0", "0.0f", "0.0") else f"{text} - ({name}){{}}"

    def as_vector(self, u: UOp, count: int) -> str:
        """The value's text, a scalar in every lane."""
        text = self.lookup(u)
        return text if u.dtype.count == count else f"({self.splat(text, u.dtype.vec(count))})"

    def expression(self, u: UOp) -> str:
        op, count = u.op, u.dtype.count
        if op is Ops.LANES:
            return self.lanes(u)
        if op is Ops.BROADCAST:
            return self.broadcast(u)
        if op is Ops.HORIZONTAL:
            return self.horizontal(u)
        if op is Ops.ELEMENT:
            return f"{self.lookup(u.src[0])}[{self.index(u.src[1])}]"
        if op is Ops.DOT:
            return self.call("dot", c.short(u.dtype), *(self.as_vector(x, count) for x in u.src))
        if count > 1 and len(u.src) == 2:
            return self.vector_binary(u)
        return super().expression(u)

    def lanes(self, u: UOp) -> str:
        base, step = u.src
        numbers = ", ".join(self.constant(i * step.arg, u.dtype.scalar) for i in range(u.dtype.count))
        return f"{self.lookup(base)} + ({self.type_of(u.dtype)}){{{numbers}}}"

    def broadcast(self, u: UOp) -> str:
        name = self.type_of(u.dtype)
        if all(s is u.src[0] for s in u.src):
            return self.splat(self.lookup(u.src[0]), u.dtype)
        sign = "-" if u.dtype.kind == "b" else ""
        return f"({name}){{{', '.join(sign + self.lookup(s) for s in u.src)}}}"

    def horizontal(self, u: UOp) -> str:
        value = u.src[0]
        t = c.short(value.dtype)
        scalar, _, lanes = t.partition("x")
        n = int(lanes)
        while n > 1:
            self.vector(f"{scalar}x{n}")
            n //= 2
            if u.arg is Ops.MAX:
                self.call("max", f"{scalar}x{n}" if n > 1 else scalar)
        sign = ""
        if value.dtype.kind == "b":  # masks: any is or, all is and
            sign, combine = "-", "{a} & {b}" if u.arg is Ops.MUL else "{a} | {b}"
        else:
            combine = {Ops.MAX: "mg_max_{t}({a}, {b})", Ops.ADD: "{a} + {b}", Ops.MUL: "{a} * {b}"}[u.arg]
        self.need(c.horizontal(u.arg, t, combine))
        return f"{sign}mg_{u.arg.name.lower()}_lanes_{t}({self.plain(value)})"

    def vector_binary(self, u: UOp) -> str:
        op, count = u.op, u.dtype.count
        a, b = u.src
        operand = a.dtype if a.dtype.count > 1 else b.dtype if b.dtype.count > 1 else a.dtype.vec(count)
        boolean = operand.kind == "b"
        if op in (Ops.ADD, Ops.MUL, Ops.FDIV, Ops.XOR, Ops.AND, Ops.OR) and not boolean:
            return self.binary(op, u.dtype, operand, self.lookup(a), self.lookup(b))
        x, y = self.as_vector(a, count), self.as_vector(b, count)
        if boolean:
            sign = {Ops.ADD: "|", Ops.MAX: "|", Ops.OR: "|", Ops.MUL: "&", Ops.AND: "&", Ops.XOR: "^",
                    Ops.CMPNE: "^"}.get(op)
            return f"{x} {sign} {y}" if sign else f"~{x} & {y}"  # CMPLT of conditions
        if op in (Ops.CMPLT, Ops.CMPNE):
            return self.as_mask(f"{x} {'<' if op is Ops.CMPLT else '!='} {y}", operand)
        return self.helper_call(BINARY_CALL[op], operand, x, y)

    def as_mask(self, text: str, operand: DType) -> str:
        """A comparison's result as an int32 mask."""
        if operand.scalar.itemsize == 4:
            return text
        return f"__builtin_convertvector({text}, {self.vector(f'i32x{operand.count}')})"

    def call(self, function: str, t: str, *arguments: str) -> str:
        """A call of a function of `functions.h`; the prelude gets its text."""
        for name in types_of(function, t):
            self.vector(name)
        self.need(INLINE.strip())
        for text in texts_of(function, t):
            if "MG_SELECT" in text:
                self.need(SELECT.strip())
            self.need(text)
        return f"{function_name(function, t)}({', '.join(arguments)})"

    def helper_call(self, name: str, dtype: DType, *arguments: str) -> str:
        return self.call(name, c.short(dtype), *arguments)

    def function(self, op: Ops, dtype: DType, x: str) -> str:
        name = op.name.lower()
        if op in (Ops.SQRT, Ops.TRUNC):
            if dtype.count == 1:
                return f"__builtin_{name}{'f' if dtype is dtypes.float32 else ''}({x})"
            if "elementwise" in self.features:
                return f"__builtin_elementwise_{name}({x})"
        return self.call(name, c.short(dtype), x)

    def where(self, u: UOp) -> str:
        condition, a, b = u.src
        count = u.dtype.count
        if count == 1:
            return super().where(u)
        x, y = self.as_vector(a, count), self.as_vector(b, count)
        m = self.lookup(condition)
        if condition.dtype.count == 1:
            return f"{m} ? {x} : {y}"
        return self.call("where", c.short(u.dtype), m, x, y)

    # ---- conversions

    def convert(self, x: str, source: DType, target: DType) -> str:
        count = source.count
        s, t = source.scalar, target.scalar
        lanes = f"x{count}" if count > 1 else ""
        if s is dtypes.bfloat16 or t is dtypes.bfloat16:
            return self.convert_bfloat16(x, source, target)
        if t.kind == "b":
            if s.kind == "b":
                return x
            return f"{x} != 0" if count == 1 else self.as_mask(f"{x} != ({self.vector(c.short(source))}){{}}", source)
        if s.kind == "b" and count > 1:
            return f"__builtin_convertvector(-{x}, {self.type_of(target)})"
        if s.is_float and t.is_int:
            if s is dtypes.float16:
                wide = dtypes.float32.vec(count)
                return self.convert(f"({self.convert(x, source, wide)})", wide, target)
            a, b = c.SHORT[s.name], c.SHORT[t.name]
            self.need(c.float_to_int(a, b, self.constant(t.min, t), self.constant(t.max, t)))
            name = f"mg_{a}_to_{b}"
            if count > 1:
                self.need(INLINE.strip())
                self.need(by_lane(name + lanes, self.vector(b + lanes), [self.vector(a + lanes)], name))
            return f"{name}{lanes}({x})"
        if count == 1:
            return f"({self.types[t.name]}){x}"
        return f"__builtin_convertvector({x}, {self.type_of(target)})"

    def convert_bfloat16(self, x: str, source: DType, target: DType) -> str:
        wide = dtypes.float32.vec(source.count)
        if source.scalar is dtypes.bfloat16:
            x = self.call("bf16_to_f32", c.short(wide), x)
            return x if target.scalar is dtypes.float32 else self.convert(x, wide, target)
        if source.scalar is not dtypes.float32:
            x = f"({self.convert(x, source, wide)})"
        return self.call("f32_to_bf16", c.short(wide), x)

    def bitcast(self, x: str, source: DType, target: DType) -> str:
        if source.count > 1:
            return f"({self.type_of(target)}){x}"
        return super().bitcast(x, source, target)

    # ---- memory

    def statement(self, u: UOp) -> None:
        if u.op is Ops.PREFETCH:  # to the second cache: the first one is full of the row before
            self.write(f"__builtin_prefetch({self.at(u.src[0])}, 0, 2);")
        else:
            super().statement(u)

    def load(self, u: UOp) -> str:
        index, count = u.src[0], u.dtype.count
        if count == 1:
            return super().load(u)
        name = self.vector(c.stored(u.dtype))
        at = self.at(index)
        if len(index.src) > 3:
            text = self.call("load", name, at, *self.valid(index))
        else:
            text = f"*(const {name}u *)({at})"
        if index.src[2].op is not Ops.CONST:
            text = f"{self.condition(index.src[2])} ? {text} : ({name}){{}}"
        if u.dtype.kind == "b":
            self.vector(f"i8x{count}")
            text = f"__builtin_convertvector(({text}) != ({name}){{}}, {self.vector(f'i32x{count}')})"
        return text

    def valid(self, index: UOp) -> tuple[str, str]:
        """The first of a vector's valid lanes, and the one after the last."""
        return self.index(index.src[4]) if len(index.src) > 4 else "0", self.index(index.src[3])

    def at(self, index: UOp) -> str:
        address = self.index(index.src[1])
        return self.pointer(index.src[0]) if address == "0" else f"{self.pointer(index.src[0])} + {address}"

    def store(self, u: UOp) -> None:
        index, value = u.src
        count = value.dtype.count
        if count == 1:
            super().store(u)
            return
        name = self.vector(c.stored(value.dtype))
        text = self.plain(value)
        if value.dtype.kind == "b":
            text = f"__builtin_convertvector(-({text}), {name})"
        gate = index.src[2]
        head = "" if gate.op is Ops.CONST else f"if ({self.condition(gate)}) "
        at = self.at(index)
        if len(index.src) > 3:
            self.write(f"{head}{self.call('store', name, at, *self.valid(index), text)};")
        elif u.arg == "stream" and "elementwise" in self.features and (index.src[1] % count) is index_const(0):
            self.streams = True
            self.write(f"{head}{self.call('stream', name, at, text)};")
        else:
            self.write(f"{head}*({name}u *)({at}) = {text};")

    def update(self, u: UOp) -> None:
        if u.arg is Ops.DOT:
            dtype, name = u.src[0].dtype, self.lookup(u.src[0])
            pairs = [self.as_vector(x, dtype.count) for x in u.src[1:]]
            self.write(f"{name} = {self.call('add_dot', c.short(dtype), name, *pairs)};")
            return
        accumulator, value = u.src
        if accumulator.dtype.count > 1 and value.dtype.count == 1:
            raise RuntimeError(f"render: a scalar updates {accumulator!r}")
        if accumulator.dtype.count == 1 or u.arg in (None, Ops.ADD, Ops.MUL) and accumulator.dtype.kind != "b":
            super().update(u)
            return
        name, text = self.lookup(accumulator), self.plain(value)
        if accumulator.dtype.kind == "b":
            self.write(f"{name} {'&' if u.arg is Ops.MUL else '|'}= {text};")
            return
        self.write(f"{name} = {self.call('max', c.short(accumulator.dtype), name, text)};")


def render(lowered: Lowered, target: Target, features: frozenset[str]) -> ProgramSpec:
    """C for one kernel. `features`: of the compiler, see runtime/compiler.py."""
    renderer = ClangRenderer(lowered.linear.ops, target, features, lowered.thread)
    body = renderer.body()
    head = [f"void {lowered.name}(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {{"]
    for p in lowered.params:
        constant = "" if p.arg.slot in lowered.written else "const "
        kind = renderer.types[p.dtype.name]
        comment = f"  // {'x'.join(map(str, p.arg.shape))}" if p.arg.shape else ""
        head.append(f"  {constant}{kind} *restrict data{p.arg.slot} = buffers[{p.arg.slot}];{comment}")
    for memory, place in lowered.linear.scratch.items():
        kind = renderer.types[place.dtype.name]
        head.append(f"  {kind} *restrict {scratch_name(memory)} = ({kind} *)(workspace + {place.offset});")
    head += [f"  const long {name} = variables[{i}];" for i, name in enumerate(lowered.variables)]
    if renderer.streams and target.arch == "x86_64":
        body.append("  __builtin_ia32_sfence();")
    return ProgramSpec(lowered.name, "\n".join([*head, *body, "}"]), renderer.prelude(), lowered.variables,
                       lowered.threads, lowered.linear.workspace, lowered.written, lowered.operations, lowered.bytes,
                       lowered.opts)
