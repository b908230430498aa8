package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.device.cuda.ffi.CudaDriver;
import dev.lockstep.failure.MemoryBudgetException;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.memory.Scope;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/// Allocates a GPU's memory from the driver's pool, which keeps what is freed for what comes next.
/// Thread-safe; waits for the GPU, so it is not for the steps of a training run.
final class CudaMemory implements AutoCloseable {
  private final CudaContext context;
  private final MemoryPool pool;
  private final Runnable settle;
  private final long stream;

  /// Opens the stream on which memory is allocated and freed; the context is current.
  ///
  /// @param settle gives back the leases of all work that the GPU has done
  CudaMemory(CudaContext context, MemoryPool pool, Runnable settle) {
    this.context = context;
    this.pool = pool;
    this.settle = settle;
    CudaDriver driver = context.driver();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment word = arena.allocate(ValueLayout.JAVA_LONG);
      context.check(
          driver.deviceGetDefaultMemPool(word.address(), context.device()),
          "cuDeviceGetDefaultMemPool",
          "");
      long driverPool = word.get(ValueLayout.JAVA_LONG, 0);
      word.set(ValueLayout.JAVA_LONG, 0, -1); // what is freed stays with the pool
      context.check(
          driver.memPoolSetAttribute(driverPool, Cu.POOL_RELEASE_THRESHOLD, word.address()),
          "cuMemPoolSetAttribute",
          "");
      context.check(
          driver.streamCreate(word.address(), Cu.STREAM_NON_BLOCKING), "cuStreamCreate", "");
      stream = word.get(ValueLayout.JAVA_LONG, 0);
    }
  }

  /// Returns the device's name.
  String device() {
    return context.name();
  }

  /// Gives back the leases of what is over: a stream hears of it only when it is asked.
  void settle() {
    settle.run();
  }

  /// Allocates zeros; the caller closes them.
  ///
  /// @throws MemoryBudgetException if the pool or the GPU has too little
  CudaBuffer allocate(String name, long bytes) {
    if (bytes < 0) {
      throw new IllegalArgumentException(
          "size of a buffer is negative: name=" + name + ", bytes=" + bytes);
    }
    MemoryPool.Charge charge = pool.charge(name, bytes);
    try {
      return new CudaBuffer(this, name, bytes, zeros(name, bytes), charge);
    } catch (RuntimeException | Error failure) {
      charge.close();
      throw failure;
    }
  }

  private long zeros(String name, long bytes) {
    CudaDriver driver = context.enter();
    long room = Math.max(1, bytes); // of nothing there is no address
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment word = arena.allocate(ValueLayout.JAVA_LONG);
      int status = driver.memAllocAsync(word.address(), room, stream);
      if (status == Cu.ERROR_OUT_OF_MEMORY) {
        throw outOfMemory(name, bytes);
      }
      String what = "tensor=" + name + ", bytes=" + bytes;
      context.check(status, "cuMemAllocAsync", what);
      long pointer = word.get(ValueLayout.JAVA_LONG, 0);
      try {
        context.check(driver.memsetD8Async(pointer, 0, room, stream), "cuMemsetD8Async", what);
        context.check(driver.streamSynchronize(stream), "cuStreamSynchronize", what);
        return pointer;
      } catch (RuntimeException | Error failure) {
        Scope.afterFailure(failure, () -> free(pointer, name));
        throw failure;
      }
    }
  }

  private MemoryBudgetException outOfMemory(String name, long bytes) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment words = arena.allocate(ValueLayout.JAVA_LONG, 2);
      long total = 0;
      long free = 0;
      if (context.driver().memGetInfo(words.address(), words.address() + Long.BYTES)
          == Cu.SUCCESS) {
        free = words.getAtIndex(ValueLayout.JAVA_LONG, 0);
        total = words.getAtIndex(ValueLayout.JAVA_LONG, 1);
      }
      return new MemoryBudgetException(
          name,
          bytes,
          total,
          "memory of the GPU is exhausted: tensor=%s, requestedBytes=%d, freeBytes=%d, totalBytes=%d, device=%s (use a smaller model or batch, or more ranks with --zero)"
              .formatted(name, bytes, free, total, context.name()),
          null);
    }
  }

  /// Frees what [#allocate] made; nothing runs on it any more. What a lost device held is gone.
  void free(long pointer, String name) {
    if (!context.isLost()) {
      CudaDriver driver = context.enter();
      context.check(driver.memFreeAsync(pointer, stream), "cuMemFreeAsync", "tensor=" + name);
    }
  }

  /// Closes the stream; the context is current.
  @Override
  public void close() {
    if (!context.isLost()) {
      context.check(context.driver().streamDestroy(stream), "cuStreamDestroy", "");
    }
  }
}
