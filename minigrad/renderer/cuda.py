"""CUDA C++ for NVIDIA GPUs, without headers: what NVRTC compiles as it is.

    extern "C" __global__ void NAME(float *__restrict__ data0, const float *__restrict__ data1, ..., long long n_value)

Buffers by slot, then the variables by name. A thread computes the element of its block's and its own index; there is
no early return, so all threads of a block reach each barrier. Vectors are CUDA's own (float4); their arithmetic is
written by component, their loads and stores are single instructions where the address is proved to be a multiple of
the vector: buffers are 16-byte aligned.

float16 and bfloat16 are held as unsigned shorts and converted by functions whose device body is one instruction.
"""
from __future__ import annotations

from collections.abc import Sequence

from ..codegen.linearize import stored_dims
from ..codegen.pipeline import Lowered
from ..dtype import DType, dtypes
from ..helpers import prod
from ..target import Target
from ..uops import Ops, UOp, toposort
from ..uops.symbolic import ssimplify
from ..uops.uop import bounds, index_const
from . import helpers_c as c
from .base import ProgramSpec
from .cstyle import CStyle, is_condition_tree, range_name, scratch_name

DEVICE = "static __device__ __forceinline__"
COMPONENTS = "xyzw"
NO_INTEGERS = frozenset({Ops.INDEX, Ops.LOOP, Ops.SPECIAL})    # of dtype index, and no numbers
_BUILT_IN = {"float32": "float", "float64": "double", "float16": "ushort", "bfloat16": "ushort", "bool": "uchar",
             "int8": "char", "int16": "short", "int32": "int", "int64": "longlong",
             "uint8": "uchar", "uint16": "ushort", "uint32": "uint", "uint64": "ulonglong"}
_BITS = {("float32", "int32"): "__float_as_int", ("float32", "uint32"): "__float_as_uint",
         ("int32", "float32"): "__int_as_float", ("uint32", "float32"): "__uint_as_float",
         ("float64", "int64"): "__double_as_longlong", ("float64", "uint64"): "__double_as_longlong",
         ("int64", "float64"): "__longlong_as_double", ("uint64", "float64"): "__longlong_as_double"}

HALF_TO_FLOAT = f"""{DEVICE} float mg_f16_to_f32(unsigned short h) {{
#ifdef __CUDA_ARCH__
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
  return x;
#else
  unsigned sign = (h & 0x8000u) << 16, rest = h & 0x7fffu;
  if (rest >= 0x7c00u) return __uint_as_float(sign | 0x7f800000u | rest << 13 | (rest > 0x7c00u ? 0x400000u : 0u));
  float x = __uint_as_float(rest << 13) * __uint_as_float(0x77800000u);  // 2^112: the difference of the exponents' bias
  return __uint_as_float(sign | __float_as_uint(x));
#endif
}}"""
FLOAT_TO_HALF = f"""{DEVICE} unsigned short mg_f32_to_f16(float x) {{
#ifdef __CUDA_ARCH__
  unsigned short h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
  return h;
#else
  unsigned bits = __float_as_uint(x), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
  if (rest > 0x7f800000u) return 0x7fffu;                             // NaN, as the instruction makes it
  if (rest >= 0x477ff000u) return sign | 0x7c00u;                     // rounds to infinity
  if (rest >= 0x38800000u) return sign | (rest - 0x38000000u + 0xfffu + (rest >> 13 & 1u)) >> 13;
  float low = __uint_as_float(rest) + 0.5f;                           // denormal: the addition rounds at 2^-24
  return sign | (__float_as_uint(low) - 0x3f000000u);
#endif
}}"""
BFLOAT_TO_FLOAT = f"""{DEVICE} float mg_bf16_to_f32(unsigned short h) {{
  return __uint_as_float((unsigned)h << 16);
}}"""
FLOAT_TO_BFLOAT = f"""{DEVICE} unsigned short mg_f32_to_bf16(float x) {{
  unsigned bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return bits >> 16 | 0x40u;
  return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}}"""
CONVERSIONS = {("float16", "float32"): ("mg_f16_to_f32", HALF_TO_FLOAT),
               ("float32", "float16"): ("mg_f32_to_f16", FLOAT_TO_HALF),
               ("bfloat16", "float32"): ("mg_bf16_to_f32", BFLOAT_TO_FLOAT),
               ("float32", "bfloat16"): ("mg_f32_to_bf16", FLOAT_TO_BFLOAT)}


class CudaRenderer(CStyle):
    """One kernel. `specials`: its grid and block, filled while the list is rendered."""

    types = {**CStyle.types, "int64": "long long", "uint64": "unsigned long long", "float16": "unsigned short"}
    index_type = "int"                      # "long long" where an index does not fit

    def __init__(self, ops: list[UOp]) -> None:
        super().__init__(ops)
        self.chunks: dict[str, None] = {}
        self.specials: dict[tuple[str, int], UOp] = {}
        integers = (u for u in toposort(*ops) if u.dtype is dtypes.index and u.op not in NO_INTEGERS)
        if any(max(map(abs, bounds(u))) >= 1 << 31 for u in integers):
            self.index_type = "long long"

    # ---- the prelude and types

    def need(self, text: str) -> None:
        self.chunks.setdefault(text.replace("static inline", DEVICE))

    def prelude(self) -> tuple[str, ...]:
        of_indices = [c.INDEX[name].replace("static inline", DEVICE) for name in sorted(self.helpers)]
        return (*(text.replace("long", self.index_type) for text in of_indices), *self.chunks)

    def type_of(self, dtype: DType) -> str:
        if dtype.count == 1:
            return self.types[dtype.name]
        scalar = dtype.scalar
        if dtype.count not in (2, 4):
            raise ValueError(f"cuda: no vector of {dtype.count} {scalar.name}")
        name = f"{_BUILT_IN[scalar.name]}{dtype.count}"
        if dtype.itemsize == 32:            # CUDA's own are on the way out, and are two accesses anyway
            kind = self.types[scalar.name]
            self.need(f"struct __align__(16) mg_{name} {{ {kind} x, y, z, w; }};\n"
                      f"{DEVICE} mg_{name} make_mg_{name}({kind} x, {kind} y, {kind} z, {kind} w) {{\n"
                      f"  mg_{name} v = {{x, y, z, w}};\n  return v;\n}}")
            return f"mg_{name}"
        return name

    def make(self, dtype: DType, components: list[str]) -> str:
        return f"make_{self.type_of(dtype)}({', '.join(components)})"

    def float_constant(self, value: float, dtype: DType) -> str:
        if value - value != 0 or (dtype is not dtypes.float64 and "inf" in super().float_constant(value, dtype)):
            name = "nan" if value != value else "inf"
            if dtype is dtypes.float64:
                text = f"__longlong_as_double(0x7ff{'8' if name == 'nan' else '0'}000000000000LL)"
            else:
                text = f"__int_as_float(0x7f{'c' if name == 'nan' else '8'}00000)"
            return f"(-{text})" if value < 0 else text
        return super().float_constant(value, dtype)

    # ---- statements

    def statement(self, u: UOp) -> None:
        if u.op is not Ops.SPECIAL:
            super().statement(u)
            return
        name = "blockIdx" if u.arg.axis == "block" else "threadIdx"
        self.specials[u.arg.axis, u.arg.dimension] = u.src[0].src[1]
        self.write(f"const {self.index_type} {range_name(u.src[0])} = {name}.{COMPONENTS[u.arg.dimension]};")

    def barrier(self) -> str:
        return "__syncthreads();"

    def define(self, u: UOp) -> None:
        if u.dtype.count == 1:
            super().define(u)
            return
        name = self.name("v")
        text = self.expression(u)
        self.write(f"{self.type_of(u.dtype)} {name} = {text};")
        self.scopes[-1][u] = name

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

    def splat(self, text: str, dtype: DType) -> str:
        return text if dtype.count == 1 else self.make(dtype, [text] * dtype.count)

    def expression(self, u: UOp) -> str:
        op, count = u.op, u.dtype.count
        if op is Ops.HORIZONTAL:
            return self.horizontal(u)
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
                texts.append(super().expression(UOp(op, scalar, tuple(self.component(s, i) for s in u.src), u.arg)))
        return self.make(u.dtype, texts)

    def horizontal(self, u: UOp) -> str:
        value = u.src[0]
        parts = [self.lookup(self.component(value, i)) for i in range(value.dtype.count)]
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2])
            parts = [self.binary(u.arg, u.dtype, u.dtype, a, b) for a, b in pairs]
            parts = [f"({p})" for p in parts] if len(parts) > 1 else parts
        return parts[0]

    # ---- scalar values

    def function(self, op: Ops, dtype: DType, x: str) -> str:
        return f"{op.name.lower()}{'' if dtype is dtypes.float64 else 'f'}({x})"

    def helper_call(self, name: str, dtype: DType, *arguments: str) -> str:
        t = c.short(dtype)
        self.need(c.scalar_helper(name, t, c.is_signed(dtype), c.bits_of(dtype)))
        return f"mg_{name}_{t}({', '.join(arguments)})"

    def convert(self, x: str, source: DType, target: DType) -> str:
        if (source.name, target.name) in CONVERSIONS:
            name, text = CONVERSIONS[source.name, target.name]
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
        """A condition on indices is C++'s own bool, which needs no cast."""
        source = u.src[0]
        plain = source.dtype is u.dtype is dtypes.bool and is_condition_tree(source)
        return self.condition(source) if plain else super().cast(u)

    def bitcast(self, x: str, source: DType, target: DType) -> str:
        function = _BITS.get((source.name, target.name))
        return f"{function}({x})" if function else f"({self.types[target.name]}){x}"

    # ---- memory

    def load(self, u: UOp) -> str:
        index, count = u.src[0], u.dtype.count
        if count == 1:
            return super().load(u)
        gate = index.src[2]
        if len(index.src) == 3 and (index.src[1] % count) is index_const(0):
            text = f"*(const {self.type_of(u.dtype)} *)&{self.element(index)}"
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
        return self.condition(index_const(i).lt(index.src[3]))

    def store(self, u: UOp) -> None:
        index, value = u.src
        count = value.dtype.count
        if count == 1:
            super().store(u)
            return
        gate = index.src[2]
        head = "" if gate.op is Ops.CONST else f"if ({self.condition(gate)}) "
        if len(index.src) == 3 and (index.src[1] % count) is index_const(0):
            self.write(f"{head}*({self.type_of(value.dtype)} *)&{self.element(index)} = {self.plain(value)};")
            return
        for i in range(count):
            test = gate if len(index.src) == 3 else gate & index_const(i).lt(index.src[3])
            if test.op is Ops.CONST and not test.arg:       # behind the last valid one
                continue
            head = "" if test.op is Ops.CONST else f"if ({self.condition(test)}) "
            element = f"{self.pointer(index.src[0])}[{self.index(index.src[1] + i)}]"
            self.write(f"{head}{element} = {self.lookup(self.component(value, i))};")


def render(lowered: Lowered, target: Target) -> ProgramSpec:
    """CUDA for one kernel. ValueError: its shared arrays do not fit a block, or it has a vector that CUDA has not."""
    renderer = CudaRenderer(lowered.linear.ops)
    body = renderer.body()
    arrays, shared = _arrays(lowered, renderer)
    if shared > target.scratch:
        raise ValueError(f"cuda: {lowered.name} needs {shared} bytes of shared memory, a block has {target.scratch}")
    written = frozenset(lowered.written)
    parameters = []
    for p in lowered.params:
        constant = "" if p.arg.slot in written else "const "
        parameters.append(f"{constant}{renderer.types[p.dtype.name]} *__restrict__ data{p.arg.slot}")
    parameters += [f"long long {name}_value" for name in lowered.variables]
    values = [f"  const {renderer.index_type} {name} = {name}_value;" for name in lowered.variables]
    one = index_const(1)
    grid = tuple(ssimplify(renderer.specials.get(("block", d), one)) for d in range(3))
    block = tuple(int(renderer.specials.get(("thread", d), one).arg) for d in range(3))
    head = f"extern \"C\" __global__ void __launch_bounds__({prod(block)}) {lowered.name}({', '.join(parameters)}) {{"
    source = "\n".join([head, *values, *arrays, *body, "}"])
    return ProgramSpec(lowered.name, source, renderer.prelude(), lowered.variables, 1, 0, lowered.written,
                       lowered.operations, lowered.bytes, lowered.opts, grid, block, shared)


def join_kernels(specs: Sequence[ProgramSpec]) -> tuple[str, list[str]]:
    """(one text of many kernels, each in a namespace of its own: kernel_0, kernel_1, ..., their symbols)."""
    parts, symbols = list[str](), list[str]()
    for number, spec in enumerate(specs):
        taken = spec.name in symbols
        symbols.append(f"{spec.name}__{number}" if taken else spec.name)
        head, tail = (f"#define {spec.name} {symbols[-1]}\n", f"#undef {spec.name}\n") if taken else ("", "")
        prelude = "\n\n".join(spec.prelude)
        parts.append(f"namespace kernel_{number} {{\n{prelude}\n{head}#line 1\n{spec.source}\n{tail}}}\n")
    return "\n".join(parts), symbols


def _arrays(lowered: Lowered, renderer: CudaRenderer) -> tuple[list[str], int]:
    """(declarations of the scratch arrays, bytes of those that are shared)."""
    lines, shared = [], 0
    for memory, place in lowered.linear.scratch.items():
        size = 1
        for n in stored_dims(memory, place.dims):
            size *= n
        kind = "__shared__ __align__(16) " if memory.arg.shared else "__align__(16) "
        lines.append(f"  {kind}{renderer.types[place.dtype.name]} {scratch_name(memory)}[{size}];")
        if memory.arg.shared:
            shared += (size * place.dtype.itemsize + 15) // 16 * 16
    return lines, shared
