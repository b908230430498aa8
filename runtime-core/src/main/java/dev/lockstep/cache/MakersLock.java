package dev.lockstep.cache;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// Lets one thread of all the processes of a host make something, while the others wait to find it
/// made. A courtesy that saves work: what is made comes in by [WholeFile], so that two makers would
/// do no harm. The lock of a process that is killed is free at once.
public final class MakersLock implements AutoCloseable {
  private static final long RETRY_NANOS = Duration.ofMillis(20).toNanos();
  private static final long SAYS_SO_NANOS = Duration.ofSeconds(10).toNanos();

  private final FileChannel channel;

  private MakersLock(FileChannel channel) {
    this.channel = channel;
  }

  /// Waits until nobody else holds the lock. The caller closes it when the thing is made.
  ///
  /// @param file made if it is not there, and left; its folder must be there
  /// @param waiting hears how long this has waited: once at the beginning if it must wait at all,
  ///   then every ten seconds
  /// @throws InterruptedIOException if the thread is interrupted, which it then still is
  public static MakersLock acquire(Path file, Consumer<Duration> waiting) throws IOException {
    FileChannel channel =
        FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
    try {
      await(channel, file, waiting);
      return new MakersLock(channel);
    } catch (IOException | RuntimeException failure) {
      channel.close();
      throw failure;
    }
  }

  private static void await(FileChannel channel, Path file, Consumer<Duration> waiting)
      throws IOException {
    long start = System.nanoTime();
    long next = 0;
    while (tryLock(channel) == null) {
      long waited = System.nanoTime() - start;
      if (waited >= next) {
        waiting.accept(Duration.ofNanos(waited));
        next = waited + SAYS_SO_NANOS;
      }
      LockSupport.parkNanos(RETRY_NANOS);
      if (Thread.currentThread().isInterrupted()) {
        throw new InterruptedIOException("interrupted while another holds a lock: file=" + file);
      }
    }
  }

  /// Another thread of this JVM that holds the lock is as good as another process.
  private static @Nullable FileLock tryLock(FileChannel channel) throws IOException {
    try {
      return channel.tryLock();
    } catch (OverlappingFileLockException ofThisProcess) {
      return null;
    }
  }

  /// Lets the next one in; idempotent.
  @Override
  public void close() {
    try {
      channel.close();
    } catch (IOException ignored) {
      // The lock goes with the descriptor whatever close says.
    }
  }
}
