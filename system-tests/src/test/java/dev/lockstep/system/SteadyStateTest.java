package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.lockstep.collective.Communicator;
import dev.lockstep.collective.CommunicatorOptions;
import dev.lockstep.collective.PreparedCollective;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// A collective that is run again and again over libfabric allocates nothing.
@Timeout(120)
@Tag("long")
class SteadyStateTest {
  private static final int RANKS = 2;
  private static final int RUNS = 200;

  /// One message is a frame, one several frames or a write, one some segments.
  @ParameterizedTest(name = "{0}, elements={1}")
  @CsvSource({
    "ofi:tcp, 16", "ofi:tcp, 20000", "ofi:tcp, 300000",
    "ofi:shm, 16", "ofi:shm, 20000", "ofi:shm, 300000",
    "ofi:udp, 16", "ofi:udp, 20000"
  })
  void preparedCollectivesAllocateNothing(String transport, long elements) throws Exception {
    Libfabric.require(transport);
    List<Future<Long>> least = new ArrayList<>();
    try (ExecutorService threads = Executors.newCachedThreadPool()) {
      for (Job job : Job.inProcess(RANKS, JobConfig.of(Map.of()))) {
        least.add(threads.submit(() -> leastAllocated(job, transport, elements)));
      }
      for (Future<Long> rank : least) {
        assertThat(rank.get()).as("bytes allocated by %d runs", RUNS).isZero();
      }
    }
  }

  /// Runs until no rank allocates anything more, or for too long.
  private static long leastAllocated(Job job, String transport, long elements) {
    var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    CommunicatorOptions options = CommunicatorOptions.defaults().withTransport(transport);
    try (job;
        Communicator world = Communicator.world(job, options);
        Buffer sums = HostMemory.allocate(job.memory(), "sums", elements * Float.BYTES);
        Buffer most = HostMemory.allocate(job.memory(), "most", Long.BYTES)) {
      Tensor tensor = Tensor.of(sums, DType.F32, Shape.of(elements));
      Tensor worst = Tensor.of(most, DType.I64, Shape.of(1));
      try (PreparedCollective sum =
          world.prepare(request(world, elements), List.of(tensor), tensor)) {
        long least = Long.MAX_VALUE;
        for (int round = 0; round < 500 && least > 0; round++) {
          long before = threads.getCurrentThreadAllocatedBytes();
          for (int i = 0; i < RUNS; i++) {
            sum.run();
          }
          long allocated = threads.getCurrentThreadAllocatedBytes() - before;
          most.segment().set(ValueLayout.JAVA_LONG, 0, allocated);
          world.allReduce(worst, worst, new ReduceOp.Max());
          least = Math.min(least, most.segment().get(ValueLayout.JAVA_LONG, 0));
        }
        return least;
      }
    }
  }

  private static CollectiveRequest request(Communicator world, long elements) {
    return CollectiveRequest.allReduce(
        DType.F32,
        new ReduceOp.Max(),
        elements,
        true,
        world.topology(),
        LaneSplit.onePerRank(world.size()),
        Mode.SAME_BITS);
  }
}
