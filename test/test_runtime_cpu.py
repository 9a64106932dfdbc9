"""The CPU device: programs from memory, disk and compiler; launches; graphs; what interrupts them."""
from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtime_kernels import affine, kernel

from minigrad.dtype import dtypes
from minigrad.helpers import Context
from minigrad.renderer.base import ProgramSpec, join_sources
from minigrad.runtime.compiler import CompileError, Compiler, _candidates, find_compiler, try_compiler
from minigrad.runtime.cpu import CPUDevice, split_batches
from minigrad.runtime.cpu_graph import find_meetings
from minigrad.runtime.device import Buffer, Launch, Program, get_device
from minigrad.runtime.pool import get_pool
from minigrad.uops import UOp

ROOT = Path(__file__).resolve().parent.parent


class CountingCompiler:
    """A compiler that counts its calls."""

    def __init__(self) -> None:
        self.inner, self.sources = find_compiler(), list[str]()

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def compile(self, source: str) -> bytes:
        self.sources.append(source)
        return self.inner.compile(source)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with Context(CACHEDIR=str(tmp_path / "cache"), CACHE=1):
        yield tmp_path / "cache"


def fresh_device() -> tuple[CPUDevice, CountingCompiler]:
    """A device that remembers nothing, as of a new process."""
    device, compiler = CPUDevice("CPU"), CountingCompiler()
    device.compiler = compiler
    return device, compiler


def floats(*values: float, size: int = 0) -> Buffer:
    buffer = Buffer("CPU", (len(values) or size,), dtypes.float32)
    buffer.numpy()[:] = values or 0
    return buffer


def run(device: CPUDevice, program: Program, size: int) -> np.ndarray:
    source, target = floats(*range(size)), floats(size=size)
    device.launch(program, (target, source), {})
    return target.numpy()


# ---- compile

@pytest.mark.parametrize("compiler", [c for c in map(try_compiler, _candidates()) if c], ids=lambda c: c.version[:12])
def test_kernels_of_every_compiler_run(compiler: Compiler, folder: Path) -> None:
    device = CPUDevice("CPU")
    device.compiler = compiler
    program, = device.compile([affine(2, 1, 10_000)])
    assert (run(device, program, 10_000) == np.arange(10_000) * 2 + 1).all()


def test_a_program_is_compiled_once_and_then_found_in_memory_and_on_disk(folder: Path) -> None:
    device, compiler = fresh_device()
    specs = [affine(scale, 1, 100, f"kernel_{scale}") for scale in range(5)]
    programs = device.compile(specs)
    calls = len(compiler.sources)
    assert [run(device, program, 100)[9] for program in programs] == [9 * scale + 1 for scale in range(5)]
    again = device.compile(list(reversed(specs)))
    assert [program.spec for program in again] == list(reversed(specs)) and len(compiler.sources) == calls
    device, compiler = fresh_device()
    programs = device.compile(specs)
    assert not compiler.sources
    assert [run(device, program, 100)[9] for program in programs] == [9 * scale + 1 for scale in range(5)]


def test_equal_sources_share_code_but_keep_their_own_facts(folder: Path) -> None:
    device, compiler = fresh_device()
    first, second = device.compile([affine(1, 2, 64, operations=1), affine(1, 2, 64, operations=2)])
    assert first.handle == second.handle and (first.spec.operations, second.spec.operations) == (1, 2)
    assert len(compiler.sources) == 1


def test_many_kernels_take_few_compiler_calls(folder: Path) -> None:
    device, compiler = fresh_device()
    specs = [affine(1, shift, 8, f"k{shift}") for shift in range(40)]
    device.compile(specs)
    assert len(compiler.sources) <= max(3, device.target.cores)
    device, compiler = fresh_device()
    device.compile(specs)
    assert not compiler.sources


def test_kernels_of_one_name_and_different_text_live_in_one_object(folder: Path) -> None:
    device, compiler = fresh_device()
    programs = device.compile([affine(scale, 0, 10, "same") for scale in (2, 3)])
    assert len(compiler.sources) == 1 and [run(device, program, 10)[3] for program in programs] == [6, 9]


def test_what_kernels_share_is_compiled_once(folder: Path) -> None:
    device, compiler = fresh_device()
    shared = ("static float one(void) { return 1; }", "static float two(void) { return 2; }")
    specs = [kernel("first", "((float *)buffers[0])[0] = one();", prelude=shared[:1]),
             kernel("second", "((float *)buffers[0])[0] = one() + two();", prelude=shared)]
    out = floats(0)
    for number, program in enumerate(device.compile(specs)):
        device.launch(program, (out,), {})
        assert out.numpy()[0] == (1, 3)[number]
    assert len(compiler.sources) == 1 and compiler.sources[0].count("float one(void)") == 1


def test_an_error_shows_only_the_kernel_at_fault_and_the_others_are_kept(folder: Path) -> None:
    device, compiler = fresh_device()
    good = [affine(1, shift, 8, f"good_{shift}") for shift in range(2)]
    with pytest.raises(CompileError) as caught:
        device.compile([good[0], kernel("bad", "    oops;"), good[1]])
    assert "oops" in str(caught.value) and "good_0" not in str(caught.value)
    device.compile(good[:1])


def test_kernels_are_compiled_while_others_are_still_being_made(folder: Path) -> None:
    device, compiler = fresh_device()

    def made() -> Iterator[ProgramSpec]:
        for factor in range(1, 8):
            yield affine(factor, 0, 50, f"k{factor}")
        end = time.monotonic() + 30
        while not compiler.sources and time.monotonic() < end:
            time.sleep(0.01)
        assert compiler.sources
        yield affine(1, 0, 50, "k1")
    *_, seven, one = device.compile(made())
    assert run(device, seven, 50)[3] == 21 and run(device, one, 50)[3] == 3
    assert sum(source.count("void k") for source in compiler.sources) == 7


def test_a_device_has_its_pool_made_before_anything_is_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()
    monkeypatch.setattr("minigrad.runtime.cpu.get_pool", asked.set)
    CPUDevice("CPU")
    assert asked.wait(30)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:100], lambda data: data[:-8] + bytes(8)])
def test_a_damaged_cache_is_compiled_anew(folder: Path, damage: object) -> None:
    device, _ = fresh_device()
    device.compile([affine(2, 0, 50)])
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        path.write_bytes(damage(path.read_bytes()))
    device, compiler = fresh_device()
    program, = device.compile([affine(2, 0, 50)])
    assert len(compiler.sources) == 1 and run(device, program, 50)[7] == 14
    device, compiler = fresh_device()
    device.compile([affine(2, 0, 50)])
    assert not compiler.sources


def test_without_a_disk_cache_everything_works(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Context(CACHEDIR=str(tmp_path / "file" / "x")):
        device, compiler = fresh_device()
        program, = device.compile([affine(5, 0, 50)])
        assert run(device, program, 50)[3] == 15 and len(compiler.sources) == 1


def test_batches_keep_every_kernel_once_and_the_cores_busy() -> None:
    specs = {str(number): affine(1, number, 8, f"k{number}") for number in range(50)}
    batches = split_batches(specs, 4)
    assert sorted(key for batch in batches for key in batch) == sorted(specs) and len(batches) == 4
    assert len(split_batches({key: specs[key] for key in list(specs)[:2]}, 4)) == 1
    assert all(len(batch) <= 16 for batch in split_batches(specs, 1)) and split_batches({}, 4) == []


def test_names_taken_are_renamed() -> None:
    source, symbols = join_sources({"a": affine(1, 0, 1, "f"), "b": affine(2, 0, 1, "f"), "c": affine(3, 0, 1, "f__1")})
    assert len(set(symbols)) == 3 and symbols[0] == "f" and "#undef f" in source


CONCURRENT = """
import sys
import numpy as np
sys.path.insert(0, {tests!r})
from runtime_kernels import affine
from minigrad.dtype import dtypes
from minigrad.runtime.device import Buffer, get_device
cpu = get_device("CPU")
out, source = Buffer("CPU", (10,), dtypes.float32), Buffer.from_numpy(np.arange(10, dtype=np.float32))
for scale, program in enumerate(cpu.compile([affine(scale, 1, 10, f"k{{scale}}") for scale in range(12)])):
    cpu.launch(program, (out, source), {{}})
    assert (out.numpy() == np.arange(10) * scale + 1).all()
print("right")
"""


def python(text: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    text = textwrap.dedent(text).replace("{tests!r}", repr(str(ROOT / "test"))).replace("{{", "{").replace("}}", "}")
    return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env={**os.environ, "PYTHONPATH": str(ROOT), "CACHEDIR": str(folder), **environment})


def test_processes_that_fill_one_cache_at_once_are_right(folder: Path) -> None:
    processes = [python(CONCURRENT, folder) for _ in range(3)]
    for process in processes:
        assert process.communicate(timeout=120)[0].strip() == "right"
    assert python(CONCURRENT, folder, CC="/bin/false").communicate(timeout=60)[0].strip().endswith("right")


# ---- launch

COUNT = "for (long i = lo; i < hi; i++) ((int *)buffers[0])[i] += 1;"
FILL = "for (long i = lo; i < hi; i++) ((long *)buffers[0])[i] = variables[0];"


def test_every_part_of_the_thread_axis_is_computed_once() -> None:
    cpu = get_device("CPU")
    for threads in (1, 2, 3, 7):
        for extent in (0, 1, 2, 5, 6, 7, 8, 1000):
            program, = cpu.compile([kernel("count", COUNT, extent)])
            counts = Buffer("CPU", (1001,), dtypes.int32)
            counts.numpy()[:] = 0
            with Context(THREADS=threads):
                cpu.launch(program, (counts,), {})
            assert counts.numpy().tolist() == [1] * extent + [0] * (1001 - extent)


def test_variables_arrive_in_the_order_of_the_spec_and_extents_may_depend_on_them() -> None:
    cpu = get_device("CPU")
    n, m = UOp.variable("n", 1, 100), UOp.variable("m", 1, 100)
    program, = cpu.compile([kernel("vars", """long *out = buffers[0];
        for (long i = lo; i < hi; i++) out[i] = variables[0] * 1000 + variables[1];""", n + m * 2,
        variables=("m", "n"))])
    out = Buffer("CPU", (300,), dtypes.int64)
    out.numpy()[:] = 0
    cpu.launch(program, (out,), {"n": 7, "m": 20, "other": 5})
    assert out.numpy().tolist() == [20_007] * 47 + [0] * 253
    with pytest.raises(KeyError, match="n"):
        cpu.launch(program, (out,), {"m": 1})


def test_every_thread_has_a_workspace_of_its_own() -> None:
    cpu = get_device("CPU")
    size = 100_000
    program, = cpu.compile([kernel("scratch", f"""
        int *out = buffers[0]; int *mine = (int *)workspace;
        for (long i = lo; i < hi; i++) {{
            for (long j = 0; j < {size}; j++) mine[j] = (int)(i + j);
            int wrong = ((long)workspace & 63) != 0;
            for (long j = 0; j < {size}; j++) wrong += mine[j] != (int)(i + j);
            out[i] = wrong; }}""", 16, workspace=4 * size)])
    out = Buffer("CPU", (16,), dtypes.int32)
    for threads in (1, 2, 4):
        out.numpy()[:] = -1
        with Context(THREADS=threads):
            cpu.launch(program, (out,), {})
        assert not out.numpy().any()


@pytest.mark.parametrize("threads", [-1, 100_000])
def test_a_bad_number_of_threads_is_refused(threads: int) -> None:
    cpu = get_device("CPU")
    program, = cpu.compile([affine(1, 0, 10)])
    with Context(THREADS=threads), pytest.raises(ValueError, match="THREADS"):
        run(cpu, program, 10)


def test_describe_names_compiler_threads_and_vectors() -> None:
    text = get_device("CPU").describe()
    assert find_compiler().version in text and "threads" in text and "-bit vectors" in text


# ---- graphs

def chain(length: int, size: int) -> tuple[list[Launch], Buffer, Buffer]:
    """x -> x + 1, length times, between two buffers; the axis is turned round so that threads depend on others."""
    cpu = get_device("CPU")
    program, = cpu.compile([kernel("reverse", f"""float *out = buffers[0]; const float *in = buffers[1];
        for (long i = lo; i < hi; i++) out[i] = in[{size - 1} - i] + 1;""", size)])
    a, b = floats(size=size), floats(size=size)
    return [Launch(program, (b, a) if step % 2 == 0 else (a, b)) for step in range(length)], a, b


@pytest.mark.parametrize("threads", [1, 2, 3, 5, 8])
def test_a_graph_is_right_however_many_threads_walk_it(threads: int) -> None:
    launches, a, b = chain(200, 333)
    graph = get_device("CPU").graph(launches)
    with Context(THREADS=threads):
        for _ in range(5):
            a.numpy()[:] = np.arange(333)
            assert graph.run({}) > 0
            assert (a.numpy() == np.arange(333) + 200).all()


def test_threads_meet_only_where_launches_depend_on_each_other() -> None:
    x, y, z = (0, 100), (100, 200), (200, 300)
    w, r = (0,), ()
    wide, one = False, True
    assert find_meetings([((y, x), w, wide), ((z, x), w, wide)]) == [False, False]                  # both only read x
    assert find_meetings([((y, x), w, wide), ((z, y), w, wide)]) == [False, True]                   # read after write
    assert find_meetings([((y, x), w, wide), ((x, z), w, wide)]) == [False, True]                   # write after read
    assert find_meetings([((y,), w, wide), ((y,), w, wide)]) == [False, True]                       # write after write
    assert find_meetings([((y, x), w, one), ((z, y), w, one)]) == [False, False]                    # one thread alone
    assert find_meetings([((y, x), w, one), ((z, y), w, wide)]) == [False, True]
    assert find_meetings([((y, x), w, wide), ((z, y), w, one)]) == [False, True]
    assert find_meetings([((y, x), w, wide), ((z, x), w, wide), ((x, y), w, wide), ((y, z), w, wide)]) \
        == [False, False, True, True]
    assert find_meetings([(((0, 150),), w, wide), (((149, 160),), r, wide)]) == [False, True]       # one byte shared
    assert find_meetings([(((0, 150),), w, wide), (((150, 160),), r, wide)]) == [False, False]
    assert find_meetings([(((0, 0),), w, wide), (((0, 0),), w, wide)]) == [False, False]            # nothing there


@given(st.lists(st.tuples(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 4)), min_size=1, max_size=3),
                          st.sets(st.integers(0, 2)), st.booleans()), max_size=100))
def test_between_conflicting_launches_there_is_always_a_meeting(
        rows: list[tuple[list[tuple[int, int]], set[int], bool]]) -> None:
    accesses = [([(start, start + size) for start, size in spans], tuple(slot for slot in written if slot < len(spans)),
                 single) for spans, written, single in rows]
    found = find_meetings(accesses)
    for j, (spans_j, written_j, single_j) in enumerate(accesses):
        for i in range(j):
            spans_i, written_i, single_i = accesses[i]
            conflict = any(a[0] < b[1] and b[0] < a[1] and (m in written_i or n in written_j)
                           for m, a in enumerate(spans_i) for n, b in enumerate(spans_j))
            if conflict and not (single_i and single_j):
                assert any(found[i + 1:j + 1]), (i, j)


def test_small_kernels_in_a_row_need_no_meeting() -> None:
    cpu = get_device("CPU")
    program, = cpu.compile([affine(1, 1, 16, operations=16, nbytes=128)])
    a, b = floats(size=16), floats(size=16)
    graph = cpu.graph([Launch(program, (b, a) if step % 2 == 0 else (a, b)) for step in range(10)])
    assert not any(graph.meetings)
    graph.run({})
    assert (a.numpy() == 10).all()


def test_a_graphs_variables_may_change_from_run_to_run() -> None:
    cpu = get_device("CPU")
    n = UOp.variable("n", 1, 64)
    fill = kernel("fill", FILL, n, variables=("v", "n"))
    other = kernel("other", "((long *)buffers[0])[63] = variables[0] * 100 + variables[1];", 1, variables=("n", "v"))
    out = Buffer("CPU", (64,), dtypes.int64)
    graph = cpu.graph([Launch(program, (out,)) for program in cpu.compile([fill, other])])
    for count, value in ((3, 5), (10, 6), (10, 6), (2, 9)):
        out.numpy()[:] = 0
        graph.run({"n": count, "v": value})
        assert out.numpy().tolist() == [value] * count + [0] * (63 - count) + [count * 100 + value]
    with pytest.raises(KeyError):
        graph.run({"n": 3})


def test_replaced_buffers_hold_for_one_run() -> None:
    cpu = get_device("CPU")
    program, = cpu.compile([affine(1, 1, 100)])
    a, b, c = floats(*[1.0] * 100), floats(size=100), floats(size=100)
    graph = cpu.graph([Launch(program, (b, a)), Launch(program, (c, b))])
    other, out = floats(*[10.0] * 100), floats(size=100)
    graph.run({}, {(0, 1): other, (1, 0): out})
    assert out.numpy()[5] == 12 and not c.numpy().any()
    graph.run({}, {(0, 1): other})
    assert c.numpy()[5] == 12
    graph.run({})
    assert c.numpy()[5] == 3
    with pytest.raises(ValueError, match="smaller"):
        graph.run({}, {(0, 1): floats(1.0)})
    frozen = np.zeros(100, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(RuntimeError, match="affine"):
        graph.run({}, {(1, 0): Buffer.from_numpy(frozen)})
    graph.run({})
    assert c.numpy()[5] == 3


def test_a_replaced_buffer_that_overlaps_others_brings_new_meetings() -> None:
    """Two launches that do not depend on each other do so once the second reads what the first writes."""
    launches, a, b = chain(1, 500)
    more, c, d = chain(1, 500)
    cpu = get_device("CPU")
    graph = cpu.graph(launches + more)
    assert graph.meetings == [False, False]
    c.numpy()[:] = 100
    with Context(THREADS=2):
        for turn in range(50):
            a.numpy()[:] = np.arange(500) + turn
            graph.run({}, {(1, 1): b})
            assert (d.numpy() == np.arange(500) + turn + 2).all()
            graph.run({})
            assert (d.numpy() == 101).all()


def test_profile_gives_the_time_of_each_launch() -> None:
    launches, a, _ = chain(20, 100)
    with Context(THREADS=2):
        times = get_device("CPU").graph(launches).profile({})
    assert len(times) == 20 and all(time >= 0 for time in times) and (a.numpy() == 20).all()


def test_an_empty_graph_runs() -> None:
    graph = get_device("CPU").graph([])
    assert graph.run({}) >= 0 and graph.profile({}) == []


def test_a_graph_keeps_its_buffers_and_code() -> None:
    cpu, _ = fresh_device()
    program, = cpu.compile([affine(1, 1, 10, "kept")])
    out = floats(size=10)
    graph = cpu.graph([Launch(program, (out, floats(*range(10))))])
    del program, cpu
    graph.run({})
    assert out.numpy().tolist() == [*range(1, 11)]


def test_more_threads_than_cores_make_progress() -> None:
    launches, a, _ = chain(300, 64)
    graph = get_device("CPU").graph(launches)
    with Context(THREADS=24):
        a.numpy()[:] = 0
        start = time.monotonic()
        graph.run({})
        assert time.monotonic() - start < 60
    assert (a.numpy() == 300).all()


def test_python_threads_that_launch_at_once_take_turns() -> None:
    cpu, errors = get_device("CPU"), list[str]()

    def work(number: int) -> None:
        launches, a, _ = chain(20, 200)
        graph = cpu.graph(launches)
        for turn in range(30):
            a.numpy()[:] = number * 1000 + turn
            graph.run({})
            if not (a.numpy() == number * 1000 + turn + 20).all():
                errors.append(f"thread {number}, turn {turn}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors and not any(thread.is_alive() for thread in threads)


def test_the_users_thread_stays_free_to_move() -> None:
    before = os.sched_getaffinity(0)
    launches, _, _ = chain(50, 100)
    get_device("CPU").graph(launches).run({})
    assert os.sched_getaffinity(0) == before


# ---- processes

SETUP = """
import os, sys, signal, threading, time
import numpy as np
sys.path.insert(0, {tests!r})
from runtime_kernels import affine, kernel
from minigrad.dtype import dtypes
from minigrad.runtime.device import Buffer, Launch, get_device
cpu = get_device("CPU")
program, = cpu.compile([affine(1, 1, 1000)])
a, b = Buffer("CPU", (1000,), dtypes.float32), Buffer("CPU", (1000,), dtypes.float32)
a.numpy()[:] = 0
graph = cpu.graph([Launch(program, (b, a) if step % 2 == 0 else (a, b)) for step in range(100)])
graph.run({})
"""


def finish(process: subprocess.Popen[str], seconds: float = 60) -> str:
    try:
        return process.communicate(timeout=seconds)[0].strip()
    finally:
        process.kill()


def test_a_child_of_fork_has_threads_of_its_own(tmp_path: Path) -> None:
    process = python(SETUP + """
child = os.fork()
graph.run({})
if child == 0:
    grandchild = os.fork()
    graph.run({})
    cpu.launch(program, (b, a), {})
    if grandchild:
        assert os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == 0
    assert a.numpy()[7] == 300 and b.numpy()[7] == 301
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
graph.run({})
print(a.numpy()[7])
""", tmp_path, THREADS="2")
    assert finish(process) == "300.0" and process.returncode == 0


def test_fork_while_another_thread_runs_a_graph(tmp_path: Path) -> None:
    process = python(SETUP + """
stop = False
def work():
    while not stop:
        graph.run({})
thread = threading.Thread(target=work)
thread.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        own = cpu.graph([Launch(program, (Buffer("CPU", (1000,), dtypes.float32), a))])
        own.run({})
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
stop = True
thread.join()
print("done")
""", tmp_path, THREADS="2")
    assert finish(process) == "done" and process.returncode == 0


SLOW = """
slow, = cpu.compile([kernel("slow", '''volatile long x = 0; for (long i = 0; i < 100000000; i++) x += i;
    ((float *)buffers[0])[0] += 1;''', 2)])
counter = Buffer("CPU", (1,), dtypes.float32)
counter.numpy()[:] = 0
long_graph = cpu.graph([Launch(slow, (counter,)) for _ in range(4)])
print("ready", flush=True)
"""


def test_ctrl_c_ends_a_graph_cleanly_after_the_call(tmp_path: Path) -> None:
    process = python(SETUP + SLOW + """
try:
    while True:
        long_graph.run({})
except KeyboardInterrupt:
    a.numpy()[:] = 0
    graph.run({})
    print("interrupted", a.numpy()[3], flush=True)
""", tmp_path, THREADS="2")
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert finish(process) == "interrupted 100.0" and process.returncode == 0


def test_the_interpreter_exits_while_a_daemon_thread_runs_a_graph(tmp_path: Path) -> None:
    process = python(SETUP + """
def work():
    while True:
        graph.run({})
threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
print("leaving", flush=True)
""", tmp_path, THREADS="2")
    assert finish(process) == "leaving" and process.returncode == 0


@pytest.mark.parametrize("ending", ["sys.exit(3)", "raise SystemExit(3)", "os._exit(3)"])
def test_the_interpreter_exits_with_sleeping_threads(tmp_path: Path, ending: str) -> None:
    process = python(SETUP + f"time.sleep(0.05)\n{ending}", tmp_path, THREADS="3")
    assert finish(process) == "" and process.returncode == 3


def test_threads_sleep_when_there_is_nothing_to_do(tmp_path: Path) -> None:
    process = python(SETUP + """
time.sleep(0.1)
before = time.process_time()
time.sleep(0.5)
used = time.process_time() - before
graph.run({})
print("slept" if used < 0.1 else used, a.numpy()[0])
""", tmp_path, THREADS="4")
    assert finish(process) == "slept 200.0"


def test_a_stopped_pool_starts_again() -> None:
    launches, a, _ = chain(10, 100)
    graph = get_device("CPU").graph(launches)
    with Context(THREADS=2):
        graph.run({})
        get_pool().stop()
        graph.run({})
    assert (a.numpy() == 20).all()


def test_kernels_get_the_callers_addresses() -> None:
    cpu = get_device("CPU")
    program, = cpu.compile([kernel("where", "((void **)buffers[0])[0] = buffers[1];", 1)])
    out, place = Buffer("CPU", (1,), dtypes.int64), ctypes.create_string_buffer(8)
    cpu.launch(program, (out, Buffer.external(place, ctypes.addressof(place), (8,), dtypes.uint8)), {})
    assert out.numpy()[0] == ctypes.addressof(place)
