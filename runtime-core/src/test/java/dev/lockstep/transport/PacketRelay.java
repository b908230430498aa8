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
import java.util.PriorityQueue;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/// A bad network: takes UDP packets on a port of its own and passes them on to a target and back,
/// and on the way drops, doubles and delays them, so that they overtake each other. One thread.
public final class PacketRelay implements Relay {
  /// What happens to packets.
  ///
  /// @param dropsPercent how many of a hundred are lost
  /// @param doublesPercent how many of a hundred come twice
  /// @param delaysPercent how many of a hundred are delayed
  /// @param delayMicros the longest delay
  public record Weather(int dropsPercent, int doublesPercent, int delaysPercent, int delayMicros) {}

  /// A packet on its way.
  private record Packet(
      long due, long number, DatagramChannel by, SocketAddress to, ByteBuffer bytes) {}

  private final Selector selector;
  private final DatagramChannel front;
  private final InetSocketAddress target;
  private final Weather weather;
  private final Random random;
  private final Map<SocketAddress, DatagramChannel> clients = new HashMap<>();
  private final PriorityQueue<Packet> delayed =
      new PriorityQueue<>(
          (a, b) ->
              a.due() != b.due()
                  ? Long.compare(a.due(), b.due())
                  : Long.compare(a.number(), b.number()));
  private final ByteBuffer buffer = ByteBuffer.allocateDirect(1 << 16);
  private final AtomicLong interferences = new AtomicLong();
  private final Thread thread;
  private long packets;

  /// Opens a port on loopback whose packets go to `target`.
  public PacketRelay(InetSocketAddress target, Weather weather, long seed) throws IOException {
    this.target = target;
    this.weather = weather;
    this.random = new Random(seed);
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

  /// Returns how many packets were lost, doubled or delayed so far.
  @Override
  public long interferences() {
    return interferences.get();
  }

  private void run() {
    try {
      while (selector.isOpen()) {
        Packet next = delayed.peek();
        long wait = next == null ? 1000 : Math.max(1, (next.due() - System.nanoTime()) / 1_000_000);
        if (next != null && next.due() <= System.nanoTime()) {
          selector.selectNow(this::read);
        } else {
          selector.select(this::read, wait);
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
        if (key.attachment() instanceof SocketAddress client) {
          pass(front, client, bytes);
        } else {
          pass(client(from), target, bytes);
        }
      }
    } catch (IOException lost) {
      // An answer that nobody is there to take: the packet is lost.
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

  private void pass(DatagramChannel by, SocketAddress to, ByteBuffer bytes) {
    if (random.nextInt(100) < weather.dropsPercent()) {
      interferences.incrementAndGet();
      return;
    }
    int copies = random.nextInt(100) < weather.doublesPercent() ? 2 : 1;
    for (int i = 0; i < copies; i++) {
      boolean late = random.nextInt(100) < weather.delaysPercent();
      long delay = late ? random.nextInt(weather.delayMicros() + 1) * 1000L : 0;
      interferences.addAndGet(late || i > 0 ? 1 : 0);
      delayed.add(new Packet(System.nanoTime() + delay, packets++, by, to, bytes));
    }
  }

  private void deliver() throws IOException {
    for (Packet next = delayed.peek();
        next != null && next.due() <= System.nanoTime();
        next = delayed.peek()) {
      delayed.remove();
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
