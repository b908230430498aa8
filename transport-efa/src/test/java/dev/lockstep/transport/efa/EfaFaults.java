package dev.lockstep.transport.efa;

import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Layouts;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Queue;

/// What goes wrong on the cards of one rank, as a test asks for it: an operation fails, or the
/// endpoint itself. Thread-safe.
final class EfaFaults {
  /// `EFA_IO_COMP_STATUS_LOCAL_ERROR_UNRESP_REMOTE`.
  static final int UNRESPONSIVE = 13;

  static final String WORDS = "Unresponsive remote";

  private static final int EHOSTUNREACH = 113;
  private static final long ENTRY_BYTES = Layouts.EQ_ERR_ENTRY.byteSize();

  /// An operation that failed.
  private record Failed(long context, long flags) {}

  private final Queue<Failed> failed = new ArrayDeque<>();
  private boolean send;
  private boolean write;
  private boolean endpoint;

  /// Has the next message fail.
  synchronized void failSend() {
    send = true;
  }

  /// Has the next write fail.
  synchronized void failWrite() {
    write = true;
  }

  /// Has the endpoint itself fail.
  synchronized void failEndpoint() {
    endpoint = true;
  }

  /// Returns whether a message that is sent now fails.
  synchronized boolean takesSend() {
    boolean takes = send;
    send = false;
    return takes;
  }

  /// Returns whether a write that is posted now fails.
  synchronized boolean takesWrite() {
    boolean takes = write;
    write = false;
    return takes;
  }

  /// Notes an operation that failed.
  ///
  /// @return the status of its call
  synchronized long failed(long context, long flags) {
    failed.add(new Failed(context, flags));
    return 0;
  }

  synchronized boolean hasFailed() {
    return !failed.isEmpty();
  }

  /// Reads an operation that failed, as `fi_cq_readerr`.
  synchronized long readFailed(MemorySegment entry) {
    Failed first = failed.poll();
    if (first == null) {
      return -Fi.EAGAIN;
    }
    Discovery.set(entry, Layouts.CQ_ERR_ENTRY, "op_context", first.context());
    Discovery.set(entry, Layouts.CQ_ERR_ENTRY, "flags", first.flags());
    Discovery.set(entry, Layouts.CQ_ERR_ENTRY, "err", EHOSTUNREACH);
    Discovery.set(entry, Layouts.CQ_ERR_ENTRY, "prov_errno", UNRESPONSIVE);
    return 1;
  }

  /// Reads an error of the endpoint itself, as `fi_eq_readerr`; 0 if there is none.
  synchronized long readEndpoint(MemorySegment entry) {
    if (!endpoint) {
      return 0;
    }
    endpoint = false;
    Discovery.set(entry, Layouts.EQ_ERR_ENTRY, "err", EHOSTUNREACH);
    Discovery.set(entry, Layouts.EQ_ERR_ENTRY, "prov_errno", UNRESPONSIVE);
    return ENTRY_BYTES;
  }
}
