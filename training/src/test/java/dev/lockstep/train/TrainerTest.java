package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lockstep.failure.CheckpointException;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.failure.MemoryBudgetException;
import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.JobConfig;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.checkpoint.Safetensors;
import dev.lockstep.train.checkpoint.Sha256;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.nn.Precision;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class TrainerTest {
  private static final int STEPS = 6;
  private static final Recipe RECIPE =
      Recipe.defaults()
          .withModel(new GptShape(1, 2, 16, 12, 256, true))
          .withBatch(BatchShape.of(2, 2))
          .withSteps(STEPS);

  @TempDir Path directory;
  private Corpus corpus;
  private TrainerOptions options;

  @BeforeEach
  void openText() throws IOException {
    corpus = TinyText.open(TinyText.write(directory.resolve("text")));
    options = TrainerOptions.defaults().withThreads(1);
  }

  @AfterEach
  void closeText() {
    corpus.close();
  }

  /// Everything that two runs of a recipe must agree on.
  private record Result(List<Float> losses, String weights, String optimizer) {}

  private Result train(@Nullable Path resume, int stopAfter, Path checkpoint) throws Exception {
    return InProcessRanks.run(
            1,
            job -> {
              try (Trainer trainer =
                  resume == null
                      ? Trainer.start(job, RECIPE, corpus, options)
                      : Trainer.resume(job, SavedRun.open(resume), corpus, options)) {
                List<Float> losses = new ArrayList<>();
                ProgressListener listener =
                    new ProgressListener() {
                      @Override
                      public void stepDone(Trainer done) {
                        losses.add(done.loss());
                      }
                    };
                TrainingRun run =
                    TrainingRun.savingTo(checkpoint)
                        .with(listener)
                        .stoppingWhen(() -> trainer.stepsDone() + 1 == stopAfter);
                assertThat(trainer.train(run)).isEqualTo(stopAfter == STEPS);
                return new Result(losses, trainer.weightsSha256(), trainer.optimizerSha256());
              }
            })
        .getFirst();
  }

  @ParameterizedTest(name = "stopped after {0} of 6 steps")
  @ValueSource(ints = {1, 3, 5})
  void goesOnBitForBitWhereItWasStopped(int steps) throws Exception {
    Result whole = train(null, STEPS, directory.resolve("whole"));
    Result first = train(null, steps, directory.resolve("cut"));
    Result rest = train(directory.resolve("cut"), STEPS, directory.resolve("cut"));

    List<Float> losses = new ArrayList<>(first.losses);
    losses.addAll(rest.losses);
    assertThat(losses).isEqualTo(whole.losses);
    assertThat(rest.weights).isEqualTo(whole.weights).isNotEqualTo(first.weights);
    assertThat(rest.optimizer).isEqualTo(whole.optimizer).isNotEqualTo(first.optimizer);
  }

  /// Returns the steps after which a run was evaluated that a rank stops.
  private List<Long> evaluatedSteps(long stopAfter) throws Exception {
    List<Long> steps = new ArrayList<>();
    ProgressListener listener =
        new ProgressListener() {
          @Override
          public void evaluated(Trainer trainer, float loss) {
            steps.add(trainer.stepsDone());
          }
        };
    InProcessRanks.run(
        1,
        job -> {
          try (Trainer trainer = Trainer.start(job, RECIPE, corpus, options)) {
            return trainer.train(
                TrainingRun.savingTo(directory.resolve("stopped" + stopAfter))
                    .withEvaluateEvery(2)
                    .with(listener)
                    .stoppingWhen(() -> trainer.stepsDone() + 1 == stopAfter));
          }
        });
    return steps;
  }

  @Test
  void aStopLeavesAnEvaluationOutButNotTheLast() throws Exception {
    assertThat(evaluatedSteps(4)).containsExactly(2L);
    assertThat(evaluatedSteps(STEPS)).containsExactly(2L, 4L, (long) STEPS);
  }

  @Test
  void goesOnAfterAStopInTheSameProcess() throws Exception {
    Result whole = train(null, STEPS, directory.resolve("whole"));
    List<String> weights =
        InProcessRanks.run(
            2,
            job -> {
              TrainingRun run = TrainingRun.stepsOnly();
              try (Trainer trainer = Trainer.start(job, RECIPE, corpus, options)) {
                assertThat(trainer.train(run.stoppingWhen(() -> job.rank() == 1))).isFalse();
                assertThat(trainer.stepsDone()).isEqualTo(1);
                assertThat(trainer.isStopped()).isTrue();
                assertThat(trainer.train(run)).isTrue();
                assertThat(trainer.isStopped()).isFalse();
                return trainer.weightsSha256();
              }
            });
    assertThat(weights).containsOnly(whole.weights);
  }

  @Test
  void whatAListenerThrowsIsToldBeforeAnythingIsClosed() throws Exception {
    ProgressListener throwing =
        new ProgressListener() {
          @Override
          public void stepDone(Trainer done) {
            throw new ArithmeticException("boom");
          }
        };
    List<String> first =
        InProcessRanks.run(
            2,
            job -> {
              TrainingRun run = TrainingRun.stepsOnly();
              try (Trainer trainer = Trainer.start(job, RECIPE, corpus, options)) {
                assertThatThrownBy(() -> trainer.train(job.rank() == 1 ? run.with(throwing) : run))
                    .isInstanceOf(RuntimeException.class);
                FailureRecord failure = job.failure().orElseThrow();
                return failure.kind() + " of rank " + failure.rank();
              }
            });
    assertThat(first).containsOnly("ArithmeticException of rank 1");
  }

  @Test
  void hasNoLossBeforeItsFirstStep() throws Exception {
    InProcessRanks.run(
        1,
        job -> {
          try (Trainer trainer = Trainer.start(job, RECIPE, corpus, options)) {
            assertThat(trainer.loss()).isNaN();
            assertThat(trainer.gradientNorm()).isNaN();
            trainer.step(false);
            assertThat(trainer.loss()).isPositive();
            assertThat(trainer.gradientNorm()).isPositive();
          }
          return 0;
        });
  }

  @Test
  void startsAtTheLossOfKnowingNothing() throws Exception {
    Result result = train(null, 1, directory.resolve("checkpoint"));

    assertThat(result.losses.getFirst()).isCloseTo((float) Math.log(256), within(0.11f));
  }

  @Test
  void checkpointHoldsTheWeightsThatTheHashIsOf() throws Exception {
    Path folder = directory.resolve("checkpoint");
    Result result = train(null, 2, folder);

    SavedRun saved = SavedRun.open(folder);
    assertThat(saved.step()).isEqualTo(2);
    assertThat(saved.recipe()).isEqualTo(RECIPE);
    assertThat(saved.dataSha256()).isEqualTo(corpus.sha256());
    try (Safetensors weights = Safetensors.open(saved.folder().resolve("model.safetensors"))) {
      assertThat(weights.metadata()).containsEntry("format", "pt");
      assertThat(weights.tensors()).containsKey("transformer.h.0.attn.c_attn.weight");
      assertThat(Sha256.of(weights.tensors())).isEqualTo(result.weights);
    }
  }

  @Test
  void writesTheSameTextFromMemoryAndFromTheCheckpoint() throws Exception {
    Path folder = directory.resolve("checkpoint");
    SamplingOptions sampling = new SamplingOptions("public ", 20, 7, 0.8);
    InProcessRanks.run(
        1,
        job -> {
          try (Trainer trainer = Trainer.start(job, RECIPE, corpus, options)) {
            trainer.step(false);
            trainer.save(folder);
            String text = trainer.sample(sampling, () -> false);
            assertThat(text).startsWith("public ");
            SavedRun saved = SavedRun.open(folder);
            assertThat(trainer.sample(saved, sampling, () -> false)).isEqualTo(text);
            Recipe rounded = saved.recipe().withPrecision(Precision.BF16);
            SavedRun other =
                new SavedRun(saved.folder(), rounded, 1, saved.dataSha256(), saved.sha256());
            assertThatThrownBy(() -> trainer.sample(other, sampling, () -> false))
                .isInstanceOf(ConfigurationException.class)
                .hasMessageStartingWith(
                    "the checkpoint is of another model: checkpoint=" + saved.folder())
                .hasMessageContainingAll(" in bf16, the trainer has ", " in f32 (");
            assertThat(trainer.sample(new SamplingOptions("public ", 20, 8, 0.8), () -> false))
                .isNotEqualTo(text);
            assertThat(trainer.sample(sampling, () -> true)).isEqualTo("public ");
          }
          return 0;
        });
  }

  /// Rank 0 lacks room for the whole model: the other one gives its part all the same, and both go
  /// on.
  @Timeout(60)
  @Test
  void aSampleThatDoesNotFitHoldsNobodyUp() throws Exception {
    JobConfig usual = JobConfig.of(Map.of());
    JobConfig limited =
        new JobConfig(usual.environment(), usual.joinTimeout(), usual.liveness(), 1L << 28);
    // Half of it is more than the pieces that it comes in.
    Recipe wide = RECIPE.withModel(new GptShape(1, 4, 512, 8, 256, true));
    long half = wide.model().parameters() * Float.BYTES / 2;
    SamplingOptions sampling = new SamplingOptions("public ", 20, 7, 0.8);
    List<String> hashes =
        InProcessRanks.run(
            2,
            limited,
            job -> {
              try (Trainer trainer =
                  Trainer.start(job, wide, corpus, SmallRuns.options("dp=2", 3))) {
                trainer.step(false);
                String before = trainer.weightsSha256();
                MemoryPool memory = job.memory();
                long taken = job.rank() == 0 ? memory.limitBytes() - memory.usedBytes() - half : 8;
                try (Buffer _ = HostMemory.allocate(memory, "another's", taken)) {
                  if (job.rank() == 0) {
                    assertThatThrownBy(() -> trainer.sample(sampling, () -> false))
                        .isInstanceOf(MemoryBudgetException.class);
                  } else {
                    assertThat(trainer.sample(sampling, () -> false)).isEmpty();
                  }
                }
                assertThat(trainer.weightsSha256()).isEqualTo(before);
                assertThat(trainer.sample(sampling, () -> false))
                    .startsWith(job.rank() == 0 ? "public " : "");
                return before;
              }
            });
    assertThat(hashes).hasSize(2).containsOnly(hashes.getFirst());
  }

  @Test
  void evaluatesTheSameWindowsEveryTime() throws Exception {
    InProcessRanks.run(
        1,
        job -> {
          try (Trainer trainer = Trainer.start(job, RECIPE, corpus, options)) {
            float before = trainer.evaluate();
            assertThat(trainer.evaluate()).isEqualTo(before);
            trainer.step(false);
            assertThat(trainer.evaluate()).isNotEqualTo(before);
          }
          return 0;
        });
  }

  @Test
  void aRunThatDivergesEndsAndLeavesItsLastCheckpoint() throws Exception {
    Path folder = directory.resolve("checkpoint");
    TrainingRun last = TrainingRun.savingTo(folder);
    TrainingRun everyStep = new TrainingRun(folder, 1, 0, 0, last.listener(), last.stop());
    Recipe wild = RECIPE.withPeakLearningRate(1e30f);
    assertThatThrownBy(
            () ->
                InProcessRanks.run(
                    1,
                    job -> {
                      try (Trainer trainer = Trainer.start(job, wild, corpus, options)) {
                        try {
                          return trainer.train(everyStep);
                        } finally {
                          assertThatThrownBy(() -> trainer.save(folder))
                              .isInstanceOf(CheckpointException.class)
                              .hasMessageContaining(
                                  "a run that diverged is not saved: checkpoint=");
                        }
                      }
                    }))
        .isInstanceOfSatisfying(
            DivergedException.class,
            diverged -> {
              assertThat(diverged.step()).isEqualTo(2);
              assertThat(Float.isFinite(diverged.loss() + diverged.gradientNorm())).isFalse();
            })
        .hasMessageContaining("training diverged: step=2, loss=");

    assertThat(SavedRun.open(folder).step()).isEqualTo(1);
  }

  /// A rank that has the step's numbers must not end the collective that another one is still in.
  @Test
  void allRanksOfARunThatDivergesSaySo() throws Exception {
    Recipe wild = RECIPE.withPeakLearningRate(1e30f).withBatch(BatchShape.of(4, 1));
    for (int run = 0; run < 3; run++) {
      List<String> ends =
          InProcessRanks.run(
              4,
              job -> {
                try (Trainer trainer = Trainer.start(job, wild, corpus, options)) {
                  return trainer.train(TrainingRun.stepsOnly()) ? "all steps" : "stopped";
                } catch (LockstepException failure) {
                  return String.valueOf(failure.getMessage());
                }
              });
      assertThat(ends)
          .hasSize(4)
          .allMatch(words -> words.startsWith("training diverged: step=2, loss="));
    }
  }

  /// The weights may be those before the step, those after it, or some of each.
  @Test
  void whatAStepHasLeftThatFailedIsNotSaved() throws Exception {
    Path folder = directory.resolve("checkpoint");
    CountDownLatch refused = new CountDownLatch(1);
    InProcessRanks.run(
        2,
        job -> {
          try (Trainer trainer = Trainer.start(job, RECIPE, corpus, options)) {
            trainer.step(false);
            trainer.save(folder);
            if (job.rank() == 1) {
              job.fail(new ArithmeticException("boom"), "");
              assertThat(refused.await(30, TimeUnit.SECONDS)).isTrue();
              return 0;
            }
            assertThatThrownBy(() -> trainer.step(false)).isInstanceOf(LockstepException.class);
            assertThatThrownBy(() -> trainer.step(false))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageStartingWith("a run whose step failed takes no more: step=2 (");
            assertThatThrownBy(() -> trainer.save(folder))
                .isInstanceOf(CheckpointException.class)
                .hasMessageStartingWith(
                    "a run whose step failed is not saved: checkpoint=%s, step=2", folder);
            return 0;
          } catch (InterruptedException e) {
            throw new AssertionError(e);
          } finally {
            refused.countDown();
          }
        });
    assertThat(SavedRun.open(folder).step()).isEqualTo(1);
  }

  @Test
  void refusesTextThatTheRunWasNotTrainedOn() throws Exception {
    Path folder = directory.resolve("checkpoint");
    train(null, 1, folder);
    Path other = TinyText.write(directory.resolve("other"));
    Files.writeString(other.resolve("more.txt"), "more text\n");
    try (Corpus otherCorpus = TinyText.open(other)) {
      assertThatThrownBy(
              () ->
                  InProcessRanks.run(
                      1, job -> Trainer.resume(job, SavedRun.open(folder), otherCorpus, options)))
          .isInstanceOfSatisfying(
              ConfigurationException.class,
              refused -> assertThat(refused.key()).isEqualTo("--data"))
          .hasMessageContaining(corpus.sha256())
          .hasMessageContaining(otherCorpus.sha256());
    }
  }

  @Test
  void refusesADamagedCheckpointAndKeepsNothingOpen() throws Exception {
    Path folder = directory.resolve("checkpoint");
    train(null, 1, folder);
    Path weights = folder.resolve("model.safetensors");
    byte[] bytes = Files.readAllBytes(weights);
    bytes[bytes.length - 1] ^= 1;
    Files.write(weights, bytes);

    assertThatThrownBy(() -> SavedRun.open(folder))
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining(weights.toString());
    Files.delete(weights);
    assertThatThrownBy(() -> SavedRun.open(folder)).hasMessageContaining("missing");
  }

  @Test
  void refusesTextShorterThanAWindow() throws Exception {
    Recipe wide = RECIPE.withModel(new GptShape(1, 2, 16, 1 << 20, 256, true));

    assertThatThrownBy(
            () -> InProcessRanks.run(1, job -> Trainer.start(job, wide, corpus, options)))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--context 1048576");
  }

  @Test
  void refusesHeldOutTextShorterThanAWindowBeforeTheFirstStepOfARunThatEvaluates()
      throws Exception {
    int context = (int) corpus.validationTokens();
    assertThat(corpus.trainTokens()).isGreaterThan(context);
    Recipe wide = RECIPE.withModel(new GptShape(1, 1, 2, context, 256, true)).withSteps(1);
    TrainingRun steps = TrainingRun.stepsOnly();
    TrainingRun evaluating = new TrainingRun(null, 0, 0, 1, steps.listener(), steps.stop());
    InProcessRanks.run(
        1,
        job -> {
          try (Trainer trainer = Trainer.start(job, wide, corpus, options)) {
            assertThatThrownBy(() -> trainer.train(evaluating))
                .isInstanceOf(ConfigurationException.class)
                .hasMessageContaining(
                    "the held-out text is shorter than one window: --context %d, held-out bytes %d",
                    context, context);
            assertThat(trainer.stepsDone()).isZero();
          }
          return 0;
        });
  }

  @Test
  void refusesADeviceThatThereIsNot() {
    assertThatThrownBy(
            () ->
                InProcessRanks.run(
                    1, job -> Trainer.start(job, RECIPE, corpus, options.withDevice("tpu"))))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--device tpu");
  }

  @Test
  void refusesATransportThatThereIsNotEvenAlone() {
    assertThatThrownBy(
            () ->
                InProcessRanks.run(
                    1, job -> Trainer.start(job, RECIPE, corpus, options.withTransport("pigeon"))))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--transport=pigeon")
        .hasMessageContaining("shm");
  }
}
