package dev.lockstep.device.cpu;

/// Rotary position embedding of `[batch, tokens, heads · size]`: addresses and shape.
///
/// Angles are made in binary64, one per position and pair of features, and their sines and cosines
/// rounded to float32; each serves all heads of all sequences. With `(a, b)` a pair, `a' = fma(a,
/// c, -(b · s))` and `b' = fma(b, c, a · s)`.
final class Rotation {
  // 2/π, and π/2 as a sum of two: the first has 33 bits, so that its products are exact.
  private static final double TWO_OVER_PI = 2 / Math.PI;
  private static final double QUARTER_HIGH = 1.5707963267341256;
  private static final double QUARTER_LOW = 6.077100506506192e-11;

  final int batch;
  final int tokens;
  final int heads;
  final int size;
  private final long firstPosition;
  private final boolean inverse;
  private final double[] frequencies;
  long x;
  long out;

  Rotation(int batch, int tokens, int heads, dev.lockstep.graph.Composite.Rotary op) {
    this.batch = batch;
    this.tokens = tokens;
    this.heads = heads;
    this.size = op.size();
    this.firstPosition = op.firstPosition();
    this.inverse = op.inverse();
    frequencies = new double[size / 2];
    for (int i = 0; i < frequencies.length; i++) {
      frequencies[i] = StrictMath.pow(op.base(), -2.0 * i / size);
    }
  }

  /// Room for the cosines and sines of one position.
  long scratchBytes() {
    return 4L * size;
  }

  /// Bytes from one position to the next.
  long stride() {
    return 4L * heads * size;
  }

  /// Writes the cosines, then the sines, of the angles of a token.
  void angles(int token, long to) {
    double position = firstPosition + token;
    for (int i = 0; i < frequencies.length; i++) {
      double angle = position * frequencies[i];
      double quarters = Math.rint(angle * TWO_OVER_PI);
      double r = Math.fma(-quarters, QUARTER_LOW, Math.fma(-quarters, QUARTER_HIGH, angle));
      float sine = (float) sine(r);
      float cosine = (float) cosine(r);
      int quadrant = (int) ((long) quarters & 3);
      float c = (quadrant & 1) == 0 ? cosine : sine;
      float s = (quadrant & 1) == 0 ? sine : cosine;
      c = quadrant == 1 || quadrant == 2 ? -c : c;
      s = quadrant >= 2 ? -s : s;
      Memory.f32(to + i * 4L, c);
      Memory.f32(to + (frequencies.length + i) * 4L, inverse ? -s : s);
    }
  }

  /// Taylor's polynomial for `|x| ≤ π/4`, to 1e-16.
  private static double sine(double x) {
    double z = x * x;
    double p = Math.fma(z, -1 / 1307674368000.0, 1 / 6227020800.0);
    p = Math.fma(z, p, -1 / 39916800.0);
    p = Math.fma(z, p, 1 / 362880.0);
    p = Math.fma(z, p, -1 / 5040.0);
    p = Math.fma(z, p, 1 / 120.0);
    p = Math.fma(z, p, -1 / 6.0);
    return Math.fma(x * z, p, x);
  }

  private static double cosine(double x) {
    double z = x * x;
    double p = Math.fma(z, 1 / 20922789888000.0, -1 / 87178291200.0);
    p = Math.fma(z, p, 1 / 479001600.0);
    p = Math.fma(z, p, -1 / 3628800.0);
    p = Math.fma(z, p, 1 / 40320.0);
    p = Math.fma(z, p, -1 / 720.0);
    p = Math.fma(z, p, 1 / 24.0);
    p = Math.fma(z, p, -0.5);
    return Math.fma(z, p, 1.0);
  }

  /// Turns tokens `[from, to)` of all sequences.
  void rotate(ElementKernels kernels, int from, int to, long scratch) {
    for (int token = from; token < to; token++) {
      angles(token, scratch);
      for (int b = 0; b < batch; b++) {
        long at = ((long) b * tokens + token) * stride();
        kernels.rotate(x + at, out + at, heads, size / 2, scratch);
      }
    }
  }
}
