package dev.lockstep.device.cpu;

/// [AttentionKernels] one element at a time: the fallback and the oracle.
final class ScalarAttention implements AttentionKernels {
  private final ScalarRows rows = new ScalarRows();

  @Override
  public long forwardScratchBytes(Attention call) {
    return RowKernels.PARTIAL_BYTES + call.keys * 4L;
  }

  @Override
  public long backwardScratchBytes(Attention call) {
    return RowKernels.PARTIAL_BYTES
        + 8L * call.keys
        + 2L * Tree.depth(call.queryBlocks) * gradBytes(call);
  }

  private static long gradBytes(Attention call) {
    return (long) call.keys * call.size * 4;
  }

  @Override
  public void forward(Attention call, int group, long scratch) {
    for (int head = 0; head < call.share(); head++) {
      for (int i = 0; i < call.queries; i++) {
        forward(call, group, head, i, scratch);
      }
    }
  }

  private void forward(Attention call, int group, int head, int i, long partials) {
    long scratch = partials + RowKernels.PARTIAL_BYTES;
    long values = call.v + call.keyOffset(group);
    int keys = call.seen(i);
    scores(call, group, head, i, scratch);
    float greatest = rows.max(scratch, keys, partials);
    float sum = rows.exp(scratch, greatest, scratch, keys, partials);
    Memory.f32(call.logSumExpAt(group, head) + i * 4L, greatest + FloatMath.log(sum));
    long out = call.out + call.outOffset(group, head) + i * call.outStride;
    for (int d = 0; d < call.size; d++) {
      float v = overKeys(scratch, values + d * 4L, call.keyStride, keys);
      Memory.f32(out + d * 4L, v * (1f / sum));
    }
  }

  /// `scale · (q · k)` of query `i` and the keys that it sees.
  private static void scores(Attention call, int group, int head, int i, long to) {
    long query = call.q + call.queryOffset(group, head) + i * call.queryStride;
    long keys = call.k + call.keyOffset(group);
    for (int j = 0; j < call.seen(i); j++) {
      float t = chain(query, keys + j * call.keyStride, call.size);
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

  private static float overKeys(long weights, long values, long stride, int keys) {
    float sum = 0f;
    for (int j = 0; j < keys; j++) {
      sum = Math.fma(Memory.f32(weights + j * 4L), Memory.f32(values + j * stride), sum);
    }
    return sum;
  }

  @Override
  public void backward(Attention call, int group, long scratch) {
    long grads = scratch + RowKernels.PARTIAL_BYTES + 8L * call.keys;
    long bytes = 2 * gradBytes(call);
    long top = grads;
    for (int block = 0; block < call.queryBlocks; block++) {
      Memory.zero(top, bytes);
      int end = Cuts.start(block + 1, call.queries, call.queryBlocks);
      for (int head = 0; head < call.share(); head++) {
        for (int i = Cuts.start(block, call.queries, call.queryBlocks); i < end; i++) {
          query(call, group, head, i, scratch, top);
        }
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
    write(call, grads, call.dk + call.keyOffset(group));
    write(call, grads + gradBytes(call), call.dv + call.keyOffset(group));
  }

  private static void join(long top, long bytes) {
    for (long o = 0; o < bytes; o += 4) {
      Memory.f32(top + o, Memory.f32(top + o) + Memory.f32(top + bytes + o));
    }
  }

  private static void write(Attention call, long grads, long to) {
    for (int j = 0; j < call.keys; j++) {
      Memory.copy(grads + j * 4L * call.size, to + j * call.keyStride, call.size * 4L);
    }
  }

  /// Adds query `i`'s part of dk and dv into `grads` and writes its dq.
  private void query(Attention call, int group, int head, int i, long scratch, long grads) {
    long p = scratch + RowKernels.PARTIAL_BYTES;
    long ds = p + call.keys * 4L;
    long values = call.v + call.keyOffset(group);
    long outAt = call.outOffset(group, head) + i * call.outStride;
    long dout = call.dout + outAt;
    float delta = rows.dot(dout, call.out + outAt, call.size, scratch);
    float shift = Memory.f32(call.logSumExpAt(group, head) + i * 4L);
    int seen = call.seen(i);
    scores(call, group, head, i, p);
    for (int j = 0; j < seen; j++) {
      float probability = FloatMath.exp(Memory.f32(p + j * 4L) - shift);
      float dp = chain(dout, values + j * call.keyStride, call.size);
      Memory.f32(p + j * 4L, probability);
      Memory.f32(ds + j * 4L, (probability * (dp - delta)) * call.scale);
    }
    long keys = call.k + call.keyOffset(group);
    long at = call.queryOffset(group, head) + i * call.queryStride;
    for (int d = 0; d < call.size; d++) {
      Memory.f32(call.dq + at + d * 4L, overKeys(ds, keys + d * 4L, call.keyStride, seen));
    }
    outer(ds, call.q + at, call.size, seen, grads);
    outer(p, dout, call.size, seen, grads + gradBytes(call));
  }

  private static void outer(long weights, long row, int n, int keys, long grads) {
    for (int j = 0; j < keys; j++) {
      for (int d = 0; d < n; d++) {
        long at = grads + ((long) j * n + d) * 4;
        Memory.f32(
            at, Math.fma(Memory.f32(weights + j * 4L), Memory.f32(row + d * 4L), Memory.f32(at)));
      }
    }
  }
}
