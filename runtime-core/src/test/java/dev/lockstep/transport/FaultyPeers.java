package dev.lockstep.transport;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Registration;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;

/// Access to peers' memory in which things go wrong: a decorator. Each counter is seen late for
/// itself, so that what ranks signal is seen in any order; and a rank is lost in the middle of a
/// collective: nothing that it signals from then on is seen.
final class FaultyPeers implements PeerAccess {
  /// What is seen of a peer's counter.
  private static final class Seen {
    private long value;
    private int looks;
  }

  private final PeerAccess access;
  private final Faults faults;
  private final int rank;
  private final Random random;
  private final Map<Long, Seen> seen = new HashMap<>();
  private long signals;

  FaultyPeers(PeerAccess access, Faults faults, int rank) {
    this.access = access;
    this.faults = faults;
    this.rank = rank;
    this.random = new Random(faults.seed() + rank);
  }

  @Override
  public byte[] describe(Registration registration) {
    return access.describe(registration);
  }

  @Override
  public MemorySegment open(int peer, byte[] descriptor) {
    return access.open(peer, descriptor);
  }

  @Override
  public MemorySegment openToWrite(int peer, byte[] descriptor) {
    return access.openToWrite(peer, descriptor);
  }

  @Override
  public void forget(int peer, byte[] descriptor) {
    access.forget(peer, descriptor);
  }

  @Override
  public void openSignals(int communicator) {
    access.openSignals(communicator);
  }

  @Override
  public void closeSignals(int communicator) {
    access.closeSignals(communicator);
  }

  @Override
  public synchronized void signal(int peer, int communicator, int slot, long value) {
    signals++;
    if (rank != faults.faultyRank() || signals < faults.diesAfter()) {
      access.signal(peer, communicator, slot, value);
    } else if (signals == faults.diesAfter()) {
      throw new TransportException("rank " + peer, "rank is lost: rank=" + rank, null);
    }
  }

  @Override
  public synchronized long signalled(int peer, int communicator, int slot) {
    long key = ((long) communicator << 32) + (long) peer * SLOTS + slot;
    Seen last = seen.computeIfAbsent(key, _ -> new Seen());
    long value = access.signalled(peer, communicator, slot);
    if (value != last.value) {
      if (last.looks == 0) {
        last.looks = 1 + random.nextInt(1 + faults.delayedPolls());
      }
      if (--last.looks == 0) {
        last.value = value;
      }
    }
    return last.value;
  }
}
