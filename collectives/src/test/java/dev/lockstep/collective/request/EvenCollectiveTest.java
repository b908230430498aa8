package dev.lockstep.collective.request;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class EvenCollectiveTest {
  private static final int RANKS = 4;
  private static final int ROOT = 2;

  private static EvenCollective of(CollectiveKind kind) {
    return new EvenCollective(kind, DType.F32, new ReduceOp.Max(), ROOT, Mode.RELAXED);
  }

  @ParameterizedTest
  @CsvSource({
    "ALL_REDUCE, 12, 12",
    "REDUCE_SCATTER, 48, 12",
    "ALL_GATHER, 12, 48",
    "BROADCAST, 0, 12",
    "REDUCE, 12, 0",
    "ALL_TO_ALL, 48, 48",
    "GATHER, 12, 0",
    "SCATTER, 0, 12",
    "SEND_RECEIVE, 12, 12",
    "BARRIER, 0, 0"
  })
  void everyRankButTheRootHasAsMuch(CollectiveKind kind, long input, long output) {
    CollectiveRequest request = of(kind).request(12, true, Topology.oneNode(RANKS, true));
    for (int rank = 0; rank < RANKS; rank++) {
      if (!kind.hasRoot() || rank != ROOT) {
        assertThat(request.inputElements(rank)).isEqualTo(input);
        assertThat(request.outputElements(rank)).isEqualTo(output);
      }
    }
  }

  @ParameterizedTest
  @EnumSource
  void whatAKindDoesNotHaveIsLeftOut(CollectiveKind kind) {
    CollectiveRequest request = of(kind).request(12, false, Topology.oneNode(RANKS, true));
    assertThat(request.kind()).isEqualTo(kind);
    assertThat(request.inPlace()).isFalse();
    assertThat(request.root()).isEqualTo(kind.hasRoot() ? ROOT : -1);
    assertThat(request.reduceOp()).isEqualTo(kind.reduces() ? new ReduceOp.Max() : null);
    assertThat(request.mode()).isEqualTo(kind.reduces() ? Mode.RELAXED : Mode.SAME_BITS);
  }

  @ParameterizedTest
  @EnumSource(names = "BARRIER", mode = EnumSource.Mode.EXCLUDE)
  void sizesAreThoseOfTheLargerBuffer(CollectiveKind kind) {
    EvenCollective collective = of(kind);
    long count = collective.count(1000, RANKS);
    CollectiveRequest request = collective.request(count, false, Topology.oneNode(RANKS, true));
    long largest = 0;
    for (int rank = 0; rank < RANKS; rank++) {
      largest =
          Math.max(largest, Math.max(request.inputElements(rank), request.outputElements(rank)));
    }
    assertThat(collective.bytes(count, RANKS))
        .isEqualTo(largest * DType.F32.bytes())
        .isBetween(985L, 1000L);
  }
}
