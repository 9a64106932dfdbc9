"""CUDA C++ for NVIDIA GPUs, without headers: what NVRTC compiles as it is.

    extern "C" __global__ void NAME(float *__restrict__ data0, const float *__restrict__ data1, ..., long long n_value)

Buffers by slot, then the variables by name. Conversions of float16 are functions whose device body is one instruction.
"""
from __future__ import annotations

from collections.abc import Sequence

from ..codegen.pipeline import Lowered
from ..dtype import DType, dtypes
from ..target import Target
from ..uops import Ops
from . import helpers_c as c
from .base import ProgramSpec
from .gpu import COMPONENTS, GPURenderer, conversions_of, render_kernel

DEVICE = "static __device__ __forceinline__"
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
TF32 = c.TF32.replace("  u.bits = ", """#ifdef __CUDA_ARCH__
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(u.bits) : "f"(x));
#else
  u.bits = """).replace("  return", "#endif\n  return")


def _matrix(name: str, left: int, right: int, shape: str, widen: str) -> str:
    """mma.sync with `left` and `right` numbers a thread, those of 16 bits as pairs; `widen` is for the emulator."""
    a, b = [f"a{i}" for i in range(left)], [f"b{i}" for i in range(right)]
    if widen:
        pairs = zip([*a[::2], *b[::2]], [*a[1::2], *b[1::2]])
        packed = [f"  unsigned r{i};\n  asm(\"mov.b32 %0, {{%1, %2}};\" : \"=r\"(r{i}) : \"h\"({low}), \"h\"({high}));"
                  for i, (low, high) in enumerate(pairs)]
    else:
        packed = [f"  unsigned r{i} = __float_as_uint({x});" for i, x in enumerate([*a, *b])]
    lefts = len(packed) * 2 // 3
    numbers = [f"%{i}" for i in range(4 + len(packed))]
    groups = ", ".join(f"{{{', '.join(part)}}}" for part in (numbers[:4], numbers[4:4 + lefts], numbers[4 + lefts:],
                                                              numbers[:4]))
    sums = ", ".join(f"\"+f\"(d.{x})" for x in "xyzw")
    registers = ", ".join(f"\"r\"(r{i})" for i in range(len(packed)))
    kind = "unsigned short" if widen else "float"
    wide_a, wide_b = (", ".join(f"{widen}({x})" if widen else x for x in numbers) for numbers in (a, b))
    return "\n".join([
        f"{DEVICE} void mg_matrix_{name}(float4 &d, {', '.join(f'{kind} {x}' for x in (*a, *b))}) {{",
        "#ifdef __CUDA_ARCH__", *packed,
        f"  asm volatile(\"mma.sync.aligned.{shape} {groups};\" : {sums} : {registers});",
        "#else",
        f"  const float a[] = {{{wide_a}}}, b[] = {{{wide_b}}};",
        f"  emulated_matrix_{name}((float *)&d, a, b);", "#endif", "}"])


MATRICES = {
    "tf32": _matrix("tf32", 4, 2, "m16n8k8.row.col.f32.tf32.tf32.f32", ""),
    "bfloat16": _matrix("bfloat16", 8, 4, "m16n8k16.row.col.f32.bf16.bf16.f32", "mg_bf16_to_f32"),
    "float16": _matrix("float16", 8, 4, "m16n8k16.row.col.f32.f16.f16.f32", "mg_f16_to_f32")}


COPY = """{device} void mg_copy_{size}(void *to, const void *from, int valid) {{
#ifdef __CUDA_ARCH__
  asm volatile("cp.async.{cache}.shared.global [%0], [%1], {size}, %2;"
               :: "r"((unsigned)__cvta_generic_to_shared(to)), "l"(from), "r"(valid ? {size} : 0) : "memory");
#else
  emulated_copy(to, from, {size}, valid);
#endif
}}"""
WAIT = f"""{DEVICE} void mg_wait() {{
#ifdef __CUDA_ARCH__
  asm volatile("cp.async.wait_all;" ::: "memory");
#else
  emulated_wait();
#endif
}}"""


class CudaRenderer(GPURenderer):
    """One kernel in CUDA C++."""

    types = {**GPURenderer.types, "int64": "long long", "uint64": "unsigned long long", "float16": "unsigned short"}
    wide_index = "long long"
    device = DEVICE
    shared, private = "__shared__ __align__(16) ", "__align__(16) "
    tf32 = TF32
    matrices = MATRICES
    wait_text = WAIT
    conversions = conversions_of(DEVICE, "__uint_as_float", "__float_as_uint", HALF_TO_FLOAT, FLOAT_TO_HALF)

    def special(self, axis: str, dimension: int) -> str:
        return f"{'blockIdx' if axis == 'block' else 'threadIdx'}.{COMPONENTS[dimension]}"

    def copy_text(self, size: int) -> str:
        return COPY.format(device=DEVICE, size=size, cache="cg" if size == 16 else "ca")

    def shuffle(self, x: str, bits: int) -> str:
        return f"__shfl_xor_sync(0xffffffffu, {x}, {bits})"

    def barrier(self) -> str:
        return "__syncthreads();"

    def head(self, lowered: Lowered, threads: int) -> list[str]:
        written = frozenset(lowered.written)
        parameters = []
        for p in lowered.params:
            constant = "" if p.arg.slot in written else "const "
            parameters.append(f"{constant}{self.types[p.dtype.name]} *__restrict__ data{p.arg.slot}")
        parameters += [f"long long {name}_value" for name in lowered.variables]
        return [f"extern \"C\" __global__ void __launch_bounds__({threads}) {lowered.name}({', '.join(parameters)}) {{",
                *(f"  const {self.index_type} {name} = {name}_value;" for name in lowered.variables)]

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

    def not_finite(self, name: str, double: bool) -> str:
        if double:
            return f"__longlong_as_double(0x7ff{'8' if name == 'nan' else '0'}000000000000LL)"
        return f"__int_as_float(0x7f{'c' if name == 'nan' else '8'}00000)"

    def function(self, op: Ops, dtype: DType, x: str) -> str:
        return f"{op.name.lower()}{'' if dtype is dtypes.float64 else 'f'}({x})"

    def bitcast(self, x: str, source: DType, target: DType) -> str:
        function = _BITS.get((source.name, target.name))
        return f"{function}({x})" if function else f"({self.types[target.name]}){x}"


def render(lowered: Lowered, target: Target) -> ProgramSpec:
    """CUDA for one kernel. ValueError: its shared arrays do not fit a block, or it has a vector that CUDA has not."""
    return render_kernel(CudaRenderer(lowered.linear.ops), lowered, target)


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
