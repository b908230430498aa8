package dev.lockstep.collective.algorithm;

import java.util.ArrayList;
import java.util.List;

/// A rank's place in one of two binary trees over all ranks.
///
/// The first tree is in order: a number's lowest set bit is its height, 0 stands above all, and odd
/// numbers are leaves. The second is the first with numbers turned so that odd and even change
/// places.
///
/// @param parent the rank above, -1 for the root
/// @param children the ranks below
record BinaryTree(int parent, List<Integer> children) {
  /// Returns a rank's place.
  ///
  /// @param tree 0 or 1
  static BinaryTree of(int tree, int ranks, int rank) {
    int number = turned(tree, ranks, rank);
    int above = above(ranks, number);
    List<Integer> children = new ArrayList<>();
    for (int child : below(ranks, number)) {
      children.add(turnedBack(tree, ranks, child));
    }
    return new BinaryTree(above < 0 ? -1 : turnedBack(tree, ranks, above), children);
  }

  boolean isRoot() {
    return parent < 0;
  }

  private static int turned(int tree, int ranks, int rank) {
    if (tree == 0) {
      return rank;
    }
    return ranks % 2 == 0 ? ranks - 1 - rank : (rank + ranks - 1) % ranks;
  }

  private static int turnedBack(int tree, int ranks, int number) {
    if (tree == 0) {
      return number;
    }
    return ranks % 2 == 0 ? ranks - 1 - number : (number + 1) % ranks;
  }

  /// Returns the number above one, or -1 above 0. The next height's number may not exist; then it
  /// is the one left of it.
  private static int above(int ranks, int number) {
    if (number == 0) {
      return -1;
    }
    int bit = Integer.lowestOneBit(number);
    int up = (number ^ bit) | (bit << 1);
    return up < ranks ? up : number ^ bit;
  }

  private static List<Integer> below(int ranks, int number) {
    List<Integer> below = new ArrayList<>();
    int height = number == 0 ? Integer.highestOneBit(Math.max(1, ranks - 1)) << 1 : number;
    for (int bit = Integer.lowestOneBit(height) >> 1; bit > 0; bit >>= 1) {
      for (int child : new int[] {number - bit, number + bit}) {
        if (child > 0 && child < ranks && above(ranks, child) == number) {
          below.add(child);
        }
      }
    }
    return below;
  }
}
