package dev.lockstep.device.cpu;

import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.Registration;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/// Memory that is larger than the machine's: a file whose holes take no room, for tests of what
/// lies so far apart that 32 bits do not count it.
@SuppressWarnings("MustBeClosed") // closed by close()
final class FarMemory implements AutoCloseable {
  private final Arena arena = Arena.ofShared();
  private final MemorySegment all;
  private long used;

  FarMemory(Path folder, long bytes) {
    try (FileChannel channel =
        FileChannel.open(
            folder.resolve("sparse"),
            StandardOpenOption.CREATE_NEW,
            StandardOpenOption.SPARSE,
            StandardOpenOption.READ,
            StandardOpenOption.WRITE)) {
      all = channel.map(FileChannel.MapMode.READ_WRITE, 0, bytes, arena);
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  /// Returns zeros that nothing else uses.
  MemorySegment room(long bytes) {
    MemorySegment room = all.asSlice(used, bytes);
    used += (bytes + 63) & -64L;
    return room;
  }

  /// Copies rows of `width` float32 that lie one after another to rows of which each starts `apart`
  /// elements after the one before.
  static void spread(long from, int rows, int width, long to, long apart) {
    for (int row = 0; row < rows; row++) {
      Memory.copy(from + 4L * row * width, to + 4L * row * apart, 4L * width);
    }
  }

  /// Copies such rows back and returns where they lie one after another.
  static long gather(Kernels kernels, long from, int rows, int width, long apart) {
    long to = kernels.room(4L * rows * width);
    for (int row = 0; row < rows; row++) {
      Memory.copy(from + 4L * row * apart, to + 4L * row * width, 4L * width);
    }
    return to;
  }

  /// Returns the memory as a tensor's buffer; freed with all.
  static Buffer buffer(MemorySegment segment) {
    return new Buffer() {
      @Override
      public String name() {
        return "far";
      }

      @Override
      public long bytes() {
        return segment.byteSize();
      }

      @Override
      public Registration registration() {
        throw new UnsupportedOperationException("far memory goes nowhere");
      }

      @Override
      public MemorySegment segment() {
        return segment;
      }

      @Override
      public void acquire() {}

      @Override
      public void release() {}

      @Override
      public boolean isClosed() {
        return false;
      }

      @Override
      public void close() {}
    };
  }

  @Override
  public void close() {
    arena.close();
  }
}
