// Upcast(range='o1')
// workspace 0, threads 1
void scatter_12_9(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  int *restrict data0 = buffers[0];  // 7x9
  const int *restrict data1 = buffers[1];  // 12x9
  const long *restrict data2 = buffers[2];  // 12
  for (long s0 = 0; s0 < 12; s0++) {
    int v1 = data1[s0 * 9];
    long v2 = data2[s0];
    if ((long)v2 < 7 && 0 < (long)v2 + 1) data0[((long)v2) * 9] = v1;
    int v3 = data1[s0 * 9 + 1];
    if ((long)v2 < 7 && 0 < (long)v2 + 1) data0[((long)v2) * 9 + 1] = v3;
    int v4 = data1[s0 * 9 + 2];
    if ((long)v2 < 7 && 0 < (long)v2 + 1) data0[((long)v2) * 9 + 2] = v4;
    int v5 = data1[s0 * 9 + 3];
    if ((long)v2 < 7 && 0 < (long)v2 + 1) data0[((long)v2) * 9 + 3] = v5;
    int v6 = data1[s0 * 9 + 4];
    if ((long)v2 < 7 && 0 < (long)v2 + 1) data0[((long)v2) * 9 + 4] = v6;
    int v7 = data1[s0 * 9 + 5];
    if ((long)v2 < 7 && 0 < (long)v2 + 1) data0[((long)v2) * 9 + 5] = v7;
    int v8 = data1[s0 * 9 + 6];
    if ((long)v2 < 7 && 0 < (long)v2 + 1) data0[((long)v2) * 9 + 6] = v8;
    int v9 = data1[s0 * 9 + 7];
    if ((long)v2 < 7 && 0 < (long)v2 + 1) data0[((long)v2) * 9 + 7] = v9;
    int v10 = data1[s0 * 9 + 8];
    if ((long)v2 < 7 && 0 < (long)v2 + 1) data0[((long)v2) * 9 + 8] = v10;
  }
}
