package dev.lockstep.device.neuron.compiler;

import dev.lockstep.cache.Digests;
import dev.lockstep.cache.MakersLock;
import dev.lockstep.cache.WholeFile;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Optional;
import java.util.function.Consumer;

/// Compiled modules on disk, by what they were made of, each with its digest in a file beside it. A
/// file comes in whole, by renaming, after its digest; whoever makes one holds its lock, so that of
/// the ranks of a host one compiles and the others wait. A lock goes with its process.
final class NeffCache {
  private final Path folder;

  NeffCache(Path folder) {
    this.folder = folder;
  }

  /// Returns what is known by `key`; what is not the file that was kept, bit for bit, is as if it
  /// were not there.
  Optional<Neff> find(String key) throws IOException {
    if (!Files.exists(file(key)) || !Files.exists(digest(key))) {
      return Optional.empty();
    }
    byte[] bytes = Files.readAllBytes(file(key));
    if (!Arrays.equals(digestOf(bytes), Files.readAllBytes(digest(key)))) {
      return Optional.empty();
    }
    try {
      return Optional.of(Neff.parse(bytes));
    } catch (IllegalArgumentException damaged) {
      return Optional.empty();
    }
  }

  private Path digest(String key) {
    return folder.resolve(key + ".neff.sha256");
  }

  /// What the digest's file has: 64 hexadecimal digits and the line's end.
  private static byte[] digestOf(byte[] bytes) {
    String hex = HexFormat.of().formatHex(Digests.sha256().digest(bytes));
    return (hex + '\n').getBytes(StandardCharsets.US_ASCII);
  }

  private Path file(String key) {
    return folder.resolve(key + ".neff");
  }

  /// Returns where the log of a failed compilation is kept.
  Path log(String key) {
    return folder.resolve(key + ".log");
  }

  /// Keeps a file that was written elsewhere in the folder.
  void keep(String key, Path written) throws IOException {
    WholeFile.write(digest(key), digestOf(Files.readAllBytes(written)));
    Files.move(
        written, file(key), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }

  /// Makes a folder of one's own beside the files.
  Path newWorkFolder(String key) throws IOException {
    Files.createDirectories(folder);
    return Files.createTempDirectory(folder, key.substring(0, 16) + "-");
  }

  /// Waits until nobody else makes what is known by `key`.
  ///
  /// @param waiting hears of it when that takes long
  /// @return to be closed when it is made
  /// @throws InterruptedIOException if the thread is interrupted, which it then still is
  MakersLock lock(String key, Consumer<Duration> waiting) throws IOException {
    Files.createDirectories(folder);
    return MakersLock.acquire(
        folder.resolve(key + ".lock"),
        waited -> {
          if (waited.toSeconds() > 0) {
            waiting.accept(waited);
          }
        });
  }
}
