package dev.lockstep.memory;

import dev.lockstep.failure.MemoryBudgetException;
import dev.lockstep.interrupt.Uninterrupted;
import dev.lockstep.memory.ffi.LibC;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.UUID;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// A file that backs memory shared between processes: a memfd whose descriptor stays open, or a
/// file in a directory. All its pages are reserved.
final class SharedFile implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(SharedFile.class);
  private static final int NO_DESCRIPTOR = -1;
  private static final int RESERVE_BLOCK = 1 << 20;
  private static final long CHECKED_FROM = 1 << 20; // below, asking costs more than reserving

  private final Path path;
  private final int descriptor;
  private final long bytes;

  private SharedFile(Path path, int descriptor, long bytes) {
    this.path = path;
    this.descriptor = descriptor;
    this.bytes = bytes;
  }

  /// Returns whether memfds can be made here and opened by other processes.
  static boolean memoryFilesWork() {
    return Trial.WORKED;
  }

  /// One memfd, made and opened: a kernel, or a filter of system calls, may refuse either.
  private static final class Trial {
    static final boolean WORKED = works();

    private static boolean works() {
      if (!LibC.isAvailable()) {
        return false;
      }
      int descriptor = LibC.memfdCreate("lockstep");
      if (descriptor < 0 && isOfTooManyFiles(-descriptor)) {
        return true; // whoever asks for memory next is told so
      }
      if (descriptor < 0) {
        LOG.warn(
            "memory files are refused, files of the job's folder replace them: errno={}",
            -descriptor);
        return false;
      }
      Path path = path(descriptor);
      try (FileChannel _ = Uninterrupted.call(() -> open(path))) {
        return true;
      } catch (IOException failure) {
        LOG.warn("memory files cannot be opened, files of the job's folder replace them", failure);
        return false;
      } finally {
        var _ = LibC.close(descriptor);
      }
    }
  }

  private static Path path(int descriptor) {
    return Path.of("/proc/self/fd/" + descriptor);
  }

  private static FileChannel open(Path path) throws IOException {
    return FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE);
  }

  private static boolean isOfTooManyFiles(int error) {
    return error == LibC.EMFILE || error == LibC.ENFILE;
  }

  /// Makes a memfd.
  static SharedFile inMemory(String name, long bytes) {
    checkCapacity(name, bytes);
    int descriptor = LibC.memfdCreate("lockstep");
    if (descriptor < 0) {
      int error = -descriptor;
      String what = "a memory file, errno=" + error;
      String remedy =
          isOfTooManyFiles(error) ? "raise the limit of open files, ulimit -n" : "free memory";
      throw full(name, bytes, what, remedy, null);
    }
    int status;
    do {
      status = LibC.posixFallocate(descriptor, bytes);
    } while (status == LibC.EINTR);
    if (status != 0) {
      var _ = LibC.close(descriptor);
      throw full(name, bytes, "memory of the host, errno=" + status, "free memory", null);
    }
    return new SharedFile(path(descriptor), descriptor, bytes);
  }

  /// Makes a file in `directory`, readable by this user alone.
  static SharedFile in(Path directory, String name, long bytes) {
    Path path = directory.resolve("memory-" + UUID.randomUUID());
    var owner = PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));
    try {
      Files.createFile(path, owner);
    } catch (IOException failure) {
      throw new UncheckedIOException(
          "file for shared memory cannot be made: tensor=" + name + ", directory=" + directory,
          failure);
    }
    SharedFile file = new SharedFile(path, NO_DESCRIPTOR, bytes);
    try {
      file.reserve(name);
    } catch (IOException cause) {
      var failure =
          full(name, bytes, "file system of " + directory, "enlarge it or free it", cause);
      Scope.afterFailure(failure, file::close);
      throw failure;
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, file::close);
      throw failure;
    }
    return file;
  }

  private static void checkCapacity(String name, long bytes) {
    if (bytes < CHECKED_FROM) {
      return;
    }
    long available = HostCapacity.ofThisHost().availableBytes();
    if (bytes > available) {
      throw full(name, bytes, "memory of the host, availableBytes=" + available, "free it", null);
    }
  }

  /// Writes zeros over the whole file: a mapping of pages that the file system cannot provide would
  /// fault at their first use.
  private void reserve(String name) throws IOException {
    FileStore store = Files.getFileStore(path);
    if (store.getUsableSpace() < bytes) {
      throw new IOException("too little room: freeBytes=" + store.getUsableSpace());
    }
    if (store.type().equals("tmpfs")) {
      checkCapacity(name, bytes);
    }
    var _ = Uninterrupted.call(this::fill);
  }

  private long fill() throws IOException {
    long at = 0;
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.WRITE)) {
      ByteBuffer zeros = ByteBuffer.allocateDirect((int) Math.min(bytes, RESERVE_BLOCK));
      while (at < bytes) {
        zeros.clear().limit((int) Math.min(zeros.capacity(), bytes - at));
        at += channel.write(zeros, at);
      }
    }
    return at;
  }

  /// Maps the whole file for as long as `arena` lives.
  MemorySegment map(Arena arena) {
    try {
      return Uninterrupted.call(() -> mapOnce(arena));
    } catch (IOException failure) {
      throw new UncheckedIOException("shared memory cannot be mapped: path=" + path, failure);
    }
  }

  private MemorySegment mapOnce(Arena arena) throws IOException {
    try (FileChannel channel = open(path)) {
      return MappedMemory.plain(channel.map(MapMode.READ_WRITE, 0, bytes, arena), arena);
    }
  }

  /// Returns the path by which other processes open this file.
  String peerPath() {
    return descriptor == NO_DESCRIPTOR
        ? path.toString()
        : "/proc/" + ProcessHandle.current().pid() + "/fd/" + descriptor;
  }

  /// Lets go of the descriptor, or removes the file; mappings stay valid.
  @Override
  public void close() {
    if (descriptor != NO_DESCRIPTOR) {
      var _ = LibC.close(descriptor);
      return;
    }
    try {
      Files.deleteIfExists(path);
    } catch (IOException failure) {
      throw new UncheckedIOException("shared memory cannot be removed: path=" + path, failure);
    }
  }

  private static MemoryBudgetException full(
      String name, long bytes, String what, String remedy, @Nullable Throwable cause) {
    return new MemoryBudgetException(
        name,
        bytes,
        0,
        "shared memory cannot be reserved: tensor=%s, requestedBytes=%d, exhausted=%s (%s)"
            .formatted(name, bytes, what, remedy),
        cause);
  }
}
