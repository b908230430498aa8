package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.cuda.ffi.StandInCounts;
import dev.lockstep.job.Job;
import dev.lockstep.train.Layout;
import dev.lockstep.train.model.GptShape;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// How the gradients of ranks on GPUs that have no NCCL come to the host's memory and back:
/// libraries that return at once count the calls.
@Timeout(60)
class MirrorCopiesTest {
  private static final int RANKS = 2;
  private static final String OUT = "cuMemcpyDtoHAsync_v2";
  private static final String BACK = "cuMemcpyHtoDAsync_v2";

  /// Gradients of 12.7 MB; by chunks of 256 KiB they would be 48 copies.
  private static final GptShape MODEL = new GptShape(4, 4, 256, 16, 256, true);

  /// Eighths of the gradients and what is left, and numbers of the step.
  private static final int MOST_COPIES = 24;

  @TempDir Path folder;

  private final CyclicBarrier together = new CyclicBarrier(RANKS);
  private final List<Map<String, Long>> counts = new ArrayList<>();

  @BeforeEach
  void takeIdleLibraries() {
    StandInGpus.takeIdle();
  }

  @AfterEach
  void leaveThem() {
    StandInGpus.leave();
  }

  /// Counts the calls of both ranks between two steps.
  private void count(Job job) {
    try {
      together.await(30, TimeUnit.SECONDS);
      if (job.rank() == 0) {
        Map<String, Long> now = new TreeMap<>();
        for (String function :
            List.of(OUT, BACK, "cuEventSynchronize", "cuEventQuery", "cuStreamWaitEvent")) {
          now.put(function, StandInCounts.idleCalls(function));
        }
        counts.add(now);
      }
      together.await(30, TimeUnit.SECONDS);
    } catch (InterruptedException | BrokenBarrierException | TimeoutException failed) {
      throw new IllegalStateException(failed);
    }
  }

  @Test
  void eachBucketIsOneCopyEachWay(TestReporter reporter) throws Exception {
    StandInGpus.train(
        folder,
        StandInGpus.recipe(MODEL, RANKS),
        Layout.dataParallel(),
        (job, _) -> count(job),
        "cuda",
        "cuda");
    Map<String, Long> step = counts.get(1);
    step.replaceAll(
        (function, calls) -> (calls - counts.getFirst().getOrDefault(function, 0L)) / RANKS);
    reporter.publishEntry("calls of a step of a rank", step.toString());
    assertThat(step.get(OUT)).isLessThan(MOST_COPIES);
    assertThat(step.get(BACK)).isLessThan(MOST_COPIES);
  }
}
