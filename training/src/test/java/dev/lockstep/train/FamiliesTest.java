package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Recipe.SumBlocks;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.MlpShape;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.nn.Precision;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// Every family of models learns, and ends in the same bits on any layout, with dropout and
/// without.
@Timeout(120)
class FamiliesTest {
  private static final GptShape GPT = new GptShape(1, 4, 16, 8, 256, true);
  private static final LlamaShape LLAMA =
      new LlamaShape(2, 4, 2, 16, 24, 10, 256, false, 10_000, 1e-5f);
  private static final MlpShape MLP = new MlpShape(2, 16, 24, 3, 10, 256, true);

  @TempDir Path directory;
  private Path text;

  @BeforeEach
  void writeText() throws IOException {
    text = TinyText.write(directory.resolve("text"));
  }

  private static Recipe recipe(ModelShape shape) {
    return Recipe.defaults()
        .withModel(shape)
        .withBlocks(new SumBlocks(4, 2))
        .withSteps(2)
        .withBatch(new BatchShape(3, 2, 3));
  }

  private TrainedRun train(Recipe recipe, String mesh, int zero, Recompute recompute)
      throws Exception {
    Layout layout = mesh.isEmpty() ? Layout.dataParallel() : Layout.parse(mesh).withZero(zero);
    return train(recipe, layout, recompute);
  }

  private TrainedRun train(Recipe recipe, Layout layout, Recompute recompute) throws Exception {
    TrainerOptions options =
        TrainerOptions.defaults().withThreads(1).withRecompute(recompute).withLayout(layout);
    try (Corpus corpus = TinyText.open(text)) {
      return TrainedRun.of(recipe, corpus, layout.places(), options);
    }
  }

  static Stream<Arguments> recipes() {
    return Stream.of(
        Arguments.of("llama", recipe(LLAMA)),
        Arguments.of(
            "llama, bf16, dropout", recipe(LLAMA).withPrecision(Precision.BF16).withDropout(0.2f)),
        Arguments.of("mlp, dropout", recipe(MLP).withDropout(0.1f)),
        Arguments.of("gpt, dropout", recipe(GPT).withDropout(0.1f)));
  }

  @Test
  void llamaEndsInTheSameBitsWithDropout() throws Exception {
    Recipe recipe = recipe(LLAMA).withDropout(0.2f).withSteps(1);

    TrainedRun alone = train(recipe, "", 0, Recompute.NONE);
    assertThat(train(recipe, "dp=2,tp=2", 1, Recompute.ATTENTION)).isEqualTo(alone);
    Layout positions = Layout.parse("cp=2");
    assertThat(train(recipe, positions, Recompute.NONE)).isEqualTo(alone);
    Layout both = Layout.parse("tp=2").withSequenceParallel(true);
    assertThat(train(recipe, both, Recompute.NONE)).isEqualTo(alone);
  }

  @Tag("long")
  @ParameterizedTest(name = "{0}")
  @MethodSource("recipes")
  void anyLayoutEndsInTheSameBits(String name, Recipe recipe) throws Exception {
    TrainedRun alone = train(recipe, "", 0, Recompute.NONE);

    assertThat(alone.losses()).as(name).allSatisfy(loss -> assertThat(loss).isBetween(4f, 7f));
    assertThat(train(recipe, "dp=3", 3, Recompute.NONE)).as("dp=3 --zero 3").isEqualTo(alone);
    assertThat(train(recipe, "tp=2", 0, Recompute.BLOCK)).as("tp=2").isEqualTo(alone);
    assertThat(train(recipe, "dp=2,tp=2", 1, Recompute.ATTENTION))
        .as("dp=2,tp=2 --zero 1")
        .isEqualTo(alone);
    assertThat(train(recipe, "cp=2", 0, Recompute.BLOCK)).as("cp=2").isEqualTo(alone);
    Layout sequence = Layout.parse("dp=2,tp=2").withSequenceParallel(true);
    assertThat(train(recipe, sequence, Recompute.NONE)).as("with positions").isEqualTo(alone);
  }

  @Test
  void whatFallsOutDependsOnTheStepAndOnTheSeed() throws Exception {
    Recipe recipe = recipe(MLP).withDropout(0.5f);

    TrainedRun first = train(recipe, "", 0, Recompute.NONE);

    assertThat(train(recipe, "", 0, Recompute.NONE)).isEqualTo(first);
    assertThat(train(recipe.withDropout(0), "", 0, Recompute.NONE).weights())
        .isNotEqualTo(first.weights());
    assertThat(train(recipe.withDropout(0.4f), "", 0, Recompute.NONE).weights())
        .isNotEqualTo(first.weights());
  }

  static Stream<ModelShape> shapes() {
    return Stream.of(
        GPT,
        LLAMA,
        MLP,
        LlamaShape.defaults(),
        MlpShape.defaults(),
        MLP.with(Map.of("--layers", 3), false),
        MoeShape.defaults(),
        MoeShape.defaults().with(Map.of("--experts", 3), false));
  }

  @ParameterizedTest
  @MethodSource("shapes")
  void aShapeCountsItsParameters(ModelShape shape) {
    assertThat(shape.model(4).parameters().stream().mapToLong(p -> p.shape().elements()).sum())
        .isEqualTo(shape.parameters());
    assertThat(shape.of(shape.numbers(), shape.tiedHead())).isEqualTo(shape);
  }

  @Test
  void namesAndShapesOfLlamaAreThoseOfHuggingFace() {
    LlamaShape shape = new LlamaShape(1, 4, 2, 16, 24, 10, 256, false, 10_000, 1e-5f);

    assertThat(shape.model(4).parameters().stream().map(p -> p.name() + " " + p.shape()))
        .containsExactly(
            "model.embed_tokens.weight [256, 16]",
            "model.layers.0.input_layernorm.weight [16]",
            "model.layers.0.self_attn.q_proj.weight [16, 16]",
            "model.layers.0.self_attn.k_proj.weight [8, 16]",
            "model.layers.0.self_attn.v_proj.weight [8, 16]",
            "model.layers.0.self_attn.o_proj.weight [16, 16]",
            "model.layers.0.post_attention_layernorm.weight [16]",
            "model.layers.0.mlp.gate_proj.weight [24, 16]",
            "model.layers.0.mlp.up_proj.weight [24, 16]",
            "model.layers.0.mlp.down_proj.weight [16, 24]",
            "model.norm.weight [16]",
            "lm_head.weight [256, 16]");
  }

  @Test
  void numbersThatAFamilyHasNotAreRefused() {
    assertThatThrownBy(() -> GPT.with(Map.of("--kv-heads", 2), true))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining(
            "the model has no such number: model gpt, --kv-heads 2 (known: --layers");
    assertThatThrownBy(() -> LLAMA.with(Map.of("--kv-heads", 3), true))
        .hasMessageContaining("--kv-heads 3, --heads 4");
    assertThatThrownBy(() -> LLAMA.with(Map.of("--heads", 16), true))
        .hasMessageContaining("--heads 16, --width 16");
    assertThatThrownBy(() -> MLP.with(Map.of("--window", 11), true))
        .hasMessageContaining("--window 11, --context 10");
    assertThatThrownBy(() -> ModelShape.defaults("rnn"))
        .hasMessageContaining("there is no such model: model rnn (known: gpt, llama, mlp, moe)");
    assertThatThrownBy(() -> Layout.parse("tp=4").check(recipe(LLAMA), 4))
        .hasMessageContaining("tp does not divide the heads: --mesh tp=4, --kv-heads 2");
  }
}
