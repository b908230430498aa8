package dev.lockstep.train.data;

import dev.lockstep.failure.ConfigurationException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/// Where text comes from: a folder, a zip or one file, read in place.
interface TextSource extends AutoCloseable {
  /// One file of the source.
  ///
  /// @param name path within the source, `/` between folders; the order of files and the held-out
  ///   part follow from it
  /// @param bytes size, or -1 if unknown
  record Entry(String name, long bytes) {}

  /// Returns the files in ascending order of their names.
  List<Entry> entries() throws IOException;

  /// Opens a file; the caller closes it.
  InputStream open(Entry entry) throws IOException;

  /// Returns a text that changes when the source does, without reading file contents.
  String fingerprint() throws IOException;

  @Override
  void close() throws IOException;

  /// Opens what `path` names.
  ///
  /// @param suffix only files with this ending count; empty for all
  /// @throws ConfigurationException if there is no such file or folder, naming `--data`
  static TextSource open(Path path, String suffix) throws IOException {
    if (!Files.exists(path)) {
      throw new ConfigurationException(
          "--data", path.toString(), "no such file or folder: --data=" + path);
    }
    if (!Files.isReadable(path)) {
      throw new ConfigurationException(
          "--data", path.toString(), "cannot be read: --data=" + path + " (check its permissions)");
    }
    if (Files.isDirectory(path)) {
      return new FolderSource(path, suffix);
    }
    String name = path.getFileName().toString().toLowerCase(Locale.ROOT);
    if (name.endsWith(".zip") || name.endsWith(".jar")) {
      return new ZipSource(path, suffix);
    }
    return new FileSource(path);
  }
}
