"""The core stays small enough to be read: its lines of code are counted."""
from tools.lines import c_lines, code_lines, sizes


def test_comments_docstrings_and_blank_lines_are_no_code() -> None:
    assert code_lines('"""A module.\n\nTwo lines."""\nimport os  # why\n\n# a remark\nx = (1,\n     2)\n') == 3
    assert code_lines('def f():\n    """What it does."""\n    return """two\nlines"""\n') == 3
    assert code_lines("") == code_lines("# nothing\n") == 0


def test_c_counts_without_its_comments_and_blank_lines() -> None:
    assert c_lines("/* what\n   it is */\nint x;  // why\n\n// a remark\nint y; /* one */ int z;\n") == 2
    assert sizes(by_file=True)["runtime/pool.c"] > 100


def test_packages_and_modules_add_up_to_the_same_core() -> None:
    packages, modules = sizes(), sizes(by_file=True)
    assert packages.total() == modules.total()
    assert packages["tensor"] == sum(n for name, n in modules.items() if name.startswith("tensor/"))
