// Upcast(range='o1')
// Vector(range='o2')
// workspace 0, threads 1
typedef float f32x8 __attribute__((vector_size(32)));
typedef f32x8 f32x8u __attribute__((aligned(4)));
void elementwise_3_4_8(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 3x16x8
  const float *restrict data1 = buffers[1];  // 3x4x8
  const long start = variables[0];
  for (long o0 = 0; o0 < 3; o0++) {
    f32x8 v1 = *(const f32x8u *)(data1 + o0 * 32);
    *(f32x8u *)(data0 + o0 * 128 + start * 8) = 0.5f * v1;
    f32x8 v2 = *(const f32x8u *)(data1 + o0 * 32 + 8);
    *(f32x8u *)(data0 + o0 * 128 + start * 8 + 8) = 0.5f * v2;
    f32x8 v3 = *(const f32x8u *)(data1 + o0 * 32 + 16);
    *(f32x8u *)(data0 + o0 * 128 + start * 8 + 16) = 0.5f * v3;
    f32x8 v4 = *(const f32x8u *)(data1 + o0 * 32 + 24);
    *(f32x8u *)(data0 + o0 * 128 + start * 8 + 24) = 0.5f * v4;
  }
}
