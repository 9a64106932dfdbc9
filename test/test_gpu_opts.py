"""GLOBAL, LOCAL, GROUP and shared memory: what cannot be mapped to a grid is refused with its reason, and barriers
stand where a thread reads what another wrote.
"""
from __future__ import annotations

from dataclasses import replace

import cuda_cases
import numpy as np
import pytest
from cuda_cases import TARGET, Case, matmul, param, softmax, store

from minigrad.codegen.barriers import BARRIER, place_barriers
from minigrad.codegen.gpu import Global, Group, Local
from minigrad.codegen.lower import Loops, lower_ast
from minigrad.codegen.matrix import Matrix
from minigrad.codegen.opts import Carry, Opt, Split, Thread, Vector
from minigrad.codegen.pipeline import apply_opts, lower_kernel
from minigrad.codegen.place import Bound, Place
from minigrad.codegen.simplify import simplify
from minigrad.dtype import DType, dtypes, round_bfloat16
from minigrad.renderer.cuda import render
from minigrad.runtime.device import Buffer, get_device
from minigrad.runtime.interpreter import evaluate_kernel
from minigrad.shape.build import cast, divide, elementwise, expand, iota, less, mul, permute, reduce, reshape, where
from minigrad.target import cuda_target, host_target
from minigrad.uops import Ops, ScratchArg, UOp

SOFTMAX = store(softmax(param(1, 64, 96)))
MATMUL = store(matmul(param(1, 32, 48), param(2, 48, 64)))


def refused(ast: UOp, *opts: Opt) -> str:
    """The reason why the last opt does not fit; those before it do."""
    lower_kernel(ast, TARGET, opts[:-1])
    with pytest.raises(ValueError) as error:
        lower_kernel(ast, TARGET, opts)
    return str(error.value)


def lowered_loops(ast: UOp, *opts: Opt) -> Loops:
    loops = lower_ast(simplify(ast))
    apply_opts(loops, opts, TARGET)
    return loops


# ---- what cannot be mapped

def test_a_target_without_blocks_has_no_grid() -> None:
    for opt in (Global("o0", 0), Local("o0", 0), Group("r0", 0), Place("p1", (), shared=True)):
        with pytest.raises(ValueError, match="no blocks of threads"):
            lower_kernel(SOFTMAX, host_target(), [opt])


def test_a_dimension_is_x_y_or_z() -> None:
    assert "dimension 3" in refused(SOFTMAX, Global("o0", 3))
    assert "there is no range o7" in refused(SOFTMAX, Local("o7", 0))


def test_the_third_dimension_of_a_block_is_short() -> None:
    assert "96 threads are more than dimension 2 of a block holds" in refused(SOFTMAX, Local("o1", 2))


def test_a_dimension_of_the_grid_is_taken_once() -> None:
    assert "dimension 0 of the grid is taken" in refused(MATMUL, Global("o0", 0), Global("o1", 0))
    assert "o0 is global already" in refused(MATMUL, Global("o0", 0), Local("o0", 0))


def test_blocks_do_not_combine_sums_and_fill_only_their_own_scratch() -> None:
    assert "blocks cannot combine" in refused(MATMUL, Global("r0", 0))
    assert "every block has its own" in refused(MATMUL, Place("p1", ("o0",), shared=True), Global("p1_1", 0))


def test_one_thread_is_not_two_ranges_of_one_nest() -> None:
    assert "o0.1 and o1.1 would be the same threads" in refused(
        MATMUL, Split("o0", 16), Split("o1", 16), Local("o0.1", 0), Local("o1.1", 0))


def test_threads_share_a_dimension_only_if_their_ranges_are_equally_long() -> None:
    assert "not as long as dimension 0" in refused(
        SOFTMAX, Split("o1", 32), Split("r0", 16), Local("o1.1", 0), Group("r0.1", 0))
    assert "2048 threads are more than a block has" in refused(MATMUL, Local("o0", 0), Local("o1", 1)) + refused(
        store(param(1, 4096)), Split("o0", 2048), Local("o0.1", 0))


def test_a_sum_is_cut_among_threads_by_group_alone() -> None:
    assert "GROUP cuts it" in refused(MATMUL, Local("r0", 0))
    assert "o0 is no reduce's" in refused(MATMUL, Group("o0", 0))
    assert "GROUP comes before VECTOR" in refused(
        MATMUL, Split("r0", 4), Split("o1", 4), Vector("o1.1"), Group("r0.1", 0))


def test_scratch_that_is_not_shared_is_filled_by_each_thread_for_itself() -> None:
    assert "for itself" in refused(MATMUL, Place("p1", ("o0",)), Local("p1_1", 0))


def test_a_level_of_shared_scratch_is_no_thread() -> None:
    """Every thread would fill the one array with its own values."""
    assert "level of shared scratch" in refused(MATMUL, Place("p1", ("o0",), shared=True), Local("o0", 0))
    # parts that were laid out before their rows became threads have no room for each of them
    assert "level of shared scratch" in refused(MATMUL, Split("r0", 16), Group("r0.1", 0), Local("o0", 1))


def test_an_axis_is_not_cut_among_the_threads_of_two_kinds() -> None:
    assert "has to stay a loop" in refused(MATMUL, Thread("o0"), Global("o0", 0))


def test_shared_memory_has_an_end() -> None:
    big = store(matmul(param(1, 64, 1024), param(2, 1024, 64)))
    assert "more than the scratch" in refused(big, Place("p1", (), shared=True))
    tiles = [Place(name, ("r0.0",), shared=True) for name in ("p1", "p2")]
    spec = lower_kernel(big, TARGET, [Split("r0", 64), *tiles])
    with pytest.raises(ValueError, match="32768 bytes of shared memory, a block has 30000"):
        render(spec, replace(TARGET, scratch=30000))


def test_targets_are_known_architectures() -> None:
    assert cuda_target("sm_90a").block_threads == 1024
    for arch in ("sm_70", "gfx90a", ""):
        with pytest.raises(ValueError, match="cuda_target"):
            cuda_target(arch)


# ---- the heuristic

def test_a_block_computes_the_sum_of_a_row_once_for_all_of_its_elements() -> None:
    x = param(1, 64, 4096)
    squares = reduce(Ops.ADD, elementwise(Ops.MUL, x, x), (1,))
    spec = render(lower_kernel(store(elementwise(Ops.MUL, x, expand(squares, (64, 4096)))), TARGET), TARGET)
    assert spec.grid == (64, 1, 1) and spec.block == (256, 1, 1)


def test_products_of_numbers_for_matrix_instructions_use_them() -> None:
    for case in cuda_cases.CASES:
        if case.name.startswith("matrix_"):
            source = render(lower_kernel(case.ast, TARGET), TARGET).source
            assert f"mg_{case.name}(" in source and "acc33" not in source    # 2 x 8 tiles of four sums
    plain = store(matmul(param(1, 72, 40), param(2, 40, 44)))
    assert "mg_matrix" not in render(lower_kernel(plain, TARGET), TARGET).source


# ---- matrix instructions

def tf32_product(m: int = 64, n: int = 32, k: int = 32) -> UOp:
    return store(matmul(elementwise(Ops.TF32, param(1, m, k)), elementwise(Ops.TF32, param(2, k, n))))


TILES: tuple[Opt, ...] = (Split("o0", 16), Split("o1", 8), Split("r0", 8))
TF32 = Matrix("tf32", "o0.1", "o1.1", "r0.1")


def test_a_matrix_instruction_needs_a_target_that_has_it() -> None:
    assert TF32.check(lowered_loops(tf32_product(), *TILES), TARGET) is None
    reason = TF32.check(lowered_loops(tf32_product(), *TILES), replace(TARGET, matrix=frozenset()))
    assert reason == "the target has no matrix instruction for tf32"


def test_a_matrix_instruction_needs_tiles_of_its_size() -> None:
    assert "o0 is not one loop from 0 to 16" in refused(tf32_product(), *TILES, Matrix("tf32", "o0", "o1.1", "r0.1"))
    assert "r0.1 is not one loop from 0 to 16" in refused(
        tf32_product(), *TILES, Matrix("bfloat16", "o0.1", "o1.1", "r0.1"))
    assert "o0.1 is a level of scratch" in refused(
        tf32_product(), *TILES, Place("p1", ("o0.0", "o0.1")), TF32)


def test_a_matrix_instruction_needs_products_of_numbers_that_it_multiplies_exactly() -> None:
    plain = store(matmul(param(1, 64, 32), param(2, 32, 32)))
    assert "is not one of products of tf32 numbers" in refused(plain, *TILES, TF32)
    halves = store(matmul(*(cast(param(s, 32, 32, dtype=dtypes.float16), dtypes.float32) for s in (1, 2))))
    tiles = (Split("o0", 16), Split("o1", 8), Split("r0", 16))
    assert "products of bfloat16 numbers" in refused(halves, *tiles, Matrix("bfloat16", "o0.1", "o1.1", "r0.1"))
    maxima = store(reduce(Ops.MAX, elementwise(Ops.TF32, param(1, 16, 8, 8)), (2,)))
    assert "is not one of products" in refused(maxima, Matrix("tf32", "o0", "o1", "r0"))


def test_a_matrix_instruction_takes_the_first_two_dimensions_of_the_block() -> None:
    level = ("o0.0", "o1.0", "r0.0")
    placed = (*TILES, Global("o0.0", 0), Global("o1.0", 1), Place("p1", level, shared=True))
    assert "o1.1 is not as long as dimension 0 of the block: ['16', '4']" in refused(
        tf32_product(), *placed, Local("p1_0", 0), TF32)
    assert "2048 threads are more than a block has" in refused(
        tf32_product(1024), *TILES, Global("o1.0", 0), Local("o0.0", 2), TF32)


def test_a_matrix_instruction_stands_where_all_threads_of_a_warp_come() -> None:
    """Sums that end at the diagonal have another length for each row, here for each warp's."""
    a, b = (elementwise(Ops.TF32, param(slot, 64, 64)) for slot in (1, 2))
    row, depth = reshape(iota(dtypes.int32, 64), (64, 1)), reshape(iota(dtypes.int32, 64), (1, 64))
    kept = where(less(expand(row, (64, 64)), expand(depth, (64, 64))), 0.0, a)
    ast = store(matmul(kept, b))
    tiles = (Split("o0", 16), Bound("r0", ("o0.0",), 8), *TILES[1:])
    with pytest.raises(ValueError, match="a MATRIX would stand inside of .*r0.0"):
        lower_kernel(ast, TARGET, [*tiles, Global("o1.0", 0), Local("o0.0", 2), TF32])


def test_a_matrix_instruction_has_no_lanes() -> None:
    with pytest.raises(ValueError, match="takes the lanes of a vector one by one"):
        lower_kernel(tf32_product(), TARGET, [*TILES, TF32, Vector("o1.0")])


# ---- shuffles

def test_warps_are_rows_of_the_first_dimension() -> None:
    rows = store(reduce(Ops.ADD, param(1, 8, 4096), (1,)))
    for threads, dimension, warp in ((64, 1, 32), (48, 0, 32), (64, 0, 16)):
        assert f"not cut into warps of {warp} threads" in refused(
            rows, Split("r0", threads), Group("r0.1", dimension, warp))
    with pytest.raises(ValueError, match="not cut into warps of 32"):
        lower_kernel(rows, replace(TARGET, warp=0), [Split("r0", 64), Group("r0.1", 0, 32)])


@pytest.mark.parametrize("threads", [32, 256])
@pytest.mark.parametrize(("op", "dtype"), [
    (Ops.ADD, dtypes.float32), (Ops.MAX, dtypes.float64), (Ops.ADD, dtypes.int64), (Ops.MUL, dtypes.int32),
    (Ops.MAX, dtypes.uint8), (Ops.MAX, dtypes.float16)], ids=str)
def test_threads_of_a_warp_combine_their_shares_by_shuffles(op: Ops, dtype: DType, threads: int) -> None:
    ast = store(reduce(op, param(1, 3, 700, dtype=dtype), (1,)))
    opts = (Split("r0", threads), Global("o0", 0), Group("r0.1", 0, 32))
    x = (np.random.default_rng(3).standard_normal((3, 700)) * 20).astype(dtype.np)
    got, expected = outputs(ast, opts, [np.zeros((3, 1), dtype.np), x])
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    lines = Case("case", ast, opts).spec().source.splitlines()
    assert sum("__shfl_xor_sync" in line for line in lines) == 5
    assert not any("__shfl" in line and ("if (" in line or "?" in line) for line in lines)     # all threads reach it


def test_a_shuffle_stands_where_all_threads_of_a_warp_come() -> None:
    local = UOp.range("o0", 0, 64, "local")
    shuffle = UOp(Ops.SHUFFLE, dtypes.float32, (UOp.const(dtypes.float32, 1),), 16)
    opened = UOp(Ops.LOOP, dtypes.index, (UOp.range("r0", 0, local),))
    with pytest.raises(ValueError, match="a SHUFFLE would stand inside of .*r0"):
        place_barriers([opened, shuffle, UOp(Ops.ENDLOOP, dtypes.void, (opened,))])


# ---- barriers

def causal_sums(n: int) -> UOp:
    """The sums of the rows of a @ b.T up to the diagonal. -> (n, 1)"""
    products = reshape(matmul(param(1, n, n), permute(param(2, n, n), (1, 0))), (n, n))
    row, column = reshape(iota(dtypes.int32, n), (n, 1)), reshape(iota(dtypes.int32, n), (1, n))
    hidden = less(expand(row, (n, n)), expand(column, (n, n)))
    return store(reduce(Ops.ADD, where(hidden, 0.0, products), (1,)))


def test_a_barrier_inside_of_a_loop_whose_length_differs_among_threads_is_refused() -> None:
    """Products inside of a row's sum are cut among threads where rows have one length, not where they end apart."""
    opts = [Split("o0", 16), Split("r0", 16), Global("o0.0", 0), Local("o0.1", 1), Group("r0.1", 0)]
    block = Bound("r1", ("o0.0",))
    assert BARRIER in lower_kernel(causal_sums(64), TARGET, [opts[0], block, *opts[1:]]).linear.ops
    thread = Bound("r1", ("o0.0", "o0.1"))
    with pytest.raises(ValueError, match="threads of a block do not all pass alike"):
        lower_kernel(causal_sums(64), TARGET, [opts[0], thread, *opts[1:]])


def shared(name: str) -> UOp:
    return UOp(Ops.SCRATCH, dtypes.float32, (), ScratchArg(name, shared=True))


def write(memory: UOp) -> UOp:
    index = UOp(Ops.INDEX, dtypes.index, (memory, UOp.const(dtypes.index, 0), UOp.const(dtypes.bool, True)))
    return UOp(Ops.STORE, dtypes.void, (index, UOp.const(dtypes.float32, 1.0)))


def read(memory: UOp) -> UOp:
    index = UOp(Ops.INDEX, dtypes.index, (memory, UOp.const(dtypes.index, 0), UOp.const(dtypes.bool, True)))
    return UOp(Ops.LOAD, dtypes.float32, (index,), 1)


def loop(end: int | UOp, *body: UOp, name: str = "i") -> list[UOp]:
    opening = UOp(Ops.LOOP, dtypes.index, (UOp.range(name, 0, end),))
    return [opening, *body, UOp(Ops.ENDLOOP, dtypes.void, (opening,))]


A, B = shared("a"), shared("b")


def test_barriers_stand_between_a_write_and_its_reads_and_before_the_next_write() -> None:
    assert place_barriers([write(A), read(A)]) == [write(A), BARRIER, read(A)]
    assert place_barriers([write(A), write(B), read(A), read(B)]) == [write(A), write(B), BARRIER, read(A), read(B)]
    assert place_barriers([write(A), read(A), write(A)]) == [write(A), BARRIER, read(A), BARRIER, write(A)]
    assert place_barriers([read(A), read(A)]) == [read(A), read(A)]


def test_memory_of_one_thread_needs_no_barrier() -> None:
    own = UOp(Ops.SCRATCH, dtypes.float32, (), ScratchArg("own"))
    assert place_barriers([write(own), read(own)]) == [write(own), read(own)]


def test_a_loop_that_only_reads_has_its_barrier_before_it() -> None:
    assert place_barriers([write(A), *loop(4, read(A))]) == [write(A), BARRIER, *loop(4, read(A))]


def test_a_loop_follows_itself() -> None:
    assert place_barriers(loop(4, write(A), read(A))) == loop(4, BARRIER, write(A), BARRIER, read(A))
    inner = loop(3, read(A), name="j")
    assert place_barriers(loop(4, write(A), *inner)) == loop(4, BARRIER, write(A), BARRIER, *inner)


def test_a_barrier_in_a_loop_that_may_not_run_orders_nothing_after_it() -> None:
    n = UOp.variable("n", 0, 9)
    runs, may_run = loop(4, write(B), read(B)), loop(n, write(B), read(B))
    ordered = loop(4, BARRIER, write(B), BARRIER, read(B))
    assert place_barriers([write(A), *runs, read(A)]) == [write(A), *ordered, read(A)]
    ordered = loop(n, BARRIER, write(B), BARRIER, read(B))
    assert place_barriers([write(A), *may_run, read(A)]) == [write(A), *ordered, BARRIER, read(A)]


# ---- numbers

def outputs(ast: UOp, opts: tuple[Opt, ...], arrays: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(the kernel's, the interpreter's) contents of slot 0."""
    program, = cuda_cases.compile_emulated([Case("case", ast, opts).spec()])
    expected = [a.copy() for a in arrays]
    evaluate_kernel(ast, expected, {})
    return cuda_cases.run(program, arrays)[0], expected[0]


ROWS: tuple[Opt, ...] = (Split("o0", 4), Vector("o0.1"), Split("o0.0", 128), Global("o0.0.0", 0), Local("o0.0.1", 0))


@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.bfloat16], ids=str)
def test_every_16_bit_float_widens_and_narrows_to_itself(dtype: DType) -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    wide = store(cast(param(1, 1 << 16, dtype=dtype), dtypes.float32))
    got, expected = outputs(wide, ROWS, [np.zeros(1 << 16, np.float32), bits.view(dtype.np)])
    np.testing.assert_array_equal(got, expected)
    narrow = store(cast(param(1, 1 << 16), dtype))
    back, _ = outputs(narrow, ROWS, [np.zeros(1 << 16, dtype.np), got])
    numbers = ~np.isnan(got)
    np.testing.assert_array_equal(back.view(np.uint16)[numbers], bits[numbers])
    assert np.isnan(got).sum() > 100 and (back.view(np.uint16)[~numbers] & 0x7c00 == 0x7c00).all()


@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.bfloat16], ids=str)
def test_floats_round_to_16_bits_as_numpy_does(dtype: DType) -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(0, 1 << 32, 1 << 16, dtype=np.uint32).view(np.float32).copy()
    # as halves: normal, denormal, too large
    x[::2] = rng.standard_normal(1 << 15) * np.exp2(rng.integers(-26, 18, 1 << 15))
    x[np.isnan(x)] = 1.0
    ast = store(cast(param(1, 1 << 16), dtype))
    got, expected = outputs(ast, ROWS, [np.zeros(1 << 16, dtype.np), x])
    np.testing.assert_array_equal(got.view(np.uint16), expected.view(np.uint16))


def test_what_blocks_and_threads_have_in_common_is_stored_once() -> None:
    """A maximum over everything, with a block that has a second dimension of threads nothing depends on."""
    x = param(1, 4, 64)
    row = reduce(Ops.MAX, x, (1,))
    ast = UOp.sink(*(UOp(Ops.STORE, dtypes.void, (param(slot, *value.shape), value))
                     for slot, value in ((0, row), (2, elementwise(Ops.NEG, x)))))
    opts = (Global("o0", 0), Local("o1", 0), Split("r0", 64), Group("r0.1", 0))
    rng = np.random.default_rng(2)
    x = rng.standard_normal((4, 64)).astype(np.float32)
    arrays = [np.zeros((4, 1), np.float32), x, np.zeros((4, 64), np.float32)]
    spec = Case("case", ast, opts).spec()
    assert "if (o1 < 1) data0" in spec.source
    got, expected = outputs(ast, opts, arrays)
    np.testing.assert_array_equal(got, expected)


# ---- gates

def source(ast: UOp, *opts: Opt) -> str:
    return render(lower_kernel(ast, TARGET, opts), TARGET).source


def test_a_thread_beyond_an_end_reads_nothing() -> None:
    """What lies there is another block's, which may be writing it."""
    case = Case("doubled", store(elementwise(Ops.ADD, param(0, 4, 20), param(0, 4, 20))),
                (Split("o1", 64), Local("o1.1", 0), Global("o0", 0)))
    (program,) = cuda_cases.compile_emulated([case.spec()])
    buffer = Buffer("CUDA_EMULATED", (4, 20), dtypes.float32)
    values = np.arange(80, dtype=np.float32)
    buffer.copyin(values.data)
    get_device("CUDA_EMULATED").launch(program, (buffer,), {})
    np.testing.assert_array_equal(buffer.numpy().ravel(), 2 * values)


def test_what_a_condition_selects_is_read_where_it_holds() -> None:
    i, x = expand(reshape(iota(dtypes.int32, 64), (1, 64)), (64, 64)), param(1, 64, 64)
    text = source(store(where(less(i, 5), elementwise(Ops.EXP, x), 0.0)), Local("o1", 0))
    assert "= o1 < 5 ? data1[" in text
    both = elementwise(Ops.ADD, where(less(i, 5), x, 0.0), elementwise(Ops.EXP, x))     # what is used elsewhere too
    assert "? data1[" not in source(store(both), Local("o1", 0))


def test_what_a_condition_leaves_is_not_read_where_it_holds() -> None:
    i, x = expand(reshape(iota(dtypes.int32, 64), (1, 64)), (64, 64)), param(1, 64, 64)
    assert "= 4 < o1 ? data1[" in source(store(where(less(i, 5), 1.0, elementwise(Ops.EXP, x))), Local("o1", 0))
    opts = (Split("r0", 16), Carry("r0.0", "o1"), Local("o1", 0))       # the first part adds to nothing
    arrays = [np.zeros((32, 64, 1), np.float32), *(np.ones(shape, np.float32) for shape in ((32, 48), (48, 64)))]
    got, expected = outputs(MATMUL, opts, arrays)
    np.testing.assert_array_equal(got, expected)


def test_a_load_outside_of_a_loop_is_not_gated_by_its_index() -> None:
    x = expand(reshape(param(1, 64), (64, 1)), (64, 64))
    i = expand(reshape(iota(dtypes.int32, 64), (1, 64)), (64, 64))
    text = source(store(where(less(i, 5), elementwise(Ops.EXP, x), 0.0)), Local("o0", 0))
    assert "v1 = data1[o0];" in text


# ---- stages

SQUARE = store(matmul(param(1, 64, 64), param(2, 64, 64)))
LEVEL = ("o0", "r0.0")


def staged(ast: UOp, *opts: Opt, level: tuple[str, ...] = LEVEL) -> str:
    return refused(ast, Split("r0", 16), *opts, Place("p1", level, shared=True, stages=2))


def test_what_is_filled_ahead_is_an_input_as_it_is_in_a_loop_of_a_sum() -> None:
    scores = store(cuda_cases.attention(*(param(slot, 2, 32, 16) for slot in (1, 2, 3))))
    assert "v3 is not copied as it is" in refused(scores, Place("v3", ("o0", "o1"), shared=True, stages=2))
    assert "no loop of a reduce fills it" in staged(SQUARE, level=("o0",))
    with pytest.raises(ValueError, match="of a target that copies on its own"):
        lower_kernel(SQUARE, replace(TARGET, features=frozenset()), [Split("r0", 16), Place("p1", LEVEL, shared=True,
                                                                                            stages=2)])


def test_two_stages_take_twice_the_memory() -> None:
    long = store(matmul(param(1, 64, 1 << 14), param(2, 1 << 14, 64)))
    lower_kernel(long, TARGET, [Split("r0", 8192), Place("p1", LEVEL, shared=True)])
    assert "65536 bytes are more than the scratch" in refused(
        long, Split("r0", 8192), Place("p1", LEVEL, shared=True, stages=2))


@pytest.mark.parametrize(("depth", "barriers"), [(64, 1), (80, 2)])
def test_copies_of_the_next_tiles_wait_for_threads_that_still_read_the_last(depth: int, barriers: int) -> None:
    """The loop over the tiles of a sum stands in another one. Its first fill overwrites what an odd one read last."""
    ast = store(matmul(param(1, 64, depth), param(2, depth, 64)))
    opts = (Split("r0", 16), Split("o1", 16), Global("o0", 0),
            Place("p2", ("o0", "o1.0", "r0.0"), shared=True, stages=2), Local("o1.1", 0), Local("p2_0", 0))
    rng = np.random.default_rng(0)
    arrays = [np.zeros((64, 64, 1), np.float32), *(rng.standard_normal(shape).astype(np.float32)
                                                   for shape in ((64, depth), (depth, 64)))]
    got, expected = outputs(ast, opts, arrays)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    spec = Case("case", ast, opts).spec()
    assert spec.source.count("__syncthreads();") == barriers
    for program in cuda_cases.compile_emulated(cuda_cases.without_a_barrier(spec)):
        with pytest.raises(RuntimeError, match="without a barrier in between|nothing wrote before"):
            cuda_cases.run(program, arrays)


def test_a_copy_that_is_not_waited_for_is_found() -> None:
    opts = (Split("r0", 16), Global("o0", 0), Place("p2", LEVEL, shared=True, stages=2), Local("o1", 0),
            Local("p2_1", 0))
    spec = Case("case", SQUARE, opts).spec()
    (program,) = cuda_cases.compile_emulated([replace(spec, source=spec.source.replace("mg_wait();", ""))])
    with pytest.raises(RuntimeError, match="which nothing wrote before"):
        cuda_cases.run(program, [np.zeros((64, 64, 1), np.float32), *np.ones((2, 64, 64), np.float32)])


# ---- what the heuristic picks

def test_blocks_share_the_elements_of_one_row() -> None:
    """Each computes the row's sum once, and not once for each of its elements."""
    x = param(1, 4096)
    norm = elementwise(Ops.SQRT, reduce(Ops.ADD, mul(x, x), (0,)))
    spec = render(lower_kernel(store(divide(x, expand(norm, (4096,)))), TARGET), TARGET)
    assert (spec.grid, spec.block) == ((16, 1, 1), (256, 1, 1))


@pytest.mark.parametrize("case", cuda_cases.CASES, ids=lambda case: case.name)
def test_what_the_heuristic_lists_is_what_it_did(case: Case) -> None:
    chosen = lower_kernel(case.ast, TARGET)
    assert render(lower_kernel(case.ast, TARGET, chosen.opts), TARGET).source == render(chosen, TARGET).source


@pytest.mark.parametrize("tf32", [False, True])
def test_products_copy_the_next_tiles_ahead_and_read_without_many_conflicts(tf32: bool) -> None:
    a, b = (elementwise(Ops.TF32, param(slot, 128, 64)) if tf32 else param(slot, 128, 64) for slot in (1, 2))
    case = Case("case", store(matmul(a, permute(b, (1, 0)))), tuple(lower_kernel(store(
        matmul(a, permute(b, (1, 0)))), TARGET).opts))
    assert sum(isinstance(o, Place) and o.stages == 2 for o in case.opts) == 2
    (program,) = cuda_cases.compile_emulated([case.spec()])
    x, y = np.random.default_rng(0).standard_normal((2, 128, 64)).astype(np.float32)
    got = cuda_cases.run(program, [np.zeros((128, 128, 1), np.float32), x, y])[0]
    np.testing.assert_allclose(got[..., 0], x @ y.T, atol=2e-2 if tf32 else 1e-4)
    counts = get_device("CUDA_EMULATED").counts
    assert counts.passes < 1.4 * counts.least_passes


@pytest.mark.parametrize("dtype", [dtypes.bfloat16, dtypes.float16], ids=lambda dtype: dtype.name)
def test_operands_of_16_bits_are_copied_as_they_are(dtype: DType) -> None:
    """For matrix instructions; and where each thread widens what it reads, one number at a time is too small a copy."""
    a, b = (cast(param(slot, 128, 64, dtype=dtype), dtypes.float32) for slot in (1, 2))
    ast = store(matmul(a, permute(b, (1, 0))))
    opts = tuple(lower_kernel(ast, TARGET).opts)
    plain = tuple(lower_kernel(ast, replace(TARGET, matrix=frozenset())).opts)
    x, y = np.random.default_rng(0).standard_normal((2, 128, 64)).astype(np.float32)
    arrays = [round_bfloat16(v) if dtype is dtypes.bfloat16 else v.astype(np.float16) for v in (x, y)]
    for chosen, stages in ((opts, 2), (plain, 1)):
        assert [o.stages for o in chosen if isinstance(o, Place)] == [stages, stages]
        spec = Case("case", ast, chosen).spec()
        assert "unsigned short scratch_p1[" in spec.source
        (program,) = cuda_cases.compile_emulated([spec])
        got = cuda_cases.run(program, [np.zeros((128, 128, 1), np.float32), *arrays])[0]
        np.testing.assert_allclose(got[..., 0], x @ y.T, atol=0.2 if dtype is dtypes.bfloat16 else 2e-2)
        counts = get_device("CUDA_EMULATED").counts
        assert stages == 1 or counts.passes < 1.4 * counts.least_passes
