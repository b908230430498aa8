package dev.lockstep.transport;

import dev.lockstep.failure.TransportException;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;

/// Access to peers' memory in which things go wrong: a decorator. Each counter is seen late for
/// itself, so that what ranks signal is seen in any order; and a rank is lost in the middle of a
/// collective: nothing that it signals from then on is seen.
final class FaultyPeers extends ForwardingPeerAccess {
  /// What is seen of a peer's counter.
  private static final class Seen {
    private long value;
    private int looks;
  }

  private final Faults faults;
  private final int rank;
  private final Random random;
  private final Map<Long, Seen> seen = new HashMap<>();
  private long signals;

  FaultyPeers(PeerAccess access, Faults faults, int rank) {
    super(access);
    this.faults = faults;
    this.rank = rank;
    this.random = new Random(faults.seed() + rank);
  }

  @Override
  public synchronized void signal(int peer, int communicator, int slot, long value) {
    signals++;
    if (rank != faults.faultyRank() || signals < faults.diesAfter()) {
      super.signal(peer, communicator, slot, value);
    } else if (signals == faults.diesAfter()) {
      throw new TransportException("rank " + peer, "rank is lost: rank=" + rank, null);
    }
  }

  @Override
  public synchronized long signalled(int peer, int communicator, int slot) {
    long key = ((long) communicator << 32) + (long) peer * SLOTS + slot;
    Seen last = seen.computeIfAbsent(key, _ -> new Seen());
    long value = super.signalled(peer, communicator, slot);
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
