package dev.lockstep.system;

import dev.lockstep.collective.request.Mode;
import dev.lockstep.job.Job;
import java.util.Arrays;

/// A rank that runs every collective by every algorithm and prints what it got.
final class AlgorithmRank {
  /// What begins the line of a result.
  static final String RESULT = "result ";

  private AlgorithmRank() {}

  /// Runs the rank.
  ///
  /// @param arguments the transport and the sizes
  public static void main(String[] arguments) {
    long[] sizes = Arrays.stream(arguments).skip(1).mapToLong(Long::parseLong).toArray();
    EveryAlgorithm collectives = new EveryAlgorithm(sizes);
    try (Job job = Job.join()) {
      for (Mode mode : Mode.values()) {
        collectives
            .on(job, arguments[0], mode, true)
            .forEach(result -> System.out.println(RESULT + result.toLine()));
      }
    }
  }
}
