// Split(range='r0', size=64)
// Split(range='r0.1', size=16)
// Vector(range='r0.1.1')
// Upcast(range='r0.1.0')
// Thread(range='o1')
// workspace 0, threads 64
static inline long imax(long a, long b) { return a > b ? a : b; }
static inline long imin(long a, long b) { return a < b ? a : b; }
typedef float f32x16 __attribute__((vector_size(64)));
typedef f32x16 f32x16u __attribute__((aligned(4)));
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
void matvec_64_512(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 1x64
  const float *restrict data1 = buffers[1];  // 1x512
  const float *restrict data2 = buffers[2];  // 64x512
  for (long o1 = lo; o1 < imin(hi, 64); o1++) {
    f32x16 acc1 = (f32x16){};
    f32x16 acc2 = (f32x16){};
    f32x16 acc3 = (f32x16){};
    f32x16 acc4 = (f32x16){};
    for (long r0_0 = 0; r0_0 < 8; r0_0++) {
      f32x16 v5 = *(const f32x16u *)(data2 + o1 * 512 + r0_0 * 64);
      f32x16 v6 = *(const f32x16u *)(data1 + r0_0 * 64);
      f32x16 v7 = *(const f32x16u *)(data2 + o1 * 512 + r0_0 * 64 + 16);
      f32x16 v8 = *(const f32x16u *)(data1 + r0_0 * 64 + 16);
      f32x16 v9 = *(const f32x16u *)(data2 + o1 * 512 + r0_0 * 64 + 32);
      f32x16 v10 = *(const f32x16u *)(data1 + r0_0 * 64 + 32);
      f32x16 v11 = *(const f32x16u *)(data2 + o1 * 512 + r0_0 * 64 + 48);
      f32x16 v12 = *(const f32x16u *)(data1 + r0_0 * 64 + 48);
      acc1 += v5 * v6;
      acc2 += v7 * v8;
      acc3 += v9 * v10;
      acc4 += v11 * v12;
    }
    data0[o1] = mg_add_lanes_f32x16((acc1 + acc2) + (acc3 + acc4));
  }
}
