package dev.lockstep.device.cuda;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.tensor.Shape;

/// The extents of a product of matrices, and how its operands lie.
///
/// @param batch how many products
/// @param m rows of the result
/// @param n columns of the result
/// @param k what is summed over
/// @param transposeA whether the left operand lies as `[k, m]`
/// @param transposeB whether the right operand lies as `[n, k]`
record Extents(int batch, int m, int n, int k, boolean transposeA, boolean transposeB) {
  /// Returns those of a `MatMul` or a `Linear`. A matrix that all products of a batch share
  /// multiplies their rows as one.
  static Extents of(Node node) {
    boolean transposeA = node.op() instanceof Primitive.MatMul product && product.transposeA();
    boolean transposeB =
        node.op() instanceof Composite.Linear(boolean transposed, var _)
            ? transposed
            : node.op() instanceof Primitive.MatMul product && product.transposeB();
    Shape left = node.inputs().get(0).type().shape();
    Shape right = node.inputs().get(1).type().shape();
    boolean isShared = right.rank() == 2;
    long leading = Sizes.product(left, 0, left.rank() - 2);
    long m = left.dim(transposeA ? -1 : -2) * (isShared ? leading : 1);
    return new Extents(
        Sizes.of(isShared ? 1 : leading),
        Sizes.of(m),
        Sizes.of(right.dim(transposeB ? -2 : -1)),
        Sizes.of(left.dim(transposeA ? -2 : -1)),
        transposeA,
        transposeB);
  }

  long rows() {
    return (long) batch * m;
  }

  /// Whether there is anything to sum.
  boolean isEmpty() {
    return rows() * n * k == 0;
  }

  /// Returns these with others of one product.
  Extents with(int rows, int columns, int summed) {
    return new Extents(batch, rows, columns, summed, transposeA, transposeB);
  }
}
