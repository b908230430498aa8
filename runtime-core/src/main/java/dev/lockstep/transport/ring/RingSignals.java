package dev.lockstep.transport.ring;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Scope;
import dev.lockstep.transport.AddressBook;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.TransportContext;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// The counters by which ranks signal each other: per communicator one table in memory of the rank
/// that reads it, a pair of cache lines for each peer and slot.
///
/// The first signal to a peer looks its table up, which waits if the peer has not made it yet.
final class RingSignals implements AutoCloseable {
  /// Two lines: processors fetch them in pairs.
  private static final long SLOT_BYTES = 128;

  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final VarHandle COUNTER = ValueLayout.JAVA_LONG.varHandle();

  private final String transport;
  private final Neighbors neighbors;
  private final AddressBook addresses;
  private final int rank;
  private final int worldSize;
  private volatile Tables[] tables = {};

  RingSignals(String transport, Neighbors neighbors, TransportContext context) {
    this.transport = transport;
    this.neighbors = neighbors;
    this.addresses = context.addresses();
    this.rank = context.rank();
    this.worldSize = context.worldSize();
  }

  synchronized void open(int communicator) {
    for (Tables known : tables) {
      if (known.communicator == communicator) {
        return;
      }
    }
    long bytes = (long) worldSize * PeerAccess.SLOTS * SLOT_BYTES;
    SharedArea mine =
        neighbors.offer(
            key(communicator, rank),
            "signals, transport=" + transport + ", communicator=" + communicator,
            bytes,
            rank,
            PATIENCE,
            _ -> {});
    var more = new ArrayList<>(List.of(tables));
    more.add(new Tables(communicator, mine, worldSize));
    tables = more.toArray(Tables[]::new);
  }

  /// Frees this rank's table of a communicator, which no peer uses any more, and its views of the
  /// peers'.
  synchronized void close(int communicator) {
    for (Tables known : tables) {
      if (known.communicator == communicator) {
        var fewer = new ArrayList<>(List.of(tables));
        fewer.remove(known);
        tables = fewer.toArray(Tables[]::new);
        try {
          addresses.withdraw(key(communicator, rank));
        } finally {
          known.close();
        }
      }
    }
  }

  void signal(int peer, int communicator, int slot, long value) {
    Tables of = tables(communicator);
    MemorySegment table = of.theirs[peer];
    if (table == null) {
      table = find(of, peer);
    }
    try {
      COUNTER.setRelease(table, offset(rank, slot), value);
    } catch (IllegalStateException closed) {
      throw new TransportException(
          "rank " + peer, "peer has closed its signals: peer=" + peer, closed);
    }
  }

  long signalled(int peer, int communicator, int slot) {
    return (long) COUNTER.getAcquire(tables(communicator).segment, offset(peer, slot));
  }

  private synchronized MemorySegment find(Tables of, int peer) {
    if (!List.of(tables).contains(of)) {
      throw notOpen(of.communicator);
    }
    SharedArea area = neighbors.find(key(of.communicator, peer), peer, PATIENCE);
    long bytes = (long) worldSize * PeerAccess.SLOTS * SLOT_BYTES;
    if (area.segment().byteSize() < bytes) {
      throw new TransportException(
          "rank " + peer,
          "peer's signals are too small: peer=%d, bytes=%d, expectedBytes=%d"
              .formatted(peer, area.segment().byteSize(), bytes),
          null);
    }
    of.areas.add(area);
    of.theirs[peer] = area.segment();
    return area.segment();
  }

  private Tables tables(int communicator) {
    for (Tables known : tables) {
      if (known.communicator == communicator) {
        return known;
      }
    }
    throw notOpen(communicator);
  }

  private static IllegalStateException notOpen(int communicator) {
    return new IllegalStateException(
        "signals are not open: communicator=" + communicator + " (call openSignals first)");
  }

  private static long offset(int from, int slot) {
    if (slot < 0 || slot >= PeerAccess.SLOTS) {
      throw new IllegalArgumentException("slot out of range: slot=" + slot);
    }
    return ((long) from * PeerAccess.SLOTS + slot) * SLOT_BYTES;
  }

  private String key(int communicator, int of) {
    return transport + "/signals/" + communicator + "/" + of;
  }

  @Override
  public synchronized void close() {
    try (Scope all = new Scope()) {
      for (Tables known : tables) {
        var _ = all.own(known, Tables::close);
      }
    }
    tables = new Tables[0];
  }

  /// One communicator's tables: this rank's own, and those of peers as they become known.
  private static final class Tables {
    private final int communicator;
    private final MemorySegment segment;
    private final @Nullable MemorySegment[] theirs;
    private final List<SharedArea> areas = new ArrayList<>();

    Tables(int communicator, SharedArea mine, int worldSize) {
      this.communicator = communicator;
      this.segment = mine.segment();
      this.theirs = new @Nullable MemorySegment[worldSize];
      this.areas.add(mine);
    }

    void close() {
      try (Scope all = new Scope()) {
        areas.forEach(area -> all.own(area, SharedArea::close));
      }
    }
  }
}
