"""The OpenCL device: memory and its parts, programs and their errors, times, and what is said where it is missing."""
from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from devices import needs_opencl

from minigrad import Context, Tensor
from minigrad.dtype import dtypes
from minigrad.renderer.base import ProgramSpec
from minigrad.runtime.compiler import CompileError
from minigrad.runtime.device import Buffer, Launch, get_device
from minigrad.runtime.opencl import OpenCLDevice, load_package
from minigrad.target import Target


def kernel(name: str, body: str, variables: tuple[str, ...] = ()) -> ProgramSpec:
    """A kernel of two buffers, one block of 4 threads; `i` is the thread's index."""
    values = "".join(f", long {v}_value" for v in variables)
    source = (f"__kernel void {name}(__global float *a, long start0, __global const float *b, long start1{values}) {{\n"
              f"  a += start0;\n  b += start1;\n  int i = get_local_id(0);\n  {body}\n}}")
    return ProgramSpec(name, source, (), variables, 1, 0, (0,), 0, 0, (), (1, 1, 1), (4, 1, 1))


def filled(values: Any) -> Buffer:
    array = np.asarray(values, np.float32)
    buffer = Buffer("OPENCL", array.shape, dtypes.float32)
    buffer.copyin(array.data)
    return buffer


@pytest.fixture
def device() -> Iterator[OpenCLDevice]:
    device = get_device("OPENCL")
    assert isinstance(device, OpenCLDevice)
    yield device
    device.synchronize()


@needs_opencl
def test_parts_that_start_anywhere_are_read_and_written_where_they_lie(device: OpenCLDevice) -> None:
    (program,) = device.compile([kernel("doubled", "a[i] = 2 * b[i];")])
    whole, source = filled(np.zeros(16)), filled(np.arange(16))
    device.launch(program, (whole.view((4,), dtypes.float32, 12), source.view((4,), dtypes.float32, 20)), {})
    np.testing.assert_array_equal(whole.numpy(), [0, 0, 0, 10, 12, 14, 16, *[0] * 9])
    part = whole.view((2,), dtypes.float32, 16)
    np.testing.assert_array_equal(part.numpy(), [12, 14])
    part.copyin(np.float32([1, 2]).data)
    np.testing.assert_array_equal(whole.numpy()[3:7], [10, 1, 2, 16])


@needs_opencl
def test_kernels_of_one_program_may_share_a_name(device: OpenCLDevice) -> None:
    programs = device.compile([kernel("same", "a[i] = b[i] + 1;"), kernel("same", "a[i] = b[i] + 2;")])
    x, y = filled(np.arange(4)), filled(np.zeros(4))
    for program, more in zip(programs, (1, 2)):
        device.launch(program, (y, x), {})
        np.testing.assert_array_equal(y.numpy(), np.arange(4) + more)


@needs_opencl
def test_kernel_that_does_not_build_is_shown_with_the_log_and_others_build(device: OpenCLDevice) -> None:
    good = kernel("fine", "a[i] = b[i];")
    with pytest.raises(CompileError, match=r"(?s)nonsense_here.*5.*a\[i\] = nonsense_here;") as caught:
        device.compile([good, kernel("wrong", "a[i] = nonsense_here;")])
    assert "fine" not in str(caught.value)
    assert device.compile([good])[0].name == "fine"


@needs_opencl
def test_launch_that_fails_shows_the_source_and_the_next_one_runs(device: OpenCLDevice) -> None:
    (program,) = device.compile([kernel("copied", "a[i] = b[i];")])
    large = ProgramSpec(**{f: getattr(program.spec, f) for f in program.spec.__dataclass_fields__} | {
        "block": (1 << 20, 1, 1)})
    x, y = filled([1, 2, 3, 4]), filled(np.zeros(4))
    with pytest.raises(RuntimeError, match=r"(?s)copied.*a\[i\] = b\[i\]"):
        device.launch(type(program)(large, program.handle, program.code), (y, x), {})
    device.launch(program, (y, x), {})
    np.testing.assert_array_equal(y.numpy(), [1, 2, 3, 4])


@needs_opencl
def test_waiting_tells_the_time_and_a_grid_of_nothing_is_no_launch(device: OpenCLDevice) -> None:
    spec = kernel("counted", "a[i] += b[i];", ("n",))
    (program,) = device.compile([spec])
    x, y = filled([1, 2, 3, 4]), filled(np.zeros(4))
    assert device.launch(program, (y, x), {"n": 3}) > 0
    assert device.launch(program, (y, x), {"n": 3}, wait=False) == 0
    np.testing.assert_array_equal(y.numpy(), [2, 4, 6, 8])
    graph = device.graph([Launch(program, (y, x))])
    graph.run({"n": 1}, {(0, 1): filled([10, 10, 10, 10])})
    np.testing.assert_array_equal(y.numpy(), [12, 14, 16, 18])


@needs_opencl
def test_more_memory_than_there_is_names_the_sizes_and_less_is_there_afterwards(device: OpenCLDevice) -> None:
    with pytest.raises(MemoryError, match=f"OPENCL: no {(1 << 50)}.*in use"):
        Buffer("OPENCL", (1 << 48,), dtypes.float32).allocate()
    np.testing.assert_array_equal((Tensor([1.0, 2.0], device="OPENCL") + 1).numpy(), [2, 3])


@needs_opencl
def test_blocks_are_used_again_and_counted(device: OpenCLDevice) -> None:
    before = device.memory_in_use
    first = Buffer("OPENCL", (1 << 20,), dtypes.float32).allocate()
    assert device.memory_in_use - before == 4 << 20
    ptr = first.ptr
    del first
    assert device.memory_in_use == before
    assert Buffer("OPENCL", (1 << 20,), dtypes.float32).ptr == ptr


@needs_opencl
def test_buffer_of_another_device_is_refused(device: OpenCLDevice) -> None:
    (program,) = device.compile([kernel("elsewhere", "a[i] = b[i];")])
    with pytest.raises(ValueError, match="elsewhere on OPENCL.*CPU"):
        device.launch(program, (filled(np.zeros(4)), Buffer("CPU", (4,), dtypes.float32)), {})


@needs_opencl
def test_tensors_move_between_devices() -> None:
    x = Tensor([[1.0, 2.0], [3.0, 4.0]], device="CPU").to("OPENCL")
    y = (x @ x).to("CPU")
    assert (x.device, y.device) == ("OPENCL", "CPU")
    np.testing.assert_array_equal(y.numpy(), [[7, 10], [15, 22]])


@needs_opencl
@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.bfloat16])
def test_half_precision_rounds_as_on_the_cpu(dtype: Any) -> None:
    values = np.concatenate([np.random.default_rng(0).normal(size=500) * 10.0 ** np.arange(-8, 2).repeat(50),
                             [0.0, -0.0, 65504, 65520, 1e30, -1e30, np.inf, -np.inf, 6e-8, 3e-8]]).astype(np.float32)
    here, there = ((Tensor(values, device=device).cast(dtype).cast(dtypes.float32) * 3).numpy()
                   for device in ("CPU", "OPENCL"))
    np.testing.assert_array_equal(here, there)


@needs_opencl
@pytest.mark.parametrize("shape", [(200, 72, 136), (64, 64, 64), (130, 100, 70), (1, 300, 64), (64, 300, 1)])
def test_products_and_long_sums_are_right(shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((m, k)).astype(np.float32), rng.standard_normal((k, n)).astype(np.float32)
    with Context(DEV="OPENCL"):
        x, y = Tensor(a), Tensor(b)
        np.testing.assert_allclose((x @ y).numpy(), a @ b, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose((x @ y.T.contiguous().T).numpy(), a @ b, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(x.sum(0).numpy(), a.sum(0), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(y.softmax(0).numpy().sum(0), np.ones(n), rtol=1e-5)


@needs_opencl
def test_debug_shows_the_device_and_a_time_for_each_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    with Context(DEV="OPENCL", DEBUG=2):
        (Tensor([1.0, 2.0]) * 2).realize()
    assert "OPENCL" in (out := capsys.readouterr().out) and "GB/s" in out


def test_float64_on_a_device_without_it_is_named() -> None:
    from minigrad.codegen.pipeline import lower_kernel
    from minigrad.renderer.opencl import render
    from minigrad.shape.build import add
    from minigrad.uops import Ops, ParamArg, UOp
    target = Target("OPENCL", "a small GPU", 16, 64, 32 << 10, 1 << 20, 0, 4, frozenset(), scratch=32 << 10,
                    has_threads=False, has_blocks=True, block_threads=256)
    x, y = (UOp(Ops.PARAM, dtypes.float64, (), ParamArg(slot, (8,))) for slot in (1, 0))
    lowered = lower_kernel(UOp.sink(UOp(Ops.STORE, dtypes.void, (y, add(x, x)))), target)
    with pytest.raises(ValueError, match="float64, and a small GPU lacks cl_khr_fp64"):
        render(lowered, target)


def test_missing_package_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyopencl", None)
    with pytest.raises(RuntimeError, match=r"^OPENCL needs the package pyopencl: `pip install 'minigrad\[opencl\]'"):
        load_package("OPENCL")


@needs_opencl
def test_device_with_too_large_a_number_is_refused_with_what_there_is() -> None:
    with pytest.raises(RuntimeError, match="OPENCL:99: there are [0-9]+ OpenCL devices: "):
        get_device("OPENCL:99")
