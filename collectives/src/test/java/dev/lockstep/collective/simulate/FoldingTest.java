package dev.lockstep.collective.simulate;

import static dev.lockstep.collective.simulate.SimulatorTest.allReduce;
import static dev.lockstep.collective.simulate.SimulatorTest.schedule;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.algorithm.Requests;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Step;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentSkipListSet;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Folded simulations are the unfolded ones, rank by rank and to the last picosecond.
@Timeout(60)
class FoldingTest {
  private static final Fabric TRN3 = Fabrics.named("trn3-ultraserver").orElseThrow();
  private static final Fabric H200 = Fabrics.named("h200-efa").orElseThrow(); // shares its uplinks
  private static final Fabric FLAT =
      new Fabric(
          "flat", Compute.device(100, 1e12), List.of(Level.of("link", Level.ALL, 1500, 25e9)));

  /// Of all ranks together, to be simulated one by one.
  private static final long MOST_STEPS = 1_500_000;

  private static void assertSame(Schedule schedule, Fabric fabric) {
    Simulation folded = Simulator.run(schedule, fabric);
    Simulation unfolded = Simulator.runUnfolded(schedule, fabric);
    for (int rank = 0; rank < schedule.ranks(); rank++) {
      assertThat(folded.nanos(rank))
          .as("%s, rank %d of %d on %s", schedule, rank, schedule.ranks(), fabric.name())
          .isEqualTo(unfolded.nanos(rank));
    }
    assertThat(folded.nanos()).isEqualTo(unfolded.nanos());
    assertThat(folded.traffic()).isEqualTo(unfolded.traffic());
    assertThat(folded.stepsOfAllRanks()).isEqualTo(unfolded.steps());
  }

  private static List<CollectiveRequest> requests(int ranks) {
    List<CollectiveRequest> requests = new ArrayList<>();
    for (boolean peerMemory : new boolean[] {false, true}) {
      for (Mode mode : Mode.values()) {
        requests.add(allReduce(ranks, ranks * 64L, peerMemory, mode));
        requests.add(allReduce(ranks, ranks * 64L + 5, peerMemory, mode));
      }
      Topology topology = Topology.oneNode(ranks, peerMemory);
      requests.add(CollectiveRequest.broadcast(DType.F32, 1000, ranks / 2, topology));
      requests.add(CollectiveRequest.barrier(topology));
    }
    return requests;
  }

  @ParameterizedTest(name = "P={0}")
  @ValueSource(ints = {1, 2, 3, 4, 7, 8, 16})
  void foldedIsUnfoldedInBothModes(int ranks) {
    assertSame(requests(ranks), Algorithms.all());
  }

  @ParameterizedTest(name = "P={0}")
  @ValueSource(ints = {1, 2, 3, 4})
  void foldedIsUnfoldedForEveryKindAndAlgorithm(int ranks) {
    assertSameForEveryKind(ranks);
  }

  @ParameterizedTest(name = "P={0}")
  @ValueSource(ints = {5, 6, 7, 8, 9, 12, 16, 33})
  @Tag("long")
  void foldedIsUnfoldedForEveryKindAndAlgorithmAmongMore(int ranks) {
    assertSameForEveryKind(ranks);
  }

  private static void assertSameForEveryKind(int ranks) {
    Set<String> compared = assertSame(Requests.ofEveryKind(ranks, false), Requests.algorithms());
    if (Integer.bitCount(ranks) == 1 && ranks > 1) {
      // Hierarchies want levels: they have a test of their own below. Only two ranks send to each
      // other.
      assertThat(compared)
          .containsAll(
              Requests.algorithms().stream()
                  .map(Algorithm::name)
                  .filter(name -> !name.startsWith("hierarchical"))
                  .filter(name -> ranks == 2 || !name.equals("swap-send-receive"))
                  .toList());
    }
  }

  /// Returns the names of the algorithms that did any of the requests.
  private static Set<String> assertSame(
      List<CollectiveRequest> requests, List<Algorithm> algorithms) {
    Set<String> compared = new ConcurrentSkipListSet<>();
    requests.parallelStream()
        .forEach(
            request -> {
              for (Algorithm algorithm : algorithms) {
                if (algorithm.refusal(request).isEmpty()
                    && algorithm.redundancy(request).isEmpty()) {
                  assertSame(algorithm.schedule(request), FLAT);
                  assertSame(algorithm.schedule(request), TRN3);
                  assertSame(algorithm.schedule(request), H200);
                  compared.add(algorithm.name());
                }
              }
            });
    return compared;
  }

  /// Every algorithm of which a rank has no more than a few messages for each doubling of the
  /// ranks.
  @ParameterizedTest(name = "P={0}")
  @ValueSource(ints = {256, 1024, 4096})
  @Tag("long")
  void foldedIsUnfoldedForEveryAlgorithmOfLogarithmicDepth(int ranks) {
    Set<String> compared = new TreeSet<>();
    Set<CollectiveKind> kinds = EnumSet.noneOf(CollectiveKind.class);
    for (CollectiveRequest request : amongMany(ranks)) {
      for (Algorithm algorithm : Requests.algorithms()) {
        if (algorithm.refusal(request).isEmpty() && algorithm.redundancy(request).isEmpty()) {
          Schedule schedule = algorithm.schedule(request);
          if (isLogarithmic(schedule)) {
            assertSame(schedule, FLAT);
            assertSame(schedule, TRN3);
            compared.add(algorithm.name());
            kinds.add(request.kind());
          }
        }
      }
    }
    System.out.printf("folded is unfolded at %d ranks: %s%n", ranks, compared);
    // Bruck's all-to-all is few messages deep too, but copies every rank's elements in each round.
    EnumSet<CollectiveKind> expected = EnumSet.allOf(CollectiveKind.class);
    if (ranks > 256) {
      expected.remove(CollectiveKind.ALL_TO_ALL);
    }
    assertThat(kinds).isEqualTo(expected);
  }

  /// Returns whether no rank has more than a few messages and signals for each doubling of the
  /// ranks, and all together not too many steps to make them all.
  private static boolean isLogarithmic(Schedule schedule) {
    int ranks = schedule.ranks();
    long most = 6L * Integer.numberOfTrailingZeros(ranks);
    for (int rank : new int[] {0, 1, ranks / 2 + 1, ranks - 1}) {
      List<Step> steps = schedule.steps(rank);
      long words =
          steps.stream()
              .filter(
                  step ->
                      switch (step) {
                        case Step.Send _,
                            Step.Receive _,
                            Step.ReceiveReduce _,
                            Step.Signal _,
                            Step.Await _ ->
                            true;
                        case Step.Copy _,
                            Step.Reduce _,
                            Step.Spread _,
                            Step.Swap _,
                            Step.Scale _,
                            Step.Divide _ ->
                            false;
                      })
              .count();
      if (words > most || (long) steps.size() * ranks > MOST_STEPS) {
        return false;
      }
    }
    return true;
  }

  /// Returns requests of every kind among very many ranks: even and uneven counts, a root in the
  /// middle, both modes.
  private static List<CollectiveRequest> amongMany(int ranks) {
    Topology topology = Topology.oneNode(ranks, true);
    LaneSplit lanes = LaneSplit.onePerRank(ranks);
    int root = ranks / 2 + 1;
    List<CollectiveRequest> requests = new ArrayList<>();
    requests.add(CollectiveRequest.barrier(topology));
    requests.add(CollectiveRequest.sendReceive(DType.F32, 1000, true, topology));
    requests.add(
        CollectiveRequest.allToAll(
            DType.F32, Counts.each((long) ranks * ranks, 3), false, topology));
    Random random = new Random(ranks);
    for (Counts counts :
        List.of(Counts.each(ranks, 32), Counts.of(random.longs(ranks, 0, 6).boxed().toList()))) {
      requests.add(CollectiveRequest.allGather(DType.F32, counts, false, topology));
      requests.add(CollectiveRequest.gather(DType.F32, counts, root, false, topology));
      requests.add(CollectiveRequest.scatter(DType.F32, counts, root, true, topology));
      for (Mode mode : Mode.values()) {
        requests.add(
            CollectiveRequest.reduceScatter(
                DType.F32, new ReduceOp.Sum(), counts, true, topology, lanes, mode));
      }
    }
    requests.add(CollectiveRequest.broadcast(DType.F32, 5000, root, topology));
    for (Mode mode : Mode.values()) {
      requests.add(
          CollectiveRequest.reduce(
              DType.F32, new ReduceOp.Avg(), 5000, root, false, topology, lanes, mode));
      requests.add(
          CollectiveRequest.allReduce(
              DType.F32, new ReduceOp.Sum(), 64L * ranks + 5, true, topology, lanes, mode));
    }
    return requests;
  }

  @ParameterizedTest(name = "P={0}")
  @ValueSource(ints = {256, 1024, 4096})
  void foldedIsUnfoldedAtManyRanks(int ranks) {
    assertSame(schedule("message-barrier", CollectiveRequest.barrier(oneNode(ranks))), FLAT);
    assertSame(schedule("message-barrier", CollectiveRequest.barrier(oneNode(ranks))), TRN3);
    if (ranks <= 256) {
      assertSame(
          schedule("ring-all-reduce", allReduce(ranks, 16L * ranks, false, Mode.RELAXED)), FLAT);
    }
  }

  @ParameterizedTest(name = "P={0}, bytes={1}")
  @CsvSource({"288, 1073741824", "300, 1073741824", "640, 1048576", "784, 1073741824"})
  void foldedIsUnfoldedForHierarchiesWithRanksLeftOver(int ranks, long bytes) {
    assertSameHierarchies(ranks, bytes);
  }

  @ParameterizedTest(name = "P={0}, bytes={1}")
  @CsvSource({"1504, 4096", "4096, 1073741824"})
  @Tag("long")
  void foldedIsUnfoldedForHierarchiesAmongMore(int ranks, long bytes) {
    assertSameHierarchies(ranks, bytes);
  }

  private static void assertSameHierarchies(int ranks, long bytes) {
    for (String name :
        new String[] {"hierarchical-all-reduce", "hierarchical-doubling-all-reduce"}) {
      Schedule schedule = schedule(name, allReduceOnTrn3(ranks, bytes));
      assertSame(schedule, TRN3);
    }
  }

  @ParameterizedTest(name = "P={0}, part={1}")
  @CsvSource({"296, 268"})
  void foldedIsUnfoldedForGathersAndScattersWithRanksLeftOver(int ranks, long part) {
    assertFoldedGatherAndScatter(ranks, part);
  }

  @ParameterizedTest(name = "P={0}, part={1}")
  @CsvSource({"288, 1000", "300, 268", "1504, 268", "4096, 268"})
  @Timeout(300)
  @Tag("long")
  void foldedIsUnfoldedForGathersAndScattersAmongMore(int ranks, long part) {
    assertFoldedGatherAndScatter(ranks, part);
  }

  private static void assertFoldedGatherAndScatter(int ranks, long part) {
    Topology topology = new Topology(ranks, List.of(4, 144), false);
    CollectiveRequest gather =
        CollectiveRequest.allGather(DType.F32, Counts.each(ranks, part), true, topology);
    CollectiveRequest scatter =
        CollectiveRequest.reduceScatter(
            DType.F32,
            new ReduceOp.Sum(),
            Counts.each(ranks, part),
            true,
            topology,
            LaneSplit.onePerRank(ranks),
            Mode.RELAXED);
    assertFolded(schedule("hierarchical-all-gather", gather));
    assertFolded(schedule("hierarchical-sliced-reduce-scatter", scatter));
  }

  @ParameterizedTest(name = "P={0}")
  @ValueSource(ints = {288, 300, 720, 4096})
  void foldedIsUnfoldedForBarriersOfGroups(int ranks) {
    CollectiveRequest barrier =
        CollectiveRequest.barrier(new Topology(ranks, List.of(4, 144), false));
    for (String name : List.of("hierarchical-barrier", "message-barrier")) {
      Schedule schedule = schedule(name, barrier);
      assertSame(schedule, TRN3);
      assertThat(Simulator.run(schedule, TRN3).isFolded()).isEqualTo(ranks % 144 == 0);
    }
  }

  @Test
  void aBarrierOfAMillionRanksIsFolded() {
    int ranks = 144 * 6944;
    CollectiveRequest barrier =
        CollectiveRequest.barrier(new Topology(ranks, List.of(4, 144), false));
    for (String name : List.of("hierarchical-barrier", "message-barrier")) {
      Simulation simulation = Simulator.run(schedule(name, barrier), TRN3);
      assertThat(simulation.programs()).isEqualTo(144);
      assertThat(simulation.nanos()).isGreaterThan(13 * 1500);
    }
  }

  @Test
  @Timeout(120)
  @Tag("long")
  void aGatherOfAMillionRanksIsFolded() {
    int ranks = 1_000_000;
    Topology topology = new Topology(ranks, List.of(4, 144), false);
    CollectiveRequest gather =
        CollectiveRequest.allGather(DType.F32, Counts.each(ranks, 268), true, topology);
    Schedule schedule = schedule("hierarchical-all-gather", gather);
    Simulation simulation = Simulator.run(schedule, TRN3);
    assertThat(simulation.programs()).isLessThan(200);
    // A gibibyte through a chip's links within the server, 128 GB/s, is what bounds it.
    assertThat(simulation.nanos()).isBetween(6e6, 15e6);
  }

  /// No two ranks of a tree do the same at one time, so all are simulated.
  @ParameterizedTest
  @ValueSource(
      strings = {"binomial-broadcast", "binomial-reduce", "binomial-gather", "linear-scatter"})
  @Tag("long")
  void treesAndStarsOfAMillionRanksAreTimed(String algorithm) {
    int ranks = 1_000_000;
    Topology topology = new Topology(ranks, List.of(4, 144), false);
    Counts parts = Counts.each(ranks, 1);
    List<CollectiveRequest> requests =
        List.of(
            CollectiveRequest.broadcast(DType.F32, 1 << 20, 0, topology),
            CollectiveRequest.reduce(
                DType.F32,
                new ReduceOp.Sum(),
                1 << 20,
                0,
                true,
                topology,
                LaneSplit.onePerRank(ranks),
                Mode.RELAXED),
            CollectiveRequest.gather(DType.F32, parts, 0, true, topology),
            CollectiveRequest.scatter(DType.F32, parts, 0, true, topology));
    Algorithm named = Algorithms.named(algorithm).orElseThrow();
    CollectiveRequest request =
        requests.stream().filter(it -> it.kind() == named.kind()).findFirst().orElseThrow();
    Simulation simulation = Simulator.run(named.schedule(request), TRN3);
    assertThat(simulation.programs()).isEqualTo(ranks);
    assertThat(simulation.nanos()).isGreaterThan(20 * 1500); // hops of NeuronLink, for each bit
  }

  private static void assertFolded(Schedule schedule) {
    assertThat(Simulator.run(schedule, TRN3).isFolded()).as(schedule.toString()).isTrue();
    assertSame(schedule, TRN3);
  }

  @Test
  @Timeout(60)
  void aMillionRanksOfUltraServersAreTimedWithinAMinute() {
    Schedule schedule = schedule("hierarchical-all-reduce", allReduceOnTrn3(1_000_000, 1L << 30));
    Simulation simulation = Simulator.run(schedule, TRN3);
    assertThat(simulation.isFolded()).isTrue();
    assertThat(simulation.programs()).isLessThan(1_000);
    // A gibibyte twice through a chip's links within the server, 128 GB/s, is what bounds it.
    assertThat(simulation.nanos()).isBetween(12e6, 30e6);
  }

  private static CollectiveRequest allReduceOnTrn3(int ranks, long bytes) {
    List<Integer> levels = ranks > 144 ? List.of(4, 144) : List.of(4);
    return CollectiveRequest.allReduce(
        DType.F32,
        new ReduceOp.Sum(),
        bytes / 4,
        true,
        new Topology(ranks, levels, false),
        LaneSplit.onePerRank(ranks),
        Mode.RELAXED);
  }

  private static Topology oneNode(int ranks) {
    return Topology.oneNode(ranks, false);
  }

  @Test
  void aRotationThatCrossesGroupsIsNotFolded() {
    Schedule ring = schedule("ring-all-reduce", allReduce(16, 16 * 64, false, Mode.RELAXED));
    assertThat(Simulator.run(ring, FLAT).isFolded()).isTrue();
    assertThat(Simulator.run(ring, TRN3).isFolded()).isFalse();
  }
}
