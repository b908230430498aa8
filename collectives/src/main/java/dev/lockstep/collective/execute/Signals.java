package dev.lockstep.collective.execute;

import dev.lockstep.collective.request.StableHash;
import dev.lockstep.transport.PeerAccess;

/// Counted signals of one communicator that carry a fingerprint. Confined to whoever moves the
/// communicator; allocates nothing.
///
/// A counter's upper 40 bits count the signals, enough for 12 days at a million a second; the lower
/// 24 are a hash over the collectives of all signals on it so far. Both ends compute it: where the
/// counts are equal and the hashes differ, the ranks run different collectives. A peer may be ahead
/// by signals of its next collectives; then the hash is compared when the count is reached.
final class Signals {
  private static final int HASH_BITS = 24;
  private static final long HASH_MASK = (1L << HASH_BITS) - 1;

  private final PeerAccess access;
  private final int communicator;
  private final int[] jobRanks;
  private final long[] sent;
  private final long[] sentHash;
  private final long[] heard;
  private final long[] heardHash;

  Signals(PeerAccess access, int communicator, Members members) {
    this.access = access;
    this.communicator = communicator;
    this.jobRanks = members.toArray();
    this.sent = new long[members.size() * PeerAccess.SLOTS];
    this.sentHash = new long[sent.length];
    this.heard = new long[sent.length];
    this.heardHash = new long[sent.length];
  }

  /// Tells a peer that what came before is done.
  ///
  /// @param operation hash of the collective and its sequence
  void signal(int peer, int slot, long operation) {
    int at = peer * PeerAccess.SLOTS + slot;
    long hash = StableHash.mix(sentHash[at], operation);
    sentHash[at] = hash;
    long count = ++sent[at];
    access.signal(jobRanks[peer], communicator, slot, (count << HASH_BITS) | (hash & HASH_MASK));
  }

  /// Takes a peer's next signal if it is there.
  ///
  /// @throws PeerFailure if the peer signals from another collective
  boolean takeSignal(int peer, int slot, long operation) {
    int at = peer * PeerAccess.SLOTS + slot;
    long value = access.signalled(jobRanks[peer], communicator, slot);
    long count = value >>> HASH_BITS;
    long next = heard[at] + 1;
    if (count < next) {
      return false;
    }
    long hash = StableHash.mix(heardHash[at], operation);
    if (count == next && (value & HASH_MASK) != (hash & HASH_MASK)) {
      throw new PeerFailure(peer, PeerFailure.Kind.DISAGREES, "signal of another collective");
    }
    heard[at] = next;
    heardHash[at] = hash;
    return true;
  }

  /// Returns whether a signal is there to be taken.
  boolean isSignalled(int peer, int slot) {
    int at = peer * PeerAccess.SLOTS + slot;
    return access.signalled(jobRanks[peer], communicator, slot) >>> HASH_BITS > heard[at];
  }
}
