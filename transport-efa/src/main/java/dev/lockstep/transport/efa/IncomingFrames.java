package dev.lockstep.transport.efa;

import dev.lockstep.memory.MemoryPool;
import dev.lockstep.memory.Scope;
import dev.lockstep.transport.efa.ffi.Fi;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.zip.CRC32C;

/// Memory for frames that arrive: slabs, and which of their frames the endpoint has. Used under the
/// transport's lock.
final class IncomingFrames {
  /// Receives beside those of the links: greetings, grants, credits.
  private static final int SPARE = FrameSlab.FRAMES;

  private final MemoryPool pool;
  private final Rail rail;
  private final RegionCache cache;
  private final FrameShape shape;
  private final List<FrameSlab> slabs = new ArrayList<>();
  private int[] unposted = new int[0];
  private int unpostedCount;
  private int wanted = SPARE;

  IncomingFrames(MemoryPool pool, Rail rail, RegionCache cache, FrameShape shape) {
    this.pool = pool;
    this.rail = rail;
    this.cache = cache;
    this.shape = shape;
  }

  /// Makes room for more frames, as far as the rail takes them. [#post] hands them to it.
  void grow(int frames) {
    wanted += frames;
    while (slabs.size() * FrameSlab.FRAMES < Math.min(wanted, rail.mostReceives())) {
      int from = slabs.size() * FrameSlab.FRAMES;
      slabs.add(new FrameSlab(pool, rail, cache, shape));
      unposted = Arrays.copyOf(unposted, from + FrameSlab.FRAMES);
      for (int i = 0; i < FrameSlab.FRAMES; i++) {
        unposted[unpostedCount++] = from + i;
      }
    }
  }

  /// Leaves room to whoever comes next.
  void shrink(int frames) {
    wanted -= frames;
  }

  /// Hands free frames to the endpoint while it takes them.
  ///
  /// @return 0, or the status with which it failed
  long post() {
    while (unpostedCount > 0) {
      int receive = unposted[unpostedCount - 1];
      FrameSlab slab = slab(receive);
      long address = slab.address(receive % FrameSlab.FRAMES);
      long status = rail.receive(receive, address, shape.bytes(), slab.descriptor());
      if (status < 0) {
        return status == -Fi.EAGAIN ? 0 : status;
      }
      unpostedCount--;
    }
    return 0;
  }

  private FrameSlab slab(int receive) {
    return slabs.get(receive / FrameSlab.FRAMES);
  }

  /// Returns the memory that holds a frame that arrived; it starts at [#offset].
  MemorySegment segment(int receive) {
    return slab(receive).segment();
  }

  long offset(int receive) {
    return shape.offset(receive % FrameSlab.FRAMES);
  }

  /// Returns whether a frame arrived as it was sent.
  boolean isWhole(int receive, long bytes, CRC32C crc) {
    return isWhole(receive, offset(receive), bytes, crc);
  }

  /// Returns whether the frame that begins there, in the memory of a frame that arrived, is as it
  /// was sent.
  boolean isWhole(int receive, long at, long bytes, CRC32C crc) {
    FrameSlab slab = slab(receive);
    return Wire.isWhole(slab.segment(), at, bytes, crc, slab.bytes());
  }

  /// Takes a frame that arrived back, to be filled again.
  void recycle(int receive) {
    unposted[unpostedCount++] = receive;
  }

  /// Frees the memory; the endpoint is closed before.
  void close() {
    try (Scope closing = new Scope()) {
      slabs.forEach(slab -> closing.own(slab, FrameSlab::close));
    }
  }
}
