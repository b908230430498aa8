package dev.lockstep.device.cpu;

/// Causal self-attention on packed activations: addresses and shape.
///
/// `qkv` is `[batch, tokens, 3 · heads · size]`, queries, keys and values side by side. For query
/// `i` and keys `j ≤ i`, nothing of a later token is touched: `t = scale · (q · k)` with the
/// product one chain over the head size; `e = exp(t - max t)`; `out = (Σ e v) · (1 / Σ e)` with the
/// sum over keys one ascending chain and the divisor 16 strided partial sums; `logSumExp = max t +
/// log Σ e`.
///
/// Backward, `p = exp(t - logSumExp)`, `ds = p · (dout · v - dout · out) · scale`; dq sums `ds k`
/// over ascending keys; dk and dv sum `ds q` and `p dout` over ascending queries inside each block
/// of queries, the blocks joined by [Tree].
final class Attention {
  final int batch;
  final int tokens;
  final int heads;
  final int size;
  final int queryBlocks;
  final float scale;

  /// Bytes from one token to the next in `qkv` and in `out`.
  final long qkvStride;

  final long outStride;
  long qkv;
  long out;
  long logSumExp;
  long dout;
  long dqkv;

  Attention(int batch, int tokens, int heads, int size, int queryBlocks) {
    this.batch = batch;
    this.tokens = tokens;
    this.heads = heads;
    this.size = size;
    this.queryBlocks = queryBlocks;
    this.scale = (float) (1 / Math.sqrt(size));
    this.outStride = 4L * heads * size;
    this.qkvStride = 3 * outStride;
  }

  int count() {
    return batch * heads;
  }

  /// Offset of the head's queries (`part` 0), keys (1) or values (2) of the first token.
  long offset(int index, int part) {
    return (long) (index / heads) * tokens * qkvStride
        + part * outStride
        + 4L * size * (index % heads);
  }

  long outOffset(int index) {
    return (long) (index / heads) * tokens * outStride + 4L * size * (index % heads);
  }

  long logSumExpAt(int index) {
    return logSumExp + (long) index * tokens * 4;
  }
}
