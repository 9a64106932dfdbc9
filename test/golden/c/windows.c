// workspace 0, threads 1
void reduce_4_21_3(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 4x1x21
  const float *restrict data1 = buffers[1];  // 4x20
  for (long o0 = 0; o0 < 4; o0++) {
    for (long o2 = 0; o2 < 21; o2++) {
      float acc1 = 0.0f;
      for (long r0 = 0; r0 < 3; r0++) {
        float v2 = 0 < (o2 + r0 * 21) % 22 && (o2 + r0 * 21) % 22 < 21 ? data1[(o2 + r0 * 21) % 22 + o0 * 20 - 1] : 0.0f;
        acc1 += ((unsigned char)(0 < (o2 + r0 * 21) % 22 && (o2 + r0 * 21) % 22 < 21)) ? v2 : 0.0f;
      }
      data0[o0 * 21 + o2] = acc1;
    }
  }
}
