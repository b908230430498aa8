package dev.lockstep.collective.simulate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.tuple;
import static org.assertj.core.api.Assertions.within;

import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Space;
import dev.lockstep.collective.schedule.Step;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.math.BigInteger;
import java.util.List;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class SimulatorTest {
  /// Steps cost nothing, links 1,000 ns and 1 byte per ns, memory is as good as infinite.
  private static final Compute FREE =
      new Compute(0, 0, Rates.constant(1e18), Rates.constant(1e18), false);

  private static final Fabric FLAT =
      new Fabric("flat", FREE, List.of(Level.of("link", Level.ALL, 1000, 1e9)));

  static CollectiveRequest allReduce(int ranks, long elements, boolean peerMemory, Mode mode) {
    return CollectiveRequest.allReduce(
        DType.F32,
        new ReduceOp.Sum(),
        elements,
        true,
        Topology.oneNode(ranks, peerMemory),
        LaneSplit.onePerRank(ranks),
        mode);
  }

  static Schedule schedule(String algorithm, CollectiveRequest request) {
    return Algorithms.named(algorithm).orElseThrow().schedule(request);
  }

  private static Range out(int rank, long offset, long elements) {
    return new Range(rank, new Space.Output(), offset, elements);
  }

  private static Schedule of(int ranks, IntFunction<List<Step>> steps) {
    CollectiveRequest request = allReduce(ranks, 1000, true, Mode.RELAXED);
    return Schedule.of("test", request, steps, _ -> List.of(), rank -> rank);
  }

  @Test
  void aMessageTakesLatencyAndBytesOverBandwidth() {
    Schedule schedule =
        of(
            2,
            rank ->
                rank == 0
                    ? List.of(new Step.Send(1, out(0, 0, 1000)))
                    : List.of(new Step.Receive(0, out(1, 0, 1000))));
    Simulation simulation = Simulator.run(schedule, FLAT);
    assertThat(simulation.nanos(0)).isEqualTo(4000);
    assertThat(simulation.nanos(1)).isEqualTo(1000 + 4000);
    assertThat(simulation.nanos()).isEqualTo(5000);
    assertThat(simulation.traffic())
        .containsExactly(new Simulation.Traffic("link", 1, BigInteger.valueOf(4000)));
  }

  @Test
  void whatLinksCarryIsCountedBeyondALong() {
    long elements = 1L << 60;
    Fabric fast = new Fabric("fast", FREE, List.of(Level.of("link", Level.ALL, 1000, 1e15)));
    CollectiveRequest large =
        CollectiveRequest.broadcast(DType.F32, elements, 0, Topology.oneNode(5, false));
    Schedule schedule =
        Schedule.of(
            "test",
            large,
            rank ->
                rank == 0
                    ? IntStream.range(1, 5)
                        .<Step>mapToObj(peer -> new Step.Send(peer, out(0, 0, elements)))
                        .toList()
                    : List.of(new Step.Receive(0, out(rank, 0, elements))),
            _ -> List.of(),
            rank -> rank);
    assertThat(Simulator.run(schedule, fast).traffic())
        .containsExactly(new Simulation.Traffic("link", 4, BigInteger.ONE.shiftLeft(64)));
  }

  @Test
  void aRankReceivesOneMessageAtATime() {
    Schedule schedule =
        of(
            3,
            rank ->
                rank == 0
                    ? List.of(
                        new Step.Receive(1, out(0, 0, 500)), new Step.Receive(2, out(0, 500, 500)))
                    : List.of(new Step.Send(0, out(rank, 0, 500))));
    assertThat(Simulator.run(schedule, FLAT).nanos(0)).isEqualTo(1000 + 2 * 2000);
  }

  @Test
  void aRankThatMovesMessagesItselfDoesOneThingAtATime() {
    Fabric host =
        new Fabric(
            "host",
            new Compute(0, 0, Rates.constant(1e9), Rates.constant(1e18), true),
            FLAT.levels());
    Schedule schedule =
        of(
            2,
            rank ->
                List.of(
                    new Step.Receive(1 - rank, out(rank, 500, 500)),
                    new Step.Send(1 - rank, out(rank, 0, 500))));
    assertThat(Simulator.run(schedule, FLAT).nanos()).isEqualTo(1000 + 2000);
    assertThat(Simulator.run(schedule, host).nanos()).isEqualTo(2000 + 2000);
  }

  @Test
  void aStepWaitsForTheMessageWhoseElementsItReads() {
    // Rank 1 passes on what it gets: the second message starts when the first is complete.
    Schedule relay =
        of(
            3,
            rank ->
                switch (rank) {
                  case 0 -> List.of(new Step.Send(1, out(0, 0, 1000)));
                  case 1 ->
                      List.of(
                          new Step.Receive(0, out(1, 0, 1000)), new Step.Send(2, out(1, 999, 1)));
                  default -> List.of(new Step.Receive(1, out(2, 999, 1)));
                });
    assertThat(Simulator.run(relay, FLAT).nanos(2)).isEqualTo(5000 + 1000 + 4);
  }

  @Test
  void aStepDoesNotWaitForMessagesOfOtherElements() {
    Schedule schedule =
        of(
            3,
            rank ->
                switch (rank) {
                  case 0 -> List.of(new Step.Send(1, out(0, 0, 1000)));
                  case 1 ->
                      List.of(
                          new Step.Receive(0, out(1, 0, 999)), new Step.Send(2, out(1, 999, 1)));
                  default -> List.of(new Step.Receive(1, out(2, 999, 1)));
                });
    assertThatThrownBy(() -> Simulator.run(schedule, FLAT))
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("do not match");
    Schedule fitting =
        of(
            3,
            rank ->
                switch (rank) {
                  case 0 -> List.of(new Step.Send(1, out(0, 0, 999)));
                  case 1 ->
                      List.of(
                          new Step.Receive(0, out(1, 0, 999)), new Step.Send(2, out(1, 999, 1)));
                  default -> List.of(new Step.Receive(1, out(2, 999, 1)));
                });
    assertThat(Simulator.run(fitting, FLAT).nanos(2)).isEqualTo(1000 + 4);
  }

  @Test
  void aRingTakesItsClosedForm() {
    int ranks = 16;
    long bytes = 1 << 20;
    Schedule ring = schedule("ring-all-reduce", allReduce(ranks, bytes / 4, false, Mode.RELAXED));
    Simulation simulation = Simulator.run(ring, FLAT);
    double expected = 2 * (ranks - 1) * (1000 + (double) bytes / ranks);
    assertThat(simulation.nanos()).isCloseTo(expected, within(1e-6));
    assertThat(simulation.isFolded()).isTrue();
    assertThat(simulation.programs()).isEqualTo(1);
    assertThat(simulation.stepsOfAllRanks()).isEqualTo(ranks * simulation.steps());
  }

  @Test
  void ranksThatLeaveTheirGroupByOneUplinkShareIt() {
    Fabric shared =
        new Fabric(
            "shared",
            FREE,
            List.of(Level.of("node", 2, 10, 1e12), Level.shared("net", Level.ALL, 1000, 1e9, 1e9)));
    IntFunction<List<Step>> bothCross =
        rank ->
            rank < 2
                ? List.of(new Step.Send(rank + 2, out(rank, 0, 1000)))
                : List.of(new Step.Receive(rank - 2, out(rank, 0, 1000)));
    IntFunction<List<Step>> oneCrosses = rank -> rank % 2 == 0 ? bothCross.apply(rank) : List.of();
    assertThat(Simulator.run(of(4, oneCrosses), shared).nanos()).isEqualTo(1000 + 4000);
    assertThat(Simulator.run(of(4, bothCross), shared).nanos()).isEqualTo(1000 + 8000);
  }

  @Test
  void aScheduleThatDoesNotEndIsAnErrorThatNamesTheRank() {
    Schedule crossed =
        of(
            2,
            rank ->
                List.of(
                    new Step.Receive(1 - rank, out(rank, 0, 1000)),
                    new Step.Send(1 - rank, out(rank, 0, 1000))));
    assertThatThrownBy(() -> Simulator.run(crossed, FLAT))
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("does not end")
        .hasMessageContaining("rank=0");
  }

  @Test
  void ratesAreInterpolatedBetweenTheirPoints() {
    Rates rates = new Rates(List.of(new Rates.Point(1 << 10, 1e9), new Rates.Point(1 << 20, 5e8)));
    assertThat(rates.nanosPerByte(1)).isEqualTo(1);
    assertThat(rates.nanosPerByte(1 << 15)).isCloseTo(1.5, within(1e-9));
    assertThat(rates.nanosPerByte(1 << 30)).isEqualTo(2);
  }

  @Test
  void tooManyStepsAreRefusedBeforeMemoryIsFull() {
    assertThatThrownBy(
            () ->
                Simulator.runUnfolded(
                    schedule(
                        "ring-all-reduce", allReduce(20_000, 20_000 * 16, false, Mode.RELAXED)),
                    FLAT))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("too many steps");
  }

  @Test
  void everyPresetNestsAndHasANameOfItsOwn() {
    assertThat(Fabrics.all()).extracting(Fabric::name).doesNotHaveDuplicates();
    assertThat(Fabrics.named("trn3-ultraserver").orElseThrow().levels()).hasSize(3);
    for (String instance : List.of("trn1", "trn2", "trn3")) {
      assertThat(Fabrics.named(instance).orElseThrow().levels().getFirst().ranks()).isEqualTo(16);
    }
    assertThat(Fabrics.named("trn3-gen1-ultraserver").orElseThrow().levels())
        .extracting(Level::ranks)
        .containsExactly(16L, 64L, Level.ALL);
    // Four cores share a chip, sixteen chips an instance, and an EFA is a chip's.
    assertThat(Fabrics.named("trn2-cores").orElseThrow().levels())
        .extracting(Level::ranks, Level::uplinkBytesPerSecond)
        .containsExactly(tuple(4L, 0.0), tuple(64L, 512e9), tuple(Level.ALL, 16 * 25e9));
    // 6,400 Gbit/s of EFA for eight GPUs.
    assertThat(Fabrics.named("b300-efa").orElseThrow().levels())
        .extracting(Level::ranks, Level::uplinkBytesPerSecond)
        .containsExactly(tuple(8L, 0.0), tuple(Level.ALL, 800e9));
    assertThat(Fabrics.named("moon")).isEmpty();
  }
}
