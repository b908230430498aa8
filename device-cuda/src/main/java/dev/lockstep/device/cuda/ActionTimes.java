package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.Cu;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/// How long each action of a recording takes on the GPU: an event of the driver's before the first
/// and one behind each. A program that is timed waits for each run, and an event behind a kernel
/// costs about a microsecond: `LOCKSTEP_CUDA_TIMES=1` asks for it.
final class ActionTimes {
  private static final double NANOS_PER_MILLISECOND = 1e6;

  private final CudaDevice device;
  private final long[] events;

  /// Makes the events; the device's context is current.
  ActionTimes(CudaDevice device, int actions) {
    this.device = device;
    this.events = new long[actions + 1];
    try {
      for (int i = 0; i < events.length; i++) {
        events[i] = device.newEvent(Cu.EVENT_DEFAULT);
      }
    } catch (RuntimeException | Error failure) {
      destroy();
      throw failure;
    }
  }

  /// Whether the user asks for the time of each kernel.
  static boolean areWanted() {
    String wanted = System.getProperty("lockstep.cuda.times");
    return "1".equals(wanted == null ? System.getenv("LOCKSTEP_CUDA_TIMES") : wanted);
  }

  /// Marks, in a capture, the moment before action `index`, or after all of them.
  void mark(int index, long stream) {
    CudaContext context = device.context();
    context.check(
        context.driver().eventRecordWithFlags(events[index], stream, Cu.EVENT_RECORD_EXTERNAL),
        "cuEventRecordWithFlags",
        "");
  }

  /// Returns the nanoseconds of each action of the last run, which is over.
  long[] nanos() {
    CudaContext context = device.context();
    long[] nanos = new long[events.length - 1];
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment milliseconds = arena.allocate(ValueLayout.JAVA_FLOAT);
      for (int i = 0; i < nanos.length; i++) {
        context.check(
            context.driver().eventElapsedTime(milliseconds.address(), events[i], events[i + 1]),
            "cuEventElapsedTime",
            "");
        nanos[i] = Math.round(milliseconds.get(ValueLayout.JAVA_FLOAT, 0) * NANOS_PER_MILLISECOND);
      }
    }
    return nanos;
  }

  void destroy() {
    for (long event : events) {
      if (event != 0) {
        device.destroyEvent(event);
      }
    }
  }
}
