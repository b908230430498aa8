package dev.lockstep.examples.language;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.SavedRun;
import dev.lockstep.train.checkpoint.CheckpointFolder;
import dev.lockstep.train.model.GptShape;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class RunFolderTest {
  @TempDir private Path temporary;

  @Test
  void runsOfOneSecondHaveFoldersOfTheirOwn() throws Exception {
    Path name = temporary.resolve("runs").resolve("gpt-20260101-000000");
    RunFolder first = new RunFolder(name, true).prepare(Optional.empty());
    Files.createFile(first.metrics());
    RunFolder second = new RunFolder(name, true).prepare(Optional.empty());
    RunFolder third = new RunFolder(name, true).prepare(Optional.empty());
    assertThat(first.path()).isEqualTo(name).isDirectory();
    assertThat(second.path()).isEqualTo(Path.of(name + "-2")).isDirectory();
    assertThat(third.path()).isEqualTo(Path.of(name + "-3")).isDirectory();
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource({
    "checkpoint, true",
    "checkpoint.step-300, true",
    "checkpoint-a, false",
    "checkpoint.step-, false",
    "checkpoint.step-3.old, false",
    "checkpoint2, false",
    "model, false"
  })
  void aCheckpointIsOfTheRunAroundItUnderTheNamesThatRunsGiveAlone(String name, boolean isOfRun) {
    SavedRun saved = new SavedRun(temporary.resolve(name), Recipe.defaults(), 1, "", "");
    assertThat(RunFolder.of(saved))
        .isEqualTo(isOfRun ? Optional.of(new RunFolder(temporary)) : Optional.empty());
  }

  /// After a crash the steps that were lost are taken again, with the same bits.
  @ParameterizedTest(name = "a checkpoint of step {0}")
  @CsvSource({"300, true", "100, false"})
  void measurementsStayWhereARunGoesOnFromAnOldStep(int step, boolean stay) throws Exception {
    RunFolder folder = new RunFolder(temporary).prepare(Optional.empty());
    Files.createDirectory(folder.checkpoint());
    Files.writeString(
        folder.checkpoint().resolve(CheckpointFolder.STATE), "{\"step\":%d}".formatted(step));
    Files.writeString(folder.metrics(), "{\"step\":100}\n{\"step\":310}\n");

    folder.openMetrics(Optional.of(folder), 100).close();

    assertThat(Files.readAllLines(folder.metrics())).containsExactly("{\"step\":100}");
    assertThat(temporary.resolve("metrics.step-310.jsonl").toFile().exists()).isEqualTo(stay);
  }

  @Test
  void aFolderThatWasNamedHoldsOneRun() throws Exception {
    RunFolder folder = new RunFolder(temporary).prepare(Optional.empty());
    Files.createFile(folder.metrics());
    assertThatThrownBy(() -> new RunFolder(temporary).prepare(Optional.empty()))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("holds another run")
        .hasMessageEndingWith(
            "(give another folder, or remove this one: its run ended before its first checkpoint)");
    TrainingOptions options = new TrainingOptions(GptShape.defaults());
    options.resume = temporary;
    assertThatThrownBy(() -> TrainingPlan.of(options))
        .isInstanceOf(ConfigurationException.class)
        .hasMessage(
            "this run ended before its first checkpoint: --resume %s (remove the folder, or start"
                + " anew with --recipe %s/recipe.json)",
            temporary, temporary);
    Files.createDirectory(folder.checkpoint());
    assertThatThrownBy(() -> new RunFolder(temporary).prepare(Optional.empty()))
        .hasMessageEndingWith("or continue that run with --resume " + temporary + ")");
    assertThat(new RunFolder(temporary).prepare(Optional.of(folder))).isEqualTo(folder);
  }
}
