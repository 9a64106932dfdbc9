"""The functions that rendered C calls: exp, log, sin, max, ... as C text, for one number or for vectors of any width.

In: pairs such as ("exp", "f32x16"). Out: C text that defines them and all that they call, each once, callees first.
No headers and no math library are needed, only GNU vector extensions (clang >= 15, gcc >= 12, a 64-bit target).
The mathematics is within 2 units in the last place of the true result over the whole range, denormal arguments and
results included, and right on NaN, infinities and signed zeros. The compiler may fuse `a * b + c` or not: products
that must be exact have few enough bits to be so either way. Rounding is to nearest; no -ffast-math.

The text uses vector types by the renderer's names (f32x16, i32x16, ...): `math_types` says which, and
`vector_typedefs` defines them.

>>> print(vector_typedefs(["f32x16"]))
typedef float f32x16 __attribute__((vector_size(64)));
>>> function_name("exp", "f32x16"), function_name("f32_to_bf16", "f32x16")
('mg_exp_f32x16', 'mg_f32_to_bf16x16')
>>> print(math_source([("bf16_to_f32", "f32x16")]))
#define MG_INLINE static inline __attribute__((always_inline))
MG_INLINE f32x16 mg_from_bits_f32x16(u32x16 bits) { return (f32x16)bits; }
MG_INLINE u32x16 mg_widen_f32x16(u16x16 x) { return __builtin_convertvector(x, u32x16); }
MG_INLINE f32x16 mg_bf16_to_f32x16(u16x16 h) { return mg_from_bits_f32x16(mg_widen_f32x16(h) << 16); }
<BLANKLINE>

The functions themselves are templates: `functions.h`. `mathlib_numbers` says how the coefficients were found.
"""
from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .mathlib_numbers import COEFFICIENTS, CONSTANTS, PIECES, SHARED_CONSTANTS

# Functions of the renderer's ops, and conversions between float32 and 16-bit floats held as unsigned shorts.
FUNCTIONS = ("exp", "exp2", "log", "log2", "sin", "cos", "tanh", "erf")
CONVERSIONS = ("f16_to_f32", "f32_to_f16", "bf16_to_f32", "f32_to_bf16")

SCALARS = {"f32": "float", "f64": "double", "i8": "signed char", "u8": "unsigned char", "i16": "short",
           "u16": "unsigned short", "i32": "int", "u32": "unsigned", "i64": "long", "u64": "unsigned long",
           "f16": "_Float16", "bf16": "__bf16"}
BYTES = {name: int(name.lstrip("bfiu")) // 8 for name in SCALARS}
KINDS = {"f": "float", "b": "float", "i": "signed", "u": "unsigned"}

# name -> variant -> text
TEMPLATES: dict[str, dict[str, str]] = {}
for _heading, _text in re.findall(r"^//! (.+)\n((?:.+\n)+)",
                                  Path(__file__).with_name("functions.h").read_text(), re.MULTILINE):
    _name, _, _variant = _heading.partition(" ")
    TEMPLATES.setdefault(_name, {})[_variant] = _text.strip("\n")

CALL = re.compile(rf"\b({'|'.join(TEMPLATES)})\(")
VECTOR = re.compile(r"\b[fiu]\d+x\d+(?=u?\b)")
INLINE = "#define MG_INLINE static inline __attribute__((always_inline))\n"
# What AVX-512 loads and stores in part: the type it takes them for, the instruction's ending, and who has it.
MASKED = {"f32": ("f32", "ups", "F"), "i32": ("i32", "dqusi", "F"), "u32": ("i32", "dqusi", "F"),
          "i16": ("i16", "dquhi", "BW"), "u16": ("i16", "dquhi", "BW")}
WITHOUT_TYPE = ("reduce_huge", "lanes")     # one for all types
# The lanes of a where the mask is set, else of b. Written as logic on bits it is no masked instruction to the compiler.
SELECT = """\
#ifdef __clang__
#define MG_OF(x) __typeof__((x)[0]) __attribute__((ext_vector_type(sizeof(x) / sizeof((x)[0]))))
#define MG_SELECT(m, a, b) ({ typedef MG_OF(m) mg_mask; typedef MG_OF(a) mg_value; \\
    (__typeof__(a))((mg_mask)(m) ? (mg_value)(a) : (mg_value)(b)); })
#else
#define MG_SELECT(m, a, b) ((__typeof__(a))(((m) & (__typeof__(m))(a)) | (~(m) & (__typeof__(m))(b))))
#endif
"""


def vector_typedefs(types: Iterable[str]) -> str:
    """C typedefs of vector types named like "f32x16", "i64x8", "u16x4", one a line, each once, sorted; scalar names
    among them are left out. ValueError: a name that is no type, or a number of lanes that is not a power of two."""
    lines = []
    for name in sorted(set(types)):
        scalar, lanes = _split(name)
        if lanes > 1:
            lines.append(f"typedef {SCALARS[scalar]} {name} __attribute__((vector_size({BYTES[scalar] * lanes})));")
    return "\n".join(lines)


def function_name(function: str, type_name: str) -> str:
    """The C name of a function: mg_exp_f32x16, and of a conversion: mg_f16_to_f32x16, mg_f32_to_f16x16."""
    if function in WITHOUT_TYPE:
        return f"mg_{function}"
    if function in CONVERSIONS:
        lanes = _split(type_name)[1]
        return f"mg_{function}" + (f"x{lanes}" if lanes > 1 else "")
    return f"mg_{function}_{type_name}"


def math_source(functions: Iterable[tuple[str, str]]) -> str:
    """C text that defines each (function, type), and before it what it calls; each once.

    function: one of FUNCTIONS, or of CONVERSIONS (there the type is the float32 side's: "f32" or "f32x16", the other
    side is unsigned short or "u16x16"), or another one of `functions.h`. type: "f32", "f64", or a vector of them, such
    as "f32x16" or "f64x4". ValueError: an unknown function, type, or one that the function has no form for.
    """
    texts = "".join(f"{text}\n" for text in dict.fromkeys(t for pair in functions for t in texts_of(*pair)))
    return INLINE + (SELECT if "MG_SELECT" in texts else "") + texts


def math_types(functions: Iterable[tuple[str, str]]) -> list[str]:
    """The vector types that `math_source` of the same functions uses, sorted."""
    return sorted(set(VECTOR.findall(math_source(functions))))


@functools.cache
def types_of(function: str, type_name: str) -> tuple[str, ...]:
    """The vector types in a function's text and in those of what it calls, sorted."""
    return tuple(math_types([(function, type_name)]))


@functools.cache
def texts_of(function: str, type_name: str) -> tuple[str, ...]:
    """A function's C text, behind those of what it calls."""
    if function in WITHOUT_TYPE:
        type_name = "f64"
    scalar, lanes = _split(type_name)
    variants = TEMPLATES.get(function)
    if variants is None:
        raise ValueError(f"math_source: unknown function {function!r}; known: {', '.join(FUNCTIONS + CONVERSIONS)}")
    choices = (type_name, scalar, "vector", "") if lanes > 1 else (scalar, KINDS[scalar[0]], "scalar", "")
    template = next((variants[choice] for choice in choices if choice in variants), None)
    if template is None and lanes > 1:
        one = texts_of(function, scalar)
        arguments = [type_name] * (1 + one[-1].partition(")")[0].count(","))
        name = function_name(function, type_name)
        return *one, by_lane(name, type_name, arguments, function_name(function, scalar))
    constants = {**SHARED_CONSTANTS, **CONSTANTS.get(scalar, {}), **_instructions(type_name)}
    if template is None or (function in CONVERSIONS and scalar != "f32") or \
            not constants.keys() >= set(re.findall(r"\$(\w+)", template)):
        raise ValueError(f"math_source: {function} has no form for type {type_name!r}")
    lines = _expand(template, constants, scalar, type_name, lanes).split("\n")
    callees: dict[str, None] = {}
    for number, line in enumerate(lines):
        code, slashes, comment = line.partition("//")  # a comment may speak of cos(x)
        callees.update(dict.fromkeys(CALL.findall(code)))
        lines[number] = CALL.sub(lambda call: function_name(call[1], type_name) + "(", code) + slashes + comment
    callees.pop(function, None)
    return *dict.fromkeys(text for callee in callees for text in texts_of(callee, type_name)), "\n".join(lines)


def by_lane(name: str, result: str, arguments: Sequence[str], scalar_name: str) -> str:
    """A function of vectors that calls another one for each lane."""
    given = ", ".join(f"{kind} {x}" for kind, x in zip(arguments, "abc"))
    lane = ", ".join(f"{x}[i]" for _, x in zip(arguments, "abc"))
    return (f"MG_INLINE {result} {name}({given}) {{\n    {result} r;\n"
            f"    for (int i = 0; i < {_split(result)[1]}; i++) r[i] = {scalar_name}({lane});\n    return r;\n}}")


def _expand(text: str, constants: Mapping[str, str], scalar: str, type_name: str, lanes: int) -> str:
    """A template with its polynomials, constants, literals and type names filled in."""
    text = re.sub(r"^(?=[TDUHI] |int |void )", "MG_INLINE ", text, count=1, flags=re.MULTILINE)
    text = re.sub(r"^( +)@polynomial (\w+) (\w+) (\w+)$", lambda line: _horner(line, scalar), text,
                  flags=re.MULTILINE)
    text = re.sub(r"^( +)@pieces (\w+) (\w+) (\w+)$", _pieces, text, flags=re.MULTILINE)
    own = CONSTANTS.get(scalar, {}) | _instructions(type_name)
    text = re.sub(r"\$(\w+)", lambda name: own.get(name[1], name[0]), text)
    if scalar == "f32":
        text = re.sub(r"(?<![\w.])\d+\.\d+(?:e[-+]?\d+)?(?![\w.])", r"\g<0>f", text)
    text = re.sub(r"\$(\w+)", lambda name: constants[name[1]], text)
    bits = scalar.lstrip("bfiu")
    width = f"x{lanes}" if lanes > 1 else ""
    names = {"T": type_name, "I": f"i{bits}{width}", "U": f"u{bits}{width}", "D": "f64" + width, "H": "u16" + width,
             "M": "i32" + width, "TU": type_name + "u", "REAL": scalar, "INT": "i" + bits, "LANES": str(lanes),
             "BITS": bits}
    return re.sub(rf"\b({'|'.join(names)})\b", lambda word: SCALARS.get(names[word[1]], names[word[1]]), text)


def _horner(line: re.Match[str], precision: str) -> str:
    """`@polynomial p z NAME` -> T p = z * c3 + c2; p = p * z + c1; p = p * z + c0;  at most three steps a line."""
    indent, result, variable, name = line.groups()
    literals = [_literal(value, precision) for value in COEFFICIENTS[precision][name]]
    steps = [f"T {result} = {variable} * {literals[-1]} + {literals[-2]};"]
    steps += [f"{result} = {result} * {variable} + {literal};" for literal in reversed(literals[:-2])]
    return "\n".join(indent + "  ".join(steps[at:at + 3]) for at in range(0, len(steps), 3)).replace("+ -", "- ")


def _literal(value: float, precision: str) -> str:
    text = f"{value:.9g}" if precision == "f32" else repr(value)
    return text if "." in text else text.replace("e", ".0e") if "e" in text else text + ".0"


def _pieces(line: re.Match[str]) -> str:
    """`@pieces p x NAME` -> which piece each x lies in, how far from its middle, and Horner's rule with coefficients
    that are looked up."""
    indent, result, variable, name = line.groups()
    width, powers = PIECES[name]
    steps = [f"{result} = {result} * rest + lookup(table[{power}], piece);" for power in range(len(powers) - 2, -1, -1)]
    return "\n".join(indent + text for text in (
        f"static const REAL table[{len(powers)}][{len(powers[0])}] __attribute__((aligned(64))) = {{",
        *(f"    {{{', '.join(_literal(value, 'f32') for value in row)}}}," for row in powers), "};",
        f"T nearest = {variable} * {1 / width!r} + $ROUND, rest = {variable} - (nearest - $ROUND) * {width!r};",
        "U piece = bits(nearest);", f"T {result} = lookup(table[{len(powers) - 1}], piece);", *steps))


def _instructions(type_name: str) -> dict[str, str]:
    """What AVX-512 has instead of the text of `scale`, `load` and `store`: an instruction for some vector types."""
    scales = {"f32x4": ("ps128", "VL"), "f32x8": ("ps256", "VL"), "f32x16": ("ps512", "F"),
              "f64x2": ("pd128", "VL"), "f64x4": ("pd256", "VL"), "f64x8": ("pd512", "F")}
    found = dict.fromkeys(("SCALE_INSTRUCTION", "SCALE_END", "LOAD_INSTRUCTION", "STORE_INSTRUCTION", "MASK_END",
                           "DOT_INSTRUCTION", "DOT_END"), "")
    if type_name in ("f32x4", "f32x8", "f32x16"):   # gcc has another type for the pairs
        lanes = _split(type_name)[1]
        found |= {"DOT_INSTRUCTION": "\n#if defined(__AVX512BF16__) && defined(__AVX512VL__) && defined(__clang__)\n"
                                     "    typedef __bf16 pairs __attribute__((vector_size(sizeof(T))));\n    return "
                                     f"__builtin_ia32_dpbf16ps_{32 * lanes}(sum, (pairs)a, (pairs)b);\n#else",
                  "DOT_END": "\n#endif"}
    if type_name in scales:
        suffix, feature = scales[type_name]
        rounding = ", 4" if feature == "F" else ""  # 4: as the processor is set
        found |= {"SCALE_INSTRUCTION": f"\n#ifdef __AVX512{feature}__\n"
                                       f"    return __builtin_ia32_scalef{suffix}_mask(p, n, p, -1{rounding});\n#else",
                  "SCALE_END": "\n#endif"}
    scalar, lanes = _split(type_name)
    if scalar in MASKED and lanes <= 16 and lanes * BYTES[scalar] in (16, 32, 64):
        kind, suffix, feature = MASKED[scalar]
        vector, bits = f"{kind}x{lanes}", 8 * lanes * BYTES[scalar]
        narrow = " && defined(__AVX512VL__)" if bits < 512 else ""
        condition = f"\n#if defined(__AVX512{feature}__){narrow}\n    "
        found |= {"LOAD_INSTRUCTION": f"{condition}return (T)__builtin_ia32_load{suffix}{bits}_mask((const void *)p, "
                                      f"({vector}){{}}, lanes(first, end));\n#else",
                  "STORE_INSTRUCTION": f"{condition}__builtin_ia32_store{suffix}{bits}_mask((void *)p, ({vector})v, "
                                       "lanes(first, end));\n#else",
                  "MASK_END": "\n#endif"}
    return found


def _split(type_name: str) -> tuple[str, int]:
    """"f32x16" -> ("f32", 16), "f64" -> ("f64", 1). ValueError for what is no type."""
    scalar, _, lanes = type_name.partition("x")
    count = int(lanes) if lanes.isascii() and lanes.isdigit() else 0 if "x" in type_name else 1
    if scalar not in SCALARS or count < 1 or count & (count - 1) or (count == 1 and "x" in type_name):
        raise ValueError(f"{type_name!r} is no C type: expected one of {', '.join(SCALARS)}, or one with a power of "
                         f"two of lanes, such as f32x16")
    return scalar, count
