/* Conversions to and from 16-bit floats, which a compiler calls where the processor lacks them.

   Round to nearest, ties to even, on bits. A double goes to 16 bits in one rounding: the bits below the kept ones are
   folded into one sticky bit first. NaN keeps its sign and becomes quiet. */
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

/* The bits of a float with `mantissa` and `exponent` bits, nearest to a double. */
static u16 narrow(double value, int mantissa, int exponent) {
    union { double value; u64 bits; } from = {value};
    u16 sign = (u16)(from.bits >> 63 << (mantissa + exponent));
    u64 magnitude = from.bits & ~(1UL << 63);
    u16 infinity = (u16)(((1 << exponent) - 1) << mantissa);
    if (magnitude > 0x7ffUL << 52) return sign | infinity | (u16)(1 << (mantissa - 1));
    int bias = (1 << (exponent - 1)) - 1;
    int power = (int)(magnitude >> 52) - 1023 + bias;       /* the exponent field of the result */
    if (power >= (1 << exponent) - 1) return sign | infinity;
    u64 fraction = (magnitude & ((1UL << 52) - 1)) | 1UL << 52;
    int drop = 52 - mantissa;                               /* bits that do not fit */
    if (power < 1) { drop += 1 - power; power = 1; }        /* subnormal */
    if (drop > 54) return sign;
    u64 kept = fraction >> drop, rest = fraction & ((1UL << drop) - 1), half = 1UL << (drop - 1);
    kept += rest > half || (rest == half && (kept & 1));
    /* the hidden bit, when there, counts the exponent up by one; a carry out of the fraction does so too */
    return sign | (u16)(kept + ((u64)(power - 1) << mantissa));
}

#define BITS_TO(type, bits) union { u16 from; type to; } result = {bits}; return result.to
#ifdef HAS_BF16
__bf16 __truncsfbf2(float value) { BITS_TO(__bf16, narrow(value, 7, 8)); }
__bf16 __truncdfbf2(double value) { BITS_TO(__bf16, narrow(value, 7, 8)); }
#endif
#ifdef HAS_F16
_Float16 __truncsfhf2(float value) { BITS_TO(_Float16, narrow(value, 10, 5)); }
_Float16 __truncdfhf2(double value) { BITS_TO(_Float16, narrow(value, 10, 5)); }
float __extendhfsf2(_Float16 value) {
    union { _Float16 value; u16 bits; } from;
    union { u32 bits; float value; } to, scale = {0x77800000};          /* 2^112 */
    from.value = value;
    u32 sign = (u32)(from.bits & 0x8000) << 16, magnitude = from.bits & 0x7fff;
    to.bits = magnitude << 13;
    to.value *= scale.value;                                            /* exact, also for subnormals */
    if (magnitude >= 0x7c00) to.bits = 0x7f800000 | magnitude << 13;
    to.bits |= sign;
    return to.value;
}
#endif
