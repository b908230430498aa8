package dev.lockstep.device.cpu;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Event;
import dev.lockstep.device.Stream;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/// A stream whose work is done when a call returns.
final class CpuStream implements Stream {
  private static final Event DONE =
      new Event() {
        @Override
        public boolean isDone() {
          return true;
        }

        @Override
        public void await() {}
      };

  private final CpuDevice device;
  private volatile boolean closed;

  CpuStream(CpuDevice device) {
    this.device = device;
  }

  @Override
  public void run(BoundProgram program) {
    requireOpen();
    if (!(program instanceof CpuBoundProgram bound) || !bound.belongsTo(device)) {
      throw new IllegalArgumentException(
          "program was compiled by another device: device=" + device.info().name());
    }
    device.run(bound);
  }

  @Override
  public void copyIn(Tensor to, MemorySegment from) {
    requireOpen();
    requireBytes(to, from);
    Buffer buffer = to.buffer();
    buffer.acquire();
    try {
      to.segment().copyFrom(from);
    } finally {
      buffer.release();
    }
  }

  @Override
  public void copyOut(MemorySegment to, Tensor from) {
    requireOpen();
    requireBytes(from, to);
    Buffer buffer = from.buffer();
    buffer.acquire();
    try {
      to.copyFrom(from.segment());
    } finally {
      buffer.release();
    }
  }

  private static void requireBytes(Tensor tensor, MemorySegment host) {
    if (tensor.bytes() != host.byteSize()) {
      throw new IllegalArgumentException(
          "copy between different sizes: tensorBytes="
              + tensor.bytes()
              + ", hostBytes="
              + host.byteSize());
    }
  }

  @Override
  public Event record() {
    requireOpen();
    return DONE;
  }

  @Override
  public void synchronize() {
    requireOpen();
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("stream is closed: device=" + device.info().name());
    }
  }

  @Override
  public void close() {
    closed = true;
  }
}
