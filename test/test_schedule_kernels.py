"""How many kernels named computations become, what they keep from memory, and why each buffer is one."""
from __future__ import annotations

from typing import Any

import pytest
from graph_builder import G, HostBuffer, attention, case, cross_entropy, heads

from minigrad.dtype import dtypes
from minigrad.schedule import Reason, Schedule, create_schedule
from minigrad.schedule.cost import Costs
from minigrad.tensor import Tensor
from minigrad.uops import Ops, UOp, toposort

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


def test_attention_backward_is_few_kernels_and_stores_no_scores() -> None:
    for length in (256, 1024, 4096):
        schedule = schedule_of(case(f"attention backward {length}", G.empty, True))
        assert len(schedule.kernels) <= 5
        assert largest_stored(schedule) == 16 * length * 64  # never length * length


def test_memory_of_attention_grows_linearly_forward_and_backward() -> None:
    bytes_for = {n: arena(schedule_of(case(f"attention backward {n}", G.empty, True))) for n in (512, 1024, 2048, 8192)}
    for shorter, longer in ((512, 1024), (1024, 2048), (2048, 8192)):
        assert bytes_for[longer] <= longer // shorter * bytes_for[shorter] * 1.05


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


def test_cores_decide_what_counts_as_parallel() -> None:
    row = [G.empty(1, 1 << 16).softmax()]
    assert len(schedule_of(row, cores=1).kernels) == 1
    assert len(schedule_of(row, cores=64).kernels) > 1


def test_loops_of_what_is_kept_stand_outermost() -> None:
    # softmax down the columns: the statistics of a column are computed once, so columns are the outer loop
    kernel, = schedule_of([G.empty(512, 256).permute(1, 0).softmax().permute(1, 0).contiguous()]).kernels
    store, = kernel.ast.src
    assert tuple(store.src[1].shape) == (256, 512) and store.arg.views[0].strides == (1, 256)
    # the gradient of attention's values, stored (width, keys): probabilities depend on the key, not on the width
    schedule = schedule_of(case("attention backward 1024", G.empty, True))
    transposed = [k for k in schedule.kernels if k.buffers[0].shape == (1, 16, 1, 64, 1024)]
    assert [tuple(n for n in k.ast.src[0].src[1].shape if n != 1) for k in transposed] == [(16, 1024, 64)]
    # nothing is turned around for a plain matmul, elementwise op or row softmax
    for name in ("softmax", "mlp", "norm and matvec", "conv"):
        assert all(s.arg is None for k in big(name).kernels for s in k.ast.src)


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
