package dev.lockstep.system;

import dev.lockstep.collective.request.Mode;
import dev.lockstep.job.Job;
import dev.lockstep.system.EveryAlgorithm.Result;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.LongStream;

/// A rank that runs every collective by every algorithm and prints what it got.
final class AlgorithmRank {
  /// What begins the line of a result.
  static final String RESULT = "result ";

  private AlgorithmRank() {}

  /// Returns the program of a rank.
  static List<String> program(String transport, long... sizes) {
    List<String> program = new ArrayList<>(Command.computingProgram(AlgorithmRank.class.getName()));
    program.add(transport);
    LongStream.of(sizes).forEach(size -> program.add("" + size));
    return program;
  }

  /// Waits for the good end of ranks and returns what each of them got.
  static List<List<Result>> results(List<Command> ranks) throws InterruptedException {
    List<List<Result>> results = new ArrayList<>();
    for (Command rank : ranks) {
      results.add(
          rank.done().out().stream()
              .filter(line -> line.startsWith(RESULT))
              .map(line -> Result.of(line.substring(RESULT.length())))
              .toList());
    }
    return results;
  }

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
