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
from collections.abc import Callable
from dataclasses import dataclass, field

from minigrad.runtime.memory import PAGE, align_up, c_library, map_memory

LARGEST_OBJECT = 64 << 20               # bytes of memory that one object may ask for

SECTION = struct.Struct("<IIQQQQIIQQ")  # name, type, flags, address, offset, size, link, info, alignment, entry size
SYMBOL = struct.Struct("<IBBHQQ")       # name, info, other, section, value, size
RELOCATION = struct.Struct("<QQq")      # offset, info, addend

NOBITS, RELA, REL, SYMTAB = 8, 4, 9, 2
LOADED_TYPES = (1, NOBITS, 0x70000001)  # PROGBITS, NOBITS, X86_64_UNWIND
WRITE, ALLOC, EXECUTE, THREAD_LOCAL = 0x1, 0x2, 0x4, 0x400
UNDEFINED, ABSOLUTE = 0, 0xFFF1
GLOBAL_BINDING, WEAK_BINDING = 1, 2

R_NONE, R_64, R_PC32, R_PLT32, R_GOTPCREL, R_32, R_32S, R_PC64 = 0, 1, 2, 4, 9, 10, 11, 24
R_GOTPCRELX, R_REX_GOTPCRELX = 41, 42
GOT_TYPES = (R_GOTPCREL, R_GOTPCRELX, R_REX_GOTPCRELX)
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


@dataclass
class _Section:
    name: str
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    place: int = -1                     # where it lies in the image; -1: not loaded


@dataclass
class _Symbol:
    name: str
    binding: int
    section: int
    value: int
    size: int
    outside: int | None = None          # address of an undefined symbol


@dataclass
class _Image:
    """An object on its way into memory."""

    data: bytes
    sections: list[_Section]
    symbols: list[_Symbol]
    relocations: list[tuple[_Section, list[tuple[int, int, int]]]]
    stubs: dict[int, int] = field(default_factory=dict)   # symbol number -> place of its stub
    slots: dict[int, int] = field(default_factory=dict)   # symbol number -> place of its address
    executable: int = 0                 # bytes at the front that are read and executed, whole pages
    size: int = 0
    alignment: int = PAGE


def _slice(data: bytes, offset: int, size: int, what: str) -> bytes:
    if offset < 0 or size < 0 or offset + size > len(data):
        raise ElfError(f"{what} at {offset}..{offset + size} lies outside the object of {len(data)} bytes")
    return data[offset:offset + size]


def _text(table: bytes, offset: int) -> str:
    end = table.find(b"\0", offset)
    if offset > len(table) or end < 0:
        raise ElfError(f"a name at {offset} lies outside its string table of {len(table)} bytes")
    return table[offset:end].decode(errors="replace")


def _read_sections(data: bytes) -> list[_Section]:
    header = _slice(data, 0, 64, "the ELF header")
    if header[:6] != b"\x7fELF\x02\x01":
        raise ElfError("not a little-endian 64-bit ELF object")
    kind, machine = struct.unpack_from("<HH", header, 16)
    if (kind, machine) != (1, 62):
        raise ElfError(f"expected a relocatable x86-64 object (type 1, machine 62), got type {kind}, machine {machine}")
    start, = struct.unpack_from("<Q", header, 40)
    entry, count, names = struct.unpack_from("<HHH", header, 58)
    if entry != SECTION.size or names >= count:
        raise ElfError(f"section table: {count} entries of {entry} bytes, names in {names}")
    table = _slice(data, start, count * entry, "the section table")
    rows = list(SECTION.iter_unpack(table))
    strings = _slice(data, rows[names][4], rows[names][5], "the section names")
    sections = []
    for name, kind, flags, _, offset, size, link, info, alignment, _ in rows:
        section = _Section(_text(strings, name), kind, flags, offset, size, link, info, max(1, alignment))
        if kind not in (0, NOBITS):
            _slice(data, offset, size, f"section {section.name}")
        if section.alignment & (section.alignment - 1):
            raise ElfError(f"section {section.name}: alignment {alignment} is no power of two")
        sections.append(section)
    return sections


def read_symbols(data: bytes) -> list[_Symbol]:
    """All symbols of an object. ElfError: it is damaged."""
    sections = _read_sections(data)
    tables = [section for section in sections if section.kind == SYMTAB]
    if len(tables) != 1 or tables[0].link >= len(sections):
        raise ElfError(f"expected one symbol table, found {len(tables)}")
    table, names = tables[0], sections[tables[0].link]
    strings = _slice(data, names.offset, names.size, "the symbol names")
    if table.size % SYMBOL.size:
        raise ElfError(f"a symbol table of {table.size} bytes is no whole number of entries")
    symbols = []
    for name, info, _, section, value, size in SYMBOL.iter_unpack(_slice(data, table.offset, table.size, "symbols")):
        if section < 0xFF00 and section >= len(sections):
            raise ElfError(f"symbol {_text(strings, name)!r} lies in section {section} of {len(sections)}")
        symbols.append(_Symbol(_text(strings, name), info >> 4, section, value, size))
    return symbols


def _is_loaded(section: _Section) -> bool:
    if not section.flags & ALLOC or section.name.startswith((".eh_frame", ".note", ".init_array")):
        return False                    # nothing unwinds through kernels, and a sanitizer's start has nothing to do
    if section.flags & THREAD_LOCAL or section.kind not in LOADED_TYPES:
        if section.size:
            raise ElfError(f"section {section.name} (type {section.kind:#x}) is not supported")
        return False
    return True


def _parse(data: bytes) -> _Image:
    sections = _read_sections(data)
    symbols = read_symbols(data)
    loaded = [_is_loaded(section) for section in sections]
    relocations = []
    for section in sections:
        if section.kind not in (RELA, REL) or section.info >= len(sections) or not loaded[section.info]:
            continue
        if section.kind == REL or section.size % RELOCATION.size:
            raise ElfError(f"relocations {section.name} are not in RELA form")
        rows = list(RELOCATION.iter_unpack(_slice(data, section.offset, section.size, section.name)))
        for offset, info, _ in rows:
            if info >> 32 >= len(symbols):
                raise ElfError(f"relocation at {offset} of {section.name}: no symbol {info >> 32}")
        relocations.append((sections[section.info], rows))
    image = _Image(data, sections, symbols, relocations)
    _lay_out(image, loaded)
    return image


def _lay_out(image: _Image, loaded: list[bool]) -> None:
    """Give every loaded section, stub, address slot and common symbol its place in the image."""
    end = 0

    def place(wanted: Callable[[_Section], bool]) -> None:
        nonlocal end
        for section, is_loaded in zip(image.sections, loaded):
            if is_loaded and wanted(section):
                section.place = align_up(end, section.alignment)
                image.alignment = max(image.alignment, section.alignment)
                end = section.place + section.size
                if end > LARGEST_OBJECT:
                    raise ElfError(f"section {section.name} of {section.size} bytes: the object is too large")

    place(lambda section: bool(section.flags & EXECUTE))
    for _, rows in image.relocations:
        for _, info, _ in rows:
            number, kind = info >> 32, info & 0xFFFFFFFF
            if kind == R_PLT32 and image.symbols[number].section == UNDEFINED:
                image.stubs.setdefault(number, 0)
            elif kind in GOT_TYPES:
                image.slots.setdefault(number, 0)
    end = align_up(end, STUB_BYTES)
    for number in image.stubs:
        image.stubs[number], end = end, end + STUB_BYTES
    for number in image.slots:
        image.slots[number], end = end, end + 8
    place(lambda section: not section.flags & (EXECUTE | WRITE))
    end = image.executable = align_up(end, PAGE)
    place(lambda section: section.flags & (EXECUTE | WRITE) == WRITE)
    image.size = align_up(max(end, 1), PAGE)
    if image.size > LARGEST_OBJECT or image.alignment > LARGEST_OBJECT:
        raise ElfError(f"an object of {image.size} bytes, aligned to {image.alignment}, is too large")


def _address(image: _Image, symbol: _Symbol, base: int) -> int:
    """The run-time address of a symbol."""
    if symbol.outside is not None:
        return symbol.outside
    if symbol.section == ABSOLUTE:
        return symbol.value
    if symbol.section >= 0xFF00 or image.sections[symbol.section].place < 0:
        raise ElfError(f"symbol {symbol.name!r} lies in a section that is not loaded")
    section = image.sections[symbol.section]
    if symbol.value > section.size:
        raise ElfError(f"symbol {symbol.name!r} at {symbol.value} lies outside {section.name} of {section.size} bytes")
    return base + section.place + symbol.value


def _resolve_outside(image: _Image, find: Callable[[str], int | None]) -> None:
    """Find the undefined symbols that a relocation needs."""
    needed = {info >> 32 for _, rows in image.relocations for _, info, _ in rows}
    for number in needed:
        symbol = image.symbols[number]
        if symbol.section == UNDEFINED and number:
            found = find(symbol.name) or process_symbol(symbol.name)
            if found is None and symbol.binding != WEAK_BINDING:
                raise ElfError(f"the object needs {symbol.name!r}, which this process does not have")
            symbol.outside = found or 0


def _store(memory: bytearray, place: int, value: int, size: int, signed: bool | None, what: str) -> None:
    """Write a relocated value; `signed` None takes either (64-bit words wrap)."""
    bits = 8 * size
    low, high = (0, 1 << bits) if signed is False else (-(1 << (bits - 1)), 1 << (bits - 1))
    if signed is not None and not low <= value < high:
        raise ElfError(f"{what}: {value:#x} does not fit {bits} bits")
    memory[place:place + size] = (value & ((1 << bits) - 1)).to_bytes(size, "little")


def _relocate(image: _Image, memory: bytearray, base: int) -> None:
    addresses: dict[int, int] = {}
    for number in (*image.stubs, *image.slots):
        addresses[number] = _address(image, image.symbols[number], base)
    for number, place in image.stubs.items():
        memory[place:place + 14] = STUB + addresses[number].to_bytes(8, "little")
    for number, place in image.slots.items():
        memory[place:place + 8] = (addresses[number] & (1 << 64) - 1).to_bytes(8, "little")
    for section, rows in image.relocations:
        for offset, info, addend in rows:
            number, kind = info >> 32, info & 0xFFFFFFFF
            size = 8 if kind in (R_64, R_PC64) else 4
            what = f"relocation {kind} at {offset} of {section.name} for {image.symbols[number].name!r}"
            if section.kind == NOBITS or offset + size > section.size:
                raise ElfError(f"{what}: outside the section of {section.size} bytes")
            place = section.place + offset
            if kind in GOT_TYPES:
                _store(memory, place, image.slots[number] + addend - place, 4, True, what)
                continue
            if kind == R_PLT32 and number in image.stubs:
                _store(memory, place, image.stubs[number] + addend - place, 4, True, what)
                continue
            if number not in addresses:
                addresses[number] = _address(image, image.symbols[number], base) if number else 0
            target = addresses[number] + addend
            if kind in (R_PC32, R_PLT32):
                _store(memory, place, target - base - place, 4, True, what)
            elif kind == R_PC64:
                _store(memory, place, target - base - place, 8, None, what)
            elif kind == R_64:
                _store(memory, place, target, 8, None, what)
            elif kind in (R_32, R_32S):
                _store(memory, place, target, 4, kind == R_32S, what)
            elif kind != R_NONE:
                raise ElfError(f"{what}: this kind is not supported")


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
    image = _parse(data)
    _resolve_outside(image, find)
    base, start, total = map_memory(image.size, image.alignment)
    library = c_library()
    release = functools.partial(library.munmap, start, total)
    try:
        memory = bytearray(image.size)
        for section in image.sections:
            if section.place >= 0 and section.kind != NOBITS:
                memory[section.place:section.place + section.size] = data[section.offset:section.offset + section.size]
        _relocate(image, memory, base)
        ctypes.memmove(base, (ctypes.c_char * len(memory)).from_buffer(memory), len(memory))
        if image.executable and library.mprotect(base, image.executable, mmap.PROT_READ | mmap.PROT_EXEC):
            raise OSError(ctypes.get_errno(), "the system forbids executing memory that was written")
        functions = {symbol.name: _address(image, symbol, base) for symbol in image.symbols
                     if symbol.binding in (GLOBAL_BINDING, WEAK_BINDING) and symbol.section not in (UNDEFINED, ABSOLUTE)
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
