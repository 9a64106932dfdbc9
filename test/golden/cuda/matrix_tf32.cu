static __device__ __forceinline__ float mg_tf32_f32(float x) {
  union { float x; unsigned bits; } u = {x};
#ifdef __CUDA_ARCH__
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(u.bits) : "f"(x));
#else
  u.bits = x != x ? u.bits : (u.bits + 0x1000u) & 0xffffe000u;
#endif
  return u.x;
}

static __device__ __forceinline__ void mg_matrix_tf32(float4 &d, float a0, float a1, float a2, float a3, float b0, float b1) {
#ifdef __CUDA_ARCH__
  unsigned r0 = __float_as_uint(a0);
  unsigned r1 = __float_as_uint(a1);
  unsigned r2 = __float_as_uint(a2);
  unsigned r3 = __float_as_uint(a3);
  unsigned r4 = __float_as_uint(b0);
  unsigned r5 = __float_as_uint(b1);
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" : "+f"(d.x), "+f"(d.y), "+f"(d.z), "+f"(d.w) : "r"(r0), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5));
#else
  const float a[] = {a0, a1, a2, a3}, b[] = {b0, b1};
  emulated_matrix_tf32((float *)&d, a, b);
#endif
}

extern "C" __global__ void __launch_bounds__(64) matmul_72_44_40(float *__restrict__ data0, const float *__restrict__ data1, const float *__restrict__ data2) {
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
      float4 v9 = o0_0 * 8 + p1_0_0_0 * 2 + p1_0_0_1 < 9 && p1_1_1_0 + r0_0 * 8 < 10 ? *(const float4 *)&data1[o0_0 * 2560 + p1_0_0_0 * 640 + p1_0_0_1 * 320 + p1_0_1 * 40 + p1_1_1_0 * 4 + r0_0 * 32] : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
      *(float4 *)&scratch_p1[p1_0_0_0 * 576 + p1_0_0_1 * 288 + p1_0_1 * 36 + p1_1_1_0 * 4] = v9;
      float4 v10 = o0_0 * 8 + p1_0_0_0 * 2 + p1_0_0_1 < 9 && p1_1_1_0 + r0_0 * 8 < 6 ? *(const float4 *)&data1[o0_0 * 2560 + p1_0_0_0 * 640 + p1_0_0_1 * 320 + p1_0_1 * 40 + p1_1_1_0 * 4 + r0_0 * 32 + 16] : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
      *(float4 *)&scratch_p1[p1_0_0_0 * 576 + p1_0_0_1 * 288 + p1_0_1 * 36 + p1_1_1_0 * 4 + 16] = v10;
    }
    for (int p2_0_0_0 = 0; p2_0_0_0 < 2; p2_0_0_0++) {
      float4 v11 = p2_0_0_0 * 2 + p2_0_0_1 + r0_0 * 4 < 5 && o1_0 * 8 + p2_1_1_0 < 11 ? *(const float4 *)&data2[o1_0 * 32 + p2_0_0_0 * 704 + p2_0_0_1 * 352 + p2_0_1 * 44 + p2_1_1_0 * 4 + r0_0 * 1408] : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
      *(float4 *)&scratch_p2[p2_0_0_0 * 640 + p2_0_0_1 * 320 + p2_0_1 * 40 + p2_1_1_0 * 4] = v11;
      float4 v12 = p2_0_0_0 * 2 + p2_0_0_1 + r0_0 * 4 < 5 && o1_0 * 8 + p2_1_1_0 < 7 ? *(const float4 *)&data2[o1_0 * 32 + p2_0_0_0 * 704 + p2_0_0_1 * 352 + p2_0_1 * 44 + p2_1_1_0 * 4 + r0_0 * 1408 + 16] : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
      *(float4 *)&scratch_p2[p2_0_0_0 * 640 + p2_0_0_1 * 320 + p2_0_1 * 40 + p2_1_1_0 * 4 + 16] = v12;
    }
    __syncthreads();
    for (int r0_1_0 = 0; r0_1_0 < 4; r0_1_0++) {
      unsigned char v13 = r0_0 * 4 + r0_1_0 < 5;
      float v14 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 + r0_1_0 * 8];
      float v15 = v13 ? mg_tf32_f32(v14) : 0.0f;
      float v16 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 + r0_1_0 * 8 + 288];
      float v17 = v13 ? mg_tf32_f32(v16) : 0.0f;
      float v18 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 + r0_1_0 * 8 + 4];
      float v19 = v13 ? mg_tf32_f32(v18) : 0.0f;
      float v20 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 + r0_1_0 * 8 + 292];
      float v21 = v13 ? mg_tf32_f32(v20) : 0.0f;
      float v22 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 40 + r0_1_0 * 320];
      float v23 = v13 ? mg_tf32_f32(v22) : 0.0f;
      float v24 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 40 + r0_1_0 * 320 + 160];
      float v25 = v13 ? mg_tf32_f32(v24) : 0.0f;
      mg_matrix_tf32(acc1, v15, v17, v19, v21, v23, v25);
      float v26 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 + r0_1_0 * 8 + 576];
      float v27 = v13 ? mg_tf32_f32(v26) : 0.0f;
      float v28 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 + r0_1_0 * 8 + 864];
      float v29 = v13 ? mg_tf32_f32(v28) : 0.0f;
      float v30 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 + r0_1_0 * 8 + 580];
      float v31 = v13 ? mg_tf32_f32(v30) : 0.0f;
      float v32 = scratch_p1[o0_1_0 * 1152 + o0_1_1_1_1 * 36 + o1_1_1_0 + r0_1_0 * 8 + 868];
      float v33 = v13 ? mg_tf32_f32(v32) : 0.0f;
      mg_matrix_tf32(acc2, v27, v29, v31, v33, v23, v25);
      float v34 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 40 + r0_1_0 * 320 + 8];
      float v35 = v13 ? mg_tf32_f32(v34) : 0.0f;
      float v36 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 40 + r0_1_0 * 320 + 168];
      float v37 = v13 ? mg_tf32_f32(v36) : 0.0f;
      mg_matrix_tf32(acc3, v15, v17, v19, v21, v35, v37);
      mg_matrix_tf32(acc4, v27, v29, v31, v33, v35, v37);
      float v38 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 40 + r0_1_0 * 320 + 16];
      float v39 = v13 ? mg_tf32_f32(v38) : 0.0f;
      float v40 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 40 + r0_1_0 * 320 + 176];
      float v41 = v13 ? mg_tf32_f32(v40) : 0.0f;
      mg_matrix_tf32(acc5, v15, v17, v19, v21, v39, v41);
      mg_matrix_tf32(acc6, v27, v29, v31, v33, v39, v41);
      float v42 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 40 + r0_1_0 * 320 + 24];
      float v43 = v13 ? mg_tf32_f32(v42) : 0.0f;
      float v44 = scratch_p2[o0_1_1_1_1 + o1_1_1_0 * 40 + r0_1_0 * 320 + 184];
      float v45 = v13 ? mg_tf32_f32(v44) : 0.0f;
      mg_matrix_tf32(acc7, v15, v17, v19, v21, v43, v45);
      mg_matrix_tf32(acc8, v27, v29, v31, v33, v43, v45);
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
