"""The CUDA device over a driver that is made up: what it asks of pycuda and of cuda-bindings, and what it says when
something is missing or fails. Kernels run on the emulator."""
from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import cuda_cases
import fake_cuda
import numpy as np
import pytest

from minigrad import Context, Tensor, TinyJit
from minigrad.codegen.pipeline import lower_kernel
from minigrad.codegen.place import Place
from minigrad.dtype import dtypes
from minigrad.engine.compile import _programs, forget_programs
from minigrad.runtime import cuda, device
from minigrad.runtime.device import Buffer, get_device
from minigrad.uops import UOp


@pytest.fixture(scope="module")
def only_gpu() -> Iterator[fake_cuda.Gpu]:
    with pytest.MonkeyPatch.context() as patch, Context(CACHE=0):
        patch.delitem(device._instances, "CUDA", raising=False)
        yield fake_cuda.install(patch)
        forget_programs(lambda key: key[1] != "CUDA")
        device._instances.pop("CUDA", None)


@pytest.fixture
def gpu(only_gpu: fake_cuda.Gpu) -> Iterator[fake_cuda.Gpu]:
    """A made-up GPU, and CUDA as the device of new tensors."""
    only_gpu.calls.clear()
    with Context(DEV="CUDA", CACHE=0):
        yield only_gpu
    assert only_gpu.pushed == 0


def test_tensors_live_and_compute_there(gpu: fake_cuda.Gpu) -> None:
    x, w = (np.random.default_rng(i).standard_normal((16, 16)).astype(np.float32) for i in range(2))
    result = (Tensor(x) @ Tensor(w)).softmax()
    assert result.device == "CUDA"
    e = np.exp(x @ w - (x @ w).max(-1, keepdims=True))
    np.testing.assert_allclose(result.numpy(), e / e.sum(-1, keepdims=True), rtol=1e-5)
    assert "cuLaunchKernel" in gpu.calls and "cuMemcpyHtoD" in gpu.calls
    np.testing.assert_array_equal(Tensor(x, device="CPU").to("CUDA").to("CPU").numpy(), x)


def test_kernels_are_built_together(gpu: fake_cuda.Gpu) -> None:
    x = Tensor(np.ones((4, 4), np.float32)).realize()
    before = gpu.calls.count("cuModuleLoadDataEx")
    Tensor.realize(x + 1, x * 2, x.sum())
    assert gpu.calls.count("cuModuleLoadDataEx") == before + 1


def test_a_replay_is_one_launch_and_changes_only_what_differs(gpu: fake_cuda.Gpu) -> None:
    cache = Tensor(np.zeros((8, 4), np.float32)).realize()

    @TinyJit
    def step(x: Tensor, at: UOp) -> Tensor:
        cache[at:at + 1].assign(x * 2).realize()
        return (cache[:at + 1].sum() + 0 * x.sum()).realize()

    total = 0.0
    for position in range(6):
        x = np.full((1, 4), position + 1, np.float32)
        gpu.calls.clear()
        result = step(Tensor(x), UOp.variable("at", 0, 7).bind(position))
        if position > 2:
            assert gpu.calls.count("cuGraphLaunch") == 1 and "cuLaunchKernel" not in gpu.calls
            assert 0 < gpu.calls.count("cuGraphExecKernelNodeSetParams")
        if position > 3:
            assert not {"cuGraphCreate", "cuGraphInstantiate", "cuModuleLoadData"} & set(gpu.calls)
        total += 8.0 * (position + 1)
        assert result.item() == total
    np.testing.assert_array_equal(cache.numpy()[:6, 0], 2.0 * np.arange(1, 7))


def test_a_replay_with_nothing_new_changes_no_node(gpu: fake_cuda.Gpu) -> None:
    x = Tensor(np.ones(4, np.float32)).realize()
    step = TinyJit(lambda: (x + 1).realize())
    for _ in range(4):
        step()
    gpu.calls.clear()
    step()
    assert "cuGraphLaunch" in gpu.calls and "cuGraphExecKernelNodeSetParams" not in gpu.calls


def test_threads_of_python_may_use_it(gpu: fake_cuda.Gpu) -> None:
    found: list[float] = []
    x = Tensor(np.ones(4, np.float32))
    thread = threading.Thread(target=lambda: found.append((x + 1).sum().item()))
    thread.start()
    thread.join()
    assert found == [8.0]


def test_timing_is_in_seconds(gpu: fake_cuda.Gpu, capsys: pytest.CaptureFixture[str]) -> None:
    with Context(DEBUG=2):
        (Tensor(np.ones(4, np.float32)) + 1).realize()
    assert "2.000 ms" in capsys.readouterr().out
    program = next(p for key, p in _programs.items() if key[1] == "CUDA" and p.name == "elementwise_4"
                   and not p.spec.variables)
    buffers = [Buffer("CUDA", (4,), dtypes.float32).allocate() for _ in range(2)]
    assert get_device("CUDA").timer(program, [buffers, buffers], {})() == pytest.approx(2e-3)      # as searches time


def test_memory_is_reused_and_given_back_when_there_is_no_more(gpu: fake_cuda.Gpu) -> None:
    cuda_device = get_device("CUDA")
    big = Buffer("CUDA", (600 << 20,), dtypes.uint8)
    first = big.ptr
    assert cuda_device.memory_in_use >= 600 << 20
    del big
    again = Buffer("CUDA", (600 << 20,), dtypes.uint8)
    assert again.ptr == first and gpu.calls.count("cuMemFreeAsync") == 0
    del again
    other = Buffer("CUDA", (700 << 20,), dtypes.uint8).allocate()     # only once the first is dropped
    assert gpu.calls.count("cuMemFreeAsync") >= 1
    with pytest.raises(MemoryError, match=f"CUDA: no {500 << 20} bytes, where [0-9]+ are in use.*OUT_OF_MEMORY"):
        Buffer("CUDA", (500 << 20,), dtypes.uint8).allocate()
    assert other.is_allocated and Buffer("CUDA", (4,), dtypes.uint8).ptr


def test_a_launch_that_fails_shows_the_kernel(gpu: fake_cuda.Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    x = Tensor(np.ones(4, np.float32)).realize()

    def fail(*arguments: object) -> None:
        raise fake_cuda.LogicError("cuLaunchKernel failed: too many resources requested")

    with monkeypatch.context() as patch:
        patch.setattr(gpu, "launch", fail)
        with pytest.raises(RuntimeError, match=r"(?s)elementwise_4: CUDA: .*too many resources.*__global__"):
            (x + 1).realize()
    np.testing.assert_array_equal((x + 1).numpy(), np.full(4, 2.0))     # and it goes on


def test_a_buffer_of_another_device_is_refused(gpu: fake_cuda.Gpu) -> None:
    (Tensor(np.ones(4, np.float32)) + 1).realize()
    program = next(p for key, p in _programs.items() if key[1] == "CUDA" and p.name == "elementwise_4")
    here, there = Buffer("CUDA", (4,), dtypes.float32), Buffer("CPU", (4,), dtypes.float32)
    with pytest.raises(ValueError, match=r"elementwise_4 on CUDA has Buffer\(CPU, .* in slot 1"):
        get_device("CUDA").launch(program, (here, there), {})


# ---- what is missing

def test_each_missing_part_is_named(only_gpu: fake_cuda.Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "load_packages", only_gpu.load_packages)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pycuda", None)
        with pytest.raises(RuntimeError, match=r"CUDA needs the package pycuda: `pip install .*cuda\]'`.*nvcc"):
            cuda.CUDADevice("CUDA")
    package = type(sys)("pycuda")
    package.VERSION_TEXT = "2026.1"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pycuda", package)
        patch.setitem(sys.modules, "pycuda.driver", None)
        with pytest.raises(RuntimeError, match="CUDA needs NVIDIA's driver, which pycuda 2026.1 cannot load"):
            cuda.CUDADevice("CUDA")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pycuda", package)
        patch.setitem(sys.modules, "pycuda.driver", type(sys)("pycuda.driver"))
        patch.setitem(sys.modules, "cuda.bindings", None)
        with pytest.raises(RuntimeError, match="CUDA needs the packages cuda-bindings and nvidia-cuda-nvrtc"):
            cuda.CUDADevice("CUDA")


def test_no_gpu_and_an_old_one_are_named(gpu: fake_cuda.Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    driver, _ = cuda.load_packages("CUDA")
    with pytest.raises(RuntimeError, match="CUDA:3: this machine has 1 NVIDIA GPUs"):
        cuda.CUDADevice("CUDA:3")
    monkeypatch.setattr(driver.Device, "compute_capability", staticmethod(lambda: (7, 5)))
    with pytest.raises(RuntimeError, match="CUDA: .*sm_75.* is not sm_80 or newer"):
        cuda.CUDADevice("CUDA")

    monkeypatch.undo()
    monkeypatch.setattr(driver, "get_driver_version", lambda: 12040)
    monkeypatch.setattr(cuda, "nvrtc_version", lambda: "13.5")
    with pytest.raises(RuntimeError, match=r"CUDA: the driver is too old: .* CUDA 12, and NVRTC 13\.5.*==12\.\*"):
        cuda.CUDADevice("CUDA")

    def none() -> None:
        raise fake_cuda.LogicError("cuInit failed: no CUDA-capable device is detected")

    monkeypatch.setattr(driver, "init", none)
    with pytest.raises(RuntimeError, match="^CUDA: cuInit failed: no CUDA-capable device is detected$"):
        cuda.CUDADevice("CUDA")
    assert (Tensor([1.0], device="CPU") + 1).item() == 2.0      # and it goes on


def test_the_gpu_names_its_limits(gpu: fake_cuda.Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    target = get_device("CUDA").target
    assert (target.arch, target.cores, target.l2, target.block_threads) == ("sm_90", 132, 50 << 20, 1024)
    monkeypatch.setitem(fake_cuda.ATTRIBUTES, "MAX_SHARED_MEMORY_PER_BLOCK", 1 << 10)
    small = cuda.CUDADevice("CUDA")
    with pytest.raises(ValueError, match="65536 bytes are more than the scratch"):
        lower_kernel(cuda_cases.store(cuda_cases.matmul(cuda_cases.param(1, 128, 128), cuda_cases.param(2, 128, 128))),
                     small.target, [Place("p1", (), shared=True)])
