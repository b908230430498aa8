package dev.lockstep.transport.efa;

import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/// Another rank, as this one knows it. Used under the transport's lock.
final class Peer {
  /// How long links that are given up wait for a peer's word: long enough for one that is busy,
  /// short enough for whoever waits behind one that is stopped.
  static final long PATIENCE_NANOS = TimeUnit.MILLISECONDS.toNanos(200);

  private final int rank;
  private long awaitedSince;
  private boolean isWaitedFor;
  private long @Nullable [] addresses;

  /// Whether anything was heard since it was last asked.
  boolean heard = true;

  /// Whether anything was ever heard.
  boolean everHeard;

  /// Whether a link waits for it, at the last look.
  boolean awaited;

  /// Whether it has been told of a link that it may send on.
  boolean mayGreet;

  /// How often in a row it was asked and did not answer.
  int silences;

  boolean pongWanted;
  boolean pingWanted;
  boolean byeWanted;
  boolean byeSeenWanted;

  /// Whether this rank's last word has gone to it: nothing more is said to it.
  boolean dismissed;

  /// Whether it has said that it leaves, or is dead: at most an answer is said to it.
  boolean left;

  /// Whether it will say nothing more to this rank.
  boolean silent;

  Peer(int rank) {
    this.rank = rank;
  }

  int rank() {
    return rank;
  }

  /// Returns its address on each rail, null if it has not said.
  long @Nullable [] addresses() {
    return addresses;
  }

  void addresses(long[] known) {
    addresses = known;
  }

  /// Notes that it has said of a link that it writes no more: the next one that is given up waits
  /// anew.
  void hasAnswered() {
    isWaitedFor = false;
  }

  /// Returns whether a link that was given up waits on for this peer's word. Those that are given
  /// up together wait together.
  boolean isWaitedFor(long now) {
    if (!isWaitedFor || now - awaitedSince >= 2 * PATIENCE_NANOS) {
      isWaitedFor = true;
      awaitedSince = now;
    }
    return now - awaitedSince < PATIENCE_NANOS;
  }
}
