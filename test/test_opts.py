"""Opts: each computes what the kernel without opts does, and `check` names the precondition that is not met."""
from __future__ import annotations

import numpy as np
import pytest
from kernel_cases import CASES, F32, Case, difference, finish_specs, one, param, run

from minigrad.codegen import nest
from minigrad.codegen.lower import Loops, lower_ast
from minigrad.codegen.opts import (
    Carry,
    Fuse,
    Merge,
    NonTemporal,
    Opt,
    Order,
    Peel,
    Split,
    Thread,
    Unroll,
    Upcast,
    Vector,
)
from minigrad.codegen.pipeline import apply_opts, lower_kernel
from minigrad.codegen.place import Bound, Place
from minigrad.codegen.prefetch import Ahead, Prefetch
from minigrad.codegen.simplify import simplify
from minigrad.runtime.device import Buffer, get_device
from minigrad.shape.build import mul
from minigrad.target import Target
from minigrad.uops import Ops, RangeArg, UOp, toposort
from minigrad.uops.uop import index_const

TARGET = Target(name="CPU", arch="x86_64", vector_bytes=64, registers=32, l1=32 << 10, l2=1 << 20, l3=8 << 20, cores=2,
                features=frozenset(), scratch=1 << 20)


def loops_of(name: str, *opts: Opt) -> Loops:
    loops = lower_ast(simplify(CASES[name].ast))
    apply_opts(loops, opts, TARGET)
    return loops


def reason(name: str, opt: Opt, *before: Opt) -> str:
    found = opt.check(loops_of(name, *before), TARGET)
    assert found is not None, f"{opt} is let through"
    return found


def names(loops: Loops) -> set[str]:
    return {u.arg.name for u in toposort(loops.root) if u.op is Ops.RANGE}


def source(name: str, *opts: Opt) -> str:
    device = get_device("CPU")
    return finish_specs(device, lower_kernel(CASES[name].ast, TARGET, opts)).source


# ---- every opt computes the same

EQUAL: list[tuple[str, str, tuple[Opt, ...]]] = [
    ("split with a remainder", "matmul", (Split("o0", 4), Split("o1", 16), Split("r0", 8))),
    ("split without one", "matmul", (Split("r0", 7), Split("r0.1", 7))),
    ("split of a symbolic range", "symbolic_softmax", (Split("o1", 16), Split("r0", 4), Split("r1", 8))),
    ("merge of outputs", "adam", (Merge("o0", "o1"),)),
    ("carry of a maximum", "largest_column", (Split("r0", 4), Carry("r0.0", "o1"))),
    ("fuse", "two_products", (Fuse("r0", "r1"), Split("o1", 16), Vector("o1.1"))),
    ("order of reduces", "largest_of_two_axes", (Order(("r0_1", "r0_0")),)),
    ("merge undoes a split", "matmul", (Split("o1", 2), Merge("o1.0", "o1.1"))),
    ("order of outputs", "matmul", (Order(("o1", "o0")),)),
    ("order of tiles", "matmul", (Split("o0", 4), Split("o1", 4), Order(("o1.0", "o0.0", "o1.1", "o0.1")))),
    ("thread", "matmul", (Thread("o0"),)),
    ("thread of a tiled range", "matmul", (Split("o0", 4), Thread("o0.0"))),
    ("thread that is split after", "matmul", (Thread("o0"), Split("o0", 4))),
    ("thread that is peeled after", "adam", (Thread("o1"), Peel("o1", 16), Peel("o1", 4))),
    ("vector of an output", "elementwise", (Split("o1", 16), Vector("o1.1"))),
    ("vector of a reduce", "matvec", (Split("r0", 16), Vector("r0.1"))),
    ("vector over a stride", "matmul", (Split("o0", 4), Vector("o0.1"))),
    ("vector of a gathered row", "gather", (Split("o2", 2), Vector("o2.1"))),
    ("vector of gather's indices", "gather", (Split("o1", 4), Vector("o1.1"))),
    ("vector of a scatter's columns", "scatter_add", (Split("o1", 4), Vector("o1.1"))),
    ("vector of conditions", "conditions", (Split("o1", 16), Vector("o1.1"))),
    ("vector across a flip", "masked_pad", (Split("o1", 8), Vector("o1.1"))),
    ("upcast of an output", "matmul", (Split("o0", 4), Upcast("o0.1"))),
    ("upcast of a reduce", "matmul", (Split("r0", 4), Upcast("r0.1"))),
    ("upcast of the outer part", "matmul", (Split("r0", 4), Upcast("r0.0"))),
    ("unroll", "bytes", (Split("r0", 4), Unroll("r0.1"))),
    ("unroll of all", "window", (Unroll("r0"),)),
    ("peel", "matmul", (Peel("o0", 12), Peel("r0", 16), Peel("o1", 32))),
    ("peel from the end", "symbolic_softmax", (Split("o1", 16), Peel("o1.0", -1))),
    ("peel of a reduce of two axes", "everything", (Peel("r0_0", 3), Peel("r0_1", -2))),
    ("peel of a scatter's rows", "scatter_set", (Peel("s0", 5), Peel("o1", 8))),
    ("peel twice", "matmul", (Peel("o1", -1), Peel("o1", 3), Split("o1'", 4), Split("o1''", 4))),
    ("place at a level", "matmul_softmax", (Place("v0", ("o0",)),)),
    ("place outside of all", "matmul_softmax", (Place("v0", ()),)),
    ("place of rows", "attention", (Split("o1", 4), Place("v1", ("o0", "o1.0")))),
    ("place of exponentials and scores", "attention", (Split("o1", 4), Place("v3", ("o0", "o1.0")),
                                                       Place("v1", ("o0", "o1.0")))),
    ("place of an operand in panels", "matmul", (Place("p2", (), ((1, 16, 0), (0, 1, 0), (1, 1, 16))),)),
    ("place of an operand, turned", "linear", (Place("p2", (), ((1, 1, 0), (0, 1, 0))),)),
    ("place of 16-bit floats", "matmul_bf16", (Place("p2", ("o0",)),)),
    ("place of an index", "gather", (Place("p2", ("o0",)),)),
    ("a placed value, tiled", "matmul_softmax", (Place("v0", ("o0",)), Split("v0_1", 16), Upcast("v0_1.0"),
                                                 Vector("v0_1.1"))),
    ("a placed value, padded in its inner part", "matmul_softmax", (Place("v0", ("o0",)), Split("v0_1", 3),
                                                                    Split("v0_1.1", 4), Upcast("v0_1.0"))),
    ("bound by a causal mask", "attention", (Bound("r1", ("o1",)), Bound("r2", ("o1",)), Bound("r3", ("o1",)))),
    ("bound by a mask, in tiles", "cumulative_sum", (Split("o1", 4), Bound("r0", ("o1.0",), 8), Split("r0", 8))),
    ("bound at its start", "sum_of_what_follows", (Bound("r0", ("o1",)),)),
    ("bound at its start, in tiles", "sum_of_what_follows", (
        Split("o1", 4), Bound("r0", ("o1.0",), 8), Split("r0", 8), Vector("r0.1"))),
    ("bound, then split with a rest", "cumulative_sum", (Bound("r0", ("o1",)), Split("r0", 8), Vector("r0.1"))),
    ("peeled, then cut among threads", "matmul", (Peel("o0", 4), Peel("o1", 16), Thread("o0"))),
    ("cut among threads inside of peeled loops", "matmul", (Peel("o0", 4), Split("o1", 16), Peel("o1.0", 1),
                                                           Vector("o1.1"), Thread("o1.0"))),
    ("bound and peeled", "cumulative_sum", (Bound("r0", ("o1",)), Peel("r0", -1), Peel("o1", 5))),
    ("carry of blocks", "matmul", (Split("r0", 8), Carry("r0.0", "o0"))),
    ("carry of blocks, tiled", "matmul", (Split("r0", 8), Carry("r0.0", "o1"), Split("o1", 16), Upcast("r0.1"),
                                          Vector("o1.1"), Thread("o0"))),
    ("carry in scratch", "matmul_softmax", (Place("v0", ("o0",)), Split("r0", 3), Carry("r0.0", "v0_1"))),
    ("carry with the first block apart", "int_matmul", (Split("r0", 6), Carry("r0.0", "o0"), Peel("r0.0", 1))),
    ("streamed stores", "elementwise", (Split("o1", 16), Vector("o1.1"), NonTemporal(0))),
    ("the next row on its way", "elementwise", (Split("o1", 16), Vector("o1.1"), Prefetch(1, "o0", "o1.0"))),
    ("what lies behind on its way", "matvec", (Split("r0", 16), Vector("r0.1"), Ahead(2, 2048))),
]


@pytest.mark.parametrize("part", range(2))
def test_every_opt_computes_the_same(part: int) -> None:
    """In one compiler call."""
    device = get_device("CPU")
    rows = EQUAL[part::2]
    # vectors of 64 bytes are right on any machine, only not fast
    specs = [finish_specs(device, lower_kernel(CASES[name].ast, TARGET, opts)) for _, name, opts in rows]
    problems = []
    for (what, name, _), program in zip(rows, device.compile(specs)):
        case: Case = CASES[name]
        for variables in case.bindings:
            found = difference(case, run(program, case, variables), case.expected(variables))
            if found is not None:
                problems.append(f"{what} ({name}, {dict(variables)}): {found}")
    assert not problems, "\n".join(problems)


def test_no_opt_leaves_the_kernel_as_it_was() -> None:
    """Each list changes the source, so that the comparison above compares two kernels."""
    assert not [what for what, name, opts in EQUAL if source(name, *opts) == source(name)]


def test_streamed_stores_reach_memory_at_any_alignment() -> None:
    device, n = get_device("CPU"), 4096
    case = one("streamed", mul(param(1, (n,)), 2.0))
    opts = (Split("o0", 16), Vector("o0.1"), NonTemporal(0))
    program, = device.compile([finish_specs(device, lower_kernel(case.ast, TARGET, opts))])
    memory, x = np.zeros(n + 32, np.float32), np.arange(n, dtype=np.float32)
    for start in range(17):
        out = memory[start:start + n]
        device.launch(program, [Buffer.external(memory, out.ctypes.data, (n,), F32, readonly=False),
                                Buffer.from_numpy(x)], {})
        assert (out == 2 * x).all()


# ---- what `check` says, by the precondition

UNKNOWN: list[Opt] = [Split("x", 4), Vector("x"), Upcast("x"), Unroll("x"), Peel("x", 2), Bound("x", ())]


@pytest.mark.parametrize("opt", UNKNOWN, ids=lambda opt: type(opt).__name__)
def test_a_range_must_exist(opt: Opt) -> None:
    assert reason("matmul", opt) == "there is no range x"


def test_what_is_named_must_exist() -> None:
    assert "no loops over exactly" in reason("matmul", Order(("o0", "x")))
    assert "x is not a loop around everything" in reason("matmul", Thread("x"))
    assert reason("matmul", Place("v9", ())) == "there is no value v9"
    assert reason("matmul", Place("p1", ("x",))) == "level x is not one loop"
    assert reason("attention", Bound("r1", ("x",))) == "a range of the level is missing"
    in_lanes = (Split("r0", 2), Split("r0.0", 8), Vector("r0.0.1"))
    assert "elsewhere for each lane" in reason("symbolic_softmax", Bound("r0.1", ("r0.0.1",)), *in_lanes)
    shifted = [Place(f"v{n}", ("o0",)).check(loops_of("shifted_halves"), TARGET) for n in range(2)]
    assert sum("are used before its start" in (why or "") for why in shifted) == 1
    assert reason("matmul", NonTemporal(7)) == "slot 7 is not stored"


def test_split_needs_a_size_and_a_loop() -> None:
    assert "splits nothing" in reason("matmul", Split("o0", 1))
    assert reason("elementwise", Split("o1.1", 2), Split("o1", 16), Vector("o1.1")) == "o1.1 is lane"


def test_merge_needs_neighbours_and_plain_addresses() -> None:
    assert "are not two loops" in reason("two_products", Fuse("r0", "r0"))
    assert "different bounds" in reason("two_products", Fuse("r0", "o0"))
    assert "needs the other's" in reason("layernorm_statistics", Fuse("r0", "r1"))
    assert "do not stand together" in reason("matmul", Merge("o1", "o0"))
    assert "do not stand together" in reason("matmul", Merge("o1", "r0"))
    assert "would need a division" in reason("matmul", Merge("o0", "o1"))
    assert "constant inner size" in reason("symbolic_softmax", Merge("o0", "o1"))
    assert "a level of scratch" in reason("adam", Merge("o0", "o1"), Place("p3", ("o0",)))


def test_order_keeps_bounds_inside_of_what_they_mention() -> None:
    bounded = (Split("r0", 4), Bound("r0.1", ("o1", "r0.0")))
    assert "depend on ranges further in" in reason("cumulative_sum", Order(("r0.1", "r0.0")), *bounded)


def test_thread_cuts_one_outer_loop_once() -> None:
    assert reason("matmul", Thread("o1"), Thread("o0")) == "o0 is cut already"
    assert "not a loop around everything" in reason("matmul", Thread("r0"))
    assert "not a loop around everything" in reason("layernorm_statistics", Thread("o1"))
    assert "not a loop around everything" in reason("matmul", Thread("o0"), Peel("o0", 4), Split("o0'", 2))
    assert "not a loop around everything" in reason("elementwise", Thread("o1.1"), Split("o1", 16), Vector("o1.1"))


def test_what_is_cut_among_threads_keeps_its_unit() -> None:
    cut = (Thread("o1"), Peel("o1", 16))
    assert "part of what is cut" in reason("adam", Split("o1", 4), *cut)
    assert "part of what is cut" in reason("adam", Split("o1'", 4), *cut)
    assert "is cut among threads" in reason("adam", Merge("o0", "o1"), Thread("o1"))
    for opt in (Vector("o1"), Upcast("o1")):
        assert "has to stay a loop" in reason("matmul", opt, Thread("o1"))


def test_a_scatter_keeps_the_order_of_its_indices() -> None:
    for opt in (Thread("s0"), Order(("o1", "s0"))):
        assert "the order of a scatter's index axes is fixed" in reason("scatter_set", opt)
    for opt in (Vector("s0"), Upcast("s0")):
        assert "has to stay a loop" in reason("scatter_set", opt)
    for opt in (Thread("s0.0"), Order(("s0.1", "s0.0", "o1"))):
        assert "order of a scatter's index axes is fixed" in reason("scatter_set", opt, Split("s0", 4))
    assert "has to stay a loop" in reason("scatter_set", Upcast("s0.0"), Split("s0", 4))
    assert "has to stay a loop" in reason("scatter_set", Upcast("s0'"), Peel("s0", 8))


def test_lanes_are_as_many_as_a_vector_holds() -> None:
    assert "13 lanes are no vector" in reason("matmul", Vector("o0"))
    assert "32 lanes are no vector" in reason("matmul", Vector("o1.1"), Split("o1", 32))
    assert "no constant size" in reason("symbolic_softmax", Vector("o1"))
    assert "does not start at 0" in reason("matmul", Vector("o0'"), Peel("o0", 9))
    assert reason("elementwise", Vector("o1.1"), Split("o1", 16), Vector("o1.1")) == "o1.1 is lane"


def test_a_value_has_one_lane() -> None:
    assert "two lanes" in reason("matmul", Vector("o0.1"), Split("o0", 4), Split("o1", 16), Vector("o1.1"))


def test_levels_and_what_bounds_mention_stay_loops() -> None:
    placed = (Split("o1", 4), Place("v1", ("o0", "o1.0")))
    for opt in (Vector("o0"), Upcast("o0")):
        assert "is a level of scratch" in reason("attention", opt, *placed)
    causal = (Split("o1", 4), Bound("r0", ("o1.0", "o1.1")))
    for opt in (Vector("o1.1"), Upcast("o1.1")):
        assert "depend" in reason("cumulative_sum", opt, *causal)


def test_only_small_constant_ranges_are_duplicated() -> None:
    assert "no small constant size" in reason("matvec", Upcast("r0"))
    assert "no small constant size" in reason("symbolic_softmax", Upcast("o1"))
    assert "is no reduce's" in reason("matmul", Unroll("o0"))


def test_peel_cuts_inside_of_a_loop_from_0() -> None:
    for at in (0, 13, 40, -13):
        assert "cannot be cut" in reason("matmul", Peel("o0", at))
    assert "cannot be cut" in reason("symbolic_softmax", Peel("o1", 3))
    assert "is no loop from 0" in reason("matmul", Peel("o0'", 10), Peel("o0", 9))
    assert "inside of a fill's loops" in reason("matmul_softmax", Peel("p2_1", 3), Place("p2", ("o0",)))


def test_a_level_stands_around_every_use() -> None:
    assert "not around every use" in reason("layernorm_statistics", Place("v0", ("o0", "o1")))
    assert "not a reduce's" in reason("matmul", Place("p1", ("r0",)))
    assert "in scratch already" in reason("matmul", Place("p2", ("o0",)), Place("p2", ()))
    assert "does not name every axis" in reason("matmul", Place("p2", (), ((0, 1, 0),)))


def test_scratch_has_a_limit() -> None:
    loops = loops_of("matmul")
    small = Target(name="CPU", arch="x86_64", vector_bytes=64, registers=32, l1=1, l2=1, l3=1, cores=1,
                   features=frozenset(), scratch=1000)
    assert "more than the scratch" in str(Place("p2", ()).check(loops, small))


def test_uses_that_start_at_different_places_are_not_placed_together() -> None:
    assert "start at different places" in reason("window", Place("p1", ("o0", "o2")), Unroll("r0"))


def test_bound_needs_a_guard_of_a_reduce_inside_of_the_level() -> None:
    assert reason("matmul", Bound("r0", ())) == "no guard bounds it"


def test_a_loop_bound_on_both_sides_counts_what_lies_between() -> None:
    loops = loops_of("sum_of_what_follows", Bound("r0", ("o1",)))
    (r,), (row,) = nest.ranges_named(loops.root, "r0"), nest.ranges_named(loops.root, "o1")
    assert [nest.substitute(r.src[1], {row: index_const(i)}).arg for i in (0, 5, 15, 20)] == [9, 9, 6, 1]
    assert "is no reduce's" in reason("matmul", Bound("o0", ()))
    assert "not positive" in reason("attention", Bound("r1", ("o1",), 0))
    assert reason("everything", Bound("r0_1.1", ("r0_0",)), Split("r0_1", 4), Vector("r0_1.1")) == "r0_1.1 is lane"
    inside_out = (Split("r0_1", 4), Order(("r0_1.1", "r0_1.0", "r0_0")))
    assert "not around every loop" in reason("everything", Bound("r0_1.1", ("r0_1.0",)), *inside_out)


def test_carry_needs_a_bare_sum_in_blocks() -> None:
    assert "is not one loop" in reason("matmul", Carry("x", "o0"))
    assert "more to store" in reason("adam", Carry("o1", "o0"))
    assert "no reduce over it" in reason("linear", Carry("r0.0", "o0"), Split("r0", 8))
    assert "no output range" in reason("matmul", Carry("r0.0", "r0.1"), Split("r0", 8))
    assert "has to stay outside" in reason("matmul", Carry("r0.0", "o0"), Split("r0", 8), Thread("o0"))
    carried = (Split("r0", 8), Carry("r0.0", "o0"))
    assert "order" in reason("matmul", Thread("r0.0"), *carried)
    assert "read while it is written" in reason("matmul", Place("p0", ()), *carried)


def test_what_is_read_again_is_not_streamed() -> None:
    assert "is read again" in reason("adam", NonTemporal(0))
    assert "not plain stores" in reason("scatter_add", NonTemporal(0))


def test_a_list_that_does_not_fit_names_its_opt() -> None:
    with pytest.raises(ValueError, match=r"Vector\(range='o0'\): 13 lanes"):
        lower_kernel(CASES["matmul"].ast, TARGET, [Vector("o0")])


# ---- what they do

def test_names_grow_with_splits_and_peels() -> None:
    assert names(loops_of("matmul", Split("o0", 4))) == {"o0.0", "o0.1", "o1", "r0"}
    assert names(loops_of("matmul", Peel("o0", 4))) == {"o0", "o0'", "o1", "r0"}
    assert "o0''" in names(loops_of("matmul", Peel("o0", 8), Peel("o0", 4)))


def test_a_register_tile_has_an_accumulator_for_each_vector() -> None:
    tile = (Split("o0", 4), Split("o1", 16), Upcast("o0.1"), Vector("o1.1"))
    assert source("matmul", *tile).count("f32x16 acc") == 4


def test_upcast_of_a_reduce_has_independent_accumulators_and_unroll_one() -> None:
    assert source("matmul", Split("r0", 3), Upcast("r0.1")).count("float acc") == 3
    assert source("matmul", Split("r0", 3), Unroll("r0.1")).count("float acc") == 1


def test_peeling_folds_the_guard_of_the_main_part() -> None:
    text = source("elementwise", Split("o1", 16), Peel("o1.0", 2), Vector("o1.1"))
    main, rest = text.split("o1_0t = ")
    assert "mg_store" not in main and "mg_store" in rest


def test_a_peeled_copy_opens_ranges_of_its_own() -> None:
    loops = loops_of("matmul", Peel("o0", 8))
    reduces = [u for u in toposort(loops.root) if u.op is Ops.REDUCE]
    assert len({nest.parts(u)[1] for u in reduces}) == len(reduces) == 2


def test_bound_shortens_the_loop_to_the_guard() -> None:
    loops = loops_of("cumulative_sum", Bound("r0", ("o1",)))
    (r,) = nest.ranges_named(loops.root, "r0")
    (row,) = nest.ranges_named(loops.root, "o1")
    assert r.src[1] is row + 1
    tiled = loops_of("cumulative_sum", Bound("r0", ("o1",), 4))
    (r,) = nest.ranges_named(tiled.root, "r0")
    for i in range(21):
        assert nest.substitute(r.src[1], {row: UOp.const(row.dtype, i)}).arg == min((i + 4) // 4 * 4, 21)


def test_a_placed_value_is_computed_in_a_nest_of_its_own() -> None:
    loops = loops_of("matmul_softmax", Place("v0", ("o0",)))
    fills = [u for u in toposort(loops.root) if u.op is Ops.END and nest.parts(u)[2]]
    assert len(fills) == 1 and [r.arg.name for r in nest.parts(fills[0])[1]] == ["v0_1"]
    assert [r.arg for r in nest.parts(fills[0])[2]] == [RangeArg("o0")]
    assert sum(u.op is Ops.REDUCE and nest.parts(u)[1][0].arg.name == "r0" for u in toposort(loops.root)) == 1


def test_opts_are_values() -> None:
    opts = (Split("o0", 4), Place("p2", ("o0.0",), ((0, 1, 0), (1, 1, 0))))
    assert eval(repr(opts), {"Split": Split, "Place": Place}) == opts and hash(opts) == hash(tuple(opts))
    assert lower_kernel(CASES["matmul"].ast, TARGET, opts).opts == opts
