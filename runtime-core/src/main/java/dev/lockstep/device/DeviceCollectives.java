package dev.lockstep.device;

import dev.lockstep.graph.Primitive;

/// Collectives that a device runs inside its programs, and which of Lockstep's promises then hold.
public interface DeviceCollectives {
  /// Returns whether the device keeps this collective inside a program.
  Support supports(Primitive collective);

  /// Returns the promises that hold for collectives inside programs.
  Promises promises();

  /// What holds.
  ///
  /// @param deadline each has a deadline
  /// @param fingerprint disagreement among ranks is found and typed
  /// @param abort an abort always ends
  /// @param sameBits sums follow the lane tree
  record Promises(boolean deadline, boolean fingerprint, boolean abort, boolean sameBits) {}
}
