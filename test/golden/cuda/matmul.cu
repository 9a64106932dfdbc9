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
    float4 v5 = p2_0 + r0_0 * 16 < 72 && p2_1_0 + o1_0 * 16 < 34 ? *(const float4 *)&data2[p2_1_0 * 4 + p2_0 * 136 + o1_0 * 64 + r0_0 * 2176] : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    __syncthreads();
    *(float4 *)&scratch_p2[p2_1_0 * 4 + p2_0 * 64] = v5;
    float v6 = p1_0_1 + o0_0 * 64 < 200 && p1_1 + r0_0 * 16 < 72 ? data1[p1_1 + p1_0_1 * 72 + o0_0 * 4608 + r0_0 * 16] : 0.0f;
    scratch_p1[p1_1 * 68 + p1_0_1] = v6;
    float v7 = p1_1 + r0_0 * 16 < 72 && o0_0 < 3 ? data1[p1_1 + p1_0_1 * 72 + o0_0 * 4608 + r0_0 * 16 + 1152] : 0.0f;
    scratch_p1[p1_1 * 68 + p1_0_1 + 16] = v7;
    float v8 = p1_1 + r0_0 * 16 < 72 && o0_0 < 3 ? data1[p1_1 + p1_0_1 * 72 + o0_0 * 4608 + r0_0 * 16 + 2304] : 0.0f;
    scratch_p1[p1_1 * 68 + p1_0_1 + 32] = v8;
    float v9 = p1_1 + r0_0 * 16 < 72 && o0_0 < 3 ? data1[p1_1 + p1_0_1 * 72 + o0_0 * 4608 + r0_0 * 16 + 3456] : 0.0f;
    scratch_p1[p1_1 * 68 + p1_0_1 + 48] = v9;
    __syncthreads();
    for (int r0_1 = 0; r0_1 < 16; r0_1++) {
      unsigned char v10 = r0_1 + r0_0 * 16 < 72;
      float4 v11 = *(const float4 *)&scratch_p2[o1_1_0 * 4 + r0_1 * 64];
      float v12 = scratch_p1[o0_1_0 * 4 + r0_1 * 68];
      float4 v13 = make_float4(v11.x * v12, v11.y * v12, v11.z * v12, v11.w * v12);
      float4 v14 = make_float4(v10 ? v13.x : 0.0f, v10 ? v13.y : 0.0f, v10 ? v13.z : 0.0f, v10 ? v13.w : 0.0f);
      float v15 = scratch_p1[o0_1_0 * 4 + r0_1 * 68 + 1];
      float4 v16 = make_float4(v11.x * v15, v11.y * v15, v11.z * v15, v11.w * v15);
      float4 v17 = make_float4(v10 ? v16.x : 0.0f, v10 ? v16.y : 0.0f, v10 ? v16.z : 0.0f, v10 ? v16.w : 0.0f);
      float v18 = scratch_p1[o0_1_0 * 4 + r0_1 * 68 + 2];
      float4 v19 = make_float4(v11.x * v18, v11.y * v18, v11.z * v18, v11.w * v18);
      float4 v20 = make_float4(v10 ? v19.x : 0.0f, v10 ? v19.y : 0.0f, v10 ? v19.z : 0.0f, v10 ? v19.w : 0.0f);
      float v21 = scratch_p1[o0_1_0 * 4 + r0_1 * 68 + 3];
      float4 v22 = make_float4(v11.x * v21, v11.y * v21, v11.z * v21, v11.w * v21);
      float4 v23 = make_float4(v10 ? v22.x : 0.0f, v10 ? v22.y : 0.0f, v10 ? v22.z : 0.0f, v10 ? v22.w : 0.0f);
      acc1.x += v14.x;
      acc1.y += v14.y;
      acc1.z += v14.z;
      acc1.w += v14.w;
      acc2.x += v17.x;
      acc2.y += v17.y;
      acc2.z += v17.z;
      acc2.w += v17.w;
      acc3.x += v20.x;
      acc3.y += v20.y;
      acc3.z += v20.z;
      acc3.w += v20.w;
      acc4.x += v23.x;
      acc4.y += v23.y;
      acc4.z += v23.z;
      acc4.w += v23.w;
    }
  }
  if (o1_1_0 + o1_0 * 16 < 34 && o0_1_0 + o0_0 * 16 < 50) *(float4 *)&data0[o0_1_0 * 544 + o1_1_0 * 4 + o0_0 * 8704 + o1_0 * 64] = acc1;
  if (o1_1_0 + o1_0 * 16 < 34 && o0_1_0 + o0_0 * 16 < 50) *(float4 *)&data0[o0_1_0 * 544 + o1_1_0 * 4 + o0_0 * 8704 + o1_0 * 64 + 136] = acc2;
  if (o1_1_0 + o1_0 * 16 < 34 && o0_1_0 + o0_0 * 16 < 50) *(float4 *)&data0[o0_1_0 * 544 + o1_1_0 * 4 + o0_0 * 8704 + o1_0 * 64 + 272] = acc3;
  if (o1_1_0 + o1_0 * 16 < 34 && o0_1_0 + o0_0 * 16 < 50) *(float4 *)&data0[o0_1_0 * 544 + o1_1_0 * 4 + o0_0 * 8704 + o1_0 * 64 + 408] = acc4;
}
