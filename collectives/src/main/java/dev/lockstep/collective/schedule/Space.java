package dev.lockstep.collective.schedule;

/// A rank's memory as a schedule names it, counted in elements.
public sealed interface Space {
  /// What the rank contributes; never written by a schedule.
  ///
  /// @param index number of the contribution
  record Input(int index) implements Space {}

  /// What the rank gets. In place it shares its memory with input 0.
  record Output() implements Space {}

  /// Memory that the schedule declares for itself.
  ///
  /// @param index position in [Schedule#scratch]
  record Scratch(int index) implements Space {}
}
