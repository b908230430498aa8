package dev.lockstep.examples.language;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.Printable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// Keeps a live run's output folder from other runs, on all hosts that lock files of its file
/// system together. The lock of a process that is killed is free at once; its file stays, for a
/// file that is deleted can be locked by who had opened it before.
final class RunLock implements AutoCloseable {
  private static final String NAME = ".lock";
  private static final int MOST_HOLDER_BYTES = 1024;

  /// Longer than others take to look.
  private static final long LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(500);

  private static final long PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(10);

  /// Folders whose lock this process has. Closing any channel of a file frees what the process has
  /// locked of it, so the file of one of these is not opened again.
  private static final Set<Path> OWN = new HashSet<>();

  private final Path folder;
  private @Nullable FileChannel channel;

  private RunLock(Path folder, @Nullable FileChannel channel) {
    this.folder = folder;
    this.channel = channel;
  }

  /// Takes the lock of a folder; the caller closes it after the run.
  ///
  /// @param folder a folder that is there
  /// @param holder says whose it is then, to those who find it taken
  /// @param warning hears that the file system locks nothing: the run goes on without a lock
  /// @throws ConfigurationException that names `--out` if another run has it
  static RunLock take(Path folder, String holder, Consumer<String> warning) {
    synchronized (OWN) {
      Path own = real(folder);
      if (OWN.contains(own)) {
        throw taken(folder, "this process");
      }
      RunLock lock = new RunLock(own, lock(folder, holder, warning));
      if (lock.channel != null) {
        OWN.add(own);
      }
      return lock;
    }
  }

  /// Checks that no other process has the lock of a folder; changes nothing. Where that cannot be
  /// told, and for this process's own, it says nothing.
  ///
  /// @throws ConfigurationException that names `--out` and the other run
  static void requireFree(Path folder) {
    synchronized (OWN) {
      if (OWN.contains(real(folder))) {
        return;
      }
      try (FileChannel channel = FileChannel.open(folder.resolve(NAME), StandardOpenOption.READ)) {
        // Shared: other ranks look too.
        if (channel.tryLock(0, Long.MAX_VALUE, true) == null) {
          throw taken(folder, read(channel));
        }
      } catch (IOException unknown) {
        // No lock yet, or none that this user may try: the run finds out when it takes it.
      }
    }
  }

  private static Path real(Path folder) {
    try {
      return folder.toRealPath();
    } catch (IOException absent) {
      return folder.toAbsolutePath().normalize();
    }
  }

  private static @Nullable FileChannel lock(Path folder, String holder, Consumer<String> warning) {
    FileChannel channel = null;
    try {
      channel = open(folder.resolve(NAME));
      if (!hasLocked(channel)) {
        ConfigurationException taken = taken(folder, read(channel));
        channel.close();
        throw taken;
      }
    } catch (IOException e) {
      closeQuietly(channel);
      warning.accept(
          "the output folder cannot be locked: folder=%s, cause=%s (see to it that no other run writes to it)"
              .formatted(folder, Printable.line(String.valueOf(e.getMessage()))));
      return null;
    }
    name(channel, holder);
    return channel;
  }

  /// Tries for a moment: a rank that looks whether the folder is free has its file for as long.
  @SuppressWarnings("MustBeClosedChecker") // the channel's end is the lock's
  private static boolean hasLocked(FileChannel channel) throws IOException {
    long start = System.nanoTime();
    while (channel.tryLock() == null) {
      if (System.nanoTime() - start > LOOK_NANOS) {
        return false;
      }
      LockSupport.parkNanos(PAUSE_NANOS);
    }
    return true;
  }

  @SuppressWarnings("MustBeClosedChecker") // the lock owns the channel
  private static FileChannel open(Path file) throws IOException {
    return FileChannel.open(
        file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
  }

  private static ConfigurationException taken(Path folder, String holder) {
    return new ConfigurationException(
        "--out",
        folder.toString(),
        "another run writes to the output folder: folder=%s, by=%s (wait for its end, or give another folder with --out)"
            .formatted(folder, holder));
  }

  private static String read(FileChannel channel) throws IOException {
    ByteBuffer bytes = ByteBuffer.allocate(MOST_HOLDER_BYTES);
    var _ = channel.read(bytes, 0);
    String text = new String(bytes.array(), 0, bytes.position(), StandardCharsets.UTF_8);
    return text.isBlank() ? "unknown" : Printable.line(text.strip());
  }

  private static void name(FileChannel channel, String holder) {
    try {
      channel.truncate(0);
      var _ = channel.write(ByteBuffer.wrap((holder + "\n").getBytes(StandardCharsets.UTF_8)), 0);
    } catch (IOException full) {
      // The lock holds without a name.
    }
  }

  private static void closeQuietly(@Nullable FileChannel channel) {
    if (channel != null) {
      try {
        channel.close();
      } catch (IOException ignored) {
        // Nothing was written.
      }
    }
  }

  /// Lets other runs in; idempotent.
  @Override
  public void close() {
    synchronized (OWN) {
      if (channel != null) {
        closeQuietly(channel);
        channel = null;
        OWN.remove(folder);
      }
    }
  }
}
