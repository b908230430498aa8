package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.checkpoint.HuggingFaceFolder;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.MlpShape;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.MoeShape;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class InferenceTest {
  @TempDir Path directory;

  private final TrainerOptions options = TrainerOptions.defaults().withThreads(1);

  private Path saved(int vocabulary) throws Exception {
    return saved(new GptShape(1, 1, 8, 4, vocabulary, true));
  }

  private Path saved(ModelShape shape) throws Exception {
    Recipe recipe = Recipe.defaults().withModel(shape).withBatch(BatchShape.of(1, 1));
    Path folder = directory.resolve("checkpoint");
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      InProcessRanks.run(
          1,
          job -> {
            try (Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
              trainer.save(folder);
            }
            return 0;
          });
    }
    return folder;
  }

  /// As options of a job have it whose transport this program does not carry.
  @Test
  void needsNoTransport() throws Exception {
    try (HuggingFaceFolder folder = HuggingFaceFolder.open(saved(256));
        Inference model = new Inference(folder, options.withTransport("pigeon"))) {
      assertThat(model.logits(1, 2, 3)).hasDimensions(3, 256);
    }
  }

  private static ModelShape small(String family) {
    return switch (ModelShape.defaults(family)) {
      case GptShape _ -> new GptShape(1, 2, 8, 6, 256, false);
      case LlamaShape _ -> LlamaShape.of(1, 2, 1, 8, 12, 6);
      case MlpShape _ -> new MlpShape(2, 8, 12, 3, 6, 256, true);
      // Places are scarce: what follows a token must not take its own.
      case MoeShape _ -> new MoeShape(1, 2, 8, 12, 4, 2, 60, 10, 6, 256, true);
    };
  }

  @ParameterizedTest
  @ValueSource(strings = {"gpt", "llama", "mlp", "moe"})
  void everyFamilysCheckpointIsAskedAndSeesNothingAhead(String family) throws Exception {
    ModelShape shape = small(family);
    try (HuggingFaceFolder folder = HuggingFaceFolder.open(saved(shape));
        Inference model = new Inference(folder, options)) {
      assertThat(model.shape()).isEqualTo(shape);
      float[][] few = model.logits(7, 7, 200);
      float[][] more = model.logits(7, 7, 200, 0, 7, 7);
      assertThat(few).hasDimensions(3, 256).isDeepEqualTo(Arrays.copyOf(more, 3));
      assertThat(few[0]).isNotEqualTo(few[2]);
    }
  }

  @ParameterizedTest(name = "vocabulary {0}")
  @CsvSource({"256, false", "300, true"})
  void weightsOfOtherTokensThanBytesAreKnown(int vocabulary, boolean areOthers) throws Exception {
    try (HuggingFaceFolder folder = HuggingFaceFolder.open(saved(vocabulary))) {
      assertThat(InitialWeights.otherTokens(folder).isPresent()).isEqualTo(areOthers);
      InitialWeights.otherTokens(folder)
          .ifPresent(words -> assertThat(words).contains("vocabulary=300", "bytes"));
    }
  }
}
