package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.checkpoint.HuggingFaceFolder;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(60)
class InferenceTest {
  @TempDir Path directory;

  private final TrainerOptions options = TrainerOptions.defaults().withThreads(1);

  private Path saved(int vocabulary) throws Exception {
    Recipe recipe =
        Recipe.defaults()
            .withModel(new GptShape(1, 1, 8, 4, vocabulary, true))
            .withBatch(BatchShape.of(1, 1));
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
