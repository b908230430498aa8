package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Recipe.SumBlocks;
import dev.lockstep.train.checkpoint.SafetensorsSet;
import dev.lockstep.train.checkpoint.Sha256;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.MlpShape;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/// What tests of checkpoints run: small models on a small text, in a folder of the test's own.
abstract class SmallRuns {
  static final Recipe RECIPE =
      Recipe.defaults()
          .withModel(new GptShape(1, 4, 16, 8, 256, true))
          .withBlocks(new SumBlocks(4, 1))
          .withBatch(new BatchShape(3, 1, 3))
          .withSteps(4);
  static final Recipe TINY =
      RECIPE.withModel(new MlpShape(1, 4, 4, 2, 4, 256, true)).withSteps(1_000_000);

  @TempDir Path directory;
  Corpus corpus;

  @BeforeEach
  void openText() throws IOException {
    corpus = TinyText.open(TinyText.write(directory.resolve("text")));
  }

  @AfterEach
  void closeText() {
    corpus.close();
  }

  static TrainerOptions options(String mesh, int zero) {
    return TrainerOptions.defaults().withThreads(1).withLayout(Layout.parse(mesh).withZero(zero));
  }

  /// Takes a step and notes the hashes of what it left.
  static void step(Trainer trainer, Map<Long, String> hashes) {
    trainer.step(false);
    hashes.put(trainer.stepsDone(), trainer.weightsSha256() + trainer.optimizerSha256());
  }

  /// The step of the checkpoint that is there, whose files are those of that step.
  static long opened(Path folder, Map<Long, String> hashes) {
    SavedRun saved = SavedRun.open(folder);
    try (SafetensorsSet weights = SafetensorsSet.open(saved.folder(), "model");
        SafetensorsSet moments = SafetensorsSet.open(saved.folder(), "optimizer")) {
      assertThat(Sha256.of(weights.tensors()) + Sha256.of(moments.tensors()))
          .isEqualTo(hashes.get(saved.step()));
    }
    return saved.step();
  }
}
