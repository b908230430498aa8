package dev.lockstep.transport.aeron;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.TransportException;
import dev.lockstep.transport.PacketRelay;
import dev.lockstep.transport.RelayedNetwork;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntUnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Real packets that are lost, doubled, late and out of order: every message arrives once, whole
/// and in order. Of a packet that is damaged nothing arrives.
@Timeout(120)
final class AeronUdpBadNetworkTest {
  // Some hundred packets of 64 KiB, or twice as many: one in fifty meets some weather.
  private static final int MESSAGES = 600;
  private static final int LONGEST = 60_000;

  @TempDir private Path directory;

  @ParameterizedTest(name = "drops {0} %, doubles {1} %, delays {2} % by up to {3} us")
  @CsvSource({"3, 0, 0, 0", "0, 20, 50, 300", "2, 5, 20, 1000"})
  void everyMessageArrivesOnceWholeAndInOrder(int drops, int doubles, int delays, int micros) {
    PacketRelay.Weather weather = new PacketRelay.Weather(drops, doubles, delays, micros);
    try (RelayedNetwork relays = network(weather);
        TransportHarness ranks = through(relays)) {
      ranks.exchange(MESSAGES, LONGEST);
      assertThat(relays.interferences()).isPositive();
    }
  }

  @Test
  void aDamagedFrameBreaksTheLinkAndIsNoPartOfAMessage() {
    PacketRelay.Weather weather = new PacketRelay.Weather(0, 0, 0, 0, 2);
    try (RelayedNetwork relays = network(weather);
        TransportHarness ranks = through(relays)) {
      // Fails without a cause where a message has arrived that is not what was sent.
      assertThatThrownBy(() -> ranks.exchange(10 * MESSAGES, LONGEST))
          .cause()
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("frame arrived damaged");
      assertThat(relays.interferences()).isPositive();
    }
  }

  private static RelayedNetwork network(PacketRelay.Weather weather) {
    return new RelayedNetwork((target, seed) -> new PacketRelay(target, weather, seed));
  }

  private TransportHarness through(RelayedNetwork relays) {
    List<Transport> transports = new ArrayList<>();
    for (TransportContext context : TransportHarness.contexts(2, directory)) {
      transports.add(
          new AeronUdpProvider().open(relays.through(context, AeronUdpBadNetworkTest::withPort)));
    }
    return new TransportHarness(transports);
  }

  /// What a rank publishes is an Aeron channel, or a word that has no port.
  private static byte[] withPort(byte[] published, IntUnaryOperator port) {
    String address = new String(published, StandardCharsets.UTF_8);
    int colon = address.lastIndexOf(':');
    if (!address.contains("endpoint=") || colon < 0) {
      return published;
    }
    int behind = Integer.parseInt(address.substring(colon + 1));
    String relayed = address.substring(0, colon + 1) + port.applyAsInt(behind);
    return relayed.getBytes(StandardCharsets.UTF_8);
  }
}
