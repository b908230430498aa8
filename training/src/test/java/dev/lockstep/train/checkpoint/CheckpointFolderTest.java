package dev.lockstep.train.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.CheckpointException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CheckpointFolderTest {
  private static final List<String> REQUIRED = List.of("a", "b");

  @TempDir Path directory;

  private Path folder() {
    return directory.resolve("checkpoint");
  }

  private void write(String a, String b) throws IOException {
    CheckpointFiles disk = CheckpointFiles.disk();
    Path partial = CheckpointFolder.begin(disk, folder());
    CheckpointFolder.write(disk, partial.resolve("a"), a);
    CheckpointFolder.write(disk, partial.resolve("b"), b);
    Files.writeString(partial.resolve("forgotten"), "x");
    CheckpointFolder.commit(disk, folder(), REQUIRED, 0, 7);
  }

  @Test
  void holdsWhatWasWrittenLastAndNothingBesideIt() throws IOException {
    write("1", "2");
    write("3", "4");

    Path found = CheckpointFolder.verify(folder(), REQUIRED);

    assertThat(CheckpointFolder.read(found.resolve("a"))).isEqualTo("3");
    try (Stream<Path> beside = Files.list(directory)) {
      assertThat(beside).containsExactly(folder());
    }
  }

  @Test
  void isFoundWhereTheWriterDiedBetweenItsRenames() throws IOException {
    write("1", "2");
    Files.move(folder(), directory.resolve("checkpoint.step-7"));

    Path found = CheckpointFolder.verify(folder(), REQUIRED);

    assertThat(CheckpointFolder.read(found.resolve("a"))).isEqualTo("1");
    write("3", "4");
    assertThat(CheckpointFolder.verify(folder(), REQUIRED)).isEqualTo(folder());
  }

  @Test
  void writesOverWhatADeadWriterLeft() throws IOException {
    Path partial = Files.createDirectories(directory.resolve("checkpoint.partial/deep"));
    Files.writeString(partial.resolve("torn"), "x");

    write("1", "2");

    assertThat(directory.resolve("checkpoint.partial")).doesNotExist();
    assertThat(folder().resolve("deep")).doesNotExist();
  }

  @Test
  void namesTheFileThatIsDamagedMissingOrNotListed() throws IOException {
    write("1", "2");

    assertThatThrownBy(() -> CheckpointFolder.verify(folder(), List.of("c")))
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining("does not list c");
    Files.writeString(folder().resolve("b"), "3");
    assertThatThrownBy(() -> CheckpointFolder.verify(folder(), REQUIRED))
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining(folder().resolve("b").toString())
        .hasMessageContaining("sha256");
    Files.delete(folder().resolve("b"));
    assertThatThrownBy(() -> CheckpointFolder.verify(folder(), REQUIRED))
        .hasMessageContaining("the file is missing");
    Files.writeString(folder().resolve(CheckpointFolder.SUMS), "nonsense\n");
    assertThatThrownBy(() -> CheckpointFolder.verify(folder(), REQUIRED))
        .hasMessageContaining("not a line of sums");
    assertThatThrownBy(() -> CheckpointFolder.verify(directory.resolve("none"), REQUIRED))
        .hasMessageContaining("there is no checkpoint");
  }
}
