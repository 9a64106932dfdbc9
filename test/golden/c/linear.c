// Split(range='r0', size=16)
// Upcast(range='o0')
// Vector(range='r0.1')
// workspace 0, threads 1
typedef float f32x16 __attribute__((vector_size(64)));
typedef f32x16 f32x16u __attribute__((aligned(4)));
typedef int i32x16 __attribute__((vector_size(64)));
typedef i32x16 i32x16u __attribute__((aligned(4)));
#define MG_INLINE static inline __attribute__((always_inline))
MG_INLINE unsigned short mg_lanes(long first, long end) {
    unsigned short below = first <= 0 ? 0 : first >= 16 ? 0xffff : (1u << first) - 1;
    return (end <= 0 ? 0 : end >= 16 ? 0xffff : (1u << end) - 1) & ~below;
}
MG_INLINE f32x16 mg_load_f32x16(const float *p, long first, long end) {
#if defined(__AVX512F__)
    return (f32x16)__builtin_ia32_loadups512_mask((const void *)p, (f32x16){}, mg_lanes(first, end));
#else
    f32x16 v = {};
    for (int i = 0; i < 16; i++) if (i >= first && i < end) v[i] = p[i];
    return v;
#endif
}
#ifdef __clang__
#define MG_OF(x) __typeof__((x)[0]) __attribute__((ext_vector_type(sizeof(x) / sizeof((x)[0]))))
#define MG_SELECT(m, a, b) ({ typedef MG_OF(m) mg_mask; typedef MG_OF(a) mg_value; \
    (__typeof__(a))((mg_mask)(m) ? (mg_value)(a) : (mg_value)(b)); })
#else
#define MG_SELECT(m, a, b) ((__typeof__(a))(((m) & (__typeof__(m))(a)) | (~(m) & (__typeof__(m))(b))))
#endif
MG_INLINE f32x16 mg_where_f32x16(i32x16 mask, f32x16 a, f32x16 b) {
    i32x16 wide = __builtin_convertvector(mask, i32x16);
    return MG_SELECT(wide, a, b);
}
typedef float f32x8 __attribute__((vector_size(32)));
typedef f32x8 f32x8u __attribute__((aligned(4)));
typedef float f32x4 __attribute__((vector_size(16)));
typedef f32x4 f32x4u __attribute__((aligned(4)));
typedef float f32x2 __attribute__((vector_size(8)));
typedef f32x2 f32x2u __attribute__((aligned(4)));
static inline float mg_add_lanes_f32x16(f32x16 v) {
  f32x8 l8 = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7), h8 = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  f32x8 s8 = l8 + h8;
  f32x4 l4 = __builtin_shufflevector(s8, s8, 0, 1, 2, 3), h4 = __builtin_shufflevector(s8, s8, 4, 5, 6, 7);
  f32x4 s4 = l4 + h4;
  f32x2 l2 = __builtin_shufflevector(s4, s4, 0, 1), h2 = __builtin_shufflevector(s4, s4, 2, 3);
  f32x2 s2 = l2 + h2;
  float a = s2[0], b = s2[1];
  return a + b;
}
MG_INLINE float mg_from_bits_f32(unsigned bits) { return ((union { unsigned bits; float x; }){bits}).x; }
MG_INLINE unsigned mg_bits_f32(float x) { return ((union { float x; unsigned bits; }){x}).bits; }
MG_INLINE float mg_abs_f32(float x) { return mg_from_bits_f32(mg_bits_f32(x) & 0x7fffffffu); }
MG_INLINE float mg_select_f32(int mask, float yes, float no) { return mask ? yes : no; }
MG_INLINE float mg_splat_f32(float x) { return x; }
MG_INLINE float mg_lookup_f32(const float *table, unsigned index) { return table[index & 15u]; }
MG_INLINE float mg_erf_f32(float x) {
    float a = mg_abs_f32(x);
    a = mg_select_f32(a > 3.99f, mg_splat_f32(3.99f), a);
    static const float table[6][16] __attribute__((aligned(64))) = {
        {0.0f, 0.155685186f, 0.405216783f, 0.597053587f, 0.726365566f, 0.802791834f, 0.842395842f, 0.86038965f, 0.867557526f, 0.870060861f, 0.870827436f, 0.871033192f, 0.871081591f, 0.871091604f, 0.871093392f, 0.87109369f},
        {0.128379166f, 1.05581713f, 0.8649472f, 0.620379865f, 0.389576763f, 0.214188263f, 0.103101633f, 0.0434512869f, 0.0160327144f, 0.00517939031f, 0.00146493269f, 0.000362763647f, 7.86498349e-05f, 1.49292955e-05f, 2.48112428e-06f, 3.61015452e-07f},
        {3.22238208e-07f, -0.272200465f, -0.445982307f, -0.479821205f, -0.401754797f, -0.276108116f, -0.15948683f, -0.0784134492f, -0.0330733359f, -0.0120123299f, -0.00378138828f, -0.00102887652f, -0.000236394932f, -4.83938529e-05f, -2.73225396e-06f, 2.0603286e-06f},
        {-0.376143485f, -0.305174947f, -0.135026112f, 0.040610902f, 0.146344781f, 0.165879518f, 0.130103484f, 0.0798620656f, 0.0401238203f, 0.0168636851f, 0.00600284617f, 0.00182400818f, 0.000475566194f, 0.000106795967f, 2.07132525e-05f, 3.47692253e-06f},
        {0.000309296564f, 0.129254714f, 0.18232289f, 0.143635109f, 0.0588114224f, -0.0141859502f, -0.0470879264f, -0.0459433272f, -0.0300869625f, -0.0158760175f, -0.00630042469f, -0.00226022839f, -0.000997159514f, -0.000244286057f, -0.000334768993f, -0.000172834727f},
        {0.110877432f, 0.0791075155f, 0.00368305994f, -0.056206312f, -0.0677298829f, -0.0420612954f, -0.00983458944f, 0.00901588053f, 0.0129459454f, 0.00937289745f, 0.00490097469f, 0.00201270962f, 0.000675952237f, 0.000188878199f, 4.44608086e-05f, 8.88882278e-06f},
    };
    float nearest = a * 3.878787878787879f + 12582912.0f, rest = a - (nearest - 12582912.0f) * 0.2578125f;
    unsigned piece = mg_bits_f32(nearest);
    float p = mg_lookup_f32(table[5], piece);
    p = p * rest + mg_lookup_f32(table[4], piece);
    p = p * rest + mg_lookup_f32(table[3], piece);
    p = p * rest + mg_lookup_f32(table[2], piece);
    p = p * rest + mg_lookup_f32(table[1], piece);
    p = p * rest + mg_lookup_f32(table[0], piece);
    float y = mg_select_f32(a < 0.12890625f, a, mg_splat_f32(0.12890625f)) + p;
    return mg_from_bits_f32(mg_bits_f32(y) | (mg_bits_f32(x) & 0x80000000u));
}
void matmul_6_10_24(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
  float *restrict data0 = buffers[0];  // 6x10
  const float *restrict data1 = buffers[1];  // 6x24
  const float *restrict data2 = buffers[2];  // 10x24
  const float *restrict data3 = buffers[3];  // 10
  for (long o1 = 0; o1 < 10; o1++) {
    float v1 = data3[o1];
    f32x16 acc2 = (f32x16){};
    f32x16 acc3 = (f32x16){};
    f32x16 acc4 = (f32x16){};
    f32x16 acc5 = (f32x16){};
    f32x16 acc6 = (f32x16){};
    f32x16 acc7 = (f32x16){};
    for (long r0_0 = 0; r0_0 < 2; r0_0++) {
      i32x16 v8 = (((int)(r0_0 * 16 - 24)) + (i32x16){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}) < ((i32x16){});
      f32x16 v9 = mg_load_f32x16(data2 + o1 * 24 + r0_0 * 16, 0, -r0_0 * 16 + 24);
      f32x16 v10 = mg_load_f32x16(data1 + r0_0 * 16, 0, -r0_0 * 16 + 24);
      f32x16 v11 = mg_load_f32x16(data1 + r0_0 * 16 + 24, 0, -r0_0 * 16 + 24);
      f32x16 v12 = mg_load_f32x16(data1 + r0_0 * 16 + 48, 0, -r0_0 * 16 + 24);
      f32x16 v13 = mg_load_f32x16(data1 + r0_0 * 16 + 72, 0, -r0_0 * 16 + 24);
      f32x16 v14 = mg_load_f32x16(data1 + r0_0 * 16 + 96, 0, -r0_0 * 16 + 24);
      f32x16 v15 = mg_load_f32x16(data1 + r0_0 * 16 + 120, 0, -r0_0 * 16 + 24);
      acc2 = mg_where_f32x16(v8, (acc2 + (v9 * v10)), acc2);
      acc3 = mg_where_f32x16(v8, (acc3 + (v9 * v11)), acc3);
      acc4 = mg_where_f32x16(v8, (acc4 + (v9 * v12)), acc4);
      acc5 = mg_where_f32x16(v8, (acc5 + (v9 * v13)), acc5);
      acc6 = mg_where_f32x16(v8, (acc6 + (v9 * v14)), acc6);
      acc7 = mg_where_f32x16(v8, (acc7 + (v9 * v15)), acc7);
    }
    float v16 = v1 + mg_add_lanes_f32x16(acc2);
    data0[o1] = (1.0f + mg_erf_f32(0.7071067690849304f * v16)) * (0.5f * v16);
    float v17 = v1 + mg_add_lanes_f32x16(acc3);
    data0[o1 + 10] = (1.0f + mg_erf_f32(0.7071067690849304f * v17)) * (0.5f * v17);
    float v18 = v1 + mg_add_lanes_f32x16(acc4);
    data0[o1 + 20] = (1.0f + mg_erf_f32(0.7071067690849304f * v18)) * (0.5f * v18);
    float v19 = v1 + mg_add_lanes_f32x16(acc5);
    data0[o1 + 30] = (1.0f + mg_erf_f32(0.7071067690849304f * v19)) * (0.5f * v19);
    float v20 = v1 + mg_add_lanes_f32x16(acc6);
    data0[o1 + 40] = (1.0f + mg_erf_f32(0.7071067690849304f * v20)) * (0.5f * v20);
    float v21 = v1 + mg_add_lanes_f32x16(acc7);
    data0[o1 + 50] = (1.0f + mg_erf_f32(0.7071067690849304f * v21)) * (0.5f * v21);
  }
}
