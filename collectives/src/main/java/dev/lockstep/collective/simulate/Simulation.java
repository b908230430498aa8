package dev.lockstep.collective.simulate;

import java.math.BigInteger;
import java.util.List;
import java.util.function.Consumer;

/// What came of simulating a schedule. Immutable.
public final class Simulation {
  /// One step of a simulated rank.
  ///
  /// @param rank who
  /// @param step place in the rank's steps
  /// @param beginNanos when it was issued
  /// @param endNanos when it was complete
  public record StepTime(int rank, int step, double beginNanos, double endNanos) {}

  /// What went over the links of a level, from all ranks together.
  ///
  /// @param level name
  /// @param messages how many
  /// @param bytes how much; large tensors of a million ranks are more than a `long` counts
  public record Traffic(String level, long messages, BigInteger bytes) {}

  private final Cast cast;
  private final Run run;
  private final List<Traffic> traffic;

  Simulation(Cast cast, Run run, List<Traffic> traffic) {
    this.cast = cast;
    this.run = run;
    this.traffic = List.copyOf(traffic);
  }

  /// Returns the time until the last rank is through.
  public double nanos() {
    long last = 0;
    for (int i = 0; i < cast.programs.size(); i++) {
      last = Math.max(last, run.finish(i));
    }
    return last / 1000.0;
  }

  /// Returns the time until a rank is through.
  public double nanos(int rank) {
    return run.finish(cast.number(rank)) / 1000.0;
  }

  /// Returns whether ranks that are alike were simulated once.
  public boolean isFolded() {
    return cast.isFolded();
  }

  /// Returns how many ranks a rank was simulated for, itself included.
  public long alike(int rank) {
    return cast.members.get(cast.number(rank));
  }

  /// Returns how many programs were simulated.
  public int programs() {
    return cast.programs.size();
  }

  /// Returns how many steps these have together.
  public long steps() {
    return cast.programs.stream().mapToLong(RankProgram::steps).sum();
  }

  /// Returns how many steps all ranks have together.
  public long stepsOfAllRanks() {
    long steps = 0;
    for (int i = 0; i < cast.programs.size(); i++) {
      steps += cast.members.get(i) * cast.programs.get(i).steps();
    }
    return steps;
  }

  /// Returns what each level carried, innermost first.
  public List<Traffic> traffic() {
    return traffic;
  }

  /// Calls the consumer with every step of every simulated rank, rank by rank in order.
  public void forEachStep(Consumer<StepTime> consumer) {
    for (int i = 0; i < cast.programs.size(); i++) {
      RankProgram program = cast.programs.get(i);
      for (int step = 0; step < program.steps(); step++) {
        consumer.accept(
            new StepTime(
                program.rank, step, run.begin(i, step) / 1000.0, run.end(i, step) / 1000.0));
      }
    }
  }
}
