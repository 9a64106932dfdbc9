// workspace 0, threads 1
void reduce_7_33_33(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 7x33
  float *restrict data1 = buffers[1];  // 7x1
  float *restrict data2 = buffers[2];  // 7x1
  const float *restrict data3 = buffers[3];  // 7x33
  for (long o0 = 0; o0 < 7; o0++) {
    float acc1 = 0.0f;
    float acc2 = 0.0f;
    for (long r0 = 0; r0 < 33; r0++) {
      float v3 = data3[o0 * 33 + r0];
      acc2 += v3;
    }
    float v4 = 0.03030303120613098f * acc2;
    float v5 = -v4;
    for (long r1 = 0; r1 < 33; r1++) {
      float v6 = data3[o0 * 33 + r1];
      float v7 = v5 + v6;
      acc1 += v7 * v7;
    }
    float v8 = 1.0f / __builtin_sqrtf(9.999999747378752e-06f + (0.03030303120613098f * acc1));
    for (long o1 = 0; o1 < 33; o1++) {
      float v9 = data3[o0 * 33 + o1];
      data0[o0 * 33 + o1] = v8 * (v5 + v9);
    }
    data1[o0] = v4;
    data2[o0] = v8;
  }
}
