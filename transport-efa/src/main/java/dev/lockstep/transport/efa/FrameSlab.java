package dev.lockstep.transport.efa;

import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.memory.Scope;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;

/// Memory of frames that are sent or received, registered with the first rail.
final class FrameSlab {
  /// Frames of a slab.
  static final int FRAMES = 64;

  private final FrameShape shape;
  private final Buffer buffer;
  private final MemorySegment segment;
  private final ByteBuffer bytes;
  private final long address;
  private final long registration;
  private final long descriptor;
  private final Rail rail;
  private final RegionCache cache;

  FrameSlab(MemoryPool pool, Rail rail, RegionCache cache, FrameShape shape) {
    this.shape = shape;
    this.rail = rail;
    this.cache = cache;
    this.buffer = HostMemory.allocate(pool, "frames", shape.offset(FRAMES));
    this.segment = buffer.segment();
    this.bytes = segment.asByteBuffer();
    this.address = segment.address();
    if (!rail.info().registersLocal()) {
      registration = 0;
      descriptor = 0;
      return;
    }
    try {
      registration = cache.registerAnyway(rail, address, segment.byteSize());
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, buffer::close);
      throw failure;
    }
    descriptor = rail.memory().descriptor(registration);
  }

  MemorySegment segment() {
    return segment;
  }

  /// Returns the memory as the checksum wants it; whoever uses it sets position and limit.
  ByteBuffer bytes() {
    return bytes;
  }

  long offset(int frame) {
    return shape.offset(frame);
  }

  long address(int frame) {
    return address + offset(frame);
  }

  long descriptor() {
    return descriptor;
  }

  /// Frees the memory; the endpoint is closed before.
  void close() {
    if (registration > 0) {
      cache.deregister(rail, registration, segment.byteSize());
    }
    buffer.close();
  }
}
