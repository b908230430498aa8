package dev.lockstep.transport;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.function.Supplier;

/// A transport on which things go wrong: a decorator. Where peers' memory is not offered everything
/// travels.
public final class FaultyTransport implements Transport {
  private static final int FLIPS = 256;
  private static final int LINE = 64;

  private final Transport transport;
  private final String name;
  private final Faults faults;
  private final boolean faulty;
  private final boolean offersMemory;
  private final int rank;
  private final Supplier<List<MemorySegment>> wires;
  private final Random flips;
  private final List<Link> links = new ArrayList<>();
  private long completed;

  /// Makes the decorator of messages alone.
  ///
  /// @param transport owned from here on
  /// @param rank this rank
  /// @param wires the memory that this rank's receiving links read from, each after a head of one
  ///   page
  public FaultyTransport(
      Transport transport,
      String name,
      Faults faults,
      int rank,
      Supplier<List<MemorySegment>> wires) {
    this(transport, name, faults, false, rank, wires);
  }

  /// Makes the decorator.
  ///
  /// @param transport owned from here on
  /// @param offersMemory whether ranks may use each other's memory, if they can
  /// @param rank this rank
  /// @param wires the memory that this rank's receiving links read from, each after a head of one
  ///   page
  public FaultyTransport(
      Transport transport,
      String name,
      Faults faults,
      boolean offersMemory,
      int rank,
      Supplier<List<MemorySegment>> wires) {
    this.transport = transport;
    this.name = name;
    this.faults = faults;
    this.faulty = !faults.equals(Faults.none());
    this.offersMemory = offersMemory;
    this.rank = rank;
    this.wires = wires;
    this.flips = new Random(faults.seed());
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public Link openSend(int peer, int communicator, Duration timeout) {
    return add(transport.openSend(peer, communicator, timeout), ends(rank, peer, communicator));
  }

  @Override
  public Link openReceive(int peer, int communicator, Duration timeout) {
    return add(transport.openReceive(peer, communicator, timeout), ends(peer, rank, communicator));
  }

  private static long ends(int from, int to, int communicator) {
    return (31L * from + to) * 0x9E3779B97F4A7C15L + communicator;
  }

  private synchronized Link add(Link link, long ends) {
    if (!faulty) {
      return link;
    }
    FaultyLink slow =
        new FaultyLink(
            link,
            faults,
            ends,
            new FaultyLink.Wire() {
              @Override
              public void beforeReading() {
                if (rank == faults.faultyRank() && completed >= faults.corruptsAfter()) {
                  corrupt();
                }
              }

              @Override
              public void completed() {
                completed++;
                if (rank == faults.faultyRank() && completed == faults.diesAfter()) {
                  die();
                }
              }
            });
    links.add(slow);
    return slow;
  }

  /// Flips bits, but not in the words that say that something has come: a lost message is another
  /// fault.
  private void corrupt() {
    for (MemorySegment wire : wires.get()) {
      long lines = (wire.byteSize() - 4096) / LINE;
      for (int i = 0; i < FLIPS; i++) {
        long at = 4096 + flips.nextLong(lines) * LINE + LINE / 2 + flips.nextInt(LINE / 2);
        byte was = wire.get(ValueLayout.JAVA_BYTE, at);
        wire.set(ValueLayout.JAVA_BYTE, at, (byte) (was ^ 1 << flips.nextInt(8)));
      }
    }
  }

  private synchronized void die() {
    links.forEach(Link::close);
  }

  @Override
  public Optional<PeerAccess> peerAccess(List<Integer> ranks) {
    return offersMemory
        ? transport.peerAccess(ranks).map(access -> new FaultyPeers(access, faults, rank))
        : Optional.empty();
  }

  @Override
  public int poll() {
    // With faults links are polled by whoever waits for them.
    return faulty ? 0 : transport.poll();
  }

  @Override
  public TransportCounters counters() {
    return transport.counters();
  }

  @Override
  public void close() {
    transport.close();
  }
}
