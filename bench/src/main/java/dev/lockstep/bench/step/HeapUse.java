package dev.lockstep.bench.step;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;

/// Counts what the threads of this JVM allocate on the heap, those of the control plane apart: its
/// heartbeats come by the clock and are no part of a step. Confined to one thread.
final class HeapUse {
  private static final String CONTROL_PLANE = "lockstep-store";

  private final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
  private final long[] ids;
  private long before;

  /// Counts for the threads that live now.
  HeapUse() {
    ids =
        Thread.getAllStackTraces().keySet().stream()
            .filter(thread -> !thread.getName().startsWith(CONTROL_PLANE))
            .mapToLong(Thread::threadId)
            .toArray();
  }

  /// Begins to count.
  void start() {
    before = total();
  }

  /// Returns the bytes allocated since [#start], less what the question itself takes.
  long stop() {
    long after = total();
    long question = total() - after;
    return Math.max(0, after - before - question);
  }

  private long total() {
    long total = 0;
    for (long bytes : threads.getThreadAllocatedBytes(ids)) {
      total += Math.max(0, bytes);
    }
    return total;
  }
}
