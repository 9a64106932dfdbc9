"""The printer: one line a node, integers in place, text that depends on structure alone."""

from counting import calls

from minigrad.dtype import dtypes
from minigrad.printer import lines, render, walk
from minigrad.shape import ShapeTracker
from minigrad.uops import Ops, ParamArg, ReduceArg, UOp, Variable


def param(slot: int, *shape: int) -> UOp:
    return UOp(Ops.PARAM, dtypes.float32, (), ParamArg(slot, shape))


def kernel(value: UOp) -> UOp:
    return UOp.sink(UOp(Ops.STORE, dtypes.void, (param(0, *value.shape), value)))


def test_every_node_has_one_line_after_its_sources() -> None:
    e = UOp(Ops.EXP, dtypes.float32, (param(1, 4),))
    text = render(kernel(UOp(Ops.MUL, dtypes.float32, (e, e))))
    assert text.splitlines() == [
        "%0 = PARAM  slot=0 shape=(4,)  float32 (4,)",
        "%1 = PARAM  slot=1 shape=(4,)  float32 (4,)",
        "%2 = EXP %1  float32 (4,)",
        "%3 = MUL %2 %2  float32 (4,)",
        "%4 = STORE %0 %3",
        "SINK %4",
    ]


def test_integers_are_written_as_expressions_with_their_variables_bounds() -> None:
    n, m = Variable("n", 1, 8), Variable("m", 0, 3)
    text = render(UOp.sink((n * 4 + m - 3) // 5))
    assert text.splitlines() == ["m in 0..3", "n in 1..8", "SINK (n*4 + m + 2)//5 - 1"]


def test_constants_show_their_dtype() -> None:
    memory = UOp(Ops.PARAM, dtypes.float16, (), ParamArg(0, (2,)))
    half = UOp(Ops.ADD, dtypes.float16, (memory, UOp.const(dtypes.float16, 2)))
    assert "ADD %0 2.0:float16" in render(half)


def test_symbolic_shapes_and_views_are_readable() -> None:
    n = Variable("n", 1, 8)
    view = UOp(Ops.VIEW, dtypes.float32, (param(1, 8),), ShapeTracker.contiguous((8,)).shrink(((0, n),)))
    text = render(view)
    assert text.splitlines()[0] == "n in 1..8" and "float32 (n,)" in text and "View(shape=(n,)" in text


def test_arguments_show_their_fields() -> None:
    assert "op=ADD axes=(0,)" in render(UOp(Ops.REDUCE, dtypes.float32, (param(0, 4),), ReduceArg(Ops.ADD, (0,))))


def test_text_does_not_depend_on_the_age_of_nodes() -> None:
    def build() -> str:
        return render(kernel(UOp(Ops.ADD, dtypes.float32, (UOp(Ops.SIN, dtypes.float32, (param(1, 3),)), param(2, 3)))))
    first = build()
    param(2, 3)
    assert build() == first


def test_negative_zero_and_nan_differ_from_zero_in_the_text() -> None:
    texts = {render(UOp.sink(UOp.const(dtypes.float32, value))) for value in (0.0, -0.0, float("nan"), float("inf"))}
    assert len(texts) == 4


def test_deep_graphs_print_in_linear_time_without_recursion() -> None:
    def cost(depth: int) -> int:
        node = param(1, 4)
        for _ in range(depth):
            node = UOp(Ops.NEG, dtypes.float32, (node,))
        printed: list[str] = []
        count = calls(lambda: printed.extend(lines(kernel(node))))
        assert len(printed) == depth + 4
        return count

    assert cost(50_000) < 10.5 * cost(5000)


def test_walk_finds_nodes_inside_of_arguments() -> None:
    n = Variable("n", 1, 8)
    assert n in walk(UOp(Ops.IOTA, dtypes.int32, (), n + 1))
