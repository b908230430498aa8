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
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntUnaryOperator;
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

  /// Real packets that come twice, late and out of order under `udp;ofi_rxd`. None is lost here,
  /// where a relay stands between: [LostPacketsTest] loses them.
  @ParameterizedTest(name = "doubles {0} %, delays {1} % by up to {2} us")
  @CsvSource({"20, 50, 300", "5, 20, 1000"})
  @Tag("long")
  void packetsMayComeTwiceAndLate(int doubles, int delays, int micros) {
    FabricProvider provider = new OfiUdpProvider();
    LibfabricJudge.require(provider);
    PacketRelay.Weather weather = new PacketRelay.Weather(0, doubles, delays, micros);
    exchangeThrough(
        provider,
        new RelayedNetwork(
            (target, seed) -> new PacketRelay(target, weather, seed), BadNetworkTest::withPorts));
  }

  /// Real streams that come in pieces of any length and late under `tcp;ofi_rxm`.
  @Test
  void streamsMayComeInPiecesAndLate() {
    FabricProvider provider = new OfiTcpProvider();
    LibfabricJudge.require(provider);
    StreamRelay.Weather weather = new StreamRelay.Weather(20_000, 10, 300);
    exchangeThrough(
        provider,
        new RelayedNetwork(
            (target, seed) -> new StreamRelay(target, weather, seed), BadNetworkTest::withPorts));
  }

  private void exchangeThrough(FabricProvider provider, RelayedNetwork relays) {
    List<Transport> transports = new ArrayList<>();
    for (TransportContext context : TransportHarness.contexts(2, directory)) {
      transports.add(provider.open(relays.through(context)));
    }
    try (relays;
        TransportHarness ranks = new TransportHarness(transports)) {
      ranks.exchange(MESSAGES, LONGEST);
      assertThat(relays.interferences()).isPositive();
    }
  }

  private static byte[] withPorts(byte[] published, IntUnaryOperator port) {
    LinkAddress address = LinkAddress.decode(published, "address");
    List<byte[]> names = address.names().stream().map(name -> withPort(name, port)).toList();
    return new LinkAddress(address.link(), address.eagerBytes(), address.direct(), names).encoded();
  }

  /// A name is a `sockaddr_in`, its port in bytes 2 and 3, big-endian.
  private static byte[] withPort(byte[] name, IntUnaryOperator port) {
    ByteBuffer changed = ByteBuffer.wrap(name.clone());
    int behind = Short.toUnsignedInt(changed.getShort(2));
    return changed.putShort(2, (short) port.applyAsInt(behind)).array();
  }
}
