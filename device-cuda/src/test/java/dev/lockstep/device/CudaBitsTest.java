package dev.lockstep.device;

import dev.lockstep.device.cuda.StandIns;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.CompositeCases;
import dev.lockstep.graph.OpCase;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Primitive.Part;
import dev.lockstep.graph.Primitive.Uniform;
import dev.lockstep.graph.PrimitiveCases;
import dev.lockstep.graph.Samples;
import dev.lockstep.graph.ShapeInference;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Kernels keep the CPU device's order of sums and its functions: the same bits on the same
/// numbers. Products are those of this module; kernels run on the stand-in for the driver, and in
/// [GpuBitsTest] on a GPU.
@Timeout(60)
class CudaBitsTest extends BesideTheCpu {
  /// Returns the provider of the device that computes exact products.
  @Override
  DeviceProvider provider() {
    return StandIns.devices();
  }

  static Stream<OpCase> everything() {
    return Stream.of(PrimitiveCases.all(), PrimitiveCases.ofOtherTypes(), CompositeCases.all())
        .flatMap(List::stream);
  }

  @Tag("long")
  @ParameterizedTest
  @MethodSource("everything")
  void haveTheBitsOfTheCpuDevice(OpCase op) {
    compare(op);
  }

  /// Several blocks, tiles and heads of everything; and what else the cases above are too small
  /// for.
  static List<OpCase> larger() {
    List<OpCase> cases = new ArrayList<>();
    Blocks tokens = new Blocks(2, 3);
    Blocks manyBlocks = new Blocks(1, 5000);
    cases.add(new Samples(1).normal(300, 129).of(new Primitive.Tanh()));
    cases.add(new Samples(2).normal(70, 200).normal(200, 131).of(matMul(false, new Blocks(1, 5))));
    cases.add(new Samples(3).normal(2, 70, 33).normal(2, 90, 33).of(matMul(true, Blocks.WHOLE)));
    cases.add(new Samples(4).normal(2, 5000).of(new Primitive.ReduceSum(List.of(1), tokens)));
    cases.add(new Samples(5).normal(264, 70).of(new Primitive.ReduceSum(List.of(0), tokens)));
    cases.add(new Samples(16).normal(5000).of(new Primitive.ReduceSum(List.of(0), manyBlocks)));
    cases.add(new Samples(17).normal(30000).of(new Primitive.ReduceSum(List.of(0), manyBlocks)));
    cases.add(new Samples(6).normal(3, 40, 50).of(new Primitive.Transpose(List.of(0, 2, 1))));
    cases.add(
        new Samples(7)
            .integers(0, 40, 2, 300)
            .normal(2, 300, 70)
            .of(new Primitive.ScatterAdd(41, tokens)));
    for (Blocks order : List.of(tokens, Blocks.WHOLE)) {
      cases.add(
          new Samples(18)
              .integers(0, 3, 2, 450)
              .normal(2, 450, 300)
              .of(new Primitive.ScatterAdd(4, order)));
    }
    cases.add(attention(8, 200, 64, 2));
    cases.add(attention(9, 70, 128, 1));
    cases.add(attention(10, 40, 256, 1));
    cases.add(
        new Samples(11).normal(20, 768).normal(768).normal(768).of(new Composite.LayerNorm(1e-5f)));
    cases.add(
        new Samples(12)
            .normal(12, 3000)
            .targets(3000, 12)
            .of(new Composite.CrossEntropy(tokens, new Blocks(1, 4))));
    Part whole = Part.all(Shape.of(3, 1000));
    cases.add(new Samples(13).integers(5, 6).integers(3, 4).of(new Uniform(whole, -5, 7)));
    Part part = new Part(Shape.of(5, 6, 70), List.of(1L, 2L, 7L), Shape.of(3, 2, 50));
    cases.add(new Samples(14).integers(5, 6).integers(3, 4).of(new Uniform(part, 42, 9)));
    cases.add(
        new Samples(31).normal(1, 40, 256).of(new Composite.Rotary(128, 500_000, 100_000, false)));
    for (float step : new float[] {1, 17, 4_000}) {
      cases.add(
          new Samples(32)
              .normal(40, 130)
              .normal(40, 130)
              .normal(40, 130)
              .positive(40, 130)
              .scalar(3e-4f)
              .scalar(step)
              .scalar(0.125)
              .of(new Composite.AdamW(0.9f, 0.9999f, 1e-8f, 0.1f)));
    }
    for (DType narrow : DType.values()) {
      cases.add(new Samples(15).wide(4000).of(new Primitive.Convert(narrow)));
    }
    return cases;
  }

  private static Primitive.MatMul matMul(boolean transposed, Blocks blocks) {
    return new Primitive.MatMul(false, transposed, blocks);
  }

  private static OpCase attention(long seed, long tokens, long size, int heads) {
    return new Samples(seed)
        .normal(1, tokens, 3 * size * heads)
        .of(new Composite.CausalAttention(heads));
  }

  @ParameterizedTest
  @MethodSource("larger")
  void haveTheBitsOfTheCpuDeviceOverManyTiles(OpCase op) {
    compare(op);
  }

  static List<OpCase> gradients() {
    return List.of(attention(20, 200, 64, 2), attention(21, 70, 128, 1), attention(22, 40, 256, 1));
  }

  @ParameterizedTest
  @MethodSource("gradients")
  void attentionsGradientHasTheBitsOfTheCpuDevice(OpCase forward) {
    List<ValueType> types = ShapeInference.infer(forward.op(), forward.types());
    List<double[]> results = DeviceRunner.run(cpu(), forward.graph(), forward.inputs());
    int heads = ((Composite.CausalAttention) forward.op()).heads();
    compare(
        new Samples(30)
            .normal(types.getFirst().shape().dims())
            .given(forward.types().getFirst(), forward.operands().getFirst())
            .given(types.get(0), results.get(0))
            .given(types.get(1), results.get(1))
            .of(new Composite.CausalAttentionGrad(heads, new Blocks(1, 3))));
  }

  private void compare(OpCase op) {
    if (cuda().supports(op.op(), op.types()) instanceof Support.No
        || cpu().supports(op.op(), op.types()) instanceof Support.No) {
      return; // what a device refuses is for the contract tests
    }
    sameBits(op, op.graph(), op.inputs());
  }
}
