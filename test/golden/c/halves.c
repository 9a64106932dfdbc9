// Split(range='o0', size=16)
// Vector(range='o0.1')
// workspace 0, threads 1
typedef unsigned short u16x16 __attribute__((vector_size(32)));
typedef u16x16 u16x16u __attribute__((aligned(2)));
typedef float f32x16 __attribute__((vector_size(64)));
typedef f32x16 f32x16u __attribute__((aligned(4)));
typedef unsigned u32x16 __attribute__((vector_size(64)));
typedef u32x16 u32x16u __attribute__((aligned(4)));
#define MG_INLINE static inline __attribute__((always_inline))
MG_INLINE f32x16 mg_from_bits_f32x16(u32x16 bits) { return (f32x16)bits; }
MG_INLINE u32x16 mg_widen_f32x16(u16x16 x) { return __builtin_convertvector(x, u32x16); }
MG_INLINE f32x16 mg_bf16_to_f32x16(u16x16 h) { return mg_from_bits_f32x16(mg_widen_f32x16(h) << 16); }
typedef int i32x16 __attribute__((vector_size(64)));
typedef i32x16 i32x16u __attribute__((aligned(4)));
MG_INLINE u32x16 mg_bits_f32x16(f32x16 x) { return (u32x16)x; }
MG_INLINE u16x16 mg_narrow_f32x16(u32x16 x) { return __builtin_convertvector(x, u16x16); }
#ifdef __clang__
#define MG_OF(x) __typeof__((x)[0]) __attribute__((ext_vector_type(sizeof(x) / sizeof((x)[0]))))
#define MG_SELECT(m, a, b) ({ typedef MG_OF(m) mg_mask; typedef MG_OF(a) mg_value; \
    (__typeof__(a))((mg_mask)(m) ? (mg_value)(a) : (mg_value)(b)); })
#else
#define MG_SELECT(m, a, b) ((__typeof__(a))(((m) & (__typeof__(m))(a)) | (~(m) & (__typeof__(m))(b))))
#endif
MG_INLINE u32x16 mg_select_bits_f32x16(i32x16 mask, u32x16 yes, u32x16 no) { return MG_SELECT(mask, yes, no); }
MG_INLINE u16x16 mg_f32_to_bf16x16(f32x16 x) {
    u32x16 rounded = (mg_bits_f32x16(x) + 0x7fffu + ((mg_bits_f32x16(x) >> 16) & 1u)) >> 16;  // to nearest, ties to even
    u32x16 nan = (mg_bits_f32x16(x) >> 16) | 0x40u;
    return mg_narrow_f32x16(mg_select_bits_f32x16((mg_bits_f32x16(x) & 0x7fffffffu) > 0x7f800000u, nan, rounded));
}
void elementwise_48(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  unsigned short *restrict data0 = buffers[0];  // 48
  const unsigned short *restrict data1 = buffers[1];  // 48
  for (long o0_0 = 0; o0_0 < 3; o0_0++) {
    u16x16 v1 = *(const u16x16u *)(data1 + o0_0 * 16);
    *(u16x16u *)(data0 + o0_0 * 16) = mg_f32_to_bf16x16((3.0f * mg_bf16_to_f32x16(v1)));
  }
}
