package dev.lockstep.transport.efa;

/// Whether a link stands still, and whether what its other end has sent is not coming any more
/// (Note [what is lost]). Used under the transport's lock.
final class Shortfall {
  private long askedAt = -1;
  private long shortAt = -1;
  private int times;

  /// Returns whether nothing has come since this was asked last.
  ///
  /// @param position grows by whatever comes
  boolean standsStill(long position) {
    boolean still = position == askedAt;
    askedAt = position;
    return still;
  }

  /// Notes what the other end has said.
  ///
  /// @param position grows by whatever comes
  /// @param isShort whether it has sent more than is here
  /// @param most how often in a row it may say so with nothing coming meanwhile
  /// @return whether the rest is lost
  boolean isLost(long position, boolean isShort, int most) {
    times = isShort ? (position == shortAt ? times : 0) + 1 : 0;
    shortAt = position;
    return times >= most;
  }
}
