"""OpenCL C 1.2, which every OpenCL platform reads.

    __kernel void NAME(__global float *restrict data0, long start0, ..., long n_value)

A buffer is a memory object and the element of it at which the buffer starts: a part of an arena may start anywhere,
where a sub-buffer may not. float16 is loaded and stored by functions of the core language, so that it needs no
extension; float64 needs cl_khr_fp64.

https://registry.khronos.org/OpenCL/specs/3.0-unified/html/OpenCL_C.html
"""
from __future__ import annotations

from ..codegen.pipeline import Lowered
from ..dtype import DType, dtypes
from ..target import Target
from ..uops import Ops, UOp
from .base import ProgramSpec
from .gpu import GPURenderer, conversions_of, render_kernel

FP64 = "cl_khr_fp64"
_TYPES = {"float16": "ushort", "bfloat16": "ushort", "bool": "uchar", "int8": "char", "uint8": "uchar",
          "uint16": "ushort", "uint32": "uint", "uint64": "ulong"}
HALF_TO_FLOAT = """static inline float mg_f16_to_f32(ushort h) {
  return vload_half(0, (const __private half *)&h);
}"""
FLOAT_TO_HALF = """static inline ushort mg_f32_to_f16(float x) {
  ushort h;
  vstore_half_rte(x, 0, (__private half *)&h);
  return h;
}"""


class OpenCLRenderer(GPURenderer):
    """One kernel in OpenCL C."""

    types = {**GPURenderer.types, **_TYPES}
    shared = "__local __attribute__((aligned(16))) "
    private = "__attribute__((aligned(16))) "
    conversions = conversions_of("static inline", "as_float", "as_uint", HALF_TO_FLOAT, FLOAT_TO_HALF)

    def index_helper(self, name: str) -> str:
        """Kernels of one program share their prelude, whatever the type of their indices."""
        return f"{super().index_helper(name)}_{self.index_type}"

    def special(self, axis: str, dimension: int) -> str:
        return f"get_{'group' if axis == 'block' else 'local'}_id({dimension})"

    def barrier(self) -> str:
        return "barrier(CLK_LOCAL_MEM_FENCE);"

    def space(self, memory: UOp) -> str:
        return "__global " if memory.op is Ops.PARAM else "__local " if memory.arg.shared else ""

    def type_of(self, dtype: DType) -> str:
        if dtype.count not in (1, 2, 4):
            raise ValueError(f"opencl: no vector of {dtype.count} {dtype.scalar.name}")
        return self.types[dtype.scalar.name] + (str(dtype.count) if dtype.count > 1 else "")

    def make(self, dtype: DType, components: list[str]) -> str:
        return f"({self.type_of(dtype)})({', '.join(components)})"

    def not_finite(self, name: str, double: bool) -> str:
        text = "NAN" if name == "nan" else "INFINITY"
        return f"((double){text})" if double else text

    def function(self, op: Ops, dtype: DType, x: str) -> str:
        return f"{op.name.lower()}({x})"

    def bitcast(self, x: str, source: DType, target: DType) -> str:
        return f"as_{self.types[target.name]}(({self.types[source.name]}){x})"

    def head(self, lowered: Lowered, threads: int) -> list[str]:
        written = frozenset(lowered.written)
        parameters, lines = [], []
        for p in lowered.params:
            constant = "" if p.arg.slot in written else "const "
            name = f"data{p.arg.slot}"
            parameters.append(f"__global {constant}{self.types[p.dtype.name]} *restrict {name}, long start{p.arg.slot}")
            lines.append(f"  {name} += start{p.arg.slot};")
        parameters += [f"long {name}_value" for name in lowered.variables]
        lines += [f"  const {self.index_type} {name} = {name}_value;" for name in lowered.variables]
        return [f"__kernel void {lowered.name}({', '.join(parameters)}) {{", *lines]


def render(lowered: Lowered, target: Target) -> ProgramSpec:
    """OpenCL C for one kernel. ValueError: its shared arrays do not fit, or the device has no float64."""
    if not target.has(FP64) and any(u.dtype.scalar is dtypes.float64 for u in (*lowered.linear.ops, *lowered.params)):
        raise ValueError(f"{lowered.name} computes in float64, and {target.arch} lacks {FP64}")
    return render_kernel(OpenCLRenderer(lowered.linear.ops), lowered, target)
