package dev.lockstep.train.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.CheckpointException;
import dev.lockstep.train.checkpoint.CheckpointFolder.Succession;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CheckpointFolderTest {
  private static final List<String> REQUIRED = List.of("a", "b", CheckpointFolder.STATE);

  private static final Succession FIRST = new Succession(0, 7, Long.MAX_VALUE);

  @TempDir Path directory;

  private Path folder() {
    return directory.resolve("checkpoint");
  }

  private void write(String a, String b) throws IOException {
    write(a, b, 0, 7);
  }

  private void write(String a, String b, int keep, long oldNumber) throws IOException {
    write(a, b, new Succession(keep, oldNumber, Long.MAX_VALUE));
  }

  private void write(String a, String b, Succession succession) throws IOException {
    CheckpointFiles disk = CheckpointFiles.disk();
    Path partial = CheckpointFolder.begin(disk, folder(), "test");
    CheckpointFolder.write(disk, partial.resolve("a"), a);
    CheckpointFolder.write(disk, partial.resolve("b"), b);
    CheckpointFolder.write(disk, partial.resolve(CheckpointFolder.STATE), "{}");
    Files.writeString(partial.resolve("forgotten"), "x");
    CheckpointFolder.commit(disk, folder(), "test", REQUIRED, succession);
  }

  private List<String> beside() throws IOException {
    try (Stream<Path> files = Files.list(directory)) {
      return files.map(path -> path.getFileName().toString()).sorted().toList();
    }
  }

  @Test
  void holdsWhatWasWrittenLastAndNothingBesideIt() throws IOException {
    write("1", "2");
    write("3", "4");

    Path found = CheckpointFolder.verify(folder(), REQUIRED).folder();

    assertThat(CheckpointFolder.read(found.resolve("a"))).isEqualTo("3");
    try (Stream<Path> beside = Files.list(directory)) {
      assertThat(beside).containsExactly(folder());
    }
  }

  @Test
  void isFoundWhereTheWriterDiedBetweenItsRenames() throws IOException {
    write("1", "2");
    Files.move(folder(), directory.resolve("checkpoint.step-7"));

    Path found = CheckpointFolder.verify(folder(), REQUIRED).folder();

    assertThat(CheckpointFolder.read(found.resolve("a"))).isEqualTo("1");
    write("3", "4");
    assertThat(CheckpointFolder.verify(folder(), REQUIRED).folder()).isEqualTo(folder());
  }

  @Test
  void writesOverWhatADeadWriterLeft() throws IOException {
    CheckpointFiles disk = CheckpointFiles.disk();
    Path partial = CheckpointFolder.begin(disk, folder(), "the dead one");
    Files.writeString(partial.resolve("torn"), "x");

    write("1", "2");

    assertThat(beside()).containsExactly("checkpoint");
    assertThat(folder().resolve("torn")).doesNotExist();
  }

  @Test
  void refusesToTakeThePlaceOfAnythingElse() throws IOException {
    for (String name : List.of("checkpoint", "checkpoint.partial")) {
      Path owned = Files.createDirectories(directory.resolve(name));
      Path file = Files.writeString(owned.resolve("mine.txt"), "x");
      Files.writeString(owned.resolve("SHA256SUMS"), "0".repeat(64) + "  mine.txt\n");

      assertThatThrownBy(() -> write("1", "2"))
          .isInstanceOf(CheckpointException.class)
          .hasMessageStartingWith("a checkpoint would take the place of something else: path=")
          .hasMessageContaining(owned.toString());
      assertThat(CheckpointFolder.refusal(folder())).isPresent();
      assertThat(file).hasContent("x");
      Files.move(owned, directory.resolve("kept-" + name));
    }
    Files.writeString(folder(), "a file");
    assertThatThrownBy(() -> write("1", "2")).isInstanceOf(CheckpointException.class);
    assertThat(folder()).hasContent("a file");
  }

  @Test
  void refusesWhatCameWhileItWasWritten() throws IOException {
    CheckpointFiles disk = CheckpointFiles.disk();
    var _ = CheckpointFolder.begin(disk, folder(), "test");
    Path file = Files.createDirectories(folder()).resolve("mine.txt");
    Files.writeString(file, "x");

    assertThatThrownBy(() -> CheckpointFolder.commit(disk, folder(), "test", List.of(), FIRST))
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining("something else");
    assertThat(file).hasContent("x");
  }

  @Test
  void takesAnEmptyFolder() throws IOException {
    Files.createDirectories(folder());

    write("1", "2");

    assertThat(beside()).containsExactly("checkpoint");
  }

  @Test
  void deletesNothingOfOthers() throws IOException {
    write("1", "2");
    Path added = Files.writeString(folder().resolve("tokenizer.json"), "mine");
    Path named = Files.createDirectories(directory.resolve("checkpoint.step-3"));
    Files.writeString(named.resolve("mine.txt"), "x");
    write("3", "4");

    assertThat(beside()).containsExactly("checkpoint", "checkpoint.step-3", "checkpoint.step-7");
    assertThat(added).doesNotExist();
    assertThat(directory.resolve("checkpoint.step-7").toFile().list())
        .containsExactly("tokenizer.json");
    assertThat(named.resolve("mine.txt")).hasContent("x");
    assertThatThrownBy(() -> write("5", "6", 0, 3))
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining("something else: path=" + named);
    assertThat(CheckpointFolder.read(folder().resolve("a"))).isEqualTo("3");
  }

  @Test
  void followsNoLinkToWhatItDeletes() throws IOException {
    write("1", "2");
    Path elsewhere = directory.resolve("elsewhere");
    Files.move(folder(), elsewhere);
    Files.writeString(elsewhere.resolve("written-by"), "somebody");
    for (String name : List.of("checkpoint", "checkpoint.partial")) {
      Path link = Files.createSymbolicLink(directory.resolve(name), elsewhere);

      assertThatThrownBy(() -> write("3", "4"))
          .isInstanceOf(CheckpointException.class)
          .hasMessageStartingWith("a checkpoint would take the place of a symbolic link: path=")
          .hasMessageContaining(link.toString());
      assertThat(CheckpointFolder.refusal(folder())).isPresent();
      Files.delete(link);
    }
    write("3", "4");
    Files.createSymbolicLink(directory.resolve("checkpoint.step-3"), elsewhere);
    write("5", "6");
    assertThatThrownBy(() -> write("7", "8", 0, 3))
        .hasMessageContaining("something else: path=" + directory.resolve("checkpoint.step-3"));

    assertThat(elsewhere).isDirectoryContaining("glob:**/a").isDirectoryContaining("glob:**/b");
  }

  @Test
  void mayLieInAFolderThatALinkLeadsTo() throws IOException {
    Path disk = Files.createDirectories(directory.resolve("disk"));
    Path folder = Files.createSymbolicLink(directory.resolve("runs"), disk).resolve("checkpoint");

    var _ = CheckpointFolder.begin(CheckpointFiles.disk(), folder, "test");
    CheckpointFolder.commit(CheckpointFiles.disk(), folder, "test", List.of(), FIRST);

    assertThat(disk.resolve("checkpoint/SHA256SUMS")).exists();
  }

  @Test
  void goesOnWithADeletionThatWasEnded() throws IOException {
    write("1", "2");
    Path old = directory.resolve("checkpoint.step-3");
    Files.move(folder(), old);
    Files.move(old.resolve("SHA256SUMS"), old.resolve("SHA256SUMS.deleted"));
    Files.delete(old.resolve("a"));

    write("3", "4", CheckpointFolder.AS_BEFORE, 7);

    assertThat(beside()).containsExactly("checkpoint");
  }

  @Test
  void keepsTheOldOnesThatWereKept() throws IOException {
    write("1", "2");
    write("3", "4", 1, 1);
    for (long step = 2; step < 5; step++) {
      write("5", "6", CheckpointFolder.AS_BEFORE, step);
      assertThat(beside()).containsExactly("checkpoint", "checkpoint.step-1");
    }
    write("7", "8", CheckpointFolder.AS_BEFORE, 1);
    assertThat(beside()).containsExactly("checkpoint", "checkpoint.step-1");
    Path kept = directory.resolve("checkpoint.step-1");
    assertThat(CheckpointFolder.read(kept.resolve("a"))).isEqualTo("5");
  }

  /// A run that has come to step 5 goes on from step 2.
  @ParameterizedTest(name = "keep {0}")
  @CsvSource({
    "-1, checkpoint.step-1 checkpoint.step-2 checkpoint.step-5",
    "1, checkpoint.step-2 checkpoint.step-5",
    "0, checkpoint.step-5"
  })
  void noneOfALaterStepGoes(int keep, String stay) throws IOException {
    write("1", "2");
    write("3", "4", 2, 1);
    write("5", "6", 2, 2);

    write("7", "8", new Succession(keep, 5, 3));

    assertThat(beside()).containsExactly(("checkpoint " + stay).split(" "));
    assertThat(CheckpointFolder.read(directory.resolve("checkpoint.step-5").resolve("a")))
        .isEqualTo("5");
    write("9", "10", new Succession(keep, 3, 4));
    assertThat(directory.resolve("checkpoint.step-5")).exists();
    write("11", "12", new Succession(0, 4, 5));
    assertThat(beside()).containsExactly("checkpoint");
  }

  /// A run that has come to step 6 goes on from step 2 and saves at 3, 4 and 5.
  @Test
  void whatTheRunWentOnFromStaysAndWhatItHasLeftGoesFirst() throws IOException {
    writeAt(1, new Succession(0, 0, 2));
    writeAt(2, new Succession(2, 2, 4));
    writeAt(3, new Succession(2, 4, 6));

    writeAt(4, new Succession(2, 6, 3));
    assertThat(beside())
        .containsExactly(
            "checkpoint", "checkpoint.step-2", "checkpoint.step-4", "checkpoint.step-6");
    writeAt(5, new Succession(2, 3, 4));
    assertThat(beside())
        .containsExactly(
            "checkpoint", "checkpoint.step-2", "checkpoint.step-3", "checkpoint.step-6");
    writeAt(6, new Succession(2, 4, 5));
    assertThat(beside())
        .containsExactly(
            "checkpoint", "checkpoint.step-3", "checkpoint.step-4", "checkpoint.step-6");
  }

  private void writeAt(long second, Succession succession) throws IOException {
    write("a", "b", succession);
    Files.setLastModifiedTime(
        folder().resolve(CheckpointFolder.SUMS), FileTime.from(second, TimeUnit.SECONDS));
  }

  @Test
  void putsNothingInItsPlaceThatAnotherWriterHasBegun() throws IOException {
    CheckpointFiles disk = CheckpointFiles.disk();
    write("1", "2");
    Path partial = CheckpointFolder.begin(disk, folder(), "one");
    assertThat(CheckpointFolder.begin(disk, folder(), "the other")).isEqualTo(partial);
    CheckpointFolder.write(disk, partial.resolve("a"), "half");

    assertThatThrownBy(() -> CheckpointFolder.commit(disk, folder(), "one", List.of("a"), FIRST))
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining("another writer has taken its place: writer=one, now=the other (");
    assertThat(partial.resolve("a")).hasContent("half");
    assertThat(CheckpointFolder.verify(folder(), REQUIRED).folder()).isEqualTo(folder());
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
