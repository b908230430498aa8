package dev.lockstep.device.cpu;

import static dev.lockstep.device.cpu.Memory.ALL;
import static dev.lockstep.device.cpu.Memory.at;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.invoke.MethodHandles;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/// [NormKernels] on the Vector API, one hidden class per width (see [KernelSet]); sums along rows
/// are as in [VectorRows].
final class VectorNorms implements NormKernels {
  private static final VectorSpecies<Float> S = KernelSet.species(MethodHandles.lookup());
  private static final int LANES = S.length();
  private static final long VECTOR = S.vectorByteSize();
  private static final int PARTIALS = 16;

  private final RowKernels rows;

  VectorNorms(RowKernels rows) {
    this.rows = rows;
  }

  private static float squaredDeviations(long x, float mean, int n, long scratch) {
    squaredDeviationsWhole(x, mean, n & -PARTIALS, scratch);
    return ScalarNorms.squaredDeviationsRest(x, mean, n & -PARTIALS, n, scratch);
  }

  private static void squaredDeviationsWhole(long x, float mean, int n, long scratch) {
    for (int part = 0; part < PARTIALS; part += LANES) {
      FloatVector p = FloatVector.broadcast(S, 0f);
      for (int i = part; i < n; i += PARTIALS) {
        FloatVector d =
            FloatVector.fromMemorySegment(S, ALL, at(x + i * 4L), LITTLE_ENDIAN).sub(mean);
        p = d.fma(d, p);
      }
      p.intoMemorySegment(ALL, at(scratch + part * 4L), LITTLE_ENDIAN);
    }
  }

  private static float gradSum(long dy, long gain, int n, long scratch) {
    gradSumWhole(dy, gain, n & -PARTIALS, scratch);
    return ScalarNorms.gradSumRest(dy, gain, n & -PARTIALS, n, scratch);
  }

  private static void gradSumWhole(long dy, long gain, int n, long scratch) {
    for (int part = 0; part < PARTIALS; part += LANES) {
      FloatVector p = FloatVector.broadcast(S, 0f);
      for (int i = part; i < n; i += PARTIALS) {
        p =
            p.add(
                FloatVector.fromMemorySegment(S, ALL, at(dy + i * 4L), LITTLE_ENDIAN)
                    .mul(FloatVector.fromMemorySegment(S, ALL, at(gain + i * 4L), LITTLE_ENDIAN)));
      }
      p.intoMemorySegment(ALL, at(scratch + part * 4L), LITTLE_ENDIAN);
    }
  }

  private static float gradDot(
      long dy, long gain, long x, float mean, float rstd, int n, long scratch) {
    gradDotWhole(dy, gain, x, mean, rstd, n & -PARTIALS, scratch);
    return ScalarNorms.gradDotRest(dy, gain, x, mean, rstd, n & -PARTIALS, n, scratch);
  }

  private static void gradDotWhole(
      long dy, long gain, long x, float mean, float rstd, int n, long scratch) {
    for (int part = 0; part < PARTIALS; part += LANES) {
      FloatVector p = FloatVector.broadcast(S, 0f);
      for (int i = part; i < n; i += PARTIALS) {
        FloatVector h =
            FloatVector.fromMemorySegment(S, ALL, at(dy + i * 4L), LITTLE_ENDIAN)
                .mul(FloatVector.fromMemorySegment(S, ALL, at(gain + i * 4L), LITTLE_ENDIAN));
        p =
            h.fma(
                FloatVector.fromMemorySegment(S, ALL, at(x + i * 4L), LITTLE_ENDIAN)
                    .sub(mean)
                    .mul(rstd),
                p);
      }
      p.intoMemorySegment(ALL, at(scratch + part * 4L), LITTLE_ENDIAN);
    }
  }

  @Override
  public void layerNorm(LayerNorms call, int from, int to, long scratch) {
    int n = call.width;
    for (int r = from; r < to; r++) {
      long x = call.x + r * 4L * n;
      float mean = rows.sum(x, n, scratch) / n;
      float rstd =
          1f / (float) Math.sqrt(squaredDeviations(x, mean, n, scratch) / n + call.epsilon);
      Memory.f32(call.mean + r * 4L, mean);
      Memory.f32(call.rstd + r * 4L, rstd);
      normalise(call, x, mean, rstd, call.y + r * 4L * n);
    }
  }

  private static void normalise(LayerNorms call, long x, float mean, float rstd, long y) {
    int i = 0;
    for (; i <= call.width - LANES; i += LANES) {
      FloatVector normal =
          FloatVector.fromMemorySegment(S, ALL, at(x + i * 4L), LITTLE_ENDIAN).sub(mean).mul(rstd);
      normal
          .fma(
              FloatVector.fromMemorySegment(S, ALL, at(call.gain + i * 4L), LITTLE_ENDIAN),
              FloatVector.fromMemorySegment(S, ALL, at(call.bias + i * 4L), LITTLE_ENDIAN))
          .intoMemorySegment(ALL, at(y + i * 4L), LITTLE_ENDIAN);
    }
    ScalarNorms.normalise(call, x, mean, rstd, y, i);
  }

  @Override
  public void layerNormGrad(LayerNorms call, int from, int to, long scratch) {
    int n = call.width;
    for (int r = from; r < to; r++) {
      long x = call.x + r * 4L * n;
      long dy = call.dy + r * 4L * n;
      float mean = Memory.f32(call.mean + r * 4L);
      float rstd = Memory.f32(call.rstd + r * 4L);
      float c1 = gradSum(dy, call.gain, n, scratch) / n;
      float c2 = gradDot(dy, call.gain, x, mean, rstd, n, scratch) / n;
      gradRow(call, x, dy, mean, rstd, c1, c2, call.dx + r * 4L * n);
    }
  }

  private static void gradRow(
      LayerNorms call, long x, long dy, float mean, float rstd, float c1, float c2, long dx) {
    int i = 0;
    FloatVector minus = FloatVector.broadcast(S, -c2);
    for (; i <= call.width - LANES; i += LANES) {
      FloatVector normal =
          FloatVector.fromMemorySegment(S, ALL, at(x + i * 4L), LITTLE_ENDIAN).sub(mean).mul(rstd);
      FloatVector h =
          FloatVector.fromMemorySegment(S, ALL, at(dy + i * 4L), LITTLE_ENDIAN)
              .mul(FloatVector.fromMemorySegment(S, ALL, at(call.gain + i * 4L), LITTLE_ENDIAN))
              .sub(c1);
      normal.fma(minus, h).mul(rstd).intoMemorySegment(ALL, at(dx + i * 4L), LITTLE_ENDIAN);
    }
    ScalarNorms.gradRow(call, x, dy, mean, rstd, c1, c2, dx, i);
  }

  @Override
  public void layerNormParamGrad(LayerNorms call, int from, int to, long scratch) {
    int column = from;
    for (; column <= to - 4 * LANES; column += 4 * LANES) {
      fourParamGrads(call, column, scratch);
    }
    for (; column <= to - LANES; column += LANES) {
      paramGrad(call, column, scratch);
    }
    ScalarNorms.paramGrad(call, column, to, scratch);
  }

  /// Sums for four vectors of columns; a subtree on the stack is four of gain and four of bias.
  private static void fourParamGrads(LayerNorms call, int column, long scratch) {
    int inner = call.rows / call.outer;
    long top = scratch;
    for (int j = 0; j < call.blocks; j++) {
      fourParamGradBlocks(call, column, inner, j, top);
      top = joinAfter(j, top, 8 * VECTOR);
    }
    joinRest(scratch, top, 8 * VECTOR);
    Memory.copy(scratch, call.dgain + column * 4L, 4 * VECTOR);
    Memory.copy(scratch + 4 * VECTOR, call.dbias + column * 4L, 4 * VECTOR);
  }

  private static void fourParamGradBlocks(LayerNorms call, int column, int inner, int j, long out) {
    int lo = Cuts.start(j, inner, call.blocks);
    int hi = Cuts.start(j + 1, inner, call.blocks);
    FloatVector g0 = FloatVector.zero(S);
    FloatVector g1 = g0;
    FloatVector g2 = g0;
    FloatVector g3 = g0;
    FloatVector b0 = g0;
    FloatVector b1 = g0;
    FloatVector b2 = g0;
    FloatVector b3 = g0;
    for (int o = 0; o < call.outer; o++) {
      for (int t = o * inner + lo; t < o * inner + hi; t++) {
        long at = ((long) t * call.width + column) * 4;
        long d = at(call.dy + at);
        long x = at(call.x + at);
        // Not by Memory.f32: this body is past the compiler's inlining budget.
        float mean = ALL.get(Memory.F32, at(call.mean + t * 4L));
        float rstd = ALL.get(Memory.F32, at(call.rstd + t * 4L));
        FloatVector dy = FloatVector.fromMemorySegment(S, ALL, d, LITTLE_ENDIAN);
        FloatVector v = FloatVector.fromMemorySegment(S, ALL, x, LITTLE_ENDIAN);
        g0 = dy.fma(v.sub(mean).mul(rstd), g0);
        b0 = b0.add(dy);
        dy = FloatVector.fromMemorySegment(S, ALL, d + VECTOR, LITTLE_ENDIAN);
        v = FloatVector.fromMemorySegment(S, ALL, x + VECTOR, LITTLE_ENDIAN);
        g1 = dy.fma(v.sub(mean).mul(rstd), g1);
        b1 = b1.add(dy);
        dy = FloatVector.fromMemorySegment(S, ALL, d + 2 * VECTOR, LITTLE_ENDIAN);
        v = FloatVector.fromMemorySegment(S, ALL, x + 2 * VECTOR, LITTLE_ENDIAN);
        g2 = dy.fma(v.sub(mean).mul(rstd), g2);
        b2 = b2.add(dy);
        dy = FloatVector.fromMemorySegment(S, ALL, d + 3 * VECTOR, LITTLE_ENDIAN);
        v = FloatVector.fromMemorySegment(S, ALL, x + 3 * VECTOR, LITTLE_ENDIAN);
        g3 = dy.fma(v.sub(mean).mul(rstd), g3);
        b3 = b3.add(dy);
      }
    }
    long to = at(out);
    g0.intoMemorySegment(ALL, to, LITTLE_ENDIAN);
    g1.intoMemorySegment(ALL, to + VECTOR, LITTLE_ENDIAN);
    g2.intoMemorySegment(ALL, to + 2 * VECTOR, LITTLE_ENDIAN);
    g3.intoMemorySegment(ALL, to + 3 * VECTOR, LITTLE_ENDIAN);
    b0.intoMemorySegment(ALL, to + 4 * VECTOR, LITTLE_ENDIAN);
    b1.intoMemorySegment(ALL, to + 5 * VECTOR, LITTLE_ENDIAN);
    b2.intoMemorySegment(ALL, to + 6 * VECTOR, LITTLE_ENDIAN);
    b3.intoMemorySegment(ALL, to + 7 * VECTOR, LITTLE_ENDIAN);
  }

  /// Sums for one vector of columns; a subtree on the stack is a vector of gain and one of bias.
  private static void paramGrad(LayerNorms call, int column, long scratch) {
    int inner = call.rows / call.outer;
    long top = scratch;
    for (int j = 0; j < call.blocks; j++) {
      paramGradBlock(call, column, inner, j, top);
      top = joinAfter(j, top, 2 * VECTOR);
    }
    joinRest(scratch, top, 2 * VECTOR);
    FloatVector.fromMemorySegment(S, ALL, at(scratch), LITTLE_ENDIAN)
        .intoMemorySegment(ALL, at(call.dgain + column * 4L), LITTLE_ENDIAN);
    FloatVector.fromMemorySegment(S, ALL, at(scratch + VECTOR), LITTLE_ENDIAN)
        .intoMemorySegment(ALL, at(call.dbias + column * 4L), LITTLE_ENDIAN);
  }

  private static void paramGradBlock(LayerNorms call, int column, int inner, int j, long out) {
    int lo = Cuts.start(j, inner, call.blocks);
    int hi = Cuts.start(j + 1, inner, call.blocks);
    FloatVector gain = FloatVector.zero(S);
    FloatVector bias = FloatVector.zero(S);
    for (int o = 0; o < call.outer; o++) {
      for (int t = o * inner + lo; t < o * inner + hi; t++) {
        long at = ((long) t * call.width + column) * 4;
        FloatVector dy = FloatVector.fromMemorySegment(S, ALL, at(call.dy + at), LITTLE_ENDIAN);
        FloatVector normal =
            FloatVector.fromMemorySegment(S, ALL, at(call.x + at), LITTLE_ENDIAN)
                .sub(Memory.f32(call.mean + t * 4L));
        gain = dy.fma(normal.mul(Memory.f32(call.rstd + t * 4L)), gain);
        bias = bias.add(dy);
      }
    }
    gain.intoMemorySegment(ALL, at(out), LITTLE_ENDIAN);
    bias.intoMemorySegment(ALL, at(out + VECTOR), LITTLE_ENDIAN);
  }

  /// Joins what is complete once leaf `j` lies at `top`, and returns where the next one goes.
  private static long joinAfter(int j, long top, long bytes) {
    long last = top;
    for (int joins = Tree.joinsAfter(j); joins > 0; joins--) {
      last -= bytes;
      join(last, bytes);
    }
    return last + bytes;
  }

  /// Joins what is left below `top`, where no leaf lies any more, into `scratch`.
  private static void joinRest(long scratch, long top, long bytes) {
    for (long last = top - bytes; last > scratch; ) {
      last -= bytes;
      join(last, bytes);
    }
  }

  /// Adds the subtree of `bytes` bytes above `top` into it.
  private static void join(long top, long bytes) {
    for (long o = 0; o < bytes; o += VECTOR) {
      FloatVector.fromMemorySegment(S, ALL, at(top + o), LITTLE_ENDIAN)
          .add(FloatVector.fromMemorySegment(S, ALL, at(top + bytes + o), LITTLE_ENDIAN))
          .intoMemorySegment(ALL, at(top + o), LITTLE_ENDIAN);
    }
  }

  @Override
  public void rmsNorm(LayerNorms call, int from, int to, long scratch) {
    int n = call.width;
    for (int r = from; r < to; r++) {
      long x = call.x + r * 4L * n;
      float rstd = 1f / (float) Math.sqrt(rows.sumSquares(x, n, scratch) / n + call.epsilon);
      Memory.f32(call.rstd + r * 4L, rstd);
      scaleRow(call, x, rstd, call.y + r * 4L * n);
    }
  }

  private static void scaleRow(LayerNorms call, long x, float rstd, long y) {
    int i = 0;
    for (; i <= call.width - LANES; i += LANES) {
      FloatVector.fromMemorySegment(S, ALL, at(x + i * 4L), LITTLE_ENDIAN)
          .mul(rstd)
          .mul(FloatVector.fromMemorySegment(S, ALL, at(call.gain + i * 4L), LITTLE_ENDIAN))
          .intoMemorySegment(ALL, at(y + i * 4L), LITTLE_ENDIAN);
    }
    ScalarNorms.scaleRow(call, x, rstd, y, i);
  }

  @Override
  public void rmsNormGrad(LayerNorms call, int from, int to, long scratch) {
    int n = call.width;
    for (int r = from; r < to; r++) {
      long x = call.x + r * 4L * n;
      long dy = call.dy + r * 4L * n;
      float rstd = Memory.f32(call.rstd + r * 4L);
      float along = gradDot(dy, call.gain, x, 0f, rstd, n, scratch) / n;
      gradRow(call, x, dy, 0f, rstd, 0f, along, call.dx + r * 4L * n);
    }
  }

  @Override
  public void rmsNormGainGrad(LayerNorms call, int from, int to, long scratch) {
    int column = from;
    for (; column <= to - 4 * LANES; column += 4 * LANES) {
      fourGainGrads(call, column, scratch);
    }
    ScalarNorms.gainGrad(call, column, to, scratch);
  }

  /// Sums for four vectors of columns.
  private static void fourGainGrads(LayerNorms call, int column, long scratch) {
    int inner = call.rows / call.outer;
    long top = scratch;
    for (int j = 0; j < call.blocks; j++) {
      fourGainGradBlocks(call, column, inner, j, top);
      top = joinAfter(j, top, 4 * VECTOR);
    }
    joinRest(scratch, top, 4 * VECTOR);
    Memory.copy(scratch, call.dgain + column * 4L, 4 * VECTOR);
  }

  private static void fourGainGradBlocks(LayerNorms call, int column, int inner, int j, long out) {
    int lo = Cuts.start(j, inner, call.blocks);
    int hi = Cuts.start(j + 1, inner, call.blocks);
    FloatVector g0 = FloatVector.zero(S);
    FloatVector g1 = g0;
    FloatVector g2 = g0;
    FloatVector g3 = g0;
    for (int o = 0; o < call.outer; o++) {
      for (int t = o * inner + lo; t < o * inner + hi; t++) {
        long at = ((long) t * call.width + column) * 4;
        long d = at(call.dy + at);
        long x = at(call.x + at);
        float rstd = ALL.get(Memory.F32, at(call.rstd + t * 4L));
        g0 =
            FloatVector.fromMemorySegment(S, ALL, d, LITTLE_ENDIAN)
                .fma(FloatVector.fromMemorySegment(S, ALL, x, LITTLE_ENDIAN).mul(rstd), g0);
        g1 =
            FloatVector.fromMemorySegment(S, ALL, d + VECTOR, LITTLE_ENDIAN)
                .fma(
                    FloatVector.fromMemorySegment(S, ALL, x + VECTOR, LITTLE_ENDIAN).mul(rstd), g1);
        g2 =
            FloatVector.fromMemorySegment(S, ALL, d + 2 * VECTOR, LITTLE_ENDIAN)
                .fma(
                    FloatVector.fromMemorySegment(S, ALL, x + 2 * VECTOR, LITTLE_ENDIAN).mul(rstd),
                    g2);
        g3 =
            FloatVector.fromMemorySegment(S, ALL, d + 3 * VECTOR, LITTLE_ENDIAN)
                .fma(
                    FloatVector.fromMemorySegment(S, ALL, x + 3 * VECTOR, LITTLE_ENDIAN).mul(rstd),
                    g3);
      }
    }
    long to = at(out);
    g0.intoMemorySegment(ALL, to, LITTLE_ENDIAN);
    g1.intoMemorySegment(ALL, to + VECTOR, LITTLE_ENDIAN);
    g2.intoMemorySegment(ALL, to + 2 * VECTOR, LITTLE_ENDIAN);
    g3.intoMemorySegment(ALL, to + 3 * VECTOR, LITTLE_ENDIAN);
  }
}
