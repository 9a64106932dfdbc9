"""What a function can read besides its arguments: everything that its code reaches.

In: a function, the arguments that are neither tensors nor scalars, and the code objects that ran while it was recorded.
Out: `Guards` of the values found.

Read means reachable: from the function's globals, closure cells, defaults and bound object, through containers,
modules, classes and the attributes of objects, as far as the code that ran mentions the name. So a layer's `self.eps`,
a list of layers, a config, a flag in a module are all found, in every function that was called.

What cannot be seen: values that only C code reaches, attributes made by `__getattr__` or properties that read a file or
a clock, and names that are built at run time (`getattr(x, "a" + "b")`).
"""
from __future__ import annotations

import functools
import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from opcode import opmap
from typing import Any

import numpy as np

from . import guards as guarding
from .guards import MISSING, SCALARS, Entries, Guards, Holder, Jitted

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
SHOWN = tuple(PACKAGE + part for part in ("nn", "blas"))  # parts of this package that are written like a user's code
STANDARD = os.path.dirname(os.__file__) + os.sep
LOAD_GLOBAL, LOAD_NAME, EXTENDED_ARG = (opmap[name] for name in ("LOAD_GLOBAL", "LOAD_NAME", "EXTENDED_ARG"))
LOAD_ATTR = opmap["LOAD_ATTR"]
LOAD_METHOD = opmap["LOAD_METHOD"] if sys.version_info < (3, 12) else None  # later a name without code of its own
LONG = 64  # a container of more scalars than this is compared as a whole
MOST_VALUES = 1 << 16  # looked at by one walk: a function that reaches more is not worth guarding
MOST_PATH = 100  # characters of a path, from its end


def is_users(code: types.CodeType) -> bool:
    """Whether code is the user's, or a layer's: not this package's core, not the standard library, not numpy."""
    name = code.co_filename
    if name.startswith(PACKAGE):
        return name.startswith(SHOWN)
    if name.startswith(STANDARD):
        return "site-packages" in name and f"{os.sep}numpy{os.sep}" not in name
    return not name.startswith("<frozen") and f"{os.sep}numpy{os.sep}" not in name


class CodeTracer:
    """Notes the code that runs in a block, in this thread, with the globals that it ran with.

    Not `active` where it is not wanted, nor under a profiler written in C, which could not be put back: then it is not
    known what ran.
    """

    def __init__(self, wanted: bool = True) -> None:
        self.seen: dict[types.CodeType, dict[str, Any]] = {}
        self._saved: Any = None
        self.active = wanted

    def _event(self, frame: types.FrameType, event: str, _: Any) -> None:
        if event == "call":
            code = frame.f_code
            if code not in self.seen:
                self.seen[code] = frame.f_globals

    def __enter__(self) -> CodeTracer:
        self._saved = sys.getprofile()
        self.active = self.active and (self._saved is None or callable(self._saved))
        if self.active:
            sys.setprofile(self._event)
        return self

    def __exit__(self, *_: object) -> None:
        if self.active:
            sys.setprofile(self._saved)

    def users(self) -> dict[types.CodeType, dict[str, Any]]:
        return {code: space for code, space in self.seen.items() if is_users(code)}


def _with_nested(codes: Iterable[types.CodeType]) -> Iterator[types.CodeType]:
    """The code, and that of functions defined in it."""
    stack = list(codes)
    while stack:
        code = stack.pop()
        yield code
        stack.extend(constant for constant in code.co_consts if isinstance(constant, types.CodeType))


def _operations(code: types.CodeType) -> Iterator[tuple[int, int]]:
    """(operation, argument) of each instruction."""
    words, extended = code.co_code, 0
    for operation, argument in zip(words[::2], words[1::2]):
        argument |= extended
        extended = argument << 8 if operation == EXTENDED_ARG else 0
        yield operation, argument


def names_in(codes: Iterable[types.CodeType]) -> tuple[set[str], set[str]]:
    """Every name and string that the code mentions, in nested functions too; and those that may read data: all but the
    attributes that are only called.
    """
    names: set[str] = set()
    read: set[str] = set()
    for code in _with_nested(codes):
        words = set(code.co_freevars)
        for constant in code.co_consts:
            if isinstance(constant, str) and constant.isidentifier():
                words.add(constant)
            elif isinstance(constant, tuple):
                words.update(x for x in constant if isinstance(x, str))
        names |= words.union(code.co_names)
        read |= words.union(set(code.co_names) - method_names(code))
    return names, read


@functools.lru_cache(1 << 12)
def method_names(code: types.CodeType) -> frozenset[str]:
    """Attributes that the code only calls (`x.step()`): where such a name holds a number, it is not read."""
    called: set[str] = set()
    read: set[str] = set()
    for operation, argument in _operations(code):
        if operation == LOAD_METHOD:  # from 3.12 on: an attribute whose lowest bit is set
            called.add(code.co_names[argument])
        elif operation == LOAD_ATTR:
            name = code.co_names[argument >> 1 if LOAD_METHOD is None else argument]
            (called if LOAD_METHOD is None and argument & 1 else read).add(name)
    return frozenset(called - read)


@functools.lru_cache(1 << 12)
def global_names(code: types.CodeType) -> frozenset[str]:
    """The names that the code, or a function defined in it, looks up as globals."""
    # the lowest bit of LOAD_GLOBAL's argument says whether a call follows
    return frozenset(inner.co_names[argument >> 1 if operation == LOAD_GLOBAL else argument]
                     for inner in _with_nested([code]) for operation, argument in _operations(inner)
                     if operation in (LOAD_GLOBAL, LOAD_NAME))


class TooManyValues(Exception):
    """A walk was given up; its text names the last path."""


class Walk:
    """Collects the guards of what is reached. `codes`: the code that ran, with its globals; None: all may run."""

    def __init__(self, codes: dict[types.CodeType, dict[str, Any]] | None) -> None:
        self.static = codes is None
        self.codes = dict(codes or {})
        self.names, self.read_names = names_in(self.codes)
        self.guards = Guards()
        self.seen: dict[int, Any] = {}
        self.tensor_entries: dict[int, int] = {}
        self.edges: set[tuple[int, Any]] = set()
        self.class_edges: set[tuple[type, str]] = set()     # a class gives another __dict__ each time
        self.classes: set[type] = set()
        self.stack: list[tuple[Any, str]] = []

    def run(self, roots: Iterable[tuple[Any, str]]) -> Guards:
        roots = list(roots)
        while True:
            before = len(self.codes)
            self.stack.extend(roots)
            for code, space in list(self.codes.items()):
                self._globals(code, space)
            while self.stack:
                self._visit(*self.stack.pop())
            if not self.static or len(self.codes) == before:
                return self.guards
            # more code was found: names that it mentions open more attributes, so look at everything again
            self.names, self.read_names = names_in(self.codes)
            self.guards, self.seen, self.tensor_entries = Guards(), {}, {}
            self.edges, self.class_edges, self.classes = set(), set(), set()

    # ---- entries

    def _edge(self, container: Any, key: Any, value: Any, path: str) -> None:
        """container[key] is value."""
        if (id(container), key) in self.edges:
            return
        self.edges.add((id(container), key))
        if len(self.edges) + len(self.seen) > MOST_VALUES:
            raise TooManyValues(path)
        self._guard(self.guards.items, container, key, value, path)

    def _call(self, read: Callable[[], Any], value: Any, path: str) -> None:
        self.guards.calls.append((read, value, path))
        self.stack.append((value, path))

    def _attribute(self, container: Any, name: str, value: Any, path: str) -> None:
        """An attribute that lies in a slot, or what a cell holds."""
        self._guard(self.guards.attributes, container, name, value, path)

    def _guard(self, entries: Entries, container: Any, key: Any, value: Any, path: str) -> None:
        entry = entries.add(container, key, value, path)
        self.guards.index[id(container), key] = entries, entry
        if isinstance(value, guarding.tensor_type) and not isinstance(container, types.MappingProxyType):
            index = self._tensor(value, path)
            self.guards.holders.append(Holder(entries, container, key, entry, value, index, path))
        self.stack.append((value, path))

    def _length(self, container: Any, path: str) -> None:
        self.guards.sized.append(container)
        self.guards.lengths.append(len(container))
        self.guards.sized_paths.append(path)

    # ---- what can be met

    def _visit(self, value: Any, path: str) -> None:
        if isinstance(value, guarding.tensor_type):
            self._tensor(value, path)
            return
        if isinstance(value, SCALARS) or id(value) in self.seen:
            return
        self.seen[id(value)] = value
        if len(self.edges) + len(self.seen) > MOST_VALUES:
            raise TooManyValues(path)
        if len(path) > MOST_PATH:
            path = "..." + path[-MOST_PATH:]
        if isinstance(value, types.FunctionType):
            self._function(value, path)
        elif isinstance(value, types.MethodType):
            self.stack += [(value.__self__, "self"), (value.__func__, path)]
        elif isinstance(value, Jitted):
            self.stack.append((value.function, path))
        elif isinstance(value, functools.partial):
            self.stack += [(value.func, path), (value.args, path + ".args"), (value.keywords, path + ".keywords")]
        elif isinstance(value, (staticmethod, classmethod)):
            self.stack.append((value.__func__, path))
        elif isinstance(value, property):
            self.stack += [(f, path) for f in (value.fget,) if f is not None]
        elif isinstance(value, (list, tuple)):
            self._sequence(value, path)
        elif isinstance(value, dict):
            self._mapping(value, path)
        elif isinstance(value, (set, frozenset)):
            self._set(value, path)
        elif isinstance(value, np.ndarray):
            self._array(value, path)
        elif isinstance(value, types.ModuleType):
            self._module(value, path)
        elif isinstance(value, type):
            self._class(value, path)
        elif _is_users_type(type(value)):
            self._object(value, path)

    def _tensor(self, tensor: Any, path: str) -> int:
        """Guards a tensor; which one of the guarded tensors it is."""
        known = self.tensor_entries.get(id(tensor))
        if known is not None:
            return known
        guards = self.guards
        index = self.tensor_entries[id(tensor)] = len(guards.tensors)
        guards.tensors.append(tensor)
        guards.nodes.append(tensor._node)
        guards.tensor_paths.append(path)
        if "grad" in self.names or "backward" in self.names:
            self._attribute(tensor, "grad", tensor.grad, path + ".grad")
        return index

    def _function(self, function: types.FunctionType, path: str) -> None:
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None:
            self.stack.append((wrapped, path))
        if function.__code__ not in self.codes:
            if not self.static or not is_users(function.__code__):
                return
            self.codes[function.__code__] = function.__globals__
        name = function.__qualname__.rpartition(".")[2]
        for attribute in ("__defaults__", "__kwdefaults__"):
            if (defaults := getattr(function, attribute)) is not None:
                self._attribute(function, attribute, defaults, f"{name}'s defaults")
        for cell, free in zip(function.__closure__ or (), function.__code__.co_freevars):
            try:
                contents = cell.cell_contents
            except ValueError:  # not yet assigned
                continue
            self._attribute(cell, "cell_contents", contents, free)

    def _globals(self, code: types.CodeType, space: dict[str, Any]) -> None:
        for name in global_names(code):
            value = space.get(name, MISSING)
            if value is not MISSING and not _is_foreign(value):
                self._edge(space, name, value, name)

    def _sequence(self, value: Any, path: str) -> None:
        mutable = isinstance(value, list)
        if mutable:
            self._length(value, path)
        if len(value) > LONG and all(isinstance(item, SCALARS) for item in value):
            if mutable:
                saved = list(value)
                self._call(lambda: value == saved, True, path)
            return
        for i, item in enumerate(value):
            if mutable:
                self._edge(value, i, item, f"{path}[{i}]")
            else:
                self.stack.append((item, f"{path}[{i}]"))

    def _mapping(self, value: dict[Any, Any], path: str) -> None:
        self._length(value, path)
        if len(value) > LONG and all(isinstance(item, SCALARS) for item in value.values()):
            saved = dict(value)
            self._call(lambda: value == saved, True, path)
            return
        for key, item in list(value.items()):
            name = f"{key!r:.60}" if isinstance(key, SCALARS) else f"a {type(key).__name__}"
            self._edge(value, key, item, f"{path}[{name}]")

    def _set(self, value: set[Any] | frozenset[Any], path: str) -> None:
        saved = set(value)
        self._call(lambda: value == saved, True, path)

    def _array(self, value: np.ndarray[Any, Any], path: str) -> None:
        saved = (value.dtype, value.shape, value.tobytes())
        self._call(lambda: (value.dtype, value.shape, value.tobytes()) == saved, True, path)

    def _module(self, module: types.ModuleType, path: str) -> None:
        for name in self.names & module.__dict__.keys():
            value = module.__dict__[name]
            if not _is_foreign(value):
                self._edge(module.__dict__, name, value, f"{path}.{name}")

    def _class(self, kind: type, path: str) -> None:
        for base in kind.__mro__:
            if base is object or not (_is_users_type(base) or base is guarding.tensor_type):
                continue
            plain_only = base is guarding.tensor_type
            for name, value in list(base.__dict__.items()):
                if isinstance(value, types.FunctionType):  # special methods are called without being named
                    wanted = value.__code__ in self.codes or (self.static and is_users(value.__code__))
                else:
                    wanted = name in self.names and (isinstance(value, SCALARS) or not plain_only)
                if wanted and (base, name) not in self.class_edges:
                    self.class_edges.add((base, name))
                    self._edge(base.__dict__, name, value, f"{base.__name__}.{name}")

    def _reads(self, name: str, held: Any) -> bool:
        """Whether the code may read an attribute that holds this: numbers and texts are not called."""
        return name in (self.read_names if isinstance(held, SCALARS) else self.names)

    def _object(self, value: Any, path: str) -> None:
        kind = type(value)
        if kind not in self.classes:
            self.classes.add(kind)
            self._class(kind, kind.__name__)
        own = getattr(value, "__dict__", None)
        if isinstance(own, dict):
            everything = "__dict__" in self.names or "vars" in self.names
            for name in list(own) if everything else [name for name in own if self._reads(name, own[name])]:
                self._edge(own, name, own[name], f"{path}.{name}")
            for base in kind.__mro__[:-1]:  # data of the class, which an attribute of the object would hide
                for name in self.names & base.__dict__.keys() - own.keys():
                    if isinstance(base.__dict__[name], (*SCALARS, guarding.tensor_type, list, dict, tuple)):
                        self._call(functools.partial(own.get, name), None, f"{path}.{name}")
        for base in kind.__mro__[:-1]:
            slots = base.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if hasattr(value, name) and self._reads(name, getattr(value, name)):
                    self._attribute(value, name, getattr(value, name), f"{path}.{name}")


def _is_users_type(kind: type) -> bool:
    """Whether objects of this type are looked into: not those of builtins, the standard library, numpy, our core."""
    module = str(getattr(kind, "__module__", "builtins"))
    top = module.partition(".")[0]
    if top == __name__.partition(".")[0]:
        return module.startswith((top + ".nn", top + ".blas"))
    return top not in sys.stdlib_module_names and top != "numpy"


def _is_foreign(value: Any) -> bool:
    """Functions, classes and modules that nobody changes: of the standard library, numpy and this package's core."""
    if isinstance(value, types.ModuleType):
        name = value.__name__.partition(".")[0]
        return name in sys.stdlib_module_names and name != "__main__" or name == "numpy"
    if isinstance(value, (types.BuiltinFunctionType, types.BuiltinMethodType)):
        return True
    if isinstance(value, types.FunctionType):
        return not is_users(value.__code__)
    return isinstance(value, type) and value is not guarding.tensor_type and not _is_users_type(value)


def collect(roots: Iterable[tuple[Any, str]], codes: dict[types.CodeType, dict[str, Any]] | None) -> Guards:
    """The guards of what the roots and the code that ran can read now. `codes` None: of what could run.
    TooManyValues where that is more than MOST_VALUES.
    """
    return Walk(codes).run(roots)


def tensors_below(value: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """(path, tensor) of each tensor in nested lists, tuples and dicts."""
    stack: list[tuple[tuple[Any, ...], Any]] = [((), value)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, guarding.tensor_type):
            yield path, item
        elif isinstance(item, (list, tuple)):
            stack.extend(((*path, i), x) for i, x in reversed(list(enumerate(item))))
        elif isinstance(item, dict):
            stack.extend(((*path, k), x) for k, x in reversed(list(item.items())))
