// One parameter's update by AdamW with decoupled weight decay.
#include "grid.cuh"
#include "math.cuh"

// With g = grad gradScale: m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g g, one fused
// multiply-add each; p = (p - lr decay p) - (m lr / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) +
// epsilon), the two corrections rounded once from binary64. In place allowed.
extern "C" __global__ void adamw_f32(
    const float* param, const float* grad, const float* m, const float* v,
    const float* learningRate, const float* step, const float* gradScale, float* paramOut,
    float* mOut, float* vOut, float beta1, float beta2, float epsilon, float weightDecay,
    long long n) {
  __shared__ float coefficients[2];
  if (threadIdx.x == 0) {
    coefficients[0] = (float)(*learningRate / (1.0 - pow((double)beta1, (double)*step)));
    coefficients[1] = (float)(1.0 / (1.0 - pow((double)beta2, (double)*step)));
  }
  __syncthreads();
  float rate = coefficients[0];
  float correction = coefficients[1];
  float scale = *gradScale;
  float decay = -(*learningRate * weightDecay);
  for (long long i = LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {
    float g = grad[i] * scale;
    float first = fmaf(m[i], beta1, g * (1.0f - beta1));
    float second = fmaf(v[i], beta2, (g * (1.0f - beta2)) * g);
    float p = param[i];
    float down = sqrtf(second * correction) + epsilon;
    mOut[i] = first;
    vOut[i] = second;
    paramOut[i] = fmaf(p, decay, p) - (first * rate) / down;
  }
}
