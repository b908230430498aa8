package dev.lockstep.device.cpu;

/// [RowKernels] one element at a time: the fallback, the oracle, and the tails of the vector path.
final class ScalarRows implements RowKernels {
  private static final int PARTIALS = 16;

  /// One of the sums over a row, by what it adds.
  private enum Term {
    PLAIN,
    SQUARE,
    EXP,
    PRODUCT,
    SQUARED_DEVIATION,
    GRAD,
    GRAD_NORMAL
  }

  /// The sum of a row: `p[i] += p[i + 8]`, then 4, 2, 1, unrolled into the tree it is.
  private static float sum(Term term, long x, long y, long z, float a, float b, int n) {
    return eight(term, x, y, z, a, b, n, 0) + eight(term, x, y, z, a, b, n, 1);
  }

  private static float eight(
      Term term, long x, long y, long z, float a, float b, int n, int first) {
    return four(term, x, y, z, a, b, n, first) + four(term, x, y, z, a, b, n, first + 2);
  }

  private static float four(Term term, long x, long y, long z, float a, float b, int n, int first) {
    return two(term, x, y, z, a, b, n, first) + two(term, x, y, z, a, b, n, first + 4);
  }

  private static float two(Term term, long x, long y, long z, float a, float b, int n, int first) {
    return partial(term, x, y, z, a, b, n, first) + partial(term, x, y, z, a, b, n, first + 8);
  }

  private static float partial(
      Term term, long x, long y, long z, float a, float b, int n, int first) {
    float p = 0f;
    for (int i = first; i < n; i += PARTIALS) {
      float v = Memory.f32(x + i * 4L);
      p =
          switch (term) {
            case PLAIN -> p + v;
            case SQUARE -> Math.fma(v, v, p);
            case EXP -> p + FloatMath.exp(v - a);
            case PRODUCT -> Math.fma(v, Memory.f32(y + i * 4L), p);
            case SQUARED_DEVIATION -> Math.fma(v - a, v - a, p);
            case GRAD -> p + v * Memory.f32(y + i * 4L);
            case GRAD_NORMAL ->
                Math.fma(v * Memory.f32(y + i * 4L), (Memory.f32(z + i * 4L) - a) * b, p);
          };
    }
    return p;
  }

  @Override
  public float sum(long x, int n) {
    return sum(Term.PLAIN, x, 0, 0, 0f, 0f, n);
  }

  @Override
  public float sumSquares(long x, int n) {
    return sum(Term.SQUARE, x, 0, 0, 0f, 0f, n);
  }

  @Override
  public float max(long x, int n) {
    float greatest = Float.NEGATIVE_INFINITY;
    for (int i = 0; i < n; i++) {
      greatest = Math.max(greatest, Memory.f32(x + i * 4L));
    }
    return greatest;
  }

  @Override
  public float sumExp(long x, float shift, int n) {
    return sum(Term.EXP, x, 0, 0, shift, 0f, n);
  }

  @Override
  public float dot(long x, long y, int n) {
    return sum(Term.PRODUCT, x, y, 0, 0f, 0f, n);
  }

  @Override
  public float exp(long x, float shift, long out, int n) {
    for (int i = 0; i < n; i++) {
      Memory.f32(out + i * 4L, FloatMath.exp(Memory.f32(x + i * 4L) - shift));
    }
    return sum(out, n);
  }

  @Override
  public void layerNorm(LayerNorms call, int from, int to) {
    int n = call.width;
    for (int r = from; r < to; r++) {
      long x = call.x + r * 4L * n;
      float mean = sum(x, n) / n;
      float variance = sum(Term.SQUARED_DEVIATION, x, 0, 0, mean, 0f, n) / n;
      float rstd = 1f / (float) Math.sqrt(variance + call.epsilon);
      Memory.f32(call.mean + r * 4L, mean);
      Memory.f32(call.rstd + r * 4L, rstd);
      normalise(call, x, mean, rstd, call.y + r * 4L * n, 0);
    }
  }

  static void normalise(LayerNorms call, long x, float mean, float rstd, long y, int from) {
    for (int i = from; i < call.width; i++) {
      float normal = (Memory.f32(x + i * 4L) - mean) * rstd;
      float gain = Memory.f32(call.gain + i * 4L);
      Memory.f32(y + i * 4L, Math.fma(normal, gain, Memory.f32(call.bias + i * 4L)));
    }
  }

  @Override
  public void layerNormGrad(LayerNorms call, int from, int to) {
    int n = call.width;
    for (int r = from; r < to; r++) {
      long x = call.x + r * 4L * n;
      long dy = call.dy + r * 4L * n;
      float mean = Memory.f32(call.mean + r * 4L);
      float rstd = Memory.f32(call.rstd + r * 4L);
      float c1 = sum(Term.GRAD, dy, call.gain, 0, 0f, 0f, n) / n;
      float c2 = sum(Term.GRAD_NORMAL, dy, call.gain, x, mean, rstd, n) / n;
      gradRow(call, x, dy, mean, rstd, c1, c2, call.dx + r * 4L * n, 0);
    }
  }

  static void gradRow(
      LayerNorms call,
      long x,
      long dy,
      float mean,
      float rstd,
      float c1,
      float c2,
      long dx,
      int from) {
    for (int i = from; i < call.width; i++) {
      float normal = (Memory.f32(x + i * 4L) - mean) * rstd;
      float h = Memory.f32(dy + i * 4L) * Memory.f32(call.gain + i * 4L) - c1;
      Memory.f32(dx + i * 4L, Math.fma(normal, -c2, h) * rstd);
    }
  }

  @Override
  public void layerNormParamGrad(LayerNorms call, int from, int to, long scratch) {
    paramGrad(call, from, to, scratch);
  }

  static void paramGrad(LayerNorms call, int from, int to, long scratch) {
    int inner = call.rows / call.outer;
    for (int column = from; column < to; column++) {
      for (int j = 0; j < call.blocks; j++) {
        Tree.push(scratch, j, gainBlock(call, column, inner, j));
      }
      Memory.f32(call.dgain + column * 4L, Tree.join(scratch, call.blocks));
      for (int j = 0; j < call.blocks; j++) {
        Tree.push(
            scratch,
            j,
            columnBlock(call.dy, call.width, column, inner, call.outer, call.blocks, j));
      }
      Memory.f32(call.dbias + column * 4L, Tree.join(scratch, call.blocks));
    }
  }

  private static float gainBlock(LayerNorms call, int column, int inner, int j) {
    int lo = Cuts.start(j, inner, call.blocks);
    int hi = Cuts.start(j + 1, inner, call.blocks);
    float sum = 0f;
    for (int o = 0; o < call.outer; o++) {
      for (int t = o * inner + lo; t < o * inner + hi; t++) {
        long at = ((long) t * call.width + column) * 4;
        float normal = Memory.f32(call.x + at) - Memory.f32(call.mean + t * 4L);
        sum = Math.fma(Memory.f32(call.dy + at), normal * Memory.f32(call.rstd + t * 4L), sum);
      }
    }
    return sum;
  }

  private static float columnBlock(
      long x, int width, int column, int inner, int outer, int blocks, int j) {
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
  public void crossEntropyGrad(CrossEntropies call, float scale, int from, int to) {
    for (int r = from; r < to; r++) {
      long at = r * 4L * call.vocabulary;
      int target = Memory.i32(call.targets + r * 4L);
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
