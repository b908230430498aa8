package dev.lockstep.transport.efa;

import static dev.lockstep.transport.efa.Discovery.set;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Layouts;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// Which of EFA's networks is taken, of those that a version of libfabric lists for a card.
@SuppressWarnings("MustBeClosedChecker") // the arena is closed after each test
final class EfaDiscoveryTest {
  private static final int V1_17 = 1 << 16 | 17;
  private static final int V2_6 = 2 << 16 | 6;
  private static final EfaCard DIRECT = EfaCard.of("rdmap0s6-rdm", "efa-direct");
  private static final EfaCard PLAIN = EfaCard.of("rdmap0s6-rdm", "efa");

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

  private EfaStandIn standIn(int version, EfaCard... cards) {
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
    EfaCard reaching = PLAIN.reachingAccelerators();
    try (Discovery found = ask(standIn(V2_6, DIRECT, reaching))) {
      assertThat(found.domains()).singleElement().matches(FabricInfo::knowsDeviceMemory);
      assertThat(found.domains().getFirst().isDirect()).isFalse();
    }
    EfaCard both = DIRECT.reachingAccelerators();
    try (Discovery found = ask(standIn(V2_6, both, reaching))) {
      assertThat(found.domains()).singleElement().matches(FabricInfo::knowsDeviceMemory);
      assertThat(found.domains().getFirst().isDirect()).isTrue();
    }
  }

  @Test
  void deviceWhoseWritesConsumeReceivesIsUsedThroughTheProvidersProtocols()
      throws Discovery.AbsentException {
    EfaStandIn library = standIn(V2_6, DIRECT.consumingReceives(), PLAIN);
    try (Discovery found = ask(library)) {
      assertThat(found.domains()).singleElement().matches(FabricInfo::isUsable);
      assertThat(found.domains().getFirst().isDirect()).isFalse();
    }
    assertThat(library.freed).as("lists of libfabric's").isEqualTo(1);
  }

  @Test
  void cardsOfOneNetworkMakeOneTransport() throws Discovery.AbsentException {
    EfaCard second = EfaCard.of("rdmap1s6-rdm", "efa-direct");
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
    EfaStandIn later = standIn(V2_6, PLAIN.reachingAccelerators());
    try (Discovery found = ask(later)) {
      assertThat(found.domains().getFirst().takesDmabufs()).isTrue();
    }
    assertThat(later.asked).containsOnly(Fi.DMABUF_VERSION);
  }

  /// Where hosts have accelerators and others none, what is best for each is not one network.
  @Test
  void theNetworkThatIsNamedIsTakenAlone() throws Discovery.AbsentException {
    EfaCard reaching = DIRECT.reachingAccelerators();
    EfaStandIn library = standIn(V2_6, reaching, PLAIN);
    try (Discovery found =
        Discovery.ask(library, "libfabric.so.1", FabricKind.EFA, "127.0.0.1", "efa")) {
      assertThat(found.domains()).singleElement().matches(info -> !info.isDirect());
    }
    assertThatThrownBy(
            () ->
                Discovery.ask(standIn(V2_6, PLAIN), "a", FabricKind.EFA, "127.0.0.1", "efa-direct"))
        .isInstanceOf(Discovery.AbsentException.class)
        .hasMessage(
            "EFA's network is not here: LOCKSTEP_EFA_FABRIC=efa-direct, found=efa (name what is"
                + " found, on all hosts, or unset it)");
    assertThatThrownBy(
            () -> Discovery.ask(standIn(V2_6), "a", FabricKind.EFA, "127.0.0.1", "efa-direct"))
        .as("of a host without a card")
        .hasMessageContaining("libfabric has no such provider here: provider=efa");
    assertThatThrownBy(() -> Discovery.ask(library, "a", FabricKind.EFA, "127.0.0.1", "infiniband"))
        .hasMessage("EFA has no such network: LOCKSTEP_EFA_FABRIC=infiniband (efa or efa-direct)");
    assertThatThrownBy(() -> Discovery.ask(library, "a", FabricKind.TCP, "127.0.0.1", "infiniband"))
        .as("of a provider that is not EFA's, and is not here")
        .hasMessageContaining("provider=tcp");
  }

  /// The completion queue of the device alone is overrun in silence, whatever it says.
  @Test
  void theDeviceAloneIsNotTrustedWithItsCompletions() throws Discovery.AbsentException {
    try (Discovery found = ask(standIn(V2_6, DIRECT))) {
      FabricInfo info = found.domains().getFirst();
      assertThat(info.guardsQueues()).isTrue();
      assertThat(info.guardsCompletions()).isFalse();
    }
    try (Discovery found = ask(standIn(V2_6, PLAIN))) {
      assertThat(found.domains().getFirst().guardsCompletions()).isFalse();
    }
  }

  /// Something else that one may ask for than links do, and the network that is left then.
  ///
  /// @param part of the hints, empty for themselves
  private record Otherwise(
      String asked, String left, String part, Consumer<MemorySegment> change) {}

  private static List<Otherwise> otherwise() {
    StructLayout domain = Layouts.DOMAIN_ATTR;
    return List.of(
        new Otherwise("no contexts", "efa", "", hints -> set(hints, Layouts.INFO, "mode", 0L)),
        new Otherwise(
            "tags", "efa", "", hints -> set(hints, Layouts.INFO, "caps", Fi.MSG | Fi.RMA | 8L)),
        new Otherwise(
            "order", "efa", "tx_attr", tx -> set(tx, Layouts.TX_ATTR, "msg_order", 1L << 8)),
        new Otherwise(
            "no descriptors",
            "efa",
            "domain_attr",
            of -> set(of, domain, "mr_mode", Fi.MR_VIRT_ADDR | Fi.MR_ALLOCATED | Fi.MR_PROV_KEY)),
        new Otherwise(
            "keys of one's own",
            "",
            "domain_attr",
            of -> set(of, domain, "mr_mode", Fi.MR_VIRT_ADDR | Fi.MR_ALLOCATED | Fi.MR_LOCAL)),
        new Otherwise(
            "data of 8 bytes", "", "domain_attr", of -> set(of, domain, "cq_data_size", 8L)),
        new Otherwise(
            "progress by itself",
            "efa-direct",
            "domain_attr",
            of -> set(of, domain, "data_progress", 1)),
        new Otherwise(
            "longer queues", "", "tx_attr", tx -> set(tx, Layouts.TX_ATTR, "size", 8192L)));
  }

  /// The stand-in gives nothing away: each of what links ask for is needed.
  @Test
  void whoAsksOtherwiseGetsWhatIsLeft() {
    for (Otherwise other : otherwise()) {
      var cards =
          new EfaStandIn(library, arena, V2_6, List.of(DIRECT, PLAIN)) {
            @Override
            public int getinfo(
                int api,
                MemorySegment node,
                MemorySegment service,
                long flags,
                MemorySegment hints,
                MemorySegment info) {
              other
                  .change()
                  .accept(
                      other.part().isEmpty()
                          ? hints
                          : memory(
                              FabricInfo.word(hints, Layouts.INFO, other.part()),
                              Layouts.OVERSIZE));
              return super.getinfo(api, node, service, flags, hints, info);
            }
          };
      String left = "";
      try (Discovery found = ask(cards)) {
        left = found.domains().getFirst().fabric();
      } catch (Discovery.AbsentException none) {
        assertThat(none).hasMessageContaining("fi_getinfo=-61");
      }
      assertThat(left).as(other.asked()).isEqualTo(other.left());
    }
  }

  @Test
  void noCardIsASentenceThatNamesWhatToInstall() {
    assertThatThrownBy(() -> ask(standIn(V2_6)))
        .isInstanceOf(Discovery.AbsentException.class)
        .hasMessageContaining("provider=efa, file=libfabric.so.1, version=2.6")
        .hasMessageContaining("install Amazon's EFA installer");
  }
}
