// Split(range='o2', size=16)
// Vector(range='o2.1')
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
#if defined(__AVX512F__)
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
MG_INLINE void mg_store_f32x16(float *p, long first, long end, f32x16 v) {
#if defined(__AVX512F__)
    __builtin_ia32_storeups512_mask((void *)p, (f32x16)v, mg_lanes(first, end));
#else
    for (int i = 0; i < 16; i++) if (i >= first && i < end) p[i] = v[i];
#endif
}
void reduce_4_39_3(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 4x1x39
  const float *restrict data1 = buffers[1];  // 4x3x37
  const float *restrict data2 = buffers[2];  // 4x3x37
  for (long o0 = 0; o0 < 4; o0++) {
    for (long o2_0 = 0; o2_0 < 3; o2_0++) {
      f32x16 acc1 = (f32x16){};
      for (long r0 = 0; r0 < 3; r0++) {
        i32x16 v2 = ((int)(r0 - o2_0 * 16 - 1)) + (i32x16){0, (-1), (-2), (-3), (-4), (-5), (-6), (-7), (-8), (-9), (-10), (-11), (-12), (-13), (-14), (-15)};
        i32x16 v3 = ((int)(o2_0 * 16 - r0 - 37)) + (i32x16){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        f32x16 v4 = mg_load_f32x16(data2 + o0 * 111 + o2_0 * 16 + r0 * 36, r0 - o2_0 * 16, r0 - o2_0 * 16 + 37);
        f32x16 v5 = mg_load_f32x16(data1 + o0 * 111 + o2_0 * 16 + r0 * 36, r0 - o2_0 * 16, r0 - o2_0 * 16 + 37);
        acc1 = mg_where_f32x16(((v2 < ((i32x16){})) & (v3 < ((i32x16){}))), (acc1 + (v4 * v5)), acc1);
      }
      mg_store_f32x16(data0 + o0 * 39 + o2_0 * 16, 0, -o2_0 * 16 + 39, acc1);
    }
  }
}
