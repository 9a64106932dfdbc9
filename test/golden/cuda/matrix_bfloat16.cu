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
  const int o1_1_1_0 = threadIdx.x;
  const int o0_1_0 = threadIdx.z;
  const int o0_1_1_1_1 = threadIdx.y;
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
      ushort4 v9 = p1_0_0_1 + p1_0_0_0 * 2 + o0_0 * 8 < 9 && p1_1_1_0 + r0_0 * 8 < 10 ? *(const ushort4 *)&data1[p1_1_1_0 * 4 + p1_0_0_1 * 320 + p1_0_1 * 40 + p1_0_0_0 * 640 + o0_0 * 2560 + r0_0 * 32] : make_ushort4(0.0f, 0.0f, 0.0f, 0.0f);
      float4 v10 = make_float4(mg_bf16_to_f32(v9.x), mg_bf16_to_f32(v9.y), mg_bf16_to_f32(v9.z), mg_bf16_to_f32(v9.w));
      *(float4 *)&scratch_p1[p1_1_1_0 * 4 + p1_0_0_1 * 288 + p1_0_1 * 36 + p1_0_0_0 * 576] = v10;
      ushort4 v11 = p1_0_0_1 + p1_0_0_0 * 2 + o0_0 * 8 < 9 && p1_1_1_0 + r0_0 * 8 < 6 ? *(const ushort4 *)&data1[p1_1_1_0 * 4 + p1_0_0_1 * 320 + p1_0_1 * 40 + p1_0_0_0 * 640 + o0_0 * 2560 + r0_0 * 32 + 16] : make_ushort4(0.0f, 0.0f, 0.0f, 0.0f);
      float4 v12 = make_float4(mg_bf16_to_f32(v11.x), mg_bf16_to_f32(v11.y), mg_bf16_to_f32(v11.z), mg_bf16_to_f32(v11.w));
      *(float4 *)&scratch_p1[p1_1_1_0 * 4 + p1_0_0_1 * 288 + p1_0_1 * 36 + p1_0_0_0 * 576 + 16] = v12;
    }
    for (int p2_0_0_0 = 0; p2_0_0_0 < 2; p2_0_0_0++) {
      ushort4 v13 = p2_0_0_1 + p2_0_0_0 * 2 + r0_0 * 4 < 5 && p2_1_1_0 + o1_0 * 8 < 11 ? *(const ushort4 *)&data2[p2_1_1_0 * 4 + p2_0_0_1 * 352 + p2_0_1 * 44 + p2_0_0_0 * 704 + o1_0 * 32 + r0_0 * 1408] : make_ushort4(0.0f, 0.0f, 0.0f, 0.0f);
      float4 v14 = make_float4(mg_bf16_to_f32(v13.x), mg_bf16_to_f32(v13.y), mg_bf16_to_f32(v13.z), mg_bf16_to_f32(v13.w));
      *(float4 *)&scratch_p2[p2_1_1_0 * 4 + p2_0_0_1 * 320 + p2_0_1 * 40 + p2_0_0_0 * 640] = v14;
      ushort4 v15 = p2_0_0_1 + p2_0_0_0 * 2 + r0_0 * 4 < 5 && p2_1_1_0 + o1_0 * 8 < 7 ? *(const ushort4 *)&data2[p2_1_1_0 * 4 + p2_0_0_1 * 352 + p2_0_1 * 44 + p2_0_0_0 * 704 + o1_0 * 32 + r0_0 * 1408 + 16] : make_ushort4(0.0f, 0.0f, 0.0f, 0.0f);
      float4 v16 = make_float4(mg_bf16_to_f32(v15.x), mg_bf16_to_f32(v15.y), mg_bf16_to_f32(v15.z), mg_bf16_to_f32(v15.w));
      *(float4 *)&scratch_p2[p2_1_1_0 * 4 + p2_0_0_1 * 320 + p2_0_1 * 40 + p2_0_0_0 * 640 + 16] = v16;
    }
    __syncthreads();
    for (int r0_1_0 = 0; r0_1_0 < 2; r0_1_0++) {
      unsigned char v17 = r0_1_0 * 8 + o1_1_1_0 + r0_0 * 16 < 20;
      float v18 = scratch_p1[r0_1_0 * 16 + o1_1_1_0 * 2 + o0_1_1_1_1 * 36 + o0_1_0 * 1152];
      float v19 = v17 ? v18 : 0.0f;
      float v20 = scratch_p1[r0_1_0 * 16 + o1_1_1_0 * 2 + o0_1_1_1_1 * 36 + o0_1_0 * 1152 + 1];
      float v21 = v17 ? v20 : 0.0f;
      float v22 = scratch_p1[r0_1_0 * 16 + o1_1_1_0 * 2 + o0_1_1_1_1 * 36 + o0_1_0 * 1152 + 288];
      float v23 = v17 ? v22 : 0.0f;
      float v24 = scratch_p1[r0_1_0 * 16 + o1_1_1_0 * 2 + o0_1_1_1_1 * 36 + o0_1_0 * 1152 + 289];
      float v25 = v17 ? v24 : 0.0f;
      unsigned char v26 = r0_1_0 * 8 + o1_1_1_0 + r0_0 * 16 < 16;
      float v27 = scratch_p1[r0_1_0 * 16 + o1_1_1_0 * 2 + o0_1_1_1_1 * 36 + o0_1_0 * 1152 + 8];
      float v28 = v26 ? v27 : 0.0f;
      float v29 = scratch_p1[r0_1_0 * 16 + o1_1_1_0 * 2 + o0_1_1_1_1 * 36 + o0_1_0 * 1152 + 9];
      float v30 = v26 ? v29 : 0.0f;
      float v31 = scratch_p1[r0_1_0 * 16 + o1_1_1_0 * 2 + o0_1_1_1_1 * 36 + o0_1_0 * 1152 + 296];
      float v32 = v26 ? v31 : 0.0f;
      float v33 = scratch_p1[r0_1_0 * 16 + o1_1_1_0 * 2 + o0_1_1_1_1 * 36 + o0_1_0 * 1152 + 297];
      float v34 = v26 ? v33 : 0.0f;
      float v35 = scratch_p2[r0_1_0 * 640 + o1_1_1_0 * 80 + o0_1_1_1_1];
      float v36 = v17 ? v35 : 0.0f;
      float v37 = scratch_p2[r0_1_0 * 640 + o1_1_1_0 * 80 + o0_1_1_1_1 + 40];
      float v38 = v17 ? v37 : 0.0f;
      float v39 = scratch_p2[r0_1_0 * 640 + o1_1_1_0 * 80 + o0_1_1_1_1 + 320];
      float v40 = v26 ? v39 : 0.0f;
      float v41 = scratch_p2[r0_1_0 * 640 + o1_1_1_0 * 80 + o0_1_1_1_1 + 360];
      float v42 = v26 ? v41 : 0.0f;
      mg_matrix_bfloat16(acc1, v19, v21, v23, v25, v28, v30, v32, v34, v36, v38, v40, v42);
      float v43 = scratch_p1[r0_1_0 * 16 + o1_1_1_0 * 2 + o0_1_1_1_1 * 36 + o0_1_0 * 1152 + 576];
      float v44 = v17 ? v43 : 0.0f;
      float v45 = scratch_p1[r0_1_0 * 16 + o1_1_1_0 * 2 + o0_1_1_1_1 * 36 + o0_1_0 * 1152 + 577];
      float v46 = v17 ? v45 : 0.0f;
      float v47 = scratch_p1[r0_1_0 * 16 + o1_1_1_0 * 2 + o0_1_1_1_1 * 36 + o0_1_0 * 1152 + 864];
      float v48 = v17 ? v47 : 0.0f;
      float v49 = scratch_p1[r0_1_0 * 16 + o1_1_1_0 * 2 + o0_1_1_1_1 * 36 + o0_1_0 * 1152 + 865];
      float v50 = v17 ? v49 : 0.0f;
      float v51 = scratch_p1[r0_1_0 * 16 + o1_1_1_0 * 2 + o0_1_1_1_1 * 36 + o0_1_0 * 1152 + 584];
      float v52 = v26 ? v51 : 0.0f;
      float v53 = scratch_p1[r0_1_0 * 16 + o1_1_1_0 * 2 + o0_1_1_1_1 * 36 + o0_1_0 * 1152 + 585];
      float v54 = v26 ? v53 : 0.0f;
      float v55 = scratch_p1[r0_1_0 * 16 + o1_1_1_0 * 2 + o0_1_1_1_1 * 36 + o0_1_0 * 1152 + 872];
      float v56 = v26 ? v55 : 0.0f;
      float v57 = scratch_p1[r0_1_0 * 16 + o1_1_1_0 * 2 + o0_1_1_1_1 * 36 + o0_1_0 * 1152 + 873];
      float v58 = v26 ? v57 : 0.0f;
      mg_matrix_bfloat16(acc2, v44, v46, v48, v50, v52, v54, v56, v58, v36, v38, v40, v42);
      float v59 = scratch_p2[r0_1_0 * 640 + o1_1_1_0 * 80 + o0_1_1_1_1 + 8];
      float v60 = v17 ? v59 : 0.0f;
      float v61 = scratch_p2[r0_1_0 * 640 + o1_1_1_0 * 80 + o0_1_1_1_1 + 48];
      float v62 = v17 ? v61 : 0.0f;
      float v63 = scratch_p2[r0_1_0 * 640 + o1_1_1_0 * 80 + o0_1_1_1_1 + 328];
      float v64 = v26 ? v63 : 0.0f;
      float v65 = scratch_p2[r0_1_0 * 640 + o1_1_1_0 * 80 + o0_1_1_1_1 + 368];
      float v66 = v26 ? v65 : 0.0f;
      mg_matrix_bfloat16(acc3, v19, v21, v23, v25, v28, v30, v32, v34, v60, v62, v64, v66);
      mg_matrix_bfloat16(acc4, v44, v46, v48, v50, v52, v54, v56, v58, v60, v62, v64, v66);
      float v67 = scratch_p2[r0_1_0 * 640 + o1_1_1_0 * 80 + o0_1_1_1_1 + 16];
      float v68 = v17 ? v67 : 0.0f;
      float v69 = scratch_p2[r0_1_0 * 640 + o1_1_1_0 * 80 + o0_1_1_1_1 + 56];
      float v70 = v17 ? v69 : 0.0f;
      float v71 = scratch_p2[r0_1_0 * 640 + o1_1_1_0 * 80 + o0_1_1_1_1 + 336];
      float v72 = v26 ? v71 : 0.0f;
      float v73 = scratch_p2[r0_1_0 * 640 + o1_1_1_0 * 80 + o0_1_1_1_1 + 376];
      float v74 = v26 ? v73 : 0.0f;
      mg_matrix_bfloat16(acc5, v19, v21, v23, v25, v28, v30, v32, v34, v68, v70, v72, v74);
      mg_matrix_bfloat16(acc6, v44, v46, v48, v50, v52, v54, v56, v58, v68, v70, v72, v74);
      float v75 = scratch_p2[r0_1_0 * 640 + o1_1_1_0 * 80 + o0_1_1_1_1 + 24];
      float v76 = v17 ? v75 : 0.0f;
      float v77 = scratch_p2[r0_1_0 * 640 + o1_1_1_0 * 80 + o0_1_1_1_1 + 64];
      float v78 = v17 ? v77 : 0.0f;
      float v79 = scratch_p2[r0_1_0 * 640 + o1_1_1_0 * 80 + o0_1_1_1_1 + 344];
      float v80 = v26 ? v79 : 0.0f;
      float v81 = scratch_p2[r0_1_0 * 640 + o1_1_1_0 * 80 + o0_1_1_1_1 + 384];
      float v82 = v26 ? v81 : 0.0f;
      mg_matrix_bfloat16(acc7, v19, v21, v23, v25, v28, v30, v32, v34, v76, v78, v80, v82);
      mg_matrix_bfloat16(acc8, v44, v46, v48, v50, v52, v54, v56, v58, v76, v78, v80, v82);
    }
  }
  if (o0_1_0 + o0_0 * 2 < 3) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32] = acc1.x;
  if (o0_1_0 + o0_0 * 2 < 2) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 352] = acc1.z;
  if (o0_1_0 + o0_0 * 2 < 3) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 1] = acc1.y;
  if (o0_1_0 + o0_0 * 2 < 2) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 353] = acc1.w;
  if (o0_1_0 + o0_0 * 2 < 2) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 704] = acc2.x;
  if (o0_1_0 + o0_0 * 2 < 2) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 1056] = acc2.z;
  if (o0_1_0 + o0_0 * 2 < 2) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 705] = acc2.y;
  if (o0_1_0 + o0_0 * 2 < 2) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 1057] = acc2.w;
  if (o0_1_0 + o0_0 * 2 < 3 && o1_1_1_0 + o1_0 * 16 < 18) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 8] = acc3.x;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_1_1_0 + o1_0 * 16 < 18) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 360] = acc3.z;
  if (o0_1_0 + o0_0 * 2 < 3 && o1_1_1_0 + o1_0 * 16 < 18) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 9] = acc3.y;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_1_1_0 + o1_0 * 16 < 18) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 361] = acc3.w;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_1_1_0 + o1_0 * 16 < 18) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 712] = acc4.x;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_1_1_0 + o1_0 * 16 < 18) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 1064] = acc4.z;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_1_1_0 + o1_0 * 16 < 18) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 713] = acc4.y;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_1_1_0 + o1_0 * 16 < 18) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 1065] = acc4.w;
  if (o0_1_0 + o0_0 * 2 < 3 && o1_0 < 1 && o1_1_1_0 + o1_0 * 16 < 14) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 16] = acc5.x;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_0 < 1 && o1_1_1_0 + o1_0 * 16 < 14) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 368] = acc5.z;
  if (o0_1_0 + o0_0 * 2 < 3 && o1_0 < 1 && o1_1_1_0 + o1_0 * 16 < 14) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 17] = acc5.y;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_0 < 1 && o1_1_1_0 + o1_0 * 16 < 14) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 369] = acc5.w;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_0 < 1 && o1_1_1_0 + o1_0 * 16 < 14) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 720] = acc6.x;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_0 < 1 && o1_1_1_0 + o1_0 * 16 < 14) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 1072] = acc6.z;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_0 < 1 && o1_1_1_0 + o1_0 * 16 < 14) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 721] = acc6.y;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_0 < 1 && o1_1_1_0 + o1_0 * 16 < 14) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 1073] = acc6.w;
  if (o0_1_0 + o0_0 * 2 < 3 && o1_0 < 1 && o1_1_1_0 + o1_0 * 16 < 10) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 24] = acc7.x;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_0 < 1 && o1_1_1_0 + o1_0 * 16 < 10) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 376] = acc7.z;
  if (o0_1_0 + o0_0 * 2 < 3 && o1_0 < 1 && o1_1_1_0 + o1_0 * 16 < 10) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 25] = acc7.y;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_0 < 1 && o1_1_1_0 + o1_0 * 16 < 10) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 377] = acc7.w;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_0 < 1 && o1_1_1_0 + o1_0 * 16 < 10) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 728] = acc8.x;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_0 < 1 && o1_1_1_0 + o1_0 * 16 < 10) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 1080] = acc8.z;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_0 < 1 && o1_1_1_0 + o1_0 * 16 < 10) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 729] = acc8.y;
  if (o0_1_0 + o0_0 * 2 < 2 && o1_0 < 1 && o1_1_1_0 + o1_0 * 16 < 10) data0[o1_1_1_0 * 2 + o0_1_1_1_1 * 44 + o0_1_0 * 1408 + o0_0 * 2816 + o1_0 * 32 + 1081] = acc8.w;
}
