package dev.lockstep.collective;

import java.util.Arrays;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/// Ranks that are not bound come to lie on one core while compilers have another, and stay there as
/// long as both compute. What they time then are not links but the core's turns.
final class CoreMates {
  /// After so many rests nothing parts them.
  private static final int MOST_RESTS = 2;

  private CoreMates() {}

  /// Returns the least of several times, place by place: they are taken once, and once more after
  /// each rest while ranks meet.
  ///
  /// @param timed returns as many times whenever it is asked
  /// @param meet whether ranks are on one core now; alike on all
  /// @param rest leaves the core
  static double[] apart(Supplier<double[]> timed, BooleanSupplier meet, Runnable rest) {
    double[] least = timed.get();
    for (int rests = 0; rests < MOST_RESTS && meet.getAsBoolean(); rests++) {
      rest.run();
      double[] again = timed.get();
      Arrays.setAll(least, i -> Math.min(least[i], again[i]));
    }
    return least;
  }

  /// Returns whether two ranks are on one core.
  ///
  /// @param cores each rank's, from 1; 0 where the system does not say
  static boolean meet(double[] cores) {
    double[] known = Arrays.stream(cores).filter(core -> core > 0).toArray();
    return Arrays.stream(known).distinct().count() < known.length;
  }
}
