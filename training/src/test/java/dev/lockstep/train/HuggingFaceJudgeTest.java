package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.checkpoint.HuggingFaceFolder;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.ModelShape;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Folders of Hugging Face opened here, and ours opened there, by transformers: the logits are the
/// same.
@Timeout(300)
class HuggingFaceJudgeTest {
  @TempDir Path directory;

  @Test
  void llamaFoldersOpenHereAndThere() throws Exception {
    foldersOpenHereAndThere("llama", "20KB", "float32", LlamaShape.of(2, 4, 2, 32, 56, 12));
  }

  @Tag("long")
  @Test
  void foldersOfBfloat16OpenHere() throws Exception {
    LlamaShape untied = new LlamaShape(1, 2, 1, 16, 24, 12, 256, false, 500_000, 1e-6f);
    foldersOpenHereAndThere("llama-tied", "1GB", "bfloat16", untied);
  }

  @Tag("long")
  @Test
  void gptFoldersOpenHereAndThere() throws Exception {
    foldersOpenHereAndThere("gpt2", "1GB", "float32", new GptShape(2, 4, 32, 12, 256, false));
  }

  private void foldersOpenHereAndThere(
      String family, String fileBytes, String dtype, ModelShape shape) throws Exception {
    PythonJudge python = PythonJudge.find(directory);
    Path ours = directory.resolve("ours");
    Path theirs = directory.resolve("theirs");
    Recipe recipe = Recipe.defaults().withModel(shape).withBatch(BatchShape.of(2, 2)).withSteps(20);
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      String trained = trained(recipe, corpus, ours);

      JsonNode logits =
          python.run(
              "hugging_face_judge.py",
              family,
              theirs.toString(),
              fileBytes,
              dtype,
              ours.toString());

      try (HuggingFaceFolder opened = HuggingFaceFolder.open(theirs)) {
        assertThat(opened.shape().tiedHead()).isEqualTo(!family.equals("llama"));
        assertSameLogits(opened, logits.path("theirs"));
      }
      try (HuggingFaceFolder opened = HuggingFaceFolder.open(ours)) {
        assertThat(opened.shape()).isEqualTo(shape);
        assertThat(opened.sha256()).isEqualTo(trained);
        assertSameLogits(opened, logits.path("ours"));
        startsFrom(recipe, opened, corpus, trained);
      }
    }
  }

  private static String trained(Recipe recipe, Corpus corpus, Path checkpoint) throws Exception {
    return InProcessRanks.run(
            1,
            job -> {
              TrainerOptions options = TrainerOptions.defaults().withThreads(1);
              try (Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
                trainer.train(TrainingRun.savingTo(checkpoint));
                return trainer.weightsSha256();
              }
            })
        .getFirst();
  }

  /// A run starts from the weights of a folder, says so, and from no other model's.
  private static void startsFrom(
      Recipe recipe, HuggingFaceFolder folder, Corpus corpus, String sha256) throws Exception {
    InProcessRanks.run(
        1,
        job -> {
          TrainerOptions options = TrainerOptions.defaults().withThreads(1);
          try (Trainer trainer = Trainer.start(job, recipe, folder, corpus, options)) {
            assertThat(trainer.weightsSha256()).isEqualTo(sha256);
            assertThat(trainer.recipe()).isEqualTo(recipe.withInitialWeights(sha256));
          }
          Recipe other = recipe.withModel(new GptShape(1, 4, 32, 12, 256, true));
          assertThatThrownBy(() -> Trainer.start(job, other, folder, corpus, options))
              .isInstanceOf(ConfigurationException.class)
              .hasMessageContaining("the weights are of another model");
          assertThatThrownBy(
                  () -> Trainer.start(job, recipe.withInitialWeights("ab"), corpus, options))
              .hasMessageContaining("starts from weights that were not given: sha256 ab");
          return 0;
        });
  }

  private static void assertSameLogits(HuggingFaceFolder folder, JsonNode theirs) {
    int[] tokens = new int[theirs.path("tokens").size()];
    for (int i = 0; i < tokens.length; i++) {
      tokens[i] = theirs.path("tokens").path(i).asInt();
    }
    float[][] ours;
    try (Inference inference = new Inference(folder, TrainerOptions.defaults().withThreads(1))) {
      ours = inference.logits(tokens);
    }
    double greatest = 0;
    double difference = 0;
    for (int row = 0; row < tokens.length; row++) {
      for (int token = 0; token < ours[row].length; token++) {
        double their = theirs.path("logits").path(row).path(token).asDouble();
        greatest = Math.max(greatest, Math.abs(their));
        difference = Math.max(difference, Math.abs(their - ours[row][token]));
      }
    }
    assertThat(greatest).as("logits say something").isGreaterThan(0.1);
    assertThat(difference).as("logits up to %s", greatest).isCloseTo(0, within(1e-4));
    System.out.printf(
        "logits of %s up to %.3f, largest difference %.2e%n",
        theirs.path("model").asText(), greatest, difference);
  }
}
