package dev.lockstep.transport;

import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.lang.foreign.MemorySegment;

/// Joins contributions element by element. Allocates nothing; stateless.
///
/// Floats of one and two bytes are joined in `float` and rounded to nearest, ties to even. Integers
/// wrap. Of truth values, a sum and a maximum are "or", a product and a minimum "and". An average
/// is the sum here: who knows the number of lanes divides; so is a pre-multiplied sum: its
/// contributions come through [#scale] first. A NaN wins everywhere. The result has the same bits
/// on every machine, except for the payload of a NaN.
///
/// An op that [ReduceOp#joins] does not allow for a type is refused.
public final class Reducer {
  private static final JoinKernels KERNELS = choose();

  private Reducer() {}

  /// Computes `dst = dst (op) src` for `elements` elements. Offsets are in bytes and need no
  /// alignment; the ranges are the same or do not overlap.
  public static void reduce(
      ReduceOp op,
      DType dtype,
      MemorySegment dst,
      long dstOffset,
      MemorySegment src,
      long srcOffset,
      long elements) {
    KERNELS.join(code(op, dtype), dtype, dst, dstOffset, dst, dstOffset, src, srcOffset, elements);
  }

  /// Computes `dst = a (op) b` for `elements` elements. Offsets are in bytes and need no alignment;
  /// `dst` may be `a` or `b`, and otherwise does not overlap them.
  public static void join(
      ReduceOp op,
      DType dtype,
      MemorySegment dst,
      long dstOffset,
      MemorySegment a,
      long aOffset,
      MemorySegment b,
      long bOffset,
      long elements) {
    KERNELS.join(code(op, dtype), dtype, dst, dstOffset, a, aOffset, b, bOffset, elements);
  }

  /// Computes `dst = src * factor` for `elements` elements, rounded once to the type. `dst` may be
  /// `src`, and otherwise does not overlap it.
  ///
  /// @param factor taken as `float` by the types of up to 4 bytes
  /// @throws IllegalArgumentException if the type is not a floating-point type
  public static void scale(
      DType dtype,
      double factor,
      MemorySegment dst,
      long dstOffset,
      MemorySegment src,
      long srcOffset,
      long elements) {
    ScaleKernels.scale(dtype, factor, dst, dstOffset, src, srcOffset, elements);
  }

  private static int code(ReduceOp op, DType dtype) {
    if (!op.joins(dtype)) {
      throw new IllegalArgumentException(
          "reduce op is not defined for the element type: op=%s, dtype=%s"
              .formatted(op.label(), dtype));
    }
    return switch (op) {
      case ReduceOp.Sum _, ReduceOp.Avg _, ReduceOp.PreMulSum _ -> JoinKernels.SUM;
      case ReduceOp.Prod _ -> JoinKernels.PROD;
      case ReduceOp.Min _ -> JoinKernels.MIN;
      case ReduceOp.Max _ -> JoinKernels.MAX;
      case ReduceOp.BitAnd _ -> JoinKernels.AND;
      case ReduceOp.BitOr _ -> JoinKernels.OR;
      case ReduceOp.BitXor _ -> JoinKernels.XOR;
      case ReduceOp.LogicalAnd _ -> JoinKernels.BOTH;
      case ReduceOp.LogicalOr _ -> JoinKernels.EITHER;
      case ReduceOp.LogicalXor _ -> JoinKernels.ONE;
    };
  }

  private static JoinKernels choose() {
    boolean vectors = ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent();
    return vectors ? new VectorJoinKernels() : new ScalarJoinKernels();
  }
}
