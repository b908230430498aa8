package dev.lockstep.train.data;

import dev.lockstep.failure.ConfigurationException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;

/// The files inside a zip, read in place: nothing is unpacked to disk.
final class ZipSource implements TextSource {
  private final Path path;
  private final String suffix;
  private final ZipFile zip;

  ZipSource(Path path, String suffix) throws IOException {
    this.path = path;
    this.suffix = suffix;
    try {
      this.zip = new ZipFile(path.toFile());
    } catch (ZipException e) {
      throw new ConfigurationException(
          "--data",
          path.toString(),
          "not a readable zip: --data=" + path + ", cause=" + e.getMessage(),
          e);
    }
  }

  @Override
  public List<Entry> entries() {
    return zip.stream()
        .filter(entry -> !entry.isDirectory() && entry.getName().endsWith(suffix))
        .map(entry -> new Entry(entry.getName(), entry.getSize()))
        .sorted(Comparator.comparing(Entry::name))
        .toList();
  }

  @Override
  public InputStream open(Entry entry) throws IOException {
    return zip.getInputStream(zip.getEntry(entry.name()));
  }

  @Override
  public String fingerprint() throws IOException {
    return Files.size(path) + " " + Files.getLastModifiedTime(path).toMillis();
  }

  @Override
  public void close() throws IOException {
    zip.close();
  }
}
