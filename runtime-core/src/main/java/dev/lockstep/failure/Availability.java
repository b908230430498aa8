package dev.lockstep.failure;

/// Whether a capability (a device, a transport) is there on this machine, and if not, why.
public sealed interface Availability {
  /// The capability is there.
  ///
  /// @param count how many there are (devices), or 1
  /// @param detail what was found, one line
  record Available(int count, String detail) implements Availability {}

  /// The capability is absent.
  ///
  /// @param reason one sentence: what is missing and how to get it
  record Unavailable(String reason) implements Availability {}

  /// Returns whether the capability can be used.
  default boolean isAvailable() {
    return this instanceof Available;
  }
}
