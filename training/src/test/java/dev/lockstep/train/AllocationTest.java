package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Training steps leave the garbage collector nothing to do.
class AllocationTest {
  private static final Recipe RECIPE =
      Recipe.defaults()
          .withModel(new GptShape(1, 2, 16, 12, 256, true))
          .withBatch(BatchShape.of(4, 2))
          .withSteps(1_000_000);
  private static final int ROUND = 20;
  private static final Duration PATIENCE = Duration.ofSeconds(80);

  @TempDir Path directory;

  /// Counts what all threads of this JVM allocate, those of the tests' runner apart: ranks, compute
  /// threads, progress and control plane.
  private static final class Counter {
    private final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    private final long[] ids;

    Counter() {
      ids =
          Thread.getAllStackTraces().keySet().stream()
              .filter(Counter::isOurs)
              .mapToLong(Thread::threadId)
              .toArray();
    }

    private static boolean isOurs(Thread thread) {
      return thread == Thread.currentThread()
          || thread.getName().startsWith("lockstep")
          || thread.getName().startsWith("rank-");
    }

    int threads() {
      return ids.length;
    }

    long total() {
      long total = 0;
      for (long bytes : threads.getThreadAllocatedBytes(ids)) {
        total += bytes;
      }
      return total;
    }

    /// Returns what was allocated since a total, less what the question itself takes.
    long since(long before) {
      long after = total();
      long question = total() - after;
      return after - before - question;
    }
  }

  @ParameterizedTest(name = "--mesh {0} --zero {1}, threads={2}, transport={3}, same bits={4}")
  @CsvSource({"dp=1, 0, 2, '', true", "dp=2, 3, 2, in-process, true"})
  @Timeout(120)
  void stepsAllocateNothingOnAnyThread(
      String mesh, int zero, int threads, String transport, boolean sameBits) throws Exception {
    allocateNothing(mesh, zero, threads, transport, sameBits);
  }

  @Test
  @Timeout(120)
  void stepsWithBucketsAllocateNothing() throws Exception {
    allocateNothing("dp=2", 0, 1, "shm", true, 20_000);
  }

  /// The kernels of a split vocabulary run seldom, and box their vectors until they are compiled.
  @Tag("long")
  @ParameterizedTest(name = "--mesh {0} --zero {1}, threads={2}, transport={3}, same bits={4}")
  @CsvSource({
    "dp=1, 0, 1, '', true",
    "tp=2, 0, 1, in-process, true",
    "dp=2, 0, 1, shm, true",
    "dp=2, 0, 2, in-process, true",
    "dp=2, 0, 1, in-process, false",
    "dp=2, 1, 1, in-process, true",
    "dp=2, 2, 1, in-process, true"
  })
  @Timeout(120)
  void stepsOfOtherLayoutsAllocateNothingEither(
      String mesh, int zero, int threads, String transport, boolean sameBits) throws Exception {
    allocateNothing(mesh, zero, threads, transport, sameBits);
  }

  private void allocateNothing(
      String mesh, int zero, int threads, String transport, boolean sameBits) throws Exception {
    long bucketBytes = TrainerOptions.defaults().bucketBytes();
    allocateNothing(mesh, zero, threads, transport, sameBits, bucketBytes);
  }

  private void allocateNothing(
      String mesh, int zero, int threads, String transport, boolean sameBits, long bucketBytes)
      throws Exception {
    Layout layout = Layout.parse(mesh).withZero(zero);
    int ranks = layout.places();
    TrainerOptions options =
        TrainerOptions.defaults()
            .withThreads(threads)
            .withTransport(ranks == 1 ? "" : transport)
            .withBucketBytes(bucketBytes)
            .withLayout(layout);
    Recipe recipe = RECIPE.withSameBits(sameBits);
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      List<Long> least =
          InProcessRanks.run(
              ranks,
              job -> {
                Thread.currentThread().setName("rank-" + job.rank());
                try (Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
                  return job.rank() == 0 ? least(trainer, threads) : follow(trainer);
                }
              });

      assertThat(least.getFirst()).as("bytes in %d steps of all ranks", ROUND).isZero();
    }
  }

  /// Returns the fewest bytes that a round of steps took: the compiler needs many to settle. Rank 0
  /// counts for all, and stops all when there was a round without.
  private static long least(Trainer trainer, int threads) {
    long least = Long.MAX_VALUE;
    Counter counter = null;
    long start = System.nanoTime();
    while (least > 0 && System.nanoTime() - start < PATIENCE.toNanos()) {
      for (int i = 0; i < ROUND; i++) {
        trainer.step(false);
      }
      if (counter == null) {
        counter = new Counter();
        assertThat(counter.threads()).isGreaterThanOrEqualTo(threads);
      }
      long before = counter.total();
      for (int i = 0; i < ROUND; i++) {
        trainer.step(false);
      }
      least = Math.min(least, counter.since(before));
    }
    trainer.step(true);
    return least;
  }

  private static long follow(Trainer trainer) {
    while (!trainer.isStopped()) {
      trainer.step(false);
    }
    return 0;
  }
}
