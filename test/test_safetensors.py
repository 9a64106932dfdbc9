"""safetensors: what is written is read, also by the reference package; what lies is refused, and never crashes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad import Tensor, dtypes
from minigrad.nn.state import (
    get_parameters,
    get_state_dict,
    load_state_dict,
    safe_load,
    safe_load_metadata,
    safe_save,
)
from minigrad.runtime import safetensors as format
from minigrad.runtime.disk import write_atomically
from minigrad.runtime.safetensors import SafetensorsError, parse, parse_header, write_header


def make_file(header: Any, data: bytes = b"") -> memoryview:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return memoryview(len(text).to_bytes(8, "little") + text + data)


def entry(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


# --- the header -------------------------------------------------------------------------------------------------------


def test_written_header_is_read_back() -> None:
    tensors = {"a": (dtypes.float32, (2, 3)), "b": (dtypes.bfloat16, ()), "c": (dtypes.bool, (0, 4))}
    header = write_header(tensors, {"step": "7"})
    parsed = parse(memoryview(header + bytes(26)))
    assert parsed.metadata == {"step": "7"}
    assert {name: (info.dtype, info.shape) for name, info in parsed.tensors.items()} == tensors
    assert [info.start - len(header) for info in parsed.tensors.values()] == [0, 24, 26]
    assert len(header) % 64 == 0


def test_reference_package_reads_our_header_and_we_read_its_files() -> None:
    reference = pytest.importorskip("safetensors.numpy")
    values = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array([1, -2], np.int64)}
    saved = reference.save(values, metadata={"format": "pt"})
    for name, info in parse_header(memoryview(saved)).items():
        got = np.frombuffer(saved[info.start : info.end], info.dtype.np).reshape(info.shape)
        np.testing.assert_array_equal(got, values[name])
    header = write_header({"n": (dtypes.int64, (2,)), "x": (dtypes.float32, (2, 3))})
    loaded = reference.load(header + values["n"].tobytes() + values["x"].tobytes())
    for name in values:
        np.testing.assert_array_equal(loaded[name], values[name])


BAD: dict[str, tuple[memoryview, str]] = {
    "empty file": (memoryview(b""), "has 0 bytes"),
    "length cut": (memoryview(b"\1\0\0"), "has 3 bytes"),
    "length beyond the file": (memoryview((1000).to_bytes(8, "little") + b"{}"), "bytes 8 to 1008"),
    "length of exabytes": (memoryview(b"\xff" * 16), "exceeds the limit"),
    "not UTF-8": (make_file(b"\xff\xfe"), "not JSON"),
    "not JSON": (make_file(b"{]"), "not JSON"),
    "deep nesting": (make_file(b"[" * 100_000), "nested too deeply|not JSON"),
    "an integer of ten thousand digits": (make_file(b'{"a":' + b"9" * 10_000 + b"}"), "not JSON"),
    "a list": (make_file([]), "JSON list"),
    "NaN": (make_file(b'{"a": NaN}'), "NaN"),
    "key twice": (make_file(b'{"a": 1, "a": 2}'), "'a' more than once"),
    "metadata of numbers": (make_file({"__metadata__": {"a": 1}}), "strings to strings"),
    "metadata a list": (make_file({"__metadata__": []}), "not an object"),
    "entry a number": (make_file({"a": 1}), "needs dtype"),
    "entry with more": (make_file({"a": entry() | {"more": 1}}, bytes(8)), "needs dtype"),
    "unknown dtype": (make_file({"a": entry("F8_E4M3")}, bytes(8)), "F8_E4M3"),
    "dtype a list": (make_file({"a": entry([])}, bytes(8)), "dtype"),  # type: ignore[arg-type]
    "negative extent": (make_file({"a": entry(shape=[-2])}, bytes(8)), r"shape \[-2\]"),
    "extent a bool": (make_file({"a": entry(shape=[True])}, bytes(8)), "shape"),
    "extent a float": (make_file({"a": entry(shape=[2.0])}, bytes(8)), "shape"),
    "a hundred dimensions": (make_file({"a": entry(shape=[1] * 100)}, bytes(8)), "shape"),
    "shape too large": (make_file({"a": entry(shape=[3])}, bytes(8)), "takes 12 bytes"),
    "shape overflows 64 bits": (make_file({"a": entry(shape=[2**32, 2**32])}, bytes(8)), "impossible shape"),
    "empty but huge": (make_file({"a": entry(shape=[0, 2**62], offsets=[0, 0])}), "impossible shape"),
    "offsets reversed": (make_file({"a": entry(offsets=[8, 0])}, bytes(8)), "the file ends at"),
    "offsets beyond the file": (make_file({"a": entry(offsets=[0, 16], shape=[4])}, bytes(8)), "the file ends at"),
    "negative offset": (make_file({"a": entry(offsets=[-8, 0])}, bytes(8)), "data_offsets"),
    "three offsets": (make_file({"a": entry(offsets=[0, 4, 8])}, bytes(8)), "data_offsets"),
    "overlap": (make_file({"a": entry(), "b": entry(offsets=[4, 12])}, bytes(12)), "'b' begins at .* overlaps 'a'"),
    "hole": (make_file({"a": entry(), "b": entry(offsets=[12, 20])}, bytes(20)), "'b' .* leaves a hole after 'a'"),
    "hole in front": (make_file({"a": entry(offsets=[4, 12])}, bytes(12)), "leaves a hole after the header"),
    "bytes left over": (make_file({"a": entry()}, bytes(9)), "'a' ends at byte"),
}


@pytest.mark.parametrize("name", BAD)
def test_lying_header_is_refused(name: str) -> None:
    file, message = BAD[name]
    with pytest.raises(SafetensorsError, match=message):
        parse_header(file)


@pytest.mark.parametrize(
    "tensors", [{"__metadata__": (dtypes.float32, (1,))}, {"a": (dtypes.index, (1,))}], ids=["name", "dtype"]
)
def test_what_the_format_cannot_hold_is_not_written(tensors: Any) -> None:
    with pytest.raises(SafetensorsError):
        write_header(tensors)


# --- fuzzing ----------------------------------------------------------------------------------------------------------

VALID = bytes(
    write_header(
        {"w": (dtypes.float32, (2, 3)), "b": (dtypes.int8, (5,)), "empty": (dtypes.float16, (0,))}, {"note": "x"}
    )
    + bytes(range(29))
)


@st.composite
def mutated(draw: st.DrawFn, original: bytes) -> bytes:
    """A valid file with a few bytes flipped, inserted or removed, or cut short."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "set", "insert", "delete", "cut", "digit"]))
        if kind == "flip" and data:
            data[position] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set" and data:
            data[position] = draw(st.integers(0, 255))
        elif kind == "insert":
            data[position:position] = draw(st.binary(min_size=1, max_size=9))
        elif kind == "delete":
            del data[position : position + draw(st.integers(1, 9))]
        elif kind == "cut":
            del data[position:]
        elif digits := [i for i, byte in enumerate(data) if chr(byte).isdigit()]:
            data[draw(st.sampled_from(digits))] = draw(st.sampled_from(b"0123456789"))
    return bytes(data)


@settings(deadline=None, max_examples=500)
@given(mutated(VALID))
def test_damaged_file_is_refused_or_within_its_bounds(data: bytes) -> None:
    try:
        tensors = parse_header(memoryview(data))
    except SafetensorsError:
        return
    position = 8 + int.from_bytes(data[:8], "little")
    for info in tensors.values():  # in order of offsets: exactly the rest of the file, once
        assert info.start == position
        assert info.end - info.start == int(np.prod(info.shape, dtype=object)) * info.dtype.itemsize
        position = info.end
    assert position == len(data)


def test_every_dtype_of_the_format_has_the_right_size() -> None:
    assert {name: dtype.itemsize for name, dtype in format.DTYPE_OF_NAME.items()} == {
        "BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
        "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
    }  # fmt: skip


# --- tensors ----------------------------------------------------------------------------------------------------------


def some_tensors() -> dict[str, Tensor]:
    rng = np.random.default_rng(0)
    return {
        "matrix": Tensor(rng.normal(size=(3, 5)).astype(np.float32)),
        "half": Tensor(rng.normal(size=(7,)).astype(np.float16)),
        "brain": Tensor(rng.normal(size=(2, 2)).astype(np.float32)).cast(dtypes.bfloat16),
        "counts": Tensor(np.array([1, -2, 1 << 40], np.int64)),
        "flags": Tensor(np.array([True, False, True])),
        "scalar": Tensor(np.float32(2.5)),
        "view": Tensor(np.arange(6, dtype=np.int32).reshape(2, 3)).transpose(0, 1),
        "empty": Tensor(np.zeros((0, 3), np.float32)),
    }


def values_of(tensors: dict[str, Tensor]) -> dict[str, Any]:
    return {n: (t.cast(dtypes.float32) if t.dtype is dtypes.bfloat16 else t).numpy() for n, t in tensors.items()}


def assert_same(got: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert got.keys() == expected.keys()
    for name in expected:
        assert got[name].dtype is expected[name].dtype
    for name, value in values_of(expected).items():
        np.testing.assert_array_equal(values_of(got)[name], value)


def test_saved_tensors_are_loaded_and_readable_by_the_reference_package(tmp_path: Path) -> None:
    tensors = some_tensors()
    safe_save(tensors, tmp_path / "x.safetensors", {"note": "hello"})
    assert_same(safe_load(tmp_path / "x.safetensors"), tensors)
    assert safe_load_metadata(tmp_path / "x.safetensors")[1] == {"note": "hello"}
    reference = pytest.importorskip("safetensors")
    with reference.safe_open(tmp_path / "x.safetensors", "numpy") as file:
        for name in ("matrix", "half", "counts", "view"):
            np.testing.assert_array_equal(file.get_tensor(name), tensors[name].numpy())


def test_loaded_tensors_lie_in_the_mapped_file(tmp_path: Path) -> None:
    safe_save({"x": Tensor(np.arange(1000, dtype=np.float32))}, tmp_path / "x.safetensors")
    loaded = safe_load(tmp_path / "x.safetensors")["x"]
    assert (loaded * 2).sum().item() == 999 * 1000
    assert loaded.buffer is not None
    assert loaded.buffer.is_external


@pytest.mark.parametrize("shift", range(1, 9))
def test_tensors_at_any_alignment_are_used_where_they_lie(tmp_path: Path, shift: int) -> None:
    values = np.arange(100, dtype=np.float32)
    text = json.dumps(
        {"pad": entry("U8", [shift], [0, shift]), "x": entry("F32", [100], [shift, shift + 400])}
    ).encode()
    text += b" " * (-len(text) % 8)
    (tmp_path / "x").write_bytes(len(text).to_bytes(8, "little") + text + bytes(shift) + values.tobytes())
    loaded = safe_load(tmp_path / "x")["x"]
    np.testing.assert_array_equal((loaded + 1).numpy(), values + 1)
    assert (loaded.reshape(10, 10) @ loaded.reshape(10, 10)).sum().item() == pytest.approx(
        float((values.reshape(10, 10) @ values.reshape(10, 10)).sum())
    )


def test_saving_over_the_file_that_the_tensors_come_from_is_safe(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    safe_save({"x": Tensor(np.arange(10, dtype=np.float32))}, path)
    loaded = safe_load(path)["x"]
    safe_save({"x": loaded + 1}, path)
    np.testing.assert_array_equal(loaded.numpy(), np.arange(10))
    np.testing.assert_array_equal(safe_load(path)["x"].numpy(), np.arange(10) + 1)


def test_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_atomically(path, [b"old"])

    def failing() -> Iterator[bytes]:
        yield b"new"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, failing())
    assert path.read_bytes() == b"old"
    write_atomically(path, [b"newer"])
    assert path.read_bytes() == b"newer"
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_process_killed_while_saving_leaves_a_whole_file(tmp_path: Path) -> None:
    program = (
        "import sys; from minigrad.runtime.disk import write_atomically\n"
        "i = 0\n"
        "while True:\n"
        "    i += 1; write_atomically(sys.argv[1], [bytes([i % 251]) * 1000 for _ in range(300)])\n"
    )
    path = tmp_path / "x"
    for wait in (0.0, 0.013, 0.031):
        process = subprocess.Popen([sys.executable, "-c", program, str(path)])
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(wait)
        process.kill()
        process.wait()
        data = path.read_bytes()
        assert len(data) == 300_000
        assert len(set(data)) == 1


def test_several_writers_of_one_file_take_turns(tmp_path: Path) -> None:
    def work(i: int) -> None:
        for _ in range(20):
            write_atomically(tmp_path / "x", [bytes([i]) * 5000, bytes([i]) * 5000])
            data = (tmp_path / "x").read_bytes()
            assert len(data) == 10_000
            assert len(set(data)) == 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_truncated_file_names_itself_and_the_tensor(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    safe_save({"weight": Tensor(np.zeros(10, np.float32))}, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SafetensorsError, match=r"x\.safetensors: .*'weight' is at bytes"):
        safe_load(path)


def test_bool_bytes_other_than_0_and_1_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(make_file({"a": entry("BOOL", [2], [0, 2])}, b"\1\2"))
    with pytest.raises(SafetensorsError, match="'a' holds bytes other than"):
        safe_load(tmp_path / "x")


def test_symbolic_tensors_and_strangers_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="'x' is a ndarray"):
        safe_save({"x": np.zeros(3)}, tmp_path / "x")  # type: ignore[dict-item]


# --- folders of shards ------------------------------------------------------------------------------------------------


def write_shards(folder: Path, weight_map: Any) -> None:
    safe_save({"a": Tensor([1.0]), "b": Tensor([2.0])}, folder / "one.safetensors")
    safe_save({"c": Tensor([3.0])}, folder / "two.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_shards_are_put_together(tmp_path: Path) -> None:
    write_shards(tmp_path, {"a": "one.safetensors", "c": "two.safetensors", "b": "one.safetensors"})
    assert {name: tensor.item() for name, tensor in safe_load(tmp_path).items()} == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        (None, "not an index"),
        ([1], "not an index"),
        ({"a": ["x"]}, "not an index"),
        ({"a": 1}, "not a file name"),
        ({"a": "../one.safetensors"}, "not a file name"),
        ({"a": "/etc/passwd"}, "not a file name"),
        ({"a": ".."}, "not a file name"),
        ({"a": "three.safetensors"}, "'three.safetensors' is missing"),
        ({"a": "two.safetensors", "c": "two.safetensors"}, "'a' should be in 'two.safetensors'"),
        ({"a": "one.safetensors"}, "'one.safetensors' holds 'b'"),
    ],
)
def test_lying_index_is_refused(tmp_path: Path, weight_map: Any, message: str) -> None:
    write_shards(tmp_path, weight_map)
    with pytest.raises(SafetensorsError, match=message):
        safe_load(tmp_path)


def test_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SafetensorsError, match=r"neither model\.safetensors"):
        safe_load(tmp_path)


# --- objects ----------------------------------------------------------------------------------------------------------


class Part:
    def __init__(self) -> None:
        self.weight = Tensor([1.0, 2.0])
        self._table = Tensor([9.0])
        self.size = 2


class Whole:
    def __init__(self) -> None:
        self.parts = [Part(), Part()]
        self.named = {"x": Tensor([3.0])}
        self.pair = (Tensor([4.0]), "text")
        self.tied = self.parts[0].weight
        self.itself = self


NAMES = ["parts.0.weight", "parts.1.weight", "named.x", "pair.0", "tied"]


def test_names_follow_attributes_lists_and_dicts() -> None:
    whole = Whole()
    state = get_state_dict(whole)
    assert list(state) == NAMES
    assert state["tied"] is whole.parts[0].weight
    assert len(get_parameters(whole)) == 4
    assert list(get_state_dict(whole, "model.")) == [f"model.{name}" for name in NAMES]


def test_state_of_one_object_is_loaded_into_another() -> None:
    source, target = Whole(), Whole()
    source.parts[1].weight = Tensor([7.0, 8.0])
    load_state_dict(target, get_state_dict(source))
    assert target.parts[1].weight.tolist() == [7.0, 8.0]
    assert target.tied is target.parts[0].weight


def test_missing_surplus_and_misshapen_tensors_are_refused_and_change_nothing() -> None:
    target = Whole()
    state = get_state_dict(Whole())
    missing = {name: tensor for name, tensor in state.items() if name != "named.x"}
    with pytest.raises(ValueError, match="missing: 'named.x'"):
        load_state_dict(target, missing)
    with pytest.raises(ValueError, match="not in the model: 'y'"):
        load_state_dict(target, state | {"y": Tensor([1.0])})
    with pytest.raises(ValueError, match=r"'named.x' has shape \(2,\), the model's is \(1,\)"):
        load_state_dict(target, state | {"parts.0.weight": Tensor([5.0, 5.0]), "named.x": Tensor([5.0, 5.0])})
    assert target.parts[0].weight.tolist() == [1.0, 2.0]
    load_state_dict(target, missing, strict=False)
