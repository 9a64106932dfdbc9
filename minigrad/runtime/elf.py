"""Loads a compiled object into this process without a linker: the bytes of a .o go in, addresses of functions come out.

An x86-64 ELF relocatable object is laid out in one anonymous mapping, relocated here, and made executable:

    code | stubs for functions outside the object | slots of their addresses | constants     read and execute
    data | zeroed data                                                                       read and write

Symbols that the object lacks (expf, memset) are looked up in this process and its C library. The bytes may come from
a damaged file: every offset and size is checked before use and ElfError says what is wrong. Other machines' objects
are linked by the compiler's own linker and opened with dlopen: see `load_object`.

Layout and relocations: "System V Application Binary Interface, AMD64 Architecture Processor Supplement", chapter 4.
"""
from __future__ import annotations

import ctypes
import functools
import mmap
import os
import struct
from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Any

from minigrad.runtime.memory import PAGE, align_up, c_library, map_memory

LARGEST_OBJECT = 64 << 20               # bytes of memory that one object may ask for

SECTION, SYMBOL, RELOCATION = struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IBBHQQ"), struct.Struct("<QIIq")
Section = namedtuple("Section", "name kind flags address offset size link info alignment entry_size")
Symbol = namedtuple("Symbol", "name info other section value size")     # info >> 4: the binding
Relocation = namedtuple("Relocation", "offset kind symbol addend")

NOBITS, RELA, REL, SYMTAB = 8, 4, 9, 2
LOADED_TYPES = (1, NOBITS, 0x70000001)  # PROGBITS, NOBITS, X86_64_UNWIND
WRITE, ALLOC, EXECUTE, THREAD_LOCAL = 0x1, 0x2, 0x4, 0x400
UNDEFINED, RESERVED, ABSOLUTE = 0, 0xFF00, 0xFFF1       # numbers of sections that a symbol may have
GLOBAL_BINDING, WEAK_BINDING = 1, 2

R_NONE, R_PLT32, GOT_TYPES = 0, 4, (9, 41, 42)          # GOTPCREL, GOTPCRELX, REX_GOTPCRELX
# of the other kinds: bytes written, whether signed (None: 64-bit words wrap), whether relative to the place
KINDS = {1: (8, None, False), 2: (4, True, True), 10: (4, False, False), 11: (4, True, False), 24: (8, None, True)} | \
    dict.fromkeys((R_PLT32, *GOT_TYPES), (4, True, True))
STUB = b"\xff\x25\x00\x00\x00\x00"      # jmp *[rip + 0], the address follows
STUB_BYTES = 16


class ElfError(ValueError):
    """An object that cannot be loaded: damaged, or it needs what this loader does not do."""


class LoadedObject:
    """Code in this process. `functions` maps names to addresses; the code is unmapped when this object dies."""

    def __init__(self, functions: dict[str, int], release: Callable[[], object]) -> None:
        self.functions = functions
        self._release: Callable[[], object] | None = release

    def __getitem__(self, name: str) -> int:
        """The address of a function; ElfError if there is none of that name."""
        if name not in self.functions:
            raise ElfError(f"the object holds no function {name!r}; it holds {', '.join(sorted(self.functions))}")
        return self.functions[name]

    def __del__(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            release()


class Object:
    """The tables of an x86-64 relocatable object. ElfError: it is damaged."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        header = self.part(0, 64, "the ELF header")
        if header[:6] != b"\x7fELF\x02\x01":
            raise ElfError("not a little-endian 64-bit ELF object")
        kind, machine = struct.unpack_from("<HH", header, 16)
        if (kind, machine) != (1, 62):
            raise ElfError("expected a relocatable x86-64 object (type 1, machine 62), "
                           f"got type {kind}, machine {machine}")
        start, = struct.unpack_from("<Q", header, 40)
        entry, count, names = struct.unpack_from("<HHH", header, 58)
        if entry != SECTION.size or names >= count:
            raise ElfError(f"section table: {count} entries of {entry} bytes, names in {names}")
        rows = [Section(*row) for row in self.rows(SECTION, start, count * entry, "the section table")]
        strings = self.part(rows[names].offset, rows[names].size, "the section names")
        self.sections = [row._replace(name=_text(strings, row.name), alignment=max(1, row.alignment)) for row in rows]
        for section in self.sections:
            if section.kind not in (0, NOBITS):
                self.part(section.offset, section.size, f"section {section.name}")
            if section.alignment & (section.alignment - 1):
                raise ElfError(f"section {section.name}: alignment {section.alignment} is no power of two")
        tables = [section for section in self.sections if section.kind == SYMTAB]
        if len(tables) != 1 or tables[0].link >= count:
            raise ElfError(f"expected one symbol table, found {len(tables)}")
        table, names = tables[0], self.sections[tables[0].link]
        strings = self.part(names.offset, names.size, "the symbol names")
        self.symbols = [Symbol(_text(strings, name), *rest)
                        for name, *rest in self.rows(SYMBOL, table.offset, table.size, "the symbol table")]
        for symbol in self.symbols:
            if count <= symbol.section < RESERVED:
                raise ElfError(f"symbol {symbol.name!r} lies in section {symbol.section} of {count}")

    def part(self, offset: int, size: int, what: str) -> bytes:
        if offset < 0 or size < 0 or offset + size > len(self.data):
            raise ElfError(f"{what} at {offset}..{offset + size} lies outside the object of {len(self.data)} bytes")
        return self.data[offset:offset + size]

    def rows(self, layout: struct.Struct, offset: int, size: int, what: str) -> Iterator[tuple[Any, ...]]:
        if size % layout.size:
            raise ElfError(f"{what} of {size} bytes is no whole number of entries")
        return layout.iter_unpack(self.part(offset, size, what))


def _text(table: bytes, offset: int) -> str:
    end = table.find(b"\0", offset)
    if offset > len(table) or end < 0:
        raise ElfError(f"a name at {offset} lies outside its string table of {len(table)} bytes")
    return table[offset:end].decode(errors="replace")


def _is_loaded(section: Section) -> bool:
    if not section.flags & ALLOC or section.name.startswith((".eh_frame", ".note", ".init_array")):
        return False                    # nothing unwinds through kernels, and a sanitizer's start has nothing to do
    if section.flags & THREAD_LOCAL or section.kind not in LOADED_TYPES:
        if section.size:
            raise ElfError(f"section {section.name} (type {section.kind:#x}) is not supported")
        return False
    return True


class Image(Object):
    """An object on its way into memory. `places`: of its sections; `stubs` and `slots`: of what jumps to a symbol and
    of a symbol's address. All are counted from the front, where `executable` bytes are read and executed.
    """

    def __init__(self, data: bytes, find: Callable[[str], int | None]) -> None:
        super().__init__(data)
        loaded = {number: section for number, section in enumerate(self.sections) if _is_loaded(section)}
        self.relocations: list[tuple[int, list[Relocation]]] = []
        for section in self.sections:
            if section.kind in (RELA, REL) and section.info in loaded:
                if section.kind == REL:
                    raise ElfError(f"relocations {section.name} are not in RELA form")
                rows = [Relocation(*row) for row in self.rows(RELOCATION, section.offset, section.size, section.name)]
                for row in rows:
                    if row.symbol >= len(self.symbols):
                        raise ElfError(f"relocation at {row.offset} of {section.name}: no symbol {row.symbol}")
                self.relocations.append((section.info, rows))
        self.places: dict[int, int] = {}
        self.stubs: dict[int, int] = {}
        self.slots: dict[int, int] = {}
        self._lay_out(loaded)
        self.outside: dict[int, int] = {}       # addresses of undefined symbols
        self._resolve_outside(find)

    def _lay_out(self, loaded: dict[int, Section]) -> None:
        """Give every loaded section, stub and address slot its place."""
        end, self.alignment = 0, PAGE

        def place(wanted: Callable[[Section], bool]) -> None:
            nonlocal end
            for number, section in loaded.items():
                if wanted(section):
                    self.places[number] = align_up(end, section.alignment)
                    self.alignment = max(self.alignment, section.alignment)
                    end = self.places[number] + section.size
                    if end > LARGEST_OBJECT:
                        raise ElfError(f"section {section.name} of {section.size} bytes: the object is too large")

        place(lambda section: bool(section.flags & EXECUTE))
        for _, rows in self.relocations:
            for row in rows:
                if row.kind == R_PLT32 and self.symbols[row.symbol].section == UNDEFINED:
                    self.stubs[row.symbol] = 0
                elif row.kind in GOT_TYPES:
                    self.slots[row.symbol] = 0
        end = align_up(end, STUB_BYTES)
        for places, size in ((self.stubs, STUB_BYTES), (self.slots, 8)):
            for number in places:
                places[number], end = end, end + size
        place(lambda section: not section.flags & (EXECUTE | WRITE))
        end = self.executable = align_up(end, PAGE)
        place(lambda section: section.flags & (EXECUTE | WRITE) == WRITE)
        self.size = align_up(max(end, 1), PAGE)
        if self.size > LARGEST_OBJECT or self.alignment > LARGEST_OBJECT:
            raise ElfError(f"an object of {self.size} bytes, aligned to {self.alignment}, is too large")

    def _resolve_outside(self, find: Callable[[str], int | None]) -> None:
        """Find the undefined symbols that a relocation needs."""
        for number in {row.symbol for _, rows in self.relocations for row in rows}:
            symbol = self.symbols[number]
            if symbol.section == UNDEFINED and number:
                found = find(symbol.name) or process_symbol(symbol.name)
                if found is None and symbol.info >> 4 != WEAK_BINDING:
                    raise ElfError(f"the object needs {symbol.name!r}, which this process does not have")
                self.outside[number] = found or 0

    def address(self, number: int, base: int) -> int:
        """The run-time address of a symbol; 0 for the one without a name."""
        symbol = self.symbols[number]
        if number == 0 or number in self.outside:
            return self.outside.get(number, 0)
        if symbol.section == ABSOLUTE:
            return int(symbol.value)
        if symbol.section not in self.places:
            raise ElfError(f"symbol {symbol.name!r} lies in a section that is not loaded")
        section = self.sections[symbol.section]
        if symbol.value > section.size:
            raise ElfError(f"symbol {symbol.name!r} at {symbol.value}: {section.name} has {section.size} bytes")
        return int(base + self.places[symbol.section] + symbol.value)

    def content(self, base: int) -> bytearray:
        """The bytes of the image at an address."""
        memory = bytearray(self.size)
        for number, place in self.places.items():
            section = self.sections[number]
            if section.kind != NOBITS:
                memory[place:place + section.size] = self.data[section.offset:section.offset + section.size]
        for number, place in self.stubs.items():
            memory[place:place + 14] = STUB + self.address(number, base).to_bytes(8, "little")
        for number, place in self.slots.items():
            memory[place:place + 8] = (self.address(number, base) & (1 << 64) - 1).to_bytes(8, "little")
        for number, rows in self.relocations:
            for row in rows:
                if row.kind != R_NONE:
                    self._relocate(memory, base, number, row)
        return memory

    def _relocate(self, memory: bytearray, base: int, number: int, row: Relocation) -> None:
        section, place = self.sections[number], self.places[number] + row.offset
        what = f"relocation {row.kind} at {row.offset} of {section.name} for {self.symbols[row.symbol].name!r}"
        if row.kind not in KINDS:
            raise ElfError(f"{what}: this kind is not supported")
        size, signed, relative = KINDS[row.kind]
        if section.kind == NOBITS or row.offset + size > section.size:
            raise ElfError(f"{what}: outside the section of {section.size} bytes")
        through = self.slots if row.kind in GOT_TYPES else self.stubs if row.kind == R_PLT32 else {}
        target = base + through[row.symbol] if row.symbol in through else self.address(row.symbol, base)
        value, bits = target + row.addend - (base + place if relative else 0), 8 * size
        low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
        if signed is not None and not low <= value < high:
            raise ElfError(f"{what}: {value:#x} does not fit {bits} bits")
        memory[place:place + size] = (value & ((1 << bits) - 1)).to_bytes(size, "little")


@functools.cache
def _libraries() -> tuple[ctypes.CDLL, ...]:
    found = [ctypes.CDLL(None)]
    for name in ("libm.so.6", "libgcc_s.so.1"):
        try:
            found.append(ctypes.CDLL(name))
        except OSError:
            continue
    return tuple(found)


@functools.cache
def process_symbol(name: str) -> int | None:
    """The address of a function of this process, of the C library or of the math library; None if there is none."""
    for library in _libraries():
        try:
            return ctypes.cast(getattr(library, name), ctypes.c_void_p).value
        except (AttributeError, ValueError):
            continue
    return None


def load_elf(data: bytes, find: Callable[[str], int | None] = lambda name: None) -> LoadedObject:
    """Load an x86-64 relocatable object. `find(name)` is asked first for the address of a function that it needs.

    ElfError: the object is damaged, needs a symbol that nobody has, or something this loader does not support.
    OSError: the system forbids memory that is executed. MemoryError: it has none left.
    """
    image = Image(data, find)
    base, start, total = map_memory(image.size, image.alignment)
    library = c_library()
    release = functools.partial(library.munmap, start, total)
    try:
        memory = image.content(base)
        ctypes.memmove(base, (ctypes.c_char * len(memory)).from_buffer(memory), len(memory))
        if image.executable and library.mprotect(base, image.executable, mmap.PROT_READ | mmap.PROT_EXEC):
            raise OSError(ctypes.get_errno(), "the system forbids executing memory that was written")
        functions = {symbol.name: image.address(number, base) for number, symbol in enumerate(image.symbols)
                     if symbol.info >> 4 in (GLOBAL_BINDING, WEAK_BINDING) and symbol.section in image.places
                     and image.sections[symbol.section].flags & EXECUTE}
    except BaseException:
        release()
        raise
    return LoadedObject(functions, release)


class _SharedFunctions(dict[str, int]):
    """Addresses of a shared library's functions, looked up when asked for."""

    def __init__(self, library: ctypes.CDLL) -> None:
        super().__init__()
        self.library = library

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and hasattr(self.library, name)

    def __getitem__(self, name: str) -> int:
        return ctypes.cast(getattr(self.library, name), ctypes.c_void_p).value or 0


def load_shared(objects: list[bytes], link: Callable[[list[str], str], None]) -> LoadedObject:
    """Link objects with `link(paths of objects, path of the library)` and open the result. Slower, on any machine."""
    import tempfile
    with tempfile.TemporaryDirectory(prefix="minigrad") as folder:
        paths = [os.path.join(folder, f"{number}.o") for number in range(len(objects))]
        for path, data in zip(paths, objects):
            with open(path, "wb") as file:
                file.write(data)
        output = os.path.join(folder, "kernels.so")
        link(paths, output)
        library = ctypes.CDLL(output)  # stays mapped: closing a library whose code runs is worse than keeping it
    return LoadedObject(_SharedFunctions(library), lambda: None)
