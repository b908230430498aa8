package dev.lockstep.bench.step;

import dev.lockstep.device.PlannedStep;
import dev.lockstep.device.Program;
import dev.lockstep.job.Job;
import dev.lockstep.train.Trainer;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.CorpusListener;
import dev.lockstep.train.data.DataOptions;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.function.BooleanSupplier;

/// Times training steps of one rank: the trainer that users run, on random text, so that no step
/// depends on what a file holds.
public final class StepRun {
  private static final String FOLDER = "lockstep-perf-step";
  private static final int TEXT_BYTES = 1 << 20;
  private static final long TEXT_SEED = 1;

  /// Steps in a row that must have allocated nothing.
  private static final int SETTLED = 3;

  /// How many times as long as asked for the warm-up may take.
  private static final int LONGEST = 6;

  private StepRun() {}

  /// Runs the only rank, in the command's own process. Returns the exit code.
  ///
  /// @param share threads of a rank if the user did not say
  public static int alone(Job job, int share, StepOptions options, PrintStream out)
      throws IOException {
    try (TemporaryFolder folder = TemporaryFolder.ofProcess(FOLDER)) {
      return run(job, share, options, out, folder.path(), () -> false);
    }
  }

  /// Runs one rank: rank 0 prints and writes the results. Returns the exit code.
  ///
  /// @param share threads of a rank if the user did not say
  /// @param stop whether this rank is to stop: then all do, with nothing printed
  public static int rank(
      Job job, int share, StepOptions options, PrintStream out, BooleanSupplier stop)
      throws IOException {
    var _ = stop.getAsBoolean(); // a rank that has asked by then has the time to close what it has
    try (TemporaryFolder folder = TemporaryFolder.ofWork(FOLDER)) {
      return run(job, share, options, out, folder.path(), stop);
    }
  }

  private static int run(
      Job job, int share, StepOptions options, PrintStream out, Path folder, BooleanSupplier stop)
      throws IOException {
    Path text = folder.resolve("text.txt");
    byte[] bytes = new byte[TEXT_BYTES];
    var random = new SplittableRandom(TEXT_SEED);
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) (' ' + random.nextInt(95));
    }
    Files.write(text, bytes);
    DataOptions data = DataOptions.of(text, folder.resolve("cache"));
    try (Corpus corpus = Corpus.open(data, CorpusListener.SILENT);
        Trainer trainer =
            Trainer.start(job, options.recipe(), corpus, options.trainerOptions(share))) {
      Optional<StepResult> result = measure(trainer, job.rank(), job.worldSize(), options, stop);
      if (result.isEmpty()) {
        return 0;
      }
      if (job.rank() == 0) {
        result.get().print(out);
        if (options.json() != null) {
          result.get().write(options.json());
        }
      }
      if (options.saveEvery() > 0) {
        Optional<SaveCost> cost =
            SaveCost.measure(job, trainer, folder, options.saveEvery(), options.steps(), stop);
        if (job.rank() == 0) {
          cost.ifPresent(known -> known.print(out));
        }
      }
    }
    return 0;
  }

  /// Empty if a rank was asked to stop.
  private static Optional<StepResult> measure(
      Trainer trainer, int rank, int ranks, StepOptions options, BooleanSupplier stop) {
    long[] nanos = new long[options.steps()];
    long[] allocated = new long[nanos.length];
    warmUp(trainer, rank, options.warmUpSeconds(), stop);
    HeapUse heap = new HeapUse();
    Map<String, List<PlannedStep>> before = kernels(trainer);
    for (int i = 0; i < nanos.length; i++) {
      heap.start();
      long start = System.nanoTime();
      trainer.step(stop.getAsBoolean());
      nanos[i] = System.nanoTime() - start;
      allocated[i] = heap.stop();
      if (trainer.isStopped()) {
        return Optional.empty();
      }
    }
    Map<String, List<StepResult.Kernel>> parts = new LinkedHashMap<>();
    kernels(trainer)
        .forEach(
            (part, after) ->
                parts.put(part, perStep(before.getOrDefault(part, List.of()), after, nanos)));
    return Optional.of(
        new StepResult(
            trainer.recipe(),
            trainer.device(),
            ranks,
            nanos.length,
            Median.of(nanos),
            Median.of(allocated),
            parts));
  }

  /// Steps for at least `seconds`, then until a few steps have allocated nothing, which says that
  /// the compiler has done its work (until then vectors are objects), for so many times `seconds`
  /// at most; all ranks take as many steps as rank 0. Who is asked to stop ends it for all.
  private static void warmUp(Trainer trainer, int rank, int seconds, BooleanSupplier asked) {
    HeapUse heap = new HeapUse();
    long start = System.nanoTime();
    long least = seconds * 1_000_000_000L;
    int steps = 0;
    int settled = 0;
    boolean stop = false;
    while (!stop) {
      long taken = System.nanoTime() - start;
      boolean enough = taken >= least && (settled >= SETTLED || taken >= LONGEST * least);
      heap.start();
      // A rank's wish to stop reaches all ranks with the step's sums.
      boolean isDone = rank == 0 && steps >= SETTLED && enough;
      trainer.step(isDone || asked.getAsBoolean());
      settled = heap.stop() == 0 ? settled + 1 : 0;
      steps++;
      stop = trainer.isStopped();
    }
  }

  private static Map<String, List<PlannedStep>> kernels(Trainer trainer) {
    Map<String, List<PlannedStep>> kernels = new LinkedHashMap<>();
    trainer
        .programs()
        .forEach(
            (part, programs) -> {
              List<PlannedStep> all = new ArrayList<>();
              for (Program program : programs) {
                all.addAll(program.steps());
              }
              kernels.put(part, all);
            });
    return kernels;
  }

  private static List<StepResult.Kernel> perStep(
      List<PlannedStep> before, List<PlannedStep> after, long[] nanos) {
    List<StepResult.Kernel> kernels = new ArrayList<>();
    for (int i = 0; i < after.size(); i++) {
      PlannedStep step = after.get(i);
      double each = (double) (step.nanos() - before.get(i).nanos()) / nanos.length;
      kernels.add(
          new StepResult.Kernel(
              step.kernel(),
              step.label(),
              step.cost().flops(),
              step.cost().bytes(),
              each,
              step.leastNanos()));
    }
    return kernels;
  }
}
