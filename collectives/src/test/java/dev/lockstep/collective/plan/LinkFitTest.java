package dev.lockstep.collective.plan;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.withinPercentage;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.simulate.Compute;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Level;
import dev.lockstep.collective.simulate.PeerRates;
import dev.lockstep.collective.simulate.Rates;
import dev.lockstep.collective.simulate.Simulator;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class LinkFitTest {
  /// Links whose times are those of a fabric: what is fitted to them must predict as it does.
  private record Simulated(Fabric fabric, int ranks) implements LinkMeter {
    @Override
    public void warmUp(List<Schedule> schedules) {}

    @Override
    public void exercise(List<Schedule> schedules) {}

    @Override
    public boolean hasTime() {
      return true;
    }

    @Override
    public boolean hasPatience() {
      return true;
    }

    @Override
    public boolean eachHasACore() {
      return true;
    }

    @Override
    public double[] nanos(List<Schedule> schedules) {
      return schedules.stream()
          .mapToDouble(schedule -> Simulator.run(schedule, fabric).nanos())
          .toArray();
    }

    @Override
    public double copyNanos(long bytes) {
      return fabric.compute().startNanos()
          + bytes * fabric.compute().copy().nanosPerByte(2 * bytes * ranks);
    }
  }

  private static Fabric fabric(int ranks, boolean peerMemory) {
    Rates fast = rates(ranks, 30e9, 20e9, 8e9);
    Rates slow = rates(ranks, 10e9, 7e9, 3e9);
    PeerRates memory =
        new PeerRates(
            slow,
            rates(ranks, 6e9, 5e9, 3e9),
            rates(ranks, 15e9, 12e9, 5e9),
            rates(ranks, 50e9, 40e9, 10e9),
            rates(ranks, 8e9, 6e9, 2e9),
            rates(ranks, 7e9, 4e9, 2e9));
    Level links =
        peerMemory
            ? new Level("memory", Level.ALL, 900, 1024, 170, 120, slow, memory, 0)
            : new Level("network", Level.ALL, 9_000, 0, 9_000, 9_000, slow, memory, 0);
    return new Fabric("host", new Compute(40, 15, fast, fast, true), List.of(links));
  }

  private static Rates rates(int ranks, double small, double middle, double large) {
    return new Rates(
        List.of(
            new Rates.Point(4096L * ranks, small),
            new Rates.Point((256L << 10) * ranks, middle),
            new Rates.Point((4L << 20) * ranks, large)));
  }

  @ParameterizedTest(name = "ranks={0}, peerMemory={1}")
  @CsvSource({"2, true", "3, true", "4, true", "8, true", "2, false", "4, false", "5, false"})
  void whatIsFittedPredictsAsTheLinksAre(int ranks, boolean peerMemory) {
    Topology topology = Topology.oneNode(ranks, peerMemory);
    Fabric links = fabric(ranks, peerMemory);
    Fabric fitted = LinkFit.fit("host", topology, 4L << 20, new Simulated(links, ranks));
    assertThat(fitted.levels().getFirst().messageNanos())
        .isCloseTo(links.levels().getFirst().messageNanos(), withinPercentage(5));
    for (boolean inPlace : new boolean[] {true, false}) {
      for (long bytes = 4096; bytes <= 4 << 20; bytes *= 4) {
        long elements = bytes / 4;
        for (CollectiveRequest request : requests(topology, elements, inPlace)) {
          expectSame(request, links, fitted);
        }
      }
    }
  }

  private static List<CollectiveRequest> requests(
      Topology topology, long elements, boolean inPlace) {
    int ranks = topology.ranks();
    ReduceOp sum = new ReduceOp.Sum();
    LaneSplit lanes = LaneSplit.onePerRank(ranks);
    Counts parts = Counts.each(ranks, elements / ranks);
    return List.of(
        CollectiveRequest.allReduce(
            DType.F32, sum, elements, inPlace, topology, lanes, Mode.RELAXED),
        CollectiveRequest.reduceScatter(
            DType.F32, sum, parts, inPlace, topology, lanes, Mode.RELAXED),
        CollectiveRequest.sendReceive(DType.F32, elements, inPlace, topology),
        CollectiveRequest.broadcast(DType.F32, elements, 0, topology));
  }

  private static void expectSame(CollectiveRequest request, Fabric links, Fabric fitted) {
    for (Algorithm algorithm : Algorithms.applicable(request)) {
      Schedule schedule = algorithm.schedule(request);
      double nanos = Simulator.run(schedule, links).nanos();
      assertThat(Simulator.run(schedule, fitted).nanos())
          .as("%s, %s", algorithm.name(), request.words())
          .isCloseTo(nanos, withinPercentage(10));
    }
  }

  /// Two hosts or three, whose ranks have fast links among them and leave by a cable.
  private static Fabric hosts(int hostRanks, double link, double cable) {
    return new Fabric(
        "hosts",
        new Compute(40, 15, Rates.constant(20e9), Rates.constant(20e9), true),
        List.of(
            Level.of("memory", hostRanks, 900, 10e9),
            Level.shared("network", Level.ALL, 9_000, link, cable)));
  }

  @ParameterizedTest(name = "ranks={0}, hostRanks={1}, link={2}, cable={3}")
  @CsvSource({
    "4, 2, 4e9, 2e9, 2e9",
    "8, 4, 2e9, 2e9, 2e9",
    "8, 4, 2e9, 1e9, 1e9",
    "9, 3, 1e9, 1e9, 1e9",
    "5, 3, 2e9, 2e9, 2e9",
    "3, 2, 2e9, 2e9, 2e9",
    "5, 4, 2e9, 2e9, 2e9",
    "11, 4, 2e9, 2e9, 2e9",
    "11, 4, 2e9, 0, 0",
    "8, 4, 2e9, 5e9, 0",
    "8, 4, 2e9, 0, 0"
  })
  void whatRanksOfAHostCarryTogetherIsFound(
      int ranks, int hostRanks, double link, double cable, double expected) {
    Topology topology = new Topology(ranks, List.of(hostRanks), false);
    Simulated links = new Simulated(hosts(hostRanks, link, cable), ranks);
    Level fitted = LinkFit.fit("hosts", topology, 4L << 20, links).levels().getFirst();
    assertThat(fitted.uplinkBytesPerSecond()).isCloseTo(expected, withinPercentage(5));
    assertThat(1e9 / fitted.bandwidth().nanosPerByte(1 << 20)).isCloseTo(link, withinPercentage(5));
  }

  /// Changes what links take.
  private interface Disturbance {
    /// Returns the nanoseconds of a schedule that takes `nanos` on links at rest.
    ///
    /// @param calls how often anything has been measured
    double of(Schedule schedule, double nanos, int calls, int warmUps);
  }

  private static final class Disturbed implements LinkMeter {
    private final Simulated rest;
    private final boolean hasTime;
    private final boolean hasPatience;
    private final Disturbance disturbance;
    private int calls;
    private int warmUps;
    private final Set<String> exercised = new HashSet<>();

    Disturbed(Simulated rest, boolean hasTime, boolean hasPatience, Disturbance disturbance) {
      this.rest = rest;
      this.hasTime = hasTime;
      this.hasPatience = hasPatience;
      this.disturbance = disturbance;
    }

    @Override
    public void warmUp(List<Schedule> schedules) {
      warmUps++;
    }

    @Override
    public void exercise(List<Schedule> schedules) {
      schedules.forEach(schedule -> exercised.add(schedule.algorithm()));
    }

    @Override
    public boolean hasTime() {
      return hasTime;
    }

    @Override
    public boolean hasPatience() {
      return hasPatience;
    }

    @Override
    public boolean eachHasACore() {
      return true;
    }

    @Override
    public double[] nanos(List<Schedule> schedules) {
      calls++;
      double[] nanos = rest.nanos(schedules);
      for (int i = 0; i < nanos.length; i++) {
        nanos[i] = disturbance.of(schedules.get(i), nanos[i], calls, warmUps);
      }
      return nanos;
    }

    @Override
    public double copyNanos(long bytes) {
      return rest.copyNanos(bytes);
    }
  }

  private static final long MOST_BYTES = 4L << 20;

  private static Fabric fit(LinkMeter meter) {
    return fit(meter, true);
  }

  private static Fabric fit(LinkMeter meter, boolean peerMemory) {
    return LinkFit.fit("host", Topology.oneNode(2, peerMemory), MOST_BYTES, meter);
  }

  /// Joins are slow by far until they are compiled, and everything a little, while compilers work.
  @Test
  void whatIsMeasuredBeforeItIsCompiledIsMeasuredAgain() {
    Simulated rest = new Simulated(fabric(2, true), 2);
    Disturbed cold =
        new Disturbed(
            rest,
            true,
            true,
            (schedule, nanos, calls, _) -> {
              String algorithm = schedule.algorithm();
              boolean joins = algorithm.contains("join") || algorithm.contains("reduce");
              double steps = Math.max(1, 4 - calls / 10);
              return calls > 40 ? nanos : nanos * steps * (joins ? 20 : 1);
            });
    assertThat(fit(cold)).isEqualTo(fit(rest));
  }

  /// Ranks that the scheduler kept on one core.
  @Test
  void whatIsDoubtedIsMeasuredOnceMore() {
    Simulated rest = new Simulated(fabric(2, true), 2);
    Disturbed shared =
        new Disturbed(
            rest, true, false, (_, nanos, _, warmUps) -> warmUps == 1 ? nanos + 5_000 : nanos);
    Fabric fitted = fit(shared);
    assertThat(LinkDoubts.of(fitted, 2, true)).isEmpty();
    assertThat(fitted.levels().getFirst().signalNanos()).isCloseTo(120, withinPercentage(5));
  }

  @Test
  void withoutTimeWhatIsLongIsMeasuredOnceAndMayBeDoubted() {
    Simulated rest = new Simulated(fabric(2, true), 2);
    Disturbed busy = new Disturbed(rest, false, false, (_, nanos, _, _) -> nanos + 5_000);
    Fabric fitted = fit(busy);
    assertThat(LinkDoubts.of(fitted, 2, true)).isPresent();
    assertThat(busy.calls).isEqualTo(12); // short calls and 4 to 256 KiB twice, 1 and 4 MiB
    assertThat(busy.warmUps).isEqualTo(1);
  }

  /// A compiler that had a core while one size was measured.
  @Test
  void withoutTimeOnlyWhatIsDoubtedIsMeasuredOnceMore() {
    Simulated rest = new Simulated(fabric(2, true), 2);
    Disturbed once =
        new Disturbed(
            rest,
            false,
            true,
            (_, nanos, calls, _) -> calls == 6 || calls == 13 ? nanos + 7_000_000 : nanos);
    Fabric fitted = fit(once);
    assertThat(LinkDoubts.of(fitted, 2, true)).isEmpty();
    assertThat(readNanosPerByte(fitted))
        .isCloseTo(readNanosPerByte(fit(rest)), withinPercentage(1));
    assertThat(once.warmUps).isEqualTo(1);
    assertThat(once.calls).isEqualTo(3 * 7);
  }

  /// As above, without time to measure it again: neither a peer's memory nor the wire has it.
  @ParameterizedTest(name = "peerMemory={0}")
  @ValueSource(booleans = {true, false})
  void aSingleSizeThatStaysDisturbedIsLeftOut(boolean peerMemory) {
    Simulated rest = new Simulated(fabric(2, peerMemory), 2);
    Disturbed once =
        new Disturbed(
            rest, false, false, (_, nanos, calls, _) -> calls == 6 ? nanos + 7_000_000 : nanos);
    Fabric fitted = fit(once, peerMemory);
    assertThat(LinkDoubts.of(fitted, 2, true)).isEmpty();
    assertThat(readNanosPerByte(fitted))
        .isCloseTo(readNanosPerByte(fit(rest, peerMemory)), withinPercentage(50));
    assertThat(fitted.levels().getFirst().memory().read().points()).hasSize(5);
    assertThat(fitted.levels().getFirst().bandwidth().points()).hasSize(5);
    assertThat(fitted.compute().copy().points()).hasSize(6);
  }

  private static double readNanosPerByte(Fabric fabric) {
    return fabric.levels().getFirst().memory().read().nanosPerByte(2 << 20);
  }

  /// Their code may be compiled while long sizes are measured, and is when it has been exercised.
  @ParameterizedTest(name = "hasPatience={0}")
  @ValueSource(booleans = {false, true})
  void shortMessagesAreExercisedAndMeasuredOnceMoreAtTheEnd(boolean hasPatience) {
    Simulated rest = new Simulated(fabric(2, true), 2);
    Disturbed cold =
        new Disturbed(
            rest,
            false,
            hasPatience,
            (schedule, nanos, calls, _) ->
                calls <= 7 && schedule.algorithm().equals("message-send-receive")
                    ? 2 * nanos
                    : nanos);
    Level fitted = fit(cold).levels().getFirst();
    Level links = fit(rest).levels().getFirst();
    assertThat(fitted.messageNanos()).isEqualTo(links.messageNanos());
    assertThat(fitted.shortNanos()).isEqualTo(links.shortNanos());
    assertThat(cold.exercised).contains("message-send-receive", "local-steps");
  }

  @Test
  void whatNeverSettlesEndsAndIsDoubted() {
    Simulated rest = new Simulated(fabric(2, true), 2);
    Disturbed never =
        new Disturbed(
            rest, true, true, (_, nanos, calls, _) -> nanos * 1e6 * Math.pow(0.98, calls));
    assertThat(LinkDoubts.of(fit(never), 2, true)).isPresent();
  }
}
