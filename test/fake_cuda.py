"""pycuda and cuda-bindings without a GPU, as far as the CUDA device uses them: kernels run on the emulator.

What is taken for a cubin is the kernels' text. Calls outside of a pushed context fail, as they do with the real ones.
"""
from __future__ import annotations

import ctypes
import enum
import re
import types
from typing import Any

import pytest

from extra.cuda_emulated import device as emulator
from minigrad.runtime import cuda

LIMIT = 1 << 30     # bytes of the GPU
ATTRIBUTES = {"MULTIPROCESSOR_COUNT": 132, "L2_CACHE_SIZE": 50 << 20, "MAX_SHARED_MEMORY_PER_BLOCK": 48 << 10,
              "MAX_THREADS_PER_BLOCK": 1024}


class Result(enum.IntEnum):
    """cuda-bindings' own, of which the package knows the numbers."""

    SUCCESS = 0
    OUT_OF_MEMORY = 2


class Error(Exception):
    """pycuda's own."""


class LogicError(Error):
    pass


class OutOfMemory(Error):
    pass


class Gpu:
    """The state of a driver: contexts pushed, blocks by address, and what was called."""

    def __init__(self) -> None:
        self.pushed = 0
        self.blocks: dict[int, ctypes.Array[ctypes.c_char]] = {}
        self.freed: list[int] = []                      # which the pool keeps until the stream is waited for
        self.calls: list[str] = []
        self.load_packages = cuda.load_packages         # the real one

    def need_context(self, call: str) -> None:
        self.calls.append(call)
        if not self.pushed:
            raise LogicError(f"{call} failed: invalid device context")

    def find(self, address: int) -> emulator.Slot:
        """The block that an address lies in, from there to its end, as a kernel sees it."""
        for start, block in self.blocks.items():
            if start <= address < start + len(block):
                return emulator.Slot(address, start + len(block) - address, 1, None)
        raise LogicError(f"invalid address {address:#x}")

    def launch(self, function: Function, grid: Any, block: Any, words: list[int]) -> None:
        """Runs a kernel on copies of the memory that its pointers lead to."""
        pointers = function.signature.count("*")
        blocks = [self.find(word) for word in words[:pointers]]
        windows = [emulator.open_window(i, b.bytes) for i, b in enumerate(blocks)]
        for window, b in zip(windows, blocks):
            ctypes.memmove(window, b.start, b.bytes)
        slots = [emulator.Slot(window, b.bytes, 1, None) for window, b in zip(windows, blocks)]
        done = emulator.start_launch(function.module.code, function.handle, slots, words[pointers:], grid, block)
        if done.report.fault:
            raise LogicError(f"cuLaunchKernel failed: fault {done.report.fault}")
        constants = re.findall(r"(const )?[a-z ]+ \*__restrict__", function.signature)
        for constant, window, b in zip(constants, windows, blocks):
            if not constant:
                ctypes.memmove(b.start, window, b.bytes)


class Module:
    def __init__(self, text: str) -> None:
        self.signatures: dict[str, str] = {}
        for part in text.split("namespace kernel_")[1:]:
            name, signature = re.findall(r"__global__ void \S+ (\w+)(\(.*\))", part)[0]
            renamed = re.findall(rf"#define {name} (\w+)", part)
            self.signatures[renamed[0] if renamed else name] = signature
        self.code = emulator.load_kernels(text, list(self.signatures))


class Function:
    def __init__(self, gpu: Gpu, module: Module, name: str) -> None:
        self.gpu, self.module, self.signature = gpu, module, module.signatures[name]
        self.handle = module.code.loaded[f"call_{list(module.signatures).index(name)}"]

    def prepare(self, formats: str) -> None:
        assert set(formats) <= set("Pq")
        self.formats = formats

    def prepared_async_call(self, grid: Any, block: Any, stream: Any, *words: int) -> None:
        self.gpu.need_context("cuLaunchKernel")
        assert len(words) == len(self.formats) and all(1 <= n for n in grid)
        self.gpu.launch(self, grid, block, list(words))


def fake_pycuda(gpu: Gpu) -> types.ModuleType:
    """pycuda.driver"""
    driver = types.ModuleType("pycuda.driver")

    class Context:
        def push(self) -> None:
            gpu.pushed += 1

        @staticmethod
        def pop() -> None:
            gpu.pushed -= 1

        def detach(self) -> None:
            gpu.calls.append("cuDevicePrimaryCtxRelease")

    class Device:
        def __init__(self, number: int) -> None:
            assert number < 1

        count = staticmethod(lambda: 1)
        compute_capability = staticmethod(lambda: (9, 0))
        name = staticmethod(lambda: "Fake GPU")
        total_memory = staticmethod(lambda: LIMIT)
        retain_primary_context = staticmethod(Context)
        get_attribute = staticmethod(ATTRIBUTES.__getitem__)

    class Stream:
        handle = 7

        def __init__(self) -> None:
            gpu.need_context("cuStreamCreate")

        def synchronize(self) -> None:
            gpu.need_context("cuStreamSynchronize")
            while gpu.freed:
                del gpu.blocks[gpu.freed.pop()]

    class Event:
        def record(self, stream: Stream) -> None:
            gpu.need_context("cuEventRecord")

        def synchronize(self) -> None:
            gpu.need_context("cuEventSynchronize")

        def time_till(self, other: Event) -> float:
            return 2.0

    def memcpy_htod(to: int, data: memoryview) -> None:
        gpu.need_context("cuMemcpyHtoD")
        ctypes.memmove(to, data.tobytes(), data.nbytes)

    def memcpy_dtoh(data: memoryview, source: int) -> None:
        gpu.need_context("cuMemcpyDtoH")
        data[:] = ctypes.string_at(source, data.nbytes)

    def module_from_buffer(cubin: bytes) -> Any:
        gpu.need_context("cuModuleLoadDataEx")
        module = Module(cubin.decode())
        return types.SimpleNamespace(get_function=lambda name: Function(gpu, module, name))

    driver.__dict__.update(
        init=lambda: None, Device=Device, Context=Context, Stream=Stream, Event=Event,
        Error=Error, MemoryError=OutOfMemory, device_attribute=types.SimpleNamespace(**{a: a for a in ATTRIBUTES}),
        memcpy_htod=memcpy_htod, memcpy_dtoh=memcpy_dtoh, module_from_buffer=module_from_buffer,
        get_driver_version=lambda: 13000)
    return driver


def fake_graphs(gpu: Gpu) -> types.SimpleNamespace:
    """The part of cuda.bindings.driver that is about pools of memory and graphs: a graph is a list of nodes."""

    class Node:
        def __init__(self, params: Any) -> None:
            self.enabled = 1
            self.set(params)

        def set(self, params: Any) -> None:
            """Reads the arguments, as the driver does before the call returns."""
            self.function, p = params.func, params
            self.grid, self.block = (p.gridDimX, p.gridDimY, p.gridDimZ), (p.blockDimX, p.blockDimY, p.blockDimZ)
            count = self.function.signature.count(",") + 1
            places = (ctypes.c_void_p * count).from_address(params.kernelParams)
            self.words = [ctypes.c_longlong.from_address(place).value for place in places]

    def ok(call: str, *result: Any) -> tuple[Any, ...]:
        gpu.need_context(call)
        return (Result.SUCCESS, *result)

    def allocate(nbytes: int, stream: int) -> tuple[Any, ...]:
        gpu.need_context("cuMemAllocAsync")
        if sum(map(len, gpu.blocks.values())) + nbytes > LIMIT:
            return (Result.OUT_OF_MEMORY, 0)
        memory = ctypes.create_string_buffer(nbytes)
        gpu.blocks[ctypes.addressof(memory)] = memory
        return (Result.SUCCESS, ctypes.addressof(memory))

    def free(address: int, stream: int) -> tuple[Any, ...]:
        gpu.freed.append(address)
        return ok("cuMemFreeAsync")

    def add(graph: list[Node], after: list[Node], count: int, params: Any) -> tuple[Any, ...]:
        assert after == graph[-1:] and count == len(after)
        graph.append(Node(params))
        return ok("cuGraphAddKernelNode", graph[-1])

    def change(graph: list[Node], node: Node, params: Any) -> tuple[Any, ...]:
        node.set(params)
        return ok("cuGraphExecKernelNodeSetParams")

    def enable(graph: list[Node], node: Node, enabled: int) -> tuple[Any, ...]:
        node.enabled = enabled
        return ok("cuGraphNodeSetEnabled")

    def launch(graph: list[Node], stream: int) -> tuple[Any, ...]:
        for node in graph:
            if node.enabled:
                gpu.launch(node.function, node.grid, node.block, node.words)
        return ok("cuGraphLaunch")

    return types.SimpleNamespace(
        cuMemAllocAsync=allocate, cuMemFreeAsync=free,
        CUDA_KERNEL_NODE_PARAMS=types.SimpleNamespace, cuGraphCreate=lambda flags: ok("cuGraphCreate", []),
        cuGraphAddKernelNode=add, cuGraphInstantiate=lambda graph, flags: ok("cuGraphInstantiate", graph),
        cuGraphExecKernelNodeSetParams=change, cuGraphNodeSetEnabled=enable, cuGraphLaunch=launch,
        cuGraphExecDestroy=lambda graph: (0,), cuGraphDestroy=lambda graph: (0,),
        cuModuleLoadData=lambda cubin: ok("cuModuleLoadData", Module(cubin.decode())),
        cuModuleGetFunction=lambda module, name: (0, Function(gpu, module, name.decode())))


def install(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    """Puts both in the place of the real packages, and kernels' text in the place of cubins."""
    gpu = Gpu()
    driver = fake_pycuda(gpu)
    monkeypatch.setattr(cuda, "load_packages", lambda name: (driver, fake_graphs(gpu)))
    monkeypatch.setattr(cuda, "compile_cuda", lambda text, arch: text.encode())
    monkeypatch.setattr(cuda, "nvrtc_version", lambda: "0.0")
    return gpu
