package dev.lockstep.device;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lockstep.device.cuda.StandIns;
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
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// What a device with cuBLASLt does over several nodes: operands read in bfloat16 through reshapes,
/// results rounded on the way, rows padded, sums in an order of its own. Elements are small whole
/// numbers, so that every order of a sum has the same bits.
@Timeout(60)
class CublasLtGraphsTest extends BesideTheCpu {
  @Override
  DeviceProvider provider() {
    return StandIns.withCublasLt();
  }

  /// A graph under construction and the elements of its inputs.
  private static final class Draft {
    final GraphBuilder builder = new GraphBuilder("draft");
    final Map<String, double[]> inputs = new LinkedHashMap<>();
    private final SplittableRandom random = new SplittableRandom(1);

    Value whole(String name, int most, long... dims) {
      return whole(name, most, DType.F32, dims);
    }

    private Value whole(String name, int most, DType dtype, long... dims) {
      Shape shape = Shape.of(dims);
      double[] elements = new double[(int) shape.elements()];
      for (int i = 0; i < elements.length; i++) {
        elements[i] = random.nextInt(-most, most + 1);
      }
      inputs.put(name, elements);
      return builder.input(name, new ValueType(dtype, shape));
    }

    Value targets(String name, int bound, long... dims) {
      Shape shape = Shape.of(dims);
      double[] elements = new double[(int) shape.elements()];
      for (int i = 0; i < elements.length; i++) {
        elements[i] = random.nextInt(-1, bound);
      }
      inputs.put(name, elements);
      return builder.input(name, new ValueType(DType.I32, shape));
    }

    /// Whole numbers of 8 bits, widened.
    Value eight(String name, DType dtype, long... dims) {
      return wide(whole(name, 2, dtype, dims));
    }

    Value scaled(String name, double scale, Value value) {
      inputs.put(name, new double[] {scale});
      Value all =
          builder.one(
              new Primitive.BroadcastTo(value.type().shape(), List.of()),
              builder.input(name, ValueType.f32()));
      return builder.one(new Primitive.Mul(), value, all);
    }

    Value narrow(Value x) {
      return builder.one(new Primitive.Convert(DType.BF16), x);
    }

    Value wide(Value x) {
      return builder.one(new Primitive.Convert(DType.F32), x);
    }
  }

  private void sameBits(Draft draft) {
    sameBits("draft", draft.builder.build(), draft.inputs);
  }

  private String plan(Draft draft) {
    try (Program program = cuda().compile(draft.builder.build())) {
      return program.explain();
    }
  }

  @Test
  void roundsAResultWithOddRowsOnTheWay() {
    Draft draft = new Draft();
    Value x = draft.wide(draft.narrow(draft.whole("x", 3, 2, 150, 40)));
    Value weight = draft.wide(draft.narrow(draft.whole("w", 3, 257, 40)));
    Value logits = draft.builder.one(new Primitive.MatMul(false, true, Blocks.WHOLE), x, weight);
    draft.builder.output("logits", draft.narrow(logits));
    assertThat(plan(draft))
        .contains("cut_rows_2")
        .contains("BF16 to BF16")
        .doesNotContain("cast_bf16");
    sameBits(draft);
  }

  private void slabs(boolean transposed) {
    Draft draft = new Draft();
    Value x =
        draft.narrow(transposed ? draft.whole("x", 1, 8, 4100) : draft.whole("x", 1, 4100, 8));
    Value weight =
        draft.narrow(transposed ? draft.whole("w", 1, 8, 4099) : draft.whole("w", 1, 4099, 8));
    Value product =
        draft.builder.one(
            new Primitive.MatMul(transposed, !transposed, Blocks.WHOLE),
            draft.wide(x),
            draft.wide(weight));
    draft.builder.output("product", draft.narrow(product));
    assertThat(plan(draft)).contains("cublasLt m=3072").contains("cublasLt m=1088");
    sameBits(draft);
  }

  @Test
  void makesAGreatResultInSlabs() {
    slabs(false);
  }

  @Test
  void multipliesTransposedOperandsInSlabsToo() {
    slabs(true);
  }

  @Test
  void multipliesGradientsWithOddRowsThroughReshapes() {
    Draft draft = new Draft();
    Value x = draft.wide(draft.narrow(draft.whole("x", 3, 2, 150, 40)));
    Value weight = draft.wide(draft.narrow(draft.whole("w", 3, 257, 40)));
    Value slope = draft.wide(draft.narrow(draft.whole("slope", 3, 2, 150, 257)));
    Value ofInput =
        draft.builder.one(new Primitive.MatMul(false, false, new Blocks(1, 4)), slope, weight);
    Value rows = draft.builder.one(new Primitive.Reshape(Shape.of(300, 257)), slope);
    Value seen = draft.builder.one(new Primitive.Reshape(Shape.of(300, 40)), x);
    Value ofWeight =
        draft.builder.one(new Primitive.MatMul(true, false, new Blocks(2, 1)), rows, seen);
    Value ofBias =
        draft.builder.one(new Primitive.ReduceSum(List.of(0, 1), new Blocks(2, 1)), slope);
    draft.builder.output("input", ofInput);
    draft.builder.output("weight", ofWeight);
    draft.builder.output("bias", ofBias);
    String plan = plan(draft);
    assertThat(plan).contains("pad_rows_2").contains("column_sum_bf16");
    assertThat(plan).doesNotContain("cast_bf16_f32").doesNotContain("matmul_");
    sameBits(draft);
  }

  @Test
  void multipliesWhatOnlyOneSideOfIsNarrow() {
    Draft draft = new Draft();
    Value x = draft.whole("x", 3, 70, 33);
    Value weight = draft.wide(draft.narrow(draft.whole("w", 3, 33, 50)));
    Value product = draft.builder.one(new Primitive.MatMul(false, false, Blocks.WHOLE), x, weight);
    draft.builder.output("product", product);
    assertThat(plan(draft)).contains("cublasLt").doesNotContain("matmul_");
    sameBits(draft);
  }

  @Test
  void keepsAWideResultThatOthersRead() {
    Draft draft = new Draft();
    Value x = draft.wide(draft.narrow(draft.whole("x", 3, 70, 32)));
    Value weight = draft.wide(draft.narrow(draft.whole("w", 3, 32, 48)));
    Value product = draft.builder.one(new Primitive.MatMul(false, false, Blocks.WHOLE), x, weight);
    draft.builder.output("narrow", draft.narrow(product));
    draft.builder.output("wide", draft.builder.one(new Primitive.Neg(), product));
    sameBits(draft);
  }

  @Test
  void sumsManyRowsInItsOwnBlocks() {
    Draft draft = new Draft();
    Value x = draft.whole("x", 3, 3, 500, 21);
    draft.builder.output(
        "sum", draft.builder.one(new Primitive.ReduceSum(List.of(0, 1), new Blocks(3, 2)), x));
    assertThat(plan(draft)).contains("join_parts_f32");
    sameBits(draft);
  }

  @Test
  void sumsManyWideRows() {
    Draft draft = new Draft();
    Value x = draft.whole("x", 3, 700, 132);
    Primitive.ReduceSum sum = new Primitive.ReduceSum(List.of(0), Blocks.WHOLE);
    draft.builder.output("wide", draft.builder.one(sum, x));
    draft.builder.output(
        "narrow", draft.builder.one(sum, draft.wide(draft.narrow(draft.whole("y", 3, 60, 20)))));
    assertThat(plan(draft)).contains("wide_column_sum_f32", "wide_column_sum_bf16");
    sameBits(draft);
  }

  @Test
  void layerNormsParameterGradientsReadBfloat16() {
    Draft draft = new Draft();
    Value slope = draft.wide(draft.narrow(draft.whole("slope", 3, 2, 300, 8)));
    Value x = draft.whole("x", 3, 2, 300, 8);
    Value gain = draft.whole("gain", 3, 8);
    Value mean = draft.whole("mean", 1, 2, 300);
    Value scale = draft.whole("scale", 1, 2, 300);
    List<Value> found =
        draft.builder.apply(
            new Composite.LayerNormGrad(new Blocks(2, 1)), List.of(slope, x, gain, mean, scale));
    draft.builder.output("gain gradient", found.get(1));
    draft.builder.output("bias gradient", found.get(2));
    assertThat(plan(draft)).contains("wide_layer_norm_param_grad_bf16");
    sameBits(draft);
  }

  @Test
  void crossEntropyReadsAndWritesBfloat16() {
    Draft draft = new Draft();
    Value logits = draft.wide(draft.narrow(draft.whole("logits", 9, 3, 20, 1001)));
    Value targets = draft.targets("targets", 1001, 3, 20);
    List<Value> found =
        draft.builder.apply(
            new Composite.CrossEntropy(Blocks.WHOLE, new Blocks(1, 4)), List.of(logits, targets));
    Value slope = draft.whole("slope", 1);
    Value gradient =
        draft.builder.one(new Composite.CrossEntropyGrad(), slope, logits, targets, found.get(2));
    draft.builder.output("loss", found.get(0));
    draft.builder.output("count", found.get(1));
    draft.builder.output("logSumExp", found.get(2));
    draft.builder.output("gradient", draft.narrow(gradient));
    assertThat(plan(draft))
        .contains("cross_entropy_long_rows_bf16", "cross_entropy_grad_bf16_bf16");
    assertThat(plan(draft)).doesNotContain("cast_bf16_f32");
    Graph graph = draft.builder.build();
    List<double[]> expected = DeviceRunner.run(cpu(), graph, draft.inputs);
    List<double[]> results = DeviceRunner.run(cuda(), graph, draft.inputs);
    for (int i = 0; i < expected.size(); i++) {
      for (int j = 0; j < expected.get(i).length; j++) {
        double wanted = expected.get(i)[j];
        // Another order of a sum may round another way.
        double tolerance = Math.abs(wanted) * (i == 3 ? 0x1p-7 : 0x1p-20);
        assertThat(results.get(i)[j]).isCloseTo(wanted, within(tolerance + 1e-30));
      }
    }
  }

  /// Widened, scaled operands and what scales and rounds the result are all in the one call.
  @Test
  void multipliesEightBitFloatsWithTheirScales() {
    Draft draft = new Draft();
    Value x = draft.scaled("of x", 2, draft.eight("x", DType.F8_E4M3FN, 32, 48));
    Value weight = draft.eight("w", DType.F8_E5M2, 64, 48);
    Value product = draft.builder.one(new Primitive.MatMul(false, true, Blocks.WHOLE), x, weight);
    draft.builder.output("y", draft.narrow(draft.scaled("of y", 0.5, product)));
    assertThat(plan(draft))
        .contains("cublasLt m=32 n=64 k=48 Bᵀ scales=2 F8_E4M3FN·F8_E5M2 to BF16")
        .contains(" 1 launches,");
    sameBits(draft);
  }

  @Test
  void turnsAndPadsEightBitFloatsForTensorCores() {
    Draft draft = new Draft();
    Value x = draft.eight("x", DType.F8_E4M3FN, 33, 70);
    Value weight = draft.eight("w", DType.F8_E4M3FN, 33, 130);
    Value product = draft.builder.one(new Primitive.MatMul(true, false, Blocks.WHOLE), x, weight);
    draft.builder.output("y", product);
    assertThat(plan(draft))
        .contains("turn_8, turn_8, cublasLt m=80 n=144 k=48 Bᵀ F8_E4M3FN, copy_4")
        .contains(" 4 launches,");
    sameBits(draft);
  }

  /// Tensor cores multiply no two types of two bits of fraction; bfloat16 holds them all.
  @Test
  void widensEightBitFloatsThatTensorCoresDoNotMultiply() {
    Draft draft = new Draft();
    Value x = draft.eight("x", DType.F8_E5M2, 16, 16);
    Value weight = draft.scaled("of w", 2, draft.eight("w", DType.F8_E5M2, 16, 16));
    Primitive.MatMul op = new Primitive.MatMul(false, true, Blocks.WHOLE);
    draft.builder.output("y", draft.builder.one(op, x, weight));
    Value more = draft.eight("more", DType.F8_E5M2, 3, 16);
    draft.builder.output(
        "z", draft.narrow(draft.scaled("of z", 4, draft.builder.one(op, more, weight))));
    draft.builder.output("plain", draft.builder.one(op, more, x));
    assertThat(plan(draft))
        .contains("widen_e5m2, widen_e5m2, cublasLt m=16 n=16 k=16 Bᵀ BF16, scale_f32")
        .contains("widen_e5m2, widen_e5m2, cublasLt m=3 n=16 k=16 Bᵀ BF16, scale_bf16")
        .doesNotContain("cast_e5m2_f32");
    sameBits(draft);
  }

  /// As much of it stands in working memory at once as of other products.
  @Test
  void cutsGreatEightBitResultsInSlabs() {
    Draft draft = new Draft();
    Value x = draft.eight("x", DType.F8_E4M3FN, 4100, 16);
    Value weight = draft.eight("w", DType.F8_E4M3FN, 4099, 16);
    Value product = draft.builder.one(new Primitive.MatMul(false, true, Blocks.WHOLE), x, weight);
    draft.builder.output("product", draft.narrow(product));
    assertThat(plan(draft)).contains("cublasLt m=3072 n=4112").contains("cublasLt m=1040 n=4112");
    sameBits(draft);
    try (Program program = cuda().compile(draft.builder.build())) {
      assertThat(program.arenaBytes()).isLessThan(40L << 20);
    }
  }

  @Tag("long")
  @Test
  void cutsBatchesOfEightBitResultsSomeAtATime() {
    Draft draft = new Draft();
    Value x = draft.eight("x", DType.F8_E4M3FN, 11, 900, 16);
    Value weight = draft.eight("w", DType.F8_E5M2, 11, 1000, 16);
    draft.builder.output(
        "products", draft.builder.one(new Primitive.MatMul(false, true, Blocks.WHOLE), x, weight));
    assertThat(plan(draft)).contains("batch=9").contains("batch=2");
    sameBits(draft);
  }

  /// cuBLASLt reads and writes at multiples of 16 bytes alone.
  @ParameterizedTest(name = "{0}")
  @EnumSource(names = {"F32", "BF16", "F8_E4M3FN"})
  void multipliesWhatIsNotAligned(DType dtype) {
    Draft draft = new Draft();
    boolean isWide = dtype == DType.F32;
    Value x = draft.whole("x", 2, dtype, 16, 32);
    Value weight = draft.whole("w", 2, dtype, 16, 32);
    List<Value> operands =
        isWide
            ? List.of(x, weight, draft.whole("bias", 3, 16))
            : List.of(draft.wide(x), draft.wide(weight));
    draft.builder.output(
        "y",
        isWide
            ? draft.builder.apply(new Composite.Linear(true, Blocks.WHOLE), operands).getFirst()
            : draft
                .builder
                .apply(new Primitive.MatMul(false, true, Blocks.WHOLE), operands)
                .getFirst());
    assertThat(plan(draft)).contains("cublasLt").contains(" 1 launches,");
    Graph graph = draft.builder.build();
    List<Buffer> memory = new ArrayList<>();
    try (DeviceRunner runner = new DeviceRunner(cuda(), graph);
        Arena arena = Arena.ofConfined()) {
      Map<String, Tensor> tensors = runner.tensors();
      tensors.replaceAll(
          (name, tensor) -> {
            Tensor shifted = shifted(name, tensor, memory);
            double[] numbers = draft.inputs.get(name);
            if (numbers != null) {
              runner.stream().copyIn(shifted, HostElements.encode(arena, numbers, tensor.dtype()));
            }
            return shifted;
          });
      runner.stream().run(runner.program().bind(tensors));
      Tensor result = requireNonNull(tensors.get("y"));
      MemorySegment found = arena.allocate(result.bytes(), 64);
      runner.stream().copyOut(found, result);
      assertThat(found.toArray(ValueLayout.JAVA_BYTE))
          .isEqualTo(DeviceRunner.bits(cpu(), graph, draft.inputs).getFirst());
    } finally {
      memory.forEach(Buffer::close);
    }
  }

  /// Returns a tensor like another that begins one element behind a buffer's begin.
  private Tensor shifted(String name, Tensor tensor, List<Buffer> memory) {
    int itemBytes = tensor.dtype().bytes();
    Buffer buffer = cuda().allocate(name + " and what is before it", tensor.bytes() + itemBytes);
    memory.add(buffer);
    return new Tensor(buffer, itemBytes, tensor.dtype(), tensor.shape());
  }

  @Test
  void tellsWhatEachStepTookIfAsked() {
    System.setProperty("lockstep.cuda.times", "1");
    try {
      Draft draft = new Draft();
      Value x = draft.whole("x", 3, 70, 32);
      Value weight = draft.whole("w", 3, 32, 48);
      draft.builder.output(
          "product",
          draft.builder.one(
              new Primitive.Neg(),
              draft.builder.one(new Primitive.MatMul(false, false, Blocks.WHOLE), x, weight)));
      List<PlannedStep> steps;
      try (DeviceRunner runner = new DeviceRunner(cuda(), draft.builder.build())) {
        runner.set(draft.inputs);
        runner.run();
        steps = runner.program().steps();
      }
      assertThat(steps).extracting(PlannedStep::kernel).containsExactly("cublaslt F32", "neg_f32");
      assertThat(steps).allSatisfy(step -> assertThat(step.nanos()).isPositive());
      assertThat(steps).allSatisfy(step -> assertThat(step.leastNanos()).isPositive());
    } finally {
      System.clearProperty("lockstep.cuda.times");
    }
  }
}
