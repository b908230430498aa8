package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.nn.Precision;
import dev.lockstep.train.optim.AdamWOptions;
import dev.lockstep.train.optim.LearningRate;
import org.junit.jupiter.api.Test;

class RecipeTest {
  @Test
  void comesBackFromItsJson() {
    Recipe recipe =
        Recipe.defaults()
            .withModel(new GptShape(2, 2, 32, 16, 256, false))
            .withBatch(BatchShape.of(5, 2))
            .withSteps(37)
            .withOptimizer(new AdamWOptions(0.8f, 0.95f, 1e-6f, 0, Float.MAX_VALUE))
            .withSeed(-3)
            .withSameBits(false)
            .withPrecision(Precision.BF16);

    assertThat(Recipe.fromJson(recipe.toJson())).isEqualTo(recipe);
  }

  @Test
  void keepsEveryBitOfItsFractions() {
    float rate = Math.nextUp(1e-3f);
    Recipe recipe = Recipe.defaults().withLearningRate(new LearningRate(rate, 0, 3));

    assertThat(Recipe.fromJson(recipe.toJson()).learningRate().peak()).isEqualTo(rate);
  }

  @Test
  void otherStepsKeepAScheduleOfOnesOwn() {
    LearningRate constant = new LearningRate(1e-3f, 1e-3f, 0);
    Recipe recipe = Recipe.defaults().withLearningRate(constant).withSteps(50);

    assertThat(recipe.learningRate()).isEqualTo(constant);
    assertThat(recipe.learningRate().at(1, 50)).isEqualTo(1e-3f);
  }

  @Test
  void otherStepsAndPeaksKeepTheUsualScheduleUsual() {
    Recipe recipe = Recipe.defaults().withSteps(50).withPeakLearningRate(7e-4f).withSteps(300);

    assertThat(recipe.learningRate()).isEqualTo(LearningRate.of(7e-4f, 300));
  }

  @Test
  void anotherPeakKeepsTheFormOfASchedule() {
    Recipe recipe =
        Recipe.defaults()
            .withLearningRate(new LearningRate(1e-3f, 5e-4f, 3))
            .withPeakLearningRate(2e-3f);

    assertThat(recipe.learningRate()).isEqualTo(new LearningRate(2e-3f, 1e-3f, 3));
  }

  @Test
  void aWarmUpEndsBeforeTheRun() {
    Recipe recipe =
        Recipe.defaults().withLearningRate(new LearningRate(1e-3f, 1e-4f, 500)).withSteps(200);

    assertThatThrownBy(recipe::requireWarmUpWithinSteps)
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("learningRate.warmupSteps 500, --steps 200");
    assertThatThrownBy(recipe.withSteps(500)::requireWarmUpWithinSteps)
        .hasMessageContaining("--steps 500");
    recipe.withSteps(501).requireWarmUpWithinSteps();
    recipe.withLearningRate(new LearningRate(1e-3f, 1e-4f, 0)).requireWarmUpWithinSteps();
  }

  @Test
  void aSavedRecipeWithALongerWarmUpComesBack() {
    Recipe recipe =
        Recipe.defaults().withLearningRate(new LearningRate(1e-3f, 1e-4f, 500)).withSteps(200);

    assertThat(Recipe.fromJson(recipe.toJson())).isEqualTo(recipe);
  }

  @Test
  void readsWhatWasWrittenBeforeThereWereOtherPrecisionsThanFloat32() {
    String json = Recipe.defaults().toJson();
    String older = json.replace(",\"precision\":\"F32\"", "");

    assertThat(older).isNotEqualTo(json);
    assertThat(Recipe.fromJson(older)).isEqualTo(Recipe.defaults());
  }

  @Test
  void refusesJsonWithMissingOrUnknownFields() {
    String json = Recipe.defaults().toJson();

    assertThatThrownBy(() -> Recipe.fromJson(json.replace("\"seed\":1,", "")))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("seed");
    assertThatThrownBy(() -> Recipe.fromJson(json.replace("\"seed\"", "\"sead\"")))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> Recipe.fromJson(json.replace("\"layers\":4", "\"layers\":0")))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--layers 0");
  }

  @Test
  void namesBothOptionsWhereHeadsDoNotDivideTheWidth() {
    assertThatThrownBy(() -> new GptShape(4, 5, 128, 64, 256, true))
        .isInstanceOfSatisfying(
            ConfigurationException.class,
            refused -> {
              assertThat(refused.key()).isEqualTo("--heads");
              assertThat(refused.value()).isEqualTo("5");
            })
        .hasMessageContaining("--heads 5")
        .hasMessageContaining("--width 128");
  }

  @Test
  void namesTheOptionThatIsTooSmall() {
    assertThatThrownBy(() -> Recipe.defaults().withSteps(0)).hasMessageContaining("--steps 0");
    assertThatThrownBy(() -> BatchShape.of(0, 3)).hasMessageContaining("--lanes 0");
    assertThatThrownBy(() -> BatchShape.of(4, 0)).hasMessageContaining("--micro-batch 0");
    assertThatThrownBy(() -> new LearningRate(Float.NaN, 0, 0)).hasMessageContaining("--lr NaN");
    assertThatThrownBy(() -> LearningRate.of(-1, 10)).hasMessageContaining("--lr -1.0");
  }

  @Test
  void countsTheParametersOfTheDefaultModel() {
    assertThat(GptShape.defaults().parameters()).isEqualTo(834_304);
  }
}
