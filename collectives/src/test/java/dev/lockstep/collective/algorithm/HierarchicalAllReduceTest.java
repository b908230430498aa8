package dev.lockstep.collective.algorithm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.verify.Verdict;
import dev.lockstep.collective.verify.Verifier;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(120)
final class HierarchicalAllReduceTest {
  private static final List<HierarchicalAllReduce> BOTH =
      List.of(HierarchicalAllReduce.halving(), HierarchicalAllReduce.doubling());

  private static CollectiveRequest request(
      int ranks, List<Integer> levels, long elements, boolean inPlace, Mode mode) {
    LaneSplit lanes = LaneSplit.onePerRank(ranks);
    return request(new Topology(ranks, levels, false), elements, inPlace, lanes, mode);
  }

  private static CollectiveRequest request(
      Topology topology, long elements, boolean inPlace, LaneSplit lanes, Mode mode) {
    return CollectiveRequest.allReduce(
        DType.F32, new ReduceOp.Sum(), elements, inPlace, topology, lanes, mode);
  }

  @ParameterizedTest(name = "groups of {0} and {1}")
  @CsvSource({"2, 4", "2, 8", "4, 8", "3, 6", "2, 6", "3, 12", "4, 12"})
  void groupsWithinGroupsOfAnyNumberOfRanksAreProven(int inner, int outer) {
    for (int ranks = outer + 1; ranks <= 4 * outer + 3; ranks += ranks < 20 ? 1 : 5) {
      for (Mode mode : Mode.values()) {
        for (long elements : new long[] {1, 1000, 16L * ranks * 8}) {
          prove(request(ranks, List.of(inner, outer), elements, ranks % 2 == 0, mode));
        }
      }
    }
  }

  /// In same-bits mode a rank's lanes are one subtree, in relaxed mode any: several inputs of a
  /// rank, and ranks of different numbers of lanes.
  @ParameterizedTest(name = "groups of {0} and {1}")
  @CsvSource({"2, 4", "4, 8", "3, 6", "4, 12"})
  void groupsOfRanksOfSeveralLanesAreProven(int inner, int outer) {
    int proven = 0;
    for (int ranks = outer + 1; ranks <= 2 * outer + 3; ranks++) {
      Topology topology = new Topology(ranks, List.of(inner, outer), false);
      boolean inPlace = ranks % 2 == 1;
      for (int lanes : new int[] {ranks + 1, 3 * ranks}) {
        LaneSplit split = LaneSplit.contiguous(lanes, ranks);
        proven += prove(request(topology, 1000, inPlace, split, Mode.RELAXED));
      }
      LaneSplit pairs = LaneSplit.contiguous(2 * ranks, ranks);
      proven += prove(request(topology, 1000, !inPlace, pairs, Mode.SAME_BITS));
    }
    assertThat(proven).isEqualTo(3 * BOTH.size() * (outer + 3));
  }

  /// Returns how many algorithms do it.
  private static int prove(CollectiveRequest request) {
    int proven = 0;
    for (HierarchicalAllReduce algorithm : BOTH) {
      if (algorithm.refusal(request).isEmpty()) {
        Schedule schedule = algorithm.schedule(request);
        Verdict verdict = Verifier.verify(schedule);
        assertThat(verdict)
            .as("%s, %s, %s", schedule, request.topology(), request.lanes())
            .isInstanceOf(Verdict.Proven.class);
        if (request.mode() == Mode.SAME_BITS) {
          assertThat(((Verdict.Proven) verdict).realisesLaneTree()).isTrue();
        }
        proven++;
      }
    }
    return proven;
  }

  @ParameterizedTest(name = "P={0}, elements={1}, groups of {2} and {3}")
  @CsvSource({"8, 4096, 2, 4", "12, 12288, 2, 4", "24, 24576, 2, 6", "26, 49152, 2, 4"})
  void alikeRanksHaveTheSameStepsButForTheirPeers(int ranks, long elements, int inner, int outer) {
    for (HierarchicalAllReduce algorithm : BOTH) {
      Schedule schedule =
          algorithm.schedule(request(ranks, List.of(inner, outer), elements, false, Mode.RELAXED));
      AlikeRanksTest.check(schedule);
      assertThat(IntStream.range(0, ranks).filter(rank -> schedule.alike(rank) != rank))
          .isNotEmpty();
    }
  }

  @Test
  void aMillionRanksAreFewKindsAndEachRanksStepsAreFew() {
    int ranks = 1_000_000;
    CollectiveRequest request = request(ranks, List.of(4, 144), (1L << 30) / 4, true, Mode.RELAXED);
    Schedule schedule = HierarchicalAllReduce.halving().schedule(request);
    Set<Integer> kinds = new HashSet<>();
    for (int rank = 0; rank < ranks; rank++) {
      kinds.add(schedule.alike(rank));
    }
    assertThat(kinds).hasSizeLessThan(400);
    for (int rank : kinds) {
      assertThat(schedule.steps(rank)).hasSizeLessThan(600);
    }
  }

  @Test
  void refusesWhereThereAreNoGroups() {
    assertThat(
            HierarchicalAllReduce.halving().refusal(request(8, List.of(), 8, false, Mode.RELAXED)))
        .isEqualTo(Optional.of("all ranks are equally near"));
    assertThat(
            HierarchicalAllReduce.halving()
                .refusal(request(8, List.of(3), 8, false, Mode.SAME_BITS)))
        .isEqualTo(Optional.of("no group of ranks is a subtree of the lane tree"));
  }
}
