package dev.lockstep.collective.plan;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.algorithm.RingAllGather;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Level;
import dev.lockstep.collective.simulate.PeerRates;
import dev.lockstep.collective.simulate.Rates;
import dev.lockstep.collective.simulate.Simulator;
import dev.lockstep.tensor.DType;
import java.util.List;
import org.junit.jupiter.api.Test;

class LinkTableTest {
  private static final Fabric NEAR = LinkTable.typical("shm", true).fabric();
  private static final LinkTable ALIKE = LinkTable.typical("aeron-udp", false);
  private static final LinkTable BOTH = ALIKE.withNear(NEAR);

  @Test
  void textIsReadAsItWasWritten() {
    assertThat(LinkTable.decode(ALIKE.encode())).isEqualTo(ALIKE);
    assertThat(LinkTable.decode(BOTH.encode())).isEqualTo(BOTH);
    assertThat(BOTH).isNotEqualTo(ALIKE);
  }

  @Test
  void ranksOfOneHostHaveItsLinks() {
    Fabric fabric = BOTH.fabric(Topology.oneNode(4, true), true);
    assertThat(fabric.levels()).isEqualTo(NEAR.levels());
  }

  @Test
  void ranksOfOneHostThatDoNotSeeEachOthersMemoryHaveMessagesAlone() {
    Level links = BOTH.fabric(Topology.oneNode(4, false), true).levels().getFirst();
    assertThat(links.ranks()).isEqualTo(Level.ALL);
    assertThat(links.shortBytes()).isZero();
    assertThat(links.signalNanos()).isEqualTo(NEAR.levels().getFirst().messageNanos());
  }

  @Test
  void ranksOfSeveralHostsHaveBothLevelsWithoutMailboxes() {
    Fabric fabric = BOTH.fabric(new Topology(8, List.of(4), false), false);
    assertThat(fabric.levels()).hasSize(2);
    Level within = fabric.levels().getFirst();
    assertThat(within.ranks()).isEqualTo(4);
    assertThat(within.shortBytes()).isZero();
    assertThat(within.messageNanos()).isEqualTo(NEAR.levels().getFirst().messageNanos());
    assertThat(fabric.levels().getLast()).isEqualTo(ALIKE.fabric().levels().getFirst());
    assertThat(fabric.level(0, 3)).isZero();
    assertThat(fabric.level(3, 4)).isEqualTo(1);
  }

  @Test
  void oneRankOfEachHostHasTheLinksBetweenThem() {
    assertThat(BOTH.fabric(Topology.oneNode(2, false), false)).isEqualTo(ALIKE.fabric());
  }

  /// A host's caches are those of its ranks, whether or not these share a cable.
  @Test
  void ratesAreThoseOfWhatAHostsRanksTouch() {
    Topology hosts = new Topology(8, List.of(4), false);
    CollectiveRequest request =
        CollectiveRequest.allGather(DType.F32, Counts.each(8, 1 << 15), true, hosts);
    Rates falling =
        new Rates(List.of(new Rates.Point(4 << 20, 8e9), new Rates.Point(8 << 20, 1e9)));
    double[] nanos = new double[2];
    for (int i = 0; i < 2; i++) {
      double uplink = i * 1e15;
      Level links =
          new Level("wire", Level.ALL, 5e3, 0, 5e3, 5e3, falling, PeerRates.of(falling), uplink);
      LinkTable table = LinkTable.stated(new Fabric("wire", NEAR.compute(), List.of(links)));
      nanos[i] =
          Simulator.run(new RingAllGather().schedule(request), table.fabric(hosts, false)).nanos();
    }
    assertThat(nanos[0]).isEqualTo(nanos[1]);
  }

  @Test
  void aCableThatRanksShareMakesALevelOfTheirHostThoughTheWireJoinsThemToo() {
    LinkTable shared = LinkTable.stated(fabric(3e9));
    Fabric fabric = shared.fabric(new Topology(8, List.of(4), false), false);
    assertThat(fabric.levels()).hasSize(2);
    assertThat(fabric.levels().getFirst()).isEqualTo(Level.of("wire", 4, 5_000, 2e9));
    assertThat(fabric.levels().getLast().uplinkBytesPerSecond()).isEqualTo(3e9);
    assertThat(LinkTable.decode(shared.encode())).isEqualTo(shared);
  }

  @Test
  void ranksOfOneHostAloneShareNoCable() {
    LinkTable shared = LinkTable.stated(fabric(3e9));
    Fabric fabric = shared.fabric(new Topology(4, List.of(), false), true);
    assertThat(fabric.levels()).containsExactly(Level.of("wire", Level.ALL, 5_000, 2e9));
  }

  private static Fabric fabric(double cable) {
    return new Fabric(
        "wire", NEAR.compute(), List.of(Level.shared("wire", Level.ALL, 5_000, 2e9, cable)));
  }
}
