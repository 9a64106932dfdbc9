// Split(range='o0', size=64)
// Split(range='o0.1', size=16)
// Vector(range='o0.1.1')
// Upcast(range='o0.1.0')
// Thread(range='o0.0')
// workspace 0, threads 64
static inline long imax(long a, long b) { return a > b ? a : b; }
static inline long imin(long a, long b) { return a < b ? a : b; }
typedef float f32x16 __attribute__((vector_size(64)));
typedef f32x16 f32x16u __attribute__((aligned(4)));
typedef int i32x16 __attribute__((vector_size(64)));
typedef i32x16 i32x16u __attribute__((aligned(4)));
typedef unsigned u32x16 __attribute__((vector_size(64)));
typedef u32x16 u32x16u __attribute__((aligned(4)));
#define MG_INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define MG_OF(x) __typeof__((x)[0]) __attribute__((ext_vector_type(sizeof(x) / sizeof((x)[0]))))
#define MG_SELECT(m, a, b) ({ typedef MG_OF(m) mg_mask; typedef MG_OF(a) mg_value; \
    (__typeof__(a))((mg_mask)(m) ? (mg_value)(a) : (mg_value)(b)); })
#else
#define MG_SELECT(m, a, b) ((__typeof__(a))(((m) & (__typeof__(m))(a)) | (~(m) & (__typeof__(m))(b))))
#endif
MG_INLINE f32x16 mg_select_f32x16(i32x16 mask, f32x16 yes, f32x16 no) { return MG_SELECT(mask, yes, no); }
MG_INLINE f32x16 mg_splat_f32x16(float x) { return (f32x16){0} + x; }
MG_INLINE u32x16 mg_bits_f32x16(f32x16 x) { return (u32x16)x; }
MG_INLINE f32x16 mg_from_bits_f32x16(u32x16 bits) { return (f32x16)bits; }
// p * 2^n for a whole n, rounded once; too large is infinite, too small is denormal or 0.
MG_INLINE f32x16 mg_scale_f32x16(f32x16 p, f32x16 n) {
#ifdef __AVX512F__
    return __builtin_ia32_scalefps512_mask(p, n, p, -1, 4);
#else
    i32x16 exponent = (i32x16)(mg_bits_f32x16(n + 12582912.0f) - 0x4b400000u);
    i32x16 half = exponent >> 1;  // 2^n in two factors, since n may lie outside the exponents of normal numbers
    f32x16 first = mg_from_bits_f32x16((u32x16)(half + 127) << 23), rest = mg_from_bits_f32x16((u32x16)(exponent - half + 127) << 23);
    return p * first * rest;
#endif
}
MG_INLINE f32x16 mg_exp_f32x16(f32x16 x) {
    x = mg_select_f32x16(x < -104.0f, mg_splat_f32x16(-104.0f), x);
    x = mg_select_f32x16(x > 89.0f, mg_splat_f32x16(89.0f), x);
    f32x16 n = (x * 1.44269502f + 12582912.0f) - 12582912.0f;  // e^x = 2^n e^r, |r| <= ln(2)/2
    f32x16 r = x - n * 0.693145751953125f;
    r = r - n * 1.42860677e-06f;
    f32x16 p = r * 0.00138470531f + 0.00836999156f;  p = p * r + 0.041668009f;  p = p * r + 0.166665092f;
    p = p * r + 0.49999994f;
    return mg_scale_f32x16(p * (r * r) + r + 1.0f, n);
}
void elementwise_4096(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 4096
  const float *restrict data1 = buffers[1];  // 4096
  const float *restrict data2 = buffers[2];  // 4096
  for (long o0_0 = lo; o0_0 < imin(hi, 64); o0_0++) {
    f32x16 v1 = *(const f32x16u *)(data2 + o0_0 * 64);
    f32x16 v2 = *(const f32x16u *)(data1 + o0_0 * 64);
    *(f32x16u *)(data0 + o0_0 * 64) = mg_exp_f32x16(1.0f + (v1 * v2));
    f32x16 v3 = *(const f32x16u *)(data2 + o0_0 * 64 + 16);
    f32x16 v4 = *(const f32x16u *)(data1 + o0_0 * 64 + 16);
    *(f32x16u *)(data0 + o0_0 * 64 + 16) = mg_exp_f32x16(1.0f + (v3 * v4));
    f32x16 v5 = *(const f32x16u *)(data2 + o0_0 * 64 + 32);
    f32x16 v6 = *(const f32x16u *)(data1 + o0_0 * 64 + 32);
    *(f32x16u *)(data0 + o0_0 * 64 + 32) = mg_exp_f32x16(1.0f + (v5 * v6));
    f32x16 v7 = *(const f32x16u *)(data2 + o0_0 * 64 + 48);
    f32x16 v8 = *(const f32x16u *)(data1 + o0_0 * 64 + 48);
    *(f32x16u *)(data0 + o0_0 * 64 + 48) = mg_exp_f32x16(1.0f + (v7 * v8));
  }
}
