package dev.lockstep.collective.algorithm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Step;
import dev.lockstep.collective.verify.Verdict;
import dev.lockstep.collective.verify.Verifier;
import dev.lockstep.graph.LaneSplit;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Every algorithm's schedules, over many ranks, lanes, roots and counts, pass the verifier.
@Timeout(300)
final class AlgorithmsAreProvenTest {
  private static final String IN_PLACE = ", in place";

  static IntStream fewRanks() {
    return IntStream.concat(IntStream.rangeClosed(1, 9), IntStream.of(12, 16));
  }

  static IntStream manyRanks() {
    return IntStream.of(11, 17);
  }

  /// With those above, all up to 64.
  static IntStream allOtherRanks() {
    Set<Integer> proven =
        IntStream.concat(fewRanks(), manyRanks()).boxed().collect(Collectors.toSet());
    return IntStream.rangeClosed(1, 64).filter(ranks -> !proven.contains(ranks));
  }

  @ParameterizedTest(name = "P={0}")
  @MethodSource("fewRanks")
  void everyRequestIsDoneRightByWhateverDoesIt(int ranks) {
    proveAll(ranks, ranks <= 9);
  }

  @ParameterizedTest(name = "P={0}")
  @MethodSource("manyRanks")
  void manyRanksAreProvenToo(int ranks) {
    proveAll(ranks, false);
  }

  @ParameterizedTest(name = "P={0}")
  @MethodSource("allOtherRanks")
  @Tag("long")
  void allOtherRanksAreProven(int ranks) {
    proveAll(ranks, false);
  }

  @ParameterizedTest(name = "seed={0}")
  @ValueSource(longs = {1, 2, 3, 4})
  void randomRequestsAreProven(long seed) {
    Random random = new Random(seed);
    var _ = prove(IntStream.range(0, 100).mapToObj(_ -> Requests.random(random, 20)).toList());
  }

  @ParameterizedTest(name = "seed={0}")
  @ValueSource(longs = {11, 12})
  @Tag("long")
  void randomRequestsBeyondSixtyFourRanksAreProven(long seed) {
    Random random = new Random(seed);
    var _ = prove(IntStream.range(0, 20).mapToObj(_ -> Requests.random(random, 150)).toList());
  }

  /// Proves every algorithm that there is for so many ranks: each that is not known to refuse them
  /// has done some request in place, and some apart.
  private static void proveAll(int ranks, boolean dense) {
    Set<String> expected = new TreeSet<>();
    for (Algorithm algorithm : Requests.algorithms()) {
      if (isFor(algorithm, ranks)) {
        expected.add(algorithm.name() + IN_PLACE);
        if (isForApart(algorithm)) {
          expected.add(algorithm.name());
        }
      }
    }
    assertThat(prove(Requests.ofEveryKind(ranks, dense))).isEqualTo(expected);
  }

  private static boolean isForApart(Algorithm algorithm) {
    return !algorithm.name().startsWith("swap-")
        && !algorithm.name().equals("spread-broadcast")
        && algorithm.kind() != CollectiveKind.BARRIER;
  }

  private static boolean isFor(Algorithm algorithm, int ranks) {
    return switch (algorithm) {
      case RecursiveDoublingAllGather _, HalvingReduceScatter _ -> Integer.bitCount(ranks) == 1;
      case SwapSendReceive _ -> ranks == 2;
      default ->
          (ranks > 1 || !algorithm.name().startsWith("spread-"))
              && !algorithm.name().startsWith("hierarchical-"); // see HierarchiesAreProvenTest
    };
  }

  /// Proves them on all cores, no request's proof knows of another's, and returns what did them.
  private static Set<String> prove(List<CollectiveRequest> requests) {
    return requests.parallelStream()
        .flatMap(request -> prove(request).stream())
        .collect(Collectors.toCollection(TreeSet::new));
  }

  private static List<String> prove(CollectiveRequest request) {
    List<String> proven = new ArrayList<>();
    for (Algorithm algorithm : Requests.algorithms()) {
      if (algorithm.refusal(request).isEmpty() && algorithm.redundancy(request).isEmpty()) {
        prove(algorithm.schedule(request));
        boolean shared = request.inPlace() || request.kind() == CollectiveKind.BARRIER;
        proven.add(algorithm.name() + (shared ? IN_PLACE : ""));
      }
    }
    assertThat(proven).as(request.words()).hasSizeGreaterThanOrEqualTo(2);
    return proven;
  }

  private static void prove(Schedule schedule) {
    CollectiveRequest request = schedule.request();
    Verdict verdict = Verifier.verify(schedule);
    assertThat(verdict)
        .as("%s, %s, lanes=%s", schedule, request.counts(), request.lanes())
        .isInstanceOf(Verdict.Proven.class);
    Verdict.Proven proven = (Verdict.Proven) verdict;
    if (request.kind().reduces() && request.mode() == Mode.SAME_BITS) {
      assertThat(proven.realisesLaneTree()).isTrue();
      assertThat(proven.reductions()).hasSize(request.total() == 0 ? 0 : 1);
    }
  }

  @Test
  void aRingReducesByAnotherTreeForEveryShare() {
    for (int ranks = 4; ranks <= 9; ranks++) {
      LaneSplit lanes = LaneSplit.onePerRank(ranks);
      CollectiveRequest request = Requests.allReduce(1000, true, lanes, false, Mode.RELAXED);
      Verdict.Proven proven =
          (Verdict.Proven) Verifier.verify(new RingAllReduce().schedule(request));
      assertThat(proven.realisesLaneTree()).isFalse();
      assertThat(proven.reductions()).hasSize(ranks);
    }
  }

  @ParameterizedTest(name = "inPlace={0}")
  @ValueSource(booleans = {true, false})
  void twoRanksThatExchangeMessagesJoinAllTheyGetAsItComes(boolean inPlace) {
    LaneSplit lanes = LaneSplit.onePerRank(2);
    CollectiveRequest request = Requests.allReduce(1000, inPlace, lanes, false, Mode.SAME_BITS);
    Schedule schedule = new ExchangeAllReduce().schedule(request);
    prove(schedule);
    for (int rank = 0; rank < 2; rank++) {
      assertThat(schedule.scratch(rank)).isEmpty();
      assertThat(schedule.steps(rank))
          .hasAtLeastOneElementOfType(Step.ReceiveReduce.class)
          .doesNotHaveAnyElementsOfTypes(Step.Reduce.class);
    }
  }

  @Test
  void refusalsSayWhy() {
    CollectiveRequest request =
        Requests.allReduce(8, true, LaneSplit.onePerRank(4), false, Mode.SAME_BITS);
    assertThat(new RingAllReduce().refusal(request))
        .isEqualTo(Optional.of("a ring does not realise the lane tree"));
    assertThat(new DirectAllReduce().refusal(request))
        .isEqualTo(Optional.of("ranks cannot read each other's memory"));
    assertThat(new DirectBroadcast().refusal(request))
        .isEqualTo(Optional.of("only does broadcast"));
    assertThatThrownBy(() -> new RingAllReduce().schedule(request))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("algorithm=ring-all-reduce");
  }

  @Test
  void everyKindHasADirectAndAMessageForm() {
    Set<CollectiveKind> direct = EnumSet.noneOf(CollectiveKind.class);
    Set<CollectiveKind> messages = EnumSet.noneOf(CollectiveKind.class);
    for (CollectiveRequest request : Requests.ofEveryKind(4, false)) {
      for (Algorithm algorithm : Algorithms.applicable(request)) {
        (needsPeerMemory(algorithm, request) ? direct : messages).add(request.kind());
      }
    }
    assertThat(direct).containsExactlyInAnyOrder(CollectiveKind.values());
    assertThat(messages).containsExactlyInAnyOrder(CollectiveKind.values());
  }

  private static boolean needsPeerMemory(Algorithm algorithm, CollectiveRequest request) {
    CollectiveRequest apart =
        new CollectiveRequest(
            request.kind(),
            request.dtype(),
            request.reduceOp(),
            request.root(),
            request.counts(),
            request.inPlace(),
            Topology.oneNode(request.ranks(), false),
            request.lanes(),
            request.mode());
    return algorithm.refusal(apart).isPresent();
  }

  @Test
  void identitiesDifferWhereStepsDiffer() {
    List<Long> identities = new ArrayList<>();
    for (int ranks = 1; ranks <= 6; ranks++) {
      for (CollectiveRequest request :
          Requests.ofEveryKind(ranks, false).stream().distinct().toList()) {
        for (Algorithm algorithm : Algorithms.applicable(request)) {
          Schedule schedule = algorithm.schedule(request);
          assertThat(algorithm.schedule(request).identity()).isEqualTo(schedule.identity());
          identities.add(schedule.identity());
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
    assertThat(new DirectAllReduce().schedule(request).identity()).isEqualTo(-5362018950223360895L);
  }
}
