// workspace 0, threads 1
void elementwise_9_12(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 9x12
  const float *restrict data1 = buffers[1];  // 5x7
  for (long o0 = 0; o0 < 9; o0++) {
    for (long o1 = 0; o1 < 12; o1++) {
      float v1 = 0 < o1 && o1 < 8 && o0 < 6 && 0 < o0 ? data1[o0 * 7 - o1] : 0.0f;
      data0[o0 * 12 + o1] = 1.0f + (((unsigned char)(o1 < 8 && 0 < o1 && 1 < o0 && o0 < 6)) ? v1 : 0.0f);
    }
  }
}
