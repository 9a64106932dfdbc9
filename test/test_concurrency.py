"""Threads, fork, Ctrl-C and the interpreter's end: nothing hangs, nothing is corrupted."""
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np

from minigrad.engine.jit import TinyJit
from minigrad.helpers import GRAD, SPEC, Context
from minigrad.tensor import Tensor, no_grad

PATIENCE = 60.0  # seconds, on a busy machine


def in_threads(*functions) -> None:
    """Runs functions at once; fails if one raises or does not come back."""
    errors: list[BaseException] = []

    def guarded(function) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(f,), daemon=True) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]


def run_script(source: str, **kwargs) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True,
                          timeout=PATIENCE, **kwargs)


def test_two_threads_compute_at_once() -> None:
    def work(seed: int):
        def run() -> None:
            rng = np.random.default_rng(seed)
            for size in (3, 8, 17):
                a, b = (rng.normal(size=(size, size)).astype(np.float32) for _ in range(2))
                got = ((Tensor(a) @ Tensor(b)).exp() + seed).sum(0).numpy()
                np.testing.assert_allclose(got, np.exp(a @ b).sum(0) + seed * size, rtol=1e-3)
        return run

    in_threads(*[work(seed) for seed in range(4)])


def test_threads_may_realize_one_tensor_at_once() -> None:
    x = Tensor(np.arange(1000, dtype=np.float32))
    y = (x * 2 + 1).relu()

    def run() -> None:
        np.testing.assert_array_equal(y.numpy(), np.arange(1000) * 2 + 1)

    in_threads(*[run] * 4)


def test_threads_share_a_jitted_function() -> None:
    step = TinyJit(lambda x: x * 2 + 1)

    def work(start: int):
        def run() -> None:
            for i in range(start, start + 20):
                assert step(Tensor([float(i)])).item() == 2 * i + 1
        return run

    in_threads(*[work(100 * n) for n in range(3)])
    assert step.recordings == 2


def test_threads_record_functions_of_their_own_at_once() -> None:
    def work(n: int):
        def run() -> None:
            step = TinyJit(lambda x: (x * n).sum())
            for i in range(6):
                assert step(Tensor([float(i), 1.0])).item() == (i + 1) * n
            assert step.recordings == 2
        return run

    in_threads(*[work(n) for n in range(1, 5)])


def test_a_child_of_fork_computes_while_a_thread_of_the_parent_does() -> None:
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            (Tensor(np.ones((32, 32), dtype=np.float32)) + 1).sum().item()

    thread = threading.Thread(target=busy, daemon=True)
    thread.start()
    try:
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                try:
                    os._exit(0 if (Tensor([1.0, 2.0]) * 3).tolist() == [3.0, 6.0] else 1)
                except BaseException:
                    os._exit(2)
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    break
                time.sleep(0.01)
            else:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise AssertionError("the child hangs")
            assert os.waitstatus_to_exitcode(status) == 0
    finally:
        stop.set()
        thread.join(PATIENCE)


def test_a_captured_graph_replays_in_a_child_of_fork() -> None:
    done = run_script("""
        import os
        from minigrad import Tensor, TinyJit
        step = TinyJit(lambda x: (x @ x).sum())
        x = Tensor.ones(64, 64).contiguous().realize()
        for _ in range(3):
            assert step(x).item() == 64 ** 3
        pid = os.fork()
        if pid == 0:
            os._exit(0 if step(x).item() == 64 ** 3 and step.recordings == 2 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert step(x).item() == 64 ** 3
    """)
    assert done.returncode == 0, done.stderr


def test_ctrl_c_in_a_loop_of_assignments_leaves_whole_steps() -> None:
    done = run_script("""
        import os, signal, threading, time
        from minigrad import Tensor
        a, b = Tensor([0.0]), Tensor([0.0])
        a.assign(a + 1).realize(b.assign(b + 1))
        ready = threading.Event()
        def interrupt():
            ready.wait()
            for _ in range(20):
                time.sleep(0.02)
                os.kill(os.getpid(), signal.SIGINT)
        thread = threading.Thread(target=interrupt)
        thread.start()
        interrupts = 0
        while thread.is_alive():
            try:
                ready.set()
                while thread.is_alive():
                    a.assign(a + 1)
                    b.assign(b + 1)
                    a.realize(b)
            except KeyboardInterrupt:
                interrupts += 1
        while True:
            try:
                thread.join()
                x, y = a.item(), b.item()
                break
            except KeyboardInterrupt:
                interrupts += 1
        assert interrupts > 0
        assert abs(x - y) <= interrupts, (x, y, interrupts)
        assert (Tensor([1.0]) + 1).item() == 2
    """)
    assert done.returncode == 0, done.stderr


def test_the_interpreter_ends_while_a_thread_computes() -> None:
    done = run_script("""
        import threading
        from minigrad import Tensor
        def forever():
            while True:
                (Tensor.ones(64, 64) @ Tensor.ones(64, 64)).sum().item()
        threading.Thread(target=forever, daemon=True).start()
        assert (Tensor([1.0]) + 1).item() == 2
    """)
    assert done.returncode == 0, done.stderr


def test_two_processes_fill_one_cache_at_once(tmp_path) -> None:
    source = textwrap.dedent("""
        import numpy as np
        from minigrad import Tensor
        for n in (3, 5, 7):
            x = np.arange(n * n, dtype=np.float32).reshape(n, n)
            np.testing.assert_allclose((Tensor(x) @ Tensor(x) + 1).sum(0).numpy(), (x @ x + 1).sum(0), rtol=1e-5)
    """)
    environment = {**os.environ, "CACHEDIR": str(tmp_path), "CACHE": "1"}
    running = [subprocess.Popen([sys.executable, "-c", source], env=environment, stderr=subprocess.PIPE)
               for _ in range(3)]
    for process in running:
        _, error = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, error.decode()


def test_a_function_that_sets_flags_may_be_entered_by_several_threads() -> None:
    both, first_left, seen = threading.Barrier(2), threading.Event(), {}

    @no_grad()
    def inside(number: int) -> None:
        both.wait(30)
        if number:
            first_left.wait(30)

    def work(number: int) -> None:
        with Context(SPEC=5 + number):
            inside(number)
            seen[number] = SPEC.value, GRAD.value
            first_left.set()

    in_threads(lambda: work(0), lambda: work(1))
    assert seen == {0: (5, 1), 1: (6, 1)}
