package dev.lockstep.bench.step;

import dev.lockstep.job.Job;
import dev.lockstep.train.Trainer;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import java.util.function.BooleanSupplier;

/// What saving in the background costs a run: rounds of steps without a save and with one at their
/// start, in turn, in one run. A round ends when its checkpoint is on disk.
///
/// @param every steps of a round
/// @param plainNanos median time of a round without
/// @param ratio median over pairs of rounds of the time with a save to that without
/// @param pairs pairs of rounds
record SaveCost(int every, double plainNanos, double ratio, int pairs) {
  private static final Duration MEETING = Duration.ofMinutes(1);
  private static final String FOLDER = "perf/step-checkpoint";

  /// Takes the steps; every rank calls this.
  ///
  /// @param folder of this rank; rank 0's holds the checkpoint
  /// @param steps about how many steps of each kind
  /// @param stop whether this rank is to stop
  /// @return empty if a rank was asked to stop
  static Optional<SaveCost> measure(
      Job job, Trainer trainer, Path folder, int every, int steps, BooleanSupplier stop) {
    if (job.rank() == 0) {
      String path = folder.resolve("checkpoint").toString();
      job.store().set(FOLDER, path.getBytes(StandardCharsets.UTF_8));
    }
    byte[] path = job.store().get(FOLDER, MEETING);
    Path checkpoint = Path.of(new String(path, StandardCharsets.UTF_8));
    int pairs = Math.max(3, Math.ceilDiv(steps, every));
    double[] plain = new double[pairs];
    double[] ratios = new double[pairs];
    for (int pair = -1; pair < pairs; pair++) {
      long start = System.nanoTime();
      if (isStopped(trainer, every, stop)) {
        return Optional.empty();
      }
      long between = System.nanoTime();
      trainer.saveInBackground(checkpoint, 0);
      boolean isStopped = isStopped(trainer, every, stop);
      var _ = trainer.awaitSaved();
      if (isStopped) {
        return Optional.empty();
      }
      long end = System.nanoTime();
      if (pair >= 0) { // the first makes the copy's memory
        plain[pair] = between - start;
        ratios[pair] = (double) (end - between) / (between - start);
      }
    }
    return Optional.of(new SaveCost(every, Median.of(plain), Median.of(ratios), pairs));
  }

  /// Takes the steps, or those up to the one by which a rank is to stop.
  private static boolean isStopped(Trainer trainer, int count, BooleanSupplier stop) {
    for (int i = 0; i < count; i++) {
      trainer.step(stop.getAsBoolean());
      if (trainer.isStopped()) {
        return true;
      }
    }
    return false;
  }

  void print(PrintStream out) {
    out.printf(
        Locale.ROOT,
        "%nsaving every %d steps: %+.2f %% (median of %d pairs of rounds, %.2f ms/step without)%n",
        every,
        (ratio - 1) * 100,
        pairs,
        plainNanos / every / 1e6);
    out.flush();
  }
}
