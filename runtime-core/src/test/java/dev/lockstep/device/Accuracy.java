package dev.lockstep.device;

import dev.lockstep.graph.Closeness;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Primitive.Exp;
import dev.lockstep.graph.Primitive.Log;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.ReduceSum;
import dev.lockstep.graph.Primitive.Rsqrt;
import dev.lockstep.graph.Primitive.ScatterAdd;
import dev.lockstep.graph.Primitive.Tanh;

/// How near a device's float32 results must come to the float64 reference.
public final class Accuracy {
  // Our own polynomials promise 2 ulp; other devices' libraries promise up to 4.
  private static final int FUNCTION_ULPS = 4;

  // Sums of up to some thousand terms of like size, relative to the greatest result.
  private static final double SUM_TOLERANCE = 2e-6;

  // Several sums and functions one after another.
  private static final double COMPOSITE_TOLERANCE = 1e-5;

  // Products of matrices and norms that amplify the errors of what they are given.
  private static final double GRAPH_TOLERANCE = 1e-3;

  private Accuracy() {}

  /// Compares the results of one op on operands that are representable in its types.
  public static void check(Op op, double[] found, double[] expected) {
    switch (op) {
      case Composite _ -> Closeness.assertClose(found, expected, COMPOSITE_TOLERANCE);
      case MatMul _, ReduceSum _, ScatterAdd _ ->
          Closeness.assertClose(found, expected, SUM_TOLERANCE);
      case Exp _, Log _, Tanh _ -> checkUlps(found, expected, FUNCTION_ULPS);
      case Rsqrt _ -> checkUlps(found, expected, 1); // two correctly rounded operations
      case Primitive _ -> checkUlps(found, expected, 0); // moved or correctly rounded
    }
  }

  /// Compares the results of a graph of some dozens of ops on numbers of about size one.
  static void checkNear(double[] found, double[] expected) {
    Closeness.assertClose(found, expected, GRAPH_TOLERANCE);
  }

  /// Compares with the float32 nearest to what is expected; results below the least normal number
  /// may be flushed to zero.
  private static void checkUlps(double[] found, double[] expected, int ulps) {
    for (int i = 0; i < expected.length; i++) {
      float nearest = (float) expected[i];
      double allowed = ulps == 0 ? 0 : ulps * (double) Math.ulp(nearest) + Float.MIN_NORMAL;
      boolean same = Double.compare(found[i], nearest) == 0 || found[i] == nearest;
      same |= found[i] == expected[i]; // a whole number that is no float32
      if (!same && !(Math.abs(found[i] - nearest) <= allowed)) {
        throw new AssertionError(
            "element differs: index=%d, found=%s, expected=%s, ulps=%d"
                .formatted(i, found[i], expected[i], ulps));
      }
    }
  }
}
