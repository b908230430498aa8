package dev.lockstep.device.cpu;

/// Causal softmax attention of one head of one sequence; see [Attention] for what is computed.
interface AttentionKernels {
  /// Room that a thread needs for [#forward].
  long forwardScratchBytes(Attention call);

  /// Room that a thread needs for [#backward].
  long backwardScratchBytes(Attention call);

  /// Computes the output and the log-sum-exp of head `index` (counted over sequences and heads).
  void forward(Attention call, int index, long scratch);

  /// Computes the gradients of q, k and v of head `index`.
  void backward(Attention call, int index, long scratch);
}
