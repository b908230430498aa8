package dev.lockstep.device;

/// Whether a device computes an op itself. A device never falls back to another one silently.
public sealed interface Support {
  /// It does.
  record Yes() implements Support {}

  /// It does not: a composite is then decomposed, a primitive refused with this reason.
  ///
  /// @param reason one sentence
  record No(String reason) implements Support {}
}
