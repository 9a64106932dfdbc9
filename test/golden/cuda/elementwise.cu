extern "C" __global__ void __launch_bounds__(128) elementwise_10008(float *__restrict__ data0, const float *__restrict__ data1, const float *__restrict__ data2) {
  const int o0_0_0 = blockIdx.x;
  const int o0_0_1 = threadIdx.x;
  float4 v1 = o0_0_0 * 128 + o0_0_1 < 2502 ? *(const float4 *)&data2[o0_0_0 * 512 + o0_0_1 * 4] : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  float4 v2 = o0_0_0 * 128 + o0_0_1 < 2502 ? *(const float4 *)&data1[o0_0_0 * 512 + o0_0_1 * 4] : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  float4 v3 = make_float4(v1.x * v2.x, v1.y * v2.y, v1.z * v2.z, v1.w * v2.w);
  float4 v4 = make_float4(1.0f + v3.x, 1.0f + v3.y, 1.0f + v3.z, 1.0f + v3.w);
  float4 v5 = make_float4(expf(v4.x), expf(v4.y), expf(v4.z), expf(v4.w));
  if (o0_0_0 * 128 + o0_0_1 < 2502) *(float4 *)&data0[o0_0_0 * 512 + o0_0_1 * 4] = v5;
}
