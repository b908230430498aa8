package dev.lockstep.graph;

import static dev.lockstep.graph.ValueType.f32;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.graph.GraphSplitter.Collective;
import dev.lockstep.graph.GraphSplitter.Compute;
import dev.lockstep.graph.GraphSplitter.Segments;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.AllReduce;
import dev.lockstep.graph.Primitive.Exp;
import dev.lockstep.graph.Primitive.Mul;
import dev.lockstep.graph.Primitive.Neg;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;

class GraphSplitterTest {
  private static final AllReduce SUM =
      new AllReduce("dp", new ReduceOp.Sum(), LaneSplit.onePerRank(1));

  private final GraphBuilder builder = new GraphBuilder("step");

  private Value input(String name) {
    return builder.input(name, f32(2));
  }

  /// Runs the parts one after another, all values by slot.
  private static Map<String, double[]> run(Segments segments, Map<String, double[]> inputs) {
    Map<String, double[]> slots = new HashMap<>(inputs);
    for (GraphSplitter.Part part : segments.parts()) {
      switch (part) {
        case Compute(Graph graph) -> {
          List<double[]> results = ReferenceInterpreter.run(graph, slots);
          for (int i = 0; i < results.size(); i++) {
            slots.put(graph.outputs().get(i).name(), results.get(i));
          }
        }
        case Collective(Primitive op, List<String> operands, String output) -> {
          List<double[]> values =
              operands.stream().map(name -> Objects.requireNonNull(slots.get(name))).toList();
          List<ValueType> types = operands.stream().map(_ -> f32(2)).toList();
          slots.put(output, ReferenceInterpreter.run(op, values, types).getFirst());
        }
      }
    }
    return slots;
  }

  @Test
  void aGraphIsCutBeforeGivenNodesToo() {
    Value x = input("x");
    Value once = builder.one(new Exp(), x);
    Value summed = builder.one(SUM, once);
    Value twice = builder.one(new Neg(), summed);
    builder.output("y", builder.one(new Mul(), twice, once));
    Graph graph = builder.build();
    Segments segments = GraphSplitter.split(graph, index -> index == 3);

    assertThat(segments.parts()).hasSize(4);
    assertThat(segments.crossings()).hasSize(3);
    Map<String, double[]> inputs = Map.of("x", new double[] {0.5, -2});
    assertThat(run(segments, inputs).get("y"))
        .isEqualTo(run(GraphSplitter.split(graph), inputs).get("y"));
  }

  @Test
  void aGraphWithoutCollectivesIsOneSegment() {
    builder.output("y", builder.one(new Exp(), input("x")));
    Segments segments = GraphSplitter.split(builder.build());
    assertThat(segments.parts()).hasSize(1).first().isInstanceOf(Compute.class);
    assertThat(segments.crossings()).isEmpty();
  }

  @Test
  void segmentsAndCollectivesComputeWhatTheWholeDoes() {
    Value x = input("x");
    Value y = input("y");
    Value early = builder.one(new Exp(), x);
    Value summed = builder.one(SUM, builder.one(new Neg(), early));
    Value other = builder.one(new Mul(), y, early);
    Value again = builder.one(SUM, other);
    builder.output("a", builder.one(new Add(), summed, early));
    builder.output("b", again);
    builder.output("c", x);
    Graph whole = builder.build();
    Segments segments = GraphSplitter.split(whole);

    assertThat(segments.parts())
        .hasExactlyElementsOfTypes(
            Compute.class, Collective.class, Compute.class, Collective.class, Compute.class);
    Map<String, double[]> inputs = Map.of("x", new double[] {0.5, -1}, "y", new double[] {2, 3});
    Map<String, double[]> found = run(segments, inputs);
    List<double[]> expected = ReferenceInterpreter.run(whole, inputs);
    assertThat(found.get("a")).isEqualTo(expected.get(0));
    assertThat(found.get("b")).isEqualTo(expected.get(1));
    assertThat(found.get("c")).isEqualTo(expected.get(2));
  }

  @Test
  void namesWhatCrosses() {
    Value x = input("x");
    Value early = builder.one(new Exp(), x);
    Value negated = builder.one(new Neg(), early);
    Value summed = builder.one(SUM, negated);
    builder.output("y", builder.one(new Add(), summed, early));
    Segments segments = GraphSplitter.split(builder.build());
    assertThat(segments.crossings())
        .extracting(Graph.Named::name)
        .containsExactlyInAnyOrder(slot(early), slot(negated), slot(summed));
    assertThat(segments.parts().get(1))
        .isEqualTo(new Collective(SUM, List.of(slot(negated)), slot(summed)));
  }

  private static String slot(Value value) {
    return "%" + value.id();
  }

  @Test
  void keepsAliasesInsideSegments() {
    Value parameter = input("parameter");
    Value gradient = builder.one(SUM, input("gradient"));
    builder.outputInto("updated", builder.one(new Add(), parameter, gradient), "parameter");
    Segments segments = GraphSplitter.split(builder.build());
    assertThat(segments.parts()).hasExactlyElementsOfTypes(Collective.class, Compute.class);
    Graph last = ((Compute) segments.parts().getLast()).graph();
    assertThat(last.aliases()).containsExactly(Map.entry("updated", "parameter"));
  }

  @Test
  void anInputMayBeAnOutputAndLendItsMemoryToAnother() {
    Value parameter = input("parameter");
    Value early = builder.one(new Exp(), input("x"));
    builder.outputInto("updated", early, "parameter");
    builder.output("before", parameter);
    builder.output("sum", builder.one(SUM, early));
    Graph whole = builder.build();
    Segments segments = GraphSplitter.split(whole);

    Graph first = ((Compute) segments.parts().getFirst()).graph();
    assertThat(first.aliases()).containsExactly(Map.entry("updated", "parameter"));
    Map<String, double[]> inputs =
        Map.of("x", new double[] {0.5, -2}, "parameter", new double[] {3, 4});
    Map<String, double[]> found = run(segments, inputs);
    List<double[]> expected = ReferenceInterpreter.run(whole, inputs);
    for (int i = 0; i < expected.size(); i++) {
      assertThat(found.get(whole.outputs().get(i).name())).isEqualTo(expected.get(i));
    }
  }

  @Test
  void refusesToOverwriteAnInputThatIsReadLater() {
    Value parameter = input("parameter");
    builder.outputInto("updated", builder.one(new Exp(), parameter), "parameter");
    Value sum = builder.one(SUM, input("gradient"));
    builder.output("late", builder.one(new Add(), parameter, sum));
    Graph graph = builder.build();
    assertThatThrownBy(() -> GraphSplitter.split(graph))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("input=parameter, output=updated");
  }

  @Test
  void refusesTwoNamesForACollectivesResult() {
    Value sum = builder.one(SUM, input("x"));
    builder.output("a", sum);
    builder.output("b", sum);
    Graph graph = builder.build();
    assertThatThrownBy(() -> GraphSplitter.split(graph))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("[a, b]");
  }
}
