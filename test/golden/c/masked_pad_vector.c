// Split(range='o1', size=16)
// Vector(range='o1.1')
// workspace 0, threads 1
typedef int i32x16 __attribute__((vector_size(64)));
typedef i32x16 i32x16u __attribute__((aligned(4)));
typedef float f32x16 __attribute__((vector_size(64)));
typedef f32x16 f32x16u __attribute__((aligned(4)));
#define MG_INLINE static inline __attribute__((always_inline))
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
MG_INLINE unsigned short mg_lanes(long first, long end) {
    unsigned short below = first <= 0 ? 0 : first >= 16 ? 0xffff : (1u << first) - 1;
    return (end <= 0 ? 0 : end >= 16 ? 0xffff : (1u << end) - 1) & ~below;
}
MG_INLINE void mg_store_f32x16(float *p, long first, long end, f32x16 v) {
#if defined(__AVX512F__)
    __builtin_ia32_storeups512_mask((void *)p, (f32x16)v, mg_lanes(first, end));
#else
    for (int i = 0; i < 16; i++) if (i >= first && i < end) p[i] = v[i];
#endif
}
void elementwise_9_12(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 9x12
  const float *restrict data1 = buffers[1];  // 5x7
  for (long o0 = 0; o0 < 9; o0++) {
    unsigned char v1 = (unsigned char)(1 < o0 && o0 < 6);
    for (long o1_0 = 0; o1_0 < 1; o1_0++) {
      i32x16 v2 = (((int)(o1_0 * 16 - 8)) + (i32x16){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}) < ((i32x16){});
      i32x16 v3 = ((int)(-o1_0 * 16)) + (i32x16){0, (-1), (-2), (-3), (-4), (-5), (-6), (-7), (-8), (-9), (-10), (-11), (-12), (-13), (-14), (-15)};
      float v4 = o0 < 6 && 0 < o0 ? data1[o0 * 7 - o1_0 * 16 - 1] : 0.0f;
      float v5 = o0 < 6 && 0 < o0 ? data1[o0 * 7 - o1_0 * 16 - 2] : 0.0f;
      float v6 = o0 < 6 && 0 < o0 ? data1[o0 * 7 - o1_0 * 16 - 3] : 0.0f;
      float v7 = o0 < 6 && 0 < o0 ? data1[o0 * 7 - o1_0 * 16 - 4] : 0.0f;
      float v8 = o0 < 6 && 0 < o0 ? data1[o0 * 7 - o1_0 * 16 - 5] : 0.0f;
      float v9 = o0 < 6 && 0 < o0 ? data1[o0 * 7 - o1_0 * 16 - 6] : 0.0f;
      float v10 = o0 < 6 && 0 < o0 ? data1[o0 * 7 - o1_0 * 16 - 7] : 0.0f;
      f32x16 v11 = (f32x16){0.0f, v4, v5, v6, v7, v8, v9, v10, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
      f32x16 v12 = 1.0f + mg_where_f32x16((v2 & (((i32x16){} - (v1)) & (v3 < ((i32x16){})))), v11, ((f32x16){}));
      mg_store_f32x16(data0 + o0 * 12 + o1_0 * 16, 0, -o1_0 * 16 + 12, v12);
    }
  }
}
