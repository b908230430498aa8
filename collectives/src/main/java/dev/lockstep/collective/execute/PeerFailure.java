package dev.lockstep.collective.execute;

/// What went wrong with one peer; never leaves the executor.
final class PeerFailure extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /// How a peer failed.
  enum Kind {
    /// It runs another collective, or the same one of another communicator or sequence.
    DISAGREES,
    /// The way to it or its memory is gone.
    UNREACHABLE
  }

  private final int peer;
  private final Kind kind;

  PeerFailure(int peer, Kind kind, Throwable cause) {
    super(cause);
    this.peer = peer;
    this.kind = kind;
  }

  PeerFailure(int peer, Kind kind, String message) {
    super(message);
    this.peer = peer;
    this.kind = kind;
  }

  int peer() {
    return peer;
  }

  Kind kind() {
    return kind;
  }
}
