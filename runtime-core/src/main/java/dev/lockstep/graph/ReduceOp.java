package dev.lockstep.graph;

import dev.lockstep.tensor.DType;

/// How contributions are joined by a reducing collective.
///
/// Contributions are joined pair by pair. Floats of one and two bytes are joined in `float`, and
/// each join is rounded to the element type: a sum of `n` of them is rounded `n - 1` times, not
/// once. A partial sum that travels from rank to rank is as wide as its elements; one rounding at
/// the end would be possible only where a single rank reads all the others, and the bits would tell
/// which algorithm and layout it was. Who wants a sum that is rounded once sends `F32`.
public sealed interface ReduceOp {
  /// `a + b`.
  record Sum() implements ReduceOp {}

  /// `a * b`.
  record Prod() implements ReduceOp {}

  /// The lesser; NaN wins.
  record Min() implements ReduceOp {}

  /// The greater; NaN wins.
  record Max() implements ReduceOp {}

  /// The sum divided by the number of lanes that it is over, whichever ranks hold them: by that of
  /// the ranks where each brings one contribution. Floating-point types only.
  record Avg() implements ReduceOp {}

  /// The sum of the contributions, each multiplied by a factor and rounded to its type first: what
  /// keeps a sum of small floats in their range. Floating-point types only.
  ///
  /// @param factor the same on every rank; the types of up to 4 bytes take it as `float`
  record PreMulSum(double factor) implements ReduceOp {}

  /// Bitwise `a & b`; integers and truth values.
  record BitAnd() implements ReduceOp {}

  /// Bitwise `a | b`; integers and truth values.
  record BitOr() implements ReduceOp {}

  /// Bitwise `a ^ b`; integers and truth values.
  record BitXor() implements ReduceOp {}

  /// 1 if both are not 0, else 0; integers and truth values.
  record LogicalAnd() implements ReduceOp {}

  /// 1 if one of them is not 0, else 0; integers and truth values.
  record LogicalOr() implements ReduceOp {}

  /// 1 if exactly one of them is not 0, else 0; integers and truth values.
  record LogicalXor() implements ReduceOp {}

  /// Returns the name in a fingerprint and in benchmark tables: `sum`, `prod`, `min`, `max`, `avg`,
  /// `premulsum`, `band`, `bor`, `bxor`, `land`, `lor`, `lxor`.
  default String label() {
    return switch (this) {
      case Sum _ -> "sum";
      case Prod _ -> "prod";
      case Min _ -> "min";
      case Max _ -> "max";
      case Avg _ -> "avg";
      case PreMulSum _ -> "premulsum";
      case BitAnd _ -> "band";
      case BitOr _ -> "bor";
      case BitXor _ -> "bxor";
      case LogicalAnd _ -> "land";
      case LogicalOr _ -> "lor";
      case LogicalXor _ -> "lxor";
    };
  }

  /// Returns whether elements of a type are joined by this op.
  default boolean joins(DType dtype) {
    return switch (this) {
      case Sum _, Prod _, Min _, Max _ -> true;
      case Avg _, PreMulSum _ -> dtype.isFloat();
      case BitAnd _, BitOr _, BitXor _, LogicalAnd _, LogicalOr _, LogicalXor _ -> !dtype.isFloat();
    };
  }
}
