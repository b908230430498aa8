package dev.lockstep.memory;

import java.lang.foreign.Arena;
import org.jspecify.annotations.Nullable;

/// What a host buffer holds and gives back: its arena, its file and its charge. Knows nothing of
/// the buffer, so that a buffer nobody holds any more can be found.
final class HostResources {
  private static final long PATIENCE_NANOS = 1_000_000_000L;

  private final String name;
  private final long bytes;
  private final Arena arena;
  private final MemoryPool.Charge charge;
  private final @Nullable SharedFile file;

  HostResources(
      String name, long bytes, Arena arena, MemoryPool.Charge charge, @Nullable SharedFile file) {
    this.name = name;
    this.bytes = bytes;
    this.arena = arena;
    this.charge = charge;
    this.file = file;
  }

  /// Gives everything back.
  ///
  /// @throws IllegalStateException if a call into the system still works on the memory; nothing has
  ///   changed then
  void free() {
    closeArena();
    try {
      if (file != null) {
        file.close();
      }
    } finally {
      charge.close();
    }
  }

  /// Says that nobody holds the buffer any more. It keeps what it holds: a peer may still use it.
  void reportLeak() {
    charge.reportLeak("buffer leaked: name=" + name + ", bytes=" + bytes + " (close it when done)");
  }

  /// A checksum or a channel holds the arena for the length of one call: that is waited for.
  private void closeArena() {
    long deadline = System.nanoTime() + PATIENCE_NANOS;
    while (true) {
      try {
        arena.close();
        return;
      } catch (IllegalStateException busy) {
        if (!arena.scope().isAlive() || System.nanoTime() - deadline > 0) {
          throw busy;
        }
        Thread.onSpinWait();
      }
    }
  }
}
