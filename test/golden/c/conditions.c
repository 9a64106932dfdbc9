// Split(range='o1', size=16)
// Vector(range='o1.1')
// workspace 0, threads 1
typedef unsigned char u8x16 __attribute__((vector_size(16)));
typedef u8x16 u8x16u __attribute__((aligned(1)));
#define MG_INLINE static inline __attribute__((always_inline))
MG_INLINE u8x16 mg_load_u8x16(const unsigned char *p, long first, long end) {
    u8x16 v = {};
    for (int i = 0; i < 16; i++) if (i >= first && i < end) v[i] = p[i];
    return v;
}
typedef signed char i8x16 __attribute__((vector_size(16)));
typedef i8x16 i8x16u __attribute__((aligned(1)));
typedef int i32x16 __attribute__((vector_size(64)));
typedef i32x16 i32x16u __attribute__((aligned(4)));
typedef float f32x16 __attribute__((vector_size(64)));
typedef f32x16 f32x16u __attribute__((aligned(4)));
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
MG_INLINE void mg_store_u8x16(unsigned char *p, long first, long end, u8x16 v) {
    for (int i = 0; i < 16; i++) if (i >= first && i < end) p[i] = v[i];
}
void reduce_5_18_18(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  unsigned char *restrict data0 = buffers[0];  // 5x18
  unsigned char *restrict data1 = buffers[1];  // 5x1
  const float *restrict data2 = buffers[2];  // 5x18
  const float *restrict data3 = buffers[3];  // 5x18
  const unsigned char *restrict data4 = buffers[4];  // 5x18
  for (long o0 = 0; o0 < 5; o0++) {
    for (long o1_0 = 0; o1_0 < 2; o1_0++) {
      i32x16 v1 = __builtin_convertvector((mg_load_u8x16(data4 + o0 * 18 + o1_0 * 16, 0, -o1_0 * 16 + 18)) != (u8x16){}, i32x16);
      f32x16 v2 = mg_load_f32x16(data2 + o0 * 18 + o1_0 * 16, 0, -o1_0 * 16 + 18);
      f32x16 v3 = mg_load_f32x16(data3 + o0 * 18 + o1_0 * 16, 0, -o1_0 * 16 + 18);
      mg_store_u8x16(data0 + o0 * 18 + o1_0 * 16, 0, -o1_0 * 16 + 18, __builtin_convertvector(-(v1 & (v2 < v3)), u8x16));
    }
    unsigned char acc4 = 1;
    for (long r0 = 0; r0 < 18; r0++) {
      float v5 = data2[o0 * 18 + r0];
      float v6 = data3[o0 * 18 + r0];
      acc4 = acc4 & ((v5 < 1.0f) | (v5 < v6));
    }
    data1[o0] = acc4;
  }
}
