static __device__ __forceinline__ float mg_bf16_to_f32(unsigned short h) {
  return __uint_as_float((unsigned)h << 16);
}

static __device__ __forceinline__ void mg_matrix_bfloat16(float4 &d, float a0, float a1, float a2, float a3, float a4, float a5, float a6, float a7, float b0, float b1, float b2, float b3) {
#ifdef __CUDA_ARCH__
  unsigned r0;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r0) : "f"(a1), "f"(a0));
  unsigned r1;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r1) : "f"(a3), "f"(a2));
  unsigned r2;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r2) : "f"(a5), "f"(a4));
  unsigned r3;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r3) : "f"(a7), "f"(a6));
  unsigned r4;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r4) : "f"(b1), "f"(b0));
  unsigned r5;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r5) : "f"(b3), "f"(b2));
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" : "+f"(d.x), "+f"(d.y), "+f"(d.z), "+f"(d.w) : "r"(r0), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5));
#else
  const float a[] = {a0, a1, a2, a3, a4, a5, a6, a7}, b[] = {b0, b1, b2, b3};
  emulated_matrix_bfloat16((float *)&d, a, b);
#endif
}

extern "C" __global__ void __launch_bounds__(64) matmul_72_44_40(float *__restrict__ data0, const unsigned short *__restrict__ data1, const unsigned short *__restrict__ data2) {
  __shared__ __align__(16) float scratch_p1[2304];
  __shared__ __align__(16) float scratch_p2[1280];
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
      ushort4 v9 = o0_0 * 8 + p1_0_0_0 * 2 + p1_0_0_1 < 9 && p1_1_1_0 + r0_0 * 8 < 10 ? *(const ushort4 *)&data1[o0_0 * 2560 + p1_0_0_0 * 640 + p1_0_0_1 * 320 + p1_0_1 * 40 + p1_1_1_0 * 4 + r0_0 * 32] : make_ushort4(0.0f, 0.0f, 0.0f, 0.0f);
      float4 v10 = make_float4(mg_bf16_to_f32(v9.x), mg_bf16_to_f32(v9.y), mg_bf16_to_f32(v9.z), mg_bf16_to_f32(v9.w));
      *(float4 *)&scratch_p1[p1_0_0_0 * 576 + p1_0_0_1 * 288 + p1_0_1 * 36 + p1_1_1_0 * 4] = v10;
      ushort4 v11 = o0_0 * 8 + p1_0_0_0 * 2 + p1_0_0_1 < 9 && p1_1_1_0 + r0_0 * 8 < 6 ? *(const ushort4 *)&data1[o0_0 * 2560 + p1_0_0_0 * 640 + p1_0_0_1 * 320 + p1_0_1 * 40 + p1_1_1_0 * 4 + r0_0 * 32 + 16] : make_ushort4(0.0f, 0.0f, 0.0f, 0.0f);
      float4 v12 = make_float4(mg_bf16_to_f32(v11.x), mg_bf16_to_f32(v11.y), mg_bf16_to_f32(v11.z), mg_bf16_to_f32(v11.w));
      *(float4 *)&scratch_p1[p1_0_0_0 * 576 + p1_0_0_1 * 288 + p1_0_1 * 36 + p1_1_1_0 * 4 + 16] = v12;
    }
    for (int p2_0_0_0 = 0; p2_0_0_0 < 2; p2_0_0_0++) {
      ushort4 v13 = p2_0_0_0 * 2 + p2_0_0_1 + r0_0 * 4 < 5 && o1_0 * 8 + p2_1_1_0 < 11 ? *(const ushort4 *)&data2[o1_0 * 32 + p2_0_0_0 * 704 + p2_0_0_1 * 352 + p2_0_1 * 44 + p2_1_1_0 * 4 + r0_0 * 1408] : make_ushort4(0.0f, 0.0f, 0.0f, 0.0f);
      float4 v14 = make_float4(mg_bf16_to_f32(v13.x), mg_bf16_to_f32(v13.y), mg_bf16_to_f32(v13.z), mg_bf16_to_f32(v13.w));
      *(float4 *)&scratch_p2[p2_0_0_0 * 640 + p2_0_0_1 * 320 + p2_0_1 * 40 + p2_1_1_0 * 4] = v14;
      ushort4 v15 = p2_0_0_0 * 2 + p2_0_0_1 + r0_0 * 4 < 5 && o1_0 * 8 + p2_1_1_0 < 7 ? *(const ushort4 *)&data2[o1_0 * 32 + p2_0_0_0 * 704 + p2_0_0_1 * 352 + p2_0_1 * 44 + p2_1_1_0 * 4 + r0_0 * 1408 + 16] : make_ushort4(0.0f, 0.0f, 0.0f, 0.0f);
      float4 v16 = make_float4(mg_bf16_to_f32(v15.x), mg_bf16_to_f32(v15.y), mg_bf16_to_f32(v15.z), mg_bf16_to_f32(v15.w));
      *(float4 *)&scratch_p2[p2_0_0_0 * 640 + p2_0_0_1 * 320 + p2_0_1 * 40 + p2_1_1_0 * 4 + 16] = v16;
    }
    __syncthreads();
    for (int r0_1_0 = 0; r0_1_0 < 2; r0_1_0++) {
      float v17 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16];
      float v18 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 1];
      float v19 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 288];
      float v20 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 289];
      float v21 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 8];
      float v22 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 9];
      float v23 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 296];
      float v24 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 297];
      float v25 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640];
      float v26 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 40];
      float v27 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 320];
      float v28 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 360];
      mg_matrix_bfloat16(acc1, v17, v18, v19, v20, v21, v22, v23, v24, v25, v26, v27, v28);
      float v29 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 576];
      float v30 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 577];
      float v31 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 864];
      float v32 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 865];
      float v33 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 584];
      float v34 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 585];
      float v35 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 872];
      float v36 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 * 2 + r0_1_0 * 16 + 873];
      mg_matrix_bfloat16(acc2, v29, v30, v31, v32, v33, v34, v35, v36, v25, v26, v27, v28);
      float v37 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 8];
      float v38 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 48];
      float v39 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 328];
      float v40 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 368];
      mg_matrix_bfloat16(acc3, v17, v18, v19, v20, v21, v22, v23, v24, v37, v38, v39, v40);
      mg_matrix_bfloat16(acc4, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39, v40);
      float v41 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 16];
      float v42 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 56];
      float v43 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 336];
      float v44 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 376];
      mg_matrix_bfloat16(acc5, v17, v18, v19, v20, v21, v22, v23, v24, v41, v42, v43, v44);
      mg_matrix_bfloat16(acc6, v29, v30, v31, v32, v33, v34, v35, v36, v41, v42, v43, v44);
      float v45 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 24];
      float v46 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 64];
      float v47 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 344];
      float v48 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 80 + r0_1_0 * 640 + 384];
      mg_matrix_bfloat16(acc7, v17, v18, v19, v20, v21, v22, v23, v24, v45, v46, v47, v48);
      mg_matrix_bfloat16(acc8, v29, v30, v31, v32, v33, v34, v35, v36, v45, v46, v47, v48);
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
