// One parameter's update by AdamW with decoupled weight decay.
#include "grid.cuh"
#include "math.cuh"
#include "powers.cuh"

// With g = grad gradScale: m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g g, one fused
// multiply-add each; p = (p - lr decay p) - (m lr / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) +
// epsilon), the two corrections rounded once from binary64. In place allowed.
struct Update {
  float beta1;
  float beta2;
  float epsilon;
  float rate;
  float correction;
  float scale;
  float decay;

  __device__ __forceinline__ void operator()(float& p, float grad, float& m, float& v) const {
    float g = grad * scale;
    m = fmaf(m, beta1, g * (1.0f - beta1));
    v = fmaf(v, beta2, (g * (1.0f - beta2)) * g);
    float down = sqrtf(v * correction) + epsilon;
    p = fmaf(p, decay, p) - (m * rate) / down;
  }
};

extern "C" __global__ void adamw_f32(
    const float* param, const float* grad, const float* m, const float* v,
    const float* learningRate, const float* step, const float* gradScale, float* paramOut,
    float* mOut, float* vOut, float beta1, float beta2, float epsilon, float weightDecay,
    long long n) {
  __shared__ float coefficients[2];
  if (threadIdx.x == 0) {
    coefficients[0] = (float)(*learningRate / (1.0 - ls_pow((double)beta1, (double)*step)));
    coefficients[1] = (float)(1.0 / (1.0 - ls_pow((double)beta2, (double)*step)));
  }
  __syncthreads();
  Update update = {beta1,      beta2, epsilon, coefficients[0], coefficients[1], *gradScale,
                   -(*learningRate * weightDecay)};
  bool aligned = ls_aligned(param, 16) && ls_aligned(grad, 16) && ls_aligned(m, 16) &&
                 ls_aligned(v, 16) && ls_aligned(paramOut, 16) && ls_aligned(mOut, 16) &&
                 ls_aligned(vOut, 16);
  long long vectors = aligned ? n / 4 : 0;
  for (long long i = LS_GRID_INDEX; i < vectors; i += LS_GRID_STRIDE) {
    float4 p = ((const float4*)param)[i];
    float4 g = ((const float4*)grad)[i];
    float4 first = ((const float4*)m)[i];
    float4 second = ((const float4*)v)[i];
    update(p.x, g.x, first.x, second.x);
    update(p.y, g.y, first.y, second.y);
    update(p.z, g.z, first.z, second.z);
    update(p.w, g.w, first.w, second.w);
    ((float4*)mOut)[i] = first;
    ((float4*)vOut)[i] = second;
    ((float4*)paramOut)[i] = p;
  }
  for (long long i = vectors * 4 + LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {
    float p = param[i];
    float first = m[i];
    float second = v[i];
    update(p, grad[i], first, second);
    mOut[i] = first;
    vOut[i] = second;
    paramOut[i] = p;
  }
}
