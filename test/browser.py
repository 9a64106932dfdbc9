"""A headless Chromium that tests drive: started by hand, spoken to over two pipes (the DevTools protocol).

    with Browser() as browser:
        browser.open("file:///tmp/page.html")
        browser.evaluate("document.title")

Source: https://chromedevtools.github.io/devtools-protocol/ ; `--remote-debugging-pipe` reads fd 3 and writes fd 4.
"""
from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
         "--disable-extensions", "--remote-debugging-pipe"]


class Browser:
    """One page of one browser. RuntimeError for what the page throws, TimeoutError for what does not come."""

    def __init__(self, width: int = 1366, height: int = 768, dark: bool = False) -> None:
        self.size, self.dark = (width, height), dark
        self.number, self.session = 0, ""
        self.errors: list[str] = []
        self.rest = b""

    def __enter__(self) -> Browser:
        assert PROGRAM is not None
        self.folder = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        read_end, self.to = os.pipe()
        self.source, write_end = os.pipe()

        def ends() -> None:  # in the child: its ends become 3 and 4
            spare = os.dup(write_end)
            os.dup2(os.dup(read_end), 3)
            os.dup2(spare, 4)
        size = f"--window-size={self.size[0]},{self.size[1]}"
        self.process = subprocess.Popen([PROGRAM, *FLAGS, size, f"--user-data-dir={self.folder.name}", "about:blank"],
                                        close_fds=False, preexec_fn=ends, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(read_end)
        os.close(write_end)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for name in ("Page.enable", "Runtime.enable", "Log.enable"):
            self.call(name)
        self.call("Emulation.setDeviceMetricsOverride", width=self.size[0], height=self.size[1], deviceScaleFactor=1,
                  mobile=False)
        self.prefer("dark" if self.dark else "light")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.to)
        os.close(self.source)
        self.folder.cleanup()

    def call(self, method: str, timeout: float = 60, **parameters: Any) -> Any:
        """One command and its answer; what the page throws meanwhile is noted in `errors`."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + timeout
        while True:
            answer = self.receive(end)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            if answer.get("method") == "Runtime.exceptionThrown":
                details = answer["params"]["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description", details["text"]))
            if answer.get("method") == "Log.entryAdded" and answer["params"]["entry"]["level"] == "error":
                self.errors.append(answer["params"]["entry"]["text"])

    def prefer(self, theme: str) -> None:
        """What the system prefers: "light" or "dark"."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    def receive(self, end: float) -> Any:
        while b"\0" not in self.rest:
            if not select.select([self.source], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            data = os.read(self.source, 1 << 20)
            if not data:
                raise RuntimeError("the browser ended")
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\0")
        return json.loads(line)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", str(answer)))
        return answer["result"].get("value")

    def wait(self, condition: str, timeout: float = 60) -> None:
        """Until an expression in the page is true."""
        end = time.monotonic() + timeout
        while not self.evaluate(condition):
            if time.monotonic() > end:
                raise TimeoutError(f"{condition} does not become true; errors: {self.errors}")
            time.sleep(0.05)

    def open(self, address: str, ready: str = "document.readyState === 'complete'") -> None:
        self.call("Page.navigate", url=address)
        self.wait(f"location.href !== 'about:blank' && ({ready})")

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            text = key if kind == "keyDown" and len(key) == 1 else ""
            self.call("Input.dispatchKeyEvent", type=kind, key=key, text=text)

    def click(self, selector: str) -> None:
        """A click of the mouse in the middle of the first element that the selector finds."""
        x, y = self.evaluate(f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
                             "e.scrollIntoView({block: 'nearest'}); const b = e.getBoundingClientRect();"
                             "return [b.x + b.width / 2, b.y + b.height / 2]; })()")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
