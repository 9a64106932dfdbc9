static __device__ __forceinline__ float mg_f16_to_f32(unsigned short h) {
#ifdef __CUDA_ARCH__
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
  return x;
#else
  unsigned sign = (h & 0x8000u) << 16, rest = h & 0x7fffu;
  if (rest >= 0x7c00u) return __uint_as_float(sign | 0x7f800000u | rest << 13 | (rest > 0x7c00u ? 0x400000u : 0u));
  float x = __uint_as_float(rest << 13) * __uint_as_float(0x77800000u);  // 2^112: the difference of the exponents' bias
  return __uint_as_float(sign | __float_as_uint(x));
#endif
}

static __device__ __forceinline__ void mg_matrix_float16(float4 &d, unsigned short a0, unsigned short a1, unsigned short a2, unsigned short a3, unsigned short a4, unsigned short a5, unsigned short a6, unsigned short a7, unsigned short b0, unsigned short b1, unsigned short b2, unsigned short b3) {
#ifdef __CUDA_ARCH__
  unsigned r0;
  asm("mov.b32 %0, {%1, %2};" : "=r"(r0) : "h"(a0), "h"(a1));
  unsigned r1;
  asm("mov.b32 %0, {%1, %2};" : "=r"(r1) : "h"(a2), "h"(a3));
  unsigned r2;
  asm("mov.b32 %0, {%1, %2};" : "=r"(r2) : "h"(a4), "h"(a5));
  unsigned r3;
  asm("mov.b32 %0, {%1, %2};" : "=r"(r3) : "h"(a6), "h"(a7));
  unsigned r4;
  asm("mov.b32 %0, {%1, %2};" : "=r"(r4) : "h"(b0), "h"(b1));
  unsigned r5;
  asm("mov.b32 %0, {%1, %2};" : "=r"(r5) : "h"(b2), "h"(b3));
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" : "+f"(d.x), "+f"(d.y), "+f"(d.z), "+f"(d.w) : "r"(r0), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5));
#else
  const float a[] = {mg_f16_to_f32(a0), mg_f16_to_f32(a1), mg_f16_to_f32(a2), mg_f16_to_f32(a3), mg_f16_to_f32(a4), mg_f16_to_f32(a5), mg_f16_to_f32(a6), mg_f16_to_f32(a7)}, b[] = {mg_f16_to_f32(b0), mg_f16_to_f32(b1), mg_f16_to_f32(b2), mg_f16_to_f32(b3)};
  emulated_matrix_float16((float *)&d, a, b);
#endif
}

extern "C" __global__ void __launch_bounds__(64) matmul_72_44_40(float *__restrict__ data0, const unsigned short *__restrict__ data1, const unsigned short *__restrict__ data2) {
  __shared__ __align__(16) unsigned short scratch_p1[2304];
  __shared__ __align__(16) unsigned short scratch_p2[1280];
  const int o0_1_0 = threadIdx.z;
  const int o0_1_1_1_1 = threadIdx.y;
  const int o1_1_1_0 = threadIdx.x;
  const int o0_0 = blockIdx.y;
  const int p1_0_1 = threadIdx.y;
  const int p1_0_0_1 = threadIdx.z;
  const int p1_1_1_0 = threadIdx.x;
  const int o1_0 = blockIdx.x;
  const int p2_0_1 = threadIdx.y;
  const int p2_0_0_1 = threadIdx.z;
  const int p2_1_1_0 = threadIdx.x;
  float4 acc1 = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  float4 acc2 = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  float4 acc3 = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  float4 acc4 = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  float4 acc5 = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  float4 acc6 = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  float4 acc7 = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  float4 acc8 = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  for (int r0_0 = 0; r0_0 < 2; r0_0++) {
    __syncthreads();
    for (int p1_0_0_0 = 0; p1_0_0_0 < 4; p1_0_0_0++) {
      ushort4 v9 = o0_0 * 8 + p1_0_0_0 * 2 + p1_0_0_1 < 9 && p1_1_1_0 + r0_0 * 8 < 10 ? *(const ushort4 *)&data1[o0_0 * 2560 + p1_0_0_0 * 640 + p1_0_0_1 * 320 + p1_0_1 * 40 + p1_1_1_0 * 4 + r0_0 * 32] : make_ushort4(0, 0, 0, 0);
      *(ushort4 *)&scratch_p1[p1_0_0_0 * 576 + p1_0_0_1 * 288 + p1_0_1 * 36 + p1_1_1_0 * 4] = v9;
      ushort4 v10 = o0_0 * 8 + p1_0_0_0 * 2 + p1_0_0_1 < 9 && p1_1_1_0 + r0_0 * 8 < 6 ? *(const ushort4 *)&data1[o0_0 * 2560 + p1_0_0_0 * 640 + p1_0_0_1 * 320 + p1_0_1 * 40 + p1_1_1_0 * 4 + r0_0 * 32 + 16] : make_ushort4(0, 0, 0, 0);
      *(ushort4 *)&scratch_p1[p1_0_0_0 * 576 + p1_0_0_1 * 288 + p1_0_1 * 36 + p1_1_1_0 * 4 + 16] = v10;
    }
    for (int p2_0_0_0 = 0; p2_0_0_0 < 2; p2_0_0_0++) {
      ushort4 v11 = p2_0_0_0 * 2 + p2_0_0_1 + r0_0 * 4 < 5 && o1_0 * 8 + p2_1_1_0 < 11 ? *(const ushort4 *)&data2[o1_0 * 32 + p2_0_0_0 * 704 + p2_0_0_1 * 352 + p2_0_1 * 44 + p2_1_1_0 * 4 + r0_0 * 1408] : make_ushort4(0, 0, 0, 0);
      *(ushort4 *)&scratch_p2[p2_0_0_0 * 640 + p2_0_0_1 * 320 + p2_0_1 * 40 + p2_1_1_0 * 4] = v11;
      ushort4 v12 = p2_0_0_0 * 2 + p2_0_0_1 + r0_0 * 4 < 5 && o1_0 * 8 + p2_1_1_0 < 7 ? *(const ushort4 *)&data2[o1_0 * 32 + p2_0_0_0 * 704 + p2_0_0_1 * 352 + p2_0_1 * 44 + p2_1_1_0 * 4 + r0_0 * 1408 + 16] : make_ushort4(0, 0, 0, 0);
      *(ushort4 *)&scratch_p2[p2_0_0_0 * 640 + p2_0_0_1 * 320 + p2_0_1 * 40 + p2_1_1_0 * 4 + 16] = v12;
    }
    __syncthreads();
    for (int r0_1_0 = 0; r0_1_0 < 2; r0_1_0++) {
      unsigned short v13 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16];
      unsigned short v14 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 1];
      unsigned short v15 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 288];
      unsigned short v16 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 289];
      unsigned short v17 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 8];
      unsigned short v18 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 9];
      unsigned short v19 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 296];
      unsigned short v20 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 297];
      unsigned short v21 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640];
      unsigned short v22 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 40];
      unsigned short v23 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 320];
      unsigned short v24 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 360];
      mg_matrix_float16(acc1, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24);
      unsigned short v25 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 576];
      unsigned short v26 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 577];
      unsigned short v27 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 864];
      unsigned short v28 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 865];
      unsigned short v29 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 584];
      unsigned short v30 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 585];
      unsigned short v31 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 872];
      unsigned short v32 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 873];
      mg_matrix_float16(acc2, v25, v26, v27, v28, v29, v30, v31, v32, v21, v22, v23, v24);
      unsigned short v33 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 8];
      unsigned short v34 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 48];
      unsigned short v35 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 328];
      unsigned short v36 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 368];
      mg_matrix_float16(acc3, v13, v14, v15, v16, v17, v18, v19, v20, v33, v34, v35, v36);
      mg_matrix_float16(acc4, v25, v26, v27, v28, v29, v30, v31, v32, v33, v34, v35, v36);
      unsigned short v37 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 16];
      unsigned short v38 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 56];
      unsigned short v39 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 336];
      unsigned short v40 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 376];
      mg_matrix_float16(acc5, v13, v14, v15, v16, v17, v18, v19, v20, v37, v38, v39, v40);
      mg_matrix_float16(acc6, v25, v26, v27, v28, v29, v30, v31, v32, v37, v38, v39, v40);
      unsigned short v41 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 24];
      unsigned short v42 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 64];
      unsigned short v43 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 344];
      unsigned short v44 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 384];
      mg_matrix_float16(acc7, v13, v14, v15, v16, v17, v18, v19, v20, v41, v42, v43, v44);
      mg_matrix_float16(acc8, v25, v26, v27, v28, v29, v30, v31, v32, v41, v42, v43, v44);
    }
  }
  if (o0_0 * 2 + o0_1_0 < 3) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2] = acc1.x;
  if (o0_0 * 2 + o0_1_0 < 2) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 352] = acc1.z;
  if (o0_0 * 2 + o0_1_0 < 3) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 1] = acc1.y;
  if (o0_0 * 2 + o0_1_0 < 2) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 353] = acc1.w;
  if (o0_0 * 2 + o0_1_0 < 2) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 704] = acc2.x;
  if (o0_0 * 2 + o0_1_0 < 2) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 1056] = acc2.z;
  if (o0_0 * 2 + o0_1_0 < 2) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 705] = acc2.y;
  if (o0_0 * 2 + o0_1_0 < 2) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 1057] = acc2.w;
  if (o0_0 * 2 + o0_1_0 < 3 && o1_0 * 16 + o1_1_1_0 < 18) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 8] = acc3.x;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 * 16 + o1_1_1_0 < 18) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 360] = acc3.z;
  if (o0_0 * 2 + o0_1_0 < 3 && o1_0 * 16 + o1_1_1_0 < 18) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 9] = acc3.y;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 * 16 + o1_1_1_0 < 18) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 361] = acc3.w;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 * 16 + o1_1_1_0 < 18) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 712] = acc4.x;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 * 16 + o1_1_1_0 < 18) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 1064] = acc4.z;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 * 16 + o1_1_1_0 < 18) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 713] = acc4.y;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 * 16 + o1_1_1_0 < 18) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 1065] = acc4.w;
  if (o0_0 * 2 + o0_1_0 < 3 && o1_0 < 1 && o1_0 * 16 + o1_1_1_0 < 14) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 16] = acc5.x;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 < 1 && o1_0 * 16 + o1_1_1_0 < 14) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 368] = acc5.z;
  if (o0_0 * 2 + o0_1_0 < 3 && o1_0 < 1 && o1_0 * 16 + o1_1_1_0 < 14) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 17] = acc5.y;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 < 1 && o1_0 * 16 + o1_1_1_0 < 14) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 369] = acc5.w;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 < 1 && o1_0 * 16 + o1_1_1_0 < 14) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 720] = acc6.x;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 < 1 && o1_0 * 16 + o1_1_1_0 < 14) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 1072] = acc6.z;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 < 1 && o1_0 * 16 + o1_1_1_0 < 14) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 721] = acc6.y;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 < 1 && o1_0 * 16 + o1_1_1_0 < 14) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 1073] = acc6.w;
  if (o0_0 * 2 + o0_1_0 < 3 && o1_0 < 1 && o1_0 * 16 + o1_1_1_0 < 10) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 24] = acc7.x;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 < 1 && o1_0 * 16 + o1_1_1_0 < 10) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 376] = acc7.z;
  if (o0_0 * 2 + o0_1_0 < 3 && o1_0 < 1 && o1_0 * 16 + o1_1_1_0 < 10) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 25] = acc7.y;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 < 1 && o1_0 * 16 + o1_1_1_0 < 10) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 377] = acc7.w;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 < 1 && o1_0 * 16 + o1_1_1_0 < 10) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 728] = acc8.x;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 < 1 && o1_0 * 16 + o1_1_1_0 < 10) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 1080] = acc8.z;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 < 1 && o1_0 * 16 + o1_1_1_0 < 10) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 729] = acc8.y;
  if (o0_0 * 2 + o0_1_0 < 2 && o1_0 < 1 && o1_0 * 16 + o1_1_1_0 < 10) data0[o0_0 * 2816 + o0_1_0 * 1408 + o0_1_1_1_1 * 44 + o1_0 * 32 + o1_1_1_0 * 2 + 1081] = acc8.w;
}
