package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.lockstep.deadline.MachineLoad;
import dev.lockstep.device.cuda.ffi.StandInCounts;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Trainer;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.CorpusListener;
import dev.lockstep.train.data.DataOptions;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.nn.Precision;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What the host itself does in a training step on the CUDA device: libraries that return at once
/// stand for the GPU. How long the real driver's calls take comes on top, once for each call.
@Timeout(60)
class CudaHostTimeTest {
  /// Functions of the driver that steps call.
  private static final List<String> FUNCTIONS =
      List.of(
          "cuCtxSetCurrent",
          "cuEventQuery",
          "cuEventRecord",
          "cuEventSynchronize",
          "cuGraphLaunch",
          "cuLaunchKernel",
          "cuMemcpyDtoHAsync_v2",
          "cuMemcpyHtoDAsync_v2",
          "cuStreamSynchronize",
          "cuStreamWaitEvent");

  private static final int ROUND = 500;
  private static final long MOST_NANOS = TimeUnit.SECONDS.toNanos(20);
  private static final int SETTLED = 6;

  /// Some thirty times of what it takes on a quiet machine: a mistake of complexity is seen.
  private static final double MOST_MICROS = 500;

  @TempDir Path folder;

  @BeforeEach
  void takeIdleLibraries() {
    StandInGpus.takeIdle();
  }

  @AfterEach
  void leaveThem() {
    StandInGpus.leave();
  }

  /// What a round of steps took.
  private record Round(double medianMicros, long allocatedBytes, Map<String, Long> calls) {}

  private static Map<String, Long> calls() {
    Map<String, Long> calls = new TreeMap<>();
    FUNCTIONS.forEach(function -> calls.put(function, StandInCounts.idleCalls(function)));
    return calls;
  }

  private static Round round(Trainer trainer) {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long[] nanos = new long[ROUND];
    Map<String, Long> before = calls();
    long allocated = threads.getCurrentThreadAllocatedBytes();
    for (int i = 0; i < ROUND; i++) {
      long start = System.nanoTime();
      trainer.step(false);
      nanos[i] = System.nanoTime() - start;
    }
    allocated = threads.getCurrentThreadAllocatedBytes() - allocated;
    Map<String, Long> made = calls();
    made.replaceAll((function, count) -> (count - before.getOrDefault(function, 0L)) / ROUND);
    Arrays.sort(nanos);
    return new Round(nanos[ROUND / 2] / 1e3, allocated, made);
  }

  /// A run of one rank on libraries that do nothing.
  private final class Running implements AutoCloseable {
    private final Corpus corpus;
    private final Job job;
    private final Trainer trainer;

    Running(GptShape model, int windows) throws Exception {
      TinyJob text = new TinyJob(folder);
      Recipe recipe =
          Recipe.defaults()
              .withModel(model)
              .withBatch(BatchShape.of(1, windows))
              .withPrecision(Precision.BF16)
              .withSteps(1_000_000);
      corpus = Corpus.open(DataOptions.of(text.text(), text.cache()), CorpusListener.SILENT);
      job = Job.inProcess(1, JobConfig.of(Map.of())).getFirst();
      trainer =
          Trainer.start(
              job, recipe, corpus, TrainerOptions.defaults().withDevice("cuda").withThreads(1));
    }

    @Override
    public void close() {
      trainer.close();
      job.close();
      corpus.close();
    }
  }

  /// Returns how often a step copies to the device.
  private static long copiesOfAStep(Trainer trainer) {
    long before = StandInCounts.idleCalls("cuMemcpyHtoDAsync_v2");
    trainer.step(false);
    return StandInCounts.idleCalls("cuMemcpyHtoDAsync_v2") - before;
  }

  /// Tokens, targets and the numbers of lane and step go with the step before.
  @Test
  void aStepSendsTheInputOfTheNextToo() throws Exception {
    try (Running run = new Running(new GptShape(1, 4, 64, 16, 256, true), 2)) {
      long first = copiesOfAStep(run.trainer);
      long second = copiesOfAStep(run.trainer);
      assertThat(first).isEqualTo(second + 4);
      assertThat(copiesOfAStep(run.trainer)).isEqualTo(second);
    }
  }

  @ParameterizedTest(name = "{0} layers, {1} windows of {2}")
  @CsvSource({"12, 1, 16", "12, 16, 1024"})
  void stepsTakeLittleOfTheHostAndAllocateNothing(
      int layers, int windows, int context, TestReporter reporter) throws Exception {
    try (Running run = new Running(new GptShape(layers, 4, 64, context, 256, true), windows)) {
      Round least = round(run.trainer);
      int settled = 0;
      long end = System.nanoTime() + MOST_NANOS;
      // Until the compiler is done.
      while ((settled < SETTLED || least.allocatedBytes > 0) && System.nanoTime() < end) {
        Round next = round(run.trainer);
        settled = next.medianMicros > 0.95 * least.medianMicros ? settled + 1 : 0;
        least =
            new Round(
                Math.min(next.medianMicros, least.medianMicros),
                Math.min(next.allocatedBytes, least.allocatedBytes),
                next.calls);
      }
      reporter.publishEntry(
          "host's time of a step", "%.1f µs, calls %s".formatted(least.medianMicros, least.calls));
      assertThat(least.allocatedBytes).as("bytes in %d steps", ROUND).isZero();
      assertThat(least.calls).containsEntry("cuGraphLaunch", 2L);
      assertThat(least.calls).containsEntry("cuLaunchKernel", 0L);
      assertThat(least.medianMicros).as(MachineLoad::now).isLessThan(MOST_MICROS);
    }
  }
}
