// workspace 0, threads 1
void scatter_12_5(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 7x5
  const float *restrict data1 = buffers[1];  // 12x5
  const int *restrict data2 = buffers[2];  // 12
  for (long s0 = 0; s0 < 12; s0++) {
    int v1 = data2[s0];
    for (long o1 = 0; o1 < 5; o1++) {
      float v2 = data1[o1 + s0 * 5];
      if ((long)v1 < 7 && 0 < (long)v1 + 1) data0[((long)v1) * 5 + o1] += 2.0f * v2;
    }
  }
}
