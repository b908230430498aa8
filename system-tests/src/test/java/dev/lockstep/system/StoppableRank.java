package dev.lockstep.system;

import dev.lockstep.job.Job;
import java.time.Duration;
import java.util.function.BooleanSupplier;

/// A program of somebody's own that does a rank's work until it is asked to stop, and then saves.
final class StoppableRank {
  private static final Duration TO_SAVE = Duration.ofSeconds(30);

  private StoppableRank() {}

  /// Runs the rank.
  public static void main(String[] arguments) {
    Job.run(
        job -> {
          BooleanSupplier stop = job.stopSignal(TO_SAVE);
          System.out.println("works in " + job.directory());
          while (!stop.getAsBoolean()) {
            Thread.onSpinWait();
          }
          System.out.println("saved");
        });
  }
}
