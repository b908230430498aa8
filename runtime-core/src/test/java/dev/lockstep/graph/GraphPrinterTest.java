package dev.lockstep.graph;

import static dev.lockstep.graph.ValueType.f32;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.Neg;
import org.junit.jupiter.api.Test;

class GraphPrinterTest {
  private static Graph graph() {
    GraphBuilder builder = new GraphBuilder("product");
    Value x = builder.input("x", f32(2, 3));
    Value w = builder.input("w", f32(3, 3));
    Value y = builder.one(new MatMul(false, false, Blocks.WHOLE), x, w);
    builder.outputInto("y", builder.one(new Neg(), y), "x");
    return builder.build();
  }

  @Test
  void printsALinePerInputNodeAndOutput() {
    assertThat(GraphPrinter.text(graph()).lines())
        .containsExactly(
            "graph product",
            "  input  x = %0: F32[2, 3]",
            "  input  w = %1: F32[3, 3]",
            "  %2: F32[2, 3] = MatMul(%0, %1) {transposeA=false, transposeB=false,"
                + " contraction=Blocks[outer=1, count=1]}  36 FLOPs, 84 bytes",
            "  %3: F32[2, 3] = Neg(%2)  6 FLOPs, 48 bytes",
            "  output y = %3 into x");
  }

  @Test
  void drawsABoxPerNodeAndAnEdgePerUse() {
    assertThat(GraphPrinter.dot(graph()).lines())
        .contains(
            "  i0 [label=\"x\\nF32[2, 3]\", shape=ellipse];",
            "  n0 [label=\"MatMul\"];",
            "  i1 -> n0 [label=\"F32[3, 3]\"];",
            "  n0 -> n1 [label=\"F32[2, 3]\"];",
            "  n1 -> o0 [label=\"F32[2, 3]\"];");
  }
}
