static __device__ __forceinline__ void mg_copy_16(void *to, const void *from, int valid) {
#ifdef __CUDA_ARCH__
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :: "r"((unsigned)__cvta_generic_to_shared(to)), "l"(from), "r"(valid ? 16 : 0) : "memory");
#else
  emulated_copy(to, from, 16, valid);
#endif
}

static __device__ __forceinline__ void mg_copy_4(void *to, const void *from, int valid) {
#ifdef __CUDA_ARCH__
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
               :: "r"((unsigned)__cvta_generic_to_shared(to)), "l"(from), "r"(valid ? 4 : 0) : "memory");
#else
  emulated_copy(to, from, 4, valid);
#endif
}

static __device__ __forceinline__ void mg_wait() {
#ifdef __CUDA_ARCH__
  asm volatile("cp.async.wait_all;" ::: "memory");
#else
  emulated_wait();
#endif
}

extern "C" __global__ void __launch_bounds__(256) matmul_200_136_72(float *__restrict__ data0, const float *__restrict__ data1, const float *__restrict__ data2) {
  __shared__ __align__(16) float scratch_p2[2048];
  __shared__ __align__(16) float scratch_p1[2176];
  const int o1_1_0 = threadIdx.x;
  const int p2_0 = threadIdx.y;
  const int o1_0 = blockIdx.x;
  const int p2_1_0 = threadIdx.x;
  const int o0_0 = blockIdx.y;
  const int o0_1_0 = threadIdx.y;
  const int p1_0_1 = threadIdx.y;
  const int p1_1 = threadIdx.x;
  float4 acc1 = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  float4 acc2 = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  float4 acc3 = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  float4 acc4 = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  mg_copy_16(&scratch_p2[p2_0 * 64 + p2_1_0 * 4], &data2[o1_0 * 64 + p2_0 * 136 + p2_1_0 * 4], o1_0 * 16 + p2_1_0 < 34);
  mg_copy_4(&scratch_p1[p1_0_1 + p1_1 * 68], &data1[o0_0 * 4608 + p1_0_1 * 72 + p1_1], o0_0 * 64 + p1_0_1 < 200);
  mg_copy_4(&scratch_p1[p1_0_1 + p1_1 * 68 + 16], &data1[o0_0 * 4608 + p1_0_1 * 72 + p1_1 + 1152], o0_0 < 3);
  mg_copy_4(&scratch_p1[p1_0_1 + p1_1 * 68 + 32], &data1[o0_0 * 4608 + p1_0_1 * 72 + p1_1 + 2304], o0_0 < 3);
  mg_copy_4(&scratch_p1[p1_0_1 + p1_1 * 68 + 48], &data1[o0_0 * 4608 + p1_0_1 * 72 + p1_1 + 3456], o0_0 < 3);
  for (int r0_0 = 0; r0_0 < 5; r0_0++) {
    mg_wait();
    __syncthreads();
    unsigned char v5 = r0_0 < 4;
    if (v5) {
      mg_copy_16(&scratch_p2[((r0_0 + 1) % 2) * 1024 + p2_0 * 64 + p2_1_0 * 4], &data2[o1_0 * 64 + p2_0 * 136 + p2_1_0 * 4 + r0_0 * 2176 + 2176], o1_0 * 16 + p2_1_0 < 34 && p2_0 + r0_0 * 16 < 56);
      mg_copy_4(&scratch_p1[((r0_0 + 1) % 2) * 1088 + p1_0_1 + p1_1 * 68], &data1[o0_0 * 4608 + p1_0_1 * 72 + p1_1 + r0_0 * 16 + 16], o0_0 * 64 + p1_0_1 < 200 && p1_1 + r0_0 * 16 < 56);
      mg_copy_4(&scratch_p1[((r0_0 + 1) % 2) * 1088 + p1_0_1 + p1_1 * 68 + 16], &data1[o0_0 * 4608 + p1_0_1 * 72 + p1_1 + r0_0 * 16 + 1168], o0_0 < 3 && p1_1 + r0_0 * 16 < 56);
      mg_copy_4(&scratch_p1[((r0_0 + 1) % 2) * 1088 + p1_0_1 + p1_1 * 68 + 32], &data1[o0_0 * 4608 + p1_0_1 * 72 + p1_1 + r0_0 * 16 + 2320], o0_0 < 3 && p1_1 + r0_0 * 16 < 56);
      mg_copy_4(&scratch_p1[((r0_0 + 1) % 2) * 1088 + p1_0_1 + p1_1 * 68 + 48], &data1[o0_0 * 4608 + p1_0_1 * 72 + p1_1 + r0_0 * 16 + 3472], o0_0 < 3 && p1_1 + r0_0 * 16 < 56);
    }
    for (int r0_1 = 0; r0_1 < 16; r0_1++) {
      float4 v6 = *(const float4 *)&scratch_p2[(r0_0 % 2) * 1024 + o1_1_0 * 4 + r0_1 * 64];
      float v7 = scratch_p1[(r0_0 % 2) * 1088 + o0_1_0 * 4 + r0_1 * 68];
      float4 v8 = make_float4(v6.x * v7, v6.y * v7, v6.z * v7, v6.w * v7);
      float v9 = scratch_p1[(r0_0 % 2) * 1088 + o0_1_0 * 4 + r0_1 * 68 + 1];
      float4 v10 = make_float4(v6.x * v9, v6.y * v9, v6.z * v9, v6.w * v9);
      float v11 = scratch_p1[(r0_0 % 2) * 1088 + o0_1_0 * 4 + r0_1 * 68 + 2];
      float4 v12 = make_float4(v6.x * v11, v6.y * v11, v6.z * v11, v6.w * v11);
      float v13 = scratch_p1[(r0_0 % 2) * 1088 + o0_1_0 * 4 + r0_1 * 68 + 3];
      float4 v14 = make_float4(v6.x * v13, v6.y * v13, v6.z * v13, v6.w * v13);
      acc1.x += v8.x;
      acc1.y += v8.y;
      acc1.z += v8.z;
      acc1.w += v8.w;
      acc2.x += v10.x;
      acc2.y += v10.y;
      acc2.z += v10.z;
      acc2.w += v10.w;
      acc3.x += v12.x;
      acc3.y += v12.y;
      acc3.z += v12.z;
      acc3.w += v12.w;
      acc4.x += v14.x;
      acc4.y += v14.y;
      acc4.z += v14.z;
      acc4.w += v14.w;
    }
  }
  if (o1_0 * 16 + o1_1_0 < 34 && o0_0 * 16 + o0_1_0 < 50) *(float4 *)&data0[o0_0 * 8704 + o0_1_0 * 544 + o1_0 * 64 + o1_1_0 * 4] = acc1;
  if (o1_0 * 16 + o1_1_0 < 34 && o0_0 * 16 + o0_1_0 < 50) *(float4 *)&data0[o0_0 * 8704 + o0_1_0 * 544 + o1_0 * 64 + o1_1_0 * 4 + 136] = acc2;
  if (o1_0 * 16 + o1_1_0 < 34 && o0_0 * 16 + o0_1_0 < 50) *(float4 *)&data0[o0_0 * 8704 + o0_1_0 * 544 + o1_0 * 64 + o1_1_0 * 4 + 272] = acc3;
  if (o1_0 * 16 + o1_1_0 < 34 && o0_0 * 16 + o0_1_0 < 50) *(float4 *)&data0[o0_0 * 8704 + o0_1_0 * 544 + o1_0 * 64 + o1_1_0 * 4 + 408] = acc4;
}
