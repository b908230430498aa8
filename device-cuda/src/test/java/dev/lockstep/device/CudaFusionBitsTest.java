package dev.lockstep.device;

import dev.lockstep.device.cuda.StandIns;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Samples;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Chains of element-wise ops that one kernel computes have the bits of the CPU device: kernels run
/// on the stand-in for the driver, and in [GpuFusionBitsTest] on a GPU.
@Timeout(120)
class CudaFusionBitsTest extends BesideTheCpu {
  private static final int OPS = 16;

  /// Returns the provider of the device that computes exact products.
  @Override
  DeviceProvider provider() {
    return StandIns.devices();
  }

  private void compare(RandomChains.Case chains) {
    sameBits(chains, chains.graph(), chains.inputs());
  }

  /// More than two tiles and a rest, rows of whole packs.
  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3})
  void randomChainsHaveTheBitsOfTheCpuDevice(long seed) {
    compare(RandomChains.of(seed, Shape.of(61, 84), OPS));
  }

  @ParameterizedTest(name = "{0} x {1}")
  @CsvSource({"1, 1", "5, 7", "300, 9", "0, 4", "4, 0", "683, 6"})
  void anyExtentHasTheBitsOfTheCpuDevice(long rows, long columns) {
    compare(RandomChains.of(1, Shape.of(rows, columns), OPS));
  }

  /// A number that is repeated to its own size is no number from elsewhere.
  @Test
  void whatIsRepeatedFromItsOwnChainIsMadeFirst() {
    GraphBuilder builder = new GraphBuilder("repeated");
    Value x = builder.input("x", ValueType.f32(1));
    Value made = builder.one(new Primitive.Add(), x, x);
    Value repeated = builder.one(new Primitive.BroadcastTo(Shape.of(1), List.of(0)), made);
    Value times = builder.one(new Primitive.Mul(), repeated, x);
    builder.output("last", builder.one(new Primitive.Add(), times, made));
    compare(new RandomChains.Case(builder.build(), Map.of("x", new double[] {3})));
  }

  /// What a norm makes is rounded, and what arrives at its gradient was.
  @ParameterizedTest
  @CsvSource({
    "false, 48, false",
    "true, 48, true",
    "false, 272, true",
    "true, 272, false",
    "true, 272, true"
  })
  void normsOfRoundedNumbersHaveTheBitsOfTheCpuDevice(
      boolean isLayerNorm, long width, boolean joinsAResidual) {
    ValueType type = ValueType.f32(21, width);
    Samples samples = new Samples(7).normal(21, width).normal(width).normal(width);
    samples = samples.normal(21, width);
    GraphBuilder builder = new GraphBuilder("norm");
    Value x = builder.input("x", type);
    Value gain = builder.input("gain", ValueType.f32(width));
    Value bias = builder.input("bias", ValueType.f32(width));
    Value dy = rounded(builder, builder.input("dy", type));
    List<Value> normed =
        isLayerNorm
            ? builder.apply(new Composite.LayerNorm(1e-5f), List.of(x, gain, bias))
            : builder.apply(new Composite.RmsNorm(1e-5f), List.of(x, gain));
    builder.output("y", builder.one(new Primitive.Convert(DType.BF16), normed.getFirst()));
    List<Value> operands = new ArrayList<>(List.of(dy, x, gain));
    operands.addAll(normed.subList(1, normed.size()));
    Blocks tokens = new Blocks(1, 3);
    Op gradient =
        isLayerNorm ? new Composite.LayerNormGrad(tokens) : new Composite.RmsNormGrad(tokens);
    List<Value> gradients = new ArrayList<>(builder.apply(gradient, operands));
    if (joinsAResidual) {
      gradients.set(0, builder.one(new Primitive.Add(), gradients.getFirst(), x));
      gradients.add(builder.one(new Primitive.Convert(DType.BF16), gradients.getFirst()));
    }
    for (int i = 0; i < gradients.size(); i++) {
      builder.output("gradient " + i, gradients.get(i));
    }
    List<double[]> numbers = samples.of(new Primitive.Neg()).operands();
    compare(
        new RandomChains.Case(
            builder.build(),
            Map.of(
                "x", numbers.get(0),
                "gain", numbers.get(1),
                "bias", numbers.get(2),
                "dy", numbers.get(3))));
  }

  private static Value rounded(GraphBuilder builder, Value value) {
    Value narrow = builder.one(new Primitive.Convert(DType.BF16), value);
    return builder.one(new Primitive.Convert(DType.F32), narrow);
  }

  static LongStream seeds() {
    return LongStream.range(100, 116);
  }

  @Tag("long")
  @ParameterizedTest
  @MethodSource("seeds")
  void manyRandomChainsHaveTheBitsOfTheCpuDevice(long seed) {
    compare(RandomChains.of(seed, Shape.of(33, 64), 3 * OPS));
  }
}
