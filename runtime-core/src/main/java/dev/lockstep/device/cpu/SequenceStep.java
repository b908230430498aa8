package dev.lockstep.device.cpu;

import java.util.List;
import java.util.stream.Collectors;

/// Steps in order, which may leave something for each other in the shared scratch.
final class SequenceStep extends Step {
  private final Step[] steps;
  private final long betweenBytes;

  /// `betweenBytes` is the size of what is left at the start of the shared scratch, which none of
  /// the steps uses otherwise.
  SequenceStep(List<Step> steps, long betweenBytes) {
    this.steps = steps.toArray(Step[]::new);
    this.betweenBytes = betweenBytes;
  }

  @Override
  long sharedBytes() {
    return betweenBytes;
  }

  @Override
  long workerBytes() {
    return List.of(steps).stream().mapToLong(Step::workerBytes).max().orElse(0);
  }

  @Override
  void execute() {
    for (Step step : steps) {
      step.run(frame());
    }
  }

  @Override
  public void run(int worker, int from, int to) {
    throw new IllegalStateException("a sequence has no tiles of its own: step=" + label());
  }

  @Override
  String label() {
    return List.of(steps).stream().map(Step::label).distinct().collect(Collectors.joining(", "));
  }
}
