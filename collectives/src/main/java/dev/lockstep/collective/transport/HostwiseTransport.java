package dev.lockstep.collective.transport;

import dev.lockstep.transport.Link;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportCounters;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/// Two transports of a job whose hosts run several ranks each: links between ranks of one host go
/// by the near one, which shares their memory, all others by the far one.
public final class HostwiseTransport implements Transport {
  /// Stands between the two names.
  static final String JOINT = "+";

  private final Transport near;
  private final Transport far;
  private final List<String> hosts;
  private final String host;

  /// Joins two transports.
  ///
  /// @param near owned from here on
  /// @param far owned from here on
  /// @param hosts for each rank the name of its host
  /// @param rank this rank
  public HostwiseTransport(Transport near, Transport far, List<String> hosts, int rank) {
    this.near = near;
    this.far = far;
    this.hosts = List.copyOf(hosts);
    this.host = hosts.get(rank);
  }

  /// Returns whether there is something for either transport to do: several hosts, of which one at
  /// least runs several ranks.
  public static boolean isOfUse(List<String> hosts) {
    Set<String> different = new HashSet<>(hosts);
    return different.size() > 1 && different.size() < hosts.size();
  }

  @Override
  public String name() {
    return near.name() + JOINT + far.name();
  }

  private boolean isNear(int peer) {
    return hosts.get(peer).equals(host);
  }

  private Transport to(int peer) {
    boolean known = peer >= 0 && peer < hosts.size();
    return known && isNear(peer) ? near : far;
  }

  @Override
  public Link openSend(int peer, int communicator, Duration timeout) {
    return to(peer).openSend(peer, communicator, timeout);
  }

  @Override
  public Link openReceive(int peer, int communicator, Duration timeout) {
    return to(peer).openReceive(peer, communicator, timeout);
  }

  @Override
  public Optional<PeerAccess> peerAccess(List<Integer> ranks) {
    return ranks.stream().allMatch(this::isNear) ? near.peerAccess(ranks) : Optional.empty();
  }

  @Override
  public int poll() {
    return near.poll() + far.poll();
  }

  @Override
  public TransportCounters counters() {
    TransportCounters inside = near.counters();
    TransportCounters beyond = far.counters();
    return new TransportCounters(
        inside.messagesSent() + beyond.messagesSent(),
        inside.bytesSent() + beyond.bytesSent(),
        inside.messagesReceived() + beyond.messagesReceived(),
        inside.bytesReceived() + beyond.bytesReceived(),
        inside.bytesOpenedInPlace() + beyond.bytesOpenedInPlace());
  }

  @Override
  public void close() {
    try (far;
        near) {
      // closes the near one first
    }
  }
}
