"""The C renderer's own mathematics: exp, log, sin, ... as C text, for one number or for vectors of any width.

In: pairs such as ("exp", "f32x16"). Out: C text that defines them and all that they call, each once, callees first.
No headers and no math library are needed, only GNU vector extensions (clang >= 15, gcc >= 12, a 64-bit target).
Every function is within 2 units in the last place of the true result over the whole range, denormal arguments and
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
MG_INLINE f32x16 mg_from_bits_f32x16(u32x16 bits) {
    return (f32x16)bits;
}
MG_INLINE u32x16 mg_widen_f32x16(u16x16 x) {
    return __builtin_convertvector(x, u32x16);
}
MG_INLINE f32x16 mg_bf16_to_f32x16(u16x16 h) {
    return mg_from_bits_f32x16(mg_widen_f32x16(h) << 16);
}
<BLANKLINE>

The functions themselves are templates: `mathlib_text`, which also says how the coefficients were found.
"""
from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from minigrad.renderer.mathlib_text import COEFFICIENTS, CONSTANTS, SHARED_CONSTANTS, TEMPLATES

# Functions of the renderer's ops, and conversions between float32 and 16-bit floats held as unsigned shorts.
FUNCTIONS = ("exp", "exp2", "log", "log2", "sin", "cos", "tanh", "erf")
CONVERSIONS = ("f16_to_f32", "f32_to_f16", "bf16_to_f32", "f32_to_bf16")

SCALARS = {"f32": "float", "f64": "double", "i8": "signed char", "u8": "unsigned char", "i16": "short",
           "u16": "unsigned short", "i32": "int", "u32": "unsigned", "i64": "long", "u64": "unsigned long",
           "f16": "_Float16", "bf16": "__bf16"}
BYTES = {name: int(name.lstrip("bfiu")) // 8 for name in SCALARS}

CALL = re.compile(rf"\b({'|'.join(TEMPLATES)})\(")
INLINE = "#define MG_INLINE static inline __attribute__((always_inline))\n"
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
    if function == "reduce_huge":
        return "mg_reduce_huge"
    if function in CONVERSIONS:
        lanes = _split(type_name)[1]
        return f"mg_{function}" + (f"x{lanes}" if lanes > 1 else "")
    return f"mg_{function}_{type_name}"


def math_source(functions: Iterable[tuple[str, str]]) -> str:
    """C text that defines each (function, type), and before it what it calls; each once.

    function: one of FUNCTIONS, or of CONVERSIONS (there the type is the float32 side's: "f32" or "f32x16", the other
    side is unsigned short or "u16x16"). type: "f32", "f64", or a vector of them, such as "f32x16" or "f64x4".
    ValueError: an unknown function, type, or a conversion of a type that is not float32.
    """
    texts: dict[str, str] = {}
    for function, type_name in functions:
        _emit(function, type_name, texts)
    select = SELECT if any("MG_SELECT" in text for text in texts.values()) else ""
    return INLINE + select + "".join(text + "\n" for text in texts.values())


def math_types(functions: Iterable[tuple[str, str]]) -> list[str]:
    """The vector types that `math_source` of the same functions uses, sorted."""
    return sorted(set(re.findall(r"\b[fiu]\d+x\d+\b", math_source(functions))))


def _emit(function: str, type_name: str, texts: dict[str, str]) -> None:
    """Put a function and its callees, which come first, into `texts` by C name. Calls are at most six deep."""
    name = function_name(function, type_name)
    if name in texts:
        return
    text, callees = _function(function, type_name)
    for callee in callees:
        _emit(callee, type_name, texts)
    texts[name] = text


@functools.cache
def _function(function: str, type_name: str) -> tuple[str, tuple[str, ...]]:
    """A function's C text, and the templates it calls."""
    precision, lanes = _split(type_name)
    template = TEMPLATES.get(function)
    if template is None:
        raise ValueError(f"math_source: unknown function {function!r}; known: {', '.join(FUNCTIONS + CONVERSIONS)}")
    if precision not in COEFFICIENTS or (function in CONVERSIONS and precision != "f32"):
        raise ValueError(f"math_source: {function} has no form for type {type_name!r}")
    if isinstance(template, dict):
        template = template.get(precision) or template["vector" if lanes > 1 else "scalar"]
    lines = _expand(template.strip("\n"), precision, type_name, lanes).split("\n")
    callees: dict[str, None] = {}
    for number, line in enumerate(lines):
        code, slashes, comment = line.partition("//")  # a comment may speak of cos(x)
        callees.update(dict.fromkeys(CALL.findall(code)))
        lines[number] = CALL.sub(lambda call: function_name(call[1], type_name) + "(", code) + slashes + comment
    callees.pop(function, None)
    return "\n".join(lines), tuple(callees)


def _expand(text: str, precision: str, type_name: str, lanes: int) -> str:
    """A template with its polynomials, constants, literals and type names filled in."""
    text = re.sub(r"^(?=[TDUHI] |int )", "MG_INLINE ", text, count=1, flags=re.MULTILINE)
    text = re.sub(r"^( +)@polynomial (\w+) (\w+) (\w+)$", lambda line: _horner(line, precision), text,
                  flags=re.MULTILINE)
    constants = {**CONSTANTS[precision], **_scale_instruction(type_name)}
    text = re.sub(r"\$(\w+)", lambda name: constants.get(name[1], name[0]), text)
    if precision == "f32":
        text = re.sub(r"(?<![\w.])\d+\.\d+(?:e[-+]?\d+)?(?![\w.])", r"\g<0>f", text)
    text = re.sub(r"\$(\w+)", lambda name: SHARED_CONSTANTS[name[1]], text)
    bits = precision[1:]
    width = f"x{lanes}" if lanes > 1 else ""
    names = {"T": precision + width, "I": f"i{bits}{width}", "U": f"u{bits}{width}", "D": "f64" + width,
             "H": "u16" + width, "REAL": precision, "INT": "i" + bits, "LANES": str(lanes)}
    return re.sub(r"\b(T|I|U|D|H|REAL|INT|LANES)\b", lambda word: SCALARS.get(names[word[1]], names[word[1]]), text)


def _horner(line: re.Match[str], precision: str) -> str:
    """`@polynomial p z NAME` -> T p = z * c3 + c2; p = p * z + c1; p = p * z + c0;  at most three steps a line."""
    indent, result, variable, name = line.groups()
    *rest, last = (f"{value:.9g}" if precision == "f32" else repr(value) for value in COEFFICIENTS[precision][name])
    literals = [text if "." in text else text.replace("e", ".0e") if "e" in text else text + ".0"
                for text in (*rest, last)]
    steps = [f"T {result} = {variable} * {literals[-1]} + {literals[-2]};"]
    steps += [f"{result} = {result} * {variable} + {literal};" for literal in reversed(literals[:-2])]
    return "\n".join(indent + "  ".join(steps[at:at + 3]) for at in range(0, len(steps), 3)).replace("+ -", "- ")


def _scale_instruction(type_name: str) -> dict[str, str]:
    """What AVX-512 has instead of `scale`'s arithmetic: one instruction for each of some vector types."""
    forms = {"f32x4": ("ps128", "VL"), "f32x8": ("ps256", "VL"), "f32x16": ("ps512", "F"),
             "f64x2": ("pd128", "VL"), "f64x4": ("pd256", "VL"), "f64x8": ("pd512", "F")}
    if type_name not in forms:
        return {"SCALE_INSTRUCTION": "", "SCALE_END": ""}
    suffix, feature = forms[type_name]
    rounding = ", 4" if feature == "F" else ""  # 4: as the processor is set
    return {"SCALE_INSTRUCTION": f"\n#ifdef __AVX512{feature}__\n"
                                 f"    return __builtin_ia32_scalef{suffix}_mask(p, n, p, -1{rounding});\n#else",
            "SCALE_END": "\n#endif"}


def _split(type_name: str) -> tuple[str, int]:
    """"f32x16" -> ("f32", 16), "f64" -> ("f64", 1). ValueError for what is no type."""
    scalar, _, lanes = type_name.partition("x")
    count = int(lanes) if lanes.isascii() and lanes.isdigit() else 0 if "x" in type_name else 1
    if scalar not in SCALARS or count < 1 or count & (count - 1) or (count == 1 and "x" in type_name):
        raise ValueError(f"{type_name!r} is no C type: expected one of {', '.join(SCALARS)}, or one with a power of "
                         f"two of lanes, such as f32x16")
    return scalar, count
