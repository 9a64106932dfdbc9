// Upcast(range='o2')
// workspace 0, threads 1
static inline long imax(long a, long b) { return a > b ? a : b; }
static inline long imin(long a, long b) { return a < b ? a : b; }
void gather_4_5_6(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 4x5x6
  const float *restrict data1 = buffers[1];  // 11x6
  const int *restrict data2 = buffers[2];  // 4x5
  for (long o0 = 0; o0 < 4; o0++) {
    for (long o1 = 0; o1 < 5; o1++) {
      int v1 = data2[o0 * 5 + o1];
      unsigned char v2 = (unsigned char)((long)v1 < 11 && 0 < (long)v1 + 1);
      float v3 = data1[imin(10, imax((long)v1, 0)) * 6];
      data0[o0 * 30 + o1 * 6] = 2.0f * (v2 ? v3 : 0.0f);
      float v4 = data1[imin(10, imax((long)v1, 0)) * 6 + 1];
      data0[o0 * 30 + o1 * 6 + 1] = 2.0f * (v2 ? v4 : 0.0f);
      float v5 = data1[imin(10, imax((long)v1, 0)) * 6 + 2];
      data0[o0 * 30 + o1 * 6 + 2] = 2.0f * (v2 ? v5 : 0.0f);
      float v6 = data1[imin(10, imax((long)v1, 0)) * 6 + 3];
      data0[o0 * 30 + o1 * 6 + 3] = 2.0f * (v2 ? v6 : 0.0f);
      float v7 = data1[imin(10, imax((long)v1, 0)) * 6 + 4];
      data0[o0 * 30 + o1 * 6 + 4] = 2.0f * (v2 ? v7 : 0.0f);
      float v8 = data1[imin(10, imax((long)v1, 0)) * 6 + 5];
      data0[o0 * 30 + o1 * 6 + 5] = 2.0f * (v2 ? v8 : 0.0f);
    }
  }
}
