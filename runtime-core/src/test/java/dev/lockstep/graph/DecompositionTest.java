package dev.lockstep.graph;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.graph.Composite.Gelu;
import dev.lockstep.graph.Composite.LayerNorm;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class DecompositionTest {
  static List<OpCase> composites() {
    return CompositeCases.all();
  }

  @ParameterizedTest
  @MethodSource("composites")
  void agreesWithTheDefinitionInFloat64(OpCase composite) {
    Graph primitives = Decomposition.expand(composite.graph(), (_, _) -> false);
    assertThat(primitives.nodes()).allMatch(node -> node.op() instanceof Primitive);
    List<double[]> found = ReferenceInterpreter.run(primitives, composite.inputs());
    List<double[]> expected = composite.expected();
    for (int i = 0; i < expected.size(); i++) {
      Closeness.assertClose(found.get(i), expected.get(i), 1e-12);
    }
  }

  @Test
  void namesInputsAndOutputsByNumber() {
    Graph graph =
        Decomposition.of(
            new LayerNorm(1e-5f), List.of(ValueType.f32(2, 3), ValueType.f32(3), ValueType.f32(3)));
    assertThat(graph.inputs()).extracting(Graph.Named::name).containsExactly("0", "1", "2");
    assertThat(graph.outputs()).extracting(Graph.Named::name).containsExactly("0", "1", "2");
    assertThat(graph.output("0").type()).isEqualTo(ValueType.f32(2, 3));
  }

  @Test
  void keepsWhatTheDeviceClaimsAndTheAliases() {
    GraphBuilder builder = new GraphBuilder("kept");
    Value x = builder.input("x", ValueType.f32(4));
    Value once = builder.one(new Gelu(), x);
    builder.outputInto("y", builder.one(new Gelu(), once), "x");
    List<List<ValueType>> asked = new ArrayList<>();
    Graph expanded =
        Decomposition.expand(
            builder.build(),
            (_, types) -> {
              asked.add(types);
              return asked.size() == 1;
            });
    assertThat(asked).containsExactly(List.of(ValueType.f32(4)), List.of(ValueType.f32(4)));
    assertThat(expanded.nodes()).filteredOn(node -> node.op() instanceof Composite).hasSize(1);
    assertThat(expanded.aliases()).containsExactly(Map.entry("y", "x"));
  }

  @Test
  void refusesOperandsThatDoNotFit() {
    assertThatThrownBy(() -> Decomposition.of(new Gelu(), List.of()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("Gelu");
  }
}
