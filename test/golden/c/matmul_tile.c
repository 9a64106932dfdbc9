// Split(range='o1', size=64)
// Split(range='o1.1', size=16)
// Order(ranges=('o1.0', 'o0', 'o1.1.0', 'o1.1.1'))
// Thread(range='o1.0')
// Place(value='p2', level=('o1.0',), layout=((0, 1, 0), (1, 1, 0)), shared=False, along='', pad=0, stages=1)
// Split(range='o0', size=6)
// Upcast(range='o0.1')
// Upcast(range='o1.1.0')
// Vector(range='o1.1.1')
// Split(range='p2_1', size=16)
// Upcast(range='p2_1.0')
// Vector(range='p2_1.1')
// workspace 24640, threads 2
static inline long imax(long a, long b) { return a > b ? a : b; }
static inline long imin(long a, long b) { return a < b ? a : b; }
typedef float f32x16 __attribute__((vector_size(64)));
typedef f32x16 f32x16u __attribute__((aligned(4)));
void matmul_96_128_96(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 96x128
  const float *restrict data1 = buffers[1];  // 96x96
  const float *restrict data2 = buffers[2];  // 96x128
  float *restrict scratch_p2 = (float *)(workspace + 0);
  for (long o1_0 = lo; o1_0 < imin(hi, 2); o1_0++) {
    for (long p2_0 = 0; p2_0 < 96; p2_0++) {
      f32x16 v1 = *(const f32x16u *)(data2 + o1_0 * 64 + p2_0 * 128);
      *(f32x16u *)(scratch_p2 + p2_0 * 64) = v1;
      f32x16 v2 = *(const f32x16u *)(data2 + o1_0 * 64 + p2_0 * 128 + 16);
      *(f32x16u *)(scratch_p2 + p2_0 * 64 + 16) = v2;
      f32x16 v3 = *(const f32x16u *)(data2 + o1_0 * 64 + p2_0 * 128 + 32);
      *(f32x16u *)(scratch_p2 + p2_0 * 64 + 32) = v3;
      f32x16 v4 = *(const f32x16u *)(data2 + o1_0 * 64 + p2_0 * 128 + 48);
      *(f32x16u *)(scratch_p2 + p2_0 * 64 + 48) = v4;
    }
    for (long o0_0 = 0; o0_0 < 16; o0_0++) {
      f32x16 acc5 = (f32x16){};
      f32x16 acc6 = (f32x16){};
      f32x16 acc7 = (f32x16){};
      f32x16 acc8 = (f32x16){};
      f32x16 acc9 = (f32x16){};
      f32x16 acc10 = (f32x16){};
      f32x16 acc11 = (f32x16){};
      f32x16 acc12 = (f32x16){};
      f32x16 acc13 = (f32x16){};
      f32x16 acc14 = (f32x16){};
      f32x16 acc15 = (f32x16){};
      f32x16 acc16 = (f32x16){};
      f32x16 acc17 = (f32x16){};
      f32x16 acc18 = (f32x16){};
      f32x16 acc19 = (f32x16){};
      f32x16 acc20 = (f32x16){};
      f32x16 acc21 = (f32x16){};
      f32x16 acc22 = (f32x16){};
      f32x16 acc23 = (f32x16){};
      f32x16 acc24 = (f32x16){};
      f32x16 acc25 = (f32x16){};
      f32x16 acc26 = (f32x16){};
      f32x16 acc27 = (f32x16){};
      f32x16 acc28 = (f32x16){};
      for (long r0 = 0; r0 < 96; r0++) {
        f32x16 v29 = *(const f32x16u *)(scratch_p2 + r0 * 64);
        float v30 = data1[o0_0 * 576 + r0];
        float v31 = data1[o0_0 * 576 + r0 + 96];
        float v32 = data1[o0_0 * 576 + r0 + 192];
        float v33 = data1[o0_0 * 576 + r0 + 288];
        float v34 = data1[o0_0 * 576 + r0 + 384];
        float v35 = data1[o0_0 * 576 + r0 + 480];
        f32x16 v36 = *(const f32x16u *)(scratch_p2 + r0 * 64 + 16);
        f32x16 v37 = *(const f32x16u *)(scratch_p2 + r0 * 64 + 32);
        f32x16 v38 = *(const f32x16u *)(scratch_p2 + r0 * 64 + 48);
        acc5 += v29 * v30;
        acc6 += v29 * v31;
        acc7 += v29 * v32;
        acc8 += v29 * v33;
        acc9 += v29 * v34;
        acc10 += v29 * v35;
        acc11 += v36 * v30;
        acc12 += v36 * v31;
        acc13 += v36 * v32;
        acc14 += v36 * v33;
        acc15 += v36 * v34;
        acc16 += v36 * v35;
        acc17 += v37 * v30;
        acc18 += v37 * v31;
        acc19 += v37 * v32;
        acc20 += v37 * v33;
        acc21 += v37 * v34;
        acc22 += v37 * v35;
        acc23 += v38 * v30;
        acc24 += v38 * v31;
        acc25 += v38 * v32;
        acc26 += v38 * v33;
        acc27 += v38 * v34;
        acc28 += v38 * v35;
      }
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64) = acc5;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 128) = acc6;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 256) = acc7;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 384) = acc8;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 512) = acc9;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 640) = acc10;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 16) = acc11;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 144) = acc12;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 272) = acc13;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 400) = acc14;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 528) = acc15;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 656) = acc16;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 32) = acc17;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 160) = acc18;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 288) = acc19;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 416) = acc20;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 544) = acc21;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 672) = acc22;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 48) = acc23;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 176) = acc24;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 304) = acc25;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 432) = acc26;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 560) = acc27;
      *(f32x16u *)(data0 + o0_0 * 768 + o1_0 * 64 + 688) = acc28;
    }
  }
}
