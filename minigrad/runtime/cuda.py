"""The CUDA device: NVIDIA GPUs through pycuda; NVRTC, and graphs, through cuda-bindings. `pip install minigrad[cuda]`.

Kernels become machine code (a cubin) for the GPU at hand, many in one call of NVRTC, and are kept on disk. Launches
and copies go to one stream, whose pool of memory no allocation waits for. A graph is a chain of kernel nodes; a replay
changes the nodes whose arguments differ from those that they have, and is one call.

https://documen.tician.de/pycuda/driver.html
https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__GRAPH.html
"""
from __future__ import annotations

import atexit
import ctypes
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from minigrad.codegen.pipeline import Lowered
from minigrad.renderer.base import ProgramSpec
from minigrad.renderer.cuda import join_kernels, render
from minigrad.runtime import cache
from minigrad.runtime.compiler import CompileError, number_lines
from minigrad.runtime.device import Buffer, GraphRunner, Launch, Program, Replaced, check_buffers
from minigrad.runtime.gpu import GPUDevice, Grid
from minigrad.target import Target, cuda_target
from minigrad.uops.symbolic import evaluate

INSTALL = "`pip install 'minigrad[cuda]'`, which builds pycuda and needs the CUDA toolkit's nvcc and headers"

OUT_OF_MEMORY = 2       # CUDA_ERROR_OUT_OF_MEMORY


def compile_cuda(text: str, arch: str) -> bytes:
    """CUDA C++ -> a cubin for an architecture, "sm_90". CompileError with NVRTC's log and the source."""
    from cuda.bindings import nvrtc
    success = nvrtc.nvrtcResult.NVRTC_SUCCESS
    error, program = nvrtc.nvrtcCreateProgram(text.encode(), b"kernels.cu", 0, [], [])
    if error != success:
        raise CompileError(f"NVRTC: {error}")
    try:
        options = [f"--gpu-architecture={arch}".encode(), b"--std=c++17"]
        (error,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
        # NVRTC writes where it is told: never into a bytes object, which Python shares when it is one byte long.
        log = bytearray(nvrtc.nvrtcGetProgramLogSize(program)[1])
        nvrtc.nvrtcGetProgramLog(program, log)
        if error != success:
            raise CompileError(f"NVRTC for {arch}: {log.rstrip(bytes([0, 10])).decode()}\n\n{number_lines(text)}")
        cubin = bytearray(nvrtc.nvrtcGetCUBINSize(program)[1])
        nvrtc.nvrtcGetCUBIN(program, cubin)
        return bytes(cubin)
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def nvrtc_version() -> str:
    from cuda.bindings import nvrtc
    return "{1}.{2}".format(*nvrtc.nvrtcVersion())


@dataclass
class Kernel:
    """A loaded function: pycuda's, and what graphs load their own from."""

    function: Any
    cubin: bytes
    symbol: str


class CUDADevice(GPUDevice):
    """One GPU, "CUDA" or "CUDA:1". RuntimeError, when made, that says in a line what is missing."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.driver, self.graphs = load_packages(name)
        self._modules: dict[bytes, Any] = {}            # those of graphs, by cubin
        number = int(name.partition(":")[2] or 0)
        try:
            self.driver.init()
            if number >= self.driver.Device.count():
                raise RuntimeError(f"{name}: this machine has {self.driver.Device.count()} NVIDIA GPUs")
            gpu, version = self.driver.Device(number), self.driver.get_driver_version()     # 12040: CUDA 12.4
            self.model = f"{gpu.name()}, {gpu.total_memory() >> 20} MB, CUDA {version // 1000}.{version % 1000 // 10}"
            self._target = target_of(gpu, self.driver.device_attribute)
            if version // 1000 < int(nvrtc_version().partition(".")[0]):
                raise RuntimeError(f"{name}: the driver is too old: it is for CUDA {version // 1000}, and NVRTC "
                                   f"{nvrtc_version()} compiles for a newer one. Update the driver, or `pip install "
                                   f"'cuda-bindings=={version // 1000}.*' nvidia-cuda-nvrtc-cu{version // 1000}`")
            self.context = gpu.retain_primary_context()
            atexit.register(self.context.detach)        # pycuda's own way at the end fails, and says so
            with self.current():
                self.stream = self.driver.Stream()
        except (self.driver.Error, ValueError) as error:       # of the driver; of cuda_target
            raise RuntimeError(f"{name}: {error}") from None

    @contextmanager
    def current(self) -> Iterator[None]:
        """The GPU's context is this thread's in the block. MemoryError or RuntimeError where the driver fails."""
        self.context.push()
        try:
            yield
        except self.driver.MemoryError as error:
            raise MemoryError(str(error)) from None
        except self.driver.Error as error:
            raise RuntimeError(f"{self.name}: {error}") from None
        finally:
            self.driver.Context.pop()

    @property
    def target(self) -> Target:
        return self._target

    def describe(self) -> str:
        return f"{self.name}: {self.model}, {self.target.arch}, NVRTC {nvrtc_version()}"

    # ---- memory

    def new_block(self, nbytes: int) -> int:
        with self.current():
            return int(ask(self.graphs.cuMemAllocAsync(nbytes, self.stream.handle)))

    def drop_block(self, ptr: int) -> None:
        with self.current():
            ask(self.graphs.cuMemFreeAsync(ptr, self.stream.handle))
            self.stream.synchronize()       # which is when a pool gives memory back

    def copyin(self, ptr: int, data: memoryview) -> None:
        with self.current():
            self.driver.memcpy_htod(ptr, data)

    def copyout(self, data: memoryview, ptr: int) -> None:
        with self.current():
            self.driver.memcpy_dtoh(data, ptr)

    def synchronize(self) -> None:
        with self.current():
            self.stream.synchronize()

    # ---- kernels

    def render(self, lowered: Lowered) -> ProgramSpec:
        return render(lowered, self.target)

    def build(self, specs: Sequence[ProgramSpec]) -> list[tuple[int, object]]:
        text, symbols = join_kernels(specs)
        key = f"cubin {self.target.arch} {nvrtc_version()} {hashlib.sha256(text.encode()).hexdigest()}"
        cubin = cache.get(key)
        if cubin is None:
            cubin = compile_cuda(text, self.target.arch)
            cache.put(key, cubin)
        with self.current():
            module = self.driver.module_from_buffer(cubin)
            return [(0, Kernel(module.get_function(symbol), cubin, symbol)) for symbol in symbols]

    def run(self, program: Program, buffers: Sequence[Buffer], values: Sequence[int], grid: Grid, wait: bool) -> float:
        kernel, pointers = program.code, [buffer.ptr for buffer in buffers]
        assert isinstance(kernel, Kernel)
        kernel.function.prepare("P" * len(pointers) + "q" * len(values))
        try:
            with self.current():
                start, end = (self.driver.Event(), self.driver.Event()) if wait else (None, None)
                if start is not None:
                    start.record(self.stream)
                kernel.function.prepared_async_call(grid, program.spec.block, self.stream, *pointers, *values)
                if start is None or end is None:
                    return 0.0
                end.record(self.stream)
                end.synchronize()
                return float(start.time_till(end)) * 1e-3       # of milliseconds
        except RuntimeError as error:
            raise RuntimeError(f"{program.name}: {error}\n\n{number_lines(program.spec.source)}") from None

    def graph(self, launches: Sequence[Launch]) -> GraphRunner:
        return CUDAGraph(self, launches)

    def function_of(self, kernel: Kernel) -> Any:
        """A kernel's function as graphs know it."""
        if kernel.cubin not in self._modules:
            self._modules[kernel.cubin] = ask(self.graphs.cuModuleLoadData(kernel.cubin))
        return ask(self.graphs.cuModuleGetFunction(self._modules[kernel.cubin], kernel.symbol.encode()))


class CUDAGraph(GraphRunner):
    """Launches as a chain of kernel nodes, made at the first replay. A node is changed where its arguments differ."""

    def __init__(self, device: CUDADevice, launches: Sequence[Launch]) -> None:
        super().__init__(device, launches)
        self.cuda, self.api = device, device.graphs
        self.nodes: list[Any] = []
        self.known: list[tuple[list[int], list[int], Grid]] = []        # pointers, values and grid of each node
        self.executable: Any = None

    def run(self, variables: Mapping[str, int], replaced: Replaced | None = None) -> float:
        """Starts all launches, and does not wait: 0.0."""
        if not self.launches:
            return 0.0
        wanted = [self._arguments(number, variables, replaced or {}) for number in range(len(self.launches))]
        with self.cuda.current():
            if self.executable is None:
                self._make(wanted)
            for number, (new, old) in enumerate(zip(wanted, self.known)):
                if new != old:
                    self._change(number, new)
            ask(self.api.cuGraphLaunch(self.executable, self.cuda.stream.handle))
        return 0.0

    def _arguments(self, number: int, variables: Mapping[str, int], replaced: Replaced) \
            -> tuple[list[int], list[int], Grid]:
        launch = self.launches[number]
        spec, buffers = launch.program.spec, launch.buffers
        if replaced:
            buffers = tuple(replaced.get((number, slot), buffer) for slot, buffer in enumerate(buffers))
            check_buffers(spec, buffers)
        values = [variables[name] for name in launch.names]
        grid = tuple(evaluate(n, dict(zip(spec.variables, values))) for n in spec.grid)
        return [buffer.ptr for buffer in buffers], values, grid

    def _node(self, number: int, arguments: tuple[list[int], list[int], Grid]) -> tuple[Any, object]:
        """(a kernel node's parameters, what has to live until the driver has read them)."""
        pointers, values, grid = arguments
        program = self.launches[number].program
        assert isinstance(program.code, Kernel)
        params = self.api.CUDA_KERNEL_NODE_PARAMS()
        params.func = self.cuda.function_of(program.code)
        params.gridDimX, params.gridDimY, params.gridDimZ = (max(n, 1) for n in grid)
        params.blockDimX, params.blockDimY, params.blockDimZ = program.spec.block
        held = (ctypes.c_longlong * (len(pointers) + len(values)))(*pointers, *values)
        places = (ctypes.c_void_p * len(held))(*(ctypes.addressof(held) + 8 * i for i in range(len(held))))
        params.kernelParams = ctypes.addressof(places)
        return params, (held, places)

    def _make(self, wanted: list[tuple[list[int], list[int], Grid]]) -> None:
        graph = ask(self.api.cuGraphCreate(0))
        try:
            for number, arguments in enumerate(wanted):
                params, held = self._node(number, arguments)
                after = self.nodes[-1:]
                self.nodes.append(ask(self.api.cuGraphAddKernelNode(graph, after, len(after), params)))
                del held
            self.executable = ask(self.api.cuGraphInstantiate(graph, 0))
        except BaseException:
            self.nodes.clear()
            raise
        self.graph = graph
        self.known = wanted
        for number, (_, _, grid) in enumerate(wanted):
            if 0 in grid:
                ask(self.api.cuGraphNodeSetEnabled(self.executable, self.nodes[number], 0))

    def _change(self, number: int, arguments: tuple[list[int], list[int], Grid]) -> None:
        params, held = self._node(number, arguments)
        ask(self.api.cuGraphExecKernelNodeSetParams(self.executable, self.nodes[number], params))
        del held
        empty = 0 in arguments[2]
        if empty != (0 in self.known[number][2]):       # a grid without blocks is no launch
            ask(self.api.cuGraphNodeSetEnabled(self.executable, self.nodes[number], int(not empty)))
        self.known[number] = arguments

    def __del__(self) -> None:
        if getattr(self, "executable", None) is not None and not sys.is_finalizing():   # the context may be gone then
            self.api.cuGraphExecDestroy(self.executable)
            self.api.cuGraphDestroy(self.graph)


def ask(answer: tuple[Any, ...]) -> Any:
    """The result of a call of cuda-bindings. RuntimeError: it failed; MemoryError: there is no memory left."""
    if answer[0] != 0:
        raise (MemoryError if answer[0] == OUT_OF_MEMORY else RuntimeError)(f"CUDA: {answer[0]!r}")
    return answer[1] if len(answer) > 1 else None


def target_of(gpu: Any, attributes: Any) -> Target:
    """The target of a GPU, with the limits that it names itself. ValueError: it is older than sm_80."""
    cores, l2, scratch, threads = (gpu.get_attribute(a) for a in (
        attributes.MULTIPROCESSOR_COUNT, attributes.L2_CACHE_SIZE, attributes.MAX_SHARED_MEMORY_PER_BLOCK,
        attributes.MAX_THREADS_PER_BLOCK))
    usual = cuda_target("sm_{}{}".format(*gpu.compute_capability()))
    return replace(usual, cores=cores, l2=l2, scratch=scratch, block_threads=threads)


def load_packages(name: str) -> tuple[Any, Any]:
    """(pycuda.driver, cuda.bindings.driver). RuntimeError that says what is missing, and how to get it."""
    try:
        import pycuda
    except ImportError:
        raise RuntimeError(f"{name} needs the package pycuda: {INSTALL}") from None
    try:
        import pycuda.driver as driver
    except ImportError as error:
        raise RuntimeError(f"{name} needs NVIDIA's driver, which pycuda {pycuda.VERSION_TEXT} cannot load: {error}") \
            from None
    try:
        from cuda.bindings import driver as graphs
        from cuda.bindings import nvrtc  # noqa: F401
    except ImportError as error:
        raise RuntimeError(f"{name} needs the packages cuda-bindings and nvidia-cuda-nvrtc: {INSTALL} ({error})") \
            from None
    return driver, graphs
