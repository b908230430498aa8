package dev.lockstep.collective.plan;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Level;
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
    assertThat(ALIKE.fabric(new Topology(8, List.of(4), false), false)).isEqualTo(ALIKE.fabric());
  }
}
