package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.CollectiveException;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Recipe.SumBlocks;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.MlpShape;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.nn.Precision;
import dev.lockstep.train.pipeline.PipelineSchedule;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Whatever stages the layers are spread over, a recipe ends in the same bits: losses of every
/// step, norms, weights and optimizer state.
@Timeout(120)
class PipelineTest {
  private static final int STEPS = 2;
  private static final SamplingOptions SAMPLE = new SamplingOptions("the ", 6, 1, 0.8);

  @TempDir Path directory;

  private record Result(
      List<Float> losses,
      List<Float> norms,
      String weights,
      String optimizer,
      float validation,
      String sample) {}

  private static Recipe recipe(int layers, boolean tied, int lanes) {
    return Recipe.defaults()
        .withModel(new GptShape(layers, 4, 24, 10, 256, tied))
        .withBlocks(new SumBlocks(4, 1))
        .withBatch(new BatchShape(lanes, 2, Math.max(5, lanes)))
        .withSteps(STEPS);
  }

  private static TrainerOptions options(String mesh, String schedule) {
    Layout layout =
        mesh.isEmpty()
            ? Layout.dataParallel()
            : Layout.parse(mesh).withSchedule(PipelineSchedule.of(schedule));
    return TrainerOptions.defaults().withThreads(1).withLayout(layout);
  }

  private static Result train(Recipe recipe, Corpus corpus, TrainerOptions options)
      throws Exception {
    List<Result> results =
        InProcessRanks.run(
            options.layout().places(),
            job -> {
              try (Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
                List<Float> losses = new ArrayList<>();
                List<Float> norms = new ArrayList<>();
                while (trainer.stepsDone() < recipe.steps()) {
                  trainer.step(false);
                  losses.add(trainer.loss());
                  norms.add(trainer.gradientNorm());
                }
                return new Result(
                    losses,
                    norms,
                    trainer.weightsSha256(),
                    trainer.optimizerSha256(),
                    trainer.evaluate(),
                    job.rank() == 0 || trainer.isSplit()
                        ? trainer.sample(SAMPLE, () -> false)
                        : "");
              }
            });
    Result first = results.getFirst();
    for (Result other : results) {
      assertThat(other.losses).as("losses of %s", options.layout()).isEqualTo(first.losses);
      assertThat(other.norms).as("norms of %s", options.layout()).isEqualTo(first.norms);
      assertThat(other.weights).isEqualTo(first.weights);
      assertThat(other.optimizer).isEqualTo(first.optimizer);
      assertThat(other.validation).isEqualTo(first.validation);
    }
    return first;
  }

  @Test
  void twoStagesEndInTheBitsOfOneRank() throws Exception {
    Recipe recipe = recipe(2, true, 3);
    try (Corpus corpus = open()) {
      Result alone = train(recipe, corpus, options("", ""));
      for (String schedule : List.of("gpipe", "1f1b")) {
        assertThat(train(recipe, corpus, options("pp=2", schedule)))
            .as("--schedule %s", schedule)
            .isEqualTo(alone);
      }
    }
  }

  private static TrainerOptions sharded(String mesh, String schedule, int zero) {
    TrainerOptions options = options(mesh, schedule);
    return options.withLayout(options.layout().withZero(zero));
  }

  /// Three lanes over two pipelines: one has no lane in the second round.
  @ParameterizedTest(name = "--mesh pp=2,dp=2 --zero {0}")
  @ValueSource(ints = {1, 2, 3})
  void pipelinesThatShareOutTheirStateKeepTheBits(int zero) throws Exception {
    Recipe recipe = recipe(2, true, 3);
    try (Corpus corpus = open()) {
      assertThat(train(recipe, corpus, sharded("pp=2,dp=2", "1f1b", zero)))
          .isEqualTo(train(recipe, corpus, options("", "")));
    }
  }

  @Tag("long")
  @Timeout(600)
  @ParameterizedTest(name = "layers={0}, tied={1}, lanes={2}, --schedule {3}, --zero {4} first")
  @CsvSource({"3, true, 5, 1f1b, 1", "4, false, 8, gpipe, 2", "4, true, 7, interleaved, 3"})
  void pipelinesThatShareOutTheirStateKeepTheBitsOnAnyMesh(
      int layers, boolean tied, int lanes, String schedule, int firstZero) throws Exception {
    Recipe recipe = recipe(layers, tied, lanes);
    List<String> meshes = List.of("pp=2,dp=2", "dp=3,pp=2", "dp=2,tp=2,pp=2");
    try (Corpus corpus = open()) {
      Result alone = train(recipe, corpus, options("", ""));
      for (int i = 0; i < meshes.size(); i++) {
        // Each mesh with each zero under one of the schedules.
        int zero = (firstZero - 1 + i) % 3 + 1;
        assertThat(train(recipe, corpus, sharded(meshes.get(i), schedule, zero)))
            .as("--mesh %s --schedule %s --zero %d", meshes.get(i), schedule, zero)
            .isEqualTo(alone);
      }
    }
  }

  @ParameterizedTest(name = "tied={0}, lanes={1}, --mesh {2} --zero {3}")
  @CsvSource(
      delimiter = ';',
      value = {"true; 3; pp=2; 0", "true; 5; dp=2,pp=2; 2"})
  void interleavedStagesKeepTheBits(boolean tied, int lanes, String mesh, int zero)
      throws Exception {
    Recipe recipe = recipe(4, tied, lanes);
    try (Corpus corpus = open()) {
      assertThat(train(recipe, corpus, sharded(mesh, "interleaved", zero)))
          .isEqualTo(train(recipe, corpus, options("", "")));
    }
  }

  @Tag("long")
  @Timeout(600)
  @ParameterizedTest(name = "layers={0}, tied={1}, lanes={2}, --chunks {3}")
  @CsvSource({"4, true, 7, 2", "6, false, 4, 3", "6, true, 1, 2"})
  void interleavedStagesKeepTheBitsOnAnyMesh(int layers, boolean tied, int lanes, int chunks)
      throws Exception {
    Recipe recipe = recipe(layers, tied, lanes);
    try (Corpus corpus = open()) {
      Result alone = train(recipe, corpus, options("", ""));
      for (String mesh : List.of("pp=2", "pp=3", "dp=3,pp=2", "tp=2,pp=2", "dp=2,tp=2,pp=2")) {
        Layout layout =
            Layout.parse(mesh).withSchedule(PipelineSchedule.INTERLEAVED).withChunks(chunks);
        boolean fits =
            layout.size(Layout.DATA) <= lanes && layout.size(Layout.PIPELINE) * chunks <= layers;
        if (fits) {
          assertThat(train(recipe, corpus, options("", "").withLayout(layout)))
              .as("--mesh %s --chunks %d", mesh, chunks)
              .isEqualTo(alone);
        }
      }
    }
  }

  @Tag("long")
  @Test
  void expertsAndOtherFamiliesAreInterleavedAndShared() throws Exception {
    Recipe moe =
        recipe(4, true, 3).withModel(new MoeShape(4, 4, 24, 32, 4, 2, 110, 10, 10, 256, true));
    Recipe llama =
        recipe(4, true, 3).withModel(new LlamaShape(4, 4, 2, 24, 40, 10, 256, true, 10_000, 1e-5f));
    Recipe mlp = recipe(4, true, 3).withModel(new MlpShape(4, 24, 40, 4, 10, 256, true));
    try (Corpus corpus = open()) {
      for (Recipe recipe : List.of(moe, llama, mlp)) {
        Result alone = train(recipe, corpus, options("", ""));
        for (int zero : new int[] {0, 3}) {
          assertThat(train(recipe, corpus, sharded("dp=2,pp=2", "interleaved", zero)))
              .as("%s --zero %d", recipe.model(), zero)
              .isEqualTo(alone);
        }
      }
    }
  }

  @ParameterizedTest(name = "layers={0}, tied={1}, lanes={2}, --mesh {3} --schedule {4}")
  @CsvSource(
      delimiter = ';',
      value = {"3; true; 4; pp=3; 1f1b", "2; true; 2; pp=2,tp=2; gpipe"})
  void stagesKeepTheBits(int layers, boolean tied, int lanes, String mesh, String schedule)
      throws Exception {
    Recipe recipe = recipe(layers, tied, lanes);
    try (Corpus corpus = open()) {
      assertThat(train(recipe, corpus, options(mesh, schedule)))
          .isEqualTo(train(recipe, corpus, options("", "")));
    }
  }

  // Jobs of up to eight ranks that spin: minutes where cores are few and busy.
  @Tag("long")
  @Timeout(600)
  @ParameterizedTest(name = "layers={0}, tied={1}, lanes={2}, first --schedule {3}")
  @CsvSource({"4, false, 7, gpipe", "5, true, 8, 1f1b", "6, true, 1, gpipe"})
  void stagesKeepTheBitsOnAnyMesh(int layers, boolean tied, int lanes, String first)
      throws Exception {
    Recipe recipe = recipe(layers, tied, lanes);
    List<String> meshes =
        List.of(
            "pp=2",
            "pp=3",
            "pp=4",
            "dp=2,pp=2",
            "pp=2,dp=3",
            "tp=2,pp=2",
            "pp=2,tp=4",
            "dp=2,tp=2,pp=2");
    try (Corpus corpus = open()) {
      Result alone = train(recipe, corpus, options("", ""));
      for (int i = 0; i < meshes.size(); i++) {
        String mesh = meshes.get(i);
        if (Layout.parse(mesh).size(Layout.DATA) > lanes) {
          continue;
        }
        // Each mesh under each schedule with some recipe.
        String schedule = first.equals("gpipe") == (i % 2 == 0) ? "gpipe" : "1f1b";
        assertThat(train(recipe, corpus, options(mesh, schedule)))
            .as("--mesh %s --schedule %s", mesh, schedule)
            .isEqualTo(alone);
      }
    }
  }

  @Tag("long")
  @Test
  void otherFamiliesAndDropoutHoldUnderStages() throws Exception {
    Recipe gpt = recipe(3, true, 3).withDropout(0.2f);
    Recipe llama =
        recipe(3, true, 3).withModel(new LlamaShape(3, 4, 2, 24, 40, 10, 256, true, 10_000, 1e-5f));
    Recipe mlp = recipe(3, true, 3).withModel(new MlpShape(3, 24, 40, 4, 10, 256, true));
    try (Corpus corpus = open()) {
      for (Recipe recipe : List.of(gpt, llama, mlp)) {
        Result alone = train(recipe, corpus, options("", ""));
        for (String mesh : List.of("pp=3", "dp=2,pp=2")) {
          assertThat(train(recipe, corpus, options(mesh, "1f1b")))
              .as("%s --mesh %s", recipe.model(), mesh)
              .isEqualTo(alone);
        }
      }
    }
  }

  @Tag("long")
  @Test
  void recomputationAndBfloat16HoldUnderStages() throws Exception {
    Recipe recipe = recipe(3, true, 3).withPrecision(Precision.BF16);
    try (Corpus corpus = open()) {
      Result alone = train(recipe, corpus, options("", ""));
      TrainerOptions staged = options("pp=2", "1f1b");
      assertThat(train(recipe, corpus, staged.withRecompute(Recompute.BLOCK))).isEqualTo(alone);
      assertThat(train(recipe, corpus, staged.withRecompute(Recompute.ATTENTION))).isEqualTo(alone);
    }
  }

  @Tag("long")
  @Test
  void aRunGoesOnUnderOtherStagesInTheMiddle() throws Exception {
    Recipe recipe = recipe(4, true, 3).withSteps(6);
    try (Corpus corpus = open()) {
      Result alone = train(recipe, corpus, options("", ""));
      Path checkpoint = directory.resolve("checkpoint");
      String[] meshes = {"pp=3", "dp=2", "pp=2,dp=2", "pp=2,tp=2", "dp=1", "dp=2,pp=2"};
      String[] schedules = {"1f1b", "1f1b", "interleaved", "1f1b", "1f1b", "interleaved"};
      int[] zeros = {0, 1, 3, 0, 0, 2};
      String end = "";
      for (int part = 0; part < meshes.length; part++) {
        int until = part + 1;
        TrainerOptions options = sharded(meshes[part], schedules[part], zeros[part]);
        end =
            InProcessRanks.run(
                    options.layout().places(),
                    job -> {
                      try (Trainer trainer =
                          until == 1
                              ? Trainer.start(job, recipe, corpus, options)
                              : Trainer.resume(job, SavedRun.open(checkpoint), corpus, options)) {
                        trainer.step(false);
                        assertThat(trainer.loss()).isEqualTo(alone.losses.get(until - 1));
                        trainer.save(checkpoint);
                        return trainer.weightsSha256() + trainer.optimizerSha256();
                      }
                    })
                .getFirst();
      }
      assertThat(end).isEqualTo(alone.weights + alone.optimizer);
    }
  }

  @Test
  void aStageThatFailsIsNamedOnTheOthers() throws Exception {
    Recipe recipe = recipe(3, true, 4).withSteps(50);
    TrainerOptions options = options("pp=3", "1f1b");
    CountDownLatch others = new CountDownLatch(2);
    List<String> heard = Collections.synchronizedList(new ArrayList<>());
    try (Corpus corpus = open()) {
      assertThatThrownBy(
              () ->
                  InProcessRanks.run(
                      3,
                      job -> {
                        try (Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
                          while (trainer.stepsDone() < recipe.steps()) {
                            if (job.rank() == 1 && trainer.stepsDone() == 2) {
                              IllegalStateException enough =
                                  new IllegalStateException("stage 1 has had enough");
                              job.fail(enough, "a step");
                              awaitBoth(others);
                              throw enough;
                            }
                            trainer.step(false);
                          }
                        } catch (CollectiveException e) {
                          heard.add(job.rank() + ": " + e.getMessage());
                          others.countDown();
                          throw e;
                        }
                        return job.rank();
                      }))
          .isInstanceOf(RuntimeException.class);
    }
    assertThat(heard).hasSize(2).allMatch(text -> text.contains("rank 1") || text.contains("=1"));
  }

  /// A rank that fails takes its memory along once the others have heard of it.
  private static void awaitBoth(CountDownLatch others) {
    try {
      assertThat(others.await(30, TimeUnit.SECONDS)).isTrue();
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  @Test
  void aWishToStopOfAnyStageStopsAll() throws Exception {
    Recipe recipe = recipe(3, true, 3).withSteps(9);
    try (Corpus corpus = open()) {
      for (int wisher = 0; wisher < 3; wisher += 2) {
        int wishes = wisher;
        assertThat(
                InProcessRanks.run(
                    3,
                    job -> {
                      try (Trainer trainer =
                          Trainer.start(job, recipe, corpus, options("pp=3", "1f1b"))) {
                        trainer.step(false);
                        assertThat(trainer.isStopped()).isFalse();
                        trainer.step(job.rank() == wishes);
                        return trainer.isStopped();
                      }
                    }))
            .containsOnly(true);
      }
    }
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource(
      delimiter = ';',
      value = {
        "pp=3; 1f1b; 1; there are more stages than layers: --mesh pp=3, --layers 2 (pp at most 2)",
        "pp=2; interleaved; 2; there are more chunks than layers: --mesh pp=2, --chunks 2, --layers"
            + " 2 (pp times chunks at most 2)",
        "pp=2; interleaved; 1; interleaved stages hold several chunks: --chunks 1 (2 or more",
        "pp=2; 1f1b; 2; stages hold one chunk under this schedule: --schedule 1f1b, --chunks 2"
            + " (take --schedule interleaved",
        "dp=2; interleaved; 2; one stage has nobody to take turns with: --schedule interleaved,"
            + " --mesh dp=2 (name pp",
      })
  void whatStagesCannotDoIsRefusedInASentence(
      String mesh, String schedule, int chunks, String sentence) {
    Layout layout =
        Layout.parse(mesh).withSchedule(PipelineSchedule.of(schedule)).withChunks(chunks);
    assertThatThrownBy(() -> layout.check(recipe(2, true, 4), layout.places()))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining(sentence);
  }

  @Test
  void anUnknownScheduleIsRefusedInASentence() {
    assertThatThrownBy(() -> PipelineSchedule.of("zigzag"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessage(
            "there is no such schedule: --schedule zigzag (known: gpipe, 1f1b, interleaved)");
  }

  private Corpus open() throws IOException {
    return TinyText.open(TinyText.write(directory.resolve("text")));
  }
}
