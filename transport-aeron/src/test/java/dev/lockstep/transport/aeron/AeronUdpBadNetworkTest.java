package dev.lockstep.transport.aeron;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.memory.Registration;
import dev.lockstep.transport.AddressBook;
import dev.lockstep.transport.PacketRelay;
import dev.lockstep.transport.PacketRelay.Weather;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Real packets that are lost, doubled, late and out of order: every message arrives once, whole
/// and in order.
@Timeout(120)
final class AeronUdpBadNetworkTest {
  private static final int MESSAGES = 60;

  @TempDir private Path directory;

  @ParameterizedTest(name = "drops {0} %, doubles {1} %, delays {2} % by up to {3} us")
  @CsvSource({"3, 0, 0, 0", "0, 20, 50, 300", "2, 5, 20, 1000"})
  void everyMessageArrivesOnceWholeAndInOrder(int drops, int doubles, int delays, int micros)
      throws IOException {
    Weather weather = new Weather(drops, doubles, delays, micros);
    List<PacketRelay> relays = new ArrayList<>();
    List<Transport> transports = new ArrayList<>();
    for (TransportContext context : TransportHarness.contexts(2, directory)) {
      transports.add(new AeronUdpProvider().open(throughRelays(context, weather, relays)));
    }
    try (TransportHarness ranks = new TransportHarness(transports)) {
      Pair there = ranks.link(0, 1, 1);
      Pair back = ranks.link(1, 0, 1);
      SplittableRandom random = new SplittableRandom(7);
      for (int i = 0; i < MESSAGES; i++) {
        Pair link = i % 2 == 0 ? there : back;
        int bytes = random.nextInt(60_000);
        Registration source = ranks.random(0, bytes, i);
        Registration target = ranks.zeros(0, bytes);
        Transfer sending = TransportHarness.send(source, 1, i);
        Transfer receiving = TransportHarness.receive(target, 1, i);
        ranks.post(link.receiver(), receiving);
        ranks.post(link.sender(), sending);
        ranks.await(sending, receiving);
        assertThat(target.segment().mismatch(source.segment())).isEqualTo(-1);
      }
      if (drops > 0) {
        assertThat(relays.stream().mapToLong(PacketRelay::dropped).sum()).isPositive();
      }
    } finally {
      relays.forEach(PacketRelay::close);
    }
  }

  /// What a rank publishes as its address is a relay to it.
  private static TransportContext throughRelays(
      TransportContext context, Weather weather, List<PacketRelay> relays) {
    AddressBook real = context.addresses();
    AddressBook relayed =
        new AddressBook() {
          @Override
          public void publish(String key, byte[] value) {
            real.publish(key, relay(key, new String(value, StandardCharsets.UTF_8)));
          }

          private byte[] relay(String key, String address) {
            int port = address.lastIndexOf(':');
            if (!address.contains("endpoint=") || port < 0) {
              return address.getBytes(StandardCharsets.UTF_8);
            }
            try {
              int behind = Integer.parseInt(address.substring(port + 1));
              PacketRelay relay =
                  new PacketRelay(
                      new InetSocketAddress(InetAddress.getLoopbackAddress(), behind),
                      weather,
                      key.hashCode());
              synchronized (relays) {
                relays.add(relay);
              }
              return (address.substring(0, port + 1) + relay.port())
                  .getBytes(StandardCharsets.UTF_8);
            } catch (IOException failure) {
              throw new UncheckedIOException(failure);
            }
          }

          @Override
          public byte[] lookup(String key, Duration timeout) {
            return real.lookup(key, timeout);
          }
        };
    return new TransportContext(
        context.jobId(),
        context.rank(),
        context.hosts(),
        context.bindAddress(),
        context.directory(),
        context.localLeader(),
        relayed,
        context.memory(),
        context.liveness());
  }
}
