package dev.lockstep.examples.language;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.SavedRun;
import dev.lockstep.train.checkpoint.CheckpointFolder;
import dev.lockstep.train.metrics.LossCurve;
import dev.lockstep.train.metrics.MetricsLog;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.Locale;
import java.util.Objects;
import java.util.Optional;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// The output folder of a run: `recipe.json`, `metrics.jsonl`, `loss.svg` and `checkpoint/`.
///
/// @param path the folder
/// @param isFresh whether the name was made up: if another run takes it first, a number is appended
record RunFolder(Path path, boolean isFresh) {
  private static final String CHECKPOINT = "checkpoint";
  private static final Pattern OWN = Pattern.compile(CHECKPOINT + "(\\.step-[0-9]+)?");
  private static final DateTimeFormatter TIME =
      DateTimeFormatter.ofPattern("uuuuMMdd-HHmmss", Locale.ROOT);

  /// Makes the folder of a name that was given.
  RunFolder(Path path) {
    this(path, false);
  }

  /// Returns a folder named by what is trained and the time; [#prepare] makes it this run's own.
  ///
  /// @param model what is trained
  static RunFolder fresh(String model) {
    String time = TIME.format(LocalDateTime.now(ZoneId.systemDefault()));
    return new RunFolder(Path.of("runs", model + "-" + time), true);
  }

  /// Returns the folder of the run that wrote a checkpoint, if it still lies there under one of the
  /// names that runs give: a copy of another name may lie beside another run's.
  static Optional<RunFolder> of(SavedRun saved) {
    Path folder = saved.folder().toAbsolutePath().normalize();
    Path run = folder.getParent();
    boolean isInRun = OWN.matcher(folder.getFileName().toString()).matches();
    return run != null && isInRun ? Optional.of(new RunFolder(run)) : Optional.empty();
  }

  /// Checks that the folder can be made or written and holds no other run; changes nothing.
  ///
  /// @param resumed the run that is continued; the folder may hold that one and no other
  /// @throws ConfigurationException that names `--out` otherwise
  void check(Optional<RunFolder> resumed) {
    requireFree();
    requireNoOtherRun(resumed);
    Path existing = absolute(path);
    while (!Files.exists(existing) && existing.getParent() != null) {
      existing = existing.getParent();
    }
    if (!Files.isDirectory(existing)) {
      throw refusal(
          "the output folder cannot be made, a file is in its way: --out %s, file=%s"
              .formatted(path, existing),
          null);
    }
    if (!Files.isWritable(existing)) {
      throw refusal(
          "the output folder cannot be written: --out %s, folder=%s (check its permissions)"
              .formatted(path, existing),
          null);
    }
  }

  /// Makes the folder, if it is not there, and makes sure that it can be written. To be called by
  /// one rank.
  ///
  /// @param resumed the run that is continued; the folder may hold that one and no other
  /// @return the folder of this run
  /// @throws ConfigurationException that names `--out` otherwise
  RunFolder prepare(Optional<RunFolder> resumed) {
    requireFree();
    requireNoOtherRun(resumed);
    try {
      Path made = isFresh ? claim() : Files.createDirectories(path);
      Files.delete(Files.createTempFile(made, ".writable", null));
      return new RunFolder(made);
    } catch (IOException e) {
      throw refusal(
          "the output folder cannot be written: --out %s, cause=%s: %s"
              .formatted(path, e.getClass().getSimpleName(), e.getMessage()),
          e);
    }
  }

  /// Makes a folder that nobody has: runs that start in the same second have the same name.
  private Path claim() throws IOException {
    Path parent = absolute(path).getParent();
    if (parent != null) {
      Files.createDirectories(parent);
    }
    for (int run = 1; ; run++) {
      try {
        String name = path.getFileName() + (run == 1 ? "" : "-" + run);
        return Files.createDirectory(path.resolveSibling(name));
      } catch (FileAlreadyExistsException _) {
        // The other run's.
      }
    }
  }

  private void requireNoOtherRun(Optional<RunFolder> resumed) {
    boolean continues =
        resumed.filter(run -> absolute(run.path).equals(absolute(path))).isPresent();
    if (!isFresh && !continues && (Files.exists(metrics()) || Files.exists(checkpoint()))) {
      throw refusal(
          "the output folder holds another run: --out %s (give another folder, or %s)"
              .formatted(
                  path,
                  CheckpointFolder.exists(checkpoint())
                      ? "continue that run with --resume " + path
                      : "remove this one: its run ended before its first checkpoint"),
          null);
    }
  }

  /// Checks that no other process's run writes to the folder.
  ///
  /// @throws ConfigurationException that names `--out` and that run
  void requireFree() {
    if (!isFresh) {
      RunLock.requireFree(path);
    }
  }

  /// Returns whether a run began here and left no checkpoint.
  boolean endedBeforeItsFirstCheckpoint() {
    return Files.exists(metrics()) && !CheckpointFolder.exists(checkpoint());
  }

  private ConfigurationException refusal(String sentence, @Nullable Throwable cause) {
    return new ConfigurationException("--out", path.toString(), sentence, cause);
  }

  private static Path absolute(Path path) {
    return path.toAbsolutePath().normalize();
  }

  /// Writes what fixes the run's numbers, for `--recipe`.
  ///
  /// @throws ConfigurationException that names `--out` and the file, if it cannot be written
  void writeRecipe(Recipe recipe) {
    Path file = path.resolve("recipe.json");
    try {
      recipe.write(file);
    } catch (IOException e) {
      throw unwritten(file, e);
    }
  }

  private ConfigurationException unwritten(Path file, Throwable e) {
    return refusal(
        "a file of the output folder cannot be written: --out %s, file=%s, cause=%s: %s"
            .formatted(path, file, e.getClass().getSimpleName(), e.getMessage()),
        e);
  }

  /// Returns the file with the measurements.
  Path metrics() {
    return path.resolve("metrics.jsonl");
  }

  /// Returns the checkpoint's folder.
  Path checkpoint() {
    return path.resolve(CHECKPOINT);
  }

  /// Returns the picture of the loss.
  Path picture() {
    return path.resolve("loss.svg");
  }

  /// Starts the measurements, or continues those of the resumed run. Where the run has a checkpoint
  /// of a later step than it goes on from, which is kept, so are its measurements.
  ///
  /// @throws ConfigurationException that names `--out` and the file, if that cannot be done
  MetricsLog openMetrics(Optional<RunFolder> resumed, long step) {
    try {
      boolean goesBack = lastStep() > step;
      return resumed
          .map(run -> MetricsLog.resume(metrics(), run.metrics(), step, goesBack))
          .orElseGet(() -> MetricsLog.create(metrics()));
    } catch (UncheckedIOException e) {
      throw unwritten(metrics(), Objects.requireNonNullElse(e.getCause(), e));
    }
  }

  /// Returns the step of the latest checkpoint of the run; where none has the name of the latest, a
  /// save was cut short, or somebody moved it.
  private long lastStep() throws UncheckedIOException {
    long last = SavedRun.stepOf(checkpoint());
    try {
      for (Path old : CheckpointFolder.old(checkpoint())) {
        last = Math.max(last, SavedRun.stepOf(old));
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return last;
  }

  /// Draws the loss.
  void draw(LossCurve curve) {
    try {
      curve.write(picture());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
