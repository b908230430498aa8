package dev.lockstep.device.cuda;

import dev.lockstep.device.HostPin;
import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.device.cuda.ffi.CudaDriver;
import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.NavigableMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Host memory that others allocated and a GPU copies from and to directly: pinned as long as its
/// [HostPin] is open. Thread-safe.
final class HostPins {
  private static final Logger LOG = LoggerFactory.getLogger(HostPins.class);

  private final CudaContext context;
  private final NavigableMap<Long, Long> bytes = new ConcurrentSkipListMap<>(); // by address
  private final AtomicBoolean refused = new AtomicBoolean();

  HostPins(CudaContext context) {
    this.context = context;
  }

  /// Pins memory; where the driver refuses, says so the first time, and pins nothing.
  HostPin pin(MemorySegment host) {
    long address = host.address();
    long size = host.byteSize();
    if (size == 0) {
      return () -> {};
    }
    CudaDriver driver = context.enter();
    int status = driver.memHostRegister(address, size, Cu.HOST_REGISTER_PORTABLE);
    if (Cu.isSticky(status)) {
      throw context.failure(status, "cuMemHostRegister", "bytes=" + size);
    }
    if (status != Cu.SUCCESS) {
      if (!refused.getAndSet(true)) {
        LOG.warn(
            "host memory is not pinned, copies to and from it take longer: device={}, bytes={},"
                + " cuMemHostRegister={} {} ({})",
            context.name(),
            size,
            status,
            driver.errorName(status),
            driver.errorString(status));
      }
      return () -> {};
    }
    bytes.put(address, size);
    AtomicBoolean open = new AtomicBoolean(true);
    return () -> {
      if (open.getAndSet(false)) {
        unpin(address);
      }
    };
  }

  private void unpin(long address) {
    bytes.remove(address);
    if (context.isLost()) {
      context.driver().memHostUnregister(address); // the driver may have let go of it already
    } else {
      context.check(context.enter().memHostUnregister(address), "cuMemHostUnregister", "");
    }
  }

  /// Whether all of this memory is pinned; of nothing nothing is.
  boolean hold(MemorySegment host) {
    Map.Entry<Long, Long> found = bytes.floorEntry(host.address());
    return found != null
        && host.byteSize() > 0
        && host.address() + host.byteSize() <= found.getKey() + found.getValue();
  }
}
