package dev.lockstep.collective.plan;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.simulate.Compute;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Level;
import dev.lockstep.collective.simulate.PeerRates;
import dev.lockstep.collective.simulate.Rates;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(20)
class LinkDoubtsTest {
  private static final int CORES = 4;

  /// As measured on Zen 5, GB/s at 8 KiB to 32 MiB of all buffers; a copy of the shortest ones took
  /// no longer than a call.
  private static final double[] COPY = {1e4, 119, 117, 127, 76, 52, 44};

  private static final double[] JOIN = {114, 265, 313, 324, 204, 192, 154};
  private static final double[] READ = {16, 67, 62, 53, 50, 38, 9.8};
  private static final double[] PEER_JOIN = {18, 17, 98, 84, 102, 63, 35};

  private static Rates rates(double... gigabytesPerSecond) {
    List<Rates.Point> points = new ArrayList<>();
    long workingSet = 8 << 10;
    for (double rate : gigabytesPerSecond) {
      points.add(new Rates.Point(workingSet, rate * 1e9));
      workingSet *= 4;
    }
    return new Rates(points);
  }

  private static Rates flat(double gigabytesPerSecond) {
    double[] all = new double[COPY.length];
    Arrays.fill(all, gigabytesPerSecond);
    return rates(all);
  }

  private static Fabric fabric(
      double signalNanos, double shortNanos, double messageNanos, Rates join, Rates peerJoin) {
    return fabric(signalNanos, shortNanos, messageNanos, join, rates(READ), peerJoin);
  }

  private static Fabric fabric(
      double signalNanos,
      double shortNanos,
      double messageNanos,
      Rates join,
      Rates read,
      Rates peerJoin) {
    PeerRates memory = new PeerRates(read, read, peerJoin, read, read, read);
    Level links =
        new Level(
            "memory", Level.ALL, messageNanos, 1024, shortNanos, signalNanos, read, memory, 0);
    return new Fabric("host", new Compute(60, 6, rates(COPY), join, true), List.of(links));
  }

  @ParameterizedTest(name = "signalNanos={0}, shortNanos={1}, messageNanos={2}, ranks={3}")
  @CsvSource({
    "100, 170, 900, 2, false",
    "40, 84, 414, 2, false",
    "0.1, 170, 900, 2, true",
    "9000, 170, 900, 2, true",
    "9000, 170, 900, 5, false",
    "55, 0.1, 414, 2, true",
    "55, 30951, 414, 2, true",
    "55, 84, 0.1, 2, true",
    "55, 84, 60000, 2, true",
    "3500, 4000, 29000, 5, false",
    "90000, 4000, 29000, 8, false",
    "130000, 4000, 29000, 5, true",
    "3500, 130000, 29000, 5, true",
    "3500, 4000, 600000, 5, true",
    "1300000, 1300000, 4720000, 8, true"
  })
  void latenciesThatNoCacheAndNoTurnOnACoreTakesAreDoubted(
      double signalNanos, double shortNanos, double messageNanos, int ranks, boolean doubted) {
    Fabric fabric = fabric(signalNanos, shortNanos, messageNanos, rates(JOIN), rates(PEER_JOIN));
    assertThat(LinkDoubts.of(fabric, ranks, ranks <= CORES).isPresent()).isEqualTo(doubted);
  }

  @ParameterizedTest(name = "place={0}, GB/s={1}")
  @CsvSource({
    "4, 60, false",
    "4, 20, true",
    "5, 11.5, true",
    "6, 10, false",
    "1, 11, false",
    "3, 10000, false",
    "5, 10000, false"
  })
  void sizesFarSlowerThanTheirNeighborsAreDoubted(int place, double rate, boolean doubted) {
    double[] peerJoin = PEER_JOIN.clone();
    peerJoin[place] = rate;
    Fabric fabric = fabric(70, 90, 450, rates(JOIN), rates(peerJoin));
    assertThat(LinkDoubts.of(fabric, 2, true).isPresent()).isEqualTo(doubted);
  }

  /// What a first fit had kept once, reads of 32 KiB to 32 MiB, chose an exchange of 16 KiB that
  /// takes five times as long as the best.
  @ParameterizedTest(name = "GB/s={0}, {1}, {2}, {3}")
  @CsvSource({
    "2.6, 7.4, 14.6, 53.3, true",
    "40, 7.4, 30, 100, true",
    "10, 30, 53, 53.3, false",
    "60, 50, 40, 30, false"
  })
  void shortSizesAreNotATenthAsFastAsLongerOnes(
      double first, double second, double third, double fourth, boolean doubted) {
    double[] peerJoin = PEER_JOIN.clone();
    peerJoin[1] = first;
    peerJoin[2] = second;
    peerJoin[3] = third;
    peerJoin[4] = fourth;
    Fabric fabric = fabric(70, 90, 450, rates(JOIN), rates(peerJoin));
    assertThat(LinkDoubts.of(fabric, 2, true).isPresent()).isEqualTo(doubted);
  }

  /// Where ranks share cores turns on them hide how long a read takes.
  @ParameterizedTest(name = "read={0} GB/s, joinPeer={1} GB/s")
  @CsvSource({"10000, 11, false", "150, 11, false", "60, 25, false", "60, 15, true"})
  void joinsAreComparedWithReadsThatWereSeen(double read, double peerJoin, boolean doubted) {
    Fabric fabric = fabric(3_500, 4_000, 29_000, rates(JOIN), flat(read), flat(peerJoin));
    assertThat(LinkDoubts.of(fabric, 5, false).isPresent()).isEqualTo(doubted);
  }

  @ParameterizedTest(name = "join={0} GB/s, joinPeer={1} GB/s, ranks={2}")
  @CsvSource({
    "0, 0, 2, false",
    "9, 0, 2, true",
    "9, 0, 5, true",
    "0, 9, 2, true",
    "60, 0, 2, true"
  })
  void joinsThatWereNotCompiledAreDoubted(
      double join, double peerJoin, int ranks, boolean doubted) {
    Fabric fabric =
        fabric(
            70,
            90,
            450,
            join == 0 ? rates(JOIN) : flat(join),
            peerJoin == 0 ? rates(PEER_JOIN) : flat(peerJoin));
    assertThat(LinkDoubts.of(fabric, ranks, ranks <= CORES).isPresent()).isEqualTo(doubted);
  }
}
