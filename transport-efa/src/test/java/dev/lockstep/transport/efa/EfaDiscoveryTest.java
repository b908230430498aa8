package dev.lockstep.transport.efa;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.transport.efa.EfaStandIn.Card;
import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.lang.foreign.Arena;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// Which of EFA's networks is taken, of those that a version of libfabric lists for a card.
@SuppressWarnings("MustBeClosedChecker") // the arena is closed after each test
final class EfaDiscoveryTest {
  private static final int V1_17 = 1 << 16 | 17;
  private static final int V2_6 = 2 << 16 | 6;
  private static final Card DIRECT = Card.of("rdmap0s6-rdm", "efa-direct", 0).asking(Fi.CONTEXT2);
  private static final Card PLAIN = Card.of("rdmap0s6-rdm", "efa", 0);

  private Arena arena;
  private Libfabric library;

  @BeforeEach
  void open() throws Discovery.AbsentException {
    LibfabricJudge.require(new OfiTcpProvider());
    arena = Arena.ofConfined();
    try (Discovery found = Discovery.of(FabricKind.TCP, "127.0.0.1")) {
      library = found.library();
    }
  }

  @AfterEach
  void close() {
    if (arena != null) {
      arena.close();
    }
  }

  private EfaStandIn standIn(int version, Card... cards) {
    return new EfaStandIn(library, arena, version, List.of(cards));
  }

  private static Discovery ask(EfaStandIn library) throws Discovery.AbsentException {
    return Discovery.ask(library, "libfabric.so.1", FabricKind.EFA, "127.0.0.1");
  }

  @Test
  void theDeviceAloneIsTakenWhereItIsFound() throws Discovery.AbsentException {
    EfaStandIn library = standIn(V2_6, DIRECT, PLAIN);
    try (Discovery found = ask(library)) {
      assertThat(found.domains()).singleElement().matches(FabricInfo::isDirect);
      assertThat(found.domains().getFirst().carriesChecksums()).isFalse();
      assertThat(found.describe()).contains("libfabric 2.6, provider efa, fabric efa-direct");
    }
    assertThat(library.freed).isEqualTo(1);
  }

  @Test
  void memoryOfAcceleratorsCountsMoreThanTheDeviceAlone() throws Discovery.AbsentException {
    Card reaching = Card.of("rdmap0s6-rdm", "efa", Fi.HMEM);
    try (Discovery found = ask(standIn(V2_6, DIRECT, reaching))) {
      assertThat(found.domains()).singleElement().matches(FabricInfo::knowsDeviceMemory);
      assertThat(found.domains().getFirst().isDirect()).isFalse();
    }
    Card both = Card.of("rdmap0s6-rdm", "efa-direct", Fi.HMEM);
    try (Discovery found = ask(standIn(V2_6, both, reaching))) {
      assertThat(found.domains()).singleElement().matches(FabricInfo::knowsDeviceMemory);
      assertThat(found.domains().getFirst().isDirect()).isTrue();
    }
  }

  @Test
  void deviceWhoseWritesConsumeReceivesIsUsedThroughTheProvidersProtocols()
      throws Discovery.AbsentException {
    EfaStandIn library = standIn(V2_6, DIRECT.asking(Fi.RX_CQ_DATA), PLAIN);
    try (Discovery found = ask(library)) {
      assertThat(found.domains()).singleElement().matches(FabricInfo::isUsable);
      assertThat(found.domains().getFirst().isDirect()).isFalse();
    }
    assertThat(library.freed).as("lists of libfabric's").isEqualTo(2);
  }

  @Test
  void cardsOfOneNetworkMakeOneTransport() throws Discovery.AbsentException {
    Card second = Card.of("rdmap1s6-rdm", "efa-direct", 0);
    try (Discovery found = ask(standIn(V2_6, DIRECT, PLAIN, second))) {
      assertThat(found.domains())
          .extracting(FabricInfo::domain)
          .containsExactly("rdmap0s6-rdm", "rdmap1s6-rdm");
      assertThat(found.domains()).allMatch(FabricInfo::isDirect);
    }
  }

  @Test
  void olderLibraryIsAskedForTheInterfaceThatItHas() throws Discovery.AbsentException {
    EfaStandIn old = standIn(V1_17, PLAIN);
    try (Discovery found = ask(old)) {
      assertThat(found.domains().getFirst().takesDmabufs()).isFalse();
    }
    assertThat(old.asked).containsOnly(Fi.API_VERSION);
    EfaStandIn later = standIn(V2_6, Card.of("rdmap0s6-rdm", "efa", Fi.HMEM));
    try (Discovery found = ask(later)) {
      assertThat(found.domains().getFirst().takesDmabufs()).isTrue();
    }
    assertThat(later.asked).containsOnly(Fi.DMABUF_VERSION);
  }

  @Test
  void noCardIsASentenceThatNamesWhatToInstall() {
    assertThatThrownBy(() -> ask(standIn(V2_6)))
        .isInstanceOf(Discovery.AbsentException.class)
        .hasMessageContaining("provider=efa, file=libfabric.so.1, version=2.6")
        .hasMessageContaining("install Amazon's EFA installer");
  }
}
