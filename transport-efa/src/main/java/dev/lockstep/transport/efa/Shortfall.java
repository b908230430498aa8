package dev.lockstep.transport.efa;

/// Whether a link stands still, and whether what its other end has sent is not coming any more
/// (Note [what is lost]). Used under the transport's lock.
final class Shortfall {
  private long askedAt = -1;
  private long shortAt = -1;
  private int times;

  /// Number of the last question, and of the first one whose answer counts: who asked several times
  /// while the other end was stopped hears several answers at once, which are one.
  private long asked;

  private long counts;

  /// Returns whether nothing has come since this was asked last.
  ///
  /// @param position grows by whatever comes
  boolean standsStill(long position) {
    boolean still = position == askedAt;
    askedAt = position;
    return still;
  }

  /// Returns the number of the next question.
  long ask() {
    return ++asked;
  }

  /// Notes what the other end has said.
  ///
  /// @param question which it answers
  /// @param position grows by whatever comes
  /// @param isShort whether it has sent more than is here
  /// @param most how often in a row it may say so with nothing coming meanwhile
  /// @return whether the rest is lost
  boolean isLost(long question, long position, boolean isShort, int most) {
    if (!isShort || position != shortAt) {
      times = 0;
    }
    shortAt = position;
    if (isShort && question >= counts) {
      times++;
      counts = asked + 1; // what was asked before this answer came says nothing new
    }
    return times >= most;
  }
}
