package dev.lockstep.memory;

import dev.lockstep.failure.MemoryBudgetException;
import dev.lockstep.memory.ffi.LibC;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/// Makes buffers in the memory of this host. What it allocates is zeroed, aligned to 64 bytes, and
/// to a page from 64 KiB on. Thread-safe.
@SuppressWarnings("MustBeClosedChecker") // the buffer that is returned owns its arena
public final class HostMemory {
  static final long ALIGNMENT = 64;
  static final long PAGE = 4096;
  private static final long LARGEST_ELEMENT = 8;
  private static final long PAGED_FROM = 64 * 1024;

  private HostMemory() {}

  /// Allocates memory of this process alone; owned by the caller.
  ///
  /// @param pool what the bytes are charged to, before anything is allocated
  /// @param name what errors and leak reports call it
  /// @throws MemoryBudgetException if the pool or the machine has too little
  public static Buffer allocate(MemoryPool pool, String name, long bytes) {
    checkBytes(name, bytes);
    Scope made = new Scope(); // closed where it comes to nothing
    MemoryPool.Charge charge = made.own(pool.charge(name, bytes), MemoryPool.Charge::close);
    Arena arena = made.own(Arena.ofShared(), Arena::close);
    try {
      MemorySegment segment = allocatePrivate(arena, name, bytes);
      var resources = new HostResources(name, bytes, arena, charge, null);
      return new HostBuffer(name, segment, new Backing.Private(), resources, pool);
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, made::close);
      throw failure;
    }
  }

  /// Allocates memory that other processes of the host can map; owned by the caller.
  ///
  /// It is a memfd that peers open as `/proc/PID/fd/N`, so nothing is left when the process dies;
  /// where there is no memfd, a file in `directory`. Every page is reserved, so that a host with
  /// too little memory says so here and nothing faults later.
  ///
  /// @param pool what the bytes are charged to, before anything is allocated
  /// @param name what errors and leak reports call it
  /// @param directory where a file may be made if there is no memfd; removed when the memory goes
  /// @throws MemoryBudgetException if the pool or the host has too little
  /// @throws IllegalStateException if there is neither memfd nor directory
  public static Buffer allocateShared(
      MemoryPool pool, String name, long bytes, @Nullable Path directory) {
    boolean memfd = SharedFile.memoryFilesWork();
    if (!memfd && directory == null) {
      throw new IllegalStateException(
          "memory cannot be shared with other processes: tensor="
              + name
              + " (allow native access and mount /proc, or name a directory)");
    }
    return allocateFile(pool, name, bytes, memfd ? null : directory);
  }

  /// Allocates memory that other processes of the host can map by a path in `directory`, for peers
  /// that do not see this process in their `/proc`; owned by the caller.
  ///
  /// @throws MemoryBudgetException if the pool or the file system has too little
  public static Buffer allocateSharedIn(Path directory, MemoryPool pool, String name, long bytes) {
    return allocateFile(pool, name, bytes, directory);
  }

  /// Wraps memory that the caller has allocated, for collectives and copies on arrays of his own.
  /// Nothing is copied or charged. What peers are to read or write in place is better made by
  /// [#allocateShared]: they cannot map this memory, and collectives stage it.
  ///
  /// The memory has to stay where it is until `onClose` is called: it is freed there and nowhere
  /// else. That is when the buffer is closed and nothing may touch it any more, neither a
  /// collective that failed nor a card that it is registered with; so it may be a thread of a
  /// transport that calls, some milliseconds after the buffer was closed, and `onClose` is brief
  /// and takes no locks. Where it throws [IllegalStateException] the memory cannot be freed yet,
  /// and closing the buffer again calls it again.
  ///
  /// ```java
  /// Arena arena = Arena.ofShared();
  /// Buffer buffer = HostMemory.wrap("mine", arena.allocate(4096, 64), arena::close);
  /// ```
  ///
  /// @param name what errors call it
  /// @param segment native memory that any thread may read and write; it starts at a multiple of 8
  ///   bytes, the largest element
  /// @param onClose frees the memory, or does nothing
  /// @throws IllegalArgumentException if the segment is not such memory
  public static Buffer wrap(String name, MemorySegment segment, Runnable onClose) {
    String wrong = notForAll(segment);
    if (!wrong.isEmpty()) {
      throw new IllegalArgumentException(
          "memory cannot be wrapped: name=%s, bytes=%d, reason=%s"
              .formatted(name, segment.byteSize(), wrong));
    }
    return new WrappedBuffer(name, segment, onClose);
  }

  /// Returns why collectives cannot use a segment; empty if they can.
  private static String notForAll(MemorySegment segment) {
    if (!segment.isNative()) {
      return "it is on the heap (allocate it from an Arena)";
    }
    if (segment.isReadOnly()) {
      return "it is read only";
    }
    if (!segment.scope().isAlive()) {
      return "it is freed";
    }
    if (!segment.isAccessibleBy(Thread.ofVirtual().unstarted(() -> {}))) {
      return "one thread alone may use it (allocate it from Arena.ofShared)";
    }
    return segment.address() % LARGEST_ELEMENT == 0
        ? ""
        : "it starts at no multiple of %d bytes (allocate it with that alignment)"
            .formatted(LARGEST_ELEMENT);
  }

  private static Buffer allocateFile(
      MemoryPool pool, String name, long bytes, @Nullable Path directory) {
    checkBytes(name, bytes);
    Scope made = new Scope(); // closed where it comes to nothing
    MemoryPool.Charge charge = made.own(pool.charge(name, bytes), MemoryPool.Charge::close);
    try {
      SharedFile file =
          made.own(
              directory == null
                  ? SharedFile.inMemory(name, pages(bytes))
                  : SharedFile.in(directory, name, pages(bytes)),
              SharedFile::close);
      Arena arena = made.own(Arena.ofShared(), Arena::close);
      MemorySegment segment = file.map(arena).asSlice(0, bytes);
      var resources = new HostResources(name, bytes, arena, charge, file);
      return new HostBuffer(
          name, segment, new Backing.SharedFile(file.peerPath(), 0), resources, pool);
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, made::close);
      throw failure;
    }
  }

  private static MemorySegment allocatePrivate(Arena arena, String name, long bytes) {
    // Pages that are mapped come zeroed from the kernel when they are first touched, in huge ones
    // from a size on; Arena.allocate would fill them. Small buffers would waste most of a page.
    if (bytes < PAGED_FROM || !LibC.isAvailable()) {
      try {
        return arena.allocate(bytes, bytes < PAGED_FROM ? ALIGNMENT : PAGE);
      } catch (OutOfMemoryError failure) {
        throw outOfMemory(name, bytes, failure);
      }
    }
    MemorySegment segment = LibC.mapAnonymous(pages(bytes), arena);
    if (segment == null) {
      throw outOfMemory(name, bytes, null);
    }
    return segment.asSlice(0, bytes);
  }

  private static MemoryBudgetException outOfMemory(
      String name, long bytes, @Nullable Throwable cause) {
    return new MemoryBudgetException(
        name,
        bytes,
        0,
        "memory of this process is exhausted: tensor=%s, requestedBytes=%d (use a smaller model or batch, or raise the process's limits)"
            .formatted(name, bytes),
        cause);
  }

  private static void checkBytes(String name, long bytes) {
    if (bytes < 0 || bytes > Long.MAX_VALUE - PAGE) {
      throw new IllegalArgumentException(
          "size of a buffer is out of range: name=" + name + ", bytes=" + bytes);
    }
  }

  /// Returns `bytes` rounded up to whole pages, at least one.
  private static long pages(long bytes) {
    return Math.max(1, Math.ceilDiv(bytes, PAGE)) * PAGE;
  }
}
