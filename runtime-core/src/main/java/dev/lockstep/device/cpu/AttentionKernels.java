package dev.lockstep.device.cpu;

/// Causal softmax attention of one group of heads of one sequence; see [Attention] for what is
/// computed.
interface AttentionKernels {
  /// Room that a thread needs for [#forward].
  long forwardScratchBytes(Attention call);

  /// Room that a thread needs for [#backward].
  long backwardScratchBytes(Attention call);

  /// Computes the output and the log-sum-exp of group `group` (counted over sequences and groups).
  void forward(Attention call, int group, long scratch);

  /// Computes the gradients of q, k and v of group `group`.
  void backward(Attention call, int group, long scratch);
}
