// Split(range='o1', size=8)
// Vector(range='o1.1')
// Split(range='r0', size=8)
// Vector(range='r0.1')
// workspace 0, threads 1
typedef double f64x8 __attribute__((vector_size(64)));
typedef f64x8 f64x8u __attribute__((aligned(8)));
typedef int i32x8 __attribute__((vector_size(32)));
typedef i32x8 i32x8u __attribute__((aligned(4)));
#define MG_INLINE static inline __attribute__((always_inline))
MG_INLINE f64x8 mg_load_f64x8(const double *p, long first, long end) {
    f64x8 v = {};
    for (int i = 0; i < 8; i++) if (i >= first && i < end) v[i] = p[i];
    return v;
}
typedef long i64x8 __attribute__((vector_size(64)));
typedef i64x8 i64x8u __attribute__((aligned(8)));
#ifdef __clang__
#define MG_OF(x) __typeof__((x)[0]) __attribute__((ext_vector_type(sizeof(x) / sizeof((x)[0]))))
#define MG_SELECT(m, a, b) ({ typedef MG_OF(m) mg_mask; typedef MG_OF(a) mg_value; \
    (__typeof__(a))((mg_mask)(m) ? (mg_value)(a) : (mg_value)(b)); })
#else
#define MG_SELECT(m, a, b) ((__typeof__(a))(((m) & (__typeof__(m))(a)) | (~(m) & (__typeof__(m))(b))))
#endif
MG_INLINE f64x8 mg_where_f64x8(i32x8 mask, f64x8 a, f64x8 b) {
    i64x8 wide = __builtin_convertvector(mask, i64x8);
    return MG_SELECT(wide, a, b);
}
typedef double f64x4 __attribute__((vector_size(32)));
typedef f64x4 f64x4u __attribute__((aligned(8)));
typedef double f64x2 __attribute__((vector_size(16)));
typedef f64x2 f64x2u __attribute__((aligned(8)));
static inline double mg_add_lanes_f64x8(f64x8 v) {
  f64x4 l4 = __builtin_shufflevector(v, v, 0, 1, 2, 3), h4 = __builtin_shufflevector(v, v, 4, 5, 6, 7);
  f64x4 s4 = l4 + h4;
  f64x2 l2 = __builtin_shufflevector(s4, s4, 0, 1), h2 = __builtin_shufflevector(s4, s4, 2, 3);
  f64x2 s2 = l2 + h2;
  double a = s2[0], b = s2[1];
  return a + b;
}
MG_INLINE void mg_store_f64x8(double *p, long first, long end, f64x8 v) {
    for (int i = 0; i < 8; i++) if (i >= first && i < end) p[i] = v[i];
}
void reduce_6_22_22(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  double *restrict data0 = buffers[0];  // 6x22
  const double *restrict data1 = buffers[1];  // 6x22
  const double *restrict data2 = buffers[2];  // 22
  for (long o0 = 0; o0 < 6; o0++) {
    f64x8 acc1 = (f64x8){};
    for (long r0_0 = 0; r0_0 < 3; r0_0++) {
      f64x8 v2 = mg_load_f64x8(data1 + o0 * 22 + r0_0 * 8, 0, -r0_0 * 8 + 22);
      f64x8 v3 = mg_where_f64x8(((((int)(r0_0 * 8 - 22)) + (i32x8){0, 1, 2, 3, 4, 5, 6, 7}) < ((i32x8){})), (acc1 + (v2 * v2)), acc1);
      acc1 = v3;
    }
    double v4 = 1.0 / __builtin_sqrt(1e-06 + (0.045454545454545456 * mg_add_lanes_f64x8(acc1)));
    for (long o1_0 = 0; o1_0 < 3; o1_0++) {
      f64x8 v5 = mg_load_f64x8(data2 + o1_0 * 8, 0, -o1_0 * 8 + 22);
      f64x8 v6 = mg_load_f64x8(data1 + o0 * 22 + o1_0 * 8, 0, -o1_0 * 8 + 22);
      mg_store_f64x8(data0 + o0 * 22 + o1_0 * 8, 0, -o1_0 * 8 + 22, v5 * (v4 * v6));
    }
  }
}
