// The functions that rendered C calls, as templates: minigrad/renderer/mathlib.py makes them for a type.
//
// "//! name" begins a template, "//! name variant" one for some types: a type's name without lanes, "signed" or "unsigned"
// integers, else "scalar" or "vector". A function without a vector's form goes lane by lane through the scalar one.
//
// Whole words are replaced: T, I, U (the type, and the signed and unsigned integers as wide), D (as many doubles), H (as
// many unsigned shorts), M (as many ints: a mask), TU (T at any address), REAL, INT (one lane), LANES, BITS (of a lane).
// A call of another template gets that function's full name; `$NAME` is a constant of the precision; a plain 1.0 gets an
// `f` in single precision; `@polynomial p z NAME` becomes Horner's rule, `p = NAME[0] + NAME[1] z + ...`; `@pieces p x NAME`
// becomes that of the piece in which each x lies, with coefficients looked up.

// ---- bits, selections and conversions

//! bits scalar
U bits(T x) { return ((union { T x; U bits; }){x}).bits; }

//! bits vector
U bits(T x) { return (U)x; }

//! from_bits scalar
T from_bits(U bits) { return ((union { U bits; T x; }){bits}).x; }

//! from_bits vector
T from_bits(U bits) { return (T)bits; }

//! splat scalar
T splat(REAL x) { return x; }

//! splat vector
T splat(REAL x) { return (T){0} + x; }

//! select scalar
T select(I mask, T yes, T no) { return mask ? yes : no; }

//! select vector
T select(I mask, T yes, T no) { return MG_SELECT(mask, yes, no); }

//! select_bits scalar
U select_bits(I mask, U yes, U no) { return mask ? yes : no; }

//! select_bits vector
U select_bits(I mask, U yes, U no) { return MG_SELECT(mask, yes, no); }

//! any scalar
int any(I mask) { return mask != 0; }

//! any vector
int any(I mask) {
    INT all = 0;
    for (int lane = 0; lane < LANES; lane++) all |= mask[lane];
    return all != 0;
}

//! abs
T abs(T x) { return from_bits(bits(x) & $ABS_MASK); }

//! to_double scalar
D to_double(T x) { return x; }

//! to_double vector
D to_double(T x) { return __builtin_convertvector(x, D); }

//! to_single scalar
T to_single(D x) { return (T)x; }

//! to_single vector
T to_single(D x) { return __builtin_convertvector(x, T); }

//! to_int scalar
I to_int(D x) { return (I)x; }

//! to_int vector
I to_int(D x) { return __builtin_convertvector(x, I); }

// ---- exponentials

//! scale
// p * 2^n for a whole n, rounded once; too large is infinite, too small is denormal or 0.
T scale(T p, T n) {$SCALE_INSTRUCTION
    I exponent = (I)(bits(n + $ROUND) - $ROUND_BITS);
    I half = exponent >> 1;  // 2^n in two factors, since n may lie outside the exponents of normal numbers
    T first = from_bits((U)(half + $BIAS) << $MANTISSA), rest = from_bits((U)(exponent - half + $BIAS) << $MANTISSA);
    return p * first * rest;$SCALE_END
}

//! exp
T exp(T x) {
    x = select(x < $EXP_LOW, splat($EXP_LOW), x);
    x = select(x > $EXP_HIGH, splat($EXP_HIGH), x);
    T n = (x * $LOG2E + $ROUND) - $ROUND;  // e^x = 2^n e^r, |r| <= ln(2)/2
    T r = x - n * $LN2_HIGH;
    r = r - n * $LN2_LOW;
    @polynomial p r EXP
    return scale(p * (r * r) + r + 1.0, n);
}

//! exp2
T exp2(T x) {
    x = select(x < $EXP2_LOW, splat($EXP2_LOW), x);
    x = select(x > $EXP2_HIGH, splat($EXP2_HIGH), x);
    T n = (x + $ROUND) - $ROUND;
    T r = x - n;
    @polynomial p r EXP2
    return scale(p * r + 1.0, n);
}

// The lanes of v whose numbers are the last bits of the index.
//! permute vector
T permute(T v, U index) {
#ifdef __clang__
    return __builtin_shufflevector(v, index);
#else
    return __builtin_shuffle(v, (I)index);
#endif
}

// One of sixteen numbers, by the last bits of the index.
//! lookup scalar
T lookup(const REAL *table, U index) { return table[index & 15u]; }

//! lookup vector
T lookup(const REAL *table, U index) {
    T r;
    for (int lane = 0; lane < LANES; lane++) r[lane] = table[index[lane] & 15u];
    return r;
}

//! lookup f32x8
T lookup(const REAL *table, U index) {
    return select((index & 8u) != 0, permute(*(const T *)(table + 8), index), permute(*(const T *)table, index));
}

//! lookup f32x16
T lookup(const REAL *table, U index) {
#if defined(__clang__) && defined(__AVX512F__)
    return __builtin_ia32_permvarsf512(*(const T *)table, (I)index);  // without an instruction to mask the index
#else
    return permute(*(const T *)table, index);
#endif
}

//! tanh f32
T tanh(T x) {
    T a = abs(x);
    a = select(a > $TANH_ONE, splat($TANH_ONE), a);
    @pieces y a TANH
    return from_bits(bits(y) | (bits(x) & $SIGN_MASK));
}

//! tanh f64
T tanh(T x) {
    T a = abs(x), z = a * a;
    @polynomial p z TANH
    T small = a + a * (z * p);
    T large = 1.0 - 2.0 / (exp(a + a) + 1.0);
    T y = select(a < $TANH_SMALL, small, large);
    return from_bits(bits(y) | (bits(x) & $SIGN_MASK));
}

//! erf f32
T erf(T x) {
    T a = abs(x);
    a = select(a > $ERF_ONE, splat($ERF_ONE), a);
    @pieces p a ERF
    T y = select(a < $ERF_SLOPE_END, a, splat($ERF_SLOPE_END)) + p;
    return from_bits(bits(y) | (bits(x) & $SIGN_MASK));
}

//! erf f64
T erf(T x) {
    T a = abs(x);
    a = select(a > $ERF_ONE, splat($ERF_ONE), a);  // from there on it is 1
    T z = a * a, u = a - 2.0;
    @polynomial p z ERF
    @polynomial q u ERF_TAIL
    T y = select(a < 1.0, a + a * p, 1.0 - exp(-q));
    return from_bits(bits(y) | (bits(x) & $SIGN_MASK));
}

// ---- logarithms

//! log_reduce
// x = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt(2)), for x > 0. Gives k.
T log_reduce(T x, T *f) {
    I denormal = x < $SMALLEST_NORMAL;
    x = select(denormal, x * (REAL)(1l << $MANTISSA), x);
    U above = bits(x) - $SQRT_HALF_BITS;
    U k = (U)((I)above >> $MANTISSA);
    *f = from_bits(bits(x) - (k << $MANTISSA)) - 1.0;
    T exponent = from_bits(k + $ROUND_BITS) - $ROUND;
    return select(denormal, exponent - $MANTISSA.0, exponent);
}

//! log_rest f32
// log(1 + f) - f
T log_rest(T f) {
    T z = f * f;
    @polynomial p f LOG
    return f * z * p - 0.5 * z;
}

//! log_rest f64
// log(1 + f) - f = s (f^2/2 + z LOG(z)) - f^2/2, since 2 s = f - s f
T log_rest(T f) {
    T half = 0.5 * f * f, s = f / (f + 2.0), z = s * s;
    @polynomial p z LOG
    return s * (half + z * p) - half;
}

//! log_special
// y where 0 < x < inf; log(0) is -inf, log(inf) is inf, of negative numbers and NaN it is NaN
T log_special(T x, T y) {
    y = select(x < $INFINITY, y, x);
    return select(x > 0.0, y, select(x == 0.0, splat(-$INFINITY), splat($NAN)));
}

//! log
T log(T x) {
    T f, k = log_reduce(x, &f);
    T y = f + (log_rest(f) + k * $LN2_LOW);
    return log_special(x, k * $LN2_HIGH + y);
}

//! log2
T log2(T x) {
    T f, k = log_reduce(x, &f);
    T rest = log_rest(f);
    T y = f + (rest + (f + rest) * $LOG2E_LESS_1);  // log2(e) (f + rest)
    return log_special(x, k + y);
}

// ---- sine and cosine

//! reduce_huge
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
}

//! reduce_lanes
static __attribute__((noinline)) void reduce_lanes(T x, I lanes, T *r, T *tail, I *quadrant) {
    for (int lane = 0; lane < LANES; lane++) {
        if (!((INT *)&lanes)[lane]) continue;
        double high, low;
        ((INT *)quadrant)[lane] = reduce_huge(((REAL *)&x)[lane], &high, &low);
        ((REAL *)r)[lane] = (REAL)high;
        ((REAL *)tail)[lane] = (REAL)low;
    }
}

//! trig_reduce f32
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
}

//! trig_reduce f64
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
}

//! sin_part f32
T sin_part(T r, T tail) {
    T z = r * r;
    @polynomial p z SIN
    return r + r * (z * p);
}

//! sin_part f64
T sin_part(T r, T tail) {  // sin(r + tail) = sin(r) + tail cos(r)
    T z = r * r;
    @polynomial p z SIN
    return r + (r * z * p + (tail - 0.5 * z * tail));
}

//! cos_part f32
T cos_part(T r, T tail) {
    T z = r * r;
    @polynomial p z COS
    return 1.0 - (0.5 * z - z * z * p);
}

//! cos_part f64
T cos_part(T r, T tail) {  // cos(r + tail) = cos(r) - tail sin(r)
    T z = r * r;
    @polynomial p z COS
    return 1.0 - (0.5 * z - (z * z * p - r * tail));
}

//! sin
T sin(T x) {
    T tail;
    I quadrant;
    T r = trig_reduce(abs(x), &tail, &quadrant);
    T y = select((quadrant & 1) != 0, cos_part(r, tail), sin_part(r, tail));
    return from_bits(bits(y) ^ (((U)quadrant & 2u) << ($TOP - 1)) ^ (bits(x) & $SIGN_MASK));
}

//! cos
T cos(T x) {
    T tail;
    I quadrant;
    T r = trig_reduce(abs(x), &tail, &quadrant);
    T y = select((quadrant & 1) != 0, sin_part(r, tail), cos_part(r, tail));
    return from_bits(bits(y) ^ (((U)(quadrant + 1) & 2u) << ($TOP - 1)));
}

// ---- 16-bit floats, held as unsigned shorts

//! widen scalar
U widen(H x) { return x; }

//! widen vector
U widen(H x) { return __builtin_convertvector(x, U); }

//! narrow scalar
H narrow(U x) { return (H)x; }

//! narrow vector
H narrow(U x) { return __builtin_convertvector(x, H); }

//! f16_to_f32
T f16_to_f32(H h) {
    U magnitude = (widen(h) & 0x7fffu) << 13;
    U finite = bits(from_bits(magnitude) * 5.192296858534828e33);  // 2^112 moves the exponent's bias, of denormals too
    U y = select_bits(magnitude >= 0x0f800000u, magnitude | 0x7f800000u, finite);  // infinity and NaN
    return from_bits(y | ((widen(h) & 0x8000u) << 16));
}

//! f32_to_f16
H f32_to_f16(T x) {
    U magnitude = bits(x) & 0x7fffffffu;
    U normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;  // to nearest, ties to even
    U denormal = bits(from_bits(magnitude) + 0.5) - 0x3f000000u;  // the sum's last place is float16's smallest number
    U y = select_bits(magnitude < 0x38800000u, denormal, normal);
    y = select_bits(magnitude > 0x477fefffu, splat_bits(0x7c00u), y);  // 65520 and more: infinity
    y = select_bits(magnitude > 0x7f800000u, 0x7e00u | ((magnitude >> 13) & 0x3ffu), y);  // NaN
    return narrow(y | ((bits(x) >> 16) & 0x8000u));
}

//! splat_bits scalar
U splat_bits(unsigned INT x) { return x; }

//! splat_bits vector
U splat_bits(unsigned INT x) { return (U){0} + x; }

//! bf16_to_f32
T bf16_to_f32(H h) { return from_bits(widen(h) << 16); }

//! f32_to_bf16
H f32_to_bf16(T x) {
    U rounded = (bits(x) + 0x7fffu + ((bits(x) >> 16) & 1u)) >> 16;  // to nearest, ties to even
    U nan = (bits(x) >> 16) | 0x40u;
    return narrow(select_bits((bits(x) & 0x7fffffffu) > 0x7f800000u, nan, rounded));
}

// ---- sums of products of pairs of bfloat16

//! add_dot
T add_dot(T sum, U a, U b) {$DOT_INSTRUCTION
    sum += from_bits(a << 16) * from_bits(b << 16);
    return sum + from_bits(a & 0xffff0000u) * from_bits(b & 0xffff0000u);$DOT_END
}

//! dot
T dot(U a, U b) { return add_dot(splat(0.0), a, b); }

// ---- what C has no operator for

//! sqrt float
T sqrt(T x) { return $SQRT(x); }

//! trunc float
T trunc(T x) { return $TRUNC(x); }

// float32 with 10 bits of mantissa: to nearest, ties away from zero; NaN as it is.
//! tf32 scalar
T tf32(T x) {
  union { T x; U bits; } u = {x};
  u.bits = x != x ? u.bits : (u.bits + 0x1000u) & 0xffffe000u;
  return u.x;
}

//! max scalar
T max(T a, T b) { return a > b || a != a ? a : b; }

//! max vector
T max(T a, T b) {
    I first = (a > b) | (a != a);
    return MG_SELECT(first, a, b);
}

//! floordiv signed
T floordiv(T a, T b) {
    if (b == 0) return 0;
    if (b == -1) return (T)(0 - (U)a);
    T q = a / b;
    return q - ((a % b != 0) & ((a < 0) != (b < 0)));
}

//! floordiv unsigned
T floordiv(T a, T b) { return b == 0 ? 0 : a / b; }

//! floormod signed
T floormod(T a, T b) {
    if (b == 0 || b == -1) return 0;
    T r = a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

//! floormod unsigned
T floormod(T a, T b) { return b == 0 ? 0 : a % b; }

//! shl scalar
T shl(T a, T b) { return (unsigned long)b < BITS ? (T)((U)a << b) : 0; }

//! shr scalar
T shr(T a, T b) { return (unsigned long)b < BITS ? (T)(a >> b) : (T)-(a < 0); }

// Lanes of a where the mask is set, else of b.
//! where vector
T where(M mask, T a, T b) {
    I wide = __builtin_convertvector(mask, I);
    return MG_SELECT(wide, a, b);
}

// In every lane: gcc computes with one number in float, and then refuses to mix it with a vector.
//! fill f16
T fill(REAL x) {
    T r;
    for (int i = 0; i < LANES; i++) r[i] = x;
    return r;
}

// ---- memory

//! lanes
MG_INLINE unsigned short lanes(long first, long end) {
    unsigned short below = first <= 0 ? 0 : first >= 16 ? 0xffff : (1u << first) - 1;
    return (end <= 0 ? 0 : end >= 16 ? 0xffff : (1u << end) - 1) & ~below;
}

// The lanes first..end - 1 from memory, zero in the others; both may be anything.
//! load
T load(const REAL *p, long first, long end) {$LOAD_INSTRUCTION
    T v = {};
    for (int i = 0; i < LANES; i++) if (i >= first && i < end) v[i] = p[i];
    return v;$MASK_END
}

// The lanes first..end - 1 to memory.
//! store
void store(REAL *p, long first, long end, T v) {$STORE_INSTRUCTION
    for (int i = 0; i < LANES; i++) if (i >= first && i < end) p[i] = v[i];$MASK_END
}

// A store that bypasses the caches. Memory from outside may lie anywhere, and then it cannot be one.
//! stream
void stream(REAL *p, T v) {
    if ((unsigned long)p % sizeof(T)) *(TU *)p = v;
    else __builtin_nontemporal_store(v, (T *)p);
}
