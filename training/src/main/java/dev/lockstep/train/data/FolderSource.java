package dev.lockstep.train.data;

import dev.lockstep.cache.Digests;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;

/// The files below a folder, which a link may lead to. Hidden files and folders are left out, links
/// in it are not followed.
final class FolderSource implements TextSource {
  private final Path folder;
  private final String suffix;

  FolderSource(Path folder, String suffix) {
    this.folder = folder;
    this.suffix = suffix;
  }

  @Override
  public List<Entry> entries() throws IOException {
    return list().stream().map(Found::entry).toList();
  }

  @Override
  public InputStream open(Entry entry) throws IOException {
    return Files.newInputStream(folder.resolve(entry.name()));
  }

  @Override
  public String fingerprint() throws IOException {
    MessageDigest digest = Digests.sha256();
    for (Found found : list()) {
      String line =
          found.entry.name() + " " + found.entry.bytes() + " " + found.modifiedMillis + "\n";
      digest.update(line.getBytes(StandardCharsets.UTF_8));
    }
    return HexFormat.of().formatHex(digest.digest());
  }

  @Override
  public void close() {}

  private record Found(Entry entry, long modifiedMillis) {}

  private List<Found> list() throws IOException {
    List<Found> found = new ArrayList<>();
    try {
      Path root = folder.toRealPath(); // a walk does not follow the link that it starts from
      Files.walkFileTree(root, new Collector(root, found));
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
    found.sort(Comparator.comparing(file -> file.entry.name()));
    return found;
  }

  private final class Collector extends SimpleFileVisitor<Path> {
    private final Path root;
    private final List<Found> found;

    Collector(Path root, List<Found> found) {
      this.root = root;
      this.found = found;
    }

    @Override
    public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes) {
      return !directory.equals(root) && isHidden(directory)
          ? FileVisitResult.SKIP_SUBTREE
          : FileVisitResult.CONTINUE;
    }

    @Override
    public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
      String name = root.relativize(file).toString();
      if (attributes.isRegularFile() && !isHidden(file) && name.endsWith(suffix)) {
        found.add(
            new Found(
                new Entry(name, attributes.size()), attributes.lastModifiedTime().toMillis()));
      }
      return FileVisitResult.CONTINUE;
    }

    private static boolean isHidden(Path path) {
      return path.getFileName().toString().startsWith(".");
    }
  }
}
