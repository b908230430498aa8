package dev.lockstep.graph;

import static org.assertj.core.api.Assertions.assertThat;

/// Compares arrays of numbers.
public final class Closeness {
  private Closeness() {}

  /// Fails unless each element differs from what is expected by at most `tolerance` times the
  /// greatest finite magnitude expected: terms of a sum may cancel in any one element.
  public static void assertClose(double[] found, double[] expected, double tolerance) {
    assertThat(found).hasSameSizeAs(expected);
    double greatest = 0;
    for (double x : expected) {
      greatest = Double.isFinite(x) ? Math.max(greatest, Math.abs(x)) : greatest;
    }
    for (int i = 0; i < found.length; i++) {
      boolean same = Double.compare(found[i], expected[i]) == 0;
      if (!same && !(Math.abs(found[i] - expected[i]) <= tolerance * greatest)) {
        throw new AssertionError(
            "element differs: index=%d, found=%s, expected=%s, greatest=%s, tolerance=%s"
                .formatted(i, found[i], expected[i], greatest, tolerance));
      }
    }
  }
}
