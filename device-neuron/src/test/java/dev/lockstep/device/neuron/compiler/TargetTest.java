package dev.lockstep.device.neuron.compiler;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.device.Support;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.Convert;
import dev.lockstep.graph.Primitive.ScatterAdd;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import org.junit.jupiter.api.Test;

/// Which element types each generation has.
final class TargetTest {
  @Test
  void eachGenerationHasItsOwnEightBitFloats() {
    assertThat(Target.TRN2.accepts(DType.F8_E4M3)).isEqualTo(new Support.Yes());
    assertThat(Target.TRN2.accepts(DType.F8_E4M3FN))
        .isEqualTo(
            new Support.No("trn2 has no finite-only E4M3: dtype=F8_E4M3FN (convert to F8_E4M3)"));
    assertThat(Target.TRN3.accepts(DType.F8_E4M3FN)).isEqualTo(new Support.Yes());
  }

  @Test
  void namesTheOpThatMakesWhatATargetHasNot() {
    GraphBuilder builder = new GraphBuilder("wide");
    Value x = builder.input("x", ValueType.f32(2));
    builder.output("y", builder.one(new Convert(DType.F64), x));
    assertThatThrownBy(() -> Target.TRN3.check(builder.build()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage(
            "Neuron devices have no 64-bit numbers: dtype=F64 (convert to F32 or I32) (graph=wide,"
                + " op=Convert)");
  }

  @Test
  void scattersNoIntegers() {
    GraphBuilder builder = new GraphBuilder("counts");
    Value ids = builder.input("ids", ValueType.i32(4));
    Value ones = builder.input("ones", ValueType.i32(4, 1));
    builder.output("sums", builder.one(new ScatterAdd(3, Blocks.WHOLE), ids, ones));
    assertThatThrownBy(() -> Target.TRN2.check(builder.build()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage(
            "scattered integers are added in float32, which rounds them: dtype=I32 (scatter F32)"
                + " (graph=counts, op=ScatterAdd)");
  }
}
