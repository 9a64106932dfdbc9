// Split(range='o1', size=16)
// Peel(range='o1.0', at=-1)
// Vector(range='o1.1')
// workspace 0, threads 1
#define MG_INLINE static inline __attribute__((always_inline))
MG_INLINE float mg_max_f32(float a, float b) { return a > b || a != a ? a : b; }
MG_INLINE float mg_select_f32(int mask, float yes, float no) { return mask ? yes : no; }
MG_INLINE float mg_splat_f32(float x) { return x; }
MG_INLINE unsigned mg_bits_f32(float x) { return ((union { float x; unsigned bits; }){x}).bits; }
MG_INLINE float mg_from_bits_f32(unsigned bits) { return ((union { unsigned bits; float x; }){bits}).x; }
// p * 2^n for a whole n, rounded once; too large is infinite, too small is denormal or 0.
MG_INLINE float mg_scale_f32(float p, float n) {
    int exponent = (int)(mg_bits_f32(n + 12582912.0f) - 0x4b400000u);
    int half = exponent >> 1;  // 2^n in two factors, since n may lie outside the exponents of normal numbers
    float first = mg_from_bits_f32((unsigned)(half + 127) << 23), rest = mg_from_bits_f32((unsigned)(exponent - half + 127) << 23);
    return p * first * rest;
}
MG_INLINE float mg_exp_f32(float x) {
    x = mg_select_f32(x < -104.0f, mg_splat_f32(-104.0f), x);
    x = mg_select_f32(x > 89.0f, mg_splat_f32(89.0f), x);
    float n = (x * 1.44269502f + 12582912.0f) - 12582912.0f;  // e^x = 2^n e^r, |r| <= ln(2)/2
    float r = x - n * 0.693145751953125f;
    r = r - n * 1.42860677e-06f;
    float p = r * 0.00138470531f + 0.00836999156f;  p = p * r + 0.041668009f;  p = p * r + 0.166665092f;
    p = p * r + 0.49999994f;
    return mg_scale_f32(p * (r * r) + r + 1.0f, n);
}
typedef float f32x16 __attribute__((vector_size(64)));
typedef f32x16 f32x16u __attribute__((aligned(4)));
typedef int i32x16 __attribute__((vector_size(64)));
typedef i32x16 i32x16u __attribute__((aligned(4)));
typedef unsigned u32x16 __attribute__((vector_size(64)));
typedef u32x16 u32x16u __attribute__((aligned(4)));
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
MG_INLINE unsigned short mg_lanes(long first, long end) {
    unsigned short below = first <= 0 ? 0 : first >= 16 ? 0xffff : (1u << first) - 1;
    return (end <= 0 ? 0 : end >= 16 ? 0xffff : (1u << end) - 1) & ~below;
}
MG_INLINE f32x16 mg_load_f32x16(const float *p, long first, long end) {
#if defined(__AVX512F__)
    return (f32x16)__builtin_ia32_loadups512_mask((const void *)p, (f32x16){}, mg_lanes(first, end));
#else
    f32x16 v = {};
    for (int i = 0; i < 16; i++) if (i >= first && i < end) v[i] = p[i];
    return v;
#endif
}
MG_INLINE void mg_store_f32x16(float *p, long first, long end, f32x16 v) {
#if defined(__AVX512F__)
    __builtin_ia32_storeups512_mask((void *)p, (f32x16)v, mg_lanes(first, end));
#else
    for (int i = 0; i < 16; i++) if (i >= first && i < end) p[i] = v[i];
#endif
}
void reduce_3_v40_v40(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 3x40
  const float *restrict data1 = buffers[1];  // 3x40
  const long n = variables[0];
  for (long o0 = 0; o0 < 3; o0++) {
    float acc1 = (-__builtin_inff());
    for (long r0 = 0; r0 < n; r0++) {
      float v2 = data1[o0 * 40 + r0];
      acc1 = mg_max_f32(acc1, v2);
    }
    float v3 = -acc1;
    float acc4 = 0.0f;
    for (long r1 = 0; r1 < n; r1++) {
      float v5 = data1[o0 * 40 + r1];
      acc4 += mg_exp_f32(v3 + v5);
    }
    for (long o1_0 = 0; o1_0 < (n + 15) / 16 - 1; o1_0++) {
      f32x16 v6 = *(const f32x16u *)(data1 + o0 * 40 + o1_0 * 16);
      *(f32x16u *)(data0 + o0 * 40 + o1_0 * 16) = mg_exp_f32x16(v3 + v6) / acc4;
    }
    for (long o1_0t = (n + 15) / 16 - 1; o1_0t < (n + 15) / 16; o1_0t++) {
      f32x16 v7 = mg_load_f32x16(data1 + o0 * 40 + o1_0t * 16, 0, -o1_0t * 16 + 40);
      mg_store_f32x16(data0 + o0 * 40 + o1_0t * 16, 0, n - o1_0t * 16, mg_exp_f32x16(v3 + v7) / acc4);
    }
  }
}
