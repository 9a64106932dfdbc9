// Split(range='r0', size=16)
// Vector(range='r0.1')
// workspace 0, threads 1
typedef float f32x16 __attribute__((vector_size(64)));
typedef f32x16 f32x16u __attribute__((aligned(4)));
typedef int i32x16 __attribute__((vector_size(64)));
typedef i32x16 i32x16u __attribute__((aligned(4)));
typedef unsigned short u16x16 __attribute__((vector_size(32)));
typedef u16x16 u16x16u __attribute__((aligned(2)));
typedef short i16x16 __attribute__((vector_size(32)));
typedef i16x16 i16x16u __attribute__((aligned(2)));
#define MG_INLINE static inline __attribute__((always_inline))
MG_INLINE unsigned short mg_lanes(long first, long end) {
    unsigned short below = first <= 0 ? 0 : first >= 16 ? 0xffff : (1u << first) - 1;
    return (end <= 0 ? 0 : end >= 16 ? 0xffff : (1u << end) - 1) & ~below;
}
MG_INLINE u16x16 mg_load_u16x16(const unsigned short *p, long first, long end) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    return (u16x16)__builtin_ia32_loaddquhi256_mask((const void *)p, (i16x16){}, mg_lanes(first, end));
#else
    u16x16 v = {};
    for (int i = 0; i < 16; i++) if (i >= first && i < end) v[i] = p[i];
    return v;
#endif
}
typedef unsigned u32x16 __attribute__((vector_size(64)));
typedef u32x16 u32x16u __attribute__((aligned(4)));
MG_INLINE f32x16 mg_from_bits_f32x16(u32x16 bits) { return (f32x16)bits; }
MG_INLINE u32x16 mg_widen_f32x16(u16x16 x) { return __builtin_convertvector(x, u32x16); }
MG_INLINE f32x16 mg_bf16_to_f32x16(u16x16 h) { return mg_from_bits_f32x16(mg_widen_f32x16(h) << 16); }
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
MG_INLINE unsigned mg_bits_f32(float x) { return ((union { float x; unsigned bits; }){x}).bits; }
MG_INLINE unsigned short mg_narrow_f32(unsigned x) { return (unsigned short)x; }
MG_INLINE unsigned mg_select_bits_f32(int mask, unsigned yes, unsigned no) { return mask ? yes : no; }
MG_INLINE unsigned short mg_f32_to_bf16(float x) {
    unsigned rounded = (mg_bits_f32(x) + 0x7fffu + ((mg_bits_f32(x) >> 16) & 1u)) >> 16;  // to nearest, ties to even
    unsigned nan = (mg_bits_f32(x) >> 16) | 0x40u;
    return mg_narrow_f32(mg_select_bits_f32((mg_bits_f32(x) & 0x7fffffffu) > 0x7f800000u, nan, rounded));
}
void matmul_6_18_20(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  unsigned short *restrict data0 = buffers[0];  // 6x18
  const unsigned short *restrict data1 = buffers[1];  // 6x20
  const unsigned short *restrict data2 = buffers[2];  // 18x20
  for (long o0 = 0; o0 < 6; o0++) {
    for (long o1 = 0; o1 < 18; o1++) {
      f32x16 acc1 = (f32x16){};
      for (long r0_0 = 0; r0_0 < 2; r0_0++) {
        i32x16 v2 = (((int)(r0_0 * 16 - 20)) + (i32x16){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}) < ((i32x16){});
        u16x16 v3 = mg_load_u16x16(data2 + o1 * 20 + r0_0 * 16, 0, -r0_0 * 16 + 20);
        u16x16 v4 = mg_load_u16x16(data1 + o0 * 20 + r0_0 * 16, 0, -r0_0 * 16 + 20);
        acc1 = mg_where_f32x16(v2, (acc1 + (mg_bf16_to_f32x16(v3) * mg_bf16_to_f32x16(v4))), acc1);
      }
      data0[o0 * 18 + o1] = mg_f32_to_bf16(mg_add_lanes_f32x16(acc1));
    }
  }
}
