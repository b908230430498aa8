package dev.lockstep.train.checkpoint;

import dev.lockstep.failure.CheckpointException;
import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.stream.Stream;

/// What writers of checkpoints made, how that is known, and its deletion: of nothing else.
final class OwnFiles {
  /// The first file of a folder that is being written; goes when its sums are there.
  static final String WRITER = "written-by";

  private static final String GOING = CheckpointFolder.SUMS + ".deleted";
  private static final int SHA256_HEX_DIGITS = 64;

  private OwnFiles() {}

  /// Returns whether nothing is lost where `path` is replaced.
  ///
  /// @param ours whether what is there is ours
  static boolean isAbsentOr(Path path, Predicate<Path> ours) {
    return !Files.exists(path) || isEmpty(path) || ours.test(path);
  }

  /// Returns whether a folder is there with nothing in it.
  static boolean isEmpty(Path path) {
    if (!Files.isDirectory(path)) {
      return false;
    }
    try {
      return files(path).isEmpty();
    } catch (IOException unreadable) {
      return false;
    }
  }

  /// Returns whether a folder, not a link to one, is empty or a checkpoint: it may be deleted.
  static boolean isEmptyOrCheckpoint(Path path) {
    return !Files.isSymbolicLink(path) && (isEmpty(path) || isCheckpoint(path));
  }

  /// Returns what lies in a folder.
  static List<Path> files(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.toList();
    }
  }

  /// Returns whether a folder is one that a writer has begun.
  static boolean isUnfinished(Path folder) {
    return Files.exists(folder.resolve(WRITER));
  }

  /// Returns whether a folder is a checkpoint, or what is left of one that is being deleted.
  static boolean isCheckpoint(Path folder) {
    return listed(folder).contains(CheckpointFolder.STATE);
  }

  /// Returns whether the deletion of a checkpoint has begun.
  static boolean isGoing(Path checkpoint) {
    return !Files.exists(checkpoint.resolve(CheckpointFolder.SUMS));
  }

  /// The files of a checkpoint, as its sums list them; none if it is none.
  private static Set<String> listed(Path folder) {
    for (String name : List.of(CheckpointFolder.SUMS, GOING)) {
      Path list = folder.resolve(name);
      if (Files.exists(list)) {
        try {
          return sums(list, CheckpointFolder.read(list)).keySet();
        } catch (CheckpointException otherwiseWritten) {
          return Set.of();
        }
      }
    }
    return Set.of();
  }

  /// Returns the sums in a text, by the name of their file.
  ///
  /// @param list the file with the text
  /// @throws CheckpointException if it holds anything else
  static Map<String, String> sums(Path list, String text) {
    Map<String, String> sums = new TreeMap<>();
    for (String line : text.lines().toList()) {
      int digits = line.indexOf("  ");
      String name = digits < 0 ? "" : line.substring(digits + 2);
      if (digits != SHA256_HEX_DIGITS || !isPlain(name)) {
        throw CheckpointFolder.damaged(list, "not a line of sums: " + line, null);
      }
      sums.put(name, line.substring(0, digits));
    }
    return sums;
  }

  private static boolean isPlain(String name) {
    return !name.isEmpty()
        && !name.equals(".")
        && !name.equals("..")
        && name.chars().noneMatch(c -> c == '/' || c == 0);
  }

  /// Deletes the files of a checkpoint, and its folder if it holds nothing else.
  static void deleteCheckpoint(CheckpointFiles disk, Path folder) throws IOException {
    Set<String> names = listed(folder);
    Path sums = folder.resolve(CheckpointFolder.SUMS);
    Path going = folder.resolve(GOING);
    // Without its sums a folder is none: whoever dies from here on leaves nothing that is read, and
    // a list of what is left to delete.
    if (Files.exists(sums)) {
      disk.move(sums, going);
    }
    for (String name : names) {
      deleteIfThere(disk, folder.resolve(name));
    }
    deleteIfThere(disk, going);
    if (isEmpty(folder)) {
      disk.delete(folder);
    }
  }

  /// Deletes what a writer left that came to no end; what says so goes last.
  static void deleteUnfinished(CheckpointFiles disk, Path partial) throws IOException {
    if (!Files.exists(partial)) {
      return;
    }
    if (Files.isSymbolicLink(partial)) {
      throw new FileSystemException(partial.toString(), null, "it is a symbolic link");
    }
    List<Path> signs = List.of(partial.resolve(CheckpointFolder.SUMS), partial.resolve(WRITER));
    for (Path file : files(partial)) {
      if (!signs.contains(file)) {
        disk.delete(file);
      }
    }
    for (Path sign : signs) {
      deleteIfThere(disk, sign);
    }
    disk.delete(partial);
  }

  private static void deleteIfThere(CheckpointFiles disk, Path file) throws IOException {
    if (Files.exists(file)) {
      disk.delete(file);
    }
  }
}
