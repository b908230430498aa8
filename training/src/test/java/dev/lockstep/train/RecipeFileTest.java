package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.MlpShape;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.nn.Precision;
import dev.lockstep.train.optim.LearningRate;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

class RecipeFileTest {
  @TempDir Path directory;

  private Path file(String text) throws IOException {
    return Files.writeString(directory.resolve("recipe.json"), text);
  }

  static Stream<ModelShape> shapes() {
    return Stream.of(
        new GptShape(2, 2, 32, 16, 256, false),
        new LlamaShape(3, 6, 3, 36, 44, 7, 300, true, 12_345.5f, 3e-6f),
        new MlpShape(3, 20, 30, 4, 9, 256, false),
        new MoeShape(2, 2, 16, 24, 5, 3, 110, 7, 9, 256, false));
  }

  @ParameterizedTest
  @MethodSource("shapes")
  void comesBackFromItsFile(ModelShape shape) throws IOException {
    Recipe recipe =
        Recipe.defaults()
            .withModel(shape)
            .withBatch(BatchShape.of(5, 2))
            .withSteps(37)
            .withLearningRate(new LearningRate(Math.nextUp(1e-3f), 1e-5f, 3))
            .withSeed(-3)
            .withSameBits(false)
            .withPrecision(Precision.BF16)
            .withDropout(0.1f)
            .withInitialWeights("ab12");
    Path file = directory.resolve("recipe.json");
    recipe.write(file);

    assertThat(Recipe.read(file)).isEqualTo(recipe);
    assertThat(Recipe.fromJson(recipe.toJson())).isEqualTo(recipe);
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource({"bf16, BF16", "BF16, BF16", "f32, F32"})
  void aPrecisionIsReadAsTheOptionHasItToo(String written, Precision meant) throws IOException {
    Path file = directory.resolve("precision.json");
    Files.writeString(file, "{\"precision\": \"%s\"}".formatted(written));
    assertThat(Recipe.read(file).precision()).isEqualTo(meant);
  }

  @Test
  void whatAFileLeavesOutIsTheDefaultOfItsFamily() throws IOException {
    Recipe read =
        Recipe.read(file("{\"model\": {\"family\": \"llama\", \"layers\": 2}, \"steps\": 50}"));

    assertThat(read)
        .isEqualTo(
            Recipe.defaults()
                .withModel(LlamaShape.defaults().with(java.util.Map.of("--layers", 2), true))
                .withSteps(50));
    assertThat(Recipe.read(file("{}"))).isEqualTo(Recipe.defaults());
    assertThat(Recipe.read(file("{\"learningRate\": {\"peak\": 1}}")).learningRate())
        .isEqualTo(LearningRate.of(1, Recipe.defaults().steps()));
  }

  @Test
  void anEvaluationThatAFileLeavesOutHasABatchPerLane() throws IOException {
    assertThat(Recipe.read(file("{\"batch\": {\"lanes\": 64}}")).batch())
        .isEqualTo(new BatchShape(64, 3, 64));
    assertThat(Recipe.read(file("{\"batch\": {\"lanes\": 2}}")).batch())
        .isEqualTo(new BatchShape(2, 3, 32));
    assertThatThrownBy(
            () -> Recipe.read(file("{\"batch\": {\"lanes\": 64, \"validationBatches\": 40}}")))
        .hasMessageContaining("validation batches 40 (at least 64)");
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource(
      delimiter = ';',
      value = {
        "{'sead': 1}; unknown key: key=sead (known: model, batch,",
        "{'model': {'layer': 1}}; unknown key: key=model.layer (known: family, layers, heads,",
        "{'model': {'window': 1}}; unknown key: key=model.window",
        "{'model': {'family': 'rnn'}}; there is no such model: model rnn (known: gpt, llama, mlp,"
            + " moe)",
        "{'model': 3}; wrong value: model=3 (expected an object)",
        "{'model': {'layers': 'two'}}; wrong value: model.layers=\"two\" (expected a whole number"
            + " of at most 2147483647)",
        "{'model': {'layers': 99999999999}}; wrong value: model.layers=99999999999 (expected a"
            + " whole number of at most 2147483647)",
        "{'model': {'layers': 2.5}}; wrong value: model.layers=2.5 (expected a whole number of at"
            + " most 2147483647)",
        "{'model': {'layers': 99999999999}}; layers",
        "{'model': {'heads': 5}}; --heads 5, --width 128",
        "{'steps': 0}; --steps 0",
        "{'dropout': 1}; out of range: --dropout 1.0",
        "{'sameBits': 'yes'}; wrong value: sameBits=\"yes\" (expected true or false)",
        "{'precision': 'F64'}; wrong value: precision=F64",
        "{'seed': null}; wrong value: seed=null (expected a whole number)",
        "{'seed': 1, 'seed': 2}; Duplicate field 'seed'",
        "{'seed': 1; Unexpected end-of-input",
        "[]; it holds no JSON object"
      })
  void whatIsWrongIsNamed(String text, String sentence) throws IOException {
    Path file = file(text.replace('\'', '"'));

    assertThatThrownBy(() -> Recipe.read(file))
        .isInstanceOfSatisfying(
            ConfigurationException.class,
            refused -> assertThat(refused.key()).isEqualTo("--recipe"))
        .hasMessageContaining("the recipe cannot be read: --recipe " + file)
        .hasMessageContaining(sentence);
  }

  @Test
  void aFileThatIsNotThereIsNamed() {
    assertThatThrownBy(() -> Recipe.read(directory.resolve("none")))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("the file is missing");
  }
}
