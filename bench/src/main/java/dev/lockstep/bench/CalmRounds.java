package dev.lockstep.bench;

import dev.lockstep.bench.step.Median;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.IntConsumer;
import java.util.function.Supplier;

/// Times several things beside one another in a few rounds, and in more where some were disturbed:
/// a compiler or another process takes the core of a rank for milliseconds, and what is timed then
/// says nothing of what is compared.
///
/// All ranks see the same times, and so end after the same round.
final class CalmRounds {
  /// Rounds that count.
  static final int CALM = 3;

  /// Rounds at most.
  static final int MOST = 9;

  /// In a calm round nothing takes so many times as long as in its fastest.
  private static final double SLOW = 1.5;

  private final Supplier<double[]> round;
  private final Supplier<PerfRow.Start> start;
  private final IntConsumer rest;
  private final List<double[]> rounds = new ArrayList<>();
  private int timed;

  /// Makes the rounds of one rank.
  ///
  /// @param round times everything once
  /// @param start says how ranks began in the round before; those that began in another way than
  ///   the last do not count
  /// @param rest lets others have the cores, after a round that is not calm; is told how many of
  ///   these there have been
  CalmRounds(Supplier<double[]> round, Supplier<PerfRow.Start> start, IntConsumer rest) {
    this.round = round;
    this.start = start;
    this.rest = rest;
  }

  /// Times rounds until enough are calm, or there have been enough of them; all ranks together.
  ///
  /// @return what each thing takes, the median of the calmest rounds
  double[] time() {
    PerfRow.Start last = start.get();
    int disturbed = 0;
    while (true) {
      double[] times = round.get();
      timed++;
      if (start.get() != last) {
        rounds.clear();
        last = start.get();
      }
      rounds.add(times);
      double[] least = least();
      long calm = rounds.stream().filter(each -> slowdown(each, least) <= SLOW).count();
      if (calm >= CALM || timed >= MOST) {
        return medians(calmest(least));
      }
      if (calm < rounds.size()) {
        disturbed++;
        rest.accept(disturbed);
      }
    }
  }

  /// Returns how many rounds there have been.
  int timed() {
    return timed;
  }

  private List<double[]> calmest(double[] least) {
    return rounds.stream()
        .sorted(Comparator.comparingDouble(each -> slowdown(each, least)))
        .limit(CALM)
        .toList();
  }

  private double[] least() {
    double[] least = rounds.getFirst().clone();
    for (double[] each : rounds) {
      for (int i = 0; i < least.length; i++) {
        least[i] = Math.min(least[i], each[i]);
      }
    }
    return least;
  }

  /// Returns how many times as long as at its fastest the thing takes that is furthest from it.
  private static double slowdown(double[] times, double[] least) {
    double most = 1;
    for (int i = 0; i < least.length; i++) {
      most = Math.max(most, times[i] / least[i]);
    }
    return most;
  }

  private static double[] medians(List<double[]> rounds) {
    double[] medians = new double[rounds.getFirst().length];
    for (int i = 0; i < medians.length; i++) {
      int which = i;
      medians[i] = Median.of(rounds.stream().mapToDouble(each -> each[which]).toArray());
    }
    return medians;
  }
}
