package dev.lockstep.collective.schedule;

import java.util.function.Consumer;

/// In which order a reduce step joins its sources: all of one length, element by element. A join
/// commutes, it does not associate.
public sealed interface JoinTree {
  /// A source.
  ///
  /// @param range elements to read, of this rank or in a peer's memory
  record Leaf(Range range) implements JoinTree {}

  /// The join of two trees.
  ///
  /// @param left one operand
  /// @param right the other
  record Node(JoinTree left, JoinTree right) implements JoinTree {}

  /// Calls the consumer with every source, left to right.
  default void forEachSource(Consumer<Range> consumer) {
    switch (this) {
      case Leaf(Range range) -> consumer.accept(range);
      case Node(JoinTree left, JoinTree right) -> {
        left.forEachSource(consumer);
        right.forEachSource(consumer);
      }
    }
  }
}
