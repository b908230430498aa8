package dev.lockstep.collective.algorithm;

/// A number of members as a sum of powers of two: blocks of `2^k` members, largest first.
///
/// @param size number of members
record Blocks(int size) {
  /// One block.
  ///
  /// @param start first member
  /// @param log binary logarithm of its size
  record Block(int start, int log) {
    int end() {
      return start + (1 << log);
    }
  }

  /// Returns the block that starts at a member.
  private Block at(int start) {
    return new Block(start, 31 - Integer.numberOfLeadingZeros(size - start));
  }

  /// Returns the first and largest block.
  Block first() {
    return at(0);
  }

  /// Returns the block in which a member is.
  Block of(int member) {
    Block block = first();
    while (member >= block.end()) {
      block = at(block.end());
    }
    return block;
  }

  /// Returns whether a smaller block follows.
  boolean isLast(Block block) {
    return block.end() == size;
  }

  /// Returns the block after one that is not the last.
  Block after(Block block) {
    return at(block.end());
  }

  /// Returns the block before one that is not the first.
  Block before(Block block) {
    return of(block.start() - 1);
  }
}
