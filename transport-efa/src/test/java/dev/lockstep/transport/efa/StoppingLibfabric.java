package dev.lockstep.transport.efa;

import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Libfabric;
import dev.lockstep.transport.efa.ffi.QueueCalls;
import java.util.concurrent.atomic.AtomicBoolean;

/// Reads nothing while its process is stopped.
final class StoppingLibfabric extends ForwardingLibfabric {
  private final AtomicBoolean isStopped;

  StoppingLibfabric(Libfabric library, AtomicBoolean isStopped) {
    super(library);
    this.isStopped = isStopped;
  }

  @Override
  public long cqRead(QueueCalls queue, long entries, long count) {
    return isStopped.get() ? -Fi.EAGAIN : super.cqRead(queue, entries, count);
  }
}
