package dev.lockstep.collective.algorithm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.util.List;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Algorithms that differ by the size of their chunks alone.
@Timeout(30)
final class ChunkSizesTest {
  private static final int RANKS = 4;

  private static CollectiveRequest allReduce(long bytes) {
    return CollectiveRequest.allReduce(
        DType.F32,
        new ReduceOp.Sum(),
        bytes / DType.F32.bytes(),
        true,
        Topology.oneNode(RANKS, false),
        LaneSplit.onePerRank(RANKS),
        Mode.RELAXED);
  }

  private static List<Algorithm> chunked() {
    return Algorithms.of(CollectiveKind.ALL_REDUCE).stream()
        .filter(algorithm -> algorithm.name().contains("/"))
        .toList();
  }

  @ParameterizedTest
  @ValueSource(longs = {4L << 10, 1L << 20, 64L << 20, 1L << 30})
  void whoNamesASizeGetsItForAnyCount(long bytes) {
    CollectiveRequest request = allReduce(bytes);

    assertThat(chunked())
        .hasSizeGreaterThan(4)
        .allSatisfy(
            algorithm -> {
              assertThat(algorithm.refusal(request)).isEmpty();
              assertThat(algorithm.schedule(request).steps(0)).isNotEmpty();
            });
  }

  @ParameterizedTest
  @ValueSource(longs = {4L << 10, 1L << 20, 64L << 20, 1L << 30})
  void whoChoosesIsNotOfferedTheSameChunksTwice(long bytes) {
    CollectiveRequest request = allReduce(bytes);

    assertThat(Algorithms.applicable(request))
        .filteredOn(chunked()::contains)
        .extracting(algorithm -> algorithm.schedule(request).steps(1))
        .doesNotHaveDuplicates()
        .isNotEmpty();
  }
}
