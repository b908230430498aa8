package dev.lockstep.device.cpu;

/// Layer norm and root-mean-square norm; see [LayerNorms] for what is computed. Scratch is
/// [RowKernels#PARTIAL_BYTES] for rows and [RowKernels#columnScratchBytes] for columns.
interface NormKernels {
  /// Normalises rows `[from, to)`.
  void layerNorm(LayerNorms call, int from, int to, long scratch);

  /// The gradient of rows `[from, to)`.
  void layerNormGrad(LayerNorms call, int from, int to, long scratch);

  /// The gradients of gain and bias for columns `[from, to)`.
  void layerNormParamGrad(LayerNorms call, int from, int to, long scratch);

  /// Divides rows `[from, to)` by the root of their mean square.
  void rmsNorm(LayerNorms call, int from, int to, long scratch);

  /// The gradient of [#rmsNorm] for rows `[from, to)`.
  void rmsNormGrad(LayerNorms call, int from, int to, long scratch);

  /// The gradient of the gain of [#rmsNorm] for columns `[from, to)`.
  void rmsNormGainGrad(LayerNorms call, int from, int to, long scratch);
}
