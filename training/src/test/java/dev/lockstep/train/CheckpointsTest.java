package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.lockstep.failure.CheckpointException;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.CheckpointWriter.Output;
import dev.lockstep.train.FailingFiles.Failure;
import dev.lockstep.train.checkpoint.CheckpointFiles;
import dev.lockstep.train.checkpoint.SafetensorsSet;
import dev.lockstep.train.checkpoint.Sha256;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// Checkpoints are written by all ranks side by side, while training goes on, and as one.
@Timeout(120)
class CheckpointsTest extends SmallRuns {
  private void train(String mesh, int zero, TrainingRun run, Output output) throws Exception {
    InProcessRanks.run(
        Layout.parse(mesh).places(),
        job -> {
          try (Trainer trainer = Trainer.start(job, RECIPE, corpus, options(mesh, zero), output)) {
            return trainer.train(run);
          }
        });
  }

  private static Map<String, String> content(Path folder) throws IOException {
    Map<String, String> content = new HashMap<>();
    try (Stream<Path> files = Files.list(folder)) {
      for (Path file : files.toList()) {
        content.put(file.getFileName().toString(), hex(Files.readAllBytes(file)));
      }
    }
    return content;
  }

  private static String hex(byte[] bytes) {
    return java.util.HexFormat.of().formatHex(bytes);
  }

  @Tag("long")
  @Test
  void everyLayoutWritesTheSameFiles() throws Exception {
    Output files = new Output(CheckpointFiles.disk(), 5_000);
    Path alone = directory.resolve("alone");
    train("dp=1", 0, TrainingRun.savingTo(alone), files);
    assertThat(content(alone))
        .containsKeys(
            "model.safetensors.index.json",
            "model-00001-of-00004.safetensors",
            "optimizer.safetensors.index.json");

    for (String mesh : List.of("dp=3", "tp=2", "dp=2,tp=2", "tp=4")) {
      for (int zero = 0; zero <= (mesh.contains("dp") ? 3 : 0); zero++) {
        Path folder = directory.resolve(mesh + "-" + zero);
        train(mesh, zero, TrainingRun.savingTo(folder), files);
        assertThat(content(folder)).as("--mesh %s --zero %d", mesh, zero).isEqualTo(content(alone));
      }
    }
    SavedRun saved = SavedRun.open(alone);
    InProcessRanks.run(
        2,
        job -> {
          try (Trainer trainer = Trainer.resume(job, saved, corpus, options("tp=2", 0));
              SafetensorsSet weights = SafetensorsSet.open(alone, "model")) {
            assertThat(trainer.weightsSha256()).isEqualTo(Sha256.of(weights.tensors()));
          }
          return 0;
        });
  }

  @Test
  void theFolderIsTheOneThatRankZeroNames() throws Exception {
    InProcessRanks.run(
        2,
        job -> {
          try (Trainer trainer = Trainer.start(job, RECIPE, corpus, options("dp=2", 0))) {
            trainer.save(directory.resolve("saved-" + job.rank()));
            return trainer.train(TrainingRun.savingTo(directory.resolve("of-" + job.rank())));
          }
        });

    assertThat(SavedRun.open(directory.resolve("saved-0")).step()).isZero();
    assertThat(SavedRun.open(directory.resolve("of-0")).step()).isEqualTo(4);
    assertThat(directory.resolve("saved-1")).doesNotExist();
    assertThat(directory.resolve("of-1")).doesNotExist();
  }

  @Test
  void ranksDoNotResumeDifferentCheckpoints() throws Exception {
    train("dp=1", 0, TrainingRun.savingTo(directory.resolve("0")), Output.standard());
    TrainingRun stopped = TrainingRun.savingTo(directory.resolve("1")).stoppingWhen(() -> true);
    train("dp=1", 0, stopped, Output.standard());

    List<String> refusals =
        InProcessRanks.run(
            2,
            job -> {
              SavedRun saved = SavedRun.open(directory.resolve("" + job.rank()));
              try (Trainer trainer = Trainer.resume(job, saved, corpus, options("dp=2", 0))) {
                return "resumed at step " + trainer.stepsDone();
              } catch (ConfigurationException refused) {
                return String.valueOf(refused.getMessage());
              }
            });

    assertThat(refusals)
        .hasSize(2)
        .allSatisfy(words -> assertThat(words).startsWith("checkpoint differs: rank=0 step=4"));
  }

  @Test
  void trainingGoesOnWhileACheckpointIsWritten() throws Exception {
    CountDownLatch steppedOn = new CountDownLatch(1);
    Output output = new Output(waiting(steppedOn), CheckpointWriter.FILE_BYTES);
    List<Long> saved = new ArrayList<>();
    ProgressListener listener =
        new ProgressListener() {
          @Override
          public void stepDone(Trainer trainer) {
            if (trainer.stepsDone() == 3) {
              steppedOn.countDown();
            }
          }

          @Override
          public void saved(Trainer trainer, Path checkpoint) {
            saved.add(SavedRun.stepOf(checkpoint));
          }
        };
    TrainingRun run =
        new TrainingRun(directory.resolve("checkpoint"), 2, 0, 0, listener, () -> false);

    // The disk takes nothing before step 3 is done: a save that waits for it would wait for ever.
    train("dp=2", 0, run, output);

    assertThat(saved).containsExactly(2L, 4L);
  }

  /// On the CPU the model's own memory is written: nothing may go on before that has ended.
  @Test
  void interruptingASaveDoesNotEndIt() throws Exception {
    Path folder = directory.resolve("checkpoint");
    Map<Long, String> hashes = new HashMap<>();
    InProcessRanks.run(
        1,
        job -> {
          try (Trainer trainer = Trainer.start(job, TINY, corpus, options("dp=1", 0))) {
            step(trainer, hashes);
            Thread.currentThread().interrupt();
            trainer.save(folder);
            assertThat(Thread.interrupted()).isTrue();
            step(trainer, hashes);
          }
          return 0;
        });
    assertThat(opened(folder, hashes)).isEqualTo(1);
  }

  @Test
  void aRunDoesNotStartWhereItsCheckpointWouldBePartOfItsText() throws Exception {
    Path inside = directory.resolve("text").resolve("checkpoint");

    List<String> refusals =
        InProcessRanks.run(
            2,
            job -> {
              try (Trainer trainer = Trainer.start(job, TINY, corpus, options("dp=2", 0))) {
                TrainingRun run = TrainingRun.savingTo(inside);
                return String.valueOf(
                    catchThrowableOfType(ConfigurationException.class, () -> trainer.train(run))
                        .getMessage());
              }
            });

    assertThat(refusals)
        .allSatisfy(
            words ->
                assertThat(words)
                    .startsWith("the run would write into its own text: checkpoint " + inside));
    assertThat(inside).doesNotExist();
  }

  @Test
  void aRunDoesNotStartWhereItsCheckpointWouldReplaceSomethingElse() throws Exception {
    Path models = Files.createDirectories(directory.resolve("models"));
    Path mine = Files.writeString(models.resolve("mine.txt"), "x");
    TrainingRun run = TrainingRun.savingTo(models);

    List<String> refusals =
        InProcessRanks.run(
            2,
            job -> {
              try (Trainer trainer = Trainer.start(job, RECIPE, corpus, options("dp=2", 0))) {
                assertThatThrownBy(() -> trainer.train(run))
                    .isInstanceOf(ConfigurationException.class)
                    .hasMessageContaining("something else: path=" + models);
                return "after step " + trainer.stepsDone();
              }
            });

    assertThat(refusals).containsExactly("after step 0", "after step 0");
    assertThat(mine).hasContent("x");
  }

  @Test
  void whatWasReplacedSinceItWasOpenedIsNotResumed() throws Exception {
    Path folder = directory.resolve("checkpoint");
    TrainingRun stopped = TrainingRun.savingTo(folder).stoppingWhen(() -> true);
    train("dp=1", 0, stopped, Output.standard());
    SavedRun opened = SavedRun.open(folder);
    train("dp=1", 0, TrainingRun.savingTo(folder), Output.standard());

    InProcessRanks.run(
        2,
        job -> {
          assertThatThrownBy(() -> Trainer.resume(job, opened, corpus, options("dp=2", 0)).close())
              .isInstanceOf(CheckpointException.class)
              .hasMessageContaining("replaced while it was read: path=" + folder);
          assertThat(job.memory().usedBytes()).isZero();
          return 0;
        });
  }

  private static CheckpointFiles waiting(CountDownLatch latch) {
    return new FailingFiles() {
      @Override
      public void createDirectories(Path folder) throws IOException {
        try {
          latch.await();
        } catch (InterruptedException e) {
          throw new IOException(e);
        }
        super.createDirectories(folder);
      }
    };
  }

  /// Ranks, writers and writings have the same numbers in every job.
  @Test
  void jobsThatWriteToOneFolderDoNotTakeTheirFilesForEachOthers() throws Exception {
    Path folder = directory.resolve("checkpoint");
    String[] writers = new String[2];
    for (int i = 0; i < writers.length; i++) {
      FailingFiles mortal = new FailingFiles();
      InProcessRanks.run(
          1,
          job -> {
            Output output = new Output(mortal, CheckpointWriter.FILE_BYTES);
            try (Trainer trainer = Trainer.start(job, TINY, corpus, options("dp=1", 0), output)) {
              mortal.arm(Failure.FULL, 9);
              assertThatThrownBy(() -> trainer.save(folder))
                  .isInstanceOf(CheckpointException.class);
            }
            return 0;
          });
      writers[i] = Files.readString(directory.resolve("checkpoint.partial").resolve("written-by"));
    }
    assertThat(writers[0]).startsWith("host=").contains(", pid=" + ProcessHandle.current().pid());
    assertThat(writers[1]).isNotEqualTo(writers[0]);
  }

  @Test
  void asManyOldOnesStayAsAreWanted() throws Exception {
    Path folder = directory.resolve("checkpoint");
    TrainingRun run = new TrainingRun(folder, 1, 2, 0, ProgressListener.SILENT, () -> false);

    train("dp=2", 0, run, Output.standard());

    try (Stream<Path> beside = Files.list(directory)) {
      assertThat(beside.map(path -> path.getFileName().toString()).filter(n -> n.startsWith("ch")))
          .containsExactlyInAnyOrder("checkpoint", "checkpoint.step-2", "checkpoint.step-3");
    }
    assertThat(SavedRun.open(folder).step()).isEqualTo(4);
    assertThat(SavedRun.open(directory.resolve("checkpoint.step-2")).step()).isEqualTo(2);
  }

  @Test
  void aPositionThatIsNotItsStepsIsRefused() throws Exception {
    Path folder = directory.resolve("checkpoint");
    train("dp=1", 0, TrainingRun.savingTo(folder), Output.standard());
    Path state = folder.resolve("trainer_state.json");
    String text = Files.readString(state);
    assertThat(text).contains("\"nextWindow\" : 12", "\"seed\" : 1,\n    \"step\" : 4");
    Path sums = folder.resolve("SHA256SUMS");
    Map<String, String> lies = new LinkedHashMap<>();
    lies.put(
        text.replace("\"nextWindow\" : 12", "\"nextWindow\" : 13"),
        "the position is not that of its step: step=4, nextWindow=13");
    lies.put(
        text.replaceFirst(",\\s*\"nextWindow\" : 12", ""),
        "not that of its step: step=4, nextWindow=,");
    lies.put(
        text.replace("\"seed\" : 1,\n    \"step\"", "\"step\""), "not that of its step: step=4");
    for (String step : List.of("4.5", "\"4\"", "-4", "4000", "18446744073709551620")) {
      lies.put(
          text.replace("\"step\" : 4,\n  \"data\"", "\"step\" : " + step + ",\n  \"data\""),
          "the step is none of its recipe's: step=" + step);
    }
    String sumsOfText = Files.readString(sums);
    for (Map.Entry<String, String> lie : lies.entrySet()) {
      assertThat(lie.getKey()).isNotEqualTo(text);
      Files.writeString(sums, sumsOfText.replace(sha(text), sha(lie.getKey())));
      Files.writeString(state, lie.getKey());
      assertThatThrownBy(() -> SavedRun.open(folder))
          .isInstanceOf(CheckpointException.class)
          .hasMessageContaining(lie.getValue());
    }
  }

  private static String sha(String text) throws Exception {
    return hex(
        java.security.MessageDigest.getInstance("SHA-256")
            .digest(text.getBytes(java.nio.charset.StandardCharsets.UTF_8)));
  }
}
