package dev.lockstep.device.cpu;

/// [NormKernels] one element at a time: the fallback, the oracle, and the tails of the vector path.
final class ScalarNorms implements NormKernels {
  private final ScalarRows rows = new ScalarRows();

  private static float squaredDeviations(long x, float mean, int n, long scratch) {
    ScalarRows.clear(scratch, 0f);
    return squaredDeviationsRest(x, mean, 0, n, scratch);
  }

  static float squaredDeviationsRest(long x, float mean, int from, int n, long scratch) {
    for (int i = from; i < n; i++) {
      float d = Memory.f32(x + i * 4L) - mean;
      ScalarRows.addProduct(ScalarRows.partial(scratch, i), d, d);
    }
    return ScalarRows.join(scratch);
  }

  private static float gradSum(long dy, long gain, int n, long scratch) {
    ScalarRows.clear(scratch, 0f);
    return gradSumRest(dy, gain, 0, n, scratch);
  }

  static float gradSumRest(long dy, long gain, int from, int n, long scratch) {
    for (int i = from; i < n; i++) {
      ScalarRows.add(
          ScalarRows.partial(scratch, i), Memory.f32(dy + i * 4L) * Memory.f32(gain + i * 4L));
    }
    return ScalarRows.join(scratch);
  }

  private static float gradDot(
      long dy, long gain, long x, float mean, float rstd, int n, long scratch) {
    ScalarRows.clear(scratch, 0f);
    return gradDotRest(dy, gain, x, mean, rstd, 0, n, scratch);
  }

  static float gradDotRest(
      long dy, long gain, long x, float mean, float rstd, int from, int n, long scratch) {
    for (int i = from; i < n; i++) {
      float h = Memory.f32(dy + i * 4L) * Memory.f32(gain + i * 4L);
      ScalarRows.addProduct(
          ScalarRows.partial(scratch, i), h, (Memory.f32(x + i * 4L) - mean) * rstd);
    }
    return ScalarRows.join(scratch);
  }

  @Override
  public void layerNorm(LayerNorms call, int from, int to, long scratch) {
    int n = call.width;
    for (int r = from; r < to; r++) {
      long x = call.x + r * 4L * n;
      float mean = rows.sum(x, n, scratch) / n;
      float variance = squaredDeviations(x, mean, n, scratch) / n;
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
  public void layerNormGrad(LayerNorms call, int from, int to, long scratch) {
    int n = call.width;
    for (int r = from; r < to; r++) {
      long x = call.x + r * 4L * n;
      long dy = call.dy + r * 4L * n;
      float mean = Memory.f32(call.mean + r * 4L);
      float rstd = Memory.f32(call.rstd + r * 4L);
      float c1 = gradSum(dy, call.gain, n, scratch) / n;
      float c2 = gradDot(dy, call.gain, x, mean, rstd, n, scratch) / n;
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
            ScalarRows.columnBlock(call.dy, call.width, column, inner, call.outer, call.blocks, j));
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

  @Override
  public void rmsNorm(LayerNorms call, int from, int to, long scratch) {
    int n = call.width;
    for (int r = from; r < to; r++) {
      long x = call.x + r * 4L * n;
      float rstd = 1f / (float) Math.sqrt(rows.sumSquares(x, n, scratch) / n + call.epsilon);
      Memory.f32(call.rstd + r * 4L, rstd);
      scaleRow(call, x, rstd, call.y + r * 4L * n, 0);
    }
  }

  static void scaleRow(LayerNorms call, long x, float rstd, long y, int from) {
    for (int i = from; i < call.width; i++) {
      Memory.f32(y + i * 4L, (Memory.f32(x + i * 4L) * rstd) * Memory.f32(call.gain + i * 4L));
    }
  }

  @Override
  public void rmsNormGrad(LayerNorms call, int from, int to, long scratch) {
    int n = call.width;
    for (int r = from; r < to; r++) {
      long x = call.x + r * 4L * n;
      long dy = call.dy + r * 4L * n;
      float rstd = Memory.f32(call.rstd + r * 4L);
      float along = gradDot(dy, call.gain, x, 0f, rstd, n, scratch) / n;
      gradRow(call, x, dy, 0f, rstd, 0f, along, call.dx + r * 4L * n, 0);
    }
  }

  @Override
  public void rmsNormGainGrad(LayerNorms call, int from, int to, long scratch) {
    gainGrad(call, from, to, scratch);
  }

  static void gainGrad(LayerNorms call, int from, int to, long scratch) {
    int inner = call.rows / call.outer;
    for (int column = from; column < to; column++) {
      for (int j = 0; j < call.blocks; j++) {
        Tree.push(scratch, j, plainGainBlock(call, column, inner, j));
      }
      Memory.f32(call.dgain + column * 4L, Tree.join(scratch, call.blocks));
    }
  }

  private static float plainGainBlock(LayerNorms call, int column, int inner, int j) {
    int lo = Cuts.start(j, inner, call.blocks);
    int hi = Cuts.start(j + 1, inner, call.blocks);
    float sum = 0f;
    for (int o = 0; o < call.outer; o++) {
      for (int t = o * inner + lo; t < o * inner + hi; t++) {
        long at = ((long) t * call.width + column) * 4;
        float normal = Memory.f32(call.x + at) * Memory.f32(call.rstd + t * 4L);
        sum = Math.fma(Memory.f32(call.dy + at), normal, sum);
      }
    }
    return sum;
  }
}
