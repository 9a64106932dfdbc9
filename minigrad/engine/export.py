"""A captured graph as C that builds and runs without Python: a .c, a .h, and a file of weights if asked for one.

    decode.export("decode.c")                   # a TinyJit that has a graph: it was called twice

    decode *graph = decode_create();            // 0: no memory
    decode_run(graph, token, start, logits);    // nonzero: a variable is out of its bounds
    decode_free(graph);

Arguments are pointers to the tensors in order, then the variables by name, then a pointer for each tensor that the
function returned. The kernels are those of the graph, in C that gcc and clang read; with -fopenmp they use all cores.
Memory that the graph writes belongs to the graph made by `create`.
"""
from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from string import Template
from typing import Any
from zlib import crc32

import numpy as np

from ..codegen.pipeline import lower_kernel
from ..dtype import DType
from ..renderer.base import ProgramSpec, join_sources
from ..renderer.clang import render
from ..renderer.cstyle import CStyle
from ..renderer.helpers_c import INDEX
from ..runtime.compiler import language_features
from ..runtime.device import get_device
from ..runtime.disk import PathLike, write_atomically
from ..runtime.memory import align_up
from ..target import read_text
from .capture import Captured
from .describe import Made, flatten
from .recording import root_of
from .saved import Contents, GraphError, contents

DIALECT = language_features("gcc", 12)      # what gcc reads, clang does too
MOST_INLINE = 64 << 20                      # bytes of weights that are written as text
ALIGNMENT = 64
WEIGHTS = ("inline", "file")
NEEDS_AVX512 = '#ifndef __AVX512F__\n#error "build with -march=native on a processor with AVX-512"\n#endif\n'
# Words of C, and the names that the text below has for its own: no graph, weight or variable is called so.
TAKEN = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if inline int long register "
    "restrict return short signed sizeof static struct switch typedef union unsigned void volatile while main "
    "block graph threads workspace".split())


def export_c(captured: Captured, path: PathLike, name: str, weights: str = "inline") -> None:
    """Writes NAME.c for `path`, and NAME.h beside it.

    `weights`: "inline" puts them into the text, "file" into NAME.bin beside it, whose path `create` takes. GraphError:
    the graph cannot leave its process, or is not of the host.
    """
    stem, ending = os.path.splitext(os.path.basename(path))
    if weights not in WEIGHTS or ending != ".c" or not re.fullmatch(r"[A-Za-z_]\w*", stem) or stem in TAKEN:
        raise ValueError(f"export: expected the path of a file IDENTIFIER.c and weights of {', '.join(WEIGHTS)}; got "
                         f"{os.fspath(path)!r} and {weights!r}")
    writer = Writer(contents(captured), stem, name, weights)
    folder = os.path.dirname(path)
    if weights == "file":
        write_atomically(os.path.join(folder, stem + ".bin"), writer.weights_file())
    header, source = writer.texts()
    write_atomically(os.path.join(folder, stem + ".h"), [header.encode()])
    write_atomically(path, [source.encode()])


class Writer:
    """The texts of one graph, whose C names begin with `stem`."""

    def __init__(self, found: Contents, stem: str, title: str, weights: str) -> None:
        device = get_device(found.device)
        if not device.is_host or device.interprets:
            raise GraphError(f"the graph computes on {device.name}: only C for the host is written")
        self.found, self.stem, self.title, self.target = found, stem, title, device.target
        self.in_file = weights == "file"
        self.style = CStyle([])
        self.fields: dict[int, str] = {}                # of the struct, by number of memory
        for number, path in sorted(found.names.items()):
            self.fields[number] = self._identifier(path)
        self.outputs = [leaf for leaf in flatten(found.result) if isinstance(leaf, Made)]
        self.direct: dict[int, int] = {}                # memory that is the caller's: number of the output
        for i, leaf in enumerate(self.outputs):
            if leaf.tracker is not None and not leaf.tracker.is_contiguous:
                raise GraphError(f"output {i} is a view that is not contiguous: return .contiguous() of it")
            memory = found.memory[leaf.number]
            if memory.kind == "fresh" and memory.root is None:
                self.direct.setdefault(leaf.number, i)
        for i, expected in enumerate(found.captured.expected):
            if not expected.tracker.is_contiguous:
                raise GraphError(f"argument {i} is a view that is not contiguous: record the graph with .contiguous()")
        for variable in found.captured.given:
            if variable in TAKEN or re.fullmatch(r"(in|out)put\d+", variable):
                raise GraphError(f"the variable {variable!r} needs another name in C")
        self._plan_block()

    def _identifier(self, path: str) -> str:
        name = re.sub(r"\W+", "_", path).strip("_") or "weight"
        name = f"weight_{name}" if name[0].isdigit() or name in TAKEN else name
        while name in self.fields.values():
            name += "_"
        return name

    def _plan_block(self) -> None:
        """One block of memory: what lies between kernels, then what the graph keeps."""
        found, end = self.found, 0
        self.offsets: dict[int, int] = {}
        for number, memory in enumerate(found.memory):
            if memory.kind == "fresh" and memory.root is None and number not in found.captured.outputs:
                self.offsets[number] = found.captured.buffers[number].offset
                end = max(end, self.offsets[number] + memory.nbytes)
        kept = [n for n in found.captured.outputs if n not in self.direct]
        owned = [n for n in self.fields if self.in_file or n in found.written]
        for number in kept + owned:
            self.offsets[number] = end = align_up(end, ALIGNMENT)
            end += found.memory[number].nbytes
        self.block = align_up(max(end, 1), ALIGNMENT)
        self.file_start = min((self.offsets[n] for n in owned), default=self.block)

    # ---- the weights' file: a tag that names these weights, then each at its place

    @property
    def tag(self) -> int:
        sums = [crc32(self.found.content(number)) for number in self.fields]
        return crc32(repr(sums).encode()) | self.block << 32

    def weights_file(self) -> Iterator[bytes | memoryview]:
        yield self.tag.to_bytes(8, "little")
        for number in self.fields:
            data = self.found.content(number)
            yield data
            yield bytes(-len(data) % ALIGNMENT)

    # ---- text

    def type_of(self, dtype: DType) -> str:
        """The C type of a tensor's elements for the caller; 16-bit floats are their bits."""
        return "unsigned short" if dtype.kind == "f" and dtype.itemsize == 2 else self.style.types[dtype.name]

    def parameters(self) -> list[str]:
        """Of NAME_run, each with its shape or bounds."""
        captured = self.found.captured
        lines = [f"{self.stem} *graph"]
        for i, expected in enumerate(captured.expected):
            constant = "" if i in captured.overwritten_arguments else "const "
            lines.append(f"{constant}{self.type_of(expected.dtype)} *input{i} /* {dims(expected.tracker.shape)} */")
        lines += [f"long {name} /* {low} to {high} */" for name, (low, high) in sorted(captured.given.items())]
        for i, leaf in enumerate(self.outputs):
            memory = self.found.memory[leaf.number]
            shape = memory.shape if leaf.tracker is None else leaf.tracker.shape
            lines.append(f"{self.type_of(memory.dtype)} *output{i} /* {dims(shape)} */")
        return lines

    def texts(self) -> tuple[str, str]:
        """Of the header and of the source: the files beside this module, with their words filled in."""
        stem, found = self.stem, self.found
        programs = {step.program: step.kernel.ast for step in found.steps if step.program is not None}
        specs = {str(i): self._portable(ast, program.spec) for i, (program, ast) in enumerate(programs.items())}
        text, symbols = join_sources(specs)
        names = dict(zip(programs, symbols))
        launches = "".join(self._launch(step, names[step.program], specs[str(list(programs).index(step.program))])
                           for step in found.steps if step.program is not None)
        copies = "".join(f"    memcpy(output{i}, {self._address(leaf.number)}, {found.memory[leaf.number].nbytes});\n"
                         for i, leaf in enumerate(self.outputs) if self.direct.get(leaf.number) != i)
        helpers = "\n".join(f"{body}\n" for key, body in INDEX.items()
                            if key in self.style.helpers and body not in text)
        words = {
            "stem": stem, "title": self.title, "guard": f"{stem.upper()}_H", "count": len(found.steps),
            "block": self.block, "alignment": ALIGNMENT, "kernels": text + helpers, "launches": launches,
            "copies": copies, "parameters": ",\n        ".join(self.parameters()),
            "arguments": ", ".join(re.sub(r" /\*.*?\*/", "", parameter) for parameter in self.parameters()),
            "parameter": "const char *path" if self.in_file else "void",
            "reason": ", or the file is not its own" if self.in_file else "",
            "workspace": align_up(max((spec.workspace for spec in specs.values()), default=0), 4096) + ALIGNMENT,
            "members": "".join(f"    {self.type_of(m.dtype)} *{field}; /* {dims(m.shape)} */\n"
                               for n, field in self.fields.items() for m in (found.memory[n],)),
            "needs": NEEDS_AVX512 if "__builtin_ia32" in text and self.target.has("avx512f") else "",
            "bounds": "".join(f"    if ({name} < {low} || {name} > {high}) return 1;\n"
                              for name, (low, high) in sorted(found.captured.given.items())),
            "local": "    char *block = graph->block;\n" if "block + " in launches + copies else "",
            "constants": "" if self.in_file else "".join(self._constants()),
            "read": self._read() if self.in_file else "", "places": "".join(self._places())}
        header, source = (Template(read_text(os.path.join(os.path.dirname(__file__), f"export.{ending}")) or "")
                          for ending in "hc")
        return header.substitute(words) + "\n", source.substitute(words) + "\n"

    def _portable(self, ast: Any, spec: ProgramSpec) -> ProgramSpec:
        """The kernel again, with the same opts, in C for any compiler."""
        again = render(lower_kernel(ast, self.target, spec.opts), self.target, DIALECT)
        return replace(again, source="static " + again.source)

    def _address(self, number: int) -> str:
        memory = self.found.memory[number]
        root = root_of(self.found.memory, number)
        shift = f" + {memory.offset}" if memory.root is not None and memory.offset else ""
        if root in self.direct:
            base = f"output{self.direct[root]}"
        elif root in self.fields:
            base = f"graph->{self.fields[root]}"
        elif root in self.offsets:
            return f"block + {self.offsets[root] + (memory.offset if shift else 0)}"
        else:
            base = f"(void *)input{self.found.memory[root].which}"
        return f"(char *){base}{shift}" if shift else base

    def _launch(self, step: Any, name: str, spec: ProgramSpec) -> str:
        fixed = dict(step.variables)
        given = self.found.captured.given

        def value(variable: str) -> str:
            return variable if variable in given else str(fixed[variable])

        buffers = ", ".join(self._address(number) for number in step.memory)
        values = f"(long[]){{{', '.join(map(value, spec.variables))}}}" if spec.variables else "0"
        extent = str(spec.threads) if isinstance(spec.threads, int) else self.style.index(spec.threads)
        for variable in fixed.keys() - given.keys():
            extent = re.sub(rf"\b{variable}\b", str(fixed[variable]), extent)
        call = f"    {self.stem}_launch(graph, {name}, {extent}, (void *[]){{{buffers}}}, {values});"
        return textwrap.fill(call, 116, subsequent_indent=" " * 11, break_on_hyphens=False) + "\n"

    def _constants(self) -> Iterator[str]:
        """Weights as arrays."""
        total = sum(self.found.memory[n].nbytes for n in self.fields)
        if total > MOST_INLINE:
            raise GraphError(f'{total} bytes of weights are too many for C text: choose weights="file"')
        for number, field in self.fields.items():
            memory, data = self.found.memory[number], np.frombuffer(self.found.content(number), np.uint8)
            array = data.view(np.uint16 if self.type_of(memory.dtype) == "unsigned short" else memory.dtype.np)
            words = wrapped(c_number(text, array.dtype) for text in array.astype(str).tolist())
            values = f" = {{\n{words}}}" if data.any() else ""
            yield f"static {self.type_of(memory.dtype)} initial_{field}[{max(1, array.size)}] " \
                  f"__attribute__((aligned({ALIGNMENT}))){values};\n"

    def _places(self) -> Iterator[str]:
        """Where the members of a new graph point."""
        for number, field in self.fields.items():
            if number not in self.offsets:
                yield f"    graph->{field} = initial_{field};\n"
                continue
            yield f"    graph->{field} = (void *)(graph->block + {self.offsets[number]});\n"
            if not self.in_file:
                yield f"    memcpy(graph->{field}, initial_{field}, {self.found.memory[number].nbytes});\n"

    def _read(self) -> str:
        """Takes the weights from their file."""
        size = self.block - self.file_start
        return f"""    unsigned long tag = 0;
    FILE *file = fopen(path, "rb");
    int fits = file && fread(&tag, 8, 1, file) == 1 && tag == {self.tag}UL &&
               fread(graph->block + {self.file_start}, 1, {size}, file) == {size} && fgetc(file) == EOF;
    if (file) fclose(file);
    if (!fits) {{
        {self.stem}_free(graph);
        return 0;
    }}
"""


def dims(shape: tuple[Any, ...]) -> str:
    style = CStyle([])
    return " x ".join(str(n) if isinstance(n, int) else style.index(n) for n in shape) or "1 number"


def c_number(text: str, dtype: np.dtype[Any]) -> str:
    """A number as numpy writes it, in C."""
    if dtype.kind == "b":
        return "1" if text == "True" else "0"
    if dtype.kind != "f":
        return {"i": f"{text}L", "u": f"{text}UL"}[dtype.kind] if dtype.itemsize == 8 else text
    suffix = "f" if dtype.itemsize == 4 else ""
    if text in ("nan", "inf", "-inf"):
        return {"nan": f'__builtin_nan{suffix}("")', "inf": f"__builtin_inf{suffix}()",
                "-inf": f"-__builtin_inf{suffix}()"}[text]
    return f"{text}{'' if '.' in text or 'e' in text else '.0'}{suffix}"


def wrapped(words: Iterator[str], width: int = 116) -> str:
    """Words with commas, in lines."""
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) > width:
            lines.append(f"    {line.rstrip()}\n")
            line = ""
        line += f"{word}, "
    return "".join([*lines, f"    {line.rstrip(' ,')}\n"])
