package dev.lockstep.train;

import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.DType;
import dev.lockstep.train.checkpoint.CheckpointFiles;
import dev.lockstep.train.checkpoint.SafetensorsPlan;
import dev.lockstep.train.checkpoint.SafetensorsPlan.TensorFile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;

/// Brings a rank's elements of a state to their places in the files of a plan. Others write theirs
/// to the same files meanwhile. Single-threaded.
final class TensorFilesWriter {
  private final CheckpointFiles disk;
  private final SafetensorsPlan plan;
  private final Path folder;
  private final Scope files = new Scope();
  private final Map<String, TensorFile> fileOf = new HashMap<>();
  private final Map<String, CheckpointFiles.Output> open = new HashMap<>();

  /// Opens nothing yet.
  TensorFilesWriter(CheckpointFiles disk, SafetensorsPlan plan, Path folder) {
    this.disk = disk;
    this.plan = plan;
    this.folder = folder;
    plan.files().forEach(file -> file.places().keySet().forEach(name -> fileOf.put(name, file)));
  }

  /// Writes elements, forces them to disk and closes the files.
  ///
  /// @param runs which elements these are
  /// @param copy the elements
  /// @param isFirst whether headers are written too
  void write(StateRuns runs, MemorySegment copy, boolean isFirst) throws IOException {
    try (files) {
      if (isFirst) {
        for (TensorFile file : plan.files()) {
          opened(file).writeFully(file.header().duplicate(), 0);
        }
      }
      runs.each(copy, this::write);
      for (CheckpointFiles.Output output : open.values()) {
        output.force();
      }
    } catch (UncheckedIOException e) {
      IOException cause = Objects.requireNonNull(e.getCause());
      for (Throwable later : e.getSuppressed()) {
        cause.addSuppressed(later);
      }
      throw cause;
    }
  }

  private void write(String tensor, long start, MemorySegment elements) {
    TensorFile file = fileOf.get(tensor);
    if (file == null) {
      throw new IllegalStateException("tensor is in no file: tensor=" + tensor);
    }
    try {
      opened(file).writeFully(elements, file.place(tensor) + start * DType.F32.bytes());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private CheckpointFiles.Output opened(TensorFile file) throws IOException {
    CheckpointFiles.Output output = open.get(file.name());
    if (output == null) {
      output = files.own(disk.open(folder.resolve(file.name())), TensorFilesWriter::close);
      open.put(file.name(), output);
    }
    return output;
  }

  private static void close(CheckpointFiles.Output output) {
    try {
      output.close();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
