// workspace 0, threads 1
void matmul_13_38_21(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 13x38
  const float *restrict data1 = buffers[1];  // 13x21
  const float *restrict data2 = buffers[2];  // 21x38
  for (long o0 = 0; o0 < 13; o0++) {
    for (long o1 = 0; o1 < 38; o1++) {
      float acc1 = 0.0f;
      for (long r0 = 0; r0 < 21; r0++) {
        float v2 = data2[o1 + r0 * 38];
        float v3 = data1[o0 * 21 + r0];
        acc1 += v2 * v3;
      }
      data0[o0 * 38 + o1] = acc1;
    }
  }
}
