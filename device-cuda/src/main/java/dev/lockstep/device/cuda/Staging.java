package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.device.cuda.ffi.CudaDriver;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.memory.Scope;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// The way of a stream's copies in one direction: a queue of the driver's of its own, and a ring of
/// chunks of pinned host memory; while the GPU copies one, the host fills or empties another. What
/// is pinned itself is copied straight. Copies pass what the stream computes, and wait by [#after]
/// for what they must. Opened with the first copy. Confined to its stream.
final class Staging implements AutoCloseable {
  // Long enough that the host's copying takes longer than what the driver does for a chunk.
  private static final int CHUNK_BYTES = 256 << 10;

  // Room for the small inputs of more than one step.
  private static final int CHUNKS = 16;

  private final CudaDevice device;
  private final long compute;
  private final long[] events = new long[CHUNKS];
  private final boolean[] busy = new boolean[CHUNKS];
  private final @Nullable MemorySegment[] chunks = new MemorySegment[CHUNKS];
  private long next; // chunk, counted from the first copy
  private long awaited;
  private long stream;
  private long order;
  private @Nullable PinnedMemory memory;
  private MemoryPool.@Nullable Charge charge;

  /// Opens nothing yet.
  ///
  /// @param compute the driver's handle of the stream whose copies these are
  Staging(CudaDevice device, long compute) {
    this.device = device;
    this.compute = compute;
  }

  /// Makes what follows here wait for an event, if anything is open that could pass it.
  void after(long event) {
    if (memory != null) {
      check(driver().streamWaitEvent(stream, event, 0), "cuStreamWaitEvent");
    }
  }

  /// Opens the way unless it is; what the stream was given before is waited for then.
  void open() {
    if (memory != null) {
      return;
    }
    long bytes = (long) CHUNKS * CHUNK_BYTES;
    charge = device.charge("pinned staging", bytes);
    try {
      stream = device.createStream();
      order = device.newEvent(Cu.EVENT_DISABLE_TIMING);
      for (int i = 0; i < CHUNKS; i++) {
        events[i] = device.newEvent(Cu.EVENT_DISABLE_TIMING);
      }
      memory = new PinnedMemory(device.context(), bytes);
      for (int i = 0; i < CHUNKS; i++) {
        chunks[i] = memory.segment().asSlice((long) i * CHUNK_BYTES, CHUNK_BYTES);
      }
      check(driver().eventRecord(order, compute), "cuEventRecord");
      after(order);
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, this::close);
      throw failure;
    }
  }

  private static int index(long chunk) {
    return (int) (chunk % CHUNKS);
  }

  private MemorySegment memory(long chunk) {
    MemorySegment pinned = chunks[index(chunk)];
    if (pinned == null) {
      throw new IllegalStateException("staging is not open: stream=" + compute);
    }
    return pinned;
  }

  private CudaDriver driver() {
    return device.context().driver();
  }

  private void await(long chunk) {
    int index = index(chunk);
    if (busy[index]) {
      check(driver().eventSynchronize(events[index]), "cuEventSynchronize");
      busy[index] = false;
    }
  }

  private void mark(long chunk) {
    check(driver().eventRecord(events[index(chunk)], stream), "cuEventRecord");
    busy[index(chunk)] = true;
  }

  /// Returns the driver's handle of the queue, once it is open.
  long handle() {
    return stream;
  }

  /// Returns the first ticket of which what the stream computes may not have waited yet.
  long awaited() {
    return awaited;
  }

  /// Says that what the stream computes from here on waits for all copies of tickets below this.
  void awaitedBelow(long ticket) {
    awaited = ticket;
  }

  /// Queues a copy to the device, for which nothing waits yet; the host memory may be used again at
  /// once.
  void copyIn(long to, MemorySegment from, String tensor) {
    long bytes = from.byteSize();
    for (long done = 0; done < bytes; done += CHUNK_BYTES) {
      long chunk = next++;
      long length = Math.min(CHUNK_BYTES, bytes - done);
      await(chunk);
      MemorySegment pinned = memory(chunk);
      MemorySegment.copy(from, done, pinned, 0, length);
      check(driver().memcpyHtoDAsync(to + done, pinned.address(), length, stream), "HtoD", tensor);
      mark(chunk);
    }
  }

  /// Queues a copy from pinned host memory, which is left alone until it is over.
  void copyPinnedIn(long to, MemorySegment from, String tensor) {
    check(driver().memcpyHtoDAsync(to, from.address(), from.byteSize(), stream), "HtoD", tensor);
  }

  /// Queues a copy to pinned host memory, which is left alone until it is over.
  void copyPinnedOut(MemorySegment to, long from, String tensor) {
    check(driver().memcpyDtoHAsync(to.address(), from, to.byteSize(), stream), "DtoH", tensor);
  }

  /// Copies from the device and waits for it.
  void copyOut(MemorySegment to, long from, String tensor) {
    long bytes = to.byteSize();
    long first = next;
    long end = first + (bytes + CHUNK_BYTES - 1) / CHUNK_BYTES;
    for (long chunk = first; chunk < end; chunk++) {
      for (; next < Math.min(end, chunk + CHUNKS); next++) {
        long done = (next - first) * CHUNK_BYTES;
        long length = Math.min(CHUNK_BYTES, bytes - done);
        await(next);
        check(
            driver().memcpyDtoHAsync(memory(next).address(), from + done, length, stream),
            "DtoH",
            tensor);
        mark(next);
      }
      await(chunk);
      long done = (chunk - first) * CHUNK_BYTES;
      MemorySegment.copy(memory(chunk), 0, to, done, Math.min(CHUNK_BYTES, bytes - done));
    }
  }

  private void check(int status, String direction, String tensor) {
    if (status != Cu.SUCCESS) {
      device.context().check(status, "cuMemcpy" + direction + "Async", "tensor=" + tensor);
    }
  }

  private void check(int status, String function) {
    device.context().check(status, function, "");
  }

  /// Waits for what is under way, whatever becomes of it: after a copy that was given up.
  void drain() {
    if (stream != 0 && !device.context().isLost()) {
      driver().streamSynchronize(stream);
    }
  }

  /// Waits for what is under way and frees everything; the context is current.
  @Override
  public void close() {
    drain();
    if (memory != null) {
      memory.close();
      memory = null;
    }
    for (int i = 0; i < CHUNKS; i++) {
      events[i] = destroyed(events[i]);
      busy[i] = false;
      chunks[i] = null;
    }
    order = destroyed(order);
    if (stream != 0) {
      device.destroyStream(stream);
      stream = 0;
    }
    if (charge != null) {
      charge.close();
      charge = null;
    }
  }

  private long destroyed(long event) {
    if (event != 0) {
      device.destroyEvent(event);
    }
    return 0;
  }
}
