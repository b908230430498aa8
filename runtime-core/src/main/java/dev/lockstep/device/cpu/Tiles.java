package dev.lockstep.device.cpu;

/// An extent cut into tiles of `each` places, the last of which may be shorter: what threads take
/// in turn. An extent may reach to [Integer#MAX_VALUE].
record Tiles(int extent, int each) {
  int count() {
    return Math.ceilDiv(extent, each);
  }

  /// Where tile `tile` begins, which is where the one before it ends.
  int start(int tile) {
    return (int) Math.min(extent, (long) tile * each);
  }
}
