package dev.lockstep.train.checkpoint;

import dev.lockstep.failure.CheckpointException;
import dev.lockstep.train.options.FileTrouble;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayDeque;
import java.util.Comparator;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Optional;
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
///
/// Nothing is replaced or deleted that was not written here, and no link is followed to any of it
/// (links to the folder that all this lies in are). A checkpoint is known by its sums, which list
/// [#STATE]; a folder that is being written by its first file, which goes when the sums are there;
/// one that is being deleted by its sums under another name. What others put into a checkpoint
/// stays, in the folder with the old name.
public final class CheckpointFolder {
  /// Name of the file with the sums.
  public static final String SUMS = "SHA256SUMS";

  /// Name of the file that every checkpoint has.
  public static final String STATE = "trainer_state.json";

  /// As many old folders as there were.
  public static final int AS_BEFORE = -1;

  private static final String OLD = ".step-";
  // A writer that replaces the folder faster than it can be read is no writer of checkpoints.
  private static final int MOST_READINGS = 5;

  private CheckpointFolder() {}

  /// What becomes of the folders that a new one succeeds. One of a later step than the new one is
  /// not deleted: it is what a run had come to that goes on from before it.
  ///
  /// @param keep how many old folders stay, besides those of later steps, or [#AS_BEFORE] to delete
  ///   the one that is replaced
  /// @param replaced step of the folder that is there now, if one is
  /// @param step of the new one
  public record Succession(int keep, long replaced, long step) {}

  /// A folder whose files have been checked.
  ///
  /// @param folder where the files are
  /// @param sums SHA-256 of each, by name
  /// @param sha256 hash of the file with the sums: alike where all files are
  public record Verified(Path folder, Map<String, String> sums, String sha256) {
    /// Copies the sums.
    public Verified {
      sums = Map.copyOf(sums);
    }
  }

  /// Returns why no checkpoint may be written here, as a sentence: it would take the place of
  /// something else. Empty if one may.
  public static Optional<String> refusal(Path folder) {
    Path target = absolute(folder);
    Path partial = partial(folder);
    for (Path path : List.of(target, partial)) {
      if (Files.isSymbolicLink(path)) {
        return Optional.of(linkInTheWay(path));
      }
    }
    if (!OwnFiles.isAbsentOr(target, OwnFiles::isCheckpoint)) {
      return Optional.of(inTheWay(target));
    }
    return OwnFiles.isAbsentOr(
            partial, path -> OwnFiles.isUnfinished(path) || OwnFiles.isCheckpoint(path))
        ? Optional.empty()
        : Optional.of(inTheWay(partial));
  }

  private static String inTheWay(Path path) {
    return "a checkpoint would take the place of something else: path=%s (give a folder that is not there yet, or move away what is)"
        .formatted(path);
  }

  /// What a link leads to is not ours to delete, and the link itself cannot be replaced as one.
  private static String linkInTheWay(Path path) {
    return "a checkpoint would take the place of a symbolic link: path=%s (name the folder that it leads to, or remove the link)"
        .formatted(path);
  }

  private static void requireNothingInTheWay(Path folder) {
    refusal(folder)
        .ifPresent(
            sentence -> {
              throw new CheckpointException(folder.toString(), sentence, null);
            });
  }

  /// Makes the folder that the new files are written to, with nothing in it but who writes.
  ///
  /// @param writer words that tell this writing from others
  /// @return that folder
  /// @throws CheckpointException if it cannot be made, or something else is in the way
  public static Path begin(CheckpointFiles disk, Path folder, String writer) {
    requireNothingInTheWay(folder);
    Path partial = partial(folder);
    try {
      OwnFiles.deleteUnfinished(disk, partial);
      disk.createDirectories(partial);
      write(disk, partial.resolve(OwnFiles.WRITER), writer);
      return partial;
    } catch (IOException e) {
      throw unwritten(folder, e);
    }
  }

  /// Returns the folder that new files are written to.
  public static Path partial(Path folder) {
    return sibling(absolute(folder), ".partial");
  }

  /// Returns whether a folder is there that [#begin] made for this writing.
  ///
  /// @throws IOException if it cannot be read
  public static boolean isWrittenBy(Path partial, String writer) throws IOException {
    Path file = partial.resolve(OwnFiles.WRITER);
    return Files.exists(file) && Files.readString(file).equals(writer);
  }

  /// Puts the files of [#partial] in the place of the folder's.
  ///
  /// @param names the files, whole and forced to disk; what else lies there is deleted
  /// @param writer as [#begin] had it
  /// @param succession what becomes of the old ones
  /// @throws CheckpointException if it cannot be done, or [#partial] is another writing's by now;
  ///   the old folder is still there then
  public static void commit(
      CheckpointFiles disk, Path folder, String writer, List<String> names, Succession succession) {
    requireNothingInTheWay(folder);
    Path target = absolute(folder);
    Path partial = partial(folder);
    try {
      requireWrittenBy(partial, writer);
      for (Path file : OwnFiles.files(partial)) {
        String name = file.getFileName().toString();
        if (!names.contains(name) && !name.equals(OwnFiles.WRITER)) {
          disk.delete(file);
        }
      }
      TreeMap<String, String> sums = new TreeMap<>();
      for (String name : names) {
        sums.put(name, Sha256.of(partial.resolve(name)));
      }
      StringBuilder text = new StringBuilder();
      sums.forEach((name, sum) -> text.append(sum).append("  ").append(name).append('\n'));
      requireWrittenBy(partial, writer); // sums of much take long
      write(disk, partial.resolve(SUMS), text.toString());
      disk.delete(partial.resolve(OwnFiles.WRITER));
      disk.forceDirectory(partial);
      Optional<Path> replaced = makeRoom(disk, target, succession.replaced);
      disk.move(partial, target);
      disk.forceDirectory(target.resolveSibling("."));
      for (Path gone : surplus(target, succession, replaced)) {
        OwnFiles.deleteCheckpoint(disk, gone);
      }
    } catch (IOException e) {
      throw unwritten(folder, e);
    }
  }

  private static void requireWrittenBy(Path partial, String writer) throws IOException {
    if (!isWrittenBy(partial, writer)) {
      Path file = partial.resolve(OwnFiles.WRITER);
      throw new FileSystemException(
          partial.toString(),
          null,
          "another writer has taken its place: writer=%s, now=%s (give each run a folder of its own)"
              .formatted(writer, Files.exists(file) ? Files.readString(file) : "nobody"));
    }
  }

  private static List<Path> surplus(Path target, Succession succession, Optional<Path> replaced)
      throws IOException {
    List<Path> old = old(target);
    String prefix = target.getFileName() + OLD;
    List<Path> whole = old.stream().filter(path -> !OwnFiles.isGoing(path)).toList();
    List<Path> succeeded =
        leftFirst(whole, prefix).stream()
            .filter(path -> number(path, prefix) <= succession.step)
            .toList();
    List<Path> goes =
        succession.keep == AS_BEFORE
            ? succeeded.stream().filter(path -> replaced.filter(path::equals).isPresent()).toList()
            : succeeded.subList(0, Math.max(0, succeeded.size() - succession.keep));
    return Stream.concat(goes.stream(), old.stream().filter(OwnFiles::isGoing)).distinct().toList();
  }

  /// Sorts those to the front that the run has left: it has gone on from before them since they
  /// were written.
  private static List<Path> leftFirst(List<Path> old, String prefix) {
    Deque<Path> ofTheRun = new ArrayDeque<>();
    Deque<Path> left = new ArrayDeque<>();
    long next = Long.MAX_VALUE;
    for (Path path : old.reversed()) {
      long step = number(path, prefix);
      (step < next ? ofTheRun : left).addFirst(path);
      next = Math.min(next, step);
    }
    left.addAll(ofTheRun);
    return List.copyOf(left);
  }

  /// Gives the folder that is there its old name; returns that, unless an old one had it before.
  private static Optional<Path> makeRoom(CheckpointFiles disk, Path target, long oldNumber)
      throws IOException {
    if (!Files.exists(target)) {
      return Optional.empty();
    }
    if (OwnFiles.isEmpty(target)) {
      disk.delete(target);
      return Optional.empty();
    }
    Path old = sibling(target, OLD + oldNumber);
    boolean wasThere = isThere(old);
    if (OwnFiles.isEmptyOrCheckpoint(old)) {
      OwnFiles.deleteCheckpoint(disk, old);
    }
    if (isThere(old)) {
      throw new FileSystemException(old.toString(), null, inTheWay(old));
    }
    disk.move(target, old);
    return wasThere ? Optional.empty() : Optional.of(old);
  }

  private static boolean isThere(Path path) {
    return Files.exists(path, LinkOption.NOFOLLOW_LINKS);
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
          .filter(path -> number(path, prefix) >= 0 && OwnFiles.isEmptyOrCheckpoint(path))
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

  /// Returns whether there is a folder, or an old one of it.
  public static boolean exists(Path folder) {
    try {
      return Files.isDirectory(folder) || !old(folder).isEmpty();
    } catch (IOException unreadable) {
      return false;
    }
  }

  /// Finds the folder, or the newest old one where a writer died between its renames, and checks
  /// every file against its sum. Reads once more what was replaced meanwhile.
  ///
  /// @param required files that must be there
  /// @throws CheckpointException if there is none, or one of its files is missing or damaged; the
  ///   sentence names the file
  public static Verified verify(Path folder, List<String> required) {
    for (int reading = 1; ; reading++) {
      Path found = find(folder);
      Path file = found.resolve(SUMS);
      String list = "";
      try {
        list = read(file);
        Map<String, String> sums = OwnFiles.sums(file, list);
        for (String name : required) {
          if (!sums.containsKey(name)) {
            throw damaged(file, "it does not list " + name, null);
          }
        }
        sums.forEach((name, sum) -> check(found.resolve(name), sum));
        return new Verified(found, sums, Sha256.of(list));
      } catch (CheckpointException e) {
        if (reading == MOST_READINGS || list.equals(readIfThere(file))) {
          throw e;
        }
      }
    }
  }

  private static String readIfThere(Path file) {
    try {
      return read(file);
    } catch (CheckpointException moved) {
      return "";
    }
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

  static CheckpointException damaged(Path file, String cause, @Nullable Throwable thrown) {
    return new CheckpointException(
        file.toString(), "checkpoint is damaged: file=" + file + ", cause=" + cause, thrown);
  }

  /// Returns the text of a file of a checkpoint.
  ///
  /// @throws CheckpointException if it cannot be read
  public static String read(Path file) {
    try {
      return Files.readString(file);
    } catch (IOException e) {
      throw damaged(file, FileTrouble.words(e), e);
    }
  }
}
