package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.lockstep.failure.CheckpointException;
import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What ranks hold in parts is saved and hashed a piece at a time.
@Timeout(60)
class StateGatherTest {
  private static final long PIECE_BYTES = 1 << 20;

  @TempDir Path directory;

  private static Recipe recipe(int width) {
    return Recipe.defaults()
        .withModel(new GptShape(4, 2, width, 6, 256, true))
        .withBatch(BatchShape.of(2, 1))
        .withSteps(3);
  }

  private static TrainerOptions options(String mesh, int zero) {
    return TrainerOptions.defaults().withThreads(1).withLayout(Layout.parse(mesh).withZero(zero));
  }

  private static String message(Class<? extends Exception> type, ThrowingCallable call) {
    return String.valueOf(catchThrowableOfType(type, call).getMessage());
  }

  @ParameterizedTest(name = "--mesh {0} --zero {1}")
  @CsvSource({"tp=2, 0", "dp=2, 3"})
  void holdsAFewPiecesAndNoWholeState(String mesh, int zero) throws Exception {
    Recipe recipe = recipe(160);
    long state = 3 * recipe.model().parameters() * Float.BYTES;
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      List<Long> extra =
          InProcessRanks.run(
              2,
              job -> {
                try (Trainer trainer = Trainer.start(job, recipe, corpus, options(mesh, zero))) {
                  trainer.step(false);
                  job.memory().resetPeak();
                  trainer.step(false);
                  long before = job.memory().usedBytes();
                  assertThat(job.memory().peakBytes()).isEqualTo(before);
                  trainer.save(directory.resolve("checkpoint"));
                  String saved = trainer.weightsSha256();
                  assertThat(saved).hasSize(64);
                  return job.memory().peakBytes() - before;
                }
              });

      assertThat(extra.getFirst()).as("rank 0").isLessThanOrEqualTo(6 * PIECE_BYTES);
      assertThat(extra.getLast()).as("rank 1").isLessThanOrEqualTo(2 * PIECE_BYTES);
      assertThat(state).isGreaterThan(14 * PIECE_BYTES);
    }
  }

  @Test
  void ranksThatSaveAtOtherStepsAreRefusedOnEveryRank() throws Exception {
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      List<String> messages =
          InProcessRanks.run(
              2,
              job -> {
                try (Trainer trainer = Trainer.start(job, recipe(16), corpus, options("dp=2", 1))) {
                  TrainingRun run =
                      new TrainingRun(
                          directory.resolve("checkpoint"),
                          job.rank() == 0 ? 100 : 50,
                          0,
                          0,
                          ProgressListener.SILENT,
                          () -> false);
                  return message(ConfigurationException.class, () -> trainer.train(run));
                }
              });

      assertThat(messages)
          .containsOnly(
              "what ranks do beside their steps differs: rank=0 saves=true, --save-every=100,"
                  + " stepsBetweenEvaluations=0; rank=1 saves=true, --save-every=50,"
                  + " stepsBetweenEvaluations=0 (give every rank the same)");
    }
  }

  @Test
  void ranksOfOtherRecipesAreRefusedOnEveryRank() throws Exception {
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      List<String> messages =
          InProcessRanks.run(
              2,
              job ->
                  message(
                      ConfigurationException.class,
                      () ->
                          Trainer.start(
                              job, recipe(16).withSeed(job.rank()), corpus, options("dp=2", 1))));

      assertThat(messages).allSatisfy(message -> assertThat(message).contains("recipe", "rank=1"));
    }
  }

  /// Which communicators ranks make follows from their layouts: they are compared before that.
  @ParameterizedTest(name = "{0} and {1}")
  @CsvSource(
      delimiter = ';',
      value = {"dp=4; dp=2,tp=2", "dp=2,tp=2; pp=2,tp=2", "dp=2,tp=2; dp=3"})
  void ranksOfOtherLayoutsAreRefusedOnEveryRank(String mesh, String others) throws Exception {
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      List<String> messages =
          InProcessRanks.run(
              4,
              job ->
                  message(
                      ConfigurationException.class,
                      () ->
                          Trainer.start(
                              job,
                              recipe(16).withBatch(BatchShape.of(4, 1)),
                              corpus,
                              options(job.rank() < 2 ? mesh : others, 0)
                                  .withTimeout(Duration.ofSeconds(20)))));

      assertThat(messages)
          .allSatisfy(
              message ->
                  assertThat(message)
                      .startsWith("recipe, text or layout differs: rank=0 recipe=")
                      .contains("--mesh " + mesh, "; rank=2 ", "--mesh " + others));
    }
  }

  /// Ranks compare their texts before one finds that its own is not the run's.
  @Test
  void anotherTextOfOneRankIsRefusedOnEveryRankThatResumes() throws Exception {
    Path text = TinyText.write(directory.resolve("text"));
    Path others = TinyText.write(directory.resolve("others"));
    Files.delete(others.resolve("f0.txt"));
    Path checkpoint = directory.resolve("checkpoint");
    TrainerOptions options = options("dp=2", 0).withTimeout(Duration.ofSeconds(20));
    try (Corpus corpus = TinyText.open(text);
        Corpus other = TinyText.open(others)) {
      List<List<String>> messages =
          InProcessRanks.run(
              2,
              job -> {
                try (Trainer trainer = Trainer.start(job, recipe(16), corpus, options)) {
                  trainer.save(checkpoint);
                }
                SavedRun saved = SavedRun.open(checkpoint);
                Corpus mine = job.rank() == 0 ? corpus : other;
                String unlike =
                    message(
                        ConfigurationException.class,
                        () -> Trainer.resume(job, saved, mine, options));
                String wrong =
                    message(
                        ConfigurationException.class,
                        () -> Trainer.resume(job, saved, other, options));
                Trainer.resume(job, saved, corpus, options).close();
                return List.of(unlike, wrong);
              });

      assertThat(messages)
          .allSatisfy(
              both -> {
                assertThat(both.getFirst())
                    .startsWith("recipe, text or layout differs: rank=0 recipe=")
                    .contains("data=" + corpus.sha256(), "data=" + other.sha256());
                assertThat(both.getLast()).startsWith("the text is not the one");
              });
    }
  }

  @Test
  void aStartToWhichNotAllRanksCameCanBeTriedAgain() throws Exception {
    TrainerOptions options = options("dp=2", 0).withTimeout(Duration.ofSeconds(20));
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      InProcessRanks.run(
          2,
          job -> {
            if (job.rank() == 0) {
              TrainerOptions hasty = options.withTimeout(Duration.ofMillis(10));
              assertThat(
                      message(
                          CollectiveTimeoutException.class,
                          () -> Trainer.start(job, recipe(16), corpus, hasty)))
                  .contains("missingRanks=[1]");
            }
            job.store().barrier("app/late", 2, Duration.ofSeconds(20));
            Trainer.start(job, recipe(16), corpus, options).close();
            return 0;
          });
    }
  }

  @Test
  void aCheckpointThatCannotBeWrittenIsToldOnEveryRankAndTheRunGoesOn() throws Exception {
    Path file = Files.writeString(directory.resolve("file"), "no folder");
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      List<String> messages =
          InProcessRanks.run(
              2,
              job -> {
                try (Trainer trainer = Trainer.start(job, recipe(16), corpus, options("dp=2", 2))) {
                  trainer.step(false);
                  String message =
                      message(
                          CheckpointException.class,
                          () -> trainer.save(file.resolve("checkpoint")));
                  trainer.step(false);
                  trainer.save(directory.resolve("checkpoint"));
                  return message;
                }
              });

      assertThat(messages)
          .allSatisfy(message -> assertThat(message).contains("cannot be written: path=" + file));
      assertThat(SavedRun.open(directory.resolve("checkpoint")).step()).isEqualTo(2);
    }
  }
}
