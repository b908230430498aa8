package dev.lockstep.examples.language;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.Printable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// Keeps a live run's output folder from other runs, on all hosts that lock files of its file
/// system together. The lock of a process that is killed is free at once; its file stays, for a
/// file that is deleted can be locked by who had opened it before.
final class RunLock implements AutoCloseable {
  private static final String NAME = ".lock";
  private static final int MOST_HOLDER_BYTES = 1024;

  private final @Nullable FileChannel channel;

  private RunLock(@Nullable FileChannel channel) {
    this.channel = channel;
  }

  /// Takes the lock of a folder; the caller closes it after the run.
  ///
  /// @param folder a folder that is there
  /// @param holder says whose it is then, to those who find it taken
  /// @param warning hears that the file system locks nothing: the run goes on without a lock
  /// @throws ConfigurationException that names `--out` if another run has it
  static RunLock take(Path folder, String holder, Consumer<String> warning) {
    FileChannel channel = null;
    try {
      channel = open(folder.resolve(NAME));
      if (channel.tryLock() == null) {
        ConfigurationException taken = taken(folder, read(channel));
        channel.close();
        throw taken;
      }
    } catch (OverlappingFileLockException ofThisProcess) {
      closeQuietly(channel);
      throw taken(folder, "this process");
    } catch (IOException e) {
      closeQuietly(channel);
      warning.accept(
          "the output folder cannot be locked: folder=%s, cause=%s (see to it that no other run writes to it)"
              .formatted(folder, Printable.line(String.valueOf(e.getMessage()))));
      return new RunLock(null);
    }
    name(channel, holder);
    return new RunLock(channel);
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
    closeQuietly(channel);
  }
}
