package dev.lockstep.train.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.CheckpointException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CheckpointFolderTest {
  private static final List<String> REQUIRED = List.of("a", "b");

  @TempDir Path directory;

  private Path folder() {
    return directory.resolve("checkpoint");
  }

  private static Map<String, CheckpointFolder.Content> files(String a, String b) {
    Map<String, CheckpointFolder.Content> files = new LinkedHashMap<>();
    files.put("a", CheckpointFolder.text(a));
    files.put("b", CheckpointFolder.text(b));
    return files;
  }

  @Test
  void holdsWhatWasWrittenLastAndNothingBesideIt() throws IOException {
    CheckpointFolder.write(folder(), files("1", "2"));
    CheckpointFolder.write(folder(), files("3", "4"));

    Path found = CheckpointFolder.verify(folder(), REQUIRED);

    assertThat(CheckpointFolder.read(found.resolve("a"))).isEqualTo("3");
    try (Stream<Path> beside = Files.list(directory)) {
      assertThat(beside).containsExactly(folder());
    }
  }

  @Test
  void keepsTheOldOneWhereTheNewOneCannotBeWritten() {
    CheckpointFolder.write(folder(), files("1", "2"));
    Map<String, CheckpointFolder.Content> failing = files("3", "4");
    failing.put(
        "c",
        _ -> {
          throw new IOException("no space left on device");
        });

    assertThatThrownBy(() -> CheckpointFolder.write(folder(), failing))
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining("no space left on device");
    Path found = CheckpointFolder.verify(folder(), REQUIRED);
    assertThat(CheckpointFolder.read(found.resolve("a"))).isEqualTo("1");
  }

  @Test
  void isFoundWhereTheWriterDiedBetweenItsRenames() throws IOException {
    CheckpointFolder.write(folder(), files("1", "2"));
    Files.move(folder(), directory.resolve("checkpoint.previous"));

    Path found = CheckpointFolder.verify(folder(), REQUIRED);

    assertThat(CheckpointFolder.read(found.resolve("a"))).isEqualTo("1");
    CheckpointFolder.write(folder(), files("3", "4"));
    assertThat(CheckpointFolder.verify(folder(), REQUIRED)).isEqualTo(folder());
  }

  @Test
  void writesOverWhatADeadWriterLeft() throws IOException {
    Path partial = Files.createDirectories(directory.resolve("checkpoint.partial/deep"));
    Files.writeString(partial.resolve("torn"), "x");

    CheckpointFolder.write(folder(), files("1", "2"));

    assertThat(directory.resolve("checkpoint.partial")).doesNotExist();
    assertThat(folder().resolve("deep")).doesNotExist();
  }

  @Test
  void namesTheFileThatIsDamagedMissingOrNotListed() throws IOException {
    CheckpointFolder.write(folder(), files("1", "2"));

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
