package dev.lockstep.collective.execute;

import dev.lockstep.transport.Transfer;
import java.util.ArrayList;
import java.util.List;

/// The messages of one program in one direction between two ranks, in order, by one way. Those that
/// are issued go on as the way has room, so that a full one never keeps a rank from its next step.
/// Allocates nothing once every message has been added.
abstract class Traffic {
  private final int peer;
  private final boolean sends;
  private final List<Transfer> collected = new ArrayList<>();
  Transfer[] transfers = {};
  int issued;
  int completed;

  /// Makes a way without messages.
  ///
  /// @param peer the communicator's number of the rank at the other end
  Traffic(int peer, boolean sends) {
    this.peer = peer;
    this.sends = sends;
  }

  final int peer() {
    return peer;
  }

  final boolean sends() {
    return sends;
  }

  /// Adds the next message and returns its number on this way.
  final int add(Transfer transfer) {
    collected.add(transfer);
    transfers = collected.toArray(Transfer[]::new);
    return transfers.length - 1;
  }

  /// Makes ready for a run.
  ///
  /// @param sequence place of the collective in its communicator
  /// @param operation hash of the collective and its sequence
  abstract void begin(long sequence, long operation);

  /// Hands the next message over.
  void issue() {
    issued++;
  }

  final boolean isComplete(int number) {
    return number < completed;
  }

  final boolean isIdle() {
    return completed == issued;
  }

  final int completed() {
    return completed;
  }

  /// Moves what can be moved.
  ///
  /// @return whether anything did
  /// @throws PeerFailure if a message has failed
  abstract boolean poll();
}
