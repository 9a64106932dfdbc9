// Split(range='o1', size=16)
// Bound(range='r3', level=('o1.0',), multiple=16)
// Bound(range='r2', level=('o1.0',), multiple=16)
// Bound(range='r1', level=('o1.0',), multiple=16)
// Place(value='v1', level=('o0', 'o1.0'), layout=(), shared=False, along='', pad=0, stages=1)
// Thread(range='o0')
// workspace 4160, threads 2
static inline long imax(long a, long b) { return a > b ? a : b; }
static inline long imin(long a, long b) { return a < b ? a : b; }
#define MG_INLINE static inline __attribute__((always_inline))
MG_INLINE float mg_max_f32(float a, float b) { return a > b || a != a ? a : b; }
MG_INLINE float mg_select_f32(int mask, float yes, float no) { return mask ? yes : no; }
MG_INLINE float mg_splat_f32(float x) { return x; }
MG_INLINE unsigned mg_bits_f32(float x) { return ((union { float x; unsigned bits; }){x}).bits; }
MG_INLINE float mg_from_bits_f32(unsigned bits) { return ((union { unsigned bits; float x; }){bits}).x; }
// p * 2^n for a whole n, rounded once; too large is infinite, too small is denormal or 0.
MG_INLINE float mg_scale_f32(float p, float n) {
    int exponent = (int)(mg_bits_f32(n + 12582912.0f) - 0x4b400000u);
    int half = exponent >> 1;  // 2^n in two factors, since n may lie outside the exponents of normal numbers
    float first = mg_from_bits_f32((unsigned)(half + 127) << 23), rest = mg_from_bits_f32((unsigned)(exponent - half + 127) << 23);
    return p * first * rest;
}
MG_INLINE float mg_exp_f32(float x) {
    x = mg_select_f32(x < -104.0f, mg_splat_f32(-104.0f), x);
    x = mg_select_f32(x > 89.0f, mg_splat_f32(89.0f), x);
    float n = (x * 1.44269502f + 12582912.0f) - 12582912.0f;  // e^x = 2^n e^r, |r| <= ln(2)/2
    float r = x - n * 0.693145751953125f;
    r = r - n * 1.42860677e-06f;
    float p = r * 0.00138470531f + 0.00836999156f;  p = p * r + 0.041668009f;  p = p * r + 0.166665092f;
    p = p * r + 0.49999994f;
    return mg_scale_f32(p * (r * r) + r + 1.0f, n);
}
void attention_2_64_32_32_64(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 2x64x32
  const float *restrict data1 = buffers[1];  // 2x64x32
  const float *restrict data2 = buffers[2];  // 2x64x32
  const float *restrict data3 = buffers[3];  // 2x64x32
  float *restrict scratch_v1 = (float *)(workspace + 0);
  for (long o0 = lo; o0 < imin(hi, 2); o0++) {
    for (long o1_0 = 0; o1_0 < 4; o1_0++) {
      for (long v1_1 = 0; v1_1 < 16; v1_1++) {
        for (long v1_2 = 0; v1_2 < o1_0 * 16 + 16; v1_2++) {
          float acc1 = 0.0f;
          for (long r0 = 0; r0 < 32; r0++) {
            float v2 = data2[o0 * 2048 + r0 + v1_2 * 32];
            float v3 = data1[o0 * 2048 + o1_0 * 512 + r0 + v1_1 * 32];
            acc1 += v2 * v3;
          }
          float v4 = ((unsigned char)(o1_0 * 16 + v1_1 < v1_2)) ? (-__builtin_inff()) : (0.1767766922712326f * acc1);
          scratch_v1[v1_1 * 64 + v1_2] = v4;
        }
      }
      for (long o1_1 = 0; o1_1 < 16; o1_1++) {
        float acc5 = (-__builtin_inff());
        for (long r1 = 0; r1 < o1_0 * 16 + 16; r1++) {
          float v6 = scratch_v1[o1_1 * 64 + r1];
          acc5 = mg_max_f32(acc5, v6);
        }
        float v7 = -acc5;
        float acc8 = 0.0f;
        for (long r2 = 0; r2 < o1_0 * 16 + 16; r2++) {
          float v9 = scratch_v1[o1_1 * 64 + r2];
          acc8 += mg_exp_f32(v7 + v9);
        }
        for (long o2 = 0; o2 < 32; o2++) {
          float acc10 = 0.0f;
          for (long r3 = 0; r3 < o1_0 * 16 + 16; r3++) {
            float v11 = data3[o0 * 2048 + o2 + r3 * 32];
            float v12 = scratch_v1[o1_1 * 64 + r3];
            acc10 += v11 * mg_exp_f32(v7 + v12);
          }
          data0[o0 * 2048 + o1_0 * 512 + o1_1 * 32 + o2] = acc10 / acc8;
        }
      }
    }
  }
}
