"""Model files for rows that want one: made when a row needs it, gone when the next row wants another."""
from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from extra.benchmarks.gguf_file import write_llama
from extra.benchmarks.rows import Row
from extra.models.llama import PRESETS


class Models:
    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="minigrad-models-")
        self.path: Path | None = None

    def filled(self, row: Row) -> Row:
        """The row with the path of its model, if it has one."""
        if "model" not in row.case:
            return row
        shape, dtype = row.case["model"]
        path = Path(self.folder.name) / f"{shape}-{dtype}.gguf"
        if path != self.path:
            if self.path is not None:
                self.path.unlink()
            write_llama(path, PRESETS[shape], dtype)
            self.path = path
        return replace(row, case={**row.case, "path": str(path)})

    def __enter__(self) -> Models:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.folder.cleanup()
