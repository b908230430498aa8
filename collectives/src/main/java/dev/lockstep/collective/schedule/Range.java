package dev.lockstep.collective.schedule;

/// Elements of one rank's memory.
///
/// @param rank whose memory
/// @param space which of its memories
/// @param offset first element
/// @param elements how many, 0 allowed
public record Range(int rank, Space space, long offset, long elements) {
  /// Checks the numbers.
  public Range {
    if (offset < 0 || elements < 0) {
      throw new IllegalArgumentException(
          "range is negative: offset=" + offset + ", elements=" + elements);
    }
  }

  /// Returns the index after the last element.
  public long end() {
    return offset + elements;
  }

  @Override
  public String toString() {
    String name =
        switch (space) {
          case Space.Input(int index) -> "input" + index;
          case Space.Output _ -> "output";
          case Space.Scratch(int index) -> "scratch" + index;
        };
    return "rank %d %s[%d, %d)".formatted(rank, name, offset, end());
  }
}
