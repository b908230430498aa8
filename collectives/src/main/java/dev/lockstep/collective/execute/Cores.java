package dev.lockstep.collective.execute;

import dev.lockstep.transport.CurrentCore;
import dev.lockstep.transport.PeerAccess;

/// On which core each rank of a communicator was last seen: a rank that waits must know whether
/// whom it waits for may be waiting for its core. Allocates nothing.
///
/// A rank tells the others when its core has changed, by a word beside the signals: one more than
/// the core's number, 0 is not known. It may be late, or wrong where ranks are not bound, and
/// threads race for it: all that depends on it is how long a rank looks before it yields.
final class Cores {
  /// How many waits long what is known is taken to be so: who has been moved is seen in about a
  /// tenth of a millisecond.
  private static final int WAITS = 64;

  private final PeerAccess access;
  private final int communicator;
  private final int[] jobRanks;
  private final int rank;
  private final long[] told; // by each rank, one more than its core; 0 is not known
  private boolean inPairs;
  private int waits;

  Cores(PeerAccess access, int communicator, Members members) {
    this.access = access;
    this.communicator = communicator;
    this.jobRanks = members.toArray();
    this.rank = members.rank();
    this.told = new long[jobRanks.length];
  }

  /// A rank begins to wait: now and then it looks where it is and where the others are.
  void update() {
    if (waits++ % WAITS == 0) {
      look(CurrentCore.number());
    }
  }

  /// Tells the others on which core this rank is, if they do not know, and looks where they are.
  void look(int core) {
    boolean moved = told[rank] != core + 1L;
    boolean changed = moved;
    told[rank] = core + 1L;
    for (int peer = 0; peer < jobRanks.length; peer++) {
      if (peer != rank) {
        if (moved) {
          tell(jobRanks[peer], core + 1L);
        }
        long now = access.signalled(jobRanks[peer], communicator, Endpoint.CORE_SLOT);
        changed |= now != told[peer];
        told[peer] = now;
      }
    }
    if (changed) {
      inPairs = areInPairs();
    }
  }

  private void tell(int jobRank, long word) {
    try {
      access.signal(jobRank, communicator, Endpoint.CORE_SLOT, word);
    } catch (RuntimeException _) {
      // The peer is gone: whoever waits for it learns that by other means.
    }
  }

  private boolean areInPairs() {
    for (long core : told) {
      if (core == 0 || ranksOn(core) != 2) {
        return false;
      }
    }
    return true;
  }

  private int ranksOn(long core) {
    int ranks = 0;
    for (long other : told) {
      ranks += other == core ? 1 : 0;
    }
    return ranks;
  }

  /// Returns whether every core that has ranks has two of them, so that all cores have as much to
  /// do.
  boolean areRanksInPairs() {
    return inPairs;
  }

  /// Returns whether a peer may be waiting for the core of this rank.
  boolean mayBeHere(int peer) {
    return told[peer] == 0 || told[rank] == 0 || told[peer] == told[rank];
  }
}
