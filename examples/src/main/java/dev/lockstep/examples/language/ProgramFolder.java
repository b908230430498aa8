package dev.lockstep.examples.language;

import dev.lockstep.device.AheadOfTime;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Objects;
import java.util.TreeSet;

/// The folder that compiled programs go to. What an earlier compilation wrote there goes when the
/// first program of this one comes, so that no rank's program of another layout is left among
/// these; what anybody else wrote stays. A list in the folder says which is which.
final class ProgramFolder {
  /// The list's name. A file is on it before it is there.
  static final String LIST = "lockstep-compile.txt";

  /// The list's first line, without which it is somebody else's.
  private static final String TITLE =
      "written by lockstep compile, which removes these when it writes here again:";

  private final Path folder;
  private boolean isEmptied;

  private ProgramFolder(Path folder) {
    this.folder = folder;
  }

  /// Makes the folder if it is not there.
  ///
  /// @throws UncheckedIOException if it cannot be made, or holds a file of the list's name that is
  ///   none; with one sentence
  static ProgramFolder open(Path folder) {
    ProgramFolder opened = new ProgramFolder(folder.toAbsolutePath().normalize());
    try {
      Files.createDirectories(folder);
      opened.listed();
    } catch (IOException e) {
      throw opened.refusal(e);
    }
    return opened;
  }

  /// Returns where the programs of a group of ranks go.
  ///
  /// @param name of a folder in this one; empty for this one
  AheadOfTime.Output group(String name) {
    return (file, bytes) -> write(folder.resolve(name), file, bytes);
  }

  private void write(Path group, String name, byte[] bytes) {
    Path file = group.resolve(name);
    try {
      if (!isEmptied) {
        empty();
        isEmptied = true;
      }
      if (Files.exists(file)) {
        throw new FileAlreadyExistsException(file.toString());
      }
      Files.createDirectories(group);
      Files.writeString(
          folder.resolve(LIST), folder.relativize(file) + "\n", StandardOpenOption.APPEND);
      Files.write(file, bytes, StandardOpenOption.CREATE_NEW);
    } catch (IOException e) {
      throw refusal(e);
    }
  }

  /// Removes what is on the list, then folders in which nothing is left, and begins a new one.
  private void empty() throws IOException {
    TreeSet<Path> parents = new TreeSet<>();
    for (Path file : listed()) {
      Files.deleteIfExists(file);
      parents.add(Objects.requireNonNull(file.getParent()));
    }
    parents.remove(folder);
    for (Path parent : parents.descendingSet()) {
      try {
        Files.deleteIfExists(parent);
      } catch (DirectoryNotEmptyException others) {
        // Somebody keeps files of his own there.
      }
    }
    Files.writeString(folder.resolve(LIST), TITLE + "\n");
  }

  /// The files on the list, those that are gone too.
  private List<Path> listed() throws IOException {
    Path list = folder.resolve(LIST);
    if (!Files.exists(list)) {
      return List.of();
    }
    List<String> lines = Files.readAllLines(list);
    List<Path> files =
        lines.stream().skip(1).map(line -> folder.resolve(line).normalize()).toList();
    if (lines.isEmpty()
        || !lines.getFirst().equals(TITLE)
        || !files.stream().allMatch(this::isWithin)) {
      throw new FileAlreadyExistsException(list.toString());
    }
    return files;
  }

  private boolean isWithin(Path file) {
    return file.startsWith(folder) && !file.equals(folder);
  }

  private UncheckedIOException refusal(IOException cause) {
    return new UncheckedIOException(
        "programs cannot be written: folder=%s, cause=%s: %s (name a folder that can be made and written, without files of these names)"
            .formatted(folder, cause.getClass().getSimpleName(), cause.getMessage()),
        cause);
  }
}
