"""A trace is whole and changes nothing; its page works in a browser, its pictures and data in other tools."""
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import PROGRAM, Browser

from extra.models.llama import KVCache, Llama, LlamaConfig
from minigrad import Context, Tensor, TinyJit, Variable
from minigrad.engine import tracefile
from tools import graphs, viz

TINY = LlamaConfig(dim=32, layers=3, heads=4, kv_heads=2, hidden=64, vocab_size=50, context=32)
ROOT = Path(__file__).resolve().parent.parent


def run_matmul() -> Any:
    a, b = (Tensor(np.full((64, 64), n, np.float32)) for n in (1, 2))
    return (a @ b).relu().numpy()


def run_softmax() -> Any:
    x = Tensor(np.linspace(-3, 3, 40 * 50, dtype=np.float32).reshape(40, 50))
    return (x > 0).where(x, x).softmax(axis=1).numpy()


def run_token() -> Any:
    model, cache = Llama(TINY), KVCache(TINY, 32)
    model.initialise(0)

    @TinyJit
    def token(tokens: Tensor, start: Any) -> Tensor:
        return model(tokens, start, cache).realize()
    start = Variable("start", 0, 31)
    return [token(Tensor(np.array([[i]], np.int32)), start.bind(i)).numpy() for i in range(4)][-1]


RUNS = {"matmul": run_matmul, "softmax": run_softmax, "token": run_token}


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The trace of each run, made in a process as any user's is."""
    folder = tmp_path_factory.mktemp("traces")
    paths = {}
    for name, run in RUNS.items():
        paths[name] = folder / f"{name}.json"
        with Context(VIZ=str(paths[name])):
            traced = run()
            trace = tracefile.current()
            assert trace is not None and trace.save() == str(paths[name])
            del tracefile._traces[str(paths[name])]
        assert np.array_equal(traced, run())  # tracing changes no result
    return paths


@pytest.fixture(scope="module")
def pages(traces: dict[str, Path]) -> dict[str, str]:
    for path in traces.values():
        assert viz.main(["--trace", str(path)]) == 0
    return {name: path.with_suffix(".html").as_uri() for name, path in traces.items()}


# ---- the file

def test_a_trace_refers_only_to_what_it_holds(traces: dict[str, Path]) -> None:
    for path in traces.values():
        t = viz.read(path)
        documented = tracefile.__doc__ or ""
        assert all(f"\n    {key} " in documented for key in t)
        nodes, lines, buffers = len(t["nodes"]), len(t["lines"]), len(t["buffers"])
        for number, row in enumerate(t["nodes"]):
            assert all(source < number for source in row[graphs.SOURCES])
            assert row[graphs.LINE] is None or row[graphs.LINE] < lines
        for schedule in t["schedules"]:
            assert all(n < nodes for n in schedule["sinks"])
            assert all(n < nodes for rewrite in schedule["rewrites"] for n in rewrite[2:])
            for kernel in schedule["kernels"]:
                assert kernel["ast"] < nodes and all(b < buffers for b in kernel["buffers"]) and kernel["lines"]
                assert len(kernel["reasons"]) == len(kernel["written"]) > 0
        for place, kernel, program, device, at, seconds, operations, moved in t["launches"]:
            assert t["programs"][program]["ast"] == t["schedules"][place]["kernels"][kernel]["ast"]
            assert device in t["devices"] and at >= 0 and seconds >= 0 and operations >= 0 and moved > 0


def test_every_kernel_has_its_rewrites_with_their_rules(traces: dict[str, Path]) -> None:
    for path in traces.values():
        trace = viz.read(path)
        assert trace["programs"]
        for program in trace["programs"]:
            applied = [rule for rules, rule, *_ in program["steps"] if rules == "opts"]
            assert applied == program["opts"] and "lower" in {step[0] for step in program["steps"]}
            root = next(step for step in program["steps"] if step[0] == "lower")[3]
            assert root is None or trace["nodes"][root][graphs.OP] == "SINK"
    rules = {rule for program in viz.read(traces["softmax"])["programs"] for _, rule, *_ in program["steps"]}
    assert "where-same" in rules


def test_replays_and_recordings_are_traced(traces: dict[str, Path]) -> None:
    trace = viz.read(traces["token"])
    replay, = [i for i, schedule in enumerate(trace["schedules"]) if schedule["name"] == "replay"]
    kernels = trace["schedules"][replay]["kernels"]
    assert sum(row[0] == replay for row in trace["launches"]) == 2 * len(kernels)
    assert [reason for _, reason, _ in trace["recordings"]] == ["first call", "the second call"]


def test_copies_and_devices_without_code_are_traced(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    with Context(VIZ=str(path)):
        for _ in range(3):
            value = (Tensor(np.ones(8, np.float32)).to("NUMPY") + 1).to("CPU").sum().numpy()
        with Context(DEV="NULL"):
            Tensor.ones(8).contiguous().realize()
        trace = tracefile.current()
        assert trace is not None
        trace.save()
        del tracefile._traces[str(path)]
    assert value == 16
    found = viz.read(path)
    assert len(found["launches"]) == 3 * 4 + 1
    assert {program["name"] for program in found["programs"]} >= {"copy_CPU", "copy_NUMPY"}
    viz.main(["--trace", str(path), "--json", str(tmp_path / "facts.json")])
    assert viz.html(found)


def test_nothing_is_traced_without_the_flag() -> None:
    assert tracefile.current() is None
    with Context(VIZ="0"):
        assert tracefile.current() is None


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    with pytest.raises(SystemExit, match="VIZ=1"):
        viz.read(path)
    path.write_text("{")
    with pytest.raises(SystemExit, match="is no trace"):
        viz.read(path)
    path.write_text('{"version": 7}')
    with pytest.raises(SystemExit, match="version 7 of the schema, expected 1"):
        viz.read(path)


def test_a_program_is_run_and_shown(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text("import sys\nfrom minigrad import Tensor\nprint((Tensor([float(sys.argv[1])]) * 3).item())\n")
    environment = {**os.environ, "CACHEDIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}
    for words in ([str(script), "5"], ["-m", "program", "5"]):
        done = subprocess.run([sys.executable, "tools/viz.py", "--html", str(tmp_path / "out.html"), *words], cwd=ROOT,
                              env=environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("15.0\n") and (tmp_path / "out.html").stat().st_size > 100_000
    environment |= {"VIZ": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, str(script), "2"], env=environment, check=True, timeout=200, capture_output=True)
    done = subprocess.run([sys.executable, "tools/viz.py", "--json", str(tmp_path / "facts.json")], cwd=ROOT,
                          env=environment, capture_output=True, text=True, timeout=200)
    kernel, = json.loads((tmp_path / "facts.json").read_text())["kernels"]
    assert kernel["lines"] == [f"{script}:3"] and kernel["launches"] == 1


def test_the_page_is_served_on_localhost(traces: dict[str, Path]) -> None:
    server = subprocess.Popen([sys.executable, "tools/viz.py", "--trace", str(traces["matmul"]), "--serve"], cwd=ROOT,
                              stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[0]
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert answer.status == 200 and b"<title>minigrad</title>" in answer.read()
    finally:
        server.kill()
        server.wait()


# ---- data and pictures

def test_data_and_a_trace_for_perfetto(traces: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    viz.main(["--trace", str(traces["matmul"]), "--json", str(out)])
    kernel, = json.loads(out.read_text())["kernels"]
    assert kernel["operations"] == 2 * 64 ** 3 + 64 * 64
    assert kernel["roof"] in ("memory", "compute") and kernel["source"] and kernel["tried"] == []
    assert [kernel["buffers"][slot][1] for slot in kernel["written"]] == [[64, 64]] and all(kernel["edits"])
    viz.main(["--trace", str(traces["token"]), "--chrome", str(out)])
    events = json.loads(out.read_text())["traceEvents"]
    kernels = [event for event in events if event.get("cat") == "kernel"]
    assert len(kernels) == len(viz.read(traces["token"])["launches"])
    assert all(event["ph"] == "X" and event["dur"] >= 0 and event["args"]["line"] for event in kernels)


@pytest.mark.parametrize("kind", graphs.KINDS)
def test_pictures(kind: str, traces: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphviz = pytest.importorskip("graphviz")
    out = tmp_path / "out.dot"
    for name, path in traces.items():
        schedule = ["--schedule", "0"] if kind == "tensor" else []
        viz.main(["--trace", str(path), "--graph", kind, "--dot", str(out), *schedule])
        text = out.read_text()
        assert text.startswith("digraph") and ("matmul" in text) == (kind == "schedule" and name != "softmax")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        with pytest.raises(SystemExit, match="needs graphviz' `dot` on the path"):
            viz.main(["--trace", str(traces["matmul"]), "--graph", kind, "--svg", str(out)])
    try:
        graphviz.version()
    except graphviz.ExecutableNotFound:
        pytest.skip("graphviz' dot is not installed")
    for form, start in (("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")):
        viz.main(["--trace", str(traces["matmul"]), "--graph", kind, f"--{form}", str(out)])
        assert out.read_bytes().startswith(start)


def test_what_is_not_there_is_said(traces: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("graphviz")
    out = ["--dot", str(tmp_path / "out.dot"), "--trace", str(traces["matmul"])]
    for words, message in ((["--schedule", "99"], "no schedule 99"),
                           (["--graph", "nest", "--kernel", "9"], "no kernel 9"),
                           (["--graph", "nest", "--step", "99"], "no graph of a step 99")):
        with pytest.raises(SystemExit, match=message):
            viz.main([*out, *words])


# ---- in a browser

READY = "document.body && document.body.dataset.ready"
DRAWN = "document.querySelectorAll('.pane').length > 0 && " \
        "[...document.querySelectorAll('.pane')].every(g => g.dataset.done || g.querySelector('pre'))"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if PROGRAM is None:
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail("there is no chromium on the path")
        pytest.skip("there is no chromium on the path: `make browser` installs it on Debian")
    with Browser() as opened:
        yield opened


def test_light_and_dark_are_readable(browser: Browser, pages: dict[str, str]) -> None:
    """Text and background differ enough (WCAG 2's contrast of 4.5), in both themes; `t` changes it."""
    browser.open("about:blank#themes", "true")
    browser.prefer("dark")
    browser.open(pages["matmul"] + "#v=source&s=0&k=0", READY)
    assert browser.evaluate("localStorage.getItem('minigrad-theme')") is None   # nobody chose: the system's is taken
    seen = []
    for _ in range(2):
        seen.append(browser.evaluate("document.documentElement.dataset.theme"))
        for selector in ("body", "pre", ".under", ".chip", "pre .kw", "pre .ty", "pre .nu", "pre .co"):
            ratio = browser.evaluate("""(s => { const rgb = t => t.match(/[\\d.]+/g).map(Number), of = e => {
                for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
                    if (c.length < 4 || c[3] > 0) return c; } };
                const light = c => { const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= 0.03928 ? v / 12.92
                    : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
                const e = document.querySelector(s), a = light(rgb(getComputedStyle(e).color)), b = light(of(e));
                return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); })""" + f"({selector!r})")
            assert ratio >= 4.5, (seen[-1], selector)
        browser.press("t")
    browser.prefer("light")
    assert seen == ["dark", "light"] and browser.errors == []


@pytest.mark.parametrize("name", RUNS)
def test_the_page_in_a_browser(name: str, browser: Browser, pages: dict[str, str]) -> None:
    browser.open("about:blank#" + name, "true")
    browser.open(pages[name], READY)
    count = browser.evaluate("document.querySelectorAll('#list li').length")
    assert count == browser.evaluate("shown.length") > 0
    assert browser.evaluate("document.querySelectorAll('circle.dot').length") == count  # the roofline has them all
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")       # it fits a laptop's screen

    for _ in range(min(count, 3)):  # through kernels and their rewrites
        browser.press("j")
        chosen = browser.evaluate("document.querySelector('#list [aria-selected=true] .name span').textContent")
        browser.click("#tab-source")
        assert browser.evaluate("document.querySelector('.head h2').textContent") == chosen
        assert chosen in browser.evaluate("document.querySelector('pre').textContent")
        assert browser.evaluate("document.querySelectorAll('pre .kw').length") > 0
        browser.click("#tab-rewrites")
        steps = browser.evaluate("document.querySelectorAll('.steps li').length")
        assert steps > 2
        browser.wait(DRAWN)
        assert browser.evaluate("document.querySelectorAll('.pane .new').length") > 0   # the scheduler's step too
        for _ in range(min(steps - 1, 4)):
            browser.wait(DRAWN)
            assert browser.evaluate("document.querySelector('.steps [aria-selected=true]').textContent.length") > 4
            assert browser.evaluate("document.querySelectorAll('.pane svg .node').length") > 1
            browser.press("]")
    assert browser.evaluate("stepsOf(current(), D.programs[current().p]).some(s => s.rules === 'opts' && s.after && "
                            "compare(below(s.before).seen, below(s.after).seen).size > 0)")  # what changed is marked
    for view, content in (("why", ".why"), ("opts", "ol li"), ("uops", "pre"), ("memory", "rect.dot"),
                          ("timeline", "canvas"), ("graph", "select")):
        browser.click(f"#tab-{view}")
        assert browser.evaluate(f"document.querySelectorAll({content!r}).length") > 0, view
    browser.wait(DRAWN)
    assert browser.evaluate("document.querySelectorAll('.pane svg .node').length") > 0
    assert browser.errors == []


def test_search_and_deep_links(browser: Browser, pages: dict[str, str]) -> None:
    browser.open("about:blank#links", "true")
    browser.open(pages["token"] + "#v=why&s=0&k=2", READY)
    assert browser.evaluate("state.v + state.s + state.k") == "why02"
    assert browser.evaluate("document.querySelectorAll('.why').length") > 0
    assert browser.evaluate("document.querySelectorAll('#list [aria-selected=true]').length") == 1
    everything = browser.evaluate("shown.length")
    browser.press("/")
    for letter in "matmul":
        browser.press(letter)
    assert 0 < browser.evaluate("shown.length") < everything
    assert "q=matmul" in browser.evaluate("location.hash")
    browser.press("Escape")
    assert browser.evaluate("shown.length") == everything
    browser.open("about:blank#other", "true")
    browser.open(pages["token"] + "#v=nonsense&s=77&k=1&run=55", READY)
    browser.press("5")
    assert browser.evaluate("state.v") == "source" and browser.evaluate("document.querySelectorAll('pre').length")
    assert browser.errors == []


def test_what_a_search_tried_is_shown(browser: Browser, traces: dict[str, Path], tmp_path: Path) -> None:
    """Its times beside the heuristic's, fastest first; the opts that the kernel has are marked."""
    trace = viz.read(traces["matmul"])
    program = trace["programs"][0]
    tried = [[["Split(range='o9', size=3)"], 2e-3], [program["opts"], 1e-3]]
    trace["searches"] = [{"ast": program["ast"], "tried": tried}]
    program["tuned"] = 0.5
    path = tmp_path / "searched.html"
    path.write_text(viz.html(trace))
    browser.open("about:blank#searched", "true")
    browser.open(path.as_uri() + "#v=opts&s=0&k=0", READY)
    rows = browser.evaluate("[...document.querySelectorAll('.tried tr')].slice(1).map(r => r.innerText.split('\\t'))")
    assert [row[:3] for row in rows] == [["1.00 ms", "50%", "used"], ["2.00 ms", "100%", "heuristic"]]
    assert "50% of the time" in browser.evaluate("document.querySelector('#view').textContent")
    assert browser.errors == []


def test_a_reduce_that_is_cut_shows_the_cut(browser: Browser, tmp_path: Path) -> None:
    """Both of its kernels begin with the graph before and after."""
    path = tmp_path / "trace.json"
    with Context(VIZ=str(path)):
        (Tensor(np.ones(3_000_000, np.float32)) * 2).sum().realize()
        trace = tracefile.current()
        assert trace is not None
        trace.save()
        del tracefile._traces[str(path)]
    viz.main(["--trace", str(path)])
    for kernel in (0, 1):
        browser.open(f"about:blank#cut{kernel}", "true")
        browser.open(path.with_suffix(".html").as_uri() + f"#v=rewrites&s=0&k={kernel}&step=0", READY)
        browser.wait(DRAWN)
        step = browser.evaluate("document.querySelector('.steps [aria-selected=true]').textContent")
        assert step.endswith("partial reduces")
        assert browser.evaluate("document.querySelectorAll('.pane .new').length") > 1
    assert browser.errors == []


def test_layers_are_folded(browser: Browser, traces: dict[str, Path], tmp_path: Path) -> None:
    """Kernels that repeat are one entry of the list, and one node of the graph; a click shows them."""
    trace = viz.read(traces["token"])
    kernels = trace["schedules"][0]["kernels"]
    layer = kernels[3:9]
    kernels[3:9] = [dict(kernel) for _ in range(5) for kernel in layer]
    path = tmp_path / "folded.html"
    path.write_text(viz.html(trace))
    browser.open("about:blank#folded", "true")
    browser.open(path.as_uri() + "#v=graph&run=0&order=launch", READY)
    browser.wait(DRAWN)
    assert browser.evaluate("document.querySelector('#list li.fold').textContent").startswith("▸ 5 × 6 kernels")
    assert browser.evaluate("document.querySelectorAll('.pane svg .node.fold').length") == 1
    shown = browser.evaluate("shown.length")
    assert shown == len(kernels) - 4 * len(layer)
    browser.click("#list li.fold")
    assert browser.evaluate("shown.length") == len(kernels)
    browser.evaluate("document.querySelector('.pane svg .node.fold').dispatchEvent(new MouseEvent('click', "
                     "{bubbles: true}))")
    browser.wait(DRAWN)
    assert browser.evaluate("document.querySelectorAll('.pane svg .node.fold').length") == 0
    assert browser.errors == []


def test_a_large_trace_is_painted_soon_and_does_not_freeze(browser: Browser, traces: dict[str, Path],
                                                           tmp_path: Path) -> None:
    """A graph of 6,000 nodes in a chain, and 300 kernels: the page answers while it is laid out."""
    trace = viz.read(traces["token"])
    first, count = len(trace["nodes"]), 6000
    root = trace["schedules"][0]["sinks"][0]
    for i in range(count):
        trace["nodes"].append(["EXP", "float32", [8], "", [root if i == 0 else first + i - 1], 0])
    program = trace["programs"][0]
    program["steps"].append(["opts", "large", first + count - 1, first - 1, first + count - 1])
    kernels = trace["schedules"][0]["kernels"]
    while len(kernels) < 300:
        kernels.append(kernels[len(kernels) * 7 % 5])
    path = tmp_path / "large.html"
    path.write_text(viz.html(trace))
    number = next(i for i, k in enumerate(kernels) if k["ast"] == program["ast"])
    browser.open("about:blank#large", "true")
    browser.open(path.as_uri() + f"#v=rewrites&s=0&k={number}&step={len(program['steps'])}&whole=1", READY)
    begin = time.monotonic()
    while time.monotonic() < begin + 1:     # it answers all the while
        assert browser.evaluate("document.querySelectorAll('#list li').length") > 0
    browser.wait(DRAWN)
    assert "more nodes" in browser.evaluate("document.querySelectorAll('.pane .label')[1].textContent")
    assert browser.errors == []
