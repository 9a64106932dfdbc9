"""Buffers, the registry of devices, mapped files, the NULL device."""
from __future__ import annotations

import ctypes
import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from runtime_kernels import affine, kernel

from minigrad.dtype import SCALARS, dtypes
from minigrad.helpers import Context
from minigrad.runtime import device as device_module
from minigrad.runtime.device import Buffer, Launch, Program, canonical_name, default_device, get_device
from minigrad.runtime.disk import map_file
from minigrad.shape.shapetracker import ShapeTracker
from minigrad.uops import Ops, ParamArg, UOp


def test_names_have_one_spelling() -> None:
    assert canonical_name("cpu") == canonical_name("CPU:0") == "CPU" and canonical_name("null:2") == "NULL:2"
    assert get_device("cpu") is get_device("CPU:0") and get_device("NULL:1") is not get_device("NULL")


@pytest.mark.parametrize("name", ["TPU", "", "CPU:", "CPU:x", "CPU 0", ":1"])
def test_an_unknown_device_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match="CPU, NUMPY, NULL"):
        get_device(name)
    with pytest.raises(ValueError, match="CPU, NUMPY, NULL"):
        Buffer(name, (1,), dtypes.float32)


def test_the_flag_dev_names_the_default() -> None:
    assert default_device() == "CPU"
    with Context(DEV="null"):
        assert default_device() == "NULL"
    with Context(DEV="abacus"), pytest.raises(ValueError, match="abacus"):
        default_device()


def test_without_a_compiler_the_interpreter_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        raise RuntimeError("no C compiler was found")
    monkeypatch.setattr(device_module, "_instances", {})
    monkeypatch.setattr(device_module, "get_device", nothing)
    monkeypatch.setattr(device_module, "_without_compiler", [])
    with pytest.warns(RuntimeWarning, match="no C compiler"):
        assert default_device() == "NUMPY"
    assert default_device() == "NUMPY"


def test_nothing_is_allocated_before_it_is_needed() -> None:
    cpu = get_device("CPU")
    before = cpu.memory_in_use
    buffer = Buffer("CPU", (1000,), dtypes.float32)
    assert not buffer.is_allocated and cpu.memory_in_use == before
    assert buffer.ptr % 64 == 0 and buffer.is_allocated and cpu.memory_in_use == before + 4000
    del buffer
    assert cpu.memory_in_use == before


@pytest.mark.parametrize("dtype", SCALARS)
def test_what_is_copied_in_comes_out(dtype: object) -> None:
    buffer = Buffer("CPU", (3, 5), dtype)
    data = np.arange(15).astype(dtype.np).reshape(3, 5)
    buffer.copyin(data.tobytes())
    assert buffer.numpy().dtype == dtype.np and (buffer.numpy() == data).all()
    assert bytes(buffer.copyout()) == data.tobytes()
    target = bytearray(buffer.nbytes)
    buffer.copyout(target)
    assert bytes(target) == data.tobytes()


def test_empty_and_scalar_buffers_work() -> None:
    empty, scalar = Buffer("CPU", (3, 0), dtypes.float32), Buffer("CPU", (), dtypes.float64)
    empty.copyin(b"")
    assert empty.numpy().shape == (3, 0) and bytes(empty.copyout()) == b""
    scalar.copyin(np.float64(2.5).tobytes())
    assert scalar.size == 1 and scalar.numpy() == 2.5


def test_wrong_sizes_are_refused() -> None:
    buffer = Buffer("CPU", (4,), dtypes.float32)
    with pytest.raises(ValueError, match="15 bytes"):
        buffer.copyin(bytes(15))
    with pytest.raises(ValueError, match="17 bytes"):
        buffer.copyout(bytearray(17))
    with pytest.raises(ValueError):
        Buffer("CPU", (-1,), dtypes.float32)
    with pytest.raises(ValueError):
        Buffer("CPU", (1,), dtypes.void)


def test_an_array_of_a_buffer_shares_and_keeps_its_memory() -> None:
    buffer = Buffer("CPU", (100,), dtypes.int32)
    array = buffer.numpy()
    array[:] = 7
    assert (buffer.numpy() == 7).all() and array.ctypes.data == buffer.ptr
    alive = weakref.ref(buffer)
    part = array[10:20]
    del buffer, array
    gc.collect()
    other = Buffer("CPU", (100,), dtypes.int32)
    other.numpy()[:] = 9
    assert alive() is not None and (part == 7).all()
    del part
    gc.collect()
    assert alive() is None


def test_parts_lie_inside_their_base() -> None:
    arena = Buffer("CPU", (1024,), dtypes.uint8)
    part = arena.view((8,), dtypes.float32, 64)
    inner = part.view((2,), dtypes.float32, 8)
    assert part.ptr == arena.ptr + 64 and inner.ptr == arena.ptr + 72 and inner.base is arena and inner.offset == 72
    part.numpy()[:] = np.arange(8)
    assert list(inner.numpy()) == [2, 3]
    before = get_device("CPU").memory_in_use
    keeps = arena.view((1,), dtypes.uint8)
    del arena, part, inner
    gc.collect()
    assert get_device("CPU").memory_in_use == before and keeps.numpy().shape == (1,)


@pytest.mark.parametrize("offset,shape", [(-4, (1,)), (1021, (1,)), (0, (257,)), (1024, (1,))])
def test_parts_outside_their_base_are_refused(offset: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="1024"):
        Buffer("CPU", (1024,), dtypes.uint8).view(shape, dtypes.float32, offset)


def test_an_offset_needs_a_base_and_one_device() -> None:
    with pytest.raises(ValueError, match="without a base"):
        Buffer("CPU", (1,), dtypes.uint8, offset=8)
    with pytest.raises(ValueError, match="NULL"):
        Buffer("CPU", (1,), dtypes.uint8, base=Buffer("NULL", (8,), dtypes.uint8))


def test_an_array_becomes_a_buffer_without_a_copy() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    buffer = Buffer.from_numpy(array)
    assert buffer.ptr == array.ctypes.data and buffer.shape == (3, 4) and not buffer.readonly and buffer.is_external
    array[1, 1] = 100
    assert buffer.numpy()[1, 1] == 100
    alive = weakref.ref(array)
    del array
    gc.collect()
    assert alive() is not None
    assert Buffer.from_numpy(np.arange(10)[::2]).numpy().tolist() == [0, 2, 4, 6, 8]
    assert Buffer.from_numpy(np.float32(3)[()] * np.ones(())).shape == ()
    with pytest.raises(TypeError):
        Buffer.from_numpy(np.array([1j]))
    with pytest.raises(TypeError):
        Buffer.from_numpy(np.array([1], dtype=">i4"))


def test_bits_of_an_array_may_be_taken_as_another_type_of_the_same_size() -> None:
    assert Buffer.from_numpy(np.zeros(3, np.uint16), dtypes.bfloat16).dtype is dtypes.bfloat16
    with pytest.raises(ValueError, match="bfloat16"):
        Buffer.from_numpy(np.zeros(3, np.float32), dtypes.bfloat16)


def test_external_memory_is_neither_counted_nor_freed_nor_written_if_read_only() -> None:
    cpu = get_device("CPU")
    before = cpu.memory_in_use
    array = np.arange(6, dtype=np.float32)
    array.flags.writeable = False
    buffer = Buffer.from_numpy(array)
    assert cpu.memory_in_use == before and buffer.readonly and not buffer.numpy().flags.writeable
    with pytest.raises(RuntimeError, match="read-only"):
        buffer.copyin(bytes(24))
    assert buffer.view((2,), dtypes.float32).readonly
    program, = cpu.compile([affine(1, 1, 6)])
    with pytest.raises(RuntimeError, match="affine"):
        cpu.launch(program, (buffer, buffer), {})
    with pytest.raises(RuntimeError, match="affine"):
        cpu.graph([Launch(program, (buffer, buffer))])
    del buffer
    gc.collect()
    assert cpu.memory_in_use == before and array.sum() == 15


# ---- files

def test_a_mapped_file_is_read_at_any_alignment(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    values = np.arange(1000, dtype=np.float32)
    path.write_bytes(b"abc" + values.tobytes())
    file = map_file(path)
    buffer = file.buffer(3, (10, 100), dtypes.float32)
    assert file[:3] == b"abc" and buffer.ptr % 4 == 3 and buffer.readonly and len(file) == 4003
    del file
    gc.collect()
    assert (buffer.numpy().reshape(-1) == values).all()
    out = Buffer("CPU", (1000,), dtypes.float32)
    cpu = get_device("CPU")
    unaligned = kernel("unaligned", """    float *out = buffers[0];
        typedef float unaligned_float __attribute__((aligned(1)));
        const unaligned_float *in = buffers[1];
        for (long i = lo; i < hi; i++) out[i] = in[i] * 2;""", 1000)
    cpu.launch(cpu.compile([unaligned])[0], (out, buffer), {})
    assert (out.numpy() == values * 2).all()


@pytest.mark.parametrize("offset,shape", [(0, (3,)), (5, (1,)), (-1, (1,)), (0, (-1,)), (9, (0,)), (0, (1 << 62, 4))])
def test_a_buffer_outside_its_file_is_refused(tmp_path: Path, offset: int, shape: tuple[int, ...]) -> None:
    path = tmp_path / "small"
    path.write_bytes(bytes(8))
    with pytest.raises(ValueError, match="small"):
        map_file(path).buffer(offset, shape, dtypes.float32)


def test_empty_files_missing_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    empty = map_file(tmp_path / "empty")
    assert empty.size == 0 and empty[:10] == b"" and empty.buffer(0, (0,), dtypes.float32).numpy().size == 0
    with pytest.raises(ValueError):
        empty.buffer(0, (1,), dtypes.uint8)
    with pytest.raises(OSError):
        map_file(tmp_path / "missing")
    with pytest.raises(OSError):
        map_file(tmp_path)


# ---- NUMPY

def test_the_interpreter_takes_kernels_and_no_source() -> None:
    numpy_device = get_device("NUMPY")
    assert numpy_device.interprets and numpy_device.is_host
    with pytest.raises(RuntimeError, match="interprets"):
        numpy_device.compile([affine(1, 1, 4)])
    out = Buffer("NUMPY", (4,), dtypes.float32)
    with pytest.raises(RuntimeError, match="affine"):
        numpy_device.launch(Program(affine(1, 1, 4)), (out,), {})
    param = UOp(Ops.PARAM, dtypes.float32, (), ParamArg(0, (4,)))
    everywhere = ShapeTracker.contiguous(()).reshape((1,)).expand((4,))
    value = UOp(Ops.VIEW, dtypes.float32, (UOp.const(dtypes.float32, 2.5),), everywhere)
    ast = UOp(Ops.SINK, dtypes.void, (UOp(Ops.STORE, dtypes.void, (param, value)),))
    program = Program(affine(1, 1, 4), code=ast)
    out.numpy()[:] = 0
    assert numpy_device.launch(program, (out,), {}) > 0 and out.numpy().tolist() == [2.5] * 4
    out.numpy()[:] = 0
    graph = numpy_device.graph([Launch(program, (out,))])
    assert graph.run({}) > 0 and out.numpy().tolist() == [2.5] * 4
    other = Buffer("NUMPY", (4,), dtypes.float32)
    graph.run({}, {(0, 0): other})
    assert other.numpy().tolist() == [2.5] * 4


# ---- NULL

def test_the_null_device_counts_but_allocates_and_runs_nothing() -> None:
    null = get_device("NULL")
    before = null.memory_in_use
    a, b = (Buffer("NULL", (1 << 40,), dtypes.float32) for _ in range(2))
    program, = null.compile([kernel("broken", "this is no C", 4, variables=("n",))])
    assert null.launch(program, (a, b), {"n": 3}) == 0.0
    graph = null.graph([Launch(program, (a, b))])
    assert graph.run({"n": 1}) == 0.0 and graph.profile({"n": 1}) == [0.0]
    with pytest.raises(KeyError):
        graph.run({})
    assert a.ptr == 0 and null.memory_in_use == before + (4 << 40) <= null.memory_peak
    small = Buffer("NULL", (3,), dtypes.float32)
    small.copyin(np.ones(3, np.float32).tobytes())
    assert small.numpy().tolist() == [0, 0, 0]
    del a, b, graph
    gc.collect()
    assert null.memory_in_use == before + 12
    null.reset_memory_peak()
    assert null.memory_peak == before + 12
    with pytest.raises(ValueError, match="NULL"):
        Buffer.external(None, ctypes.addressof(ctypes.c_long()), (1,), dtypes.int64, device="NULL")
