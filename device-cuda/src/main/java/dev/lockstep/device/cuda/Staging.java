package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.device.cuda.ffi.CudaDriver;
import dev.lockstep.memory.MemoryPool;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// Two chunks of pinned host memory through which a stream's copies pass: while the GPU copies one,
/// the host fills or empties the other. Allocated with the first copy. Confined to its stream.
final class Staging implements AutoCloseable {
  private static final int CHUNK_BYTES = 4 << 20;
  private static final int CHUNKS = 2;

  private final CudaDevice device;
  private final long stream;
  private final long[] events = new long[CHUNKS];
  private final boolean[] busy = new boolean[CHUNKS];
  private @Nullable PinnedMemory memory;
  private MemoryPool.@Nullable Charge charge;

  Staging(CudaDevice device, long stream) {
    this.device = device;
    this.stream = stream;
  }

  private MemorySegment chunk(int index) {
    PinnedMemory pinned = memory;
    if (pinned == null) {
      pinned = allocate();
    }
    return pinned.segment().asSlice((long) index * CHUNK_BYTES, CHUNK_BYTES);
  }

  private PinnedMemory allocate() {
    long bytes = (long) CHUNKS * CHUNK_BYTES;
    charge = device.charge("pinned staging", bytes);
    try {
      for (int i = 0; i < CHUNKS; i++) {
        events[i] = device.newEvent(Cu.EVENT_DISABLE_TIMING);
      }
      PinnedMemory pinned = new PinnedMemory(device.context(), bytes);
      memory = pinned;
      return pinned;
    } catch (RuntimeException | Error failure) {
      close();
      throw failure;
    }
  }

  private CudaDriver driver() {
    return device.context().driver();
  }

  private void await(int index) {
    if (busy[index]) {
      device.context().check(driver().eventSynchronize(events[index]), "cuEventSynchronize", "");
      busy[index] = false;
    }
  }

  private void mark(int index) {
    device.context().check(driver().eventRecord(events[index], stream), "cuEventRecord", "");
    busy[index] = true;
  }

  /// Queues a copy to the device; the host memory may be used again at once.
  void copyIn(long to, MemorySegment from, String tensor) {
    long bytes = from.byteSize();
    for (long done = 0; done < bytes; done += CHUNK_BYTES) {
      int index = (int) (done / CHUNK_BYTES % CHUNKS);
      long length = Math.min(CHUNK_BYTES, bytes - done);
      MemorySegment chunk = chunk(index);
      await(index);
      MemorySegment.copy(from, done, chunk, 0, length);
      check(driver().memcpyHtoDAsync(to + done, chunk.address(), length, stream), "HtoD", tensor);
      mark(index);
    }
  }

  /// Copies from the device and waits for it.
  void copyOut(MemorySegment to, long from, String tensor) {
    long bytes = to.byteSize();
    long queued = 0;
    for (long done = 0; done < bytes; done += CHUNK_BYTES) {
      for (; queued < Math.min(bytes, done + (long) CHUNKS * CHUNK_BYTES); queued += CHUNK_BYTES) {
        int index = (int) (queued / CHUNK_BYTES % CHUNKS);
        long length = Math.min(CHUNK_BYTES, bytes - queued);
        MemorySegment chunk = chunk(index);
        await(index);
        check(
            driver().memcpyDtoHAsync(chunk.address(), from + queued, length, stream),
            "DtoH",
            tensor);
        mark(index);
      }
      int index = (int) (done / CHUNK_BYTES % CHUNKS);
      await(index);
      MemorySegment.copy(chunk(index), 0, to, done, Math.min(CHUNK_BYTES, bytes - done));
    }
  }

  private void check(int status, String direction, String tensor) {
    if (status != Cu.SUCCESS) {
      device.context().check(status, "cuMemcpy" + direction + "Async", "tensor=" + tensor);
    }
  }

  /// Frees the memory; the context is current and the stream is idle.
  @Override
  public void close() {
    if (memory != null) {
      memory.close();
      memory = null;
    }
    for (int i = 0; i < CHUNKS; i++) {
      if (events[i] != 0) {
        device.destroyEvent(events[i]);
        events[i] = 0;
      }
    }
    if (charge != null) {
      charge.close();
      charge = null;
    }
  }
}
