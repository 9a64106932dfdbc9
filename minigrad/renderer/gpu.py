"""What the languages of GPUs have in common: a thread's indices, vectors by component, memory that threads share.

A thread computes the element of its block's and its own index; there is no early return, so all threads of a block
reach each barrier. Vectors are the language's own (float4); their arithmetic is written by component, their loads and
stores are single instructions where the address is proved to be a multiple of the vector: buffers are 16-byte aligned.

float16 and bfloat16 are held as unsigned shorts and converted by functions.
"""
from __future__ import annotations

from collections.abc import Mapping

from ..codegen.addresses import stored_size
from ..codegen.nest import is_index_condition
from ..codegen.pipeline import Lowered
from ..dtype import DType, dtypes
from ..target import Target
from ..uops import Ops, UOp, toposort
from ..uops.symbolic import ssimplify
from ..uops.uop import bounds, index_const
from . import helpers_c as c
from .base import ProgramSpec
from .cstyle import CStyle, range_name, scratch_name

COMPONENTS = "xyzw"
NO_INTEGERS = frozenset({Ops.INDEX, Ops.LOOP, Ops.SPECIAL})    # of dtype index, and no numbers

BFLOAT_TO_FLOAT = """{device} float mg_bf16_to_f32(unsigned short h) {{
  return {as_float}((unsigned)h << 16);
}}"""
FLOAT_TO_BFLOAT = """{device} unsigned short mg_f32_to_bf16(float x) {{
  unsigned bits = {as_uint}(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return bits >> 16 | 0x40u;
  return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}}"""


Conversions = Mapping[tuple[str, str], tuple[str, str]]     # (from, to): a function's name and text


def conversions_of(device: str, as_float: str, as_uint: str, to_float: str, to_half: str) -> Conversions:
    """Those of 16-bit floats in a language: what stands before a function, how bits are read, the texts for float16."""
    words = {"device": device, "as_float": as_float, "as_uint": as_uint}
    return {("float16", "float32"): ("mg_f16_to_f32", to_float), ("float32", "float16"): ("mg_f32_to_f16", to_half),
            ("bfloat16", "float32"): ("mg_bf16_to_f32", BFLOAT_TO_FLOAT.format(**words)),
            ("float32", "bfloat16"): ("mg_f32_to_bf16", FLOAT_TO_BFLOAT.format(**words))}


class GPURenderer(CStyle):
    """One kernel. `specials`: its grid and block, filled while the list is rendered."""

    inline_vectors = False                          # whose components are read one by one
    named = frozenset({Ops.LOAD, Ops.SHUFFLE})      # all threads reach a shuffle
    index_type = "int"                      # `wide_index` where an index does not fit
    wide_index = "long"
    device = "static inline"                # what stands before a function
    shared, private = "", ""                # what stands before arrays
    tf32 = c.TF32                           # the text of mg_tf32_f32
    wait_text = ""                          # the text of mg_wait: all copies that a thread started have arrived
    matrices: Mapping[str, str] = {}        # the text of mg_matrix_NAME
    conversions: Conversions = {}

    def __init__(self, ops: list[UOp]) -> None:
        super().__init__(ops)
        self.specials: dict[tuple[str, int], UOp] = {}
        integers = (u for u in toposort(*ops) if u.dtype is dtypes.index and u.op not in NO_INTEGERS)
        if any(max(map(abs, bounds(u))) >= 1 << 31 for u in integers):
            self.index_type = self.wide_index

    # ---- what a language says

    def special(self, axis: str, dimension: int) -> str:
        """The index of the "block" in the grid, or of the "thread" in its block."""
        raise NotImplementedError

    def space(self, memory: UOp) -> str:
        """What stands before the type that a pointer to this memory points to."""
        return ""

    def make(self, dtype: DType, components: list[str]) -> str:
        """A vector of components."""
        raise NotImplementedError

    def copy_text(self, size: int) -> str:
        """The text of mg_copy_SIZE(to, from, valid): zeroes where not valid."""
        raise NotImplementedError

    def shuffle(self, x: str, bits: int) -> str:
        """The value of the thread of the warp whose number differs in these bits."""
        raise NotImplementedError

    def head(self, lowered: Lowered, threads: int) -> list[str]:
        """The function's first lines, up to its arrays."""
        raise NotImplementedError

    # ---- the prelude

    def need(self, text: str) -> None:
        super().need(text.replace("static inline", self.device))

    def prelude(self) -> tuple[str, ...]:
        of_indices = []
        for name in sorted(self.helpers):
            text = c.INDEX[name].replace("static inline", self.device).replace("long", self.index_type)
            of_indices.append(text.replace(f" {name}(", f" {self.index_helper(name)}("))
        return (*of_indices, *self.chunks)

    # ---- statements

    def statement(self, u: UOp) -> None:
        if u.op is Ops.MATRIX:
            if (u.arg, "float32") in self.conversions:
                self.need(self.conversions[u.arg, "float32"][1])
            self.need(self.matrices[u.arg])
            self.write(f"mg_matrix_{u.arg}({', '.join(self.lookup(s) for s in u.src)});")
            return
        if u.op is Ops.ASYNC:
            self.copy_async(u)
            return
        if u.op is Ops.WAIT:
            self.need(self.wait_text)
            self.write("mg_wait();")
            return
        if u.op is not Ops.SPECIAL:
            super().statement(u)
            return
        self.specials[u.arg.axis, u.arg.dimension] = u.src[0].src[1]
        name = self.special(u.arg.axis, u.arg.dimension)
        self.write(f"const {self.index_type} {range_name(u.src[0])} = {name};")

    def update(self, u: UOp) -> None:
        accumulator, value = u.src
        if accumulator.dtype.count == 1:
            super().update(u)
            return
        for i in range(accumulator.dtype.count):
            parts = (self.component(accumulator, i), self.component(value, i))
            super().update(UOp(Ops.UPDATE, dtypes.void, parts, u.arg))

    # ---- vectors by component

    def component(self, u: UOp, i: int) -> UOp:
        """A node that reads as one component of a vector, or as the scalar itself."""
        if u.dtype.count == 1:
            if u in self.inline:            # used once for each component: it gets a name
                text, name = self.inline.pop(u), self.name("v")
                self.write(f"{self.type_of(u.dtype)} {name} = {text};")
                self.scopes[-1][u] = name
            return u
        part = UOp(Ops.LANES, u.dtype.scalar, (u,), i)
        self.scopes[-1][part] = f"{self.lookup(u)}.{COMPONENTS[i]}"
        return part

    def copy_async(self, u: UOp) -> None:
        """A copy from a buffer to shared memory, which zeroes instead where the buffer's gate does not hold."""
        gate, (source, _, valid) = u.src[0].src[2], u.src[1].src
        size = u.arg * source.dtype.itemsize
        self.need(self.copy_text(size))
        head = "" if gate.op is Ops.CONST else f"if ({self.condition(gate)}) "
        valid_text = "1" if valid.op is Ops.CONST else self.condition(valid)
        self.write(f"{head}mg_copy_{size}(&{self.element(u.src[0])}, &{self.element(u.src[1])}, {valid_text});")

    def constant(self, value: int | float | bool, dtype: DType) -> str:
        """A zero of 16 bits is one of their bits, too."""
        return "0" if dtype.kind == "f" and dtype.itemsize == 2 and not value else super().constant(value, dtype)

    def splat(self, text: str, dtype: DType) -> str:
        return text if dtype.count == 1 else self.make(dtype, [text] * dtype.count)

    def expression(self, u: UOp) -> str:
        op, count = u.op, u.dtype.count
        if op is Ops.HORIZONTAL:
            return self.horizontal(u)
        if op is Ops.ELEMENT:
            return f"{self.lookup(u.src[0])}.{COMPONENTS[u.src[1].arg]}"
        if count == 1 and op is Ops.SHUFFLE:
            return self.shuffle(self.plain(u.src[0]), u.arg)
        if count == 1 or op is Ops.LOAD:
            return super().expression(u)
        scalar = u.dtype.scalar
        texts = []
        for i in range(count):
            if op is Ops.LANES:
                base, step = u.src
                offset = f" + {self.constant(i * step.arg, scalar)}" if i else ""
                texts.append(self.lookup(self.component(base, i)) + offset)
            elif op is Ops.BROADCAST:
                texts.append(self.plain(self.component(u.src[i], i)))
            else:
                texts.append(self.expression(UOp(op, scalar, tuple(self.component(s, i) for s in u.src), u.arg)))
        return self.make(u.dtype, texts)

    def unary(self, op: Ops, dtype: DType, x: str) -> str:
        if op is Ops.TF32:
            self.need(self.tf32)
            return f"mg_tf32_f32({x})"
        return super().unary(op, dtype, x)

    def horizontal(self, u: UOp) -> str:
        value = u.src[0]
        parts = [self.lookup(self.component(value, i)) for i in range(value.dtype.count)]
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2])
            parts = [self.binary(u.arg, u.dtype, u.dtype, a, b) for a, b in pairs]
            parts = [f"({p})" for p in parts] if len(parts) > 1 else parts
        return parts[0]

    # ---- scalar values

    def helper_call(self, name: str, dtype: DType, *arguments: str) -> str:
        t = c.short(dtype)
        self.need(c.scalar_helper(name, t))
        return f"mg_{name}_{t}({', '.join(arguments)})"

    def convert(self, x: str, source: DType, target: DType) -> str:
        if (source.name, target.name) in self.conversions:
            name, text = self.conversions[source.name, target.name]
            self.need(text)
            return f"{name}({x})"
        for small in (dtypes.float16, dtypes.bfloat16):
            if small in (source, target):   # through float32
                wide = self.convert(x, source, dtypes.float32)
                return self.convert(f"({wide})", dtypes.float32, target)
        if target.kind == "b":
            return x if source.kind == "b" else f"{x} != 0"
        if source.is_float and target.is_int:
            a, b = c.SHORT[source.name], c.SHORT[target.name]
            self.need(c.float_to_int(a, b, self.constant(target.min, target), self.constant(target.max, target)))
            return f"mg_{a}_to_{b}({x})"
        return super().convert(x, source, target)

    def cast(self, u: UOp) -> str:
        """A condition on indices is a bool or an int of 0 and 1, which needs no cast."""
        source = u.src[0]
        plain = source.dtype is u.dtype is dtypes.bool and is_index_condition(source)
        return self.condition(source) if plain else super().cast(u)

    # ---- memory

    def load(self, u: UOp) -> str:
        index, count = u.src[0], u.dtype.count
        if count == 1:
            return super().load(u)
        gate = index.src[2]
        if len(index.src) == 3 and (index.src[1] % count) is index_const(0):
            text = f"*({self.space(index.src[0])}const {self.type_of(u.dtype)} *)&{self.element(index)}"
        else:
            text = self.make(u.dtype, [self.one(index, i, u.dtype.scalar) for i in range(count)])
        if gate.op is Ops.CONST:
            return text
        return f"{self.condition(gate)} ? {text} : {self.splat(self.constant(0, u.dtype.scalar), u.dtype)}"

    def one(self, index: UOp, i: int, dtype: DType) -> str:
        """An element of a vector that is loaded by elements; zero behind the last valid one."""
        text = f"{self.pointer(index.src[0])}[{self.index(index.src[1] + i)}]"
        return text if len(index.src) == 3 else f"{self.valid(index, i)} ? {text} : {self.constant(0, dtype)}"

    def valid(self, index: UOp, i: int) -> str:
        return self.condition(self.is_valid(index, i))

    @staticmethod
    def is_valid(index: UOp, i: int) -> UOp:
        """Whether an element of a vector is one of the valid ones."""
        inside = index_const(i).lt(index.src[3])
        return inside if len(index.src) == 4 else inside & index_const(i).ge(index.src[4])

    def store(self, u: UOp) -> None:
        index, value = u.src
        count = value.dtype.count
        if count == 1:
            super().store(u)
            return
        gate = index.src[2]
        head = "" if gate.op is Ops.CONST else f"if ({self.condition(gate)}) "
        if len(index.src) == 3 and (index.src[1] % count) is index_const(0):
            pointer = f"({self.space(index.src[0])}{self.type_of(value.dtype)} *)&{self.element(index)}"
            self.write(f"{head}*{pointer} = {self.plain(value)};")
            return
        for i in range(count):
            test = gate if len(index.src) == 3 else gate & self.is_valid(index, i)
            if test.op is Ops.CONST and not test.arg:       # behind the last valid one
                continue
            head = "" if test.op is Ops.CONST else f"if ({self.condition(test)}) "
            element = f"{self.pointer(index.src[0])}[{self.index(index.src[1] + i)}]"
            self.write(f"{head}{element} = {self.lookup(self.component(value, i))};")

    def arrays(self, lowered: Lowered) -> tuple[list[str], int]:
        """(declarations of the scratch arrays, bytes of those that are shared)."""
        lines, shared = [], 0
        for memory, place in lowered.linear.scratch.items():
            size = stored_size(memory, place.dims)
            kind = self.shared if memory.arg.shared else self.private
            lines.append(f"  {kind}{self.types[place.dtype.name]} {scratch_name(memory)}[{size}];")
            if memory.arg.shared:
                shared += (size * place.dtype.itemsize + 15) // 16 * 16
        return lines, shared


def render_kernel(renderer: GPURenderer, lowered: Lowered, target: Target) -> ProgramSpec:
    """One kernel in the renderer's language. ValueError: its shared arrays do not fit a block."""
    body = renderer.body()
    arrays, shared = renderer.arrays(lowered)
    if shared > target.scratch:
        raise ValueError(f"{lowered.name} needs {shared} bytes of shared memory, a block has "
                         f"{target.scratch}")
    one = index_const(1)
    grid = tuple(ssimplify(renderer.specials.get(("block", d), one)) for d in range(3))
    block = tuple(int(renderer.specials.get(("thread", d), one).arg) for d in range(3))
    source = "\n".join([*renderer.head(lowered, block[0] * block[1] * block[2]), *arrays, *body, "}"])
    return ProgramSpec(lowered.name, source, renderer.prelude(), lowered.variables, 1, 0, lowered.written,
                       lowered.operations, lowered.bytes, lowered.opts, grid, block, shared)
