package dev.lockstep.graph;

import static dev.lockstep.graph.ValueType.f32;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.graph.Composite.LayerNorm;
import dev.lockstep.graph.Primitive.Exp;
import dev.lockstep.graph.Primitive.ReduceMax;
import java.util.List;
import org.junit.jupiter.api.Test;

class GraphBuilderTest {
  private final GraphBuilder builder = new GraphBuilder("test");
  private final Value x = builder.input("x", f32(2, 3));

  @Test
  void numbersValuesInOrder() {
    Value gain = builder.input("gain", f32(3));
    List<Value> results = builder.apply(new LayerNorm(1e-5f), List.of(x, gain, gain));
    assertThat(results).extracting(Value::id).containsExactly(2, 3, 4);
    assertThat(builder.build().valueCount()).isEqualTo(5);
    assertThat(builder.build().input("gain")).isEqualTo(gain);
  }

  @Test
  void refusesNamesThatAreTakenOrUnknown() {
    builder.output("y", x);
    assertThatThrownBy(() -> builder.input("x", f32(1))).hasMessageContaining("input=x");
    assertThatThrownBy(() -> builder.output("y", x)).hasMessageContaining("output=y");
    assertThatThrownBy(() -> builder.outputInto("z", x, "nothing"))
        .hasMessageContaining("input=nothing");
    assertThatThrownBy(() -> builder.build().output("q")).hasMessageContaining("output=q");
  }

  @Test
  void refusesAnAliasOfAnotherType() {
    Value smaller = builder.one(new ReduceMax(List.of(0)), x);
    assertThatThrownBy(() -> builder.outputInto("y", smaller, "x"))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("F32[3]")
        .hasMessageContaining("F32[2, 3]");
  }

  @Test
  void oneRefusesSeveralResults() {
    Value gain = builder.input("gain", f32(3));
    assertThatThrownBy(() -> builder.one(new LayerNorm(1e-5f), x, gain, gain))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("LayerNorm");
    assertThat(builder.one(new Exp(), x).type()).isEqualTo(f32(2, 3));
  }
}
