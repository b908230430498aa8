package dev.lockstep.collective.simulate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.algorithm.DirectAllReduce;
import dev.lockstep.collective.algorithm.DirectReduceScatter;
import dev.lockstep.collective.algorithm.DirectSendReceive;
import dev.lockstep.collective.algorithm.SpreadAllReduce;
import dev.lockstep.collective.algorithm.SwapAllToAll;
import dev.lockstep.collective.algorithm.SwapSendReceive;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class PeerRatesTest {
  private static final long ELEMENTS = 1 << 20;
  private static final Topology TWO = Topology.oneNode(2, true);

  /// Nanoseconds per byte.
  private static final double JOIN = 0.25;

  private static final double READ = 1;
  private static final double FETCH = 2;
  private static final double PEER_JOIN = 3;
  private static final double SPREAD = 5;
  private static final double WRITE = 7;
  private static final double SWAP = 11;

  private static final ReduceOp SUM = new ReduceOp.Sum();
  private static final LaneSplit LANES = LaneSplit.onePerRank(2);
  private static final CollectiveRequest ALL_REDUCE =
      CollectiveRequest.allReduce(DType.F32, SUM, ELEMENTS, false, TWO, LANES, Mode.SAME_BITS);
  private static final CollectiveRequest REDUCE =
      CollectiveRequest.reduce(DType.F32, SUM, ELEMENTS, 0, false, TWO, LANES, Mode.SAME_BITS);
  private static final CollectiveRequest REDUCE_SCATTER =
      CollectiveRequest.reduceScatter(
          DType.F32, SUM, Counts.each(2, ELEMENTS / 2), true, TWO, LANES, Mode.SAME_BITS);
  private static final CollectiveRequest SEND_RECEIVE =
      CollectiveRequest.sendReceive(DType.F32, ELEMENTS, false, TWO);

  private static Rates rate(double nanosPerByte) {
    return Rates.constant(1e9 / nanosPerByte);
  }

  private static final Fabric FABRIC =
      new Fabric(
          "host",
          new Compute(0, 0, rate(100), rate(JOIN), true),
          List.of(
              new Level(
                  "memory",
                  Level.ALL,
                  1,
                  0,
                  1,
                  1,
                  rate(100),
                  new PeerRates(
                      rate(READ),
                      rate(FETCH),
                      rate(PEER_JOIN),
                      rate(SPREAD),
                      rate(WRITE),
                      rate(SWAP)),
                  0)));

  private static void expect(Algorithm algorithm, CollectiveRequest request, double nanosPerByte) {
    double bytes = ELEMENTS * 4.0;
    double nanos = Simulator.run(algorithm.schedule(request), FABRIC).nanos();
    assertThat(nanos / bytes).as(algorithm.name()).isCloseTo(nanosPerByte, within(1e-5));
  }

  private static void expect(String algorithm, CollectiveRequest request, double nanosPerByte) {
    expect(Algorithms.named(algorithm).orElseThrow(), request, nanosPerByte);
  }

  @Test
  void whatIsCopiedFromAPeerIsReadThere() {
    expect(new DirectSendReceive(), SEND_RECEIVE, READ);
  }

  @Test
  void whatAPeerWritesMeanwhileIsDearerToRead() {
    double joined = (2 * JOIN + PEER_JOIN) / 2;
    expect(new DirectAllReduce(), ALL_REDUCE, joined + FETCH / 2);
    expect(new DirectAllReduce(), ALL_REDUCE.withInPlace(true), joined + FETCH / 2);
  }

  @Test
  void whatIsJoinedThereHasARateOfItsOwn() {
    expect(new DirectReduceScatter(), REDUCE_SCATTER, (2 * JOIN + PEER_JOIN) / 2);
  }

  @Test
  void resultsAreWrittenOverWhatWasJoinedOrElsewhere() {
    double joined = (2 * JOIN + PEER_JOIN) / 2;
    expect(new SpreadAllReduce(), ALL_REDUCE.withInPlace(true), joined + SPREAD / 2);
    expect(new SpreadAllReduce(), ALL_REDUCE, joined + WRITE / 2);
  }

  @Test
  void whatIsBroadcastIsMovedByBothEndsAtOnce() {
    CollectiveRequest request =
        CollectiveRequest.broadcast(DType.F32, ELEMENTS, 0, TWO).withInPlace(true);
    expect("spread-broadcast", request, READ / 2);
  }

  @Test
  void sharesOfAReductionAreWrittenToTheRoot() {
    double joined = JOIN + PEER_JOIN;
    expect("spread-reduce", REDUCE.withInPlace(true), (joined + SPREAD) / 2);
    expect("spread-reduce", REDUCE, (joined + READ) / 2);
  }

  @Test
  void whatIsSwappedGoesBothWays() {
    expect(new SwapSendReceive(), SEND_RECEIVE.withInPlace(true), SWAP / 2);
    Counts halves = Counts.each(4, ELEMENTS / 2);
    expect(new SwapAllToAll(), CollectiveRequest.allToAll(DType.F32, halves, true, TWO), SWAP / 4);
  }

  @Test
  void theTimeIsThatOfTheRootsBuffersWhicheverRankIsTheRoot() {
    Fabric fabric = slowerForMore();
    Algorithm direct = Algorithms.named("direct-reduce").orElseThrow();
    double[] nanos =
        IntStream.range(0, 2)
            .mapToObj(
                root ->
                    CollectiveRequest.reduce(
                        DType.F32, SUM, ELEMENTS, root, false, TWO, LANES, Mode.SAME_BITS))
            .mapToDouble(request -> Simulator.run(direct.schedule(request), fabric).nanos())
            .toArray();
    assertThat(nanos[1]).isEqualTo(nanos[0]);
  }

  @Test
  void theTimeOfUnequalPartsIsTheSameWhicheverRankHasNothing() {
    Algorithm direct = Algorithms.named("direct-all-to-all").orElseThrow();
    double[] nanos =
        IntStream.range(0, 3)
            .mapToObj(PeerRatesTest::swapWithout)
            .mapToDouble(
                request -> Simulator.run(direct.schedule(request), slowerForMore()).nanos())
            .toArray();
    assertThat(nanos).containsOnly(nanos[0]);
    double bytes = ELEMENTS * 4.0;
    double together = slowerForMore().compute().copy().nanosPerByte((long) (4 * bytes));
    assertThat(nanos[0] / bytes).isCloseTo(together, within(1e-5));
  }

  /// Two of three ranks give each other all that they have.
  private static CollectiveRequest swapWithout(int idle) {
    List<Long> counts =
        IntStream.range(0, 9)
            .mapToObj(
                part -> {
                  int from = part / 3;
                  int to = part % 3;
                  return from != to && from != idle && to != idle ? ELEMENTS : 0;
                })
            .toList();
    Topology three = Topology.oneNode(3, true);
    return CollectiveRequest.allToAll(DType.F32, Counts.of(counts), false, three);
  }

  private static Fabric slowerForMore() {
    Rates falling =
        new Rates(List.of(new Rates.Point(1, 1e9), new Rates.Point(ELEMENTS * 100, 1e7)));
    PeerRates memory = new PeerRates(falling, falling, falling, falling, falling, falling);
    return new Fabric(
        "host",
        new Compute(0, 0, falling, falling, true),
        List.of(new Level("memory", Level.ALL, 1, 0, 1, 1, falling, memory, 0)));
  }
}
