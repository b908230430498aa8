package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Tensors of more elements, and of more bytes, than an `int` counts are joined and moved whole: in
/// parts, in one pass and as one message; both ends, the middle and what lies beyond 2^31 are
/// right.
@Tag("long")
@Timeout(200)
final class MoreThanAnIntCountsTest {
  private static final long ELEMENTS = (1L << 31) + 77;
  private static final int RANKS = 2;
  private static final int ROOT = 1;

  /// About each of these elements every element differs from its neighbours; all others are alike.
  private static final long[] PLACES = {0, ELEMENTS / 2, 1L << 31};

  private static final int NEAR = 80;

  /// @param copies of a rank's tensor that both ranks have in all, with scratch
  @ParameterizedTest(name = "{0}")
  @CsvSource({
    "spread-all-reduce, 2",
    "exchange-all-reduce, 4",
    "direct-reduce, 2",
    "direct-broadcast, 2",
    "binomial-broadcast, 2"
  })
  void areJoinedAndMovedWhole(String name, int copies) throws IOException {
    requireMemory(copies * ELEMENTS + (1L << 30));
    Algorithm algorithm = Algorithms.named(name).orElseThrow();
    CommunicatorOptions options =
        Ranks.options().withTransport("in-process").withTimeout(Duration.ofSeconds(100));
    var _ =
        Ranks.run(
            RANKS,
            options,
            rank -> {
              int me = rank.number();
              Tensor tensor = rank.sharedTensor(DType.I8, ELEMENTS);
              fill(tensor.segment(), me);
              CollectiveRequest request = request(algorithm.kind(), rank.communicator.topology());
              boolean gets = request.outputElements(me) > 0;
              try (PreparedCollective prepared =
                  rank.communicator.prepare(
                      request,
                      algorithm,
                      request.inputs(me) > 0 ? List.of(tensor) : List.of(),
                      gets ? tensor : null)) {
                prepared.run();
              }
              boolean joins = request.kind().reduces();
              check(tensor.segment(), joins && gets ? List.of(0, 1) : List.of(joins ? me : ROOT));
              return true;
            });
  }

  private static CollectiveRequest request(CollectiveKind kind, Topology topology) {
    ReduceOp sum = new ReduceOp.Sum();
    LaneSplit lanes = LaneSplit.onePerRank(RANKS);
    Mode mode = Mode.SAME_BITS;
    return switch (kind) {
      case ALL_REDUCE ->
          CollectiveRequest.allReduce(DType.I8, sum, ELEMENTS, true, topology, lanes, mode);
      case REDUCE ->
          CollectiveRequest.reduce(DType.I8, sum, ELEMENTS, ROOT, true, topology, lanes, mode);
      case BROADCAST -> CollectiveRequest.broadcast(DType.I8, ELEMENTS, ROOT, topology);
      default -> throw new AssertionError(kind);
    };
  }

  /// What a rank brings near one of the places.
  private static byte value(int rank, long index) {
    return (byte) (index % 50 + 3L * rank);
  }

  private static void fill(MemorySegment all, int rank) {
    all.fill((byte) (20 + rank));
    for (long place : PLACES) {
      for (long i = Math.max(0, place - NEAR); i < Math.min(ELEMENTS, place + NEAR); i++) {
        all.set(ValueLayout.JAVA_BYTE, i, value(rank, i));
      }
    }
  }

  /// @param of whose contributions there are the sum of
  private static void check(MemorySegment all, List<Integer> of) {
    long alikeFrom = 0;
    for (long place : PLACES) {
      long from = Math.max(0, place - NEAR);
      if (alikeFrom < from) {
        int sum = of.stream().mapToInt(rank -> 20 + rank).sum();
        assertThat(all.get(ValueLayout.JAVA_BYTE, alikeFrom)).isEqualTo((byte) sum);
        // Each is as the one behind it.
        MemorySegment alike = all.asSlice(alikeFrom, from - alikeFrom - 1);
        MemorySegment behind = all.asSlice(alikeFrom + 1, from - alikeFrom - 1);
        assertThat(alike.mismatch(behind)).as("from %d on", alikeFrom).isEqualTo(-1);
      }
      alikeFrom = Math.min(ELEMENTS, place + NEAR);
      for (long i = from; i < alikeFrom; i++) {
        long at = i;
        int sum = of.stream().mapToInt(rank -> value(rank, at)).sum();
        assertThat(all.get(ValueLayout.JAVA_BYTE, i)).as("element %d", i).isEqualTo((byte) sum);
      }
    }
  }

  private static void requireMemory(long bytes) throws IOException {
    Path info = Path.of("/proc/meminfo");
    long available =
        Files.readAllLines(info).stream()
            .filter(line -> line.startsWith("MemAvailable:"))
            .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) << 10)
            .findFirst()
            .orElse(0);
    assumeTrue(
        available >= bytes,
        () ->
            "too little memory for tensors of more than 2^31 bytes: availableBytes=%d, neededBytes=%d"
                .formatted(available, bytes));
  }
}
