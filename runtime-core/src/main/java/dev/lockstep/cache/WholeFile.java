package dev.lockstep.cache;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/// Files that are there whole or not at all, whoever reads meanwhile and whatever ends the writer.
public final class WholeFile {
  private WholeFile() {}

  /// Writes a file, in the place of one that is there already. What it is made of lies in the same
  /// folder until then, and is removed if that fails. Not forced to the disk: after a crash of the
  /// machine the file may be damaged, which its reader must see.
  ///
  /// @param file in a folder; made if it is not there
  public static void write(Path file, byte[] content) throws IOException {
    Path folder = file.toAbsolutePath().getParent();
    Files.createDirectories(folder);
    Path written = Files.createTempFile(folder, file.getFileName().toString(), ".tmp");
    try {
      Files.write(written, content);
      Files.move(written, file, StandardCopyOption.ATOMIC_MOVE);
    } finally {
      Files.deleteIfExists(written);
    }
  }
}
