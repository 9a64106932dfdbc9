static __device__ __forceinline__ float mg_max_f32(float a, float b) { return a > b || a != a ? a : b; }

extern "C" __global__ void __launch_bounds__(128) reduce_9_1000_1000(float *__restrict__ data0, const float *__restrict__ data1) {
  __shared__ __align__(16) float scratch_r0_1_parts_1[128];
  __shared__ __align__(16) float scratch_r1_1_parts_2[128];
  const int r0_1 = threadIdx.x;
  const int o0 = blockIdx.x;
  const int o1_1 = threadIdx.x;
  const int r1_1 = threadIdx.x;
  float acc1 = (-__int_as_float(0x7f800000));
  float acc2 = (-__int_as_float(0x7f800000));
  for (int r0_0 = 0; r0_0 < 8; r0_0++) {
    float v3 = r0_0 * 128 + r0_1 < 1000 ? data1[o0 * 1000 + r0_0 * 128 + r0_1] : 0.0f;
    acc2 = mg_max_f32(acc2, ((r0_0 * 128 + r0_1 < 1000) ? v3 : (-__int_as_float(0x7f800000))));
  }
  scratch_r0_1_parts_1[r0_1] = acc2;
  __syncthreads();
  for (int r0_1g = 0; r0_1g < 128; r0_1g++) {
    float v4 = scratch_r0_1_parts_1[r0_1g];
    acc1 = mg_max_f32(acc1, v4);
  }
  float v5 = -acc1;
  float acc6 = 0.0f;
  float acc7 = 0.0f;
  for (int r1_0 = 0; r1_0 < 8; r1_0++) {
    float v8 = r1_0 * 128 + r1_1 < 1000 ? data1[o0 * 1000 + r1_0 * 128 + r1_1] : 0.0f;
    acc7 += (r1_0 * 128 + r1_1 < 1000) ? expf(v5 + v8) : 0.0f;
  }
  scratch_r1_1_parts_2[r1_1] = acc7;
  __syncthreads();
  for (int r1_1g = 0; r1_1g < 128; r1_1g++) {
    float v9 = scratch_r1_1_parts_2[r1_1g];
    acc6 += v9;
  }
  for (int o1_0 = 0; o1_0 < 8; o1_0++) {
    float v10 = o1_0 * 128 + o1_1 < 1000 ? data1[o0 * 1000 + o1_0 * 128 + o1_1] : 0.0f;
    if (o1_0 * 128 + o1_1 < 1000) data0[o0 * 1000 + o1_0 * 128 + o1_1] = expf(v5 + v10) / acc6;
  }
}
