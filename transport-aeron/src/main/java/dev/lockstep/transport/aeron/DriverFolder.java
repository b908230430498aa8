package dev.lockstep.transport.aeron;

import dev.lockstep.failure.TransportException;
import io.aeron.Aeron;
import io.aeron.driver.MediaDriver;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The folders of a job's media drivers on this host, and how drivers and clients are set up.
final class DriverFolder {
  private static final Logger LOG = LoggerFactory.getLogger(DriverFolder.class);

  /// The driver's own files: command ring, counters, loss report.
  private static final long DRIVER_BYTES = 16 << 20;

  /// What the leader tells if it has no driver.
  static final byte[] NONE = {};

  private DriverFolder() {}

  /// Returns how many transports whose driver is the leader's a rank has opened before this one.
  static int countOpened(Path jobFolder, long job, int rank) {
    int opened = 0;
    while (Files.exists(mark(jobFolder, job, rank, opened))) {
      opened++;
    }
    try {
      Files.createFile(mark(jobFolder, job, rank, opened));
      return opened;
    } catch (IOException e) {
      throw unwritable(jobFolder, e);
    }
  }

  private static Path mark(Path jobFolder, long job, int rank, int number) {
    return jobFolder.resolve("aeron-%016x-%s-%s".formatted(job, rank, number));
  }

  /// Returns a folder as the leader tells it to the others.
  static byte[] name(Path folder) {
    return folder.toString().getBytes(StandardCharsets.UTF_8);
  }

  /// Returns the folder that the leader has told.
  ///
  /// @throws TransportException if it has told that there is no driver
  static Path named(byte[] told) {
    if (told.length == 0) {
      throw new TransportException("local", "the host's media driver did not start", null);
    }
    return Path.of(new String(told, StandardCharsets.UTF_8));
  }

  /// Makes the folder of a rank's driver: a job may have several.
  static Path ofRank(Path jobFolder, int rank) {
    try {
      return Files.createTempDirectory(jobFolder, "aeron-" + rank + "-");
    } catch (IOException e) {
      throw unwritable(jobFolder, e);
    }
  }

  private static TransportException unwritable(Path jobFolder, IOException cause) {
    return new TransportException(
        jobFolder.toString(), "job folder cannot be written: directory=" + jobFolder, cause);
  }

  /// Returns what all drivers have in common.
  static MediaDriver.Context settings(Path folder, Medium medium) {
    return new MediaDriver.Context()
        .aeronDirectoryName(folder.toString())
        .dirDeleteOnStart(true)
        .dirDeleteOnShutdown(true)
        .warnIfDirectoryExists(false)
        .termBufferSparseFile(false)
        .performStorageChecks(true)
        .ipcTermBufferLength(medium.toHost().termBytes())
        .publicationTermBufferLength(medium.toNetwork().termBytes())
        .ipcMtuLength(Medium.ipc().toHost().mtuBytes())
        .socketRcvbufLength(SocketLimits.receiveBytes())
        .socketSndbufLength(SocketLimits.sendBytes())
        .initialWindowLength(medium.windowBytes())
        .publicationLingerTimeoutNs(TimeUnit.MILLISECONDS.toNanos(200))
        .errorHandler(error -> LOG.debug("media driver", error));
  }

  /// Returns what all clients have in common.
  static Aeron.Context client(Path folder) {
    return new Aeron.Context()
        .aeronDirectoryName(folder.toString())
        .preTouchMappedMemory(true)
        .errorHandler(error -> LOG.debug("aeron client", error));
  }

  static MediaDriver launch(Path jobFolder, Path folder, MediaDriver.Context settings) {
    requireRoom(jobFolder, DRIVER_BYTES, "media driver");
    try {
      return MediaDriver.launch(settings);
    } catch (RuntimeException e) {
      throw new TransportException(
          folder.toString(),
          "media driver cannot start: directory=" + folder + ", cause=" + e.getMessage(),
          e);
    }
  }

  /// Refuses when the folder's file system has too little room for one more link, before a log is
  /// half-made.
  static void requireRoomForLink(Path folder, Medium.Way way) {
    requireRoom(folder, way.linkBytes(), "a link's log");
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
