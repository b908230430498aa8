package dev.lockstep.device.cpu;

/// The order in which `n` sums are joined: left = as many leaves as the largest power of two below
/// `n`, right = the rest, recursively.
///
/// Realised with a stack of complete subtrees, the digits of a binary counter: push leaf `i`, then
/// join the two topmost as often as [#joinsAfter]; when all leaves are in, join the two topmost
/// until one is left.
final class Tree {
  private Tree() {}

  /// How often the two topmost subtrees are joined once leaf `i` (from 0) is pushed.
  static int joinsAfter(int i) {
    return Integer.numberOfTrailingZeros(i + 1);
  }

  /// The most subtrees that are on the stack at once while `n` leaves go in.
  static int depth(int n) {
    return 33 - Integer.numberOfLeadingZeros(Math.max(1, n - 1));
  }

  /// Pushes leaf `i` (from 0, in order) onto a stack of floats and joins what is complete. The
  /// stack holds one subtree for each digit 1 of `i`.
  static void push(long stack, int i, float leaf) {
    long top = stack + Integer.bitCount(i) * 4L;
    float sum = leaf;
    for (int joins = joinsAfter(i); joins > 0; joins--) {
      top -= 4;
      sum = Memory.f32(top) + sum;
    }
    Memory.f32(top, sum);
  }

  /// Returns the sum of all `leaves` that were pushed.
  static float join(long stack, int leaves) {
    long top = stack + (Integer.bitCount(leaves) - 1) * 4L;
    float sum = Memory.f32(top);
    while (top > stack) {
      top -= 4;
      sum = Memory.f32(top) + sum;
    }
    return sum;
  }
}
