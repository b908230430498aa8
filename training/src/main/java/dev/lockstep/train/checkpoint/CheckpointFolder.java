package dev.lockstep.train.checkpoint;

import dev.lockstep.failure.CheckpointException;
import dev.lockstep.train.options.FileTrouble;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// A folder that is replaced as one: whoever reads it finds the old files or the new ones, whole,
/// whenever the writer died. [#SUMS] in it holds the SHA-256 of each file, as `sha256sum` writes
/// them.
///
/// The new folder is written beside the old one as `NAME.partial` ([#begin]). Then ([#commit]) the
/// old one is renamed to `NAME.step-NUMBER`, the new one takes its name, and only then old ones go
/// that are not kept. A reader that comes between the two renames takes the newest old one. Every
/// file, and the folder's entries, are forced to disk before the first rename.
public final class CheckpointFolder {
  /// Name of the file with the sums.
  public static final String SUMS = "SHA256SUMS";

  private static final int SHA256_HEX_DIGITS = 64;
  private static final String OLD = ".step-";

  private CheckpointFolder() {}

  /// Makes the folder that the new files are written to, empty.
  ///
  /// @return that folder
  /// @throws CheckpointException if it cannot be made
  public static Path begin(CheckpointFiles disk, Path folder) {
    Path partial = partial(folder);
    try {
      delete(disk, partial);
      disk.createDirectories(partial);
      return partial;
    } catch (IOException e) {
      throw unwritten(folder, e);
    }
  }

  /// Returns the folder that new files are written to.
  public static Path partial(Path folder) {
    return sibling(absolute(folder), ".partial");
  }

  /// Puts the files of [#partial] in the place of the folder's.
  ///
  /// @param names the files, whole and forced to disk; what else lies there is deleted
  /// @param keep how many old folders stay
  /// @param oldNumber step of the folder that is there now, if one is
  /// @throws CheckpointException if it cannot be done; the old folder is still there then
  public static void commit(
      CheckpointFiles disk, Path folder, List<String> names, int keep, long oldNumber) {
    Path target = absolute(folder);
    Path partial = partial(folder);
    try {
      deleteOthers(disk, partial, names);
      TreeMap<String, String> sums = new TreeMap<>();
      for (String name : names) {
        sums.put(name, Sha256.of(partial.resolve(name)));
      }
      StringBuilder text = new StringBuilder();
      sums.forEach((name, sum) -> text.append(sum).append("  ").append(name).append('\n'));
      write(disk, partial.resolve(SUMS), text.toString());
      disk.forceDirectory(partial);
      if (Files.exists(target)) {
        Path old = sibling(target, OLD + oldNumber);
        delete(disk, old);
        disk.move(target, old);
      }
      disk.move(partial, target);
      disk.forceDirectory(target.resolveSibling("."));
      List<Path> kept = old(target);
      for (Path gone : kept.subList(0, Math.max(0, kept.size() - keep))) {
        delete(disk, gone);
      }
    } catch (IOException e) {
      throw unwritten(folder, e);
    }
  }

  private static void deleteOthers(CheckpointFiles disk, Path folder, List<String> names)
      throws IOException {
    List<Path> found;
    try (Stream<Path> files = Files.list(folder)) {
      found = files.toList();
    }
    for (Path file : found) {
      if (!names.contains(file.getFileName().toString())) {
        disk.delete(file);
      }
    }
  }

  /// Writes a file of text and forces it to disk.
  ///
  /// @throws IOException if it cannot be written
  public static void write(CheckpointFiles disk, Path file, String text) throws IOException {
    try (CheckpointFiles.Output out = disk.open(file)) {
      out.writeFully(ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8)), 0);
      out.force();
    }
  }

  /// Returns the refusal of a checkpoint that cannot be written.
  public static CheckpointException unwritten(Path folder, IOException cause) {
    return new CheckpointException(
        folder.toString(),
        "checkpoint cannot be written: path=" + folder + ", cause=" + FileTrouble.words(cause),
        cause);
  }

  private static Path absolute(Path folder) {
    return folder.toAbsolutePath().normalize();
  }

  private static Path sibling(Path folder, String suffix) {
    return folder.resolveSibling(folder.getFileName() + suffix);
  }

  /// Returns the old folders that are kept, the one that was written first first.
  ///
  /// @throws IOException if the folder that they lie in cannot be read
  public static List<Path> old(Path folder) throws IOException {
    Path target = absolute(folder);
    String prefix = target.getFileName() + OLD;
    Path parent = target.getParent();
    if (parent == null || !Files.isDirectory(parent)) {
      return List.of();
    }
    try (Stream<Path> beside = Files.list(parent)) {
      return beside
          .filter(path -> number(path, prefix) >= 0)
          .sorted(
              Comparator.comparing(CheckpointFolder::written)
                  .thenComparingLong(path -> number(path, prefix)))
          .toList();
    }
  }

  /// When a folder was finished; long ago if its deletion has begun.
  private static FileTime written(Path folder) {
    try {
      return Files.getLastModifiedTime(folder.resolve(SUMS));
    } catch (IOException incomplete) {
      return FileTime.fromMillis(0);
    }
  }

  private static long number(Path path, String prefix) {
    String name = path.getFileName().toString();
    String digits = name.startsWith(prefix) ? name.substring(prefix.length()) : "";
    return digits.matches("[0-9]{1,18}") ? Long.parseLong(digits) : -1;
  }

  private static void delete(CheckpointFiles disk, Path folder) throws IOException {
    if (!Files.exists(folder)) {
      return;
    }
    List<Path> deepestFirst;
    try (Stream<Path> paths = Files.walk(folder)) {
      deepestFirst = paths.sorted(Comparator.reverseOrder()).toList();
    }
    // Without its sums a folder is none: whoever dies from here on leaves nothing that is read.
    if (Files.exists(folder.resolve(SUMS))) {
      disk.delete(folder.resolve(SUMS));
    }
    for (Path path : deepestFirst) {
      if (!path.equals(folder.resolve(SUMS))) {
        disk.delete(path);
      }
    }
  }

  /// Returns whether there is a folder, or an old one of it.
  public static boolean exists(Path folder) {
    try {
      return Files.isDirectory(folder) || !old(folder).isEmpty();
    } catch (IOException unreadable) {
      return false;
    }
  }

  /// Finds the folder, or the newest old one where a writer died between its renames, and checks
  /// every file against its sum.
  ///
  /// @param required files that must be there
  /// @return where the files are
  /// @throws CheckpointException if there is none, or one of its files is missing or damaged; the
  ///   sentence names the file
  public static Path verify(Path folder, List<String> required) {
    Path found = find(folder);
    Map<String, String> sums = sums(found.resolve(SUMS));
    for (String name : required) {
      if (!sums.containsKey(name)) {
        throw damaged(found.resolve(SUMS), "it does not list " + name, null);
      }
    }
    sums.forEach((name, sum) -> check(found.resolve(name), sum));
    return found;
  }

  private static Path find(Path folder) {
    Path target = absolute(folder);
    if (Files.isDirectory(target)) {
      return target;
    }
    try {
      List<Path> old = old(folder);
      if (!old.isEmpty() && Files.exists(old.getLast().resolve(SUMS))) {
        return old.getLast();
      }
    } catch (IOException e) {
      throw damaged(target, FileTrouble.words(e), e);
    }
    throw new CheckpointException(
        folder.toString(), "there is no checkpoint: path=" + folder, null);
  }

  private static Map<String, String> sums(Path file) {
    try {
      Map<String, String> sums = new TreeMap<>();
      for (String line : Files.readAllLines(file, StandardCharsets.UTF_8)) {
        int digits = line.indexOf("  ");
        String name = digits < 0 ? "" : line.substring(digits + 2);
        if (digits != SHA256_HEX_DIGITS || !Path.of(name).equals(Path.of(name).getFileName())) {
          throw damaged(file, "not a line of sums: " + line, null);
        }
        sums.put(name, line.substring(0, digits));
      }
      return sums;
    } catch (IOException e) {
      throw damaged(file, FileTrouble.words(e), e);
    }
  }

  private static void check(Path file, String wanted) {
    try {
      String found = Sha256.of(file);
      if (!found.equals(wanted)) {
        throw damaged(file, "sha256 is " + found + ", not " + wanted, null);
      }
    } catch (IOException e) {
      throw damaged(file, FileTrouble.words(e), e);
    }
  }

  private static CheckpointException damaged(Path file, String cause, @Nullable Throwable thrown) {
    return new CheckpointException(
        file.toString(), "checkpoint is damaged: file=" + file + ", cause=" + cause, thrown);
  }

  /// Returns the text of a file of a checkpoint.
  ///
  /// @throws CheckpointException if it cannot be read
  public static String read(Path file) {
    try {
      return Files.readString(file);
    } catch (IOException | UncheckedIOException e) {
      throw damaged(file, String.valueOf(e.getMessage()), e);
    }
  }
}
