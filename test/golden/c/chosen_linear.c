// Order(ranges=('o0', 'o1'))
// Place(value='p2', level=(), layout=((1, 1, 0), (0, 1, 0)), shared=False, along='o1')
// Peel(range='o0', at=30)
// Split(range='o0', size=6)
// Split(range='o1', size=64)
// Upcast(range='o0.1')
// Upcast(range="o0'")
// Split(range='o1.1', size=16)
// Vector(range='o1.1.1')
// Upcast(range='o1.1.0')
// workspace 65600, threads 1
typedef float f32x16 __attribute__((vector_size(64)));
typedef f32x16 f32x16u __attribute__((aligned(4)));
#define MG_INLINE static inline __attribute__((always_inline))
typedef int i32x16 __attribute__((vector_size(64)));
typedef i32x16 i32x16u __attribute__((aligned(4)));
typedef unsigned u32x16 __attribute__((vector_size(64)));
typedef u32x16 u32x16u __attribute__((aligned(4)));
MG_INLINE f32x16 mg_from_bits_f32x16(u32x16 bits) {
    return (f32x16)bits;
}
MG_INLINE u32x16 mg_bits_f32x16(f32x16 x) {
    return (u32x16)x;
}
MG_INLINE f32x16 mg_abs_f32x16(f32x16 x) {
    return mg_from_bits_f32x16(mg_bits_f32x16(x) & 0x7fffffffu);
}
MG_INLINE f32x16 mg_select_f32x16(i32x16 mask, f32x16 yes, f32x16 no) {
    return (f32x16)((mask & (i32x16)yes) | (~mask & (i32x16)no));
}
MG_INLINE f32x16 mg_splat_f32x16(float x) {
    return (f32x16){0} + x;
}
// p * 2^n for a whole n, rounded once; too large is infinite, too small is denormal or 0.
MG_INLINE f32x16 mg_scale_f32x16(f32x16 p, f32x16 n) {
#ifdef __AVX512F__
    return __builtin_ia32_scalefps512_mask(p, n, p, -1, 4);
#else
    i32x16 exponent = (i32x16)(mg_bits_f32x16(n + 12582912.0f) - 0x4b400000u);
    i32x16 half = exponent >> 1;  // 2^n in two factors, since n may lie outside the exponents of normal numbers
    f32x16 first = mg_from_bits_f32x16((u32x16)(half + 127) << 23), rest = mg_from_bits_f32x16((u32x16)(exponent - half + 127) << 23);
    return p * first * rest;
#endif
}
MG_INLINE f32x16 mg_exp_f32x16(f32x16 x) {
    x = mg_select_f32x16(x < -104.0f, mg_splat_f32x16(-104.0f), x);
    x = mg_select_f32x16(x > 89.0f, mg_splat_f32x16(89.0f), x);
    f32x16 n = (x * 1.44269502f + 12582912.0f) - 12582912.0f;  // e^x = 2^n e^r, |r| <= ln(2)/2
    f32x16 r = x - n * 0.693145751953125f;
    r = r - n * 1.42860677e-06f;
    f32x16 p = r * 0.00138470531f + 0.00836999156f;  p = p * r + 0.041668009f;  p = p * r + 0.166665092f;
    p = p * r + 0.49999994f;
    return mg_scale_f32x16(p * (r * r) + r + 1.0f, n);
}
MG_INLINE f32x16 mg_erf_f32x16(f32x16 x) {
    f32x16 a = mg_abs_f32x16(x);
    a = mg_select_f32x16(a > 4.0f, mg_splat_f32x16(4.0f), a);  // from there on it is 1
    f32x16 z = a * a, u = a - 2.0f;
    f32x16 p = z * 7.80690389e-05f - 0.00079978531f;  p = p * z + 0.0051871622f;  p = p * z - 0.0268533472f;
    p = p * z + 0.112835787f;  p = p * z - 0.37612626f;  p = p * z + 0.128379166f;
    f32x16 q = u * -0.000186378093f + 0.000711111585f;  q = q * u - 0.00354422885f;  q = q * u + 0.0164879039f;
    q = q * u + 0.9237535f;  q = q * u + 4.41815948f;  q = q * u + 5.36494112f;
    f32x16 y = mg_select_f32x16(a < 1.0f, a + a * p, 1.0f - mg_exp_f32x16(-q));
    return mg_from_bits_f32x16(mg_bits_f32x16(y) | (mg_bits_f32x16(x) & 0x80000000u));
}
void matmul_32_64_256(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 32x64
  const float *restrict data1 = buffers[1];  // 32x256
  const float *restrict data2 = buffers[2];  // 64x256
  const float *restrict data3 = buffers[3];  // 64
  float *restrict scratch_p2_o1 = (float *)(workspace + 0);
  for (long p2_o1_0 = 0; p2_o1_0 < 64; p2_o1_0++) {
    for (long p2_o1_1 = 0; p2_o1_1 < 256; p2_o1_1++) {
      float v1 = data2[p2_o1_1 + p2_o1_0 * 256];
      scratch_p2_o1[p2_o1_1 * 64 + p2_o1_0] = v1;
    }
  }
  for (long o0_0 = 0; o0_0 < 5; o0_0++) {
    for (long o1_0 = 0; o1_0 < 1; o1_0++) {
      f32x16 v2 = *(const f32x16u *)(data3 + o1_0 * 64);
      f32x16 acc3 = (f32x16){};
      f32x16 acc4 = (f32x16){};
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
      for (long r0 = 0; r0 < 256; r0++) {
        f32x16 v27 = *(const f32x16u *)(scratch_p2_o1 + o1_0 * 64 + r0 * 64);
        float v28 = data1[o0_0 * 1536 + r0];
        float v29 = data1[o0_0 * 1536 + r0 + 256];
        float v30 = data1[o0_0 * 1536 + r0 + 512];
        float v31 = data1[o0_0 * 1536 + r0 + 768];
        float v32 = data1[o0_0 * 1536 + r0 + 1024];
        float v33 = data1[o0_0 * 1536 + r0 + 1280];
        f32x16 v34 = *(const f32x16u *)(scratch_p2_o1 + o1_0 * 64 + r0 * 64 + 16);
        f32x16 v35 = *(const f32x16u *)(scratch_p2_o1 + o1_0 * 64 + r0 * 64 + 32);
        f32x16 v36 = *(const f32x16u *)(scratch_p2_o1 + o1_0 * 64 + r0 * 64 + 48);
        acc3 += v27 * v28;
        acc4 += v27 * v29;
        acc5 += v27 * v30;
        acc6 += v27 * v31;
        acc7 += v27 * v32;
        acc8 += v27 * v33;
        acc9 += v34 * v28;
        acc10 += v34 * v29;
        acc11 += v34 * v30;
        acc12 += v34 * v31;
        acc13 += v34 * v32;
        acc14 += v34 * v33;
        acc15 += v35 * v28;
        acc16 += v35 * v29;
        acc17 += v35 * v30;
        acc18 += v35 * v31;
        acc19 += v35 * v32;
        acc20 += v35 * v33;
        acc21 += v36 * v28;
        acc22 += v36 * v29;
        acc23 += v36 * v30;
        acc24 += v36 * v31;
        acc25 += v36 * v32;
        acc26 += v36 * v33;
      }
      f32x16 v37 = v2 + acc3;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v37)) * (0.5f * v37);
      f32x16 v38 = v2 + acc4;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 64) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v38)) * (0.5f * v38);
      f32x16 v39 = v2 + acc5;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 128) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v39)) * (0.5f * v39);
      f32x16 v40 = v2 + acc6;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 192) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v40)) * (0.5f * v40);
      f32x16 v41 = v2 + acc7;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 256) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v41)) * (0.5f * v41);
      f32x16 v42 = v2 + acc8;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 320) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v42)) * (0.5f * v42);
      f32x16 v43 = *(const f32x16u *)(data3 + o1_0 * 64 + 16);
      f32x16 v44 = v43 + acc9;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 16) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v44)) * (0.5f * v44);
      f32x16 v45 = v43 + acc10;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 80) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v45)) * (0.5f * v45);
      f32x16 v46 = v43 + acc11;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 144) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v46)) * (0.5f * v46);
      f32x16 v47 = v43 + acc12;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 208) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v47)) * (0.5f * v47);
      f32x16 v48 = v43 + acc13;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 272) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v48)) * (0.5f * v48);
      f32x16 v49 = v43 + acc14;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 336) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v49)) * (0.5f * v49);
      f32x16 v50 = *(const f32x16u *)(data3 + o1_0 * 64 + 32);
      f32x16 v51 = v50 + acc15;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 32) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v51)) * (0.5f * v51);
      f32x16 v52 = v50 + acc16;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 96) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v52)) * (0.5f * v52);
      f32x16 v53 = v50 + acc17;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 160) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v53)) * (0.5f * v53);
      f32x16 v54 = v50 + acc18;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 224) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v54)) * (0.5f * v54);
      f32x16 v55 = v50 + acc19;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 288) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v55)) * (0.5f * v55);
      f32x16 v56 = v50 + acc20;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 352) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v56)) * (0.5f * v56);
      f32x16 v57 = *(const f32x16u *)(data3 + o1_0 * 64 + 48);
      f32x16 v58 = v57 + acc21;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 48) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v58)) * (0.5f * v58);
      f32x16 v59 = v57 + acc22;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 112) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v59)) * (0.5f * v59);
      f32x16 v60 = v57 + acc23;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 176) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v60)) * (0.5f * v60);
      f32x16 v61 = v57 + acc24;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 240) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v61)) * (0.5f * v61);
      f32x16 v62 = v57 + acc25;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 304) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v62)) * (0.5f * v62);
      f32x16 v63 = v57 + acc26;
      *(f32x16u *)(data0 + o1_0 * 64 + o0_0 * 384 + 368) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v63)) * (0.5f * v63);
    }
  }
  for (long o1_0_c1000 = 0; o1_0_c1000 < 1; o1_0_c1000++) {
    f32x16 v64 = *(const f32x16u *)(data3 + o1_0_c1000 * 64);
    f32x16 acc65 = (f32x16){};
    f32x16 acc66 = (f32x16){};
    f32x16 acc67 = (f32x16){};
    f32x16 acc68 = (f32x16){};
    f32x16 acc69 = (f32x16){};
    f32x16 acc70 = (f32x16){};
    f32x16 acc71 = (f32x16){};
    f32x16 acc72 = (f32x16){};
    for (long r0_c1000 = 0; r0_c1000 < 256; r0_c1000++) {
      f32x16 v73 = *(const f32x16u *)(scratch_p2_o1 + o1_0_c1000 * 64 + r0_c1000 * 64);
      float v74 = data1[r0_c1000 + 7680];
      float v75 = data1[r0_c1000 + 7936];
      f32x16 v76 = *(const f32x16u *)(scratch_p2_o1 + o1_0_c1000 * 64 + r0_c1000 * 64 + 16);
      f32x16 v77 = *(const f32x16u *)(scratch_p2_o1 + o1_0_c1000 * 64 + r0_c1000 * 64 + 32);
      f32x16 v78 = *(const f32x16u *)(scratch_p2_o1 + o1_0_c1000 * 64 + r0_c1000 * 64 + 48);
      acc65 += v73 * v74;
      acc66 += v73 * v75;
      acc67 += v76 * v74;
      acc68 += v76 * v75;
      acc69 += v77 * v74;
      acc70 += v77 * v75;
      acc71 += v78 * v74;
      acc72 += v78 * v75;
    }
    f32x16 v79 = v64 + acc65;
    *(f32x16u *)(data0 + o1_0_c1000 * 64 + 1920) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v79)) * (0.5f * v79);
    f32x16 v80 = v64 + acc66;
    *(f32x16u *)(data0 + o1_0_c1000 * 64 + 1984) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v80)) * (0.5f * v80);
    f32x16 v81 = *(const f32x16u *)(data3 + o1_0_c1000 * 64 + 16);
    f32x16 v82 = v81 + acc67;
    *(f32x16u *)(data0 + o1_0_c1000 * 64 + 1936) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v82)) * (0.5f * v82);
    f32x16 v83 = v81 + acc68;
    *(f32x16u *)(data0 + o1_0_c1000 * 64 + 2000) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v83)) * (0.5f * v83);
    f32x16 v84 = *(const f32x16u *)(data3 + o1_0_c1000 * 64 + 32);
    f32x16 v85 = v84 + acc69;
    *(f32x16u *)(data0 + o1_0_c1000 * 64 + 1952) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v85)) * (0.5f * v85);
    f32x16 v86 = v84 + acc70;
    *(f32x16u *)(data0 + o1_0_c1000 * 64 + 2016) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v86)) * (0.5f * v86);
    f32x16 v87 = *(const f32x16u *)(data3 + o1_0_c1000 * 64 + 48);
    f32x16 v88 = v87 + acc71;
    *(f32x16u *)(data0 + o1_0_c1000 * 64 + 1968) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v88)) * (0.5f * v88);
    f32x16 v89 = v87 + acc72;
    *(f32x16u *)(data0 + o1_0_c1000 * 64 + 2032) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v89)) * (0.5f * v89);
  }
}
