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
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Every algorithm's schedules, over many ranks, lanes and sizes, pass the verifier.
@Timeout(120)
final class AlgorithmsAreProvenTest {
  private static final long[] SIZES = {0, 1, 17, 1000};

  static IntStream ranks() {
    return IntStream.concat(IntStream.rangeClosed(1, 16), IntStream.of(31, 64));
  }

  @ParameterizedTest(name = "P={0}")
  @MethodSource("ranks")
  void allReducesOfAnyLanesRealiseTheLaneTree(int ranks) {
    for (LaneSplit lanes : splits(ranks)) {
      boolean one = lanes.equals(LaneSplit.onePerRank(ranks));
      for (long size : one && ranks <= 16 ? SIZES : new long[] {1000}) {
        for (boolean inPlace : new boolean[] {false, true}) {
          proveLaneTree(
              new DirectAllReduce(),
              Requests.allReduce(size, inPlace, lanes, true, Mode.SAME_BITS));
          proveLaneTree(
              new ExchangeAllReduce(),
              Requests.allReduce(size, inPlace, lanes, false, Mode.SAME_BITS));
        }
      }
    }
  }

  @ParameterizedTest(name = "P={0}")
  @MethodSource("ranks")
  void ringReducesEverythingOnceByAnotherTree(int ranks) {
    for (LaneSplit lanes : splits(ranks)) {
      for (boolean inPlace : new boolean[] {false, true}) {
        Verdict.Proven proven =
            prove(
                new RingAllReduce()
                    .schedule(Requests.allReduce(1000, inPlace, lanes, false, Mode.RELAXED)));
        boolean chainIsTree =
            lanes.ranks().stream().filter(held -> !held.isEmpty()).count() < 3
                && lanes.ranks().stream().allMatch(held -> held.size() < 2);
        assertThat(proven.realisesLaneTree() || !chainIsTree).isTrue();
        if (ranks > 3 && lanes.equals(LaneSplit.onePerRank(ranks))) {
          assertThat(proven.realisesLaneTree()).isFalse();
          assertThat(proven.reductions()).hasSize(Math.min(ranks, 63));
        }
      }
    }
  }

  @ParameterizedTest(name = "P={0}")
  @MethodSource("ranks")
  void averagesDivideOnce(int ranks) {
    for (Algorithm algorithm :
        List.of(new DirectAllReduce(), new ExchangeAllReduce(), new RingAllReduce())) {
      prove(
          algorithm.schedule(
              CollectiveRequest.allReduce(
                  DType.F32,
                  new ReduceOp.Avg(),
                  333,
                  false,
                  Topology.oneNode(ranks, true),
                  LaneSplit.onePerRank(ranks),
                  Mode.RELAXED)));
    }
  }

  @ParameterizedTest(name = "P={0}")
  @MethodSource("ranks")
  void broadcastsFromAnyRoot(int ranks) {
    for (int root = 0; root < ranks; root += ranks > 16 ? 13 : 1) {
      for (long size : SIZES) {
        Topology topology = Topology.oneNode(ranks, true);
        CollectiveRequest inPlace = CollectiveRequest.broadcast(DType.F32, size, root, topology);
        prove(new BinomialBroadcast().schedule(inPlace));
        prove(new DirectBroadcast().schedule(inPlace));
        CollectiveRequest outOfPlace =
            new CollectiveRequest(
                inPlace.kind(),
                inPlace.dtype(),
                null,
                root,
                inPlace.counts(),
                false,
                topology,
                inPlace.lanes(),
                inPlace.mode());
        prove(new BinomialBroadcast().schedule(outOfPlace));
        prove(new DirectBroadcast().schedule(outOfPlace));
      }
    }
  }

  @ParameterizedTest(name = "P={0}")
  @MethodSource("ranks")
  void barriersHoldEveryRankUntilAllAreThere(int ranks) {
    CollectiveRequest request = CollectiveRequest.barrier(Topology.oneNode(ranks, true));
    prove(new MessageBarrier().schedule(request));
    prove(new SignalBarrier().schedule(request));
  }

  @Test
  void identitiesDifferWhereStepsDiffer() {
    List<Long> identities = new ArrayList<>();
    for (int ranks = 1; ranks <= 8; ranks++) {
      for (LaneSplit lanes : splits(ranks)) {
        for (long size : SIZES) {
          CollectiveRequest request = Requests.allReduce(size, true, lanes, true, Mode.RELAXED);
          for (Algorithm algorithm :
              List.of(new DirectAllReduce(), new ExchangeAllReduce(), new RingAllReduce())) {
            Schedule schedule = algorithm.schedule(request);
            assertThat(algorithm.schedule(request).identity()).isEqualTo(schedule.identity());
            identities.add(schedule.identity());
          }
        }
      }
    }
    assertThat(identities).doesNotHaveDuplicates();
  }

  @Test
  void identityIsTheSameInEveryVersion() {
    // The value travels between ranks of possibly different builds: a change of it is a change of
    // the wire.
    CollectiveRequest request =
        Requests.allReduce(100, false, LaneSplit.contiguous(5, 3), true, Mode.SAME_BITS);
    assertThat(new DirectAllReduce().schedule(request).identity()).isEqualTo(-3768945998396713331L);
  }

  @Test
  void theRuleFollowsMemoryAndMode() {
    LaneSplit lanes = LaneSplit.onePerRank(4);
    assertThat(choice(true, Mode.SAME_BITS, lanes)).isEqualTo("direct-all-reduce");
    assertThat(choice(false, Mode.SAME_BITS, lanes)).isEqualTo("exchange-all-reduce");
    assertThat(choice(false, Mode.RELAXED, lanes)).isEqualTo("ring-all-reduce");
  }

  private static String choice(boolean peerMemory, Mode mode, LaneSplit lanes) {
    return Algorithms.choose(Requests.allReduce(64, true, lanes, peerMemory, mode)).algorithm();
  }

  private static List<LaneSplit> splits(int ranks) {
    List<LaneSplit> splits = new ArrayList<>();
    splits.add(LaneSplit.onePerRank(ranks));
    if (ranks > 16) {
      splits.add(LaneSplit.contiguous(ranks + 9, ranks));
      return splits;
    }
    for (int lanes = 1; lanes <= 16; lanes++) {
      if (lanes >= ranks) {
        splits.add(LaneSplit.contiguous(lanes, ranks));
        splits.add(Requests.interleaved(lanes, ranks));
      }
      splits.add(Requests.scattered(lanes, ranks, 31L * lanes + ranks));
    }
    return splits.stream().distinct().toList();
  }

  private static void proveLaneTree(Algorithm algorithm, CollectiveRequest request) {
    Verdict.Proven proven = prove(algorithm.schedule(request));
    assertThat(proven.realisesLaneTree()).isTrue();
    assertThat(proven.reductions()).hasSize(request.total() == 0 ? 0 : 1);
  }

  private static Verdict.Proven prove(Schedule schedule) {
    Verdict verdict = Verifier.verify(schedule);
    assertThat(verdict)
        .as("%s, lanes=%s", schedule, schedule.request().lanes())
        .isInstanceOf(Verdict.Proven.class);
    return (Verdict.Proven) verdict;
  }
}
