package dev.lockstep.collective.algorithm;

import java.util.function.IntUnaryOperator;

/// Some ranks in order, seen by one of them.
///
/// @param size number of members
/// @param me this rank's number among them
/// @param ranks function from member to rank
record Group(int size, int me, IntUnaryOperator ranks) {
  /// Returns the group of all ranks.
  static Group all(int size, int me) {
    return new Group(size, me, member -> member);
  }

  /// Returns a member's rank.
  int rank(int member) {
    return ranks.applyAsInt(member);
  }

  /// Returns this rank.
  int rank() {
    return rank(me);
  }
}
