package dev.lockstep.transport.ring;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Scope;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportCounters;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// A transport whose links are rings in shared memory. The receiver makes the ring and offers it;
/// the sender finds it.
public final class RingTransport implements Transport {
  /// Bytes in flight per link. Half of a usual second-level cache: smaller rings make both sides
  /// wait for each other, larger ones fall out of the cache.
  private static final long RING_BYTES = 512 * 1024;

  private final String name;
  private final TransportContext context;
  private final Neighbors neighbors;
  private final RingCounters counters = new RingCounters();
  private final RingSignals signals;
  private final RingPeerAccess access;
  private volatile RingLink[] links = {};
  private boolean closed;

  /// Opens the transport of one rank.
  ///
  /// @param neighbors owned by the transport from here on
  public RingTransport(String name, TransportContext context, Neighbors neighbors) {
    this.name = name;
    this.context = context;
    this.neighbors = neighbors;
    this.signals = new RingSignals(name, neighbors, context);
    this.access = new RingPeerAccess(neighbors, signals, counters);
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public Link openSend(int peer, int communicator, Duration timeout) {
    String key = key(context.rank(), checked(peer), communicator);
    SharedArea area = neighbors.find(key, peer, timeout);
    Ring ring;
    try {
      ring = Ring.open(area.segment());
    } catch (IllegalArgumentException | IllegalStateException strange) {
      area.close();
      throw new TransportException(
          "rank " + peer, "peer's end of the link is no ring: key=" + key, strange);
    }
    RingLink link = add(new RingSender(ring, area, peer, communicator, counters));
    context.addresses().withdraw(key); // the other end of a link is opened once
    return link;
  }

  @Override
  public Link openReceive(int peer, int communicator, Duration timeout) {
    String key = key(checked(peer), context.rank(), communicator);
    String what =
        "ring, transport=%s, from=%d, communicator=%d".formatted(name, peer, communicator);
    SharedArea area =
        neighbors.offer(key, what, Ring.areaBytes(RING_BYTES), peer, timeout, Ring::lay);
    return add(new RingReceiver(Ring.open(area.segment()), area, peer, communicator, counters));
  }

  private int checked(int peer) {
    if (peer < 0 || peer >= context.worldSize()) {
      throw new IllegalArgumentException(
          "peer lies outside the job: peer=" + peer + ", worldSize=" + context.worldSize());
    }
    return peer;
  }

  private String key(int from, int to, int communicator) {
    return name + "/link/" + communicator + "/" + from + "-" + to;
  }

  private synchronized RingLink add(RingLink link) {
    if (closed) {
      link.close();
      throw new IllegalStateException("transport is closed: name=" + name);
    }
    var more = new ArrayList<>(List.of(links));
    more.removeIf(RingLink::isClosed);
    more.add(link);
    links = more.toArray(RingLink[]::new);
    return link;
  }

  @Override
  public Optional<PeerAccess> peerAccess(List<Integer> ranks) {
    return ranks.stream().allMatch(neighbors::sharesMemoryWith)
        ? Optional.of(access)
        : Optional.empty();
  }

  @Override
  public int poll() {
    int work = 0;
    for (RingLink link : links) {
      work += link.poll();
    }
    return work;
  }

  @Override
  public TransportCounters counters() {
    return counters.snapshot();
  }

  @Override
  public synchronized void close() {
    if (closed) {
      return;
    }
    closed = true;
    try (Scope parts = new Scope()) { // closed from the last
      var _ = parts.own(neighbors, Neighbors::close);
      var _ = parts.own(signals, RingSignals::close);
      for (RingLink link : links) {
        var _ = parts.own(link, RingLink::close);
      }
    }
    links = new RingLink[0];
  }
}
