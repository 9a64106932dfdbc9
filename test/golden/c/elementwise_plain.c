// workspace 0, threads 1
void elementwise_1003(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 1003
  const float *restrict data1 = buffers[1];  // 1003
  for (long o0 = 0; o0 < 1003; o0++) {
    float v1 = data1[o0];
    data0[o0] = 1.0f + v1;
  }
}
