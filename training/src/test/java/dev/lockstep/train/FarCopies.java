package dev.lockstep.train;

import dev.lockstep.device.HostCopy;
import dev.lockstep.device.HostPin;
import dev.lockstep.device.Stream;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/// Copies of a device behind a bus that arrive late: what is copied out is in the host's memory
/// when it has been asked for often enough, and what is copied in is read until then.
final class FarCopies {
  private static final int LATE = 3;

  private final Set<Long> pinned = ConcurrentHashMap.newKeySet();

  /// Pins memory of its own.
  HostPin pin(MemorySegment host) {
    if (!pinned.add(host.address())) {
      throw new IllegalStateException("memory is pinned twice: bytes=" + host.byteSize());
    }
    return () -> {
      if (!host.scope().isAlive()) {
        throw new IllegalStateException("memory was freed while pinned: bytes=" + host.byteSize());
      }
      pinned.remove(host.address());
    };
  }

  /// Checks that nothing is pinned any more.
  void requireNone() {
    if (!pinned.isEmpty()) {
      throw new IllegalStateException("memory is still pinned: regions=" + pinned.size());
    }
  }

  /// Prepares a copy to the device, which reads the host's memory until it is done.
  static HostCopy in(Stream stream, Tensor to, MemorySegment from) {
    return new Late() {
      private byte[] read = {};

      @Override
      void begin() {
        read = from.toArray(ValueLayout.JAVA_BYTE);
        stream.copyIn(to, from);
      }

      @Override
      void end() {
        if (from.mismatch(MemorySegment.ofArray(read)) >= 0) {
          throw new IllegalStateException("memory was written while it was read");
        }
      }
    };
  }

  /// Prepares a copy from the device, which writes the host's memory when it is done.
  static HostCopy out(Stream stream, MemorySegment to, Tensor from) {
    return new Late() {
      private final byte[] numbers = new byte[(int) to.byteSize()];

      @Override
      void begin() {
        stream.copyOut(MemorySegment.ofArray(numbers), from);
      }

      @Override
      void end() {
        to.copyFrom(MemorySegment.ofArray(numbers));
      }
    };
  }

  private abstract static class Late implements HostCopy {
    private int left;

    abstract void begin();

    abstract void end();

    @Override
    public void start() {
      await();
      begin();
      left = LATE;
    }

    @Override
    public boolean isDone() {
      if (left > 0 && --left == 0) {
        end();
      }
      return left == 0;
    }

    @Override
    public void await() {
      while (!isDone()) {
        Thread.onSpinWait();
      }
    }

    @Override
    public void close() {
      await();
    }
  }
}
