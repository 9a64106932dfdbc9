// workspace 0, threads 1
#define MG_INLINE static inline __attribute__((always_inline))
MG_INLINE int mg_floormod_i32(int a, int b) {
    if (b == 0 || b == -1) return 0;
    int r = a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
MG_INLINE int mg_floordiv_i32(int a, int b) {
    if (b == 0) return 0;
    if (b == -1) return (int)(0 - (unsigned)a);
    int q = a / b;
    return q - ((a % b != 0) & ((a < 0) != (b < 0)));
}
void elementwise_4_21(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  int *restrict data0 = buffers[0];  // 4x21
  const int *restrict data1 = buffers[1];  // 4x21
  const int *restrict data2 = buffers[2];  // 4x21
  for (long o0 = 0; o0 < 4; o0++) {
    for (long o1 = 0; o1 < 21; o1++) {
      int v1 = data1[o0 * 21 + o1];
      int v2 = data2[o0 * 21 + o1];
      data0[o0 * 21 + o1] = (100 * mg_floormod_i32(v1, v2)) + mg_floordiv_i32(v1, v2);
    }
  }
}
