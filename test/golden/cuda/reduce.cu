extern "C" __global__ void __launch_bounds__(128) reduce_7_5000(float *__restrict__ data0, const float *__restrict__ data1) {
  __shared__ __align__(16) float scratch_r0_1_0_parts_1[4];
  const int r0_1_0 = threadIdx.x;
  const int o0 = blockIdx.x;
  float acc1 = 0.0f;
  float4 acc2 = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  for (int r0_0 = 0; r0_0 < 10; r0_0++) {
    float4 v3 = r0_0 * 128 + r0_1_0 < 1250 ? *(const float4 *)&data1[o0 * 5000 + r0_0 * 512 + r0_1_0 * 4] : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    unsigned char v4 = r0_0 * 128 + r0_1_0 < 1250;
    float4 v5 = make_float4(v4 ? v3.x : 0.0f, v4 ? v3.y : 0.0f, v4 ? v3.z : 0.0f, v4 ? v3.w : 0.0f);
    acc2.x += v5.x;
    acc2.y += v5.y;
    acc2.z += v5.z;
    acc2.w += v5.w;
  }
  float v6 = (acc2.x + acc2.y) + (acc2.z + acc2.w);
  float v7 = __shfl_xor_sync(0xffffffffu, v6, 16);
  float v8 = v6 + v7;
  float v9 = __shfl_xor_sync(0xffffffffu, v8, 8);
  float v10 = v8 + v9;
  float v11 = __shfl_xor_sync(0xffffffffu, v10, 4);
  float v12 = v10 + v11;
  float v13 = __shfl_xor_sync(0xffffffffu, v12, 2);
  float v14 = v12 + v13;
  float v15 = __shfl_xor_sync(0xffffffffu, v14, 1);
  if (r0_1_0 % 32 < 1) scratch_r0_1_0_parts_1[r0_1_0 / 32] = v14 + v15;
  __syncthreads();
  for (int r0_1_0g = 0; r0_1_0g < 4; r0_1_0g++) {
    float v16 = scratch_r0_1_0_parts_1[r0_1_0g];
    acc1 += v16;
  }
  if (r0_1_0 < 1) data0[o0] = acc1;
}
