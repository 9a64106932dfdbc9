// Unroll(range='r0_0')
// workspace 0, threads 1
#define MG_INLINE static inline __attribute__((always_inline))
MG_INLINE float mg_max_f32(float a, float b) { return a > b || a != a ? a : b; }
void reduce_6_4_35(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 1x6x1
  const float *restrict data1 = buffers[1];  // 4x6x35
  for (long o1 = 0; o1 < 6; o1++) {
    float acc1 = 1.0f;
    for (long r1_0 = 0; r1_0 < 4; r1_0++) {
      for (long r1_1 = 0; r1_1 < 35; r1_1++) {
        float v2 = data1[o1 * 35 + r1_0 * 210 + r1_1];
        acc1 *= 1.0f + (0.009999999776482582f * v2);
      }
    }
    float acc3 = (-__builtin_inff());
    for (long r0_1 = 0; r0_1 < 35; r0_1++) {
      float v4 = data1[o1 * 35 + r0_1];
      float v5 = data1[o1 * 35 + r0_1 + 210];
      float v6 = data1[o1 * 35 + r0_1 + 420];
      float v7 = data1[o1 * 35 + r0_1 + 630];
      acc3 = mg_max_f32(acc3, mg_max_f32(mg_max_f32(v4, v5), mg_max_f32(v6, v7)));
    }
    data0[o1] = acc1 + acc3;
  }
}
