package dev.lockstep.graph;

/// How contributions are joined by a reducing collective.
public sealed interface ReduceOp {
  /// `a + b`.
  record Sum() implements ReduceOp {}

  /// `a * b`.
  record Prod() implements ReduceOp {}

  /// The lesser; NaN wins.
  record Min() implements ReduceOp {}

  /// The greater; NaN wins.
  record Max() implements ReduceOp {}

  /// The sum divided by the number of ranks.
  record Avg() implements ReduceOp {}

  /// Returns the name in a fingerprint and in benchmark tables: `sum`, `prod`, `min`, `max`, `avg`.
  default String label() {
    return switch (this) {
      case Sum _ -> "sum";
      case Prod _ -> "prod";
      case Min _ -> "min";
      case Max _ -> "max";
      case Avg _ -> "avg";
    };
  }
}
