package dev.lockstep.train.autodiff;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.Reshape;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;

/// Gradients of matrix products, operand 0 times operand 1.
final class ProductGradients {
  private final GraphBuilder builder;
  private final GradientBlocks blocks;
  private final NodeGradients node;

  ProductGradients(GraphBuilder builder, GradientBlocks blocks, NodeGradients node) {
    this.builder = builder;
    this.blocks = blocks;
    this.node = node;
  }

  void differentiate(MatMul product) {
    if (node.shape(1).rank() == 2 && !product.transposeA()) {
      withWeight(product.transposeB());
    } else {
      batched(product.transposeA(), product.transposeB());
    }
  }

  /// `x […, K] · w [K, N]`: the input's gradient sums over the columns of the weight, the weight's
  /// over all rows.
  void withWeight(boolean transposed) {
    Value dy = node.gradient();
    Value weight = node.operand(1);
    if (node.needs(0)) {
      node.give(0, product(dy, false, weight, !transposed, blocks.columns(node.forward(1))));
    }
    if (node.needs(1)) {
      Value x = rows(node.operand(0));
      Value rows = rows(dy);
      node.give(
          1,
          transposed
              ? product(rows, true, x, false, blocks.tokens())
              : product(x, true, rows, false, blocks.tokens()));
    }
  }

  /// Operands of equal batches; what is summed belongs to no dimension that a layout splits.
  private void batched(boolean transposeA, boolean transposeB) {
    Value dy = node.gradient();
    Value a = node.operand(0);
    Value b = node.operand(1);
    if (node.needs(0)) {
      node.give(
          0,
          transposeA
              ? product(b, transposeB, dy, true, Blocks.WHOLE)
              : product(dy, false, b, !transposeB, Blocks.WHOLE));
    }
    if (node.needs(1)) {
      node.give(
          1,
          transposeB
              ? product(dy, true, a, transposeA, Blocks.WHOLE)
              : product(a, !transposeA, dy, false, Blocks.WHOLE));
    }
  }

  /// `[…, C]` as `[rows, C]`.
  private Value rows(Value x) {
    Shape shape = x.type().shape();
    if (shape.rank() == 2) {
      return x;
    }
    long rows = 1;
    for (int dim = 0; dim < shape.rank() - 1; dim++) {
      rows *= shape.dim(dim);
    }
    return builder.one(new Reshape(Shape.of(rows, shape.dim(-1))), x);
  }

  private Value product(Value a, boolean transposeA, Value b, boolean transposeB, Blocks blocks) {
    return builder.one(new MatMul(transposeA, transposeB, blocks), a, b);
  }
}
