package dev.lockstep.device.cpu;

/// [AttentionKernels] one element at a time: the fallback and the oracle.
final class ScalarAttention implements AttentionKernels {
  private final ScalarRows rows = new ScalarRows();

  @Override
  public long forwardScratchBytes(Attention call) {
    return RowKernels.PARTIAL_BYTES + call.tokens * 4L;
  }

  @Override
  public long backwardScratchBytes(Attention call) {
    return RowKernels.PARTIAL_BYTES
        + 8L * call.tokens
        + 2L * Tree.depth(call.queryBlocks) * gradBytes(call);
  }

  private static long gradBytes(Attention call) {
    return (long) call.tokens * call.size * 4;
  }

  @Override
  public void forward(Attention call, int index, long partials) {
    long scratch = partials + RowKernels.PARTIAL_BYTES;
    long values = call.qkv + call.offset(index, 2);
    for (int i = 0; i < call.tokens; i++) {
      scores(call, index, i, scratch);
      float greatest = rows.max(scratch, i + 1, partials);
      float sum = rows.exp(scratch, greatest, scratch, i + 1, partials);
      Memory.f32(call.logSumExpAt(index) + i * 4L, greatest + FloatMath.log(sum));
      long out = call.out + call.outOffset(index) + i * call.outStride;
      for (int d = 0; d < call.size; d++) {
        float v = overKeys(scratch, values + d * 4L, call.qkvStride, i);
        Memory.f32(out + d * 4L, v * (1f / sum));
      }
    }
  }

  /// `scale · (q · k)` of query `i` and keys `j ≤ i`.
  private static void scores(Attention call, int index, int i, long to) {
    long query = call.qkv + call.offset(index, 0) + i * call.qkvStride;
    long keys = call.qkv + call.offset(index, 1);
    for (int j = 0; j <= i; j++) {
      float t = chain(query, keys + j * call.qkvStride, call.size);
      Memory.f32(to + j * 4L, t * call.scale);
    }
  }

  private static float chain(long a, long b, int n) {
    float sum = 0f;
    for (int d = 0; d < n; d++) {
      sum = Math.fma(Memory.f32(a + d * 4L), Memory.f32(b + d * 4L), sum);
    }
    return sum;
  }

  private static float overKeys(long weights, long values, long stride, int last) {
    float sum = 0f;
    for (int j = 0; j <= last; j++) {
      sum = Math.fma(Memory.f32(weights + j * 4L), Memory.f32(values + j * stride), sum);
    }
    return sum;
  }

  @Override
  public void backward(Attention call, int index, long scratch) {
    long grads = scratch + RowKernels.PARTIAL_BYTES + 8L * call.tokens;
    long bytes = 2 * gradBytes(call);
    long top = grads;
    for (int block = 0; block < call.queryBlocks; block++) {
      Memory.zero(top, bytes);
      int end = Cuts.start(block + 1, call.tokens, call.queryBlocks);
      for (int i = Cuts.start(block, call.tokens, call.queryBlocks); i < end; i++) {
        query(call, index, i, scratch, top);
      }
      for (int joins = Tree.joinsAfter(block); joins > 0; joins--) {
        top -= bytes;
        join(top, bytes);
      }
      top += bytes;
    }
    for (top -= bytes; top > grads; ) {
      top -= bytes;
      join(top, bytes);
    }
    write(call, grads, call.dqkv + call.offset(index, 1));
    write(call, grads + gradBytes(call), call.dqkv + call.offset(index, 2));
  }

  private static void join(long top, long bytes) {
    for (long o = 0; o < bytes; o += 4) {
      Memory.f32(top + o, Memory.f32(top + o) + Memory.f32(top + bytes + o));
    }
  }

  private static void write(Attention call, long grads, long to) {
    for (int j = 0; j < call.tokens; j++) {
      Memory.copy(grads + j * 4L * call.size, to + j * call.qkvStride, call.size * 4L);
    }
  }

  /// Adds query `i`'s part of dk and dv into `grads` and writes its dq.
  private void query(Attention call, int index, int i, long scratch, long grads) {
    long p = scratch + RowKernels.PARTIAL_BYTES;
    long ds = p + call.tokens * 4L;
    long values = call.qkv + call.offset(index, 2);
    long dout = call.dout + call.outOffset(index) + i * call.outStride;
    long out = call.out + call.outOffset(index) + i * call.outStride;
    float delta = rows.dot(dout, out, call.size, scratch);
    float shift = Memory.f32(call.logSumExpAt(index) + i * 4L);
    scores(call, index, i, p);
    for (int j = 0; j <= i; j++) {
      float probability = FloatMath.exp(Memory.f32(p + j * 4L) - shift);
      float dp = chain(dout, values + j * call.qkvStride, call.size);
      Memory.f32(p + j * 4L, probability);
      Memory.f32(ds + j * 4L, (probability * (dp - delta)) * call.scale);
    }
    long keys = call.qkv + call.offset(index, 1);
    long query = call.qkv + call.offset(index, 0) + i * call.qkvStride;
    long dq = call.dqkv + call.offset(index, 0) + i * call.qkvStride;
    for (int d = 0; d < call.size; d++) {
      Memory.f32(dq + d * 4L, overKeys(ds, keys + d * 4L, call.qkvStride, i));
    }
    outer(ds, query, call.size, i, grads);
    outer(p, dout, call.size, i, grads + gradBytes(call));
  }

  private static void outer(long weights, long row, int n, int last, long grads) {
    for (int j = 0; j <= last; j++) {
      for (int d = 0; d < n; d++) {
        long at = grads + ((long) j * n + d) * 4;
        Memory.f32(
            at, Math.fma(Memory.f32(weights + j * 4L), Memory.f32(row + d * 4L), Memory.f32(at)));
      }
    }
  }
}
