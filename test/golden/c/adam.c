// Split(range='o1', size=16)
// Vector(range='o1.1')
// Thread(range='o0')
// workspace 0, threads 6
static inline long imax(long a, long b) { return a > b ? a : b; }
static inline long imin(long a, long b) { return a < b ? a : b; }
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
void elementwise_6_23(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 6x23
  float *restrict data1 = buffers[1];  // 6x23
  float *restrict data2 = buffers[2];  // 6x23
  const float *restrict data3 = buffers[3];  // 6x23
  for (long o0 = lo; o0 < imin(hi, 6); o0++) {
    for (long o1_0 = 0; o1_0 < 2; o1_0++) {
      f32x16 v1 = mg_load_f32x16(data3 + o0 * 23 + o1_0 * 16, 0, -o1_0 * 16 + 23);
      f32x16 v2 = mg_load_f32x16(data1 + o0 * 23 + o1_0 * 16, 0, -o1_0 * 16 + 23);
      f32x16 v3 = (0.10000000149011612f * v1) + (0.8999999761581421f * v2);
      f32x16 v4 = mg_load_f32x16(data2 + o0 * 23 + o1_0 * 16, 0, -o1_0 * 16 + 23);
      f32x16 v5 = (0.009999999776482582f * (v1 * v1)) + (0.9900000095367432f * v4);
      f32x16 v6 = (-0.009999999776482582f) * (v3 / (9.99999993922529e-09f + __builtin_elementwise_sqrt(1.0f + (v5 * v5))));
      f32x16 v7 = mg_load_f32x16(data0 + o0 * 23 + o1_0 * 16, 0, -o1_0 * 16 + 23);
      mg_store_f32x16(data0 + o0 * 23 + o1_0 * 16, 0, -o1_0 * 16 + 23, v6 + v7);
      mg_store_f32x16(data1 + o0 * 23 + o1_0 * 16, 0, -o1_0 * 16 + 23, v3);
      mg_store_f32x16(data2 + o0 * 23 + o1_0 * 16, 0, -o1_0 * 16 + 23, v5);
    }
  }
}
