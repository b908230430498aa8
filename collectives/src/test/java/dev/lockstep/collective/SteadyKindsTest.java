package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Prepared collectives of every kind allocate nothing, run or started, once compilers are done
/// with them.
@Timeout(60)
final class SteadyKindsTest {
  private static final int RANKS = 3;
  private static final int RUNS = 100;
  private static final int MOST_ROUNDS = 500;

  private static List<CollectiveRequest> everyKind(Topology topology, int elements) {
    LaneSplit lanes = LaneSplit.onePerRank(RANKS);
    ReduceOp sum = new ReduceOp.Sum();
    DType f32 = DType.F32;
    Counts parts = Counts.each(RANKS, elements);
    return List.of(
        CollectiveRequest.allReduce(f32, sum, elements, false, topology, lanes, Mode.SAME_BITS),
        CollectiveRequest.reduceScatter(f32, sum, parts, false, topology, lanes, Mode.SAME_BITS),
        CollectiveRequest.reduce(f32, sum, elements, 1, false, topology, lanes, Mode.SAME_BITS),
        CollectiveRequest.allGather(f32, parts, false, topology),
        CollectiveRequest.gather(f32, parts, 1, false, topology),
        CollectiveRequest.scatter(f32, parts, 1, false, topology),
        CollectiveRequest.broadcast(f32, elements, 1, topology),
        CollectiveRequest.allToAll(f32, Counts.each(RANKS * RANKS, elements), false, topology),
        CollectiveRequest.sendReceive(f32, elements, false, topology),
        CollectiveRequest.barrier(topology));
  }

  @ParameterizedTest(name = "{0}, elements={1}, started={2}")
  @CsvSource({"shm, 16, false", "shm, 16, true", "shm, 5000, false"})
  void everyKindAllocatesNothing(String transport, int elements, boolean started) {
    var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    Ranks.run(
        RANKS,
        SameBitsTest.over(transport),
        rank -> {
          List<CollectiveRequest> requests = everyKind(rank.communicator.topology(), elements);
          List<PreparedCollective> all =
              requests.stream()
                  .map(request -> new GuardedCollective(rank, request).collective)
                  .toList();
          long[] least = new long[all.size()];
          Arrays.fill(least, Long.MAX_VALUE / all.size());
          long most = Long.MAX_VALUE;
          for (int round = 0; round < MOST_ROUNDS && most > 0; round++) {
            for (int kind = 0; kind < least.length; kind++) {
              PreparedCollective one = all.get(kind);
              long before = threads.getCurrentThreadAllocatedBytes();
              for (int run = 0; run < RUNS; run++) {
                if (started) {
                  one.start().await();
                } else {
                  one.run();
                }
              }
              long allocated = threads.getCurrentThreadAllocatedBytes() - before;
              least[kind] = Math.min(least[kind], allocated);
            }
            // All ranks make as many rounds.
            most = OperationsTest.agreeOnLeast(rank, Arrays.stream(least).sum());
          }
          for (int kind = 0; kind < least.length; kind++) {
            assertThat(least[kind]).as(requests.get(kind).words()).isZero();
          }
          return true;
        });
  }
}
