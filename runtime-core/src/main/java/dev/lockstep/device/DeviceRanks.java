package dev.lockstep.device;

import java.time.Duration;

/// The ranks that run programs together with a device, for devices that keep collectives inside
/// their programs: all have devices of one kind, and each runs the same collectives in the same
/// order.
///
/// @param grid the ranks over the axes that collectives name
/// @param rank this rank's number in the grid
/// @param sameBits whether sums over ranks follow the tree of the lanes; otherwise the device's own
///   order
/// @param root `HOST:PORT` where the grid's rank 0 may listen and all others reach it; the port is
///   free
/// @param timeout what a collective may take
public record DeviceRanks(
    RankGrid grid, int rank, boolean sameBits, String root, Duration timeout) {
  /// Checks the number.
  public DeviceRanks {
    if (rank < 0 || rank >= grid.ranks()) {
      throw new IllegalArgumentException(
          "rank lies outside its grid: rank=%d, ranks=%d".formatted(rank, grid.ranks()));
    }
  }
}
