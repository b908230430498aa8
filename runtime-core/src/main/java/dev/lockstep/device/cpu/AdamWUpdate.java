package dev.lockstep.device.cpu;

/// One update of AdamW with decoupled weight decay, and its coefficients.
///
/// With `g = grad · gradScale`: `m = β₁ m + (1 - β₁) g` and `v = β₂ v + (1 - β₂) g · g` (one fused
/// multiply-add each), `p = (p - lr · decay · p) - (m · lr / (1 - β₁^step)) / (sqrt(v · 1 / (1 -
/// β₂^step)) + ε)`, where the first difference is one fused multiply-add and the two corrections
/// are rounded once from float64.
final class AdamWUpdate {
  final float beta1;
  final float beta2;
  final float epsilon;
  final float weightDecay;
  long param;
  long grad;
  long m;
  long v;

  /// Where the results go; may be the memory of the inputs.
  long paramOut;

  long mOut;
  long vOut;
  float gradScale;
  float decay;
  float rate;
  float correction;

  AdamWUpdate(float beta1, float beta2, float epsilon, float weightDecay) {
    this.beta1 = beta1;
    this.beta2 = beta2;
    this.epsilon = epsilon;
    this.weightDecay = weightDecay;
  }

  /// Computes the coefficients of update number `step`, from 1.
  void at(float learningRate, float step, float scale) {
    gradScale = scale;
    decay = -(learningRate * weightDecay);
    rate = (float) (learningRate / (1.0 - StrictMath.pow(beta1, step)));
    correction = (float) (1.0 / (1.0 - StrictMath.pow(beta2, step)));
  }
}
