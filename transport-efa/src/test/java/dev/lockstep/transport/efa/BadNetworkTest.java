package dev.lockstep.transport.efa;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.memory.Registration;
import dev.lockstep.transport.AddressBook;
import dev.lockstep.transport.Faults;
import dev.lockstep.transport.FaultyTransport;
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
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
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
      exchange(ranks);
    }
  }

  /// Real packets that come twice, late and out of order under `udp;ofi_rxd`. None is lost: where
  /// one of a hundred is, `ofi_rxd` of libfabric 1.17 stands still for minutes.
  @ParameterizedTest(name = "doubles {0} %, delays {1} % by up to {2} us")
  @CsvSource({"20, 50, 300", "5, 20, 1000"})
  @Tag("long")
  void packetsMayComeTwiceAndLate(int doubles, int delays, int micros) {
    FabricProvider provider = new OfiUdpProvider();
    LibfabricJudge.require(provider);
    Weather weather = new Weather(0, doubles, delays, micros);
    List<PacketRelay> relays = new ArrayList<>();
    List<Transport> transports = new ArrayList<>();
    for (TransportContext context : TransportHarness.contexts(2, directory)) {
      transports.add(provider.open(throughRelays(context, weather, relays)));
    }
    try (TransportHarness ranks = new TransportHarness(transports)) {
      exchange(ranks);
      assertThat(relays).isNotEmpty();
    } finally {
      relays.forEach(PacketRelay::close);
    }
  }

  private static void exchange(TransportHarness ranks) {
    Pair there = ranks.link(0, 1, 1);
    Pair back = ranks.link(1, 0, 1);
    SplittableRandom random = new SplittableRandom(7);
    for (int i = 0; i < MESSAGES; i++) {
      Pair link = i % 2 == 0 ? there : back;
      int bytes = random.nextInt(random.nextInt(LONGEST) + 1);
      Registration source = ranks.random(0, bytes, i);
      Registration target = ranks.zeros(0, bytes);
      Transfer sending = TransportHarness.send(source, 1, i);
      Transfer receiving = TransportHarness.receive(target, 1, i);
      ranks.post(link.receiver(), receiving);
      ranks.post(link.sender(), sending);
      ranks.until(
          () -> {
            int _ = link.sender().poll() + link.receiver().poll();
            return sending.state() != Transfer.State.POSTED
                && receiving.state() != Transfer.State.POSTED;
          });
      ranks.await(sending, receiving);
      assertThat(target.segment().mismatch(source.segment())).as("message %d", i).isEqualTo(-1);
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
            LinkAddress address = LinkAddress.decode(value, key);
            List<byte[]> names = address.names().stream().map(this::relay).toList();
            real.publish(
                key, new LinkAddress(address.link(), address.eagerBytes(), names).encoded());
          }

          // A name is a `sockaddr_in`, its port in bytes 2 and 3, big-endian.
          private byte[] relay(byte[] name) {
            ByteBuffer changed = ByteBuffer.wrap(name.clone());
            int behind = Short.toUnsignedInt(changed.getShort(2));
            try {
              PacketRelay relay =
                  new PacketRelay(
                      new InetSocketAddress(InetAddress.getLoopbackAddress(), behind),
                      weather,
                      behind);
              synchronized (relays) {
                relays.add(relay);
              }
              return changed.putShort(2, (short) relay.port()).array();
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
