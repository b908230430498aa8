package dev.lockstep.transport.efa;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.transport.Faults;
import dev.lockstep.transport.FaultyTransport;
import dev.lockstep.transport.PacketRelay;
import dev.lockstep.transport.RelayedNetwork;
import dev.lockstep.transport.StreamRelay;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/// Every message arrives once, whole and in order, whatever the wire under the links does.
@Timeout(120)
final class BadNetworkTest {
  private static final int MESSAGES = 60;
  private static final int LONGEST = 150_000;

  @TempDir private Path directory;

  private static List<FabricProvider> providers() {
    return List.of(new OfiTcpProvider(), new OfiShmProvider(), new OfiUdpProvider());
  }

  /// Links that stand still, take nothing, and move messages in pieces.
  @ParameterizedTest(name = "{0}")
  @MethodSource("providers")
  void unsteadyLinksLoseNothing(FabricProvider provider) {
    LibfabricJudge.require(provider);
    List<Transport> transports = new ArrayList<>();
    for (TransportContext context : TransportHarness.contexts(2, directory)) {
      transports.add(
          new FaultyTransport(
              provider.open(context),
              provider.name(),
              Faults.unsteady(3),
              context.rank(),
              List::of));
    }
    try (TransportHarness ranks = new TransportHarness(transports)) {
      ranks.exchange(MESSAGES, LONGEST);
    }
  }

  /// Real packets that are lost, come twice, late and out of order under `udp;ofi_rxd`.
  ///
  /// Its acknowledgements go past the relay, to the socket that its own greeting names. It lets an
  /// older one take the place of a newer, and where they are lost as well it may give a segment up:
  /// [LostPacketsTest] loses them.
  @ParameterizedTest(name = "loses {0} %, doubles {1} %, delays {2} % by up to {3} us")
  @CsvSource({"0, 20, 50, 300", "2, 20, 50, 300", "3, 5, 20, 1000"})
  @Tag("long")
  void packetsMayGetLostAndComeTwiceAndLate(int loses, int doubles, int delays, int micros) {
    FabricProvider provider = new OfiUdpProvider();
    LibfabricJudge.require(provider);
    PacketRelay.Weather weather = new PacketRelay.Weather(loses, doubles, delays, micros);
    exchangeThrough(
        provider,
        new RelayedNetwork((target, seed) -> new PacketRelay(target, weather, seed)),
        1000);
  }

  /// Real streams that come in pieces of any length and late under `tcp;ofi_rxm`.
  @Test
  void streamsMayComeInPiecesAndLate() {
    FabricProvider provider = new OfiTcpProvider();
    LibfabricJudge.require(provider);
    StreamRelay.Weather weather = new StreamRelay.Weather(20_000, 10, 300);
    exchangeThrough(
        provider, new RelayedNetwork((target, seed) -> new StreamRelay(target, weather, seed)), 1);
  }

  /// @param least how much bad luck there has to be
  private void exchangeThrough(FabricProvider provider, RelayedNetwork relays, long least) {
    List<Transport> transports = new ArrayList<>();
    for (TransportContext context : TransportHarness.contexts(2, directory)) {
      transports.add(
          provider.open(
              context, FabricOptions.defaults(), library -> new RelayedLibfabric(library, relays)));
    }
    try (relays;
        TransportHarness ranks = new TransportHarness(transports)) {
      ranks.exchange(MESSAGES, LONGEST);
      assertThat(relays.interferences()).isGreaterThanOrEqualTo(least);
    }
  }
}
