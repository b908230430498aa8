package dev.lockstep.collective.schedule;

/// Memory that a schedule needs beside inputs and output. Undefined at first, it keeps its elements
/// from one run to the next.
///
/// @param elements size
/// @param shared whether peers read it in place
public record ScratchSpace(long elements, boolean shared) {
  /// Checks the size.
  public ScratchSpace {
    if (elements < 0) {
      throw new IllegalArgumentException("scratch is negative: elements=" + elements);
    }
  }
}
