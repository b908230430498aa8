package dev.lockstep.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.CompositeCases;
import dev.lockstep.graph.Decomposition;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.OpCase;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Primitive.AllReduce;
import dev.lockstep.graph.PrimitiveCases;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.ReferenceInterpreter;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Map;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/// What every device must compute: each op against the float64 reference, and the same bits
/// whatever the threads and the vector width. Ownership, binding and budgets are in
/// [DeviceMemoryContractTest], the order of sums in [DeviceOrderContractTest].
public abstract class DeviceContractTest extends DeviceContract {
  static List<OpCase> primitives() {
    return PrimitiveCases.all();
  }

  static List<OpCase> optional() {
    return PrimitiveCases.ofOtherTypes();
  }

  static List<OpCase> composites() {
    return CompositeCases.all();
  }

  static Stream<OpCase> everything() {
    return Stream.of(primitives(), composites()).flatMap(List::stream);
  }

  LongStream seeds() {
    return LongStream.rangeClosed(1, randomGraphs());
  }

  /// Returns how many random graphs are computed.
  protected int randomGraphs() {
    return 12;
  }

  private void compare(OpCase op, Graph graph) {
    List<double[]> found = DeviceRunner.run(device(), graph, op.inputs());
    List<double[]> expected = op.expected();
    for (int i = 0; i < expected.size(); i++) {
      Accuracy.check(op.op(), found.get(i), expected.get(i));
    }
  }

  @Test
  void saysWhatItIs() {
    for (int i = 0; i < devices().size(); i++) {
      DeviceInfo info = devices().get(i).info();
      assertThat(info.name()).startsWith(provider().name());
      assertThat(info.description()).isNotBlank();
      assertThat(info.threads()).isEqualTo(variants().get(i).threads());
      int wanted = variants().get(i).vectorBits();
      assertThat(info.vectorBits()).isEqualTo(wanted == 0 ? info.vectorBits() : wanted);
    }
  }

  @ParameterizedTest
  @MethodSource("primitives")
  void computesEveryPrimitive(OpCase op) {
    assertThat(device().supports(op.op(), op.types())).isEqualTo(new Support.Yes());
    compare(op, op.graph());
  }

  @ParameterizedTest
  @MethodSource("optional")
  void computesOrRefusesOtherTypes(OpCase op) {
    switch (device().supports(op.op(), op.types())) {
      case Support.Yes _ -> compare(op, op.graph());
      case Support.No(String reason) -> {
        assertThat(reason).isNotBlank();
        Graph graph = op.graph();
        assertThatThrownBy(() -> device().compile(graph))
            .isInstanceOf(IllegalArgumentException.class)
            .hasMessageContaining(reason);
      }
    }
  }

  /// Numbers next to the middle between two floats, which have more digits than a double.
  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"F32", "BF16", "F16", "F8_E5M2", "F8_E4M3FN"})
  void roundsWholeNumbersOnce(DType to) {
    int digits =
        switch (to) {
          case F32 -> 24;
          case F16 -> 11;
          case BF16 -> 8;
          case F8_E4M3FN -> 4;
          default -> 3;
        };
    int exponent =
        switch (to) {
          case F32, BF16 -> 62;
          case F8_E4M3FN -> 7;
          default -> 14;
        };
    long one = 1L << exponent;
    long next = 1L << (exponent - digits + 1);
    long middle = one + next / 2;
    long[] whole = {middle, middle + 1, -middle - 1, middle - 1, middle + next, middle + next - 1};
    double[] rounded = {one, one + next, -one - next, one, one + 2 * next, one + next};
    ValueType type = new ValueType(DType.I64, Shape.of(whole.length));
    Primitive.Convert convert = new Primitive.Convert(to);
    if (device().supports(convert, List.of(type)) instanceof Support.Yes) {
      GraphBuilder builder = new GraphBuilder("whole");
      builder.output("y", builder.one(convert, builder.input("x", type)));
      try (DeviceRunner runner = new DeviceRunner(device(), builder.build());
          Arena arena = Arena.ofConfined()) {
        runner.stream()
            .copyIn(runner.tensor("x"), arena.allocateFrom(ValueLayout.JAVA_LONG, whole));
        runner.run();
        assertThat(runner.get("y")).isEqualTo(rounded);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("composites")
  void computesEveryComposite(OpCase op) {
    compare(op, op.graph());
  }

  @ParameterizedTest
  @MethodSource("composites")
  void computesEveryCompositesPrimitives(OpCase op) {
    compare(op, Decomposition.expand(op.graph(), (_, _) -> false));
  }

  @ParameterizedTest
  @MethodSource("everything")
  void givesTheSameBitsInEveryVariant(OpCase op) {
    if (devices().size() == 1) {
      return; // nothing to compare with
    }
    Graph graph = op.graph();
    List<byte[]> expected = DeviceRunner.bits(device(), graph, op.inputs());
    for (Device other : devices().subList(1, devices().size())) {
      List<byte[]> found = DeviceRunner.bits(other, graph, op.inputs());
      for (int i = 0; i < expected.size(); i++) {
        assertThat(found.get(i)).as("%s", other.info()).isEqualTo(expected.get(i));
      }
    }
  }

  /// Wrong plans of working memory show as values that were overwritten.
  @ParameterizedTest
  @MethodSource("seeds")
  void computesRandomGraphs(long seed) {
    RandomGraph random = new RandomGraph(seed);
    Graph graph = random.graph();
    List<double[]> expected = ReferenceInterpreter.run(graph, random.inputs());
    for (Device device : devices()) {
      List<double[]> found = DeviceRunner.run(device, graph, random.inputs());
      for (int i = 0; i < expected.size(); i++) {
        Accuracy.checkNear(found.get(i), expected.get(i));
      }
    }
  }

  @Test
  void namesTheReasonOfAnUnsupportedOp() {
    OpCase product =
        new OpCase(
            new Primitive.MatMul(false, false, Blocks.WHOLE),
            List.of(
                new ValueType(DType.F8_E5M2, Shape.of(2, 2)),
                new ValueType(DType.F8_E5M2, Shape.of(2, 2))),
            List.of(new double[] {1, 2, 3, 4}, new double[] {1, 0, 0, 1}));
    computesOrRefusesOtherTypes(product);
  }

  @Test
  void leavesCollectivesThatItDoesNotRunToTheHost() {
    AllReduce sum = new AllReduce("dp", new ReduceOp.Sum(), LaneSplit.onePerRank(2));
    List<ValueType> types = List.of(ValueType.f32(2));
    boolean runs = device().supports(sum, types) instanceof Support.Yes;
    GraphBuilder builder = new GraphBuilder("sum");
    builder.output("y", builder.one(sum, builder.input("x", ValueType.f32(2))));
    Graph graph = builder.build();
    if (!runs) {
      assertThatThrownBy(() -> device().compile(graph))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("AllReduce");
    } else {
      device().compile(graph).close();
    }
  }

  @Test
  void claimsCompositesOnlyByYesOrAReason() {
    for (OpCase composite : CompositeCases.all()) {
      Support support = device().supports((Composite) composite.op(), composite.types());
      if (support instanceof Support.No(String reason)) {
        assertThat(reason).isNotBlank();
      }
    }
  }

  @Test
  void explainsItsPlan() {
    OpCase product = PrimitiveCases.all().getLast();
    try (Program program = device().compile(product.graph())) {
      assertThat(program.explain()).contains(product.op().label());
      assertThat(program.graph()).isEqualTo(product.graph());
    }
  }

  @Test
  void passesInputsAndConstantsThrough() {
    GraphBuilder builder = new GraphBuilder("through");
    var x = builder.input("x", ValueType.f32(5));
    builder.input("unused", ValueType.i32(3));
    var doubled = builder.one(new Primitive.Add(), x, x);
    builder.one(new Primitive.Exp(), doubled);
    builder.output("same", x);
    builder.output("once", doubled);
    builder.output("twice", doubled);
    builder.output("constant", builder.one(new Primitive.Constant(ValueType.f32(2), 7)));
    double[] numbers = {1, -2, 3, 0.5, 0};
    Map<String, double[]> inputs = Map.of("x", numbers, "unused", new double[] {1, 2, 3});
    List<double[]> found = DeviceRunner.run(device(), builder.build(), inputs);
    assertThat(found.get(0)).isEqualTo(numbers);
    assertThat(found.get(1)).isEqualTo(new double[] {2, -4, 6, 1, 0}).isEqualTo(found.get(2));
    assertThat(found.get(3)).isEqualTo(new double[] {7, 7});
  }
}
