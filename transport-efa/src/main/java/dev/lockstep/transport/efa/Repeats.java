package dev.lockstep.transport.efa;

/// When a word that nobody has answered is said again: after two turns of the keeper, then four,
/// eight and so on, since a peer that is stopped reads all of them when it goes on. Used under the
/// transport's lock.
final class Repeats {
  private static final int SHORTEST = 2;

  /// Less than a minute: so long after a peer has gone on it may take until it is asked.
  private static final int LONGEST = 512;

  private int pause = SHORTEST;
  private int left = SHORTEST;

  /// Returns whether to say it now; called at each turn.
  boolean isDue() {
    if (--left > 0) {
      return false;
    }
    pause = Math.min(2 * pause, LONGEST);
    left = pause;
    return true;
  }

  /// Notes that it was answered.
  void restart() {
    pause = SHORTEST;
    left = SHORTEST;
  }
}
