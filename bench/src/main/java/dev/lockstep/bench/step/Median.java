package dev.lockstep.bench.step;

import java.util.Arrays;

/// The middle of numbers: where they are even in number, the mean of the two in the middle.
public final class Median {
  private Median() {}

  /// Returns the median.
  ///
  /// @param numbers at least one, in any order
  public static double of(double... numbers) {
    double[] sorted = numbers.clone();
    Arrays.sort(sorted);
    return (sorted[(sorted.length - 1) / 2] + sorted[sorted.length / 2]) / 2;
  }

  static double of(long... numbers) {
    return of(Arrays.stream(numbers).asDoubleStream().toArray());
  }
}
