// Split(range='o0', size=64)
// Split(range='o0.1', size=16)
// Vector(range='o0.1.1')
// Upcast(range='o0.1.0')
// NonTemporal(slot=0)
// workspace 0, threads 1
typedef float f32x16 __attribute__((vector_size(64)));
typedef f32x16 f32x16u __attribute__((aligned(4)));
#define MG_INLINE static inline __attribute__((always_inline))
MG_INLINE void mg_stream_f32x16(float *p, f32x16 v) {
    if ((unsigned long)p % sizeof(f32x16)) *(f32x16u *)p = v;
    else __builtin_nontemporal_store(v, (f32x16 *)p);
}
void elementwise_4096(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 4096
  const float *restrict data1 = buffers[1];  // 4096
  for (long o0_0 = 0; o0_0 < 64; o0_0++) {
    f32x16 v1 = *(const f32x16u *)(data1 + o0_0 * 64);
    mg_stream_f32x16(data0 + o0_0 * 64, 2.0f * v1);
    f32x16 v2 = *(const f32x16u *)(data1 + o0_0 * 64 + 16);
    mg_stream_f32x16(data0 + o0_0 * 64 + 16, 2.0f * v2);
    f32x16 v3 = *(const f32x16u *)(data1 + o0_0 * 64 + 32);
    mg_stream_f32x16(data0 + o0_0 * 64 + 32, 2.0f * v3);
    f32x16 v4 = *(const f32x16u *)(data1 + o0_0 * 64 + 48);
    mg_stream_f32x16(data0 + o0_0 * 64 + 48, 2.0f * v4);
  }
  __builtin_ia32_sfence();
}
