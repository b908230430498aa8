package dev.lockstep.device.neuron.compiler;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// Compiled modules on disk, by what they were made of. A file comes in whole, by renaming; whoever
/// makes one holds its lock, so that of the ranks of a host one compiles and the others wait. A
/// lock goes with its process.
final class NeffCache {
  private static final Duration PAUSE = Duration.ofMillis(50);
  private static final Duration SAYS_SO = Duration.ofSeconds(10);

  private final Path folder;

  NeffCache(Path folder) {
    this.folder = folder;
  }

  /// Returns what is known by `key`; what is no NEFF any more is as if it were not there.
  Optional<Neff> find(String key) throws IOException {
    Path file = file(key);
    if (!Files.exists(file)) {
      return Optional.empty();
    }
    try {
      return Optional.of(Neff.parse(Files.readAllBytes(file)));
    } catch (IllegalArgumentException damaged) {
      return Optional.empty();
    }
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
  /// @throws InterruptedIOException if the thread is interrupted, which it then is no more
  Held lock(String key, Consumer<Duration> waiting) throws IOException {
    Files.createDirectories(folder);
    Path file = folder.resolve(key + ".lock");
    FileChannel channel =
        FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
    long start = System.nanoTime();
    long said = start;
    FileLock lock = tryLock(channel);
    while (lock == null) {
      LockSupport.parkNanos(PAUSE.toNanos());
      if (Thread.interrupted()) {
        channel.close();
        throw new InterruptedIOException("interrupted while another process compiles: " + file);
      }
      if (System.nanoTime() - said > SAYS_SO.toNanos()) {
        said = System.nanoTime();
        waiting.accept(Duration.ofNanos(said - start));
      }
      lock = tryLock(channel);
    }
    return new Held(channel);
  }

  /// Another thread of this JVM that holds the lock is as good as another process.
  private static @Nullable FileLock tryLock(FileChannel channel) throws IOException {
    try {
      return channel.tryLock();
    } catch (OverlappingFileLockException ofThisProcess) {
      return null;
    }
  }

  /// A lock; closing gives it back.
  record Held(FileChannel channel) implements AutoCloseable {
    @Override
    public void close() throws IOException {
      channel.close();
    }
  }
}
