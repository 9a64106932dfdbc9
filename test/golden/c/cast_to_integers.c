// Split(range='o0', size=16)
// Vector(range='o0.1')
// workspace 0, threads 1
typedef float f32x16 __attribute__((vector_size(64)));
typedef f32x16 f32x16u __attribute__((aligned(4)));
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
static inline int mg_f32_to_i32(float x) {
  return x != x ? 0 : x >= 2147483648.0f ? 2147483647 : x <= -2147483648.0f ? (-2147483647 - 1) : (int)x;
}
typedef int i32x16 __attribute__((vector_size(64)));
typedef i32x16 i32x16u __attribute__((aligned(4)));
MG_INLINE i32x16 mg_f32_to_i32x16(f32x16 a) {
    i32x16 r;
    for (int i = 0; i < 16; i++) r[i] = mg_f32_to_i32(a[i]);
    return r;
}
MG_INLINE void mg_store_i32x16(int *p, long first, long end, i32x16 v) {
#if defined(__AVX512F__)
    __builtin_ia32_storedqusi512_mask((void *)p, (i32x16)v, mg_lanes(first, end));
#else
    for (int i = 0; i < 16; i++) if (i >= first && i < end) p[i] = v[i];
#endif
}
void elementwise_100(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  int *restrict data0 = buffers[0];  // 100
  const float *restrict data1 = buffers[1];  // 100
  for (long o0_0 = 0; o0_0 < 7; o0_0++) {
    f32x16 v1 = mg_load_f32x16(data1 + o0_0 * 16, 0, -o0_0 * 16 + 100);
    mg_store_i32x16(data0 + o0_0 * 16, 0, -o0_0 * 16 + 100, mg_f32_to_i32x16(v1));
  }
}
