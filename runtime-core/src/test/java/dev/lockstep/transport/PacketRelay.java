package dev.lockstep.transport;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.DatagramChannel;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/// A bad network: takes UDP packets on a port of its own and passes them on to a target and back,
/// and on the way drops, doubles and delays them, so that they overtake each other, and damages
/// them. One thread.
public final class PacketRelay implements Relay {
  /// What happens to packets.
  ///
  /// @param dropsPercent how many of a hundred are lost
  /// @param doublesPercent how many of a hundred come twice
  /// @param delaysPercent how many of a hundred are delayed
  /// @param delayMicros the longest delay
  /// @param damagesPercent how many of a hundred have a bit turned that no checksum of the network
  ///   sees; short ones, which carry no data, have none
  public record Weather(
      int dropsPercent,
      int doublesPercent,
      int delaysPercent,
      int delayMicros,
      int damagesPercent) {
    /// Weather that damages nothing.
    public Weather(int dropsPercent, int doublesPercent, int delaysPercent, int delayMicros) {
      this(dropsPercent, doublesPercent, delaysPercent, delayMicros, 0);
    }
  }

  /// A packet on its way.
  private record Packet(DatagramChannel by, SocketAddress to, ByteBuffer bytes) {}

  private static final long LONGEST_WAIT_NANOS = 1_000_000_000;

  /// Packets that are longer carry data in their second half.
  private static final int SHORT_BYTES = 256;

  private final Selector selector;
  private final DatagramChannel front;
  private final InetSocketAddress target;
  private final Weather weather;
  private final Random damages;
  private final AtomicLong damaged = new AtomicLong();
  private final Storm<Packet> storm;
  private final Map<SocketAddress, DatagramChannel> clients = new HashMap<>();
  private final ByteBuffer buffer = ByteBuffer.allocateDirect(1 << 16);
  private final Thread thread;

  /// Opens a port on loopback whose packets go to `target`.
  public PacketRelay(InetSocketAddress target, Weather weather, long seed) throws IOException {
    this.target = target;
    this.weather = weather;
    this.damages = new Random(seed);
    this.storm = new Storm<>(weather, seed);
    this.selector = Selector.open();
    this.front = open(null);
    this.thread = Thread.ofPlatform().daemon().name("packet-relay").start(this::run);
  }

  private DatagramChannel open(@Nullable SocketAddress client) throws IOException {
    DatagramChannel channel = DatagramChannel.open();
    channel.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
    channel.configureBlocking(false);
    channel.register(selector, SelectionKey.OP_READ, client);
    return channel;
  }

  @Override
  public int port() {
    try {
      return ((InetSocketAddress) front.getLocalAddress()).getPort();
    } catch (IOException closed) {
      throw new UncheckedIOException(closed);
    }
  }

  /// Returns how many packets were lost, doubled, delayed or damaged so far.
  @Override
  public long interferences() {
    return storm.interferences() + damaged.get();
  }

  private void run() {
    try {
      while (selector.isOpen()) {
        long wait = storm.calm(LONGEST_WAIT_NANOS);
        if (wait == 0) {
          selector.selectNow(this::read);
        } else {
          selector.select(this::read, Math.max(1, wait / 1_000_000));
        }
        deliver();
      }
    } catch (IOException | RuntimeException closed) {
      // The relay is closed: packets are lost, as on any network.
    }
  }

  private void read(SelectionKey key) {
    DatagramChannel channel = (DatagramChannel) key.channel();
    try {
      buffer.clear();
      for (SocketAddress from = channel.receive(buffer);
          from != null;
          from = channel.receive(buffer.clear())) {
        buffer.flip();
        ByteBuffer bytes = ByteBuffer.allocate(buffer.remaining()).put(buffer).flip();
        damage(bytes);
        if (key.attachment() instanceof SocketAddress client) {
          storm.take(new Packet(front, client, bytes));
        } else {
          storm.take(new Packet(client(from), target, bytes));
        }
      }
    } catch (IOException lost) {
      // An answer that nobody is there to take: the packet is lost.
    }
  }

  /// Turns a bit of the second half of some packets.
  private void damage(ByteBuffer packet) {
    int bytes = packet.limit();
    if (bytes > SHORT_BYTES && damages.nextInt(100) < weather.damagesPercent()) {
      int at = damages.nextInt(bytes / 2, bytes);
      packet.put(at, (byte) (packet.get(at) ^ 1 << damages.nextInt(8)));
      damaged.incrementAndGet();
    }
  }

  /// Each sender has a way back of its own.
  private DatagramChannel client(SocketAddress from) throws IOException {
    DatagramChannel known = clients.get(from);
    if (known == null) {
      known = open(from);
      clients.put(from, known);
    }
    return known;
  }

  private void deliver() throws IOException {
    for (Packet next = storm.next(); next != null; next = storm.next()) {
      next.by().send(next.bytes().duplicate(), next.to());
    }
  }

  @Override
  public void close() {
    try {
      selector.close();
      thread.join();
      front.close();
      for (DatagramChannel client : clients.values()) {
        client.close();
      }
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
