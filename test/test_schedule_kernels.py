"""How many kernels named computations become, what they keep from memory, and why each buffer is one."""
from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any

import pytest
from graph_builder import G, HostBuffer, attention, case, cross_entropy, heads

from minigrad.dtype import dtypes
from minigrad.schedule import Reason, Schedule, create_schedule
from minigrad.schedule.cost import Costs, Work
from minigrad.schedule.graph import Graph
from minigrad.schedule.index import Indices
from minigrad.tensor import Tensor
from minigrad.uops import Ops, UOp, Variable, toposort

COSTS = Costs(cores=2, l2=2 << 20)


def schedule_of(outputs: list[G], **constants: Any) -> Schedule:
    return create_schedule([o.node for o in outputs], HostBuffer, Costs(**{"cores": 2, "l2": 2 << 20, **constants}))[0]


def big(name: str) -> Schedule:
    return schedule_of(case(name, G.empty, True))


def arena(schedule: Schedule) -> int:
    """Bytes between kernels."""
    return sum({id(b.base): b.base.nbytes for k in schedule.kernels for b in k.buffers if b.base is not None}.values())


def largest_stored(schedule: Schedule) -> int:
    return max(k.buffers[slot].size for k in schedule.kernels for slot in k.written)


def reasons(schedule: Schedule) -> list[str]:
    return [reason.partition(":")[0] for kernel in schedule.kernels for reason in kernel.reasons]


@pytest.mark.parametrize("name", ["softmax", "layernorm", "rmsnorm", "rmsnorm, one row", "attention",
                                  "attention 4096", "conv", "one-hot embedding", "flip 40"])
def test_one_kernel(name: str) -> None:
    assert len(big(name).kernels) == 1


def test_products_that_only_parts_of_a_kernel_need_get_kernels_of_their_own() -> None:
    """As where the gradients of slices are put together: loops around a mask could not be tiled."""
    x, y, z = Tensor.empty(128, 256), Tensor.empty(256, 128), Tensor.empty(256, 128)
    joined = (x @ y).pad((None, (0, 128))) + (x @ z).pad((None, (128, 0)))
    schedule = create_schedule([joined._node], HostBuffer, COSTS)[0]
    assert reasons(schedule) == ["heavy", "heavy", "output"]


def test_a_single_long_row_is_cut_for_the_cores() -> None:
    schedule = big("softmax, one long row")
    assert reasons(schedule).count("partial") == 2 and len(schedule.kernels) == 3
    assert arena(schedule) < 4096
    total = schedule_of([G.empty(1 << 22).sum(0)])
    assert reasons(total) == ["partial", "output"]
    assert total.kernels[0].buffers[0].shape == (64, 1)
    odd = schedule_of([G.empty(1_000_003).exp().sum(0)])
    assert reasons(odd) == ["partial", "output"]


def test_partial_sums_of_halves_are_floats() -> None:
    x = G(UOp(Ops.CAST, dtypes.float16, (G.empty(1 << 22).node,)))
    total = schedule_of([x.sum(0)])
    assert [k.buffers[0].dtype for k in total.kernels] == [dtypes.float32, dtypes.float16]


def test_a_matmul_takes_its_epilogue() -> None:
    d = 512
    y = (G.empty(256, d).linear(G.empty(d, d)) + G.empty(d)).relu() * 0.5 + G.empty(256, d)
    assert len(schedule_of([y]).kernels) == 1


def test_a_matmul_takes_a_cast_or_a_factor_of_an_operand_along_but_not_a_norm() -> None:
    d = 2048
    weight = G(UOp(Ops.CAST, dtypes.float32, (G.empty(d, d, dtype=dtypes.bfloat16).node,)))
    assert len(schedule_of([(G.empty(512, d) * 0.5).linear(weight)]).kernels) == 1
    assert len(big("norm and matmul").kernels) == 2


def test_the_norm_of_one_row_goes_into_the_matvec_that_reads_it() -> None:
    assert len(big("norm and matvec").kernels) == 1


def test_a_matmul_whose_rows_are_read_twice_has_a_kernel_of_its_own() -> None:
    assert len(big("linear and softmax").kernels) == 2


def test_chained_matmuls_do_not_fuse() -> None:
    schedule = big("mlp")
    assert len(schedule.kernels) == 2 and largest_stored(schedule) == 512 * 2048


def test_an_mlp_training_step() -> None:
    schedule = big("mlp step")
    # two layers; loss (partial, sum); gradient of the hidden layer; three updates
    assert len(schedule.kernels) <= 8
    assert reasons(schedule).count("assign") == 3


def test_cross_entropy_stores_no_logits() -> None:
    schedule = big("cross entropy")
    assert len(schedule.kernels) <= 3 and arena(schedule) < 100_000
    schedule = big("cross entropy, backward")
    assert len(schedule.kernels) <= 3 and arena(schedule) < 100_000


def test_the_update_of_a_parameter_is_one_kernel() -> None:
    schedule = big("adam")
    assert [len(k.written) for k in schedule.kernels] == [3, 3, 3]


def test_a_gradient_is_applied_by_the_kernel_that_computes_it() -> None:
    schedule = big("gpt 2")
    updates = [k for k in schedule.kernels if len(k.written) == 3 and all("assign" in r for r in k.reasons)]
    assert len(updates) >= 20
    assert any(n.op is Ops.REDUCE for k in updates for n in toposort(k.ast))


def attention_step(heads: int, groups: int, length: int, width: int, causal: bool = True) -> Schedule:
    """Attention of heads * groups queries' heads, and its three gradients."""
    q, weight = Tensor.empty(2, heads * groups, length, width), Tensor.empty(2, heads * groups, length, width)
    k, v = Tensor.empty(2, heads, length, width), Tensor.empty(2, heads, length, width)
    for leaf in (q, k, v):
        leaf.requires_grad = True
    o = q.scaled_dot_product_attention(k, v, is_causal=causal, enable_gqa=True)
    (o * weight).sum().backward()
    return create_schedule([t.uop for t in (o, q.grad, k.grad, v.grad) if t is not None], HostBuffer, COSTS)[0]


@pytest.mark.parametrize(("length", "width"), [(128, 32), (128, 64), (256, 64), (512, 64), (512, 128), (1024, 64),
                                               (2048, 128), (4096, 64), (16384, 64)])
def test_attention_and_its_gradients_are_three_kernels_and_store_no_scores(length: int, width: int) -> None:
    for groups, causal in ((1, True), (1, False), (4, True)):
        schedule = attention_step(2, groups, length, width, causal)
        # the output with its rows' statistics; dQ with its rows' sum; dK and dV
        assert sorted(len(kernel.written) for kernel in schedule.kernels) == [2, 2, 3]
        assert largest_stored(schedule) == 2 * 2 * groups * length * width  # never length * length
        assert arena(schedule) == 3 * 2 * 2 * groups * length * 4           # the statistics, and nothing else


def test_the_gradients_of_attention_compute_the_scores_once_each() -> None:
    schedule = attention_step(8, 1, 1024, 64)
    reduces = [sum(n.op is Ops.REDUCE for n in toposort(kernel.ast)) for kernel in schedule.kernels]
    # scores, maximum, sum, output; scores, dP, the rows' sum, dQ; scores, dP, dK, dV
    assert reduces == [4, 4, 4]


def test_memory_of_attention_grows_linearly_forward_and_backward() -> None:
    bytes_for = {n: arena(attention_step(8, 1, n, 64)) for n in (256, 512, 1024, 2048, 8192)}
    for shorter, longer in pairwise(bytes_for):
        assert bytes_for[longer] <= longer // shorter * bytes_for[shorter] * 1.05


def test_heads_that_lie_side_by_side_change_nothing() -> None:
    """What dQ's kernel stores here has axes that its rows' sums have only parts of."""
    batch, length, width, kv, groups = 2, 256, 64, 2, 2
    x, weight = Tensor.empty(batch, length, 256), Tensor.empty(batch, length, 256)
    leaves = [Tensor.empty(rows, 256) for rows in (256, 128, 128)]
    for leaf in leaves:
        leaf.requires_grad = True
    q, k, v = ((x @ w.transpose(0, 1)).reshape(batch, length, -1, width).transpose(1, 2) for w in leaves)
    q = (q * 0.125).reshape(batch, kv, groups, length, width)
    o = (q @ k.unsqueeze(2).transpose(-1, -2)).softmax(-1) @ v.unsqueeze(2)
    (o.reshape(batch, -1, length, width).transpose(1, 2).reshape(batch, length, -1) * weight).sum().backward()
    schedule = create_schedule([leaf.grad.uop for leaf in leaves if leaf.grad is not None], HostBuffer, COSTS)[0]
    # three projections; statistics and dQ's rows; dK and dV; three gradients of weights
    assert len(schedule.kernels) == 8 and largest_stored(schedule) == batch * length * 256


def test_a_mask_made_of_counters_is_computed_wherever_it_is_needed() -> None:
    schedule = attention_step(2, 1, 1024, 64)
    assert not any(k.buffers[slot].dtype is dtypes.bool for k in schedule.kernels for slot in k.written)


def test_kernels_that_share_little_are_not_joined() -> None:
    x, up, gate = G.empty(512, 1024), G.empty(1024, 1024), G.empty(1024, 1024)
    assert len(schedule_of([x.linear(up), x.linear(gate)]).kernels) == 2


def test_parts_put_together_are_no_expansion() -> None:
    """The halves of a rotation, padded and added: stored as one value, not each half for itself."""
    a, b = G.empty(64, 256, 32), G.empty(64, 256, 32)
    joined = (a * b).pad((0, 0), (0, 0), (0, 32)) + (b * 2.0).pad((0, 0), (0, 0), (32, 0))
    table = (a.reshape(64, 256, 32, 1).expand(64, 256, 32, 32) * b.reshape(64, 256, 1, 32).expand(64, 256, 32, 32))
    work = Work(Graph([joined.node, table.node]), COSTS, Indices())
    assert work.expansion(joined.node) == 1.0 and work.expansion(table.node) > 32


def test_attention_with_few_heads_of_a_long_sequence_stores_no_scores() -> None:
    q, k, v = (G.empty(1, 2, 65536, 64) for _ in range(3))
    assert len(schedule_of([attention(q, k, v)]).kernels) == 1


def test_grouped_query_attention_with_a_reshaped_output_is_one_kernel_and_its_projection() -> None:
    q, k, v = G.empty(1, 8, 4, 512, 64), G.empty(1, 8, 1, 512, 64), G.empty(1, 8, 1, 512, 64)
    k, v = k.expand(1, 8, 4, 512, 64), v.expand(1, 8, 4, 512, 64)
    o = attention(q, k, v).reshape(1, 32, 512, 64).permute(0, 2, 1, 3).reshape(1, 512, 2048)
    assert len(schedule_of([o.linear(G.empty(2048, 2048))]).kernels) == 2


def test_self_attention_projections() -> None:
    x = G.empty(1, 512, 1024)
    q, k, v = (heads(x.linear(G.empty(1024, 1024)), 16) for _ in range(3))
    assert len(schedule_of([attention(q, k, v)]).kernels) == 4


def test_a_decoded_token_of_llama() -> None:
    one, two = big("llama decode 1"), big("llama decode 2")
    assert len(two.kernels) - len(one.kernels) <= 9
    assert len(big("llama decode 16").kernels) <= 16 * 9 + 4
    caches = [k for k in two.kernels if any(b.shape == (1, 8, 1024, 64) for b in (k.buffers[w] for w in k.written))]
    assert len(caches) == 4                                     # two layers, keys and values
    for kernel in caches:                                       # one row is written, nothing is copied
        store, = kernel.ast.src
        assert tuple(store.src[1].shape) == (1, 8, 1, 64)
    assert "hazard" not in reasons(two)


def test_a_prefill_of_llama() -> None:
    assert len(big("llama prefill 2").kernels) - len(big("llama prefill 1").kernels) <= 11


def test_gather_reads_rows_and_its_gradient_scatters_them() -> None:
    schedule = big("embedding, backward")
    modes = [s.arg for k in schedule.kernels for s in k.ast.src if len(s.src) == 3]
    assert [m.mode for m in modes] == ["add"] and len(schedule.kernels) <= 5


def test_every_buffer_has_a_reason_from_the_closed_list() -> None:
    known = {reason.value for reason in Reason}
    for name in ("gpt 2", "llama prefill 2", "two convs", "two reduces, both ways", "shift 20"):
        for kernel in big(name).kernels:
            assert set(kernel.reasons) <= known


def test_the_gradient_of_a_convolution_s_input_is_a_convolution() -> None:
    """One sum over channels and windows: no window is stored, and the sum over the channels has no scratch."""
    x, w = Tensor.empty(8, 16, 20, 20), Tensor.empty(32, 16, 5, 5)
    (gradient,) = x.conv2d(w).gradient(x, gradient=Tensor.empty(8, 32, 16, 16))
    (kernel,) = create_schedule([gradient._node], HostBuffer, COSTS)[0].kernels
    (reduce,) = [node for node in toposort(kernel.ast) if node.op is Ops.REDUCE]
    assert reduce.src[0].shape == (8, 16, 20, 5, 20, 5, 32) and reduce.arg.axes == (3, 5, 6)
    (padded,) = x.conv2d(w, padding=2).gradient(x, gradient=Tensor.empty(8, 32, 20, 20))
    (kernel,) = create_schedule([padded._node], HostBuffer, COSTS)[0].kernels
    (reduce,) = [node for node in toposort(kernel.ast) if node.op is Ops.REDUCE]
    assert reduce.src[0].shape == (8, 16, 24, 5, 24, 5, 32) and reduce.arg.axes == (3, 5, 6)


def test_a_sum_that_several_elements_share_is_stored_before_it_is_spread() -> None:
    """The gradient of a pooling reads each element of a convolution's gradient for four of its own: o // 2 is no o."""
    x, w = Tensor.empty(32, 32, 20, 20), Tensor.empty(64, 32, 3, 3)
    (gradient,) = x.max_pool2d().conv2d(w).gradient(x, gradient=Tensor.empty(32, 64, 8, 8))
    first, last = create_schedule([gradient._node], HostBuffer, COSTS)[0].kernels
    stores = [[prod(store.src[0].arg.shape) for store in kernel.ast.src] for kernel in (first, last)]
    assert stores == [[32 * 32 * 10 * 10], [32 * 32 * 20 * 20]] and first.reasons == (Reason.HEAVY.value,)


def test_sums_of_whole_sums_stay_as_they_are() -> None:
    """The inner one is a product with rows and columns for a tile."""
    (kernel,) = create_schedule([((Tensor.empty(64, 64) @ Tensor.empty(64, 64)).sum(0))._node], HostBuffer,
                                COSTS)[0].kernels
    assert sum(node.op is Ops.REDUCE for node in toposort(kernel.ast)) == 2


def test_cores_decide_what_counts_as_parallel() -> None:
    row = [G.empty(1, 1 << 16).softmax()]
    assert len(schedule_of(row, cores=1).kernels) == 1
    assert len(schedule_of(row, cores=64).kernels) > 1


def test_loops_of_what_is_kept_stand_outermost() -> None:
    # softmax down the columns: the statistics of a column are computed once, so columns are the outer loop
    kernel, = schedule_of([G.empty(512, 256).permute(1, 0).softmax().permute(1, 0).contiguous()]).kernels
    store, = kernel.ast.src
    assert tuple(store.src[1].shape) == (256, 512) and store.arg.views[0].strides == (1, 256)
    # the gradient of attention's values, which stands as (width, keys): probabilities depend on the key, not on the
    # width, and memory that nobody has seen yet lies as the loops walk it
    q, k, v, weight = (G.empty(1, 16, 1024, 64) for _ in range(4))
    gradient, = (attention(q, k, v) * weight).sum(0, 1, 2, 3).reshape().backward([v])
    schedule = schedule_of([gradient])
    assert schedule.kernels[-1].buffers[0].shape == (1, 1, 16, 1024, 64)
    assert [tuple(n for n in s.src[1].shape if n != 1) for s in schedule.kernels[-1].ast.src] == [(16, 1024, 64)]
    assert all(s.arg is None for kernel in schedule.kernels for s in kernel.ast.src)
    # beside a store that cannot lie otherwise, nothing is turned: all stores of a kernel go one way
    x, g, w = G.empty(1024, 384), G.empty(1024, 128), G.empty(128, 384)
    gradient = (g.reshape(1024, 128, 1) * (x.exp() * x).reshape(1024, 1, 384)).sum(0).reshape(128, 384)
    for kernel in schedule_of([w.assign(w - gradient * 0.1), gradient.permute(1, 0)]).kernels:
        assert len({s.arg for s in kernel.ast.src}) == 1
    # nothing is turned around for a plain matmul, elementwise op or row softmax
    for name in ("softmax", "mlp", "norm and matvec", "conv"):
        assert all(s.arg is None for k in big(name).kernels for s in k.ast.src)


@pytest.mark.parametrize("queries, keys", [(512, 1 << 16), (512, 1 << 17), (1 << 17, 1 << 17)])
def test_long_rows_of_scores_are_kept_a_few_at_a_time(queries: int, keys: int) -> None:
    """However many keys: what a core keeps of its block of rows grows with the sequence, not with its square."""
    schedule = schedule_of([attention(G.empty(1, 2, queries, 64), *(G.empty(1, 2, keys, 64) for _ in range(2)))])
    assert len(schedule.kernels) == 1


@pytest.mark.parametrize("rows", [128, 256])
def test_heads_cut_from_one_product_store_no_scores_either(rows: int) -> None:
    """q, k and v are slices of one buffer, which is larger than the scores: but no score is made from all of it."""
    a = Tensor.empty(12, rows, 3 * 384, requires_grad=True)
    q, k, v = (a[:, :, i * 384:(i + 1) * 384].reshape(12, rows, 6, 64).transpose(1, 2) for i in range(3))
    o = q.scaled_dot_product_attention(k, v, is_causal=True)
    (gradient,) = o.gradient(a, gradient=Tensor.empty(*o.shape))
    schedule = create_schedule([o._node, gradient._node], HostBuffer, COSTS)[0]
    assert 12 * 6 * rows * rows not in {k.buffers[slot].size for k in schedule.kernels for slot in k.written}


def test_wide_heads_store_no_scores_either() -> None:
    q, k, v, weight = (G.empty(1, 8, 2048, 128) for _ in range(4))
    o = attention(q, k, v)
    schedule = schedule_of([o, *(o * weight).sum(0, 1, 2, 3).reshape().backward([q, k, v])])
    assert len(schedule.kernels) <= 5 and largest_stored(schedule) == 8 * 2048 * 128


def test_logits_of_a_small_model_are_stored_rather_than_computed_again() -> None:
    x, weight, labels = G.empty(1024, 288), G.empty(32000, 288), G.empty(1024, dtype=dtypes.int32)
    loss = cross_entropy(x.linear(weight), labels)
    schedule = schedule_of([loss, *loss.backward([x, weight])])
    products = [n for k in schedule.kernels for n in toposort(k.ast) if n.op is Ops.REDUCE and 288 in n.src[0].shape]
    assert len(products) == 3  # logits, and the two gradients


@pytest.mark.parametrize("symbolic", [False, True])
def test_attention_that_is_put_together_by_tokens_and_rounded_is_one_kernel_still(symbolic: bool) -> None:
    """Heads side by side are parts of an axis: a kernel over it took their scores to depend on all of it, computed its
    rows' statistics in another kernel, and every score twice.
    """
    tokens, heads, width, keys = 512, 8, 64, 1024
    end = Variable("end", 1, keys).bind(700) if symbolic else keys
    q = Tensor.empty(1, heads, tokens, width)
    k, v = Tensor.empty(1, heads, keys, width)[:, :, :end], Tensor.empty(1, heads, keys, width)[:, :, :end]
    mixed = (q @ k.transpose(-1, -2)).softmax(-1) @ v
    together = mixed.transpose(1, 2).reshape(1, tokens, heads * width).cast("bfloat16")
    kernels = create_schedule([together.uop], HostBuffer, COSTS)[0].kernels
    reduces = [sum(u.op is Ops.REDUCE for u in toposort(kernel.ast)) for kernel in kernels]
    assert sorted(reduces) == [0, 4]     # the rounding; scores, their largest, their sum, the mixture
