package dev.lockstep.train.data;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/// One text file.
final class FileSource implements TextSource {
  private final Path path;

  FileSource(Path path) {
    this.path = path;
  }

  @Override
  public List<Entry> entries() throws IOException {
    return List.of(new Entry(path.getFileName().toString(), Files.size(path)));
  }

  @Override
  public InputStream open(Entry entry) throws IOException {
    return Files.newInputStream(path);
  }

  @Override
  public String fingerprint() throws IOException {
    return Files.size(path) + " " + Files.getLastModifiedTime(path).toMillis();
  }

  @Override
  public void close() {}
}
