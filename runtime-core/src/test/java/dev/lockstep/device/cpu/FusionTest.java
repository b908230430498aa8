package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceContract.Variant;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// What is fused has the bits of separate steps, on any number of threads and at any width.
@Timeout(120)
class FusionTest {
  private static final List<Device> DEVICES = new ArrayList<>();
  private static final Blocks BLOCKS = new Blocks(1, 3);

  @BeforeAll
  static void open() {
    for (Variant variant : CpuVariants.all()) {
      DEVICES.add(GraphRun.device(variant.threads(), variant.vectorBits()));
    }
    for (int threads = 4; threads <= 8; threads++) {
      DEVICES.add(GraphRun.device(threads, 0));
    }
  }

  @AfterAll
  static void close() {
    DEVICES.forEach(Device::close);
  }

  /// Runs a graph and returns the bytes of each output.
  private static List<String> run(Device device, Graph graph, Fusion.Reach reach, long seed) {
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    List<Graph.Named> named = new ArrayList<>(graph.inputs());
    graph.outputs().stream()
        .filter(output -> !graph.aliases().containsKey(output.name()))
        .forEach(named::add);
    long bytes = named.stream().mapToLong(each -> room(each)).sum() + 64;
    try (Buffer buffer = device.allocate("tensors", bytes);
        Program program = CpuProgram.compile(List.of(graph), (CpuDevice) device, reach).getFirst();
        Stream stream = device.newStream()) {
      long offset = 0;
      Random random = new Random(seed);
      for (Graph.Named each : named) {
        ValueType type = each.value().type();
        Tensor tensor = new Tensor(buffer, offset, type.dtype(), type.shape());
        for (int i = 0; i < type.shape().elements(); i++) {
          double number = type.dtype() == DType.I32 ? 3 : random.nextGaussian();
          Numbers.store(type.dtype(), tensor.segment().address(), i, number);
        }
        tensors.put(each.name(), tensor);
        offset += room(each);
      }
      BoundProgram bound = program.bind(tensors);
      stream.run(bound);
      stream.synchronize();
      List<String> outputs = new ArrayList<>();
      for (Graph.Named output : graph.outputs()) {
        String name = graph.aliases().getOrDefault(output.name(), output.name());
        Tensor tensor = java.util.Objects.requireNonNull(tensors.get(name));
        byte[] found = new byte[(int) output.value().type().bytes()];
        for (int i = 0; i < found.length; i++) {
          found[i] = Memory.i8(tensor.segment().address() + i);
        }
        outputs.add(HexFormat.of().formatHex(found));
      }
      return outputs;
    }
  }

  private static long room(Graph.Named named) {
    return (named.value().type().bytes() + 63) & -64L;
  }

  private static void assertSameBits(Graph graph, long seed) {
    List<String> wanted = run(DEVICES.getFirst(), graph, Fusion.Reach.NONE, seed);
    for (Device device : DEVICES) {
      assertThat(run(device, graph, Fusion.Reach.PRODUCTS, seed))
          .as("%s", device.info())
          .isEqualTo(wanted);
    }
  }

  private static List<String> labels(Graph graph) {
    CpuDevice device = (CpuDevice) DEVICES.getLast();
    try (Program program =
        CpuProgram.compile(List.of(graph), device, Fusion.Reach.PRODUCTS).getFirst()) {
      return program.steps().stream().map(step -> step.label()).toList();
    }
  }

  /// What is slower than a pass of its own is not fused by default.
  @Test
  void byDefaultAnAdditionJoinsItsProductAndGeluDoesNot() {
    GraphBuilder builder = new GraphBuilder("default");
    Value y = linear(builder, 24, 9, 64);
    Value sum = builder.one(new Primitive.Add(), y, builder.input("r", ValueType.f32(24, 64)));
    builder.output("y", builder.one(new Composite.Gelu(), sum));
    try (Program program = DEVICES.getLast().compile(builder.build())) {
      assertThat(program.steps().stream().map(step -> step.label()))
          .satisfiesExactly(
              product -> assertThat(product).endsWith("+bias +residual"),
              gelu -> assertThat(gelu).isEqualTo("Element GELU"));
    }
  }

  private static Value linear(GraphBuilder builder, int rows, int in, int out) {
    return builder.one(
        new Composite.Linear(false, BLOCKS),
        builder.input("x", ValueType.f32(rows, in)),
        builder.input("w", ValueType.f32(in, out)),
        builder.input("bias", ValueType.f32(out)));
  }

  @ParameterizedTest(name = "rows={0} in={1} out={2}")
  @CsvSource({"24, 9, 64", "37, 30, 71", "1, 3, 1", "0, 4, 5", "5, 4, 0", "5, 0, 7"})
  void geluFollowsItsProductWhichIsKeptForTheGradient(int rows, int in, int out) {
    GraphBuilder builder = new GraphBuilder("gelu");
    Value before = linear(builder, rows, in, out);
    builder.output("y", builder.one(new Composite.Gelu(), before));
    builder.output("before", before);
    Graph graph = builder.build();
    assertThat(labels(graph)).singleElement().asString().endsWith("+bias +GELU");
    assertSameBits(graph, 1);
  }

  @Test
  void theGradientOfGeluFollowsTheProductThatBringsIt() {
    GraphBuilder builder = new GraphBuilder("gradient");
    Value dy =
        builder.one(
            new Primitive.MatMul(false, true, BLOCKS),
            builder.input("dout", ValueType.f32(31, 20)),
            builder.input("w", ValueType.f32(70, 20)));
    Value before = builder.input("before", ValueType.f32(31, 70));
    Value dx = builder.one(new Composite.GeluGrad(), dy, before);
    builder.outputInto("dx", dx, "before");
    Graph graph = builder.build();
    assertThat(labels(graph)).singleElement().asString().endsWith("+GELU_GRAD");
    assertSameBits(graph, 2);
  }

  @Test
  void swiGluFollowsTheSecondOfItsProducts() {
    GraphBuilder builder = new GraphBuilder("swiglu");
    Value gate = linear(builder, 26, 12, 40);
    Value up =
        builder.one(
            new Primitive.MatMul(false, false, BLOCKS),
            builder.input("x2", ValueType.f32(26, 12)),
            builder.input("w2", ValueType.f32(12, 40)));
    builder.output("y", builder.one(new Composite.SwiGlu(), gate, up));
    builder.output("gate", gate);
    Graph graph = builder.build();
    assertThat(labels(graph)).hasSize(2).last().asString().endsWith("+SWIGLU");
    assertSameBits(graph, 3);
  }

  @Test
  void dropoutAndResidualFollowAProduct() {
    GraphBuilder builder = new GraphBuilder("dropout");
    Value y = linear(builder, 29, 10, 45);
    Shape shape = Shape.of(29, 45);
    Primitive.Uniform random = new Primitive.Uniform(Primitive.Part.all(shape), 7, 2);
    Value dropped =
        builder.one(
            new Composite.Dropout(0.3f, random),
            y,
            builder.input("step", ValueType.i32()),
            builder.input("lane", ValueType.i32()));
    Value residual = builder.input("residual", ValueType.f32(29, 45));
    builder.outputInto("out", builder.one(new Primitive.Add(), residual, dropped), "residual");
    Graph graph = builder.build();
    assertThat(labels(graph)).singleElement().asString().endsWith("+DROPOUT+ADD");
    assertSameBits(graph, 4);
  }

  @Test
  void aChainIsOnePassAndLeavesNothingBetween() {
    GraphBuilder builder = new GraphBuilder("chain");
    Value x = builder.input("x", new ValueType(DType.BF16, Shape.of(5000)));
    Value wide = builder.one(new Primitive.Convert(DType.F32), x);
    Value half = builder.one(new Primitive.Constant(ValueType.f32(5000), 0.5));
    Value scale = builder.input("scale", ValueType.f32());
    Value scales = builder.one(new Primitive.BroadcastTo(Shape.of(5000), List.of()), scale);
    Value y = builder.one(new Primitive.Mul(), wide, half);
    y = builder.one(new Composite.Silu(), y);
    y = builder.one(new Primitive.Mul(), y, scales);
    y = builder.one(new Primitive.Add(), y, wide);
    builder.output("y", builder.one(new Primitive.Convert(DType.BF16), y));
    Graph graph = builder.build();
    assertThat(labels(graph)).hasSize(1);
    try (Program program = DEVICES.getFirst().compile(graph)) {
      // Cells of 4 KiB, and nothing for values.
      assertThat(program.arenaBytes()).isLessThan(8 * 4096);
      assertThat(program.steps().getFirst().cost().bytes()).isEqualTo(2 * 2 * 5000 + 4);
    }
    assertSameBits(graph, 5);
  }

  @Test
  void theGradientOfSwiGluFollowsTheProductThatBringsIt() {
    GraphBuilder builder = new GraphBuilder("swiglu gradient");
    Value dy = linear(builder, 26, 12, 40);
    Value gate = builder.input("gate", ValueType.f32(26, 40));
    Value up = builder.input("up", ValueType.f32(26, 40));
    List<Value> gradients = builder.apply(new Composite.SwiGluGrad(), List.of(dy, gate, up));
    builder.output("dgate", gradients.getFirst());
    builder.outputInto("dup", gradients.getLast(), "up");
    Graph graph = builder.build();
    assertThat(labels(graph)).hasSize(1);
    assertSameBits(graph, 6);
  }

  /// A number that is repeated to its own size is no number from elsewhere.
  @ParameterizedTest(name = "product={0}")
  @ValueSource(booleans = {false, true})
  void whatIsRepeatedFromItsOwnChainIsMadeFirst(boolean product) {
    GraphBuilder builder = new GraphBuilder("repeated");
    Shape one = Shape.of(1, 1);
    Value x = builder.input("x", ValueType.f32(1, 1));
    Value y = builder.input("y", ValueType.f32(1, 1));
    Value made =
        builder.one(
            product ? new Primitive.MatMul(false, false, BLOCKS) : new Primitive.Add(), x, y);
    Value number = builder.one(new Primitive.Reshape(Shape.scalar()), made);
    Value repeated = builder.one(new Primitive.BroadcastTo(one, List.of()), number);
    Value times = builder.one(new Primitive.Mul(), repeated, builder.input("g", made.type()));
    builder.output("last", builder.one(new Primitive.Add(), times, made));
    assertSameBits(builder.build(), 7);
  }

  @ParameterizedTest(name = "side={0}")
  @ValueSource(ints = {1, 15})
  void randomGraphsHaveTheBitsOfSeparateSteps(int side) {
    for (long seed = 0; seed < 60; seed++) {
      Graph graph = random(new Random(seed), side);
      List<String> wanted = run(DEVICES.getFirst(), graph, Fusion.Reach.NONE, seed);
      for (Device device : List.of(DEVICES.getFirst(), DEVICES.getLast())) {
        for (Fusion.Reach reach : List.of(Fusion.Reach.ELEMENTS, Fusion.Reach.PRODUCTS)) {
          assertThat(run(device, graph, reach, seed))
              .as("seed %d, %s, %s", seed, reach, device.info())
              .isEqualTo(wanted);
        }
      }
    }
  }

  /// Element-wise ops, conversions, products, reshapes and sums of square matrices, and repetitions
  /// of one number: given, computed, or a matrix of one element.
  private static Graph random(Random random, int side) {
    GraphBuilder builder = new GraphBuilder("random");
    List<Value> values = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      values.add(builder.input("x" + i, ValueType.f32(side, side)));
    }
    List<Value> numbers = new ArrayList<>();
    numbers.add(builder.input("scalar", ValueType.f32()));
    Shape square = Shape.of(side, side);
    for (int i = 0; i < 30; i++) {
      // Mostly what is new, so that chains get long.
      IntStream late = random.ints(2, Math.max(0, values.size() - 6), values.size());
      List<Value> pair = late.mapToObj(values::get).toList();
      Value a = pair.getFirst();
      Value b = pair.getLast();
      switch (random.nextInt(12)) {
        case 0 -> values.add(builder.one(new Primitive.Sub(), a, b));
        case 1 -> values.add(builder.one(new Primitive.Tanh(), a));
        case 2 -> values.add(builder.one(new Composite.SiluGrad(), a, b));
        case 3 ->
            values.add(
                builder.one(
                    new Primitive.Tanh(),
                    builder.one(new Primitive.MatMul(false, true, BLOCKS), a, b)));
        case 4 ->
            values.add(
                builder.one(
                    new Primitive.Add(),
                    a,
                    builder.one(
                        new Primitive.MatMul(false, false, BLOCKS),
                        builder.one(new Primitive.Tanh(), a),
                        b)));
        case 5 ->
            values.add(
                builder.one(
                    new Primitive.Reshape(square),
                    builder.one(
                        new Primitive.Neg(),
                        builder.one(new Primitive.Reshape(Shape.of((long) side * side)), a))));
        case 6 -> {
          Value narrow = builder.one(new Primitive.Convert(DType.BF16), a);
          values.add(builder.one(new Primitive.Convert(DType.F32), narrow));
        }
        case 7 -> values.addAll(builder.apply(new Composite.SwiGluGrad(), List.of(a, b, a)));
        case 8 -> {
          Value number = numbers.get(random.nextInt(numbers.size()));
          if (side == 1 && random.nextBoolean()) {
            number = builder.one(new Primitive.Reshape(Shape.scalar()), b);
          }
          Value repeated = builder.one(new Primitive.BroadcastTo(square, List.of()), number);
          values.add(builder.one(new Primitive.Mul(), a, repeated));
        }
        case 10 -> {
          Value number = builder.one(new Primitive.Tanh(), numbers.getLast());
          numbers.add(builder.one(new Primitive.Sub(), number, numbers.getFirst()));
        }
        case 9 -> values.add(builder.one(new Primitive.Transpose(List.of(1, 0)), a));
        default -> values.add(builder.one(new Primitive.Min(), a, b));
      }
    }
    for (int i = 0; i < 3; i++) {
      builder.output("y" + i, values.get(random.nextInt(values.size())));
    }
    builder.output("last", values.getLast());
    builder.outputInto("into0", values.get(4 + random.nextInt(values.size() - 4)), "x0");
    builder.outputInto("into1", values.get(random.nextInt(values.size())), "x1");
    return builder.build();
  }
}
