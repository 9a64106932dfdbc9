// Place(value='v1', level=('o0',), layout=(), shared=False, along='', pad=0, stages=1)
// Split(range='r0', size=64)
// Split(range='r0.1', size=16)
// Vector(range='r0.1.1')
// Upcast(range='r0.1.0')
// Split(range='v1_1', size=64)
// Split(range='v1_1.1', size=16)
// Vector(range='v1_1.1.1')
// Upcast(range='v1_1.1.0')
// Split(range='r1', size=64)
// Split(range='r1.1', size=16)
// Vector(range='r1.1.1')
// Upcast(range='r1.1.0')
// Split(range='o1', size=64)
// Split(range='o1.1', size=16)
// Vector(range='o1.1.1')
// Upcast(range='o1.1.0')
// Thread(range='o0')
// workspace 2112, threads 64
static inline long imax(long a, long b) { return a > b ? a : b; }
static inline long imin(long a, long b) { return a < b ? a : b; }
typedef float f32x16 __attribute__((vector_size(64)));
typedef f32x16 f32x16u __attribute__((aligned(4)));
typedef int i32x16 __attribute__((vector_size(64)));
typedef i32x16 i32x16u __attribute__((aligned(4)));
#define MG_INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define MG_OF(x) __typeof__((x)[0]) __attribute__((ext_vector_type(sizeof(x) / sizeof((x)[0]))))
#define MG_SELECT(m, a, b) ({ typedef MG_OF(m) mg_mask; typedef MG_OF(a) mg_value; \
    (__typeof__(a))((mg_mask)(m) ? (mg_value)(a) : (mg_value)(b)); })
#else
#define MG_SELECT(m, a, b) ((__typeof__(a))(((m) & (__typeof__(m))(a)) | (~(m) & (__typeof__(m))(b))))
#endif
MG_INLINE f32x16 mg_max_f32x16(f32x16 a, f32x16 b) {
    i32x16 first = (a > b) | (a != a);
    return MG_SELECT(first, a, b);
}
typedef float f32x8 __attribute__((vector_size(32)));
typedef f32x8 f32x8u __attribute__((aligned(4)));
typedef int i32x8 __attribute__((vector_size(32)));
typedef i32x8 i32x8u __attribute__((aligned(4)));
MG_INLINE f32x8 mg_max_f32x8(f32x8 a, f32x8 b) {
    i32x8 first = (a > b) | (a != a);
    return MG_SELECT(first, a, b);
}
typedef float f32x4 __attribute__((vector_size(16)));
typedef f32x4 f32x4u __attribute__((aligned(4)));
typedef int i32x4 __attribute__((vector_size(16)));
typedef i32x4 i32x4u __attribute__((aligned(4)));
MG_INLINE f32x4 mg_max_f32x4(f32x4 a, f32x4 b) {
    i32x4 first = (a > b) | (a != a);
    return MG_SELECT(first, a, b);
}
typedef float f32x2 __attribute__((vector_size(8)));
typedef f32x2 f32x2u __attribute__((aligned(4)));
typedef int i32x2 __attribute__((vector_size(8)));
typedef i32x2 i32x2u __attribute__((aligned(4)));
MG_INLINE f32x2 mg_max_f32x2(f32x2 a, f32x2 b) {
    i32x2 first = (a > b) | (a != a);
    return MG_SELECT(first, a, b);
}
MG_INLINE float mg_max_f32(float a, float b) { return a > b || a != a ? a : b; }
static inline float mg_max_lanes_f32x16(f32x16 v) {
  f32x8 l8 = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7), h8 = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  f32x8 s8 = mg_max_f32x8(l8, h8);
  f32x4 l4 = __builtin_shufflevector(s8, s8, 0, 1, 2, 3), h4 = __builtin_shufflevector(s8, s8, 4, 5, 6, 7);
  f32x4 s4 = mg_max_f32x4(l4, h4);
  f32x2 l2 = __builtin_shufflevector(s4, s4, 0, 1), h2 = __builtin_shufflevector(s4, s4, 2, 3);
  f32x2 s2 = mg_max_f32x2(l2, h2);
  float a = s2[0], b = s2[1];
  return mg_max_f32(a, b);
}
typedef unsigned u32x16 __attribute__((vector_size(64)));
typedef u32x16 u32x16u __attribute__((aligned(4)));
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
static inline float mg_add_lanes_f32x16(f32x16 v) {
  f32x8 l8 = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7), h8 = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  f32x8 s8 = l8 + h8;
  f32x4 l4 = __builtin_shufflevector(s8, s8, 0, 1, 2, 3), h4 = __builtin_shufflevector(s8, s8, 4, 5, 6, 7);
  f32x4 s4 = l4 + h4;
  f32x2 l2 = __builtin_shufflevector(s4, s4, 0, 1), h2 = __builtin_shufflevector(s4, s4, 2, 3);
  f32x2 s2 = l2 + h2;
  float a = s2[0], b = s2[1];
  return a + b;
}
void reduce_64_512_512(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 64x512
  const float *restrict data1 = buffers[1];  // 64x512
  float *restrict scratch_v1 = (float *)(workspace + 0);
  for (long o0 = lo; o0 < imin(hi, 64); o0++) {
    f32x16 acc1 = (-__builtin_inff()) - (f32x16){};
    f32x16 acc2 = (-__builtin_inff()) - (f32x16){};
    f32x16 acc3 = (-__builtin_inff()) - (f32x16){};
    f32x16 acc4 = (-__builtin_inff()) - (f32x16){};
    for (long r0_0 = 0; r0_0 < 8; r0_0++) {
      f32x16 v5 = *(const f32x16u *)(data1 + o0 * 512 + r0_0 * 64);
      f32x16 v6 = *(const f32x16u *)(data1 + o0 * 512 + r0_0 * 64 + 16);
      f32x16 v7 = *(const f32x16u *)(data1 + o0 * 512 + r0_0 * 64 + 32);
      f32x16 v8 = *(const f32x16u *)(data1 + o0 * 512 + r0_0 * 64 + 48);
      acc1 = mg_max_f32x16(acc1, v5);
      acc2 = mg_max_f32x16(acc2, v6);
      acc3 = mg_max_f32x16(acc3, v7);
      acc4 = mg_max_f32x16(acc4, v8);
    }
    float v9 = -mg_max_lanes_f32x16(mg_max_f32x16(mg_max_f32x16(acc1, acc2), mg_max_f32x16(acc3, acc4)));
    for (long v1_1_0 = 0; v1_1_0 < 8; v1_1_0++) {
      f32x16 v10 = *(const f32x16u *)(data1 + o0 * 512 + v1_1_0 * 64);
      *(f32x16u *)(scratch_v1 + v1_1_0 * 64) = mg_exp_f32x16(v9 + v10);
      f32x16 v11 = *(const f32x16u *)(data1 + o0 * 512 + v1_1_0 * 64 + 16);
      *(f32x16u *)(scratch_v1 + v1_1_0 * 64 + 16) = mg_exp_f32x16(v9 + v11);
      f32x16 v12 = *(const f32x16u *)(data1 + o0 * 512 + v1_1_0 * 64 + 32);
      *(f32x16u *)(scratch_v1 + v1_1_0 * 64 + 32) = mg_exp_f32x16(v9 + v12);
      f32x16 v13 = *(const f32x16u *)(data1 + o0 * 512 + v1_1_0 * 64 + 48);
      *(f32x16u *)(scratch_v1 + v1_1_0 * 64 + 48) = mg_exp_f32x16(v9 + v13);
    }
    f32x16 acc14 = (f32x16){};
    f32x16 acc15 = (f32x16){};
    f32x16 acc16 = (f32x16){};
    f32x16 acc17 = (f32x16){};
    for (long r1_0 = 0; r1_0 < 8; r1_0++) {
      f32x16 v18 = *(const f32x16u *)(scratch_v1 + r1_0 * 64);
      f32x16 v19 = *(const f32x16u *)(scratch_v1 + r1_0 * 64 + 16);
      f32x16 v20 = *(const f32x16u *)(scratch_v1 + r1_0 * 64 + 32);
      f32x16 v21 = *(const f32x16u *)(scratch_v1 + r1_0 * 64 + 48);
      acc14 += v18;
      acc15 += v19;
      acc16 += v20;
      acc17 += v21;
    }
    float v22 = mg_add_lanes_f32x16((acc14 + acc15) + (acc16 + acc17));
    for (long o1_0 = 0; o1_0 < 8; o1_0++) {
      f32x16 v23 = *(const f32x16u *)(scratch_v1 + o1_0 * 64);
      *(f32x16u *)(data0 + o0 * 512 + o1_0 * 64) = v23 / v22;
      f32x16 v24 = *(const f32x16u *)(scratch_v1 + o1_0 * 64 + 16);
      *(f32x16u *)(data0 + o0 * 512 + o1_0 * 64 + 16) = v24 / v22;
      f32x16 v25 = *(const f32x16u *)(scratch_v1 + o1_0 * 64 + 32);
      *(f32x16u *)(data0 + o0 * 512 + o1_0 * 64 + 32) = v25 / v22;
      f32x16 v26 = *(const f32x16u *)(scratch_v1 + o1_0 * 64 + 48);
      *(f32x16u *)(data0 + o0 * 512 + o1_0 * 64 + 48) = v26 / v22;
    }
  }
}
