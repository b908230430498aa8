package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.Support;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ValueType;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// What the CUDA device refuses, and that it gives a reason.
class CudaSupportTest {
  private static final Blocks MANY = new Blocks(1, 4096);

  private static String reason(Op op, ValueType... types) {
    return CudaSupport.of(op, List.of(types)) instanceof Support.No(String reason) ? reason : "";
  }

  static List<Op> sumsOfManyBlocks() {
    return List.of(
        new Primitive.ReduceSum(List.of(0), MANY),
        new Primitive.ReduceSum(List.of(1), MANY),
        new Primitive.MatMul(false, false, MANY),
        new Primitive.ScatterAdd(8, MANY),
        new Composite.Linear(false, MANY),
        new Composite.RmsNormGrad(MANY),
        new Composite.LayerNormGrad(MANY),
        new Composite.CrossEntropy(MANY, Blocks.WHOLE),
        new Composite.CrossEntropy(Blocks.WHOLE, MANY));
  }

  @ParameterizedTest
  @MethodSource("sumsOfManyBlocks")
  void refusesMoreBlocksThanAKernelJoins(Op op) {
    ValueType type = ValueType.f32(8192, 8192);
    assertThat(reason(op, type, type, type)).contains("blocks=4096, most=4095");
  }

  @Test
  void joinsAnyNumberOfBlocksOfASumOfEverything() {
    Primitive sum = new Primitive.ReduceSum(List.of(0), new Blocks(1, 100_000));
    assertThat(reason(sum, ValueType.f32(100_000))).isEmpty();
    assertThat(reason(sum, ValueType.f32(100_001))).contains("blocks=100000");
  }
}
