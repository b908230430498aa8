package dev.lockstep.transport;

import dev.lockstep.failure.LockstepException;

/// A message arrived whose envelope is not the one its receiver waits for: the two ranks call
/// different collectives, or one is of another job. Collectives turn it into a
/// `CollectiveMismatchException` on both sides.
public final class MismatchedEnvelopeException extends LockstepException {
  private static final long serialVersionUID = 1L;

  private final int peer;
  private final transient Envelope expected;
  private final transient Envelope arrived;

  /// Makes the failure; both envelopes are kept, so hand over copies.
  public MismatchedEnvelopeException(
      int peer, Envelope expected, Envelope arrived, String message) {
    super(message);
    this.peer = peer;
    this.expected = expected;
    this.arrived = arrived;
  }

  /// Returns the sender.
  public int peer() {
    return peer;
  }

  /// Returns the envelope that the receiver waits for.
  public Envelope expected() {
    return expected;
  }

  /// Returns the envelope that arrived.
  public Envelope arrived() {
    return arrived;
  }
}
