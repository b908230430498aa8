package dev.lockstep.train.data;

import dev.lockstep.train.data.CorpusCache.CacheWriteException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/// Lets one job, or one rank, build a cache at a time. Only a courtesy that saves work: files are
/// replaced atomically, so two builders without the lock would do no harm. A killed holder's lock
/// is free at once.
final class CacheLock implements AutoCloseable {
  private static final long RETRY_NANOS = 20_000_000;

  private final FileChannel channel;

  private CacheLock(FileChannel channel) {
    this.channel = channel;
  }

  static CacheLock acquire(Path path, CorpusListener listener) throws CacheWriteException {
    try {
      FileChannel channel =
          FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
      if (tryLock(channel) == null) {
        listener.waiting();
        while (tryLock(channel) == null) {
          LockSupport.parkNanos(RETRY_NANOS);
        }
      }
      return new CacheLock(channel);
    } catch (IOException e) {
      throw new CacheWriteException(e);
    }
  }

  private static @Nullable FileLock tryLock(FileChannel channel) throws IOException {
    try {
      return channel.tryLock();
    } catch (OverlappingFileLockException heldByAnotherThread) {
      return null;
    }
  }

  @Override
  public void close() {
    try {
      channel.close();
    } catch (IOException ignored) {
      // The lock goes with the descriptor whatever close says.
    }
  }
}
