"""From ASTs to loop nests and lists: what is computed once, where it stands, and that kernels are right."""
from __future__ import annotations

import time
from dataclasses import replace

import pytest
from counting import calls
from kernel_cases import (
    BF16,
    CASES,
    F16,
    F32,
    I32,
    Case,
    attention,
    causal,
    difference,
    exp,
    finish_specs,
    largest,
    one,
    param,
    product,
    run,
    softmax,
    store,
    total,
    transposed,
)

from minigrad.codegen import nest
from minigrad.codegen.lower import Loops, lower_ast
from minigrad.codegen.opts import Carry, Merge, Order, Peel, Split, Thread, Upcast, Vector
from minigrad.codegen.pipeline import Lowered, lower_kernel
from minigrad.codegen.place import Bound, Place
from minigrad.codegen.prefetch import Ahead
from minigrad.codegen.simplify import simplify
from minigrad.dtype import dtypes
from minigrad.helpers import Context, prod
from minigrad.runtime.device import Buffer, get_device
from minigrad.schedule import create_schedule
from minigrad.shape.build import add, elementwise, expand, flip, iota, less, mul, pad, reshape, shrink, where
from minigrad.target import Target
from minigrad.tensor import Tensor
from minigrad.uops import Ops, ScatterArg, UOp, Variable, toposort
from minigrad.uops.symbolic import evaluate

TARGET = Target(name="CPU", arch="x86_64", vector_bytes=64, registers=32, l1=32 << 10, l2=1 << 20, l3=8 << 20, cores=2,
                features=frozenset(), scratch=1 << 20)


def loops_of(value: UOp) -> Loops:
    return lower_ast(simplify(one("test", value).ast))


def plain(value: UOp) -> Lowered:
    return lower_kernel(one("test", value).ast, TARGET, ())


def count(lowered: Lowered, *ops: Ops) -> int:
    return sum(u.op in ops for u in lowered.linear.ops)


def nodes(loops: Loops, op: Ops) -> list[UOp]:
    return [u for u in toposort(loops.root) if u.op is op]


# ---- right

@pytest.mark.parametrize("vector_bytes", [0, 16, 32, 64], ids=["plain", "SSE", "AVX2", "AVX-512"])
def test_every_case_equals_the_interpreter(vector_bytes: int) -> None:
    """Without opts, and with those that the heuristic chooses for machines of three widths."""
    device = get_device("CPU")
    target = replace(TARGET, vector_bytes=vector_bytes or 64, registers=16 if vector_bytes < 64 else 32)
    opts = None if vector_bytes else ()
    specs = [finish_specs(device, lower_kernel(c.ast, target, opts)) for c in CASES.values()]
    problems = []
    for case, program in zip(CASES.values(), device.compile(specs)):
        for variables in case.bindings:
            found = difference(case, run(program, case, variables), case.expected(variables))
            if found is not None:
                problems.append(f"{case.name} {dict(variables)}: {found}")
    assert not problems, "\n".join(problems)


def test_noopt_turns_the_heuristic_off() -> None:
    ast = one("test", product(param(1, (64, 64)), param(2, (64, 64)))).ast
    assert lower_kernel(ast, TARGET).opts
    with Context(NOOPT=1):
        assert lower_kernel(ast, TARGET).opts == ()


def test_what_the_heuristic_chose_can_be_replayed() -> None:
    for name in ("matmul", "attention", "layernorm_statistics", "symbolic_softmax", "scatter_add"):
        chosen = lower_kernel(CASES[name].ast, TARGET)
        again = lower_kernel(CASES[name].ast, TARGET, chosen.opts)
        assert [u.op for u in again.linear.ops] == [u.op for u in chosen.linear.ops] and again.opts == chosen.opts


def test_a_causal_mask_ends_the_loops_of_attention() -> None:
    """Every reduce over keys, and so every fill of scores, stops at the diagonal: half the work is never done."""
    q, k, v = (Tensor.empty(1, 2, 256, 64) for _ in range(3))
    schedule, _ = create_schedule([q.scaled_dot_product_attention(k, v, is_causal=True)._node], Buffer)
    (kernel,) = schedule.kernels
    bounded = {opt.range for opt in lower_kernel(kernel.ast, TARGET).opts if isinstance(opt, Bound)}
    over_keys = {r.arg.name for u in nodes(lower_ast(simplify(kernel.ast)), Ops.REDUCE) for r in nest.parts(u)[1]
                 if r.vmax + 1 == 256}
    assert bounded == over_keys and len(over_keys) == 3
    places = [opt for opt in lower_kernel(kernel.ast, TARGET).opts if isinstance(opt, Place)]
    levels = {place.level for place in places if place.value.startswith("v")}
    assert levels == {("o1", "o2.0")}  # a block of rows, whose end bounds the loops over keys, keeps scores of its own


def test_a_window_over_a_padded_image_keeps_its_register_tile() -> None:
    """The border's guards end no loop of three iterations: a loop whose end is another for each column has no lanes."""
    image, weight = Tensor.empty(2, 8, 32, 32), Tensor.empty(16, 8, 3, 3)
    schedule, _ = create_schedule([image.conv2d(weight, padding=1)._node], Buffer)
    (kernel,) = schedule.kernels
    opts = lower_kernel(kernel.ast, TARGET).opts
    assert any(isinstance(opt, Vector) for opt in opts) and any(isinstance(opt, Upcast) for opt in opts)
    assert not any(isinstance(opt, Bound) for opt in opts)


def test_columns_are_taken_a_block_of_lanes_at_a_time() -> None:
    """Softmax down the columns: what is kept of a column is kept of its neighbours too, which are the lanes."""
    lowered = lower_kernel(one("test", transposed(softmax(transposed(param(1, (256, 256)))))).ast, TARGET)
    scalars = [u for u in lowered.linear.ops if u.op is Ops.LOAD and u.dtype.count == 1]
    assert not scalars and any(u.op is Ops.LOAD for u in lowered.linear.ops)


def test_a_sum_over_two_axes_of_its_inputs_is_packed_as_one_over_one() -> None:
    """The gradient of a weight sums over batch and sequence, which lie one behind the other in both operands."""
    x, dy = Tensor.empty(4, 64, 128), Tensor.empty(4, 64, 256)
    schedule, _ = create_schedule([Tensor.einsum("bto,bti->oi", dy, x)._node], Buffer)
    (kernel,) = schedule.kernels
    opts = lower_kernel(kernel.ast, TARGET).opts
    assert any(isinstance(opt, Merge) for opt in opts) and any(isinstance(opt, Place) for opt in opts)


def test_what_windows_share_is_computed_once_for_all_of_them() -> None:
    """Of a convolution of a convolution the inner image is kept whole, not a window of it for each pixel."""
    image, first, second = Tensor.empty(4, 1, 28, 28), Tensor.empty(8, 1, 5, 5), Tensor.empty(8, 8, 5, 5)
    schedule, _ = create_schedule([image.conv2d(first).relu().conv2d(second)._node], Buffer)
    (kernel,) = schedule.kernels
    levels = {opt.level for opt in lower_kernel(kernel.ast, TARGET).opts if isinstance(opt, Place)}
    assert levels == {("o0",)}


def test_the_next_row_is_fetched_while_exponentials_are_computed() -> None:
    """A prefetch for each vector of the row; none where the rows stay in a cache."""
    for rows, fetched in ((4096, 4), (64, 0)):
        linear = lower_kernel(one("test", softmax(param(1, (rows, 2048)))).ast, TARGET).linear
        assert sum(u.op is Ops.PREFETCH for u in linear.ops) == fetched


def test_rows_that_leave_a_rest_are_cut_among_threads_where_nothing_else_can_be() -> None:
    """8192 = 1365 tiles of six rows and one of two: it has the loops of the others, and is masked."""
    opts = lower_kernel(one("test", product(param(1, (8192, 64)), param(2, (64, 64)))).ast, TARGET).opts
    assert Thread("o0.0") in opts and Split("o0", 6) in opts


def test_columns_far_apart_are_turned_into_rows() -> None:
    """A.T @ B reads A down its columns, and at steps of 8192 bytes no cache keeps what it read."""
    for columns, turned in ((2048, True), (1920, False)):
        ast = one("test", product(transposed(param(1, (128, columns))), param(2, (128, 512)))).ast
        places = [opt for opt in lower_kernel(ast, TARGET).opts if isinstance(opt, Place)]
        assert [place.value for place in places] == (["p1", "p2"] if turned else ["p2"])


@pytest.mark.parametrize(("depth", "rows", "height"), [(512, 256, 1), (1024, 256, 8), (1024, 259, 7), (1024, 263, 8)])
def test_what_rows_share_is_read_for_several_where_one_would_push_it_out(depth: int, rows: int, height: int) -> None:
    """x @ W.T: of 8 KB a row of 2 KB leaves room for x, one of 4 KB none. 263 rows leave a rest."""
    case, device = one("test", product(param(1, (1, depth)), transposed(param(2, (rows, depth))))), get_device("CPU")
    lowered = lower_kernel(case.ast, replace(TARGET, l1=8 << 10))
    assert {opt.size for opt in lowered.opts if isinstance(opt, Split) and opt.range.startswith("o1")} == {height} - {1}
    (program,) = device.compile([finish_specs(device, lowered)])
    assert difference(case, run(program, case, {}), case.expected({})) is None


def test_long_pieces_of_columns_are_streamed_while_the_second_cache_holds_what_they_add_up() -> None:
    """x @ W from memory: each of the two threads reads pieces of rows as long as a quarter of its cache."""
    ast = one("test", product(param(1, (1, 64)), param(2, (64, 1 << 17)))).ast
    opts = lower_kernel(ast, TARGET).opts
    assert {Split("o1", 1 << 16), Carry("r0.0", "o1.1"), Thread("o1.0"), Ahead(2, 2048)} <= set(opts)


def test_sums_that_are_stored_in_another_type_are_added_up_in_scratch() -> None:
    """x @ W in bfloat16: between its blocks of rows a sum stays a float32."""
    rows = product(param(1, (1, 64), BF16), param(2, (64, 1 << 17), BF16))
    assert rows.dtype is BF16
    lowered = lower_kernel(one("test", rows).ast, TARGET)
    assert {Place("v0", ("o1.0",)), Carry("r0.0", "v0_1")} <= set(lowered.opts)
    assert {m.dtype for m in lowered.linear.scratch} == {F32}


def test_what_is_streamed_is_fetched_ahead() -> None:
    """A matrix that is read once, in its own order: not x, which stays in the first cache, not what is widened, and no
    matrix that stays in the second cache or is read down its columns.
    """
    for dtype, rows, slots in ((F32, 1024, {2}), (F32, 32, set()), (F16, 1024, set())):
        matrix = param(2, (rows, 1024), dtype)
        right = transposed(matrix if dtype is F32 else UOp(Ops.CAST, F32, (matrix,)))
        opts = lower_kernel(one("test", product(param(1, (1, 1024)), right)).ast, TARGET).opts
        assert {opt.slot for opt in opts if isinstance(opt, Ahead)} == slots
    opts = lower_kernel(one("test", product(param(1, (1, 512)), param(2, (512, 1024)))).ast, TARGET).opts
    assert not any(isinstance(opt, Ahead) for opt in opts)


def test_tiles_of_strided_rows_serve_several_panels() -> None:
    """A.T @ B: of a line that is loaded down A's columns little is used at once. 300 columns leave a rest of 108."""
    case, device = one("test", product(transposed(param(1, (600, 260))), param(2, (600, 300)))), get_device("CPU")
    lowered = lower_kernel(case.ast, TARGET)
    assert {Split("o1", 192), Peel("o1.0", 1), Split("o1.1", 64), Ahead(1, 256)} <= set(lowered.opts)
    (program,) = device.compile([finish_specs(device, lowered)])
    assert difference(case, run(program, case, {}), case.expected({})) is None


def test_lanes_leave_no_rest_where_three_vectors_do_not() -> None:
    """288 = 6 blocks of three vectors: nothing is peeled off, and a row's lanes are added up once."""
    scaled = mul(param(1, (64, 288)), expand(param(2, (1, 288)), (64, 288)))
    for value in (scaled, total(scaled, 1)):
        chosen = lower_kernel(one("test", value).ast, TARGET).opts
        assert 48 in [opt.size for opt in chosen if isinstance(opt, Split)]
        assert not [opt for opt in chosen if isinstance(opt, Peel)]


def test_the_gradient_of_a_convolution_s_weight_has_its_channels_in_lanes() -> None:
    """Its window is no vector wide. The outputs' gradient is turned once for all of it, a block of images at a time."""
    x, w = Tensor.empty(64, 16, 20, 20), Tensor.empty(32, 16, 5, 5)
    (gradient,) = x.conv2d(w).gradient(w, gradient=Tensor.empty(64, 32, 16, 16))
    (kernel,) = create_schedule([gradient._node], Buffer)[0].kernels
    lowered = lower_kernel(kernel.ast, TARGET)
    assert any(isinstance(opt, Carry) for opt in lowered.opts) and any(isinstance(opt, Place) for opt in lowered.opts)
    sums = {u.src[0].dtype.count for u in lowered.linear.ops if u.op is Ops.UPDATE}
    assert sums == {16} and any(u.op is Ops.ELEMENT for u in lowered.linear.ops)


def kernel_of(value: Tensor) -> UOp:
    (kernel,) = create_schedule([value._node], Buffer)[0].kernels
    return kernel.ast


def test_a_cheap_value_of_a_column_leaves_the_loops_in_the_order_of_memory() -> None:
    """-y serves all rows; to keep it would cost a load as well. A dear one is kept for whole rows."""
    x, y = Tensor.empty(927, 483), Tensor.empty(483)
    cheap = lower_kernel(kernel_of(x.maximum(y) - x.minimum(y) * 0.5), TARGET).opts
    assert Thread("o0") in cheap and not any(isinstance(opt, Place | Order) for opt in cheap)
    dear = lower_kernel(kernel_of(x + y.exp()), TARGET).opts
    assert Thread("o0") in dear and Order(("o1", "o0")) not in dear
    assert [opt.level for opt in dear if isinstance(opt, Place)] == [()]


def test_sums_of_what_is_kept_of_one_row_have_lanes_along_the_row() -> None:
    """The sums of neighbouring rows lie next to one another, but a row's exponentials are there for it alone."""
    lowered = lower_kernel(one("test", total(softmax(param(1, (64, 448))), 1)).ast, TARGET)
    assert {u.src[0].dtype.count for u in lowered.linear.ops if u.op is Ops.UPDATE} == {16}


def test_few_columns_of_what_is_kept_are_one_block_for_each_thread() -> None:
    """The sum over rows of a product of 62 columns: each thread keeps half of them, which its lanes fill."""
    lowered = lower_kernel(one("test", total(product(param(1, (1570, 62)), param(2, (62, 62))), 0)).ast, TARGET)
    assert Split("o1", 32) in lowered.opts and Thread("o1.0") in lowered.opts
    assert [opt.level for opt in lowered.opts if isinstance(opt, Place)] == [("o1.0",)]
    assert {u.src[0].dtype.count for u in lowered.linear.ops if u.op is Ops.UPDATE} == {16}


@pytest.mark.parametrize(("columns", "lanes"), [(4, 4), (8, 8), (10, 16), (5, 8)])
def test_one_vector_that_is_partly_empty_holds_what_two_would(columns: int, lanes: int) -> None:
    lowered = lower_kernel(one("test", product(param(1, (33, 66)), param(2, (66, columns)))).ast, TARGET)
    assert {u.src[0].dtype.count for u in lowered.linear.ops if u.op is Ops.UPDATE} == {lanes}


def test_a_convolution_with_steps_has_its_channels_in_lanes_though_its_sum_is_short() -> None:
    """5 channels times 3 x 3: along the image a vector would be gathered from every other pixel."""
    x, w = Tensor.empty(6, 5, 77, 77), Tensor.empty(25, 5, 3, 3)
    for stride, packed in ((2, True), (1, False)):
        opts = lower_kernel(kernel_of(x.conv2d(w, stride=stride, padding=1)), TARGET).opts
        assert ("p2" in [opt.value for opt in opts if isinstance(opt, Place)]) == packed


# ---- indices go down

def test_movement_costs_nothing() -> None:
    x = param(1, (4, 6))
    lowered = plain(reshape(shrink(transposed(x), ((1, 5), (0, 4))), (2, 8)))
    assert count(lowered, Ops.LOAD) == count(lowered, Ops.STORE) == 1 and count(lowered, Ops.WHERE) == 0


def test_a_mask_becomes_a_guard_and_nothing_outside_is_loaded() -> None:
    loops = loops_of(pad(param(1, (4,)), ((2, 3),)))
    assert len(nodes(loops, Ops.WHERE)) == 1
    loads = [u for u in plain(pad(param(1, (4,)), ((2, 3),))).linear.ops if u.op is Ops.LOAD]
    assert len(loads) == 1 and loads[0].src[0].src[2].op is not Ops.CONST  # gated


def test_a_mask_that_bounds_prove_is_gone() -> None:
    x = shrink(pad(param(1, (8,)), ((4, 4),)), ((4, 12),))
    assert not nodes(loops_of(add(x, 1.0)), Ops.WHERE)


def test_iota_is_the_index_itself() -> None:
    i = iota(I32, 6)
    below = less(expand(reshape(i, (1, 6)), (6, 6)), expand(reshape(i, (6, 1)), (6, 6)))
    lowered = plain(where(below, 1.0, expand(reshape(param(1, (6,)), (1, 6)), (6, 6))))
    assert count(lowered, Ops.LOAD) == 1
    loops = loops_of(less(i, 6))
    assert not nodes(loops, Ops.CMPLT)  # always so


def test_gather_reads_the_row_and_clamps_it() -> None:
    loops = loops_of(UOp(Ops.GATHER, F32, (param(1, (5, 3)), param(2, (4,), I32))))
    loads = nodes(loops, Ops.LOAD)
    assert len(loads) == 2
    row = next(u for u in loads if u.src[0].arg.slot == 1).src[1]
    assert (row.vmin, row.vmax) == (0, 4)


def test_a_node_reached_twice_at_equal_indices_is_computed_once() -> None:
    e = exp(param(1, (8,)))
    assert count(plain(add(mul(e, 2.0), mul(e, e))), Ops.EXP) == 1


def test_a_node_reached_at_different_indices_is_computed_again() -> None:
    e = exp(param(1, (8,)))
    assert count(plain(add(e, flip(e, (0,)))), Ops.EXP) == 2


def test_forty_doublings_by_flip_stay_small() -> None:
    x = param(1, (16,))
    for _ in range(40):
        x = add(x, flip(x, (0,)))
    start = time.process_time()
    lowered = plain(x)
    assert len(lowered.linear.ops) < 200 and time.process_time() - start < 5


def test_deep_chains_lower_without_recursion_limits() -> None:
    x = param(1, (8,))
    for i in range(3000):
        x = add(x, float(i % 7 + 1))
    assert count(plain(x), Ops.ADD) == 3000


# ---- loops

def test_what_does_not_change_in_a_loop_stands_before_it() -> None:
    rows, columns = param(1, (4,)), param(2, (4, 8))
    lowered = plain(mul(expand(reshape(exp(rows), (4, 1)), (4, 8)), columns))
    ops = [u.op for u in lowered.linear.ops]
    second = [i for i, op in enumerate(ops) if op is Ops.LOOP][1]
    assert ops.index(Ops.EXP) < second


def test_reduces_over_the_same_range_and_depth_share_a_loop() -> None:
    x = param(1, (4, 8))
    both = add(reshape(total(x, 1), (4,)), reshape(total(mul(x, x), 1), (4,)))
    assert count(plain(both), Ops.LOOP) == 3  # a range each: two reduces of the AST
    tile = lower_kernel(one("t", product(param(1, (4, 8)), param(2, (8, 6)))).ast, TARGET, (Upcast("o0"), Upcast("o1")))
    assert count(tile, Ops.LOOP) == 1 and count(tile, Ops.ACCUMULATOR) == 24 and count(tile, Ops.LOAD) == 4 + 6


def test_a_reduce_that_reads_another_comes_after_it() -> None:
    lowered = plain(softmax(param(1, (4, 8))))
    names = [u.src[0].arg.name for u in lowered.linear.ops if u.op is Ops.LOOP]
    assert names == ["o0", "r0", "r1", "o1"]


def test_blocks_close_in_the_order_they_opened() -> None:
    for case in CASES.values():
        depth = 0
        for u in lower_kernel(case.ast, TARGET, ()).linear.ops:
            depth += (u.op is Ops.LOOP) - (u.op is Ops.ENDLOOP)
            assert depth >= 0
        assert depth == 0


def test_several_stores_share_their_loops() -> None:
    assert count(lower_kernel(CASES["adam"].ast, TARGET, ()), Ops.LOOP) == 2
    statistics = lower_kernel(CASES["layernorm_statistics"].ast, TARGET, ())
    names = [u.src[0].arg.name for u in statistics.linear.ops if u.op is Ops.LOOP]
    assert names.count("o0") == 1 and count(statistics, Ops.STORE) == 3


def test_a_store_without_an_axis_happens_once() -> None:
    """stats (M, 1) beside (M, N), and one number beside a vector."""
    x = param(1, (9,))
    ast = UOp.sink(store(param(0, (9,)), mul(x, 2.0)), store(param(2, (1,)), total(x, 0)))
    case = Case("once", ast)
    device = get_device("CPU")
    program, = device.compile([finish_specs(device, lower_kernel(ast, device.target, ()))])
    assert difference(case, run(program, case, {}), case.expected({})) is None


def test_a_fill_of_scratch_comes_before_its_readers() -> None:
    lowered = lower_kernel(CASES["matmul_softmax"].ast, TARGET, (Place("v0", ("o0",)),))
    names = [u.src[0].arg.name for u in lowered.linear.ops if u.op is Ops.LOOP]
    assert names.index("v0_1") < names.index("r1")
    assert lowered.linear.workspace >= 20 * 4 and len(lowered.linear.scratch) == 1


def test_scratch_arrays_lie_apart_and_aligned() -> None:
    opts = (Place("v3", ("o0",)), Place("v1", ("o0",)), Place("p3", ()))
    lowered = lower_kernel(CASES["attention"].ast, TARGET, opts)
    spans = sorted((place.offset, place.offset + place.dtype.itemsize * prod(place.dims))
                   for place in lowered.linear.scratch.values())
    assert len(spans) == 3 and all(start % 64 == 0 for start, _ in spans)
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:])) and spans[-1][1] <= lowered.linear.workspace


# ---- types

def test_halves_are_computed_and_summed_in_float32() -> None:
    loops = loops_of(product(param(1, (3, 5), BF16), param(2, (5, 4), BF16)))
    assert all(u.dtype is F32 for u in nodes(loops, Ops.REDUCE)) and all(u.dtype is F32 for u in nodes(loops, Ops.MUL))
    assert all(u.src[1].dtype is BF16 for u in nodes(loops, Ops.STORE))


def test_a_factor_that_does_not_change_leaves_its_sum() -> None:
    x, scale = param(1, (4, 8)), param(2, (4,))
    loops = loops_of(total(mul(x, expand(reshape(scale, (4, 1)), (4, 8))), 1))
    (reduce,) = nodes(loops, Ops.REDUCE)
    assert not any(u.op is Ops.MUL and u.dtype is F32 for u in toposort(reduce))


def test_a_factor_stays_in_a_sum_of_integers_and_in_a_maximum() -> None:
    x, scale = param(1, (4, 8), I32), param(2, (4,), I32)
    scaled = mul(x, expand(reshape(scale, (4, 1)), (4, 8)))
    for value in (total(scaled, 1), largest(scaled, 1)):
        (reduce,) = nodes(loops_of(value), Ops.REDUCE)
        assert any(u.op is Ops.MUL and u.dtype is I32 for u in toposort(reduce))


def test_integers_that_would_overflow_are_no_indices() -> None:
    i = iota(dtypes.int8, 100)
    device = get_device("CPU")
    case = one("wrapping", mul(i, 3))
    program, = device.compile([finish_specs(device, lower_kernel(case.ast, device.target, ()))])
    assert difference(case, run(program, case, {}), case.expected({})) is None


# ---- facts of a kernel

def test_names_tell_kind_and_sizes() -> None:
    a, b = param(1, (4, 8)), param(2, (8, 6))
    assert plain(product(a, b)).name == "matmul_4_6_8" and plain(total(a, 1)).name == "reduce_4_8"
    assert plain(exp(a)).name == "elementwise_4_8"
    assert plain(UOp(Ops.GATHER, F32, (a, param(2, (3,), I32)))).name == "gather_3_8"
    heads = (1, 4, 8)
    assert plain(attention(param(1, heads), param(2, heads), param(3, heads))).name.startswith("attention_4_8")
    n = Variable("n", 1, 9)
    assert plain(exp(shrink(param(1, (9,)), ((0, n),)))).name == "elementwise_v9"
    scatter = UOp.sink(store(param(0, (4, 8)), param(1, (3, 8)), param(2, (3,), I32), arg=ScatterArg("set")))
    assert lower_kernel(scatter, TARGET, ()).name.startswith("scatter")


def test_work_is_counted_once() -> None:
    lowered = plain(product(param(1, (4, 8)), param(2, (8, 6))))
    assert lowered.operations == 2 * 4 * 8 * 6 and lowered.bytes == 4 * (4 * 8 + 8 * 6 + 4 * 6)
    n = Variable("n", 1, 100)
    symbolic = plain(exp(shrink(param(1, (100,)), ((0, n),))))
    assert evaluate(symbolic.operations, {"n": 30}) == 30 and evaluate(symbolic.bytes, {"n": 30}) == 240
    assert symbolic.variables == ("n",)


def test_threads_are_the_extent_of_the_range_that_is_cut() -> None:
    ast = CASES["matmul"].ast
    assert lower_kernel(ast, TARGET, ()).threads == 1 and lower_kernel(ast, TARGET, (Thread("o0"),)).threads == 13
    assert lower_kernel(ast, TARGET, (Split("o1", 16), Thread("o1.0"))).threads == 3
    n = Variable("n", 1, 9)
    symbolic = one("t", exp(shrink(param(1, (9, 4)), ((0, n), (0, 4))))).ast
    assert lower_kernel(symbolic, TARGET, (Thread("o0"),)).threads is n


def test_written_slots_and_params_are_listed() -> None:
    lowered = lower_kernel(CASES["adam"].ast, TARGET, ())
    assert lowered.written == (0, 1, 2) and [p.arg.slot for p in lowered.params] == [0, 1, 2, 3]


def test_what_no_kernel_can_hold_is_refused() -> None:
    contiguous = UOp(Ops.CONTIGUOUS, F32, (param(1, (4,)),))
    with pytest.raises(RuntimeError, match="cannot hold"):
        lower_kernel(UOp.sink(store(param(0, (4,)), contiguous)), TARGET, ())


def test_the_list_is_the_same_every_time() -> None:
    for case in list(CASES.values())[:6]:
        first, second = (lower_kernel(case.ast, TARGET) for _ in range(2))
        assert [u.op for u in first.linear.ops] == [u.op for u in second.linear.ops]


def test_lowering_is_linear_in_the_number_of_nodes() -> None:
    def cost(n: int) -> int:
        x = param(1, (8,))
        for i in range(n):
            x = elementwise(Ops.EXP if i % 9 == 0 else Ops.SQRT, add(x, float(i + 1)))
        ast = one("long", x).ast
        return calls(lambda: lower_kernel(ast, TARGET, ()))

    assert cost(1000) < 5.5 * cost(200)


def test_a_causal_mask_on_a_constant_start_folds_into_conditions_of_ranges() -> None:
    loops = loops_of(causal(product(param(1, (6, 4)), param(2, (4, 6))), 2))
    conditions = nodes(loops, Ops.CMPLT)
    assert len(conditions) == 1 and conditions[0].src[0].dtype is dtypes.index
    assert nest.free(conditions[0]) == {r for r in nodes(loops, Ops.RANGE) if r.arg.name.startswith("o")}
