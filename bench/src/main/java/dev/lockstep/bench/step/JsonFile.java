package dev.lockstep.bench.step;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.lockstep.failure.ConfigurationException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/// The file that `--json` names.
public final class JsonFile {
  private JsonFile() {}

  /// Checks that the file can be written, before what is to stand there is measured: makes it if it
  /// is not there, and leaves what it holds.
  ///
  /// @throws ConfigurationException that names `--json` otherwise
  public static void requireWritable(Path file) {
    if (Files.exists(file) && !Files.isRegularFile(file) && !Files.isDirectory(file)) {
      return; // who reads a pipe takes its closing for the end
    }
    try (FileChannel _ =
        FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
      // Nothing is to be said yet.
    } catch (IOException e) {
      throw unwritten(file, e);
    }
  }

  /// Writes the results.
  ///
  /// @throws ConfigurationException that names `--json` if that fails
  public static void write(Path file, JsonNode results) {
    try {
      new ObjectMapper().writerWithDefaultPrettyPrinter().writeValue(file.toFile(), results);
    } catch (IOException e) {
      throw unwritten(file, e);
    }
  }

  private static ConfigurationException unwritten(Path file, IOException e) {
    String reason = e instanceof FileSystemException failed ? failed.getReason() : e.getMessage();
    return new ConfigurationException(
        "--json",
        file.toString(),
        "file cannot be written: --json=%s, cause=%s (name a file that this user may write)"
            .formatted(file, reason == null ? "no such folder, or no access" : reason),
        e);
  }
}
