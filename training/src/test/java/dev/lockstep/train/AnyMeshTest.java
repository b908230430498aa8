package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Recipe.SumBlocks;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.pipeline.PipelineSchedule;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Layouts that nobody has thought of: axes in any order, each stage of ZeRO, positions shared out
/// or not, any schedule, buckets and recomputation, drawn by a seed. All end in the bits of one
/// rank.
@Timeout(180)
class AnyMeshTest {
  private static final List<String> AXES = List.of("dp", "tp", "pp", "cp", "ep");
  private static final List<ModelShape> SHAPES =
      List.of(
          new MoeShape(4, 4, 16, 12, 4, 2, 90, 10, 8, 256, true),
          new GptShape(4, 4, 24, 8, 256, true),
          new LlamaShape(4, 4, 4, 16, 24, 8, 256, false, 10_000, 1e-5f));

  @TempDir Path directory;

  private static Recipe recipe(ModelShape shape, int lanes, int steps) {
    return Recipe.defaults()
        .withModel(shape)
        .withBlocks(new SumBlocks(4, 8))
        .withSteps(steps)
        .withBatch(new BatchShape(lanes, 1, lanes));
  }

  private static TrainedRun train(Recipe recipe, Corpus corpus, TrainerOptions options)
      throws Exception {
    return TrainedRun.of(recipe, corpus, options.layout().places(), options);
  }

  /// Draws until a layout fits the recipe.
  private static TrainerOptions drawn(Random random, Recipe recipe, int most) {
    while (true) {
      Layout layout = layout(random);
      if (layout.places() < most / 2 || layout.places() > most) {
        continue;
      }
      try {
        layout.check(recipe, layout.places());
      } catch (ConfigurationException refused) {
        continue;
      }
      Recompute[] ways = Recompute.values();
      long[] buckets = {0, 1, 20_000};
      return TrainerOptions.defaults()
          .withThreads(1)
          .withLayout(layout)
          .withRecompute(ways[random.nextInt(ways.length)])
          .withBucketBytes(buckets[random.nextInt(buckets.length)]);
    }
  }

  private static Layout layout(Random random) {
    List<String> axes = new ArrayList<>(AXES);
    Collections.shuffle(axes, random);
    List<String> words = new ArrayList<>();
    for (String axis : axes) {
      int size = 1 + random.nextInt(axis.equals("dp") ? 5 : 2);
      words.add(axis + "=" + size);
    }
    PipelineSchedule[] schedules = PipelineSchedule.values();
    return Layout.parse(String.join(",", words))
        .withSchedule(schedules[random.nextInt(schedules.length)])
        .withZero(random.nextInt(4))
        .withSequenceParallel(random.nextBoolean());
  }

  private void anyMeshKeepsTheBits(long seed, int count, int steps, int most) throws Exception {
    Random random = new Random(seed);
    ModelShape shape = SHAPES.get(random.nextInt(SHAPES.size()));
    Recipe recipe = recipe(shape, 5 + random.nextInt(4), steps);
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      TrainedRun alone =
          train(
              recipe,
              corpus,
              TrainerOptions.defaults().withThreads(1).withLayout(Layout.parse("dp=1")));
      for (int i = 0; i < count; i++) {
        TrainerOptions options = drawn(random, recipe, most);
        assertThat(train(recipe, corpus, options))
            .as("seed %d, %s of %d lanes: %s", seed, shape, recipe.batch().lanes(), options)
            .isEqualTo(alone);
      }
    }
  }

  @Test
  void aMeshOfUpToFourRanksKeepsTheBits() throws Exception {
    anyMeshKeepsTheBits(1, 1, 1, 4);
  }

  @Tag("long")
  @ParameterizedTest(name = "seed={0}")
  @ValueSource(longs = {2, 3, 4, 5})
  void anyMeshOfUpToTwelveRanksKeepsTheBits(long seed) throws Exception {
    anyMeshKeepsTheBits(seed, 2, 2, 12);
  }

  @Tag("long")
  @Test
  void aMeshOfAllFiveAxesKeepsTheBits() throws Exception {
    Recipe recipe = recipe(SHAPES.getFirst(), 5, 1);
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      TrainerOptions options = TrainerOptions.defaults().withThreads(1);
      TrainedRun alone = train(recipe, corpus, options.withLayout(Layout.parse("dp=1")));
      Layout five = Layout.parse("cp=2,ep=2,dp=2,pp=2,tp=2").withZero(3);
      assertThat(train(recipe, corpus, options.withLayout(five))).isEqualTo(alone);
    }
  }
}
