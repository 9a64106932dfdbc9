static __device__ __forceinline__ int imax(int a, int b) { return a > b ? a : b; }

static __device__ __forceinline__ int imin(int a, int b) { return a < b ? a : b; }

static __device__ __forceinline__ float mg_max_f32(float a, float b) { return a > b || a != a ? a : b; }

extern "C" __global__ void __launch_bounds__(256) attention_2_100_32_32_100(float *__restrict__ data0, const float *__restrict__ data1, const float *__restrict__ data2, const float *__restrict__ data3) {
  __shared__ __align__(16) float scratch_p3[512];
  __shared__ __align__(16) float scratch_p1[512];
  __shared__ __align__(16) float scratch_p2[512];
  __shared__ __align__(16) float scratch_v1[1600];
  __shared__ __align__(16) float scratch_r1_1_parts_1[256];
  __shared__ __align__(16) float scratch_v3[1600];
  __shared__ __align__(16) float scratch_r2_1_parts_2[256];
  const int o1_0 = blockIdx.x;
  const int o2_1 = threadIdx.x;
  const int o0 = blockIdx.y;
  const int p3_1 = threadIdx.y;
  const int p3_2_1 = threadIdx.x;
  const int o1_1 = threadIdx.y;
  const int v3_1 = threadIdx.y;
  const int r1_1 = threadIdx.x;
  const int v1_1 = threadIdx.y;
  const int v1_2_1 = threadIdx.x;
  const int p1_1 = threadIdx.y;
  const int p1_2_1 = threadIdx.x;
  const int p2_1 = threadIdx.y;
  const int p2_2_1 = threadIdx.x;
  const int v3_2_1 = threadIdx.x;
  const int r2_1 = threadIdx.x;
  float acc1 = 0.0f;
  float acc2 = 0.0f;
  float acc3 = (-__int_as_float(0x7f800000));
  float acc4 = (-__int_as_float(0x7f800000));
  for (int p1_2_0 = 0; p1_2_0 < 2; p1_2_0++) {
    float v5 = o1_0 * 16 + p1_1 < 100 ? data1[o0 * 3200 + o1_0 * 512 + p1_1 * 32 + p1_2_0 * 16 + p1_2_1] : 0.0f;
    scratch_p1[p1_1 * 32 + p1_2_0 * 16 + p1_2_1] = v5;
  }
  for (int v1_2_0 = 0; v1_2_0 < (imin(100, imax(((imin(((imin(100, o1_0 * 16 + 16) + 15) / 16) * 16, 100) + 15) / 16) * 16, ((imin(100, o1_0 * 16 + 16) + 15) / 16) * 16)) + 15) / 16; v1_2_0++) {
    float acc6 = 0.0f;
    __syncthreads();
    for (int p2_2_0 = 0; p2_2_0 < 2; p2_2_0++) {
      float v7 = p2_1 + v1_2_0 * 16 < 100 ? data2[o0 * 3200 + p2_1 * 32 + p2_2_0 * 16 + p2_2_1 + v1_2_0 * 512] : 0.0f;
      scratch_p2[p2_1 * 32 + p2_2_0 * 16 + p2_2_1] = v7;
    }
    __syncthreads();
    for (int r0 = 0; r0 < 32; r0++) {
      float v8 = scratch_p1[r0 + v1_1 * 32];
      float v9 = scratch_p2[r0 + v1_2_1 * 32];
      acc6 += v8 * v9;
    }
    float v10 = (o1_0 * 16 + v1_1 < v1_2_0 * 16 + v1_2_1) ? (-__int_as_float(0x7f800000)) : (0.1767766922712326f * acc6);
    if (v1_2_0 * 16 + v1_2_1 < 100) scratch_v1[v1_1 * 100 + v1_2_0 * 16 + v1_2_1] = v10;
  }
  __syncthreads();
  for (int r1_0 = 0; r1_0 < (imin(100, o1_0 * 16 + 16) + 15) / 16; r1_0++) {
    float v11 = r1_0 * 16 + r1_1 < 100 ? scratch_v1[r1_0 * 16 + r1_1 + v3_1 * 100] : 0.0f;
    acc4 = mg_max_f32(acc4, ((imax(-100, -o1_0 * 16 - 16) + r1_0 * 16 + r1_1 < 0) ? v11 : (-__int_as_float(0x7f800000))));
  }
  scratch_r1_1_parts_1[r1_1 + v3_1 * 16] = acc4;
  __syncthreads();
  for (int r1_1g = 0; r1_1g < 16; r1_1g++) {
    float v12 = scratch_r1_1_parts_1[r1_1g + v3_1 * 16];
    acc3 = mg_max_f32(acc3, v12);
  }
  float v13 = -acc3;
  for (int v3_2_0 = 0; v3_2_0 < (imin(((imin(100, o1_0 * 16 + 16) + 15) / 16) * 16, 100) + 15) / 16; v3_2_0++) {
    float v14 = v3_2_0 * 16 + v3_2_1 < 100 ? scratch_v1[v3_1 * 100 + v3_2_0 * 16 + v3_2_1] : 0.0f;
    if (v3_2_0 * 16 + v3_2_1 < 100) scratch_v3[v3_1 * 100 + v3_2_0 * 16 + v3_2_1] = expf(v13 + v14);
  }
  for (int r3_0 = 0; r3_0 < (imin(100, o1_0 * 16 + 16) + 15) / 16; r3_0++) {
    __syncthreads();
    for (int p3_2_0 = 0; p3_2_0 < 2; p3_2_0++) {
      float v15 = p3_1 + r3_0 * 16 < 100 ? data3[o0 * 3200 + p3_1 * 32 + p3_2_0 * 16 + p3_2_1 + r3_0 * 512] : 0.0f;
      scratch_p3[p3_1 * 32 + p3_2_0 * 16 + p3_2_1] = v15;
    }
    __syncthreads();
    for (int r3_1 = 0; r3_1 < 16; r3_1++) {
      unsigned char v16 = imax(-100, -o1_0 * 16 - 16) + r3_0 * 16 + r3_1 < 0;
      float v17 = scratch_p3[o2_1 + r3_1 * 32];
      float v18 = r3_0 * 16 + r3_1 < 100 ? scratch_v3[o1_1 * 100 + r3_0 * 16 + r3_1] : 0.0f;
      float v19 = scratch_p3[o2_1 + r3_1 * 32 + 16];
      acc1 += v16 ? (v17 * v18) : 0.0f;
      acc2 += v16 ? (v19 * v18) : 0.0f;
    }
  }
  float acc20 = 0.0f;
  float acc21 = 0.0f;
  for (int r2_0 = 0; r2_0 < (imin(100, o1_0 * 16 + 16) + 15) / 16; r2_0++) {
    float v22 = r2_0 * 16 + r2_1 < 100 ? scratch_v3[o1_1 * 100 + r2_0 * 16 + r2_1] : 0.0f;
    acc21 += (imax(-100, -o1_0 * 16 - 16) + r2_0 * 16 + r2_1 < 0) ? v22 : 0.0f;
  }
  scratch_r2_1_parts_2[o1_1 * 16 + r2_1] = acc21;
  __syncthreads();
  for (int r2_1g = 0; r2_1g < 16; r2_1g++) {
    float v23 = scratch_r2_1_parts_2[o1_1 * 16 + r2_1g];
    acc20 += v23;
  }
  if (o1_0 * 16 + o1_1 < 100) data0[o0 * 3200 + o1_0 * 512 + o1_1 * 32 + o2_1] = acc1 / acc20;
  if (o1_0 * 16 + o1_1 < 100) data0[o0 * 3200 + o1_0 * 512 + o1_1 * 32 + o2_1 + 16] = acc2 / acc20;
}
