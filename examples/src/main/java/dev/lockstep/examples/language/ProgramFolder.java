package dev.lockstep.examples.language;

import dev.lockstep.device.AheadOfTime;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;

/// The folder that compiled programs go to. They are collected beside what is there and take its
/// place when all are done, so that a compilation that fails leaves the earlier one, and no rank's
/// program of another layout is left among these. What anybody else wrote stays: a list in the
/// folder says which files are a compilation's.
final class ProgramFolder implements AutoCloseable {
  /// The list's name. A file is on it before it is there.
  static final String LIST = "lockstep-compile.txt";

  /// What is collected until all is done. Of a compilation that was killed it is left over.
  static final String COLLECTED = ".lockstep-compile";

  /// The list's first line, without which it is somebody else's.
  private static final String TITLE =
      "written by lockstep compile, which removes these when it writes here again:";

  private final Path folder;
  private final Path collected;
  private final Set<Path> files = new LinkedHashSet<>();

  private ProgramFolder(Path folder) {
    this.folder = folder;
    this.collected = folder.resolve(COLLECTED);
  }

  /// Makes the folder if it is not there.
  ///
  /// @throws UncheckedIOException if it cannot be made or written, or holds a file of the list's
  ///   name that is none; with one sentence
  static ProgramFolder open(Path folder) {
    ProgramFolder opened = new ProgramFolder(folder.toAbsolutePath().normalize());
    try {
      Files.createDirectories(folder);
      opened.listed();
      opened.removeCollected();
      Files.createDirectory(opened.collected);
    } catch (IOException e) {
      throw opened.refusal(e);
    }
    return opened;
  }

  /// Returns where the programs of a group of ranks go.
  ///
  /// @param name of a folder in this one; empty for this one
  AheadOfTime.Output group(String name) {
    return (file, bytes) -> collect(Path.of(name, file), bytes);
  }

  private void collect(Path name, byte[] bytes) {
    try {
      refuseSomebodyElses(name, listed());
      Path file = collected.resolve(name);
      Files.createDirectories(Objects.requireNonNull(file.getParent()));
      Files.write(file, bytes, StandardOpenOption.CREATE_NEW);
      files.add(name);
    } catch (IOException e) {
      throw refusal(e);
    }
  }

  /// Puts all that was collected in the place of what an earlier compilation left.
  ///
  /// @throws UncheckedIOException if one of its files would replace somebody else's, before
  ///   anything is removed, or if they cannot be written; with one sentence
  void finish() {
    try {
      List<Path> earlier = listed();
      for (Path name : files) {
        refuseSomebodyElses(name, earlier);
      }
      remove(earlier);
      list();
      for (Path name : files) {
        Path file = folder.resolve(name);
        Files.createDirectories(Objects.requireNonNull(file.getParent()));
        Files.move(collected.resolve(name), file, StandardCopyOption.ATOMIC_MOVE);
      }
    } catch (IOException e) {
      throw refusal(e);
    }
  }

  private void refuseSomebodyElses(Path name, List<Path> earlier) throws IOException {
    Path file = folder.resolve(name);
    if (Files.exists(file, LinkOption.NOFOLLOW_LINKS) && !earlier.contains(file)) {
      throw new FileAlreadyExistsException(file.toString());
    }
  }

  /// Removes files, then folders in which nothing is left.
  private void remove(List<Path> earlier) throws IOException {
    TreeSet<Path> parents = new TreeSet<>();
    for (Path file : earlier) {
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
  }

  /// Begins a list of the files that come.
  private void list() throws IOException {
    List<String> lines = new ArrayList<>(List.of(TITLE));
    files.forEach(name -> lines.add(name.toString()));
    Path begun = collected.resolve(LIST);
    Files.write(begun, lines);
    Files.move(
        begun,
        folder.resolve(LIST),
        StandardCopyOption.ATOMIC_MOVE,
        StandardCopyOption.REPLACE_EXISTING);
  }

  /// The files on the list, those that are gone too.
  private List<Path> listed() throws IOException {
    Path list = folder.resolve(LIST);
    if (!Files.exists(list)) {
      return List.of();
    }
    List<String> lines = Files.readAllLines(list);
    List<Path> listed =
        lines.stream().skip(1).map(line -> folder.resolve(line).normalize()).toList();
    if (lines.isEmpty()
        || !lines.getFirst().equals(TITLE)
        || !listed.stream().allMatch(this::isWithin)) {
      throw new FileAlreadyExistsException(list.toString());
    }
    return listed;
  }

  private boolean isWithin(Path file) {
    return file.startsWith(folder) && !file.equals(folder);
  }

  private void removeCollected() throws IOException {
    if (!Files.exists(collected, LinkOption.NOFOLLOW_LINKS)) {
      return;
    }
    List<Path> all;
    try (Stream<Path> walk = Files.walk(collected)) {
      all = walk.toList();
    }
    for (Path path : all.reversed()) {
      Files.delete(path);
    }
  }

  /// Removes what was collected and not put in its place.
  ///
  /// @throws UncheckedIOException if it cannot be removed; with one sentence
  @Override
  public void close() {
    try {
      removeCollected();
    } catch (IOException e) {
      throw refusal(e);
    }
  }

  private UncheckedIOException refusal(IOException cause) {
    return new UncheckedIOException(
        "programs cannot be written: folder=%s, cause=%s: %s (name a folder that can be made and written, without files of these names)"
            .formatted(folder, cause.getClass().getSimpleName(), cause.getMessage()),
        cause);
  }
}
