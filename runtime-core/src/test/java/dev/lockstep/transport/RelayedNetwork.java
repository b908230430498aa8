package dev.lockstep.transport;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntUnaryOperator;

/// A network in which ranks are reached through relays: each port that a rank names has one.
public final class RelayedNetwork implements AutoCloseable {
  private final Maker maker;
  private final List<Relay> relays = new ArrayList<>();

  /// Makes relays.
  public interface Maker {
    /// Opens a relay.
    ///
    /// @param target what is behind it
    /// @param seed of what it does
    Relay open(InetSocketAddress target, long seed) throws IOException;
  }

  /// How a transport's addresses hold their ports.
  public interface Rewriting {
    /// Returns an address with other ports.
    ///
    /// @param port what to put in a port's place
    byte[] rewrite(byte[] address, IntUnaryOperator port);
  }

  /// Makes a network without relays yet.
  public RelayedNetwork(Maker maker) {
    this.maker = maker;
  }

  /// Returns a rank's context whose peers reach it through relays, if all that they know of it is
  /// what it publishes.
  public TransportContext through(TransportContext context, Rewriting rewriting) {
    AddressBook real = context.addresses();
    AddressBook relayed =
        new AddressBook() {
          @Override
          public void publish(String key, byte[] value) {
            real.publish(key, rewriting.rewrite(value, RelayedNetwork.this::relayTo));
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

  /// Opens a relay in front of a port on loopback.
  ///
  /// @return the relay's port
  public int relayTo(int port) {
    try {
      Relay relay = maker.open(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), port);
      synchronized (relays) {
        relays.add(relay);
      }
      return relay.port();
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  /// Returns how often all relays have interfered.
  public long interferences() {
    synchronized (relays) {
      return relays.stream().mapToLong(Relay::interferences).sum();
    }
  }

  @Override
  public void close() {
    synchronized (relays) {
      relays.forEach(Relay::close);
    }
  }
}
