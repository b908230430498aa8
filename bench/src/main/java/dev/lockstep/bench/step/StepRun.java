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
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.Stream;

/// Times training steps of one rank: the trainer that users run, on random text, so that no step
/// depends on what a file holds.
public final class StepRun {
  private static final int TEXT_BYTES = 1 << 20;
  private static final long TEXT_SEED = 1;

  /// Steps in a row that must have allocated nothing.
  private static final int SETTLED = 3;

  /// How many times as long as asked for the warm-up may take.
  private static final int LONGEST = 6;

  private StepRun() {}

  /// Runs one rank: rank 0 prints and writes the results. Returns the exit code.
  ///
  /// @param share threads of a rank if the user did not say
  public static int run(Job job, int share, StepOptions options, PrintStream out)
      throws IOException {
    Path folder = Files.createTempDirectory("lockstep-perf-step");
    try {
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
        StepResult result = measure(trainer, job.rank(), job.worldSize(), options);
        if (job.rank() == 0) {
          result.print(out);
          if (options.json() != null) {
            result.write(options.json());
          }
        }
        if (options.saveEvery() > 0) {
          SaveCost cost =
              SaveCost.measure(job, trainer, folder, options.saveEvery(), options.steps());
          if (job.rank() == 0) {
            cost.print(out);
          }
        }
      }
      return 0;
    } finally {
      delete(folder);
    }
  }

  private static void delete(Path folder) throws IOException {
    try (Stream<Path> files = Files.walk(folder)) {
      files
          .sorted(Comparator.reverseOrder())
          .forEach(
              file -> {
                try {
                  Files.delete(file);
                } catch (IOException e) {
                  throw new UncheckedIOException(e);
                }
              });
    }
  }

  private static StepResult measure(Trainer trainer, int rank, int ranks, StepOptions options) {
    long[] nanos = new long[options.steps()];
    long[] allocated = new long[nanos.length];
    warmUp(trainer, rank, options.warmUpSeconds());
    HeapUse heap = new HeapUse();
    Map<String, List<PlannedStep>> before = kernels(trainer);
    for (int i = 0; i < nanos.length; i++) {
      heap.start();
      long start = System.nanoTime();
      trainer.step(false);
      nanos[i] = System.nanoTime() - start;
      allocated[i] = heap.stop();
    }
    Map<String, List<StepResult.Kernel>> parts = new LinkedHashMap<>();
    kernels(trainer)
        .forEach(
            (part, after) ->
                parts.put(part, perStep(before.getOrDefault(part, List.of()), after, nanos)));
    return new StepResult(
        trainer.recipe(),
        trainer.device(),
        ranks,
        nanos.length,
        Median.of(nanos),
        Median.of(allocated),
        parts);
  }

  /// Steps for at least `seconds`, then until a few steps have allocated nothing, which says that
  /// the compiler has done its work (until then vectors are objects), for so many times `seconds`
  /// at most; all ranks take as many steps as rank 0.
  private static void warmUp(Trainer trainer, int rank, int seconds) {
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
      trainer.step(rank == 0 && steps >= SETTLED && enough);
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
