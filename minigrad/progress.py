"""How far something long is: one line on stderr, redrawn ten times a second. Quiet where stderr is no terminal."""
from __future__ import annotations

import sys
import time

WIDTH = 24


class Progress:
    """`update(fraction, text)` as often as you like; `close()` removes the line.

    The time left follows from the fraction done since the bar was made, at `fraction`.
    """

    def __init__(self, title: str, fraction: float = 0.0, quiet: bool = False) -> None:
        self.title, self.first = title, fraction
        self.shown = not quiet and sys.stderr.isatty()
        self.began, self.drawn = time.monotonic(), -1e9

    def update(self, fraction: float, text: str = "") -> None:
        now = time.monotonic()
        if not self.shown or (now - self.drawn < 0.1 and fraction < 1):
            return
        self.drawn = now
        done = min(max(fraction, 0.0), 1.0)
        elapsed, gained = now - self.began, done - self.first
        left = f"{clock(elapsed * (1 - done) / gained)} left" if gained > 0 and elapsed > 1 else ""
        bar = ("#" * round(done * WIDTH)).ljust(WIDTH, ".")
        line = f"{self.title} [{bar}] {done:4.0%}  {text}  {left}".rstrip()
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.shown and self.drawn > 0:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """75.2 -> "1:15"."""
    minutes, whole = divmod(round(seconds), 60)
    return f"{minutes}:{whole:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{whole:02d}"
