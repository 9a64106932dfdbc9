"""The coefficients and constants of the C mathematics in `functions.h`, in both precisions.

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
        "SQRT": "__builtin_sqrtf", "TRUNC": "__builtin_truncf",
    },
    "f64": {
        "ROUND_BITS": "0x4338000000000000u", "ROUND": "6755399441055744.0", "MANTISSA": "52", "BIAS": "1023",
        "TOP": "63", "SIGN_MASK": "0x8000000000000000u", "ABS_MASK": "0x7fffffffffffffffu",
        "SQRT_HALF_BITS": "0x3fe6a09e667f3bcdu", "LN2_HIGH": "0.6931471805598903", "LN2_LOW": "5.497923018708371e-14",
        "LOG2E": "1.4426950408889634", "LOG2E_LESS_1": "0.4426950408889634", "EXP_LOW": "-746.0", "EXP_HIGH": "710.0",
        "EXP2_LOW": "-1076.0", "EXP2_HIGH": "1025.0", "SMALLEST_NORMAL": "2.2250738585072014e-308",
        "INFINITY": "__builtin_inf()", "NAN": '__builtin_nan("")', "TANH_SMALL": "0.55", "ERF_ONE": "6.0",
        "SQRT": "__builtin_sqrt", "TRUNC": "__builtin_trunc",
    },
}
# Of the trigonometric reduction, which is in double precision for both: pi/2 = HALF_PI_1 + HALF_PI_2 + HALF_PI_3, the
# first two of 33 bits, so that a whole number below 2^20 times either is exact; HALF_PI_REST = HALF_PI_2 + HALF_PI_3.
SHARED_CONSTANTS = {
    "TWO_OVER_PI": "0.6366197723675814", "ROUND_DOUBLE": "6755399441055744.0", "HALF_PI_1": "1.5707963267341256",
    "HALF_PI_2": "6.077100506303966e-11", "HALF_PI_3": "2.0222662487959506e-21",
    "HALF_PI_REST": "6.077100506506192e-11",
}
