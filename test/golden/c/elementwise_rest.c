// Split(range='o0', size=64)
// Peel(range='o0.0', at=15)
// Split(range='o0.1', size=16)
// Vector(range='o0.1.1')
// Upcast(range='o0.1.0')
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
MG_INLINE void mg_store_f32x16(float *p, long first, long end, f32x16 v) {
#if defined(__AVX512F__)
    __builtin_ia32_storeups512_mask((void *)p, (f32x16)v, mg_lanes(first, end));
#else
    for (int i = 0; i < 16; i++) if (i >= first && i < end) p[i] = v[i];
#endif
}
void elementwise_1003(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 1003
  const float *restrict data1 = buffers[1];  // 1003
  for (long o0_0 = 0; o0_0 < 15; o0_0++) {
    f32x16 v1 = *(const f32x16u *)(data1 + o0_0 * 64);
    *(f32x16u *)(data0 + o0_0 * 64) = 1.0f + v1;
    f32x16 v2 = *(const f32x16u *)(data1 + o0_0 * 64 + 16);
    *(f32x16u *)(data0 + o0_0 * 64 + 16) = 1.0f + v2;
    f32x16 v3 = *(const f32x16u *)(data1 + o0_0 * 64 + 32);
    *(f32x16u *)(data0 + o0_0 * 64 + 32) = 1.0f + v3;
    f32x16 v4 = *(const f32x16u *)(data1 + o0_0 * 64 + 48);
    *(f32x16u *)(data0 + o0_0 * 64 + 48) = 1.0f + v4;
  }
  for (long o0_0t = 15; o0_0t < 16; o0_0t++) {
    f32x16 v5 = *(const f32x16u *)(data1 + o0_0t * 64);
    *(f32x16u *)(data0 + o0_0t * 64) = 1.0f + v5;
    f32x16 v6 = *(const f32x16u *)(data1 + o0_0t * 64 + 16);
    *(f32x16u *)(data0 + o0_0t * 64 + 16) = 1.0f + v6;
    f32x16 v7 = mg_load_f32x16(data1 + o0_0t * 64 + 32, 0, -o0_0t * 64 + 971);
    mg_store_f32x16(data0 + o0_0t * 64 + 32, 0, -o0_0t * 64 + 971, 1.0f + v7);
  }
}
