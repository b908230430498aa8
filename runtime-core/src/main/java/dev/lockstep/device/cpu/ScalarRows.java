package dev.lockstep.device.cpu;

/// [RowKernels] one element at a time: the fallback, the oracle, and the tails of the vector path.
final class ScalarRows implements RowKernels {
  private static final int PARTIALS = 16;

  static long partial(long scratch, int i) {
    return scratch + i % PARTIALS * 4L;
  }

  static void clear(long scratch, float value) {
    ScalarElements.fillRange(value, scratch, 0, PARTIALS);
  }

  /// Joins 16 partial sums by halves, in registers: a row is often short.
  static float join(long scratch) {
    float p0 = Memory.f32(scratch) + Memory.f32(scratch + 32);
    float p1 = Memory.f32(scratch + 4) + Memory.f32(scratch + 36);
    float p2 = Memory.f32(scratch + 8) + Memory.f32(scratch + 40);
    float p3 = Memory.f32(scratch + 12) + Memory.f32(scratch + 44);
    float p4 = Memory.f32(scratch + 16) + Memory.f32(scratch + 48);
    float p5 = Memory.f32(scratch + 20) + Memory.f32(scratch + 52);
    float p6 = Memory.f32(scratch + 24) + Memory.f32(scratch + 56);
    float p7 = Memory.f32(scratch + 28) + Memory.f32(scratch + 60);
    p0 = p0 + p4;
    p1 = p1 + p5;
    p2 = p2 + p6;
    p3 = p3 + p7;
    p0 = p0 + p2;
    p1 = p1 + p3;
    return p0 + p1;
  }

  static void add(long p, float term) {
    Memory.f32(p, Memory.f32(p) + term);
  }

  static void addProduct(long p, float a, float b) {
    Memory.f32(p, Math.fma(a, b, Memory.f32(p)));
  }

  @Override
  public float sum(long x, int n, long scratch) {
    clear(scratch, 0f);
    return sumRest(x, 0, n, scratch);
  }

  static float sumRest(long x, int from, int n, long scratch) {
    for (int i = from; i < n; i++) {
      add(partial(scratch, i), Memory.f32(x + i * 4L));
    }
    return join(scratch);
  }

  @Override
  public float sumSquares(long x, int n, long scratch) {
    clear(scratch, 0f);
    return sumSquaresRest(x, 0, n, scratch);
  }

  static float sumSquaresRest(long x, int from, int n, long scratch) {
    for (int i = from; i < n; i++) {
      float v = Memory.f32(x + i * 4L);
      addProduct(partial(scratch, i), v, v);
    }
    return join(scratch);
  }

  @Override
  public float max(long x, int n, long scratch) {
    clear(scratch, Float.NEGATIVE_INFINITY);
    return maxRest(x, 0, n, scratch);
  }

  static float maxRest(long x, int from, int n, long scratch) {
    for (int i = from; i < n; i++) {
      long p = partial(scratch, i);
      Memory.f32(p, Math.max(Memory.f32(p), Memory.f32(x + i * 4L)));
    }
    return greatest(scratch);
  }

  /// The greatest of 16 partial maxima.
  static float greatest(long scratch) {
    float p0 = Math.max(Memory.f32(scratch), Memory.f32(scratch + 32));
    float p1 = Math.max(Memory.f32(scratch + 4), Memory.f32(scratch + 36));
    float p2 = Math.max(Memory.f32(scratch + 8), Memory.f32(scratch + 40));
    float p3 = Math.max(Memory.f32(scratch + 12), Memory.f32(scratch + 44));
    float p4 = Math.max(Memory.f32(scratch + 16), Memory.f32(scratch + 48));
    float p5 = Math.max(Memory.f32(scratch + 20), Memory.f32(scratch + 52));
    float p6 = Math.max(Memory.f32(scratch + 24), Memory.f32(scratch + 56));
    float p7 = Math.max(Memory.f32(scratch + 28), Memory.f32(scratch + 60));
    p0 = Math.max(p0, p4);
    p1 = Math.max(p1, p5);
    p2 = Math.max(p2, p6);
    p3 = Math.max(p3, p7);
    p0 = Math.max(p0, p2);
    p1 = Math.max(p1, p3);
    return Math.max(p0, p1);
  }

  @Override
  public float dot(long x, long y, int n, long scratch) {
    clear(scratch, 0f);
    return dotRest(x, y, 0, n, scratch);
  }

  static float dotRest(long x, long y, int from, int n, long scratch) {
    for (int i = from; i < n; i++) {
      addProduct(partial(scratch, i), Memory.f32(x + i * 4L), Memory.f32(y + i * 4L));
    }
    return join(scratch);
  }

  @Override
  public float exp(long x, float shift, long out, int n, long scratch) {
    clear(scratch, 0f);
    return expRest(x, shift, out, 0, n, scratch);
  }

  static float expRest(long x, float shift, long out, int from, int n, long scratch) {
    for (int i = from; i < n; i++) {
      float e = FloatMath.exp(Memory.f32(x + i * 4L) - shift);
      Memory.f32(out + i * 4L, e);
      add(partial(scratch, i), e);
    }
    return join(scratch);
  }

  static float columnBlock(long x, int width, int column, int inner, int outer, int blocks, int j) {
    int lo = Cuts.start(j, inner, blocks);
    int hi = Cuts.start(j + 1, inner, blocks);
    float sum = 0f;
    for (int o = 0; o < outer; o++) {
      for (int t = o * inner + lo; t < o * inner + hi; t++) {
        sum += Memory.f32(x + ((long) t * width + column) * 4);
      }
    }
    return sum;
  }

  @Override
  public void columnSums(ColumnSums call, int from, int to, long scratch) {
    sumColumns(call, from, to, scratch);
  }

  static void sumColumns(ColumnSums call, int from, int to, long scratch) {
    int inner = call.rows / call.outer;
    for (int column = from; column < to; column++) {
      for (int j = 0; j < call.blocks; j++) {
        Tree.push(
            scratch, j, columnBlock(call.x, call.width, column, inner, call.outer, call.blocks, j));
      }
      Memory.f32(call.out + column * 4L, Tree.join(scratch, call.blocks));
    }
  }

  @Override
  public void crossEntropyGrad(CrossEntropies call, float scale, int from, int to, long scratch) {
    for (int r = from; r < to; r++) {
      long at = r * 4L * call.vocabulary;
      int target = call.target(r);
      if (target < 0) {
        ScalarElements.fillRange(0f, call.dlogits + at, 0, call.vocabulary);
      } else {
        float shift = Memory.f32(call.logSumExp + r * 4L);
        probabilities(call.logits + at, shift, scale, call.dlogits + at, 0, call.vocabulary);
        subtractTarget(call, r, target, scale);
      }
    }
  }

  static void probabilities(long x, float shift, float scale, long out, int from, int to) {
    for (int i = from; i < to; i++) {
      Memory.f32(out + i * 4L, FloatMath.exp(Memory.f32(x + i * 4L) - shift) * scale);
    }
  }

  static void subtractTarget(CrossEntropies call, int row, int target, float scale) {
    long at = ((long) row * call.vocabulary + target) * 4;
    float probability =
        FloatMath.exp(Memory.f32(call.logits + at) - Memory.f32(call.logSumExp + row * 4L));
    Memory.f32(call.dlogits + at, (probability - 1f) * scale);
  }
}
