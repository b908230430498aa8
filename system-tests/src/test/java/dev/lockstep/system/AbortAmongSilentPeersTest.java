package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.collective.Communicator;
import dev.lockstep.collective.CommunicatorOptions;
import dev.lockstep.collective.LinkSource;
import dev.lockstep.collective.PreparedCollective;
import dev.lockstep.collective.Work;
import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.deadline.Deadline;
import dev.lockstep.deadline.MachineLoad;
import dev.lockstep.failure.CollectiveAbortedException;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.transport.efa.FaultyFabrics.StoppingTcp;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// Peers that are stopped hold leave to write a rank's memory, and cannot say that they will not:
/// an abort takes it from all of them in the time of one.
@Timeout(60)
@Tag("long")
class AbortAmongSilentPeersTest {
  private static final int RANKS = 8;
  private static final long ELEMENTS = 1 << 18;
  private static final Algorithm STRAIGHT = Algorithms.named("linear-gather").orElseThrow();

  /// As long as one peer has to answer.
  private static final Duration ONE = Duration.ofMillis(200);

  private static final long WAIT_SECONDS = 20;

  private final CountDownLatch met = new CountDownLatch(RANKS);
  private final CountDownLatch over = new CountDownLatch(1);

  @Test
  void takesTheTimeOfOnePeer() throws Exception {
    Libfabric.require("ofi:tcp");
    List<Job> jobs = Job.inProcess(RANKS, JobConfig.of(Map.of()));
    try (ExecutorService threads = Executors.newCachedThreadPool()) {
      List<Future<?>> ranks = new ArrayList<>();
      for (Job job : jobs) {
        ranks.add(threads.submit(() -> run(job)));
      }
      for (Future<?> rank : ranks) {
        rank.get();
      }
    } finally {
      jobs.forEach(Job::close);
    }
  }

  private @Nullable Void run(Job job) throws InterruptedException {
    CommunicatorOptions options =
        CommunicatorOptions.defaults()
            .withTransport("stopping-ofi-tcp")
            .withLinks(LinkSource.typical());
    boolean root = job.rank() == 0;
    try (Communicator world = Communicator.world(job, options);
        Buffer part = HostMemory.allocate(job.memory(), "part", ELEMENTS * Float.BYTES);
        Buffer all = HostMemory.allocate(job.memory(), "all", RANKS * ELEMENTS * Float.BYTES)) {
      CollectiveRequest request =
          CollectiveRequest.gather(
              DType.F32, Counts.each(RANKS, ELEMENTS), 0, false, world.topology());
      Tensor in = Tensor.of(part, DType.F32, Shape.of(ELEMENTS));
      Tensor out = root ? Tensor.of(all, DType.F32, Shape.of(RANKS * ELEMENTS)) : null;
      try (PreparedCollective gather = world.prepare(request, STRAIGHT, List.of(in), out)) {
        gather.run();
        met.countDown();
        assertThat(met.await(WAIT_SECONDS, TimeUnit.SECONDS)).isTrue();
        if (root) {
          abort(world, gather);
        }
        assertThat(over.await(WAIT_SECONDS, TimeUnit.SECONDS)).isTrue();
      }
    }
    return null;
  }

  private void abort(Communicator world, PreparedCollective gather) {
    StoppingTcp.stop(true);
    try {
      Work work = gather.start();
      Deadline.until(
          () -> {
            var _ = work.poll();
            return StoppingTcp.grants() == RANKS - 1;
          });
      long start = System.nanoTime();
      world.abort(new IllegalStateException("enough"));
      assertThatThrownBy(work::await).isInstanceOf(CollectiveAbortedException.class);
      gather.close(); // waits until its memory is its owner's again
      assertThat(Duration.ofNanos(System.nanoTime() - start))
          .as(MachineLoad::now)
          .isBetween(ONE, ONE.multipliedBy(RANKS - 2)); // in turn they take one more
    } finally {
      StoppingTcp.stop(false);
      over.countDown();
    }
  }
}
