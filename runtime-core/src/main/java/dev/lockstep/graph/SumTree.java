package dev.lockstep.graph;

import java.util.ArrayList;
import java.util.List;

/// The tree T(n) in which sums over lanes and blocks are joined: left = as many leaves as the
/// largest power of two below n, right = the rest, recursively. IEEE addition commutes, so only the
/// tree matters.
public final class SumTree {
  private SumTree() {}

  /// A complete subtree of T(n): `size` leaves from `first` on.
  ///
  /// @param first index of its first leaf
  /// @param size number of its leaves, at least 1
  public record Subtree(int first, int size) {
    /// Checks the range.
    public Subtree {
      if (first < 0 || size < 1) {
        throw new IllegalArgumentException("subtree is empty: first=" + first + ", size=" + size);
      }
    }

    /// Returns the index after its last leaf.
    public int end() {
      return first + size;
    }
  }

  /// Returns how many leaves stand in the left branch of T(`leaves`).
  ///
  /// @param leaves at least 2
  public static int left(int leaves) {
    if (leaves < 2) {
      throw new IllegalArgumentException("a tree of one leaf has no branches: leaves=" + leaves);
    }
    return Integer.highestOneBit(leaves - 1);
  }

  /// Returns the fewest complete subtrees of T(`leaves`) that cover `[from, to)`, in ascending
  /// order.
  public static List<Subtree> cover(int leaves, int from, int to) {
    if (from < 0 || to > leaves || from > to) {
      throw new IllegalArgumentException(
          "range lies outside the tree: leaves=" + leaves + ", from=" + from + ", to=" + to);
    }
    List<Subtree> found = new ArrayList<>();
    cover(0, leaves, from, to, found);
    return List.copyOf(found);
  }

  private static void cover(int first, int size, int from, int to, List<Subtree> found) {
    if (size == 0 || to <= first || from >= first + size) {
      return;
    }
    if (from <= first && first + size <= to) {
      found.add(new Subtree(first, size));
      return;
    }
    int left = left(size);
    cover(first, left, from, to, found);
    cover(first + left, size - left, from, to, found);
  }
}
