package dev.lockstep.collective.plan;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.algorithm.PairwiseAllToAll;
import dev.lockstep.collective.algorithm.RingAllReduce;
import dev.lockstep.collective.algorithm.SignalBarrier;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.simulate.Compute;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Level;
import dev.lockstep.collective.verify.Verdict;
import dev.lockstep.collective.verify.Verifier;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class PlannerTest {
  private static CollectiveRequest allReduce(
      int ranks, long elements, boolean peerMemory, Mode mode) {
    return CollectiveRequest.allReduce(
        DType.F32,
        new ReduceOp.Sum(),
        elements,
        true,
        Topology.oneNode(ranks, peerMemory),
        LaneSplit.onePerRank(ranks),
        mode);
  }

  private static Planner planner(boolean peerMemory) {
    return new Planner(LinkTable.typical("test", peerMemory).fabric());
  }

  @Test
  void everyAlgorithmRefusesOtherKindsAndEveryKindHasOne() {
    for (CollectiveKind kind : CollectiveKind.values()) {
      assertThat(Algorithms.of(kind)).isNotEmpty();
    }
    for (Algorithm algorithm : Algorithms.all()) {
      CollectiveRequest other =
          algorithm.kind() == CollectiveKind.BARRIER
              ? allReduce(2, 8, true, Mode.RELAXED)
              : CollectiveRequest.barrier(Topology.oneNode(2, true));
      assertThat(algorithm.refusal(other)).as(algorithm.name()).isPresent();
    }
  }

  @ParameterizedTest(name = "peerMemory={0}, elements={1}")
  @CsvSource({
    "true, 1, broadcast-all-reduce",
    "true, 64, broadcast-all-reduce",
    "true, 64000, spread-all-reduce",
    "true, 4000000, spread-all-reduce",
    "false, 1, broadcast-all-reduce",
    "false, 64000, exchange-all-reduce"
  })
  void typicalLinksGiveTheOrderThatHoldsOnMostHosts(
      boolean peerMemory, long elements, String algorithm) {
    Candidate choice =
        planner(peerMemory).choose(allReduce(4, elements, peerMemory, Mode.SAME_BITS));
    assertThat(choice.algorithm()).isEqualTo(algorithm);
  }

  /// Within a factor of two of what four ranks took on two cores in the first run of decision 0152:
  /// by links of ranks with a core each 4 KiB would take less than a microsecond.
  @ParameterizedTest(name = "elements={0}")
  @CsvSource({"1024, 5.65", "65536, 49.9", "1048576, 651"})
  void typicalLinksOfSharedCoresKnowOfTheirTurns(long elements, double micros) {
    Planner planner = new Planner(LinkTable.typicalOfSharedCores("test").fabric());
    Candidate choice = planner.choose(allReduce(4, elements, true, Mode.SAME_BITS));
    assertThat(choice.algorithm()).isEqualTo("spread-all-reduce");
    assertThat(choice.nanos().orElseThrow()).isBetween(500 * micros, 2_000 * micros);
  }

  @Test
  void whatTravelsBesideASignalDoesSoWhateverWasMeasured() {
    CollectiveRequest request = allReduce(2, 256, true, Mode.SAME_BITS);
    assertThat(new Planner(slowMessages()).choose(request).algorithm())
        .isEqualTo("broadcast-all-reduce");
    assertThat(Algorithms.brief(allReduce(2, 257, true, Mode.SAME_BITS), false)).isEmpty();
    assertThat(Algorithms.brief(allReduce(2, 256, false, Mode.SAME_BITS), false)).isEmpty();
  }

  @ParameterizedTest(name = "signalNanos={0}, elements={1}")
  @CsvSource({
    "100, 1024, spread-all-reduce",
    "3000, 256, broadcast-all-reduce",
    "600, 512, exchange-all-reduce",
    "3000, 512, exchange-all-reduce",
    "3000, 513, spread-all-reduce"
  })
  void whereEveryHopWaitsForACoreShortMessagesAreTakenBeforeSignals(
      double signalNanos, long elements, String algorithm) {
    Planner planner = new Planner(links(1e6, signalNanos));
    assertThat(planner.choose(allReduce(4, elements, true, Mode.SAME_BITS)).algorithm())
        .isEqualTo(algorithm);
  }

  @ParameterizedTest(name = "signalNanos={0}, elements={1}")
  @CsvSource({
    "100, 256, exchange-all-gather",
    "600, 128, exchange-all-gather",
    "600, 129, direct-all-gather",
    "3000, 256, direct-all-gather"
  })
  void whereEveryHopWaitsForACoreMessagesToAllAreComparedWithReading(
      double signalNanos, long elements, String algorithm) {
    CollectiveRequest request =
        CollectiveRequest.allGather(
            DType.F32, Counts.each(4, elements), true, Topology.oneNode(4, true));
    Planner planner = new Planner(links(1e6, signalNanos));
    assertThat(planner.choose(request).algorithm()).isEqualTo(algorithm);
  }

  /// Constants of links over which messages take far longer than reading in place does.
  private static Fabric slowMessages() {
    return links(1e6, LinkTable.typical("test", true).fabric().levels().getFirst().signalNanos());
  }

  private static Fabric links(double messageNanos, double signalNanos) {
    Fabric typical = LinkTable.typical("test", true).fabric();
    Level links = typical.levels().getFirst();
    return new Fabric(
        typical.name(),
        typical.compute(),
        List.of(
            new Level(
                links.name(),
                links.ranks(),
                messageNanos,
                links.shortBytes(),
                messageNanos,
                signalNanos,
                links.bandwidth(),
                links.memory(),
                links.uplinkBytesPerSecond())));
  }

  @ParameterizedTest(name = "ranks={0}, peerMemory={1}")
  @CsvSource({"2, true", "3, true", "4, true", "7, true", "2, false", "3, false", "8, false"})
  void inSameBitsModeWhatIsChosenRealisesTheLaneTree(int ranks, boolean peerMemory) {
    for (long elements = 1; elements <= 1 << 20; elements *= 8) {
      CollectiveRequest request = allReduce(ranks, elements, peerMemory, Mode.SAME_BITS);
      Candidate choice = planner(peerMemory).choose(request);
      Schedule schedule = Objects.requireNonNull(choice.schedule(), "refused");
      assertThat(Verifier.verify(schedule))
          .as(request.words() + " by " + schedule.algorithm())
          .isInstanceOfSatisfying(
              Verdict.Proven.class, proven -> assertThat(proven.realisesLaneTree()).isTrue());
    }
  }

  /// So the same bits cost nothing there.
  @ParameterizedTest(name = "ranks={0}")
  @ValueSource(ints = {2, 4})
  void relaxedModeChoosesWhatSameBitsModeDoesInSharedMemory(int ranks) {
    requireSameChoices(ranks, 16);
  }

  @ParameterizedTest(name = "ranks={0}")
  @ValueSource(ints = {2, 3, 4})
  @Tag("long")
  void relaxedModeChoosesItAtEverySize(int ranks) {
    requireSameChoices(ranks, 2);
  }

  private static void requireSameChoices(int ranks, int factor) {
    Planner planner = planner(true);
    List<String> different = new ArrayList<>();
    for (CollectiveKind kind : CollectiveKind.values()) {
      if (kind.reduces()) {
        for (long elements = 1; elements <= 1 << 24; elements *= factor) {
          for (boolean inPlace : new boolean[] {false, true}) {
            String same =
                planner.choose(sum(kind, ranks, elements, inPlace, Mode.SAME_BITS)).algorithm();
            CollectiveRequest relaxed = sum(kind, ranks, elements, inPlace, Mode.RELAXED);
            if (!planner.choose(relaxed).algorithm().equals(same)) {
              different.add(
                  "%s by %s, else %s"
                      .formatted(relaxed.words(), planner.choose(relaxed).algorithm(), same));
            }
          }
        }
      }
    }
    assertThat(different).isEmpty();
  }

  private static CollectiveRequest sum(
      CollectiveKind kind, int ranks, long elements, boolean inPlace, Mode mode) {
    boolean inParts = kind == CollectiveKind.REDUCE_SCATTER;
    return new CollectiveRequest(
        kind,
        DType.F32,
        new ReduceOp.Sum(),
        kind == CollectiveKind.REDUCE ? 0 : -1,
        inParts ? Counts.each(ranks, Math.max(1, elements / ranks)) : Counts.one(elements),
        inPlace,
        Topology.oneNode(ranks, true),
        LaneSplit.onePerRank(ranks),
        mode);
  }

  @ParameterizedTest(name = "ranks={0}, peerMemory={1}")
  @CsvSource({"2, true", "4, true", "5, true", "4, false", "6, false"})
  void moreBytesAreNeverPredictedToTakeLess(int ranks, boolean peerMemory) {
    for (Algorithm algorithm : Algorithms.of(CollectiveKind.ALL_REDUCE)) {
      double before = 0;
      for (long elements = 512; elements <= 1 << 22; elements *= 4) {
        CollectiveRequest request = allReduce(ranks, elements, peerMemory, Mode.RELAXED);
        if (algorithm.refusal(request).isEmpty()) {
          double nanos = planner(peerMemory).by(algorithm, request).nanos().orElseThrow();
          assertThat(nanos).as(algorithm.name() + " " + elements).isGreaterThanOrEqualTo(before);
          before = nanos;
        }
      }
    }
  }

  @ParameterizedTest(name = "bytes={0}")
  @CsvSource({
    "1_048_576, double-tree-all-reduce/65536, double-tree-all-reduce/1048576",
    "67_108_864, double-tree-all-reduce/4194304, double-tree-all-reduce/65536",
    "67_108_864, ring-all-reduce/262144, ring-all-reduce/1048576"
  })
  void sizesOfChunksAreComparedByWhatTheyCost(long bytes, String better, String worse) {
    CollectiveRequest request = allReduce(64, bytes / 4, false, Mode.RELAXED);
    Fabric fabric =
        new Fabric(
            "wire", Compute.device(100, 1e12), List.of(Level.of("wire", Level.ALL, 1000, 10e9)));
    assertThat(nanos(better, request, fabric)).isLessThan(nanos(worse, request, fabric));
  }

  private static double nanos(String algorithm, CollectiveRequest request, Fabric fabric) {
    Algorithm named = Algorithms.named(algorithm).orElseThrow();
    return Planner.candidate(named, request, fabric).orElseThrow().nanos().orElseThrow();
  }

  @Test
  void largerChunksAreRefusedWhereSmallerOnesAreTheSame() {
    List<String> few = named(allReduce(4, 4 * 16_000, false, Mode.RELAXED));
    assertThat(few).contains("ring-all-reduce/65536", "double-tree-all-reduce/65536");
    assertThat(few).doesNotContain("ring-all-reduce/262144", "double-tree-all-reduce/1048576");
    List<String> many = named(allReduce(4, 4 << 20, false, Mode.RELAXED));
    assertThat(many).contains("ring-all-reduce/262144", "ring-all-reduce/1048576");
    List<String> most = named(allReduce(2, 64 << 20, false, Mode.RELAXED));
    assertThat(most).contains("ring-all-reduce/65536").doesNotContain("ring-all-reduce/262144");
  }

  private static List<String> named(CollectiveRequest request) {
    return Algorithms.applicable(request).stream().map(Algorithm::name).toList();
  }

  /// Links of hosts that run several ranks, whose cable carries what is stated.
  private static Planner hosts(Topology topology, double cable) {
    Fabric typical = LinkTable.typical("wire", false).fabric();
    Level wire = Level.shared("wire", Level.ALL, 10_000, 2e9, cable);
    return new Planner(
        LinkTable.stated(new Fabric("wire", typical.compute(), List.of(wire)))
            .withNear(LinkTable.typical("shm", true).fabric())
            .fabric(topology, false));
  }

  @ParameterizedTest(name = "cable={0}")
  @CsvSource({
    "0, exchange-reduce-scatter, exchange-all-gather",
    "4e9, hierarchical-reduce-scatter, hierarchical-all-gather",
    "2e9, hierarchical-reduce-scatter, hierarchical-all-gather"
  })
  void ranksOfAHostThatShareACableAreJoinedBeforeTheyUseIt(
      double cable, String reduceScatter, String allGather) {
    Topology topology = new Topology(8, List.of(4), false);
    Planner planner = hosts(topology, cable);
    Counts parts = Counts.each(8, 128);
    CollectiveRequest joined =
        CollectiveRequest.reduceScatter(
            DType.F32,
            new ReduceOp.Sum(),
            parts,
            true,
            topology,
            LaneSplit.onePerRank(8),
            Mode.SAME_BITS);
    assertThat(planner.choose(joined).algorithm()).isEqualTo(reduceScatter);
    CollectiveRequest gathered = CollectiveRequest.allGather(DType.F32, parts, true, topology);
    assertThat(planner.choose(gathered).algorithm()).isEqualTo(allGather);
  }

  @Test
  void messagesThatShareACableTakeAsLongAsItCarriesThem() {
    Topology topology = new Topology(8, List.of(4), false);
    CollectiveRequest request =
        CollectiveRequest.allToAll(DType.F32, Counts.each(64, 1 << 18), false, topology);
    double apart = hosts(topology, 0).by(new PairwiseAllToAll(), request).nanos().orElseThrow();
    double shared = hosts(topology, 2e9).by(new PairwiseAllToAll(), request).nanos().orElseThrow();
    double bytes = 16.0 * (1 << 20); // from four ranks to four others, one MiB each
    assertThat(shared).isGreaterThan(bytes / 2e9 * 1e9).isGreaterThan(1.5 * apart);
  }

  @ParameterizedTest(name = "ranks={0}, elements={1}")
  @CsvSource({"96, 25_000_000, 25_001_472", "72, 4_000_001, 4_000_896", "300, 999_999, 1_003_200"})
  void manyRanksOfUnevenSharesChooseAsThoseOfEvenOnesDo(int ranks, long elements, long even) {
    CollectiveRequest request = allReduce(ranks, elements, true, Mode.SAME_BITS);
    Planner planner = planner(true);
    Candidate choice = planner.choose(request);
    Candidate ofEven = planner.choose(allReduce(ranks, even, true, Mode.SAME_BITS));
    assertThat(choice.algorithm()).isEqualTo(ofEven.algorithm());
    assertThat(choice.nanos()).isEqualTo(ofEven.nanos()).isPresent();
    assertThat(choice.reason()).isEqualTo("timed by even shares: elements=" + even);
    assertThat(Objects.requireNonNull(choice.schedule()).request()).isEqualTo(request);
    assertThat(ofEven.reason()).isEmpty();
  }

  @Test
  void fewRanksOfUnevenSharesAreTimedAsTheyAre() {
    Candidate choice = planner(true).choose(allReduce(8, 25_000_001, true, Mode.SAME_BITS));
    assertThat(choice.nanos()).isPresent();
    assertThat(choice.reason()).isEmpty();
  }

  @Test
  void whatWasChosenIsRemembered() {
    Planner planner = planner(true);
    CollectiveRequest request = allReduce(3, 1000, true, Mode.SAME_BITS);
    assertThat(planner.choose(request))
        .isSameAs(planner.choose(allReduce(3, 1000, true, Mode.SAME_BITS)));
  }

  @Test
  void aRankAloneTakesTheFirstThatCanDoIt() {
    Candidate choice = planner(false).choose(allReduce(1, 1000, false, Mode.SAME_BITS));
    assertThat(choice.nanos()).isEmpty();
    assertThat(choice.isApplicable()).isTrue();
  }

  @Test
  void anAlgorithmThatCannotDoItIsRefusedWithItsReason() {
    CollectiveRequest request = allReduce(4, 1000, false, Mode.SAME_BITS);
    assertThatThrownBy(() -> planner(false).by(new RingAllReduce(), request))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("ring-all-reduce")
        .hasMessageContaining("lane tree");
    assertThatThrownBy(() -> planner(false).by(new SignalBarrier(), request))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("signal-barrier")
        .hasMessageContaining("only does barrier");
  }
}
