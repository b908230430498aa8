package dev.lockstep.transport;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;

/// A bad network for TCP: takes connections on a port of its own, passes their bytes on to a target
/// and back, and on the way cuts them into pieces and delays them, so that messages arrive bit by
/// bit and in bursts. Two virtual threads per connection.
public final class StreamRelay implements Relay {
  /// What happens to bytes.
  ///
  /// @param longestPiece most bytes that are passed on at once
  /// @param delaysPercent how many of a hundred pieces are delayed
  /// @param delayMicros the longest delay
  public record Weather(int longestPiece, int delaysPercent, int delayMicros) {}

  private final ServerSocketChannel front;
  private final InetSocketAddress target;
  private final Weather weather;
  private final SplittableRandom random;
  private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
  private final List<SocketChannel> connections = new ArrayList<>();
  private final AtomicLong pieces = new AtomicLong();

  /// Opens a port on loopback whose connections go to `target`.
  public StreamRelay(InetSocketAddress target, Weather weather, long seed) throws IOException {
    this.target = target;
    this.weather = weather;
    this.random = new SplittableRandom(seed);
    this.front = ServerSocketChannel.open();
    front.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
    threads.execute(this::accept);
  }

  @Override
  public int port() {
    try {
      return ((InetSocketAddress) front.getLocalAddress()).getPort();
    } catch (IOException closed) {
      throw new UncheckedIOException(closed);
    }
  }

  /// Returns how many pieces were passed on.
  @Override
  public long interferences() {
    return pieces.get();
  }

  private void accept() {
    try {
      while (true) {
        SocketChannel client = track(front.accept());
        SocketChannel server = track(SocketChannel.open(target));
        SplittableRandom there = random.split();
        SplittableRandom back = random.split();
        threads.execute(() -> pass(client, server, there));
        threads.execute(() -> pass(server, client, back));
      }
    } catch (IOException closed) {
      // The relay is closed, or nobody is behind it: whoever connected is cut off.
    }
  }

  private SocketChannel track(SocketChannel channel) throws IOException {
    channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
    synchronized (connections) {
      connections.add(channel);
    }
    return channel;
  }

  private void pass(SocketChannel from, SocketChannel to, SplittableRandom chance) {
    ByteBuffer piece = ByteBuffer.allocate(weather.longestPiece());
    try {
      while (from.read(piece.clear().limit(1 + chance.nextInt(weather.longestPiece()))) >= 0) {
        if (chance.nextInt(100) < weather.delaysPercent()) {
          LockSupport.parkNanos(1000L * (1 + chance.nextInt(weather.delayMicros())));
        }
        pieces.incrementAndGet();
        piece.flip();
        while (piece.hasRemaining()) {
          to.write(piece);
        }
      }
      to.shutdownOutput();
    } catch (IOException cut) {
      close(from);
      close(to);
    }
  }

  private static void close(SocketChannel channel) {
    try {
      channel.close();
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  @Override
  public void close() {
    try {
      front.close();
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
    synchronized (connections) {
      connections.forEach(StreamRelay::close);
    }
    threads.close();
  }
}
