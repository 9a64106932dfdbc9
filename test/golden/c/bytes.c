// Split(range='r0', size=16)
// Vector(range='r0.1')
// workspace 0, threads 1
typedef unsigned char u8x16 __attribute__((vector_size(16)));
typedef u8x16 u8x16u __attribute__((aligned(1)));
typedef int i32x16 __attribute__((vector_size(64)));
typedef i32x16 i32x16u __attribute__((aligned(4)));
#define MG_INLINE static inline __attribute__((always_inline))
MG_INLINE u8x16 mg_load_u8x16(const unsigned char *p, long first, long end) {
    u8x16 v = {};
    for (int i = 0; i < 16; i++) if (i >= first && i < end) v[i] = p[i];
    return v;
}
typedef signed char i8x16 __attribute__((vector_size(16)));
typedef i8x16 i8x16u __attribute__((aligned(1)));
#ifdef __clang__
#define MG_OF(x) __typeof__((x)[0]) __attribute__((ext_vector_type(sizeof(x) / sizeof((x)[0]))))
#define MG_SELECT(m, a, b) ({ typedef MG_OF(m) mg_mask; typedef MG_OF(a) mg_value; \
    (__typeof__(a))((mg_mask)(m) ? (mg_value)(a) : (mg_value)(b)); })
#else
#define MG_SELECT(m, a, b) ((__typeof__(a))(((m) & (__typeof__(m))(a)) | (~(m) & (__typeof__(m))(b))))
#endif
MG_INLINE u8x16 mg_max_u8x16(u8x16 a, u8x16 b) {
    i8x16 first = (a > b) | (a != a);
    return MG_SELECT(first, a, b);
}
MG_INLINE u8x16 mg_where_u8x16(i32x16 mask, u8x16 a, u8x16 b) {
    i8x16 wide = __builtin_convertvector(mask, i8x16);
    return MG_SELECT(wide, a, b);
}
typedef unsigned char u8x8 __attribute__((vector_size(8)));
typedef u8x8 u8x8u __attribute__((aligned(1)));
typedef unsigned char u8x4 __attribute__((vector_size(4)));
typedef u8x4 u8x4u __attribute__((aligned(1)));
typedef unsigned char u8x2 __attribute__((vector_size(2)));
typedef u8x2 u8x2u __attribute__((aligned(1)));
static inline unsigned char mg_add_lanes_u8x16(u8x16 v) {
  u8x8 l8 = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7), h8 = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  u8x8 s8 = l8 + h8;
  u8x4 l4 = __builtin_shufflevector(s8, s8, 0, 1, 2, 3), h4 = __builtin_shufflevector(s8, s8, 4, 5, 6, 7);
  u8x4 s4 = l4 + h4;
  u8x2 l2 = __builtin_shufflevector(s4, s4, 0, 1), h2 = __builtin_shufflevector(s4, s4, 2, 3);
  u8x2 s2 = l2 + h2;
  unsigned char a = s2[0], b = s2[1];
  return a + b;
}
void reduce_3_50(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  unsigned char *restrict data0 = buffers[0];  // 3x1
  const unsigned char *restrict data1 = buffers[1];  // 3x50
  const unsigned char *restrict data2 = buffers[2];  // 3x50
  for (long o0 = 0; o0 < 3; o0++) {
    u8x16 acc1 = (u8x16){};
    for (long r0_0 = 0; r0_0 < 4; r0_0++) {
      i32x16 v2 = (((int)(r0_0 * 16 - 50)) + (i32x16){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}) < ((i32x16){});
      u8x16 v3 = mg_load_u8x16(data2 + o0 * 50 + r0_0 * 16, 0, -r0_0 * 16 + 50);
      u8x16 v4 = mg_load_u8x16(data1 + o0 * 50 + r0_0 * 16, 0, -r0_0 * 16 + 50);
      acc1 += mg_where_u8x16(v2, mg_max_u8x16((v3 * v4), (v3 + v4)), ((u8x16){}));
    }
    data0[o0] = mg_add_lanes_u8x16(acc1);
  }
}
