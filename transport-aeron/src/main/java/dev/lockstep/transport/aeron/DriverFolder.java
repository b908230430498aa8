package dev.lockstep.transport.aeron;

import dev.lockstep.failure.TransportException;
import io.aeron.driver.MediaDriver;
import io.aeron.driver.ThreadingMode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.agrona.concurrent.BackoffIdleStrategy;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The job's Aeron folder on this host and the one media driver that serves it, embedded in the
/// host's leading rank.
final class DriverFolder {
  private static final Logger LOG = LoggerFactory.getLogger(DriverFolder.class);

  /// What a log takes beside its three terms: metadata, rounded up generously.
  private static final long LOG_META_BYTES = 64 << 10;

  /// The driver's own files: command ring, counters, loss report.
  private static final long DRIVER_BYTES = 16 << 20;

  /// Busy-wait 100 times, yield 100 times, then park 1 µs … 100 µs: two ranks on two cores leave no
  /// core to the driver.
  private static BackoffIdleStrategy idle() {
    return new BackoffIdleStrategy(
        100, 100, TimeUnit.MICROSECONDS.toNanos(1), TimeUnit.MICROSECONDS.toNanos(100));
  }

  private DriverFolder() {}

  static Path in(Path jobFolder) {
    return jobFolder.resolve("aeron");
  }

  static MediaDriver launch(Path jobFolder, Medium medium) {
    Path folder = in(jobFolder);
    requireRoom(jobFolder, DRIVER_BYTES, "media driver");
    int receiveBytes = SocketLimits.receiveBytes();
    try {
      return MediaDriver.launch(
          new MediaDriver.Context()
              .aeronDirectoryName(folder.toString())
              .dirDeleteOnStart(true)
              .dirDeleteOnShutdown(true)
              .warnIfDirectoryExists(false)
              .threadingMode(ThreadingMode.SHARED)
              .sharedIdleStrategy(idle())
              .termBufferSparseFile(false)
              .performStorageChecks(true)
              .ipcTermBufferLength(Medium.TERM_BYTES)
              .publicationTermBufferLength(Medium.TERM_BYTES)
              .ipcMtuLength(medium.isUdp() ? Medium.ipc().mtuBytes() : medium.mtuBytes())
              .mtuLength(medium.isUdp() ? medium.mtuBytes() : 1_408)
              .socketRcvbufLength(receiveBytes)
              .socketSndbufLength(SocketLimits.sendBytes())
              .initialWindowLength(Math.min(receiveBytes, Medium.TERM_BYTES / 2))
              .publicationLingerTimeoutNs(TimeUnit.MILLISECONDS.toNanos(200))
              .errorHandler(error -> LOG.debug("media driver", error)));
    } catch (RuntimeException e) {
      throw new TransportException(
          folder.toString(),
          "media driver cannot start: directory=" + folder + ", cause=" + e.getMessage(),
          e);
    }
  }

  /// Refuses when the folder's file system has too little room for one more link, before a log is
  /// half-made.
  static void requireRoomForLink(Path folder, Medium medium) {
    requireRoom(
        folder, medium.logsPerLink() * (3L * Medium.TERM_BYTES + LOG_META_BYTES), "a link's log");
  }

  private static void requireRoom(Path folder, long bytes, String what) {
    try {
      long free = Files.getFileStore(folder).getUsableSpace();
      if (free < bytes) {
        throw new TransportException(
            folder.toString(),
            "too little room for %s: directory=%s, neededBytes=%d, freeBytes=%d (enlarge /dev/shm, or use --transport shm)"
                .formatted(what, folder, bytes, free),
            null);
      }
    } catch (IOException e) {
      throw new TransportException(
          folder.toString(), "job folder cannot be read: directory=" + folder, e);
    }
  }
}
