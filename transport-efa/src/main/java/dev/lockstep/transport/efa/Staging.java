package dev.lockstep.transport.efa;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.Region;
import dev.lockstep.memory.Scope;

/// Registered memory of one link for segments that cannot go straight from or to their tensors:
/// those that are reduced on arrival, and those of memory that is not registered. Used under the
/// transport's lock.
final class Staging {
  /// Two are on the wire while two are worked on.
  static final int SLOTS = 4;

  private final Buffer buffer;
  private final CachedRegion region;
  private final int slotBytes;
  private final RegionCache cache;
  private int free = (1 << SLOTS) - 1;

  /// Allocates and registers the memory.
  ///
  /// @throws TransportException if it cannot be registered
  Staging(Engine engine) {
    this.slotBytes = engine.options().segmentBytes();
    this.cache = engine.cache();
    this.buffer = HostMemory.allocate(engine.pool(), "staging", (long) SLOTS * slotBytes);
    Region memory = buffer.registration().region();
    try {
      this.region = cache.of(memory);
      if (!cache.register(region)) {
        throw cache.tooLittle("a link", buffer.bytes());
      }
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, buffer::close);
      Scope.afterFailure(failure, () -> cache.forget(memory));
      throw failure;
    }
    region.uses++;
  }

  /// Claims a slot, -1 if all are in use.
  int claim() {
    if (free == 0) {
      return -1;
    }
    int slot = Integer.numberOfTrailingZeros(free);
    free &= ~(1 << slot);
    return slot;
  }

  void release(int slot) {
    free |= 1 << slot;
  }

  long offset(int slot) {
    return (long) slot * slotBytes;
  }

  CachedRegion region() {
    return region;
  }

  /// Frees the memory; it goes when its registration has.
  void close() {
    region.uses--;
    buffer.close();
  }
}
