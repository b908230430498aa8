package dev.lockstep.examples.language;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

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

  @Test
  void aFolderThatWasNamedHoldsOneRun() throws Exception {
    RunFolder folder = new RunFolder(temporary).prepare(Optional.empty());
    Files.createFile(folder.metrics());
    assertThatThrownBy(() -> new RunFolder(temporary).prepare(Optional.empty()))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("holds another run");
    assertThat(new RunFolder(temporary).prepare(Optional.of(folder))).isEqualTo(folder);
  }
}
