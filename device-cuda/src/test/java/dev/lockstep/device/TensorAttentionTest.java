package dev.lockstep.device;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.cuda.StandIns;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Closeness;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Composite.CausalAttention;
import dev.lockstep.graph.Composite.CausalAttentionGrad;
import dev.lockstep.graph.Composite.GroupedAttention;
import dev.lockstep.graph.Composite.GroupedAttentionGrad;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.OpCase;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Samples;
import dev.lockstep.graph.ShapeInference;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Attention by tensor cores against the float64 reference, of float32 and of bfloat16 operands.
/// Runs on the stand-in for the driver, and in [GpuTensorAttentionTest] on a GPU.
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(120)
class TensorAttentionTest {
  private final MemoryPool pool = MemoryPool.root("attention", Long.MAX_VALUE);
  private Device device;

  /// Returns the provider of a device whose order of sums is its own.
  DeviceProvider provider() {
    return StandIns.withCublasLt();
  }

  @BeforeAll
  void open() {
    device = provider().open(0, new DeviceOptions(pool, 1, 0));
  }

  @AfterAll
  void close() {
    if (device != null) {
      device.close();
      pool.close();
    }
  }

  /// What attends to what.
  ///
  /// @param op the way forward
  /// @param size of a head
  /// @param narrow which of q, k and v (or of the packed operand) are widened from bfloat16; of the
  ///   gradient, the output's is if all are
  record Case(Composite op, long batch, long queries, long keys, long size, String narrow) {
    boolean isNarrow(int operand) {
      return narrow.charAt(operand) == 'b';
    }
  }

  private static Case packed(long batch, long tokens, int heads, long size, String narrow) {
    return new Case(new CausalAttention(heads), batch, tokens, tokens, size, narrow);
  }

  static List<Case> cases() {
    return List.of(
        packed(2, 1, 2, 16, "f"),
        packed(1, 17, 2, 16, "f"),
        packed(1, 130, 1, 16, "f"),
        packed(2, 65, 2, 64, "b"),
        packed(1, 200, 1, 64, "b"),
        new Case(new GroupedAttention(4, 2, 9), 2, 6, 19, 16, "fff"));
  }

  static List<Case> more() {
    return List.of(
        packed(1, 65, 2, 64, "f"),
        packed(1, 300, 1, 64, "b"),
        packed(1, 70, 1, 128, "b"),
        packed(1, 70, 1, 128, "f"),
        packed(1, 40, 1, 96, "f"),
        packed(3, 33, 3, 48, "b"),
        new Case(new GroupedAttention(6, 2, 0), 1, 66, 66, 32, "bbb"),
        new Case(new GroupedAttention(2, 1, 37), 2, 70, 107, 48, "ffb"),
        new Case(new GroupedAttention(2, 2, 100), 1, 3, 120, 32, "bbf"),
        new Case(new GroupedAttention(8, 2, 64), 1, 64, 192, 64, "bbb"));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void isNearTheReference(Case attention) {
    compare(attention);
  }

  @Tag("long")
  @ParameterizedTest
  @MethodSource("more")
  void isNearTheReferenceWithOtherHeads(Case attention) {
    compare(attention);
  }

  private void compare(Case attention) {
    for (OpCase op : List.of(forward(attention), gradient(attention))) {
      Graph graph = graph(op, attention);
      List<double[]> expected = op.expected();
      List<double[]> found = DeviceRunner.run(device, graph, op.inputs());
      for (int i = 0; i < expected.size(); i++) {
        Accuracy.check(op.op(), found.get(i), expected.get(i));
      }
    }
  }

  @Test
  void repeatsItsBits() {
    Case attention = packed(1, 200, 1, 64, "b");
    for (OpCase op : List.of(forward(attention), gradient(attention))) {
      Graph graph = graph(op, attention);
      List<byte[]> first = DeviceRunner.bits(device, graph, op.inputs());
      List<byte[]> second = DeviceRunner.bits(device, graph, op.inputs());
      for (int i = 0; i < first.size(); i++) {
        assertThat(second.get(i)).isEqualTo(first.get(i));
      }
    }
  }

  @Test
  void readsWhatWasWidened() {
    Case attention = packed(1, 200, 1, 64, "b");
    for (OpCase op : List.of(forward(attention), gradient(attention))) {
      try (Program program = device.compile(graph(op, attention))) {
        assertThat(program.explain()).contains("_mma").doesNotContain("cast_", "split_");
      }
    }
  }

  /// The gradient of a packed operand that is rounded right away is written in bfloat16.
  @Test
  void writesWhatIsRounded() {
    OpCase op = gradient(packed(1, 65, 2, 16, "b"));
    GraphBuilder builder = new GraphBuilder("rounded");
    List<Value> operands = new ArrayList<>();
    for (ValueType type : op.types()) {
      operands.add(builder.input("in" + operands.size(), type));
    }
    Value slope = builder.one(op.op(), operands.toArray(Value[]::new));
    Value rounded = builder.one(new Primitive.Convert(DType.BF16), slope);
    builder.output("out0", rounded);
    Graph graph = builder.build();
    try (Program program = device.compile(graph)) {
      assertThat(program.explain()).contains("_mma").doesNotContain("cast_");
    }
    Closeness.assertClose(
        DeviceRunner.run(device, graph, op.inputs()).getFirst(),
        op.expected().getFirst(),
        1.0 / 256);
  }

  private static OpCase forward(Case attention) {
    Samples samples = new Samples(attention.hashCode());
    if (attention.op instanceof CausalAttention(int heads)) {
      samples.normal(attention.batch, attention.queries, 3L * heads * attention.size);
    } else if (attention.op instanceof GroupedAttention(int heads, int groups, long _)) {
      samples.normal(attention.batch, attention.queries, heads * attention.size);
      samples.normal(attention.batch, attention.keys, groups * attention.size);
      samples.normal(attention.batch, attention.keys, groups * attention.size);
    }
    OpCase exact = samples.of(attention.op);
    List<double[]> operands = new ArrayList<>();
    for (int i = 0; i < exact.operands().size(); i++) {
      double[] numbers = exact.operands().get(i);
      operands.add(attention.isNarrow(i) ? rounded(numbers) : numbers);
    }
    return new OpCase(exact.op(), exact.types(), operands);
  }

  private static OpCase gradient(Case attention) {
    OpCase forward = forward(attention);
    List<double[]> results = forward.expected();
    List<ValueType> types = ShapeInference.infer(forward.op(), forward.types());
    Samples samples = new Samples(7).normal(types.getFirst().shape().dims());
    for (int i = 0; i < forward.types().size(); i++) {
      samples.given(forward.types().get(i), forward.operands().get(i));
    }
    samples.given(types.get(0), results.get(0)).given(types.get(1), results.get(1));
    Blocks blocks = new Blocks(1, 3);
    OpCase exact =
        samples.of(
            switch (attention.op) {
              case GroupedAttention(int heads, int groups, long first) ->
                  new GroupedAttentionGrad(heads, groups, first, blocks);
              case CausalAttention(int heads) -> new CausalAttentionGrad(heads, blocks);
              case Composite op -> throw new IllegalArgumentException("not attention: " + op);
            });
    List<double[]> operands = new ArrayList<>(exact.operands());
    if (!attention.narrow.contains("f")) {
      operands.set(0, rounded(operands.getFirst()));
    }
    return new OpCase(exact.op(), exact.types(), operands);
  }

  private static double[] rounded(double[] numbers) {
    return Arrays.stream(numbers)
        .map(x -> NarrowFloat.decode(DType.BF16, NarrowFloat.encode(DType.BF16, (float) x)))
        .toArray();
  }

  /// The graph of an op whose narrow operands are widened from bfloat16.
  private static Graph graph(OpCase op, Case attention) {
    GraphBuilder builder = new GraphBuilder(op.op().label());
    List<Value> operands = new ArrayList<>();
    boolean isGradient = op.types().size() > attention.narrow.length();
    for (int i = 0; i < op.types().size(); i++) {
      int forward = isGradient ? i - 1 : i;
      boolean isNarrow =
          forward < 0
              ? !attention.narrow.contains("f")
              : forward < attention.narrow.length() && attention.isNarrow(forward);
      ValueType type = op.types().get(i);
      if (isNarrow) {
        Value input = builder.input("in" + i, new ValueType(DType.BF16, type.shape()));
        operands.add(builder.one(new Primitive.Convert(DType.F32), input));
      } else {
        operands.add(builder.input("in" + i, type));
      }
    }
    List<Value> results = builder.apply(op.op(), operands);
    for (int i = 0; i < results.size(); i++) {
      builder.output("out" + i, results.get(i));
    }
    return builder.build();
  }
}
