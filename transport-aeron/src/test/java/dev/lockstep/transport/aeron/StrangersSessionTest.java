package dev.lockstep.transport.aeron;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.transport.RelayedNetwork;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import io.aeron.protocol.HeaderFlyweight;
import io.aeron.protocol.SetupFlyweight;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.DatagramChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Whoever does not know a link's session makes its receiver take no memory.
@Timeout(60)
class StrangersSessionTest {
  @TempDir private Path directory;

  @Test
  void anotherSessionOnTheLinksPortMakesNoLog() throws IOException {
    List<TransportContext> contexts = TransportHarness.contexts(2, directory);
    // Before the sender can know of the port: the stranger's packet is the first that arrives.
    TransportContext attacked =
        new RelayedNetwork(
                (target, seed) -> {
                  throw new AssertionError("nothing is relayed");
                })
            .through(contexts.get(1), (address, port) -> announceAnotherSession(address));
    Transport sender = new AeronUdpProvider().open(contexts.get(0));
    Transport receiver = new AeronUdpProvider().open(attacked);
    try (TransportHarness ranks = new TransportHarness(List.of(sender, receiver))) {
      ranks.deliver(ranks.link(0, 1, 1), 1, 0, 1000);

      try (Stream<Path> files = Files.walk(directory)) {
        assertThat(files.filter(file -> file.toString().contains("/images/"))).hasSize(1);
      }
    }
  }

  /// Announces a log to the port of a published address, which it returns as it is.
  private static byte[] announceAnotherSession(byte[] published) {
    String[] address = new String(published, StandardCharsets.US_ASCII).split(" ", 5);
    if (address.length < 5) {
      return published;
    }
    int session = Integer.parseInt(address[1]);
    int port = Integer.parseInt(address[4].substring(address[4].lastIndexOf(':') + 1));
    ByteBuffer packet = ByteBuffer.allocateDirect(SetupFlyweight.HEADER_LENGTH);
    SetupFlyweight setup = new SetupFlyweight(packet);
    setup
        .sessionId(session + 2) // neither of the link's two
        .streamId(Integer.parseInt(address[0]))
        .initialTermId(1)
        .activeTermId(1)
        .termOffset(0)
        .termLength(1 << 20)
        .mtuLength(1408)
        .version(HeaderFlyweight.CURRENT_VERSION)
        .headerType(HeaderFlyweight.HDR_TYPE_SETUP)
        .frameLength(SetupFlyweight.HEADER_LENGTH);
    try (DatagramChannel channel = DatagramChannel.open()) {
      assertThat(
              channel.send(packet, new InetSocketAddress(InetAddress.getLoopbackAddress(), port)))
          .isEqualTo(SetupFlyweight.HEADER_LENGTH);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return published;
  }
}
