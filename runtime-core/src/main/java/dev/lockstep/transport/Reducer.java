package dev.lockstep.transport;

import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.lang.foreign.MemorySegment;

/// Joins contributions element by element. Allocates nothing; stateless.
///
/// Floats of one and two bytes are joined in `float` and rounded to nearest, ties to even. Integers
/// wrap. Of truth values, a sum and a maximum are "or", a product and a minimum "and". An average
/// is the sum here: who knows the number of ranks divides. A NaN wins everywhere. The result has
/// the same bits on every machine, except for the payload of a NaN.
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
    KERNELS.join(code(op), dtype, dst, dstOffset, dst, dstOffset, src, srcOffset, elements);
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
    KERNELS.join(code(op), dtype, dst, dstOffset, a, aOffset, b, bOffset, elements);
  }

  private static int code(ReduceOp op) {
    return switch (op) {
      case ReduceOp.Sum _, ReduceOp.Avg _ -> JoinKernels.SUM;
      case ReduceOp.Prod _ -> JoinKernels.PROD;
      case ReduceOp.Min _ -> JoinKernels.MIN;
      case ReduceOp.Max _ -> JoinKernels.MAX;
    };
  }

  private static JoinKernels choose() {
    boolean vectors = ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent();
    return vectors ? new VectorJoinKernels() : new ScalarJoinKernels();
  }
}
