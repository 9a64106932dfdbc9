"""What `mathlib` writes: the functions as C templates, and the coefficients and constants of both precisions.

How a template becomes C: the whole words T, I, U (the type, and the signed and unsigned integers as wide), D (as many
doubles), H (as many unsigned shorts), REAL, INT (one lane), LANES are replaced; a call of another template gets that
function's full name; `$NAME` is a constant of the precision; a plain 1.0 gets an `f` in single precision;
`@polynomial p z NAME` becomes Horner's rule, `p = NAME[0] + NAME[1] z + ...`.

The coefficients are our own: Remez's exchange algorithm in 220-bit arithmetic (mpmath) on the interval and form given
beside each, minimising the largest relative error of the function's result; then rounding to the precision, in single
precision one coefficient at a time, the rest fitted again. The error of the rounded polynomial is given as a power of
two; the unit in the last place is 2^-23 to 2^-24 (single), 2^-52 to 2^-53 (double).
"""
from __future__ import annotations

# Rows: the polynomial's use, interval, relative error.
COEFFICIENTS: dict[str, dict[str, tuple[float, ...]]] = {
    "f32": {
        # e^r = 1 + r + r^2 EXP(r), |r| <= ln(2)/2: 2^-28.1
        "EXP": (0.49999994, 0.166665092, 0.041668009, 0.00836999156, 0.00138470531),
        # 2^r = 1 + r EXP2(r), |r| <= 1/2: 2^-27.5
        "EXP2": (0.693147242, 0.240226552, 0.0555027276, 0.00961706694, 0.00134178763, 0.000158190363),
        # log(1 + f) = f - f^2/2 + f^3 LOG(f), sqrt(1/2) <= 1 + f <= sqrt(2): 2^-27.2
        "LOG": (0.333333313, -0.250008196, 0.200012282, -0.166233584, 0.142017499, -0.131601647, 0.127616152,
                -0.0763457045),
        # sin r = r + r^3 SIN(r^2), |r| <= pi/4: 2^-27.9
        "SIN": (-0.166666552, 0.00833218731, -0.000195178975),
        # cos r = 1 - r^2/2 + r^4 COS(r^2), |r| <= pi/4: 2^-33.0
        "COS": (0.0416666456, -0.00138873095, 2.44323273e-05),
        # tanh x = x + x^3 TANH(x^2), |x| <= 0.625: 2^-27.7
        "TANH": (-0.333332807, 0.133314058, -0.0537365153, 0.0206281673, -0.0056922962),
        # erf x = x + x ERF(x^2), |x| <= 1: 2^-29.4
        "ERF": (0.128379166, -0.37612626, 0.112835787, -0.0268533472, 0.0051871622, -0.00079978531, 7.80690389e-05),
        # erf x = 1 - exp(-ERF_TAIL(x - 2)), 1 <= x <= 4: 2^-28.9
        "ERF_TAIL": (5.36494112, 4.41815948, 0.9237535, 0.0164879039, -0.00354422885, 0.000711111585,
                     -0.000186378093),
    },
    "f64": {
        # As above: 2^-60.9
        "EXP": (0.5, 0.16666666666666682, 0.04166666666666648, 0.008333333333316864, 0.0013888888888970018,
                0.00019841269897096636, 2.4801587160442034e-05, 2.755723398502155e-06, 2.755741291490921e-07,
                2.511237340077548e-08, 2.087198069150214e-09),
        # As above: 2^-55.6
        "EXP2": (0.6931471805599453, 0.24022650695910072, 0.055504108664821736, 0.009618129107628562,
                 0.0013333558146381732, 0.00015403530393172068, 1.5252733864851506e-05, 1.3215487003212479e-06,
                 1.0178047528418836e-07, 7.054814911628075e-09, 4.4572397391755276e-10, 2.5855131073179424e-11),
        # log(1 + f) = 2 s + s z LOG(z) with s = f / (2 + f), z = s^2, the same f: 2^-59.2
        "LOG": (0.6666666666666734, 0.39999999999416036, 0.2857142874209832, 0.22222198601492985,
                0.18183562926746033, 0.15314084547432052, 0.14795627145183468),
        # As above: 2^-56.3
        "SIN": (-0.1666666666666663, 0.008333333333322118, -0.00019841269829588663, 2.7557313621057328e-06,
                -2.5050747708668612e-08, 1.5896226894039662e-10),
        # As above: 2^-59.7
        "COS": (0.041666666666666595, -0.0013888888888873056, 2.4801587288851443e-05, -2.7557314179183587e-07,
                2.087570082247441e-09, -1.135853533750691e-11),
        # As above, |x| <= 0.55: 2^-59.7
        "TANH": (-0.333333333333333, 0.13333333333326622, -0.053968253963761294, 0.02186948838587437,
                 -0.00886323260173337, 0.0035920920332918748, -0.0014555428636204525, 0.0005884445578318031,
                 -0.0002333817431789407, 8.331669669034533e-05, -1.949483815022125e-05),
        # As above: 2^-55.0
        "ERF": (0.12837916709551256, -0.3761263890318352, 0.11283791670944186, -0.02686617064311169,
                0.005223977606120227, -0.0008548325929396351, 0.00012055293579301569, -1.4924712347313831e-05,
                1.644713211978024e-06, -1.6206317872142293e-07, 1.3710997784515704e-08, -7.779500135152397e-10),
        # As above, 1 <= x <= 6: 2^-55.3
        "ERF_TAIL": (5.364941264616636, 4.418160805994415, 0.9237508418239501, 0.016465118137360294,
                     -0.0035707563479812484, 0.0007323993780978021, -0.00013530932970273876, 2.070647066474852e-05,
                     -1.9521899006937017e-06, -2.0372814602454446e-07, 1.7317598274788803e-07,
                     -5.7694782727812654e-08, 1.3986594315023672e-08, -2.6102924086657704e-09,
                     2.583892892463859e-10, 7.155390568936692e-11, -3.692136176001069e-11, 4.928073568941556e-12),
    },
}

# ROUND is 1.5 * 2^MANTISSA: adding it to a number rounds that to a whole number, held in the sum's low bits.
# LN2_HIGH has so few bits that a product with any exponent is exact. EXP_LOW and below round to 0, EXP_HIGH overflows.
CONSTANTS: dict[str, dict[str, str]] = {
    "f32": {
        "ROUND_BITS": "0x4b400000u", "ROUND": "12582912.0f", "MANTISSA": "23", "BIAS": "127", "TOP": "31",
        "SIGN_MASK": "0x80000000u", "ABS_MASK": "0x7fffffffu", "SQRT_HALF_BITS": "0x3f3504f3u",
        "LN2_HIGH": "0.693145751953125f", "LN2_LOW": "1.42860677e-06f", "LOG2E": "1.44269502f",
        "LOG2E_LESS_1": "0.442695051f", "EXP_LOW": "-104.0f", "EXP_HIGH": "89.0f", "EXP2_LOW": "-151.0f",
        "EXP2_HIGH": "129.0f", "SMALLEST_NORMAL": "1.17549435e-38f", "INFINITY": "__builtin_inff()",
        "NAN": '__builtin_nanf("")', "TANH_SMALL": "0.625f", "ERF_ONE": "4.0f",
    },
    "f64": {
        "ROUND_BITS": "0x4338000000000000u", "ROUND": "6755399441055744.0", "MANTISSA": "52", "BIAS": "1023",
        "TOP": "63", "SIGN_MASK": "0x8000000000000000u", "ABS_MASK": "0x7fffffffffffffffu",
        "SQRT_HALF_BITS": "0x3fe6a09e667f3bcdu", "LN2_HIGH": "0.6931471805598903", "LN2_LOW": "5.497923018708371e-14",
        "LOG2E": "1.4426950408889634", "LOG2E_LESS_1": "0.4426950408889634", "EXP_LOW": "-746.0", "EXP_HIGH": "710.0",
        "EXP2_LOW": "-1076.0", "EXP2_HIGH": "1025.0", "SMALLEST_NORMAL": "2.2250738585072014e-308",
        "INFINITY": "__builtin_inf()", "NAN": '__builtin_nan("")', "TANH_SMALL": "0.55", "ERF_ONE": "6.0",
    },
}
# Of the trigonometric reduction, which is in double precision for both: pi/2 = HALF_PI_1 + HALF_PI_2 + HALF_PI_3, the
# first two of 33 bits, so that a whole number below 2^20 times either is exact; HALF_PI_REST = HALF_PI_2 + HALF_PI_3.
SHARED_CONSTANTS = {
    "TWO_OVER_PI": "0.6366197723675814", "ROUND_DOUBLE": "6755399441055744.0", "HALF_PI_1": "1.5707963267341256",
    "HALF_PI_2": "6.077100506303966e-11", "HALF_PI_3": "2.0222662487959506e-21",
    "HALF_PI_REST": "6.077100506506192e-11",
}

# A template is one text, or a choice of texts: by precision ("f32", "f64") or by ("scalar", "vector").
Template = str | dict[str, str]

BASICS: dict[str, Template] = {
    "bits": {
        "scalar": "U bits(T x) {\n    return ((union { T x; U bits; }){x}).bits;\n}",
        "vector": "U bits(T x) {\n    return (U)x;\n}",
    },
    "from_bits": {
        "scalar": "T from_bits(U bits) {\n    return ((union { U bits; T x; }){bits}).x;\n}",
        "vector": "T from_bits(U bits) {\n    return (T)bits;\n}",
    },
    "splat": {
        "scalar": "T splat(REAL x) {\n    return x;\n}",
        "vector": "T splat(REAL x) {\n    return (T){0} + x;\n}",
    },
    "select": {
        "scalar": "T select(I mask, T yes, T no) {\n    return mask ? yes : no;\n}",
        "vector": "T select(I mask, T yes, T no) {\n    return MG_SELECT(mask, yes, no);\n}",
    },
    "select_bits": {
        "scalar": "U select_bits(I mask, U yes, U no) {\n    return mask ? yes : no;\n}",
        "vector": "U select_bits(I mask, U yes, U no) {\n    return MG_SELECT(mask, yes, no);\n}",
    },
    "any": {
        "scalar": "int any(I mask) {\n    return mask != 0;\n}",
        "vector": """
int any(I mask) {
    INT all = 0;
    for (int lane = 0; lane < LANES; lane++) all |= mask[lane];
    return all != 0;
}""",
    },
    "abs": "T abs(T x) {\n    return from_bits(bits(x) & $ABS_MASK);\n}",
    "to_double": {"scalar": "D to_double(T x) {\n    return x;\n}",
                  "vector": "D to_double(T x) {\n    return __builtin_convertvector(x, D);\n}"},
    "to_single": {"scalar": "T to_single(D x) {\n    return (T)x;\n}",
                  "vector": "T to_single(D x) {\n    return __builtin_convertvector(x, T);\n}"},
    "to_int": {"scalar": "I to_int(D x) {\n    return (I)x;\n}",
               "vector": "I to_int(D x) {\n    return __builtin_convertvector(x, I);\n}"},
}

EXPONENTIALS: dict[str, Template] = {
    "scale": """
// p * 2^n for a whole n, rounded once; too large is infinite, too small is denormal or 0.
T scale(T p, T n) {$SCALE_INSTRUCTION
    I exponent = (I)(bits(n + $ROUND) - $ROUND_BITS);
    I half = exponent >> 1;  // 2^n in two factors, since n may lie outside the exponents of normal numbers
    T first = from_bits((U)(half + $BIAS) << $MANTISSA), rest = from_bits((U)(exponent - half + $BIAS) << $MANTISSA);
    return p * first * rest;$SCALE_END
}""",
    "exp": """
T exp(T x) {
    x = select(x < $EXP_LOW, splat($EXP_LOW), x);
    x = select(x > $EXP_HIGH, splat($EXP_HIGH), x);
    T n = (x * $LOG2E + $ROUND) - $ROUND;  // e^x = 2^n e^r, |r| <= ln(2)/2
    T r = x - n * $LN2_HIGH;
    r = r - n * $LN2_LOW;
    @polynomial p r EXP
    return scale(p * (r * r) + r + 1.0, n);
}""",
    "exp2": """
T exp2(T x) {
    x = select(x < $EXP2_LOW, splat($EXP2_LOW), x);
    x = select(x > $EXP2_HIGH, splat($EXP2_HIGH), x);
    T n = (x + $ROUND) - $ROUND;
    T r = x - n;
    @polynomial p r EXP2
    return scale(p * r + 1.0, n);
}""",
    "tanh": """
T tanh(T x) {
    T a = abs(x), z = a * a;
    @polynomial p z TANH
    T small = a + a * (z * p);
    T large = 1.0 - 2.0 / (exp(a + a) + 1.0);
    T y = select(a < $TANH_SMALL, small, large);
    return from_bits(bits(y) | (bits(x) & $SIGN_MASK));
}""",
    "erf": """
T erf(T x) {
    T a = abs(x);
    a = select(a > $ERF_ONE, splat($ERF_ONE), a);  // from there on it is 1
    T z = a * a, u = a - 2.0;
    @polynomial p z ERF
    @polynomial q u ERF_TAIL
    T y = select(a < 1.0, a + a * p, 1.0 - exp(-q));
    return from_bits(bits(y) | (bits(x) & $SIGN_MASK));
}""",
}

LOGARITHMS: dict[str, Template] = {
    "log_reduce": """
// x = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt(2)), for x > 0. Gives k.
T log_reduce(T x, T *f) {
    I denormal = x < $SMALLEST_NORMAL;
    x = select(denormal, x * (REAL)(1l << $MANTISSA), x);
    U above = bits(x) - $SQRT_HALF_BITS;
    U k = (U)((I)above >> $MANTISSA);
    *f = from_bits(bits(x) - (k << $MANTISSA)) - 1.0;
    T exponent = from_bits(k + $ROUND_BITS) - $ROUND;
    return select(denormal, exponent - $MANTISSA.0, exponent);
}""",
    "log_rest": {
        "f32": """
// log(1 + f) - f
T log_rest(T f) {
    T z = f * f;
    @polynomial p f LOG
    return f * z * p - 0.5 * z;
}""",
        "f64": """
// log(1 + f) - f = s (f^2/2 + z LOG(z)) - f^2/2, since 2 s = f - s f
T log_rest(T f) {
    T half = 0.5 * f * f, s = f / (f + 2.0), z = s * s;
    @polynomial p z LOG
    return s * (half + z * p) - half;
}"""},
    "log_special": """
// y where 0 < x < inf; log(0) is -inf, log(inf) is inf, of negative numbers and NaN it is NaN
T log_special(T x, T y) {
    y = select(x < $INFINITY, y, x);
    return select(x > 0.0, y, select(x == 0.0, splat(-$INFINITY), splat($NAN)));
}""",
    "log": """
T log(T x) {
    T f, k = log_reduce(x, &f);
    T y = f + (log_rest(f) + k * $LN2_LOW);
    return log_special(x, k * $LN2_HIGH + y);
}""",
    "log2": """
T log2(T x) {
    T f, k = log_reduce(x, &f);
    T rest = log_rest(f);
    T y = f + (rest + (f + rest) * $LOG2E_LESS_1);  // log2(e) (f + rest)
    return log_special(x, k + y);
}""",
}

TRIGONOMETRY: dict[str, Template] = {
    # 20 words: 64 zero bits, then 2/pi from its first binary place.
    "reduce_huge": """
// Payne and Hanek: high + low = x - n pi/2 in [-pi/4, pi/4] for a double x >= 1; gives n modulo 4. Slow; NaN for inf.
static __attribute__((noinline)) int reduce_huge(double x, double *high, double *low) {
    static const unsigned long two_over_pi[20] = {
        0, 0xa2f9836e4e441529u, 0xfc2757d1f534ddc0u, 0xdb6295993c439041u, 0xfe5163abdebbc561u, 0xb7246e3a424dd2e0u,
        0x06492eea09d1921cu, 0xfe1deb1cb129a73eu, 0xe88235f52ebb4484u, 0xe99c7026b45f7e41u, 0x3991d639835339f4u,
        0x9c845f8bbdf9283bu, 0x1ff897ffde05980fu, 0xef2f118b5a0a6d1fu, 0x6d367ecf27cb09b7u, 0x4f463f669e5fea2du,
        0x7527bac7ebe5f17bu, 0x3d0739f78a5292eau, 0x6bfb5fb11f8d5d08u, 0x56033046fc7b6babu};
    typedef unsigned __int128 wide;
    union { double x; unsigned long bits; } number = {x}, scale;
    int exponent = (int)(number.bits >> 52);
    if (exponent >= 2047) { *high = *low = x - x; return 0; }
    // x = mantissa * 2^(exponent - 1075)
    unsigned long mantissa = (number.bits & 0xffffffffffffful) | 0x10000000000000ul;
    // Bits of 2/pi further up give multiples of 4, bits further down less than 2^-126. `product` is x 2/pi modulo 4.
    int first = exponent - 1075 + 62, word = first >> 6, shift = first & 63;
    unsigned long digits[3];
    for (int i = 0; i < 3; i++) {
        wide pair = (wide)two_over_pi[word + i] << 64 | two_over_pi[word + i + 1];
        digits[i] = (unsigned long)(pair >> (64 - shift));
    }
    wide product = (wide)(mantissa * digits[0]) << 64;
    product += (wide)mantissa * digits[1] + ((wide)mantissa * digits[2] >> 64);
    int n = (int)(product >> 126), negative = (int)(product >> 125) & 1;
    wide fraction = negative ? -(product << 2) : product << 2;  // distance from the nearest n, times 2^128
    int zeros = 0;
    if (!(fraction >> 64)) { fraction <<= 64; zeros = 64; }
    int more = __builtin_clzl((unsigned long)(fraction >> 64) | 1);
    zeros += more;
    fraction <<= more;
    // times pi/2, which is 0xc90fdaa22168c235 * 2^-63
    unsigned long result = (unsigned long)((wide)(unsigned long)(fraction >> 64) * 0xc90fdaa22168c235u >> 64);
    scale.bits = (unsigned long)(1023 - 63 - zeros) << 52;
    if (negative) scale.x = -scale.x;
    *high = (double)(long)(result >> 11) * 2048.0 * scale.x;
    *low = (double)(long)(result & 2047) * scale.x;
    return (n + negative) & 3;
}""",
    "reduce_lanes": """
static __attribute__((noinline)) void reduce_lanes(T x, I lanes, T *r, T *tail, I *quadrant) {
    for (int lane = 0; lane < LANES; lane++) {
        if (!((INT *)&lanes)[lane]) continue;
        double high, low;
        ((INT *)quadrant)[lane] = reduce_huge(((REAL *)&x)[lane], &high, &low);
        ((REAL *)r)[lane] = (REAL)high;
        ((REAL *)tail)[lane] = (REAL)low;
    }
}""",
    "trig_reduce": {
        "f32": """
// x - n pi/2 in [-pi/4, pi/4] for x >= 0, and n (its last two bits are right). In double precision: no tail is left.
T trig_reduce(T x, T *tail, I *quadrant) {
    D wide = to_double(x);
    D n = (wide * $TWO_OVER_PI + $ROUND_DOUBLE) - $ROUND_DOUBLE;
    T r = to_single((wide - n * $HALF_PI_1) - n * $HALF_PI_REST);
    *tail = splat(0.0);
    *quadrant = to_int(n);
    I huge = (x <= 1e6f) == 0;  // NaN too
    if (any(huge)) {
        T lanes_r = r, lanes_tail = *tail;
        I lanes_quadrant = *quadrant;
        reduce_lanes(x, huge, &lanes_r, &lanes_tail, &lanes_quadrant);
        r = lanes_r, *quadrant = lanes_quadrant;
    }
    return r;
}""",
        "f64": """
// r + tail = x - n pi/2 in [-pi/4, pi/4] for x >= 0, and n (its last two bits are right). Gives r.
T trig_reduce(T x, T *tail, I *quadrant) {
    T rounded = x * $TWO_OVER_PI + $ROUND;
    T n = rounded - $ROUND;
    T r1 = x - n * $HALF_PI_1, product = n * $HALF_PI_2;  // both exact
    T r2 = r1 - product, change = r2 - r1;
    T error = (r1 - (r2 - change)) - (product + change) - n * $HALF_PI_3;  // r2 + error = x - n pi/2
    T r = r2 + error;
    *tail = (r2 - r) + error;
    *quadrant = (I)bits(rounded);
    // Beyond 2^20 pi/2 the products are no longer exact. The three parts of pi/2 leave an error of 2^-102.
    I hard = ((x <= 1e6) == 0) | ((x > 1.0) & (abs(r) < 1e-13));
    if (any(hard)) {
        T lanes_r = r, lanes_tail = *tail;
        I lanes_quadrant = *quadrant;
        reduce_lanes(x, hard, &lanes_r, &lanes_tail, &lanes_quadrant);
        r = lanes_r, *tail = lanes_tail, *quadrant = lanes_quadrant;
    }
    return r;
}"""},
    "sin_part": {
        "f32": """
T sin_part(T r, T tail) {
    T z = r * r;
    @polynomial p z SIN
    return r + r * (z * p);
}""",
        "f64": """
T sin_part(T r, T tail) {  // sin(r + tail) = sin(r) + tail cos(r)
    T z = r * r;
    @polynomial p z SIN
    return r + (r * z * p + (tail - 0.5 * z * tail));
}"""},
    "cos_part": {
        "f32": """
T cos_part(T r, T tail) {
    T z = r * r;
    @polynomial p z COS
    return 1.0 - (0.5 * z - z * z * p);
}""",
        "f64": """
T cos_part(T r, T tail) {  // cos(r + tail) = cos(r) - tail sin(r)
    T z = r * r;
    @polynomial p z COS
    return 1.0 - (0.5 * z - (z * z * p - r * tail));
}"""},
    "sin": """
T sin(T x) {
    T tail;
    I quadrant;
    T r = trig_reduce(abs(x), &tail, &quadrant);
    T y = select((quadrant & 1) != 0, cos_part(r, tail), sin_part(r, tail));
    return from_bits(bits(y) ^ (((U)quadrant & 2u) << ($TOP - 1)) ^ (bits(x) & $SIGN_MASK));
}""",
    "cos": """
T cos(T x) {
    T tail;
    I quadrant;
    T r = trig_reduce(abs(x), &tail, &quadrant);
    T y = select((quadrant & 1) != 0, sin_part(r, tail), cos_part(r, tail));
    return from_bits(bits(y) ^ (((U)(quadrant + 1) & 2u) << ($TOP - 1)));
}""",
}

HALVES: dict[str, Template] = {
    "widen": {"scalar": "U widen(H x) {\n    return x;\n}",
              "vector": "U widen(H x) {\n    return __builtin_convertvector(x, U);\n}"},
    "narrow": {"scalar": "H narrow(U x) {\n    return (H)x;\n}",
               "vector": "H narrow(U x) {\n    return __builtin_convertvector(x, H);\n}"},
    "f16_to_f32": """
T f16_to_f32(H h) {
    U magnitude = (widen(h) & 0x7fffu) << 13;
    U finite = bits(from_bits(magnitude) * 5.192296858534828e33);  // 2^112 moves the exponent's bias, of denormals too
    U y = select_bits(magnitude >= 0x0f800000u, magnitude | 0x7f800000u, finite);  // infinity and NaN
    return from_bits(y | ((widen(h) & 0x8000u) << 16));
}""",
    "f32_to_f16": """
H f32_to_f16(T x) {
    U magnitude = bits(x) & 0x7fffffffu;
    U normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;  // to nearest, ties to even
    U denormal = bits(from_bits(magnitude) + 0.5) - 0x3f000000u;  // the sum's last place is float16's smallest number
    U y = select_bits(magnitude < 0x38800000u, denormal, normal);
    y = select_bits(magnitude > 0x477fefffu, splat_bits(0x7c00u), y);  // 65520 and more: infinity
    y = select_bits(magnitude > 0x7f800000u, 0x7e00u | ((magnitude >> 13) & 0x3ffu), y);  // NaN
    return narrow(y | ((bits(x) >> 16) & 0x8000u));
}""",
    "splat_bits": {"scalar": "U splat_bits(unsigned INT x) {\n    return x;\n}",
                   "vector": "U splat_bits(unsigned INT x) {\n    return (U){0} + x;\n}"},
    "bf16_to_f32": "T bf16_to_f32(H h) {\n    return from_bits(widen(h) << 16);\n}",
    "f32_to_bf16": """
H f32_to_bf16(T x) {
    U rounded = (bits(x) + 0x7fffu + ((bits(x) >> 16) & 1u)) >> 16;  // to nearest, ties to even
    U nan = (bits(x) >> 16) | 0x40u;
    return narrow(select_bits((bits(x) & 0x7fffffffu) > 0x7f800000u, nan, rounded));
}""",
}

TEMPLATES: dict[str, Template] = {**BASICS, **EXPONENTIALS, **LOGARITHMS, **TRIGONOMETRY, **HALVES}
