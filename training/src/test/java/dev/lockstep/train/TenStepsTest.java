package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.reference.ReferenceTraining;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Ten steps of the whole model against a second implementation in binary64.
class TenStepsTest {
  @TempDir Path directory;

  // Binary32 rounds at 6e-8; ten steps of sums over 1e4 terms and Adam's quotients, where a tiny
  // gradient's sign is a whole learning rate, leave about 1e-5 of a loss of 5.5.
  private static final double TOLERANCE = 5e-5;

  @ParameterizedTest(name = "device={0}, tied={1}")
  @CsvSource({"reference, true", "reference, false", "cpu, true", "cpu, false"})
  @Timeout(60)
  void followTheReference(String device, boolean tied) throws Exception {
    Recipe recipe =
        Recipe.defaults()
            .withModel(new GptShape(2, 2, 16, 12, 256, tied))
            .withBatch(BatchShape.of(3, 2))
            .withSteps(10);
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      ReferenceTraining reference = new ReferenceTraining(recipe, initialWeights(recipe));
      BatchReader batches = new BatchReader(recipe, corpus);
      InProcessRanks.run(
          1,
          job -> {
            TrainerOptions options = TrainerOptions.defaults().withDevice(device);
            try (Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
              for (int step = 0; step < recipe.steps(); step++) {
                BatchReader.Windows windows = batches.step(step);
                float rate = recipe.learningRate().at(step + 1, recipe.steps());
                double expected = reference.step(windows.tokens(), windows.targets(), rate);
                trainer.step(false);
                assertThat((double) trainer.loss()).isCloseTo(expected, within(TOLERANCE));
              }
            }
            return 0;
          });
    }
  }

  private static Map<String, double[]> initialWeights(Recipe recipe) {
    Map<String, double[]> weights = new LinkedHashMap<>();
    for (Parameter parameter : recipe.model().model(recipe.blocks().tensor()).parameters()) {
      float[] elements = new float[(int) parameter.shape().elements()];
      parameter.initialize(recipe.seed(), MemorySegment.ofArray(elements));
      double[] wide = new double[elements.length];
      for (int i = 0; i < wide.length; i++) {
        wide[i] = elements[i];
      }
      weights.put(parameter.name(), wide);
    }
    return weights;
  }
}
