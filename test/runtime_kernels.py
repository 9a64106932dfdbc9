"""Hand-written kernels for the tests of the runtime."""
from __future__ import annotations

from minigrad.renderer.base import ProgramSpec
from minigrad.uops import sint

SIGNATURE = "(void *const *buffers, const long *variables, long lo, long hi, char *workspace)"


def kernel(name: str, body: str, threads: sint = 1, *, variables: tuple[str, ...] = (), written: tuple[int, ...] = (0,),
           workspace: int = 0, operations: int = 1 << 30, nbytes: int = 1 << 30,
           prelude: tuple[str, ...] = ()) -> ProgramSpec:
    """A kernel of work that is large by its own account, so that all threads take part."""
    return ProgramSpec(name=name, source=f"void {name}{SIGNATURE} {{\n{body}\n}}", prelude=prelude,
                       variables=variables, threads=threads, workspace=workspace, written=written,
                       operations=operations, bytes=nbytes)


def affine(scale: float, shift: float, size: int, name: str = "affine", **facts: int) -> ProgramSpec:
    """out[i] = in[i] * scale + shift for i below size, which is cut among threads."""
    return kernel(name, f"""    float *out = buffers[0]; const float *in = buffers[1];
    for (long i = lo; i < hi; i++) out[i] = in[i] * {float(scale)}f + {float(shift)}f;""", size, **facts)
