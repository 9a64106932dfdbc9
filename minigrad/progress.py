"""How far something long is: one line on stderr, redrawn ten times a second; where stderr is no terminal, a new line
every 20 seconds, so that a log shows that it goes on and what is short is quiet.
"""
from __future__ import annotations

import sys
import time

WIDTH = 24
REDRAWN, LOGGED = 0.1, 20.0  # seconds between lines


class Progress:
    """`update(fraction, text)` as often as you like; `close()` removes the line.

    The time left follows from the fraction done since the bar was made, at `fraction`.
    """

    def __init__(self, title: str, fraction: float = 0.0, quiet: bool = False) -> None:
        self.title, self.first = title, fraction
        self.shown, self.terminal = not quiet, sys.stderr.isatty()
        self.began = time.monotonic()
        self.drawn = -1e9 if self.terminal else self.began

    def update(self, fraction: float, text: str = "") -> None:
        now = time.monotonic()
        due = now - self.drawn >= REDRAWN or fraction >= 1 if self.terminal else now - self.drawn >= LOGGED
        if not self.shown or not due:
            return
        self.drawn = now
        done = min(max(fraction, 0.0), 1.0)
        elapsed, gained = now - self.began, done - self.first
        left = f"{clock(elapsed * (1 - done) / gained)} left" if gained > 0 and elapsed > 1 else ""
        bar = ("#" * round(done * WIDTH)).ljust(WIDTH, ".")
        line = f"{self.title} [{bar}] {done:4.0%}  {text}  {left}".rstrip()
        print(f"\r\033[K{line}" if self.terminal else line + "\n", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.shown and self.terminal and self.drawn > 0:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """75.2 -> "1:15"."""
    minutes, whole = divmod(round(seconds), 60)
    return f"{minutes}:{whole:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{whole:02d}"
