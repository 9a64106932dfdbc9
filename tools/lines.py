"""How large the core is: lines of code per package of minigrad/, without comments, docstrings and blank lines, of
Python and of C.

    python -m tools.lines             a row per package
    python -m tools.lines --files     a row per module, largest first
"""
from __future__ import annotations

import io
import re
import sys
import tokenize
from collections import Counter
from pathlib import Path

CORE = Path(__file__).resolve().parent.parent / "minigrad"
QUIET = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING,
         tokenize.ENDMARKER}


def code_lines(source: str) -> int:
    """Lines on which a token of code stands. A string that is a statement of its own is a docstring, and no code."""
    lines: set[int] = set()
    statement: list[tokenize.TokenInfo] = []  # the tokens of one logical line
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in QUIET:
            statement.append(token)
        elif token.type in (tokenize.NEWLINE, tokenize.ENDMARKER):
            if any(t.type != tokenize.STRING for t in statement):
                lines.update(n for t in statement for n in range(t.start[0], t.end[0] + 1))
            statement = []
    return len(lines)


def c_lines(source: str) -> int:
    """Lines of C on which something stands beside comments. Comment marks inside of strings are not looked for."""
    bare = re.sub(r"/\*.*?\*/|//[^\n]*", lambda found: "\n" * found[0].count("\n"), source, flags=re.DOTALL)
    return sum(not line.isspace() and line != "" for line in bare.split("\n"))


COUNTS = {".py": code_lines, ".c": c_lines, ".h": c_lines}


def sizes(by_file: bool = False) -> Counter[str]:
    """Lines of code by package of the core, or by module."""
    found: Counter[str] = Counter()
    for path in (path for path in CORE.rglob("*") if path.suffix in COUNTS):
        inside, count = path.relative_to(CORE), COUNTS[path.suffix]
        found[str(inside) if by_file or len(inside.parts) == 1 else inside.parts[0]] += count(path.read_text())
    return found


if __name__ == "__main__":
    table = sizes(by_file="--files" in sys.argv[1:])
    for name, count in table.most_common():
        print(f"{count:6d}  {name}")
    print(f"{sum(table.values()):6d}  in all")
