package dev.lockstep.train.model;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.junit.jupiter.api.Test;

class GptModelTest {
  private static GptModel model(boolean tied) {
    return new GptModel(new GptShape(1, 2, 8, 4, 16, tied), 4);
  }

  @Test
  void namesAndShapesAreThoseOfHuggingFace() {
    assertThat(model(false).parameters().stream().map(p -> p.name() + " " + p.shape()))
        .containsExactly(
            "transformer.wte.weight [16, 8]",
            "transformer.wpe.weight [4, 8]",
            "transformer.h.0.ln_1.weight [8]",
            "transformer.h.0.ln_1.bias [8]",
            "transformer.h.0.attn.c_attn.weight [8, 24]",
            "transformer.h.0.attn.c_attn.bias [24]",
            "transformer.h.0.attn.c_proj.weight [8, 8]",
            "transformer.h.0.attn.c_proj.bias [8]",
            "transformer.h.0.ln_2.weight [8]",
            "transformer.h.0.ln_2.bias [8]",
            "transformer.h.0.mlp.c_fc.weight [8, 32]",
            "transformer.h.0.mlp.c_fc.bias [32]",
            "transformer.h.0.mlp.c_proj.weight [32, 8]",
            "transformer.h.0.mlp.c_proj.bias [8]",
            "transformer.ln_f.weight [8]",
            "transformer.ln_f.bias [8]",
            "lm_head.weight [16, 8]");
    assertThat(model(true).parameters())
        .extracting(Parameter::name)
        .doesNotContain("lm_head.weight");
  }

  @Test
  void countsAsManyParametersAsItsShapeSays() {
    for (boolean tied : new boolean[] {true, false}) {
      GptModel model = model(tied);
      assertThat(model.parameters().stream().mapToLong(p -> p.shape().elements()).sum())
          .isEqualTo(model.shape().parameters());
    }
  }

  @Test
  void usesATiedHeadAsAnInputOfItsOwn() {
    ModelTrace trace = new ModelTrace("forward");
    Value tokens = trace.builder().input("tokens", ValueType.i32(3, 4));

    Value logits = model(true).logits(trace, tokens, Recompute.NONE);

    assertThat(logits.type()).isEqualTo(ValueType.f32(3, 4, 16));
    List<ParameterUse> uses = trace.uses();
    assertThat(uses).hasSize(17);
    assertThat(uses.getLast().inputName()).isEqualTo("transformer.wte.weight@head");
    assertThat(uses.getLast().parameter()).isEqualTo(uses.getFirst().parameter());
  }

  @Test
  void decaysMatricesOnly() {
    assertThat(model(true).parameters())
        .allSatisfy(p -> assertThat(p.decays()).isEqualTo(p.shape().rank() == 2));
  }

  @Test
  void startsFromNumbersThatDependOnSeedAndNameAlone() {
    List<Parameter> parameters = new GptModel(GptShape.defaults(), 4).parameters();
    Parameter parameter = parameters.get(4);
    float[] first = initial(parameter, 1);

    assertThat(parameter.name()).isEqualTo("transformer.h.0.attn.c_attn.weight");
    assertThat(first).containsExactly(initial(parameter, 1));
    assertThat(first).isNotEqualTo(initial(parameter, 2));
    assertThat(deviation(first)).isBetween(0.0195, 0.0205);
    Parameter residual = parameters.get(6);
    assertThat(residual.name()).isEqualTo("transformer.h.0.attn.c_proj.weight");
    assertThat(deviation(initial(residual, 1))).isBetween(0.0195 / 2.829, 0.0205 / 2.828);
  }

  private static float[] initial(Parameter parameter, long seed) {
    float[] elements = new float[(int) parameter.shape().elements()];
    parameter.initialize(seed, MemorySegment.ofArray(elements));
    return elements;
  }

  private static double deviation(float[] numbers) {
    double squares = 0;
    for (float number : numbers) {
      squares += (double) number * number;
    }
    return Math.sqrt(squares / numbers.length);
  }
}
