package dev.lockstep.collective.algorithm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
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
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Every algorithm for groups within groups passes the verifier, whatever the groups, the last of
/// them smaller or not, the counts and the mode.
@Timeout(300)
final class HierarchiesAreProvenTest {
  private static final List<Algorithm> ALL =
      Algorithms.all().stream()
          .filter(algorithm -> algorithm.name().startsWith("hierarchical-"))
          .toList();

  private static final List<List<Integer>> LEVELS =
      List.of(
          List.of(2),
          List.of(3),
          List.of(4),
          List.of(8),
          List.of(2, 4),
          List.of(2, 6),
          List.of(3, 6),
          List.of(2, 8),
          List.of(4, 12),
          List.of(2, 4, 8),
          List.of(2, 6, 12));

  /// Proving takes time in proportion to the square of the ranks: beyond so many one form of each
  /// depth is tried.
  private static final int ALL_LEVELS_UP_TO = 18;

  private static final List<List<Integer>> FEW_LEVELS =
      List.of(List.of(8), List.of(4, 12), List.of(2, 6, 12));

  static IntStream fewRanks() {
    return IntStream.of(3, 4, 5, 7, 8, 9, 13);
  }

  /// With those above, all up to 64.
  static IntStream allOtherRanks() {
    Set<Integer> proven = fewRanks().boxed().collect(Collectors.toSet());
    return IntStream.rangeClosed(3, 64).filter(ranks -> !proven.contains(ranks));
  }

  @ParameterizedTest(name = "P={0}")
  @MethodSource("fewRanks")
  void groupsOfFewRanksAreProven(int ranks) {
    prove(ranks);
  }

  @ParameterizedTest(name = "P={0}")
  @MethodSource("allOtherRanks")
  @Tag("long")
  void groupsOfAllOtherRanksAreProven(int ranks) {
    prove(ranks);
  }

  /// Proves them on all cores: no request's proof knows of another's.
  private static void prove(int ranks) {
    Set<String> proven = ConcurrentHashMap.newKeySet();
    (ranks <= ALL_LEVELS_UP_TO ? LEVELS : FEW_LEVELS)
        .stream()
            .filter(levels -> levels.getLast() < ranks)
            .flatMap(levels -> requests(new Topology(ranks, levels, false)).stream())
            .toList()
            .parallelStream()
            .forEach(request -> proven.addAll(prove(request)));
    assertThat(proven).hasSize(ALL.size());
  }

  /// Proves what does a request, and returns its names.
  private static List<String> prove(CollectiveRequest request) {
    List<String> proven = new ArrayList<>();
    for (Algorithm algorithm : ALL) {
      if (algorithm.refusal(request).isEmpty()) {
        prove(algorithm.schedule(request));
        proven.add(algorithm.name());
      }
    }
    return proven;
  }

  private static void prove(Schedule schedule) {
    CollectiveRequest request = schedule.request();
    Verdict verdict = Verifier.verify(schedule);
    assertThat(verdict)
        .as(
            "%s, %s, %s, %s, in place: %s",
            schedule, request.topology(), request.counts(), request.mode(), request.inPlace())
        .isInstanceOf(Verdict.Proven.class);
    if (request.kind().reduces() && request.mode() == Mode.SAME_BITS) {
      assertThat(((Verdict.Proven) verdict).realisesLaneTree()).isTrue();
    }
    AlikeRanksTest.check(schedule);
  }

  private static List<CollectiveRequest> requests(Topology topology) {
    int ranks = topology.ranks();
    Random random = new Random(ranks);
    List<CollectiveRequest> requests = new ArrayList<>();
    // The largest parts are so long that messages are not put together.
    for (Counts counts :
        List.of(
            Counts.each(ranks, 0),
            Counts.each(ranks, 1),
            Counts.each(ranks, 17),
            Counts.each(ranks, 1 << 14),
            Counts.of(random.longs(ranks, 0, 4).map(count -> count * count).boxed().toList()))) {
      boolean inPlace = requests.size() % 2 == 0;
      requests.add(CollectiveRequest.allGather(DType.F32, counts, inPlace, topology));
      for (Mode mode : Mode.values()) {
        requests.add(reduceScatter(counts, !inPlace, LaneSplit.onePerRank(ranks), topology, mode));
      }
      LaneSplit several = LaneSplit.contiguous(3 * ranks, ranks);
      requests.add(reduceScatter(counts, inPlace, several, topology, Mode.RELAXED));
    }
    addSeveralLanes(requests, topology);
    for (long elements : new long[] {0, 1, 1000, 100_000}) {
      for (int root : new int[] {0, ranks / 2, ranks - 1}) {
        boolean inPlace = requests.size() % 2 == 0;
        requests.add(
            CollectiveRequest.broadcast(DType.F32, elements, root, topology).withInPlace(inPlace));
        for (Mode mode : Mode.values()) {
          requests.add(
              reduce(elements, root, inPlace, LaneSplit.onePerRank(ranks), topology, mode));
        }
        LaneSplit several = LaneSplit.contiguous(3 * ranks, ranks);
        requests.add(reduce(elements, root, inPlace, several, topology, Mode.RELAXED));
      }
    }
    requests.add(CollectiveRequest.barrier(topology));
    long pairs = (long) ranks * ranks;
    for (Counts counts :
        List.of(Counts.each(pairs, 2), Counts.of(random.longs(pairs, 0, 4).boxed().toList()))) {
      for (boolean inPlace : new boolean[] {false, true}) {
        requests.add(CollectiveRequest.allToAll(DType.F32, counts, inPlace, topology));
      }
    }
    for (Mode mode : Mode.values()) {
      requests.add(
          CollectiveRequest.allReduce(
              DType.F32,
              new ReduceOp.PreMulSum(0.5),
              1000,
              mode == Mode.RELAXED,
              topology,
              LaneSplit.onePerRank(ranks),
              mode));
    }
    return requests;
  }

  /// Adds sums of which ranks bring several lanes, as two inputs: three each, or one of them three
  /// and the others two that are no subtree.
  private static void addSeveralLanes(List<CollectiveRequest> requests, Topology topology) {
    int ranks = topology.ranks();
    for (Mode mode : Mode.values()) {
      boolean relaxed = mode == Mode.RELAXED;
      LaneSplit lanes = LaneSplit.contiguous(relaxed ? 2 * ranks + 1 : 3 * ranks, ranks);
      requests.add(
          CollectiveRequest.allReduce(
              DType.F32, new ReduceOp.Sum(), 1000, relaxed, topology, lanes, mode));
      requests.add(reduce(1000, ranks / 2, relaxed, lanes, topology, mode));
      requests.add(reduceScatter(Counts.each(ranks, 17), relaxed, lanes, topology, mode));
    }
  }

  private static CollectiveRequest reduce(
      long elements, int root, boolean inPlace, LaneSplit lanes, Topology topology, Mode mode) {
    ReduceOp op = mode == Mode.RELAXED ? new ReduceOp.Avg() : new ReduceOp.PreMulSum(0.5);
    return CollectiveRequest.reduce(DType.F32, op, elements, root, inPlace, topology, lanes, mode);
  }

  private static CollectiveRequest reduceScatter(
      Counts counts, boolean inPlace, LaneSplit lanes, Topology topology, Mode mode) {
    ReduceOp op = mode == Mode.RELAXED ? new ReduceOp.Avg() : new ReduceOp.Sum();
    return CollectiveRequest.reduceScatter(DType.F32, op, counts, inPlace, topology, lanes, mode);
  }

  @Test
  void refuseWhereThereAreNoGroups() {
    Topology flat = Topology.oneNode(8, false);
    for (CollectiveRequest request : requests(flat)) {
      for (Algorithm algorithm : ALL) {
        if (algorithm.kind() == request.kind() && request.mode() == Mode.SAME_BITS) {
          assertThat(algorithm.refusal(request)).isPresent();
        }
      }
    }
    CollectiveRequest gather =
        CollectiveRequest.allGather(DType.F32, Counts.each(8, 8), false, flat);
    assertThat(new HierarchicalAllGather().refusal(gather))
        .isEqualTo(Optional.of("all ranks are equally near"));
  }

  @Test
  void everyKindInWhichManyRanksSendMuchHasOne() {
    assertThat(ALL)
        .extracting(Algorithm::kind)
        .contains(
            CollectiveKind.ALL_REDUCE,
            CollectiveKind.REDUCE_SCATTER,
            CollectiveKind.ALL_GATHER,
            CollectiveKind.BROADCAST,
            CollectiveKind.REDUCE,
            CollectiveKind.ALL_TO_ALL);
  }
}
