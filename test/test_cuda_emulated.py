"""The emulator of CUDA: each kind of mistake is found and named, what is right runs, and accesses are counted."""
from __future__ import annotations

from collections.abc import Callable

import cuda_cases
import numpy as np
import pytest

from minigrad import Context, Tensor
from minigrad.dtype import dtypes
from minigrad.renderer.base import ProgramSpec
from minigrad.runtime.compiler import CompileError
from minigrad.runtime.device import Buffer, Program, get_device

HEAD = ("(float *__restrict__ data0, const float *__restrict__ data1) {\n"
        "  const int i = threadIdx.x, b = blockIdx.x;\n  ")
SHARED = "__shared__ __align__(16) float a[64];\n  "
BRING = "emulated_copy(&a[i], &data1[b * 64 + i], 4, 1);\n  "
# name: (body, threads, what the error says; "": it is right). data0 and data1 have 128 elements, there are two blocks.
KERNELS: dict[str, tuple[str, int, str]] = {
    "copies": ("data0[b * 64 + i] = data1[b * 64 + i];", 64, ""),
    "reads_behind": ("data0[b * 64 + i] = data1[b * 64 + i + 1];", 64,
                     r"block \(1, 0, 0\), thread \(63, 0, 0\) reads 4 bytes at element 128 of buffer 1.*outside of it"),
    "reads_before": ("data0[b * 64 + i] = data1[b * 64 + i - 1];", 64, "element -1 of buffer 1"),
    "reads_far": ("data0[b * 64 + i] = data1[i * 100000000];", 64, "element 100000000 of buffer 1"),
    "writes_behind": ("data0[b * 65 + i] = 1.0f;", 64, "writes 4 bytes at element 128 of buffer 0.*outside of it"),
    "vector_behind": ("float4 v = *(const float4 *)&data1[b * 64 + i * 4 + 4]; data0[b * 16 + i] = v.x;", 16,
                      "reads 16 bytes at element 128 of buffer 1"),
    "not_aligned": ("float4 v = *(const float4 *)&data1[b * 64 + i]; data0[b * 16 + i] = v.x;", 16,
                    "element 1 of buffer 1.*not aligned"),
    "reads_its_output": ("data0[b * 64 + i] += data1[b * 64 + i];", 64,
                         r"reads 4 bytes at element 0 of buffer 0.*nothing wrote before"),
    "shared_behind": (SHARED + "a[i + b] = 1.0f;", 64,
                      r"thread \(63, 0, 0\) uses index 64 outside of an array, in line 4"),
    "shared_before": (SHARED + "a[i - 1] = 1.0f;", 64, "uses index -1 outside of an array"),
    "shared_of_the_last_block": (SHARED + "if (b == 0) a[i] = 1.0f; __syncthreads(); data0[b * 64 + i] = a[i];", 64,
                                 r"block \(1, 0, 0\), thread \(0, 0, 0\) reads 4 bytes at byte 0 of a: which nothing"),
    "half_unwritten": (SHARED + "if (i < 40) a[i] = 1.0f; __syncthreads(); data0[b * 64 + i] = a[i];", 64,
                       "byte 160 of a: which nothing wrote before"),
    "turns": (SHARED + "a[i] = data1[b * 64 + i]; __syncthreads(); data0[b * 64 + i] = a[63 - i];", 64, ""),
    "turns_at_once": (SHARED + "a[i] = data1[b * 64 + i]; data0[b * 64 + i] = a[i ^ 1];", 64,
                      r"reads 4 bytes at byte 4 of a: which thread \(1, 0, 0\) accesses too"),
    "overwrites": (SHARED + "a[i] = 1.0f; __syncthreads(); float v = a[i ^ 1]; a[i] = v; data0[b * 64 + i] = v;", 64,
                   r"writes 4 bytes at byte 0 of a: which thread \(1, 0, 0\) accesses too"),
    "all_write_one": (SHARED + "a[0] = i; __syncthreads(); data0[b * 64 + i] = a[0];", 64,
                      r"byte 0 of a.*: which thread \(0, 0, 0\) accesses too"),
    "blocks_write_one": ("if (i == 0) data0[0] = b;", 64,
                         r"block \(1, 0, 0\).*element 0 of buffer 0.*which another block accesses too"),
    "blocks_meet": ("data0[b * 64 + i] = 1.0f; __syncthreads(); data0[0] = data0[i];", 1,
                    "which another block accesses too"),
    "some_wait": (SHARED + "a[i] = 1.0f; if (i < 32) __syncthreads();", 64,
                  r"thread \(0, 0, 0\) waits at a barrier that other threads of its block never reach"),
    "wait_apart": (SHARED + "if (i < 32) { a[i] = 1.0f; __syncthreads(); } else { __syncthreads(); a[i] = 2.0f; }\n"
                   "data0[b * 64 + i] = a[i];", 64, r"waits at another barrier than thread \(0, 0, 0\)"),
    "sums_a_warp": ("float v = data1[b * 64 + i];\n"
                    "for (int k = 16; k > 0; k /= 2) v += __shfl_xor_sync(0xffffffffu, v, k);\ndata0[b * 64 + i] = v;",
                    64, ""),
    "shuffles_apart": ("float v = data1[b * 64 + i];\nif (i % 2) v = __shfl_xor_sync(0xffffffffu, v, 2);\n"
                       "data0[b * 64 + i] = v;", 64, r"thread \(1, 0, 0\) is in a shuffle .* without all lanes"),
    "shuffles_in_a_branch": ("float v = data1[b * 64 + i];\nif (i % 2) v = __shfl_xor_sync(0xaaaaaaaau, v, 2);\n"
                             "data0[b * 64 + i] = v;", 64, ""),
    "multiplies_apart": ("float s[4] = {}, a[4] = {}, c[2] = {}; a[0] = data1[i];\n"
                         "if (i < 31) emulated_matrix_tf32(s, a, c);\ndata0[b * 32 + i] = s[0];", 32,
                         "is in a shuffle or a matrix instruction without all lanes"),
    "brings": (SHARED + BRING + "emulated_wait(); __syncthreads(); data0[b * 64 + i] = a[63 - i];", 64, ""),
    "brings_zeros": (SHARED + "emulated_copy(&a[i], data1 + 1000, 4, 0); emulated_wait(); data0[b * 64 + i] = a[i];",
                     64, ""),
    "brings_late": (SHARED + BRING + "__syncthreads(); data0[b * 64 + i] = a[i];", 64,
                    "byte 0 of a: which nothing wrote before"),
    "brings_unmet": (SHARED + BRING + "emulated_wait(); data0[b * 64 + i] = a[i ^ 1];", 64,
                     r"byte 4 of a: which thread \(1, 0, 0\) accesses too"),
    "brings_over_what_is_read": (SHARED + "a[i] = 1.0f; __syncthreads(); float v = a[i ^ 1];\n" + BRING +
                                 "data0[b * 64 + i] = v;", 64, "writes 4 bytes at byte 0 of a.*accesses too"),
    "brings_from_behind": (SHARED + "emulated_copy(&a[i], &data1[b * 64 + i + 1], 4, 1);", 64,
                           "reads 4 bytes at element 128 of buffer 1.*outside of it"),
    "brings_behind": (SHARED + "emulated_copy(&a[i + b + 1], &data1[i], 4, 1);", 64,
                      r"thread \(63, 0, 0\) uses index 65 outside of an array"),
    "strides": ("data0[b * 32 + i] = data1[i * 4];", 32, ""),
    "column": ("__shared__ float t[32][32]; t[i][0] = 1.0f; data0[b * 32 + i] = t[i][0];", 32, ""),
    "column_padded": ("__shared__ float t[32][33]; t[i][0] = 1.0f; data0[b * 32 + i] = t[i][0];", 32, ""),
    "quads": ("*(float4 *)&data0[b * 64 + i * 4] = *(const float4 *)&data1[b * 64 + i * 4];", 16, ""),
    "parts_and_meets": ("float v = 0.0f;\nfor (int k = 0; k < i % 4; k++) v += data1[k];\n"
                        "data0[b * 64 + i] = v;", 64, ""),
}
WRONG = [name for name, (_, _, error) in KERNELS.items() if error]


def spec_of(name: str) -> ProgramSpec:
    body, threads, _ = KERNELS[name]
    return ProgramSpec(name, f"extern \"C\" __global__ void {name}{HEAD}{body}\n}}", (), (), 1, 0, (0,), 0, 0,
                       grid=(2, 1, 1), block=(threads, 1, 1))


@pytest.fixture(scope="module")
def programs() -> dict[str, Program]:
    return dict(zip(KERNELS, cuda_cases.compile_emulated([spec_of(name) for name in KERNELS])))


Run = Callable[[str], np.ndarray]
X = np.random.default_rng(0).standard_normal(128).astype(np.float32)


@pytest.fixture
def run(programs: dict[str, Program]) -> Run:
    return lambda name: cuda_cases.run(programs[name], [np.zeros(128, np.float32), X])[0]


@pytest.mark.parametrize("name", WRONG)
def test_mistake_is_found(name: str, run: Run) -> None:
    with pytest.raises(RuntimeError, match=f"{name} on CUDA_EMULATED: .*{KERNELS[name][2]}"):
        run(name)
    np.testing.assert_array_equal(run("copies"), X)     # and the next kernel runs


def test_threads_exchange_through_shared_memory_and_shuffles(run: Run) -> None:
    np.testing.assert_array_equal(run("turns"), X.reshape(2, 64)[:, ::-1].ravel())
    sums = X.reshape(4, 32)
    for k in (16, 8, 4, 2, 1):
        sums = sums + sums[:, np.arange(32) ^ k]
    np.testing.assert_array_equal(run("sums_a_warp"), sums.ravel())
    odd = np.arange(128) % 2 == 1
    np.testing.assert_array_equal(run("shuffles_in_a_branch"), np.where(odd, X[np.arange(128) ^ 2], X))


def test_copies_bring_what_they_are_asked_for_and_zeros_else(run: Run) -> None:
    np.testing.assert_array_equal(run("brings"), X.reshape(2, 64)[:, ::-1].ravel())
    assert not run("brings_zeros").any()


def counts_of(run: Run, name: str) -> dict[str, int]:
    run(name)
    counts = get_device("CUDA_EMULATED").counts
    return {field: getattr(counts, field) for field, _ in counts._fields_}


def test_global_memory_is_counted_in_sectors(run: Run) -> None:
    """Two blocks; each of their warps reads 128 bytes and writes as many."""
    c = counts_of(run, "copies")
    assert (c["global_requests"], c["sectors"], c["least_sectors"]) == (8, 32, 32)
    c = counts_of(run, "strides")                       # reads 512 bytes for 128
    assert (c["global_requests"], c["sectors"], c["least_sectors"]) == (4, 40, 16)
    c = counts_of(run, "quads")
    assert (c["global_requests"], c["sectors"], c["least_sectors"]) == (4, 32, 32)


def test_shared_memory_is_counted_in_passes(run: Run) -> None:
    c = counts_of(run, "column")
    assert (c["shared_requests"], c["passes"], c["least_passes"]) == (4, 128, 4)
    c = counts_of(run, "column_padded")
    assert (c["shared_requests"], c["passes"], c["least_passes"]) == (4, 4, 4)
    assert counts_of(run, "turns")["barriers"] == 2


def test_lanes_that_parted_meet_again(run: Run) -> None:
    """Loops of 0 to 3 rounds: a warp makes 3 reads and one write."""
    assert counts_of(run, "parts_and_meets")["global_requests"] == 4 * (3 + 1)


def test_memory_is_unwritten_until_somebody_writes_it(programs: dict[str, Program]) -> None:
    device = get_device("CUDA_EMULATED")
    x, y, z = (Buffer("CUDA_EMULATED", (128,), dtypes.float32) for _ in range(3))
    with pytest.raises(RuntimeError, match="element 0 of buffer 1.*nothing wrote before"):
        device.launch(programs["copies"], (y, x), {})
    x.copyin(X.data)
    device.launch(programs["copies"], (y, x), {})
    device.launch(programs["copies"], (z, y), {})       # what a kernel wrote
    np.testing.assert_array_equal(z.numpy(), X)
    del x
    fresh = Buffer("CUDA_EMULATED", (128,), dtypes.float32)     # the same memory, forgotten
    with pytest.raises(RuntimeError, match="nothing wrote before"):
        device.launch(programs["copies"], (y, fresh), {})


def test_parts_of_a_buffer_are_buffers_of_their_own(programs: dict[str, Program]) -> None:
    whole, y = Buffer("CUDA_EMULATED", (256,), dtypes.float32), Buffer("CUDA_EMULATED", (128,), dtypes.float32)
    whole.copyin(np.concatenate([X, X]).data)
    device = get_device("CUDA_EMULATED")
    part = whole.view((128,), dtypes.float32, 256)
    device.launch(programs["copies"], (y, part), {})
    np.testing.assert_array_equal(y.numpy(), np.roll(X, -64))
    with pytest.raises(RuntimeError, match="element 128 of buffer 1"):
        device.launch(programs["reads_behind"], (y, part), {})


def test_what_does_not_compile_is_shown_with_its_source() -> None:
    bad = ProgramSpec("bad", 'extern "C" __global__ void bad() { nonsense; }', (), (), 1, 0, (), 0, 0)
    with pytest.raises(CompileError, match="nonsense"):
        cuda_cases.compile_emulated([spec_of("copies"), bad])


def test_kernels_of_one_name_keep_apart(run: Run) -> None:
    text = spec_of("copies")
    other = ProgramSpec("copies", text.source.replace("data1[", "2.0f * data1["), (), (), 1, 0, (0,), 0, 0,
                        grid=text.grid, block=text.block)
    one, two = cuda_cases.compile_emulated([text, other])
    arrays = [np.zeros(128, np.float32), X]
    np.testing.assert_array_equal(2 * cuda_cases.run(one, arrays)[0], cuda_cases.run(two, arrays)[0])


def test_debug_shows_the_counts(capsys: pytest.CaptureFixture[str]) -> None:
    with Context(DEV="CUDA_EMULATED", DEBUG=2):
        (Tensor(X) + 1).realize()
    assert "sectors (least" in capsys.readouterr().out
