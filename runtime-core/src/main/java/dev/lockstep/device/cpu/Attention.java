package dev.lockstep.device.cpu;

/// Causal self-attention: addresses and shape.
///
/// Queries are `[batch, queries, heads · size]`, keys and values `[batch, keys, groups · size]`,
/// either apart or side by side in one packed tensor. A **group** is a head of keys and values with
/// the `heads / groups` heads of queries that it serves. Query `i` sees keys `j ≤ firstQuery + i`,
/// nothing of a later token is touched: `t = scale · (q · k)` with the product one chain over the
/// head size; `e = exp(t - max t)`; `out = (Σ e v) · (1 / Σ e)` with the sum over keys one
/// ascending chain and the divisor 16 strided partial sums; `logSumExp = max t + log Σ e`.
///
/// Backward, `p = exp(t - logSumExp)`, `ds = p · (dout · v - dout · out) · scale`; dq sums `ds k`
/// over ascending keys; dk and dv sum `ds q` and `p dout`, inside each block of queries over the
/// heads of the group in order and ascending queries of each, the blocks joined by [Tree].
final class Attention {
  final int batch;
  final int queries;
  final int keys;
  final int firstQuery;
  final int heads;
  final int groups;
  final int size;
  final int queryBlocks;
  final float scale;

  /// Bytes from one token to the next among queries, among keys and values, and in `out`.
  final long queryStride;

  final long keyStride;
  final long outStride;
  long q;
  long k;
  long v;
  long out;
  long logSumExp;
  long dout;
  long dq;
  long dk;
  long dv;

  private Attention(int batch, Span span, Heads shape, int queryBlocks, boolean packed) {
    this.batch = batch;
    this.queries = span.queries;
    this.keys = span.keys;
    this.firstQuery = span.firstQuery;
    this.heads = shape.heads;
    this.groups = shape.groups;
    this.size = shape.size;
    this.queryBlocks = queryBlocks;
    this.scale = (float) (1 / Math.sqrt(size));
    this.outStride = 4L * heads * size;
    this.queryStride = packed ? 3 * outStride : outStride;
    this.keyStride = packed ? 3 * outStride : 4L * groups * size;
  }

  /// Positions.
  ///
  /// @param queries positions of queries
  /// @param keys positions of keys and values
  /// @param firstQuery the first query's position among the keys
  record Span(int queries, int keys, int firstQuery) {}

  /// Heads.
  ///
  /// @param heads heads of queries
  /// @param groups heads of keys and values; divides `heads`
  /// @param size features of a head
  record Heads(int heads, int groups, int size) {}

  /// Attention on `[batch, tokens, 3 · heads · size]`: queries, keys and values side by side.
  static Attention packed(int batch, int tokens, int heads, int size, int queryBlocks) {
    return new Attention(
        batch, new Span(tokens, tokens, 0), new Heads(heads, heads, size), queryBlocks, true);
  }

  /// Attention on tensors of their own.
  static Attention grouped(int batch, Span span, Heads shape, int queryBlocks) {
    return new Attention(batch, span, shape, queryBlocks, false);
  }

  /// Sets the addresses of packed queries, keys and values.
  void inputs(long qkv) {
    q = qkv;
    k = qkv + outStride;
    v = qkv + 2 * outStride;
  }

  /// Sets the addresses of their packed gradients.
  void gradients(long dqkv) {
    dq = dqkv;
    dk = dqkv + outStride;
    dv = dqkv + 2 * outStride;
  }

  /// Number of groups of all sequences.
  int count() {
    return batch * groups;
  }

  /// Heads of queries of a group.
  int share() {
    return heads / groups;
  }

  /// How many keys the query sees.
  int seen(int query) {
    return firstQuery + query + 1;
  }

  /// Offset of the first query of head `head` of the group in `q`.
  long queryOffset(int group, int head) {
    return sequence(group) * queries * queryStride + headOffset(group, head);
  }

  long outOffset(int group, int head) {
    return sequence(group) * queries * outStride + headOffset(group, head);
  }

  /// Offset of the group's first key or value.
  long keyOffset(int group) {
    return sequence(group) * keys * keyStride + 4L * size * (group % groups);
  }

  long logSumExpAt(int group, int head) {
    return logSumExp + ((long) group * share() + head) * queries * 4;
  }

  private long sequence(int group) {
    return group / groups;
  }

  private long headOffset(int group, int head) {
    return 4L * size * ((long) (group % groups) * share() + head);
  }
}
