package dev.lockstep.bench.step;

import com.sun.management.ThreadMXBean;
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
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
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
        StepResult result = measure(trainer, job.worldSize(), options);
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

  private static StepResult measure(Trainer trainer, int ranks, StepOptions options) {
    long[] nanos = new long[options.steps()];
    warmUp(trainer, options.warmUpSeconds());
    Map<String, List<PlannedStep>> before = kernels(trainer);
    long allocatedBefore = allocatedBytes();
    long start = System.nanoTime();
    for (int i = 0; i < nanos.length; i++) {
      trainer.step(false);
      long now = System.nanoTime();
      nanos[i] = now - start;
      start = now;
    }
    long allocated = allocatedBytes() - allocatedBefore;
    Map<String, List<StepResult.Kernel>> parts = new LinkedHashMap<>();
    kernels(trainer)
        .forEach(
            (part, after) ->
                parts.put(part, perStep(before.getOrDefault(part, List.of()), after, nanos)));
    long[] sorted = nanos.clone();
    Arrays.sort(sorted);
    double median = (sorted[(sorted.length - 1) / 2] + sorted[sorted.length / 2]) / 2.0;
    return new StepResult(
        trainer.recipe(),
        trainer.device(),
        ranks,
        nanos.length,
        median,
        (double) allocated / nanos.length,
        parts);
  }

  /// Steps for at least `seconds`; all ranks take the same number of steps.
  private static void warmUp(Trainer trainer, int seconds) {
    long end = System.nanoTime() + seconds * 1_000_000_000L;
    int steps = 0;
    boolean stop = false;
    while (!stop) {
      // One rank's wish to stop reaches all ranks with the step's sums.
      trainer.step(steps >= 3 && System.nanoTime() >= end);
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

  /// What all threads of this JVM have allocated so far.
  private static long allocatedBytes() {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long bytes = 0;
    for (long allocated : threads.getThreadAllocatedBytes(threads.getAllThreadIds())) {
      bytes += Math.max(0, allocated);
    }
    return bytes;
  }
}
