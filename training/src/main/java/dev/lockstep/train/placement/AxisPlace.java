package dev.lockstep.train.placement;

/// A rank's place on a mesh axis.
///
/// @param name the axis
/// @param ranks ranks of the axis
/// @param rank this rank's number on it
public record AxisPlace(String name, int ranks, int rank) {
  /// Checks the numbers.
  public AxisPlace {
    if (ranks < 1 || rank < 0 || rank >= ranks) {
      throw new IllegalArgumentException(
          "rank lies outside its axis: axis=%s, rank=%d, ranks=%d".formatted(name, rank, ranks));
    }
  }
}
