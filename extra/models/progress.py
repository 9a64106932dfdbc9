"""A line on stderr that says how far something is: redrawn on a terminal, printed now and then elsewhere."""

from __future__ import annotations

import sys
import time


class Progress:
    """`update(fraction, text)` as often as you like; it draws ten times a second, or a line every 15 s into a file.

    The time left follows from the fraction done since the bar was made."""

    WIDTH = 24

    def __init__(self, title: str, fraction: float = 0.0, quiet: bool = False) -> None:
        self.title, self.first, self.quiet = title, fraction, quiet
        self.terminal = sys.stderr.isatty()
        self.began = self.drawn = time.monotonic()
        self.drawn -= 1e9

    def update(self, fraction: float, text: str = "") -> None:
        now = time.monotonic()
        if self.quiet or (now - self.drawn < (0.1 if self.terminal else 15) and fraction < 1):
            return
        self.drawn = now
        done = min(max(fraction, 0.0), 1.0)
        elapsed, gained = now - self.began, done - self.first
        left = f"{clock(elapsed * (1 - done) / gained)} left" if gained > 0 and elapsed > 2 else ""
        bar = ("#" * round(done * self.WIDTH)).ljust(self.WIDTH, ".")
        line = f"{self.title} [{bar}] {done:4.0%}  {text}  {left}".rstrip()
        print(
            f"\r\033[K{line}" if self.terminal else line, end="" if self.terminal else "\n", file=sys.stderr, flush=True
        )

    def close(self) -> None:
        if self.terminal and not self.quiet:
            print(file=sys.stderr, flush=True)


def say(text: str) -> None:
    """A line of news on stderr, apart from what a program writes."""
    print(text, file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """75.2 -> "1:15"."""
    whole = round(seconds)
    return (
        f"{whole // 60}:{whole % 60:02d}"
        if whole < 3600
        else f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    )
