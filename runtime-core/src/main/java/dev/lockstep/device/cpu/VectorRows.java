package dev.lockstep.device.cpu;

import java.lang.invoke.MethodHandles;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/// [RowKernels] on the Vector API, one hidden class per width (see [KernelSet]).
///
/// The 16 partial sums of a row are 1, 2 or 4 vectors; what a narrower species does not need is
/// never executed. Lanes beyond the end of a row are masked: they keep what they hold.
final class VectorRows implements RowKernels {
  private static final VectorSpecies<Float> S = KernelSet.species(MethodHandles.lookup());
  private static final int LANES = S.length();
  private static final long VECTOR = S.vectorByteSize();
  private static final int PARTIALS = 16;
  private static final int PARTS = PARTIALS / LANES;
  private static final VectorShuffle<Float> BY_8 = VectorShuffle.iota(S, 8 % LANES, 1, true);
  private static final VectorShuffle<Float> BY_4 = VectorShuffle.iota(S, 4 % LANES, 1, true);
  private static final VectorShuffle<Float> BY_2 = VectorShuffle.iota(S, 2, 1, true);
  private static final VectorShuffle<Float> BY_1 = VectorShuffle.iota(S, 1, 1, true);

  private static FloatVector load(long row, int i) {
    return Memory.load(S, row + i * 4L);
  }

  private static FloatVector load(long row, int i, VectorMask<Float> mask) {
    return Memory.load(S, row + i * 4L, mask);
  }

  /// Joins 16 partial sums by halves.
  private static float join(FloatVector p0, FloatVector p1, FloatVector p2, FloatVector p3) {
    FloatVector p = p0;
    if (PARTS == 4) {
      p = p0.add(p2).add(p1.add(p3));
    } else if (PARTS == 2) {
      p = p0.add(p1);
    }
    if (LANES > 8) {
      p = p.add(p.rearrange(BY_8));
    }
    if (LANES > 4) {
      p = p.add(p.rearrange(BY_4));
    }
    p = p.add(p.rearrange(BY_2));
    return p.add(p.rearrange(BY_1)).lane(0);
  }

  @Override
  public float sum(long x, int n) {
    FloatVector p0 = FloatVector.broadcast(S, 0f);
    FloatVector p1 = p0;
    FloatVector p2 = p0;
    FloatVector p3 = p0;
    int i = 0;
    for (; i <= n - PARTIALS; i += PARTIALS) {
      p0 = sumStep(p0, x, i);
      if (PARTS > 1) {
        p1 = sumStep(p1, x, i + LANES);
      }
      if (PARTS > 2) {
        p2 = sumStep(p2, x, i + 2 * LANES);
        p3 = sumStep(p3, x, i + 3 * LANES);
      }
    }
    if (i < n) {
      p0 = sumRest(p0, x, i, n);
      if (PARTS > 1) {
        p1 = sumRest(p1, x, i + LANES, n);
      }
      if (PARTS > 2) {
        p2 = sumRest(p2, x, i + 2 * LANES, n);
        p3 = sumRest(p3, x, i + 3 * LANES, n);
      }
    }
    return join(p0, p1, p2, p3);
  }

  private static FloatVector sumStep(FloatVector p, long x, int i) {
    return p.add(load(x, i));
  }

  private static FloatVector sumRest(FloatVector p, long x, int i, int n) {
    VectorMask<Float> mask = S.indexInRange(i, n);
    return p.add(load(x, i, mask), mask);
  }

  @Override
  public float sumSquares(long x, int n) {
    FloatVector p0 = FloatVector.broadcast(S, 0f);
    FloatVector p1 = p0;
    FloatVector p2 = p0;
    FloatVector p3 = p0;
    int i = 0;
    for (; i <= n - PARTIALS; i += PARTIALS) {
      p0 = sumSquaresStep(p0, x, i);
      if (PARTS > 1) {
        p1 = sumSquaresStep(p1, x, i + LANES);
      }
      if (PARTS > 2) {
        p2 = sumSquaresStep(p2, x, i + 2 * LANES);
        p3 = sumSquaresStep(p3, x, i + 3 * LANES);
      }
    }
    if (i < n) {
      p0 = sumSquaresRest(p0, x, i, n);
      if (PARTS > 1) {
        p1 = sumSquaresRest(p1, x, i + LANES, n);
      }
      if (PARTS > 2) {
        p2 = sumSquaresRest(p2, x, i + 2 * LANES, n);
        p3 = sumSquaresRest(p3, x, i + 3 * LANES, n);
      }
    }
    return join(p0, p1, p2, p3);
  }

  private static FloatVector sumSquaresStep(FloatVector p, long x, int i) {
    FloatVector v = load(x, i);
    return v.fma(v, p);
  }

  private static FloatVector sumSquaresRest(FloatVector p, long x, int i, int n) {
    VectorMask<Float> mask = S.indexInRange(i, n);
    FloatVector v = load(x, i, mask);
    return p.blend(v.fma(v, p), mask);
  }

  @Override
  public float max(long x, int n) {
    FloatVector p0 = FloatVector.broadcast(S, Float.NEGATIVE_INFINITY);
    FloatVector p1 = p0;
    FloatVector p2 = p0;
    FloatVector p3 = p0;
    int i = 0;
    for (; i <= n - PARTIALS; i += PARTIALS) {
      p0 = maxStep(p0, x, i);
      if (PARTS > 1) {
        p1 = maxStep(p1, x, i + LANES);
      }
      if (PARTS > 2) {
        p2 = maxStep(p2, x, i + 2 * LANES);
        p3 = maxStep(p3, x, i + 3 * LANES);
      }
    }
    if (i < n) {
      p0 = maxRest(p0, x, i, n);
      if (PARTS > 1) {
        p1 = maxRest(p1, x, i + LANES, n);
      }
      if (PARTS > 2) {
        p2 = maxRest(p2, x, i + 2 * LANES, n);
        p3 = maxRest(p3, x, i + 3 * LANES, n);
      }
    }
    return greatest(p0, p1, p2, p3);
  }

  private static FloatVector maxStep(FloatVector p, long x, int i) {
    return p.max(load(x, i));
  }

  private static FloatVector maxRest(FloatVector p, long x, int i, int n) {
    VectorMask<Float> mask = S.indexInRange(i, n);
    return p.blend(p.max(load(x, i, mask)), mask);
  }

  private static float greatest(FloatVector p0, FloatVector p1, FloatVector p2, FloatVector p3) {
    return p0.max(p1).max(p2.max(p3)).reduceLanes(VectorOperators.MAX);
  }

  @Override
  public float sumExp(long x, float shift, int n) {
    FloatVector p0 = FloatVector.broadcast(S, 0f);
    FloatVector p1 = p0;
    FloatVector p2 = p0;
    FloatVector p3 = p0;
    int i = 0;
    for (; i <= n - PARTIALS; i += PARTIALS) {
      p0 = sumExpStep(p0, x, shift, i);
      if (PARTS > 1) {
        p1 = sumExpStep(p1, x, shift, i + LANES);
      }
      if (PARTS > 2) {
        p2 = sumExpStep(p2, x, shift, i + 2 * LANES);
        p3 = sumExpStep(p3, x, shift, i + 3 * LANES);
      }
    }
    if (i < n) {
      p0 = sumExpRest(p0, x, shift, i, n);
      if (PARTS > 1) {
        p1 = sumExpRest(p1, x, shift, i + LANES, n);
      }
      if (PARTS > 2) {
        p2 = sumExpRest(p2, x, shift, i + 2 * LANES, n);
        p3 = sumExpRest(p3, x, shift, i + 3 * LANES, n);
      }
    }
    return join(p0, p1, p2, p3);
  }

  private static FloatVector sumExpStep(FloatVector p, long x, float shift, int i) {
    return p.add(VectorMath.exp(S, load(x, i).sub(shift)));
  }

  private static FloatVector sumExpRest(FloatVector p, long x, float shift, int i, int n) {
    VectorMask<Float> mask = S.indexInRange(i, n);
    return p.add(VectorMath.exp(S, load(x, i, mask).sub(shift)), mask);
  }

  @Override
  public float exp(long x, float shift, long out, int n) {
    FloatVector p0 = FloatVector.broadcast(S, 0f);
    FloatVector p1 = p0;
    FloatVector p2 = p0;
    FloatVector p3 = p0;
    int i = 0;
    for (; i <= n - PARTIALS; i += PARTIALS) {
      p0 = expStep(p0, x, shift, out, i);
      if (PARTS > 1) {
        p1 = expStep(p1, x, shift, out, i + LANES);
      }
      if (PARTS > 2) {
        p2 = expStep(p2, x, shift, out, i + 2 * LANES);
        p3 = expStep(p3, x, shift, out, i + 3 * LANES);
      }
    }
    if (i < n) {
      p0 = expRest(p0, x, shift, out, i, n);
      if (PARTS > 1) {
        p1 = expRest(p1, x, shift, out, i + LANES, n);
      }
      if (PARTS > 2) {
        p2 = expRest(p2, x, shift, out, i + 2 * LANES, n);
        p3 = expRest(p3, x, shift, out, i + 3 * LANES, n);
      }
    }
    return join(p0, p1, p2, p3);
  }

  private static FloatVector expStep(FloatVector p, long x, float shift, long out, int i) {
    FloatVector e = VectorMath.exp(S, load(x, i).sub(shift));
    Memory.store(e, out + i * 4L);
    return p.add(e);
  }

  private static FloatVector expRest(FloatVector p, long x, float shift, long out, int i, int n) {
    VectorMask<Float> mask = S.indexInRange(i, n);
    FloatVector e = VectorMath.exp(S, load(x, i, mask).sub(shift));
    Memory.store(e, out + i * 4L, mask);
    return p.add(e, mask);
  }

  @Override
  public float dot(long x, long y, int n) {
    FloatVector p0 = FloatVector.broadcast(S, 0f);
    FloatVector p1 = p0;
    FloatVector p2 = p0;
    FloatVector p3 = p0;
    int i = 0;
    for (; i <= n - PARTIALS; i += PARTIALS) {
      p0 = dotStep(p0, x, y, i);
      if (PARTS > 1) {
        p1 = dotStep(p1, x, y, i + LANES);
      }
      if (PARTS > 2) {
        p2 = dotStep(p2, x, y, i + 2 * LANES);
        p3 = dotStep(p3, x, y, i + 3 * LANES);
      }
    }
    if (i < n) {
      p0 = dotRest(p0, x, y, i, n);
      if (PARTS > 1) {
        p1 = dotRest(p1, x, y, i + LANES, n);
      }
      if (PARTS > 2) {
        p2 = dotRest(p2, x, y, i + 2 * LANES, n);
        p3 = dotRest(p3, x, y, i + 3 * LANES, n);
      }
    }
    return join(p0, p1, p2, p3);
  }

  private static FloatVector dotStep(FloatVector p, long x, long y, int i) {
    return load(x, i).fma(load(y, i), p);
  }

  private static FloatVector dotRest(FloatVector p, long x, long y, int i, int n) {
    VectorMask<Float> mask = S.indexInRange(i, n);
    return p.blend(load(x, i, mask).fma(load(y, i, mask), p), mask);
  }

  private static float squaredDeviations(long x, float mean, int n) {
    FloatVector p0 = FloatVector.broadcast(S, 0f);
    FloatVector p1 = p0;
    FloatVector p2 = p0;
    FloatVector p3 = p0;
    int i = 0;
    for (; i <= n - PARTIALS; i += PARTIALS) {
      p0 = squaredDeviationsStep(p0, x, mean, i);
      if (PARTS > 1) {
        p1 = squaredDeviationsStep(p1, x, mean, i + LANES);
      }
      if (PARTS > 2) {
        p2 = squaredDeviationsStep(p2, x, mean, i + 2 * LANES);
        p3 = squaredDeviationsStep(p3, x, mean, i + 3 * LANES);
      }
    }
    if (i < n) {
      p0 = squaredDeviationsRest(p0, x, mean, i, n);
      if (PARTS > 1) {
        p1 = squaredDeviationsRest(p1, x, mean, i + LANES, n);
      }
      if (PARTS > 2) {
        p2 = squaredDeviationsRest(p2, x, mean, i + 2 * LANES, n);
        p3 = squaredDeviationsRest(p3, x, mean, i + 3 * LANES, n);
      }
    }
    return join(p0, p1, p2, p3);
  }

  private static FloatVector squaredDeviationsStep(FloatVector p, long x, float mean, int i) {
    FloatVector d = load(x, i).sub(mean);
    return d.fma(d, p);
  }

  private static FloatVector squaredDeviationsRest(
      FloatVector p, long x, float mean, int i, int n) {
    VectorMask<Float> mask = S.indexInRange(i, n);
    FloatVector d = load(x, i, mask).sub(mean);
    return p.blend(d.fma(d, p), mask);
  }

  private static float gradDot(long dy, long gain, long x, float mean, float rstd, int n) {
    FloatVector p0 = FloatVector.broadcast(S, 0f);
    FloatVector p1 = p0;
    FloatVector p2 = p0;
    FloatVector p3 = p0;
    int i = 0;
    for (; i <= n - PARTIALS; i += PARTIALS) {
      p0 = gradDotStep(p0, dy, gain, x, mean, rstd, i);
      if (PARTS > 1) {
        p1 = gradDotStep(p1, dy, gain, x, mean, rstd, i + LANES);
      }
      if (PARTS > 2) {
        p2 = gradDotStep(p2, dy, gain, x, mean, rstd, i + 2 * LANES);
        p3 = gradDotStep(p3, dy, gain, x, mean, rstd, i + 3 * LANES);
      }
    }
    if (i < n) {
      p0 = gradDotRest(p0, dy, gain, x, mean, rstd, i, n);
      if (PARTS > 1) {
        p1 = gradDotRest(p1, dy, gain, x, mean, rstd, i + LANES, n);
      }
      if (PARTS > 2) {
        p2 = gradDotRest(p2, dy, gain, x, mean, rstd, i + 2 * LANES, n);
        p3 = gradDotRest(p3, dy, gain, x, mean, rstd, i + 3 * LANES, n);
      }
    }
    return join(p0, p1, p2, p3);
  }

  private static FloatVector gradDotStep(
      FloatVector p, long dy, long gain, long x, float mean, float rstd, int i) {
    FloatVector h = load(dy, i).mul(load(gain, i));
    return h.fma(load(x, i).sub(mean).mul(rstd), p);
  }

  private static FloatVector gradDotRest(
      FloatVector p, long dy, long gain, long x, float mean, float rstd, int i, int n) {
    VectorMask<Float> mask = S.indexInRange(i, n);
    FloatVector h = load(dy, i, mask).mul(load(gain, i, mask));
    return p.blend(h.fma(load(x, i, mask).sub(mean).mul(rstd), p), mask);
  }

  private static float gradSum(long dy, long gain, int n) {
    FloatVector p0 = FloatVector.broadcast(S, 0f);
    FloatVector p1 = p0;
    FloatVector p2 = p0;
    FloatVector p3 = p0;
    int i = 0;
    for (; i <= n - PARTIALS; i += PARTIALS) {
      p0 = gradSumStep(p0, dy, gain, i);
      if (PARTS > 1) {
        p1 = gradSumStep(p1, dy, gain, i + LANES);
      }
      if (PARTS > 2) {
        p2 = gradSumStep(p2, dy, gain, i + 2 * LANES);
        p3 = gradSumStep(p3, dy, gain, i + 3 * LANES);
      }
    }
    if (i < n) {
      p0 = gradSumRest(p0, dy, gain, i, n);
      if (PARTS > 1) {
        p1 = gradSumRest(p1, dy, gain, i + LANES, n);
      }
      if (PARTS > 2) {
        p2 = gradSumRest(p2, dy, gain, i + 2 * LANES, n);
        p3 = gradSumRest(p3, dy, gain, i + 3 * LANES, n);
      }
    }
    return join(p0, p1, p2, p3);
  }

  private static FloatVector gradSumStep(FloatVector p, long dy, long gain, int i) {
    return p.add(load(dy, i).mul(load(gain, i)));
  }

  private static FloatVector gradSumRest(FloatVector p, long dy, long gain, int i, int n) {
    VectorMask<Float> mask = S.indexInRange(i, n);
    return p.add(load(dy, i, mask).mul(load(gain, i, mask)), mask);
  }

  @Override
  public void layerNorm(LayerNorms call, int from, int to) {
    int n = call.width;
    for (int r = from; r < to; r++) {
      long x = call.x + r * 4L * n;
      float mean = sum(x, n) / n;
      float rstd = 1f / (float) Math.sqrt(squaredDeviations(x, mean, n) / n + call.epsilon);
      Memory.f32(call.mean + r * 4L, mean);
      Memory.f32(call.rstd + r * 4L, rstd);
      normalise(call, x, mean, rstd, call.y + r * 4L * n);
    }
  }

  private static void normalise(LayerNorms call, long x, float mean, float rstd, long y) {
    int i = 0;
    for (; i <= call.width - LANES; i += LANES) {
      FloatVector normal = load(x, i).sub(mean).mul(rstd);
      Memory.store(normal.fma(load(call.gain, i), load(call.bias, i)), y + i * 4L);
    }
    ScalarRows.normalise(call, x, mean, rstd, y, i);
  }

  @Override
  public void layerNormGrad(LayerNorms call, int from, int to) {
    int n = call.width;
    for (int r = from; r < to; r++) {
      long x = call.x + r * 4L * n;
      long dy = call.dy + r * 4L * n;
      float mean = Memory.f32(call.mean + r * 4L);
      float rstd = Memory.f32(call.rstd + r * 4L);
      float c1 = gradSum(dy, call.gain, n) / n;
      float c2 = gradDot(dy, call.gain, x, mean, rstd, n) / n;
      gradRow(call, x, dy, mean, rstd, c1, c2, call.dx + r * 4L * n);
    }
  }

  private static void gradRow(
      LayerNorms call, long x, long dy, float mean, float rstd, float c1, float c2, long dx) {
    int i = 0;
    FloatVector minus = FloatVector.broadcast(S, -c2);
    for (; i <= call.width - LANES; i += LANES) {
      FloatVector normal = load(x, i).sub(mean).mul(rstd);
      FloatVector h = load(dy, i).mul(load(call.gain, i)).sub(c1);
      Memory.store(normal.fma(minus, h).mul(rstd), dx + i * 4L);
    }
    ScalarRows.gradRow(call, x, dy, mean, rstd, c1, c2, dx, i);
  }

  @Override
  public void layerNormParamGrad(LayerNorms call, int from, int to, long scratch) {
    int column = from;
    for (; column <= to - LANES; column += LANES) {
      paramGrad(call, column, scratch);
    }
    ScalarRows.paramGrad(call, column, to, scratch);
  }

  /// Sums for one vector of columns; a subtree on the stack is a vector of gain and one of bias.
  private static void paramGrad(LayerNorms call, int column, long scratch) {
    int inner = call.rows / call.outer;
    long top = scratch;
    for (int j = 0; j < call.blocks; j++) {
      paramGradBlock(call, column, inner, j, top);
      for (int joins = Tree.joinsAfter(j); joins > 0; joins--) {
        top -= 2 * VECTOR;
        joinPair(top);
      }
      top += 2 * VECTOR;
    }
    for (top -= 2 * VECTOR; top > scratch; ) {
      top -= 2 * VECTOR;
      joinPair(top);
    }
    Memory.store(Memory.load(S, scratch), call.dgain + column * 4L);
    Memory.store(Memory.load(S, scratch + VECTOR), call.dbias + column * 4L);
  }

  private static void joinPair(long top) {
    Memory.store(Memory.load(S, top).add(Memory.load(S, top + 2 * VECTOR)), top);
    Memory.store(Memory.load(S, top + VECTOR).add(Memory.load(S, top + 3 * VECTOR)), top + VECTOR);
  }

  private static void paramGradBlock(LayerNorms call, int column, int inner, int j, long out) {
    int lo = Cuts.start(j, inner, call.blocks);
    int hi = Cuts.start(j + 1, inner, call.blocks);
    FloatVector gain = FloatVector.zero(S);
    FloatVector bias = FloatVector.zero(S);
    for (int o = 0; o < call.outer; o++) {
      for (int t = o * inner + lo; t < o * inner + hi; t++) {
        long at = ((long) t * call.width + column) * 4;
        FloatVector dy = Memory.load(S, call.dy + at);
        FloatVector normal = Memory.load(S, call.x + at).sub(Memory.f32(call.mean + t * 4L));
        gain = dy.fma(normal.mul(Memory.f32(call.rstd + t * 4L)), gain);
        bias = bias.add(dy);
      }
    }
    Memory.store(gain, out);
    Memory.store(bias, out + VECTOR);
  }

  @Override
  public void columnSums(ColumnSums call, int from, int to, long scratch) {
    int column = from;
    for (; column <= to - LANES; column += LANES) {
      columnSum(call, column, scratch);
    }
    ScalarRows.sumColumns(call, column, to, scratch);
  }

  private static void columnSum(ColumnSums call, int column, long scratch) {
    int inner = call.rows / call.outer;
    long top = scratch;
    for (int j = 0; j < call.blocks; j++) {
      Memory.store(columnBlock(call, column, inner, j), top);
      for (int joins = Tree.joinsAfter(j); joins > 0; joins--) {
        top -= VECTOR;
        Memory.store(Memory.load(S, top).add(Memory.load(S, top + VECTOR)), top);
      }
      top += VECTOR;
    }
    for (top -= VECTOR; top > scratch; ) {
      top -= VECTOR;
      Memory.store(Memory.load(S, top).add(Memory.load(S, top + VECTOR)), top);
    }
    Memory.store(Memory.load(S, scratch), call.out + column * 4L);
  }

  private static FloatVector columnBlock(ColumnSums call, int column, int inner, int j) {
    int lo = Cuts.start(j, inner, call.blocks);
    int hi = Cuts.start(j + 1, inner, call.blocks);
    FloatVector sum = FloatVector.zero(S);
    for (int o = 0; o < call.outer; o++) {
      for (int t = o * inner + lo; t < o * inner + hi; t++) {
        sum = sum.add(Memory.load(S, call.x + ((long) t * call.width + column) * 4));
      }
    }
    return sum;
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
        probabilities(call.logits + at, shift, scale, call.dlogits + at, call.vocabulary);
        ScalarRows.subtractTarget(call, r, target, scale);
      }
    }
  }

  private static void probabilities(long x, float shift, float scale, long out, int n) {
    int i = 0;
    for (; i <= n - LANES; i += LANES) {
      Memory.store(VectorMath.exp(S, load(x, i).sub(shift)).mul(scale), out + i * 4L);
    }
    ScalarRows.probabilities(x, shift, scale, out, i, n);
  }
}
