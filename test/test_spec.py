"""Specs: what each stage may hand on, and that a graph which breaks a row is named."""
import pytest

from minigrad.dtype import dtypes
from minigrad.shape import ShapeTracker
from minigrad.spec import KERNEL, TENSOR, SpecError, check, check_linear
from minigrad.uops import Ops, ParamArg, ReduceArg, ScatterArg, UOp, Variable, VariableArg

F, I = dtypes.float32, dtypes.int32


def param(slot: int, *shape: int, dtype=F) -> UOp:
    return UOp(Ops.PARAM, dtype, (), ParamArg(slot, shape))


def kernel(*stores: UOp) -> UOp:
    return UOp.sink(*stores)


def store(target: UOp, value: UOp, arg=None) -> UOp:
    return UOp(Ops.STORE, dtypes.void, (target, value), arg)


def refused(spec, root: UOp, text: str) -> None:
    with pytest.raises(SpecError, match=text):
        check(spec, root)


def test_a_plain_kernel_passes() -> None:
    value = UOp(Ops.REDUCE, F, (UOp(Ops.EXP, F, (param(1, 4, 3),)),), ReduceArg(Ops.ADD, (1,)))
    check(KERNEL, kernel(store(param(0, 4, 1), value)))


def test_slots_must_be_dense_and_unique() -> None:
    refused(KERNEL, kernel(store(param(0, 4), param(2, 4))), "slots")
    refused(KERNEL, kernel(store(param(0, 4), UOp(Ops.ADD, F, (param(1, 4), UOp(Ops.NEG, F, (UOp(
        Ops.VIEW, F, (param(1, 2, 2),), ShapeTracker.contiguous((2, 2)).reshape((4,))),)))))), "two buffers in slot 1")


def test_buffers_and_bound_variables_stay_out_of_kernels() -> None:
    n = Variable("n", 1, 4)
    refused(KERNEL, kernel(store(param(0, 4), UOp(Ops.CONTIGUOUS, F, (param(1, 4),)))), "may not appear")
    refused(KERNEL, kernel(store(param(0), UOp(Ops.CAST, F, (n.bind(2),)))), "may not appear")


def test_sources_of_elementwise_ops_agree_in_shape_and_dtype() -> None:
    refused(TENSOR, UOp(Ops.ADD, F, (param(0, 4), param(1, 5))), "may not appear|shapes differ")
    refused(KERNEL, kernel(store(param(0, 4), UOp(Ops.ADD, F, (param(1, 4), param(2, 5))))), "shapes differ")
    refused(KERNEL, kernel(store(param(0, 4), UOp(Ops.ADD, F, (param(1, 4), param(2, 4, dtype=I))))), "dtypes differ")
    refused(KERNEL, kernel(store(param(0, 4, dtype=I), UOp(Ops.EXP, I, (param(1, 4, dtype=I),)))), "not of kind")


def test_scalars_stretch() -> None:
    n = Variable("n", 1, 4)
    check(KERNEL, kernel(store(param(0, 4), UOp(Ops.MUL, F, (param(1, 4), UOp.const(F, 2))))))
    check(KERNEL, kernel(store(param(0, 4, dtype=I), UOp(Ops.ADD, I, (UOp(Ops.IOTA, I, (), 4), UOp.const(I, 3))))))
    cast = UOp(Ops.ADD, I, (UOp(Ops.IOTA, I, (), 4), UOp(Ops.CAST, I, (n,))))  # a cast is no scalar any more
    refused(KERNEL, kernel(store(param(0, 4, dtype=I), cast)), "shapes differ")


def test_stores_fit_what_they_are_stored_to() -> None:
    refused(KERNEL, kernel(store(param(0, 4), param(1, 5))), "stores shape")
    refused(KERNEL, kernel(store(param(0, 4, dtype=I), param(1, 4))), "stores dtypes.float32")
    region = ShapeTracker.contiguous((4,)).shrink(((1, 3),))
    check(KERNEL, kernel(store(param(0, 4), param(1, 2), region)))
    refused(KERNEL, kernel(store(param(0, 4), param(1, 4), region)), "through a view")


def test_views_stay_inside_their_base() -> None:
    wide = ShapeTracker.contiguous((8,))
    outside = UOp(Ops.VIEW, F, (param(1, 4),), wide)
    refused(KERNEL, kernel(store(param(0, 8), outside)), "reads elements 0..7 of a base of 4")
    padded = ShapeTracker.contiguous((4,)).pad(((2, 2),))
    check(KERNEL, kernel(store(param(0, 8), UOp(Ops.VIEW, F, (param(1, 4),), padded))))


def test_views_of_views_are_composed() -> None:
    flip = ShapeTracker.contiguous((4,)).flip((0,))
    inner = UOp(Ops.VIEW, F, (param(1, 4),), flip)
    refused(KERNEL, kernel(store(param(0, 4), UOp(Ops.VIEW, F, (inner,), flip))), "compose")


def test_reduce_axes_are_ascending_and_exist() -> None:
    for axes in ((2,), (1, 0), (), (0, 0)):
        value = UOp(Ops.REDUCE, F, (param(1, 4, 3),), ReduceArg(Ops.ADD, axes))
        refused(KERNEL, kernel(store(param(0, 1), value)), "axes")


def test_scattered_stores_have_an_index_and_a_mode() -> None:
    index, value = param(1, 3, dtype=I), param(2, 3, 2)
    good = UOp(Ops.STORE, dtypes.void, (param(0, 5, 2), value, index), ScatterArg("add"))
    check(KERNEL, kernel(good))
    refused(KERNEL, kernel(good.replace(arg=ScatterArg("max"))), "mode")
    refused(KERNEL, kernel(good.replace(src=(param(0, 5, 2), param(2, 2, 2), index))), "value has shape")


def test_constants_hold_what_their_dtype_says() -> None:
    refused(TENSOR, UOp(Ops.CONST, F, (), 1), "holds float")
    refused(TENSOR, UOp(Ops.CONST, dtypes.uint8, (), 256), "does not fit")


def test_two_variables_of_one_name_are_refused() -> None:
    a, b = Variable("n", 1, 4), UOp(Ops.VARIABLE, dtypes.index, (), VariableArg("n", 1, 5))
    value = UOp(Ops.ADD, F, (UOp(Ops.CAST, F, (a,)), UOp(Ops.CAST, F, (b,))))
    refused(KERNEL, kernel(store(param(0), value)), "two variables of one name")


def test_the_error_names_stage_node_and_values() -> None:
    with pytest.raises(SpecError, match=r"kernel AST: <ADD float32 #\d+> .*shapes differ: \[\(4,\), \(5,\)\]"):
        check(KERNEL, kernel(store(param(0, 4), UOp(Ops.ADD, F, (param(1, 4), param(2, 5))))))


# ---- lists

def copying(size: int = 4, extent: int = 4, gate: bool = True) -> list[UOp]:
    """for i in range(extent): out[i] = in[i], over memory of `size` elements."""
    i = UOp.range("i", 0, extent)
    loop = UOp(Ops.LOOP, dtypes.index, (i,))
    target, source = (UOp(Ops.INDEX, dtypes.index, (param(slot, size), i, UOp.const(dtypes.bool, gate)))
                      for slot in (0, 1))
    load = UOp(Ops.LOAD, F, (source,), 1)
    return [loop, load, UOp(Ops.STORE, dtypes.void, (target, load)), UOp(Ops.ENDLOOP, dtypes.void, (loop,))]


def refused_list(ops: list[UOp], text: str) -> None:
    with pytest.raises(SpecError, match=text):
        check_linear(ops)


def test_a_plain_loop_passes() -> None:
    check_linear(copying())
    check_linear([*copying(), *copying()])


def test_values_are_made_before_they_are_used_and_not_used_after_their_block() -> None:
    loop, load, store_, end = copying()
    refused_list([loop, store_, load, end], "before it is made")
    refused_list([loop, load, end, store_], "before it is made, or after its block|outside of its loop")


def test_blocks_close_in_order() -> None:
    loop, load, store_, end = copying()
    refused_list([loop, load, store_], "never closed")
    refused_list([loop, load, store_, end, end], "closes something else")
    inner = UOp(Ops.LOOP, dtypes.index, (UOp.range("j", 0, 2),))
    refused_list([loop, inner, load, end], "closes something else")


def test_a_range_is_not_opened_inside_of_itself() -> None:
    loop, load, store_, end = copying()
    refused_list([loop, loop, load, store_, end, end], "open already")


def test_ranges_are_mentioned_inside_of_their_loop() -> None:
    _, load, _, _ = copying()
    refused_list([load], "outside of its loop")


def test_accesses_without_a_gate_are_proved_in_bounds() -> None:
    refused_list(copying(size=4, extent=5), "accesses elements 0..4 of 4")
    n = Variable("n", 1, 4)
    check_linear(copying(size=4, extent=n))
    refused_list(copying(size=3, extent=n), "accesses elements 0..3 of 3")


def test_updates_change_accumulators() -> None:
    loop, load, _, end = copying()
    accumulator = UOp(Ops.ACCUMULATOR, F, (UOp.const(F, 0),), 1)
    update = UOp(Ops.UPDATE, dtypes.void, (accumulator, load), Ops.ADD)
    check_linear([accumulator, loop, load, update, end])
    refused_list([loop, load, update, end, accumulator], "before it is made")
    refused_list([loop, load, UOp(Ops.UPDATE, dtypes.void, (load, load), Ops.ADD), end], "no accumulator")
