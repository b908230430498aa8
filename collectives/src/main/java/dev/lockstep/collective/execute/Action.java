package dev.lockstep.collective.execute;

/// A step bound to memory. Run again and again; allocates nothing.
abstract class Action {
  /// The peer whose memory or signal this touches, or -1.
  final int peer;

  Action(int peer) {
    this.peer = peer;
  }

  /// Does the step, or as much as can be done without waiting.
  ///
  /// @param operation hash of the collective and its sequence
  /// @return whether the step is done
  abstract boolean run(long operation);

  /// Frees what the step holds for itself.
  void close() {}
}
