package dev.lockstep.device.neuron.hlo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.device.RankGrid;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Closeness;
import dev.lockstep.graph.CompositeCases;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.OpCase;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.Less;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.Mul;
import dev.lockstep.graph.Primitive.Part;
import dev.lockstep.graph.Primitive.Select;
import dev.lockstep.graph.Primitive.Uniform;
import dev.lockstep.graph.PrimitiveCases;
import dev.lockstep.graph.Samples;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Modules against the float64 reference, run by the interpreter, and what their fields say.
@Timeout(60)
final class HloEmitterTest {
  // Literals are F32: what is multiplied by one carries half of its last place.
  private static final double TOLERANCE = 2e-6;

  static Stream<OpCase> cases() {
    return Stream.of(
            PrimitiveCases.all(), PrimitiveCases.ofOtherTypes(), CompositeCases.all(), randoms())
        .flatMap(List::stream);
  }

  /// Random numbers of a part of a tensor, in lanes whose elements pass 32 bits.
  private static List<OpCase> randoms() {
    Part part = new Part(Shape.of(40_000, 50_000), List.of(39_990L, 7L), Shape.of(5, 70));
    return List.of(
        new Samples(1).integers(3, 4).integers(0, 1).of(new Uniform(part, -5, 3)),
        new Samples(1).integers(3, 4).integers(1_000_003, 1_000_004).of(new Uniform(part, 99, 0)));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void meansWhatTheOpMeans(OpCase op) {
    Map<String, double[]> found =
        Emitted.of(op.graph()).interpreted(List.of(op.inputs())).getFirst();
    List<double[]> expected = op.expected();
    for (int i = 0; i < expected.size(); i++) {
      Closeness.assertClose(Emitted.numbers(found, "out" + i), expected.get(i), TOLERANCE);
    }
  }

  private static HloProgram.Instruction root(HloProgram program) {
    return program.main().instructions().getLast();
  }

  private static Graph counted() {
    GraphBuilder builder = new GraphBuilder("in place");
    Value x = builder.input("layer/0 weight", ValueType.f32(3));
    Value y = builder.input("layer.0_weight", ValueType.f32(3));
    builder.outputInto("next", builder.one(new Add(), x, y), "layer/0 weight");
    builder.output("same", y);
    builder.output("again", y);
    return builder.build();
  }

  @Test
  void namesParametersAndResultsInFrontendAttributes() {
    HloModule module = Emitted.of(counted()).module();
    HloProgram program = HloProgram.read(module.proto());
    assertThat(program.name()).isEqualTo("in_place");
    List<String> parameters = new ArrayList<>();
    for (HloProgram.Instruction each : program.main().instructions()) {
      if (each.opcode().equals("parameter")) {
        ProtoFields attribute = each.proto().message(68).message(1);
        assertThat(attribute.text(1)).isEqualTo("neff_input_names");
        parameters.add(attribute.text(2));
      }
    }
    assertThat(parameters).containsExactly("layer_0_weight", "layer.0_weight");
    assertThat(module.inputs()).extracting(HloModule.Port::name).isEqualTo(parameters);
    ProtoFields results = root(program).proto().message(68).message(1);
    assertThat(results.text(1)).isEqualTo("neff_output_names");
    assertThat(results.text(2)).isEqualTo("next,same,again");
  }

  @Test
  void givesStateTheMemoryOfItsInput() {
    HloProgram program = HloProgram.read(Emitted.of(counted()).module().proto());
    assertThat(program.aliases()).isEqualTo(Map.of(0, 0));
    assertThat(root(program).operands()).doesNotHaveDuplicates();
  }

  @Test
  void refusesTwoOutputsInOneInput() {
    GraphBuilder builder = new GraphBuilder("twice");
    Value x = builder.input("x", ValueType.f32(3));
    builder.outputInto("a", builder.one(new Add(), x, x), "x");
    builder.outputInto("b", builder.one(new Mul(), x, x), "x");
    assertThatThrownBy(() -> Emitted.of(builder.build()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("two outputs take the memory of one input: graph=twice, input=x");
  }

  @Test
  void namesInstructionsByTheOpThatTheyComeFrom() {
    GraphBuilder builder = new GraphBuilder("product");
    Value x = builder.input("x", ValueType.f32(4, 8));
    Value y = builder.one(new Add(), x, x);
    Value product = builder.one(new MatMul(false, true, new Blocks(1, 2)), y, x);
    builder.output("y", product);
    HloProgram program = HloProgram.read(Emitted.of(builder.build()).module().proto());
    assertThat(program.main().instructions())
        .filteredOn(each -> each.opcode().equals("dot"))
        .hasSize(2)
        .allSatisfy(dot -> assertThat(dot.name()).startsWith("n1_MatMul."))
        .allSatisfy(
            dot -> assertThat(dot.proto().message(7).text(2)).isEqualTo("product/1:MatMul"));
  }

  @Test
  void truthValuesCrossTheBorderAsBytes() {
    GraphBuilder builder = new GraphBuilder("truth");
    OpCase chosen = new Samples(1).booleans(6).normal(6).normal(6).of(new Select());
    Value[] in =
        Stream.of(0, 1, 2)
            .map(i -> builder.input("in" + i, chosen.types().get(i)))
            .toArray(Value[]::new);
    builder.output("chosen", builder.one(new Select(), in));
    builder.output("less", builder.one(new Less(), in[1], in[2]));
    Emitted emitted = Emitted.of(builder.build());
    assertThat(emitted.module().inputs().getFirst().type().toString()).isEqualTo("U8[6]");
    assertThat(emitted.module().outputs().getLast().type().toString()).isEqualTo("U8[6]");
    Map<String, double[]> found = emitted.interpreted(List.of(chosen.inputs())).getFirst();
    assertThat(found.get("chosen")).isEqualTo(chosen.expected().getFirst());
  }

  @Test
  void nothingWithoutElementsEntersTheModule() {
    for (OpCase op : PrimitiveCases.all()) {
      HloProgram program = HloProgram.read(Emitted.of(op.graph()).module().proto());
      assertThat(
              program.main().instructions().stream()
                  .limit(program.main().instructions().size() - 1L))
          .allSatisfy(each -> assertThat(each.type().size()).as(each.name()).isPositive());
    }
  }

  @Test
  void idsAreReportedWithTheTableTheyMustLieIn() {
    GraphBuilder builder = new GraphBuilder("lookup");
    Value table = builder.input("table", ValueType.f32(4, 2));
    Value ids = builder.input("ids", ValueType.i32(3));
    Value rows = builder.one(new Primitive.Gather(), table, ids);
    builder.output("rows", rows);
    builder.output("sum", builder.one(new Primitive.ScatterAdd(5, Blocks.WHOLE), ids, rows));
    HloModule module = Emitted.of(builder.build()).module();
    assertThat(module.tables())
        .containsExactly(new HloModule.Table("Gather", 4), new HloModule.Table("ScatterAdd", 5));
    List<double[]> results =
        HloReplicas.run(
                HloProgram.read(module.proto()),
                List.of(List.of(new double[8], new double[] {-3, 2, 9})))
            .getFirst();
    assertThat(results).hasSize(module.results());
    assertThat(results.getLast()).containsExactly(-3, 9, -3, 9);
  }

  @Test
  void refusesRandomNumbersPast32Bits() {
    Uniform wide = new Uniform(Part.all(Shape.of(1L << 31)), 1, 1);
    GraphBuilder builder = new GraphBuilder("wide");
    Value step = builder.input("step", ValueType.i32());
    builder.output("y", builder.one(wide, step, step));
    assertThatThrownBy(() -> HloEmitter.emit(builder.build(), RankGrid.ALONE, SumOrder.COMPILER))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("elements=2147483648");
  }
}
