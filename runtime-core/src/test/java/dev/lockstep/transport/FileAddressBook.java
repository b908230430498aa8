package dev.lockstep.transport;

import dev.lockstep.failure.TransportException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.HexFormat;
import java.util.concurrent.locks.LockSupport;

/// An address book for ranks that are processes: a file for each key.
public final class FileAddressBook implements AddressBook {
  private final Path directory;

  /// Keeps the files in `directory`.
  public FileAddressBook(Path directory) {
    this.directory = directory;
  }

  @Override
  public void publish(String key, byte[] value) {
    try {
      Path unfinished = Files.createTempFile(directory, "value", ".part");
      Files.write(unfinished, value);
      Files.move(unfinished, file(key), StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  @Override
  public byte[] lookup(String key, Duration timeout) {
    long deadline = System.nanoTime() + timeout.toNanos();
    while (!Files.exists(file(key))) {
      if (System.nanoTime() - deadline > 0) {
        throw new TransportException(key, "key does not appear: key=" + key, null);
      }
      LockSupport.parkNanos(100_000);
    }
    try {
      return Files.readAllBytes(file(key));
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  private Path file(String key) {
    byte[] name = key.getBytes(StandardCharsets.UTF_8);
    return directory.resolve(HexFormat.of().formatHex(name));
  }
}
