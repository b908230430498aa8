package dev.lockstep.device.neuron;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Event;
import dev.lockstep.device.Stream;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// A queue to a core's thread. What a program failed with is thrown once, where the stream is next
/// waited for, or closed.
final class NeuronStream implements Stream {
  private static final Logger LOG = LoggerFactory.getLogger(NeuronStream.class);

  private final NeuronDevice device;
  private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
  private long last;
  private boolean closed;

  NeuronStream(NeuronDevice device) {
    this.device = device;
  }

  /// Keeps the first failure of a program.
  void failed(Throwable cause) {
    failure.compareAndSet(null, cause);
  }

  private void throwFailure() {
    switch (failure.getAndSet(null)) {
      case null -> {}
      case RuntimeException cause -> throw cause;
      case Error cause -> throw cause;
      case Throwable cause -> throw new IllegalStateException(cause);
    }
  }

  @Override
  public void run(BoundProgram program) {
    requireOpen();
    if (!(program instanceof NeuronBoundProgram bound) || !bound.belongsTo(device)) {
      throw new IllegalArgumentException(
          "program was compiled by another device: device=" + device.info().name());
    }
    last = bound.submit(this);
  }

  @Override
  public void copyIn(Tensor to, MemorySegment from) {
    requireOpen();
    NeuronBuffer buffer = checked(to, from);
    buffer.acquire();
    try {
      device.core().call(() -> write(buffer, to, from));
    } finally {
      buffer.release();
    }
    throwFailure();
  }

  @Override
  public void copyOut(MemorySegment to, Tensor from) {
    requireOpen();
    NeuronBuffer buffer = checked(from, to);
    buffer.acquire();
    try {
      device.core().call(() -> read(buffer, from, to));
    } finally {
      buffer.release();
    }
    throwFailure();
  }

  private void write(NeuronBuffer buffer, Tensor to, MemorySegment from) {
    if (from.byteSize() == 0) {
      return;
    }
    try (Arena arena = Arena.ofConfined()) {
      NeuronRuntime runtime = device.runtime();
      MemorySegment host =
          from.isNative() ? anyThreads(from) : arena.allocate(from.byteSize()).copyFrom(from);
      runtime.check(
          runtime.nrt().tensorWrite(buffer.tensor(), host, to.offset(), host.byteSize()),
          "nrt_tensor_write",
          "tensor=" + buffer.name());
    }
  }

  private void read(NeuronBuffer buffer, Tensor from, MemorySegment to) {
    if (to.byteSize() == 0) {
      return;
    }
    try (Arena arena = Arena.ofConfined()) {
      NeuronRuntime runtime = device.runtime();
      MemorySegment host = to.isNative() ? anyThreads(to) : arena.allocate(to.byteSize());
      runtime.check(
          runtime.nrt().tensorRead(buffer.tensor(), host, from.offset(), host.byteSize()),
          "nrt_tensor_read",
          "tensor=" + buffer.name());
      if (!to.isNative()) {
        to.copyFrom(host);
      }
    }
  }

  /// Memory that may be confined to the thread that waits here for the core's, as what that one may
  /// touch.
  private MemorySegment anyThreads(MemorySegment segment) {
    return device.runtime().nrt().memory(segment.address(), segment.byteSize());
  }

  private NeuronBuffer checked(Tensor tensor, MemorySegment host) {
    if (tensor.bytes() != host.byteSize()) {
      throw new IllegalArgumentException(
          "copy between different sizes: tensorBytes=%d, hostBytes=%d"
              .formatted(tensor.bytes(), host.byteSize()));
    }
    return device.own(tensor.buffer());
  }

  @Override
  public Event record() {
    requireOpen();
    long number = last;
    CoreThread core = device.core();
    return new Event() {
      @Override
      public boolean isDone() {
        return core.isDone(number);
      }

      @Override
      public void await() {
        core.await(number);
        throwFailure();
      }
    };
  }

  @Override
  public void synchronize() {
    requireOpen();
    device.core().await(last);
    throwFailure();
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("stream is closed: device=" + device.info().name());
    }
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      device.core().await(last);
      try {
        throwFailure();
      } catch (IndexOutOfBoundsException wrongId) {
        LOG.warn("a program met a wrong id and nobody waited for it: {}", wrongId.getMessage());
      }
    }
  }
}
