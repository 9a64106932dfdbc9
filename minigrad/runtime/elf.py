"""Loads a compiled object into this process without a linker: the bytes of a .o go in, addresses of functions come out.

An x86-64 ELF relocatable object is laid out in one anonymous mapping, relocated here, and made executable:

    jumps to functions outside the object, with their addresses | code | constants      read and execute
    data | zeroed data                                                                  read and write

Symbols that the object lacks (expf, memset) are looked up in this process and its C library. The bytes may be damaged:
whatever they say, only the mapping is written to, and ElfError is raised where they make no sense. Other machines'
objects are linked by the compiler's own linker and opened with dlopen: see `load_object`.

Layout and relocations: "System V Application Binary Interface, AMD64 Architecture Processor Supplement", chapter 4.
"""
from __future__ import annotations

import ctypes
import functools
import mmap
import os
import struct
from collections import namedtuple
from collections.abc import Callable

from minigrad.runtime.memory import PAGE, align_up, c_library, map_memory

LARGEST_OBJECT = 64 << 20               # bytes of memory that one object may ask for

SECTION, SYMBOL, RELOCATION = struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IBBHQQ"), struct.Struct("<QIIq")
Section = namedtuple("Section", "name kind flags address offset size link info alignment entry_size")
Symbol = namedtuple("Symbol", "name info other section value size")     # info >> 4: the binding
Relocation = namedtuple("Relocation", "offset kind symbol addend")

SYMTAB, RELA, NOBITS = 2, 4, 8
LOADED_TYPES = (1, NOBITS, 0x70000001)  # PROGBITS, NOBITS, X86_64_UNWIND
WRITE, ALLOC, EXECUTE = 0x1, 0x2, 0x4
UNDEFINED, ABSOLUTE = 0, 0xFFF1         # numbers of sections that a symbol may have
GLOBAL_BINDING, WEAK_BINDING = 1, 2

R_PLT32, GOT_TYPES = 4, (9, 41, 42)     # GOTPCREL, GOTPCRELX, REX_GOTPCRELX
# of each kind: bytes written, whether signed (None: 64-bit words wrap), whether relative to the place
KINDS = {1: (8, None, False), 2: (4, True, True), 10: (4, False, False), 11: (4, True, False), 24: (8, None, True)} | \
    dict.fromkeys((R_PLT32, *GOT_TYPES), (4, True, True))
JUMP = b"\x66\x90\xff\x25\x00\x00\x00\x00"  # a no-op, then jmp *[rip + 0]: the address follows
LINK = len(JUMP) + 8                    # bytes of a jump with its address


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


class Image:
    """An object on its way into memory. `places` of its sections and `links` (jumps to a symbol) are counted from the
    front, where `executable` bytes are read and executed. ElfError, or what `struct` and indexing raise: it is damaged.
    """

    def __init__(self, data: bytes, find: Callable[[str], int | None] = lambda name: None) -> None:
        if data[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<HH", data, 16) != (1, 62):
            raise ElfError("not a relocatable object for x86-64")
        self.data, self.find = data, find
        (start,), (count,) = struct.unpack_from("<Q", data, 40), struct.unpack_from("<H", data, 60)
        self.sections = [Section(*SECTION.unpack_from(data, start + SECTION.size * i)) for i in range(count)]
        table, = (section for section in self.sections if section.kind == SYMTAB)
        names = self.part(self.sections[table.link])
        self.symbols = [Symbol(names[name:names.index(0, name)].decode(), *rest)
                        for name, *rest in SYMBOL.iter_unpack(self.part(table))]
        loaded = {number: section for number, section in enumerate(self.sections)
                  if section.flags & ALLOC and section.kind in LOADED_TYPES}
        self.relocations = [(section.info, Relocation(*row)) for section in self.sections
                            if section.kind == RELA and section.info in loaded
                            for row in RELOCATION.iter_unpack(self.part(section))]
        linked = dict.fromkeys(row.symbol for _, row in self.relocations if row.kind in GOT_TYPES
                               or row.kind == R_PLT32 and self.symbols[row.symbol].section == UNDEFINED)
        self.links = {symbol: LINK * i for i, symbol in enumerate(linked)}
        self.places: dict[int, int] = {}
        self.executable = 0
        end, self.alignment = LINK * len(linked), PAGE
        for writable in (0, WRITE):
            for number, section in loaded.items():
                if section.flags & WRITE == writable:
                    self.places[number] = place = align_up(end, max(1, section.alignment))
                    self.alignment, end = max(self.alignment, section.alignment), place + section.size
            end = align_up(end, PAGE)
            self.executable = self.executable or end
        self.size = max(end, PAGE)
        if max(self.size, self.alignment) > LARGEST_OBJECT or self.alignment & (self.alignment - 1):
            raise ElfError(f"an object of {self.size} bytes, aligned to {self.alignment}")

    def part(self, section: Section) -> bytes:
        """A section's bytes."""
        found = self.data[section.offset:section.offset + section.size]
        if len(found) != section.size:
            raise ElfError(f"{section.size} bytes at {section.offset} lie outside of {len(self.data)} bytes")
        return found

    def address(self, number: int, base: int) -> int:
        """The run-time address of a symbol; 0 for the one without a name."""
        symbol = self.symbols[number]
        if symbol.section == ABSOLUTE or number == 0:
            return int(symbol.value)
        if symbol.section != UNDEFINED:
            return int(base + self.places[symbol.section] + symbol.value)
        found = self.find(symbol.name) or process_symbol(symbol.name)
        if found is None and symbol.info >> 4 != WEAK_BINDING:
            raise ElfError(f"the object needs {symbol.name!r}, which this process does not have")
        return found or 0

    def content(self, base: int) -> bytearray:
        """The bytes of the image at an address."""
        memory = bytearray(self.size)
        for number, place in self.places.items():
            section = self.sections[number]
            if section.kind != NOBITS:
                memory[place:place + section.size] = self.part(section)
        for symbol, place in self.links.items():
            memory[place:place + LINK] = JUMP + self.address(symbol, base).to_bytes(8, "little")
        for number, row in self.relocations:
            if row.kind:
                self._relocate(memory, base, self.places[number] + row.offset, row)
        if len(memory) != self.size:
            raise ElfError("a relocation lies outside of its section")
        return memory

    def _relocate(self, memory: bytearray, base: int, place: int, row: Relocation) -> None:
        if row.kind not in KINDS:
            raise ElfError(f"a relocation of kind {row.kind} for {self.symbols[row.symbol].name!r} is not supported")
        size, signed, relative = KINDS[row.kind]
        link = self.links.get(row.symbol)
        if row.kind in GOT_TYPES:
            target = base + self.links[row.symbol] + len(JUMP)
        elif row.kind == R_PLT32 and link is not None:
            target = base + link
        else:
            target = self.address(row.symbol, base)
        value = target + row.addend - (base + place if relative else 0)
        if signed is None:
            value &= (1 << 64) - 1
        memory[place:place + size] = value.to_bytes(size, "little", signed=bool(signed))


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
    try:
        image = Image(data, find)
        base, start, total = map_memory(image.size, image.alignment)
        loaded = LoadedObject({}, functools.partial(c_library().munmap, start, total))
        memory = image.content(base)
        ctypes.memmove(base, (ctypes.c_char * len(memory)).from_buffer(memory), len(memory))
        if image.executable and c_library().mprotect(base, image.executable, mmap.PROT_READ | mmap.PROT_EXEC):
            raise OSError(ctypes.get_errno(), "the system forbids executing memory that was written")
        loaded.functions |= {symbol.name: image.address(number, base) for number, symbol in enumerate(image.symbols)
                             if symbol.info >> 4 in (GLOBAL_BINDING, WEAK_BINDING) and symbol.section in image.places
                             and image.sections[symbol.section].flags & EXECUTE}
        return loaded
    except ElfError:
        raise
    except (struct.error, LookupError, ValueError, OverflowError) as error:
        raise ElfError(f"a damaged object: {error!r}") from None


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
