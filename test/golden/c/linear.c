// Split(range='r0', size=16)
// Upcast(range='o0')
// Vector(range='r0.1')
// workspace 0, threads 1
typedef float f32x16 __attribute__((vector_size(64)));
typedef f32x16 f32x16u __attribute__((aligned(4)));
typedef int i32x16 __attribute__((vector_size(64)));
typedef i32x16 i32x16u __attribute__((aligned(4)));
#define MG_INLINE static inline __attribute__((always_inline))
MG_INLINE unsigned short mg_lanes(long first, long end) {
    unsigned short below = first <= 0 ? 0 : first >= 16 ? 0xffff : (1u << first) - 1;
    return (end <= 0 ? 0 : end >= 16 ? 0xffff : (1u << end) - 1) & ~below;
}
MG_INLINE f32x16 mg_load_f32x16(const float *p, long first, long end) {
#ifdef __AVX512F__
    return (f32x16)__builtin_ia32_loadups512_mask((const void *)p, (f32x16){}, mg_lanes(first, end));
#else
    f32x16 v = {};
    for (int i = 0; i < 16; i++) if (i >= first && i < end) v[i] = p[i];
    return v;
#endif
}
#ifdef __clang__
#define MG_OF(x) __typeof__((x)[0]) __attribute__((ext_vector_type(sizeof(x) / sizeof((x)[0]))))
#define MG_SELECT(m, a, b) ({ typedef MG_OF(m) mg_mask; typedef MG_OF(a) mg_value; \
    (__typeof__(a))((mg_mask)(m) ? (mg_value)(a) : (mg_value)(b)); })
#else
#define MG_SELECT(m, a, b) ((__typeof__(a))(((m) & (__typeof__(m))(a)) | (~(m) & (__typeof__(m))(b))))
#endif
MG_INLINE f32x16 mg_where_f32x16(i32x16 mask, f32x16 a, f32x16 b) {
    i32x16 wide = __builtin_convertvector(mask, i32x16);
    return MG_SELECT(wide, a, b);
}
typedef float f32x8 __attribute__((vector_size(32)));
typedef f32x8 f32x8u __attribute__((aligned(4)));
typedef float f32x4 __attribute__((vector_size(16)));
typedef f32x4 f32x4u __attribute__((aligned(4)));
typedef float f32x2 __attribute__((vector_size(8)));
typedef f32x2 f32x2u __attribute__((aligned(4)));
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
MG_INLINE float mg_from_bits_f32(unsigned bits) { return ((union { unsigned bits; float x; }){bits}).x; }
MG_INLINE unsigned mg_bits_f32(float x) { return ((union { float x; unsigned bits; }){x}).bits; }
MG_INLINE float mg_abs_f32(float x) { return mg_from_bits_f32(mg_bits_f32(x) & 0x7fffffffu); }
MG_INLINE float mg_select_f32(int mask, float yes, float no) { return mask ? yes : no; }
MG_INLINE float mg_splat_f32(float x) { return x; }
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
MG_INLINE float mg_erf_f32(float x) {
    float a = mg_abs_f32(x);
    a = mg_select_f32(a > 4.0f, mg_splat_f32(4.0f), a);  // from there on it is 1
    float z = a * a, u = a - 2.0f;
    float p = z * 7.80690389e-05f - 0.00079978531f;  p = p * z + 0.0051871622f;  p = p * z - 0.0268533472f;
    p = p * z + 0.112835787f;  p = p * z - 0.37612626f;  p = p * z + 0.128379166f;
    float q = u * -0.000186378093f + 0.000711111585f;  q = q * u - 0.00354422885f;  q = q * u + 0.0164879039f;
    q = q * u + 0.9237535f;  q = q * u + 4.41815948f;  q = q * u + 5.36494112f;
    float y = mg_select_f32(a < 1.0f, a + a * p, 1.0f - mg_exp_f32(-q));
    return mg_from_bits_f32(mg_bits_f32(y) | (mg_bits_f32(x) & 0x80000000u));
}
void matmul_6_10_24(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 6x10
  const float *restrict data1 = buffers[1];  // 6x24
  const float *restrict data2 = buffers[2];  // 10x24
  const float *restrict data3 = buffers[3];  // 10
  for (long o1 = 0; o1 < 10; o1++) {
    float v1 = data3[o1];
    f32x16 acc2 = (f32x16){};
    f32x16 acc3 = (f32x16){};
    f32x16 acc4 = (f32x16){};
    f32x16 acc5 = (f32x16){};
    f32x16 acc6 = (f32x16){};
    f32x16 acc7 = (f32x16){};
    for (long r0_0 = 0; r0_0 < 2; r0_0++) {
      i32x16 v8 = (((int)(r0_0 * 16 - 24)) + (i32x16){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}) < ((i32x16){});
      f32x16 v9 = mg_load_f32x16(data2 + o1 * 24 + r0_0 * 16, 0, -r0_0 * 16 + 24);
      f32x16 v10 = mg_load_f32x16(data1 + r0_0 * 16, 0, -r0_0 * 16 + 24);
      f32x16 v11 = mg_load_f32x16(data1 + r0_0 * 16 + 24, 0, -r0_0 * 16 + 24);
      f32x16 v12 = mg_load_f32x16(data1 + r0_0 * 16 + 48, 0, -r0_0 * 16 + 24);
      f32x16 v13 = mg_load_f32x16(data1 + r0_0 * 16 + 72, 0, -r0_0 * 16 + 24);
      f32x16 v14 = mg_load_f32x16(data1 + r0_0 * 16 + 96, 0, -r0_0 * 16 + 24);
      f32x16 v15 = mg_load_f32x16(data1 + r0_0 * 16 + 120, 0, -r0_0 * 16 + 24);
      acc2 = mg_where_f32x16(v8, (acc2 + (v9 * v10)), acc2);
      acc3 = mg_where_f32x16(v8, (acc3 + (v9 * v11)), acc3);
      acc4 = mg_where_f32x16(v8, (acc4 + (v9 * v12)), acc4);
      acc5 = mg_where_f32x16(v8, (acc5 + (v9 * v13)), acc5);
      acc6 = mg_where_f32x16(v8, (acc6 + (v9 * v14)), acc6);
      acc7 = mg_where_f32x16(v8, (acc7 + (v9 * v15)), acc7);
    }
    float v16 = v1 + mg_add_lanes_f32x16(acc2);
    data0[o1] = (1.0f + mg_erf_f32(0.7071067690849304f * v16)) * (0.5f * v16);
    float v17 = v1 + mg_add_lanes_f32x16(acc3);
    data0[o1 + 10] = (1.0f + mg_erf_f32(0.7071067690849304f * v17)) * (0.5f * v17);
    float v18 = v1 + mg_add_lanes_f32x16(acc4);
    data0[o1 + 20] = (1.0f + mg_erf_f32(0.7071067690849304f * v18)) * (0.5f * v18);
    float v19 = v1 + mg_add_lanes_f32x16(acc5);
    data0[o1 + 30] = (1.0f + mg_erf_f32(0.7071067690849304f * v19)) * (0.5f * v19);
    float v20 = v1 + mg_add_lanes_f32x16(acc6);
    data0[o1 + 40] = (1.0f + mg_erf_f32(0.7071067690849304f * v20)) * (0.5f * v20);
    float v21 = v1 + mg_add_lanes_f32x16(acc7);
    data0[o1 + 50] = (1.0f + mg_erf_f32(0.7071067690849304f * v21)) * (0.5f * v21);
  }
}
