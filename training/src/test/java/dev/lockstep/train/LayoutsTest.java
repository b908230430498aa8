package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Recipe.SumBlocks;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.nn.Precision;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Whatever the mesh, a recipe ends in the same bits: losses of every step, weights and optimizer
/// state.
@Timeout(120)
class LayoutsTest {
  private static final int STEPS = 2;

  @TempDir Path directory;

  private static Recipe recipe(ModelShape shape, SumBlocks blocks) {
    Recipe recipe = Recipe.defaults().withModel(shape).withBlocks(blocks).withSteps(STEPS);
    return recipe.withBatch(new BatchShape(3, 2, 3));
  }

  private static TrainerOptions options(String mesh, Recompute recompute) {
    TrainerOptions options = TrainerOptions.defaults().withThreads(1).withRecompute(recompute);
    return mesh.isEmpty() ? options : options.withLayout(Layout.parse(mesh));
  }

  @ParameterizedTest(name = "tied={0}, recompute={1}")
  @CsvSource({"true, NONE", "false, BLOCK"})
  void tensorParallelismKeepsTheBits(boolean tied, Recompute recompute) throws Exception {
    Recipe recipe = recipe(new GptShape(2, 4, 24, 10, 256, tied), new SumBlocks(4, 2));
    try (Corpus corpus = open()) {
      TrainedRun alone = TrainedRun.of(recipe, corpus, 1, options("", Recompute.NONE));
      for (String mesh : List.of("tp=4", "tp=2,dp=3")) {
        int ranks = Layout.parse(mesh).places();
        assertThat(TrainedRun.of(recipe, corpus, ranks, options(mesh, recompute)))
            .as("--mesh %s", mesh)
            .isEqualTo(alone);
      }
    }
  }

  @Test
  void bucketsOfAnySizeKeepTheBits() throws Exception {
    bucketsKeepTheBits(List.of("dp=3"), 0, 20_000);
    bucketsKeepTheBits(List.of("dp=2,tp=2"), 20_000);
  }

  @Tag("long")
  @Test
  void bucketsOfAnySizeKeepTheBitsOfAnyMesh() throws Exception {
    bucketsKeepTheBits(List.of("dp=2", "dp=3", "dp=2,tp=2", "dp=2,cp=2"), 0, 1, 20_000);
  }

  private void bucketsKeepTheBits(List<String> meshes, long... sizes) throws Exception {
    Recipe recipe =
        recipe(new GptShape(2, 4, 24, 10, 256, true), new SumBlocks(4, 2))
            .withBatch(new BatchShape(7, 2, 7));
    try (Corpus corpus = open()) {
      TrainedRun alone = TrainedRun.of(recipe, corpus, 1, options("", Recompute.NONE));
      for (String mesh : meshes) {
        for (long bytes : sizes) {
          TrainerOptions options = options(mesh, Recompute.NONE).withBucketBytes(bytes);
          assertThat(TrainedRun.of(recipe, corpus, Layout.parse(mesh).places(), options))
              .as("--mesh %s, buckets of %d bytes", mesh, bytes)
              .isEqualTo(alone);
        }
      }
    }
  }

  private static TrainerOptions options(String mesh, int zero) {
    return TrainerOptions.defaults().withThreads(1).withLayout(Layout.parse(mesh).withZero(zero));
  }

  @Test
  void shardedOptimizerStateKeepsTheBits() throws Exception {
    shardedStateKeepsTheBits(5, true, List.of("dp=3"), 1, 2, 3);
    shardedStateKeepsTheBits(5, true, List.of("dp=2,tp=2"), 3);
  }

  /// Of five lanes `verify-layouts` proves it.
  @Tag("long")
  @ParameterizedTest(name = "lanes={0}, tied={1}")
  @CsvSource({"4, true", "7, false"})
  void shardedOptimizerStateKeepsTheBitsForAnyLanes(int lanes, boolean tied) throws Exception {
    shardedStateKeepsTheBits(
        lanes, tied, List.of("dp=2", "dp=3", "dp=4", "dp=2,tp=2", "tp=4,dp=2"), 1, 2, 3);
  }

  private void shardedStateKeepsTheBits(int lanes, boolean tied, List<String> meshes, int... stages)
      throws Exception {
    Recipe recipe =
        recipe(new GptShape(2, 4, 24, 10, 256, tied), new SumBlocks(4, 1))
            .withBatch(new BatchShape(lanes, 2, 8));
    try (Corpus corpus = open()) {
      TrainedRun alone = TrainedRun.of(recipe, corpus, 1, options("", Recompute.NONE));
      for (int zero : stages) {
        for (String mesh : meshes) {
          int ranks = Layout.parse(mesh).places();
          assertThat(TrainedRun.of(recipe, corpus, ranks, options(mesh, zero)))
              .as("--mesh %s --zero %d", mesh, zero)
              .isEqualTo(alone);
        }
      }
    }
  }

  @Test
  void shardsAreCutWithinLargeTensors() throws Exception {
    Recipe recipe = recipe(new GptShape(1, 2, 256, 6, 256, true), new SumBlocks(1, 1)).withSteps(1);
    try (Corpus corpus = open()) {
      TrainedRun alone = TrainedRun.of(recipe, corpus, 1, options("", Recompute.NONE));
      assertThat(TrainedRun.of(recipe, corpus, 3, options("dp=3", 1))).isEqualTo(alone);
      assertThat(TrainedRun.of(recipe, corpus, 3, options("dp=3", 2))).isEqualTo(alone);
      assertThat(TrainedRun.of(recipe, corpus, 3, options("dp=3", 3))).isEqualTo(alone);
    }
  }

  @Test
  void tensorParallelismKeepsTheBitsOfBfloat16() throws Exception {
    Recipe recipe =
        recipe(new GptShape(1, 4, 24, 10, 256, true), new SumBlocks(4, 2))
            .withPrecision(Precision.BF16);
    try (Corpus corpus = open()) {
      assertThat(TrainedRun.of(recipe, corpus, 4, options("dp=2,tp=2", Recompute.NONE)))
          .isEqualTo(TrainedRun.of(recipe, corpus, 1, options("", Recompute.NONE)));
    }
  }

  @Test
  void positionsSpreadOverRanksKeepTheBits() throws Exception {
    Recipe recipe = recipe(new GptShape(2, 4, 24, 12, 256, true), new SumBlocks(4, 4));
    positionsKeepTheBits(recipe, List.of("cp=2", "tp=2 sp", "cp=2,tp=2 sp"));
  }

  @Tag("long")
  @ParameterizedTest(name = "tied={0}, recompute={1}, lanes={2}, zero={3}")
  @CsvSource({"true, NONE, 5, 3", "false, BLOCK, 4, 2", "true, ATTENTION, 3, 1"})
  void positionsSpreadOverRanksKeepTheBitsOfAnyForm(
      boolean tied, Recompute recompute, int lanes, int zero) throws Exception {
    Recipe recipe =
        recipe(new GptShape(2, 4, 24, 12, 256, tied), new SumBlocks(4, 4))
            .withBatch(new BatchShape(lanes, 2, 5));
    try (Corpus corpus = open()) {
      TrainedRun alone = TrainedRun.of(recipe, corpus, 1, options("", Recompute.NONE));
      for (String mesh :
          List.of("cp=4", "dp=2,cp=2", "cp=2,dp=3", "tp=4", "dp=2,tp=2", "dp=2,cp=2,tp=2")) {
        Layout layout = Layout.parse(mesh).withZero(zero);
        layout = layout.withSequenceParallel(mesh.contains("tp"));
        TrainerOptions options = options("", recompute).withLayout(layout);
        assertThat(TrainedRun.of(recipe, corpus, layout.places(), options))
            .as(mesh)
            .isEqualTo(alone);
      }
      for (String mesh : List.of("pp=2,cp=2", "tp=2,pp=2", "cp=2,pp=2,tp=2", "dp=2,pp=2,cp=2")) {
        Layout layout = Layout.parse(mesh).withSequenceParallel(mesh.contains("tp"));
        TrainerOptions options = options("", recompute).withLayout(layout);
        assertThat(TrainedRun.of(recipe, corpus, layout.places(), options))
            .as(mesh)
            .isEqualTo(alone);
      }
    }
  }

  /// Meshes with `sp` behind them are sequence parallel where they have `tp`.
  private void positionsKeepTheBits(Recipe recipe, List<String> meshes) throws Exception {
    try (Corpus corpus = open()) {
      TrainedRun alone = TrainedRun.of(recipe, corpus, 1, options("", Recompute.NONE));
      for (String mesh : meshes) {
        Layout layout = Layout.parse(mesh.replace(" sp", ""));
        layout = layout.withSequenceParallel(mesh.contains("tp") && mesh.endsWith("sp"));
        TrainerOptions options = options("", Recompute.NONE).withLayout(layout);
        assertThat(TrainedRun.of(recipe, corpus, layout.places(), options))
            .as(mesh)
            .isEqualTo(alone);
      }
    }
  }

  @Test
  void anyRankOfAnAxisMayStopTheRun() throws Exception {
    Recipe recipe =
        recipe(new MoeShape(1, 2, 8, 6, 2, 1, 100, 10, 4, 256, true), new SumBlocks(2, 2));
    try (Corpus corpus = open()) {
      for (String mesh : List.of("cp=2", "tp=2", "dp=2", "ep=2")) {
        List<Boolean> stopped =
            InProcessRanks.run(
                2,
                job -> {
                  try (Trainer trainer =
                      Trainer.start(job, recipe, corpus, options(mesh, Recompute.NONE))) {
                    trainer.step(job.rank() == 1);
                    return trainer.isStopped();
                  }
                });
        assertThat(stopped).as(mesh).containsExactly(true, true);
      }
    }
  }

  @Test
  void threeRanksShareOddSizes() throws Exception {
    Recipe recipe = recipe(new GptShape(1, 3, 27, 7, 258, true), new SumBlocks(3, 1));
    try (Corpus corpus = open()) {
      assertThat(TrainedRun.of(recipe, corpus, 3, options("tp=3", Recompute.NONE)))
          .isEqualTo(TrainedRun.of(recipe, corpus, 1, options("", Recompute.NONE)));
    }
  }

  @Test
  void aRunGoesOnUnderAnotherLayoutInTheMiddle() throws Exception {
    Recipe recipe = recipe(new GptShape(1, 2, 16, 8, 256, true), new SumBlocks(2, 1)).withSteps(4);
    try (Corpus corpus = open()) {
      TrainedRun alone = TrainedRun.of(recipe, corpus, 1, options("", Recompute.NONE));
      String[] meshes = {"dp=2,tp=2", "dp=2", "dp=3", "tp=2,dp=2"};
      int[] zeros = {0, 3, 1, 2};
      Path checkpoint = directory.resolve("checkpoint");
      String weights = "";
      for (int part = 0; part < meshes.length; part++) {
        int until = part + 1;
        TrainerOptions options = options(meshes[part], zeros[part]);
        weights =
            InProcessRanks.run(
                    Layout.parse(meshes[part]).places(),
                    job -> {
                      try (Trainer trainer =
                          until == 1
                              ? Trainer.start(job, recipe, corpus, options)
                              : Trainer.resume(job, SavedRun.open(checkpoint), corpus, options)) {
                        trainer.step(false);
                        assertThat(trainer.stepsDone()).isEqualTo(until);
                        assertThat(trainer.loss()).isEqualTo(alone.losses().get(until - 1));
                        trainer.save(checkpoint);
                        return trainer.weightsSha256() + trainer.optimizerSha256();
                      }
                    })
                .getFirst();
      }
      assertThat(weights).isEqualTo(alone.weights() + alone.optimizer());
    }
  }

  @ParameterizedTest(name = "{0} on {1} ranks")
  @CsvSource(
      delimiter = ';',
      value = {
        "dp=2,tp=2; 2; the mesh does not hold the job's ranks: --mesh dp=2,tp=2, places 4, ranks 2",
        "dp=65536,tp=65536; 4; the mesh does not hold the job's ranks: --mesh dp=65536,tp=65536,"
            + " places 4294967296",
        "tp=3; 3; tp does not divide the tensor blocks: --mesh tp=3, --tensor-blocks 4",
        "dp=4; 4; more ranks than lanes: --lanes 3, ranks 4",
        "dp=4,tp=1; 4; more places on dp than lanes: --lanes 3, --mesh dp=4,tp=1",
        "tp=4; 4; tp does not divide the heads: --mesh tp=4, --heads 2",
        "xp=4; 4; no such axis: --mesh xp=4 (known: dp, tp",
        "dp=2,dp=2; 4; an axis is named twice: --mesh dp=2,dp=2",
        "cp=2; 2; ranks that share the positions do not divide the token blocks: --mesh cp=2, ranks"
            + " 2, --token-blocks 1 (start the run with --token-blocks 2 or a multiple",
      })
  void aMeshThatDoesNotFitIsRefusedInASentence(String mesh, int ranks, String sentence) {
    Recipe recipe = recipe(new GptShape(1, 2, 8, 4, 256, true), new SumBlocks(4, 1));
    assertThatThrownBy(() -> Layout.parse(mesh).check(recipe, ranks))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining(sentence);
  }

  @Test
  void positionsThatDoNotDivideAreRefusedInASentence() {
    Recipe recipe = recipe(new GptShape(1, 4, 8, 10, 256, true), new SumBlocks(4, 6));
    Layout both = Layout.parse("tp=2,cp=2").withSequenceParallel(true);
    assertThatThrownBy(() -> both.check(recipe, 4))
        .hasMessageContaining(
            "--mesh tp=2,cp=2 --sequence-parallel, ranks 4, --token-blocks 6 (start the run with"
                + " --token-blocks 4 or a multiple");
    assertThatThrownBy(() -> Layout.parse("cp=2").check(recipe, 2))
        .hasMessageContaining("no subtree of the sum: --mesh cp=2, --token-blocks 6");
    Recipe four = recipe.withBlocks(new SumBlocks(4, 4));
    assertThatThrownBy(() -> Layout.parse("cp=2").check(four, 2))
        .hasMessageContaining("equal token blocks: --mesh cp=2, --context 10, --token-blocks 4");
    Layout noTensors = Layout.parse("dp=2").withSequenceParallel(true);
    assertThatThrownBy(() -> noTensors.check(four, 2))
        .hasMessageContaining("--sequence-parallel, --mesh dp=2 (name tp or ep, or leave it out)");
  }

  @Test
  void blocksThatAreNotEqualAreRefused() {
    Recipe recipe = recipe(new GptShape(1, 2, 10, 4, 256, true), new SumBlocks(4, 1));
    assertThatThrownBy(() -> Layout.parse("tp=2").check(recipe, 2))
        .hasMessageContaining(
            "equal tensor blocks: --mesh tp=2, --width 10, --tensor-blocks 4 (start the run with"
                + " --tensor-blocks 2: it is part of the recipe, with bits of its own; or choose a"
                + " multiple)");
  }

  /// GPT-2's vocabulary divides by 29 and 1733 alone, and comes with its weights.
  @Test
  void whatAVocabularyCannotBeCutIntoIsRefusedWithTheBlocksThatItCan() {
    Recipe recipe = recipe(new GptShape(2, 2, 16, 4, 50_257, true), new SumBlocks(4, 1));
    for (Layout layout : List.of(Layout.parse("pp=2"), Layout.dataParallel().withZero(1))) {
      assertThatThrownBy(() -> layout.check(recipe, 2))
          .hasMessageContaining(
              "vocabulary 50257, --tensor-blocks 4 (start the run with --tensor-blocks 1: it is"
                  + " part of the recipe, with bits of its own)");
      layout.check(recipe.withBlocks(new SumBlocks(1, 1)), 2);
    }
    assertThatThrownBy(() -> Layout.parse("tp=2").check(recipe, 2))
        .hasMessageContaining("(leave tp out and start the run with --tensor-blocks 1: ");
  }

  private Corpus open() throws IOException {
    return TinyText.open(TinyText.write(directory.resolve("text")));
  }
}
