extern "C" __global__ void __launch_bounds__(256) matmul_200_136_72(float *__restrict__ data0, const float *__restrict__ data1, const float *__restrict__ data2) {
  __shared__ __align__(16) float scratch_p2[1024];
  __shared__ __align__(16) float scratch_p1[1088];
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
  for (int r0_0 = 0; r0_0 < 5; r0_0++) {
    float4 v5 = p2_0 + r0_0 * 16 < 72 && o1_0 * 16 + p2_1_0 < 34 ? *(const float4 *)&data2[o1_0 * 64 + p2_0 * 136 + p2_1_0 * 4 + r0_0 * 2176] : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    __syncthreads();
    *(float4 *)&scratch_p2[p2_0 * 64 + p2_1_0 * 4] = v5;
    float v6 = o0_0 * 64 + p1_0_1 < 200 && p1_1 + r0_0 * 16 < 72 ? data1[o0_0 * 4608 + p1_0_1 * 72 + p1_1 + r0_0 * 16] : 0.0f;
    scratch_p1[p1_0_1 + p1_1 * 68] = v6;
    float v7 = p1_1 + r0_0 * 16 < 72 && o0_0 < 3 ? data1[o0_0 * 4608 + p1_0_1 * 72 + p1_1 + r0_0 * 16 + 1152] : 0.0f;
    scratch_p1[p1_0_1 + p1_1 * 68 + 16] = v7;
    float v8 = p1_1 + r0_0 * 16 < 72 && o0_0 < 3 ? data1[o0_0 * 4608 + p1_0_1 * 72 + p1_1 + r0_0 * 16 + 2304] : 0.0f;
    scratch_p1[p1_0_1 + p1_1 * 68 + 32] = v8;
    float v9 = p1_1 + r0_0 * 16 < 72 && o0_0 < 3 ? data1[o0_0 * 4608 + p1_0_1 * 72 + p1_1 + r0_0 * 16 + 3456] : 0.0f;
    scratch_p1[p1_0_1 + p1_1 * 68 + 48] = v9;
    __syncthreads();
    for (int r0_1 = 0; r0_1 < 16; r0_1++) {
      float4 v10 = *(const float4 *)&scratch_p2[o1_1_0 * 4 + r0_1 * 64];
      float v11 = scratch_p1[o0_1_0 * 4 + r0_1 * 68];
      float4 v12 = make_float4(v10.x * v11, v10.y * v11, v10.z * v11, v10.w * v11);
      float v13 = scratch_p1[o0_1_0 * 4 + r0_1 * 68 + 1];
      float4 v14 = make_float4(v10.x * v13, v10.y * v13, v10.z * v13, v10.w * v13);
      float v15 = scratch_p1[o0_1_0 * 4 + r0_1 * 68 + 2];
      float4 v16 = make_float4(v10.x * v15, v10.y * v15, v10.z * v15, v10.w * v15);
      float v17 = scratch_p1[o0_1_0 * 4 + r0_1 * 68 + 3];
      float4 v18 = make_float4(v10.x * v17, v10.y * v17, v10.z * v17, v10.w * v17);
      acc1.x += v12.x;
      acc1.y += v12.y;
      acc1.z += v12.z;
      acc1.w += v12.w;
      acc2.x += v14.x;
      acc2.y += v14.y;
      acc2.z += v14.z;
      acc2.w += v14.w;
      acc3.x += v16.x;
      acc3.y += v16.y;
      acc3.z += v16.z;
      acc3.w += v16.w;
      acc4.x += v18.x;
      acc4.y += v18.y;
      acc4.z += v18.z;
      acc4.w += v18.w;
    }
  }
  if (o1_0 * 16 + o1_1_0 < 34 && o0_0 * 16 + o0_1_0 < 50) *(float4 *)&data0[o0_0 * 8704 + o0_1_0 * 544 + o1_0 * 64 + o1_1_0 * 4] = acc1;
  if (o1_0 * 16 + o1_1_0 < 34 && o0_0 * 16 + o0_1_0 < 50) *(float4 *)&data0[o0_0 * 8704 + o0_1_0 * 544 + o1_0 * 64 + o1_1_0 * 4 + 136] = acc2;
  if (o1_0 * 16 + o1_1_0 < 34 && o0_0 * 16 + o0_1_0 < 50) *(float4 *)&data0[o0_0 * 8704 + o0_1_0 * 544 + o1_0 * 64 + o1_1_0 * 4 + 272] = acc3;
  if (o1_0 * 16 + o1_1_0 < 34 && o0_0 * 16 + o0_1_0 < 50) *(float4 *)&data0[o0_0 * 8704 + o0_1_0 * 544 + o1_0 * 64 + o1_1_0 * 4 + 408] = acc4;
}
