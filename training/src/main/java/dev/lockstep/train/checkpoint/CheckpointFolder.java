package dev.lockstep.train.checkpoint;

import dev.lockstep.failure.CheckpointException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
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
/// The new folder is written beside the old one as `NAME.partial`; the old one is renamed to
/// `NAME.previous`, the new one takes its name, and only then the old one goes. A reader that comes
/// between the two renames takes `NAME.previous`.
public final class CheckpointFolder {
  /// Name of the file with the sums.
  public static final String SUMS = "SHA256SUMS";

  private static final int SHA256_HEX_DIGITS = 64;

  private CheckpointFolder() {}

  /// What one file of the folder holds.
  public interface Content {
    /// Writes the file, which does not exist yet.
    ///
    /// @throws IOException if the disk is full or the path cannot be written
    void write(Path file) throws IOException;
  }

  /// Returns content that is text.
  public static Content text(String text) {
    return file -> Files.writeString(file, text);
  }

  /// Replaces the folder, or makes it, with these files.
  ///
  /// @param files content by file name
  /// @throws CheckpointException if it cannot be written; the old folder is still there then
  public static void write(Path folder, Map<String, Content> files) {
    Path target = folder.toAbsolutePath().normalize();
    Path partial = sibling(target, ".partial");
    Path previous = sibling(target, ".previous");
    try {
      delete(partial);
      Files.createDirectories(partial);
      TreeMap<String, String> sums = new TreeMap<>();
      for (Map.Entry<String, Content> file : files.entrySet()) {
        Path path = partial.resolve(file.getKey());
        file.getValue().write(path);
        force(path);
        sums.put(file.getKey(), Sha256.of(path));
      }
      writeSums(partial.resolve(SUMS), sums);
      force(partial);
      if (Files.exists(target)) {
        delete(previous);
        Files.move(target, previous, StandardCopyOption.ATOMIC_MOVE);
      }
      Files.move(partial, target, StandardCopyOption.ATOMIC_MOVE);
      force(target.resolveSibling("."));
      delete(previous);
    } catch (IOException e) {
      throw new CheckpointException(
          folder.toString(),
          "checkpoint cannot be written: path=" + folder + ", cause=" + cause(e),
          e);
    }
  }

  private static Path sibling(Path folder, String suffix) {
    return folder.resolveSibling(folder.getFileName() + suffix);
  }

  private static void writeSums(Path file, Map<String, String> sums) throws IOException {
    StringBuilder text = new StringBuilder();
    sums.forEach((name, sum) -> text.append(sum).append("  ").append(name).append('\n'));
    Files.writeString(file, text);
    force(file);
  }

  /// Forces a file's or a folder's content to disk.
  private static void force(Path path) throws IOException {
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
      channel.force(true);
    }
  }

  private static void delete(Path folder) throws IOException {
    if (!Files.exists(folder)) {
      return;
    }
    List<Path> deepestFirst;
    try (Stream<Path> paths = Files.walk(folder)) {
      deepestFirst = paths.sorted(Comparator.reverseOrder()).toList();
    }
    for (Path path : deepestFirst) {
      Files.delete(path);
    }
  }

  /// Finds the folder, or the one that a writer left behind that died between its renames, and
  /// checks every file against its sum.
  ///
  /// @param required files that must be there
  /// @return where the files are
  /// @throws CheckpointException if there is none, or one of its files is missing or damaged; the
  ///   sentence names the file
  public static Path verify(Path folder, List<String> required) {
    Path target = folder.toAbsolutePath().normalize();
    Path found = Files.isDirectory(target) ? target : sibling(target, ".previous");
    if (!Files.isDirectory(found)) {
      throw new CheckpointException(
          folder.toString(), "there is no checkpoint: path=" + folder, null);
    }
    Map<String, String> sums = sums(found.resolve(SUMS));
    for (String name : required) {
      if (!sums.containsKey(name)) {
        throw damaged(found.resolve(SUMS), "it does not list " + name, null);
      }
    }
    sums.forEach((name, sum) -> check(found.resolve(name), sum));
    return found;
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
      throw damaged(file, cause(e), e);
    }
  }

  private static void check(Path file, String wanted) {
    try {
      String found = Sha256.of(file);
      if (!found.equals(wanted)) {
        throw damaged(file, "sha256 is " + found + ", not " + wanted, null);
      }
    } catch (IOException e) {
      throw damaged(file, cause(e), e);
    }
  }

  private static CheckpointException damaged(Path file, String cause, @Nullable Throwable thrown) {
    return new CheckpointException(
        file.toString(), "checkpoint is damaged: file=" + file + ", cause=" + cause, thrown);
  }

  private static String cause(IOException e) {
    return switch (e) {
      case NoSuchFileException _ -> "the file is missing";
      default -> e.getClass().getSimpleName() + ": " + e.getMessage();
    };
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
