// Split(range='o1', size=32)
// Order(ranges=('o1.0', 'o0', 'o1.1'))
// Place(value='p2', level=('o1.0',), layout=((1, 1, 0), (0, 1, 0)), shared=False, along='o1.1', pad=0, stages=1)
// Split(range='o0', size=8)
// Split(range='o1.1', size=16)
// Vector(range='o1.1.1')
// Upcast(range='o1.1.0')
// Upcast(range='o0.1')
// Split(range='p2_o11_0', size=8)
// Order(ranges=('p2_o11_0.0', 'p2_o11_1', 'p2_o11_0.1'))
// Vector(range='p2_o11_0.1')
// Thread(range='o1.0')
// workspace 32832, threads 2
static inline long imax(long a, long b) { return a > b ? a : b; }
static inline long imin(long a, long b) { return a < b ? a : b; }
typedef float f32x16 __attribute__((vector_size(64)));
typedef f32x16 f32x16u __attribute__((aligned(4)));
typedef float f32x8 __attribute__((vector_size(32)));
typedef f32x8 f32x8u __attribute__((aligned(4)));
typedef int i32x16 __attribute__((vector_size(64)));
typedef i32x16 i32x16u __attribute__((aligned(4)));
typedef unsigned u32x16 __attribute__((vector_size(64)));
typedef u32x16 u32x16u __attribute__((aligned(4)));
#define MG_INLINE static inline __attribute__((always_inline))
MG_INLINE f32x16 mg_from_bits_f32x16(u32x16 bits) { return (f32x16)bits; }
MG_INLINE u32x16 mg_bits_f32x16(f32x16 x) { return (u32x16)x; }
MG_INLINE f32x16 mg_abs_f32x16(f32x16 x) { return mg_from_bits_f32x16(mg_bits_f32x16(x) & 0x7fffffffu); }
#ifdef __clang__
#define MG_OF(x) __typeof__((x)[0]) __attribute__((ext_vector_type(sizeof(x) / sizeof((x)[0]))))
#define MG_SELECT(m, a, b) ({ typedef MG_OF(m) mg_mask; typedef MG_OF(a) mg_value; \
    (__typeof__(a))((mg_mask)(m) ? (mg_value)(a) : (mg_value)(b)); })
#else
#define MG_SELECT(m, a, b) ((__typeof__(a))(((m) & (__typeof__(m))(a)) | (~(m) & (__typeof__(m))(b))))
#endif
MG_INLINE f32x16 mg_select_f32x16(i32x16 mask, f32x16 yes, f32x16 no) { return MG_SELECT(mask, yes, no); }
MG_INLINE f32x16 mg_splat_f32x16(float x) { return (f32x16){0} + x; }
MG_INLINE f32x16 mg_permute_f32x16(f32x16 v, u32x16 index) {
#ifdef __clang__
    return __builtin_shufflevector(v, index);
#else
    return __builtin_shuffle(v, (i32x16)index);
#endif
}
MG_INLINE f32x16 mg_lookup_f32x16(const float *table, u32x16 index) {
#if defined(__clang__) && defined(__AVX512F__)
    return __builtin_ia32_permvarsf512(*(const f32x16 *)table, (i32x16)index);  // without an instruction to mask the index
#else
    return mg_permute_f32x16(*(const f32x16 *)table, index);
#endif
}
MG_INLINE f32x16 mg_erf_f32x16(f32x16 x) {
    f32x16 a = mg_abs_f32x16(x);
    a = mg_select_f32x16(a > 3.99f, mg_splat_f32x16(3.99f), a);
    static const float table[6][16] __attribute__((aligned(64))) = {
        {0.0f, 0.155685186f, 0.405216783f, 0.597053587f, 0.726365566f, 0.802791834f, 0.842395842f, 0.86038965f, 0.867557526f, 0.870060861f, 0.870827436f, 0.871033192f, 0.871081591f, 0.871091604f, 0.871093392f, 0.87109369f},
        {0.128379166f, 1.05581713f, 0.8649472f, 0.620379865f, 0.389576763f, 0.214188263f, 0.103101633f, 0.0434512869f, 0.0160327144f, 0.00517939031f, 0.00146493269f, 0.000362763647f, 7.86498349e-05f, 1.49292955e-05f, 2.48112428e-06f, 3.61015452e-07f},
        {3.22238208e-07f, -0.272200465f, -0.445982307f, -0.479821205f, -0.401754797f, -0.276108116f, -0.15948683f, -0.0784134492f, -0.0330733359f, -0.0120123299f, -0.00378138828f, -0.00102887652f, -0.000236394932f, -4.83938529e-05f, -2.73225396e-06f, 2.0603286e-06f},
        {-0.376143485f, -0.305174947f, -0.135026112f, 0.040610902f, 0.146344781f, 0.165879518f, 0.130103484f, 0.0798620656f, 0.0401238203f, 0.0168636851f, 0.00600284617f, 0.00182400818f, 0.000475566194f, 0.000106795967f, 2.07132525e-05f, 3.47692253e-06f},
        {0.000309296564f, 0.129254714f, 0.18232289f, 0.143635109f, 0.0588114224f, -0.0141859502f, -0.0470879264f, -0.0459433272f, -0.0300869625f, -0.0158760175f, -0.00630042469f, -0.00226022839f, -0.000997159514f, -0.000244286057f, -0.000334768993f, -0.000172834727f},
        {0.110877432f, 0.0791075155f, 0.00368305994f, -0.056206312f, -0.0677298829f, -0.0420612954f, -0.00983458944f, 0.00901588053f, 0.0129459454f, 0.00937289745f, 0.00490097469f, 0.00201270962f, 0.000675952237f, 0.000188878199f, 4.44608086e-05f, 8.88882278e-06f},
    };
    f32x16 nearest = a * 3.878787878787879f + 12582912.0f, rest = a - (nearest - 12582912.0f) * 0.2578125f;
    u32x16 piece = mg_bits_f32x16(nearest);
    f32x16 p = mg_lookup_f32x16(table[5], piece);
    p = p * rest + mg_lookup_f32x16(table[4], piece);
    p = p * rest + mg_lookup_f32x16(table[3], piece);
    p = p * rest + mg_lookup_f32x16(table[2], piece);
    p = p * rest + mg_lookup_f32x16(table[1], piece);
    p = p * rest + mg_lookup_f32x16(table[0], piece);
    f32x16 y = mg_select_f32x16(a < 0.12890625f, a, mg_splat_f32x16(0.12890625f)) + p;
    return mg_from_bits_f32x16(mg_bits_f32x16(y) | (mg_bits_f32x16(x) & 0x80000000u));
}
void matmul_32_64_256(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 32x64
  const float *restrict data1 = buffers[1];  // 32x256
  const float *restrict data2 = buffers[2];  // 64x256
  const float *restrict data3 = buffers[3];  // 64
  float *restrict scratch_p2_o11 = (float *)(workspace + 0);
  for (long o1_0 = lo; o1_0 < imin(hi, 2); o1_0++) {
    f32x16 v1 = *(const f32x16u *)(data3 + o1_0 * 32);
    for (long p2_o11_0_0 = 0; p2_o11_0_0 < 4; p2_o11_0_0++) {
      for (long p2_o11_1 = 0; p2_o11_1 < 256; p2_o11_1++) {
        float v2 = data2[o1_0 * 8192 + p2_o11_0_0 * 2048 + p2_o11_1];
        float v3 = data2[o1_0 * 8192 + p2_o11_0_0 * 2048 + p2_o11_1 + 256];
        float v4 = data2[o1_0 * 8192 + p2_o11_0_0 * 2048 + p2_o11_1 + 512];
        float v5 = data2[o1_0 * 8192 + p2_o11_0_0 * 2048 + p2_o11_1 + 768];
        float v6 = data2[o1_0 * 8192 + p2_o11_0_0 * 2048 + p2_o11_1 + 1024];
        float v7 = data2[o1_0 * 8192 + p2_o11_0_0 * 2048 + p2_o11_1 + 1280];
        float v8 = data2[o1_0 * 8192 + p2_o11_0_0 * 2048 + p2_o11_1 + 1536];
        float v9 = data2[o1_0 * 8192 + p2_o11_0_0 * 2048 + p2_o11_1 + 1792];
        *(f32x8u *)(scratch_p2_o11 + p2_o11_0_0 * 8 + p2_o11_1 * 32) = (f32x8){v2, v3, v4, v5, v6, v7, v8, v9};
      }
    }
    f32x16 v10 = *(const f32x16u *)(data3 + o1_0 * 32 + 16);
    for (long o0_0 = 0; o0_0 < 4; o0_0++) {
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
        f32x16 v27 = *(const f32x16u *)(scratch_p2_o11 + r0 * 32);
        float v28 = data1[o0_0 * 2048 + r0];
        f32x16 v29 = *(const f32x16u *)(scratch_p2_o11 + r0 * 32 + 16);
        float v30 = data1[o0_0 * 2048 + r0 + 256];
        float v31 = data1[o0_0 * 2048 + r0 + 512];
        float v32 = data1[o0_0 * 2048 + r0 + 768];
        float v33 = data1[o0_0 * 2048 + r0 + 1024];
        float v34 = data1[o0_0 * 2048 + r0 + 1280];
        float v35 = data1[o0_0 * 2048 + r0 + 1536];
        float v36 = data1[o0_0 * 2048 + r0 + 1792];
        acc11 += v27 * v28;
        acc12 += v29 * v28;
        acc13 += v27 * v30;
        acc14 += v29 * v30;
        acc15 += v27 * v31;
        acc16 += v29 * v31;
        acc17 += v27 * v32;
        acc18 += v29 * v32;
        acc19 += v27 * v33;
        acc20 += v29 * v33;
        acc21 += v27 * v34;
        acc22 += v29 * v34;
        acc23 += v27 * v35;
        acc24 += v29 * v35;
        acc25 += v27 * v36;
        acc26 += v29 * v36;
      }
      f32x16 v37 = v1 + acc11;
      *(f32x16u *)(data0 + o0_0 * 512 + o1_0 * 32) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v37)) * (0.5f * v37);
      f32x16 v38 = v10 + acc12;
      *(f32x16u *)(data0 + o0_0 * 512 + o1_0 * 32 + 16) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v38)) * (0.5f * v38);
      f32x16 v39 = v1 + acc13;
      *(f32x16u *)(data0 + o0_0 * 512 + o1_0 * 32 + 64) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v39)) * (0.5f * v39);
      f32x16 v40 = v10 + acc14;
      *(f32x16u *)(data0 + o0_0 * 512 + o1_0 * 32 + 80) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v40)) * (0.5f * v40);
      f32x16 v41 = v1 + acc15;
      *(f32x16u *)(data0 + o0_0 * 512 + o1_0 * 32 + 128) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v41)) * (0.5f * v41);
      f32x16 v42 = v10 + acc16;
      *(f32x16u *)(data0 + o0_0 * 512 + o1_0 * 32 + 144) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v42)) * (0.5f * v42);
      f32x16 v43 = v1 + acc17;
      *(f32x16u *)(data0 + o0_0 * 512 + o1_0 * 32 + 192) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v43)) * (0.5f * v43);
      f32x16 v44 = v10 + acc18;
      *(f32x16u *)(data0 + o0_0 * 512 + o1_0 * 32 + 208) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v44)) * (0.5f * v44);
      f32x16 v45 = v1 + acc19;
      *(f32x16u *)(data0 + o0_0 * 512 + o1_0 * 32 + 256) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v45)) * (0.5f * v45);
      f32x16 v46 = v10 + acc20;
      *(f32x16u *)(data0 + o0_0 * 512 + o1_0 * 32 + 272) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v46)) * (0.5f * v46);
      f32x16 v47 = v1 + acc21;
      *(f32x16u *)(data0 + o0_0 * 512 + o1_0 * 32 + 320) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v47)) * (0.5f * v47);
      f32x16 v48 = v10 + acc22;
      *(f32x16u *)(data0 + o0_0 * 512 + o1_0 * 32 + 336) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v48)) * (0.5f * v48);
      f32x16 v49 = v1 + acc23;
      *(f32x16u *)(data0 + o0_0 * 512 + o1_0 * 32 + 384) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v49)) * (0.5f * v49);
      f32x16 v50 = v10 + acc24;
      *(f32x16u *)(data0 + o0_0 * 512 + o1_0 * 32 + 400) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v50)) * (0.5f * v50);
      f32x16 v51 = v1 + acc25;
      *(f32x16u *)(data0 + o0_0 * 512 + o1_0 * 32 + 448) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v51)) * (0.5f * v51);
      f32x16 v52 = v10 + acc26;
      *(f32x16u *)(data0 + o0_0 * 512 + o1_0 * 32 + 464) = (1.0f + mg_erf_f32x16(0.7071067690849304f * v52)) * (0.5f * v52);
    }
  }
}
