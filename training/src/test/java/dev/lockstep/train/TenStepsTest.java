package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Recipe.SumBlocks;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.reference.ReferenceTraining;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Tag;
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
    followTheReference(recipe, 1, TrainerOptions.defaults().withDevice(device));
  }

  /// Each form of parallelism alone, where nothing is a power of two.
  @Tag("long")
  @ParameterizedTest(name = "--mesh {0} --zero {1}")
  @CsvSource({
    "dp=1, 0", "dp=3, 0", "dp=2, 0", "dp=3, 1", "dp=3, 2", "dp=3, 3", "dp=2, 3", "dp=5, 1",
    "tp=3, 0", "pp=3, 0"
  })
  @Timeout(60)
  void everyFormFollowsTheReferenceOnOddSizes(String mesh, int zero) throws Exception {
    Recipe recipe =
        Recipe.defaults()
            .withModel(new GptShape(mesh.startsWith("pp") ? 3 : 1, 3, 27, 7, 258, true))
            .withBlocks(new SumBlocks(3, 1))
            .withBatch(BatchShape.of(5, 1))
            .withSteps(10);
    Layout layout = Layout.parse(mesh).withZero(zero);
    TrainerOptions options = TrainerOptions.defaults().withThreads(1).withLayout(layout);
    followTheReference(recipe, layout.places(), options);
  }

  /// Five positions for each of three ranks.
  @Tag("long")
  @ParameterizedTest(name = "--mesh {0} --sequence-parallel={1}")
  @CsvSource({"cp=3, false", "tp=3, true", "'dp=2,cp=3', false"})
  @Timeout(60)
  void positionsOnSeveralRanksFollowTheReferenceOnOddSizes(String mesh, boolean sequence)
      throws Exception {
    Recipe recipe =
        Recipe.defaults()
            .withModel(new GptShape(1, 3, 27, 15, 258, true))
            .withBlocks(new SumBlocks(3, 3))
            .withBatch(BatchShape.of(5, 1))
            .withSteps(10);
    Layout layout = Layout.parse(mesh).withSequenceParallel(sequence);
    TrainerOptions options = TrainerOptions.defaults().withThreads(1).withLayout(layout);
    followTheReference(recipe, layout.places(), options);
  }

  private void followTheReference(Recipe recipe, int ranks, TrainerOptions options)
      throws Exception {
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      ReferenceTraining reference = new ReferenceTraining(recipe, initialWeights(recipe));
      BatchReader batches = new BatchReader(recipe, corpus);
      double[] expected = new double[recipe.steps()];
      for (int step = 0; step < expected.length; step++) {
        BatchReader.Windows windows = batches.step(step);
        float rate = recipe.learningRate().at(step + 1, recipe.steps());
        expected[step] = reference.step(windows.tokens(), windows.targets(), rate);
      }
      InProcessRanks.run(
          ranks,
          job -> {
            try (Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
              for (double loss : expected) {
                trainer.step(false);
                assertThat((double) trainer.loss()).isCloseTo(loss, within(TOLERANCE));
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
